"""Networks of the zoo with weights: drawn, published, or from a file, and what of them fits a network of another form.

Oracles: the published ImageNet weights on real photographs; what a network says of grey pictures.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch

import foveal
from foveal import ops
from foveal.build import build, graph_of, weights_of
from foveal.checkpoints import load_pretrained
from foveal.errors import FovealError, GraphError, ShapeError, UnknownName, UsageError, WeightsError
from foveal.graph import Builder
from foveal.initializing import initialize
from foveal.models import create_model
from foveal.weights import serialize
from foveal.zoo import MODELS, create_graph


def saved(module: torch.fx.GraphModule, folder: Path) -> Path:
    path = folder / "weights.safetensors"
    path.write_bytes(serialize(weights_of(module)))
    return path


def equal(a: torch.nn.Module, b: torch.nn.Module, *but: str) -> bool:
    """Whether all tensors are equal but those whose names begin so."""
    state, other = a.state_dict(), b.state_dict()
    names = [name for name in state if not name.startswith(but)]
    return len(names) > 0 and all(torch.equal(state[name], other[name]) for name in names)


@pytest.mark.parametrize("name", ["lenet5_paper", "resnet20", "shufflenet_v2_x0_5"])
def test_weights_are_drawn_as_the_paper_has_it(name: str) -> None:
    """The same as built with PyTorch's beginning and then drawn: nothing stays as it was allocated."""
    module = create_model(name, seed=4)
    assert module.training and graph_of(module) == create_graph(name)
    expected = build(create_graph(name))
    initialize(expected, MODELS[name].init, 4)
    assert equal(module, expected) and module.state_dict().keys() == expected.state_dict().keys()
    assert not equal(module, create_model(name, seed=5), "rbf")


def test_options_are_those_of_the_graph() -> None:
    options = {"num_classes": 4, "in_channels": 2, "input_shape": (2, 40, 48), "head": None}
    module = foveal.create_model("resnet20", **options)
    assert graph_of(module) == foveal.create_graph("resnet20", **options)
    assert tuple(module.eval()(torch.zeros(1, 2, 40, 48)).shape) == (1, 64, 10, 12)


def photos() -> torch.Tensor:
    _, _, entry = load_pretrained("efficientnet_lite0")
    pictures = [entry.preprocessing(photo) for photo in (skimage.data.chelsea(), skimage.data.coffee())]
    return torch.from_numpy(np.stack(pictures))


def test_published_weights_know_a_cat_and_an_espresso() -> None:
    """ImageNet classes 281-285 are the cats, 967 is espresso (synset order of the ILSVRC 2012 challenge)."""
    module = create_model("efficientnet_lite0", weights="imagenet").eval()
    with torch.no_grad():
        cat, coffee = module(photos()).argmax(1).tolist()
    assert cat in range(281, 286) and coffee == 967


def test_published_weights_in_networks_of_other_forms() -> None:
    whole = create_model("efficientnet_lite0", weights="imagenet")
    few = create_model("efficientnet_lite0", weights="imagenet", num_classes=5, seed=1)
    assert equal(few, whole, "head.dense")
    drawn = create_model("efficientnet_lite0", num_classes=5, seed=2).state_dict()["head.dense.weight"]
    assert few.state_dict()["head.dense.weight"].std() == pytest.approx(float(drawn.std()), rel=0.05)
    assert equal(few, create_model("efficientnet_lite0", weights="imagenet", num_classes=5, seed=1))

    trunk = create_model("efficientnet_lite0", weights="imagenet", head=None)
    assert equal(trunk, whole) and not any(name.startswith("head") for name in trunk.state_dict())


@pytest.mark.parametrize("channels", [1, 6])
def test_a_grey_picture_gives_the_same_in_other_channels(channels: int) -> None:
    grey = torch.randn(2, 1, 64, 64)
    colours, adapted = (
        create_model("efficientnet_lite0", weights="imagenet", input_shape=(n, 64, 64)).eval() for n in (3, channels)
    )
    with torch.no_grad():
        expected, y = (module(grey.expand(-1, n, -1, -1)) for module, n in ((colours, 3), (adapted, channels)))
    torch.testing.assert_close(y, expected, rtol=1e-3, atol=1e-4)
    assert equal(adapted, colours, "stem.conv.weight")


