"""Networks written as people write them, traced, and held against PyTorch's run of the same."""

from __future__ import annotations

import math

import pytest
import torch
from recovered import counted, op_names, same_function
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from foveal import ops, zoo
from foveal.build import build
from foveal.graph import Graph
from foveal.ops import Conv, Opaque
from foveal.tracing.modules import trace


class Residual(nn.Module):
    """In-place activations, one module called twice, a functional sum: torchvision's style."""

    def __init__(self, channels: int = 8) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        y += x
        return self.relu(y)


class Gate(nn.Module):
    """Squeeze and excite with dense layers and `expand_as`."""

    def __init__(self, channels: int = 8) -> None:
        super().__init__()
        self.squeeze, self.excite = nn.Linear(channels, 4), nn.Linear(4, channels)

    def forward(self, x: Tensor) -> Tensor:
        gate = F.relu(self.squeeze(x.mean((2, 3))))
        return x * torch.sigmoid(self.excite(gate)).view(len(x), -1, 1, 1).expand_as(x)


class ChannelsLast(nn.Module):
    """ConvNeXt's block: two permutations around the layers of the last axis."""

    def __init__(self, channels: int = 8) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels)
        self.fc1, self.fc2 = nn.Linear(channels, 4 * channels), nn.Linear(4 * channels, channels)
        self.gamma = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.dwconv(x).permute(0, 2, 3, 1))
        return x + (self.gamma * self.fc2(F.gelu(self.fc1(y)))).permute(0, 3, 1, 2)


class Shuffle(nn.Module):
    """ShuffleNet v2: halves, one of them worked on, shuffled by view and transpose."""

    def __init__(self) -> None:
        super().__init__()
        self.branch = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(2):
            left, right = x.chunk(2, dim=1)
            x = torch.cat((left, F.relu_(self.branch(right))), 1)
            n, c, h, w = x.shape
            x = x.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, c, h, w)
        return x


class SamePadding(nn.Module):
    """TensorFlow's padding, computed from the size in hand."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(F.pad(x, (0, 1, 0, 1)))
        return F.max_pool2d(F.pad(x, (0, 1, 0, 1), value=-torch.inf), 3, 2)


class Tokens(nn.Module):
    """A map as a row of tokens, and back."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.mix = nn.Conv2d(3, 8, 4, stride=4), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        y = self.patch(x).flatten(2).transpose(1, 2)
        y = y + F.silu(self.mix(y))
        return y.mean(1)


class Largest(nn.Module):
    """Maxout in its two spellings."""

    def forward(self, x: Tensor) -> Tensor:
        n, _, h, w = x.shape
        x = x.view(n, 4, 2, h, w).amax(2)
        return x.unflatten(1, (2, 2)).max(2).values


