"""A parsed ONNX model as a graph: what is checked first, its input, its nodes' names, the walk over its steps."""

from __future__ import annotations

import keyword
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PureWindowsPath
from typing import Any

import onnx

from foveal.errors import GraphError, ShapeError, UsageError
from foveal.graph import INPUT, MOST_NODES, RESERVED, Graph
from foveal.ops import LARGEST
from foveal.shapes import Shape
from foveal.text import printable
from foveal.tracing import Traced
from foveal.tracing.onnx_curves import Curves
from foveal.tracing.onnx_ops import HANDLERS
from foveal.tracing.onnx_step import FAILURES, Growing, Map, Step, Unfit, Value, Weight, constant, stored

OWN = ("", "ai.onnx")
"""What ONNX calls its own operators' domain."""


def read_model(model: onnx.ModelProto, path: Path, input_shape: Shape | None) -> Traced:
    """The network of `model`, which was read from `path`; see `foveal.tracing.onnx_file.read_onnx`."""
    _check_model(model)
    _check_tensors(model, path.parent)
    graph = model.graph
    values: dict[str, Value | None] = {"": None}
    values.update((tensor.name, stored(tensor, tensor.name)) for tensor in graph.initializer)
    for sparse in graph.sparse_initializer:
        values[sparse.values.name] = Weight(tuple(sparse.dims), sparse.values.data_type, None, (sparse.values.name,))
    feed, image, notes = _image(graph, input_shape)
    values[feed] = image
    net = Growing(image.shape[0], {INPUT: _graph_order(image)})
    read = Counter([*(x for node in graph.node for x in node.input), *(output.name for output in graph.output)])
    opsets = {"" if opset.domain in OWN else opset.domain: opset.version for opset in model.opset_import}
    said = {} if input_shape else _said(graph, image.shape[0])
    curves = Curves()
    for index, node in enumerate(graph.node):
        try:
            step = Step(node, _resolve(node.input, values), opsets, net, read, said)
            for output, value in zip(filter(None, node.output), _walk(step, curves), strict=False):
                if output in values:
                    raise GraphError(f"it gives {printable(output, limit=80)!r}, which is there already")
                values[output] = value
                if isinstance(value, Map):
                    net.made.setdefault(value.node, output)
        except (GraphError, *FAILURES) as error:
            name = printable(node.name, limit=80) or f"step {index} ({printable(node.op_type, limit=40)})"
            kind = ShapeError if isinstance(error, ShapeError) else GraphError
            raise kind(f"{name}: {printable(str(error), limit=300)}") from error
    ends = [end for end in _resolve([output.name for output in graph.output], values) if isinstance(end, Map)]
    if not ends:
        raise GraphError("none of its outputs depends on its input")
    return _finished(_network_name(path), net, ends, notes)


def _walk(step: Step, curves: Curves) -> Sequence[Value]:
    """What one step gives: a value for each output that has a name."""
    if not any(step.node.output):
        return []
    if step.domain:
        return step.opaque(f"its domain {printable(step.domain, limit=40)!r} is not ONNX's own")
    if step.kind == "Constant":
        return [constant(step.node)]
    if step.kind in ("Shape", "Size"):
        return [step.sizes()]
    if not step.maps and step.inputs:
        return step.constants()
    try:
        result = curves.recognise(step) or _handled(step)
    except ShapeError:
        raise
    except (GraphError, *FAILURES) as error:
        result = step.opaque(printable(str(error), limit=120))
    results = result if isinstance(result, list) else [result]
    curves.record(step, results[0])
    return results


def _handled(step: Step) -> Map | list[Map]:
    if step.kind not in HANDLERS:
        raise Unfit("no op here is like it")
    first, *others = step.node.output
    if not first or (step.kind != "Split" and any(step.read[output] for output in others if output)):
        raise Unfit("not its first output alone is read")
    return HANDLERS[step.kind](step)


def _resolve(names: Iterable[str], values: dict[str, Value | None]) -> tuple[Value | None, ...]:
    for name in names:
        if name not in values:
            raise GraphError(
                f"it reads {printable(name, limit=80)!r}, which no earlier step gives (a cycle, or a damaged file)"
            )
    return tuple(values[name] for name in names)


def _finished(name: str, net: Growing, ends: list[Map], notes: list[str]) -> Traced:
    net.prune([end.node for end in ends])
    called, modules = _names({key: net.steps[key] for key in net.nodes})
    net.rename(called)
    notes += net.share()
    outputs = {called.get(end.node, end.node): end for end in ends}
    notes += [
        f"{node}: the file has this output's axes in another order" for node, end in outputs.items() if not end.plain
    ]
    notes += [f"{node}: {why}" for node, why in net.reasons.items()]
    graph = Graph(name, net.shapes[INPUT], tuple(net.nodes.values()), tuple(outputs))
    origins = {
        f"{node}.{key}": " + ".join(printable(origin, limit=80) for origin in weight.origins)
        for node, held in net.held.items()
        for key, weight in held.items()
    }
    return Traced(
        graph, modules=modules, parameters_of={key: origins[key] for key in graph.parameters()}, notes=tuple(notes)
    )