def two_eyed(net: Builder, num_classes: int = 10) -> str:
    x = net.input(3, 8, 8)
    x = net(ops.Concat(), *(net(ops.Conv(2, 3), x, name=eye) for eye in ("left", "right")))
    return net(ops.Dense(num_classes), net(ops.Flatten(), net(ops.GlobalAvgPool(), x)), name="output")


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_every_layer_that_reads_the_picture_is_adapted(
    channels: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MODELS, "two_eyed", replace(MODELS["lenet5"], author=two_eyed))
    colours = create_model("two_eyed")
    adapted = create_model("two_eyed", in_channels=channels, weights=saved(colours, tmp_path))
    for eye in ("left.weight", "right.weight"):
        red, green, blue = colours.state_dict()[eye].unbind(1)
        expected = {
            1: [red + green + blue],
            2: [red * 1.5, green * 1.5],
            5: [red * 0.6, green * 0.6, blue * 0.6, red * 0.6, green * 0.6],
        }
        torch.testing.assert_close(adapted.state_dict()[eye], torch.stack(expected[channels], 1))
    assert equal(adapted, colours, "left.weight", "right.weight")


def test_files_fit_the_network_they_were_saved_from_and_the_published_form(tmp_path: Path) -> None:
    published = create_model("resnet20")
    mine = create_model("resnet20", num_classes=4, in_channels=1)
    for module, options in ((published, {}), (mine, {"num_classes": 4, "in_channels": 1})):
        path = saved(module, tmp_path)
        assert equal(create_model("resnet20", weights=path, **options), module)
    assert equal(create_model("resnet20", weights=str(path), num_classes=4, in_channels=1), mine)
    assert equal(create_model("resnet20", weights=path, num_classes=4, in_channels=1, head=None), mine, "head")
    trunk = create_model("resnet20", head=None)
    assert equal(create_model("resnet20", weights=saved(trunk, tmp_path), head=None), trunk)


def test_a_state_dict_of_torch(tmp_path: Path) -> None:
    """A .pth of our module, its counters in it, as ``torch.save(module.state_dict(), ...)`` writes it."""
    module = create_model("resnet20")
    torch.save(module.state_dict(), tmp_path / "mine.pth")
    other = create_model("resnet20", weights=tmp_path / "mine.pth", num_classes=3)
    assert equal(other, module, "head.dense")


def test_weights_that_do_not_fit_say_what_differs(tmp_path: Path) -> None:
    five = saved(create_model("lenet5", num_classes=5), tmp_path)
    said = (
        r"weights\.safetensors: these are for 5 classes, {}: create the network with num_classes=5, or with head=None"
    )
    with pytest.raises(WeightsError, match=said.format("not 10")):
        create_model("lenet5", weights=five)
    with pytest.raises(WeightsError, match=said.format(r"you asked for 7 \(10 are published\)")):
        create_model("lenet5", weights=five, num_classes=7)
    with pytest.raises(WeightsError, match=r"not the weights of resnet20: .* is missing"):
        create_model("resnet20", weights=five)
    with pytest.raises(WeightsError, match=r"absent\.pth: no such file"):
        create_model("resnet20", weights=tmp_path / "absent.pth")


def test_the_fault_of_a_file_is_told_for_the_classes_it_has(tmp_path: Path) -> None:
    arrays = weights_of(create_model("resnet20", num_classes=7))
    path = tmp_path / "weights.safetensors"
    for options in ({"num_classes": 7}, {"num_classes": 5}, {}):
        path.write_bytes(serialize({name: array for name, array in arrays.items() if name != "stem.bn.bias"}))
        with pytest.raises(WeightsError, match=r"not the weights of resnet20: stem\.bn\.bias is missing$"):
            create_model("resnet20", weights=path, **options)
        path.write_bytes(serialize(arrays | {"spy": np.zeros(1, np.float32)}))
        with pytest.raises(WeightsError, match=r"not the weights of resnet20: spy is not in resnet20$"):
            create_model("resnet20", weights=path, **options)


def test_features_come_from_a_file_of_any_classes(tmp_path: Path) -> None:
    mine = create_model("resnet20", num_classes=7)
    trunk = create_model("resnet20", weights=saved(mine, tmp_path), head=None)
    assert equal(trunk, mine, "head")


