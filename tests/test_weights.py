"""Weights on disk. The safetensors package and torch are the oracles."""

from __future__ import annotations

import hashlib
import json
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save
from safetensors.torch import load_file as load_torch

from foveal.errors import WeightsError
from foveal.graph import Builder, Graph
from foveal.ops import BatchNorm, Conv, Dense, Flatten, GlobalAvgPool
from foveal.weights import (
    cache_folder,
    check_weights,
    digest,
    load_arrays,
    load_weights,
    serialize,
)


def tiny() -> Graph:
    net = Builder("tiny")
    x = net(BatchNorm(), net(Conv(4, 3), net.input(3, 16, 16), name="conv"), name="bn")
    return net.graph(net(Dense(2), net(Flatten(), net(GlobalAvgPool(), x)), name="dense"))


GRAPH = tiny()
SHAPES = GRAPH.parameters() | GRAPH.buffers()
rng = np.random.default_rng(0)
WEIGHTS = {name: rng.random(shape, np.float32) for name, shape in SHAPES.items()}


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def file_of(header: Any, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def test_the_safetensors_package_and_torch_read_what_we_write(tmp_path: Path) -> None:
    path = write(tmp_path / "a.safetensors", serialize(WEIGHTS))
    theirs, torchs = load_file(path), load_torch(path)
    assert theirs.keys() == torchs.keys() == WEIGHTS.keys()
    for name, array in WEIGHTS.items():
        assert np.array_equal(theirs[name], array) and np.array_equal(torchs[name].numpy(), array)


def test_we_read_what_they_write_bit_for_bit(tmp_path: Path) -> None:
    content = save(WEIGHTS, {"format": "pt"})
    ours = load_weights(write(tmp_path / "a", content), GRAPH, hashlib.sha256(content).hexdigest())
    assert ours.keys() == WEIGHTS.keys()
    assert all(np.array_equal(ours[name], WEIGHTS[name]) for name in WEIGHTS)


def test_arrays_for_whatever_network_without_counters(tmp_path: Path) -> None:
    counter = {"bn.num_batches_tracked": np.array(7)}
    ours = load_arrays(write(tmp_path / "a", save(WEIGHTS | counter | {"more": np.ones((2, 0), np.float32)})))
    assert ours.keys() == {*WEIGHTS, "more"} and ours["more"].shape == (2, 0)
    assert all(np.array_equal(ours[name], WEIGHTS[name]) for name in WEIGHTS)
    for content, message in [
        (save({"x": np.ones(3)}), "x: expected float32"),
        (save({"x": np.array([np.nan], np.float32)}), "x holds values that are no numbers"),
        (CONTENT[:-1], "damaged safetensors file"),
    ]:
        with pytest.raises(WeightsError, match=message):
            load_arrays(write(tmp_path / "b", content))
    with pytest.raises(WeightsError, match="not a file, or longer than 4 GB; it was not read"):
        load_arrays(tmp_path)


def test_an_array_that_is_not_contiguous_is_written_as_it_reads(tmp_path: Path) -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3).T
    write(tmp_path / "a", serialize({"x": array}))
    assert np.array_equal(load_file(tmp_path / "a")["x"], array)


def test_digest_tells_names_shapes_and_values_apart() -> None:
    array = np.arange(6, dtype=np.float32)
    variants: list[dict[str, np.ndarray]] = [
        {"a": array}, {"b": array}, {"a": array.reshape(2, 3)}, {"a": array.reshape(3, 2)}, {"a": array + 1},
        {"a": array, "b": array}, {},
    ]  # fmt: skip
    assert len({digest(each) for each in variants}) == len(variants)
    assert digest({"a": array, "b": array * 2}) == digest({"b": array * 2, "a": array.copy()})
    assert digest({"a": array.reshape(2, 3).T}) == digest({"a": np.ascontiguousarray(array.reshape(2, 3).T)})


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({}, "tiny: no weights for conv.weight; these are another network's, or incomplete"),
        (SHAPES | {"dense.weight": (2, 5)}, "tiny: dense.weight has shape (2, 5), expected (2, 4)"),
        (SHAPES | {"dense.weight": (4, 2)}, "tiny: dense.weight has shape (4, 2), expected (2, 4)"),
        (SHAPES | {"\x1b[31m": (1,)}, r"tiny: weights for '\\x1b[31m', which the network does not have"),
        ({k: v for k, v in SHAPES.items() if k != "bn.running_var"}, "tiny: no weights for bn.running_var"),
    ],
)
def test_check_names_what_does_not_fit(shapes: dict[str, Any], message: str) -> None:
    check_weights(GRAPH, SHAPES)
    with pytest.raises(WeightsError) as caught:
        check_weights(GRAPH, shapes)
    assert message in str(caught.value)


