"""What a search over settings found: its text, its plot and its page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from foveal.experiments.estimates import Estimate, percents
from foveal.teaching.plots import finish
from foveal.text import plural, printable
from foveal.training.config import Config

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 10  # trials in the text, the best first
COUNTED = ("complete", "pruned")  # states of trials that are of a study's total, in the order they are listed


@dataclass(frozen=True)
class Trial:
    """One setting tried.

    Attributes
    ----------
    state : ``"complete"``, ``"pruned"`` (given up when half of the others were better) or ``"fail"``, also of one whose
        process was killed.
    accuracy : of the validation part, the best epoch's; None where nothing was reached.
    values : of the settings searched.
    """

    number: int
    state: str
    accuracy: float | None
    epochs: int
    seconds: float
    values: dict[str, Any]


@dataclass(frozen=True)
class Tuning:
    """A search that reached its total.

    Attributes
    ----------
    trials : in the order they were begun, without those that are still running.
    best : of highest validation accuracy. `config` : the whole setting of it.
    validation, test : accuracy of the winner trained again from `seeds` other seeds.
    optimism : the best trial's validation accuracy less the mean test accuracy.
    opened : when the test part was opened, this search's last.
    """

    name: str
    space: dict[str, str]
    trials: tuple[Trial, ...]
    best: Trial
    config: Config
    seeds: tuple[int, ...]
    validation: Estimate
    test: Estimate
    tests: tuple[float, ...]
    optimism: float
    opened: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"config": self.config.to_json()}

    def __str__(self) -> str:
        return "\n".join(lines(self))

    @property
    def counted(self) -> list[Trial]:
        """Trials that came to their end or were given up: those of the total."""
        return [trial for trial in self.trials if trial.state in COUNTED]

    @property
    def ranked(self) -> list[Trial]:
        """Trials that came to their end, the best first; then those given up, and those that failed."""
        states = {trial.number: COUNTED.index(trial.state) if trial.state in COUNTED else 2 for trial in self.trials}
        return sorted(self.trials, key=lambda trial: (states[trial.number], -(trial.accuracy or 0), trial.number))

    def plot(self) -> Figure:
        """Validation accuracy of every trial in its order, the best so far, and what the winner reaches on the test."""
        import matplotlib.pyplot as plt

        figure, ax = plt.subplots(figsize=(8, 4.4), layout="constrained")
        done = [trial for trial in self.counted if trial.accuracy is not None]
        for state, marker, colour in (("complete", "o", "#1668b0"), ("pruned", "x", "#8a8a8a")):
            those = [trial for trial in done if trial.state == state]
            values = [100 * (trial.accuracy or 0) for trial in those]
            ax.plot([trial.number for trial in those], values, marker, color=colour, label=state)
        best, steps = 0.0, []
        for trial in done:
            best = max(best, trial.accuracy or 0) if trial.state == "complete" else best
            steps.append(100 * best)
        ax.step(
            [trial.number for trial in done], steps, where="post", color="#1668b0", linewidth=1, label="best so far"
        )
        ax.axhline(100 * self.test.mean, color="#b5500b", linestyle="--", label="the winner on the test part")
        if self.test.low is not None and self.test.high is not None:
            ax.axhspan(100 * self.test.low, 100 * self.test.high, color="#b5500b", alpha=0.12)
        reached = [value for value in steps if value]
        ax.set(xlabel="trial", ylabel="accuracy, %")
        ax.set_ylim(max(0, min([*reached, 100 * self.test.mean]) - 10), min(101, ax.get_ylim()[1]))
        ax.locator_params(axis="x", integer=True)
        finish(ax)
        figure.suptitle(printable(self.name))
        return figure

    def page(self) -> str:
        """The report: one HTML page that needs no network and no JavaScript."""
        from foveal.experiments.tuned_page import page

        return page(self)


def lines(found: Tuning) -> Iterator[str]:
    """The winner, how far its validation score flattered, and the trials."""
    early = sum(trial.state == "pruned" for trial in found.counted)
    failed = len(found.trials) - len(found.counted)
    more = f", and {failed} that failed or whose process was killed" if failed else ""
    yield f"{printable(found.name)}: {plural(len(found.counted), 'trial')}, {early} given up early{more}"
    for name, domain in found.space.items():
        yield f"  searched  {name}: {domain}"
    yield f"  best      trial {found.best.number}: {settings(found.best)}"
    yield verdict(found)
    yield f"{'trial':>7}  {'validation':>10}  {'epochs':>6}  {'seconds':>7}  settings"
    for trial in found.ranked[:SHOWN]:
        accuracy = "–" if trial.accuracy is None else f"{100 * trial.accuracy:.2f} %"
        state = "" if trial.state == "complete" else f"  ({trial.state})"
        yield f"{trial.number:7}  {accuracy:>10}  {trial.epochs:6}  {trial.seconds:7.1f}  {settings(trial)}{state}"
    if len(found.trials) > SHOWN:
        yield f"  and {plural(len(found.trials) - SHOWN, 'more trial')}"


def verdict(found: Tuning) -> str:
    """What the search claimed, what the test part says, and how often that was opened."""
    claimed = f"{100 * (found.best.accuracy or 0):.2f} %"
    points = f"{100 * abs(found.optimism):.2f} points"
    return (
        f"the best trial claims {claimed} on the pictures it was chosen by; trained again from "
        f"{plural(len(found.seeds), 'other seed')}, its settings reach {percents(found.test)} on the test part: the "
        f"claim was {points} too {'high' if found.optimism >= 0 else 'low'}. The test part has been opened "
        f"{plural(len(found.opened), 'time')} for this study"
    )


def settings(trial: Trial) -> str:
    """``lr 0.012, batch_size 64``."""
    values = ((name, f"{value:.3g}" if type(value) is float else value) for name, value in trial.values.items())
    return ", ".join(f"{name} {value}" for name, value in values)
