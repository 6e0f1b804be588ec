"""What is known of a published set of weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from foveal.data.preprocess import Preprocessing
from foveal.graph import Graph

Keys = Callable[[Graph], Callable[[str], str]]
"""From a network to the function that gives, for our name of a tensor, its publisher's."""

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
"""Of ImageNet's pixels by channel, on the scale 0..255: what most networks were trained with (0.485 * 255, ...)."""


@dataclass(frozen=True)
class Pretrained:
    """What is known of a published set of weights.

    Attributes
    ----------
    model : the zoo name it fits.
    source : who published it, and what they made it from.
    licence : of the weights.
    accuracy : top-1 on the ImageNet validation set as reported by `source`, in percent; None where not reported.
    preprocessing : what the network was trained to see.
    keys : the publisher's names of our tensors.
    sha256 : of the published file, or as many of its first digits as the publisher prints.
    url : where the file is published, or
    package : the installable package that carries it.
    left_out : beginnings of the publisher's names for what our network has no place for: auxiliary heads.
    background : the publisher's name of the last layer where its first of 1,001 outputs is the background, left out.
    name : of the weights, where a network has several.
    """

    model: str
    source: str
    licence: str
    accuracy: float | None
    preprocessing: Preprocessing
    keys: Keys
    sha256: str
    url: str = ""
    package: str = ""
    left_out: tuple[str, ...] = ()
    background: str = ""
    name: str = "imagenet"
