"""A tiny network with published weights: what its publisher calls them, and what arrives."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from foveal import checkpoints
from foveal.data.preprocess import Preprocessing
from foveal.graph import Builder, Graph
from foveal.ops import BatchNorm, Conv, Dense, Flatten, GlobalAvgPool
from foveal.published import PRETRAINED, Pretrained
from foveal.shapes import Shape


def tiny(num_classes: int | None = None, input_shape: Shape | None = None) -> Graph:
    net = Builder("tiny")
    x = net(BatchNorm(), net(Conv(4, 3, bias=False), net.input(*(input_shape or (3, 16, 16))), name="conv"), name="bn")
    return net.graph(net(Dense(num_classes or 5), net(Flatten(), net(GlobalAvgPool(), x)), name="dense"))


GRAPH = tiny()
THEIRS = {"conv": "features.0", "bn": "features.1", "dense": "fc"}


def keys(graph: Graph) -> Callable[[str], str]:
    return lambda ours: f"{THEIRS[ours.partition('.')[0]]}.{ours.partition('.')[2]}"


def state(**changes: Any) -> dict[str, torch.Tensor]:
    """As a publisher's module gives it, with the counter of batches."""
    torch.manual_seed(0)
    shapes = GRAPH.parameters() | GRAPH.buffers()
    found = {keys(GRAPH)(name): torch.rand(shape) for name, shape in shapes.items()}
    return found | {"features.1.num_batches_tracked": torch.tensor(7)} | changes


def saved(content: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def is_published(weights: dict[str, np.ndarray]) -> bool:
    theirs = state()
    return weights.keys() == GRAPH.parameters().keys() | GRAPH.buffers().keys() and all(
        np.array_equal(array, theirs[keys(GRAPH)(name)].numpy()) and array.dtype == np.float32
        for name, array in weights.items()
    )


def publish(monkeypatch: pytest.MonkeyPatch, url: str, sha256: str, **fields: Any) -> Pretrained:
    preprocessing = Preprocessing(16, 0.875, (100.0, 110.0, 120.0), 50.0)
    entry = Pretrained(
        **{
            "model": "tiny", "source": "a thread", "licence": "MIT", "accuracy": None, "keys": keys,
            "preprocessing": preprocessing, "sha256": sha256, "url": url,
        } | fields
    )  # fmt: skip
    monkeypatch.setitem(PRETRAINED, ("tiny", "imagenet"), entry)
    monkeypatch.setattr(checkpoints, "create_graph", lambda name, **options: tiny(**options))
    return entry
