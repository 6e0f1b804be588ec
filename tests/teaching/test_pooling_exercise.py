"""The lectures' pooling exercise, forward and backward; PyTorch and SciPy are the oracles."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from foveal.errors import ShapeError, UnknownName
from foveal.teaching import pictures
from foveal.teaching.pooling import POOLS, backward_lines, pool, pool_backward, pool_lines, pool_picture
from small_photos import photograph

EXERCISE = np.array([[1, 1, 2, 5], [5, 7, 7, 8], [3, 1, 1, 0], [1, 2, 3, 4]])
PHOTO = np.asarray(photograph("cat"))[:50, :61]


@pytest.mark.parametrize(
    ("op", "stride", "result"),
    [
        ("max", 2, [[7, 8], [3, 4]]),
        ("mean", 2, [[3.5, 5.5], [1.75, 2]]),
        ("median", 2, [[3, 6], [1.5, 2]]),
        ("max", 1, [[7, 7, 8], [7, 7, 8], [3, 3, 4]]),
    ],
)
def test_the_lectures_exercise(op: str, stride: int, result: list[list[float]]) -> None:
    assert pool(EXERCISE, op, 2, stride).tolist() == result


def test_the_lectures_backward_pass() -> None:
    """3 x 3 windows, stride 1: overlaps add, the sum is preserved; of the two sevens the first wins."""
    gradient = np.array([[1, 2], [3, 4]])
    gx = pool_backward(EXERCISE, "max", 3, 1, gradient)
    assert gx.tolist() == [[0, 0, 0, 0], [0, 1 + 3, 0, 2 + 4], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert gx.sum() == gradient.sum()


@pytest.mark.parametrize(("op", "torchs"), [("max", "max_pool2d"), ("mean", "avg_pool2d")])
@pytest.mark.parametrize(("size", "stride"), [(2, None), (3, 1), ((2, 3), (3, 2))])
def test_as_torch(op: str, torchs: str, size: int | tuple[int, int], stride: int | tuple[int, int] | None) -> None:
    x = torch.from_numpy(PHOTO.astype(float)).permute(2, 0, 1)[None].requires_grad_()
    y = getattr(torch.nn.functional, torchs)(x, size, stride)
    assert np.allclose(pool(PHOTO, op, size, stride), y[0].permute(1, 2, 0).detach().numpy())
    g = torch.from_numpy(np.random.default_rng(0).normal(size=y.shape))
    y.backward(g)
    assert x.grad is not None
    ours = pool_backward(PHOTO, op, size, stride, g[0].permute(1, 2, 0).numpy())
    assert np.allclose(ours, x.grad[0].permute(1, 2, 0).numpy())


def test_the_median_is_scipys_filter() -> None:
    theirs = ndimage.median_filter(PHOTO[..., 0].astype(float), 3)[1:-1, 1:-1]
    assert np.array_equal(pool(PHOTO[..., 0], "median", 3, 1), theirs)


@pytest.mark.parametrize("op", POOLS)
def test_the_gradients_sum_stays(op: str) -> None:
    assert pool_backward(EXERCISE, op, 3, 1).sum() == pytest.approx(4)


def test_large_pictures_go_through_in_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = pool_picture(PHOTO, "median", 3, 2)
    assert whole.dtype == np.uint8
    monkeypatch.setattr(pictures, "_CELLS", 5000)
    assert np.array_equal(pool_picture(PHOTO, "median", 3, 2), whole)


def test_written_out() -> None:
    lines = list(pool_lines(EXERCISE, "median"))
    assert lines[0] == "median of 2 x 2 windows, stride 2 x 2: 4 x 4 -> 2 x 2"
    assert lines[3] == "  y[1,0] = median of 3 1 | 1 2 = 1.5" and lines[-2:] == ["    3 6", "  1.5 2"]
    back = list(backward_lines(EXERCISE, "max", 3, 1, [[1, 2], [3, 4]]))
    assert "  x[1,1] gets 1 from y[0,0] + 3 from y[1,0] = 4" in back
    assert "  x[1,3] gets 2 from y[0,1] + 4 from y[1,1] = 6" in back
    assert back[-1] == "its sum is 10 at y and 10 at x"
    assert not any("y[0,0] =" in line for line in pool_lines(np.ones((50, 50)), "max", 2, 1))


def test_refusals() -> None:
    with pytest.raises(UnknownName, match="unknown pooling 'maxx'; did you mean max"):
        pool(EXERCISE, "maxx")
    with pytest.raises(ShapeError, match="a kernel of 5 does not fit an input of 4"):
        pool(EXERCISE, "max", 5)
    with pytest.raises(ShapeError, match=r"values of the shape \(4,\); expected numbers"):
        pool(EXERCISE[0])
    with pytest.raises(ShapeError, match=r"MaxPool: a gradient of \(1, 1, 1, 1\) for an activation of \(1, 1, 2, 2\)"):
        pool_backward(EXERCISE, gradient=[[1]])
