"""The operations a network is made of, each with its own arithmetic.

An op is frozen data: what it is called with, and integer functions of the shapes it receives. It has one output. Shapes
carry no batch axis; the spatial rank follows from the input, so the same `Conv` serves (C, L), (C, H, W) and
(C, D, H, W).
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from foveal.errors import GraphError, UnknownName
from foveal.ops.arranging import (
    Add,
    ChannelShuffle,
    Concat,
    Flatten,
    Multiply,
    Opaque,
    Pad,
    PadChannels,
    PixelShuffle,
    Reshape,
    Slice,
    Upsample,
)
from foveal.ops.base import LARGEST, Op
from foveal.ops.linear import Conv, ConvTranspose, Dense, Offset, Rbf, Scale
from foveal.ops.pointwise import (
    BatchNorm,
    Dropout,
    Elu,
    Factor,
    Gelu,
    GroupNorm,
    Hardsigmoid,
    Hardswish,
    Identity,
    LayerNorm,
    LeakyRelu,
    LocalResponseNorm,
    LogSoftmax,
    Mish,
    PRelu,
    Relu,
    Relu6,
    Selu,
    Sigmoid,
    Silu,
    Softmax,
    Softplus,
    Tanh,
)
from foveal.ops.pools import (
    AdaptiveAvgPool,
    AvgPool,
    GlobalAvgPool,
    GlobalMaxPool,
    LpPool,
    Maxout,
    MaxPool,
    MedianPool,
)

__all__ = [
    "LARGEST",
    "OPS",
    "AdaptiveAvgPool",
    "Add",
    "AvgPool",
    "BatchNorm",
    "ChannelShuffle",
    "Concat",
    "Conv",
    "ConvTranspose",
    "Dense",
    "Dropout",
    "Elu",
    "Factor",
    "Flatten",
    "Gelu",
    "GlobalAvgPool",
    "GlobalMaxPool",
    "GroupNorm",
    "Hardsigmoid",
    "Hardswish",
    "Identity",
    "LayerNorm",
    "LeakyRelu",
    "LocalResponseNorm",
    "LogSoftmax",
    "LpPool",
    "MaxPool",
    "Maxout",
    "MedianPool",
    "Mish",
    "Multiply",
    "Offset",
    "Op",
    "Opaque",
    "PRelu",
    "Pad",
    "PadChannels",
    "PixelShuffle",
    "Rbf",
    "Relu",
    "Relu6",
    "Reshape",
    "Scale",
    "Selu",
    "Sigmoid",
    "Silu",
    "Slice",
    "Softmax",
    "Softplus",
    "Tanh",
    "Upsample",
    "op_from_json",
    "op_to_json",
]

OPS: dict[str, type[Op]] = {
    op.__name__: op
    for op in (
        Conv, ConvTranspose, Dense, Scale, Offset, Rbf,
        BatchNorm, LayerNorm, GroupNorm, LocalResponseNorm,
        Relu, Relu6, LeakyRelu, PRelu, Elu, Selu, Gelu, Silu, Mish, Softplus, Hardsigmoid, Hardswish,
        Sigmoid, Tanh, Softmax, LogSoftmax, Identity, Factor, Dropout,
        MaxPool, AvgPool, LpPool, MedianPool, GlobalAvgPool, GlobalMaxPool, AdaptiveAvgPool, Maxout,
        Flatten, Reshape, Pad, PadChannels, Slice, ChannelShuffle, PixelShuffle, Upsample,
        Add, Multiply, Concat, Opaque,
    )
}  # fmt: skip
"""Every operation by name."""


def op_to_json(op: Op) -> dict[str, Any]:
    """``{"op": "Conv", "out_channels": 8, ...}`` with every field."""
    return {"op": type(op).__name__} | {field.name: getattr(op, field.name) for field in fields(op)}


def op_from_json(data: dict[str, Any]) -> Op:
    """Inverse of `op_to_json`, from untrusted data.

    Raises
    ------
    UnknownName, GraphError : no such op; a field unknown, missing, of the wrong type or out of range.
    """
    name = data.get("op")
    if not isinstance(name, str) or name not in OPS:
        raise UnknownName("op", str(name)[:80], OPS)
    known = {field.name for field in fields(OPS[name])}
    options = {key: value for key, value in data.items() if key != "op"}
    if unknown := sorted(options.keys() - known):
        raise GraphError(
            f"{name} has no field {unknown[0][:80]!r}; its fields are {', '.join(sorted(known)) or 'none'}"
        )
    try:
        return OPS[name](**options)
    except TypeError as error:
        raise GraphError(f"{name}: a field is missing ({error})") from error
