"""Our tensors under their publishers' names. The oracles are the publishers' own state dicts.

published_states.json comes from torchvision, timm and efficientnet-lite-pytorch themselves, by
``python bench/zoo_logits.py --states``; that command without the option compares the logits, too.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from foveal.checkpoints import load_file
from foveal.errors import WeightsError
from foveal.graph import Graph
from foveal.published import PRETRAINED, Pretrained, classes
from foveal.published.others import LOCAL
from foveal.zoo import create_graph

STATES = json.loads(Path(__file__).with_name("published_states.json").read_text("utf-8"))


KEYS = {f"{model}:{name}": entry.keys for (model, name), entry in PRETRAINED.items()}
KEYS |= {f"{entry.model}:local": entry.keys for entry in LOCAL}


def test_every_published_network_is_compared() -> None:
    assert KEYS.keys() == STATES.keys()


@pytest.mark.parametrize("name", KEYS)
def test_names_and_shapes_are_the_publishers(name: str) -> None:
    graph = create_graph(name.partition(":")[0])
    key = KEYS[name](graph)
    lines = sorted(f"{key(ours)} {shape}" for ours, shape in (graph.parameters() | graph.buffers()).items())
    assert [len(lines), hashlib.sha256("\n".join(lines).encode()).hexdigest()] == STATES[name]


# Which of several tensors of one shape is meant, no count of names and shapes can tell.
@pytest.mark.parametrize(
    ("model", "ours", "theirs"),
    [
        ("alexnet", "stage2.conv.bias", "features.3.bias"),
        ("alexnet", "head.dense2.bias", "classifier.4.bias"),
        ("vgg16_bn", "stage3.bn2.running_mean", "features.18.running_mean"),
        ("vgg16", "head.dense2.bias", "classifier.3.bias"),
        ("squeezenet1_0", "stage2.fire2.expand3.conv.weight", "features.8.expand3x3.weight"),
        ("squeezenet1_1", "stage1.fire2.expand1.conv.bias", "features.4.expand1x1.bias"),
        ("resnet50", "stem.bn.running_var", "bn1.running_var"),
        ("resnet50", "stage3.block6.bn2.weight", "layer3.5.bn2.weight"),
        ("resnet18", "stage2.block1.shortcut.bn.bias", "layer2.0.downsample.1.bias"),
        ("densenet121", "stage3.layer24.bn2.weight", "features.denseblock3.denselayer24.norm2.weight"),
        ("densenet121", "transition1.bn.weight", "features.transition1.norm.weight"),
        ("googlenet", "stage2.block3.branch3.bn2.bias", "inception4c.branch3.1.bn.bias"),
        ("googlenet_aux", "aux2.dense1.bias", "aux2.fc1.bias"),
        ("inception_v3", "stage2.block2.branch3.conv4.weight", "Mixed_6b.branch7x7dbl_4.conv.weight"),
        ("inception_v3", "stage3.block2.branch3.bn_column.bias", "Mixed_7b.branch3x3dbl_3b.bn.bias"),
        ("inception_v3", "stage3.block1.branch2.bn3.bias", "Mixed_7a.branch7x7x3_3.bn.bias"),
        ("inception_resnet_v2", "stem.branch4.bn1.bias", "mixed_5b.branch3.1.bn.bias"),
        ("inception_resnet_v2", "stage2.block20.branch2.bn2.bias", "repeat_1.19.branch1.1.bn.bias"),
        ("inception_resnet_v2", "stage3.halving.branch1.bn1.bias", "mixed_7a.branch0.0.bn.bias"),
        ("xception", "stage1.block1.bn2.weight", "block1.rep.4.weight"),
        ("xception", "stage3.block2.pointwise3.weight", "block4.rep.7.pointwise.weight"),
        ("mobilenet_v2", "stage2.block2.depthwise.bn.weight", "features.3.conv.1.1.weight"),
        ("mobilenet_v2", "stage2.block2.project.bn.weight", "features.3.conv.3.weight"),
        ("mobilenet_v3_large", "stage3.block1.gate.excite.bias", "features.4.block.2.fc2.bias"),
        ("shufflenet_v2_x0_5", "stage2.block1.branch2.bn2.weight", "stage3.0.branch2.4.weight"),
        ("efficientnet_b0", "stage2.block1.expand.bn.weight", "features.2.0.block.0.1.weight"),
        ("efficientnet_lite0", "stage2.block2.depthwise.bn.bias", "_blocks.2._bn1.bias"),
        ("efficientnet_lite4", "stage2.block2.depthwise.bn.bias", "blocks.1.1.bn2.bias"),
        ("mobilenet_v2_x0_5", "stage1.block1.project.bn.bias", "blocks.0.0.bn2.bias"),
        ("senet154", "stem.bn2.bias", "layer0.bn2.bias"),
        ("se_resnet50", "stage1.block2.gate.squeeze.bias", "layer1.1.se_module.fc1.bias"),
    ],
)
def test_each_tensor_is_the_right_one(model: str, ours: str, theirs: str) -> None:
    assert PRETRAINED[model, "imagenet"].keys(create_graph(model))(ours) == theirs


@pytest.mark.parametrize("entry", PRETRAINED.values(), ids=lambda entry: f"{entry.model}:{entry.name}")
def test_the_hash_is_the_one_that_the_publisher_writes_into_the_address(entry: Pretrained) -> None:
    if entry.package:
        assert re.fullmatch("[0-9a-f]{64}", entry.sha256)
    else:
        assert re.fullmatch(rf"https://\S+-{entry.sha256}\.pth", entry.url)
        assert re.fullmatch("[0-9a-f]{8,10}", entry.sha256)


def test_the_classes_are_imagenets_in_its_order() -> None:
    names = classes()
    assert len(set(names)) == 1000
    assert [names[i] for i in (0, 207, 281, 999)] == ["tench", "golden retriever", "tabby", "toilet tissue"]


# ---------------------------------------------------------------------------------------------------------- loading


def published_state(graph: Graph) -> dict[str, torch.Tensor]:
    """Random values under the names of the published file, with its counters."""
    key = naming(graph)
    state = {key(ours): torch.randn(shape) for ours, shape in (graph.parameters() | graph.buffers()).items()}
    counters = {name.replace("running_mean", "num_batches_tracked") for name in state if name.endswith("running_mean")}
    return state | dict.fromkeys(counters, torch.tensor(3))


def naming(graph: Graph) -> Callable[[str], str]:
    return (KEYS.get(f"{graph.name}:imagenet") or KEYS[f"{graph.name}:local"])(graph)


@pytest.mark.parametrize(
    "model", ["squeezenet1_1", "shufflenet_v2_x0_5", "mobilenet_v3_small", "densenet121", "mobilenet_v1"]
)
def test_every_value_of_a_published_file_arrives(model: str, tmp_path: Path) -> None:
    graph = create_graph(model)
    state = published_state(graph)
    old = {re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)", r"\1.\2", name): value for name, value in state.items()}
    assert (old.keys() != state.keys()) == (model == "densenet121")
    torch.save(old, tmp_path / "file.pth")
    _, loaded, _ = load_file(tmp_path / "file.pth", model)
    key = naming(graph)
    assert loaded.keys() == (graph.parameters() | graph.buffers()).keys()
    assert all(np.array_equal(value, state[key(ours)]) for ours, value in loaded.items())


def test_the_auxiliary_heads_of_googlenet_are_left_out_and_nothing_else(tmp_path: Path) -> None:
    state = published_state(create_graph("googlenet_aux"))
    torch.save(state, tmp_path / "file.pth")
    graph = create_graph("googlenet")
    _, loaded, _ = load_file(tmp_path / "file.pth", "googlenet")
    assert loaded.keys() == (graph.parameters() | graph.buffers()).keys()
    assert np.array_equal(loaded["head.dense.weight"], state["fc.weight"])
    torch.save(state | {"aux3.fc.weight": torch.zeros(1)}, tmp_path / "file.pth")
    with pytest.raises(WeightsError, match=r"not the weights of googlenet: aux3\.fc\.weight is not in googlenet"):
        load_file(tmp_path / "file.pth", "googlenet")


def test_the_background_is_left_out_of_googles_1001_outputs(tmp_path: Path) -> None:
    graph = create_graph("inception_resnet_v2")
    state = published_state(graph)
    head = {"classif.weight": torch.randn(1001, 1536), "classif.bias": torch.arange(1001.0)}
    torch.save(state | head, tmp_path / "file.pth")
    _, loaded, _ = load_file(tmp_path / "file.pth", graph.name)
    assert np.array_equal(loaded["head.dense.weight"], head["classif.weight"][1:])
    assert loaded["head.dense.bias"].tolist() == list(range(1, 1001))


def test_weights_for_other_classes_or_of_another_width(tmp_path: Path) -> None:
    model = "shufflenet_v2_x0_5"
    torch.save(published_state(create_graph(model, num_classes=7)), tmp_path / "seven.pth")
    assert load_file(tmp_path / "seven.pth", model)[0] == create_graph(model, num_classes=7)
    torch.save(published_state(create_graph("shufflenet_v2_x1_0")), tmp_path / "wide.pth")
    with pytest.raises(WeightsError, match=r"stage2\.0\.branch1\.2\.weight has shape \(58, 24, 1, 1\), expected \(24,"):
        load_file(tmp_path / "wide.pth", model)
