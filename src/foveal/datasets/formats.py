"""The files that known datasets are published in: IDX, plain or gzipped, and CIFAR's binary version.

Sizes are taken from the headers only as far as the files' own lengths bear them out; nothing is unpacked to the disk,
and nothing in a file is executed (CIFAR's Python version, which is pickled, is not read).
"""

from __future__ import annotations

import contextlib
import gzip
import math
import struct
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path, PurePosixPath

import numpy as np

from foveal.datasets.pictures import Pictures
from foveal.errors import DataError
from foveal.shapes import Shape
from foveal.text import plural, printable

_MOST_DEFLATED = 1032  # bytes that one byte of a gzip file can stand for (zlib's manual)
_UBYTE = 8  # IDX's number for unsigned bytes


def read_idx(path: Path) -> np.ndarray:
    """The bytes of an IDX file (LeCun's MNIST page) as uint8 in the file's own shape.

    Raises
    ------
    DataError : cut short or with bytes left over, another magic number, more values than the file can hold.
    """
    with _opened(path) as (file, most):
        magic = file.read(4)
        if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] != _UBYTE or not 1 <= magic[3] <= 3:
            raise DataError(
                f"{printable(path)}: begins with {magic.hex(' ') or 'nothing'}; expected an IDX file of bytes "
                "(00 00 08 01 for labels, 00 00 08 03 for pictures)"
            )
        head = file.read(4 * magic[3])
        if len(head) < 4 * magic[3]:
            raise DataError(f"{printable(path)}: cut short inside its head; fetch it again")
        shape = struct.unpack(f">{magic[3]}I", head)
        return _array(file, shape, most, path)


