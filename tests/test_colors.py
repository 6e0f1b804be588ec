"""Colours against matplotlib's cividis and against the two scales as they are written down in the design."""

from __future__ import annotations

import matplotlib
import numpy as np
import pytest

from foveal.colors import SCALES, cividis, diverging


def test_cividis_is_matplotlibs() -> None:
    values = np.linspace(0, 1, 256)
    expected = np.asarray(matplotlib.colormaps["cividis"](values))[:, :3] * 255
    assert np.abs(cividis(values) - expected).max() <= 3


def test_cividis_grows_lighter() -> None:
    luminance = cividis(np.linspace(0, 1, 64)) @ (0.2126, 0.7152, 0.0722)
    assert (np.diff(luminance) > 0).all()


@pytest.mark.parametrize(
    ("scale", "low", "middle", "high"),
    [
        ("signals", (0xB5, 0x50, 0x0B), (0xF7, 0xF7, 0xF7), (0x16, 0x68, 0xB0)),
        ("parameters", (0x8A, 0x2B, 0xE2), (0xF7, 0xF7, 0xF7), (0x2F, 0x7D, 0x20)),
    ],
)
def test_diverging(scale: str, low: tuple[int, ...], middle: tuple[int, ...], high: tuple[int, ...]) -> None:
    half = np.rint((np.array(middle) + np.array(high)) / 2)
    colours = diverging([-1, 0, 1, -9, 9, np.nan, np.inf, 0.5], scale)
    np.testing.assert_array_equal(colours, [low, middle, high, low, high, middle, high, half])
    assert colours.dtype == np.uint8
    assert tuple(f"#{bytes(c).hex()}" for c in (low, middle, high)) == SCALES[scale]


def test_shapes_and_odd_values() -> None:
    assert cividis(0.5).shape == (3,)
    assert cividis(np.zeros((2, 0, 4))).shape == (2, 0, 4, 3)
    np.testing.assert_array_equal(cividis([-1, np.nan, -np.inf]), cividis([0, 0, 0]))
    np.testing.assert_array_equal(cividis([2, np.inf]), cividis([1, 1]))
