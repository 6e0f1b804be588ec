"""70,000 small PNG files: memory, time and accuracy of `foveal train` on Fashion-MNIST written out as a folder.

    python bench/fashion_mnist.py [--idx /usr/share/datasets/fashion-mnist] [--photos bench/data/fashion-mnist]

The four IDX files are those of Xiao, Rasul and Vollgraf (2017), as the Debian package dataset-fashion-mnist installs
them. They are written as train/CLASS and test/CLASS (6,000 and 1,000 a class), once. Writes a section of RESULTS.md.
"""

from __future__ import annotations

import argparse
import gzip
import tempfile
from pathlib import Path

import numpy as np
from common import HERE, publish, read_all, table, train
from PIL import Image

CLASSES = ("T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--idx", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--photos", type=Path, default=HERE / "data" / "fashion-mnist")
    options = parser.parse_args()
    for split, prefix in (("train", "train"), ("test", "t10k")):
        _write(options.photos / split, read(options.idx, f"{prefix}-images"), read(options.idx, f"{prefix}-labels"))
    count = read_all(options.photos)
    with tempfile.TemporaryDirectory(prefix="foveal-bench-") as name:
        done, result = train(options.photos, Path(name, "run"), Path(name, "cache"))
    stages = ", ".join(f"{stage} {value:.1f}" for stage, value in result["seconds"].items() if stage != "total")
    score = result["test"]
    row = [
        f"{done.seconds:.0f}",
        f"{count / done.seconds:,.0f}",
        f"{done.peak_gib:.2f}",
        f"{100 * score['accuracy']:.2f} % ({score['correct']:,}/{score['total']:,})",
    ]
    publish(
        "Fashion-MNIST as 70,000 PNG files",
        table(["wall seconds", "photos a second", "peak GiB", "test accuracy"], [row])
        + f"\n\nSeconds by stage: {stages}.",
    )


def read(folder: Path, name: str) -> np.ndarray:
    """An IDX file, plain or gzipped, as bytes (the format: magic, one big-endian size an axis, the data)."""
    path = next(iter(sorted(folder.glob(f"{name}*"))), None)
    if path is None:
        raise SystemExit(f"{folder}: no {name}* here; install the Debian package dataset-fashion-mnist, or name --idx")
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    axes = content[3]
    shape = np.frombuffer(content, ">i4", axes, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape)


def _write(folder: Path, images: np.ndarray, labels: np.ndarray) -> None:
    if sum(1 for _ in folder.glob("*/*.png")) == len(images):
        return
    for label in CLASSES:
        (folder / label).mkdir(parents=True, exist_ok=True)
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        Image.fromarray(image).save(folder / CLASSES[label] / f"{number:05d}.png")


if __name__ == "__main__":
    main()
