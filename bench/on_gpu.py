"""A GPU, where there is one: every path of training correct on it, and images a second beside a plain PyTorch loop.

    python bench/on_gpu.py [--device cuda]

Each check prints what it compared and stops the benchmark where it fails. ResNet-50 has random pictures of 224x224,
batch 64; the lectures' net Fashion-MNIST's size, batch 128. Writes a section of RESULTS.md.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from common import publish, table
from torch import nn

import foveal
from foveal.build import build
from foveal.datasets import Pictures, PictureSet, load_dataset
from foveal.training.callbacks import Callback
from foveal.training.checkpoint import Checkpointing
from foveal.training.state import Training

SMALL = foveal.parse("8x8x1 > conv 16 3x3 same bn relu > maxpool 2 > dropout 0.2 > flatten > dense 10")
LECTURES = foveal.parse("28x28x1 > conv 28 3x3 relu > maxpool 3 > flatten > dense 16 relu > dense 10")
EVERYTHING = "crop 1, flip, rotate 10, scale 0.1, colour 0.2, cutout 2, erase 0.2, mixup 0.2, cutmix 1"
ROUNDS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--pictures", type=int, default=2048, help="of ResNet-50; sixteen times as many of the other")
    options = parser.parse_args()
    device = options.device
    for check in (same_as_cpu, precisions, augmentations, resumption, streaming):
        print(f"{check.__name__}: {check(device)}", flush=True)
    resnet = foveal.create_graph("resnet50", num_classes=10)
    rows = [
        speeds("resnet50", resnet, random_set((3, 224, 224), options.pictures), 64, device),
        speeds("lectures' net", LECTURES, random_set((1, 28, 28), 16 * options.pictures), 128, device),
    ]
    name = torch.cuda.get_device_name() if device == "cuda" else device
    head = ("network", "Foveal, images/s", "plain loop, images/s", "ratio")
    publish("On a GPU", f"{name}, random pictures, median of {ROUNDS} rounds taken in turn.\n\n{table(head, rows)}")


def same_as_cpu(device: str) -> str:
    """The weights of one epoch in float32, without dropout, are those of the CPU."""
    config = foveal.Config(epochs=1, precision="f32", optimizer="momentum", lr=0.05, dropout=0.0)
    there, here = (weights(config, each) for each in (device, "cpu"))
    apart = max(float((there[name] - here[name]).abs().max()) for name in here)
    return checked(apart < 1e-3, f"largest difference of a weight from the CPU's {apart:.1e}")


def precisions(device: str) -> str:
    """bfloat16 and the device's own choice learn as float32 does."""
    losses = {}
    for precision in ("f32", "bf16", "auto"):
        config = foveal.Config(epochs=5, lr=0.01, precision=precision, device=device)
        losses[precision] = foveal.fit(SMALL, load_dataset("digits"), config).epochs[-1].val_loss or 0.0
    apart = max(losses.values()) - min(losses.values())
    return checked(apart < 0.1, f"validation losses {', '.join(f'{k} {v:.4f}' for k, v in losses.items())}")


def augmentations(device: str) -> str:
    """Every augmentation runs on the device, and equal seeds give equal weights."""
    config = foveal.Config(epochs=1, augment=EVERYTHING, precision="f32")
    first, second = (weights(config, device) for _ in range(2))
    return checked(all(torch.equal(first[name], second[name]) for name in first), f"twice the same: {EVERYTHING}")


def resumption(device: str) -> str:
    """A run that stops in mid-epoch goes on to the same weights."""
    config = foveal.Config(epochs=2, ema=0.9, precision="f32", layout="contiguous", device=device, checkpoint_every=0)
    data = load_dataset("digits")

    class Stop(Callback):
        def after_step(self, training: Training) -> None:
            if training.global_step == 7:
                raise KeyboardInterrupt

    with tempfile.TemporaryDirectory(prefix="foveal-bench-") as name:
        path = Path(name, "checkpoint.safetensors")
        try:
            foveal.fit(SMALL, data, config, callbacks=[Checkpointing(path), Stop()])
        except KeyboardInterrupt:
            resumed = foveal.fit(SMALL, data, config, resume=path)
    whole = foveal.fit(SMALL, data, config)
    states = [history.module.state_dict() for history in (resumed, whole) if history.module]
    return checked(all(torch.equal(states[0][name], states[1][name]) for name in states[0]), "bit-identical")


def streaming(device: str) -> str:
    """Pictures of a memory-mapped file teach what those in memory do."""
    data = load_dataset("digits")
    config = foveal.Config(epochs=1, precision="f32", layout="contiguous", device=device)
    with tempfile.TemporaryDirectory(prefix="foveal-bench-") as name:
        np.save(f"{name}/x.npy", data.train.x)
        mapped = replace(data, train=Pictures(np.load(f"{name}/x.npy", mmap_mode="r"), data.train.y))
        losses = [foveal.fit(SMALL, each, config).epochs[-1].train_loss for each in (data, mapped)]
    return checked(losses[0] == losses[1], f"training loss {losses[0]:.6f} and {losses[1]:.6f}")


def weights(config: foveal.Config, device: str) -> dict[str, torch.Tensor]:
    history = foveal.fit(SMALL, load_dataset("digits"), replace(config, device=device, layout="contiguous"))
    assert history.module is not None
    return {name: tensor.cpu().float() for name, tensor in history.module.state_dict().items()}


def checked(holds: bool, said: str) -> str:
    return said if holds else sys.exit(f"stopped: {said}")


def random_set(shape: tuple[int, int, int], count: int) -> PictureSet:
    random = np.random.default_rng(0)
    part = Pictures(random.integers(0, 256, (count, *shape), np.uint8), random.integers(0, 10, count))
    return PictureSet("random", tuple("0123456789"), part, part[:0], part[:0], "drawn")


def speeds(name: str, graph: foveal.Graph, data: PictureSet, batch: int, device: str) -> tuple[str, str, str, str]:
    """Images a second of the second epoch, ours and the plain loop's."""
    config = foveal.Config(
        epochs=2, batch_size=batch, optimizer="momentum", lr=0.01, schedule="constant", device=device
    )

    def ours() -> float:
        return foveal.fit(graph, data, config).epochs[-1].images_per_second

    def theirs() -> float:
        return plain(graph, data, batch, device)

    found: dict[Callable[[], float], list[float]] = {ours: [], theirs: []}
    for _ in range(ROUNDS):
        for each, values in found.items():
            values.append(each())
    ratios = [a / b for a, b in zip(*found.values(), strict=True)]
    a, b = (statistics.median(values) for values in found.values())
    return name, f"{a:,.0f}", f"{b:,.0f}", f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def plain(graph: foveal.Graph, data: PictureSet, batch: int, device: str) -> float:
    """The loop as it is usually written: float32, a DataLoader, no more than PyTorch's defaults."""
    module = build(graph).to(device).train()
    x = (torch.from_numpy(data.train.x).float() - 127) / 64
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(x, torch.from_numpy(data.train.y)), batch, shuffle=True, num_workers=2
    )
    update = torch.optim.SGD(module.parameters(), lr=0.01, momentum=0.9)
    seconds = 0.0
    for _ in range(2):
        began = time.perf_counter()
        for pictures, target in loader:
            update.zero_grad()
            nn.functional.cross_entropy(module(pictures.to(device)), target.to(device)).backward()
            update.step()
        if device == "cuda":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - began
    return len(x) / seconds


if __name__ == "__main__":
    main()