class Several(nn.Module):
    """Auxiliary outputs in a nest."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> dict[str, object]:
        y = self.a(x)
        return {"first": y, "rest": (self.b(y), [y.flatten(1)])}


def sequential() -> nn.Module:
    return nn.Sequential(
        nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.Hardswish(inplace=True),
        nn.Dropout(), nn.MaxPool2d(3, 2, 1, ceil_mode=True), nn.Conv2d(8, 8, 3, padding="same", dilation=2, groups=4),
        nn.PReLU(8), nn.AvgPool2d(2), nn.ConvTranspose2d(8, 6, 3, stride=2, padding=1, output_padding=1),
        nn.Upsample(scale_factor=2, mode="bilinear"), nn.GroupNorm(2, 6), nn.LocalResponseNorm(5), nn.LeakyReLU(0.2),
        nn.MaxPool2d(2, 1, dilation=2), nn.AdaptiveAvgPool2d((2, 3)), nn.Flatten(), nn.Linear(36, 5), nn.LogSoftmax(1),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (sequential, (3, 33, 34)),
        (Residual, (8, 9, 9)),
        (Gate, (8, 6, 6)),
        (ChannelsLast, (8, 10, 12)),
        (Shuffle, (8, 6, 6)),
        (SamePadding, (3, 32, 32)),
        (Largest, (8, 5, 4)),
        (Tokens, (3, 16, 16)),
        (lambda: nn.Sequential(nn.Conv1d(3, 4, 5), nn.BatchNorm1d(4), nn.AdaptiveMaxPool1d(1)), (3, 20)),
        (lambda: nn.Sequential(nn.Conv3d(2, 4, (1, 3, 3)), nn.InstanceNorm3d(4), nn.AvgPool3d(2)), (2, 6, 8, 8)),
        (lambda: nn.Sequential(nn.Linear(6, 9), nn.BatchNorm1d(9), nn.GELU(), nn.Unflatten(1, (1, 3, 3))), (6,)),
    ],
    ids=[
        "sequential",
        "residual",
        "gate",
        "channels-last",
        "shuffle",
        "same",
        "largest",
        "tokens",
        "1-d",
        "3-d",
        "flat",
    ],
)
def test_the_built_trace_computes_what_the_module_computes(module: type, shape: tuple[int, ...]) -> None:
    traced = same_function(module(), shape)
    assert traced.notes == ()


def test_names_are_the_modules_paths() -> None:
    traced = counted(nn.Sequential(Residual(), nn.Conv2d(8, 4, 1)), (8, 9, 9))
    names = ["0.conv1", "0.bn1", "0.relu", "0.conv2", "0.bn2", "0.add", "0.relu2", "1"]
    assert [node.name for node in traced.graph.nodes] == names
    assert traced.modules["0.relu2"] == "0.relu"
    assert traced.modules["0.add"] == "0"
    assert traced.parameters_of["1.weight"] == "1.weight"
    assert traced.graph.name == "sequential"


def test_names_that_python_or_pytorch_reserve_get_an_underscore() -> None:
    module = nn.Module()
    module.register_module("lambda", nn.Conv2d(3, 3, 1))
    module.register_module("input", nn.Conv2d(3, 3, 1))
    module.register_module("train-ed", nn.Conv2d(3, 3, 1))
    module.forward = lambda x: nn.Sequential(*module.children())(x)  # type: ignore[method-assign]
    assert [node.name for node in trace(module, (3, 4, 4)).graph.nodes] == ["lambda_", "input_", "train_ed"]


def test_channels_last_code_leaves_no_permutation() -> None:
    assert op_names(counted(ChannelsLast(), (8, 10, 12))) == [
        "Conv",
        "LayerNorm",
        "Conv",
        "Gelu",
        "Conv",
        "Scale",
        "Add",
    ]


def test_paddings_before_a_window_become_its_own() -> None:
    traced = counted(SamePadding(), (3, 32, 32))
    assert [node.op for node in traced.graph.nodes] == [
        Conv(8, 3, 2, "same"), ops.MaxPool(3, 2, "same")
    ]  # fmt: skip
    fixed = trace(nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(3, 8, 3, 2)), (3, 32, 32)).graph.nodes[0].op
    assert fixed == Conv(8, 3, 2, ((0, 1), (0, 1)))


def test_a_padding_with_two_readers_stays() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            x = F.pad(x, (1, 1, 1, 1))
            return x, self.conv(x)

    assert op_names(counted(Twice(), (3, 8, 8))) == ["Pad", "Conv"]


def test_shared_weights_count_once_and_work_twice() -> None:
    conv = nn.Conv2d(4, 4, 3, padding=1)
    traced = same_function(nn.Sequential(conv, nn.ReLU(), conv), (4, 5, 5))
    assert traced.graph.nodes[2].weights_of == "0"
    assert traced.graph.macs() == 2 * 4 * 4 * 9 * 25


def test_weights_computed_from_parameters_count_under_them() -> None:
    class Standardised(nn.Conv2d):
        """BiT's convolution with NFNet's gain."""

        def __init__(self) -> None:
            super().__init__(4, 6, 3)
            self.gain = nn.Parameter(torch.ones(6, 1, 1, 1))

        def forward(self, x: Tensor) -> Tensor:
            flat = self.weight.reshape(1, 6, -1)
            weight = F.batch_norm(flat, None, None, weight=self.gain.view(-1), training=True, momentum=0.0)
            return F.conv2d(x, weight.reshape_as(self.weight), self.bias)

    for module in (Standardised(), parametrizations.weight_norm(nn.Conv2d(4, 6, 3))):
        traced = counted(module, (4, 8, 8))
        assert [node.op for node in traced.graph.nodes] == [Conv(6, 3, bias=False), ops.Scale(bias=True)]
        assert sorted(traced.parameters_of.values()) == sorted(dict(module.named_parameters()))
    traced = counted(parametrizations.spectral_norm(nn.Conv2d(4, 6, 3)), (4, 8, 8))
    assert [node.op for node in traced.graph.nodes] == [Conv(6, 3)]
    assert "parametrizations.weight.original" in traced.parameters_of.values()


class LargestOverTime(nn.Module):
    """As networks on text pool (Kim 2014): ``max`` gives places, too, which nobody reads."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv1d(3, 4, 5), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.conv(x).max(-1).values)


