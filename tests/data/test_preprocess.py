from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from foveal.data.preprocess import Preprocessing
from foveal.errors import DataError


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_values_of_a_picture_that_needs_no_resizing() -> None:
    pixels = picture(32, 32)
    x = Preprocessing(size=32, mean=100.0, std=50.0)(pixels)
    assert x.shape == (3, 32, 32) and x.dtype == np.float32
    for channel, row, column in [(0, 0, 0), (1, 5, 31), (2, 31, 7)]:
        assert x[channel, row, column] == pytest.approx((int(pixels[row, column, channel]) - 100) / 50)


def test_channels_have_values_of_their_own() -> None:
    pixels = picture(32, 32)
    mean, std = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
    x = Preprocessing(size=32, mean=mean, std=std)(pixels)
    assert x.dtype == np.float32
    for channel in range(3):
        np.testing.assert_allclose(x[channel], (pixels[:, :, channel] - mean[channel]) / std[channel], rtol=1e-5)


def test_bilinear_is_pillows() -> None:
    pixels = picture(64, 64)
    cut = Image.fromarray(pixels).resize((32, 32), Image.Resampling.BILINEAR)
    assert np.array_equal(Preprocessing(size=32, interpolation="bilinear").square(pixels), np.asarray(cut))


@pytest.mark.parametrize(("height", "width"), [(48, 80), (80, 48), (48, 48), (16, 20)])
def test_the_central_square_is_what_the_network_sees(height: int, width: int) -> None:
    pixels = picture(height, width) // 2 + 60  # away from black and white, where values are cut off
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    cut = Image.fromarray(pixels[top : top + side, left : left + side])
    expected = np.asarray(cut.resize((32, 32), Image.Resampling.BICUBIC), int)
    ours = Preprocessing(size=32).square(pixels).astype(int)
    inside = (slice(4, -4), slice(4, -4))  # at the rim, ours knows what lies beyond the square
    assert np.abs(ours - expected)[inside].max() <= 3  # of 255: the first of its two passes is rounded


def test_crop_keeps_its_share_of_the_shorter_side() -> None:
    pixels = np.zeros((100, 200, 3), np.uint8)
    pixels[10:90, 60:140] = 255  # the central 80 x 80
    assert Preprocessing(size=80, crop=0.8).square(pixels).min() == 255
    whole = Preprocessing(size=100, crop=1.0).square(pixels)
    assert (whole[12:88, 12:88] == 255).all() and (whole[:8] == 0).all() and (whole[:, -8:] == 0).all()


def test_a_fine_pattern_does_not_alias() -> None:
    stripes = np.zeros((640, 640, 3), np.uint8)
    stripes[:, ::2] = 255
    small = Preprocessing(size=64).square(stripes)
    assert np.abs(small.astype(int) - 127).max() < 15


@pytest.mark.parametrize(("size", "crop", "least"), [(224, 1.0, 224), (224, 0.875, 256), (300, 0.9, 333)])
def test_at_least(size: int, crop: float, least: int) -> None:
    assert Preprocessing(size=size, crop=crop).at_least == least


def test_one_pixel_is_a_picture() -> None:
    assert (Preprocessing(size=16, mean=0.0, std=1.0)(np.full((1, 1, 3), 7, np.uint8)) == 7).all()


def test_the_mirrored_picture_gives_the_mirrored_input(photo_files: list[Path]) -> None:
    """What lets features of mirrored photos be made without decoding twice; Pillow rounds to whole grey levels."""
    with Image.open(photo_files[0]) as image:
        pixels = np.asarray(image)
    ours = Preprocessing()
    assert np.abs(ours(np.flip(pixels, 1)) - ours(pixels)[:, :, ::-1]).max() <= 1.01 / 128


@pytest.mark.parametrize(
    "ours",
    [
        Preprocessing(size=300, crop=0.875, mean=127.5, std=1 / 3),
        Preprocessing(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375), interpolation="bilinear"),
        Preprocessing(size=32, mean=(33.3,), std=(78.6,), channels=1, border=2),
    ],
)
def test_json_round_trip(ours: Preprocessing) -> None:
    assert Preprocessing.from_json(json.loads(json.dumps(ours.to_json()))) == ours


