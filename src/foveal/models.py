"""Networks of the zoo as PyTorch modules, with weights: drawn as the paper has it, published, or from a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import fx

from foveal.build import unfilled
from foveal.checkpoints import differing, load_file, load_pretrained, tensors
from foveal.errors import UsageError, WeightsError
from foveal.fetching import Progress
from foveal.graph import Graph
from foveal.initializing import initialize
from foveal.published import PRETRAINED, Pretrained, classes
from foveal.published.others import LOCAL
from foveal.shapes import Shape, text
from foveal.text import printable
from foveal.zoo import create_graph, find_model, with_channels

_FILES = (".safetensors", ".pth", ".pt")


def create_model(
    name: str,
    *,
    num_classes: int | None = None,
    in_channels: int | None = None,
    input_shape: Shape | None = None,
    head: str | None = "classes",
    weights: str | Path | None = None,
    seed: int | None = None,
    progress: Progress | None = None,
) -> fx.GraphModule:
    """The network called `name`, ready to train: a module of PyTorch as `foveal.build.build` makes it.

    Parameters
    ----------
    num_classes, in_channels, input_shape, head : as `foveal.create_graph` has them.
    weights : None for weights drawn as the network's paper has it; a name, such as ``"imagenet"``, for published ones;
        or a .safetensors or .pth file, with our names of the tensors or a publisher's.
    seed : of what is drawn (`foveal.initializing.initialize`).
    progress : called while published weights are fetched.

    Weights that were made for another network of that name fit as follows; where there is no rule, there is an error.

    - Other `num_classes`: the tensors whose shapes depend on it, those of the last layers, are drawn; all others are
      loaded. Of a file this holds where it has the published number of classes; one of a third number is refused.
    - ``head=None``: those of the head are left out, of whatever number of classes.
    - Other `in_channels`: in every convolution that reads the picture, one channel has the sum of the weights of the
      published three; n channels repeat those in turn, times 3 / n, so that sums keep their size.

    Where it is known, ``module.meta`` has under ``"preprocessing"`` how a picture goes in, and under ``"classes"`` the
    names of the outputs.

    Raises
    ------
    UnknownName : no such network, or no such weights; the nearest names are listed.
    WeightsError : weights that are missing, damaged or do not fit; the message says what differs.
    ShapeError, GraphError, UsageError : options that make no network.
    """
    graph = create_graph(name, num_classes=num_classes, in_channels=in_channels, input_shape=input_shape, head=head)
    module = unfilled(graph)
    init = find_model(name).init
    if weights is None:
        initialize(module, init, seed)
        return module
    form, loaded, entry = _read(weights, name, graph, bool(head), progress)
    if head:
        _check_classes(weights, form, graph, num_classes)
    arrays = _fitted(graph, form, loaded, num_classes)
    initialize(module, init, seed, only=module.state_dict().keys() - arrays.keys())
    module.load_state_dict({key: torch.from_numpy(array) for key, array in arrays.items()}, strict=False)
    module.meta |= _pictures(graph, entry, whole=arrays.keys() >= tensors(graph).keys())
    return module


def _read(
    weights: str | Path, name: str, graph: Graph, head: bool, progress: Progress | None
) -> tuple[Graph, dict[str, np.ndarray], Pretrained]:
    """The weights named by `weights`, or in that file, and the form of the network that they are for."""
    if not isinstance(weights, (str, Path)):
        raise UsageError(f"weights = {weights!r:.80}; expected a name such as 'imagenet', a file, or None")
    if isinstance(weights, str) and not weights.endswith(_FILES):
        return load_pretrained(name, weights, progress=progress)
    return load_file(weights, name, input_shape=graph.input_shape, head=head)


def _check_classes(weights: str | Path, form: Graph, graph: Graph, num_classes: int | None) -> None:
    """WeightsError for weights of other classes than those of `graph` or the published ones."""
    theirs, ours, published = (_outputs(each) for each in (form, graph, create_graph(graph.name)))
    if theirs not in (ours, published):
        wanted = f"you asked for {ours:,} ({published:,} are published)" if num_classes else f"not {ours:,}"
        raise WeightsError(
            f"{printable(weights)}: these are for {theirs:,} classes, {wanted}: create the network with "
            f"num_classes={theirs}, or with head=None for features"
        )


def _outputs(graph: Graph) -> int:
    return graph.shapes[graph.outputs[0]][0]


def _pictures(graph: Graph, entry: Pretrained, whole: bool) -> dict[str, Any]:
    """How pictures go in and what the outputs mean, for ``module.meta``, where it is known.

    `whole` : no weights were drawn, so that the outputs are the published classes.
    """
    if not any(known.model == graph.name for known in (*PRETRAINED.values(), *LOCAL)):
        return {}
    known: dict[str, Any] = {}
    channels, *sizes = graph.input_shape
    if channels == 3 and len(set(sizes)) == 1:
        known["preprocessing"] = replace(entry.preprocessing, size=sizes[0])
    if whole and graph.shapes[graph.outputs[0]] == (len(classes()),):
        known["classes"] = classes()
    return known


def _fitted(graph: Graph, form: Graph, arrays: dict[str, np.ndarray], num_classes: int | None) -> dict[str, np.ndarray]:
    """Those of `arrays`, which are for `form`, that `graph` takes: its first layers adapted, without those that depend
    on other classes."""
    published = create_graph(graph.name)
    of_classes = differing(published, create_graph(graph.name, num_classes=num_classes))
    of_channels = differing(published, with_channels(published, 2 * published.input_shape[0]))
    fitted = {}
    for name, shape in tensors(graph).items():
        array = arrays[name]
        if array.shape == shape:
            fitted[name] = array
        elif name in of_channels and array.ndim > 2:
            fitted[name] = _with_channels(array, shape[1])
        elif name not in of_classes:
            raise WeightsError(
                f"{graph.name}: {name} has shape {array.shape}, expected {shape} for pictures of "
                f"{text(graph.input_shape)}; the weights are for {text(form.input_shape)}"
            )
    return fitted


def _with_channels(weight: np.ndarray, channels: int) -> np.ndarray:
    """A convolution's weight (out, in, ...) for pictures of other channels; see `create_model`."""
    theirs = weight.shape[1]
    adapted: np.ndarray = weight[:, np.arange(channels) % theirs] * np.float32(theirs / channels)
    return adapted if channels > 1 else weight.sum(axis=1, keepdims=True, dtype=np.float32)
