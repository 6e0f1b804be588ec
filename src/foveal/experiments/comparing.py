"""Several networks on the same pictures with the same seeds: which is better, and how sure is that?"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from foveal import anatomy, zoo
from foveal.datasets.pictures import PictureSet
from foveal.errors import DataError, GraphError, UsageError
from foveal.experiments.estimates import Estimate, percents, student
from foveal.experiments.results import Repetition, kept_in
from foveal.experiments.watching import Tested
from foveal.graph import Graph
from foveal.metrics import wilson
from foveal.runlog import Observer
from foveal.shapes import Shape, text
from foveal.teaching.plots import finish
from foveal.text import plural, printable
from foveal.training.config import Config
from foveal.training.loop import fit
from foveal.training.progress import Progress
from foveal.training.run import is_of_zoo, network_and_pictures, network_for, pictures_for
from foveal.training.state import Training

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST = 1000
"""Repetitions."""
COLOURS = ("#1668b0", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#000000")


@dataclass(frozen=True)
class Entrant:
    """One network of a comparison.

    Attributes
    ----------
    network : the text that it was given as, or the graph's name.
    parameters, macs : of the whole network, for one picture.
    repetitions : in the order of their seeds.
    """

    name: str
    network: str
    parameters: int
    macs: int
    repetitions: tuple[Repetition, ...]

    def values(self, what: str) -> list[float]:
        """An attribute of every repetition."""
        return [getattr(each, what) for each in self.repetitions]

    @property
    def test_accuracy(self) -> Estimate:
        """With Student's interval over repetitions; of a single one, Wilson's for its counts."""
        if len(self.repetitions) > 1:
            return student(self.values("test_accuracy"), least=0, most=1)
        (only,) = self.repetitions
        return Estimate(only.test_accuracy, *wilson(only.test_correct, only.test_total))

    @property
    def test_loss(self) -> Estimate:
        return student(self.values("test_loss"), least=0)

    @property
    def val_accuracy(self) -> Estimate | None:
        """None where there are no pictures to validate on."""
        values = self.values("val_accuracy")
        return None if None in values else student(values, least=0, most=1)

    @property
    def seconds(self) -> float:
        """Of training, the median."""
        return median(self.values("seconds"))

    def less(self, other: Entrant, what: str) -> Estimate:
        """How much an attribute is above that of `other`, repetition by repetition."""
        return student(np.subtract(self.values(what), other.values(what)).tolist())

    def to_json(self) -> dict[str, Any]:
        estimates = {what: getattr(self, what) for what in ("test_accuracy", "test_loss", "val_accuracy")}
        return {
            "name": self.name, "network": self.network, "parameters": self.parameters, "macs": self.macs,
            **{what: estimate and estimate.to_json() for what, estimate in estimates.items()},
            "seconds": self.seconds,
            "repetitions": [each.to_json() for each in self.repetitions],
        }  # fmt: skip


class Stated(NamedTuple):
    """What the lectures print of a network."""

    parameters: int
    test_accuracy: float
    test_loss: float


@dataclass(frozen=True)
class Comparison:
    """Networks side by side.

    Attributes
    ----------
    data, source : of the pictures; `shape` in which all networks see them; `counts` of each part.
    config : of the first repetition; the others have the seeds that follow.
    opened : how often results on the test part of `data` were computed, here and before in the same folder.
    lectures : by network; `remarks` on that.
    """

    data: str
    source: str
    shape: Shape
    counts: dict[str, int]
    config: Config
    entrants: tuple[Entrant, ...]
    opened: int
    lectures: Mapping[str, Stated] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    @property
    def repetitions(self) -> int:
        return len(self.entrants[0].repetitions)

    def to_json(self) -> dict[str, Any]:
        first, *others = self.entrants
        return {
            "data": {"name": self.data, "source": self.source, "shape": list(self.shape), **self.counts},
            "config": self.config.to_json(),
            "networks": [each.to_json() for each in self.entrants],
            "differences": [
                {"name": each.name, "from": first.name}
                | {what: each.less(first, what).to_json() for what in ("test_accuracy", "test_loss")}
                for each in others
            ],
            "test_part_opened": self.opened,
            "lectures": {name: stated._asdict() for name, stated in self.lectures.items()},
            "remarks": list(self.remarks),
        }

    def __str__(self) -> str:
        return "\n".join(lines(self))

    def plot(self) -> Figure:
        """Test accuracy of every repetition, with means and intervals; and the training losses by epoch."""
        import matplotlib.pyplot as plt

        figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
        for place, each in enumerate(self.entrants):
            colour, name = COLOURS[place % len(COLOURS)], printable(each.name, limit=24)
            found = each.test_accuracy
            reach = [[100 * abs(found.mean - (found.mean if end is None else end))] for end in (found.low, found.high)]
            left.plot(100 * np.array(each.values("test_accuracy")), [place] * self.repetitions, ".", color=colour)
            left.errorbar(100 * found.mean, place, xerr=reach, fmt="D", color=colour, capsize=5, markersize=7)
            for number, each_run in enumerate(each.repetitions):
                epochs = each_run.history.epochs
                losses = [epoch.train_loss for epoch in epochs]
                label = None if number else name
                right.plot(range(1, len(epochs) + 1), losses, ".-", color=colour, linewidth=1, label=label)
        left.set_yticks(range(len(self.entrants)), [printable(each.name, limit=24) for each in self.entrants])
        left.set(xlabel="accuracy on the test part, %", ylim=(len(self.entrants) - 0.5, -0.5))
        left.set_title("dots: repetitions; diamond: mean, 95 % interval", fontsize=10)
        right.set(xlabel="epoch", ylabel="training loss", ylim=(0, None))
        right.locator_params(axis="x", integer=True)
        finish(left)
        finish(right)
        figure.suptitle(printable(self.data))
        return figure

    def page(self) -> str:
        """The report: one HTML page that needs no network and no JavaScript."""
        from foveal.experiments.page import page

        return page(self)


def compare(
    networks: Mapping[str, Graph | str],
    data: str | Path | PictureSet,
    config: Config | None = None,
    *,
    repetitions: int = 3,
    input_shape: Shape | None = None,
    out: Path | None = None,
    observer: Observer | None = None,
) -> Comparison:
    """Train every network `repetitions` times on the same pictures, and test each on the same test part.

    Repetition r has the seed ``config.seed + r``, which gives all networks the same batches in the same order. An
    ``auto`` precision is float32 and an ``auto`` layout channels-last, for all networks alike: a probe of what is
    quicker could decide otherwise for each, and from one day to the next.

    Parameters
    ----------
    networks : two or more, by the name they are shown by: a graph, or a text that `foveal.inspect` takes. Those of the
        zoo, when named, get the classes of the pictures.
    data : pictures, divided; or what `foveal.datasets.loading.load` takes, which ``config.seed`` then divides.
    repetitions : 1 to 1,000; from two on there are intervals for differences.
    input_shape : of all networks, (1 or 3, size, size); if None, that of the networks that are written out, else the
        first of those that the named ones would have on `data` alone and that suits all of them.
    out : a folder in which every finished repetition is kept at once (``results.jsonl``), and not computed again.
    observer : told of the trainings and of each repetition that is finished.

    Raises
    ------
    UsageError : a single network, no input that suits all, or one that does not fit the pictures; repetitions out of
        range.
    DataError : no pictures to test on, or a damaged ``results.jsonl``.
    """
    if len(networks) < 2:
        raise UsageError("a comparison takes two networks or more")
    if not 1 <= repetitions <= MOST:
        raise UsageError(f"{repetitions} repetitions; expected a whole number from 1 to {MOST:,}")
    config = (config or Config()).settled()
    written = {name: network_for(each, data, input_shape) for name, each in networks.items()}
    named = {name: each for name, each in networks.items() if is_of_zoo(each)}
    shape = input_shape or _common_input({name: graph.input_shape for name, graph in written.items()}, named)
    data = pictures_for(data, shape, seed=config.seed, observer=observer)
    if not len(data.test):
        raise DataError(f"{printable(data.name)}: there are no test pictures to compare the networks on")
    graphs = {name: network_and_pictures(each, data, shape)[0] for name, each in (written | named).items()}
    for graph in graphs.values():
        Training(graph, data, config)  # so that what does not fit is said before the first is trained
    runs: dict[str, list[Repetition]] = {name: [] for name in graphs}
    with kept_in(out) as results:
        for r in range(repetitions):
            for name, graph in graphs.items():
                seeded = replace(config, seed=config.seed + r)
                key = _key(graph, data, seeded)
                kept = key in results
                if not kept:
                    results.add(key, name, data.name, _tested(graph, data, seeded, observer))
                runs[name].append(results[key])
                if observer:
                    observer("note", {"text": _told(name, r, repetitions, results[key], kept=kept)})
        opened = results.opened(data.name)
    entrants = tuple(
        Entrant(name, each if isinstance(each, str) else each.name, *_size(graphs[name]), tuple(runs[name]))
        for name, each in networks.items()
    )
    counts = {part: len(getattr(data, part)) for part in ("train", "val", "test")}
    return Comparison(data.name, data.source, data.shape, counts, config, entrants, opened)


def _common_input(shapes: Mapping[str, Shape], named: Mapping[str, Any]) -> Shape:
    """Of `shapes`, which are the networks' own, the one that all can take; those `named` in the zoo can take others."""
    fixed = {shape for name, shape in shapes.items() if name not in named}
    for shape in fixed or sorted(shapes.values(), key=lambda shape: -shape[0]):  # colour before grey
        if fixed <= {shape} and all(_takes(each, shape) for each in named.values()):
            return shape
    own = ", ".join(f"{printable(name)} {text(shape)}" for name, shape in shapes.items())
    largest = "x".join(map(str, max(shapes.values(), key=math.prod)))
    raise UsageError(
        f"no size of pictures suits all networks as they are ({own}); try --input {largest} for all of them"
    )