def test_json_of_an_older_bundle_still_means_what_it_did() -> None:
    older = {"size": 224, "crop": 1.0, "mean": 127.0, "std": 128.0}
    assert Preprocessing.from_json(older) == Preprocessing(interpolation="bicubic")


def test_what_is_usual_goes_unsaid_so_that_older_foveals_read_it() -> None:
    assert Preprocessing().to_json().keys() == {"size", "crop", "mean", "std", "interpolation"}
    assert Preprocessing(channels=1, border=2).to_json().items() >= {"channels": 1, "border": 2}.items()


def test_grey_is_pillows_luma_inside_a_black_border() -> None:
    pixels = picture(28, 28)
    ours = Preprocessing(size=32, channels=1, border=2).square(pixels)
    assert ours.shape == (32, 32, 1)
    assert np.array_equal(ours[2:-2, 2:-2, 0], np.asarray(Image.fromarray(pixels).convert("L")))
    assert int(ours[2:-2, 2:-2].sum(dtype=int)) == int(ours.sum(dtype=int))


GOOD: dict[str, Any] = Preprocessing().to_json()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "expected the keys size, crop, mean, std and interpolation"),
        ([], "expected the keys"),
        ({}, "expected the keys"),
        ({**GOOD, "extra": 1}, "expected the keys"),
        ({k: v for k, v in GOOD.items() if k != "std"}, "expected the keys"),
        ({**GOOD, "size": 7}, "size = 7; expected a number from 8 to 4096"),
        ({**GOOD, "size": 4097}, "size = 4097"),
        ({**GOOD, "size": 10**400}, "size = 1000"),
        ({**GOOD, "size": 224.0}, "size = 224.0; expected a whole number"),
        ({**GOOD, "size": "224"}, "size = '224'"),
        ({**GOOD, "size": True}, "size = True"),
        ({**GOOD, "crop": 0.0}, "crop = 0.0; expected a number from 0.1 to 1.0"),
        ({**GOOD, "crop": 1.01}, "crop = 1.01"),
        ({**GOOD, "mean": float("nan")}, "mean = nan"),
        ({**GOOD, "mean": -1}, "mean = -1"),
        ({**GOOD, "std": 0}, "std = 0"),
        ({**GOOD, "std": float("inf")}, "std = inf"),
        ({**GOOD, "size": [224, 224, 224]}, "size = [224, 224, 224]; expected a number from 8 to 4096"),
        ({**GOOD, "std": [1, 2]}, "std = [1, 2]; expected a number from 0.001 to 255.0, or three of them"),
        ({**GOOD, "std": [1, 2, 3, 4]}, "std = [1, 2, 3, 4]"),
        ({**GOOD, "std": [1, 2, 0]}, "std = [1, 2, 0]"),
        ({**GOOD, "mean": [1, 2, [3]]}, "mean = [1, 2, [3]]"),
        ({**GOOD, "mean": [1, 2, float("nan")]}, "mean = [1, 2, nan]"),
        ({**GOOD, "mean": ["1"] * 10**5}, "mean = ["),
        ({**GOOD, "interpolation": "nearest"}, "interpolation = 'nearest'; expected bicubic or bilinear"),
        ({**GOOD, "interpolation": None}, "interpolation = None"),
        ({**GOOD, "interpolation": ["bicubic"]}, "interpolation = ['bicubic']"),
        ({**GOOD, "std": None}, "std = None"),
        ({**GOOD, "channels": 2}, "channels = 2; expected 1 or 3"),
        ({**GOOD, "channels": True}, "channels = True; expected 1 or 3"),
        (
            {**GOOD, "channels": 1, "mean": [1, 2, 3]},
            "mean = [1, 2, 3]; expected a number from 0.0 to 255.0, or one of",
        ),
        ({**GOOD, "border": -1}, "border = -1; expected 0 to a quarter of the size"),
        ({**GOOD, "border": 57}, "border = 57; expected 0 to a quarter of the size"),
        ({**GOOD, "border": 2.0}, "border = 2.0; expected"),
    ],
)
def test_untrusted_data_is_refused(data: Any, message: str) -> None:
    with pytest.raises(DataError, match=r"^preprocessing: ") as caught:
        Preprocessing.from_json(data)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 200
