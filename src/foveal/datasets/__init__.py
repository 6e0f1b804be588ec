"""Pictures to train on from scratch: known datasets by name, and photos decoded once."""

from foveal.datasets.loading import load
from foveal.datasets.pictures import Pictures, PictureSet
from foveal.datasets.registry import DATASETS, load_dataset

__all__ = ["DATASETS", "PictureSet", "Pictures", "load", "load_dataset"]
