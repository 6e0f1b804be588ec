"""Lets torchvision's published wheel be imported beside a CPU build of torch.

The wheel's compiled operators belong to another build and are not loaded; at import torchvision then attaches a shape
rule to `nms` and `qnms`, operators nobody has declared. Declaring them is enough for the models and transforms.
Import this module before torchvision, timm or fastai. (Object detection would still not work; nothing here needs it.)
"""

from __future__ import annotations

import torch

_library = torch.library.Library("torchvision", "DEF")  # kept: the declaration goes when the object does
for _name in ("nms", "qnms"):
    _library.define(f"{_name}(Tensor boxes, Tensor scores, float iou_threshold) -> Tensor")
