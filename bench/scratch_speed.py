"""Training from scratch: seconds an epoch of `foveal.fit`, Keras on TensorFlow, and the plain PyTorch loop.

    python bench/scratch_speed.py [--rounds 3] [--only lectures 100k resnet18] [--idx /usr/share/datasets/fashion-mnist]

Every contender is a process of its own, which trains an epoch when it is its turn: all in every round, each round
beginning with another one. The first round warms up and is not counted. Ratios are taken round by round. All train with
Adam, 0.001, batches of 128, the same pictures for the same number of epochs, and are then tested on the same 10,000:
one run each, which another seed may put a point higher or lower. On a machine that others use, start it by `chrt -r 1`.

- The plain loop is a `DataLoader` over tensors in float32, shuffled, without and with two worker processes, `Adam`, and
  the network as `foveal code` writes it. On small networks its time depends on whether glibc happens to keep the memory
  that a step frees (see `foveal.training.allocating`): from one process to the next an epoch may take twice as long.
  So it runs once more with glibc told to keep it, by environment variables that hardly anybody sets.
- Keras is `fit` on arrays in memory, with `jit_compile` as it is by default, and off, which is quicker; on it takes up
  to three times as long.

ResNet-18 (the zoo's for CIFAR) has 32x32x3 pictures of random bytes, since no others are here: it is for speed alone.
"""

from __future__ import annotations

import argparse
import os
import runpy
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from common import PEERS_PYTHON, publish, spread, table

CASES = {
    "lectures": "28x28x1 > conv 28 3x3 relu > maxpool 3 > flatten > dense 16 relu > dense 10",
    "100k": "28x28x1 > conv 16 3x3 same > bn > relu > maxpool 2 > conv 32 3x3 same > bn > relu > maxpool 2 > "
    "conv 64 3x3 same > bn > relu > maxpool 2 > flatten > dense 128 relu > dense 10",
    "resnet18": "resnet18_cifar",
}
CONTENDERS = {
    "foveal": "`foveal.fit`",
    "loader 0": "plain PyTorch loop",
    "loader 0 kept": "plain PyTorch loop, memory kept",
    "loader 2": "plain PyTorch loop, two workers",
    "keras auto": "Keras",
    "keras off": "Keras, `jit_compile=False`",
}
KEPT = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1)}  # see mallopt(3)
BATCH, RATE = 128, 0.001
RANDOM_PICTURES = 640


