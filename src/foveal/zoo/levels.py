"""The parts of a network that others build on: its head, what the head reads, and the feature levels."""

from __future__ import annotations

from dataclasses import dataclass, replace

from foveal.anatomy.sight import lattices
from foveal.errors import UsageError
from foveal.fields import Lattice
from foveal.graph import INPUT, Graph
from foveal.ops import Dense, Rbf


@dataclass(frozen=True)
class Level:
    """A map that gives features.

    Attributes
    ----------
    node : its name in the graph.
    channels : how many; of a flat level, how many values.
    stride : input cells from one position to the next, or None where there is no such number (a flat level).
    """

    node: str
    channels: int
    stride: int | None


def stages(graph: Graph) -> dict[str, Level]:
    """The feature levels by name: the end of each ``stageN``, and as ``"top"`` what the head reads.

    The strides let a detector or a segmenter know how large a position is: 8, 16, 32 and so on.

    Raises
    ------
    UsageError : a network without a head, such as a single layer; what is no `Graph`.
    """
    if not isinstance(graph, Graph):
        raise UsageError(
            f"stages takes a Graph, not {type(graph).__name__}; foveal.create_graph('resnet18') gives one, and "
            "foveal.build.graph_of(module) that of a built module"
        )
    ends = {scope: node.name for node in graph.nodes if (scope := node.name.partition(".")[0]).startswith("stage")}
    seen = lattices(graph, local=True)

    def level(node: str) -> Level:
        axes = seen[node].axes
        first = axes[0] if axes and len(graph.shapes[node]) > 1 else None
        stride = first.jump if isinstance(first, Lattice) and first.kind == "lattice" else None
        return Level(node, graph.shapes[node][0], stride)

    return {name: level(node) for name, node in (ends | {"top": _read_by_head(graph)}).items()}


def without_head(graph: Graph) -> Graph:
    """`graph` up to the features that its head reads: a map where the head pools it, else a row of values.

    The head is what is called ``head.``; without such names, the last dense layer and what follows. Auxiliary heads go,
    too.

    Raises
    ------
    UsageError : a network without a head, such as a single layer.
    """
    return graph.up_to(_read_by_head(graph))


def _read_by_head(graph: Graph) -> str:
    head = [node for node in graph.nodes if node.name.startswith("head.")]
    head = head or [node for node in graph.nodes if isinstance(node.op, (Dense, Rbf))][-1:]
    if not head or head[0].inputs[0] == INPUT:
        raise UsageError(f"{graph.name} has no head that could be taken off")
    return head[0].inputs[0]


def with_channels(graph: Graph, in_channels: int) -> Graph:
    """`graph` for pictures of `in_channels` channels: its first layers read as many."""
    return replace(graph, input_shape=(in_channels, *graph.input_shape[1:]))
