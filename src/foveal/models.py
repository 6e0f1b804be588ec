"""Networks of the zoo as PyTorch modules, with weights: drawn as the paper has it, published, or from a file."""

from __future__ import annotations

import contextlib
import itertools
from pathlib import Path

import numpy as np
import torch
from torch import fx

from foveal.build import unfilled
from foveal.checkpoints import load_file, load_pretrained
from foveal.errors import UsageError, WeightsError
from foveal.fetching import Progress
from foveal.graph import Graph
from foveal.initializing import initialize
from foveal.shapes import Shape, text
from foveal.zoo import create_graph, find_model

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
    - ``head=None``: those of the head are left out.
    - Other `in_channels`: in every convolution that reads the picture, one channel has the sum of the weights of the
      published three; n channels repeat those in turn, times 3 / n, so that sums keep their size.

    Raises
    ------
    UnknownName : no such network, or no such weights; the nearest names are listed.
    WeightsError : weights that are missing, damaged or do not fit; the message says what differs.
    ShapeError, GraphError, UsageError : options that make no network.
    """
    graph = create_graph(name, num_classes=num_classes, in_channels=in_channels, input_shape=input_shape, head=head)
    init = find_model(name).init
    if weights is None:
        module = unfilled(graph)
        initialize(module, init, seed)
        return module
    arrays = _fitted(graph, _read(weights, graph, num_classes, progress), num_classes)
    module = unfilled(graph)
    initialize(module, init, seed, only=module.state_dict().keys() - arrays.keys())
    module.load_state_dict({key: torch.from_numpy(array) for key, array in arrays.items()}, strict=False)
    return module


def _read(
    weights: str | Path, graph: Graph, num_classes: int | None, progress: Progress | None
) -> dict[str, np.ndarray]:
    """The weights named by `weights`, or in that file, complete for some form of the network."""
    if isinstance(weights, str) and not weights.endswith(_FILES):
        return load_pretrained(graph.name, weights, progress=progress)[1]
    if not isinstance(weights, (str, Path)):
        raise UsageError(f"weights = {weights!r:.80}; expected a name such as 'imagenet', a file, or None")
    kinds = itertools.product((num_classes, None), (graph.input_shape[0], None))
    forms = (create_graph(graph.name, num_classes=classes, in_channels=channels) for classes, channels in kinds)
    *others, published = dict.fromkeys((graph, *forms))
    for form in others:
        with contextlib.suppress(WeightsError):
            return load_file(weights, graph.name, form)
    return load_file(weights, graph.name, published)


def _fitted(graph: Graph, arrays: dict[str, np.ndarray], num_classes: int | None) -> dict[str, np.ndarray]:
    """Those of `arrays` that `graph` takes, its first layers adapted, without those that depend on other classes."""
    published = create_graph(graph.name)
    of_classes = _differing(published, create_graph(graph.name, num_classes=num_classes))
    of_channels = _differing(published, create_graph(graph.name, in_channels=graph.input_shape[0]))
    fitted = {}
    for name, shape in _tensors(graph).items():
        array = arrays[name]
        if array.shape == shape:
            fitted[name] = array
        elif name in of_channels and array.ndim > 2:
            fitted[name] = _with_channels(array, shape[1])
        elif name not in of_classes:
            raise WeightsError(
                f"{graph.name}: {name} has shape {array.shape}, expected {shape} for pictures of "
                f"{text(graph.input_shape)}; the weights are for {text(published.input_shape)}"
            )
    return fitted


def _with_channels(weight: np.ndarray, channels: int) -> np.ndarray:
    """A convolution's weight (out, in, ...) for pictures of other channels; see `create_model`."""
    theirs = weight.shape[1]
    adapted: np.ndarray = weight[:, np.arange(channels) % theirs] * np.float32(theirs / channels)
    return adapted if channels > 1 else weight.sum(axis=1, keepdims=True, dtype=np.float32)


def _tensors(graph: Graph) -> dict[str, Shape]:
    return graph.parameters() | graph.buffers()


def _differing(graph: Graph, other: Graph) -> set[str]:
    """Names of the tensors that have another shape in `other`."""
    shapes = _tensors(other)
    return {name for name, shape in _tensors(graph).items() if shapes[name] != shape}
