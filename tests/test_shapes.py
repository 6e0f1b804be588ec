"""The lectures' sizes, and the general formula against PyTorch (in tests/contracts/test_ops.py)."""

from __future__ import annotations

import pytest

from foveal.errors import ShapeError
from foveal.shapes import output_size, per_axis, resolve_padding, same_padding, slide, text, window


@pytest.mark.parametrize(("stride", "size"), [(1, 5), (2, 3)])
def test_seven_by_seven_under_three_by_three(stride: int, size: int) -> None:
    assert output_size(7, 3, stride) == size


def test_stride_three_does_not_fit() -> None:
    assert output_size(7, 3, 3) == 2
    with pytest.raises(ShapeError, match=r"\(7 - 3\)/3 \+ 1 = 2\.33 does not fit"):
        output_size(7, 3, 3, strict=True)
    with pytest.raises(ShapeError, match=r"\(26 - 3\)/3 \+ 1 = 8\.67"):
        slide((26, 26), 3, 3, 0, strict=True)


def test_pad_one_keeps_seven_and_half_the_kernel_keeps_any() -> None:
    assert output_size(7, 3, padding=(1, 1)) == 7
    for kernel in (1, 3, 5, 7):
        assert output_size(32, kernel, padding=((kernel - 1) // 2,) * 2) == 32


def test_repeated_five_by_five_shrinks() -> None:
    assert [output_size(32, 5), output_size(28, 5)] == [28, 24]


def test_five_by_five_kernel_three_pad_one_stride_two() -> None:
    assert output_size(5, 3, 2, (1, 1)) == 3
    assert output_size(3, 3, 2, (1, 1)) == 2


def test_same_pads_one_before_and_two_after() -> None:
    assert same_padding(32, 5, stride=2) == (1, 2)
    assert output_size(32, 5, 2, (1, 2)) == 16


def test_dilated_window() -> None:
    assert window(3, 2) == 5
    with pytest.raises(ShapeError, match="a kernel of 3 dilated by 4 does not fit an input of 8"):
        output_size(8, 3, dilation=4)


def test_padding_forms() -> None:
    assert resolve_padding(1, (8, 9), 3, 1) == ((1, 1), (1, 1))
    assert resolve_padding((1, 2), (8, 9), 3, 1) == ((1, 1), (2, 2))
    assert resolve_padding(((0, 1), (2, 3)), (8, 9), 3, 1) == ((0, 1), (2, 3))
    assert resolve_padding("same", (8, 9), 3, 2) == ((0, 1), (1, 1))
    with pytest.raises(ShapeError, match="unknown padding 'valid'"):
        resolve_padding("valid", (8, 9), 3, 1)
    with pytest.raises(ShapeError, match="is for 1 axes, but the input has 2"):
        resolve_padding((1,), (8, 9), 3, 1)
    with pytest.raises(ShapeError, match="has 2 numbers"):
        per_axis((3, 3), 3)


def test_lectures_write_channels_last() -> None:
    assert text((3, 32, 48)) == "32x48x3"
