"""Foveal's networks beside the ones they are said to be: the same random weights, the same picture, the same logits.

    python bench/zoo_logits.py [--peers-python bench/peers/bin/python] [--only NAME ...] [--states]

In the peers' environment (it needs torchvision, timm, pytorchcv and efficientnet-lite-pytorch) each peer's network is
made with random weights and random batch-norm statistics; these are loaded into ours through the key maps with which
published files are read. Where a peer publishes no weights for it, tensors are matched by kind and shape, in order.
Compared in float32 are the logits in eval mode (native size) and in training mode (small pictures, dropout off; batch
statistics), as the largest difference divided by the largest logit. Writes a section of RESULTS.md.

``--states`` instead writes tests/published/published_states.json: of every published network the number of tensors and
a hash of their names and shapes.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import HERE, PEERS_PYTHON, publish, run, table

if TYPE_CHECKING:
    from torch import Tensor, nn

    from foveal.graph import Graph
    from foveal.published.entry import Pretrained

STATES = HERE.parent / "tests" / "published" / "published_states.json"
AIM = 1e-4

TIMM = {
    **{f"efficientnet_lite{i}": f"tf_efficientnet_lite{i}" for i in range(5)},
    "mobilenet_v1": "mobilenetv1_100",
    **{f"mobilenet_v2_x{width}": f"mobilenetv2_{number}" for width, number in {
        "0_35": "035", "0_5": "050", "0_75": "075", "1_4": "140",
    }.items()},
    **{f"preact_resnet{depth}": f"resnetv2_{depth}" for depth in (50, 101, 152)},
    **{f"se_resnet{depth}": f"legacy_seresnet{depth}" for depth in (50, 101, 152)},
    **{f"se_resnext{depth}_32x4d": f"legacy_seresnext{depth}_32x4d" for depth in (50, 101)},
    "senet154": "legacy_senet154",
    "xception": "legacy_xception",
    "inception_resnet_v2": "inception_resnet_v2",
}  # fmt: skip
PYTORCHCV = {  # where it alone has the network
    "alexnet_ungrouped": "alexnet",
    **{f"resnet{depth}_paper": f"resnet{depth}" for depth in (50, 101, 152)},
    "preact_resnet164_cifar": "preresnet164bn_cifar10",
    "wrn_28_10": "wrn28_10_cifar10",
    "densenet100_bc_k12_cifar": "densenet100_k12_bc_cifar10",
    "densenet190_bc_k40_cifar": "densenet190_k40_bc_cifar10",
    "densenet250_bc_k24_cifar": "densenet250_k24_bc_cifar10",
    "mobilenet_v1_x0_75": "mobilenet_w3d4",
    "mobilenet_v1_x0_5": "mobilenet_wd2",
    "mobilenet_v1_x0_25": "mobilenet_wd4",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers-python", type=Path, default=PEERS_PYTHON)
    parser.add_argument("--only", nargs="*", default=[], help="names of networks; the result is printed, not written")
    parser.add_argument("--states", action="store_true")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)  # the part in the peers' environment
    options = parser.parse_args()
    if options.inside:
        import torchvision_stub  # noqa: F401  # before torchvision and timm

        print(json.dumps(_states() if options.states else _inside(options.only)))
        return
    words = ["--inside", *(["--states"] if options.states else []), "--only", *options.only]
    output = run([options.peers_python, Path(__file__), *words], PYTHONPATH=HERE.parent / "src").output
    found = json.loads(output.splitlines()[-1])
    if options.states:
        lines = (f"{json.dumps(name)}: {json.dumps(state)}" for name, state in sorted(found.items()))
        STATES.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")
    elif options.only:
        print(_report(found))
    else:
        publish("The zoo beside torchvision, timm and pytorchcv", _report(found))


def _inside(only: list[str]) -> dict[str, Any]:
    names = ("torchvision", "timm", "pytorchcv", "efficientnet-lite-pytorch")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
    return {"networks": [_compared(*pair) for pair in _pairs(only)], "versions": versions}


def _pairs(only: list[str]) -> Iterator[tuple[str, str, str]]:
    """Our name, the peer, its name."""
    from foveal.published import PRETRAINED

    models = dict.fromkeys(e.model for e in PRETRAINED.values() if "download.pytorch.org" in e.url)
    pairs = [(model, "torchvision", model.removesuffix("_aux")) for model in models]
    pairs += [(ours, "timm", theirs) for ours, theirs in TIMM.items()]
    pairs += [(e.model, "efficientnet-lite-pytorch", e.model) for e in PRETRAINED.values() if e.package]
    pairs += [(ours, "pytorchcv", theirs) for ours, theirs in PYTORCHCV.items()]
    return (pair for pair in pairs if not only or pair[0] in only)


def _peer(peer: str, name: str) -> nn.Module:
    """The peer's network, with its own random weights."""
    if peer == "torchvision":
        import torchvision

        options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
        return torchvision.models.get_model(name, weights=None, **options)
    if peer == "timm":
        import timm

        return timm.create_model(name)
    if peer == "pytorchcv":
        return _pytorchcv(name)
    from efficientnet_lite_pytorch import EfficientNet

    return EfficientNet.from_name(name.replace("_", "-"))


