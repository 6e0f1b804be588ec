"""The bundle as a file that anyone may have made, edited or damaged."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

import foveal
from foveal import bundle as module
from foveal.bundle import FORMAT, MAIN, Bundle, load_bundle
from foveal.classifier import Classifier
from foveal.data.preprocess import Preprocessing
from foveal.engines.openvino import OpenVinoEngine
from foveal.errors import BundleError, FovealError, OutputError
from foveal.features import Backbone, with_head
from foveal.files import locked
from foveal.graph import Builder, Graph
from foveal.ops import Conv, Dense, Flatten, GlobalAvgPool, Relu
from foveal.weights import serialize

HOSTILE = ("<script>", "\x1b[31m\u202e", "\udcff ' \" \n", "=1+1")


def tiny_graph(classes: int) -> Graph:
    net = Builder("tiny")
    x = net(Relu(), net(Conv(4, 3, stride=4), net.input(3, 32, 32), name="conv"), name="relu")
    return net.graph(net(Dense(classes), net(Flatten(), net(GlobalAvgPool(), x)), name="dense"))


def make(classes: tuple[str, ...] = ("cat", "coffee", "temple"), seed: int = 0, **changes: Any) -> Bundle:
    graph = tiny_graph(len(classes))
    rng = np.random.default_rng(seed)
    weights = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in graph.parameters().items()}
    fields: dict[str, Any] = {
        "graph": graph, "weights": weights, "classes": classes, "preprocessing": Preprocessing(size=32),
        "temperature": 1 / 3, "threshold": -0.1, "precision": "f32", "provenance": {"training": ["ab" * 32]},
    }  # fmt: skip
    return Bundle(**(fields | changes))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make().save(tmp_path / "bundle", "# card\n")
    return tmp_path / "bundle"


def same(a: Bundle, b: Bundle) -> bool:
    if a.weights.keys() != b.weights.keys() or replace(a, weights={}) != replace(b, weights={}):
        return False
    return all(np.array_equal(a.weights[name], b.weights[name]) for name in a.weights)


def predictions(bundle: Bundle, files: list[Path]) -> np.ndarray:
    classifier = Classifier(bundle, OpenVinoEngine(bundle.graph, bundle.weights), threads=1)
    return np.array([list(each.scores.values()) for each in classifier.predict(files)])


# ------------------------------------------------------------------------------------------------- there and back


def test_what_is_saved_is_what_is_loaded(folder: Path) -> None:
    assert same(load_bundle(folder), make())
    data = json.loads((folder / MAIN).read_bytes())
    assert sorted(p.name for p in folder.iterdir()) == sorted(["README.md", MAIN, data["weights"]["file"]])
    assert (folder / "README.md").read_text() == "# card\n"


def test_any_tool_can_read_it(folder: Path) -> None:
    data = json.loads((folder / MAIN).read_text("ascii"))
    path = folder / data["weights"]["file"]
    assert hashlib.sha256(path.read_bytes()).hexdigest() == data["weights"]["sha256"]
    assert path.name == f"model-{data['weights']['sha256'][:8]}.safetensors"
    assert all(np.array_equal(array, make().weights[name]) for name, array in load_file(path).items())
    assert (data["format"], data["foveal"]) == (FORMAT, foveal.__version__)


def test_hostile_names_and_odd_values_come_back_exactly(tmp_path: Path) -> None:
    ours = make(HOSTILE, threshold=None, temperature=1e-6, provenance={"\u202e": ["\udcff", None, 1e308, {"x": []}]})
    ours.save(tmp_path, "card")
    assert same(load_bundle(tmp_path), ours)


def test_predictions_of_the_pretrained_network_survive(
    backbone: Backbone, photo_files: list[Path], tmp_path: Path
) -> None:
    graph = with_head(backbone, ("stage7", "top"), 3)
    rng = np.random.default_rng(0)
    shapes = graph.parameters() | graph.buffers()
    weights = {
        name: backbone.weights[name] if name in backbone.weights else rng.normal(0, 0.1, shape).astype(np.float32)
        for name, shape in shapes.items()
    }
    ours = make(graph=graph, weights=weights, preprocessing=backbone.preprocessing, temperature=1.0)
    ours.save(tmp_path, "card")
    before, after = predictions(ours, photo_files[::6]), predictions(load_bundle(tmp_path), photo_files[::6])
    assert same(load_bundle(tmp_path), ours)
    assert np.abs(before - after).max() < 1e-5
    assert before.std(axis=0).max() > 1e-3  # the photos differ


def test_a_new_bundle_replaces_the_old_one_and_its_weights(folder: Path) -> None:
    old = next(folder.glob("model-*"))
    newer = make(seed=1)
    newer.save(folder, "new card")
    assert same(load_bundle(folder), newer)
    assert not old.exists() and len(list(folder.iterdir())) == 3
    newer.save(folder, "same again")
    assert same(load_bundle(folder), newer)


# ----------------------------------------------------------------------------------------- crashes, several writers


@pytest.mark.parametrize("broken", [MAIN, "README.md", "model-"])
def test_a_crash_while_saving_leaves_the_old_bundle_readable(
    folder: Path, photo_files: list[Path], monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    before = predictions(load_bundle(folder), photo_files[:3])
    write = module.write_atomic

    def crash(path: Path, content: bytes | str) -> None:
        if path.name.startswith(broken):
            raise OutputError(f"{path}: the disk is full")
        write(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_atomic", crash)
        with pytest.raises(OutputError, match="the disk is full"):
            make(seed=1).save(folder, "new card")
    assert np.array_equal(predictions(load_bundle(folder), photo_files[:3]), before)
    assert same(load_bundle(folder), make())
    make(seed=1).save(folder, "new card")
    assert same(load_bundle(folder), make(seed=1)) and len(list(folder.iterdir())) == 3


def test_a_second_writer_is_refused(folder: Path) -> None:
    with locked(folder), pytest.raises(OutputError, match="another Foveal run is writing here"):
        make(seed=1).save(folder, "card")
    assert same(load_bundle(folder), make())


SAVER = """
import sys
sys.path.insert(0, "tests")
from test_bundle import *
while True:
    for seed in (1, 2, 3):
        make(seed=seed).save(Path(sys.argv[1]), f"card {seed}")
        print(seed, flush=True)
