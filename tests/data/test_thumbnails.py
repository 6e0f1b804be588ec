"""Thumbnails against Pillow's reading of them and pixels worked out by hand."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from foveal.colors import cividis
from foveal.data.thumbnails import data_uri, overlay, thumbnail


def opened(jpeg: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(jpeg))
    assert (image.format, image.mode) == ("JPEG", "RGB")
    assert "exif" not in image.info and not image.getexif()
    return image


def flat(height: int, width: int, colour: tuple[int, int, int] = (200, 40, 90)) -> np.ndarray:
    return np.full((height, width, 3), colour, np.uint8)


@pytest.mark.parametrize(
    ("shape", "size"),
    [((300, 400), (160, 120)), ((400, 200), (80, 160)), ((50, 70), (70, 50)), ((1, 1), (1, 1)), ((4, 9000), (160, 1))],
)
def test_the_longer_side_is_at_most_160(shape: tuple[int, int], size: tuple[int, int]) -> None:
    for jpeg in (thumbnail(flat(*shape)), overlay(flat(*shape), np.ones((7, 7)))):
        assert opened(jpeg).size == size


def test_colours_and_input_are_kept() -> None:
    pixels = flat(300, 400)
    assert np.abs(np.asarray(opened(thumbnail(pixels, side=40))).astype(int) - (200, 40, 90)).max() <= 4
    assert (pixels == (200, 40, 90)).all()


def test_thumbnails_are_small() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (600, 800, 3), np.uint8)
    assert len(thumbnail(noise)) < 12_000


def mixed(level: float, grey: int) -> np.ndarray:
    return (cividis(level).astype(float) + grey) / 2


def test_overlay_colours_positive_evidence_by_its_share_of_the_strongest() -> None:
    heat = np.array([[4.0, 2.0], [0.0, -9.0]])  # against the class: shown as none
    image = np.asarray(opened(overlay(flat(160, 160, (100, 100, 100)), heat))).astype(int)
    for (y, x), level in {(10, 10): 1.0, (10, 150): 0.5, (150, 10): 0.0, (150, 150): 0.0}.items():
        assert np.abs(image[y, x] - mixed(level, 100)).max() <= 5


@pytest.mark.parametrize("value", [0.0, -3.0, np.nan, np.inf, -np.inf])
def test_overlay_without_evidence(value: float) -> None:
    image = np.asarray(opened(overlay(flat(64, 64, (100, 100, 100)), np.full((3, 5), value)))).astype(int)
    assert np.abs(image - mixed(0.0, 100)).max() <= 5


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_overlay_of_tiny_and_huge_evidence(dtype: type[np.floating]) -> None:
    for scale in (np.finfo(dtype).tiny, np.finfo(dtype).max):
        heat = np.full((2, 2), scale, dtype)
        image = np.asarray(opened(overlay(flat(32, 32, (100, 100, 100)), heat))).astype(int)
        assert np.abs(image - mixed(1.0, 100)).max() <= 5


def test_overlay_shows_the_photo_in_grey() -> None:
    photo = flat(64, 64, (0, 0, 0))
    photo[:, 32:] = (255, 255, 255)
    image = np.asarray(opened(overlay(photo, np.zeros((2, 2))))).astype(int)
    assert np.abs(image[30, 50] - image[30, 10] - 127).max() <= 5


def test_data_uri() -> None:
    jpeg = thumbnail(flat(20, 20))
    kind, text = data_uri(jpeg).split(",")
    assert kind == "data:image/jpeg;base64"
    assert base64.b64decode(text, validate=True) == jpeg
