"""Whole networks through the reference against the built modules in float64; shared weights; what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from against_torch import BATCH, built_in_float64
from torch.nn import functional as F

from foveal import ops, reference
from foveal.errors import GraphError, ShapeError, UnknownName, UsageError, WeightsError
from foveal.graph import Builder, Graph, Node
from foveal.reference.base import Array
from foveal.reference.losses import cross_entropy, cross_entropy_backward
from foveal.zoo import create_graph
from foveal.zoo.densenet import densenet_cifar


def dense_net() -> Graph:
    """A DenseNet of three blocks of two layers."""
    net = Builder("densenet")
    net.input(3, 10, 9)
    densenet_cifar(net, 4, 2, bc=True)
    return net.graph()


NETWORKS = {
    "lenet5": create_graph("lenet5"),
    "resnet18_cifar": create_graph("resnet18_cifar", input_shape=(3, 9, 10)),
    "densenet": dense_net(),
    "mobilenet_v2": create_graph("mobilenet_v2", input_shape=(3, 33, 35), num_classes=10),
}


def near(mine: Array, expected: torch.Tensor, name: str) -> None:
    """Equal to 1e-9 of the largest value; under 1e-12 all is rounding (a bias before a batch norm has no gradient)."""
    theirs = expected.detach().numpy()
    assert mine.shape == theirs.shape, name
    assert np.abs(mine - theirs).max() <= 1e-9 * np.abs(theirs).max() + 1e-12, name


@pytest.mark.parametrize(
    ("name", "training"),
    [("lenet5", False), ("resnet18_cifar", False), ("densenet", False), ("densenet", True), ("mobilenet_v2", True)],
)
def test_logits_and_all_gradients_are_those_of_the_built_module(name: str, training: bool) -> None:
    graph = NETWORKS[name]
    module, weights = built_in_float64(graph)
    module.train(training)
    x = np.random.default_rng(0).normal(size=(BATCH, *graph.input_shape))
    labels = [1, 3]
    masks = {
        node.name: np.ones((BATCH, *graph.shapes[node.name])) * (1 - node.op.p)  # drops nothing, scales by 1
        for node in graph.nodes
        if isinstance(node.op, ops.Dropout)
    }
    for layer in module.modules():
        if isinstance(layer, torch.nn.Dropout):
            layer.p = 0.0

    image = torch.from_numpy(x).requires_grad_()
    logits = module(image)
    loss = F.cross_entropy(logits, torch.tensor(labels))
    loss.backward()

    values = reference.run(graph, weights, x, training=training, masks=masks)
    (output,) = graph.outputs
    assert values.keys() == graph.shapes.keys()
    near(values[output], logits, "logits")
    assert cross_entropy(values[output], labels) == pytest.approx(loss.item(), rel=1e-9)
    gradients, to_weights = reference.backward(
        graph,
        weights,
        values,
        {output: cross_entropy_backward(values[output], labels)},
        training=training,
        masks=masks,
    )
    assert gradients.keys() == values.keys()
    near(gradients["input"], image.grad, "input")
    theirs = {key: p.grad for key, p in module.named_parameters()}
    assert to_weights.keys() == theirs.keys()
    for key, g in to_weights.items():
        near(g, theirs[key], key)


def shared() -> Graph:
    """One convolution used twice, and the input read twice."""
    nodes = (
        Node("first", ops.Conv(2, 3, padding=1), ("input",)),
        Node("again", ops.Conv(2, 3, padding=1), ("first",), weights_of="first"),
        Node("sum", ops.Add(), ("input", "again")),
        Node("drop", ops.Dropout(0.5), ("sum",)),
    )
    return Graph("shared", (2, 4, 5), nodes, ("drop", "first"))


def test_shared_weights_and_values_read_twice_add_up() -> None:
    graph = shared()
    module, weights = built_in_float64(graph)
    module.eval()
    x = np.random.default_rng(0).normal(size=(BATCH, *graph.input_shape))
    image = torch.from_numpy(x).requires_grad_()
    drop, first = module(image)
    (drop.square().sum() + first.sum()).backward()
    values = reference.run(graph, weights, x)
    seeds = {"drop": 2 * values["drop"], "first": np.ones_like(values["first"])}
    gradients, to_weights = reference.backward(graph, weights, values, seeds)
    near(gradients["input"], image.grad, "input")
    for key, parameter in module.named_parameters():
        near(to_weights[key], parameter.grad, key)
    assert np.array_equal(seeds["first"], np.ones_like(values["first"]))  # what is given is not changed
    unread, _ = reference.backward(graph, weights, values, {"first": seeds["first"]})
    assert not unread["sum"].any()


def test_float32_on_request() -> None:
    graph = shared()
    _, weights = built_in_float64(graph)
    values = reference.run(graph, weights, np.zeros((1, 2, 4, 5)), dtype=np.float32)
    assert {value.dtype for value in values.values()} == {np.dtype(np.float32)}
    gradients, to_weights = reference.backward(graph, weights, values, {"drop": np.ones((1, 2, 4, 5))})
    assert {g.dtype for g in (*gradients.values(), *to_weights.values())} == {np.dtype(np.float32)}


def test_what_is_refused() -> None:
    graph = shared()
    _, weights = built_in_float64(graph)
    x = np.zeros((1, 2, 4, 5))
    values = reference.run(graph, weights, x)
    with pytest.raises(ShapeError, match=r"x is \(2, 4, 5\); shared takes \(batch, 2, 4, 5\)"):
        reference.run(graph, weights, x[0])
    with pytest.raises(WeightsError, match=r"no weights for first.bias"):
        reference.run(graph, {"first.weight": weights["first.weight"]}, x)
    with pytest.raises(WeightsError, match=r"first: Conv's bias has the shape \(3,\); on this input it needs \(2,\)"):
        reference.run(graph, weights | {"first.bias": np.zeros(3)}, x)
    with pytest.raises(UsageError, match=r"drop: dropout in training needs a mask; pass masks=\{'drop': ...\}"):
        reference.run(graph, weights, x, training=True)
    with pytest.raises(UsageError, match=r"a mask for 'sum', which is no dropout; dropouts: drop"):
        reference.run(graph, weights, x, masks={"sum": x})
    with pytest.raises(WeightsError, match=r"drop: Dropout's mask has the shape \(1, 2\)"):
        reference.run(graph, weights, x, training=True, masks={"drop": x[..., 0, 0]})
    with pytest.raises(UsageError, match=r"no activation of 'again'; pass all that reference.run returned"):
        reference.backward(graph, weights, {"input": x, "first": x, "sum": x, "drop": x}, {})
    with pytest.raises(UnknownName, match="unknown node 'dorp'; did you mean drop"):
        reference.backward(graph, weights, values, {"dorp": x})
    with pytest.raises(ShapeError, match=r"drop: a gradient of \(4, 5\) for an activation of \(1, 2, 4, 5\)"):
        reference.backward(graph, weights, values, {"drop": x[0, 0]})
    opaque = Graph("seen", (3,), (Node("odd", ops.Opaque("sort", (3,)), ("input",)),), ("odd",))
    with pytest.raises(GraphError, match="odd: cannot be built: 'sort' was seen from outside only"):
        reference.run(opaque, {}, np.zeros((1, 3)))


def test_fixed_points_are_no_statistics_and_needed_in_training_too() -> None:
    graph = Graph("one", (3,), (Node("rbf", ops.Rbf(2), ("input",)),), ("rbf",))
    points, x = {"rbf.weight": np.array([[1.0, -1, 1], [0, 0, 0]])}, np.array([[1.0, 1, 2]])
    values = reference.run(graph, points, x, training=True)
    assert values["rbf"].tolist() == [[0 + 4 + 1, 1 + 1 + 4]]
    to_values, to_weights = reference.backward(graph, points, values, {"rbf": np.array([[1.0, 10]])}, training=True)
    assert to_values["input"].tolist() == [[0 + 20, 4 + 20, 2 + 40]] and to_weights == {}
    with pytest.raises(WeightsError, match=r"^no weights for rbf\.weight$"):
        reference.run(graph, {}, x, training=True)
    with pytest.raises(WeightsError, match="Rbf lacks its array 'weight', of shape "):
        reference.OPS[ops.Rbf].forward(ops.Rbf(2), {}, x)
