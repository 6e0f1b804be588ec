"""What it costs to open one number of ResNet-50 on a 224 x 224 picture: `python bench/one_unit.py`.

In one process, with random weights, alternately: PyTorch's plain forward pass; a pass with one unit opened; PyTorch's
forward and backward pass; the gradient that comes back to that unit, with and without its finite difference. Medians
of the rounds, and their ratios with least and greatest.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from common import publish, spread, table

import foveal
from foveal.explaining.gradient import backward
from foveal.explaining.microscope import receipt
from foveal.explaining.observing import Observed, Subject

NODE, INDEX = "stage2.block2.conv2", (5, 10, 12)
ROUNDS = 7


def main() -> None:
    model = foveal.create_model("resnet50", seed=0).eval()
    graph = foveal.create_graph("resnet50")
    subject = Subject(graph, {name: array.detach().numpy() for name, array in model.state_dict().items() if array.ndim})
    x = np.random.default_rng(0).normal(size=graph.input_shape).astype(np.float32)
    batch = torch.from_numpy(x)[None]

    def forward() -> None:
        with torch.no_grad():
            model(batch)

    def both_ways() -> None:
        model(batch)[0].max().backward()

    def opened() -> None:
        receipt(Observed(subject, x), NODE, INDEX)

    seen = Observed(subject, x)
    columns: dict[str, Callable[[], object]] = {
        "PyTorch forward": forward,
        "pass and one unit opened": opened,
        "one more unit of the pass": lambda: receipt(seen, NODE, INDEX),
        "PyTorch forward and backward": both_ways,
        "first gradient of a pass": lambda: backward(Observed(subject, x), NODE, INDEX),
        "one more gradient of the pass": lambda: backward(seen, NODE, INDEX),
        "the same with its finite difference": lambda: backward(seen, NODE, INDEX).quotients,
    }
    times = {name: [] for name in columns}
    for _ in range(ROUNDS):
        for name, run in columns.items():
            begin = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - begin)
    against = ["PyTorch forward"] * 3 + ["PyTorch forward and backward"] * 4
    rows = []
    for (name, own), other in zip(times.items(), against, strict=True):
        ratios = [a / b for a, b in zip(own, times[other], strict=True)]
        rows.append([name, f"{1000 * statistics.median(own):.0f} ms", spread(ratios, 2)])
    header = ("what", "median", "times PyTorch's own pass")
    note = (
        f"`{NODE}` of ResNet-50 on a 224 x 224 picture, random weights, {ROUNDS} rounds. A pass keeps all activations, "
        "and includes making the module that returns them all. Gradients are taken in float64: the first one of a pass "
        "runs it again in that precision, the next does not. The finite difference is three passes more."
    )
    publish("Opening one number", f"{note}\n\n{table(header, rows)}")


if __name__ == "__main__":
    main()