"""


@pytest.fixture
def saver(folder: Path) -> Any:
    """A process that replaces the bundle again and again."""
    root = Path(__file__).parent.parent
    command = [sys.executable, "-c", SAVER, str(folder)]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stdout.readline() == "1\n"
        yield process
        process.kill()


def test_a_reader_always_finds_a_whole_bundle(folder: Path, saver: Any) -> None:
    versions = [make(seed=seed) for seed in (1, 2, 3)]
    seen = set()
    until = time.monotonic() + 1.5
    while time.monotonic() < until:
        found = load_bundle(folder)
        seen.add(next(i for i, version in enumerate(versions) if same(found, version)))
    assert len(seen) > 1


def test_a_writer_killed_at_any_moment_leaves_a_whole_bundle(folder: Path, saver: Any) -> None:
    time.sleep(np.random.default_rng().uniform(0, 0.05))
    saver.kill()
    saver.wait()
    assert any(same(load_bundle(folder), make(seed=seed)) for seed in (1, 2, 3))
    make().save(folder, "card")
    assert same(load_bundle(folder), make()) and len(list(folder.iterdir())) == 3


# ---------------------------------------------------------------------------------------------------------- damage


def refusal(folder: Path) -> str:
    """The message of the BundleError; loading took no more memory than a small bundle may."""
    tracemalloc.start()
    with pytest.raises(BundleError) as caught:
        load_bundle(folder)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60_000_000
    text = str(caught.value)
    assert text.startswith(f"{folder}: ") and text.isprintable() and len(text) < 600
    return text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "bundle.json is damaged"),
        (b"null", "bundle.json is not a bundle's; expected an object with a format number"),
        (b"[1, 2]", "is not a bundle's"),
        (b"{}", "is not a bundle's"),
        (b'{"format": true}', "is not a bundle's"),
        (b'{"format": 0}', "is not a bundle's"),
        (b'{"format": 1.0}', "is not a bundle's"),
        (b'{"format": "1"}', "is not a bundle's"),
        (b'{"format": NaN}', "is not a bundle's"),
        (b'{"format": 2}', "made by a newer Foveal (format 2, this one reads 1); upgrade it"),
        (b'{"format": 1' + b"0" * 300 + b"}", "made by a newer Foveal"),
        (b'{"format": 1' + b"0" * 100_000 + b"}", "bundle.json is damaged"),
        (b'{"format": 1}', "has other keys than a bundle's: checksum, classes, "),
        (b"\xff\xfe\xfd", "bundle.json is damaged"),
        (b'{"format": 1, "a": "\xff"}', "bundle.json is damaged"),
        (b"[" * 100_000, "bundle.json is damaged"),
        (b'{"a":' * 100_000, "bundle.json is damaged"),
        (b"[" * 900 + b"]" * 900, "bundle.json is "),
        (pickle.dumps({"format": 1}), "bundle.json is damaged"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_is_no_bundle(folder: Path, content: bytes, message: str) -> None:
    (folder / MAIN).write_bytes(content)
    assert message in refusal(folder)


def test_no_bundle_at_all(tmp_path: Path) -> None:
    message = f"{tmp_path}: no bundle here (no bundle.json); give the folder that `foveal train` wrote"
    assert refusal(tmp_path) == message
    (tmp_path / MAIN).mkdir()
    assert refusal(tmp_path) == message
    (tmp_path / "file").write_text("")
    assert "no bundle here" in refusal(tmp_path / "file")
    hostile = tmp_path / "\x1b[31m"
    with pytest.raises(BundleError) as caught:
        load_bundle(hostile)
    assert r"\x1b[31m: no bundle here" in str(caught.value) and str(caught.value).isprintable()


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_truncated_file(folder: Path, share: float) -> None:
    content = (folder / MAIN).read_bytes()
    (folder / MAIN).write_bytes(content[: int(share * len(content))])
    assert "bundle.json is damaged (" in refusal(folder)
    assert "; train again or restore a copy" in refusal(folder)


def test_a_file_larger_than_any_bundle_is_not_read(folder: Path) -> None:
    os.truncate(folder / MAIN, 2**40)
    assert "bundle.json is larger than any bundle's; it was not read" in refusal(folder)


def test_an_edit_by_hand_is_noticed(folder: Path) -> None:
    content = (folder / MAIN).read_text()
    (folder / MAIN).write_text(content.replace('"coffee"', '"coffin"'))
    assert "bundle.json was changed after it was written; train again or restore a copy" in refusal(folder)


def test_rewriting_the_same_content_is_no_edit(folder: Path) -> None:
    data = json.loads((folder / MAIN).read_bytes())
    (folder / MAIN).write_text(json.dumps(dict(reversed(data.items())), indent=4))
    assert same(load_bundle(folder), make())


def edit(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the parsed bundle.json and give it the checksum that an attacker would."""
    data = json.loads((folder / MAIN).read_bytes())
    change(data)
    data["checksum"] = module._checksum(data)
    (folder / MAIN).write_text(json.dumps(data))


