"""Ops -> the PyTorch calls that compute them, and the few layers that PyTorch lacks, as text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from foveal import ops
from foveal.ops import Op
from foveal.shapes import Shape, Sides, per_axis, resolve_padding
from foveal.source.layout import literal
from foveal.source.units import Arg, Call, Value

DEFAULTS: dict[str, Value] = {
    "stride": 1, "padding": 0, "output_padding": 0, "dilation": 1, "groups": 1, "bias": True, "ceil_mode": False,
    "eps": 1e-5, "momentum": 0.1, "affine": True, "elementwise_affine": True, "approximate": "none",
}  # fmt: skip
CHANNELS = ("in_channels", "out_channels", "in_features", "out_features", "num_features", "channels", "groups")
FIRST = (*CHANNELS[:-1], "kernel_size", "num_groups")
"""Arguments that are written without their names."""

SIZES = ("kernel_size", "stride", "padding", "output_padding", "dilation", "scale_factor", "output_size")
"""Arguments that take one number for all axes."""


def layer(function: str, first: tuple[str, ...] = FIRST, said: tuple[str, ...] = (), **args: Value | None) -> Call:
    """A layer of `args`: those in `first` without their names, those in `said` even where they equal `DEFAULTS`."""
    return Call(
        function,
        tuple(
            Arg(
                name,
                one(value) if name in SIZES else value,
                "channels" if name in CHANNELS else name,
                None if name in said else DEFAULTS.get(name),
                name in first,
            )
            for name, value in args.items()
        ),
    )


def one(value: Any) -> Any:
    """``3`` for ``(3, 3)``."""
    return value[0] if isinstance(value, tuple) and len(value) > 1 and len(set(value)) == 1 else value


def flat(sides: tuple[Sides, ...]) -> tuple[int, ...]:
    """Pairs of the axes in order as ``F.pad`` takes them: one row, last axis first."""
    return tuple(side for pair in reversed(sides) for side in pair)


def even(sides: tuple[Sides, ...]) -> tuple[int, ...] | None:
    """One number an axis where both sides have the same, else None."""
    return tuple(before for before, _ in sides) if all(before == after for before, after in sides) else None


def calls(op: Op, xs: tuple[Shape, ...], same: bool) -> tuple[Call, ...]:
    """What computes `op` on inputs of shapes `xs`; `same` has convolutions under SAME padding find it by themselves."""
    if isinstance(op, ops.Conv):
        return (_conv(op, xs[0], same),)
    return (LAYERS[type(op)](op, xs[0]),)


def needs_same(op: Op, x: Shape) -> bool:
    """Whether SAME padding of `op` follows the input's size, or is uneven."""
    if not isinstance(op, ops.Conv) or op.padding != "same" or _pointwise(op):
        return False
    sides = resolve_padding(op.padding, x[1:], op.kernel_size, op.stride, op.dilation)
    return bool(one(op.stride) != 1 or even(sides) is None)


def _pointwise(op: ops.Conv) -> bool:
    return bool(one(op.kernel_size) == 1)


def _conv_args(op: ops.Conv | ops.ConvTranspose, x: Shape) -> tuple[dict[str, Any], dict[str, Any]]:
    """What comes before a convolution's padding, and after."""
    sizes = {"kernel_size": op.kernel_size, "stride": op.stride}
    channels = {"in_channels": x[0], "out_channels": op.out_channels}
    return channels | sizes, {"dilation": op.dilation, "groups": op.groups, "bias": op.bias}


def _conv(op: ops.Conv, x: Shape, same: bool) -> Call:
    rank, (args, rest) = len(x) - 1, _conv_args(op, x)
    if op.padding == "same" and same and not _pointwise(op):
        return layer(f"SameConv{rank}d", **args, **rest)
    sides = resolve_padding(op.padding, x[1:], op.kernel_size, op.stride, op.dilation)
    padding = even(sides)
    if padding is None:
        return layer(f"PaddedConv{rank}d", **args, **rest, sides=flat(sides))
    return layer(f"nn.Conv{rank}d", **args, padding=padding, **rest)


