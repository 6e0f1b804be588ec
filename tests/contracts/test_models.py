"""One suite over every network of the zoo: what must hold of any of them once it is built.

Oracles: PyTorch's FlopCounterMode, autograd and exporter; OpenVINO's kernels.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, fx
from torch.utils.flop_counter import FlopCounterMode

from foveal.build import build, weights_of
from foveal.engines.openvino import OpenVinoEngine
from foveal.graph import Graph
from foveal.weights import load_weights, serialize
from foveal.zoo import create_graph, list_models
from small_models import FAMILIES, outputs, ready, small, smallest

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("name", list_models())
def test_counts_equal_those_of_the_built_module(name: str) -> None:
    """Built without memory, on PyTorch's meta device, so all networks can run at their published size."""
    graph = create_graph(name)
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        module = build(graph).eval()
        results = outputs(module, torch.empty(1, *graph.input_shape))
    assert [tuple(y.shape[1:]) for y in results] == [graph.shapes[output] for output in graph.outputs]
    assert {key: tuple(p.shape) for key, p in module.named_parameters()} == graph.parameters()
    assert counter.get_total_flops() == 2 * graph.macs()


@pytest.mark.parametrize("name", list_models())
def test_model(name: str, tmp_path: Path) -> None:
    """Built once, with other classes, channels and sizes than published, for every check.

    Large networks have a quarter of their channels here; their own widths are counted above.
    """
    torch.manual_seed(0)
    other = create_graph(name, num_classes=7)
    assert {other.shapes[output][0] for output in other.outputs} == {7}, "other classes"
    graph = small(name, num_classes=7, channels=3 if other.input_shape[0] == 1 else 1)
    x = torch.randn(4, *graph.input_shape)
    module = ready(graph, x)
    y = outputs(module, x)
    assert [tuple(z.shape[1:]) for z in y] == [graph.shapes[output] for output in graph.outputs], "shapes"
    check_gradients(module, y)
    with torch.no_grad():
        assert all(map(torch.equal, outputs(module, x), y)), "eval mode is not deterministic"
        weights = check_saved(module, graph, tmp_path / "weights.safetensors")
        check_close(OpenVinoEngine(graph, weights)(x.numpy()), y, "OpenVINO")
        if x.ndim == 4:
            last = torch.channels_last
            check_close(outputs(module.to(memory_format=last), x.to(memory_format=last)), y, "channels last")


def check_gradients(module: fx.GraphModule, y: tuple[Tensor, ...]) -> None:
    sum((z * torch.randn_like(z)).sum() for z in y).backward()
    for name, value in module.named_parameters():
        assert value.grad is not None and value.grad.any(), f"no gradient reaches {name}"
        assert value.grad.isfinite().all(), f"the gradient of {name} is not finite"


def check_saved(module: fx.GraphModule, graph: Graph, path: Path) -> dict[str, np.ndarray]:
    """What was saved comes back bit by bit; returned as it came back."""
    weights = weights_of(module)
    path.write_bytes(serialize(weights))
    loaded = load_weights(path, graph)
    assert all(array.tobytes() == loaded[name].tobytes() for name, array in weights.items()), "saved and loaded"
    return loaded


def check_close(ours: object, expected: tuple[Tensor, ...], what: str) -> None:
    """Equal but for the order of float32's sums, which 150 layers of random weights make visible."""
    for a, b in zip(ours, expected, strict=True):
        difference = float(np.abs(np.asarray(a) - b.numpy()).max() / b.abs().max())
        assert difference < 2e-3, f"{what}: {difference:.1e} off"


@pytest.mark.parametrize("family", FAMILIES)
def test_export(family: str) -> None:
    graph = small(smallest(family), num_classes=7, channels=1)
    x = torch.randn(2, *graph.input_shape)
    module = build(graph).eval()
    exported = torch.export.export(module, (x,)).module()
    with torch.no_grad():
        assert all(map(torch.equal, outputs(exported, x), outputs(module, x)))
