"""Matrices that people write, and what is none."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from foveal.errors import DataError, FovealError, UsageError
from foveal.teaching.matrices import MOST_BYTES, matrix_lines, read_matrix


@pytest.mark.parametrize(
    "text",
    ["[[1, -2.5], [3, 4e1]]", "1,-2.5\n3,40\n", "1 -2.5\n 3\t40", "1; -2.5\r\n3 ; 40\r\n\r\n", "\ufeff1,-2.5\n3,40"],
)
def test_a_file_of_rows(text: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.txt"
    file.write_text(text, "utf-8")
    assert read_matrix(str(file)).tolist() == [[1, -2.5], [3, 40]]


def test_json_as_it_is_said() -> None:
    assert read_matrix(" [[1, 2]]").tolist() == [[1, 2]] and read_matrix("[[1]]").dtype == np.float64


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("[[1, 2], [3]]", "its rows have 1 to 2 numbers; expected as many in each"),
        ("[]", "expected a list of rows"),
        ("[1, 2]", "expected a list of rows"),
        ("[[]]", "expected a list of rows"),
        ("[[1, 2", "is no list of rows of numbers"),
        ("[[__import__('os')]]", "is no list of rows of numbers"),
        ('[["1"]]', "'1' is no number to compute with"),
        ("[[true]]", "True is no number to compute with"),
        ("[[NaN]]", "nan is no number to compute with"),
        ("[[1e999]]", "inf is no number to compute with"),
        ("[[1" + "0" * 400 + "]]", "is no number to compute with"),
        ("[" * 100_000, "is no list of rows of numbers"),
    ],
)
def test_what_is_no_matrix(said: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_matrix(said)
    assert message in str(caught.value) and len(str(caught.value)) < 250


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a,b\n1,2\n", "'a' is no number; expected rows of numbers"),
        (b"", "expected a list of rows"),
        (b"\xff\xfe\x00", "not a text file"),
        (b"[[1, 2], [", "is no list of rows of numbers"),
        (b"1 " * MOST_BYTES, "longer than 1,048,576 bytes"),
        (b"1,nan", "nan is no number to compute with"),
    ],
)
def test_files_without_one(data: bytes, message: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_bytes(data)
    with pytest.raises(DataError, match=r"rows\.csv: ") as caught:
        read_matrix(str(file))
    assert message in str(caught.value)


def test_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, message in (("gone.csv", "cannot be read"), ("pipe", "not an ordinary file"), (".", "not an ordinary")):
        with pytest.raises(DataError, match=message):
            read_matrix(str(tmp_path / name))
    with pytest.raises(FovealError, match="cannot be read"):
        read_matrix("a\0b")


def test_columns_are_aligned() -> None:
    assert list(matrix_lines(np.array([[-0.0, 1 / 3], [100, 2]]))) == ["    0 0.333333", "  100        2"]
