"""How every number is made, and how the gradient comes back through it, in NumPy alone and in the words of the books.

Nothing here is fast; everything here can be read. `OPS` gives the pair (forward, backward) of each op, `run` and
`backward` take a whole graph through them, `losses` says what is minimised and `updates` how the weights then move.
"""

from __future__ import annotations

from foveal.reference.base import Pair
from foveal.reference.linear import as_matrix, true_convolution
from foveal.reference.running import OPS, backward, run

__all__ = ["OPS", "Pair", "as_matrix", "backward", "run", "true_convolution"]
