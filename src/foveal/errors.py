"""The errors a user of Foveal can meet, and the exit code each gives on the command line.

FovealError             1   anything below; catch this one to catch them all
├── UsageError          2   an option or argument that makes no sense
│   └── UnknownName     2   a name Foveal does not know; the nearest known ones are listed
├── DataError           3   the photos, folders or manifest cannot be used
│   └── ImageError      3   one picture cannot be read
├── GraphError          4   a network that cannot be
│   ├── NotationError   4   a text that is no network; the message points at the column
│   └── ShapeError      4   an operation that does not fit the shape it is given
├── WeightsError        4   weights that are missing, damaged or of another network
├── BundleError         4   a bundle that is missing, damaged, newer or has been edited
├── OutputError         5   a result that cannot be written
├── MissingExtra        6   an optional package that this needs is not installed
└── TrainingError       7   a training that cannot go on: a loss that is no number

A message says what happened, where (node, file, option), what was expected, and the next thing to try.
An interrupted command (Ctrl-C) exits with 130.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable


class FovealError(Exception):
    """Base of every error Foveal raises on purpose."""

    exit_code = 1


class UsageError(FovealError):
    exit_code = 2


class UnknownName(UsageError):
    """A name that is not among the known ones.

    Parameters
    ----------
    kind : what the name should have named, e.g. ``"backbone"``.
    name : the name received.
    known : all valid names; the three nearest are listed in the message, or all of a few.
    listed : where many are listed, such as ``"foveal zoo lists them"``.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], listed: str = "") -> None:
        names = sorted(set(known))
        if near := _nearest(name, names):
            hint = f"did you mean {' or '.join(near)}?"
        elif len(names) <= _FEW:
            hint = f"known: {', '.join(names)}"
        else:
            hint = f"none of the {len(names):,} known is like it" + (f"; {listed}" if listed else "")
        super().__init__(f"unknown {kind} {name!r}; {hint}")


_FEW = 20  # names that a message may list


def _nearest(name: str, names: list[str]) -> list[str]:
    """Up to three of `names`: the same but for capitals; else those that have `name` in them, as a word before all, and
    those that are spelt alike."""
    said = name.casefold()
    plain = {each: each.casefold() for each in names}
    if same := [each for each in names if plain[each] == said]:
        return same
    holding = [each for each in names if len(said) > 1 and said in plain[each]]
    holding.sort(key=lambda each: (not re.search(rf"\b{re.escape(said)}\b", plain[each]), len(each)))
    alike = difflib.get_close_matches(said, plain.values(), n=3, cutoff=0.5)
    spelt = sorted((each for each in names if plain[each] in alike), key=lambda each: alike.index(plain[each]))
    return list(dict.fromkeys([*holding, *spelt]))[:3]


class DataError(FovealError):
    exit_code = 3


class ImageError(DataError):
    """One picture that cannot be read.

    Attributes
    ----------
    path : the file, or ``"<bytes>"``.
    reason : why, in a few words and without the path.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason

    def __reduce__(self) -> tuple[type[ImageError], tuple[str, str]]:
        return ImageError, (self.path, self.reason)


class GraphError(FovealError):
    exit_code = 4


class NotationError(GraphError):
    pass


class ShapeError(GraphError):
    pass


class WeightsError(FovealError):
    exit_code = 4


class BundleError(FovealError):
    exit_code = 4


class OutputError(FovealError):
    exit_code = 5


class TrainingError(FovealError):
    exit_code = 7


class MissingExtra(FovealError):
    """An optional dependency is not installed.

    Parameters
    ----------
    what : what the user asked for, e.g. ``"reading HEIC files"``.
    extra : the name of the extra that brings it.
    """

    exit_code = 6

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs an optional package; install it with: pip install 'foveal[{extra}]'")