CONTENT = save(WEIGHTS)
HEADER = json.loads(CONTENT[8 : 8 + int.from_bytes(CONTENT[:8], "little")])
DATA = CONTENT[8 + int.from_bytes(CONTENT[:8], "little") :]
BIG = {"dtype": "F32", "shape": [10**9, 10**9], "data_offsets": [0, 4 * 10**18]}


def changed(name: str, **fields: Any) -> bytes:
    return file_of({**HEADER, name: HEADER[name] | fields}, DATA)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a safetensors file"),
        (CONTENT[:7], "not a safetensors file"),
        (CONTENT[:100], "not a safetensors file (the header is longer than the file)"),
        (CONTENT[:-1], "damaged safetensors file"),
        (CONTENT + b"x", "damaged safetensors file"),
        (b"\xff" * 64, "not a safetensors file"),
        (file_of(b"{" * 10), "not a safetensors file"),
        (file_of(b'{"a":' * 20_000), "not a safetensors file"),
        (file_of(b"[" * 100_000), "not a safetensors file"),
        (file_of([1, 2]), "not a safetensors file"),
        (file_of({"conv.weight": 1}), "not a safetensors file"),
        (file_of({"conv.weight": BIG | {"shape": "16"}}), "not a safetensors file"),
        (file_of({"conv.weight": BIG | {"shape": [True]}}), "not a safetensors file"),
        (file_of({"conv.weight": BIG | {"shape": [-1]}}), "not a safetensors file"),
        (file_of({"\x1b[2J": {"dtype": "F16", "shape": []}}), r"\x1b[2J: expected float32"),
        (file_of({}), "no weights for conv.weight"),
        (file_of(HEADER | {"conv.weight": BIG}, DATA), "conv.weight has shape (1000000000, 1000000000), expected"),
        (changed("conv.weight", data_offsets=[0, 10**18]), "damaged safetensors file"),
        (changed("conv.weight", data_offsets=[-4, 4]), "damaged safetensors file"),
        (changed("conv.weight", dtype="F64"), "expected float32"),
        (save(WEIGHTS | {"dense.bias": np.array([1, np.nan], np.float32)}), "dense.bias holds values that are no"),
        (save(WEIGHTS | {"dense.bias": np.array([1, np.inf], np.float32)}), "dense.bias holds values that are no"),
    ],
)
def test_a_damaged_or_lying_file_is_refused_before_anything_is_made_of_it(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = write(tmp_path / "a.safetensors", content)
    tracemalloc.start()
    with pytest.raises(WeightsError) as caught:
        load_weights(path, GRAPH)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert str(path) in str(caught.value) or "tiny" in str(caught.value)
    assert message in str(caught.value) and str(caught.value).isprintable()
    assert peak < 20 * len(content) + 5_000_000


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(CONTENT) - 1), st.integers(1, 255)), max_size=4), st.integers(0, 100))
@example([], 0)
def test_any_changed_bytes_give_weights_or_a_weights_error(
    tmp_path: Path, flips: list[tuple[int, int]], cut: int
) -> None:
    flipped = bytearray(CONTENT)
    for at, bits in flips:
        flipped[at] ^= bits
    broken = bytes(flipped[: len(flipped) - cut])
    path = write(tmp_path / "a", broken)
    try:
        found = load_weights(path, GRAPH)
    except WeightsError:
        assert broken != CONTENT
    else:
        check_weights(GRAPH, {name: array.shape for name, array in found.items()})
    if broken != CONTENT:
        with pytest.raises(WeightsError, match="not what its record says"):
            load_weights(path, GRAPH, hashlib.sha256(CONTENT).hexdigest())


def test_another_hash_is_refused_whatever_the_content(tmp_path: Path) -> None:
    path = write(tmp_path / "a", CONTENT)
    with pytest.raises(WeightsError) as caught:
        load_weights(path, GRAPH, "0" * 64)
    assert str(caught.value) == (
        f"{path}: its content is not what its record says; the file is damaged or was replaced"
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "cannot be read (No such file or directory)"),
        (lambda path: path.mkdir(), "not a file, or longer than tiny's weights; it was not read"),
        (lambda path: os.mkfifo(path), "not a file, or longer than tiny's weights; it was not read"),
        (lambda path: path.symlink_to("/dev/zero"), "not a file, or longer than tiny's weights; it was not read"),
        (lambda path: path.symlink_to(path), "cannot be read ("),
        (lambda path: os.truncate(write(path, b""), 2**40), "not a file, or longer than tiny's weights"),
    ],
    ids=["absent", "folder", "pipe", "endless device", "circle of links", "a terabyte"],
)
def test_what_would_never_end_is_not_read(tmp_path: Path, make: Callable[[Path], Any], message: str) -> None:
    path = tmp_path / "a.safetensors"
    make(path)
    with pytest.raises(WeightsError) as caught:
        load_weights(path, GRAPH)
    assert str(caught.value).startswith(f"{path}: {message}")


def test_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FOVEAL_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.setenv("FOVEAL_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder().name == "foveal" and cache_folder() != tmp_path