def _check_model(model: onnx.ModelProto) -> None:
    if not model.graph.node or not model.opset_import:
        raise GraphError("no network in it; it is no ONNX file, or was cut short")
    if len(model.graph.node) > MOST_NODES:
        raise GraphError(f"{len(model.graph.node)} nodes; a graph has at most {MOST_NODES}")
    newest = onnx.defs.onnx_opset_version()
    for opset in model.opset_import:
        if opset.domain in OWN and not 1 <= opset.version <= newest:
            raise GraphError(
                f"it is of ONNX opset {opset.version}, the installed onnx knows 1 to {newest}; "
                "upgrade onnx, or export for an older opset"
            )


def _check_tensors(model: onnx.ModelProto, folder: Path) -> None:
    """Refuse sizes that cannot be and files outside `folder`, of any tensor however deep."""
    for tensor in _tensors(model):
        name = printable(_utf8(tensor.name), limit=80) or "(nameless)"
        if any(not 0 <= size <= LARGEST for size in tensor.dims) or len(tensor.dims) > 8:
            raise GraphError(f"its weight {name} has the sizes {list(tensor.dims)!r:.80}, which cannot be")
        for entry in tensor.external_data:
            if _utf8(entry.key) == "location" and not _inside(_utf8(entry.value), folder):
                raise GraphError(
                    f"its weight {name} lies in {printable(entry.value, limit=80)!r}, outside the model's folder, "
                    "which is refused; put that file beside the model and save the model anew"
                )


def _tensors(message: Any) -> Iterator[onnx.TensorProto]:
    """Every tensor in `message`, whose other texts are checked on the way."""
    for field, value in message.ListFields():
        children = [value] if isinstance(value, (str, bytes)) or hasattr(value, "ListFields") else value
        if field.type == field.TYPE_STRING:
            for text in children:
                _utf8(text)
        elif field.type == field.TYPE_MESSAGE:
            for child in children:
                if isinstance(child, onnx.TensorProto):
                    yield child
                else:
                    yield from _tensors(child)


def _utf8(text: str | bytes) -> str:
    """A text of the file, which protobuf gives as bytes where it is none."""
    if isinstance(text, bytes):
        raise GraphError("it holds text that is not UTF-8; the file is damaged, export it again")
    return text


def _inside(location: str, folder: Path) -> bool:
    parts = PureWindowsPath(location)  # knows / and \ alike
    if parts.anchor or ".." in parts.parts:
        return False
    try:
        return (folder / location).resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError):  # a loop of links, a NUL
        return False


def _image(graph: onnx.GraphProto, input_shape: Shape | None) -> tuple[str, Map, list[str]]:
    """The name of the file's one input, the input as a value, and what is to be said of it.

    Its batch is 1 where the file leaves it open. Channels stand first in the graph, also where the file has them last
    and turns them as its first step.
    """
    weights = {tensor.name for tensor in graph.initializer}
    feeds = [value for value in graph.input if value.name not in weights]
    if len(feeds) != 1:
        names = ", ".join(printable(feed.name, limit=40) for feed in feeds[:10])
        raise GraphError(f"it has {len(feeds)} inputs ({names}); expected one, the image" if feeds else "no input")
    (feed,) = feeds
    tensor = feed.type.tensor_type
    sizes = [dim.dim_value if dim.HasField("dim_value") else dim.dim_param for dim in tensor.shape.dim]
    if not sizes and input_shape is None:
        raise UsageError("the file does not say what its input's sizes are; say --input 3x224x224")
    turn = _turn(graph, feed.name, len(sizes) or 1 + len(input_shape or ()))
    inner: list[int | str] = [sizes[axis] for axis in turn[1:]] if sizes else list(input_shape or ())
    notes = []
    if input_shape is not None:
        if len(input_shape) != len(inner):
            raise UsageError(f"its input has {len(inner)} axes besides the batch, not {len(input_shape)}")
        if all(isinstance(n, int) for n in inner) and list(input_shape) != inner:
            notes.append(f"the file fixes its input to {_by(inner)}; here it is {_by(input_shape)}")
        inner = list(input_shape)
    if free := [printable(n, limit=20) or f"axis {i}" for i, n in enumerate(inner, start=1) if isinstance(n, str)]:
        usual = [n if isinstance(n, int) else 3 if i == 0 else 224 for i, n in enumerate(inner)]
        raise UsageError(f"its input has free sizes {', '.join(free)}; say --input {_by(usual)}")
    shape = [int(n) for n in inner]
    if not 1 <= len(shape) <= 4 or any(not 1 <= n <= LARGEST for n in shape):
        raise GraphError(f"its input is {_by(shape[:8]) or 'one number'} besides the batch; expected one to four sizes")
    batch = sizes[0] if sizes and isinstance(sizes[0], int) and 1 <= sizes[0] <= LARGEST else 1
    order = tuple(turn.index(axis) - 1 for axis in range(1, len(turn)))
    return feed.name, Map(INPUT, (batch, *(shape[axis] for axis in order)), order, tensor.elem_type or 1), notes


