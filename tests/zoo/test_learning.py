"""Every family learns: from weights drawn as its paper has it, the loss on a small real set falls soon.

The set: 64 of scikit-learn's handwritten digits, enlarged to what the network takes.
"""

from __future__ import annotations

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn import functional as F

from foveal.build import build
from foveal.graph import Graph
from foveal.initializing import initialize
from foveal.zoo import MODELS, create_graph
from small_models import FAMILIES, outputs, small, smallest

pytestmark = pytest.mark.usefixtures("one_thread")

SLOW = ("alexnet", "googlenet", "squeezenet", "tdnn", "vgg", "zfnet")
"""Networks that squash, or are deep without batch norm: they take smaller steps, and more of them."""


def digits(graph: Graph, count: int) -> tuple[Tensor, Tensor]:
    """Pictures for `graph`, of which one along time sees the rows as channels, and their classes."""
    data = load_digits()
    pictures, targets = torch.from_numpy(data.images[:count]).float() / 8 - 1, torch.from_numpy(data.target[:count])
    if len(graph.input_shape) == 2:
        return pictures, targets
    return F.interpolate(pictures[:, None], graph.input_shape[1:]), targets


@pytest.mark.parametrize("family", FAMILIES)
def test_the_loss_falls_by_a_third_within_a_few_steps(family: str) -> None:
    torch.manual_seed(0)
    name = smallest(family)
    if len(create_graph(name).input_shape) == 2:
        graph = create_graph(name, num_classes=10, input_shape=(8, 8))
    else:
        graph = small(name, num_classes=10, channels=1, many=5_000_000)
    module = build(graph)
    initialize(module, MODELS[name].init, seed=0)
    x, targets = digits(graph, 32)
    rate, steps = (1e-3, 90) if family in SLOW else (2e-3, 30)
    optimizer = torch.optim.Adam(module.parameters(), rate)
    losses: list[float] = []
    for _ in range(steps):
        loss = F.cross_entropy(outputs(module, x)[0], targets)
        losses.append(float(loss.detach()))
        if losses[-1] < losses[0] * 2 / 3:
            return
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    pytest.fail(f"{name}: {', '.join(f'{loss:.2f}' for loss in losses[::10])}")
