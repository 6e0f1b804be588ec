"""Foveal's counts of traced networks against PyTorch's own, and its speed against torchinfo.

    python bench/against_counters.py [--pairs 5] [--peers-python bench/peers/bin/python]

Traces timm's and torchvision's CNNs in the peers' environment (which needs numpy, timm, torchinfo and torchvision): the
parameters must be those of ``module.parameters()``, the MACs half of what ``FlopCounterMode`` counts, to the last one.
Then traces a ResNet-152 in turn with ``torchinfo.summary``, in one process, and counts it in processes of their own:
``foveal inspect resnet152`` beside a script that makes torchvision's and summarises it. Writes a section of RESULTS.md.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
import time
from pathlib import Path
from typing import Any

from common import HERE, PEERS_PYTHON, publish, run, spread, table

TORCHVISION = """
    alexnet vgg16 vgg16_bn googlenet inception_v3 squeezenet1_0 squeezenet1_1 resnet18 resnet50 resnext50_32x4d
    wide_resnet50_2 densenet121 mobilenet_v2 mobilenet_v3_large mobilenet_v3_small mnasnet1_0 shufflenet_v2_x1_0
    efficientnet_b0 efficientnet_v2_s convnext_tiny regnet_y_400mf regnet_x_400mf
""".split()
TIMM = """
    resnet26d seresnet50 ecaresnet50t skresnet18 resnest14d res2net50_26w_4s resnetv2_50 resnetv2_50x1_bit gernet_s
    densenet121 dpn68 dla34 dla60x hrnet_w18 cspresnet50 cspdarknet53 vovnet39a ese_vovnet19b_dw selecsls42b
    xception41 legacy_xception inception_v4 inception_resnet_v2 nasnetalarge pnasnet5large nfnet_f0 dm_nfnet_f0
    nf_resnet50 regnetx_002 regnety_002 regnetz_b16 repvgg_a2 mobileone_s0 ghostnet_100 repghostnet_050 rexnet_100
    mobilenetv3_large_100 mobilenetv4_conv_small tf_efficientnet_b0 efficientnet_lite0 mixnet_s lcnet_050 tinynet_a
    fbnetc_100 spnasnet_100 hardcorenas_a convnext_tiny convnextv2_atto convmixer_768_32 inception_next_atto
    focalnet_tiny_srf poolformer_s12 fastvit_t8 mixer_s16_224 tresnet_m efficientnet_cc_b0_4e gcresnet50t botnet26t_256
""".split()

SUMMARY = """
import torchvision_stub, torchinfo, torchvision
torchinfo.summary(torchvision.models.resnet152(), (1, 3, 224, 224))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--peers-python", type=Path, default=PEERS_PYTHON)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)  # the part in the peers' environment
    options = parser.parse_args()
    if options.inside:
        print(json.dumps(_inside(options.pairs)))
        return
    script = [options.peers_python, Path(__file__), "--inside", "--pairs", str(options.pairs)]
    found = json.loads(run(script, PYTHONPATH=HERE.parent / "src").output.splitlines()[-1])
    found["processes"] = _processes(options.peers_python, options.pairs)
    publish("Counts of traced networks, and tracing beside torchinfo", _report(found))


def _inside(pairs: int) -> dict[str, Any]:
    import torchvision_stub  # noqa: F401, I001  # before torchvision and timm
    import timm
    import torchvision

    found = [_compared(f"torchvision {name}", torchvision.models.get_model(name, weights=None)) for name in TORCHVISION]
    found += [_compared(f"timm {name}", timm.create_model(name)) for name in TIMM]
    return {
        "networks": found,
        "seconds": _seconds(torchvision.models.resnet152(weights=None), pairs),
        "versions": f"timm {timm.__version__}, torchvision {torchvision.__version__}",
    }


