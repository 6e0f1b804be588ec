"""A receipt as a figure: patch, filter and products side by side, values printed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from foveal.colors import diverging
from foveal.explaining.receipt_text import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from foveal.explaining.receipt import Receipt


def plot(receipt: Receipt) -> list[Axes]:
    """Three axes, of patch, slopes and products; of a patch with channels, the channel that adds most."""
    from matplotlib.figure import Figure

    products = receipt.products[0].reshape(len(receipt.products[0]), -1)
    channel = int(np.abs(products.sum(1)).argmax()) if receipt.unit.cells[0].ndim > 2 else None
    grids = [
        _matrix(array if channel is None else array[channel])
        for array in (receipt.unit.patches[0], receipt.unit.slopes[0], receipt.products[0])
    ]
    rows, columns = grids[0].shape
    figure = Figure(figsize=(max(2.0, 0.7 * columns) * 3 + 1, max(1.6, 0.5 * rows) + 0.8), layout="constrained")
    axes = list(figure.subplots(1, 3))
    titles = f"what it reads of {receipt.reads[0]}", "times its slopes", "makes the products"
    scales: tuple[Literal["signals", "parameters"], ...] = ("signals", "parameters", "signals")
    for ax, grid, title, scale in zip(axes, grids, titles, scales, strict=True):
        most = float(np.abs(grid).max()) or 1.0
        ax.imshow(diverging(grid / most, scale))
        ax.set_title(title, fontsize=9)
        ax.set_xticks([])
        ax.set_yticks([])
        if grid.size <= 121:
            for (y, x), value in np.ndenumerate(grid):
                colour = "white" if abs(value) > 0.6 * most else "black"
                ax.text(x, y, f"{value:.3g}", ha="center", va="center", fontsize=7, color=colour)
    figure.suptitle(f"{receipt.name} = {number(receipt.value)}", fontsize=10)
    return axes


def _matrix(values: np.ndarray) -> np.ndarray:
    """`values` as rows and columns: a picture as it is, anything else in rows of sixteen."""
    if values.ndim == 2:
        return values
    flat = values.ravel()
    wide = min(len(flat), 16)
    return np.append(flat, np.zeros(-len(flat) % wide)).reshape(-1, wide)
