from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

import foveal
from foveal.errors import DataError, FovealError, GraphError, ShapeError, UnknownName, UsageError
from foveal.networks import inspect, parse, read_network
from foveal.zoo import create_graph

FACTORIES = """
import torch

import foveal
from helper import WIDTH


def good():
    return torch.nn.Sequential(torch.nn.Conv2d(3, WIDTH, 3), torch.nn.ReLU())


def graph():
    return foveal.parse("8x8x3 > conv 4 3x3")


def broken():
    raise ValueError("no weights today")


def leaves():
    raise SystemExit(3)


def number():
    return 7


def wants(width):
    return width


instance = good()
constant = 5
"""


@pytest.fixture
def factories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "nets_for_test.py").write_text(FACTORIES)
    (tmp_path / "helper.py").write_text("WIDTH = 8\n")
    for name in ("nets_for_test", "helper"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path / "nets_for_test.py"


def test_a_zoo_name_and_another_input() -> None:
    assert inspect("lenet5").totals.parameters == 61_706
    assert inspect("resnet18", (3, 64, 64)).graph.input_shape == (3, 64, 64)


def test_notation() -> None:
    graph = parse("32x32x3 > conv 16 3x3 same relu")
    assert foveal.inspect("32x32x3 > conv 16 3x3 same relu").totals.parameters == 448
    assert [type(node.op).__name__ for node in graph.nodes] == ["Conv", "Relu"]


def test_a_graph_and_its_file(tmp_path: Path) -> None:
    graph = create_graph("lenet5")
    assert inspect(graph).graph == graph
    path = tmp_path / "net.json"
    path.write_text(json.dumps(graph.to_json()))
    assert inspect(path).graph == inspect(str(path)).graph == graph


def test_a_module_and_its_factories(factories: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU())
    expected = inspect(module, (3, 8, 8)).totals
    assert expected.parameters == 224 and expected.macs == 36 * 8 * 27
    for name in ("good", "instance"):
        assert inspect(f"{factories}:{name}", (3, 8, 8)).totals == expected
    monkeypatch.chdir(factories.parent)
    assert inspect("nets_for_test:good", (3, 8, 8)).totals == expected
    assert inspect("nets_for_test.py:graph").totals.parameters == 112


def test_factories_that_fail(factories: Path, tmp_path: Path) -> None:
    for name, said in {
        "broken": r"nets_for_test.py:broken raised ValueError: no weights today \(nets_for_test.py, line \d+\)",
        "leaves": r"nets_for_test.py:leaves raised SystemExit: 3",
        "number": r"nets_for_test.py:number gave int; expected a torch.nn.Module or a foveal.Graph",
        "constant": r"constant is no function",
        "wants": r"wants raised TypeError: wants\(\) missing 1 required positional argument: 'width'$",
        "": r"unknown factory in nets_for_test ''; known: broken, good, graph, leaves, number, wants",
        "god": r"unknown factory in nets_for_test 'god'; did you mean good",
    }.items():
        with pytest.raises(UsageError, match=said):
            inspect(f"{factories}:{name}", (3, 8, 8))
    with pytest.raises(UsageError, match=r"gone.py: no such file"):
        inspect(f"{tmp_path}/gone.py:make")
    with pytest.raises(UsageError, match=r"raised ModuleNotFoundError: No module named 'surely_no_module'$"):
        inspect("surely_no_module:make")
    with pytest.raises(UsageError, match="give its input, such as --input 3x224x224"):
        inspect(f"{factories}:good")
    (tmp_path / "typo.py").write_text("def make(:\n")
    with pytest.raises(UsageError, match=r"typo.py:make raised SyntaxError"):
        inspect(f"{tmp_path}/typo.py:make")
    assert str(tmp_path) not in sys.path


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("{}", "not a graph; expected the keys"),
        ("[1, 2]", "not a graph"),
        ('{"graph": 5}', "not a graph"),
    ],
)
def test_files_that_hold_no_graph(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "net.json"
    path.write_text(content)
    with pytest.raises(GraphError, match=f"net.json: {said}"):
        inspect(path)


def test_names_that_name_nothing(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="unknown network 'resnet5'; did you mean resnet"):
        inspect("resnet5")
    with pytest.raises(DataError, match=r"gone.json: cannot be read"):
        inspect(tmp_path / "gone.json")
    (tmp_path / "photo.jpg").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"photo.jpg: a file of no known kind; expected a zoo name"):
        inspect(tmp_path / "photo.jpg")
    with pytest.raises(FovealError, match="no bundle here"):
        inspect(tmp_path)
    for nothing in ("", " "):
        with pytest.raises(UsageError, match="no network was named"):
            inspect(nothing)
    with pytest.raises(GraphError, match="column 8: read the end, expected '>'"):
        inspect("32x32x3")
    said = r"resnet18 takes 3 sizes, channels first, as in \(3, 224, 224\); not \(32, 32\)"
    with pytest.raises(ShapeError, match=said):
        inspect("resnet18", (32, 32))
    with pytest.raises(UsageError, match="int is no network; expected a Graph"):
        read_network(7)
    with pytest.raises(GraphError, match="c1"):
        inspect("lenet5", (1, 3, 3))
