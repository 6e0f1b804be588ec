"""Networks as one line of text, as a student would write them on paper.

``32x32x3 > conv 8 3x3 same relu > maxpool 2 > flatten > dense 10``. The grammar is in ``docs/notation.md``.
"""

from foveal.notation.formatting import format
from foveal.notation.parsing import parse

__all__ = ["format", "parse"]
