"""What tracing leaves behind, which is nothing, and what it says where it cannot go on."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules import module as hooks

from foveal.errors import FovealError, GraphError, UsageError
from foveal.tracing.modules import trace


class Restless(nn.Module):
    """Changes itself as it runs, draws random numbers, and may fail."""

    def __init__(self, fails: bool) -> None:
        super().__init__()
        self.conv, self.bn, self.drop = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout()
        self.register_buffer("calls", torch.zeros(()))
        self.fails, self.cache = fails, None

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.cache = self.drop(self.bn(self.conv(x)))
        self.new = nn.ReLU()
        torch.rand(3)
        random.random()
        if self.fails:
            raise ValueError("no such luck")
        return self.new(self.cache)


def snapshot(module: nn.Module) -> list[Any]:
    attributes = [(name, dict(m.__dict__), list(m._modules)) for name, m in module.named_modules()]
    tensors = [(name, id(t), t._version, t.clone()) for name, t in module.state_dict(keep_vars=True).items()]
    return [
        [(name, {k: id(v) for k, v in own.items()}, inner) for name, own, inner in attributes],
        [(name, key, version, t.tolist()) for name, key, version, t in tensors],
        torch.get_rng_state().tolist(),
        random.getstate(),
        len(hooks._global_forward_hooks) + len(hooks._global_forward_pre_hooks),
        torch.is_grad_enabled(), torch.is_inference_mode_enabled(),
    ]  # fmt: skip


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("fails", [True, False])
def test_the_module_and_the_world_stay_as_they_were(fails: bool, training: bool) -> None:
    module = Restless(fails).train(training)
    module.bn.eval()
    before = snapshot(module)
    if fails:
        with pytest.raises(GraphError, match="no such luck"):
            trace(module, (3, 8, 8))
    else:
        assert len(trace(module, (3, 8, 8)).graph.nodes) == 3  # convolution, batch norm, ReLU; no dropout
    assert snapshot(module) == before


def test_no_number_is_computed_and_no_weight_copied() -> None:
    module = nn.Linear(10**6, 10**6, device="meta")  # 4 TB, if it were real
    assert trace(module, (10**6,)).graph.macs() == 10**12


def test_a_hook_of_the_user_runs_and_stays() -> None:
    seen = []
    module = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU())
    module[0].register_forward_hook(lambda m, x, y: seen.append(y.shape[1:]) or 2 * y)
    labels = [type(node.op).__name__ for node in trace(module, (3, 4, 4)).graph.nodes]
    assert labels == ["Conv", "Factor", "Relu"]
    assert seen == [(3, 4, 4)]
    assert len(module[0]._forward_hooks) == 1


def test_types_other_than_float32() -> None:
    assert trace(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).half(), (3, 8, 8)).graph.macs() == 4 * 27 * 36


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of PyTorch's compiler, by itself
def test_a_compiled_module_is_traced_as_it_was_written() -> None:
    traced = trace(torch.compile(nn.Sequential(nn.Conv2d(3, 4, 3))), (3, 8, 8))
    assert list(traced.graph.parameters()) == ["0.weight", "0.bias"]


class Forward(nn.Module):
    """A network whose forward is one function."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.inner = nn.Identity()
        self.inner.forward = function

    def forward(self, x: Tensor) -> Any:
        return self.inner(x)


@pytest.mark.parametrize(
    ("module", "shape", "message"),
    [
        (nn.Conv2d(3, 4, 3), None, "Conv2d is a PyTorch module, .* give --input 3x224x224"),
        (nn.Conv2d, (3, 8, 8), "Conv2d'> is no torch.nn.Module; give a module, or a function that returns one"),
        (nn.Conv2d(3, 4, 3), (3, 0, 8), r"input_shape \(3, 0, 8\); expected one to four whole numbers"),
        (nn.Conv2d(3, 4, 3), "3x8x8", "input_shape '3x8x8'; expected"),
        (nn.LazyConv2d(4, 3), (3, 8, 8), r"weight has no shape yet; run the module once, on torch.zeros\(1, 3, 8, 8\)"),
        (nn.Sequential(nn.ReLU(), nn.Conv2d(3, 4, 3)), (1, 8, 8),
         r"1 \(Conv2d\): forward raised RuntimeError for an input of 8x8x1: .*channel.*; check the input's size"),
        (nn.Sequential(nn.Flatten(), nn.Linear(9, 2)), (3, 8, 8), r"1 \(Linear\): forward raised RuntimeError"),
        (nn.Bilinear(3, 3, 2), (3,), "Bilinear: forward raised TypeError .* takes one tensor"),
        (Forward(lambda x: x if x.sum() > 0 else -x), (3,), r"inner \(Identity\): what it computes next depends on"),
        (Forward(lambda x: x[: int(x[0, 0].item())]), (3,), r"depends on the values of a tensor \(item\)"),
        (Forward(lambda x: x[x > 0]), (3,), r"inner \(Identity\): an operation .* without them .*nonzero"),
        (Forward(lambda x: torch.linalg.eigvals(x.reshape(2, 3, 3)).numpy()), (9,), r"inner \(Identity\): "),
        (Forward(lambda x: "nothing"), (3,), "Forward returned str with no tensor computed from its input"),
        (Forward(lambda x: torch.zeros(2, 3)), (3,), "Forward returned Tensor with no tensor computed"),
        (Forward(lambda x: 1 / 0), (3,), "forward raised ZeroDivisionError for an input of 3: division by zero"),
        (Forward(lambda x: eval("oops\x1b[31m")), (3,), "forward raised SyntaxError"),
    ],
)  # fmt: skip
def test_messages(module: nn.Module, shape: Any, message: str) -> None:
    with pytest.raises(FovealError, match=message) as error:
        trace(module, shape)
    assert "\x1b" not in str(error.value)
    assert "\n" not in str(error.value)
    ours = any(said in message for said in ("input_shape", "--input 3x", "is no torch"))
    assert isinstance(error.value, UsageError if ours else GraphError)


def test_a_data_parallel_module_is_traced_as_the_one_inside() -> None:
    traced = trace(nn.DataParallel(nn.Sequential(nn.Conv2d(3, 4, 3))), (3, 8, 8))
    assert list(traced.graph.parameters()) == ["0.weight", "0.bias"]


def test_torchscript_is_refused() -> None:
    with pytest.warns(DeprecationWarning):
        scripted = torch.jit.script(nn.Sequential(nn.ReLU()))
    with pytest.raises(GraphError, match="compiled TorchScript, which cannot be traced"):
        trace(scripted, (3, 8, 8))


def test_an_output_that_is_the_input() -> None:
    traced = trace(nn.Identity(), (3, 8, 8))
    assert [(node.name, node.inputs) for node in traced.graph.nodes] == [("identity", ("input",))]


def test_names_of_any_kind_make_a_graph() -> None:
    module = nn.Module()
    odd = ["a b", "a_b", "é", "__class__", "x" * 90, "", "1"]
    for name in odd:
        module._modules[name] = nn.Conv2d(3, 3, 1)
    module.forward = lambda x: [m(x) for m in module._modules.values()]  # type: ignore[method-assign]
    graph = trace(module, (3, 4, 4)).graph
    assert len(graph.nodes) == len(odd) == len({node.name for node in graph.nodes})
