"""Weights from a local file, under any known names. Torch's own writing of the files is the oracle."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from foveal import checkpoints
from foveal.checkpoints import load_file, load_pretrained, read_state, rename
from foveal.data.preprocess import Preprocessing
from foveal.errors import WeightsError
from foveal.published import PRETRAINED, Pretrained
from foveal.zoo import without_head
from tiny_weights import GRAPH, is_published, keys, publish, saved, state, tiny


def never(*args: object) -> Any:
    raise AssertionError("torch was asked")


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Pretrained:
    """The tiny network is one with published names and an auxiliary head that is left out."""
    return publish(monkeypatch, "http://nowhere.invalid/x.pth", "00", left_out=("aux.",))


def ours() -> dict[str, torch.Tensor]:
    theirs = state()
    return {name: theirs[keys(GRAPH)(name)] for name in (*GRAPH.parameters(), *GRAPH.buffers())}


@pytest.mark.parametrize(
    "content",
    [
        saved(state()),
        saved(state(), _use_new_zipfile_serialization=False),
        saved({"state_dict": state(), "epoch": 3, "optimizer": {"state": {}}}),
        saved({"model": {f"module.{name}": value for name, value in state().items()}}),
        saved({name: value for name, value in state().items() if "batches" not in name}),
        saved(state(**{"aux.fc.weight": torch.ones(2)})),
        saved({name: value.double() for name, value in state().items()}),
        saved({name: torch.nn.Parameter(value, value.is_floating_point()) for name, value in state().items()}),
        saved(ours()),
    ],
    ids=[
        "published",
        "old format",
        "wrapped",
        "data-parallel",
        "no counter",
        "auxiliary",
        "double",
        "parameters",
        "ours",
    ],
)
def test_a_pth_file_under_any_known_names(tmp_path: Path, known: Pretrained, content: bytes) -> None:
    (tmp_path / "mine.pth").write_bytes(content)
    graph, weights, entry = load_pretrained("tiny", file=tmp_path / "mine.pth")
    assert graph == GRAPH and is_published(weights)
    assert (entry.source, entry.licence, entry.accuracy) == ("the file mine.pth", "not stated", None)
    assert (entry.name, entry.preprocessing) == ("mine.pth", known.preprocessing)
    assert entry.sha256 == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("names", [state, ours])
def test_a_safetensors_file_is_read_without_torch(
    tmp_path: Path, known: Pretrained, monkeypatch: pytest.MonkeyPatch, names: Callable[[], dict[str, torch.Tensor]]
) -> None:
    save_file(names(), tmp_path / "mine.safetensors")
    monkeypatch.setattr(torch, "load", never)
    assert is_published(load_file(tmp_path / "mine.safetensors", "tiny")[1])


@pytest.mark.parametrize(("classes", "channels"), [(3, 3), (5, 1), (1, 6)])
def test_a_file_says_for_how_many_classes_and_channels_it_is(
    tmp_path: Path, known: Pretrained, classes: int, channels: int
) -> None:
    theirs = state(
        **{
            "fc.weight": torch.ones(classes, 4),
            "fc.bias": torch.ones(classes),
            "features.0.weight": torch.ones(4, channels, 3, 3),
        }
    )
    torch.save(theirs, tmp_path / "a.pth")
    graph, weights, _ = load_pretrained("tiny", file=tmp_path / "a.pth")
    assert graph == tiny(classes, (channels, 16, 16))
    assert weights["conv.weight"].shape == (4, channels, 3, 3) and weights["dense.bias"].tolist() == [1] * classes


def test_without_the_head_its_weights_may_be_there_or_not(tmp_path: Path, known: Pretrained) -> None:
    whole, trunk = state(), {name: value for name, value in state().items() if not name.startswith("fc.")}
    odd = state(**{"fc.weight": torch.ones(2, 9), "fc.bias": torch.ones(7)})
    for content in (whole, trunk, odd):
        torch.save(content, tmp_path / "a.pth")
        graph, weights, _ = load_file(tmp_path / "a.pth", "tiny", head=False)
        assert graph == without_head(GRAPH) and weights.keys() == graph.parameters().keys() | graph.buffers().keys()
    torch.save(trunk | {"spy": torch.ones(1)}, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match="spy is not in tiny"):
        load_file(tmp_path / "a.pth", "tiny", head=False)


def test_of_several_publishers_the_one_with_these_names_counts(
    tmp_path: Path, known: Pretrained, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = replace(known, name="other", keys=lambda graph: lambda ours: f"net.{ours}", preprocessing=Preprocessing(32))
    monkeypatch.setitem(PRETRAINED, ("tiny", "other"), other)
    for prefix, expected in (("net.", other), ("", known)):
        torch.save({f"{prefix}{name}": value for name, value in ours().items()}, tmp_path / "a.pth")
        _, weights, entry = load_pretrained("tiny", file=tmp_path / "a.pth")
        assert is_published(weights) and entry.preprocessing == expected.preprocessing


def test_the_background_class_of_a_publisher_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(monkeypatch, "http://nowhere.invalid/x.pth", "00", background="fc")
    theirs = state(**{"fc.weight": torch.rand(1001, 4), "fc.bias": torch.rand(1001)})
    torch.save(theirs, tmp_path / "a.pth")
    graph, found, _ = load_file(tmp_path / "a.pth", "tiny")
    assert graph == tiny(1000)
    assert np.array_equal(found["dense.weight"], theirs["fc.weight"][1:].numpy())
    assert np.array_equal(found["dense.bias"], theirs["fc.bias"][1:].numpy())


def test_a_network_nobody_published_sees_pictures_in_the_usual_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "create_graph", lambda name, **options: tiny(**options))
    (tmp_path / "a.pth").write_bytes(saved(ours()))
    preprocessing = load_pretrained("tiny", file=tmp_path / "a.pth")[2].preprocessing
    assert preprocessing.size == 16 and preprocessing.interpolation == "bilinear"
    assert preprocessing.mean == pytest.approx((0.485 * 255, 0.456 * 255, 0.406 * 255))  # as torchvision documents it
    assert preprocessing.std == pytest.approx((0.229 * 255, 0.224 * 255, 0.225 * 255))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (state(**{"fc.weight": torch.ones(5, 9)}), "fc.weight has shape (5, 9), expected (5, 4)"),
        (state(**{"fc.bias": torch.ones(())}), "fc.bias has shape (), expected (5,)"),
        (
            state(**{"extra.weight": torch.ones(1), "extra.bias": torch.ones(1)}),
            "extra.bias is not in tiny and 1 more",
        ),
        ({k: v for k, v in state().items() if k != "fc.bias"}, "fc.bias is missing"),
        (
            {"layer1.conv.weight": torch.ones(1)},
            "conv.weight is missing and 6 more; layer1.conv.weight is not in tiny",
        ),
        ({}, "conv.weight is missing and 6 more"),
        (
            {"fc.\x1b[31m": torch.ones(1)} | state(**{"features.0.weight": torch.ones(4, 3, 2, 2)}),
            r"features.0.weight has shape (4, 3, 2, 2), expected (4, 3, 3, 3); fc.\x1b[31m is not in tiny",
        ),
    ],
)
def test_weights_of_another_network_say_what_differs(
    tmp_path: Path, known: Pretrained, content: dict[str, torch.Tensor], message: str
) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(saved(content))
    with pytest.raises(WeightsError) as caught:
        load_pretrained("tiny", file=path)
    assert str(caught.value) == f"{path}: not the weights of tiny: {message}"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a file of weights (it is damaged, cut short, or of another kind)"),
        (b"text", "not a file of weights (it is damaged, cut short, or of another kind)"),
        (b"PK\x03\x04 no zip", "not a file of weights (it is damaged, cut short, or of another kind)"),
        (saved(state())[:-300], "not a file of weights (it is damaged, cut short, or of another kind)"),
        (saved([1, 2]), "not a file of weights"),
        (saved(torch.ones(3)), "not a file of weights"),
        (saved({"epoch": 3}), "not a file of weights"),
        (saved(state(**{"fc.bias": torch.ones(5, dtype=torch.int64)})), "fc.bias holds no fractions"),
        (
            saved(state(**{"fc.bias": torch.tensor([1, 2, 3, 4, torch.nan])})),
            "fc.bias holds values that are no numbers",
        ),
    ],
)
def test_a_file_that_is_no_weights(tmp_path: Path, known: Pretrained, content: bytes, message: str) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(content)
    with pytest.raises(WeightsError) as caught:
        load_pretrained("tiny", file=path)
    assert str(caught.value).startswith(f"{path}: ") and message in str(caught.value)
    assert str(caught.value).isprintable()


def test_no_file_at_all(tmp_path: Path, known: Pretrained) -> None:
    os.mkfifo(tmp_path / "pipe.pth")
    for path in (tmp_path / "no.pth", tmp_path, tmp_path / "pipe.pth"):
        with pytest.raises(WeightsError) as caught:
            load_pretrained("tiny", file=path)
        assert str(caught.value) == f"{path}: no such file"
    with pytest.raises(WeightsError, match=r"no.safetensors: cannot be read \(No such file or directory\)"):
        load_pretrained("tiny", file=tmp_path / "no.safetensors")


def test_a_pickle_in_place_of_weights_runs_nothing(tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "ran"),)

    path = tmp_path / "a.pth"
    torch.save({"_fc.weight": Hostile()}, path)
    with pytest.raises(WeightsError) as caught:
        read_state(path)
    said = "it holds more than tensors, or is damaged; code in it is never run"
    assert str(caught.value) == f"{path}: not a file of weights ({said})"
    assert not (tmp_path / "ran").exists()


def test_the_oldest_densenet_names_are_the_newer_ones(tmp_path: Path) -> None:
    """torchvision's densenet files of 2017 have a dot that its modules lost; its constructor renames likewise."""
    name = "features.denseblock1.denselayer2.{}.weight"
    torch.save({name.format(part): torch.ones(1) for part in ("norm.1", "conv.2")}, tmp_path / "a.pth")
    assert read_state(tmp_path / "a.pth").keys() == {name.format("norm1"), name.format("conv2")}


def test_renaming_gives_an_array_for_every_name() -> None:
    arrays = {name: value.numpy() for name, value in state().items()}
    assert is_published(rename(arrays, keys(GRAPH), GRAPH))
