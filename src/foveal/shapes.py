"""Integer arithmetic of sliding windows: how large an output is, what padding does, what fits.

Sizes are per spatial axis and in cells. The formula throughout is Dumoulin & Visin (2016), "A guide to convolution
arithmetic for deep learning", relationship 14: ``(i + before + after - d*(k - 1) - 1) / s + 1``.
"""

from __future__ import annotations

from foveal.errors import ShapeError

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
    outputs = -(-size // stride)
    total = max((outputs - 1) * stride + window(kernel, dilation) - size, 0)
    return total // 2, total - total // 2


def output_size(
    size: int, kernel: int, stride: int = 1, padding: Sides = (0, 0), dilation: int = 1, *, strict: bool = False
) -> int:
    """Number of window positions along one axis.

    Parameters
    ----------
    size, kernel, stride, dilation : cells, at least 1.
    padding : cells added before and after.
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
            f"a kernel of {kernel}{dilated} does not fit an input of {size} with padding {padding[0]} + {padding[1]}; "
            "raise the padding, or drop a layer that shrinks the map"
        )
    if strict and room % stride:
        positions = f"({size + sum(padding)} - {window(kernel, dilation)})/{stride} + 1 = {room / stride + 1:.2f}"
        raise ShapeError(f"{positions} does not fit; change the padding or the stride")
    return room // stride + 1


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
    spatial: Shape, kernel: Size, stride: Size, padding: Padding, dilation: Size = 1, *, strict: bool = False
) -> Shape:
    """Output cells of a window sliding over `spatial`, per axis."""
    rank = len(spatial)
    sides = resolve_padding(padding, spatial, kernel, stride, dilation)
    axes = zip(spatial, per_axis(kernel, rank), per_axis(stride, rank), sides, per_axis(dilation, rank), strict=True)
    return tuple(output_size(*axis, strict=strict) for axis in axes)


def text(shape: Shape) -> str:
    """A shape as lectures write it: spatial axes first, channels last.

    >>> text((3, 32, 32))
    '32x32x3'
    """
    return "x".join(str(n) for n in (*shape[1:], shape[0]))
