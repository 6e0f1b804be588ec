"""Small networks trained from scratch on Fashion-MNIST, each for as many CPU seconds: which is the most accurate?

    python bench/tiny_nets.py [--seconds 30] [--seeds 3] [--shape 1 28 28] [--only NAME ...] [--idx FOLDER] [--choose]

One thread, and the clock is the processor's. Every network gets the same training: cross-entropy, SGD with Nesterov
momentum, batches of 128, a rate that rises and falls linearly as the seconds pass, no augmentation. The seed draws the
weights and the order of the pictures. Testing is off the clock. Networks that cannot take 28x28 get the pictures padded
to 32x32; in colour, three equal channels. The names that no network of the zoo bears are variants of `tiny_resnet`.

`--choose` holds out the last 10,000 training pictures and scores on those, so that choosing leaves the test pictures
unseen; it writes nothing. Else a section of RESULTS.md is written.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from common import publish, table
from fashion_mnist import read
from torch import Tensor, nn
from torch.fx import GraphModule

from foveal.blocks import Block, basic, conv_bn, depthwise_separable, pooled_head, squeeze_excite, staged
from foveal.build import build
from foveal.errors import ShapeError
from foveal.graph import Builder, Graph
from foveal.initializing import initialize
from foveal.metrics import wilson
from foveal.ops import MaxPool, Relu
from foveal.shapes import Shape
from foveal.zoo import create_graph, find_model
from foveal.zoo.tiny import INIT, halved, inverted

BATCH, RATE, RISE = 128, 0.2, 0.25
MEAN, DEVIATION = 72.9, 90.0  # of the training pictures' bytes
TESTED = 10_000


def variant(
    net: Builder, *blocks: Block | None, channels: tuple[int, ...] = (16, 32, 64), half: Callable[..., str] = halved
) -> str:
    """A network like `tiny_resnet`, with a block, or none, after each halving."""
    x = net.input(1, 28, 28)
    for stage, (width, block) in enumerate(zip(channels, blocks, strict=True), start=1):
        with net.scope(f"stage{stage}"):
            x = half(net, x, width)
        if block:
            with net.scope(f"stage{stage}.block"):
                x = block(net, x, width, 1)
    return pooled_head(net, x, 10)


def pooled_last(net: Builder, x: str, channels: int) -> str:
    return net(MaxPool(2), conv_bn(net, x, channels, 3, activation=Relu()), name="pool")


def gated(net: Builder, x: str, channels: int, stride: int) -> str:
    return squeeze_excite(net, x, channels // 4)


def separable(net: Builder, x: str, channels: int, stride: int) -> str:
    return depthwise_separable(net, x, channels, stride, Relu())


def resnet8(net: Builder) -> str:
    """He et al. (2015), section 4.2, with n = 1 and projections."""
    x = net.input(1, 28, 28)
    with net.scope("stem"):
        x = conv_bn(net, x, 16, 3, activation=Relu())
    return pooled_head(net, staged(net, x, basic, (1, 1, 1), (16, 32, 64)), 10)


VARIANTS: dict[str, Callable[[Builder], str]] = {
    "no block": lambda net: variant(net, None, None, None),
    "block in stages 2 and 3": lambda net: variant(net, None, basic, basic),
    "separable block": lambda net: variant(net, None, None, separable),
    "inverted block in stages 2 and 3": lambda net: variant(net, None, inverted, inverted),
    "squeeze-excite last": lambda net: variant(net, None, None, gated),
    "channels 24, 48, 96": lambda net: variant(net, None, None, basic, channels=(24, 48, 96)),
    "pooling after the norm": lambda net: variant(net, None, None, basic, half=pooled_last),
    "ResNet-8, stride for pooling": resnet8,
}
NETWORKS = ("tiny_resnet", "micro_mobilenet", "lenet5", "resnet20", "mobilenet_v2_x0_35", *VARIANTS)


class Pictures(NamedTuple):
    x: Tensor  # (N, 1, 28, 28) bytes
    y: Tensor

    def part(self, at: Tensor | slice) -> Pictures:
        return Pictures(self.x[at], self.y[at])


class Result(NamedTuple):
    correct: int
    seen: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--shape", type=int, nargs=3, default=(1, 28, 28), metavar=("CHANNELS", "HEIGHT", "WIDTH"))
    parser.add_argument("--only", nargs="+", default=NETWORKS, metavar="NAME")
    parser.add_argument("--rate", type=float, default=RATE)
    parser.add_argument("--choose", action="store_true")
    parser.add_argument("--idx", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    train, test = pictures(options.idx, "train"), pictures(options.idx, "t10k")
    if options.choose:
        train, test = train.part(slice(None, -TESTED)), train.part(slice(-TESTED, None))
    graphs = {name: graph(name, tuple(options.shape)) for name in options.only}
    results: dict[str, list[Result]] = {name: [] for name in graphs}
    for seed in range(options.seeds):
        for name in graphs:  # in turn, so that a busy hour of the machine meets all of them
            results[name].append(trained(name, graphs[name], train, test, options, seed))
            print(f"{name}, seed {seed}:", *results[name][-1], file=sys.stderr, flush=True)
    text = described(graphs, results, options.seconds)
    if options.choose:
        print(text)
    else:
        publish(f"Small networks: {'x'.join(map(str, options.shape))}", text)


def graph(name: str, shape: Shape) -> Graph:
    """The network for 10 classes at `shape`, or where that is too small for it at 32x32."""
    made = create_graph(name, num_classes=10) if name not in VARIANTS else _authored(name)
    try:
        return made.with_input(shape)
    except ShapeError:
        return made.with_input((shape[0], 32, 32))


def _authored(name: str) -> Graph:
    net = Builder("variant")
    return net.graph(VARIANTS[name](net))


def pictures(folder: Path, split: str) -> Pictures:
    x, y = (torch.from_numpy(read(folder, f"{split}-{kind}").copy()) for kind in ("images", "labels"))
    return Pictures(x[:, None], y.long())


def ready(x: Tensor, shape: Shape) -> Tensor:
    """Bytes as a network of input `shape` takes them: normalised, padded with black, in its channels."""
    high, wide = ((size - 28) // 2 for size in shape[1:])
    x = nn.functional.pad((x.float() - MEAN) / DEVIATION, (wide, wide, high, high), value=-MEAN / DEVIATION)
    return x.expand(-1, shape[0], -1, -1).contiguous(memory_format=torch.channels_last)


def trained(name: str, graph: Graph, train: Pictures, test: Pictures, options: argparse.Namespace, seed: int) -> Result:
    """How many of `test` a network has right that was trained for `options.seconds`, and how many pictures it saw."""
    torch.manual_seed(seed)
    module = build(graph)
    initialize(module, INIT if name in VARIANTS else find_model(name).init)
    module = module.to(memory_format=torch.channels_last).train()
    update = torch.optim.SGD(module.parameters(), momentum=0.9, weight_decay=5e-4, nesterov=True)
    order, seen = torch.randperm(len(train.y)), 0
    began = time.process_time()
    while (done := (time.process_time() - began) / options.seconds) < 1:
        if len(order) < BATCH:
            order = torch.randperm(len(train.y))
        batch, order = train.part(order[:BATCH]), order[BATCH:]
        update.param_groups[0]["lr"] = options.rate * min(done / RISE, (1 - done) / (1 - RISE))
        update.zero_grad()
        nn.functional.cross_entropy(module(ready(batch.x, graph.input_shape)), batch.y).backward()
        update.step()
        seen += BATCH
    return Result(correct(module, graph, test), seen)


@torch.inference_mode()
def correct(module: GraphModule, graph: Graph, test: Pictures) -> int:
    module.eval()
    return sum(
        int((module(ready(x, graph.input_shape)).argmax(1) == y).sum())
        for x, y in zip(test.x.split(500), test.y.split(500), strict=True)
    )


def described(graphs: dict[str, Graph], results: dict[str, list[Result]], seconds: float) -> str:
    """The table, the most accurate network first, and what was measured."""
    rows = []
    for name in sorted(graphs, key=lambda name: -statistics.median_low(result.correct for result in results[name])):
        graph, scores = graphs[name], sorted(result.correct for result in results[name])
        middle = statistics.median_low(scores)
        low, high = (f"{100 * share:.1f}" for share in wilson(middle, TESTED))
        parameters = sum(map(math.prod, graph.parameters().values()))
        speed = statistics.median(result.seen for result in results[name]) / seconds
        accuracy = f"{middle / TESTED * 100:.2f} % ({middle:,}/{TESTED:,}; 95 %: {low}-{high})"
        spread = " to ".join(f"{score / TESTED * 100:.2f}" for score in (scores[0], scores[-1]))
        rows.append((name, f"{parameters:,}", f"{graph.macs() / 1e6:.2f}", f"{speed:,.0f}", accuracy, spread))
    header = ("network", "parameters", "million MACs", "pictures a CPU second", "accuracy", "least to greatest")
    seeds = len(next(iter(results.values())))
    note = f"Fashion-MNIST, {seconds:g} CPU seconds of training on one thread; runs: {seeds}, the median is given. "
    note += "Names that no network of the zoo bears are variants of `tiny_resnet`."
    return f"{note}\n\n{table(header, rows)}"


if __name__ == "__main__":
    main()
