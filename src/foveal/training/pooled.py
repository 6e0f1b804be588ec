"""A first convolution and the max pooling that reads it, as one matrix product."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from foveal.build import graph_of
from foveal.graph import INPUT, Graph
from foveal.ops import Conv, MaxPool, Pad, Slice
from foveal.rewriting import readers
from foveal.shapes import per_axis

LARGEST = 10**6  # values of `places`: windows of up to 17x17 of a 3x3 kernel; 8x8 was quicker yet, in bfloat16


class PooledConv(nn.Module):
    """Max pooling of a convolution of pictures, under the names of the convolution's parameters.

    Windows that do not overlap each read a patch of the picture of their own, and their cells are that patch times the
    weights, laid where a cell has them, with zeros about them: ``max over cells of laid @ patches``. Zeros cost less
    than they spare, since a product is the quickest that a CPU does, and since pictures need no gradient: backward is
    one product as well. With the pictures along the last axis, whatever is read or written lies in a row.

    Attributes
    ----------
    joined : whether to compute so, or to convolve and then to pool; the results are equal but for rounding.
    """

    places: Tensor

    def __init__(self, conv: nn.Conv2d, pool: nn.MaxPool2d) -> None:
        super().__init__()
        self.weight, self.bias = conv.weight, conv.bias
        self.stride, self.padding = conv.stride, (int(conv.padding[0]), int(conv.padding[1]))  # never a name
        self.window, self.step = per_axis(pool.kernel_size, 2), per_axis(pool.stride, 2)
        self.joined = False
        sizes = zip(self.window, conv.stride, conv.kernel_size, strict=True)
        places = torch.einsum("apk,bql->klpqab", *(_places(*each) for each in sizes))
        self.register_buffer("places", places, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if not self.joined or x.requires_grad:
            cells = F.conv2d(x, self.weight, self.bias, self.stride, self.padding)
            return F.max_pool2d(cells, self.window, self.step)
        device = x.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
        with torch.autocast(device, enabled=False):
            patches = self._patches(x.to(dtype))
            flat = patches.flatten(0, 2).flatten(1)
            largest: Callable[..., Tensor] = LargestCell.apply  # torch has no types here
            y = largest(self._laid().to(dtype), flat, self.bias)
        return y.view(len(self.weight), *patches.shape[3:]).movedim(3, 0)

    def _patches(self, x: Tensor) -> Tensor:
        """(channels, patch rows, patch columns, window rows, window columns, pictures)."""
        (high, wide), size = self.padding, self.places.shape[2:4]
        x = F.pad(x, (wide, wide, high, high)) if high or wide else x
        x = x.flatten(1).t().reshape(*x.shape[1:], -1)
        for axis in (0, 1):
            x = x.unfold(axis + 1, size[axis], self.stride[axis] * self.step[axis])
        return x.permute(0, 4, 5, 1, 2, 3).contiguous()

    def _laid(self) -> Tensor:
        """(cells, filters, patch): the weights where each cell of a window has them."""
        filters, channels = self.weight.shape[:2]
        laid = self.weight.reshape(filters * channels, -1) @ self.places.flatten(0, 1).flatten(1)
        laid = laid.view(filters, channels, -1, prod(self.window))
        return laid.permute(3, 0, 1, 2).reshape(prod(self.window), filters, -1)


class LargestCell(torch.autograd.Function):
    """The largest of ``laid @ flat + shift`` over the cells, (filters, windows).

    Of several largest the first has the gradient, as in PyTorch's pooling.

    Parameters
    ----------
    laid : (cells, filters, patch); ``flat`` : (patch, windows), which is given no gradient.
    shift : (filters,), or None.
    """

    @staticmethod
    def forward(ctx: Any, laid: Tensor, flat: Tensor, shift: Tensor | None) -> Tensor:
        cells = (laid.flatten(0, 1) @ flat).view(*laid.shape[:2], -1)
        largest = cells.amax(0)
        ctx.save_for_backward(flat, cells, largest)
        return largest if shift is None else largest + shift.to(largest.dtype)[:, None]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, Tensor | None]:
        flat, cells, largest = ctx.saved_tensors
        left, shares = gradient.clone(), torch.empty_like(cells)
        for cell, share in zip(cells[:-1], shares[:-1], strict=True):
            torch.eq(cell, largest, out=share)
            left -= share.mul_(left)
        shares[-1] = left
        of_laid = (flat @ shares.flatten(0, 1).t()).t().view(*cells.shape[:2], -1)
        wide = torch.promote_types(gradient.dtype, torch.float32)
        return of_laid, None, gradient.sum(1, dtype=wide) if ctx.needs_input_grad[2] else None


def join_pools(module: fx.GraphModule) -> None:
    """Put a `PooledConv`, not joined yet, into a built module wherever it could stand."""
    graph = graph_of(module)
    for conv, pool in _pairs(graph):
        first, second = module.get_submodule(conv), module.get_submodule(pool)
        if isinstance(first, nn.Conv2d) and isinstance(second, nn.MaxPool2d) and _able(first, second):
            module.set_submodule(conv, PooledConv(first, second))
            module.set_submodule(pool, nn.Identity())


def pooled(module: nn.Module) -> list[PooledConv]:
    """Those of `module`."""
    return [each for each in module.modules() if isinstance(each, PooledConv)]


def _pairs(graph: Graph) -> list[tuple[str, str]]:
    """Convolutions of the picture, or of parts of it, and the max poolings that alone read them."""
    reads, shared = readers(graph), {node.weights_of for node in graph.nodes}
    pictures, pairs = {INPUT}, []
    for node in graph.nodes:
        if isinstance(node.op, (Slice, Pad)) and node.inputs[0] in pictures:
            pictures.add(node.name)
        before = graph.by_name.get(node.inputs[0]) if isinstance(node.op, MaxPool) else None
        if before is None or not isinstance(before.op, Conv) or before.inputs[0] not in pictures:
            continue
        if reads[before.name] == 1 and before.weights_of is None and before.name not in shared:
            pairs.append((before.name, node.name))
    return pairs


def _able(conv: nn.Conv2d, pool: nn.MaxPool2d) -> bool:
    """Whether the windows of `pool` stand apart, the patches take no more memory than the cells, and all else is plain.

    A window of many cells, of which the first cost is that of `PooledConv.places`, is left out, too.
    """
    window, step = per_axis(pool.kernel_size, 2), per_axis(pool.stride, 2)
    sizes = [_sizes(*each) for each in zip(window, conv.stride, conv.kernel_size, strict=True)]
    apart = all(map(int.__le__, window, step))
    lean = conv.in_channels * prod(patch for _, patch, _ in sizes) <= conv.out_channels * prod(window)
    small = prod(map(prod, sizes)) <= LARGEST
    dilations = {*conv.dilation, *per_axis(pool.dilation, 2)}
    plain = not any(per_axis(pool.padding, 2)) and not pool.ceil_mode and conv.groups == 1 and dilations == {1}
    return apart and lean and small and plain


def _sizes(window: int, stride: int, kernel: int) -> tuple[int, int, int]:
    """Cells of a window, the patch that they read, and the kernel, along one axis."""
    return window, (window - 1) * stride + kernel, kernel


def _places(window: int, stride: int, kernel: int) -> Tensor:
    """(cells, patch, kernel): 1 where a cell of the window has that weight in that place of the patch, else 0."""
    cell, place, weight = torch.meshgrid(*map(torch.arange, _sizes(window, stride, kernel)), indexing="ij")
    return (cell * stride + weight == place).float()