def _pytorchcv(name: str) -> nn.Module:
    """Its network, where it differs from the paper or Google's release brought back to it."""
    from pytorchcv.model_provider import get_model
    from torch import nn

    network = get_model(name, pretrained=False)
    for part in list(network.modules()):
        if getattr(part, "use_lrn", False):  # PyTorch divides alpha by the 5, the paper does not
            part.use_lrn = False
            part.register_forward_hook(lambda _, x, y: nn.functional.local_response_norm(y, 5, alpha=5e-4, k=2.0))
        if name.startswith("mobilenet") and hasattr(part, "activ"):
            part.activ = nn.ReLU6()
    return network


def _compared(ours: str, peer: str, name: str) -> dict[str, Any]:
    """Largest differences of the logits of one network, relative to the largest logit."""
    import torch

    from foveal.build import build
    from foveal.zoo import create_graph

    print(ours, peer, name, file=sys.stderr)
    torch.manual_seed(0)
    graph = create_graph(ours)
    theirs = _peer(peer, name)
    _randomise(theirs)
    module = build(graph, _weights(graph, theirs))
    for network in (module, theirs):
        _without_chance(network)
    return {
        "name": ours,
        "peer": f"{peer} {name}",
        "eval": _difference(module.eval(), theirs.eval(), torch.randn(2, *graph.input_shape)),
        "train": _difference(module.train(), theirs.train(), torch.randn(4, *_small(graph, peer))),
    }


def _small(graph: Graph, peer: str) -> tuple[int, ...]:
    """A smaller, odd size where both networks take one, for the sake of time; the other peers take one size only."""
    from foveal.errors import FovealError

    small = (3, 107, 107)
    if graph.input_shape != (3, 224, 224) or peer not in ("torchvision", "timm"):
        return graph.input_shape
    try:
        return small if graph.with_input(small).parameters() == graph.parameters() else graph.input_shape
    except FovealError:
        return graph.input_shape


def _randomise(module: nn.Module) -> None:
    """Everything at random, such that every layer counts: signals neither vanish nor grow."""
    from torch import nn

    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(part.weight)
            if part.bias is not None:
                nn.init.normal_(part.bias, std=0.1)
        elif isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.running_mean, std=0.1)
            nn.init.uniform_(part.running_var, 0.5, 1.5)
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, std=0.1)


def _without_chance(module: nn.Module) -> None:
    """No dropout and no dropped paths, by whatever name they go."""
    for part in module.modules():
        for name in ("p", "drop_rate", "drop_prob"):
            if isinstance(getattr(part, name, None), float):
                setattr(part, name, 0.0)
        if hasattr(part, "_global_params"):  # efficientnet-lite-pytorch
            part._global_params = part._global_params._replace(drop_connect_rate=0.0)


def _weights(graph: Graph, theirs: nn.Module) -> dict[str, Any]:
    """The peer's weights under our names: by the first published naming that fits, else by kind and shape."""
    from foveal.checkpoints import rename
    from foveal.published import PRETRAINED
    from foveal.published.others import LOCAL

    state = {name: value.numpy() for name, value in theirs.state_dict().items() if "num_batches" not in name}
    needed = graph.parameters() | graph.buffers()
    for entry in (*PRETRAINED.values(), *LOCAL):
        if entry.model == graph.name and {entry.keys(graph)(name) for name in needed} <= state.keys():
            return rename(state, entry.keys(graph), graph, left_out=entry.left_out)
    weights = {}
    for ours, shape in needed.items():
        found = next((name for name, value in state.items() if _alike(ours, shape, name, value.shape)), None)
        if found is None:
            sys.exit(f"stopped: nothing in the peer's {graph.name} is like our {ours} {shape}")
        weights[ours] = state.pop(found).reshape(shape)
    if state:
        sys.exit(f"stopped: our {graph.name} lacks the peer's {', '.join(state)}")
    return weights


