"""Zeros to begin with and sigmoids: counts and gradients against the reference in NumPy, and what the lectures say."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
import torch

from foveal import notation
from foveal.build import build
from foveal.errors import UsageError
from foveal.experiments.symmetry import HIDDEN, Symmetry, distinct_units, symmetry
from foveal.experiments.vanishing import DEPTH, Vanishing, gradient_lengths, network, vanishing
from foveal.experiments.watching import HE, digits, plain
from foveal.initializing import initialize
from foveal.reference import backward, run
from foveal.reference.losses import cross_entropy_backward
from foveal.training.state import Training

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def starts() -> Symmetry:
    return symmetry(epochs=3)


@pytest.fixture(scope="module")
def nets() -> Vanishing:
    return vanishing(epochs=4)


def test_units_that_begin_alike_stay_alike(starts: Symmetry) -> None:
    zeros, equal, random = starts.starts
    for start in (zeros, equal):
        assert all(set(counts) == {1} for counts in start.distinct.values()), start.name
    assert all(set(random.distinct[layer]) == {starts.units[layer]} for layer in HIDDEN)
    assert zeros.loss == pytest.approx(math.log(10), abs=0.01)
    assert random.loss < equal.loss < zeros.loss and random.accuracy > 0.8 > 0.5 > equal.accuracy
    assert len(zeros.losses) + 1 == len(zeros.distinct["conv1"]), "once before the first step, and after each"


def test_units_are_counted_as_rows_that_differ() -> None:
    rows = torch.tensor([[1.0, 2.0], [1.0, 2.0], [1.0, -2.0], [1.0 + 1e-6, 2.0]])
    assert distinct_units(rows) == 2 and distinct_units(torch.zeros(5, 3, 3)) == 1
    assert distinct_units(torch.randn(40, 3, 3, generator=torch.Generator().manual_seed(0))) == 40


def test_gradients_vanish_through_sigmoids(nets: Vanishing) -> None:
    sigmoid, relu = nets.nets
    assert len(sigmoid.before) == DEPTH + 1
    assert sigmoid.before[0] < 1e-3 * sigmoid.before[-1], "the first layer hears nothing of the loss"
    assert relu.before[0] > 0.1 * relu.before[-1]
    assert sigmoid.loss == pytest.approx(math.log(10), abs=0.05) and sigmoid.accuracy < 0.2
    assert relu.loss < 1.5 and relu.accuracy > 0.6


def test_gradient_lengths_are_the_references(nets: Vanishing) -> None:
    graph, data, config = notation.parse(network("sigmoid")), digits(), plain(1, 0)
    module = build(graph)
    initialize(module, HE, 0)
    training = Training(module, data, config)
    weights = {name: tensor.double().numpy() for name, tensor in module.state_dict().items()}
    x = (data.train.x - np.reshape(data.mean, (-1, 1, 1))) / np.reshape(data.std, (-1, 1, 1))
    values = run(graph, weights, x)
    (logits,) = graph.outputs
    _, gradients = backward(graph, weights, values, {logits: cross_entropy_backward(values[logits], data.train.y)})
    lengths = [np.linalg.norm(gradients[name]) for name in weights if name.endswith("weight")]
    assert gradient_lengths(training) == pytest.approx(lengths, rel=1e-4)
    assert nets.nets[0].before == pytest.approx(lengths, rel=1e-4)


def test_both_are_told_and_drawn(starts: Symmetry, nets: Vanishing) -> None:
    assert [line.split()[:3] for line in str(starts).splitlines()[2:5]] == [
        ["zeros", "1", "1"], ["equal", "1", "1"], ["random", "8", "32"],
    ]  # fmt: skip
    lines = str(nets).splitlines()
    assert lines[4].split()[0] == "1" and lines[DEPTH + 4].split()[0] == str(DEPTH + 1)
    assert lines[-1] == "ln 10 = 2.303 is the loss of all classes alike"
    for found in (starts, nets):
        figure = found.plot()
        figure.savefig(io.BytesIO())
        assert "ln 10: all classes alike" in [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
        assert found.to_json()["network"].startswith("8x8x1 > ")


def test_refusals() -> None:
    with pytest.raises(UsageError, match="epochs = 0; expected a number from 1"):
        symmetry(epochs=0)
    with pytest.raises(UsageError, match="seed = -1; expected"):
        vanishing(seed=-1)
