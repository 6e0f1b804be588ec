"""Graph -> torch.fx.GraphModule: a PyTorch module that trains, compiles, exports and hooks like any other.

Submodules bear the node names, so ``module.get_submodule("stage1.block2.conv1")`` is that node, and the state dict's
keys are those of `Graph.parameters` and `Graph.buffers` (plus PyTorch's own ``num_batches_tracked``).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import fx, nn

from foveal.errors import GraphError, WeightsError
from foveal.graph import INPUT, Graph
from foveal.modules import EXPRESSIONS, MODULES, own_pad, pad
from foveal.ops import Opaque
from foveal.rewriting import fold_batch_norm
from foveal.weights import check_weights


def build(graph: Graph, weights: Mapping[str, np.ndarray] | None = None) -> fx.GraphModule:
    """A trainable PyTorch module that computes `graph`.

    Parameters
    ----------
    weights : arrays under the names of `Graph.parameters` and `Graph.buffers`; PyTorch's initialisation if None.

    Returns
    -------
    torch.fx.GraphModule
        Takes (batch, \\*input_shape) float32; returns a tensor, or a tuple where the graph has several outputs.
        `graph_of` gives the graph back.

    Raises
    ------
    GraphError : an `Opaque` node.
    WeightsError : a missing, unknown or misshapen array.
    """
    if weights is None:
        return _assembled(graph)
    module = unfilled(graph)
    for name, counter in module.named_buffers():  # what `weights` do not have
        if name.endswith("num_batches_tracked"):
            counter.zero_()
    load(module, weights)
    return module


def unfilled(graph: Graph) -> fx.GraphModule:
    """`graph` built, its tensors allocated but not filled, for who fills them: no time goes into an initialisation."""
    with torch.device("meta"):
        module = _assembled(graph)
    return module.to_empty(device="cpu")


def _assembled(graph: Graph) -> fx.GraphModule:
    """The module of `graph`, its tensors as PyTorch's layers begin them."""
    holder = fx.GraphModule(nn.Module(), fx.Graph())
    traced = fx.Graph()
    tracer = fx.proxy.GraphAppendingTracer(traced)
    values = {INPUT: traced.placeholder("x")}
    for node in graph.nodes:
        xs = [values[name] for name in node.inputs]
        if isinstance(node.op, Opaque):
            raise node.op.refusal(node.name)
        if type(node.op) in EXPRESSIONS:
            values[node.name] = EXPRESSIONS[type(node.op)](node.op, [fx.Proxy(x, tracer) for x in xs]).node
            continue
        shape = graph.input_shapes(node)[0]
        if node.weights_of is None:
            holder.add_submodule(node.name, MODULES[type(node.op)](node.op, shape))
        if arguments := own_pad(node.op, shape):
            xs = [traced.call_function(pad, (xs[0], *arguments))]
            xs[0].meta["is_wrapped"] = True  # as by torch.fx.wrap: a second trace, as pickle makes, does not enter it
        values[node.name] = traced.call_module(node.weights_of or node.name, tuple(xs))
    results = tuple(values[name] for name in graph.outputs)
    traced.output(results[0] if len(results) == 1 else results)
    module = fx.GraphModule(holder, traced, class_name="Network")
    module.meta["foveal"] = graph
    return module


def graph_of(module: fx.GraphModule) -> Graph:
    """The graph that `build` made `module` from; GraphError for a module made elsewhere."""
    graph = module.meta.get("foveal")
    if not isinstance(graph, Graph):
        raise GraphError(f"{type(module).__name__} was not made by foveal.build, so it carries no graph")
    return graph


def load(module: fx.GraphModule, weights: Mapping[str, np.ndarray]) -> None:
    """Copy `weights` into a built module; WeightsError where a name or shape differs (nothing is copied then)."""
    check_weights(graph_of(module), {name: array.shape for name, array in weights.items()})
    state = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in weights.items()}
    missing, _ = module.load_state_dict(state, strict=False)
    if leftover := [name for name in missing if not name.endswith("num_batches_tracked")]:
        raise WeightsError(f"no weights for {leftover[0]}")


def weights_of(module: fx.GraphModule) -> dict[str, np.ndarray]:
    """The module's weights as arrays, named as `Graph.parameters` and `Graph.buffers` name them."""
    graph = graph_of(module)
    state = module.state_dict()
    return {name: state[name].detach().cpu().numpy().copy() for name in (*graph.parameters(), *graph.buffers())}


class TorchEngine:
    """Inference through PyTorch; the same calls as `foveal.engines.openvino.OpenVinoEngine`."""

    name = f"torch {torch.__version__}"

    def __init__(self, graph: Graph, weights: Mapping[str, np.ndarray], *, precision: str = "f32", threads: int = 1):
        self.precision = precision
        torch.set_num_threads(1 if threads > 1 else torch.get_num_threads())  # callers bring the threads
        check_weights(graph, {name: array.shape for name, array in weights.items()})
        self._module = build(*fold_batch_norm(graph, weights)).eval()

    @staticmethod
    def has_bf16() -> bool:
        """Never chosen by itself: PyTorch's bfloat16 is not quicker than its float32 on every CPU that has it."""
        return False

    @torch.inference_mode()
    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.precision == "bf16"):
            results = self._module(torch.from_numpy(batch))
        return [y.float().numpy() for y in (results if isinstance(results, tuple) else (results,))]
