"""Every network of the zoo against published numbers: parameters and multiply-accumulates.

Oracles, in `published_counts`: the figures that torchvision publishes with its weights, the modules of timm and
pytorchcv, those of TensorFlow's EfficientNet-Lite models, the tables of the papers, and what the lectures count by
hand. No torch in here; `contracts/test_models.py` counts on built modules, `test_sizes.py` has the sizes layer by
layer.
"""

from __future__ import annotations

import math
from importlib import import_module

import pytest
from published_counts import GIGA_MACS, MILLIONS, PARAMETERS

from foveal.graph import Graph
from foveal.ops import AvgPool, Conv, Dense
from foveal.zoo import create_graph, find_model, list_models


def parameters(graph: Graph, prefix: str = "") -> int:
    return sum(math.prod(shape) for name, shape in graph.parameters().items() if name.startswith(prefix))


def test_every_model_has_a_published_count() -> None:
    ours = {name for name in list_models() if find_model(name).family == "tiny"}
    assert set(PARAMETERS) == set(list_models()) - ours


@pytest.mark.parametrize("name", list_models())
def test_every_model_has_its_paper(name: str) -> None:
    """And the file of its family names the same year."""
    model = find_model(name)
    paper = model.paper
    assert all((paper.authors, paper.title, paper.source, paper.brought, model.init.source))
    if "no paper" not in paper.source:
        assert str(paper.year) in (import_module(f"foveal.zoo.{model.family}").__doc__ or "")


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters(name: str) -> None:
    assert parameters(create_graph(name)) == PARAMETERS[name]


@pytest.mark.parametrize("name", GIGA_MACS)
def test_macs(name: str) -> None:
    assert create_graph(name).macs() / 1e9 == pytest.approx(GIGA_MACS[name], abs=0.0005)


@pytest.mark.parametrize("name", MILLIONS)
def test_rounded_counts(name: str) -> None:
    graph = create_graph(name)
    for count, printed in zip((parameters(graph), graph.macs()), MILLIONS[name], strict=True):
        assert printed is None or f"{count / 1e6:.{len(printed.partition('.')[2])}f}" == printed


@pytest.mark.parametrize(
    ("name", "published"),
    [("resnet50_paper", 3.8), ("resnet101_paper", 7.6), ("resnet152_paper", 11.3), ("plain18", 1.8), ("plain34", 3.6)],
)
def test_macs_of_the_residual_paper(name: str, published: float) -> None:
    """He et al., table 1, in FLOPs that are multiply-adds; its 3.8 is 3.86, cut off."""
    assert create_graph(name).macs() / 1e9 == pytest.approx(published, abs=0.06)


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("se_resnet50", 3.87),
        ("se_resnet101", 7.60),
        ("se_resnet152", 11.32),
        ("se_resnext50_32x4d", 4.25),
        ("se_resnext101_32x4d", 8.00),
    ],
)
def test_macs_of_squeeze_and_excitation(name: str, published: float) -> None:
    """Hu et al. (2018), table 2, where poolings and products count a little, too."""
    assert published - 0.035 < create_graph(name).macs() / 1e9 < published


@pytest.mark.parametrize(
    ("groups", "published"),
    [("g1_x1_0", 143), ("g2_x1_0", 140), ("x1_0", 137), ("g4_x1_0", 133), ("g8_x1_0", 137)],
)
def test_macs_of_grouped_pointwise_convolutions(groups: str, published: int) -> None:
    """Zhang et al. (2018), table 1, which leaves the dense layer out."""
    graph = create_graph(f"shufflenet_v1_{groups}", head=None)
    assert round(graph.macs() / 1e6) == published


@pytest.mark.parametrize(
    ("width", "millions", "macs"),
    [("_x0_35", 1.66, 59), ("_x0_5", 1.95, 97), ("_x0_75", 2.61, 209), ("", 3.47, 300), ("_x1_4", 6.06, 582)],
)
def test_widths_of_mobilenet_v2(width: str, millions: float, macs: int) -> None:
    """TensorFlow's table (models/research/slim/nets/mobilenet), which leaves batch norm out and cuts off."""
    graph = create_graph(f"mobilenet_v2{width}")
    counted = sum(math.prod(shape) for name, shape in graph.parameters().items() if ".bn." not in name)
    assert round(counted / 1e6, 2) == millions
    assert graph.macs() // 10**6 == macs


