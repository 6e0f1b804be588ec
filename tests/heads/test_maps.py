from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from foveal.data.decode import decode_image
from foveal.engines.openvino import OpenVinoEngine
from foveal.features import Backbone, with_head
from foveal.heads.maps import class_map


def test_a_map_by_hand() -> None:
    fine = np.arange(16.0).reshape(1, 4, 4)
    coarse = np.array([[[1.0, 2.0], [3.0, 4.0]]])
    found = class_map([coarse, fine], np.array([10.0, -1.0]))
    assert found.tolist() == [
        [10 - 0, 10 - 1, 20 - 2, 20 - 3],
        [10 - 4, 10 - 5, 20 - 6, 20 - 7],
        [30 - 8, 30 - 9, 40 - 10, 40 - 11],
        [30 - 12, 30 - 13, 40 - 14, 40 - 15],
    ]
    assert found.mean() == 10 * coarse.mean() - fine.mean()


def test_cells_that_do_not_divide_are_shared() -> None:
    """3 positions over 2: the middle one lies half under each."""
    fine, coarse = np.zeros((1, 3, 3)), np.array([[[2.0, 4.0], [6.0, 12.0]]])
    found = class_map([fine, coarse], np.array([1.0, 1.0]))
    assert found.tolist() == [[2, 3, 4], [4, 6, 8], [6, 9, 12]]
    rng = np.random.default_rng(0)
    maps = [rng.random((2, 8, 8)), rng.random((3, 15, 15)), rng.random((1, 30, 29))]
    weight = rng.standard_normal(6)
    means = np.concatenate([level.mean(axis=(1, 2)) for level in maps])
    assert class_map(maps, weight).mean() == pytest.approx(weight @ means, abs=1e-12)


@pytest.mark.parametrize("levels", [("top",), ("stage7", "top"), ("stage3", "stage5", "stage7", "top")])
def test_the_mean_of_the_map_is_the_logit_less_its_bias(
    backbone: Backbone, photo_files: list[Path], levels: tuple[str, ...]
) -> None:
    """Equation 2 of Zhou et al. on a real photo: the maps and the logits come from two different graphs."""
    graph = with_head(backbone, levels, 3)
    rng = np.random.default_rng(0)
    shapes = graph.parameters()
    own = {
        name: rng.standard_normal(shapes[name]).astype(np.float32) for name in ("head.dense.weight", "head.dense.bias")
    }
    weights = {name: own.get(name, backbone.weights.get(name)) for name in (*shapes, *graph.buffers())}
    maps_graph = backbone.graph.up_to(*(backbone.levels[level] for level in levels))
    needed = {name: backbone.weights[name] for name in (*maps_graph.parameters(), *maps_graph.buffers())}
    x = backbone.preprocessing(decode_image(photo_files[0], at_least=224))[None]
    logits = OpenVinoEngine(graph, weights)(x)[0][0]
    maps = [level[0] for level in OpenVinoEngine(maps_graph, needed)(x)]
    for row, bias, logit in zip(own["head.dense.weight"], own["head.dense.bias"], logits, strict=True):
        heat = class_map(maps, row)
        assert heat.shape == max(level.shape[1:] for level in maps)
        assert heat.mean() == pytest.approx(logit - bias, abs=1e-4)
        assert heat.std() > 1e-3
