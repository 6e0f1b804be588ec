"""What training makes small: losses of a batch, each with its gradient, and the penalty on large weights."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from foveal import ops
from foveal.errors import ShapeError, UsageError
from foveal.reference.base import Array
from foveal.reference.norms import log_softmax

Labels = npt.ArrayLike
"""The true class of each image, a whole number from 0."""


def cross_entropy(logits: Array, labels: Labels) -> float:
    """The mean over the batch of ``-log p[true]``, ``p = softmax(logits)``; Goodfellow et al. (2016), section 6.2.2.3.

    Parameters
    ----------
    logits : (batch, classes).

    Raises
    ------
    ShapeError : not one row of logits for each label. UsageError : a label that is no class.
    """
    return -float((_truth(logits, labels) * _log_softmax(logits)).sum(1).mean())


def cross_entropy_backward(logits: Array, labels: Labels) -> Array:
    """``(p - truth) / batch``, truth being 1 at the true class and else 0."""
    return (np.exp(_log_softmax(logits)) - _truth(logits, labels)) / len(logits)


def squared_error(y: Array, target: Array, *, half: bool = False) -> float:
    """The mean over all values of ``(y - target)^2``, as in PyTorch; with `half` of half of it, as in the lectures.

    Raises
    ------
    ShapeError : a target of another shape.
    """
    return float((_difference(y, target) ** 2).mean()) / (2 if half else 1)


def squared_error_backward(y: Array, target: Array, *, half: bool = False) -> Array:
    """``2 (y - target) / values``; without the 2 with `half`, which is there to take it away."""
    return _difference(y, target) * (1 if half else 2) / y.size


def hinge(logits: Array, labels: Labels, margin: float = 1.0) -> float:
    """The mean over the batch of the sum over wrong classes of ``max(0, logits[c] - logits[true] + margin)``.

    Weston & Watkins (1999). PyTorch's ``multi_margin_loss`` divides by the number of classes as well.

    Raises
    ------
    ShapeError, UsageError : as by `cross_entropy`.
    """
    return float(np.maximum(_excess(logits, labels, margin), 0).sum(1).mean())


def hinge_backward(logits: Array, labels: Labels, margin: float = 1.0) -> Array:
    """1 / batch for each wrong class within the margin, and minus their sum for the true class."""
    within = (_excess(logits, labels, margin) > 0).astype(logits.dtype)
    return (within - _truth(logits, labels) * within.sum(1, keepdims=True)) / len(logits)


def l2(weights: Mapping[str, Array], decay: float) -> float:
    """``decay/2`` times the sum of all squared weights, biases excluded: arrays named ``bias`` or ``....bias``."""
    return decay / 2 * sum(float((weights[name] ** 2).sum()) for name in _penalised(weights))


def l2_backward(weights: Mapping[str, Array], decay: float) -> dict[str, Array]:
    """``decay * weight`` for each array that `l2` penalises: weights shrink in proportion (weight decay)."""
    return {name: decay * weights[name] for name in _penalised(weights)}


def _log_softmax(logits: Array) -> Array:
    return log_softmax(ops.LogSoftmax(), {}, logits)


def _truth(logits: Array, labels: Labels) -> Array:
    """(batch, classes): 1 at each image's class, else 0."""
    classes = np.asarray(labels)
    if logits.ndim != 2 or classes.shape != logits.shape[:1]:
        raise ShapeError(f"logits {logits.shape} and labels {classes.shape}; expected (batch, classes) and (batch,)")
    if not np.issubdtype(classes.dtype, np.integer) or not (classes >= 0).all() or (classes >= logits.shape[1]).any():
        raise UsageError(f"labels are whole numbers from 0 to {logits.shape[1] - 1}, not {classes.tolist()!r:.80}")
    return (np.arange(logits.shape[1]) == classes[:, None]).astype(logits.dtype)


def _difference(y: Array, target: Array) -> Array:
    if y.shape != target.shape:
        raise ShapeError(f"outputs {y.shape} and targets {target.shape}; expected the same shape")
    return y - target


def _excess(logits: Array, labels: Labels, margin: float) -> Array:
    """By how much each wrong class comes within the margin of the true one; below 0 if it does not; 0 for the true."""
    truth = _truth(logits, labels)
    return (logits - (logits * truth).sum(1, keepdims=True) + margin) * (1 - truth)


def _penalised(weights: Mapping[str, Array]) -> list[str]:
    return [name for name in weights if name.rpartition(".")[2] != "bias"]