def idx_files(folder: Path) -> list[Path]:
    """Where MNIST's four files are in `folder`, or should be: training pictures and labels, test pictures and labels.

    Gzipped or plain, or with a dot for the second hyphen, as some unpackers write.
    """
    names = [f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
    return [_first(folder / f"{name}.gz", folder / name, folder / name.replace("-idx", ".idx")) for name in names]


def read_idx_files(folder: Path, classes: int) -> tuple[Pictures, Pictures]:
    """The training and the test part from MNIST's four files.

    Raises
    ------
    DataError : as for `read_idx`; pictures that are no pictures, other counts of labels, labels out of range.
    """
    images, labels, test_images, test_labels = idx_files(folder)
    return _pair(images, labels, classes), _pair(test_images, test_labels, classes)


def _pair(images: Path, labels: Path, classes: int) -> Pictures:
    x, y = read_idx(images), read_idx(labels)
    for path, array, axes in ((images, x, 3), (labels, y, 1)):
        if array.ndim != axes:
            raise DataError(f"{printable(path)}: an array of {plural(array.ndim, 'axis', 'axes')}; expected {axes}")
    if len(x) != len(y):
        raise DataError(f"{printable(images)} has {len(x):,} pictures, but {printable(labels)} has {len(y):,} labels")
    return Pictures(x[:, None], _labels(y, classes, labels))


def _first(*paths: Path) -> Path:
    """The first that is there; else the first."""
    return next((path for path in paths if path.is_file()), paths[0])


@dataclass(frozen=True)
class Cifar:
    """What a CIFAR archive of the binary version holds.

    Attributes
    ----------
    archive : its name.
    folder : the one inside it.
    train, test : names of the files of each part.
    labels : label bytes before the values of each picture; the last one counts.
    """

    archive: str
    folder: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    labels: int


CIFAR = {
    "cifar10": Cifar(
        "cifar-10-binary.tar.gz",
        "cifar-10-batches-bin",
        tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
        ("test_batch.bin",),
        1,
    ),
    "cifar100": Cifar("cifar-100-binary.tar.gz", "cifar-100-binary", ("train.bin",), ("test.bin",), 2),
}


def cifar_files(folder: Path, kind: Cifar) -> list[Path]:
    """Where the ``.bin`` files are, in `folder` or the archive's folder inside it; else where the archive should be."""
    for place in (folder, folder / kind.folder):
        files = [place / name for name in (*kind.train, *kind.test)]
        if files[0].is_file():
            return files
    return [folder / kind.archive]


def read_cifar(folder: Path, kind: Cifar, classes: int) -> tuple[Pictures, Pictures]:
    """The training and the test part of CIFAR's binary version, from its archive or unpacked.

    Raises
    ------
    DataError : cut short, labels out of range; an archive that is damaged or has other than plain files in it.
    """
    files = cifar_files(folder, kind)
    names = (*kind.train, *kind.test)
    if len(files) == 1:
        contents = _members(files[0], names)
        files = [files[0] / name for name in names]
    else:
        contents = [_whole(file) for file in files]
    read = [_records(data, kind.labels, classes, file) for data, file in zip(contents, files, strict=True)]
    return _joined(read[: len(kind.train)]), _joined(read[len(kind.train) :])


def _joined(read: list[Pictures]) -> Pictures:
    return Pictures(np.concatenate([one.x for one in read]), np.concatenate([one.y for one in read]))


def _whole(path: Path) -> bytes:
    with _failing(path):
        return path.read_bytes()


def _records(data: bytes, labels: int, classes: int, path: Path) -> Pictures:
    length = labels + 3 * 32 * 32
    if not data or len(data) % length:
        raise DataError(
            f"{printable(path)}: {len(data):,} bytes; expected a multiple of {length:,}, the length of a record. It is "
            "cut short, or not CIFAR's binary version; fetch it again"
        )
    records = np.frombuffer(data, np.uint8).reshape(-1, length)
    return Pictures(records[:, labels:].reshape(-1, 3, 32, 32), _labels(records[:, labels - 1], classes, path))


def _members(path: Path, names: Sequence[str]) -> list[bytes]:
    """The contents of the files `names` of a gzipped tar, whatever folder they are in."""
    found: dict[str, bytes] = {}
    with _failing(path), path.open("rb") as raw, gzip.GzipFile(fileobj=raw) as file:
        most = path.stat().st_size * _MOST_DEFLATED
        with tarfile.open(fileobj=file, mode="r|") as archive:
            for member in archive:
                place = PurePosixPath(member.name)
                odd = place.is_absolute() or ".." in place.parts or not (member.isfile() or member.isdir())
                if odd or member.issparse() or member.size > most or place.name in found:
                    raise DataError(
                        f"{printable(path)}: {printable(member.name)} in it is a link, a device, a file that leads "
                        "outside, is there twice or is larger than the archive can hold; not the publisher's archive"
                    )
                if place.name in names and (content := archive.extractfile(member)):
                    found[place.name] = content.read()
        while file.read(1 << 20):  # to the end, where the checksum is
            pass
    if missing := [name for name in names if name not in found]:
        raise DataError(f"{printable(path)}: has no {missing[0]}; expected CIFAR's binary version")
    return [found[name] for name in names]


def _labels(values: np.ndarray, classes: int, path: Path) -> np.ndarray:
    if len(values) and values.max() >= classes:
        row = int(np.argmax(values >= classes))
        raise DataError(
            f"{printable(path)}: picture {row:,} has label {values[row]}; expected 0 to {classes - 1}, one for each "
            "class"
        )
    return values.astype(np.int64)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[BufferedIOBase, int]]:
    """The file, unpacked as it is read, and how many bytes it can hold at most."""
    with _failing(path), path.open("rb") as raw:
        length = path.stat().st_size
        if raw.read(2) != b"\x1f\x8b":
            raw.seek(0)
            yield raw, length
        else:
            raw.seek(0)
            with gzip.GzipFile(fileobj=raw) as file:
                yield file, length * _MOST_DEFLATED


@contextlib.contextmanager
def _failing(path: Path) -> Iterator[None]:
    """What reading a file can raise, as a DataError that names it."""
    try:
        yield
    except (EOFError, ValueError, gzip.BadGzipFile, zlib.error, tarfile.TarError) as error:
        raise DataError(
            f"{printable(path)}: damaged or cut short ({printable(str(error))}); delete it, or fetch it again"
        ) from error
    except OSError as error:
        raise DataError(f"{printable(path)}: cannot be read ({error.strerror or error})") from error


def _array(file: BufferedIOBase, shape: Shape, most: int, path: Path) -> np.ndarray:
    """All that is left of `file`, as uint8 of `shape`."""
    count = math.prod(shape)
    if count > most:
        raise DataError(
            f"{printable(path)}: its head says {' x '.join(f'{n:,}' for n in shape)} bytes, which the file cannot "
            "hold; it is cut short or damaged. Fetch it again"
        )
    data = np.empty(count, np.uint8)
    done = 0
    while done < count and (got := file.readinto(data[done:].data)):
        done += got
    if done < count or file.read(1):
        held = f"{done:,}" if done < count else "more"
        raise DataError(
            f"{printable(path)}: its head says {' x '.join(f'{n:,}' for n in shape)} bytes, but it holds {held}; it is "
            "cut short or damaged. Fetch it again"
        )
    return data.reshape(shape)
