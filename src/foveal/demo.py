"""A small real data set for trying Foveal: photographs cut from those inside scikit-image and scikit-learn.

Nothing is downloaded and nothing is drawn: every picture is a piece of a photograph, as a camera of modest quality
might have taken it. What such a set can and cannot show is said in `ABOUT`, for the user as well.
"""

from __future__ import annotations

import importlib.util
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from foveal.errors import DataError, MissingExtra, OutputError
from foveal.files import make_folder, write_atomic
from foveal.parallel import in_order
from foveal.text import printable

if TYPE_CHECKING:
    from PIL.Image import Image

ABOUT = """\
About these photos. Each class is one photograph that ships inside scikit-image or scikit-learn. Training photos
are pieces of its left (or upper) part, test photos pieces of the other, with a gap between: no pixel is in both.
The demo shows that everything works, and how a report reads. It does not show how good a classifier is: test and
training photos come from the same camera at the same moment, which flatters; and some test photos hold nothing but
background (sky, table, wall), which nobody could name.
Four things are wrong in the training folder on purpose, for the checks to find: a JPEG cut short
(cat/half-copied.jpg), a photo saved twice (coffee/coffee-again.jpg), a photo of gravel in the grass folder
(grass/strayed.jpg), and a text file called .jpg (rocket/notes.jpg).
"""

RECORD = (
    ".crops.json"  # hidden, so that no one takes it for data: each photo's source and box, and whether all is written
)
_VERSION = 1
_PHOTOS = {"train": 18, "test": 8}  # of each class
_GAP = 0.04  # between the training and the test part, of the photograph's width or height
_SCIKIT_IMAGE = ("skimage", "data")
_SCIKIT_LEARN = ("sklearn", "datasets/images")


@dataclass(frozen=True)
class _Source:
    """A photograph inside an installed package, cut along `axis` (0: x, 1: y): training part, gap from `cut`, test."""

    package: tuple[str, str]
    name: str
    axis: int
    cut: float


_SOURCES = {  # cut so that something of the subject is on both sides
    "astronaut": _Source(_SCIKIT_IMAGE, "astronaut.png", 0, 0.48),
    "bricks": _Source(_SCIKIT_IMAGE, "brick.png", 0, 0.6),
    "cat": _Source(_SCIKIT_IMAGE, "chelsea.png", 0, 0.57),
    "coffee": _Source(_SCIKIT_IMAGE, "coffee.png", 0, 0.53),
    "coins": _Source(_SCIKIT_IMAGE, "coins.png", 0, 0.58),
    "flower": _Source(_SCIKIT_LEARN, "flower.jpg", 1, 0.5),
    "grass": _Source(_SCIKIT_IMAGE, "grass.png", 0, 0.6),
    "gravel": _Source(_SCIKIT_IMAGE, "gravel.png", 0, 0.6),
    "moon": _Source(_SCIKIT_IMAGE, "moon.png", 0, 0.5),
    "motorcycle": _Source(_SCIKIT_IMAGE, "motorcycle_left.png", 0, 0.58),
    "rocket": _Source(_SCIKIT_IMAGE, "rocket.jpg", 1, 0.56),
    "temple": _Source(_SCIKIT_LEARN, "china.jpg", 1, 0.52),
}

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Crop:
    """One photo of the demo.

    Attributes
    ----------
    file : where it is written, relative to the demo's folder, with ``/``.
    source : file name of the photograph it is cut from.
    box : left, top, right, bottom in the photograph's pixels (right and bottom excluded).
    size : width and height of the written photo, 160 to 300 pixels.
    """

    file: str
    source: str
    box: Box
    size: tuple[int, int]


def write_demo(folder: Path, seed: int = 0) -> None:
    """Write about 300 labelled photographs to ``folder/train/CLASS`` and ``folder/test/CLASS``.

    The same seed writes the same photos; ``folder/.crops.json`` records where each was cut. A complete demo is left as
    it is; one whose writing was interrupted, or that lost photos, is written again. Other files in it stay.

    Parameters
    ----------
    folder : created if absent.
    seed : decides the crops and the changes of light.

    Raises
    ------
    MissingExtra : scikit-image is not installed.
    DataError : the installed scikit-image or scikit-learn lacks one of the photographs.
    OutputError : the folder holds something else, or cannot be written.
    """
    record = folder / RECORD
    if not _is_complete(folder, record, seed):
        paths = {label: _find(source) for label, source in _SOURCES.items()}
        crops = {label: _plan(label, path, seed) for label, path in paths.items()}
        make_folder(folder)
        write_atomic(record, _record(crops, seed, complete=False))

        def write(labels: Sequence[str]) -> None:
            for label in labels:
                _write_class(folder, label, paths[label], crops[label], seed)

        for _ in in_order(write, list(paths), batch=1, threads=4):  # also on fewer cores: disks are waited for
            pass
        _plant_trouble(folder, crops)
        write_atomic(record, _record(crops, seed, complete=True))


def _is_complete(folder: Path, record: Path, seed: int) -> bool:
    """Whether `folder` already holds this whole demo; OutputError where it holds anything but a demo of this seed."""
    try:
        if not folder.exists():
            return False
        if all(path.name.startswith(".") and path != record for path in folder.iterdir()):
            return False
        found = json.loads(record.read_text("utf-8"))
        same = (found["version"], found["seed"]) == (_VERSION, seed)
        files = [*(photo["file"] for photo in found["photos"]), *found["planted"]]
        whole = found["complete"] and all((folder / file).is_file() for file in files)
    except (OSError, ValueError, KeyError, TypeError):
        same = whole = False
    if not same:
        raise OutputError(
            f"{printable(folder)}: is not empty and holds no demo of this version and seed; remove it, or choose "
            "another folder"
        )
    return bool(whole)