# The parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--against", nargs="+", choices=list(CONTENDERS)[1:], default=list(CONTENDERS)[1:])
    parser.add_argument("--idx", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--peers-python", type=Path, default=PEERS_PYTHON)
    parser.add_argument("--inside", nargs=3, metavar=("CONTENDER", "CASE", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        contender, case, folder = options.inside
        compete(contender, case, Path(folder), 1 + options.rounds)
        return
    parts = []
    for case in options.only:
        with tempfile.TemporaryDirectory(prefix="foveal-bench-") as name:
            write_case(case, Path(name), options.idx)
            parts.append(compared(case, Path(name), options))
    publish("Training from scratch: seconds an epoch", "\n\n".join(parts))


def write_case(case: str, folder: Path, idx: Path) -> None:
    """The pictures and the network's source, for every contender."""
    from fashion_mnist import read

    from foveal.source import write_code

    if case == "resnet18":
        draw = np.random.default_rng(0)
        x = draw.integers(0, 256, (RANDOM_PICTURES, 3, 32, 32), np.uint8)
        parts = {"train-x": x, "train-y": np.arange(len(x)) % 10, "test-x": x[:100], "test-y": np.arange(100) % 10}
    else:
        names = {"train": "train", "test": "t10k"}
        parts = {f"{part}-x": read(idx, f"{name}-images")[:, None] for part, name in names.items()}
        parts |= {f"{part}-y": read(idx, f"{name}-labels").astype(np.int64) for part, name in names.items()}
    for name, array in parts.items():
        np.save(folder / f"{name}.npy", array)
    (folder / "network.py").write_text(write_code(graph_of(case)), "utf-8")


def graph_of(case: str) -> Any:
    from foveal.notation import parse
    from foveal.zoo import create_graph

    if case == "resnet18":
        return create_graph(CASES[case])
    return parse(CASES[case])


class Contender:
    """A process that trains an epoch when told to."""

    def __init__(self, name: str, case: str, folder: Path, options: argparse.Namespace) -> None:
        python = options.peers_python if name.startswith("keras") else Path(sys.executable)
        command = [python, __file__, "--rounds", str(options.rounds), "--inside", name, case, folder]
        environment = os.environ | {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
        environment |= KEPT if name.endswith("kept") else {}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.name, self.seconds = name, list[float]()
        self.notes = self._heard()

    def epoch(self) -> None:
        began = time.perf_counter()
        self._told("epoch")
        self.seconds.append(time.perf_counter() - began)
        print(f"{self.name}: {self.seconds[-1]:.2f} s", file=sys.stderr, flush=True)

    def tested(self) -> float:
        right = float(self._told("test"))
        self.process.wait()
        return right

    def _told(self, word: str) -> str:
        assert self.process.stdin is not None
        print(word, file=self.process.stdin, flush=True)
        return self._heard()

    def _heard(self) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("@"):
                return line[1:].strip()
        sys.exit(f"stopped: {self.name} ended")


def compared(case: str, folder: Path, options: argparse.Namespace) -> str:
    names = [name for name in ("foveal", *options.against) if case != "resnet18" or not name.startswith("keras")]
    if not options.peers_python.exists():
        print(f"no peers' environment at {options.peers_python}: Keras left out (see bench/README.md)")
        names = [name for name in names if not name.startswith("keras")]
    contenders = [Contender(name, case, folder, options) for name in names]
    for number in range(1 + options.rounds):
        start = number % len(contenders)
        for contender in (*contenders[start:], *contenders[:start]):
            contender.epoch()
    return described(case, contenders, len(np.load(folder / "train-y.npy")))


def described(case: str, contenders: list[Contender], pictures: int) -> str:
    ours = contenders[0].seconds[1:]
    rows = []
    for contender in contenders:
        seconds, right = contender.seconds[1:], contender.tested()
        ratios = [theirs / mine for theirs, mine in zip(seconds, ours, strict=True)]
        rows.append(
            (
                CONTENDERS[contender.name],
                spread(seconds, 2),
                f"{pictures / statistics.median(seconds):,.0f}",
                "" if contender is contenders[0] else spread(ratios, 2),
                *([] if case == "resnet18" else [f"{100 * right:.2f} %"]),
            )
        )
    header = ("", "seconds an epoch", "pictures a second", "times ours", "test accuracy")[: len(rows[0])]
    parameters = sum(int(np.prod(shape)) for shape in graph_of(case).parameters().values())
    what = f"{pictures:,} pictures, {len(ours)} rounds after one to warm up"
    return f"`{CASES[case]}`: {parameters:,} parameters, {what}. {contenders[0].notes}\n\n{table(header, rows)}"


# The contenders


def compete(name: str, case: str, folder: Path, epochs: int) -> None:
    arrays = {path.stem: np.load(path) for path in folder.glob("*.npy")}
    kind, _, option = name.partition(" ")
    if kind == "foveal":
        foveal_fit(case, arrays, epochs)
        return
    trained, tested = (keras_fit if kind == "keras" else plain_loop)(case, arrays, option, folder)
    say("")
    for _ in range(epochs):
        hear()
        next(trained)
        say("")
    hear()
    say(str(tested()))


def say(words: str) -> None:
    print(f"@{words}", flush=True)


def hear() -> None:
    sys.stdin.readline()


def foveal_fit(case: str, arrays: dict[str, np.ndarray], epochs: int) -> None:
    from foveal.datasets.pictures import Pictures, PictureSet
    from foveal.training.callbacks import Callback
    from foveal.training.config import Config
    from foveal.training.loop import fit
    from foveal.training.state import Training

    class Turns(Callback):
        def begin(self, training: Training) -> None:
            self.training = training
            took = time.perf_counter() - began
            choices = training.choices
            say(f"Foveal computes {choices.layout}, in {choices.precision}; it took {took:.1f} s to find that out.")
            hear()

        def after_epoch(self, training: Training) -> None:
            say("")
            if training.epoch < epochs:
                hear()

    train, test = (Pictures(arrays[f"{part}-x"], arrays[f"{part}-y"]) for part in ("train", "test"))
    classes = tuple(f"class {i}" for i in range(10))
    data = PictureSet(case, classes, train, train[:0], test, "bench")
    config = Config(epochs=epochs, batch_size=BATCH, optimizer="adam", lr=RATE, weight_decay=0.0, schedule="constant")
    turns, began = Turns(), time.perf_counter()
    fit(graph_of(case), data, config, callbacks=[turns])
    hear()
    say(str(turns.training.evaluate(test)[1]))


def plain_loop(
    case: str, arrays: dict[str, np.ndarray], workers: str, folder: Path
) -> tuple[Iterator[None], Callable[[], float]]:
    import torch
    from torch.nn.functional import cross_entropy
    from torch.utils.data import DataLoader, TensorDataset

    source = runpy.run_path(str(folder / "network.py"))
    model = [made for made in source.values() if isinstance(made, type) and made.__module__ == "<run_path>"][-1]()
    optimizer = torch.optim.Adam(model.parameters(), RATE)
    mean, std = arrays["train-x"].mean(), arrays["train-x"].std()

    def tensors(part: str) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.from_numpy((arrays[f"{part}-x"] - mean) / std).float(), torch.from_numpy(arrays[f"{part}-y"])

    loader = DataLoader(TensorDataset(*tensors("train")), BATCH, shuffle=True, num_workers=int(workers.split()[0]))

    def trained() -> Iterator[None]:
        while True:
            model.train()
            for x, y in loader:
                optimizer.zero_grad()
                cross_entropy(model(x), y).backward()
                optimizer.step()
            yield

    def tested() -> float:
        x, y = tensors("test")
        with torch.inference_mode():
            return float((model.eval()(x).argmax(1) == y).double().mean())

    return trained(), tested


def keras_fit(
    case: str, arrays: dict[str, np.ndarray], jit: str, folder: Path
) -> tuple[Iterator[None], Callable[[], float]]:
    import keras
    from keras import layers

    def block(filters: int) -> list[Any]:
        conv = layers.Conv2D(filters, 3, padding="same")
        return [conv, layers.BatchNormalization(), layers.ReLU(), layers.MaxPooling2D(2)]

    lectures = [layers.Conv2D(28, 3, activation="relu"), layers.MaxPooling2D(3)]
    body, width = (lectures, 16) if case == "lectures" else ([*block(16), *block(32), *block(64)], 128)
    head = [layers.Flatten(), layers.Dense(width, activation="relu"), layers.Dense(10)]
    model = keras.Sequential([keras.Input((28, 28, 1)), *body, *head])
    model.compile(
        keras.optimizers.Adam(RATE),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile="auto" if jit == "auto" else False,
    )
    mean, std = arrays["train-x"].mean(), arrays["train-x"].std()

    def pictures(part: str) -> np.ndarray:
        return ((arrays[f"{part}-x"] - mean) / std).astype(np.float32).transpose(0, 2, 3, 1)

    x, y = np.ascontiguousarray(pictures("train")), arrays["train-y"]

    def trained() -> Iterator[None]:
        while True:
            model.fit(x, y, batch_size=BATCH, verbose=0)
            yield

    return trained(), lambda: model.evaluate(pictures("test"), arrays["test-y"], verbose=0)[1]


if __name__ == "__main__":
    main()
