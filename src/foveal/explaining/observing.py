"""One picture through a network in PyTorch: every activation, and every gradient when asked for."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from foveal.build import build, graph_of, weights_of
from foveal.bundle import MAIN, Bundle, load_bundle
from foveal.checkpoints import load_pretrained
from foveal.classifier import Classifier
from foveal.data.decode import decode_image
from foveal.data.preprocess import Preprocessing
from foveal.errors import DataError, UnknownName, UsageError, WeightsError
from foveal.graph import INPUT, Graph
from foveal.published import classes
from foveal.text import printable
from foveal.weights import Weights


@dataclass(frozen=True)
class Subject:
    """A network with its weights, and how a picture goes into it.

    Attributes
    ----------
    weights : arrays under the names of `Graph.parameters` and `Graph.buffers`.
    preprocessing : None where the input must come as an array.
    classes : names in the order of the logits; empty where they have none.
    """

    graph: Graph
    weights: Weights
    preprocessing: Preprocessing | None = None
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, array in self.weights.items():
            if not np.isfinite(array).all():
                raise WeightsError(f"{name} holds values that are no numbers, so no sum can be opened; train again")

    def read(self, image: Any) -> tuple[np.ndarray, np.ndarray]:
        """The network's input, float32 without a batch axis, and that as a picture, uint8 (H, W, 3).

        Parameters
        ----------
        image : a picture's path, bytes, or pixels uint8 (H, W, 3); or the input itself, floats, an array or a tensor.

        Raises
        ------
        DataError : an array that is neither pixels nor an input, or a picture where the network says nothing of them.
        ImageError : a file that is no picture.
        """
        if isinstance(image, Tensor):
            image = image.detach().cpu().numpy()
        if isinstance(image, np.ndarray) and image.shape == self.graph.input_shape and image.dtype.kind == "f":
            if not np.isfinite(image).all():
                raise DataError("the input holds values that are no numbers, so no sum can be opened")
            return np.ascontiguousarray(image, np.float32), _drawn(image)
        pixels = image if isinstance(image, np.ndarray) else decode_image(image)
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
            raise DataError(
                f"an array of {pixels.dtype} {pixels.shape}; expected floats {self.graph.input_shape}, or pixels uint8 "
                "(height, width, 3)"
            )
        if self.preprocessing is None:
            raise DataError(
                f"{self.graph.name} does not say how a picture goes in; pass floats {self.graph.input_shape}"
            )
        square = self.preprocessing.square(pixels)
        return self.preprocessing(pixels), np.repeat(square, 3 // self.preprocessing.channels, axis=2)


def read_subject(model: Any, weights: str | os.PathLike[str] | None = None) -> Subject:
    """The network that `model` names or holds: a bundle or its folder, a pretrained zoo name, a module of `build`.

    `weights` : for a zoo name a local .pth or .safetensors file instead of the published weights.

    Raises
    ------
    UnknownName, UsageError, BundleError, WeightsError : nothing of the kind; or without weights.
    """
    if isinstance(model, Subject):
        return model
    if isinstance(model, (str, os.PathLike)):
        model = _named(os.fspath(model), weights)
    elif weights is not None:
        raise UsageError("weights from a file go with the name of a network of the zoo")
    if isinstance(model, Classifier):
        model = model.bundle
    if isinstance(model, Bundle):
        return Subject(model.graph, model.weights, model.preprocessing, model.classes)
    if isinstance(model, fx.GraphModule):
        prepared = model.meta.get("preprocessing"), model.meta.get("classes", ())
        return Subject(graph_of(model), weights_of(model), *prepared)
    if isinstance(model, Subject):
        return model
    raise UsageError(
        f"{type(model).__name__} cannot be opened; expected a bundle, a pretrained zoo name or a module of foveal.build"
    )


def _named(name: str, file: str | os.PathLike[str] | None) -> Bundle | Subject:
    folder = Path(name)
    if folder.is_dir() and file is None:
        return load_bundle(folder if (folder / MAIN).exists() else folder / "bundle")
    if folder.exists() or os.sep in name:
        raise UsageError(f"{printable(name)}: no folder of a bundle; expected one, or the name of a pretrained network")
    graph, weights, entry = load_pretrained(name, file=None if file is None else Path(file))
    return Subject(graph, weights, entry.preprocessing, classes() if _is_imagenet(graph) else ())


def _is_imagenet(graph: Graph) -> bool:
    return graph.shapes[graph.outputs[0]] == (len(classes()),)


class Observed:
    """A picture's pass through a network at inference.

    Attributes
    ----------
    x, picture : the input, float32 without a batch axis; and as a picture, uint8 (H, W, 3).
    values : by the name of each node, and ``"input"``: its activation, without a batch axis.

    Parameters
    ----------
    double : compute in float64; gradients are taken there, since in float32 gates near zero sit on the other side.
    """

    def __init__(self, subject: Subject, image: Any, *, double: bool = False) -> None:
        self.subject, self.graph = subject, subject.graph
        self.x, self.picture = subject.read(image)
        self._names = [node.name for node in self.graph.nodes]
        module = build(replace(self.graph, outputs=tuple(self._names)), subject.weights).eval()
        self._module = module.double() if double else module
        self._input = torch.from_numpy(self.x.astype(np.float64 if double else np.float32))[None].requires_grad_()
        self._tensors: dict[str, Tensor] = {INPUT: self._input} | dict(
            zip(self._names, _as_tuple(self._module(self._input)), strict=True)
        )
        self.values = {name: tensor.detach()[0].numpy() for name, tensor in self._tensors.items()}

    @cached_property
    def exact(self) -> Observed:
        """The same pass in float64."""
        return self if self.values[INPUT].dtype == np.float64 else Observed(self.subject, self.x, double=True)

    @property
    def logits(self) -> np.ndarray:
        return self.values[self.scores]

    @cached_property
    def scores(self) -> str:
        """The node of the logits: a softmax at the end is taken off."""
        last = self.graph.by_name[self.graph.outputs[0]]
        name = last.inputs[0] if type(last.op).__name__ in ("Softmax", "LogSoftmax") else last.name
        if len(self.graph.shapes[name]) != 1:
            raise UsageError(f"{name} gives a map, not one number a class; there is no logit to start from")
        return name

    def class_index(self, target: int | str | None) -> int:
        """The logit of a class by its name or number; the largest if None. UnknownName, UsageError if there is none."""
        count = len(self.logits)
        if target is None:
            return int(self.logits.argmax())
        if isinstance(target, str) and target in self.subject.classes:
            return self.subject.classes.index(target)
        if isinstance(target, str) and not target.isdecimal():
            raise UnknownName("class", target, self.subject.classes or map(str, range(count)))
        if not 0 <= int(target) < count:
            raise UsageError(f"class {target}: {self.graph.name} has the classes 0 to {count - 1}")
        return int(target)

    def class_name(self, index: int) -> str:
        return self.subject.classes[index] if len(self.subject.classes) == len(self.logits) else f"class {index}"

    def objective(self, values: Mapping[str, Tensor], target: int, loss: bool) -> Tensor:
        """The number whose gradient is asked for: the logit of `target`, or the cross-entropy for it as the label."""
        logits = values[self.scores][0]
        return -torch.log_softmax(logits, 0)[target] if loss else logits[target]

    def gradients(self, target: int, *, loss: bool = False, weight: str | None = None) -> dict[str, np.ndarray]:
        """The gradient of `objective` with respect to every activation, and to `weight` if named; one backward pass."""
        wanted = dict(self._tensors)
        if weight is not None:
            wanted[weight] = self._module.get_parameter(weight)
        goal = self.objective(self._tensors, target, loss)
        found = torch.autograd.grad(goal, [*wanted.values()], retain_graph=True, allow_unused=True)
        full = {
            name: (torch.zeros_like(tensor) if g is None else g).detach().numpy()
            for (name, tensor), g in zip(wanted.items(), found, strict=True)
        }
        return {name: g if name == weight else g[0] for name, g in full.items()}

    def probe(self, name: str, index: tuple[int, ...], by: float, target: int, *, loss: bool = False) -> float:
        """`objective` with one activation, or one weight, moved by `by`."""
        module = self._copy
        parameters = dict(module.named_parameters())
        with torch.no_grad():
            if name in parameters:
                parameters[name][index] += by
                values = _Moved(module, None, index, by).run(self._input)
                parameters[name][index] -= by
            else:
                moved = dict(zip([INPUT, *self._names], _steps(module), strict=True))[name]
                values = _Moved(module, moved, index, by).run(self._input)
            return float(self.objective(dict(zip(self._names, _as_tuple(values), strict=True)), target, loss))

    @cached_property
    def _copy(self) -> fx.GraphModule:
        """The module again: the weights of the first must stay as they were for its gradients."""
        return copy.deepcopy(self._module)


def _steps(module: fx.GraphModule) -> list[fx.Node]:
    """The steps of a module that give the input and each node's value."""
    steps = list(module.graph.nodes)
    results = steps[-1].args[0]
    return [steps[0], *(results if isinstance(results, tuple) else (results,))]


class _Moved(fx.Interpreter):
    """Runs a module with one value of one step's result moved."""

    def __init__(self, module: fx.GraphModule, step: fx.Node | None, index: tuple[int, ...], by: float) -> None:
        super().__init__(module)
        self.step, self.index, self.by = step, index, by

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if n is self.step:
            result = result.clone()
            result[(0, *self.index)] += self.by
        return result


def _drawn(x: np.ndarray) -> np.ndarray:
    """An input that is no picture, drawn from its least to its most: the first channel in grey, or three as colours."""
    if x.ndim != 3:
        return np.zeros((1, 1, 3), np.uint8)
    shown = x if len(x) == 3 else np.repeat(x[:1], 3, 0)
    low, high = float(shown.min()), float(shown.max())
    return np.rint(255 * (shown - low) / ((high - low) or 1)).astype(np.uint8).transpose(1, 2, 0)


def _as_tuple(values: Any) -> tuple[Tensor, ...]:
    return values if isinstance(values, tuple) else (values,)
