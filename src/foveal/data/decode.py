"""One decoder for every picture Foveal reads: training, evaluation, prediction and serving all call `decode`.

The same bytes and the same `at_least` always give the same pixels. How each kind of picture becomes uint8 RGB:

- **orientation** (EXIF, XMP, or HEIF's own) is applied;
- **transparency** is laid on `BACKGROUND`, white;
- **CMYK, YCbCr, palette, grey and 1-bit** pictures are converted by Pillow; ICC profiles are not applied;
- **16- and 32-bit integer grey** counts as 8, 12 or 16 bits deep, whichever is the narrowest that holds the picture's
  largest value, and keeps the upper 8 of those bits: 65535 becomes 255, and 12-bit measurements stored in 16 bits
  (X-ray, microscopes) are not black. A picture with values below 0 or above 65535 is stretched from its minimum to
  its maximum;
- **float grey** within [0, 1] is multiplied by 255, other values are stretched from the finite minimum to the finite
  maximum; NaN is black, infinities are the nearest end;
- **16-bit colour** keeps its high byte (Pillow reads it so);
- **animations and pages**: the first picture (of a HEIF file: its primary one).

The kind of a file is told by its first bytes, never by its name, and only the readers named here are ever asked: no
format that would start another program (EPS, PDF, WMF) and none outside the list can be reached.
"""

from __future__ import annotations

import contextlib
import datetime
import io
import os
import re
import stat
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from foveal.errors import ImageError, MissingExtra, UsageError
from foveal.text import printable

DECODER_VERSION: int = 1
"""Raised whenever the same file would give other pixels; part of the key of cached features."""

MAX_PIXELS = 178_956_970
"""Pictures with more pixels are refused from their header, before anything is decoded (Pillow's own upper limit)."""

MAX_BYTES = 2 * 1024**3
"""Longer files are refused unread."""

BACKGROUND = (255, 255, 255)
"""What transparent pixels show, RGB."""

EXTENSIONS: frozenset[str] = frozenset(
    ".jpg .jpeg .jpe .jfif .png .apng .webp .bmp .gif .tif .tiff .avif .heic .heif .hif".split()
)
"""Lower-case suffixes of files that count as pictures in a folder."""

_READERS: dict[str, Callable[[io.BytesIO], ImageFile.ImageFile]] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "AVIF": AvifImagePlugin.AvifImageFile,
}

_SIGNATURES = {
    "JPEG": rb"\xff\xd8\xff",
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "WebP": rb"RIFF....WEBP",
    "BMP": rb"BM",
    "GIF": rb"GIF8[79]a",
    "TIFF": rb"II[*+]\0|MM\0[*+]",
    "AVIF": rb"....ftyp(?:avi[fs]|mif1....(?:....){0,4}avif)",
    "HEIC": rb"....ftyp(?:he[iv][cxms]|mif1|msf1)",
}

# EXIF orientation -> what makes the picture upright (EXIF 2.32, tag 274).
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_QUARTER_TURNS = (_UPRIGHT[5], _UPRIGHT[6], _UPRIGHT[7], _UPRIGHT[8])
_MODEL, _ORIENTATION, _DATE_TIME, _EXIF_IFD, _DATE_TIME_ORIGINAL = 272, 274, 306, 0x8769, 0x9003

_PILLOW = re.compile(r"(PIL|pi_heif)\.")
_filter_lock = threading.Lock()


@dataclass(frozen=True)
class Decoded:
    """A picture and what its header said.

    Attributes
    ----------
    pixels : uint8, height x width x 3, RGB, upright; possibly at a reduced scale (`at_least`).
    width, height : of the picture as stored, in pixels, upright.
    taken : EXIF camera and time, ``"Canon EOS|2020:05:17 10:00:03"``, or None.
    """

    pixels: NDArray[np.uint8]
    width: int
    height: int
    taken: str | None = None


def decode_image(source: str | os.PathLike[str] | bytes, *, at_least: int | None = None) -> NDArray[np.uint8]:
    """The picture in a file, or in `source` itself where that is bytes, as uint8 H x W x 3 RGB, upright.

    Parameters
    ----------
    source : a path, or the bytes of a picture file.
    at_least : the shorter side, in pixels, that is enough. JPEG is then decoded at 1/2, 1/4 or 1/8 where the shorter
        side stays at least this long, which is faster; nothing is ever enlarged. Default: full size.

    Raises
    ------
    ImageError : the file cannot be read, or is not a whole picture in a format of this module; it says why.
    UsageError : `at_least` is below 1.
    """
    if isinstance(source, bytes):
        return decode(source, at_least=at_least).pixels
    return decode(read_file(source), at_least=at_least, name=printable(os.fsdecode(source))).pixels


