"""A receipt as a short PyTorch script, free of Foveal, that comes to the same number."""

from __future__ import annotations

import textwrap

import numpy as np

from foveal import ops
from foveal.anatomy.layer import single
from foveal.explaining.gradient import Gradient
from foveal.explaining.receipt import Receipt
from foveal.source import write_code


def unit_script(receipt: Receipt) -> str:
    """A script that prints the value: its patch, its weights, and the one layer that joins them."""
    unit = receipt.unit
    said = f'"""{receipt.name} of {receipt.seen.graph.name}: {receipt.value:.9g}."""\n\n'
    if isinstance(unit.op, (ops.Add, ops.Multiply)):
        sign = " + " if isinstance(unit.op, ops.Add) else " * "
        return f"{said}print({sign.join(repr(float(patch.flat[0])) for patch in unit.patches)})\n"
    graph = single(unit.op, unit.patches[0].shape)
    layer, _, _ = write_code(graph, "torch").partition('if __name__ == "__main__":')
    name = graph.nodes[0].name
    lines = ["model = Layer().double().eval()", f"x = {_tensor(unit.patches[0])}"]
    if unit.arrays:
        lines.append("state = {")
        lines += [f"    {f'{name}.{key}'!r}: {_tensor(array)}," for key, array in unit.arrays.items()]
        lines += ["}", "model.load_state_dict(state, strict=False)  # a norm's own counter is left out"]
    lines += ["with torch.inference_mode():", f"    print(model(x[None])[0].tolist(), 'at {list(unit.at)}')"]
    if max(unit.at, default=0) == 0 and np.prod(unit.op.output_shape(unit.patches[0].shape)) == 1:
        lines[-1] = "    print(model(x[None]).item())"
    body = layer.partition('"""\n\n')[2]
    return said + body.rstrip() + "\n\n\n" + "\n".join(lines) + "\n"


def gradient_script(gradient: Gradient) -> str:
    """A script that prints the gradient: the gradients it came from times the slopes, added up."""
    pairs = [_tensor(np.array([pair[i] for pair in gradient.factors])) for i in (0, 1)]
    return (
        f'"""The gradient of {gradient.goal} to {gradient.name}: {gradient.value:.9g}."""\n\n'
        f"import torch\n\ngradients = {pairs[0]}\nslopes = {pairs[1]}\nprint((gradients * slopes).sum().item())\n"
    )


def _tensor(array: np.ndarray) -> str:
    numbers = textwrap.fill(str(array.tolist()), 110, subsequent_indent="    ")
    return f"torch.tensor({numbers}, dtype=torch.float64)"