def test_a_file_for_another_size_of_pictures(tmp_path: Path) -> None:
    mine = create_model("mlp_300", num_classes=3, input_shape=(3, 8, 8))
    path = saved(mine, tmp_path)
    assert equal(create_model("mlp_300", num_classes=3, input_shape=(3, 8, 8), weights=path), mine)
    published = saved(create_model("mlp_300"), tmp_path)
    with pytest.raises(WeightsError, match=r"for pictures of 8x8x3; the weights are for 28x28x1"):
        create_model("mlp_300", input_shape=(3, 8, 8), weights=published)


def test_a_module_carries_how_pictures_go_in_and_what_the_outputs_are(tmp_path: Path) -> None:
    published = load_pretrained("efficientnet_lite0")[2].preprocessing
    whole = create_model("efficientnet_lite0", weights="imagenet")
    assert whole.meta["preprocessing"] == published and whole.meta["classes"][281] == "tabby"
    small = create_model("efficientnet_lite0", weights="imagenet", num_classes=5, input_shape=(3, 96, 96))
    assert small.meta["preprocessing"] == replace(published, size=96) and "classes" not in small.meta
    grey = create_model("efficientnet_lite0", weights="imagenet", in_channels=1)
    wide = create_model("efficientnet_lite0", weights="imagenet", input_shape=(3, 64, 96))
    assert all("preprocessing" not in module.meta and "classes" in module.meta for module in (grey, wide))
    file = create_model("efficientnet_lite0", weights=saved(whole, tmp_path))
    assert file.meta["preprocessing"] == published and file.meta["classes"] == whole.meta["classes"]
    assert create_model("resnet20", weights=saved(create_model("resnet20"), tmp_path)).meta.keys() == {"foveal"}
    assert create_model("resnet18").meta.keys() == {"foveal"}


def test_weights_for_another_size_of_pictures_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = create_graph("lenet5")
    arrays = weights_of(build(graph))
    monkeypatch.setattr("foveal.models.load_pretrained", lambda *_, **__: (graph, arrays, None))
    said = r"f6\.weight has shape \(84, 120\), expected \(84, 1080\) for pictures of 40x40x1; .* for 32x32x1"
    with pytest.raises(WeightsError, match=said):
        create_model("lenet5", weights="imagenet", input_shape=(1, 40, 40))


@pytest.mark.parametrize(
    ("options", "kind", "said"),
    [
        ({"name": "resnet51"}, UnknownName, "unknown network 'resnet51'; did you mean resnet5"),
        ({"weights": "imagenet"}, UsageError, "lenet5 has no published weights; foveal zoo says which have"),
        ({"name": None}, UsageError, "None names no network; expected a name such as 'resnet50'"),
        ({"name": ["lenet5"]}, UsageError, r"\['lenet5'\] names no network"),
        ({"weights": 3}, UsageError, "weights = 3; expected a name such as 'imagenet', a file, or None"),
        ({"head": "boxes"}, UsageError, "head = 'boxes'; expected 'classes', or None"),
        ({"seed": -1}, UsageError, "seed = -1; expected a whole number"),
        ({"num_classes": 0}, GraphError, "Dense.out_features = 0; expected a whole number of at least 1"),
        ({"in_channels": 0}, GraphError, "input_shape"),
        ({"input_shape": (1, 8, 8)}, ShapeError, "c3|c5"),
    ],
)
def test_options_that_make_no_network(options: dict[str, Any], kind: type[FovealError], said: str) -> None:
    with pytest.raises(kind, match=said):
        create_model(**{"name": "lenet5"} | options)


def test_arrays_that_do_not_fit_a_built_network() -> None:
    graph = create_graph("lenet5")
    weights = weights_of(build(graph))
    with pytest.raises(WeightsError, match=r"output\.weight has shape \(10, 84\), expected \(3, 84\)"):
        build(create_graph("lenet5", num_classes=3), weights)
    with pytest.raises(WeightsError, match=r"no weights for c1\.bias"):
        build(graph, {key: value for key, value in weights.items() if key != "c1.bias"})
    with pytest.raises(WeightsError, match="weights for 'spy'"):
        build(graph, weights | {"spy": np.zeros(1, np.float32)})
