"""EfficientNet-Lite against the package efficientnet-lite-pytorch, which implements the same networks independently."""

from __future__ import annotations

import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet

from foveal.build import build
from foveal.checkpoints import rename
from foveal.published import keys
from foveal.zoo import create_graph


@pytest.mark.parametrize("number", range(5))
def test_random_weights_give_the_same_logits(number: int) -> None:
    torch.manual_seed(number)
    theirs = EfficientNet.from_name(f"efficientnet-lite{number}").eval()
    graph = create_graph(f"efficientnet_lite{number}")
    state = {key: value.numpy() for key, value in theirs.state_dict().items()}
    ours = build(graph, rename(state, keys.efficientnet_lite(graph), graph)).eval()
    x = torch.randn(1, *graph.input_shape)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-5)
