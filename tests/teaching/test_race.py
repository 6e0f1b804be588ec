"""The race: gradients against finite differences, trajectories and training against ``torch.optim``."""

from __future__ import annotations

import io
import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import check_grad, rosen, rosen_der

from foveal.build import build
from foveal.errors import UnknownName, UsageError
from foveal.reference.updates import RULES
from foveal.teaching.race import BATCH, FAR, NETWORK_RATES, SURFACES, TRACKS, _Digits, race, race_lines
from foveal.teaching.race_plot import COLOURS, plot

TORCHS: dict[str, Any] = {
    "sgd": lambda w, lr: torch.optim.SGD(w, lr),
    "momentum": lambda w, lr: torch.optim.SGD(w, lr, momentum=0.9),
    "nesterov": lambda w, lr: torch.optim.SGD(w, lr, momentum=0.9, nesterov=True),
    "adagrad": torch.optim.Adagrad,
    "rmsprop": torch.optim.RMSprop,
    "adam": torch.optim.Adam,
}
HEIGHTS: dict[str, Any] = {
    "bowl": lambda x, y: (x**2 + 25 * y**2) / 2,
    "rosenbrock": lambda x, y: (1 - x) ** 2 + 100 * (y - x**2) ** 2,
    "saddle": lambda x, y: x**2 - y**2 + y**4 / 4,
}
LOWEST = {"bowl": (0, 0), "rosenbrock": (1, 1), "saddle": (0, math.sqrt(2))}


@pytest.mark.parametrize("name", SURFACES)
def test_slopes_are_those_of_the_heights(name: str) -> None:
    surface = SURFACES[name]
    points = np.random.default_rng(0).uniform(-2, 2, (20, 2))
    for point in points:
        assert check_grad(surface.height, surface.slope, point) < 1e-4
    assert np.array_equal(surface.slope(points), np.array([surface.slope(point) for point in points]))
    assert surface.height(np.array(LOWEST[name])) == pytest.approx(surface.lowest, abs=1e-12)
    assert np.allclose(surface.slope(np.array(LOWEST[name])), 0, atol=1e-12)


def test_rosenbrock_is_scipys() -> None:
    point = np.array([-0.7, 1.3])
    assert SURFACES["rosenbrock"].height(point) == pytest.approx(rosen(point))
    assert SURFACES["rosenbrock"].slope(point) == pytest.approx(rosen_der(point))


@pytest.mark.parametrize("name", SURFACES)
def test_trajectories_are_torchs(name: str) -> None:
    for lane in race(name, steps=20).lanes:
        p = torch.tensor(SURFACES[name].start, dtype=torch.float64, requires_grad=True)
        optimizer = TORCHS[lane.rule]([p], lr=lane.lr)
        for point, height in zip(lane.points, lane.losses, strict=True):
            now = HEIGHTS[name](p[0], p[1])
            assert np.allclose(point, p.detach().numpy(), atol=1e-6) and height == pytest.approx(now.item(), abs=1e-5)
            optimizer.zero_grad()
            now.backward()
            optimizer.step()


@pytest.mark.parametrize("name", SURFACES)
def test_all_come_down_with_the_stated_rates(name: str) -> None:
    result = race(name, steps=300)
    assert [lane.rule for lane in result.lanes] == list(RULES) == list(COLOURS)
    for lane in result.lanes:
        assert lane.lr == SURFACES[name].rates[lane.rule] and len(lane.points) == len(lane.losses) == 301
        assert lane.losses[-1] - SURFACES[name].lowest < 0.2 * (lane.losses[0] - SURFACES[name].lowest), lane.rule


