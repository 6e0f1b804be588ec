"""IDX and CIFAR files, written here byte by byte as their publishers describe them."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from foveal.datasets.formats import CIFAR, Cifar, cifar_files, idx_files, read_cifar, read_idx, read_idx_files
from foveal.errors import DataError

BYTES = bytes(range(24))


def idx(*shape: int, data: bytes | None = None) -> bytes:
    return struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape) + (BYTES if data is None else data)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_an_idx_file_is_its_bytes(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    (tmp_path / "a").write_bytes(pack(idx(2, 3, 4)))
    found = read_idx(tmp_path / "a")
    assert found.shape == (2, 3, 4) and found.dtype == np.uint8 and found.tobytes() == BYTES


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "begins with nothing; expected an IDX file of bytes"),
        (b"\x80\x04\x95\x10", "begins with 80 04 95 10; expected"),  # a pickle's first bytes
        (struct.pack(">HBBI", 0, 13, 1, 6) + BYTES, "begins with 00 00 0d 01"),  # floats
        (idx(2, 3, 4)[:9], "cut short inside its head"),
        (idx(2, 3, 4)[:-1], "its head says 2 x 3 x 4 bytes, but it holds 23"),
        (idx(2, 3, 4) + b"x", "its head says 2 x 3 x 4 bytes, but it holds more"),
        (idx(2**32 - 1, 2**32 - 1, 2**32 - 1), "which the file cannot hold"),
        (gzip.compress(idx(2**20, 2**10, 2**10)), "1,048,576 x 1,024 x 1,024 bytes, which the file cannot hold"),
        (gzip.compress(idx(2, 3, 4))[:-12], "damaged or cut short"),
        (gzip.compress(idx(2, 3, 4))[:-8] + bytes(8), "damaged or cut short (CRC check failed"),
        (gzip.compress(idx(2, 3, 4))[:10] + b"\xff" * 20, "damaged or cut short (Error -3"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_damaged_idx_files_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_idx(path)
    assert str(path) in str(caught.value) and message in str(caught.value)


def write_mnist(folder: Path, train: tuple[bytes, bytes], test: tuple[bytes, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for path, content in zip(idx_files(folder), (*train, *test), strict=True):
        path.write_bytes(gzip.compress(content))
    return folder


GOOD = (idx(2, 3, 4), idx(2, data=b"\x01\x00"))


def test_four_files_are_two_parts(tmp_path: Path) -> None:
    write_mnist(tmp_path, GOOD, (idx(1, 3, 4, data=BYTES[:12]), idx(1, data=b"\x02")))
    train, test = read_idx_files(tmp_path, 3)
    assert train.x.shape == (2, 1, 3, 4) and train.x.tobytes() == BYTES
    assert train.y.tolist() == [1, 0] and train.y.dtype == np.int64
    assert test.x.shape == (1, 1, 3, 4) and test.y.tolist() == [2]


def test_unpacked_files_of_either_name_are_found(tmp_path: Path) -> None:
    write_mnist(tmp_path, GOOD, GOOD)
    for path, other in zip(idx_files(tmp_path), ("-idx3", ".idx3", "-idx1", ".idx1"), strict=False):
        name = path.name.removesuffix(".gz").replace("-idx", ".idx") if "." in other else path.name.removesuffix(".gz")
        (tmp_path / name).write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    assert [path.name for path in idx_files(tmp_path)] == [
        "train-images-idx3-ubyte", "train-labels.idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels.idx1-ubyte",
    ]  # fmt: skip
    assert len(read_idx_files(tmp_path, 2)[0]) == 2


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ((GOOD[0], idx(3, data=b"\0\1\2")), "train-images-idx3-ubyte.gz has 2 pictures, but .*labels.*gz has 3 labels"),
        ((GOOD[0], idx(2, data=b"\0\x0b")), "train-labels-idx1-ubyte.gz: picture 1 has label 11; expected 0 to 9"),
        ((GOOD[1], GOOD[1]), "train-images-idx3-ubyte.gz: an array of 1 axis; expected 3"),
        ((GOOD[0], GOOD[0]), "train-labels-idx1-ubyte.gz: an array of 3 axes; expected 1"),
    ],
)
def test_files_that_do_not_fit_together(tmp_path: Path, train: tuple[bytes, bytes], message: str) -> None:
    write_mnist(tmp_path, train, GOOD)
    with pytest.raises(DataError, match=message):
        read_idx_files(tmp_path, 10)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte.gz: cannot be read \(No such file or directory\)"):
        read_idx_files(tmp_path, 10)


def records(*labels: tuple[int, ...], seed: int = 0) -> bytes:
    """CIFAR records of these label bytes, with pixels that tell the rows apart."""
    random = np.random.default_rng(seed)
    return b"".join(bytes(each) + random.bytes(3 * 32 * 32) for each in labels)


def contents(kind: Cifar) -> dict[str, bytes]:
    names = (*kind.train, *kind.test)
    return {
        name: records(*([(9, 1), (9, 0)] if kind.labels == 2 else [(1,), (0,)]), seed=i) for i, name in enumerate(names)
    }


def pack(path: Path, members: dict[str, bytes], *odd: tarfile.TarInfo) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(f"inside/{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for info in odd:
            archive.addfile(info)


@pytest.mark.parametrize("name", CIFAR)
@pytest.mark.parametrize("packed", [True, False])
def test_cifar_records(tmp_path: Path, name: str, packed: bool) -> None:
    kind = CIFAR[name]
    files = contents(kind)
    if packed:
        pack(tmp_path / kind.archive, files | {"readme.html": b"hello"})
    else:
        (tmp_path / kind.folder).mkdir()
        for file, data in files.items():
            (tmp_path / kind.folder / file).write_bytes(data)
    train, test = read_cifar(tmp_path, kind, 10)
    assert len(cifar_files(tmp_path, kind)) == (1 if packed else len(files))
    assert train.x.shape == (2 * len(kind.train), 3, 32, 32) and test.x.shape == (2, 3, 32, 32)
    assert train.y.tolist() == [1, 0] * len(kind.train) and train.y.dtype == np.int64
    second = files[kind.train[-1]][3072 + 2 * kind.labels :]
    assert train.x[-1, 2, 31, 30] == second[2 * 1024 + 31 * 32 + 30] and train.x[-1].tobytes() == second


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"test.bin": records((0, 1))[:-1]}, r"test.bin: 3,073 bytes; expected a multiple of 3,074"),
        ({"test.bin": b""}, "test.bin: 0 bytes; expected a multiple"),
        ({"test.bin": records((0, 1), (0, 100))}, "test.bin: picture 1 has label 100; expected 0 to 99"),
        ({"test.bin": None}, "cifar-100-binary.tar.gz: has no test.bin; expected CIFAR's binary version"),
    ],
)
def test_damaged_cifar_files(tmp_path: Path, change: dict[str, bytes | None], message: str) -> None:
    kind = CIFAR["cifar100"]
    files = {name: data for name, data in (contents(kind) | change).items() if data is not None}
    pack(tmp_path / kind.archive, files)
    with pytest.raises(DataError, match=message):
        read_cifar(tmp_path, kind, 100)


def odd(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, "/etc/passwd", size
    return info


@pytest.mark.parametrize(
    "member",
    [
        odd("inside/train.bin", tarfile.SYMTYPE),
        odd("inside/train.bin", tarfile.LNKTYPE),
        odd("inside/fifo", tarfile.FIFOTYPE),
        odd("../train.bin"),
        odd("/etc/cron.d/train.bin"),
        odd("inside/test.bin"),
    ],
    ids=lambda member: f"{member.name} {member.type!r}",
)
def test_strange_members_are_refused_and_nothing_is_unpacked(tmp_path: Path, member: tarfile.TarInfo) -> None:
    kind = CIFAR["cifar100"]
    pack(tmp_path / kind.archive, contents(kind), member)
    with pytest.raises(DataError, match="not the publisher's archive") as caught:
        read_cifar(tmp_path, kind, 100)
    assert kind.archive in str(caught.value) and member.name in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == [kind.archive]


def test_a_member_larger_than_its_archive_can_hold(tmp_path: Path) -> None:
    kind = CIFAR["cifar100"]
    with gzip.open(tmp_path / kind.archive, "wb") as file:
        file.write(odd("inside/train.bin", size=1 << 40).tobuf())
    with pytest.raises(DataError, match="larger than the archive can hold"):
        read_cifar(tmp_path, kind, 100)


@pytest.mark.parametrize("cut", [0, 5, 100, -30, -4])
def test_an_archive_cut_short(tmp_path: Path, cut: int) -> None:
    kind = CIFAR["cifar100"]
    path = tmp_path / kind.archive
    pack(path, contents(kind))
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DataError, match=r"cifar-100-binary.tar.gz: damaged or cut short .*fetch it again"):
        read_cifar(tmp_path, kind, 100)


def test_the_pickled_version_is_not_read(tmp_path: Path) -> None:
    kind = CIFAR["cifar10"]
    (tmp_path / "cifar-10-batches-py").mkdir()
    (tmp_path / "cifar-10-batches-py" / "data_batch_1").write_bytes(b"\x80\x04cos\nsystem\n.")
    with pytest.raises(DataError, match=r"cifar-10-binary\.tar\.gz: cannot be read"):
        read_cifar(tmp_path, kind, 10)