def _conv_transpose(op: ops.ConvTranspose, x: Shape) -> Call:
    rank, (args, rest) = len(x) - 1, _conv_args(op, x)
    cuts = op.cuts(x)
    padding = even(tuple(sides for sides, _ in cuts))
    extra = tuple(extra for _, extra in cuts)
    most = [max(pair) for pair in zip(per_axis(op.stride, rank), per_axis(op.dilation, rank), strict=True)]
    if padding is None or any(n >= limit for n, limit in zip(extra, most, strict=True)):
        kept = tuple((-before, gained - after) for (before, after), gained in cuts)
        return layer(f"CroppedConvTranspose{rank}d", **args, **rest, sides=flat(kept))
    return layer(f"nn.ConvTranspose{rank}d", **args, padding=padding, output_padding=extra, **rest)


def _pool(op: ops.MaxPool | ops.AvgPool, x: Shape) -> Call:
    rank, stride = len(x) - 1, op.stride or op.kernel_size
    declared = resolve_padding(op.padding, x[1:], op.kernel_size, stride, op.dilation)
    padding, half = even(declared), tuple(kernel // 2 for kernel in per_axis(op.kernel_size, rank))
    kind = type(op).__name__
    windows: dict[str, Any] = {"kernel_size": op.kernel_size}
    if one(stride) != one(op.kernel_size):
        windows["stride"] = stride
    if isinstance(op, ops.MaxPool):
        windows["dilation"] = op.dilation
    counted: dict[str, Any] = {}
    if isinstance(op, ops.AvgPool) and padding is not None and any(padding):
        counted["count_include_pad"] = op.count_padding
    dilated_mean = isinstance(op, ops.AvgPool) and one(op.dilation) != 1
    if padding is not None and not dilated_mean and all(n <= most for n, most in zip(padding, half, strict=True)):
        return layer(
            f"nn.{kind}{rank}d", said=("stride",), **windows, padding=padding, ceil_mode=op.ceil_mode, **counted
        )
    if isinstance(op, ops.MaxPool):
        return layer(f"PaddedMaxPool{rank}d", said=("stride",), **windows, sides=flat(op.sides(x)))
    inside = declared if op.count_padding else ((0, 0),) * rank
    beyond = tuple((a - c, b - d) for (a, b), (c, d) in zip(op.sides(x), inside, strict=True))
    if dilated_mean:
        return layer("DilatedAvgPool", **_every_axis(op, x), counted=flat(inside), ignored=flat(beyond))
    return layer(f"PaddedAvgPool{rank}d", said=("stride",), **windows, counted=flat(inside), ignored=flat(beyond))


def _every_axis(op: ops.AvgPool | ops.LpPool, x: Shape) -> dict[str, Any]:
    """A window's sizes, one number an axis."""
    sizes = {"kernels": op.kernel_size, "strides": op.stride or op.kernel_size, "dilations": op.dilation}
    return {name: per_axis(size, len(x) - 1) for name, size in sizes.items()}


def _ranked(name: str, x: Shape) -> str:
    return f"nn.{name}{len(x) - 1}d"


def _upsample(op: ops.Upsample, x: Shape) -> Call:
    mode = ("linear", "bilinear", "trilinear")[len(x) - 2] if op.mode == "linear" else op.mode
    return layer("nn.Upsample", scale_factor=op.scale, mode=mode)


def _slice(op: ops.Slice, x: Shape) -> Call:
    step = f":{op.step}" if op.step > 1 else ""
    return Call(f"[{':, ' * (op.axis + 1)}{op.start}:{op.stop}{step}]", form="suffix")


LAYERS: dict[type[Op], Callable[[Any, Shape], Call]] = {
    ops.ConvTranspose: _conv_transpose,
    ops.Dense: lambda op, x: layer("nn.Linear", in_features=x[0], out_features=op.out_features, bias=op.bias),
    ops.Scale: lambda op, x: layer("Scale", channels=x[0], bias=op.bias),
    ops.Offset: lambda op, x: layer("Offset", ("shape",), shape=x),
    ops.Rbf: lambda op, x: layer("Rbf", in_features=x[0], out_features=op.out_features),
    ops.BatchNorm: lambda op, x: layer(
        f"nn.BatchNorm{max(len(x) - 1, 1)}d", num_features=x[0], eps=op.eps, momentum=op.momentum, affine=op.affine
    ),
    ops.LayerNorm: lambda op, x: layer("ChannelNorm", channels=x[0], eps=op.eps, elementwise_affine=op.affine),
    ops.GroupNorm: lambda op, x: layer(
        "nn.GroupNorm", num_groups=op.groups, channels=x[0], eps=op.eps, affine=op.affine
    ),
    ops.LocalResponseNorm: lambda op, x: layer(
        "nn.LocalResponseNorm", ("size",), size=op.size, alpha=op.alpha, beta=op.beta, k=op.k
    ),
    ops.Relu: lambda op, x: layer("nn.ReLU"),
    ops.Relu6: lambda op, x: layer("nn.ReLU6"),
    ops.LeakyRelu: lambda op, x: layer("nn.LeakyReLU", ("slope",), slope=op.negative_slope),
    ops.PRelu: lambda op, x: layer("nn.PReLU", channels=x[0]),
    ops.Elu: lambda op, x: layer("nn.ELU", alpha=op.alpha),
    ops.Selu: lambda op, x: layer("nn.SELU"),
    ops.Gelu: lambda op, x: layer("nn.GELU", approximate="tanh" if op.approximate else "none"),
    ops.Silu: lambda op, x: layer("nn.SiLU"),
    ops.Mish: lambda op, x: layer("nn.Mish"),
    ops.Softplus: lambda op, x: layer("nn.Softplus"),
    ops.Hardsigmoid: lambda op, x: layer("nn.Hardsigmoid"),
    ops.Hardswish: lambda op, x: layer("nn.Hardswish"),
    ops.Sigmoid: lambda op, x: layer("nn.Sigmoid"),
    ops.Tanh: lambda op, x: layer("nn.Tanh"),
    ops.Softmax: lambda op, x: layer("nn.Softmax", dim=1),
    ops.LogSoftmax: lambda op, x: layer("nn.LogSoftmax", dim=1),
    ops.Identity: lambda op, x: layer("nn.Identity"),
    ops.Factor: lambda op, x: Call(f" * {literal(op.value)}", form="suffix"),
    ops.Dropout: lambda op, x: layer("nn.Dropout", ("p",), p=op.p),
    ops.MaxPool: _pool,
    ops.AvgPool: _pool,
    ops.LpPool: lambda op, x: layer("LpPool", **_every_axis(op, x), p=op.p, sides=flat(op.sides(x))),
    ops.MedianPool: lambda op, x: layer(
        "MedianPool", ("kernels", "strides"), kernels=per_axis(op.kernel_size, len(x) - 1),
        strides=per_axis(op.stride or op.kernel_size, len(x) - 1),
    ),
    ops.GlobalAvgPool: lambda op, x: layer(_ranked("AdaptiveAvgPool", x), ("output_size",), output_size=1),
    ops.GlobalMaxPool: lambda op, x: layer(_ranked("AdaptiveMaxPool", x), ("output_size",), output_size=1),
    ops.AdaptiveAvgPool: lambda op, x: layer(
        _ranked("AdaptiveAvgPool", x), ("output_size",), output_size=op.output_size
    ),
    ops.Maxout: lambda op, x: layer("Maxout", ("pieces",), pieces=op.pieces),
    ops.Flatten: lambda op, x: layer("nn.Flatten"),
    ops.Reshape: lambda op, x: layer("Reshape", ("shape",), shape=op.shape),
    ops.Pad: lambda op, x: layer(_ranked("ZeroPad", x), ("padding",), padding=flat(op.sides(x))),
    ops.PadChannels: lambda op, x: layer("PadChannels", ("before", "after"), before=op.before, after=op.after),
    ops.Slice: _slice,
    ops.ChannelShuffle: lambda op, x: layer("nn.ChannelShuffle", ("groups",), groups=op.groups),
    ops.PixelShuffle: lambda op, x: layer("nn.PixelShuffle", ("factor",), factor=op.factor),
    ops.Upsample: _upsample,
    ops.Add: lambda op, x: Call("+", form="operator"),
    ops.Multiply: lambda op, x: Call("*", form="operator"),
    ops.Concat: lambda op, x: Call("torch.cat", (Arg("dim", 1, "dim"),), form="list"),
}  # fmt: skip
"""One line an op: the call, from the op and its first input's shape. `Conv` has a function of its own."""

HELPERS = {
    "SameConv": '''
class SameConv{r}d(nn.Conv{r}d):
    """Pads so that ceil(size / stride) positions are left, an odd cell after."""

    def forward(self, x: Tensor) -> Tensor:
        sides: list[int] = []
        windows = zip(self.kernel_size, self.stride, self.dilation)
        for size, (kernel, stride, dilation) in zip(x.shape[2:], windows):
            reach = (size - 1) // stride * stride + dilation * (kernel - 1) + 1
            missing = max(reach - size, 0)
            sides = [missing // 2, missing - missing // 2, *sides]
        return super().forward(F.pad(x, sides))
''',
    "PaddedConv": '''
class PaddedConv{r}d(nn.Conv{r}d):
    """Pads each side by a number of its own, in the order of F.pad."""

    def __init__(self, *args: int, sides: tuple[int, ...], **options: Any) -> None:
        super().__init__(*args, **options)
        self.sides = sides

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, self.sides))
''',
    "CroppedConvTranspose": '''
class CroppedConvTranspose{r}d(nn.ConvTranspose{r}d):
    """Crops each side by a number of its own, in the order of F.pad."""

    def __init__(self, *args: int, sides: tuple[int, ...], **options: Any) -> None:
        super().__init__(*args, **options)
        self.sides = sides

    def forward(self, x: Tensor) -> Tensor:
        bias, settings = self.bias, (self.stride, 0, 0, self.groups, self.dilation)
        y = F.conv_transpose{r}d(x, self.weight, None, *settings)
        y = F.pad(y, self.sides)
        return y if bias is None else y + bias.view(-1, *[1] * (x.ndim - 2))
''',
    "PaddedMaxPool": '''
class PaddedMaxPool{r}d(nn.MaxPool{r}d):
    """Pads each side by a number of its own, in the order of F.pad."""

    def __init__(self, *args: Any, sides: tuple[int, ...], **options: Any) -> None:
        super().__init__(*args, **options)
        self.sides = sides

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, self.sides, value=float("-inf")))
''',
    "PaddedAvgPool": '''
class PaddedAvgPool{r}d(nn.AvgPool{r}d):
    """Pads with zeros that the means count, then with cells that they leave out."""

    def __init__(
        self,
        *args: Any,
        counted: tuple[int, ...],
        ignored: tuple[int, ...],
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self.counted, self.ignored = counted, ignored

    def forward(self, x: Tensor) -> Tensor:
        ones = F.pad(torch.ones_like(x[:1, :1]), self.counted, value=1.0)
        share = super().forward(F.pad(ones, self.ignored))
        return super().forward(F.pad(F.pad(x, self.counted), self.ignored)) / share
''',
    "DilatedAvgPool": '''
class DilatedAvgPool(nn.Module):
    """Means of windows with gaps, under zeros that count and cells that they leave out."""

    def __init__(
        self,
        kernels: tuple[int, ...],
        strides: tuple[int, ...],
        dilations: tuple[int, ...],
        counted: tuple[int, ...],
        ignored: tuple[int, ...],
    ) -> None:
        super().__init__()
        self.windows = list(zip(kernels, strides, dilations))
        self.counted, self.ignored = counted, ignored

    def means(self, x: Tensor) -> Tensor:
        for axis, (kernel, stride, dilation) in enumerate(self.windows, start=2):
            x = x.unfold(axis, dilation * (kernel - 1) + 1, stride)[..., ::dilation]
        return x.mean(tuple(range(-len(self.windows), 0)))

    def forward(self, x: Tensor) -> Tensor:
        ones = F.pad(torch.ones_like(x[:1, :1]), self.counted, value=1.0)
        share = self.means(F.pad(ones, self.ignored))
        return self.means(F.pad(F.pad(x, self.counted), self.ignored)) / share
''',
    "LpPool": '''
class LpPool(nn.Module):
    """The p-norm of each window; zeros around the map, in the order of F.pad."""

    def __init__(
        self,
        kernels: tuple[int, ...],
        strides: tuple[int, ...],
        dilations: tuple[int, ...],
        p: float,
        sides: tuple[int, ...],
    ) -> None:
        super().__init__()
        self.windows = list(zip(kernels, strides, dilations))
        self.p, self.sides = p, sides

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x, self.sides)
        for axis, (kernel, stride, dilation) in enumerate(self.windows, start=2):
            x = x.unfold(axis, dilation * (kernel - 1) + 1, stride)[..., ::dilation]
        cells = tuple(range(-len(self.windows), 0))
        return torch.linalg.vector_norm(x, self.p, cells)
''',
    "Maxout": '''
class Maxout(nn.Module):
    """The largest of each so many channels in a row."""

    def __init__(self, pieces: int) -> None:
        super().__init__()
        self.pieces = pieces

    def forward(self, x: Tensor) -> Tensor:
        return x.unflatten(1, (-1, self.pieces)).max(2).values
''',
    "MedianPool": '''
class MedianPool(nn.Module):
    """The median of each window: the mean of the middle two of an even number."""

    def __init__(self, kernels: tuple[int, ...], strides: tuple[int, ...]) -> None:
        super().__init__()
        self.kernels, self.strides = kernels, strides

    def forward(self, x: Tensor) -> Tensor:
        for axis, (kernel, stride) in enumerate(zip(self.kernels, self.strides)):
            x = x.unfold(axis + 2, kernel, stride)
        cells = x.flatten(-len(self.kernels)).sort(-1).values
        middle = cells.shape[-1] // 2
        return (cells[..., middle] + cells[..., -1 - middle]) / 2
''',
    "ChannelNorm": '''
class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of each position."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)
''',
    "Scale": '''
class Scale(nn.Module):
    """Multiplies each channel by a trained number, and adds another with bias."""

    def __init__(self, channels: int, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        shape = (-1, *[1] * (x.ndim - 2))
        y = x * self.weight.view(shape)
        return y if self.bias is None else y + self.bias.view(shape)
''',
    "Offset": '''
class Offset(nn.Module):
    """Adds a trained number to every single value."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(shape))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bias
''',
    "Rbf": '''
class Rbf(nn.Module):
    """Squared distances to fixed points."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        points = torch.randint(2, (out_features, in_features)) * 2.0 - 1
        self.register_buffer("weight", points)

    def forward(self, x: Tensor) -> Tensor:
        return (x.unsqueeze(1) - self.weight).square().sum(2)
''',
    "PadChannels": '''
class PadChannels(nn.Module):
    """Puts channels of zeros before and after."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.before, self.after = before, after

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x, (*[0, 0] * (x.ndim - 2), self.before, self.after))
''',
    "Reshape": '''
class Reshape(nn.Module):
    """The same values in another shape."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], *self.shape)
''',
}
"""Definitions of the layers that PyTorch lacks; ``{r}`` is the number of spatial axes."""
