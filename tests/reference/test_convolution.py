"""What a convolution is: a correlation, a matrix, groups side by side. Oracles: PyTorch, SciPy, the lectures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from against_torch import close, inputs
from scipy.signal import convolve
from torch.nn import functional as F

from foveal import ops
from foveal.errors import ShapeError, UsageError
from foveal.reference import OPS, as_matrix, true_convolution
from foveal.reference.base import Array, overlaid, windows
from foveal.reference.linear import correlate, full_correlate, turned
from foveal.shapes import Shape

RNG = np.random.default_rng(0)


def normal(*shape: int) -> Array:
    return RNG.normal(size=shape)


def test_true_convolution_turns_the_filter() -> None:
    """Oracles: SciPy's convolution, and PyTorch's layer under the turned filter."""
    x, weight = normal(1, 1, 7, 9), normal(1, 1, 3, 4)
    y = true_convolution(x, weight)
    close(y[0, 0], convolve(x[0, 0], weight[0, 0], mode="valid"))
    close(y, F.conv2d(torch.from_numpy(x), torch.from_numpy(weight).flip(2, 3)).numpy())
    assert np.abs(y - correlate(x, weight)).max() > 0.1
    symmetric = weight + turned(weight)
    close(true_convolution(x, symmetric), correlate(x, symmetric))


@pytest.mark.parametrize(("n", "kernel"), [(5, 1), (6, 2), (7, 3), (9, 5)])
def test_the_gradient_under_stride_1_is_a_padded_layer_with_the_turned_filter(n: int, kernel: int) -> None:
    """DESIGN: full cross-correlation of the output's gradient, channels swapped; autograd's gradient is the oracle."""
    weight, x = torch.from_numpy(normal(4, 3, kernel, kernel)), torch.from_numpy(normal(2, 3, n, n)).requires_grad_()
    y = F.conv2d(x, weight)
    gy = torch.from_numpy(normal(*y.shape))
    y.backward(gy)
    close(full_correlate(gy.numpy(), weight.numpy(), 1, 1, (n, n)), x.grad.numpy())
    layer = F.conv2d(gy, weight.flip(2, 3).swapaxes(0, 1), padding=kernel - 1)
    close(layer.numpy(), x.grad.numpy())


@pytest.mark.parametrize(
    ("op", "x"),
    [
        (ops.Conv(2, 3), (1, 5, 5)),
        (ops.Conv(4, (2, 3), stride=2, padding=((0, 1), (2, 0)), groups=2), (2, 4, 5)),
        (ops.Conv(2, 3, dilation=2, padding="same"), (3, 8)),
        (ops.ConvTranspose(2, 3, stride=2), (2, 3, 4)),
        (ops.Dense(4), (6,)),
    ],
    ids=str,
)
def test_a_layer_is_a_matrix(op: ops.Conv, x: Shape) -> None:
    weight = normal(*op.parameters(x)["weight"])
    matrix = as_matrix(op, x, weight)
    (image,) = inputs((x,))
    bias = np.zeros(op.parameters(x)["bias"])
    y = OPS[type(op)].forward(op, {"weight": weight, "bias": bias}, image)
    close(image.reshape(len(image), -1) @ matrix.T, y.reshape(len(y), -1))
    (gx,), _ = OPS[type(op)].backward(op, {"weight": weight, "bias": bias}, (image,), y, y)
    close(y.reshape(len(y), -1) @ matrix, gx.reshape(len(gx), -1))


def test_the_matrix_of_a_convolution_shows_local_connections_and_shared_weights() -> None:
    weight = np.arange(1.0, 10).reshape(1, 1, 3, 3)
    matrix = as_matrix(ops.Conv(1, 3), (1, 5, 5), weight)
    assert matrix.shape == (9, 25)
    assert all(sorted(row[row != 0]) == list(range(1, 10)) for row in matrix)
    assert matrix[0, [0, 1, 2, 5, 6, 7, 10, 11, 12]].tolist() == list(range(1, 10))
    close(matrix[1, 1:], matrix[0, :-1])  # one step to the right
    close(as_matrix(ops.ConvTranspose(1, 3), (1, 3, 3), weight), matrix.T)


@pytest.mark.parametrize(
    ("op", "x", "weight", "said"),
    [
        (ops.Relu(), (3,), (3,), "Relu has no matrix here; expected Conv, ConvTranspose or Dense"),
        (ops.Conv(64, 3, padding=1), (64, 224, 224), (64, 64, 3, 3), "3,211,264 x 3,211,264 is too large"),
        (ops.Conv(2, 3), (1, 5, 5), (2, 3, 3), r"weight has the shape \(2, 3, 3\); .* Conv takes \(2, 1, 3, 3\)"),
    ],
)  # fmt: skip
def test_no_matrix(op: ops.Conv, x: Shape, weight: Shape, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        as_matrix(op, x, np.zeros(weight))


def test_the_matrix_of_a_layer_that_does_not_fit() -> None:
    with pytest.raises(ShapeError, match="a kernel of 3 does not fit an input of 2"):
        as_matrix(ops.Conv(2, 3), (1, 2, 2), np.zeros((2, 1, 3, 3)))


def test_two_groups_are_two_convolutions_side_by_side() -> None:
    """DESIGN: each on half of the channels, concatenated; Krizhevsky et al. (2012)."""
    x, weight, bias = normal(2, 6, 7, 7), normal(8, 3, 3, 3), normal(8)
    whole = OPS[ops.Conv].forward(ops.Conv(8, 3, padding=1, groups=2), {"weight": weight, "bias": bias}, x)
    halves = [
        OPS[ops.Conv].forward(
            ops.Conv(4, 3, padding=1), {"weight": weight[4 * i :][:4], "bias": bias[4 * i :][:4]}, x[:, 3 * i :][:, :3]
        )
        for i in range(2)
    ]
    close(whole, np.concatenate(halves, axis=1))


def test_each_number_of_a_map_is_a_75_dimensional_dot_product_plus_bias() -> None:
    """DESIGN: six 5x5 filters on 32x32x3 give 28x28x6."""
    x, weight, bias = normal(1, 3, 32, 32), normal(6, 3, 5, 5), normal(6)
    y = OPS[ops.Conv].forward(ops.Conv(6, 5), {"weight": weight, "bias": bias}, x)
    assert y.shape == (1, 6, 28, 28)
    patch = x[0, :, 11:16, 20:25].ravel()
    assert patch.size == 75
    assert y[0, 4, 11, 20] == pytest.approx(patch @ weight[4].ravel() + bias[4], rel=1e-12)


def test_overlaid_is_the_transpose_of_windows() -> None:
    """``<windows(x), z> = <x, overlaid(z)>``, the definition of a transpose."""
    x = normal(2, 3, 8, 7)
    cells = normal(*windows(x, (3, 2), (2, 1)).shape)
    assert (windows(x, (3, 2), (2, 1)) * cells).sum() == pytest.approx((x * overlaid(cells, (8, 7), (2, 1))).sum())
