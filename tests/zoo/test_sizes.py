"""Every network of the zoo: sizes layer by layer as the papers print them, stages, other inputs and class counts."""

from __future__ import annotations

from typing import Any

import pytest

from foveal.errors import ShapeError, UsageError
from foveal.shapes import text
from foveal.zoo import Level, create_graph, list_models, stages

LAYERS = ("lecture_standard", "lecture_separable")

SIZES = {
    "lenet5_paper": {  # LeCun et al. (1998), figure 2
        "c1.conv": "28x28x6", "s2.tanh": "14x14x6", "c3.maps": "10x10x16", "s4.tanh": "5x5x16", "c5.conv": "1x1x120",
        "f6.dense": "84", "output": "10",
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
    "googlenet_aux": {"aux1.pool": "4x4x512", "aux1.conv": "4x4x128", "aux2.pool": "4x4x528", "aux2.dense1": "1024"},
    "resnet50_paper": {  # He et al. (2015), table 1; the stride is in the first convolution
        "stem.conv": "112x112x64", "stem.pool": "56x56x64", "stage2.block1.conv1": "28x28x128",
        "stage2.block1.add": "28x28x512", "stage3.block6.add": "14x14x1024", "stage4.block3.add": "7x7x2048",
    },
    "resnet50": {"stage2.block1.conv1": "56x56x128", "stage2.block1.conv2": "28x28x128"},
    "zfnet": {  # Zeiler & Fergus (2014), figure 3
        "stage1.conv": "110x110x96", "stage1.norm": "55x55x96", "stage2.conv": "26x26x256", "stage2.norm": "13x13x256",
        "stage3.conv": "13x13x384", "stage4.conv": "13x13x384", "stage5.pool": "6x6x256", "head.dense2": "4096",
    },
    "densenet121": {  # Huang et al. (2017), table 1
        "stem.conv": "112x112x64", "stem.pool": "56x56x64", "stage1.layer6.concat": "56x56x256",
        "transition1.conv": "56x56x128", "transition1.pool": "28x28x128", "transition2.pool": "14x14x256",
        "transition3.pool": "7x7x512", "stage4.layer16.concat": "7x7x1024", "head.pool": "1x1x1024",
    },
    "squeezenet1_0": {  # Iandola et al. (2016), table 1
        "stage1.fire1.concat": "54x54x128", "stage1.fire3.concat": "54x54x256", "stage2.pool": "27x27x256",
        "stage2.fire4.concat": "27x27x512", "stage3.fire1.concat": "13x13x512", "head.conv": "13x13x1000",
    },
    "inception_v3": {  # Szegedy et al. (2016), table 1: the input of each kind of block
        "stage1.block2.concat": "35x35x288", "stage2.block1.concat": "17x17x768", "stage3.block1.concat": "8x8x1280",
        "stage3.block3.concat": "8x8x2048", "head.pool": "1x1x2048",
    },
    "inception_v3_aux": {"aux.pool": "5x5x768", "aux.conv2": "1x1x768", "aux.dense": "1000"},
    "inception_resnet_v1": {  # Szegedy et al. (2016), figures 14, 15 and 10 to 13
        "stem.conv1": "149x149x32", "stem.conv2": "147x147x32", "stem.conv3": "147x147x64", "stem.pool1": "73x73x64",
        "stem.conv4": "73x73x80", "stem.conv5": "71x71x192", "stem.conv6": "35x35x256",
        "stage1.block5.add": "35x35x256", "stage2.halving.concat": "17x17x896", "stage2.block10.add": "17x17x896",
        "stage3.halving.concat": "8x8x1792", "stage3.block5.add": "8x8x1792", "head.pool": "1x1x1792",
    },
    "inception_resnet_v2": {  # Google's release, as its code comments
        "stem.pool1": "73x73x64", "stem.pool2": "35x35x192", "stem.concat": "35x35x320",
        "stage1.block10.add": "35x35x320", "stage2.block20.add": "17x17x1088", "stage3.last.add": "8x8x2080",
        "top.conv": "8x8x1536", "head.pool": "1x1x1536",
    },
    "resnet110": {  # He et al. (2015), section 4.2
        "stem.conv": "32x32x16", "stage1.block18.add": "32x32x16", "stage2.block18.add": "16x16x32",
        "stage3.block18.add": "8x8x64", "head.pool": "1x1x64",
    },
    "densenet40_k12_cifar": {  # Huang et al. (2017), section 3
        "stem.conv": "32x32x16", "stage1.layer12.concat": "32x32x160", "transition1.pool": "16x16x160",
        "stage2.layer12.concat": "16x16x304", "transition2.pool": "8x8x304", "stage3.layer12.concat": "8x8x448",
    },
    "xception": {  # Chollet (2017), figure 5: the middle flow's maps
        "stage3.block2.add": "19x19x728", "stage4.block1.add": "10x10x1024", "top.relu2": "10x10x2048",
    },
    "mobilenet_v1": {  # Howard et al. (2017), table 1
        "stem.conv": "112x112x32", "stage1.block1.pointwise.conv": "112x112x64",
        "stage2.block1.depthwise.conv": "56x56x64", "stage3.block2.pointwise.conv": "28x28x256",
        "stage4.block6.pointwise.conv": "14x14x512", "stage5.block2.pointwise.conv": "7x7x1024",
    },
    "mobilenet_v3_large": {  # Howard et al. (2019), table 1
        "stage1.block1.add": "112x112x16", "stage2.block2.depthwise.conv": "56x56x72", "stage3.block3.add": "28x28x40",
        "stage4.block2.depthwise.conv": "14x14x200", "stage4.block6.add": "14x14x112", "stage5.block3.add": "7x7x160",
        "top.conv": "7x7x960", "head.dense1": "1280",
    },
    "shufflenet_v1_x1_0": {  # Zhang et al. (2018), table 1
        "stem.conv": "112x112x24", "stem.pool": "56x56x24", "stage1.block4.add": "28x28x240",
        "stage2.block8.add": "14x14x480", "stage3.block4.add": "7x7x960",
    },
    "shufflenet_v1_g8_x1_0": {
        "stage1.block4.add": "28x28x384", "stage2.block8.add": "14x14x768", "stage3.block4.add": "7x7x1536",
    },
    "senet154": {"stem.conv3": "112x112x128", "stage1.block1.conv2": "56x56x256", "stage4.block3.add": "7x7x2048"},
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
        ("densenet121", [256, 512, 1024, 1024, 1024], [4, 8, 16, 32, 32]),
        ("se_resnet50", [256, 512, 1024, 2048, 2048], [4, 8, 16, 32, 32]),  # its gates pool, too
        ("mobilenet_v3_large", [16, 24, 40, 112, 160, 960], [2, 4, 8, 16, 32, 32]),
        ("shufflenet_v2_x1_0", [116, 232, 464, 1024], [8, 16, 32, 32]),
        ("mobilenet_v2", [16, 24, 32, 64, 96, 160, 320, 1280], [2, 4, 8, 16, 16, 32, 32, 32]),
    ],
)
def test_stages_name_the_levels(name: str, channels: list[int], strides: list[int]) -> None:
    graph = create_graph(name)
    levels = stages(graph)
    assert list(levels) == [*(f"stage{i}" for i in range(1, len(channels))), "top"]
    assert [level.channels for level in levels.values()] == channels
    assert [level.stride for level in levels.values()] == strides
    shapes = [graph.shapes[level.node] for level in levels.values()]
    assert [shape[0] for shape in shapes] == channels
    assert [graph.input_shape[1] // shape[1] for shape in shapes] == strides


@pytest.mark.parametrize(("given", "kind"), [("resnet18", "str"), (None, "NoneType")])
def test_stages_of_what_is_no_graph(given: Any, kind: str) -> None:
    with pytest.raises(UsageError, match=rf"stages takes a Graph, not {kind}; foveal\.create_graph"):
        stages(given)


@pytest.mark.parametrize(
    ("name", "top"),
    [
        ("lenet5", Level("tanh6", 84, None)),
        ("alexnet", Level("stage5.pool", 256, 32)),
        ("vgg16", Level("stage5.pool", 512, 32)),
    ],
)
def test_top_of_networks_that_do_not_pool(name: str, top: Level) -> None:
    assert stages(create_graph(name))["top"] == top


@pytest.mark.parametrize("name", list_models())
def test_other_class_counts_and_channels(name: str) -> None:
    graph = create_graph(name, num_classes=7)
    wide = name in LAYERS  # a convolution is all they have
    assert {graph.shapes[output] for output in graph.outputs} == {(7, 8, 8) if wide else (7,)}
    if name != "lecture_separable":  # which filters three channels, each by itself
        assert create_graph(name, num_classes=7, in_channels=2).input_shape == (2, *graph.input_shape[1:])


@pytest.mark.parametrize("name", sorted({*list_models()} - {*LAYERS}))
def test_features_are_what_the_head_reads(name: str) -> None:
    """Without head and side classifiers: the rest of the weights."""
    whole, features = create_graph(name), create_graph(name, head=None)
    assert features.outputs == (stages(whole)["top"].node,)
    assert not any(node.name.startswith(("head", "aux")) for node in features.nodes)
    held = [{*graph.parameters(), *graph.buffers()} for graph in (whole, features)]
    gone = {key.rpartition(".")[0] for key in held[0] - held[1]}
    assert gone and all(key.startswith(("head.", "aux")) or whole.by_name[key] in whole.nodes[-3:] for key in gone)


def test_a_layer_has_no_head() -> None:
    for name in LAYERS:
        with pytest.raises(UsageError, match=f"{name} has no head that could be taken off"):
            create_graph(name, head=None)
    with pytest.raises(UsageError, match="head = 'tail'; expected 'classes', or None for features"):
        create_graph("lenet5", head="tail")


@pytest.mark.parametrize(
    "name",
    [
        *("alexnet", "vgg11", "googlenet", "resnet18", "resnet18_cifar", "resnet20", "mobilenet_v2"),
        *(
            "densenet121",
            "squeezenet1_1",
            "inception_v3",
            "xception",
            "shufflenet_v1_x1_0",
            "efficientnet_b1",
            "wrn_16_8",
            "inception_resnet_v2",
            "googlenet_aux",
        ),
    ],
)
def test_other_inputs(name: str) -> None:
    graph = create_graph(name, num_classes=7, input_shape=(3, 96, 130))
    assert graph.shapes[graph.outputs[0]] == (7,)
    assert graph.parameters() == create_graph(name, num_classes=7).parameters()


def test_inputs_that_do_not_fit() -> None:
    with pytest.raises(ShapeError, match=r"stage5\.pool: a kernel of 3 does not fit an input of 2"):
        create_graph("alexnet", input_shape=(3, 62, 62))
    with pytest.raises(ShapeError, match=r"aux1\.pool: a kernel of 5 does not fit an input of 4"):
        create_graph("googlenet_paper_aux", input_shape=(3, 64, 64))
    with pytest.raises(ShapeError, match=r"aux\.conv2: a kernel of 5 does not fit an input of 4"):
        create_graph("inception_v3_aux", input_shape=(3, 288, 288))