def test_face_net() -> None:
    """pytorchcv's inceptionresnetv1 is FaceNet's: 23,995,624, with a sixth last block and a dense layer of 512."""
    graph = create_graph("inception_resnet_v1")
    theirs = 1792 * 512 + 2 * 512 + 512 * 1000 + 1000
    assert parameters(graph) - parameters(graph, "head.") + parameters(graph, "stage3.block5.") + theirs == 23_995_624


def test_macs_of_the_lectures() -> None:
    assert create_graph("lecture_standard").macs() == 1_228_800
    assert create_graph("lecture_separable").macs() == 4_800 + 49_152


def test_counting_by_layer() -> None:
    graph = create_graph("lecture_counting")
    counts = [parameters(graph, layer) for layer in ("conv1.", "conv2.", "dense1.", "dense2.")]
    assert counts == [224, 3_216, 2_097_664, 2_052]


def test_lenet_of_1998_by_layer() -> None:
    """LeCun et al. (1998), section II.B: trained parameters and connections, of which 84 a class lead to the output."""
    graph = create_graph("lenet5_paper")
    counts = {layer: parameters(graph, f"{layer}.") for layer in ("c1", "s2", "c3", "s4", "c5", "f6")}
    assert counts == {"c1": 156, "s2": 12, "c3": 1_516, "s4": 32, "c5": 48_120, "f6": 10_164}
    connections = 84 * 10
    for node in graph.nodes:
        outputs, inputs = math.prod(graph.shapes[node.name]), graph.input_shapes(node)
        if isinstance(node.op, (Conv, Dense)):
            connections += node.op.macs(*inputs) + outputs  # one a weight, one for the bias
        elif isinstance(node.op, AvgPool):
            connections += outputs * (2 * 2 + 1)
    assert connections == 340_908


def test_inputs_of_dense_layers() -> None:
    """Huang et al. (2017), section 3: layer l of a stage reads k0 + k(l - 1) channels."""
    shapes = create_graph("densenet121").shapes
    for stage, start, layers in ((1, 64, 6), (2, 128, 12), (3, 256, 24), (4, 512, 16)):
        read = [shapes[f"stage{stage}.layer{layer}.bn1"][0] for layer in range(1, layers + 1)]
        assert read == [start + 32 * (layer - 1) for layer in range(1, layers + 1)]


def test_what_the_shortcuts_cost() -> None:
    """He et al. (2015): without its projections ResNet-34 has the parameters of the plain network."""
    residual = create_graph("resnet34")
    projections = sum(math.prod(shape) for name, shape in residual.parameters().items() if "shortcut" in name)
    assert parameters(residual) - projections == parameters(create_graph("plain34"))


def test_vgg16_with_two_outputs() -> None:
    assert parameters(create_graph("vgg16", num_classes=2)) == 134_268_738


@pytest.mark.parametrize(("name", "mebibytes"), [("alexnet", 1.85), ("vgg16", 51.68)])
def test_activations_of_the_convolutions(name: str, mebibytes: float) -> None:
    """In float32. A slide prints 1.9 and 48.6; the second lacks one of VGG-16's three 56x56x256."""
    graph = create_graph(name)
    values = sum(math.prod(graph.shapes[node.name]) for node in graph.nodes if isinstance(node.op, Conv))
    assert values * 4 / 2**20 == pytest.approx(mebibytes, abs=0.005)
    if name == "vgg16":
        assert (values - 56 * 56 * 256) * 4 / 2**20 == pytest.approx(48.6, abs=0.05)


def test_our_own_small_networks() -> None:
    """By hand: 3x3 convolutions without biases, two numbers a channel for a norm, 64 weights and a bias a class."""
    shared = 9 * (16 + 16 * 32 + 32 * 64) + 2 * (16 + 32 + 64) + 65 * 10
    assert parameters(create_graph("tiny_resnet")) == shared + 2 * (9 * 64 * 64 + 2 * 64)
    expand_filter_project = 64 * 128 + 9 * 128 + 128 * 64
    assert parameters(create_graph("micro_mobilenet")) == shared + expand_filter_project + 2 * (128 + 128 + 64)
