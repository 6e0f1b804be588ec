"""Layouts against PyTorch itself: the same views and permutations of a tensor whose values are their own places."""

from __future__ import annotations

import math
import random

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from foveal.tracing.layouts import Atom, Layout


def rearranged(seed: int) -> tuple[Layout, Tensor, Tensor]:
    """A node's output, and a tensor made of it by a few random views and permutations, with its layout."""
    draw = random.Random(seed)
    shape = tuple(draw.choice((1, 2, 4, 6, 8)) for _ in range(draw.choice((1, 2, 3))))
    node = torch.arange(2 * math.prod(shape)).reshape(2, *shape)
    layout, x = Layout.plain(shape, Atom(2)), node
    for _ in range(draw.randint(1, 5)):
        if draw.random() < 0.5:
            order = [0, *draw.sample(range(1, x.dim()), x.dim() - 1)]
            layout, x = layout.permuted(order), x.permute(order)
            continue
        sizes, left = [2], math.prod(shape)
        while left > 1:
            sizes.append(draw.choice([n for n in range(1, left + 1) if left % n == 0]))
            left //= sizes[-1]
        viewed = layout.viewed(sizes)
        if viewed is not None:
            layout, x = viewed, x.reshape(sizes)
    return layout, x, node


@pytest.mark.parametrize("seed", range(400))
def test_what_a_layout_says_of_random_rearrangements(seed: int) -> None:
    layout, x, node = rearranged(seed)
    assert (2, *layout.sizes(layout.natural)) == tuple(x.shape) or x.dim() == 1
    assert layout.whole
    for order in (layout.natural, layout.order):
        laid = x.permute(0, *order).flatten()
        assert layout.flat(order) == bool((laid == node.flatten()).all())
        if (groups := layout.shuffle(order)) is not None and node.dim() > 2:
            shuffled = F.channel_shuffle(node, groups)
            assert (laid == shuffled.flatten()).all()
            assert layout.shuffled(groups).flat(order)
        if (factor := layout.pixel_shuffle(order)) is not None:
            assert (laid == F.pixel_shuffle(node, factor).flatten()).all()


def test_the_shuffles_are_found() -> None:
    plain = Layout.plain((8, 3, 5), Atom(2))
    shuffled = plain.viewed((2, 4, 2, 3, 5)).permuted((0, 2, 1, 3, 4)).viewed((2, 8, 3, 5))
    assert shuffled.shuffle(shuffled.natural) == 4
    larger = plain.viewed((2, 2, 2, 2, 3, 5)).permuted((0, 1, 4, 2, 5, 3)).viewed((2, 2, 6, 10))
    assert larger.pixel_shuffle(larger.natural) == 2
    assert plain.shuffle(plain.natural) is plain.pixel_shuffle(plain.natural) is None


def test_an_uneven_cut_and_a_mixed_batch_are_refused() -> None:
    plain = Layout.plain((6, 4), Atom(2))
    assert plain.viewed((2, 4, 6)) is None
    assert plain.viewed((1, 2, 24)).batch_dim == 1
    assert plain.viewed((12, 4)).batch_dim is None


def test_reductions_repeats_and_parts() -> None:
    plain = Layout.plain((6, 4, 5), Atom(2))
    assert plain.without((2, 3), keep=False).sizes((1,)) == (6,)
    assert plain.without((2, 3), keep=True).sizes((1, 2, 3)) == (6, 1, 1)
    wide = plain.without((2, 3), keep=True).expanded((2, 6, 4, 5))
    assert wide.sizes(wide.natural) == (6, 4, 5)
    assert not wide.whole
    assert wide.once().whole
    assert plain.resized(1, 3).sizes((1, 2, 3)) == (3, 4, 5)
    halves = plain.viewed((2, 2, 3, 4, 5))
    assert halves.find(halves.dims[2]) == (0, 1)
    assert plain.runs == halves.viewed((2, 6, 4, 5)).runs != halves.runs
