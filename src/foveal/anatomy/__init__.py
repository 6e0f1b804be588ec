"""A graph counted, explained and drawn: rows, totals, warnings, memory, receptive fields."""

from __future__ import annotations

from foveal.anatomy.rows import Anatomy, Row, Sight, Totals, count, fold
from foveal.anatomy.warnings import Warning

__all__ = ["Anatomy", "Row", "Sight", "Totals", "Warning", "count", "fold"]
