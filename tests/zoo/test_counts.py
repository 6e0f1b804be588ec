"""Every network of the zoo against published numbers: parameters, multiply-accumulates, sizes layer by layer.

Oracles: the figures that torchvision publishes with its weights, those of TensorFlow's EfficientNet-Lite models, the
tables of the papers, and what the lectures count by hand. No torch in here; `test_zoo.py` counts on built modules.
"""

from __future__ import annotations

import math

import pytest

from foveal.errors import ShapeError
from foveal.graph import Graph
from foveal.ops import AvgPool, Conv, Dense
from foveal.shapes import text
from foveal.zoo import create_graph, list_models, stages

PARAMETERS = {
    # torchvision
    "alexnet": 61_100_840,
    "vgg11": 132_863_336,
    "vgg13": 133_047_848,
    "vgg16": 138_357_544,
    "vgg19": 143_667_240,
    "vgg11_bn": 132_868_840,
    "vgg13_bn": 133_053_736,
    "vgg16_bn": 138_365_992,
    "vgg19_bn": 143_678_248,
    "googlenet": 6_624_904,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "resnext50_32x4d": 25_028_904,
    "resnext101_32x8d": 88_791_336,
    "wide_resnet50_2": 68_883_240,
    "wide_resnet101_2": 126_886_696,
    "mobilenet_v2": 3_504_872,
    # the papers
    "lenet5_paper": 60_000,
    "alexnet_paper": 60_965_224,
    "alexnet_ungrouped": 62_378_344,
    "googlenet_paper": 6_998_552,
    "googlenet_paper_aux": 13_378_280,
    "resnet50_paper": 25_557_032,
    "resnet101_paper": 44_549_160,
    "resnet152_paper": 60_192_808,
    # TensorFlow
    "efficientnet_lite0": 4_652_008,
    "efficientnet_lite1": 5_416_680,
    "efficientnet_lite2": 6_092_072,
    "efficientnet_lite3": 8_197_096,
    "efficientnet_lite4": 13_006_568,
    # the lectures
    "lenet5": 61_706,
    "resnet18_cifar": 11_173_962,
    "resnet34_cifar": 21_282_122,
    "resnet50_cifar": 23_520_842,
    "resnet101_cifar": 42_512_970,
    "resnet152_cifar": 58_156_618,
    "lecture_counting": 2_103_156,
    "lecture_pooling_none": 303_314,
    "lecture_pooling_average": 29_138,
    "lecture_pooling_max": 29_138,
    "lecture_standard": 19_456,
    "lecture_separable": 1_102,
}

GIGA_MACS = {  # torchvision's, to three decimals; the last two the lectures'
    "alexnet": 0.714,
    "vgg11": 7.609,
    "vgg13": 11.308,
    "vgg16": 15.470,
    "vgg19": 19.632,
    "vgg11_bn": 7.609,
    "vgg13_bn": 11.308,
    "vgg16_bn": 15.470,
    "vgg19_bn": 19.632,
    "googlenet": 1.498,
    "resnet18": 1.814,
    "resnet34": 3.664,
    "resnet50": 4.089,
    "resnet101": 7.801,
    "resnet152": 11.514,
    "resnext50_32x4d": 4.230,
    "resnext101_32x8d": 16.414,
    "wide_resnet50_2": 11.398,
    "wide_resnet101_2": 22.753,
    "mobilenet_v2": 0.301,
    "alexnet_paper": 0.724,
    "alexnet_ungrouped": 1.135,
}


def parameters(graph: Graph, prefix: str = "") -> int:
    return sum(math.prod(shape) for name, shape in graph.parameters().items() if name.startswith(prefix))


def test_every_model_has_a_published_count() -> None:
    assert set(PARAMETERS) == set(list_models())


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters(name: str) -> None:
    assert parameters(create_graph(name)) == PARAMETERS[name]


@pytest.mark.parametrize("name", GIGA_MACS)
def test_macs(name: str) -> None:
    assert create_graph(name).macs() / 1e9 == pytest.approx(GIGA_MACS[name], abs=0.0005)


@pytest.mark.parametrize(
    ("name", "published"), [("resnet50_paper", 3.8), ("resnet101_paper", 7.6), ("resnet152_paper", 11.3)]
)
def test_macs_of_the_residual_paper(name: str, published: float) -> None:
    """He et al., table 1, in FLOPs that are multiply-adds; its 3.8 is 3.86, cut off."""
    assert create_graph(name).macs() / 1e9 == pytest.approx(published, abs=0.06)


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