def test_the_largest_of_all_positions_is_a_global_pooling() -> None:
    assert op_names(same_function(LargestOverTime(), (3, 20))) == ["Conv", "GlobalMaxPool", "Flatten", "Dense"]


class Where(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.max(2)[1]


def test_the_place_of_the_largest_is_opaque() -> None:
    traced = trace(Where(), (3, 20))
    (output,) = traced.graph.outputs
    assert traced.graph.by_name["argmax"].op == Opaque("argmax", (3, 1)) and traced.graph.shapes[output] == (3,)


def test_several_outputs() -> None:
    traced = trace(Several(), (3, 4, 4))
    assert traced.graph.outputs == ("a", "b", "flatten")
    assert [traced.graph.shapes[name] for name in traced.graph.outputs] == [(4, 4, 4), (2, 4, 4), (64,)]


def test_frozen_parameters_are_named() -> None:
    module = Residual()
    module.conv1.weight.requires_grad_(False)
    assert trace(module, (8, 9, 9)).frozen == {"conv1.weight"}


def test_parameters_that_nothing_reads_are_left_out_and_named() -> None:
    module = Residual()
    module.auxiliary = nn.Linear(8, 3)
    traced = trace(module, (8, 9, 9))
    assert sum(p.numel() for p in module.parameters()) == 27 + 2 * (8 * 8 * 9 + 16)
    assert len(traced.graph.parameters()) == 6
    assert "no step reads auxiliary.weight, auxiliary.bias: 2 parameters hold 27 values" in traced.notes[0]


def test_activations_written_out_are_recognised() -> None:
    def activations(x: Tensor) -> tuple[Tensor, ...]:
        return x * torch.sigmoid(x), x * torch.tanh(F.softplus(x)), F.relu6(x + 3.0) / 6.0, x.clamp(0, 6), x * 1 + 0

    class Written(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, ...]:
            return activations(F.relu(x))

    assert op_names(counted(Written(), (3, 4, 4))) == ["Relu", "Silu", "Mish", "Hardsigmoid", "Relu6"]


def test_writing_into_a_slice_changes_the_whole() -> None:
    class Partial(nn.Module):
        """PyramidNet's shortcut: the first channels only."""

        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 5, 1)

        def forward(self, x: Tensor) -> Tensor:
            y = self.conv(x)
            y[:, :3] += x
            return F.relu(y)

    traced = same_function(Partial(), (3, 4, 4))
    assert op_names(traced) == ["Conv", "Slice", "Add", "Slice", "Concat", "Relu"]


