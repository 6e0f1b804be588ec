"""Products with numbers, summands, distances and zeros in code, and the ops that they are; against PyTorch's run."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from recovered import counted, op_names, same_function
from torch import Tensor, nn
from torch.nn import functional as F

from foveal import ops
from foveal.build import build
from foveal.ops import Opaque
from foveal.tracing.modules import trace


def test_a_number_times_a_map_is_a_factor() -> None:
    class Scaled(nn.Module):
        """A number, a constant, a buffer; also in place, divided by, and negated."""

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("scale", torch.tensor(0.17))
            self.register_buffer("part", torch.tensor([0.5]))

        def forward(self, x: Tensor) -> Tensor:
            y = -(x * self.scale)
            y *= 3
            y = torch.mul(torch.tensor(0.25), y / 6) / self.part
            return 1.0 * y + F.relu6(x) / 6

    traced, x = counted(Scaled(), (3, 4, 4)), torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(build(traced.graph)(x), Scaled()(x))
    values = [node.op.value for node in traced.graph.nodes if isinstance(node.op, ops.Factor)]
    assert values == pytest.approx([0.17, -1, 3, 1 / 6, 0.25, 2, 1 / 6], abs=0)
    assert op_names(traced)[-3:] == ["Relu6", "Factor", "Add"]


def test_numbers_that_are_no_factors_stay_opaque() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gain = nn.Parameter(torch.ones(()))
            self.register_buffer("wide", torch.ones(1, 1, 1, 1, 1))

        def forward(self, x: Tensor) -> Tensor:
            return (((x * self.gain * 1e7) / 0 + 0.5) * torch.ones(4)) * self.wide

    traced = trace(Odd(), (3, 4, 4))
    assert [node.op.label for node in traced.graph.nodes if isinstance(node.op, Opaque)][:6] == [
        "mul", "mul", "div", "add", "mul", "mul"
    ]  # fmt: skip


def test_a_shortcut_that_pads_channels() -> None:
    class OptionA(nn.Module):
        """He et al. (2015): every second cell, zeros for the new channels."""

        def forward(self, x: Tensor) -> Tensor:
            return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 3))

    class Both(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.pad(x.permute(0, 2, 3, 1), (1, -2, 0, 0, 1, 0))  # channels last

    traced = same_function(OptionA(), (3, 4, 4))
    assert op_names(traced) == ["Slice", "Slice", "PadChannels"]
    assert traced.graph.nodes[-1].op == ops.PadChannels(2, 3)
    assert [node.op for node in trace(Both(), (3, 4, 4)).graph.nodes][:3] == [
        ops.Slice(0, 1), ops.PadChannels(1, 0), ops.Pad(((1, 0), (0, 0)))
    ]  # fmt: skip
    (lowest,) = trace(nn.ConstantPad3d((0, 0, 0, 0, 1, 0), -torch.inf), (3, 4, 4)).graph.nodes
    assert isinstance(lowest.op, Opaque)


def test_a_summand_for_each_value_and_distances_to_points() -> None:
    class Early(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 3, bias=False)
            self.offset = nn.Parameter(torch.zeros(2, 4, 4))
            self.register_buffer("points", torch.ones(5, 32))

        def forward(self, x: Tensor) -> Tensor:
            y = torch.tanh(self.offset + self.conv(x)).flatten(1)
            return ((y[:, None] - self.points) ** 2).sum(-1)

    traced = counted(Early(), (1, 6, 6))
    assert op_names(traced) == ["Conv", "Offset", "Tanh", "Flatten", "Rbf"]
    assert traced.graph.buffers() == {f"{traced.graph.outputs[0]}.weight": (5, 32)}
    assert traced.notes == ()


@pytest.mark.parametrize(
    "forward",
    [
        lambda x, points: ((x[:, :, None] - points) ** 2).sum(2),
        lambda x, points: ((x[:, None] - points) ** 2).sum(1),
        lambda x, points: ((x[:, None] - points) ** 3).sum(2),
        lambda x, points: torch.sub(x[:, None], points, alpha=2).square().sum(2),
        lambda x, points: (x[:, None] - 2 * points).square().sum(2),
        lambda x, points: ((x[:, None] - points) ** 2).sum(2, keepdim=True),
    ],
)
def test_sums_that_are_no_distances_stay_opaque(forward: Callable[[Tensor, Tensor], Tensor]) -> None:
    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("points", torch.ones(4, 4))

        def forward(self, x: Tensor) -> Tensor:
            return forward(x, self.points)

    assert "Opaque" in op_names(counted(Sum(), (4,))) and "Rbf" not in op_names(counted(Sum(), (4,)))
