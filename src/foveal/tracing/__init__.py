"""Networks made elsewhere, recovered as graphs: `foveal.tracing.modules.trace` for PyTorch, beside it one for ONNX.

`Traced` is what both give. This file imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from foveal.graph import Graph


@dataclass(frozen=True)
class Traced:
    """A recovered network, and what the graph itself does not say.

    Attributes
    ----------
    graph : the network; steps that could not be recovered are `foveal.ops.Opaque`.
    frozen : names in `Graph.parameters` whose source is not trained (``requires_grad`` False).
    modules : node name -> path of the module that made it, "" for the root.
    parameters_of : name in `Graph.parameters` -> the source's own name of it.
    notes : what could not be recovered or is not counted, a sentence each.
    """

    graph: Graph
    frozen: frozenset[str] = frozenset()
    modules: dict[str, str] = field(default_factory=dict)
    parameters_of: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
