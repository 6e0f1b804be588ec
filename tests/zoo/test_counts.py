"""Every network of the zoo against published numbers: parameters and multiply-accumulates.

Oracles: the figures that torchvision publishes with its weights, the modules of timm and pytorchcv, those of
TensorFlow's EfficientNet-Lite models, the tables of the papers, and what the lectures count by hand. No torch in here;
`test_zoo.py` counts on built modules, `test_sizes.py` has the sizes layer by layer.
"""

from __future__ import annotations

import math

import pytest

from foveal.graph import Graph
from foveal.ops import AvgPool, Conv, Dense
from foveal.zoo import create_graph, list_models

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
    "inception_v3_aux": 27_161_264,
    "densenet121": 7_978_856,
    "densenet161": 28_681_000,
    "densenet169": 14_149_480,
    "densenet201": 20_013_928,
    "squeezenet1_0": 1_248_424,  # Iandola et al. (2016), table 1, too
    "squeezenet1_1": 1_235_496,
    "mobilenet_v3_large": 5_483_032,
    "mobilenet_v3_small": 2_542_856,
    "shufflenet_v2_x0_5": 1_366_792,
    "shufflenet_v2_x1_0": 2_278_604,
    "shufflenet_v2_x1_5": 3_503_624,
    "shufflenet_v2_x2_0": 7_393_996,
    "efficientnet_b0": 5_288_548,
    "efficientnet_b1": 7_794_184,
    "efficientnet_b2": 9_109_994,
    "efficientnet_b3": 12_233_232,
    "efficientnet_b4": 19_341_616,
    # timm: its modules, rounded in its table of results
    "inception_v3": 23_834_568,
    "mobilenet_v1": 4_231_976,
    "se_resnet50": 28_088_024,
    "se_resnet101": 49_326_872,
    "se_resnet152": 66_821_848,
    "se_resnext50_32x4d": 27_559_896,
    "se_resnext101_32x4d": 48_955_416,
    "senet154": 115_088_984,
    "preact_resnet50": 25_549_352,
    "preact_resnet101": 44_541_480,
    "preact_resnet152": 60_185_128,
    # pytorchcv: its modules
    "densenet100_cifar": 769_162,
    "preact_resnet164_cifar": 1_703_258,
    "wrn_28_10": 36_479_194,
    # the authors' release
    "shufflenet_v1_x0_5": 717_324,
    "shufflenet_v1_x1_0": 1_864_728,
    "shufflenet_v1_x1_5": 3_441_168,
    "shufflenet_v1_x2_0": 5_449_776,
    # from the papers' tables, which print no count, or a rounded one (below)
    "zfnet": 62_357_608,
    "plain18": 11_515_688,
    "plain34": 21_623_848,
    "wrn_40_4": 8_949_210,
    "wrn_16_8": 10_961_370,
    "densenet264": 33_337_704,
    "mobilenet_v1_x0_75": 2_585_560,
    "mobilenet_v1_x0_5": 1_331_592,
    "mobilenet_v1_x0_25": 470_072,
    # the papers
    "xception": 22_855_952,  # Chollet (2017), table 3
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
    "inception_v3": 5.713,
    "densenet121": 2.834,
    "densenet161": 7.728,
    "densenet169": 3.360,
    "densenet201": 4.291,
    "squeezenet1_0": 0.819,
    "squeezenet1_1": 0.349,
    "mobilenet_v3_large": 0.217,
    "mobilenet_v3_small": 0.057,
    "shufflenet_v2_x0_5": 0.040,
    "shufflenet_v2_x1_0": 0.145,
    "shufflenet_v2_x1_5": 0.296,
    "shufflenet_v2_x2_0": 0.583,
    "efficientnet_b0": 0.386,
    "efficientnet_b1": 0.687,
    "efficientnet_b2": 1.088,
    "efficientnet_b3": 1.827,
    "efficientnet_b4": 4.394,
    "alexnet_paper": 0.724,
    "alexnet_ungrouped": 1.135,
}


MILLIONS = {  # parameters and multiply-accumulates as printed, in millions
    # Howard et al. (2017), table 6
    "mobilenet_v1": (4.2, 569),
    "mobilenet_v1_x0_75": (2.6, 325),
    "mobilenet_v1_x0_5": (1.3, 149),
    "mobilenet_v1_x0_25": (0.5, 41),
    # the authors' README; the widths 1.5 and 2 also in Zhang et al. (2018), table 5
    "shufflenet_v1_x0_5": (0.7, 38),
    "shufflenet_v1_x1_0": (1.9, 137),  # Zhang et al., table 1; the README has 138
    "shufflenet_v1_x1_5": (3.4, 292),
    "shufflenet_v1_x2_0": (5.4, 524),
    # Zagoruyko & Komodakis (2016), table 5; He et al. (2016), table 4; Huang et al. (2017), table 2
    "wrn_40_4": (8.9, None),
    "wrn_16_8": (11.0, None),
    "wrn_28_10": (36.5, None),
    "preact_resnet164_cifar": (1.7, None),
    "densenet100_cifar": (0.8, None),
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


@pytest.mark.parametrize("name", MILLIONS)
def test_rounded_counts(name: str) -> None:
    graph = create_graph(name)
    millions, macs = MILLIONS[name]
    assert round(parameters(graph) / 1e6, 1) == millions
    assert macs is None or round(graph.macs() / 1e6) == macs


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