def _takes(name: str, shape: Shape) -> bool:
    try:
        zoo.create_graph(name, in_channels=shape[0], input_shape=shape)
    except (GraphError, UsageError):
        return False
    return True


def _tested(graph: Graph, data: PictureSet, config: Config, observer: Observer | None) -> Repetition:
    test = Tested()
    watchers = [Progress(lambda event, **fields: observer(event, fields))] if observer else []
    history = fit(graph, data, config, callbacks=[*watchers, test])
    total = len(data.test)
    return Repetition(config.seed, test.loss, round(test.accuracy * total), total, replace(history, module=None))


def _key(graph: Graph, data: PictureSet, config: Config) -> str:
    content = json.dumps([graph.to_json(), data.digest, config.to_json()], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def _size(graph: Graph) -> tuple[int, int]:
    """Parameters and MACs."""
    totals = anatomy.count(graph).totals
    return totals.parameters, totals.macs


def _told(name: str, r: int, repetitions: int, result: Repetition, *, kept: bool) -> str:
    accuracy = f"{100 * result.test_accuracy:.2f} % of the test part"
    found = "found, not trained again: " if kept else ""
    return f"{r + 1} of {repetitions}: {printable(name)}: {found}{accuracy}, {result.seconds:.1f} s"


def lines(found: Comparison) -> Iterator[str]:
    """The table with what belongs to it."""
    yield f"{printable(found.data)}: {counted(found)}"
    yield method(found)
    yield from aligned(table(found))
    if found.repetitions > 1:
        first, *others = found.entrants
        yield f"test accuracy less that of {printable(first.name)}, seed by seed"
        width = max(len(printable(each.name)) for each in others)
        for each in others:
            yield f"  {printable(each.name):{width}}  {percents(each.less(first, 'test_accuracy'), signed=True)}"
    yield remark(found)
    if found.lectures:
        heads = ["lectures", "parameters", "test accuracy", "test loss"]
        rows = [[name, f"{n:,}", f"{100 * a:.2f} %", f"{loss:.4f}"] for name, (n, a, loss) in found.lectures.items()]
        yield from aligned([heads, *rows])
    yield from found.remarks


def counted(found: Comparison) -> str:
    """The sizes of the parts."""
    parts = "{train:,} pictures of {shape} to train on, {val:,} to validate, {test:,} to test"
    return parts.format(shape=text(found.shape), **found.counts)


def method(found: Comparison) -> str:
    """How the networks were trained, in a sentence without its full stop."""
    config, many = found.config, plural(found.repetitions, "repetition")
    return (
        f"{many} of {plural(config.epochs, 'epoch')} from seed {config.seed}: {config.optimizer}, the same batches of "
        f"{config.batch_size} for all networks"
    )


def remark(found: Comparison) -> str:
    """How often the test part was opened, and what that means."""
    times = plural(found.opened, "time")
    if found.counts["val"]:
        return f"compared on the test part {times}; choose by the validation accuracy, which is there for that"
    return f"compared on the test part {times}; there is nothing to validate on, and choosing by test pictures flatters"


def table(found: Comparison) -> list[list[str]]:
    """Heads, then a row for each network."""
    rows = [["network", "parameters", "MACs", "test accuracy", "test loss", "validation", "seconds"]]
    for each in found.entrants:
        validation = percents(each.val_accuracy) if each.val_accuracy else "–"
        row = [printable(each.name, limit=40), f"{each.parameters:,}", f"{each.macs:,}", percents(each.test_accuracy)]
        rows.append([*row, f"{each.test_loss.mean:.4f}", validation, f"{each.seconds:.2f}"])
    return rows


def aligned(rows: list[list[str]]) -> Iterator[str]:
    """Columns side by side, the first flush left, the others right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *rest in rows:
        cells = (f"{cell:>{width}}" for cell, width in zip(rest, widths[1:], strict=True))
        yield "  ".join((f"{first:{widths[0]}}", *cells)).rstrip()