def read_file(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a picture file. Pipes and devices are refused without waiting for them.

    Raises
    ------
    ImageError : missing, not permitted, a directory, not an ordinary file, empty, or longer than `MAX_BYTES`.
    """
    name = printable(os.fsdecode(path))
    try:
        status = Path(os.fsdecode(path)).stat()
        if stat.S_ISDIR(status.st_mode):
            raise ImageError(name, "a folder, not a picture")
        if not stat.S_ISREG(status.st_mode):
            raise ImageError(name, "not an ordinary file (a pipe, socket or device)")
        if status.st_size == 0:
            raise ImageError(name, "the file is empty")
        if status.st_size > MAX_BYTES:
            raise ImageError(name, f"the file is longer than {MAX_BYTES:,} bytes")
        with open(path, "rb", opener=_open_without_waiting) as file:
            return file.read()
    except (OSError, ValueError) as error:  # ValueError: a name with a null byte
        detail = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ImageError(name, f"the file cannot be read ({printable(detail)})") from error


def _open_without_waiting(path: str, flags: int) -> int:
    # The file may have become a pipe since it was looked at; opening that would wait for a writer for ever.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def decode(data: bytes, *, at_least: int | None = None, name: str = "<bytes>") -> Decoded:
    """Decode the bytes of a picture file; see `decode_image`. `name` is what an error calls it."""
    if at_least is not None and at_least < 1:
        raise UsageError(f"at_least must be 1 pixel or more, got {at_least}")
    if not data:
        raise ImageError(name, "the file is empty")
    kind = _kind(data)
    if kind is None:
        raise ImageError(name, f"not a picture in a format that Foveal reads ({', '.join(_SIGNATURES)})")
    _silence_pillow()
    try:
        return _decode(_reader(kind)(io.BytesIO(data)), at_least)
    except (_TooManyPixels, Image.DecompressionBombError) as error:
        raise ImageError(name, f"more than {MAX_PIXELS:,} pixels; make it smaller first") from error
    except MissingExtra as error:
        raise ImageError(name, str(error)) from error
    except MemoryError as error:
        raise ImageError(name, "not enough memory to decode it") from error
    except Exception as error:  # damaged files bring almost any exception out of the readers
        detail = printable(str(error) or type(error).__name__)
        raise ImageError(name, f"damaged, cut short or an unusual kind of {kind} ({detail})") from error


def read_exif_taken(data: bytes) -> str | None:
    """Camera model and time from a picture file's EXIF, ``"Canon EOS|2020:05:17 10:00:03"``; None where absent.

    The time is DateTimeOriginal, else DateTime; the model may be empty. Decodes no pixels and never raises.
    """
    _silence_pillow()
    try:
        kind = _kind(data)
        return None if kind is None else _taken(_reader(kind)(io.BytesIO(data)).getexif())
    except Exception:
        return None


class _TooManyPixels(Exception):
    pass


def _kind(data: bytes) -> str | None:
    return next((kind for kind, pattern in _SIGNATURES.items() if re.match(pattern, data, re.DOTALL)), None)


def _reader(kind: str) -> Callable[[io.BytesIO], ImageFile.ImageFile]:
    if kind != "HEIC":
        return _READERS[kind]
    try:
        from pi_heif import HeifImageFile
    except ImportError as error:
        raise MissingExtra("reading HEIC pictures", "heic") from error

    def read(file: io.BytesIO) -> ImageFile.ImageFile:
        _check_heic(file.getbuffer())
        image: ImageFile.ImageFile = HeifImageFile(file)
        return image

    return read


def _check_heic(data: memoryview) -> None:
    """Refuse an item entry (``infe`` box, ISO 14496-12) whose texts are not UTF-8: pi_heif 1.4 crashes on those."""
    for entry in re.finditer(rb"infe([\0-\3])", data):
        size = int.from_bytes(data[entry.start() - 4 : entry.start()], "big")
        texts = entry.start() + (14 if entry[1] == b"\3" else 12)  # after version, flags, item number, protection
        if size < 16:
            raise ValueError("an item entry without a length")
        bytes(data[texts : entry.start() - 4 + size]).decode()


def _silence_pillow() -> None:
    """Keep Pillow's warnings (damaged EXIF, odd TIFF tags) from the user's terminal, and from turning into errors.

    `warnings.catch_warnings` swaps a list that all threads share, so parallel decoding cannot use it. Instead one
    filter for Pillow's modules stays installed; it is put in front again when something has been set before it.
    """
    if not _silenced():
        with _filter_lock:
            if not _silenced():
                warnings.filterwarnings("ignore", module=_PILLOW.pattern)


def _silenced() -> bool:
    return any(entry[3] == _PILLOW for entry in warnings.filters[:1])


def _decode(image: ImageFile.ImageFile, at_least: int | None) -> Decoded:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise _TooManyPixels
    if width < 1 or height < 1:
        raise ValueError(f"{width} x {height} pixels")
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        _check_strips(image)
    reduced = at_least is not None and image.draft(None, (at_least, at_least)) is not None
    image.load()
    if not reduced:
        width, height = image.size  # a TIFF is turned while it loads
    turn, taken = None, None
    with contextlib.suppress(Exception):  # a damaged EXIF block does not make the picture unreadable
        exif = image.getexif()
        turn = _UPRIGHT.get(exif.get(_ORIENTATION, 1))
        taken = _taken(exif)
    picture = _rgb(image)
    if turn is not None:
        picture = picture.transpose(turn)
    if turn in _QUARTER_TURNS:
        width, height = height, width
    return Decoded(np.array(picture), width, height, taken)


def _check_strips(image: TiffImagePlugin.TiffImageFile) -> None:
    """Refuse a TIFF whose strips or tiles do not reach its far corner: Pillow would show the rest as black."""
    corners = [(tile.extents or (0, 0, *image.size))[2:] for tile in image.tile]
    if max(x for x, _ in corners) * max(y for _, y in corners) < image.width * image.height:
        raise ValueError("part of the picture is missing")


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F" or image.mode.startswith("I"):
        image = _eight_bits(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        flat = Image.new("RGB", image.size, BACKGROUND)
        flat.paste(image, mask=image.getchannel("A"))
        return flat
    return image if image.mode == "RGB" else image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """A 16-bit, 32-bit or float grey picture as 8-bit grey, by the rules at the top of this file."""
    values = np.asarray(image)
    grey = _scale_floats(values) if values.dtype.kind == "f" else _scale_integers(values)
    key = image.info.get("transparency")
    if not isinstance(key, int):
        return Image.fromarray(grey)
    return Image.merge("LA", (Image.fromarray(grey), Image.fromarray(np.where(values == key, 0, 255).astype(np.uint8))))


def _scale_integers(values: NDArray[np.integer]) -> NDArray[np.uint8]:
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 0xFFFF:
        return _stretch(values, low, high)
    shift = 0 if high <= 0xFF else 4 if high <= 0xFFF else 8
    return (values >> shift).astype(np.uint8)


def _scale_floats(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    finite = np.isfinite(values)
    low = float(values.min(where=finite, initial=np.inf))
    high = float(values.max(where=finite, initial=-np.inf))
    if low >= 0 and high <= 1:  # also where nothing is finite
        low, high = 0.0, 1.0
    return _stretch(values, low, high)


def _stretch(values: NDArray[np.number], low: float, high: float) -> NDArray[np.uint8]:
    flat = values.reshape(-1)
    grey = np.empty(flat.shape, np.uint8)
    for start in range(0, flat.size, 1 << 20):  # in pieces: float64 of a large picture would take gigabytes
        part = np.clip(flat[start : start + (1 << 20)].astype(np.float64), low, high)
        unit = np.nan_to_num((part - low) / ((high - low) or 1.0), nan=0.0)
        grey[start : start + (1 << 20)] = np.rint(unit * 255)
    return grey.reshape(values.shape)


def _taken(exif: Image.Exif) -> str | None:
    for value in (exif.get_ifd(_EXIF_IFD).get(_DATE_TIME_ORIGINAL), exif.get(_DATE_TIME)):
        time = _text(value)[:19]
        if re.fullmatch(r"\d{4}:\d\d:\d\d \d\d:\d\d:\d\d", time, re.ASCII):
            with contextlib.suppress(ValueError):  # 0000:00:00, as cameras without a set clock write
                datetime.datetime.strptime(time, "%Y:%m:%d %H:%M:%S")
                return f"{_text(exif.get(_MODEL))[:100]}|{time}"
    return None


def _text(value: object) -> str:
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    return value.strip("\0 ") if isinstance(value, str) else ""