SIZES = {
    "lenet5_paper": {  # LeCun et al. (1998), figure 2
        "c1": "28x28x6", "s2.tanh": "14x14x6", "c3.maps": "10x10x16", "s4.tanh": "5x5x16", "c5": "1x1x120", "f6": "84",
    },
    "alexnet_paper": {  # Krizhevsky et al. (2012), figure 2
        "stage1.conv": "55x55x96", "stage2.conv": "27x27x256", "stage3.conv": "13x13x384", "stage4.conv": "13x13x384",
        "stage5.conv": "13x13x256", "stage5.pool": "6x6x256", "head.dense1": "4096", "head.dense2": "4096",
    },
    "vgg16": {  # Simonyan & Zisserman (2014), section 2.1: half the size after each pooling
        "stage1.pool": "112x112x64", "stage2.pool": "56x56x128", "stage3.conv3": "56x56x256",
        "stage4.conv3": "28x28x512", "stage5.conv3": "14x14x512", "stage5.pool": "7x7x512",
    },
    "googlenet_paper": {  # Szegedy et al. (2015), table 1
        "stem.conv1": "112x112x64", "stem.pool1": "56x56x64", "stem.conv3": "56x56x192", "stem.pool2": "28x28x192",
        "stage1.block1.concat": "28x28x256", "stage1.block2.concat": "28x28x480", "stage2.pool": "14x14x480",
        "stage2.block1.concat": "14x14x512", "stage2.block2.concat": "14x14x512", "stage2.block3.concat": "14x14x512",
        "stage2.block4.concat": "14x14x528", "stage2.block5.concat": "14x14x832", "stage3.pool": "7x7x832",
        "stage3.block1.concat": "7x7x832", "stage3.block2.concat": "7x7x1024", "head.pool": "1x1x1024",
    },
    "googlenet_paper_aux": {  # Szegedy et al. (2015), section 5
        "aux1.pool": "4x4x512", "aux1.conv": "4x4x128", "aux2.pool": "4x4x528", "aux2.dense1": "1024",
    },
    "resnet50_paper": {  # He et al. (2015), table 1; the stride is in the first convolution
        "stem.conv": "112x112x64", "stem.pool": "56x56x64", "stage2.block1.conv1": "28x28x128",
        "stage2.block1.add": "28x28x512", "stage3.block6.add": "14x14x1024", "stage4.block3.add": "7x7x2048",
    },
    "resnet50": {"stage2.block1.conv1": "56x56x128", "stage2.block1.conv2": "28x28x128"},
    "mobilenet_v2": {  # Sandler et al. (2018), table 2
        "stem.conv": "112x112x32", "stage1.block1.project.conv": "112x112x16", "stage2.block2.add": "56x56x24",
        "stage3.block3.add": "28x28x32", "stage4.block4.add": "14x14x64", "stage5.block3.add": "14x14x96",
        "stage6.block3.add": "7x7x160", "stage7.block1.project.bn": "7x7x320", "top.conv": "7x7x1280",
    },
}  # fmt: skip


@pytest.mark.parametrize("name", SIZES)
def test_sizes(name: str) -> None:
    shapes = create_graph(name).shapes
    assert {node: text(shapes[node]) for node in SIZES[name]} == SIZES[name]


@pytest.mark.parametrize(
    ("name", "channels", "strides"),
    [
        ("efficientnet_lite0", [16, 24, 40, 80, 112, 192, 320, 1280], [2, 4, 8, 16, 16, 32, 32, 32]),
        ("googlenet", [480, 832, 1024, 1024], [8, 16, 32, 32]),
        ("resnet50", [256, 512, 1024, 2048, 2048], [4, 8, 16, 32, 32]),
        ("mobilenet_v2", [16, 24, 32, 64, 96, 160, 320, 1280], [2, 4, 8, 16, 16, 32, 32, 32]),
    ],
)
def test_stages_name_the_levels(name: str, channels: list[int], strides: list[int]) -> None:
    graph = create_graph(name)
    levels = stages(graph)
    assert list(levels) == [*(f"stage{i}" for i in range(1, len(channels))), "top"]
    shapes = [graph.shapes[node] for node in levels.values()]
    assert [shape[0] for shape in shapes] == channels
    assert [224 // shape[1] for shape in shapes] == strides


@pytest.mark.parametrize("name", ["lenet5", "alexnet", "vgg16"])
def test_networks_without_pooled_features(name: str) -> None:
    with pytest.raises(ShapeError, match=f"{name} has no global average pooling"):
        stages(create_graph(name))


@pytest.mark.parametrize("name", PARAMETERS)
def test_other_class_counts(name: str) -> None:
    graph = create_graph(name, num_classes=7)
    wide = ("lecture_standard", "lecture_separable")  # a convolution is their last layer
    assert {graph.shapes[output] for output in graph.outputs} == {(7, 8, 8) if name in wide else (7,)}


@pytest.mark.parametrize("name", ["alexnet", "vgg11", "googlenet", "resnet18", "resnet18_cifar", "mobilenet_v2"])
def test_other_inputs(name: str) -> None:
    graph = create_graph(name, num_classes=7, input_shape=(3, 96, 130))
    assert graph.shapes[graph.outputs[0]] == (7,)
    assert parameters(graph) == parameters(create_graph(name, num_classes=7))


def test_inputs_that_do_not_fit() -> None:
    with pytest.raises(ShapeError, match=r"stage5\.pool: a kernel of 3 does not fit an input of 2"):
        create_graph("alexnet", input_shape=(3, 62, 62))
    with pytest.raises(ShapeError, match=r"aux1\.pool: a kernel of 5 does not fit an input of 4"):
        create_graph("googlenet_paper_aux", input_shape=(3, 64, 64))
