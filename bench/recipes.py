"""Time to accuracy from scratch: a recipe with Foveal's loop, and with the plain PyTorch loop.

    python bench/recipes.py fashion-mnist [--seeds 3] [--threads 2]
    python bench/recipes.py mnist-5k [--seeds 3] [--threads 2]

A recipe is a network of the zoo and the settings in bench/recipes/NAME.json, which `foveal train --config` reads. All
that is not for testing is trained on. Recipes were chosen on a validation part, before the test part was opened here.

The plain loop trains the same network from the same first weights for as many epochs, by the same optimizer, schedule
and loss. It is written as usual: a `DataLoader` over tensors in float32, each picture augmented on its own, contiguous,
the optimizer as PyTorch has it by default; no worker processes, so that all its work is on the processor's clock. With
the first seed it takes turns with ours in one process, an epoch each.

Seconds are those of training: for ours with the network's making and the trial of precisions; without reading the data,
and without testing. On a machine that others use, the processor's count, and threads that wait should not spin:
`OMP_WAIT_POLICY=passive`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import statistics
import sys
import time
from dataclasses import dataclass, replace

import torch
from common import HERE, publish, spread, table
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, Dataset

from foveal.build import build
from foveal.datasets import DATASETS, load
from foveal.datasets.pictures import Pictures, PictureSet
from foveal.experiments.estimates import percents, student
from foveal.graph import Graph
from foveal.initializing import initialize
from foveal.notation import format
from foveal.text import plural
from foveal.training.augmentation import parse
from foveal.training.callbacks import Callback
from foveal.training.config import Config, read_config
from foveal.training.loop import fit
from foveal.training.schedules import SCHEDULES
from foveal.training.state import Training
from foveal.zoo import create_graph, find_model


@dataclass(frozen=True)
class Recipe:
    """What is trained, the test accuracy to reach, and what was tried on the way."""

    network: str
    target: float
    tried: str


RECIPES = {
    "fashion-mnist": Recipe(
        "tiny_resnet",
        0.925,
        "Tried on 6,000 pictures held out, one seed each, so that 0.3 points are within chance. Batches of 128, 0.2, "
        "8 epochs: 92.9 %; with flip 93.1 %, with flip and crop 1 92.9 %; AdamW 0.01 instead, no flip: 92.7 %. "
        "5 epochs with flip: 92.3 %. As it is here, but 8 epochs and a smoothing of 0.05: 93.0 %; as it is: 93.2 %. "
        "Another network of 79,610 parameters, with its residual block on the 7x7 map and a global max pool, whose "
        "epochs are as long: 92.6 % in 6, 93.2 % in 8. Not trained: a first convolution of stride 2 instead of its "
        "pool, which makes a step 14 % shorter, and with 32 and 64 channels 57 % longer.",
    ),
    "mnist-5k": Recipe(
        "tiny_resnet",
        0.975,
        "Tried with 3,000 to train on and 1,000 held out, two or three seeds: 15 epochs without augmentation 98.3 %, "
        "with crop 2 98.5 %, with rotate 10 and scale 0.1 besides 98.8 %; 6 epochs with crop 2 98.3 %, with all three "
        "98.1 %. With crop 1: 4 epochs 98.3 %, 3 epochs 98.1 %, 2 epochs 97.6 %. Never flip: a mirrored digit is no "
        "digit. (Then the mean colour came in where now the border is repeated.)",
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=RECIPES)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    config, graph = config_of(options.name), graph_of(options.name)
    data = load(options.name, graph.input_shape, validation=0)
    plain = Plain(graph, RECIPES[options.name].network, data, config)
    runs = []
    for seed in range(options.seeds):
        runs.append(Ours(graph, data, replace(config, seed=seed), None if seed else plain))
        print(f"seed {seed}: {runs[-1].clock}, {percent(runs[-1].accuracy)}", file=sys.stderr, flush=True)
    publish(f"Recipe: {options.name}", described(options.name, graph, config, data, runs, plain))


def config_of(name: str) -> Config:
    return read_config(HERE / "recipes" / f"{name}.json")


def graph_of(name: str) -> Graph:
    entry = DATASETS[name]
    return create_graph(RECIPES[name].network, num_classes=len(entry.classes)).with_input(entry.shape)


class Clock:
    """Laps, in seconds on the wall and of the processor."""

    def __init__(self) -> None:
        self.wall, self.cpu = list[float](), list[float]()
        self.start()

    def start(self) -> None:
        self._began = time.perf_counter(), time.process_time()

    def lap(self) -> None:
        self.wall.append(time.perf_counter() - self._began[0])
        self.cpu.append(time.process_time() - self._began[1])
        self.start()

    def __str__(self) -> str:
        return f"{sum(self.wall):.1f} s, {sum(self.cpu):.1f} CPU s"


class Ours(Callback):
    """A training with `foveal.fit`, and its test accuracy. After each of its epochs `plain` has a turn."""

    def __init__(self, graph: Graph, data: PictureSet, config: Config, plain: Plain | None) -> None:
        self.plain, self.clock = plain, Clock()
        fit(graph, data, config, callbacks=[self])
        self.accuracy = self.training.evaluate(data.test)[1]

    def begin(self, training: Training) -> None:
        self.training = training

    def after_epoch(self, training: Training) -> None:
        self.clock.lap()
        if self.plain:
            self.plain.epoch()
            self.clock.start()


class Plain:
    """The same with the loop that tutorials have."""

    def __init__(self, graph: Graph, network: str, data: PictureSet, config: Config) -> None:
        self.data, self.clock = data, Clock()
        self.module = build(graph)
        initialize(self.module, find_model(network).init, config.seed)
        self.loss = nn.CrossEntropyLoss(label_smoothing=config.label_smoothing)
        self.optimizer = torch.optim.SGD(
            self.module.parameters(), config.lr, config.momentum, weight_decay=config.weight_decay, nesterov=True
        )
        pictures = Augmented(self._normalised(data.train), torch.from_numpy(data.train.y), config.augment)
        self.loader = DataLoader(pictures, config.batch_size, shuffle=True)
        shape, steps = SCHEDULES[config.schedule], config.epochs * len(self.loader)
        self.schedule = LambdaLR(self.optimizer, lambda step: shape(step / steps))

    def epoch(self) -> None:
        self.clock.start()
        self.module.train()
        for x, y in self.loader:
            self.optimizer.zero_grad()
            self.loss(self.module(x), y).backward()
            self.optimizer.step()
            self.schedule.step()
        self.clock.lap()
        print(f"plain loop: {self.clock}", file=sys.stderr, flush=True)

    @torch.inference_mode()
    def accuracy(self) -> float:
        self.module.eval()
        logits = torch.cat([self.module(x) for x in self._normalised(self.data.test).split(500)])
        return float((logits.argmax(1) == torch.from_numpy(self.data.test.y)).double().mean())

    def _normalised(self, pictures: Pictures) -> Tensor:
        mean, std = (torch.tensor(each).float().view(-1, 1, 1) for each in (self.data.mean, self.data.std))
        return (torch.from_numpy(pictures.x).float() - mean) / std


class Augmented(Dataset[tuple[Tensor, Tensor]]):
    """Pictures, each moved and mirrored at random when it is its turn."""

    def __init__(self, x: Tensor, y: Tensor, augment: str) -> None:
        self.x, self.y = x, y
        words = {each.word: int(each.number or 0) for each in parse(augment)}
        self.flip, self.crop = "flip" in words, words.get("crop", 0)
        if left_out := words.keys() - {"flip", "crop"}:
            raise NotImplementedError(f"the plain loop does not {', '.join(left_out)}")

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, row: int) -> tuple[Tensor, Tensor]:
        x = self.x[row]
        if self.crop:
            _, height, width = x.shape
            top, left = random.randint(0, 2 * self.crop), random.randint(0, 2 * self.crop)
            x = F.pad(x, (self.crop,) * 4, mode="replicate")[:, top : top + height, left : left + width]
        if self.flip and random.random() < 0.5:
            x = x.flip(-1)
        return x, self.y[row]


def described(name: str, graph: Graph, config: Config, data: PictureSet, runs: list[Ours], plain: Plain) -> str:
    recipe, count = RECIPES[name], len(data.train) * config.epochs
    accuracies = [run.accuracy for run in runs]
    walls, cpus = [sum(run.clock.wall) for run in runs], [sum(run.clock.cpu) for run in runs]
    ours, theirs = runs[0].clock, plain.clock
    rows = [
        (
            "`foveal.fit`",
            spread(walls),
            spread(cpus),
            f"{count / statistics.median(cpus):,.0f}",
            "",
            "",
            f"{percents(student(accuracies, most=1))}; {', '.join(map(percent, accuracies))}",
        ),
        (
            "plain PyTorch loop",
            f"{sum(theirs.wall):.1f}",
            f"{sum(theirs.cpu):.1f}",
            f"{count / sum(theirs.cpu):,.0f}",
            spread(ratios(ours.wall, theirs.wall)),
            spread(ratios(ours.cpu, theirs.cpu)),
            percent(plain.accuracy()),
        ),
    ]
    header = (
        "",
        "seconds of training",
        "CPU seconds",
        "pictures a CPU second",
        "times ours, by epoch",
        "the same in CPU seconds",
        "test accuracy",
    )
    chosen = runs[0].training.choices
    parameters = sum(map(math.prod, graph.parameters().values()))
    settings = json.dumps(json.loads((HERE / "recipes" / f"{name}.json").read_text("utf-8")))
    return (
        f"`{recipe.network}`, {parameters:,} parameters: `{format(graph)}`\n\n"
        f"`recipes/{name}.json`: `{settings}`\n\n"
        f"Aim: {percent(recipe.target)} of {len(data.test):,} test pictures; {len(data.train):,} to train on. "
        f"Foveal computes {chosen.layout}, in {chosen.precision}; {plural(torch.get_num_threads(), 'thread')}, on a "
        f"machine of {os.cpu_count()} cores with a load of {os.getloadavg()[2]:.1f}, this included.\n\n"
        f"{table(header, rows)}\n\n{recipe.tried}"
    )


def percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def ratios(ours: list[float], theirs: list[float]) -> list[float]:
    return [b / a for a, b in zip(ours, theirs, strict=True)]


if __name__ == "__main__":
    main()
