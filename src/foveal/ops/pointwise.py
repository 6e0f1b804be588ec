"""Functions of each value by itself, and of each position's channels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from foveal.errors import ShapeError
from foveal.fields import Field
from foveal.ops.base import Count, Op, Real, Share
from foveal.shapes import Shape


@dataclass(frozen=True)
class Identity(Op):
    """The input itself."""


@dataclass(frozen=True)
class Factor(Op):
    """Each value times a fixed number, which may be negative."""

    value: Real
    work: ClassVar[int] = 1


@dataclass(frozen=True)
class Relu(Op):
    """max(x, 0)."""

    work: ClassVar[int] = 1


@dataclass(frozen=True)
class Relu6(Op):
    """min(max(x, 0), 6); Krizhevsky (2010)."""

    work: ClassVar[int] = 2


@dataclass(frozen=True)
class LeakyRelu(Op):
    """x where positive, else `negative_slope` times x; Maas et al. (2013)."""

    negative_slope: float = 0.01
    work: ClassVar[int] = 2


@dataclass(frozen=True)
class PRelu(Op):
    """x where positive, else x times a trained slope, one a channel; He et al. (2015)."""

    work: ClassVar[int] = 2

    def parameters(self, *xs: Shape) -> dict[str, Shape]:
        return {"weight": self._only(xs)[:1]}


@dataclass(frozen=True)
class Elu(Op):
    """x where positive, else alpha (exp(x) - 1); Clevert et al. (2016)."""

    alpha: float = 1.0
    work: ClassVar[int] = 4


@dataclass(frozen=True)
class Selu(Op):
    """ELU with the two constants under which activations keep mean 0 and variance 1; Klambauer et al. (2017)."""

    work: ClassVar[int] = 5


@dataclass(frozen=True)
class Gelu(Op):
    """x times the normal distribution function; Hendrycks & Gimpel (2016). `approximate` is their tanh formula."""

    approximate: bool = False

    def other_ops(self, *xs: Shape) -> int:
        return (9 if self.approximate else 5) * math.prod(self._only(xs))


@dataclass(frozen=True)
class Silu(Op):
    """x times its sigmoid, also called swish; Ramachandran et al. (2017)."""

    work: ClassVar[int] = 5


@dataclass(frozen=True)
class Mish(Op):
    """x tanh(softplus(x)); Misra (2019)."""

    work: ClassVar[int] = 5


@dataclass(frozen=True)
class Softplus(Op):
    """log(1 + exp(x)); Dugas et al. (2001)."""

    work: ClassVar[int] = 3


@dataclass(frozen=True)
class Hardsigmoid(Op):
    """min(max(x + 3, 0), 6) / 6; Howard et al. (2019)."""

    work: ClassVar[int] = 4


@dataclass(frozen=True)
class Hardswish(Op):
    """x times its hard sigmoid; Howard et al. (2019)."""

    work: ClassVar[int] = 5


@dataclass(frozen=True)
class Sigmoid(Op):
    """1 / (1 + exp(-x))."""

    work: ClassVar[int] = 4


@dataclass(frozen=True)
class Tanh(Op):
    """Hyperbolic tangent."""

    work: ClassVar[int] = 1


@dataclass(frozen=True)
class Softmax(Op):
    """exp(x) over its sum, across the channels (the first axis)."""

    work: ClassVar[int] = 3

    def receptive_field(self, *xs: Field) -> Field:
        return xs[0].whole() if xs[0].flat else xs[0]


@dataclass(frozen=True)
class LogSoftmax(Op):
    """The logarithm of softmax: x minus the logarithm of the sum of exp(x), across the channels."""

    work: ClassVar[int] = 3

    def receptive_field(self, *xs: Field) -> Field:
        return xs[0].whole() if xs[0].flat else xs[0]


@dataclass(frozen=True)
class Dropout(Op):
    """In training, zero with probability `p` and the rest scaled by 1/(1 - p); Srivastava et al. (2014)."""

    p: Share = 0.5


@dataclass(frozen=True)
class BatchNorm(Op):
    """Each channel normalised by the statistics of the batch, at inference by running ones; Ioffe & Szegedy (2015).

    `momentum` is the weight of the newest batch in the running statistics, as in PyTorch. `affine` brings a
    trained factor and summand a channel.
    """

    eps: float = 1e-5
    momentum: float = 0.1
    affine: bool = True
    work: ClassVar[int] = 2  # at inference: one product, one sum

    def parameters(self, *xs: Shape) -> dict[str, Shape]:
        channels = self._only(xs)[:1]
        return {"weight": channels, "bias": channels} if self.affine else {}

    def buffers(self, *xs: Shape) -> dict[str, Shape]:
        channels = self._only(xs)[:1]
        return {"running_mean": channels, "running_var": channels}


@dataclass(frozen=True)
class LayerNorm(Op):
    """Each position normalised over its channels, then a trained factor and summand a channel; Ba et al. (2016), as
    ConvNeXt uses it (Liu et al. 2022).
    """

    eps: float = 1e-5
    affine: bool = True

    def other_ops(self, *xs: Shape) -> int:
        return _normalising(self, self._only(xs))

    def parameters(self, *xs: Shape) -> dict[str, Shape]:
        channels = self._only(xs)[:1]
        return {"weight": channels, "bias": channels} if self.affine else {}

    def receptive_field(self, *xs: Field) -> Field:
        return xs[0].whole() if xs[0].flat else xs[0]


@dataclass(frozen=True)
class GroupNorm(Op):
    """Groups of channels normalised over all positions, then a trained factor and summand a channel; Wu & He (2018).

    One group a channel is instance norm, one group in all is layer norm over the whole map.
    """

    groups: Count
    eps: float = 1e-5
    affine: bool = True

    def output_shape(self, *xs: Shape) -> Shape:
        x = self._only(xs)
        if x[0] % self.groups:
            raise ShapeError(f"{x[0]} channels do not divide into {self.groups} groups")
        return x

    def other_ops(self, *xs: Shape) -> int:
        return _normalising(self, self._only(xs))

    def parameters(self, *xs: Shape) -> dict[str, Shape]:
        channels = self._only(xs)[:1]
        return {"weight": channels, "bias": channels} if self.affine else {}

    def receptive_field(self, *xs: Field) -> Field:
        return xs[0].each(lambda axis, i: axis.whole(axis.units))

    def local_field(self, *xs: Field) -> Field:
        return xs[0]


@dataclass(frozen=True)
class LocalResponseNorm(Op):
    """x / (k + alpha/size * sum of squares over `size` neighbouring channels) ** beta; Krizhevsky et al. (2012), 3.3.

    As in PyTorch `alpha` is divided by `size`; the paper's alpha of 1e-4 over 5 channels is 5e-4 here.
    """

    size: Count
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 1.0

    def output_shape(self, *xs: Shape) -> Shape:
        return self._map(xs)

    def other_ops(self, *xs: Shape) -> int:
        return (self.size + 4) * math.prod(self._only(xs))  # squares, sums, product and sum, power, quotient


def _normalising(norm: LayerNorm | GroupNorm, x: Shape) -> int:
    """For each value the two means, difference, square and quotient, then factor and summand; roots left out."""
    return (7 if norm.affine else 5) * math.prod(x)
