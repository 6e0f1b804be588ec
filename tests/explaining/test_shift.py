"""A moved picture: exact equivariance where it holds, by PyTorch; and how much less pooling makes of it."""

from __future__ import annotations

import functools
import io
import json

import numpy as np
import pytest
import torch

import foveal
from foveal.build import build
from foveal.errors import DataError, GraphError, UnknownName, UsageError
from foveal.explaining.observing import Subject, read_subject
from foveal.explaining.shift import change, moved_right, shift

NET = "24x24x3 > conv 4 3x3 same relu > conv 6 3x3 /2 p1 relu > maxpool 2 > conv 5 3x3 > flatten > dense 4"


@functools.cache
def network() -> Subject:
    torch.manual_seed(0)
    return read_subject(build(foveal.parse(NET)))


def picture(shape: tuple[int, ...] = (3, 24, 24)) -> np.ndarray:
    """Smooth, as photographs are: neighbours are alike."""
    noise = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    return np.cumsum(noise, -1) / 5


def test_a_picture_moves_to_the_right() -> None:
    assert moved_right(np.array([[1, 2, 3, 4]]), 2).tolist() == [[1, 1, 1, 2]]


def test_relative_change() -> None:
    assert change(np.array([3.0, 5.0]), np.array([3.0, 4.0])) == pytest.approx(1 / 5)
    assert change(np.zeros(2), np.zeros(2)) == 0 and change(np.ones(2), np.zeros(2)) == 1


@pytest.mark.parametrize(("node", "stride"), [("conv1", 1), ("relu1", 1), ("conv2", 2), ("relu2", 2), ("maxpool1", 4)])
def test_maps_move_along_where_the_stride_divides(node: str, stride: int) -> None:
    found = shift(network(), picture(), node, by=8)
    assert found.stride == stride and found.shape == network().graph.shapes[node]
    for row in found.rows:
        whole = row.by % stride == 0
        assert row.along is not None and row.columns > 0
        assert row.along < 1e-6 if whole else row.along > 0.01
        assert not whole or row.cells == row.by // stride
        assert row.map > 0.1


def test_columns_are_those_that_see_neither_padding_nor_the_new() -> None:
    """conv1 has units that see 3 cells, from -1 on: of 24 the outer two see padding; by 3, three more see the new."""
    rows = shift(network(), picture(), "conv1", by=3).rows
    assert [row.columns for row in rows] == [21, 20, 19]
    moved = torch.from_numpy(np.stack([picture(), moved_right(picture(), 3)]))
    weight = {name: torch.from_numpy(array) for name, array in network().weights.items() if name.startswith("conv1")}
    before, after = torch.nn.functional.conv2d(moved, weight["conv1.weight"], weight["conv1.bias"], padding=1)
    assert torch.allclose(after[..., 4:23], before[..., 1:20], atol=1e-6)
    assert not torch.allclose(after[..., 3:23], before[..., :20], atol=1e-3)


def test_changes_are_those_of_separate_passes() -> None:
    found = shift(network(), picture(), "relu2", by=2, pool=3)
    module = build(foveal.parse(NET), dict(network().weights)).eval()
    maps, outputs = [], []
    for by in (0, 2):
        x = torch.from_numpy(moved_right(picture(), by))[None]
        with torch.no_grad():
            outputs.append(module(x).numpy())
            y = torch.relu(module.get_submodule("conv1")(x))
            maps.append(torch.relu(module.get_submodule("conv2")(y)))
    row = found.rows[1]
    pooled = [torch.nn.functional.max_pool2d(y, 3).numpy() for y in maps]
    assert row.map == pytest.approx(change(maps[1].numpy(), maps[0].numpy()), rel=1e-4)
    assert row.pooled == pytest.approx(change(pooled[1], pooled[0]), rel=1e-4)
    assert row.output == pytest.approx(change(outputs[1], outputs[0]), rel=1e-4)
    assert row.picture == pytest.approx(change(moved_right(picture(), 2), picture()))


def test_pooling_makes_less_of_a_small_move() -> None:
    for row in shift(network(), picture(), "relu1", by=3, pool=4).rows:
        assert row.pooled is not None and row.pooled < row.map


def test_a_signal_moves_along_its_axis() -> None:
    torch.manual_seed(0)
    module = build(foveal.parse("20x2 > conv 4 5 p2 > relu > flatten > dense 3"))
    found = shift(module, picture((2, 20)), "conv1", by=2)
    assert all(row.along is not None and row.along < 1e-6 for row in found.rows)


def test_where_every_unit_sees_the_edge() -> None:
    torch.manual_seed(0)
    module = build(foveal.parse("8x8x3 > conv 4 3x3 same > global avgpool > flatten > dense 3"))
    found = shift(module, picture((3, 8, 8)), "globalavgpool1", by=1)
    assert found.stride is None and found.rows[0].along is None and found.rows[0].pooled is None
    assert str(found).splitlines()[-1].endswith("every unit sees padding or the edge")
    assert "a cell every" not in str(found)


def test_text_json_and_plot() -> None:
    import matplotlib.pyplot as plt

    found = shift(network(), picture(), "conv2", by=2)
    lines = str(found).splitlines()
    assert lines[0].endswith(": 6 x 12 x 12, a cell every 2 pixels") and len(lines) == 5
    assert "after 1 cell, in 9 columns" in lines[4]
    data = json.loads(json.dumps(found.to_json()))
    assert data["rows"][1]["cells"] == 1 and data["node"] == "conv2"
    figure = found.plot()
    assert len(figure.axes[0].lines) == 5
    figure.savefig(io.BytesIO())
    plt.close(figure)


def test_refusals() -> None:
    with pytest.raises(UnknownName, match="unknown node 'conv9'; did you mean conv"):
        shift(network(), picture(), "conv9")
    for node in ("dense1", "input"):
        with pytest.raises(GraphError, match=f"{node} is no map of a layer"):
            shift(network(), picture(), node)
    for by in (0, 24):
        with pytest.raises(UsageError, match=f"a shift by {by}; expected 1 to 23 pixels"):
            shift(network(), picture(), "conv1", by=by)
    with pytest.raises(UsageError, match="a pooling window of 0"):
        shift(network(), picture(), "conv1", pool=0)
    with pytest.raises(DataError, match="expected floats"):
        shift(network(), picture((3, 5, 5)), "conv1", by=2)
