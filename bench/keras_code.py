"""The Keras files that `foveal code` writes, run in Keras: shapes, parameter counts, and outputs with equal weights.

    python bench/keras_code.py [NETWORK ...] [--peers-python bench/peers/bin/python]

For every network of the zoo (or those named), the file is executed in the peers' environment (keras 3 and a backend).
The model is filled with random weights and its output compared with PyTorch's, which gets the same, in float64.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from common import PEERS_PYTHON, publish, run, table

SHAPES = {"conv": (2, 3, 1, 0), "depthwise": (2, 3, 0, 1), "dense": (1, 0), "norm": (0,), "scale": (0,),
          "offset": (1, 2, 0), "rbf": (0, 1)}  # fmt: skip
"""Axes of a PyTorch weight in the order of Keras's, for two spatial axes."""


def values(kind: str, number: int, shapes: list[tuple[int, ...]]) -> list[np.ndarray]:
    """Weights of the layer that is the `number`-th of its kind, in PyTorch's layout; the same in both processes."""
    rng = np.random.default_rng([number, *kind.encode()])
    arrays = []
    for i, shape in enumerate(shapes):
        array = rng.standard_normal(shape, np.float32)
        if kind in ("norm", "scale"):
            array = 1 + 0.1 * np.clip(array, -3, 3) if i in (0, 3) else 0.1 * array
        else:
            array *= math.sqrt(2 / math.prod(shape[1:])) if len(shape) > 1 else 0.1
        arrays.append(array.astype(np.float32))
    return arrays


def picture(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((1, *shape))


# Foveal's side


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", metavar="NETWORK")
    parser.add_argument("--peers-python", type=Path, default=PEERS_PYTHON)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        in_keras(Path(options.networks[0]))
        return

    from foveal.source import write_code
    from foveal.zoo import create_graph, list_models

    rows = []
    for name in options.networks or list_models():
        graph = create_graph(name)
        with tempfile.TemporaryDirectory(prefix="foveal-bench-") as folder:
            code = Path(folder) / f"{name}.py"
            code.write_text(write_code(graph, "keras"), "utf-8")
            environment = {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
            said = json.loads(run([options.peers_python, __file__, "--inside", code], **environment).output)
        rows.append(compared(graph, said))
        print(*rows[-1], file=sys.stderr)
    header = ("network", "lines", "shapes", "trainable", "moving statistics", "largest difference")
    same = sum("no" not in row for row in rows)
    note = (
        f"In {same} of {len(rows)} networks the shapes and counts that Keras reports are Foveal's; the last column is "
    )
    note += "the largest difference of the outputs, with the same weights, relative to the largest output."
    publish("The Keras files of `foveal code`, run in Keras", f"{note}\n\n{table(header, rows)}")
    if same < len(rows):
        sys.exit("a count or shape differs")


def compared(graph: Any, said: dict[str, Any]) -> tuple[str, ...]:
    """One row of the table."""
    trainable, fixed = (
        sum(math.prod(shape) for shape in group.values()) for group in (graph.parameters(), graph.buffers())
    )
    expected = in_torch(graph)
    outputs = [np.asarray(y) for y in said["outputs"]]
    same = [tuple(np.moveaxis(y, -1, 1).shape) for y in outputs] == [y.shape for y in expected]
    far = max(
        float(np.abs(np.moveaxis(y, -1, 1) - z).max() / np.abs(z).max()) if same else math.nan
        for y, z in zip(outputs, expected, strict=True)
    )
    return (
        graph.name,
        str(said["lines"]),
        "equal" if same else "no",
        f"{said['trainable']:,}" if said["trainable"] == trainable else "no",
        f"{said['fixed']:,}" if said["fixed"] == fixed else "no",
        f"{far:.0e}",
    )


def in_torch(graph: Any) -> list[np.ndarray]:
    """What PyTorch computes with `values` as weights."""
    import torch

    from foveal.build import build

    kinds = {"Conv": "conv", "Dense": "dense", "BatchNorm": "norm", "Scale": "scale", "Offset": "offset", "Rbf": "rbf"}
    counts: dict[str, int] = {}
    weights: dict[str, np.ndarray] = {}
    for node in graph.nodes:
        xs = graph.input_shapes(node)
        shapes = node.op.parameters(*xs) | node.op.buffers(*xs)
        if shapes:
            kind = kinds[type(node.op).__name__]
            kind = "depthwise" if kind == "conv" and 1 < node.op.groups == xs[0][0] else kind
            counts[kind] = counts.get(kind, -1) + 1
            arrays = values(kind, counts[kind], list(shapes.values()))
            weights |= {f"{node.name}.{key}": array for key, array in zip(shapes, arrays, strict=True)}
    with torch.inference_mode():
        y = build(graph, weights).double().eval()(torch.from_numpy(picture(graph.input_shape)))
    return [part.numpy() for part in (y if isinstance(y, tuple) else (y,))]


# Keras's side


def in_keras(code: Path) -> None:
    """Runs a file, fills its model with `values`, and prints what it is as JSON."""
    text = code.read_text("utf-8")
    import keras

    names: dict[str, Any] = {"__name__": "written"}
    keras.config.set_floatx("float64")  # random weights can blow up what float32 rounds away
    exec(compile(text, code.name, "exec"), names)
    model = names[code.stem]()
    layers: dict[str, list[Any]] = {}
    for layer in model.layers:
        if layer.weights:
            layers.setdefault(_kind(layer), []).append(layer)
    for kind, members in layers.items():
        for number, layer in enumerate(sorted(members, key=_made)):
            fill(layer, kind, number)
    y = model(np.moveaxis(picture((model.input_shape[-1], *model.input_shape[1:-1])), 1, -1), training=False)
    outputs = [np.asarray(part) for part in (y if isinstance(y, (list, tuple)) else [y])]
    counts = [
        sum(math.prod(w.shape) for w in group) for group in (model.trainable_weights, model.non_trainable_weights)
    ]
    said = {"trainable": counts[0], "fixed": counts[1], "lines": len(text.splitlines())}
    print(json.dumps(said | {"outputs": [y.tolist() for y in outputs]}))


def fill(layer: Any, kind: str, number: int) -> None:
    arrays = [np.asarray(weight) for weight in layer.get_weights()]
    back = np.argsort(SHAPES[kind])
    shapes = [tuple(np.transpose(a, back).shape) if a.ndim == len(back) else a.shape for a in arrays]
    made = values(kind, number, shapes)
    layer.set_weights([np.transpose(a, SHAPES[kind]) if a.ndim == len(back) else a for a in made])


def _kind(layer: Any) -> str:
    kinds = {"DepthwiseConv2D": "depthwise", "Conv2D": "conv", "Dense": "dense", "BatchNormalization": "norm",
             "Offset": "offset", "Rbf": "rbf"}  # fmt: skip
    return kinds.get(type(layer).__name__, "scale")


def _made(layer: Any) -> int:
    """Keras numbers the layers of each class as it makes them."""
    number = re.search(r"_(\d+)$", layer.name)
    return int(number[1]) if number else 0


if __name__ == "__main__":
    main()
