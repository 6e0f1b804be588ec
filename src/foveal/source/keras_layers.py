"""Ops -> the Keras 3 calls that compute them, channels last, and what Keras lacks, as text."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from foveal import ops
from foveal.errors import GraphError
from foveal.ops import Op
from foveal.shapes import Shape, Sides, per_axis, resolve_padding, window
from foveal.source.layout import literal
from foveal.source.torch_layers import one
from foveal.source.units import Arg, Call, Value

DEFAULTS: dict[str, Value] = {"strides": 1, "padding": "valid", "dilation_rate": 1, "groups": 1, "use_bias": True,
                              "depth_multiplier": 1, "momentum": 0.99, "epsilon": 1e-3, "center": True, "scale": True,
                              "output_padding": -1}  # fmt: skip
KINDS = {"filters": "channels", "units": "channels", "groups": "channels", "strides": "stride"}
FIRST = (
    "filters", "units", "kernel_size", "pool_size", "size", "rate", "max_value", "dims", "target_shape", "cropping",
    "activation", "sides", "outputs", "factor",
)  # fmt: skip
"""Arguments that are written without their names."""

SIZES = ("kernel_size", "pool_size", "strides", "dilation_rate")


def layer(function: str, form: str = "layer", **args: Value) -> Call:
    """A call of `args`, in Keras's words."""
    return Call(
        function if form == "function" else f"layers.{function}",
        tuple(
            Arg(
                name,
                one(value) if name in SIZES else value,
                KINDS.get(name, name),
                DEFAULTS.get(name) if form == "layer" else None,
                name in FIRST,
            )
            for name, value in args.items()
        ),
        form,
    )


def activation(name: str) -> Callable[[Any, Shape], tuple[Call, ...]]:
    return lambda op, x: (layer("Activation", activation=name),)


def _padded(sides: tuple[Sides, ...]) -> Call:
    """Zeros around the map: one number, or a pair an axis."""
    widths = {side for pair in sides for side in pair}
    value: Value = widths.pop() if len(widths) == 1 else sides if len(sides) > 1 else sides[0]
    return Call(f"layers.ZeroPadding{len(sides)}D", (Arg("padding", value, "padding", positional=True),))


def strided(op: Op) -> bool:
    """Whether `op` is a convolution that has a stride and is padded by numbers."""
    return isinstance(op, ops.Conv) and one(op.stride) != 1 and op.padding != "same"


def calls(op: Op, x: Shape, by_hand: bool) -> tuple[Call, ...]:
    """What computes `op` on `x`; a convolution's padding is a layer of its own where `by_hand`.

    Raises
    ------
    GraphError : Keras cannot say it.
    """
    return _conv(op, x, by_hand) if isinstance(op, ops.Conv) else LAYERS[type(op)](op, x)


