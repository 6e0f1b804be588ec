"""Augmentation against loops over single pictures, written out in NumPy, and against what the papers say of areas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import affine_transform
from torch import Tensor

from foveal.errors import UsageError
from foveal.training.augmentation import WORDS, augment, parse

SHAPES = [(6, 1, 9, 9), (5, 3, 8, 11), (1, 4, 12, 7)]
FILL = 99


def batch(shape: tuple[int, ...]) -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 90, shape, np.uint8))  # FILL is in none of them


def changed(text: str, x: Tensor, y: Tensor | None = None, *, epoch: int = 0, seed: int = 0) -> tuple[Tensor, Tensor]:
    torch.manual_seed(seed)
    n, channels = x.shape[:2]
    return augment(
        x, torch.arange(n) % 10 if y is None else y, parse(text), num_classes=10, epoch=epoch, rows=torch.arange(n),
        seed=0, fill=torch.full((channels,), float(FILL)),
    )  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("reach", [1, 3, 6])
def test_crop_moves_each_picture_by_whole_pixels(shape: tuple[int, ...], reach: int) -> None:
    x = batch(shape)
    moved = changed(f"crop {reach}", x)[0]
    padded = np.pad(x.numpy(), ((0, 0), (0, 0), (reach, reach), (reach, reach)), mode="edge")
    _, _, height, width = shape
    shifts = range(2 * reach + 1)
    found = []
    for picture, whole in zip(moved.numpy(), padded, strict=True):
        places = [(i, j) for i in shifts for j in shifts if (whole[:, i : i + height, j : j + width] == picture).all()]
        assert len(places) == 1
        found += places
    assert moved.dtype == torch.uint8
    assert len(set(found)) > 1 or len(found) == 1


def test_crop_does_not_care_how_pictures_lie_in_memory() -> None:
    x = batch((5, 3, 8, 11))
    expected = changed("crop 3", x)[0]
    assert torch.equal(changed("crop 3", x.contiguous(memory_format=torch.channels_last))[0], expected)
    assert torch.equal(changed("crop 3", x.transpose(2, 3).contiguous().transpose(2, 3))[0], expected)


@pytest.mark.parametrize("text", ["crop 3", "rotate 45", "scale 0.5", "crop 3, rotate 180, scale 0.3"])
def test_around_a_digit_on_black_all_stays_black(text: str) -> None:
    x = torch.zeros(32, 1, 16, 16, dtype=torch.uint8)
    x[..., 7:9, 7:9] = 90
    out = changed(text, x)[0]
    assert not torch.equal(out, x)
    assert int((out > 0).sum(dim=(1, 2, 3)).max()) <= 25  # of 256; the ink, enlarged to 4x4 and blurred
    assert bool((out[..., [0, -1], :] == 0).all() & (out[..., [0, -1]] == 0).all())


def test_flip_mirrors_every_picture_in_every_second_epoch() -> None:
    x = batch((64, 3, 6, 7))
    epochs = [changed("flip", x, epoch=epoch, seed=epoch)[0] for epoch in range(3)]
    mirrored = [(picture == x.flip(3)).flatten(1).all(1) for picture in epochs]
    plain = [(picture == x).flatten(1).all(1) for picture in epochs]
    assert all(torch.equal(~a, b) for a, b in zip(mirrored, plain, strict=True))
    assert torch.equal(mirrored[0], ~mirrored[1])
    assert torch.equal(mirrored[0], mirrored[2])
    assert 16 < int(mirrored[0].sum()) < 48  # about half of them begin so


def test_the_coins_of_flip_are_independent() -> None:
    """Of neighbouring pictures, and of two seeds: a pattern would mirror some classes and not others."""
    x = torch.tensor([0, 1], dtype=torch.uint8).expand(20000, 1, 1, 2)
    coins = []
    for seed in (0, 2):
        out, _ = augment(
            x, torch.zeros(20000), parse("flip"), num_classes=2, epoch=0, rows=torch.arange(20000), seed=seed,
            fill=torch.zeros(1),
        )  # fmt: skip
        coins.append(out[:, 0, 0, 0].numpy())
    pairs = [(coins[0][:-k], coins[0][k:]) for k in (1, 2, 10)] + [(coins[0], coins[1])]
    assert max(abs(np.corrcoef(a, b)[0, 1]) for a, b in pairs) < 0.05


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("side", [2, 5])
def test_cutout_hides_a_square_that_may_stick_out(shape: tuple[int, ...], side: int) -> None:
    x = batch(shape)
    cut = changed(f"cutout {side}", x)[0].numpy()
    for before, after in zip(x.numpy(), cut, strict=True):
        hidden = (after == FILL).all(0)
        rows, columns = (np.flatnonzero(hidden.any(axis)) for axis in (1, 0))
        assert hidden.sum() == len(rows) * len(columns)  # a rectangle
        assert 0 < len(rows) <= side
        assert 0 < len(columns) <= side
        for lines, size in ((rows, before.shape[1]), (columns, before.shape[2])):  # cut off only at a border
            assert len(lines) == side or lines[0] == 0 or lines[-1] == size - 1
        assert (np.where(hidden, before, after) == before).all()


def test_turning_by_a_quarter_is_what_numpy_has(monkeypatch: pytest.MonkeyPatch) -> None:
    x = batch((4, 2, 8, 8))
    monkeypatch.setattr(torch.Tensor, "uniform_", lambda self, low, high: self.fill_(high))
    turned = changed("rotate 90", x)[0].numpy()
    np.testing.assert_allclose(turned, np.rot90(x.numpy(), 1, (2, 3)), atol=1e-3)


def test_enlarging_twofold_shows_the_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
    x[..., 3:5, 3:5] = 90
    monkeypatch.setattr(torch.Tensor, "uniform_", lambda self, low, high: self.fill_(2.0))
    larger = changed("scale 0.5", x)[0]
    assert larger[0, 0, 3:5, 3:5].tolist() == [[90, 90], [90, 90]]
    assert 3.5 < float(larger.sum() / x.sum()) < 4.5


def test_a_picture_that_is_not_square_keeps_right_angles() -> None:
    """A cross of equal arms stays one when it is turned: distances are in pixels along both axes."""
    x = torch.full((1, 1, 15, 31), FILL, dtype=torch.uint8)
    x[0, 0, 7, 10:21] = x[0, 0, 2:13, 15] = 0
    turned = changed("rotate 45", x, seed=3)[0][0, 0].numpy()
    dark = np.argwhere(turned < FILL / 2) - (7, 15)
    reach = np.sqrt((dark**2).sum(1)).max()
    assert 4 <= reach <= 6


def test_turning_and_scaling_at_once_interpolate_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """As SciPy samples by the matrix of both: two samplings, one after the other, would blur more."""
    x = batch((2, 1, 9, 12))
    monkeypatch.setattr(torch.Tensor, "uniform_", lambda self, low, high: self.fill_(high))
    moved = changed("rotate 30, scale 0.25", x)[0].numpy()
    angle, centre = np.deg2rad(30), np.array([4.0, 5.5])
    matrix = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) / 1.25  # rows first
    for before, after in zip(x[:, 0].numpy(), moved[:, 0], strict=True):
        offset = centre - matrix @ centre
        expected = affine_transform(before.astype(float), matrix, offset, order=1, mode="nearest")
        np.testing.assert_allclose(after, expected, atol=1e-3)


def test_colour_of_a_grey_picture_keeps_it_grey() -> None:
    x = batch((32, 1, 5, 5)).expand(-1, 3, -1, -1)
    out = changed("colour 0.4", x)[0]
    torch.testing.assert_close(out[:, 0], out[:, 1])
    ratio = out.mean((1, 2, 3)) / x.float().mean((1, 2, 3))
    assert 0.5 < float(ratio.min()) < 0.8
    assert 1.2 < float(ratio.max()) < 1.5
    assert float(out.max()) <= 255


def test_erase_leaves_some_pictures_and_erases_a_third_at_most_of_others() -> None:
    x = torch.full((400, 1, 20, 20), 255, dtype=torch.uint8)
    out = changed("erase 0.5", x)[0]
    share = (out < 255).float().mean((1, 2, 3))
    assert 0.4 < float((share > 0).float().mean()) < 0.6
    assert float(share.max()) < 0.4
    assert float(share[share > 0].mean()) > 0.08


def test_mixup_lays_two_pictures_over_each_other() -> None:
    x = batch((6, 1, 4, 4))
    out, target = changed("mixup 1", x)
    assert target.shape == (6, 10)
    torch.testing.assert_close(target.sum(1), torch.ones(6))
    for i in range(6):
        other = int(target[i].argsort(descending=True)[:2].tolist()[1 if target[i].argmax() == i else 0])
        own = float(target[i, i])
        expected = own * x[i].float() + (1 - own) * x[other].float()
        torch.testing.assert_close(out[i], expected)


def test_cutmix_shares_targets_as_it_shares_the_area() -> None:
    n = 8
    x = (torch.arange(n, dtype=torch.uint8) * 10)[:, None, None, None].expand(n, 1, 16, 16)
    for seed in range(5):
        out, target = changed("cutmix 1", x, seed=seed)
        for i in range(n):
            own = float((out[i] == 10 * i).float().mean())
            assert float(target[i, i]) == pytest.approx(own, abs=1e-6)
        torch.testing.assert_close(target.sum(1), torch.ones(n))


def test_of_mixup_and_cutmix_each_batch_gets_one() -> None:
    x = (torch.arange(8, dtype=torch.uint8) * 10)[:, None, None, None].expand(8, 1, 16, 16)
    kinds = {changed("mixup 1, cutmix 1", x, seed=seed)[0].dtype for seed in range(12)}
    assert kinds == {torch.float32, torch.uint8}  # a rectangle needs no arithmetic


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_equal_seeds_give_equal_batches(word: str, shape: tuple[int, ...]) -> None:
    limits, _ = WORDS[word]
    text = word if limits is None else f"{word} {min(limits[1], 5 if type(limits[0]) is int else 0.9)}"
    text = "rotate 20" if word == "rotate" else text
    x = batch(shape)
    once, again = (changed(text, x, seed=4) for _ in range(2))
    assert torch.equal(once[0], again[0])
    assert torch.equal(once[1], again[1])
    assert once[0].shape == x.shape
    assert bool(torch.isfinite(once[0].float()).all())


def test_nothing_to_do_changes_nothing() -> None:
    x, y = batch((3, 1, 4, 4)), torch.arange(3)
    assert parse(" ") == ()
    out, target = changed("", x, y)
    assert out is x
    assert target is y


def test_text_comes_back_in_the_order_of_work() -> None:
    assert ", ".join(map(str, parse("mixup 0.20, flip,crop 4 , color 0.1"))) == "crop 4, flip, colour 0.1, mixup 0.2"
    assert [each.mixes for each in parse("crop 4, mixup 0.2, cutmix 1")] == [False, True, True]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("crop", "augment: crop; expected crop and a whole number from 1 to 64, as in crop 4"),
        ("crop 1.5", "augment: crop 1.5; expected crop and a whole number"),
        ("crop 0", "expected crop and a whole number from 1 to 64"),
        ("crop four", "augment: crop four; expected crop"),
        ("mixup 0", "expected mixup and a number from 0.01 to 10, as in mixup 0.2"),
        ("rotate nan", "expected rotate and a number from 1 to 180"),
        ("flip 1", "augment: flip takes no number, received 1"),
        ("flip, flip", "augment: flip is said twice"),
        ("flop", "unknown augmentation 'flop'; did you mean"),
    ],
)
def test_texts_that_make_no_sense(text: str, message: str) -> None:
    with pytest.raises(UsageError) as error:
        parse(text)
    assert message in str(error.value)


@pytest.mark.parametrize(("text", "said"), [("crop 8", "out of sight"), ("cutout 8", "hides pictures of 8x8")])
def test_pictures_too_small(text: str, said: str) -> None:
    call: Any = changed
    with pytest.raises(UsageError, match=said):
        call(text, batch((2, 1, 8, 8)))
