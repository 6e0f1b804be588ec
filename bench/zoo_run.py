"""The networks of the zoo, run: compiled, exported, and all of them forward at their own size.

    python bench/zoo_run.py [compile | export | forward ...] [--networks NAME ...] [--batch 4] [--seconds 1]

All three parts unless some are named; each writes its section of RESULTS.md:

- ``compile``: three networks under `torch.compile` beside PyTorch's eager pass: outputs and time.
- ``export``: `torch.export`, and an ONNX file in onnxruntime, of the smallest network of each family: outputs.
- ``forward``: every network in OpenVINO beside PyTorch's eager pass: outputs and images a second.

A difference is the largest one of the outputs, relative to the largest output; beyond 1e-4 it is a failure. A network
that fails is named and the rest goes on; the exit code is then 1. One thread throughout.
"""

from __future__ import annotations

import argparse
import logging
import math
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from common import publish, spread, table
from torch import nn
from torch.fx import GraphModule
from torch.nn.modules.batchnorm import _BatchNorm

from foveal.build import graph_of, weights_of
from foveal.engines.openvino import OpenVinoEngine
from foveal.models import create_model
from foveal.zoo import MODELS, create_graph, list_models

COMPILED = ("resnet18", "mobilenet_v2", "tiny_resnet")
TOLERANCE = 1e-4

Outputs = Sequence[np.ndarray]
Row = tuple[str, ...]


@dataclass(frozen=True)
class Part:
    """A section of RESULTS.md: a row for each of some networks."""

    title: str
    header: Row
    measure: Callable[[str, argparse.Namespace], Row]
    names: Callable[[], Sequence[str]]
    note: Callable[[list[Row]], str]

    def run(self, options: argparse.Namespace) -> list[str]:
        """Measure and publish; returns what failed."""
        rows, failures = [], []
        for name in options.networks or self.names():
            try:
                row: Row = (name, *self.measure(name, options))
                rows.append(row)
            except Exception as error:  # one network that fails must not hide what the others do
                row = (f"{name}: {type(error).__name__}: {error}".splitlines()[0][:160],)
                failures += row
            print(*row, file=sys.stderr, flush=True)
        failed = "".join(f"\n\n**Failed**: {failure}" for failure in failures)
        publish(self.title, f"{self.note(rows) if rows else ''}{failed}\n\n{table(self.header, rows)}")
        return failures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=list(PARTS), metavar="|".join(PARTS))
    parser.add_argument("--networks", nargs="+", metavar="NAME")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=1.0, help="that each measurement takes at least")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no part is called {min(unknown)!r}; there are {', '.join(PARTS)}")
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # the exporters warn of their own parts
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    failures = [failure for part in options.parts for failure in PARTS[part].run(options)]
    if failures:
        sys.exit(f"{len(failures)} failed")


def compiled(name: str, options: argparse.Namespace) -> Row:
    module, x = settled(name, options.batch)
    began = time.perf_counter()
    quick = torch.compile(module)
    far = difference(values(quick, x), values(module, x))
    first = time.perf_counter() - began
    eager, compiled = in_turn(options.seconds, lambda: values(module, x), lambda: values(quick, x))
    return f"{far:.0e}", f"{first:.0f}", f"{1e3 * eager:.1f}", f"{1e3 * compiled:.1f}", f"{compiled / eager:.2f}"


def exported(name: str, options: argparse.Namespace) -> Row:
    module, x = settled(name, options.batch)
    expected, example = values(module, x), (torch.from_numpy(x),)
    program = torch.export.export(module, example)
    with tempfile.TemporaryDirectory(prefix="foveal-bench-") as folder:
        file = Path(folder) / f"{name}.onnx"
        torch.onnx.export(module, example, file, dynamo=True, external_data=False, verbose=False)
        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        megabytes = file.stat().st_size / 1e6
    there = session.run(None, {session.get_inputs()[0].name: x})
    differences = (difference(values(program.module(), x), expected), difference(there, expected))
    return MODELS[name].family, *(f"{far:.0e}" for far in differences), f"{megabytes:.1f}"


