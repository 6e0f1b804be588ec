"""Estimated against measured memory for five networks: what PyTorch's CPU allocator holds at its peak.

`foveal.anatomy.memory` computes the estimate from the graph alone. The measurement is one training step, and one pass,
of the built module, as the allocator reports it to PyTorch's profiler: tensors, and what the kernels allocate besides.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from common import publish, table
from torch.profiler import ProfilerActivity, profile

from foveal.anatomy import memory
from foveal.anatomy.table import size_text
from foveal.build import build
from foveal.zoo import create_graph

CASES = (("alexnet", 16), ("vgg16", 2), ("googlenet", 8), ("resnet50", 4), ("mobilenet_v2", 8))


def main() -> None:
    rows = [row for name, batch in CASES for row in _compare(name, batch)]
    header = ("network", "batch", "what", "measured", "estimated", "estimated / measured")
    note = (
        "Training is one step at the network's own input size; weights and optimizer state, which are exact, are on "
        "neither side. The estimate for inference leaves out the workspaces of convolution kernels."
    )
    publish("Memory: estimated from the graph, measured at the allocator", f"{table(header, rows)}\n\n{note}")


def _compare(name: str, batch: int) -> list[tuple[str, ...]]:
    graph = create_graph(name)
    module = build(graph).train()
    rows = []
    for optimizer, kind in (("adam", torch.optim.Adam), ("sgd", torch.optim.SGD)):
        update = kind(module.parameters(), lr=1e-4)

        def step(update: torch.optim.Optimizer = update) -> None:
            module(torch.ones(batch, *graph.input_shape)).square().mean().backward()
            update.step()
            update.zero_grad()

        step()
        rows.append(
            _row(name, batch, f"training, {optimizer}", _peak(step), memory.training(graph, batch, optimizer).peak)
        )
        del update
    module.eval()

    @torch.inference_mode()
    def run() -> None:
        module(torch.ones(batch, *graph.input_shape))

    return [*rows, _row(name, batch, "inference", _peak(run), memory.inference(graph, batch).activations)]


def _row(name: str, batch: int, what: str, measured: int, estimated: int) -> tuple[str, ...]:
    return name, str(batch), what, size_text(measured), size_text(estimated), f"{estimated / measured:.3f}"


def _peak(run: Callable[[], None]) -> int:
    """The most bytes allocated while `run` ran, over those held before."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        run()
    with tempfile.TemporaryDirectory() as folder:
        recorded.export_chrome_trace(f"{folder}/trace.json")
        events = json.loads(Path(folder, "trace.json").read_text("utf-8"))["traceEvents"]
    totals = [
        (event["ts"], event["args"]["Total Allocated"], event["args"]["Bytes"])
        for event in events
        if event["name"] == "[memory]"
    ]
    _, first, change = min(totals)
    return max(total for _, total, _ in totals) - (first - change)


if __name__ == "__main__":
    main()