def test_writing_in_place_reaches_views_and_no_copies() -> None:
    class Aliases(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            x = torch.sigmoid(x)
            copy, view, data = x.clone(), x.view(len(x), -1).view_as(x), x.data
            F.relu_(x)
            return torch.cat((copy, view, data), 1)

    nodes = same_function(Aliases(), (3, 4, 4)).graph.nodes
    assert [node.name for node in nodes] == ["sigmoid", "relu", "concat"]
    assert nodes[-1].inputs == ("sigmoid", "relu", "relu")


def test_what_cannot_be_recovered_is_opaque_with_its_work_in_a_note() -> None:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.qkv, self.scale = nn.Conv2d(8, 24, 1), nn.Parameter(torch.ones(()))

        def forward(self, x: Tensor) -> Tensor:
            q, k, v = self.qkv(x).flatten(2).chunk(3, dim=1)
            return ((q.transpose(1, 2) @ k * self.scale).softmax(-1) @ v.transpose(1, 2)).transpose(1, 2)

    traced = trace(Attention(), (8, 4, 4))
    labels = [node.op.label for node in traced.graph.nodes if isinstance(node.op, Opaque)]
    assert labels == ["bmm", "mul", "bmm"]
    assert traced.graph.shapes[traced.graph.outputs[0]] == (8, 16)
    assert sum(n == () or n == (1,) for n in traced.graph.parameters().values()) == 1
    bmm = next(note for note in traced.notes if note.startswith("bmm"))
    assert "the totals leave out 4,096 MACs" in bmm  # 2 products of 16 x 8 x 16


def test_arithmetic_on_each_value_keeps_the_receptive_field() -> None:
    class Normalised(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            y = self.conv((x - 0.5) / torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1))
            return (y.permute(0, 2, 3, 1) - x.permute(0, 2, 3, 1)).exp() - y.transpose(2, 3).permute(0, 2, 3, 1)

    opaque = [node.op for node in counted(Normalised(), (3, 4, 4)).graph.nodes if isinstance(node.op, Opaque)]
    assert [(op.label, op.local) for op in opaque] == [
        ("sub", True), ("div", True), ("sub", True), ("exp", True), ("sub", False), ("permute", False)
    ]  # fmt: skip


def test_recurrent_and_attention_layers_lose_no_parameter() -> None:
    class Sequence(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(8, 8, batch_first=True)
            self.attention = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            return self.attention(self.lstm(x.flatten(2).transpose(1, 2))[0]).mean(1)

    module = Sequence()
    traced = trace(module, (8, 3, 3))
    assert set(traced.parameters_of.values()) == set(dict(module.named_parameters()))
    assert not any(note.startswith("no step reads") for note in traced.notes)


def test_one_parameter_in_two_places_of_a_layer_counts_once() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(4, 4, 3)
            self.gain = nn.Parameter(torch.ones(4))

        def forward(self, x: Tensor) -> Tensor:
            x = F.group_norm(self.conv(x), 2, self.gain, self.gain)
            return x + F.conv2d(x, self.conv.weight, self.conv.bias, padding=2, dilation=2)

    traced = trace(Tied(), (4, 8, 8))
    assert sum(math.prod(shape) for shape in traced.graph.parameters().values()) == 4 * 4 * 9 + 4 + 4
    assert [node.op.label for node in traced.graph.nodes if isinstance(node.op, Opaque)] == [
        "native_group_norm", "convolution"
    ]  # fmt: skip


def test_a_filter_that_is_no_parameter_is_not_counted_as_one() -> None:
    class Blur(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("filter", torch.ones(3, 1, 3, 3) / 9)

        def forward(self, x: Tensor) -> Tensor:
            return F.conv2d(x, self.filter, stride=2, groups=3)

    traced = trace(Blur(), (3, 9, 9))
    assert traced.graph.parameters() == {}
    assert "convolution, at convolution, is seen from outside only" in traced.notes[0]
    assert "leave out 432 MACs" in traced.notes[0]


@pytest.mark.parametrize("name", zoo.list_models())
def test_a_built_network_traces_back_to_itself(name: str) -> None:
    graph = zoo.create_graph(name)
    with torch.device("meta"):
        built = build(graph)
    traced = trace(built, graph.input_shape, graph.name)
    again = traced.graph

    def steps(graph: Graph) -> list[tuple[str, tuple[int, ...]]]:
        kept = [node for node in graph.nodes if not isinstance(node.op, (ops.Dropout, ops.Pad))]  # a window's padding
        pool = {ops.AdaptiveAvgPool(1): ops.GlobalAvgPool()}
        return [(type(pool.get(node.op, node.op)).__name__, graph.shapes[node.name]) for node in kept]

    assert steps(again) == steps(graph)
    assert again.parameters() == graph.parameters()
    assert again.buffers() == graph.buffers()
    assert again.macs() == graph.macs()
    assert traced.notes == ()
