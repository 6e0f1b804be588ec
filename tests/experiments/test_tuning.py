"""The search: resumes to its total, keeps the test part sealed, and several processes share one study."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from foveal.errors import DataError, FovealError, OutputError, UsageError
from foveal.experiments import tuned_page, tuning
from foveal.experiments.space import Choice, Range, default_space, first, parse_space
from foveal.experiments.tuning import tune
from foveal.training import state
from foveal.training.config import Config
from foveal.training.loop import fit
from tuning_worker import CONFIG, NETWORK, few_digits, search

pytestmark = pytest.mark.usefixtures("one_thread")
HERE = Path(__file__).parent


def counted(found: Any) -> int:
    return sum(trial["state"] in ("complete", "pruned") for trial in found["trials"])


def test_goes_on_to_its_total_and_counts_openings(tmp_path: Path) -> None:
    storage, events = tmp_path / "search" / "study.sqlite", []
    begun = search(storage, 2)
    found = search(storage, 4, observer=lambda event, fields: events.append((event, fields)))
    assert len(begun.trials) == 2
    assert [trial.number for trial in found.trials] == [0, 1, 2, 3]
    assert found.trials[:2] == begun.trials
    assert [event for event, _ in events].count("trial") == 2
    assert found.trials[0].values["lr"] == CONFIG.lr
    assert found.best.accuracy == max(trial.accuracy or 0 for trial in found.trials if trial.state == "complete")
    assert found.optimism == pytest.approx((found.best.accuracy or 0) - np.mean(found.tests))
    assert (len(begun.opened), len(found.opened)) == (1, 2)
    assert [(told["done"], told["of"]) for event, told in events if event == "trial"] == [(3, 4), (4, 4)]
    assert dict(events)["test_opened"] == {"times": 2, "seeds": [1, 2]}
    assert found.config == CONFIG.with_values(found.best.values)
    json.dumps(found.to_json())


def test_no_trial_sees_the_test_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The search is given data without one; the pictures that judge the winner are those of the test part alone."""
    sizes = []

    def watched(network: Any, data: Any, *arguments: Any, **options: Any) -> Any:
        sizes.append(len(data.test))
        return fit(network, data, *arguments, **options)

    monkeypatch.setattr(tuning, "fit", watched)
    search(tmp_path / "study.sqlite", 3)
    assert sizes == [0, 0, 0, *2 * [len(few_digits().test)]]


def test_two_processes_share_one_study(tmp_path: Path) -> None:
    share(str(tmp_path / "study.sqlite"), trials=6)


def share(storage: str, trials: int) -> None:
    """Two processes search `storage` at once: together they reach the total, and both see all of it."""
    command = [sys.executable, str(HERE / "tuning_worker.py"), storage, str(trials)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate(timeout=120)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0]
    found = [json.loads(output) for output in outputs]
    assert max(map(counted, found)) in (trials, trials + 1)  # each may have had one under way
    numbers = [trial["number"] for trial in max(found, key=counted)["trials"]]
    assert numbers == list(range(len(numbers)))
    values = [json.dumps(trial["values"]) for trial in max(found, key=counted)["trials"]]
    assert len(set(values)) >= len(values) - 1  # both may begin with the config itself, and nothing else is tried twice


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database of a server that lives as long as the test, reached by a socket."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]
    folder = tmp_path / "server"
    folder.mkdir()
    user = []
    if os.geteuid() == 0:  # the server refuses to run as root
        user = ["runuser", "-u", "postgres", "--"]
        for path in (folder, *folder.parents[:3]):
            path.chmod(0o755)
        subprocess.run(["chown", "postgres", folder], check=True)

    def run(program: str, *arguments: str) -> None:
        subprocess.run([*user, programs / program, *arguments], check=True, capture_output=True, cwd="/")

    run("initdb", "-D", f"{folder}/data", "-U", "tester", "--auth=trust")
    socket = f"-c listen_addresses= -c unix_socket_directories={folder}"
    run("pg_ctl", "-D", f"{folder}/data", "-o", socket, "-l", f"{folder}/log", "-w", "start")
    try:
        run("createdb", "-h", str(folder), "-U", "tester", "search")
        yield f"postgresql+psycopg://tester@/search?host={folder}"
    finally:
        run("pg_ctl", "-D", f"{folder}/data", "-m", "immediate", "stop")


