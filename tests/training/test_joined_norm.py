"""Joined batch norms do what PyTorch's own does with the whole batch."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from foveal.training.joined_norm import JoinedNorms, joined_batch_norm
from small_training import started

SHARES = [3, 5]  # of a batch


@pytest.fixture
def alone() -> Iterator[None]:
    """A world of one process."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


class ActivatedNorm(nn.BatchNorm2d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).relu()


NORMS = {
    "plain": lambda: nn.BatchNorm2d(3),
    "mean of all batches": lambda: nn.BatchNorm2d(3, momentum=None),
    "no weights": lambda: nn.BatchNorm2d(3, affine=False),
    "no memory": lambda: nn.BatchNorm2d(3, track_running_stats=False),
    "frozen weights": lambda: nn.BatchNorm2d(3).requires_grad_(False),
    "another eps": lambda: nn.BatchNorm2d(3, eps=0.1, momentum=0.5),
    "dense": lambda: nn.BatchNorm1d(3),
    "of a user": lambda: ActivatedNorm(3),
}


Batch = tuple[Tensor, Tensor]


def passed(norm: nn.Module, batches: list[Batch]) -> dict[str, Tensor]:
    """What `norm` makes of some batches, its gradients for the last, and its state."""
    for x, g in batches:
        x = x.clone().requires_grad_()
        y = norm(x)
        norm.zero_grad()
        y.backward(g)
    gradients = {f"gradient of {name}": each.grad for name, each in norm.named_parameters() if each.grad is not None}
    return {"y": y.detach(), "gradient of x": x.grad, **gradients, **norm.state_dict()}


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("kind", NORMS)
def test_one_process_alone_gets_what_pytorch_has(kind: str, layout: torch.memory_format, alone: None) -> None:
    own, joined = NORMS[kind](), NORMS[kind]()
    draws = [2 + torch.randn(2, 6, 3, 5, 4) for _ in range(2)]
    batches = [(x.to(memory_format=layout), g.to(memory_format=layout)) for x, g in draws]
    if isinstance(own, nn.BatchNorm1d):
        batches = [(x[:, :, 0, 0], g[:, :, 0, 0]) for x, g in batches]
    expected = passed(own, batches)
    with JoinedNorms():
        found = passed(joined, batches)
        evaluated = joined.eval()(batches[0][0])
    torch.testing.assert_close(found, expected, check_stride=True)
    torch.testing.assert_close(evaluated, own.eval()(batches[0][0]))


@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 2, 2)])
def test_gradients_are_the_numerical_ones(shape: tuple[int, ...], alone: None) -> None:
    x, weight, bias = (torch.randn(size, dtype=torch.float64, requires_grad=True) for size in (shape, (3,), (3,)))
    assert torch.autograd.gradcheck(
        lambda *each: joined_batch_norm(each[0], None, None, *each[1:], True), (x, weight, bias)
    )
    assert torch.autograd.gradcheck(lambda x: joined_batch_norm(x, None, None, training=True), (x,))


def test_gradients_may_lie_in_any_order(alone: None) -> None:
    """A gradient that is one number at all positions, as of a mean, and one of another layout than the map."""
    for g in (
        torch.randn(4, 3, 1, 1).expand(4, 3, 5, 5),
        torch.randn(4, 3, 5, 5).contiguous(memory_format=torch.channels_last),
    ):
        x = torch.randn(4, 3, 5, 5, requires_grad=True)
        own, joined = (
            torch.autograd.grad(norm(x, None, None, training=True), x, g)
            for norm in (nn.functional.batch_norm, joined_batch_norm)
        )
        torch.testing.assert_close(joined, own)


def test_statistics_of_bfloat16_are_float32(alone: None) -> None:
    """Against PyTorch's own, of a map whose mean is far from 0."""
    own, joined = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    x, g = (30 + torch.randn(8, 3, 4, 4)).bfloat16(), torch.randn(8, 3, 4, 4).bfloat16()
    expected = passed(own, [(x.float(), g.float())])
    with torch.autocast("cpu", torch.bfloat16), JoinedNorms():
        found = passed(joined, [(x, g)])
    coarse = {name: found.pop(name) for name in ("y", "gradient of x")}
    assert {each.dtype for each in coarse.values()} == {torch.bfloat16}
    for name, each in coarse.items():
        torch.testing.assert_close(each.float(), expected.pop(name), atol=0.01, rtol=0.01)
    torch.testing.assert_close(found, expected)


def far_batches() -> list[Batch]:
    """Two batches of 8 so far from 0 that float32 has no digits left in a mean of squares."""
    generator = torch.Generator().manual_seed(0)
    draws = [torch.randn(2, 8, 3, 4, 4, generator=generator) for _ in range(2)]
    return [(x + 1000, g) for x, g in draws]


def norm_share(folder: Path, rank: int, port: int) -> None:
    """What each of two processes does: its shares of the batches through one norm."""
    store = dist.TCPStore("localhost", port, is_master=rank == 0)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2)
    parts = slice(0, 3) if rank == 0 else slice(3, 8)
    with JoinedNorms():
        found = passed(nn.BatchNorm2d(3, momentum=None), [(x[parts], g[parts]) for x, g in far_batches()])
    save_file(found, folder / f"{rank}.safetensors")
    dist.barrier()


def test_uneven_shares_make_up_one_batch(tmp_path: Path) -> None:
    expected = passed(nn.BatchNorm2d(3, momentum=None), far_batches())
    with socket.create_server(("localhost", 0)) as free:
        port = free.getsockname()[1]
    processes = [started(norm_share, tmp_path, rank, port) for rank in (0, 1)]
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    shares = [load_file(tmp_path / f"{rank}.safetensors") for rank in (0, 1)]
    for name, whole in expected.items():
        parts = [share[name] for share in shares]
        if name in ("y", "gradient of x"):
            parts = [torch.cat(parts)]
        elif name.startswith("gradient"):
            parts = [parts[0] + parts[1]]  # of weight and bias: each process has its own share's
        for part in parts:
            torch.testing.assert_close(part, whole, rtol=1e-4, atol=2e-4, msg=lambda text, n=name: f"{n}: {text}")
