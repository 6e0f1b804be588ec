"""What ONNX's sums, products and quotients are among our ops; `foveal.tracing.onnx_ops` has the other operators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from foveal import ops
from foveal.tracing.onnx_step import FLOATS, Map, Step, Unfit, Weight


def _add(step: Step) -> Map:
    if len(step.maps) == len(step.inputs):
        x = step.maps[0]
        if x.order is None or len({(y.shape, y.order) for y in step.maps}) > 1:
            raise Unfit("its summands are of different shapes")
        return step.emit(ops.Add(), *step.maps, order=x.order) if len(step.maps) > 1 else x
    x, weight = _with_constant(step)
    if weight.over(x) and _is_bias(step, x):
        node = step.net.nodes[x.node]
        step.net.nodes[x.node] = replace(node, op=replace(node.op, bias=True))  # type: ignore[call-arg]  # it has one
        step.net.held[x.node]["bias"] = weight
        return x
    if x.plain and weight.size > 1 and (1,) * (len(x.shape) - len(weight.shape)) + weight.shape == (1, *x.shape[1:]):
        return step.emit(ops.Offset(), x, weights={"bias": weight})
    raise Unfit("it adds constants to what is no layer")


def _is_bias(step: Step, x: Map) -> bool:
    """Whether `x` is what a layer without a bias gives, for this step alone."""
    node = step.net.nodes.get(x.node)
    read = next(name for name, y in zip(step.node.input, step.inputs, strict=True) if y is x)
    return not (
        node is None or getattr(node.op, "bias", True) or step.net.made.get(x.node) != read or step.read[read] > 1
    )


def _multiply(step: Step) -> Map:
    if len(step.maps) == 2:
        x, y = step.maps
        if x.order is None or x.order != y.order:
            raise Unfit("its factors are of different shapes")
        return step.emit(ops.Multiply(), x, y, order=x.order)
    x, weight = _with_constant(step)
    if weight.over(x):
        return step.emit(ops.Scale(), x, order=x.order, weights={"weight": weight})
    return _times(step, x, _number(x, weight))


def _divide(step: Step) -> Map:
    return _times(step, step.x, 1 / _number(step.x, step.weight(1)))


def _negate(step: Step) -> Map:
    return _times(step, step.x, -1)


def _times(step: Step, x: Map, number: float) -> Map:
    if x.kind not in FLOATS or x.order is None:
        raise Unfit("it multiplies what is no map of floats")
    return x if number == 1 else step.emit(ops.Factor(number), x, order=x.order)


def _power(step: Step) -> Map:
    if _number(step.x, step.weight(1)) != 2 or step.x.order is None:
        raise Unfit("it is no square of a map")
    return step.emit(ops.Multiply(), step.x, step.x, order=step.x.order)


def _sum(step: Step) -> Map:
    """Squared distances to the rows of a constant: the sum of a product of a difference with itself."""
    net, x = step.net, step.x
    squares = net.nodes.get(x.node)
    if squares is None or squares.op != ops.Multiply() or len({*squares.inputs}) > 1:
        raise Unfit("it does not sum squares")
    apart = net.nodes.get(squares.inputs[0])
    weight = net.held[apart.name].get("weight0") if apart and net.steps[apart.name].op_type == "Sub" else None
    row = net.nodes.get(apart.inputs[0]) if apart and weight else None
    if apart is None or weight is None or row is None or x.shape[1:] != weight.shape:
        raise Unfit("it does not sum squares of differences from points")
    source, width = row.inputs[0], weight.shape[1]
    if row.op != ops.Reshape((1, width)) or net.shapes[source] != (width,) or step.attribute("keepdims", 1):
        raise Unfit("its points are not those of a row")
    if step.setting("axes", 1) not in ((2,), (-1,)):
        raise Unfit("it does not sum over the coordinates")
    if step.read[net.made[apart.name]] == len(squares.inputs):
        net.held[apart.name] = {}  # nothing else reads the differences: their points move to this node
    return step.emit(ops.Rbf(weight.shape[0]), Map(source, x.shape[::2], (0,), x.kind), weights={"weight": weight})


def _with_constant(step: Step) -> tuple[Map, Weight]:
    """The operands of a sum or product with a constant."""
    weights = [y for y in step.inputs if isinstance(y, Weight)]
    if len(weights) != 1 or len(step.maps) != 1:
        raise Unfit("it joins more than a map and a constant")
    return step.maps[0], weights[0]


def _number(x: Map, weight: Weight) -> float:
    """The one number that `weight` is, to work on `x` with."""
    if weight.size != 1 or weight.values is None or len(weight.shape) > len(x.shape):
        raise Unfit("its constants are not one number, or one a channel")
    return float(str(weight.values.reshape(())[()]))  # 0.17, not 0.17000000178813934


ARITHMETIC: dict[str, Callable[[Step], Map]] = {
    "Add": _add, "Sum": _add, "Mul": _multiply, "Div": _divide, "Neg": _negate, "Pow": _power, "ReduceSum": _sum,
}  # fmt: skip
"""ONNX's operators that are written with ``+``, ``-``, ``*`` and ``/``."""