@pytest.mark.postgres
def test_two_processes_share_a_study_in_postgresql(postgres: str) -> None:
    share(postgres, trials=6)


def test_a_study_of_something_else_is_not_gone_on_with(tmp_path: Path) -> None:
    search(tmp_path / "study.sqlite", 1)
    with pytest.raises(UsageError) as error:
        tune(
            NETWORK, few_digits(), replace(CONFIG, epochs=3), space={"lr": Range(0.1, 1.0)},
            storage=tmp_path / "study.sqlite", trials=2,
        )  # fmt: skip
    assert str(error.value) == (
        "network-digits: this study searched with another config (epochs was 2, now 3), space (lr was 0.0001..0.1 "
        "(logarithmic), now 0.1..1; optimizer was adam | momentum, now not there); give another --study, or that "
        "config, space"
    )


def content(folder: Path) -> dict[str, bytes]:
    """What is in `folder`, by name."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_results_of_another_study_are_not_replaced(tmp_path: Path) -> None:
    storage = tmp_path / "study.sqlite"
    found = search(storage, 1, out=tmp_path)
    (tmp_path / "result.json").write_text(json.dumps(found.to_json()))
    before = content(tmp_path)
    for options, message in (
        (
            {"study": "mine"},
            f"{tmp_path}: holds the results of the study network-digits, which those of the study mine would replace; "
            "choose another --out, or go on with that one by --study network-digits",
        ),
        (
            {"storage": tmp_path / "other.sqlite"},
            f"{tmp_path}: holds the results of a study of that name in another database, which those of the study "
            "network-digits would replace; choose another --out, or give its --storage",
        ),
    ):
        with pytest.raises(UsageError) as error:
            search(options.pop("storage", storage), 2, out=tmp_path, **options)
        assert str(error.value) == message
        (tmp_path / "other.sqlite").unlink(missing_ok=True)
        assert content(tmp_path) == before, "not even a study is begun"
    assert len(search(storage, 2, out=tmp_path).trials) == 2, "its own study goes on"
    (tmp_path / "result.json").write_text('{"networks": []}')
    with pytest.raises(UsageError) as error:
        search(storage, 2, out=tmp_path)
    assert str(error.value) == (
        f"{tmp_path}: holds the results of another command, which those of the study network-digits would replace; "
        "choose another --out"
    )


def test_openings_at_once_are_all_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each process adds its own to the study, whatever the others have written since it looked."""
    storage, stale = tmp_path / "study.sqlite", tuning._openings
    search(storage, 1)
    monkeypatch.setattr(tuning, "_openings", lambda attributes: ("at once",))
    search(storage, 1)
    monkeypatch.setattr(tuning, "_openings", stale)
    assert len(search(storage, 1).opened) == 3


