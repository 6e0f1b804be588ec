"""A search over settings by Optuna (Akiba et al. 2019), on the validation part; the test part is opened at the end.

Any number of processes may search one study, by way of its database. What a search claims is the validation score of
its best trial, which it chose because it was high: how much of that is luck, the test part says.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
import uuid
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foveal.account import now
from foveal.datasets.pictures import PictureSet
from foveal.errors import DataError, MissingExtra, OutputError, TrainingError, UsageError
from foveal.experiments.estimates import student
from foveal.experiments.space import Space, default_space, first, suggest
from foveal.experiments.tuned import Trial, Tuning
from foveal.experiments.watching import Tested
from foveal.files import make_folder
from foveal.graph import Graph
from foveal.runlog import Observer
from foveal.text import printable
from foveal.training.callbacks import Callback
from foveal.training.choices import Choices
from foveal.training.config import Config
from foveal.training.history import History
from foveal.training.loop import fit
from foveal.training.run import content_of
from foveal.training.state import Training

if TYPE_CHECKING:
    import optuna

PATIENCE = 5.0  # seconds that tables may take to be made by another process
OPENED = "test_opened."  # and a name of its own for every opening, so that two at once are both kept
HEARTBEAT = 30  # seconds: a process that was killed is noticed after two of these, and its trial has failed


def tune(
    network: Graph,
    data: PictureSet,
    config: Config | None = None,
    *,
    space: Space | None = None,
    trials: int = 20,
    budget: float | None = None,
    storage: str | Path = "tuning.sqlite",
    study: str | None = None,
    repetitions: int = 3,
    out: Path | None = None,
    observer: Observer | None = None,
) -> Tuning:
    """Search `space` for the settings of highest validation accuracy, then train the winner again and test it.

    Parameters
    ----------
    config : what is not searched; ``config.seed`` is every trial's, so that they differ by their settings alone.
    space : by setting a `Range` or `Choice`; `default_space` if None. `config` itself is the first trial.
    trials : of the study in the end, those of earlier and of other processes counted; `budget` : seconds after which no
        further one begins.
    storage : an SQLite file, or the URL of a database that Optuna reaches (``postgresql+psycopg://...``).
    study : its name in the database; the network's and the data's if None.
    repetitions : seeds from which the winner is trained again.
    out : the folder that the report is for; one that holds the ``result.json`` of anything else is refused.

    Raises
    ------
    MissingExtra : Optuna, or the database's driver, is not installed.
    DataError : `data` has no validation or no test part.
    UsageError : the study searched something else before, `out` is another's, or nothing was reached.
    OutputError : the database cannot be reached.
    """
    config = config or Config()
    space = dict(space or default_space(config))
    for part in ("val", "test"):
        if not len(getattr(data, part)):
            raise DataError(f"{data.name} has no {part} part; a search needs one to choose on and one to test on")
    if repetitions < 1 or trials < 1:
        raise UsageError(f"trials = {trials}, repetitions = {repetitions}; expected at least 1 of each")
    name = study or f"{network.name}-{data.name}"
    tell = observer or (lambda event, fields: None)
    with _database(storage) as opened:
        if out is not None:
            _check_folder(out, name, opened)
        found = _study(name, opened, _subject(network, data, config, space))
        training = Training(network, data, config)  # probed once, for all trials alike
        choices, config = training.choices, _settled(found, config, training.config.batch_size)
        found.enqueue_trial(first(space, config), skip_if_exists=True)
        _search(found, network, replace(data, test=data.test[:0]), config, space, trials, budget, choices, tell)
        return _judged(found, network, data, config, space, repetitions, choices, tell)


def _search(
    study: optuna.Study, network: Graph, data: PictureSet, config: Config, space: Space, trials: int,
    budget: float | None, choices: Choices, tell: Observer,
) -> None:  # fmt: skip
    """Try settings until the study has `trials` of them, or `budget` seconds have passed; `data` has no test part."""
    from optuna.exceptions import TrialPruned
    from optuna.samplers import TPESampler
    from optuna.study import MaxTrialsCallback
    from optuna.trial import TrialState

    counted = (TrialState.COMPLETE, TrialState.PRUNED)

    def objective(trial: optuna.Trial) -> float:
        # by the trial's number: those who search along draw others, and a search that goes on draws what it would have
        study.sampler = TPESampler(seed=config.seed + trial.number)
        reporter = _Reporter(trial)
        history = fit(network, data, suggest(trial, space, config), callbacks=[reporter], choices=choices)
        if reporter.pruned:
            raise TrialPruned
        return _reached(history)

    def told(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        done = len(study.get_trials(deepcopy=False, states=counted))
        tell("trial", asdict(_trial(trial)) | {"done": done, "of": trials})

    if len(study.get_trials(states=counted)) < trials:
        most = 2 * trials  # of this process, or a network whose every training fails would be tried for ever
        study.optimize(
            objective, most, budget, catch=(TrainingError,), callbacks=[told, MaxTrialsCallback(trials, counted)]
        )


class _Reporter(Callback):
    """Tells the study each epoch's validation accuracy, and stops what it gives up."""

    def __init__(self, trial: optuna.Trial) -> None:
        self._trial, self.pruned = trial, False

    def after_epoch(self, training: Training) -> None:
        self._trial.report(_reached(training.history), training.epoch)
        if self._trial.should_prune() and training.epoch < training.config.epochs:
            self.pruned, training.stop = True, "given up: half of the other trials were better by now"


def _reached(history: History) -> float:
    return max(epoch.val_accuracy or 0.0 for epoch in history.epochs)


def _judged(
    study: optuna.Study, network: Graph, data: PictureSet, config: Config, space: Space, repetitions: int,
    choices: Choices, tell: Observer,
) -> Tuning:  # fmt: skip
    """The winner from other seeds, and the test part, opened for it alone."""
    from optuna.trial import TrialState

    if not study.get_trials(states=(TrialState.COMPLETE,)):
        raise UsageError(f"{study.study_name}: no trial came to its end; give more trials or a longer budget")
    best = _trial(study.best_trial)
    winner = Training(network, data, config.with_values(best.values), choices=choices).config  # no batch size of 0
    seeds = tuple(winner.seed + 1 + i for i in range(repetitions))
    study.set_user_attr(f"{OPENED}{uuid.uuid4().hex}", now())
    opened = _openings(study.user_attrs)
    tell("test_opened", {"times": len(opened), "seeds": list(seeds)})
    histories, tests = [], []
    for seed in seeds:
        tester = Tested()
        histories.append(fit(network, data, replace(winner, seed=seed), callbacks=[tester], choices=choices))
        tests.append(tester.accuracy)
        tell("retrained", {"seed": seed, "validation": _reached(histories[-1]), "test": tester.accuracy})
    test = student(tests, least=0, most=1)
    return Tuning(
        name=study.study_name,
        space={name: str(domain) for name, domain in space.items()},
        trials=tuple(_trial(trial) for trial in study.get_trials() if trial.state.is_finished()),
        best=best,
        config=winner,
        seeds=seeds,
        validation=student([_reached(history) for history in histories], least=0, most=1),
        test=test,
        tests=tuple(tests),
        optimism=(best.accuracy or 0.0) - test.mean,
        opened=opened,
    )


def _openings(attributes: Mapping[str, Any]) -> tuple[str, ...]:
    """When the test part was opened, by the study's `attributes`."""
    return tuple(sorted(at for key, at in attributes.items() if key.startswith(OPENED)))


def _settled(study: optuna.Study, config: Config, batch_size: int) -> Config:
    """`config` with the batch size that the study began with, which is `batch_size` if it begins now, for one of 0."""
    if config.batch_size:
        return config
    if "batch_size" not in study.user_attrs:
        study.set_user_attr("batch_size", batch_size)
    return replace(config, batch_size=study.user_attrs["batch_size"])


def _trial(trial: optuna.trial.FrozenTrial) -> Trial:
    took = trial.duration.total_seconds() if trial.duration else 0.0
    reached = max(trial.intermediate_values.values(), default=None)
    state = trial.state.name.lower()
    return Trial(trial.number, state, reached, len(trial.intermediate_values), took, dict(trial.params))


def _subject(network: Graph, data: PictureSet, config: Config, space: Space) -> dict[str, str]:
    """What must be the same for all who search one study, in a form to compare."""
    shape = json.dumps(network.to_json(), sort_keys=True)
    return {
        "network": hashlib.sha256(shape.encode()).hexdigest(),
        "data": data.digest,
        "config": json.dumps(config.to_json(), sort_keys=True),
        "space": json.dumps({name: str(domain) for name, domain in space.items()}, sort_keys=True),
    }


def _check_folder(out: Path, name: str, storage: Any) -> None:
    """UsageError where `out` has results of anything but the study `name` in `storage`, which would replace them."""
    earlier = content_of(out / "result.json")
    known: tuple[str, ...] = ()
    with suppress(KeyError):  # of a study that is yet to be made
        known = _openings(storage.get_study_user_attrs(storage.get_study_id_from_name(name)))
    there = earlier.get("name")
    if not earlier or (there == name and set(earlier.get("opened", ())) <= set(known)):
        return
    if there is None:
        whose, remedy = "another command", ""
    elif there == name:
        whose, remedy = "a study of that name in another database", ", or give its --storage"
    else:
        whose = f"the study {printable(str(there))}"
        remedy = f", or go on with that one by --study {printable(str(there))}"
    raise UsageError(
        f"{printable(out)}: holds the results of {whose}, which those of the study {printable(name)} would replace; "
        f"choose another --out{remedy}"
    )


def _study(name: str, storage: Any, subject: dict[str, str]) -> optuna.Study:
    """The study called `name`, begun or gone on with; UsageError where it searched something else."""
    from optuna import create_study
    from optuna.pruners import MedianPruner

    study = create_study(
        study_name=name, storage=storage, direction="maximize", load_if_exists=True, pruner=MedianPruner()
    )
    known = study.user_attrs.get("subject")
    if known is None:
        study.set_user_attr("subject", subject)
    elif known != subject:
        differs = [key for key in subject if known.get(key) != subject[key]]
        how = ", ".join(key + _changes(known.get(key), subject[key]) for key in differs)
        raise UsageError(
            f"{printable(name)}: this study searched with another {how}; give another --study, or that "
            f"{', '.join(differs)}"
        )
    return study


def _changes(known: str | None, now: str) -> str:
    """`` (epochs was 2, now 3)`` of two JSON objects; nothing of anything else."""
    try:
        before, after = json.loads(known or ""), json.loads(now)
        names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    except (ValueError, TypeError, AttributeError):  # a digest
        return ""
    changes = (f"{name} was {before.get(name, 'not there')}, now {after.get(name, 'not there')}" for name in names)
    return f" ({printable('; '.join(changes), limit=300)})"


def _opened(url: str) -> Any:
    """The database at `url`, its tables made; where another process is making them at this moment, after that."""
    from optuna.exceptions import ExperimentalWarning
    from optuna.storages import RDBStorage
    from sqlalchemy.exc import DBAPIError

    ends = time.monotonic() + PATIENCE
    while True:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)  # the heartbeat: since 2021
                return RDBStorage(url, heartbeat_interval=HEARTBEAT, grace_period=2 * HEARTBEAT)
        except DBAPIError as error:
            making = any(words in str(error.orig) for words in ("already exists", "UNIQUE", "duplicate key", "locked"))
            if not making or time.monotonic() > ends:
                raise
            time.sleep(0.2)


@contextmanager
def _database(storage: str | Path) -> Iterator[Any]:
    """The database at `storage`: a URL, or an SQLite file, made with its folder."""
    try:
        import optuna
        from sqlalchemy.exc import SQLAlchemyError
    except ImportError as error:
        raise MissingExtra("tuning", "tune") from error
    url = str(storage)
    if "://" not in url:
        make_folder(Path(url).absolute().parent)
        url = f"sqlite:///{url}"
    place = printable(url.rpartition("@")[2])  # without the password
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(logging.WARNING)
    opened = None
    try:
        opened = _opened(url)
        yield opened
    except ModuleNotFoundError as error:
        raise MissingExtra(f"the database {place} ({error.name})", "tune") from error
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        reason = printable(str(error.__cause__ or error).splitlines()[0], limit=200)
        raise OutputError(
            f"{place}: the database cannot be used ({reason}); check that it runs, and the URL"
        ) from error
    finally:
        optuna.logging.set_verbosity(level)
        if opened is not None:
            opened.remove_session()
            opened.engine.dispose()
