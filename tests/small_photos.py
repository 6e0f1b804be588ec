"""Small folders of real photographs for tests of the whole product, and a way to run the real command line."""

from __future__ import annotations

import functools
import importlib.util
import os
import pty
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

_SOURCES = {
    "brick": ("skimage", "data/brick.png"),
    "cat": ("skimage", "data/chelsea.png"),
    "coffee": ("skimage", "data/coffee.png"),
    "coins": ("skimage", "data/coins.png"),
    "flower": ("sklearn", "datasets/images/flower.jpg"),
    "grass": ("skimage", "data/grass.png"),
    "gravel": ("skimage", "data/gravel.png"),
    "temple": ("sklearn", "datasets/images/china.jpg"),
}


@functools.cache
def photograph(name: str) -> Image.Image:
    """One of the photographs inside scikit-image or scikit-learn."""
    package, file = _SOURCES[name]
    spec = importlib.util.find_spec(package)
    assert spec and spec.submodule_search_locations
    with Image.open(Path(spec.submodule_search_locations[0], file)) as image:
        return image.convert("RGB")


def pieces(name: str, count: int, seed: int = 0) -> list[Image.Image]:
    """Different pieces of a photograph, about 130 pixels wide: too far apart to be near duplicates."""
    image = photograph(name)
    rng = np.random.default_rng([seed, *name.encode()])
    side = rng.integers(110, 150, size=count)
    x = rng.integers(0, image.width - side)
    y = rng.integers(0, image.height - side)
    return [
        image.crop((left, top, left + s, top + s)) for left, top, s in zip(x.tolist(), y.tolist(), side, strict=True)
    ]


def save(image: Image.Image, path: Path, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, quality=90, **options)
    return path


def write_folder(root: Path, names: Sequence[str] = ("cat", "coffee", "temple"), each: int = 12, seed: int = 0) -> Path:
    """A folder per class of `each` photos."""
    for name in names:
        for number, piece in enumerate(pieces(name, each, seed)):
            save(piece, root / name / f"{name}-{seed}-{number:03d}.jpg")
    return root


def command(*arguments: str | os.PathLike[str], program: Sequence[str] = ("-m", "foveal")) -> list[str]:
    return [sys.executable, *program, *map(os.fspath, arguments)]


def run(
    *arguments: str | os.PathLike[str], env: Mapping[str, str] | None = None, **options: Any
) -> subprocess.CompletedProcess[str]:
    """The real command line in a process of its own."""
    options.setdefault("timeout", 120)
    return subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        errors="surrogateescape",
        env={**os.environ, **(env or {})},
        check=False,
        **options,
    )


def refused(done: subprocess.CompletedProcess[str], code: int) -> str:
    """The one message of a command that ended with `code` and without a traceback."""
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    at = done.stderr.rfind("error: ")
    assert at >= 0, done.stderr
    return done.stderr[at:]


def partials(folder: Path) -> list[str]:
    """Files that a writer should have removed: locks, temporary files, weights that no bundle names."""
    found = [str(path.relative_to(folder)) for path in folder.rglob(".*")]
    return found + [str(path) for path in (folder / "bundle").glob("model-*")][1:]


def on_terminal(*arguments: str | Path, env: dict[str, str] | None = None) -> tuple[int, str]:
    """Exit code and everything shown, with stdout and stderr a terminal."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        command(*arguments),
        stdin=subprocess.DEVNULL,
        stdout=follower,
        stderr=follower,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "160", **(env or {})},
    )
    os.close(follower)
    shown = bytearray()
    while True:
        try:
            part = os.read(leader, 65536)
        except OSError:  # Linux says so that the other side has closed
            break
        if not part:
            break
        shown += part
    os.close(leader)
    return process.wait(60), shown.decode("utf-8", "replace")
