"""Other backbones than the usual one: their feature levels, and training on them from end to end."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import foveal
from foveal.api import _candidates
from foveal.backbones import load_backbone, tapped
from foveal.build import build
from foveal.errors import UsageError, WeightsError
from foveal.fetching import sha256_of
from foveal.published import PRETRAINED
from foveal.zoo import create_graph, stages
from publisher import Publisher


@pytest.mark.parametrize(
    ("name", "levels"),
    [
        ("efficientnet_lite0", ["stage3", "stage5", "stage7", "top"]),
        ("efficientnet_b0", ["stage3", "stage5", "stage7", "top"]),
        ("resnet18", ["stage2", "stage3", "top"]),
        ("densenet121", ["stage2", "stage3", "stage4", "top"]),
        ("vgg16", ["stage3", "stage4", "top"]),
        ("inception_v3", ["stage1", "stage2", "top"]),
        ("resnet18_cifar", ["top"]),
        ("lenet5", []),
    ],
)
def test_levels_are_the_last_of_each_stride_from_8_on_and_the_top(name: str, levels: list[str]) -> None:
    graph = create_graph(name)
    found = tapped(graph)
    assert list(found) == levels
    assert len(set(found.values())) == len(found)
    assert all(found[level] == stages(graph)[level].node for level in found)


def test_the_sets_of_levels_that_compete() -> None:
    assert _candidates(("stage3", "stage5", "stage7", "top")) == [
        ("top",),
        ("stage7", "top"),
        ("stage5", "stage7", "top"),
        ("stage3", "stage5", "stage7", "top"),
        ("stage5", "stage7"),
    ]
    assert _candidates(("stage2", "top")) == [("top",), ("stage2", "top")]
    assert _candidates(("top",)) == [("top",)]


@pytest.fixture(scope="module")
def resnet18_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of ResNet-18 as torchvision would save them."""
    torch.manual_seed(0)
    graph = create_graph("resnet18")
    keys = PRETRAINED["resnet18", "imagenet"].keys(graph)
    state = {keys(name): value for name, value in build(graph).state_dict().items() if "num_batches" not in name}
    assert {"conv1.weight", "layer1.0.bn1.running_var", "layer4.0.downsample.0.weight", "fc.bias"} <= state.keys()
    path = tmp_path_factory.mktemp("weights") / "mine.pth"
    torch.save(state | {"bn1.num_batches_tracked": torch.tensor(3)}, path)
    return path


def test_train_on_a_file_of_weights(photo_folder: Path, tmp_path: Path, resnet18_file: Path) -> None:
    run = foveal.train(photo_folder, tmp_path / "run", backbone="resnet18", weights=resnet18_file)
    features = run.result["features"]
    assert (features["backbone"], features["weights"], features["licence"]) == ("resnet18", "mine.pth", "not stated")
    assert features["source"] == "the file mine.pth" and features["input"] == [3, 224, 224]
    assert features["preprocessing"]["crop"] == 1.0 and len(features["preprocessing"]["mean"]) == 3
    assert set(run.result["head"]["taps"]) <= {"stage2", "stage3", "top"}
    card = (run.bundle / "README.md").read_text("utf-8")
    assert "is not known to Foveal; ask who made them" in card and "saw other photos" in card
    assert "mine.pth" in run.report.read_text("utf-8")
    classifier = foveal.load(run.bundle)
    assert classifier.bundle.provenance["source"] == "the file mine.pth"
    test = run.result["split"]["test"]
    named = [answer.label for answer in classifier.predict([row["path"] for row in test])]
    assert np.mean([name == row["label"] for name, row in zip(named, test, strict=True)]) == run.accuracy


def test_a_file_for_other_classes_gives_the_same_features(tmp_path: Path, resnet18_file: Path) -> None:
    state = torch.load(resnet18_file, weights_only=True)
    torch.save(state | {"fc.weight": torch.ones(7, 512), "fc.bias": torch.ones(7)}, tmp_path / "seven.pth")
    seven, thousand = load_backbone("resnet18", tmp_path / "seven.pth"), load_backbone("resnet18", resnet18_file)
    assert seven.graph == thousand.graph and seven.weights.keys() == thousand.weights.keys()
    assert all(np.array_equal(seven.weights[name], array) for name, array in thousand.weights.items())


def test_the_file_is_fetched_where_nothing_else_has_it(
    tmp_path: Path, resnet18_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("FOVEAL_CACHE", str(tmp_path))
    entry, told = PRETRAINED["resnet18", "imagenet"], []
    assert entry.url.startswith("https://download.pytorch.org/models/resnet18-")
    with Publisher(resnet18_file.read_bytes()) as server:
        mine = replace(entry, url=server.url, sha256=sha256_of(resnet18_file))
        monkeypatch.setitem(PRETRAINED, ("resnet18", "imagenet"), mine)
        backbone = load_backbone("resnet18", progress=lambda *numbers: told.append(numbers))
    size = resnet18_file.stat().st_size
    assert told[-1] == (size, size) and len(server.asked) == 1
    assert (backbone.weights_name, backbone.source) == ("imagenet", entry.source)
    assert backbone.sha256 == load_backbone("resnet18", resnet18_file).sha256 == load_backbone("resnet18").sha256


def test_train_on_another_package(photo_folder: Path, tmp_path: Path) -> None:
    """EfficientNet-Lite1 takes 240x240, so that its finest map (30) is no multiple of its coarsest (8)."""
    run = foveal.train(photo_folder, tmp_path / "run", backbone="efficientnet_lite1", precision="f32")
    features = run.result["features"]
    assert features["input"] == [3, 240, 240] and features["licence"] == "Apache-2.0"
    assert features["source"] == PRETRAINED["efficientnet_lite1", "imagenet"].source
    assert run.accuracy > 0.8
    assert foveal.evaluate(run.bundle, photo_folder)["correct"] >= 30
    bundle = json.loads((run.bundle / "bundle.json").read_text("utf-8"))
    assert bundle["preprocessing"] == {
        "size": 240, "crop": 1.0, "mean": 127.0, "std": 128.0, "interpolation": "bicubic",
    }  # fmt: skip


def test_preprocessing_is_part_of_the_key_of_features(resnet18_file: Path) -> None:
    backbone = load_backbone("resnet18", resnet18_file)
    keys = {
        replace(backbone, preprocessing=replace(backbone.preprocessing, **change)).recipe("e", "f32", False)
        for change in ({}, {"mean": 1.0}, {"std": (1.0, 2.0, 3.0)}, {"interpolation": "bicubic"})
    }
    assert len(keys) == 4


def test_networks_that_cannot_give_features(tmp_path: Path, resnet18_file: Path) -> None:
    torch.save(build(create_graph("lenet5")).state_dict(), tmp_path / "lenet.pth")
    with pytest.raises(UsageError) as caught:
        load_backbone("lenet5", tmp_path / "lenet.pth")
    assert str(caught.value) == (
        "--backbone lenet5: expected a network that takes colour pictures and gives maps of features"
    )
    with pytest.raises(
        WeightsError, match=r"mine.pth: not the weights of resnet50: layer1.0.conv1.weight has shape \(6"
    ):
        load_backbone("resnet50", resnet18_file)