def test_the_network_learns_as_torchs() -> None:
    """One start and the same batches: the losses are those of `build`'s module under torch.optim, in float64."""
    lanes = race("digits", steps=4).lanes
    digits = _Digits(0)
    assert len({lane.losses[0] for lane in lanes}) == 1 and [lane.lr for lane in lanes] == [*NETWORK_RATES.values()]
    for lane in lanes:
        module = build(digits.graph).double()
        module.load_state_dict({name: torch.from_numpy(array) for name, array in digits.start.items()})
        optimizer = TORCHS[lane.rule](module.parameters(), lr=lane.lr)
        for rows, loss in zip(digits._batches(5), lane.losses, strict=True):
            assert len(rows) == BATCH
            now = torch.nn.functional.cross_entropy(
                module(torch.from_numpy(digits.x[rows])), torch.from_numpy(digits.labels[rows])
            )
            assert loss == pytest.approx(now.item(), rel=1e-5), lane.rule
            optimizer.zero_grad()
            now.backward()
            optimizer.step()


def test_digits_kept_apart_are_never_trained_on() -> None:
    digits = _Digits(1)
    assert min(rows.min() for rows in digits._batches(200)) >= digits.held == 449
    (lane,) = race("digits", rules=("adam",), steps=40).lanes
    assert lane.accuracy is not None and lane.accuracy > 0.7


def test_seeds() -> None:
    first, again, other = (race("digits", rules=("sgd",), steps=1, seed=seed) for seed in (0, 0, 1))
    assert first == again != other


@pytest.mark.parametrize("track", ["rosenbrock", "digits"])
def test_divergence_is_no_number_but_is_said(track: str) -> None:
    result = race(track, rules=("sgd",), steps=60, rates=1e5)
    (lane,) = result.lanes
    assert lane.diverged and len(lane.losses) < 60 and max(lane.losses) <= FAR and lane.accuracy is None
    assert f"diverged after {len(lane.losses) - 1} step" in list(race_lines(result))[-1]
    json.dumps(result.to_json(), allow_nan=False)


def test_written_out() -> None:
    lines = list(race_lines(race("bowl", rules=("sgd",), steps=3, rates={"sgd": 0.04, "adam": 1})))
    assert lines[0] == "bowl: (x^2 + 25 y^2) / 2, from (-4, 1.5), 3 steps"
    assert lines[2].split() == ["sgd", "0.04", "6.262", "(-3.539,", "0)"]
    assert list(race_lines(race("digits", rules=("sgd",), steps=1)))[-1].endswith(" %")


@pytest.mark.parametrize("track", TRACKS)
def test_plots(track: str) -> None:
    import matplotlib.pyplot as plt

    figure = plot(race(track, rules=("sgd", "adam"), steps=3))
    texts = [text.get_text() for text in figure.axes[-1].get_legend().get_texts()]
    assert [text.split()[0] for text in texts] == ["sgd", "adam"]
    assert len(figure.axes) == (1 if track == "digits" else 2)
    figure.savefig(io.BytesIO())
    plt.close(figure)


def test_a_plot_where_one_diverges() -> None:
    import matplotlib.pyplot as plt

    figure = plot(race("rosenbrock", rules=("sgd",), steps=60, rates=0.01))
    assert "diverged" in figure.axes[1].get_legend().get_texts()[0].get_text()
    figure.savefig(io.BytesIO())
    plt.close(figure)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"track": "bowls"}, "unknown track 'bowls'; did you mean bowl"),
        ({"rules": ("adma",)}, "unknown update rule 'adma'; did you mean adam"),
        ({"rates": {"adma": 1}}, "unknown update rule 'adma'"),
        ({"rules": ()}, "no update rule; name some of sgd, momentum"),
        ({"steps": 0}, "steps 0; expected a whole number from 1 to 10,000"),
        ({"rates": 0}, "learning rate 0 of sgd; expected a number above 0"),
        ({"rates": float("nan")}, "learning rate nan of sgd"),
    ],
)
def test_refusals(words: dict[str, Any], message: str) -> None:
    with pytest.raises((UnknownName, UsageError)) as caught:
        race(**words)
    assert message in str(caught.value)
