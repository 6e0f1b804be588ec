"""Networks for the tests of drawings: random ones with branches, scopes and several outputs, and known structures."""

from __future__ import annotations

import contextlib

from hypothesis import strategies as st

from foveal.graph import Builder, Graph
from foveal.ops import Add, BatchNorm, Concat, Conv, MaxPool, Relu, Upsample

SCOPES = ("", "a", "b", "a.b", "a.c", "b.c.d")


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Up to 30 nodes; a value may be read often or never, and scopes come back after others."""
    net = Builder("random")
    values = [net.input(2, 4, 4)]
    for i in range(draw(st.integers(1, 30))):
        near = values[-draw(st.integers(1, 8)) :]
        inputs = draw(st.lists(st.sampled_from(near), min_size=1, max_size=3, unique=True))
        op = Add() if len(inputs) > 1 else draw(st.sampled_from([Relu(), BatchNorm(), Conv(2, 3, padding=1), Relu()]))
        scope = draw(st.sampled_from(SCOPES))
        with net.scope(scope) if scope else contextlib.nullcontext():
            values.append(net(op, *inputs, name=f"n{i}"))
    outputs = draw(st.lists(st.sampled_from(values[1:]), min_size=1, max_size=3, unique=True))
    return net.graph(*outputs)


def unet(depth: int = 3) -> Graph:
    """Ronneberger et al. (2015), small: each map on the way down is concatenated on the way up."""
    net = Builder("unet")
    x, skips = net.input(3, 32, 32), []
    with net.scope("encoder"):
        for i in range(depth):
            with net.scope(f"down{i + 1}"):
                x = net(Relu(), net(Conv(8, 3, padding="same"), x))
            skips.append(x)
            x = net(MaxPool(2), x)
    with net.scope("decoder"):
        for i, skip in enumerate(reversed(skips)):
            with net.scope(f"up{i + 1}"):
                x = net(Concat(), net(Upsample(2), x), skip)
                x = net(Relu(), net(Conv(8, 3, padding="same"), x))
    return net.graph(net(Conv(1, 1), x, name="last"))


def plain_residual(blocks: int = 4) -> Graph:
    """Residual blocks that no scope names."""
    net = Builder("plain_residual")
    x = net(Conv(8, 3, padding=1), net.input(3, 16, 16))
    for _ in range(blocks):
        y = net(Relu(), net(BatchNorm(), net(Conv(8, 3, padding=1), x)))
        x = net(Relu(), net(Add(), net(Conv(8, 3, padding=1), y), x))
    return net.graph()
