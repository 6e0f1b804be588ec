"""Published weights: what is known of each file, and what its publisher calls our tensors."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from foveal.errors import UnknownName, UsageError
from foveal.published import others, torchvision
from foveal.published.entry import Keys, Pretrained
from foveal.zoo import LISTED, MODELS

__all__ = ["PRETRAINED", "Keys", "Pretrained", "classes", "find_pretrained"]

PRETRAINED: dict[tuple[str, str], Pretrained] = {
    (entry.model, entry.name): entry for entry in (*others.ENTRIES, *torchvision.ENTRIES)
}
"""Published weights by (model, weights name)."""


def find_pretrained(model: str, name: str = "imagenet") -> Pretrained:
    """The entry for `model`.

    Raises
    ------
    UnknownName : no such network, or no weights of that name for it.
    UsageError : a network of the zoo for which no weights are published.
    """
    names = [each for of, each in PRETRAINED if of == model]
    if not names and model in MODELS:
        raise UsageError(f"{model} has no published weights; foveal zoo says which have, or give a file of your own")
    if not names:
        raise UnknownName("pretrained network", model, {of for of, _ in PRETRAINED}, LISTED)
    if name not in names:
        raise UnknownName(f"weights of {model}", name, names)
    return PRETRAINED[model, name]


@cache
def classes() -> tuple[str, ...]:
    """ImageNet's 1,000 classes (ILSVRC 2012) as torchvision words them, in the order of the networks' outputs."""
    return tuple(Path(__file__).with_name("imagenet_classes.txt").read_text("utf-8").splitlines())
