"""Every network of the zoo: sizes layer by layer as the papers print them, stages, other inputs and class counts."""

from __future__ import annotations

import pytest

from foveal.errors import ShapeError
from foveal.shapes import text
from foveal.zoo import create_graph, list_models, stages

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
    shapes = [graph.shapes[node] for node in levels.values()]
    assert [shape[0] for shape in shapes] == channels
    assert [224 // shape[1] for shape in shapes] == strides


@pytest.mark.parametrize("name", ["lenet5", "alexnet", "zfnet", "vgg16"])
def test_networks_without_pooled_features(name: str) -> None:
    with pytest.raises(ShapeError, match=f"{name} has no global average pooling"):
        stages(create_graph(name))


@pytest.mark.parametrize("name", list_models())
def test_other_class_counts(name: str) -> None:
    graph = create_graph(name, num_classes=7)
    wide = ("lecture_standard", "lecture_separable")  # a convolution is their last layer
    assert {graph.shapes[output] for output in graph.outputs} == {(7, 8, 8) if name in wide else (7,)}


@pytest.mark.parametrize(
    "name",
    [
        *("alexnet", "vgg11", "googlenet", "resnet18", "resnet18_cifar", "mobilenet_v2"),
        *(
            "densenet121",
            "squeezenet1_1",
            "inception_v3",
            "xception",
            "shufflenet_v1_x1_0",
            "efficientnet_b1",
            "wrn_16_8",
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