def forward(name: str, options: argparse.Namespace) -> Row:
    module, x = settled(name, options.batch)
    graph = graph_of(module)
    engine = OpenVinoEngine(graph, weights_of(module))
    far = difference(engine(x), values(module, x))
    there, here = in_turn(options.seconds, lambda: engine(x), lambda: values(module, x))
    size = "x".join(map(str, graph.input_shape))
    return size, f"{options.batch / there:,.1f}", f"{options.batch / here:,.1f}", f"{here / there:.2f}", f"{far:.0e}"


def ratios(rows: list[Row]) -> str:
    found = [float(row[4]) for row in rows]
    return f"OpenVINO is {spread(found, 2)} times as quick as PyTorch, on one thread, over {len(rows)} networks."


def smallest() -> list[str]:
    """Of each family the network with the fewest parameters."""
    by_family: dict[str, list[str]] = {}
    for name, model in MODELS.items():
        by_family.setdefault(model.family, []).append(name)
    return [min(names, key=parameters) for names in by_family.values()]


def parameters(name: str) -> int:
    return sum(map(math.prod, create_graph(name).parameters().values()))


PARTS = {
    "compile": Part(
        "The zoo under torch.compile",
        ("network", "difference", "seconds to compile", "eager, ms", "compiled, ms", "compiled / eager"),
        compiled,
        lambda: COMPILED,
        lambda rows: "Milliseconds of a batch on one thread, the least of passes taken in turn.",
    ),
    "export": Part(
        "The zoo exported",
        ("network", "family", "torch.export: difference", "ONNX: difference", "ONNX file, MB"),
        exported,
        smallest,
        lambda rows: f"Of each family the network with the fewest parameters, {len(rows)} in all.",
    ),
    "forward": Part(
        "The zoo forward, each network at its own size",
        ("network", "input", "OpenVINO, images/s", "PyTorch, images/s", "OpenVINO / PyTorch", "difference"),
        forward,
        list_models,
        ratios,
    ),
}


def settled(name: str, batch: int) -> tuple[GraphModule, np.ndarray]:
    """A network in eval mode and a batch for it; the norms know that batch, so that values neither vanish nor blow up.

    What begins as zeros, such as biases, is 1 here: it then counts; and behind norms most activations are open, so that
    rounding does not grow from layer to layer as it does in random deep networks (in ResNet-152 to 7e-4).
    """
    torch.manual_seed(0)
    module = create_model(name).train()
    x = np.random.default_rng(0).standard_normal((batch, *graph_of(module).input_shape), np.float32)
    for layer in module.modules():
        if isinstance(layer, _BatchNorm):
            layer.momentum = 1.0
    for parameter in module.parameters():
        if not parameter.any():
            nn.init.ones_(parameter)
    values(module, x)
    return module.eval(), x


@torch.inference_mode()
def values(module: nn.Module, x: np.ndarray) -> Outputs:
    y = module(torch.from_numpy(x))
    return [part.numpy() for part in (y if isinstance(y, tuple) else (y,))]


def difference(ours: Outputs, theirs: Outputs) -> float:
    """The largest, relative to the largest value; ValueError beyond `TOLERANCE`, or where values are not finite."""
    far = max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(ours, theirs, strict=True))
    if not far <= TOLERANCE:
        raise ValueError(f"outputs differ by {far:.1e} of the largest")
    return far


def in_turn(seconds: float, *calls: Callable[[], object]) -> list[float]:
    """The least seconds of each of `calls`, which run in turn until each has had `seconds`, three times at least."""
    taken: list[list[float]] = [[] for _ in calls]
    while any(len(times) < 3 or sum(times) < seconds for times in taken):
        for call, times in zip(calls, taken, strict=True):
            began = time.perf_counter()
            call()
            times.append(time.perf_counter() - began)
    return [min(times) for times in taken]


if __name__ == "__main__":
    main()