def _find(source: _Source) -> Path:
    module, inside = source.package
    spec = importlib.util.find_spec(module)  # finds the folder without the seconds that importing the package takes
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtra("the demo", "demo")
    path = Path(spec.submodule_search_locations[0], inside, source.name)
    if not path.is_file():
        raise DataError(f"{printable(path)}: this photograph is not in the installed {module}; reinstall that package")
    return path


def _plan(label: str, path: Path, seed: int) -> list[Crop]:
    """Choose the crops of one photograph: within each region, each as far from the earlier ones as 20 tries find."""
    from PIL import Image

    with Image.open(path) as photograph:
        width, height = photograph.size
    rng = _random(seed, label, "crops")
    crops = []
    for split in _PHOTOS:
        region = _region(split, _SOURCES[label], (width, height))
        boxes: list[Box] = []
        for number in range(1, _PHOTOS[split] + 1):
            tries = [_random_box(rng, region) for _ in range(20)]
            boxes.append(min(tries, key=lambda box: max((_overlap(box, other) for other in boxes), default=0.0)))
            suffix = "png" if number % 4 == 0 else "jpg"
            file = f"{split}/{label}/{label}_{number:03d}.{suffix}"
            crops.append(Crop(file, path.name, boxes[-1], _random_size(rng, boxes[-1])))
    return crops


def _region(split: str, source: _Source, size: tuple[int, int]) -> Box:
    """The part of the photograph that the photos of `split` are cut from."""
    start, end = [0, 0], [*size]
    if split == "train":
        end[source.axis] = round(source.cut * size[source.axis])
    else:
        start[source.axis] = round((source.cut + _GAP) * size[source.axis])
    return start[0], start[1], end[0], end[1]


def _random_box(rng: np.random.Generator, region: Box) -> Box:
    """A box of a camera's proportions (4:3, 1:1 or 3:4), 50 to 95 % of the largest that fits into `region`."""
    left, top, right, bottom = region
    aspect = rng.choice([4 / 3, 1.0, 3 / 4])
    largest = min(right - left, (bottom - top) * aspect)
    width = largest * rng.uniform(0.5, 0.95)
    height = width / aspect
    x = round(rng.uniform(left, right - width))
    y = round(rng.uniform(top, bottom - height))
    return x, y, min(x + round(width), right), min(y + round(height), bottom)


def _random_size(rng: np.random.Generator, box: Box) -> tuple[int, int]:
    width, height = box[2] - box[0], box[3] - box[1]
    scale = rng.integers(220, 301) / max(width, height)
    return round(width * scale), round(height * scale)


def _overlap(a: Box, b: Box) -> float:
    """Intersection over union of two boxes."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return shared / (sum(areas) - shared)


def _write_class(folder: Path, label: str, path: Path, crops: list[Crop], seed: int) -> None:
    from PIL import Image

    with Image.open(path) as opened:
        photograph = opened.convert("RGB")
    rng = _random(seed, label, "light")
    for split in _PHOTOS:
        make_folder(folder / split / label)
    for crop in crops:
        piece = photograph.crop(crop.box).resize(crop.size, Image.Resampling.BICUBIC)
        write_atomic(folder / crop.file, _encode(_take(piece, rng), Path(crop.file).suffix, rng))


def _take(piece: Image, rng: np.random.Generator) -> Image:
    """The same piece as another shot would show it: exposure, white balance, gamma, focus and noise differ a little."""
    from PIL import Image, ImageFilter

    blurred = piece.filter(ImageFilter.GaussianBlur(rng.uniform(0.0, 0.8)))
    light = np.asarray(blurred, np.float32) / 255
    light = light ** np.float32(rng.uniform(0.85, 1.2))
    light = light * rng.uniform(0.8, 1.2) * rng.uniform(0.95, 1.05, size=3).astype(np.float32)
    light = light + rng.standard_normal(light.shape, np.float32) * np.float32(rng.uniform(0.0, 0.015))
    return Image.fromarray((light.clip(0, 1) * 255).round().astype(np.uint8))


def _encode(image: Image, suffix: str, rng: np.random.Generator) -> bytes:
    buffer = io.BytesIO()
    if suffix == ".png":
        image.save(buffer, "PNG", compress_level=1)
    else:
        image.save(buffer, "JPEG", quality=int(rng.integers(75, 96)))
    return buffer.getvalue()


def _planted(crops: dict[str, list[Crop]]) -> dict[str, str]:
    """The files that are wrong on purpose, and the photo each is made from (empty where from none)."""
    return {
        "train/cat/half-copied.jpg": crops["cat"][0].file,
        "train/coffee/coffee-again.jpg": crops["coffee"][0].file,
        "train/grass/strayed.jpg": crops["gravel"][0].file,
        "train/rocket/notes.jpg": "",
    }


def _plant_trouble(folder: Path, crops: dict[str, list[Crop]]) -> None:
    for file, original in _planted(crops).items():
        content = (folder / original).read_bytes() if original else b"Photos of the rocket: ask at the launch site.\n"
        write_atomic(folder / file, content[: len(content) * 2 // 5] if "half" in file else content)


def _record(crops: dict[str, list[Crop]], seed: int, complete: bool) -> str:
    found = {
        "about": ABOUT,
        "version": _VERSION,
        "seed": seed,
        "complete": complete,
        "photos": [asdict(crop) for of_class in crops.values() for crop in of_class],
        "planted": _planted(crops),
    }
    return json.dumps(found, indent=1)


def _random(seed: int, label: str, purpose: str) -> np.random.Generator:
    return np.random.default_rng([seed, *f"{label} {purpose}".encode()])
