from __future__ import annotations

import pickle
import re

import pytest

from foveal import errors
from foveal.errors import FovealError, ImageError, MissingExtra, UnknownName

ALL = {name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, FovealError)}


def test_the_docstring_draws_the_tree_that_is_there() -> None:
    drawn = {}
    path: list[str] = []
    for prefix, name, code in re.findall(r"^([│├└─ ]*)(\w+) +(\d+) ", str(errors.__doc__), re.MULTILINE):
        path[len(prefix) // 4 :] = [name]
        drawn[name] = (int(code), path[-2] if len(path) > 1 else "Exception")
    assert drawn == {name: (kind.exit_code, kind.__bases__[0].__name__) for name, kind in ALL.items()}


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("lenet", "did you mean lenet5?"),
        ("qqqq", "known: efficientnet_lite0, efficientnet_lite1, lenet5"),
    ],
)
def test_unknown_name_says_what_was_meant_or_what_there_is(name: str, hint: str) -> None:
    error = UnknownName("backbone", name, ["lenet5", "efficientnet_lite1", "efficientnet_lite0"])
    assert str(error) == f"unknown backbone {name!r}; {hint}"


MANY = [f"{beast} cat" for beast in ("Siamese", "tiger", "Persian")] + ["catamaran", "cot", "Cot bed"]


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("COT", "cot"),  # the same but for capitals, and nothing else
        ("Tiger Cat", "tiger cat"),
        ("cat", "tiger cat or Persian cat or Siamese cat"),  # as a word, before catamaran and cot
        ("catamran", "catamaran"),
        ("bed", "Cot bed"),
    ],
)
def test_nearest_names(name: str, near: str) -> None:
    assert str(UnknownName("class", name, MANY)) == f"unknown class {name!r}; did you mean {near}?"


def test_many_names_are_not_listed() -> None:
    names = [f"name{i}" for i in range(1000)]
    assert str(UnknownName("class", "qqqq", names)) == "unknown class 'qqqq'; none of the 1,000 known is like it"
    error = UnknownName("network", "qqqq", names, "foveal zoo lists them")
    assert str(error).endswith("none of the 1,000 known is like it; foveal zoo lists them")


def test_unknown_name_shows_a_hostile_name_as_an_escape() -> None:
    text = str(UnknownName("backbone", "\x1b[31m\u202ered\n", ["a"]))
    assert text.isprintable() and r"\x1b[31m\u202ered\n" in text


def test_image_error_survives_a_process_boundary() -> None:
    error = pickle.loads(pickle.dumps(ImageError("a.jpg", "the file is empty")))
    assert (str(error), error.path, error.reason) == ("a.jpg: the file is empty", "a.jpg", "the file is empty")


def test_missing_extra_says_what_to_type() -> None:
    error = MissingExtra("reading HEIC files", "heic")
    assert str(error) == "reading HEIC files needs an optional package; install it with: pip install 'foveal[heic]'"