def _alike(ours: str, shape: Sequence[int], theirs: str, other: Sequence[int]) -> bool:
    """Of one kind, both or neither in a shortcut, and of one shape; a dense layer may be a 1x1 convolution."""
    aside = "identity" in theirs or "downsample" in theirs
    sizes = [[n for n in size if n != 1] for size in (shape, other)]
    return theirs.endswith(ours.rpartition(".")[2]) and ("shortcut" in ours) == aside and sizes[0] == sizes[1]


def _difference(ours: nn.Module, theirs: nn.Module, x: Tensor) -> tuple[float, float]:
    """Between the outputs of both, and, as a measure of what would be noticed, between those for two pictures."""
    import torch

    with torch.no_grad():  # auxiliary outputs: where both have them
        pairs = list(zip(_outputs(ours(x)), _outputs(theirs(x)), strict=False))
    differences = [float((a - b).abs().max() / b.abs().max()) for a, b in pairs]
    return max(differences), min(float((b[0] - b[1]).abs().max() / b.abs().max()) for _, b in pairs)


def _outputs(result: Any) -> tuple[Tensor, ...]:
    if hasattr(result, "aux_logits1"):  # torchvision's GoogLeNet has them the other way round
        return result.logits, result.aux_logits1, result.aux_logits2
    return tuple(result) if isinstance(result, tuple) else (result,)


def _states() -> dict[str, tuple[int, str]]:
    """Number of tensors of each published network, and a hash of their names and shapes, as its peer has them."""
    import torch

    from foveal.published import PRETRAINED
    from foveal.published.others import LOCAL

    files = {f"{model}:{name}": (*_publisher(entry), entry.left_out) for (model, name), entry in PRETRAINED.items()}
    files |= {f"{entry.model}:local": (*_publisher(entry), entry.left_out) for entry in LOCAL}
    found = {}
    for name, (peer, theirs, left_out) in files.items():
        with torch.device("meta"):
            state = _peer(peer, theirs).state_dict()
        kept = (key for key in state if not key.startswith(left_out) and "num_batches" not in key)
        lines = sorted(f"{key} {tuple(state[key].shape)}" for key in kept)
        found[name] = len(lines), hashlib.sha256("\n".join(lines).encode()).hexdigest()
    return found


def _publisher(entry: Pretrained) -> tuple[str, str]:
    """The peer that has the network of an entry, and its name for it."""
    if entry.package:
        return "efficientnet-lite-pytorch", entry.model
    if "download.pytorch.org" in entry.url:
        return "torchvision", entry.model.removesuffix("_aux")
    return "timm", TIMM[entry.model]


def _report(found: dict[str, Any]) -> str:
    from foveal.zoo import list_models

    networks, modes = found["networks"], ("eval", "train")
    within = sum(net[mode][0] <= AIM for net in networks for mode in modes)
    worst = {mode: max(net[mode][0] for net in networks) for mode in modes}
    least = min(net[mode][1] for net in networks for mode in modes)
    missing = sorted(set(list_models()) - {ours for ours, _, _ in _pairs([])})
    return "\n\n".join(
        (
            f"{within} of {2 * len(networks)} comparisons are within {AIM:.0e} of the largest logit; the largest "
            f"difference is {worst['eval']:.1e} in eval and {worst['train']:.1e} in training mode. (The logits of two "
            f"pictures differ by {least:.1e} or more.) {found['versions']}.",
            table(
                ["network", "the peer's", *modes],
                [[net["name"], net["peer"], *(f"{net[mode][0]:.1e}" for mode in modes)] for net in networks],
            ),
            "pytorchcv's AlexNet was given the paper's response normalization, which is five times stronger, and its "
            "MobileNet the ReLU6 of Google's release.",
            f"No peer has the same network as {', '.join(missing)}.",
        )
    )


if __name__ == "__main__":
    main()
