"""Known pictures in other shapes, and that a bundle makes the same of a file."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from foveal.bundle import Bundle, load_bundle
from foveal.classifier import Classifier
from foveal.datasets import Pictures, PictureSet, load
from foveal.datasets.shaping import shaped
from foveal.engines.openvino import OpenVinoEngine
from foveal.errors import BundleError, UsageError
from foveal.explaining.observing import read_subject
from foveal.graph import Builder
from foveal.ops import Dense, Flatten

RANDOM = np.random.default_rng(0)


def of(channels: int, side: int) -> PictureSet:
    part = Pictures(RANDOM.integers(0, 256, (6, channels, side, side), dtype=np.uint8), np.arange(6) % 2)
    return PictureSet("random", ("a", "b"), part, part[:2], part[:0], "here")


def png(picture: np.ndarray) -> bytes:
    """A file of one picture (channels, height, width)."""
    file = io.BytesIO()
    Image.fromarray(picture[0] if len(picture) == 1 else picture.transpose(1, 2, 0)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("before", "after", "how"),
    [
        ((1, 28), (1, 28, 28), None),
        ((1, 28), (1, 32, 32), "28x28x1 became 32x32x1, with a black border of 2 pixels"),
        ((1, 28), (3, 32, 32), "28x28x1 became 32x32x3, with a black border of 2 pixels"),
        ((1, 28), (3, 28, 28), "28x28x1 became 28x28x3, converted"),
        ((1, 8), (1, 28, 28), "8x8x1 became 28x28x1, resized"),
        ((1, 28), (1, 31, 31), "28x28x1 became 31x31x1, resized"),
        ((1, 28), (1, 16, 16), "28x28x1 became 16x16x1, resized"),
        ((3, 32), (1, 32, 32), "32x32x3 became 32x32x1, converted"),
        ((3, 32), (3, 36, 36), "32x32x3 became 36x36x3, resized"),
        ((3, 32), (1, 28, 28), "32x32x3 became 28x28x1, resized"),
    ],
)
def test_a_file_goes_through_the_preprocessing_to_the_same_bits(
    before: tuple[int, int], after: tuple[int, int, int], how: str | None
) -> None:
    """PNG files of the publisher's pictures, read as a classifier reads any file, against what training computes."""
    raw = of(*before)
    data = shaped(raw, after)
    assert data.shape == after and len(data.val) == 2 and data.test.x.shape == (0, *after)
    assert data.notes == ((f"pictures of {how}",) if how else ())
    mean, std = (torch.tensor(values, dtype=torch.float32).view(-1, 1, 1) for values in (data.mean, data.std))
    inputs = ((torch.from_numpy(data.train.x).float() - mean) / std).numpy()
    seen: list[np.ndarray] = []

    def engine(batch: np.ndarray) -> list[np.ndarray]:
        seen.append(batch)
        return [np.zeros((len(batch), 2), np.float32)]

    Classifier(bundle(data), engine, 1).predict([png(picture) for picture in raw.train.x])  # type: ignore[arg-type]
    assert np.concatenate(seen).tobytes() == inputs.tobytes()


def test_the_border_is_black_and_the_picture_is_in_the_middle() -> None:
    raw = of(1, 28)
    x = shaped(raw, (1, 32, 32)).train.x
    assert np.array_equal(x[:, :, 2:-2, 2:-2], raw.train.x) and int(x.sum()) == int(raw.train.x.sum())


def test_grey_is_pillows_luma_and_resizing_is_pillows() -> None:
    raw = of(3, 32)
    first = Image.fromarray(raw.train.x[5].transpose(1, 2, 0))
    assert np.array_equal(shaped(raw, (1, 32, 32)).train.x[5, 0], np.asarray(first.convert("L")))
    bigger = np.asarray(first.resize((40, 40), Image.Resampling.BICUBIC)).transpose(2, 0, 1)
    assert np.array_equal(shaped(raw, (3, 40, 40)).train.x[5], bigger)


@pytest.mark.parametrize("shape", [(2, 28, 28), (3, 28, 30), (1, 7, 7), (1, 4097, 4097), (784,), (1, 8, 28, 28)])
def test_shapes_that_no_picture_has(shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match=r"^the network takes .*; expected a square of 8 to 4,096 pixels in 1 or 3 ch"):
        load("digits", shape)


def bundle(data: PictureSet) -> Bundle:
    net = Builder("linear")
    graph = net.graph(net(Dense(2), net(Flatten(), net.input(*data.shape)), name="dense"))
    count = int(np.prod(data.shape))
    weight = RANDOM.standard_normal((2, count)).astype(np.float32)
    weights = {"dense.weight": weight, "dense.bias": np.zeros(2, np.float32)}
    return Bundle(graph, weights, data.classes, data.preprocessing, 1.0, None, "f32")


def test_a_grey_bundle_is_kept_and_predicts(tmp_path: Path) -> None:
    raw = of(1, 28)
    data = shaped(raw, (1, 32, 32))
    bundle(data).save(tmp_path, "card")
    found = load_bundle(tmp_path)
    assert found.preprocessing == data.preprocessing and found.preprocessing.channels == 1
    engine = OpenVinoEngine(found.graph, found.weights, threads=1)
    logits = list(Classifier(found, engine, 1).logits_each([png(picture) for picture in raw.train.x]))
    x = (data.train.x.reshape(6, -1) - np.float32(data.mean[0])) / np.float32(data.std[0])
    np.testing.assert_allclose(logits, x @ found.weights["dense.weight"].T, rtol=1e-4, atol=1e-3)
    drawn = read_subject(found).read(png(raw.train.x[0]))[1]
    assert np.array_equal(drawn, np.repeat(data.train.x[0].transpose(1, 2, 0), 3, axis=2))


def test_a_grey_network_with_colour_preprocessing_is_refused(tmp_path: Path) -> None:
    data = of(1, 28)
    colour = shaped(data, (3, 28, 28)).preprocessing
    whole = bundle(data)
    Bundle(whole.graph, whole.weights, whole.classes, colour, 1.0, None, "f32").save(tmp_path, "card")
    with pytest.raises(BundleError, match=re.escape("the network takes (1, 28, 28), but pictures become 3x28x28")):
        load_bundle(tmp_path)