def put(*path: Any, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(data: Any) -> None:
        for key in path[:-1]:
            data = data[key]
        data[path[-1]] = value

    return change


def nested(depth: int) -> list[Any]:
    inner: list[Any] = []
    for _ in range(depth):
        inner = [inner]
    return inner


SHA = hashlib.sha256(serialize(make().weights)).hexdigest()
GOOD_FILE = f"model-{SHA[:8]}.safetensors"

EDITS = [
    (put("extra", value=1), "has other keys than a bundle's: extra"),
    (put("\x1b[2J", value=1), r"has other keys than a bundle's: \x1b[2J"),
    (lambda data: data.pop("graph"), "has other keys than a bundle's: graph"),
    (put("format", value=99), "made by a newer Foveal (format 99"),
    (put("classes", value=["cat", "cat", "dog"]), "classes; expected at least two different names"),
    (put("classes", value=["cat"]), "classes; expected at least two different names"),
    (put("classes", value=[]), "classes; expected at least two"),
    (put("classes", value=["cat", 1, None]), "classes; expected a list of names"),
    (put("classes", value="cat"), "classes; expected a list of names"),
    (put("classes", value={"a": 1, "b": 2}), "classes; expected a list of names"),
    (put("classes", value=["cat", "dog"]), "the network gives [(3,)], but there are 2 classes"),
    (put("temperature", value=0), "temperature = 0; expected a number above 0"),
    (put("temperature", value=-1.0), "temperature = -1.0; expected"),
    (put("temperature", value=float("inf")), "temperature = inf; expected"),
    (put("temperature", value=float("nan")), "temperature = nan; expected"),
    (put("temperature", value=10**400), "temperature = 1000"),
    (put("temperature", value=True), "temperature = True; expected"),
    (put("temperature", value=None), "temperature = None; expected"),
    (put("temperature", value="\x1b[31m"), "temperature = '\\x1b[31m'; expected"),
    (put("threshold", value=float("nan")), "threshold = nan; expected a number or null"),
    (put("threshold", value=10**400), "threshold = 1000"),
    (put("threshold", value=[]), "threshold = []; expected"),
    (put("precision", value="f16"), "precision = 'f16'; expected 'f32' or 'bf16'"),
    (put("precision", value=["f32"]), "precision = ['f32']; expected"),
    (put("provenance", value=[]), "provenance; expected an object"),
    (put("preprocessing", "size", value=10**9), "preprocessing: size = 1000000000; expected a number from 8"),
    (put("preprocessing", "size", value=64), "the network takes (3, 32, 32), but pictures become 3x64x64"),
    (put("preprocessing", value=None), "preprocessing: expected the keys"),
    (put("weights", value=None), "names no weights file of the form model-<sha8>.safetensors"),
    (put("weights", "file", value="../" + GOOD_FILE), "names no weights file of the form"),
    (put("weights", "file", value="/etc/passwd"), "names no weights file of the form"),
    (put("weights", "file", value="C:\\model-00000000.safetensors"), "names no weights file of the form"),
    (put("weights", "file", value=GOOD_FILE + "\n"), "names no weights file of the form"),
    (put("weights", "file", value="model-00000000.safetensors\x00"), "names no weights file of the form"),
    (put("weights", "file", value="model-٠٠٠٠٠٠٠٠.safetensors"), "names no weights file of the form"),
    (put("weights", "file", value="model-00000000.pkl"), "names no weights file of the form"),
    (put("weights", "file", value=7), "names no weights file of the form"),
    (put("weights", "sha256", value=None), "names no weights file of the form"),
    (put("weights", "file", value="model-00000000.safetensors"), "cannot be read (No such file or directory)"),
    (put("weights", "sha256", value="0" * 64), "its content is not what its record says"),
    (put("graph", value=None), "not a graph; expected the keys name, input_shape, nodes and outputs"),
    (put("graph", "nodes", value={}), "a graph's nodes are a list"),
    (put("graph", "nodes", 0, "name", value="forward"), "'forward' is reserved by Python or PyTorch"),
    (put("graph", "nodes", 0, "name", value="__class__"), "'__class__' is reserved by Python or PyTorch"),
    (put("graph", "nodes", 0, "name", value="import os; os.abort()"), "cannot name a node"),
    (put("graph", "nodes", 0, "name", value="x\n__import__('os').system('id')"), "cannot name a node"),
    (put("graph", "nodes", 0, "op", value="__import__"), "unknown op '__import__'"),
    (put("graph", "nodes", 0, "op", value="system\x1b[31m"), "unknown op 'system\\x1b[31m'"),
    (put("graph", "nodes", 0, "inputs", value=["later"]), "reads 'later', which no earlier node is called"),
    (put("graph", "nodes", 0, "kernel_size", value=10**30), "Conv.kernel_size"),
    (put("graph", "nodes", 0, "stride", value=0), "Conv.stride = 0"),
    (put("graph", "nodes", 0, "out_channels", value=10**11), "is larger than any network that Foveal makes"),
    (put("graph", "nodes", 0, "padding", value=10**6), "is larger than any network that Foveal makes"),
    (put("graph", "nodes", 4, "out_features", value=10**12), "is larger than any network that Foveal makes"),
    (put("graph", "nodes", 4, "out_features", value=4), "tiny: dense.weight has shape (3, 4), expected (4, 4)"),
    (put("graph", "outputs", value=["relu"]), "the network gives [(4, 8, 8)], but there are 3 classes"),
    (put("graph", "outputs", value=["dense", "dense"]), "the network gives [(3,), (3,)], but there are 3 classes"),
    (put("graph", "outputs", value=["input"]), "the network gives [(3, 32, 32)], but there are 3 classes"),
    (put("graph", "outputs", value=[]), "tiny has no outputs"),
    (put("graph", "name", value="../../x"), "cannot name a network"),
    (put("graph", "input_shape", value=[3, 32]), "conv.weight has shape (4, 3, 3, 3), expected (4, 3, 3)"),
    (put("graph", "input_shape", value=[3, 64, 32]), "the network takes (3, 64, 32), but pictures become 3x32x32"),
    (put("graph", "nodes", 1, value={"op": "Dropout", "p": 10**400, "name": "relu", "inputs": ["conv"]}), "Dropout.p"),
    (put("graph", "input_shape", value=[3, 10**13, 1]), "input_shape"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), EDITS, ids=[ascii(message) for _, message in EDITS])
def test_an_edit_that_gets_past_the_checksum(
    folder: Path, change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    edit(folder, change)
    assert message in refusal(folder)


@pytest.mark.parametrize("depth", [*range(880, 1000, 7), 50_000])
@pytest.mark.parametrize("where", [("graph", "nodes", 0), ("provenance", "x"), ("graph", "name"), ("temperature",)])
def test_any_depth_of_nesting(folder: Path, where: tuple[Any, ...], depth: int) -> None:
    """Around Python's recursion limit, reading may succeed and a later step fail, so every depth there is tried."""
    data = json.loads((folder / MAIN).read_bytes())
    put(*where, value="@here@")(data)
    sorted_text = json.dumps({k: v for k, v in data.items() if k != "checksum"}, sort_keys=True, separators=(",", ":"))
    inside = "[" * depth + "]" * depth
    data["checksum"] = hashlib.sha256(sorted_text.replace('"@here@"', inside).encode()).hexdigest()
    (folder / MAIN).write_text(json.dumps(data).replace('"@here@"', inside))
    try:
        load_bundle(folder)
    except BundleError as error:
        assert "changed after" not in str(error) and str(error).isprintable() and len(str(error)) < 600
    else:
        assert where == ("provenance", "x") and depth < 1000


def weights_file(folder: Path, content: bytes) -> None:
    """Put `content` in the place of the weights, hash and all, as an attacker would."""
    for path in folder.glob("model-*"):
        path.unlink()
    sha256 = hashlib.sha256(content).hexdigest()
    (folder / f"model-{sha256[:8]}.safetensors").write_bytes(content)
    edit(folder, put("weights", value={"file": f"model-{sha256[:8]}.safetensors", "sha256": sha256}))


def lying_header(shape: list[int], nbytes: int) -> bytes:
    header = json.dumps({"conv.weight": {"dtype": "F32", "shape": shape, "data_offsets": [0, nbytes]}}).encode()
    return len(header).to_bytes(8, "little") + header


class Hostile:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a safetensors file"),
        (lying_header([10**6, 10**6], 4 * 10**12), "conv.weight"),
        (lying_header([2**62, 2**62], 4), "conv.weight"),
        (b"\xff" * 8 + b"{}", "the header is longer than the file"),
        (serialize(make().weights)[:-10], "damaged safetensors file"),
        (serialize({**make().weights, "more": np.zeros(1, np.float32)}), "weights for 'more', which the network does"),
        (serialize(make(("a", "b")).weights), "dense.weight has shape (2, 4), expected (3, 4)"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_weights_that_lie_under_the_right_hash(folder: Path, content: bytes, message: str) -> None:
    weights_file(folder, content)
    assert message in refusal(folder)


def test_a_pickle_in_place_of_the_weights_runs_nothing(folder: Path, tmp_path: Path) -> None:
    weights_file(folder, pickle.dumps(Hostile(tmp_path / "ran")))
    assert "not a safetensors file" in refusal(folder)
    assert not (tmp_path / "ran").exists()


def test_weights_that_were_renamed_shortened_or_changed(folder: Path) -> None:
    path = next(folder.glob("model-*"))
    content = path.read_bytes()
    path.rename(folder / "model-00000000.safetensors")
    assert f"{path}: cannot be read (No such file or directory)" in refusal(folder)
    path.write_bytes(content[:-4])
    assert "the file is damaged or was replaced" in refusal(folder)
    for at in (0, 20, len(content) // 2, len(content) - 1):
        flipped = bytearray(content)
        flipped[at] ^= 1
        path.write_bytes(flipped)
        assert "the file is damaged or was replaced" in refusal(folder)
    path.write_bytes(content)
    assert same(load_bundle(folder), make())


def test_links_are_followed_only_to_the_very_same_content(folder: Path, tmp_path: Path) -> None:
    path = next(folder.glob("model-*"))
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert same(load_bundle(folder), make())
    (tmp_path / "secret").write_text("of the user")
    path.unlink()
    path.symlink_to(tmp_path / "secret")
    text = refusal(folder)
    assert "the file is damaged or was replaced" in text and "of the user" not in text
    path.unlink()
    path.symlink_to("/dev/zero")
    assert "it was not read" in refusal(folder)
    (folder / MAIN).unlink()
    (folder / MAIN).symlink_to("/dev/zero")
    assert "no bundle here" in refusal(folder)
    (folder / MAIN).unlink()
    (folder / MAIN).symlink_to(folder / MAIN)
    assert "no bundle here" in refusal(folder)


# ---------------------------------------------------------------------------------------------------------- fuzzing

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz")
    make().save(folder, "card")
    shutil.copy(folder / MAIN, folder / "original")
    return folder


def loads_or_refuses(folder: Path) -> Bundle | None:
    try:
        return load_bundle(folder)
    except FovealError as error:
        assert isinstance(error, BundleError) and str(error).isprintable()
        return None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(
    flips=st.lists(st.tuples(st.integers(0, 2000), st.binary(max_size=6)), max_size=3),
    cut=st.none() | st.integers(0, 2000),
)
@example(flips=[], cut=None)
def test_any_bytes_give_a_bundle_or_a_bundle_error(
    scratch: Path, flips: list[tuple[int, bytes]], cut: int | None
) -> None:
    original = (scratch / "original").read_bytes()
    broken = original
    for at, replacement in flips:
        broken = broken[:at] + replacement + broken[at + len(replacement) :]
    (scratch / MAIN).write_bytes(broken[:cut])
    found = loads_or_refuses(scratch)
    assert found is None or same(found, make())
    assert found is not None or broken[:cut] != original


def paths(data: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in parsed JSON."""
    inside = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [at, *(path for key, value in inside for path in paths(value, (*at, key)))]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)
@given(data=st.data(), value=JSON)
def test_any_value_anywhere_gives_a_bundle_or_a_bundle_error(scratch: Path, data: st.DataObject, value: Any) -> None:
    original = json.loads((scratch / "original").read_bytes())
    places = [path for path in paths(original) if path and path != ("checksum",)]
    where = data.draw(st.sampled_from(places))
    (scratch / MAIN).write_bytes((scratch / "original").read_bytes())
    edit(scratch, put(*where, value=value))
    found = loads_or_refuses(scratch)
    if found is not None:
        assert isinstance(found, Bundle) and found.temperature > 0 and len(set(found.classes)) == 3
        assert found.graph.shapes[found.graph.outputs[0]] == (3,)