def _compared(name: str, module: Any) -> dict[str, Any]:
    """What Foveal and what PyTorch count in one network."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from foveal.tracing.modules import trace

    shape = (3, *getattr(module, "default_cfg", {}).get("input_size", (3, 224, 224))[1:])
    traced = trace(module, shape)
    module.eval().to("meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(torch.empty(1, *shape, device="meta"))
    parameters = {key: p.numel() for key, p in module.named_parameters()}
    read = sum(math.prod(size) for size in traced.graph.parameters().values())
    unread = sum(parameters[key] for key in parameters.keys() - set(traced.parameters_of.values()))
    print(name, file=sys.stderr)
    return {
        "name": name,
        "parameters": (read + unread, sum(parameters.values())),
        "macs": (traced.graph.macs(), counter.get_total_flops() // 2),
        "notes": [note for note in traced.notes if "leave out" in note or "no step reads" in note],
    }


def _seconds(module: Any, pairs: int) -> list[tuple[float, float]]:
    """Seconds of a trace and of torchinfo's summary, in turn, after one of each to warm up."""
    import torchinfo

    from foveal.tracing.modules import trace

    def ours() -> float:
        began = time.perf_counter()
        trace(module, (3, 224, 224))
        return time.perf_counter() - began

    def theirs() -> float:
        began = time.perf_counter()
        torchinfo.summary(module, (1, 3, 224, 224), verbose=0)
        return time.perf_counter() - began

    ours(), theirs()
    return [(ours(), theirs()) if i % 2 == 0 else (theirs(), ours())[::-1] for i in range(pairs)]


def _processes(peers_python: Path, pairs: int) -> list[tuple[float, float]]:
    """Seconds of whole processes that count a ResNet-152, in turn, after one of each to warm the files."""

    def ours() -> float:
        return run([sys.executable, "-m", "foveal", "inspect", "resnet152"]).seconds

    def theirs() -> float:
        return run([peers_python, "-c", SUMMARY], PYTHONPATH=HERE).seconds

    ours(), theirs()
    return [(ours(), theirs()) if i % 2 == 0 else (theirs(), ours())[::-1] for i in range(pairs)]


def _report(found: dict[str, Any]) -> str:
    networks = found["networks"]
    equal = {key: sum(net[key][0] == net[key][1] for net in networks) for key in ("parameters", "macs")}
    explained = sum(net["macs"][0] + _left_out(net["notes"]) == net["macs"][1] for net in networks)
    rows = [
        [net["name"], *(_pair(*net[key]) for key in ("parameters", "macs")), "; ".join(net["notes"])]
        for net in networks
    ]
    ratios = [a / b for a, b in found["seconds"]]
    return "\n\n".join(
        (
            f"Of {len(networks)} networks the parameters are equal in {equal['parameters']}, the MACs in "
            f"{equal['macs']}, and in {explained} with the MACs that a note says are left out: products of two "
            "activations, and filters that are fixed or computed from the picture.",
            f"Tracing a ResNet-152: {spread([a for a, _ in found['seconds']], 3)} s, torchinfo's summary of the same "
            f"module {spread([b for _, b in found['seconds']], 3)} s, ratio {spread(ratios, 3)} over {len(ratios)} "
            f"pairs in one process; {found['versions']}.",
            f"Whole processes: `foveal inspect resnet152` {spread([a for a, _ in found['processes']], 2)} s, "
            f"torchinfo on torchvision's {spread([b for _, b in found['processes']], 2)} s: "
            f"{spread([b / a for a, b in found['processes']])} times faster over {len(found['processes'])} pairs.",
            table(["network", "parameters", "MACs", "note"], rows),
        )
    )


def _left_out(notes: list[str]) -> int:
    found = (re.search(r"leave out ([\d,]+) MAC", note) for note in notes)
    return sum(int(match[1].replace(",", "")) for match in found if match)


def _pair(ours: int, theirs: int) -> str:
    return f"{ours:,}" if ours == theirs else f"{ours:,} (PyTorch {theirs:,})"


if __name__ == "__main__":
    main()
