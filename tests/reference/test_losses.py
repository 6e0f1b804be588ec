"""Losses and the L2 penalty against PyTorch's functions and autograd, in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from foveal.errors import ShapeError, UsageError
from foveal.reference import losses

LOGITS, LABELS = np.random.default_rng(0).normal(scale=3, size=(5, 4)), np.array([0, 3, 1, 1, 2])
TARGETS = np.random.default_rng(1).normal(size=(5, 4))


@pytest.mark.parametrize(
    ("mine", "backward", "target", "options", "oracle"),
    [
        (losses.cross_entropy, losses.cross_entropy_backward, LABELS, {}, F.cross_entropy),
        (losses.squared_error, losses.squared_error_backward, TARGETS, {}, F.mse_loss),
        (losses.squared_error, losses.squared_error_backward, TARGETS, {"half": True},
         lambda y, t: F.mse_loss(y, t) / 2),
        (losses.hinge, losses.hinge_backward, LABELS, {}, lambda y, t: 4 * F.multi_margin_loss(y, t)),
        (losses.hinge, losses.hinge_backward, LABELS, {"margin": 2.5},
         lambda y, t: 4 * F.multi_margin_loss(y, t, margin=2.5)),
    ],
)  # fmt: skip
def test_losses_are_those_of_torch(
    mine: Callable[..., float],
    backward: Callable[..., Any],
    target: Any,
    options: dict[str, Any],
    oracle: Callable[[Tensor, Tensor], Tensor],
) -> None:
    y = torch.from_numpy(LOGITS).clone().requires_grad_()
    loss = oracle(y, torch.from_numpy(target))
    loss.backward()
    assert mine(LOGITS, target, **options) == pytest.approx(loss.item(), rel=1e-12)
    np.testing.assert_allclose(backward(LOGITS, target, **options), y.grad, rtol=1e-12, atol=1e-15)


def test_cross_entropy_does_not_overflow() -> None:
    logits = np.array([[1000.0, 0.0], [0.0, -1000.0]])
    assert losses.cross_entropy(logits, [1, 0]) == 500
    np.testing.assert_array_equal(losses.cross_entropy_backward(logits, [1, 0]), [[0.5, -0.5], [0, 0]])


def test_l2_leaves_biases_out() -> None:
    weights = {"conv.weight": np.array([[1.0, 2], [3, 4]]), "conv.bias": np.array([100.0]), "bias": np.array([7.0])}
    assert losses.l2(weights, 0.1) == pytest.approx(0.05 * 30)
    gradients = losses.l2_backward(weights, 0.1)
    assert gradients.keys() == {"conv.weight"}
    np.testing.assert_allclose(gradients["conv.weight"], [[0.1, 0.2], [0.3, 0.4]])


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: losses.cross_entropy(LOGITS, [0, 1]), ShapeError, r"logits \(5, 4\) and labels \(2,\); expected"),
        (lambda: losses.hinge(LOGITS[0], 1), ShapeError, r"logits \(4,\) and labels \(\)"),
        (lambda: losses.cross_entropy(LOGITS, [0, 1, 2, 3, 4]), UsageError, r"whole numbers from 0 to 3, not \[0, 1"),
        (lambda: losses.cross_entropy_backward(LOGITS, [0, 1, 2, 3, -1]), UsageError, "from 0 to 3"),
        (lambda: losses.hinge_backward(LOGITS, [0.0, 1, 2, 3, 3]), UsageError, "labels are whole numbers"),
        (lambda: losses.squared_error(LOGITS, TARGETS[:1]), ShapeError, r"outputs \(5, 4\) and targets \(1, 4\)"),
    ],
)  # fmt: skip
def test_what_is_refused(call: Callable[[], Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        call()
