"""From recorded steps to a graph: node names that are module paths, and the notes on what is missing."""

from __future__ import annotations

import keyword
import math
import re
from collections.abc import Collection, Iterable, Sequence

from foveal.graph import INPUT, RESERVED, Graph, Node
from foveal.ops import Opaque
from foveal.text import plural, printable
from foveal.tracing import Traced
from foveal.tracing.recorder import SOURCE, Recorder, Step, label_of

_DEEPEST = 14  # parts of a path that a name keeps apart; names have at most 16
_LONGEST = 56  # letters of a part, a number may follow; names have at most 64


def finished(
    recorder: Recorder, name: str, outputs: Sequence[int], paths: Collection[str], frozen: Collection[str]
) -> Traced:
    """The network as recorded.

    Parameters
    ----------
    outputs : numbers of the steps that the network returns.
    paths : of all its modules; a numbered name is none of these.
    frozen : the source's names of parameters that are not trained.
    """
    recorder.simplify(outputs)
    kept = [i for i, step in enumerate(recorder.steps) if not step.gone]
    names = _names({i: recorder.steps[i] for i in kept}, paths)
    nodes, modules = [], {}
    parameters_of: dict[str, str] = {}
    for i in kept:
        step = recorder.steps[i]
        owner = None if step.owner is None else names[step.owner]
        nodes.append(Node(names[i], step.op, tuple(names[j] for j in step.inputs), owner))
        modules[names[i]] = step.place.path
        if owner is None:
            parameters_of |= {f"{names[i]}.{key}": source for key, source in step.names.items()}
    graph = Graph(_word(name), recorder.input_shape, tuple(nodes), tuple(dict.fromkeys(names[i] for i in outputs)))
    unread = [source for source in recorder.parameters if source not in recorder.owners]
    _check_total(graph, recorder, unread)
    return Traced(
        graph,
        frozenset(own for own, source in parameters_of.items() if source in frozen),
        modules,
        parameters_of,
        (*_opaque_notes([(names[i], recorder.steps[i]) for i in kept]), *_unread_notes(unread, recorder)),
    )


def _check_total(graph: Graph, recorder: Recorder, unread: Iterable[str]) -> None:
    counted = sum(math.prod(shape) for shape in graph.parameters().values())
    left = sum(math.prod(recorder.parameters[name]) for name in unread)
    total = sum(math.prod(shape) for shape in recorder.parameters.values())
    assert counted + left == total, f"{graph.name}: counted {counted} and left {left} of {total} parameters"


def _names(steps: dict[int, Step], paths: Collection[str]) -> dict[int, str]:
    """A name for each step: its module's path where the module does nothing else, else path and what it does."""
    made: dict[str, list[int]] = {}
    for step in steps.values():
        made.setdefault(step.place.path, []).append(step.place.call)
    groups = {prefix for path in made for prefix in _prefixes(path)} | {""}
    taken: dict[str, int] = {}
    inner: set[str] = set()
    names = {SOURCE: INPUT}
    for i, step in steps.items():
        path, calls = step.place.path, made[step.place.path]
        alone = path not in groups and len(set(calls)) == len(calls)
        wanted = path if alone else f"{path}.{label_of(step)}".lstrip(".")
        stem = _safe(wanted)
        if any(prefix in taken for prefix in _prefixes(stem)):
            stem = stem.replace(".", "_")
        name = stem
        while name in taken or name in inner or (name != stem and name in paths):
            taken[stem] = taken.get(stem, 1) + 1
            name = f"{stem}{taken[stem]}"
        taken.setdefault(name, 1)
        inner.update(_prefixes(name))
        names[i] = name
    return names


def _prefixes(path: str) -> list[str]:
    parts = path.split(".")
    return [".".join(parts[:i]) for i in range(1, len(parts))]


def _safe(path: str) -> str:
    """`path` with every part made a name that a graph accepts."""
    parts = path.split(".")
    if len(parts) > _DEEPEST:
        parts = [*parts[: _DEEPEST - 1], "_".join(parts[_DEEPEST - 1 :])]
    return ".".join(_word(part) for part in parts)


def _word(part: str) -> str:
    word = re.sub(r"\W|\.", "_", part, flags=re.ASCII)[-_LONGEST:]
    word = "_" + word.lstrip("_") if word.startswith("__") else word
    return word + "_" if keyword.iskeyword(word) or word in RESERVED or word == INPUT else word


def _opaque_notes(steps: Iterable[tuple[str, Step]]) -> list[str]:
    groups: dict[str, list[tuple[str, Step]]] = {}
    for name, step in steps:
        if isinstance(step.op, Opaque):
            groups.setdefault(step.op.label, []).append((name, step))
    return [_opaque_note(label, group) for label, group in groups.items()]


def _opaque_note(label: str, group: Sequence[tuple[str, Step]]) -> str:
    work = sum(step.work for _, step in group)
    where = group[0][0] + (f" and {plural(len(group) - 1, 'more place')}" if len(group) > 1 else "")
    missing = f"; the totals leave out {plural(work, 'MAC')}" if work else ""
    return f"{label}, at {where}, is seen from outside only: its shape and parameters, not its work{missing}"


def _unread_notes(unread: Sequence[str], recorder: Recorder) -> list[str]:
    if not unread:
        return []
    values = sum(math.prod(recorder.parameters[name]) for name in unread)
    some = ", ".join(printable(name) for name in unread[:3])
    more = f" and {len(unread) - 3} more" if len(unread) > 3 else ""
    holds = "parameters hold" if len(unread) > 1 else "parameter holds"
    return [
        f"no step reads {some}{more}: {len(unread)} {holds} {plural(values, 'value')} "
        "that the graph does not count (a head for training only, perhaps)"
    ]
