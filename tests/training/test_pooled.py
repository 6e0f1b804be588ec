"""The joined convolution and pooling against PyTorch's two."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foveal import notation
from foveal.build import build
from foveal.rewriting import for_training
from foveal.training.callbacks import Callback
from foveal.training.checkpoint import Checkpointing
from foveal.training.choices import choose
from foveal.training.config import Config
from foveal.training.loop import fit
from foveal.training.pooled import PooledConv, join_pools, pooled
from foveal.training.state import Training
from small_training import some_digits

pytestmark = pytest.mark.usefixtures("one_thread")

LECTURES = "28x28x1 > conv 28 3x3 relu > maxpool 3 > flatten > dense 16 relu > dense 10"
DIGITS = "8x8x1 > conv 6 3x3 same relu > maxpool 2 > flatten > dense 10"


def both(conv: nn.Conv2d, pool: nn.MaxPool2d, x: Tensor) -> list[tuple[Tensor, ...]]:
    """Output and gradients of the two in turn, and of the two as one."""
    made = PooledConv(conv, pool)
    made.to(x.dtype).joined = True
    found = []
    for module in (nn.Sequential(conv, pool), made):
        y = module(x)
        generator = torch.Generator().manual_seed(1)
        weights = [each for each in (conv.weight, conv.bias) if each is not None]
        found.append((y, *torch.autograd.grad(y, weights, torch.randn(y.shape, generator=generator).to(y.dtype))))
    return found


@pytest.mark.parametrize(
    ("conv", "pool", "size"),
    [
        (nn.Conv2d(1, 28, 3), nn.MaxPool2d(3), (28, 28)),
        (nn.Conv2d(3, 5, 3, padding=1), nn.MaxPool2d(2), (9, 14)),
        (nn.Conv2d(2, 4, (5, 2), stride=(1, 2), padding=(3, 0), bias=False), nn.MaxPool2d((2, 3)), (13, 17)),
        (nn.Conv2d(1, 3, 4, stride=3), nn.MaxPool2d(2, 3), (31, 30)),  # cells between the windows are never read
        (nn.Conv2d(4, 1, 1), nn.MaxPool2d((1, 4), (2, 4)), (5, 8)),
        (nn.Conv2d(1, 2, 3), nn.MaxPool2d(1), (6, 6)),
    ],
)
@pytest.mark.parametrize("count", [0, 1, 7])
def test_equals_pytorchs_two(conv: nn.Conv2d, pool: nn.MaxPool2d, size: tuple[int, int], count: int) -> None:
    x = torch.randn(count, conv.in_channels, *size, dtype=torch.float64)
    for one, other in zip(*both(conv.double(), pool, x), strict=True):
        assert one.shape == other.shape
        torch.testing.assert_close(other, one)


def test_of_several_largest_cells_the_first_has_the_gradient() -> None:
    conv = nn.Conv2d(1, 4, 2).double()
    with torch.no_grad():
        conv.weight.copy_(torch.randint(-1, 2, conv.weight.shape))  # whole numbers, so that no sum is rounded
    x = torch.randint(0, 2, (9, 1, 9, 9)).double()
    cells = F.conv2d(x, conv.weight).unfold(2, 2, 2).unfold(3, 2, 2).flatten(4)
    assert (cells == cells.amax(4, keepdim=True)).sum(4).gt(1).any()
    for one, other in zip(*both(conv, nn.MaxPool2d(2), x), strict=True):
        assert torch.equal(other, one)


def test_in_bfloat16_as_near_as_pytorchs() -> None:
    conv, x = nn.Conv2d(1, 8, 3), torch.randn(32, 1, 20, 20)
    exact = both(conv, nn.MaxPool2d(2), x)[0]
    with torch.autocast("cpu", torch.bfloat16):
        plain, joined = both(conv, nn.MaxPool2d(2), x)
    assert joined[0].dtype == torch.bfloat16
    for right, one, other in zip(exact, plain, joined, strict=True):
        worse = [float((each - right).detach().norm() / right.detach().norm()) for each in (one, other)]
        assert worse[1] < max(1.5 * worse[0], 0.01)


def test_a_picture_that_needs_a_gradient_has_one() -> None:
    conv, pool, x = nn.Conv2d(1, 4, 3), nn.MaxPool2d(2), torch.randn(2, 1, 8, 8, requires_grad=True)
    made = PooledConv(conv, pool)
    made.joined = True
    expected, found = (torch.autograd.grad(y.square().sum(), x)[0] for y in (pool(conv(x)), made(x)))
    assert torch.equal(found, expected)


@pytest.mark.parametrize(
    ("network", "joined"),
    [
        (LECTURES, ["conv1"]),
        ("28x28x3 > conv 32 5x5 same > maxpool 2 > conv 8 3x3 > maxpool 2 > flatten > dense 10", ["conv1"]),
        ("8x8x1 > conv 4 3x3 > maxpool 3 /2 > flatten > dense 10", []),  # windows overlap
        ("8x8x1 > conv 4 3x3 > maxpool 3 /2 p1 > flatten > dense 10", []),
        ("8x8x1 > conv 4 3x3 bn relu > maxpool 2 > flatten > dense 10", []),  # statistics are of all cells
        ("8x8x1 > conv 4 3x3 > avgpool 2 > flatten > dense 10", []),
        ("8x8x1 > conv 4 3x3 d2 > maxpool 2 > flatten > dense 10", []),
        ("8x8x2 > conv 4 3x3 g2 > maxpool 2 > flatten > dense 10", []),
        ("8x8x1 > flatten > dense 10", []),
        ("28x28x1 > conv 8 5x5 > maxpool 2 > flatten > dense 10", []),  # patches of 36 values for 32 cells
        ("36x36x1 > conv 4 3x3 > maxpool 17 > flatten > dense 10", ["conv1"]),
        ("36x36x1 > conv 4 3x3 > maxpool 18 > flatten > dense 10", []),  # too much of it would be zeros
        ("224x224x3 > conv 2 3x3 > maxpool 222 > flatten > dense 10", []),  # 89 GB of them
    ],
)
def test_where_it_stands(network: str, joined: list[str]) -> None:
    graph = for_training(notation.parse(network))
    plain, module = build(graph), build(graph)
    join_pools(module)
    assert [name for name, each in module.named_modules() if isinstance(each, PooledConv)] == joined
    module.load_state_dict(plain.state_dict())  # the names stay
    x = torch.randn(5, *graph.input_shape)
    assert torch.equal(module(x), plain(x))
    for each in pooled(module):
        each.joined = True
    torch.testing.assert_close(module(x), plain(x))


def test_the_probe_tries_it_where_it_stands() -> None:
    module = build(for_training(notation.parse(LECTURES)))
    example = torch.randn(8, 1, 28, 28), torch.arange(8)
    cpu = torch.device("cpu")
    assert not any("pictures-last" in way for way in choose(module, example, Config(), cpu).seconds)
    join_pools(module)
    found = choose(module, example, Config(), cpu)
    assert "pictures-last f32" in found.seconds
    assert not pooled(module)[0].joined


def test_trains_as_the_two_do(tmp_path: Path) -> None:
    data, network = some_digits(), notation.parse(DIGITS)
    config = Config(epochs=3, batch_size=50, lr=0.01, precision="f32", layout="channels-last", device="cpu")
    seen: list[Training] = []

    class See(Callback):
        def begin(self, training: Training) -> None:
            seen.append(training)

        def after_step(self, training: Training) -> None:
            if training.global_step == 4 and training.config.epochs == 4:
                raise KeyboardInterrupt

    plain = fit(network, data, config, callbacks=[See()])
    joined = fit(network, data, replace(config, layout="pictures-last"), callbacks=[See()])
    assert [pooled(each.module)[0].joined for each in seen] == [False, True]
    assert plain.module and joined.module
    for name, tensor in plain.module.state_dict().items():
        torch.testing.assert_close(joined.module.state_dict()[name], tensor, rtol=1e-3, atol=1e-5)
    assert [each.val_loss for each in joined.epochs] == pytest.approx(
        [each.val_loss for each in plain.epochs], rel=1e-3
    )

    longer, file = replace(config, layout="pictures-last", epochs=4), tmp_path / "checkpoint"
    whole = fit(network, data, longer)
    with pytest.raises(KeyboardInterrupt):
        fit(network, data, replace(longer, checkpoint_every=0), callbacks=[Checkpointing(file), See()])
    resumed = fit(network, data, replace(longer, checkpoint_every=0), resume=file)
    assert whole.module and resumed.module
    for name, tensor in whole.module.state_dict().items():
        assert torch.equal(resumed.module.state_dict()[name], tensor)
