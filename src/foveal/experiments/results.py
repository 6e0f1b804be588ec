"""What a repetition gave, and the file in which all of a comparison are kept, so that none is computed twice."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foveal.errors import DataError
from foveal.files import locked, write_atomic
from foveal.text import printable
from foveal.training.history import History

NAME = "results.jsonl"


@dataclass(frozen=True)
class Repetition:
    """One training of one network, tested.

    Attributes
    ----------
    test_loss, test_correct, test_total : mean cross entropy, and counts, of the test part.
    history : epoch by epoch; without the module.
    """

    seed: int
    test_loss: float
    test_correct: int
    test_total: int
    history: History

    @property
    def test_accuracy(self) -> float:
        return self.test_correct / self.test_total

    @property
    def val_accuracy(self) -> float | None:
        """Of the weights that were kept; None without validation."""
        return self.history.epochs[self.history.best_epoch - 1].val_accuracy

    @property
    def seconds(self) -> float:
        """Of the steps alone."""
        return sum(epoch.seconds for epoch in self.history.epochs)

    def to_json(self) -> dict[str, Any]:
        return {
            "seed": self.seed, "test_loss": self.test_loss, "test_correct": self.test_correct,
            "test_total": self.test_total, "history": self.history.to_json(),
        }  # fmt: skip

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Repetition:
        return cls(**{**data, "history": History.from_json(data["history"])})


class Results:
    """Finished repetitions by key, and in a file of a line each that is whole at every moment, if there is one.

    Raises
    ------
    DataError : a line that is none of these.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lines: list[str] = []
        self._found: dict[str, Repetition] = {}
        self._data: list[str | None] = []
        if path is not None and path.is_file():
            for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), start=1):
                self._read(number, line)

    def opened(self, data: str) -> int:
        """How often the test part of the pictures called `data` was looked at; lines that name none count."""
        return sum(name in (data, None) for name in self._data)

    def __contains__(self, key: str) -> bool:
        return key in self._found

    def __getitem__(self, key: str) -> Repetition:
        return self._found[key]

    def add(self, key: str, network: str, data: str, result: Repetition) -> None:
        """Keep `result`, on the disk, too."""
        self._found[key] = result
        self._data.append(data)
        self._lines.append(json.dumps({"key": key, "network": network, "data": data, **result.to_json()}))
        if self._path is not None:
            write_atomic(self._path, "".join(f"{line}\n" for line in self._lines))

    def _read(self, number: int, line: str) -> None:
        try:
            data = json.loads(line)
            key, _, name = data.pop("key"), data.pop("network"), data.pop("data", None)
            result = Repetition.from_json(data)
            _ = result.test_accuracy, result.val_accuracy, result.seconds  # so that nonsense is found here
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
            raise DataError(
                f"{printable(self._path or '')}, line {number}: no result of a comparison; take the line away, or "
                "choose another --out"
            ) from error
        self._found[key] = result
        self._data.append(name)
        self._lines.append(line)


@contextlib.contextmanager
def kept_in(folder: Path | None) -> Iterator[Results]:
    """The results in `folder`, which no other process may add to meanwhile; None for nowhere."""
    if folder is None:
        yield Results(None)
        return
    with locked(folder):
        yield Results(folder / NAME)
