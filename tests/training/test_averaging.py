"""The average of the weights against torch.optim.swa_utils."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from foveal.errors import WeightsError
from foveal.training.averaging import Averaged


def network() -> nn.Module:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 8), nn.Linear(8, 8))
    module[4].weight = module[3].weight  # tied
    return module


def move(module: nn.Module) -> None:
    """What a step does: other weights, other statistics, one batch more."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter))
        module(torch.randn(4, 1, 4, 4) * 3)


def snapshot(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


@pytest.mark.parametrize("decay", [0.05, 0.9])
def test_averages_are_torchs(decay: float) -> None:
    """Torch's first update copies; ours begins with the first weights, and with d = t / (9 + t) while that is less."""

    def average(average: Tensor, now: Tensor, count: Tensor) -> Tensor:
        d = min(decay, count.item() / (9 + count.item()))
        return d * average + (1 - d) * now if now.is_floating_point() else now

    module = network()
    ours = Averaged(module, decay)
    theirs = AveragedModel(module, avg_fn=average, use_buffers=True)
    theirs.update_parameters(module)
    for _ in range(12):
        move(module)
        ours.update()
        theirs.update_parameters(module)
    expected = theirs.module.state_dict()
    assert ours.state().keys() == expected.keys()
    for name, tensor in ours.state().items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-5, atol=1e-6)


def test_swapped_is_the_average_and_then_exactly_what_was() -> None:
    module = network()
    averaged = Averaged(module, 0.5)
    move(module)
    averaged.update()
    own, average = snapshot(module), {name: tensor.clone() for name, tensor in averaged.state().items()}
    with pytest.raises(KeyError), torch.inference_mode(), averaged.swapped():
        assert all(torch.equal(tensor, average[name]) for name, tensor in module.state_dict().items())
        module(torch.randn(4, 1, 4, 4))  # in training mode: the statistics move
        raise KeyError
    assert all(torch.equal(tensor, own[name]) for name, tensor in module.state_dict().items())
    assert all(torch.equal(tensor, average[name]) for name, tensor in averaged.state().items())
    module(torch.randn(4, 1, 4, 4)).sum().backward()  # the weights are still those of a training


def test_goes_on_from_its_state() -> None:
    first, second = network(), network()
    one, other = Averaged(first, 0.9), Averaged(second, 0.9)
    move(first)
    one.update()
    second.load_state_dict(first.state_dict())
    other.load_state_dict(one.state_dict())
    for module, averaged in ((first, one), (second, other)):
        torch.manual_seed(1)
        move(module)
        averaged.update()
    assert all(torch.equal(tensor, other.state()[name]) for name, tensor in one.state().items())


def test_a_state_of_another_network_is_refused() -> None:
    averaged = Averaged(network(), 0.9)
    with pytest.raises(WeightsError, match=r"averaged weights: 0.weight differs, so they are of another network"):
        averaged.load_state_dict(Averaged(nn.Sequential(nn.Linear(2, 2)), 0.9).state_dict())
    assert averaged.state_dict()["count"] == 0
