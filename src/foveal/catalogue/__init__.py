"""The zoo as a table: each network's paper, counts, receptive field and published weights, filtered and sorted.

>>> [entry.name for entry in entries(family="zfnet")]
['zfnet']
"""

from foveal.catalogue.details import describe
from foveal.catalogue.plot import timeline
from foveal.catalogue.rows import SORTABLE, Entry, entries, read_count, sort_entries
from foveal.catalogue.speed import images_per_second

__all__ = [
    "SORTABLE",
    "Entry",
    "describe",
    "entries",
    "images_per_second",
    "read_count",
    "sort_entries",
    "timeline",
]
