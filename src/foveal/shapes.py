"""Integer arithmetic of sliding windows: how large an output is, what padding does, what fits.

Sizes are per spatial axis and in cells. The formula throughout is Dumoulin & Visin (2016), "A guide to convolution
arithmetic for deep learning", relationship 15: ``(i + before + after - d*(k - 1) - 1) / s + 1``.
"""

from __future__ import annotations

from foveal.errors import ShapeError, UsageError

MEND = "; raise the padding, or drop a layer that shrinks the map"
"""The advice to who draws a network that vanishes; who takes one as it is needs a larger input."""

Shape = tuple[int, ...]
"""Sizes without the batch axis: ``(C, L)``, ``(C, H, W)``, ``(C, D, H, W)`` or ``(F,)``."""

Size = int | tuple[int, ...]
"""One number for every spatial axis, or one per axis."""

Sides = tuple[int, int]
"""Padding before and after, along one axis."""

Padding = int | str | tuple[int, ...] | tuple[Sides, ...]
"""A number for all sides, one per axis, a (before, after) pair per axis, or ``"same"``."""


def per_axis(value: Size, rank: int) -> tuple[int, ...]:
    """`value` once for each of `rank` axes.

    >>> per_axis(3, 2)
    (3, 3)

    Raises
    ------
    ShapeError : a tuple of another length.
    """
    if isinstance(value, int):
        return (value,) * rank
    if len(value) != rank:
        raise ShapeError(
            f"{value} has {len(value)} numbers, but the input has {rank} spatial axes; give {rank}, or one"
        )
    return value


def window(kernel: int, dilation: int = 1) -> int:
    """Cells that a dilated kernel spans: ``d*(k - 1) + 1``."""
    return dilation * (kernel - 1) + 1


def same_padding(size: int, kernel: int, stride: int = 1, dilation: int = 1) -> Sides:
    """The padding that leaves ``ceil(size / stride)`` cells; an odd one out goes after (TensorFlow's SAME).

    >>> same_padding(32, 5, stride=2)
    (1, 2)
    """
    outputs = (size + stride - 1) // stride  # this form also survives export, where sizes are traced tensors
    total = max((outputs - 1) * stride + window(kernel, dilation) - size, 0)
    return total // 2, total - total // 2


def output_size(
    size: int,
    kernel: int,
    stride: int = 1,
    padding: Sides = (0, 0),
    dilation: int = 1,
    *,
    ceil_mode: bool = False,
    strict: bool = False,
) -> int:
    """Number of window positions along one axis.

    Parameters
    ----------
    size, kernel, stride, dilation : cells, at least 1.
    padding : cells added before and after.
    ceil_mode : a last window may hang over the end, if it starts in the input or in the padding before it (PyTorch).
    strict : refuse a stride that does not divide, where frameworks floor silently.

    Raises
    ------
    ShapeError : the window is larger than the padded input, or `strict` and the quotient is a fraction.

    >>> output_size(7, 3, stride=2)
    3
    """
    room = size + sum(padding) - window(kernel, dilation)
    if room < 0:
        dilated = f" dilated by {dilation}" if dilation > 1 else ""
        raise ShapeError(
            f"a kernel of {kernel}{dilated} does not fit an input of {size} with padding {padding[0]} + {padding[1]}"
            f"{MEND}"
        )
    if strict and room % stride:
        positions = f"({size + sum(padding)} - {window(kernel, dilation)})/{stride} + 1 = {room / stride + 1:.2f}"
        raise ShapeError(f"{positions} does not fit; change the padding or the stride")
    if ceil_mode:
        outputs = -(-room // stride) + 1
        return outputs - ((outputs - 1) * stride >= size + padding[0])
    return room // stride + 1


def transposed_size(
    size: int, kernel: int, stride: int = 1, padding: Sides = (0, 0), dilation: int = 1, extra: int = 0
) -> int:
    """Cells that a transposed convolution spreads `size` cells over: ``(i - 1)*s + d*(k - 1) + 1 + extra - padding``.

    `extra` is PyTorch's ``output_padding``; Dumoulin & Visin (2016), relationship 14.

    Raises
    ------
    ShapeError : the padding takes all of it away.

    >>> transposed_size(7, 4, stride=2, padding=(1, 1))
    14
    """
    outputs = (size - 1) * stride + window(kernel, dilation) + extra - sum(padding)
    if outputs < 1:
        raise ShapeError(
            f"a transposed kernel of {kernel} leaves nothing of {size} cells under padding "
            f"{padding[0]} + {padding[1]}; lower the padding"
        )
    return outputs


def resolve_padding(
    padding: Padding, spatial: Shape, kernel: Size, stride: Size, dilation: Size = 1
) -> tuple[Sides, ...]:
    """`padding` in whichever form as one (before, after) pair per axis of an input of `spatial` cells."""
    rank = len(spatial)
    if padding == "same":
        axes = zip(spatial, per_axis(kernel, rank), per_axis(stride, rank), per_axis(dilation, rank), strict=True)
        return tuple(same_padding(*axis) for axis in axes)
    if isinstance(padding, str):
        raise ShapeError(f"unknown padding {padding!r}; expected numbers or 'same'")
    if isinstance(padding, int):
        return ((padding, padding),) * rank
    if len(padding) != rank:
        raise ShapeError(f"padding {padding} is for {len(padding)} axes, but the input has {rank} spatial axes")
    return tuple((side, side) if isinstance(side, int) else side for side in padding)


def slide(
    spatial: Shape,
    kernel: Size,
    stride: Size,
    padding: Padding,
    dilation: Size = 1,
    *,
    ceil_mode: bool = False,
    strict: bool = False,
) -> Shape:
    """Output cells of a window sliding over `spatial`, per axis."""
    rank = len(spatial)
    sides = resolve_padding(padding, spatial, kernel, stride, dilation)
    axes = zip(spatial, per_axis(kernel, rank), per_axis(stride, rank), sides, per_axis(dilation, rank), strict=True)
    return tuple(output_size(*axis, ceil_mode=ceil_mode, strict=strict) for axis in axes)


def read_shape(said: str, *, channels_last: bool = False) -> Shape:
    """A shape from text: ``3x224x224`` as PyTorch writes it, or ``224x224x3`` as lectures do.

    Of three or four numbers the one at an end that is unlike all others is the channels; where that does not decide,
    the first is, or the last with `channels_last`.

    Raises
    ------
    UsageError : not one to four whole numbers of at least 1.

    >>> read_shape("224x224x3"), read_shape("3x224x224")
    ((3, 224, 224), (3, 224, 224))
    """
    parts = said.lower().replace("×", "x").split("x")
    if not 1 <= len(parts) <= 4 or not all(part.isascii() and part.isdigit() and int(part[:20]) > 0 for part in parts):
        raise UsageError(f"{said!r:.40} is no shape; expected one to four whole numbers, such as 3x224x224")
    sizes = tuple(int(part[:20]) for part in parts)
    if len(sizes) > 2:
        if len(set(sizes[1:])) == 1 != len(set(sizes)):
            channels_last = False
        elif len(set(sizes[:-1])) == 1 != len(set(sizes)):
            channels_last = True
    return (sizes[-1], *sizes[:-1]) if channels_last else sizes


def text(shape: Shape) -> str:
    """A shape as lectures write it: spatial axes first, channels last.

    >>> text((3, 32, 32))
    '32x32x3'
    """
    return "x".join(str(n) for n in (*shape[1:], shape[0]))
