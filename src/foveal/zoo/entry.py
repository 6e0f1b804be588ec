"""What the zoo keeps of a network besides its author: the paper, what it brought, and how its weights begin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

Author = Callable[..., str | tuple[str, ...]]
"""A function (net, num_classes=...) that authors a network and returns the name of its output, or of each."""

Rows = tuple[tuple[float, ...], ...]
"""A matrix by hand, free of numpy."""


Kind = Literal[
    "normal", "truncated", "he_in", "he_out", "glorot", "uniform_in", "uniform_root", "uniform_root_out", "constant"
]  # fmt: skip


@dataclass(frozen=True)
class Paper:
    """Where a network comes from.

    Attributes
    ----------
    authors : as cited, ``"He, Zhang, Ren & Sun"``.
    year : in which it became known.
    source : journal, conference or arXiv number.
    brought : in one sentence, what it brought that others took up.
    """

    authors: str
    year: int
    title: str
    source: str
    brought: str

    def __str__(self) -> str:
        return f'{self.authors} ({self.year}), "{self.title}", {self.source}'


@dataclass(frozen=True)
class Draw:
    """How the values of a weight are drawn; `fan_in` and `fan_out` are the values that one output reads, or one input
    reaches.

    Attributes
    ----------
    kind : ``"normal"`` and ``"truncated"`` (at two standard deviations): of standard deviation `number`;
        ``"he_in"``, ``"he_out"``: normal of variance 2 / fan (He et al. 2015, equations 10 and 14);
        ``"glorot"``: uniform within the root of 6 / (fan_in + fan_out) (Glorot & Bengio 2010, equation 16);
        ``"uniform_in"``: uniform within `number` / fan_in;
        ``"uniform_root"``, ``"uniform_root_out"``: uniform within `number` / root of fan_in, or of fan_out;
        ``"constant"``: `number` everywhere.
    """

    kind: Kind
    number: float = 1.0


ZERO = Draw("constant", 0.0)
TORCH = Draw("uniform_root")  # what PyTorch's layers do by themselves, weights and biases alike


@dataclass(frozen=True)
class Init:
    """How a network's weights begin; norms always begin as the identity (factor 1, summand 0).

    Attributes
    ----------
    source : whose practice this is.
    conv, dense : of the weights of convolutions and of dense layers.
    bias : of their biases.
    special : draws for single tensors, by the ending of their names: ``{"stage2.conv.bias": Draw("constant", 1.0)}``.
    fixed : buffers that are made by hand, by their names: the function that gives their rows, of which a smaller buffer
        takes the first.
    """

    source: str
    conv: Draw = TORCH
    dense: Draw = TORCH
    bias: Draw = ZERO
    special: Mapping[str, Draw] | None = None
    fixed: Mapping[str, Callable[[], Rows]] | None = None


@dataclass(frozen=True)
class Model:
    """A network of the zoo by name: who authors its graph, and what is known of it."""

    author: Author
    paper: Paper
    init: Init
    family: str = ""


def models(paper: Paper, init: Init, authors: Mapping[str, Author]) -> dict[str, Model]:
    """`authors` by name as networks of one paper that begin alike."""
    return {name: Model(author, paper, init) for name, author in authors.items()}
