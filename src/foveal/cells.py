"""Receptive fields exactly: the first and last input cell of every unit along an axis; `foveal.fields` defines them.

A module of its own, so that only those who ask for it load NumPy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_NOTHING = 2**62  # first cell of a unit that sees none; its last cell is -1


@dataclass(frozen=True, eq=False)
class Cells:
    """One axis: the first and the last input cell of each unit; ``last < first`` where it sees none.

    The methods are those of `foveal.fields.Lattice`.
    """

    first: NDArray[np.int64]
    last: NDArray[np.int64]

    @classmethod
    def image(cls, units: int) -> Cells:
        """The input itself: each cell sees itself."""
        return cls(np.arange(units), np.arange(units))

    @property
    def units(self) -> int:
        return len(self.first)

    def windowed(self, outputs: int, kernel: int, stride: int = 1, before: int = 0, dilation: int = 1) -> Cells:
        begin = np.arange(outputs) * stride - before
        return self._reading(begin, np.full(outputs, kernel), dilation)

    def spread(self, outputs: int, kernel: int, stride: int = 1, before: int = 0, dilation: int = 1) -> Cells:
        # Input i lands, by tap t < kernel, on output i*stride + t*dilation - before. The taps that reach an output are
        # one in `period`, and from each to the next the input moves back by `step`.
        common = math.gcd(stride, dilation)
        period, step = stride // common, dilation // common
        at = np.arange(outputs) + before
        tap = at // common % period * pow(step, -1, period) % period
        count = np.where(at % common == 0, (kernel - 1 - tap) // period + 1, 0)
        return self._reading((at - tap * dilation) // stride - (count - 1) * step, count, step)

    def resized(self, factor: int, smooth: bool) -> Cells:
        at = np.arange(self.units * factor)
        if not smooth:
            return self._reading(at // factor, np.ones_like(at))
        middle = 2 * at + 1 - factor  # the output's centre, in 2*factor-ths of an input cell
        begin, end = middle // (2 * factor), -(-middle // (2 * factor))
        return self._reading(begin, end - begin + 1)

    def binned(self, outputs: int) -> Cells:
        at = np.arange(outputs)
        begin = at * self.units // outputs
        return self._reading(begin, -(-(at + 1) * self.units // outputs) - begin)

    def sliced(self, start: int, stop: int, step: int = 1) -> Cells:
        return Cells(self.first[start:stop:step], self.last[start:stop:step])

    def padded(self, before: int, after: int) -> Cells:
        return Cells(
            np.pad(self.first, (before, after), constant_values=_NOTHING),
            np.pad(self.last, (before, after), constant_values=-1),
        )

    def whole(self, units: int = 1) -> Cells:
        return Cells(np.repeat(self.first.min(), units), np.repeat(self.last.max(), units))

    def unknown(self, outputs: int) -> Cells:
        return self.whole(outputs)

    def joined(self, other: Cells) -> Cells:
        return Cells(np.minimum(self.first, other.first), np.maximum(self.last, other.last))

    def _reading(self, begin: NDArray[np.int64], count: NDArray[np.int64], step: int = 1) -> Cells:
        """Outputs that read the units ``begin + t*step`` for ``t < count``, as far as they exist."""
        low = np.maximum(0, -(begin // step))
        high = np.minimum(count - 1, (self.units - 1 - begin) // step)
        begin, count = begin + low * step, high - low + 1
        first, last = np.full_like(begin, _NOTHING), np.full_like(begin, -1)
        firsts, lasts, span = self.first, self.last, 1  # of the `span` units from each on: 1, 2, 4 ...
        while span <= count.max():
            now = (count >= span) & (count < 2 * span)  # two spans, which may overlap, cover these
            near = begin[now]
            far = near + (count[now] - span) * step
            first[now] = np.minimum(firsts[near], firsts[far])
            last[now] = np.maximum(lasts[near], lasts[far])
            firsts = np.minimum(firsts[: -span * step], firsts[span * step :])
            lasts = np.maximum(lasts[: -span * step], lasts[span * step :])
            span *= 2
        return Cells(first, last)
