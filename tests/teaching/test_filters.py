"""The lectures' filters against SciPy, Pillow and PyTorch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from scipy import ndimage

from foveal.errors import ShapeError, UnknownName, UsageError
from foveal.teaching import pictures
from foveal.teaching.filters import KERNELS, filter_lines, filter_picture, filter_values, read_kernel
from foveal.teaching.pictures import drawn, enlargement, grey_if_grey, side_by_side
from small_photos import photograph

PHOTO = np.asarray(photograph("cat"))[:60, :81]


def test_the_lectures_kernels() -> None:
    lecture = {
        "blur": ([[1, 2, 1], [2, 4, 2], [1, 2, 1]], 16),
        "vertical": ([[-3, 0, 3], [-6, 0, 6], [-3, 0, 3]], 1),
        "horizontal": ([[-3, -6, -3], [0, 0, 0], [3, 6, 3]], 1),
        "sharpen": ([[0, -1, 0], [-1, 20, -1], [0, -1, 0]], 16),
    }
    for name, (rows, divisor) in lecture.items():
        assert np.array_equal(KERNELS[name], np.array(rows) / divisor), name
    assert {name: float(kernel.sum()) for name, kernel in KERNELS.items()} == {
        "blur": 1, "sharpen": 1, "vertical": 0, "horizontal": 0, "edges": 0,
    }  # fmt: skip


def test_edges_are_what_a_mean_takes_away() -> None:
    grey = PHOTO[..., 0].astype(float)
    mean = ndimage.uniform_filter(grey, 3)[1:-1, 1:-1]
    assert np.allclose(filter_values(grey, KERNELS["edges"]), 9 * (grey[1:-1, 1:-1] - mean))


@pytest.mark.parametrize("name", KERNELS)
def test_as_scipy_correlates(name: str) -> None:
    ours = filter_values(PHOTO, KERNELS[name], padding="same")
    theirs = [ndimage.correlate(PHOTO[..., c].astype(float), KERNELS[name], mode="constant") for c in range(3)]
    assert np.allclose(ours, np.stack(theirs, -1), atol=1e-10, rtol=0)


@pytest.mark.parametrize(("stride", "padding"), [(1, 0), (2, 1), ((3, 2), (0, 2))])
def test_as_torch_with_stride_and_padding(stride: int | tuple[int, int], padding: int | tuple[int, int]) -> None:
    kernel = np.random.default_rng(0).normal(size=(4, 3))
    x = torch.from_numpy(PHOTO.astype(float)).permute(2, 0, 1)[:, None]
    theirs = torch.nn.functional.conv2d(x, torch.from_numpy(kernel)[None, None], stride=stride, padding=padding)
    ours = filter_values(PHOTO, kernel, stride, padding)
    assert np.allclose(ours, theirs[:, 0].permute(1, 2, 0).numpy(), atol=1e-9, rtol=0)


def test_as_pillow_blurs() -> None:
    """Pillow rounds halves up and we to even, so that one level is allowed."""
    blur = ImageFilter.Kernel((3, 3), [1, 2, 1, 2, 4, 2, 1, 2, 1], 16)
    theirs = np.asarray(Image.fromarray(PHOTO).filter(blur))[1:-1, 1:-1]
    ours, shown = filter_picture(PHOTO, KERNELS["blur"])
    assert np.abs(ours.astype(int) - theirs).max() <= 1 and (ours == theirs).mean() > 0.9
    assert (shown.scale, shown.clipped) == (None, 0)


def test_large_pictures_go_through_in_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = filter_values(PHOTO, KERNELS["sharpen"], 2, 1)
    monkeypatch.setattr(pictures, "_CELLS", 5000)
    assert np.array_equal(filter_values(PHOTO, KERNELS["sharpen"], 2, 1), whole)


def test_differences_are_shown_about_middle_grey() -> None:
    values = np.zeros((10, 10))
    values[0, :4] = 8, -8, 4, 800
    pixels, shown = drawn(values, signed=True)
    assert (shown.low, shown.high, shown.clipped) == (-8, 800, 0.01)
    assert shown.scale is not None and 8 <= shown.scale < 20
    assert pixels[1, 1] == 128 and pixels[0, 3] == 255
    assert pixels[0, 0] - 128 == 128 - pixels[0, 1] == np.rint(8 * 127 / shown.scale)
    flat, shown = drawn(np.zeros((4, 4)), signed=True)
    assert (flat == 128).all() and shown.clipped == 0


def test_brightness_is_clipped_and_said() -> None:
    grey = np.full((3, 4), 200, np.uint8)
    after, shown = filter_picture(grey, np.ones((2, 2)))
    assert (after == 255).all() and (shown.low, shown.high, shown.clipped) == (800, 800, 1)
    lines = list(filter_lines(grey, after, np.ones((2, 2)), shown))
    assert lines[0].startswith("kernel, sum 4, ") and "(cross-correlation)" in lines[0]
    assert lines[3] == "4 x 3 pixels, grey -> 3 x 2 pixels, grey, values from 800 to 800"
    assert lines[4] == "shown as they are, rounded, 100 % of them clipped to 0..255"
    assert "4 times as bright" in lines[5]


def test_side_by_side() -> None:
    before, after = np.zeros((6, 9), np.uint8), np.full((2, 3), 7, np.uint8)
    both = side_by_side(before, after)
    assert enlargement(before, after) == 3 and both.shape == (6, 9 + 12 + 9)
    assert (both[:, :9] == 0).all() and (both[:, 9:21] == 255).all() and (both[:, 21:] == 7).all()
    assert side_by_side(PHOTO, PHOTO[:50]).shape == (60, 174, 3)


def test_grey_is_one_channel() -> None:
    assert grey_if_grey(np.repeat(PHOTO[..., :1], 3, 2)).shape == (60, 81) and grey_if_grey(PHOTO) is PHOTO


def test_kernels_by_name_text_and_file(tmp_path: Path) -> None:
    file = tmp_path / "kernel.csv"
    file.write_text("1,2\n3,4\n")
    assert read_kernel("blur") is KERNELS["blur"]
    assert read_kernel("[[1, 2], [3, 4]]").tolist() == read_kernel(str(file)).tolist() == [[1, 2], [3, 4]]


def test_refusals() -> None:
    with pytest.raises(UnknownName, match="unknown kernel 'blurr'; did you mean blur"):
        read_kernel("blurr")
    for name in ("x" * 5000, "a\0b"):
        with pytest.raises(UnknownName, match="unknown kernel"):
            read_kernel(name)
    with pytest.raises(UsageError, match="a kernel of 32 x 1; expected at most 31 x 31"):
        read_kernel(str([[1]] * 32))
    with pytest.raises(ShapeError, match=r"a kernel of the shape \(3,\)"):
        filter_values(PHOTO, np.ones(3))
    with pytest.raises(ShapeError, match="a kernel of 3 does not fit an input of 2"):
        filter_values(PHOTO[:2], KERNELS["blur"])
