"""What is refused of ONNX files and what is made of their names; damaged files, found by Hypothesis."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from foveal.errors import FovealError, GraphError, MissingExtra, ShapeError, UsageError
from foveal.graph import Graph
from foveal.tracing.onnx_file import read_onnx
from onnx_models import FLOAT, ints, model, one, read, weight


def test_names_become_valid_and_unique(tmp_path: Path) -> None:
    names = [
        "/a/a.0/conv/Conv",
        "/a/a.0/Relu",
        "train",
        "__init__",
        "import",
        "x; rm -rf",
        "é" * 300,
        "a.0",
        "",
        "input",
    ]
    links = ["x", *(f"v{i}" for i in range(len(names) - 1)), "y"]
    nodes = [helper.make_node("Relu", [a], [b], name) for name, a, b in zip(names, links, links[1:], strict=False)]
    traced = read(model(nodes), tmp_path)
    assert [node.name for node in traced.graph.nodes] == [
        "a.0.conv", "a.0.relu", "train_", "n__init__", "import_", "x__rm__rf", f"n{'_' * 50}", "a.0.relu_2",
        "relu", "input_",
    ]  # fmt: skip


CONV = one("Conv", "x", "w", name="conv")
W = weight("w", 4, 3, 3, 3)


def outside(location: str) -> TensorProto:
    tensor = weight("w", 4, 3, 3, 3)
    tensor.external_data[0].value = location
    return tensor


@pytest.mark.parametrize(
    ("source", "kind", "said"),
    [
        (model([CONV], W, shape=(1, 3, "H", "W")), UsageError, "free sizes H, W; say --input 3x224x224"),
        (model([CONV], W, shape=("N", None, 8, 8)), UsageError, "free sizes axis 1; say --input 3x8x8"),
        (model([CONV], W, shape=(1, 3, -8, 8)), GraphError, "its input is 3x-8x8 besides the batch"),
        (model([CONV], W, shape=(1, 3, 10**15, 8)), GraphError, "its input is 3x1000000000000000x8"),
        (model([CONV], W, shape=(1, 3, 2, 2)), ShapeError, "conv: a kernel of 3 does not fit an input of 2"),
        (model([CONV], weight("w", 4, 5, 3, 3)), ShapeError, "conv: its weight is 4x5x3x3 .* takes 4x3x3x3"),
        (model([CONV], weight("w", -4, 3, 3, 3)), GraphError, r"its weight w has the sizes \[-4, 3, 3, 3\]"),
        (model([CONV], weight("w", 10**15, 3)), GraphError, "its weight w has the sizes"),
        (model([CONV]), GraphError, "conv: it reads 'w', which no earlier step gives"),
        (model([CONV, helper.make_node("Relu", ["y"], ["y"], "again")], W), GraphError, "again: it gives 'y'"),
        (model([helper.make_node("Relu", ["b"], ["a"], "one"), helper.make_node("Relu", ["a"], ["b"])]), GraphError,
         "one: it reads 'b', which no earlier step gives .a cycle"),
        (model([CONV], W, more_inputs=[helper.make_tensor_value_info("mask", FLOAT, (1,))]), GraphError,
         "it has 2 inputs .x, mask.; expected one"),
        (model([CONV], W, opset=99), GraphError, "ONNX opset 99, the installed onnx knows 1 to .*; upgrade onnx"),
        (model([one("Magic", "x", name="m", domain="com.acme")]), GraphError, "m: the shape of what Magic gives"),
        (model([one("Magic", "x", name="m")]), GraphError, "m: the shape of what Magic gives is not known"),
        (model([one("Shape", "x", name="m", start="one")]), GraphError, "m: its start is of another type than ONNX"),
        (model([one("NonZero", "x", name="m")]), GraphError, "m: the shape of what NonZero gives is not known"),
        (model([one("Constant", value_string="x", name="m")]), GraphError, "m: a Constant without numbers"),
        (model([CONV], outside("/etc/passwd")), GraphError, "weight w lies in '/etc/passwd', outside .* refused"),
        (model([CONV], outside("../w.bin")), GraphError, "weight w lies in '../w.bin', outside"),
        (model([CONV], outside("a/../../w.bin")), GraphError, "outside the model's folder"),
        (model([CONV], outside("C:\\w.bin")), GraphError, "outside the model's folder"),
        (model([CONV], outside("..\\w.bin")), GraphError, "outside the model's folder"),
        (model([CONV], outside("link/w.bin")), GraphError, "lies in 'link/w.bin', outside"),
        (model([CONV], outside("w\0.bin")), GraphError, "outside the model's folder"),
        (model([helper.make_node("Constant", [], ["w"], value=outside("/w")), CONV]), GraphError, "lies in '/w'"),
        (onnx.ModelProto(), GraphError, "empty"),
        (onnx.ModelProto(ir_version=8), GraphError, "no network in it"),
    ],
)  # fmt: skip
def test_models_that_cannot_be_read(
    source: onnx.ModelProto, kind: type[FovealError], said: str, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    with pytest.raises(kind, match=said) as caught:
        read(source, folder)
    assert type(caught.value) is kind
    assert str(caught.value).startswith(str(folder))


def test_input_shapes(tmp_path: Path) -> None:
    source = model([CONV], W)
    assert read(source, tmp_path, (3, 8, 8)).notes == ()
    other = read(source, tmp_path, (3, 9, 10))
    assert other.graph.shapes["conv"] == (4, 7, 8)
    assert other.notes == ("the file fixes its input to 3x8x8; here it is 3x9x10",)
    with pytest.raises(UsageError, match="its input has 3 axes besides the batch, not 2"):
        read(source, tmp_path, (3, 8))


def test_files_that_are_no_models(tmp_path: Path) -> None:
    (tmp_path / "empty.onnx").touch()
    (tmp_path / "text.onnx").write_text("hello, world")
    (tmp_path / "huge.onnx").touch()
    with (tmp_path / "huge.onnx").open("r+b") as file:
        file.truncate(2**31)  # takes no room
    whole = model([CONV], W).SerializeToString()
    (tmp_path / "cut.onnx").write_bytes(whole[: len(whole) // 2])
    for name, said in {
        "empty.onnx": "empty; expected an ONNX file", "text.onnx": "not an ONNX file, or a damaged one",
        "huge.onnx": "2,147,483,648 bytes; expected less than 2 GiB", "cut.onnx": "damaged",
        "none.onnx": "no such file", ".": "a folder; expected an ONNX file", "nul\0": "cannot be read|no such file",
    }.items():  # fmt: skip
        with pytest.raises(GraphError, match=said):
            read_onnx(tmp_path / name)


def test_without_onnx_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    (tmp_path / "net.onnx").write_bytes(b"x")
    with pytest.raises(MissingExtra, match=r"reading ONNX files needs .* pip install 'foveal\[export\]'"):
        read_onnx(tmp_path / "net.onnx")


SMALL = model(
    [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], "/conv/Conv", strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Sigmoid", ["c"], ["s"]),
        helper.make_node("Mul", ["c", "s"], ["m"]),
        helper.make_node("Shape", ["m"], ["n"]),
        helper.make_node("Slice", ["n", "zero", "one"], ["n0"]),
        helper.make_node("Concat", ["n0", "rest"], ["to"], axis=0),
        helper.make_node("Reshape", ["m", "to"], ["f"]),
        helper.make_node("MatMul", ["f", "v"], ["d"]),
        helper.make_node("Add", ["d", "u"], ["y"]),
    ],
    weight("w", 4, 3, 3, 3), weight("b", 4), ints("zero", 0), ints("one", 1), ints("rest", -1), weight("v", 64, 5),
    weight("u", 5),
).SerializeToString()  # fmt: skip


@settings(max_examples=600, deadline=None)
@given(
    flips=st.lists(st.tuples(st.integers(0, len(SMALL) - 1), st.integers(0, 255)), min_size=1, max_size=6),
    cut=st.integers(0, len(SMALL) * 2),
)
def test_damaged_files_give_a_graph_or_an_error(flips: list[tuple[int, int]], cut: int) -> None:
    damaged = bytearray(SMALL)
    for at, byte in flips:
        damaged[at] = byte
    path = Path(FUZZED.name) / "net.onnx"
    path.write_bytes(damaged[:cut])
    try:
        traced = read_onnx(path)
    except FovealError as error:
        assert str(error)
    else:
        assert Graph.from_json(traced.graph.to_json()) == traced.graph


FUZZED = tempfile.TemporaryDirectory()