def _turn(graph: onnx.GraphProto, feed: str, rank: int) -> list[int]:
    """The axes of the file's input in the graph's order: the batch, the channels, the others."""
    last = [0, rank - 1, *range(1, rank - 1)]
    readers = [node for node in graph.node if feed in node.input]
    turned = [a.ints for node in readers if node.op_type == "Transpose" for a in node.attribute if a.name == "perm"]
    if rank > 2 and readers and [list(perm) for perm in turned] == [last] * len(readers):
        return last
    return list(range(rank))


def _by(sizes: Iterable[object]) -> str:
    return "x".join(printable(str(n), limit=20) for n in sizes)


def _graph_order(image: Map) -> Shape:
    order = image.order or ()
    return tuple(image.shape[1 + order.index(axis)] for axis in range(len(order)))


def _said(graph: onnx.GraphProto, batch: int) -> dict[str, tuple[int, ...]]:
    """Sizes that the file states of its values; a free first axis is the batch."""
    said = {}
    for value in (*graph.value_info, *graph.output):
        dims = value.type.tensor_type.shape.dim
        sizes = [dim.dim_value or (batch if i == 0 else 0) for i, dim in enumerate(dims)]
        if all(0 < size <= LARGEST for size in sizes) and value.type.tensor_type.HasField("shape"):
            said[value.name] = tuple(sizes)
    return said


def _network_name(path: Path) -> str:
    return ".".join(_parts(path.stem.replace(".", "_"))) or "network"


def _names(steps: dict[str, onnx.NodeProto]) -> tuple[dict[str, str], dict[str, str]]:
    """A name for each key of `steps`, and for each name the module path, where the exporter kept it.

    Steps that would be called alike are numbered; one called like a group of others gets its operator's name.
    """
    stems, paths = {}, {}
    for key, node in steps.items():
        scope = _scope(node)
        parts = _parts(node.name.replace("/", ".") if scope is None else scope)
        stems[key] = ".".join(parts) or _kind(node)
        if scope is not None:
            paths[key] = printable(scope)
    groups = _groups(stems.values())
    taken, names = set(groups), {}
    for key, stem in stems.items():
        name = full = f"{stem}.{_kind(steps[key])}" if stem in groups else stem
        number = 1
        while name in taken:
            number += 1
            name = f"{full}_{number}"
        taken.add(name)
        names[key] = name
    return names, {names[key]: path for key, path in paths.items()}


def _scope(node: onnx.NodeProto) -> str | None:
    """The path of the PyTorch module that a node was made by, as its two exporters and its weights tell."""
    if node.name.startswith("/"):  # /layer1/layer1.0/conv1/Conv: a container's path is repeated in what it contains
        parts = node.name.split("/")[1:-1]
        return ".".join(a for a, b in zip(parts, [*parts, ""][1:], strict=True) if not b.startswith(f"{a}."))
    for name in node.input:
        if name.endswith(".weight"):
            return str(name.removesuffix(".weight"))
    for entry in node.metadata_props:
        if entry.key == "pkg.torch.onnx.name_scopes":  # "['', 'layer1', 'layer1.0', 'layer1.0.conv1', 'conv2d']"
            scopes = re.findall(r"'([^']*)'", entry.value)
            return str(scopes[-2]) if len(scopes) > 1 else ""
    return None


def _parts(name: str) -> list[str]:
    """`name` as parts that `foveal.graph.check_name` takes."""
    parts = [re.sub(r"[^A-Za-z0-9_]", "_", part)[:50] for part in name.split(".") if part][-14:]
    parts = [f"{part}_" if keyword.iskeyword(part) or part in RESERVED else part for part in parts]
    parts = [f"n{part}" if part.startswith("__") else part for part in parts]
    return [f"{part}_" if i == 0 and part == INPUT else part for i, part in enumerate(parts)]


def _kind(node: onnx.NodeProto) -> str:
    return "_".join(_parts(node.op_type.lower().replace(".", "_"))) or "step"


def _groups(names: Iterable[str]) -> set[str]:
    """What stands before a dot in any of `names`, and so can call no node; the input, too."""
    groups = {INPUT}
    for name in set(names):
        parts = name.split(".")
        groups.update(".".join(parts[:i]) for i in range(1, len(parts)))
    return groups