def test_a_batch_size_left_open_is_settled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The study keeps what the first probe found, and the winner says it; a later probe may find another."""
    config, space = replace(CONFIG, batch_size=0), {"lr": Range(1e-3, 1e-1, log=True)}
    for size, trials in ((64, 1), (32, 2)):
        monkeypatch.setattr(state, "propose_batch", lambda *arguments, size=size: size)
        found = tune(
            NETWORK, few_digits(), config, space=space, trials=trials, repetitions=1, storage=tmp_path / "study.sqlite"
        )
        assert found.config.batch_size == 64 and len(found.trials) == trials
    space = {"batch_size": Choice((0, 32))}
    found = tune(NETWORK, few_digits(), config, space=space, trials=1, repetitions=1, storage=tmp_path / "new.sqlite")
    assert found.config.batch_size == 32, "of a search that may leave it open, too"


@pytest.mark.parametrize("noticed", [False, True])
def test_a_killed_trial_is_not_counted(noticed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that a killed process left half-way: its place is taken, whether its death is known by now or not."""
    storage, told = tmp_path / "study.sqlite", []
    search(storage, 2)
    study = optuna.load_study(study_name="network-digits", storage=f"sqlite:///{storage}")
    killed = study.ask()
    killed.report(0.99, 1)
    if noticed:
        study.tell(killed, state=optuna.trial.TrialState.FAIL)
    found = search(storage, 4, observer=lambda event, fields: told.append(fields) if event == "trial" else None)
    assert [trial.number for trial in found.counted] == [0, 1, 3, 4]
    assert [fields["done"] for fields in told] == [3, 4]
    assert [trial.state for trial in found.trials if trial not in found.counted] == ["fail"] * noticed
    head = str(found).splitlines()[0]
    assert head.startswith("network-digits: 4 trials, ")
    assert head.endswith(", and 1 that failed or whose process was killed") == noticed
    drawn = [x for line in found.plot().axes[0].get_lines()[:3] for x in line.get_xdata()]
    assert set(drawn) == {0, 1, 3, 4}
    chart = tuned_page.chart(found)
    assert chart.count("<circle") == 4 and "trial 4: " in chart and "trial 2: " not in chart


def test_trials_that_all_fail_come_to_an_end(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="network-digits: no trial came to its end; give more trials or a longer"):
        tune(NETWORK, few_digits(), CONFIG, space={"lr": Range(1e30, 1e36)}, trials=1, storage=tmp_path / "s.sqlite")


def test_a_database_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "study.sqlite").write_text("not a database at all" * 100)
    with pytest.raises(OutputError, match=r"study\.sqlite: the database cannot be used \(.*not a database"):
        search(tmp_path / "study.sqlite", 1)


def test_a_database_whose_password_is_not_told() -> None:
    with pytest.raises(OutputError) as error:
        search("postgresql+psycopg://me:secret@127.0.0.1:9/none", 1)
    assert "127.0.0.1:9/none: the database cannot be used" in str(error.value)
    assert "secret" not in str(error.value)


def test_parts_that_a_search_needs() -> None:
    data = few_digits()
    for part, empty in (("val", replace(data, val=data.val[:0])), ("test", replace(data, test=data.test[:0]))):
        with pytest.raises(DataError, match=f"digits has no {part} part; a search needs one"):
            tune(NETWORK, empty, CONFIG)


def test_spaces_as_text() -> None:
    space = parse_space(["lr=1e-4..1e-1", "epochs = 1..3", "augment=crop 1, flip|", "batch-size=32|64"], CONFIG)
    assert space == {
        "lr": Range(1e-4, 1e-1, log=True),
        "epochs": Range(1, 3),
        "augment": Choice(("crop 1, flip", "")),
        "batch_size": Choice((32, 64)),
    }
    assert parse_space([], CONFIG) == default_space(CONFIG)
    assert first(space, CONFIG) == {"lr": 0.01, "epochs": 2, "augment": ""}  # a batch of 50 is not in the space


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("lr", "expected NAME=LOW..HIGH or NAME=ONE|ANOTHER"),
        ("lr=9", "--search 'lr=9'; expected NAME=LOW..HIGH or NAME=ONE|ANOTHER; --set fixes one"),
        ("lr=0.1..0.1", "expected two numbers, the lower first"),
        ("lr=1..0", "--search 'lr=1..0': the range is the wrong way round; the lower number is first"),
        ("lr=0..1", "lr = 0.0; expected a finite number above 0"),
        ("rate=1..2", "unknown setting 'rate'"),
        ("device=cpu|tpu", "unknown device 'tpu'"),
    ],
)
def test_spaces_that_make_no_sense(said: str, message: str) -> None:
    with pytest.raises(FovealError) as error:
        parse_space([said], Config())
    assert message in str(error.value)