def _conv(op: ops.Conv, x: Shape, by_hand: bool) -> tuple[Call, ...]:
    rank = len(x) - 1
    strides, dilations = per_axis(op.stride, rank), per_axis(op.dilation, rank)
    if max(strides) > 1 and max(dilations) > 1:
        raise GraphError("Keras has no convolution with both a stride and a dilation")
    sides = resolve_padding(op.padding, x[1:], op.kernel_size, op.stride, op.dilation)
    same = resolve_padding("same", x[1:], op.kernel_size, op.stride, op.dilation)
    args: dict[str, Any] = {"kernel_size": op.kernel_size, "strides": op.stride}
    ahead: tuple[Call, ...] = ()
    if one(op.kernel_size) == 1 and not any(map(any, sides)):
        args["padding"] = "valid"
    elif op.padding == "same" or (max(strides) == 1 and sides == same and not by_hand):
        args["padding"] = "same"
    else:
        args["padding"] = "valid"
        ahead = (_padded(sides),) if any(map(any, sides)) else ()
    args |= {"dilation_rate": op.dilation, "use_bias": op.bias}
    if 1 < op.groups == x[0] and rank < 3 and len(set(strides)) == 1:
        return (*ahead, layer(f"DepthwiseConv{rank}D", **args, depth_multiplier=op.out_channels // x[0]))
    return (*ahead, layer(f"Conv{rank}D", filters=op.out_channels, **args, groups=op.groups))


def _conv_transpose(op: ops.ConvTranspose, x: Shape) -> tuple[Call, ...]:
    rank = len(x) - 1
    if op.groups > 1:
        raise GraphError("Keras has no transposed convolution in groups")
    sizes = (per_axis(value, rank) for value in (op.kernel_size, op.stride, op.dilation))
    if max(per_axis(op.stride, rank)) > 1 and max(per_axis(op.dilation, rank)) > 1:
        raise GraphError("Keras has no transposed convolution with both a stride and a dilation")
    if any(window(kernel, dilation) < stride for kernel, stride, dilation in zip(*sizes, strict=True)):
        raise GraphError("Keras's transposed convolution takes no stride beyond its kernel's size")
    crop = tuple((before, after - extra) for (before, after), extra in op.cuts(x))
    if min(after for _, after in crop) < 0:
        raise GraphError("Keras's transposed convolution takes no output padding beyond what the padding cuts")
    args: dict[str, Any] = {"filters": op.out_channels, "kernel_size": op.kernel_size, "strides": op.stride}
    args |= {"dilation_rate": op.dilation, "use_bias": op.bias}
    after = (layer(f"Cropping{rank}D", cropping=crop if rank > 1 else crop[0]),) if any(map(any, crop)) else ()
    return (layer(f"Conv{rank}DTranspose", **args), *after)


def _max_pool(op: ops.MaxPool, x: Shape) -> tuple[Call, ...]:
    _not_dilated(op)
    if op.padding == "same" and not op.ceil_mode:
        return (_pool("MaxPooling", op, x, padding="same"),)
    sides = op.sides(x)
    ahead = (layer("pad_lowest", "function", sides=sides),) if any(map(any, sides)) else ()
    return (*ahead, _pool("MaxPooling", op, x))


def _avg_pool(op: ops.AvgPool, x: Shape) -> tuple[Call, ...]:
    _not_dilated(op)
    if op.padding == "same" and not op.ceil_mode and not op.count_padding:
        return (_pool("AveragePooling", op, x, padding="same"),)
    rank, stride = len(x) - 1, op.stride or op.kernel_size
    declared, reached = resolve_padding(op.padding, x[1:], op.kernel_size, stride), op.sides(x)
    if not any(map(any, reached)):
        return (_pool("AveragePooling", op, x),)
    if op.count_padding and declared == reached:
        return (_padded(declared), _pool("AveragePooling", op, x))
    counted = declared if op.count_padding else ((0, 0),) * rank
    ignored = tuple((a - c, b - d) for (a, b), (c, d) in zip(reached, counted, strict=True))
    return (layer("padded_mean", "function", pool_size=per_axis(op.kernel_size, rank), strides=stride,
                  counted=counted, ignored=ignored),)  # fmt: skip


def _lp_pool(op: ops.LpPool, x: Shape) -> tuple[Call, ...]:
    _not_dilated(op)
    kernels, strides = (per_axis(size, len(x) - 1) for size in (op.kernel_size, op.stride or op.kernel_size))
    return (layer("lp_pool", "function", sides=op.sides(x), kernels=kernels, strides=strides, p=op.p),)


def _not_dilated(op: ops.MaxPool | ops.AvgPool | ops.LpPool) -> None:
    if one(op.dilation) != 1:
        raise GraphError("Keras has no dilated pooling")


def _pool(kind: str, op: ops.MaxPool | ops.AvgPool, x: Shape, **more: Any) -> Call:
    stride: dict[str, Any] = (
        {} if one(op.stride or op.kernel_size) == one(op.kernel_size) else {"strides": op.stride or 1}
    )
    made = layer(f"{kind}{len(x) - 1}D", pool_size=op.kernel_size, **stride, **more)
    return Call(made.function, tuple(Arg(a.name, a.value, a.kind, None, a.positional) for a in made.args))


def _norm(name: str, op: Any, **more: Any) -> tuple[Call, ...]:
    return (layer(name, **more, epsilon=op.eps, center=op.affine, scale=op.affine),)


def _first_channels(x: Shape) -> tuple[Call, ...]:
    """Brings the channels of a map to the front, so that values are counted channel by channel."""
    order = (len(x), *range(1, len(x)))
    return (layer("Permute", dims=order),) if math.prod(x[1:]) > 1 else ()


def _reshape(op: ops.Reshape, x: Shape) -> tuple[Call, ...]:
    last = (layer("Permute", dims=(*range(2, len(op.shape) + 1), 1)),) if len(op.shape) > 1 else ()
    return (*_first_channels(x), layer("Reshape", target_shape=op.shape), *last)


def _slice(op: ops.Slice, x: Shape) -> tuple[Call, ...]:
    step = f":{op.step}" if op.step > 1 else ""
    ahead = ":, " * op.axis if op.axis else "..., "
    return (Call(f"[{ahead}{op.start}:{op.stop}{step}]", form="suffix"),)


def _upsample(op: ops.Upsample, x: Shape) -> tuple[Call, ...]:
    rank = len(x) - 1
    if op.mode == "linear" and rank != 2:
        raise GraphError("Keras interpolates linearly only along two axes")
    mode: dict[str, Any] = {"interpolation": "bilinear"} if op.mode == "linear" else {}
    return (layer(f"UpSampling{rank}D", size=one(op.scale), **mode),)


def _prelu(op: Op, x: Shape) -> tuple[Call, ...]:
    shared: dict[str, Any] = {"shared_axes": tuple(range(1, len(x)))} if len(x) > 1 else {}
    return (layer("PReLU", **shared),)


def _adaptive(op: ops.AdaptiveAvgPool, x: Shape) -> tuple[Call, ...]:
    outputs = per_axis(op.output_size, len(x) - 1)
    if outputs == x[1:]:
        return ()
    if any(n % out for n, out in zip(x[1:], outputs, strict=True)):
        return (layer("adaptive_mean", "function", outputs=outputs),)
    size = tuple(n // out for n, out in zip(x[1:], outputs, strict=True))
    return (layer(f"AveragePooling{len(x) - 1}D", pool_size=size),)


LAYERS: dict[type[Op], Callable[[Any, Shape], tuple[Call, ...]]] = {
    ops.ConvTranspose: _conv_transpose,
    ops.Dense: lambda op, x: (layer("Dense", units=op.out_features, use_bias=op.bias),),
    ops.Scale: lambda op, x: (Call("Scale", (Arg("bias", op.bias, "bias", False),)),),
    ops.Offset: lambda op, x: (Call("Offset"),),
    ops.Rbf: lambda op, x: (Call("Rbf", (Arg("units", op.out_features, "channels", positional=True),)),),
    ops.BatchNorm: lambda op, x: _norm("BatchNormalization", op, momentum=round(1 - op.momentum, 12)),
    ops.LayerNorm: lambda op, x: _norm("LayerNormalization", op),
    ops.GroupNorm: lambda op, x: _norm("GroupNormalization", op, groups=op.groups),
    ops.LocalResponseNorm: lambda op, x: (
        layer("local_response_norm", "function", size=op.size, alpha=op.alpha, beta=op.beta, k=op.k),
    ),
    ops.Relu: lambda op, x: (layer("ReLU"),),
    ops.Relu6: lambda op, x: (layer("ReLU", max_value=6),),
    ops.LeakyRelu: lambda op, x: (layer("LeakyReLU", negative_slope=op.negative_slope),),
    ops.PRelu: _prelu,
    ops.Elu: lambda op, x: (layer("ELU", alpha=op.alpha),),
    ops.Selu: activation("selu"),
    ops.Gelu: lambda op, x: (
        Call("ops.gelu", (Arg("approximate", op.approximate, "approximate"),), "function"),
    ),
    ops.Silu: activation("silu"),
    ops.Mish: activation("mish"),
    ops.Softplus: activation("softplus"),
    ops.Hardsigmoid: activation("hard_sigmoid"),
    ops.Hardswish: activation("hard_silu"),
    ops.Sigmoid: activation("sigmoid"),
    ops.Tanh: activation("tanh"),
    ops.Softmax: lambda op, x: (layer("Softmax"),),
    ops.LogSoftmax: activation("log_softmax"),
    ops.Identity: lambda op, x: (),
    ops.Factor: lambda op, x: (Call(f" * {literal(op.value)}", form="suffix"),),
    ops.Dropout: lambda op, x: (layer("Dropout", rate=op.p),),
    ops.MaxPool: _max_pool,
    ops.AvgPool: _avg_pool,
    ops.LpPool: _lp_pool,
    ops.MedianPool: lambda op, x: (
        layer("median_pool", "function", kernels=per_axis(op.kernel_size, len(x) - 1),
              steps=per_axis(op.stride or op.kernel_size, len(x) - 1)),
    ),
    ops.GlobalAvgPool: lambda op, x: (layer(f"GlobalAveragePooling{len(x) - 1}D", keepdims=True),),
    ops.GlobalMaxPool: lambda op, x: (layer(f"GlobalMaxPooling{len(x) - 1}D", keepdims=True),),
    ops.AdaptiveAvgPool: _adaptive,
    ops.Maxout: lambda op, x: (layer("maxout", "function", pieces=op.pieces),),
    ops.Flatten: lambda op, x: (*_first_channels(x), layer("Flatten")),
    ops.Reshape: _reshape,
    ops.Pad: lambda op, x: (_padded(op.sides(x)),),
    ops.PadChannels: lambda op, x: (
        layer("pad_channels", "function", before=op.before, after=op.after),
    ),
    ops.Slice: _slice,
    ops.ChannelShuffle: lambda op, x: (layer("channel_shuffle", "function", groups=op.groups),),
    ops.PixelShuffle: lambda op, x: (layer("pixel_shuffle", "function", factor=op.factor),),
    ops.Upsample: _upsample,
    ops.Add: lambda op, x: (Call("layers.add", form="list"),),
    ops.Multiply: lambda op, x: (Call("layers.multiply", form="list"),),
    ops.Concat: lambda op, x: (Call("layers.concatenate", form="list"),),
}  # fmt: skip
"""One line an op: the calls, from the op and its first input's shape. `Conv` has a function of its own."""

HELPERS = {
    "pad_lowest": '''
def pad_lowest(x: KerasTensor, sides: tuple[tuple[int, int], ...]) -> KerasTensor:
    """Pads with what no maximum picks."""
    return ops.pad(x, ((0, 0), *sides, (0, 0)), constant_values=float("-inf"))
''',
    "padded_mean": '''
def padded_mean(
    x: KerasTensor,
    size: tuple[int, ...],
    strides: int | tuple[int, ...],
    counted: tuple[tuple[int, int], ...],
    ignored: tuple[tuple[int, int], ...],
) -> KerasTensor:
    """Average pooling under zeros that count and, around them, cells that do not."""
    counted, ignored = (((0, 0), *sides, (0, 0)) for sides in (counted, ignored))
    ones = ops.pad(ops.ones_like(x), counted, constant_values=1.0)
    shares = ops.average_pool(ops.pad(ones, ignored), size, strides)
    x = ops.pad(ops.pad(x, counted), ignored)
    return ops.average_pool(x, size, strides) / shares
''',
    "lp_pool": '''
def lp_pool(
    x: KerasTensor,
    sides: tuple[tuple[int, int], ...],
    kernels: tuple[int, ...],
    strides: int | tuple[int, ...],
    p: float,
) -> KerasTensor:
    """The p-norm of each window; zeros around the map."""
    powers = ops.pad(ops.abs(x) ** p, ((0, 0), *sides, (0, 0)))
    sums = ops.average_pool(powers, kernels, strides)
    for kernel in kernels:
        sums = sums * kernel
    return sums ** (1 / p)
''',
    "maxout": '''
def maxout(x: KerasTensor, pieces: int) -> KerasTensor:
    """The largest of each so many channels in a row."""
    *sizes, channels = x.shape[1:]
    return ops.max(ops.reshape(x, (-1, *sizes, channels // pieces, pieces)), axis=-1)
''',
    "median_pool": '''
def median_pool(
    x: KerasTensor,
    kernels: tuple[int, ...],
    steps: tuple[int, ...],
) -> KerasTensor:
    """The median of each window: the mean of the middle two of an even number."""
    windows = [x]
    for axis, (kernel, step) in enumerate(zip(kernels, steps), start=1):
        starts = range(0, x.shape[axis] - kernel + 1, step)
        picks = [[start + i for start in starts] for i in range(kernel)]
        windows = [ops.take(y, pick, axis=axis) for y in windows for pick in picks]
    return ops.median(ops.stack(windows, axis=-1), axis=-1)
''',
    "adaptive_mean": '''
def adaptive_mean(x: KerasTensor, outputs: tuple[int, ...]) -> KerasTensor:
    """Means of that many bins along each axis, which share cells where they do not divide it."""
    for axis, bins in enumerate(outputs, start=1):
        cells = x.shape[axis]
        edges = [(i * cells // bins, -(-(i + 1) * cells // bins)) for i in range(bins)]
        parts = [ops.take(x, range(*edge), axis=axis) for edge in edges]
        means = [ops.mean(part, axis=axis, keepdims=True) for part in parts]
        x = ops.concatenate(means, axis=axis)
    return x
''',
    "local_response_norm": '''
def local_response_norm(
    x: KerasTensor,
    size: int,
    alpha: float,
    beta: float,
    k: float,
) -> KerasTensor:
    """x / (k + alpha / size * sum of squares over size neighbouring channels) ** beta."""
    channels = x.shape[-1]
    sides = [(0, 0)] * (len(x.shape) - 1) + [(size // 2, (size - 1) // 2)]
    squares = ops.pad(ops.square(x), sides)
    total = sum(squares[..., i : i + channels] for i in range(size))
    return x / (k + alpha / size * total) ** beta
''',
    "pad_channels": '''
def pad_channels(x: KerasTensor, before: int, after: int) -> KerasTensor:
    """Puts channels of zeros before and after."""
    return ops.pad(x, [(0, 0)] * (len(x.shape) - 1) + [(before, after)])
''',
    "channel_shuffle": '''
def channel_shuffle(x: KerasTensor, groups: int) -> KerasTensor:
    """Deals out the channels of the groups in turn."""
    *sizes, channels = x.shape[1:]
    x = ops.reshape(x, (-1, *sizes, groups, channels // groups))
    return ops.reshape(ops.swapaxes(x, -1, -2), (-1, *sizes, channels))
''',
    "pixel_shuffle": '''
def pixel_shuffle(x: KerasTensor, factor: int) -> KerasTensor:
    """Turns factor x factor channels into that many cells of a larger map."""
    height, width, channels = x.shape[1:]
    channels = channels // factor**2
    x = ops.reshape(x, (-1, height, width, channels, factor, factor))
    x = ops.transpose(x, (0, 1, 4, 2, 5, 3))
    return ops.reshape(x, (-1, height * factor, width * factor, channels))
''',
    "Scale": '''
class Scale(layers.Layer):
    """Multiplies each channel by a trained number, and adds another with bias."""

    def __init__(self, bias: bool = False) -> None:
        super().__init__()
        self.use_bias = bias

    def build(self, shape: tuple[int, ...]) -> None:
        self.factor = self.add_weight(shape=shape[-1:], initializer="ones")
        if self.use_bias:
            self.summand = self.add_weight(shape=shape[-1:], initializer="zeros")

    def call(self, x: KerasTensor) -> KerasTensor:
        y = x * self.factor
        return y + self.summand if self.use_bias else y
''',
    "Offset": '''
class Offset(layers.Layer):
    """Adds a trained number to every single value."""

    def build(self, shape: tuple[int, ...]) -> None:
        self.summand = self.add_weight(shape=shape[1:], initializer="zeros")

    def call(self, x: KerasTensor) -> KerasTensor:
        return x + self.summand
''',
    "Rbf": '''
class Rbf(layers.Layer):
    """Squared distances to fixed points."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.units = units

    def build(self, shape: tuple[int, ...]) -> None:
        self.points = self.add_weight(
            shape=(self.units, shape[-1]), initializer="random_normal", trainable=False
        )

    def call(self, x: KerasTensor) -> KerasTensor:
        return ops.sum(ops.square(ops.expand_dims(x, 1) - self.points), axis=2)
''',
}
"""Definitions of what Keras lacks."""
