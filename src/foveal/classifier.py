"""A bundle that runs: from pictures to labels."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from foveal.bundle import Bundle
from foveal.data.decode import decode_image
from foveal.errors import ImageError
from foveal.features import BATCH, Engine
from foveal.heads.calibration import softmax
from foveal.heads.rejection import novelty_score
from foveal.parallel import in_order

Picture = str | os.PathLike[str] | bytes | np.ndarray
"""A path, the bytes of a file, or decoded pixels uint8 (H, W, 3)."""


@dataclass(frozen=True)
class Prediction:
    """What the classifier says of one picture.

    Attributes
    ----------
    label : the most probable class, also where the picture is unknown.
    probability : of that class, calibrated.
    unknown : the picture resembles none of the classes; always False where the bundle has no threshold.
    scores : probability of every class.
    """

    label: str
    probability: float
    unknown: bool
    scores: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class Classifier:
    """A bundle and the engine that runs its graph.

    Attributes
    ----------
    bundle : what was loaded.
    classes : names in the order of the logits.
    """

    def __init__(self, bundle: Bundle, engine: Engine, threads: int) -> None:
        self.bundle, self.engine, self.threads = bundle, engine, threads
        self.classes = bundle.classes

    def predict(self, images: Picture | Iterable[Picture]) -> list[Prediction]:
        """One prediction a picture, in order; a single picture gives a list of one.

        Raises
        ------
        ImageError : the first picture that cannot be read. `predict_each` goes on instead.
        """
        single = isinstance(images, (str, os.PathLike, bytes, np.ndarray))
        predictions = []
        for answer in self.predict_each([images] if single else list(images)):  # type: ignore[list-item, arg-type]  # narrowed by `single`
            if isinstance(answer, ImageError):
                raise answer
            predictions.append(answer)
        return predictions

    def predict_each(self, images: Sequence[Picture]) -> Iterator[Prediction | ImageError]:
        """A prediction, or the reason why there is none, for each picture in order."""
        for answer in self.logits_each(images):
            yield answer if isinstance(answer, ImageError) else self.decide(answer[None])[0]

    def logits_each(self, images: Sequence[Picture]) -> Iterator[np.ndarray | ImageError]:
        """Logits (classes,), or the reason why there are none, for each picture in order."""
        for answers in in_order(self._batch, images, batch=BATCH, threads=self.threads):
            yield from answers

    def decide(self, logits: np.ndarray) -> list[Prediction]:
        """Predictions from logits (n, classes)."""
        bundle = self.bundle
        probabilities = softmax(logits, bundle.temperature)
        unknown = np.zeros(len(logits), bool)
        if bundle.threshold is not None and len(logits):
            unknown = novelty_score(logits, bundle.temperature) < bundle.threshold
        return [
            Prediction(
                label=self.classes[int(row.argmax())],
                probability=float(row.max()),
                unknown=bool(strange),
                scores=dict(zip(self.classes, map(float, row), strict=True)),
            )
            for row, strange in zip(probabilities, unknown, strict=True)
        ]

    def _batch(self, images: Sequence[Picture]) -> list[np.ndarray | ImageError]:
        preprocessing = self.bundle.preprocessing
        inputs: list[np.ndarray] = []
        errors: dict[int, ImageError] = {}
        for i, image in enumerate(images):
            try:
                inputs.append(preprocessing(_pixels(image, preprocessing.at_least)))
            except ImageError as error:
                errors[i] = error
        rows = iter(self.engine(np.stack(inputs))[0] if inputs else ())
        return [errors[i] if i in errors else next(rows) for i in range(len(images))]


def _pixels(image: Picture, at_least: int) -> np.ndarray:
    if not isinstance(image, np.ndarray):
        return decode_image(image, at_least=at_least)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ImageError("<array>", f"{image.dtype} {image.shape}; expected uint8 (height, width, 3), red first")
    return image


def expand(paths: Sequence[Path], suffixes: frozenset[str]) -> list[Path]:
    """`paths` with each folder replaced by the pictures below it, in order; hidden ones left out."""
    files: list[Path] = []
    for path in paths:
        if os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises on a name that is too long
            found = (p for p in path.rglob("*") if p.suffix.lower() in suffixes)
            inside = (p for p in found if os.path.isfile(p))  # noqa: PTH113 - as above
            files += sorted(p for p in inside if not any(part.startswith(".") for part in p.relative_to(path).parts))
        else:
            files.append(path)
    return files
