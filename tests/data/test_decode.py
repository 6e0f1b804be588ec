"""The decoder against Pillow's own conversions, NumPy arithmetic and pixels written by hand."""

from __future__ import annotations

import base64
import concurrent.futures
import io
import os
import pickle
import socket
import struct
import sys
import unittest.mock
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile, features

from foveal.data import decode as module
from foveal.data.decode import EXTENSIONS, MAX_PIXELS, Decoded, decode, decode_image, read_exif_taken, read_file
from foveal.errors import ImageError, UsageError

RED, GREEN, BLUE, GREY = (220, 40, 40), (40, 200, 60), (50, 60, 210), (240, 240, 240)

# 64 x 48, quarters red, green / blue, grey, written with pillow-heif (libheif, x265); the second has EXIF orientation
# 6, a camera "Toy" and a time. pi_heif, which is tested here, cannot write.
HEIC = {
    name: base64.b64decode(text)
    for name, text in {
        "plain": (
            "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAX1tZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAA"
            "ACJpbG9jAAAAAERAAAEAAQAAAAABoQABAAAAAAAAAMsAAAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAABAABodmMxAAAAAA5waXRt"
            "AAAAAAABAAAA/WlwcnAAAADdaXBjbwAAAHZodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMA"
            "AAMAHroCQGEAAQAqQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbq5Ka5uAhoMCAAAAMDIAAAAwAhYgABAAZEAcFzwIkAAAATY29scm5j"
            "bHgAAQANAAaAAAAAFGlzcGUAAAAAAAAAQAAAAEAAAAAoY2xhcAAAAEAAAAABAAAAMAAAAAEAAAAAAAAAAv////AAAAACAAAAEHBp"
            "eGkAAAAAAwgICAAAABhpcG1hAAAAAAAAAAEAAQWBAgMFhAAAANNtZGF0AAAAxygBrwngITip/+2Sf/wQdl7cvJ5Wnv1j/+um+8i2"
            "/+F1t0fo8TzD2SR/wiX/qSPrZGShI//khZflHYcOD2BlgOd+N4kgIO0EPL1XTkNCqLnZgA75KlYvn8oSfSRwqGFIkOr25NS2wcPc"
            "eUNvbbo1q9anLr80UQ+08TW/QOAO2qfDgdCdqj+eV/PwyIKR89FcLmVfS3TZylLZsHVAImNoCC0Mj00srFreQk00+0YQzkIGLx5+"
            "UIxh5ur617UgTzmElygQKu7chuQ="
        ),
        "turned": (
            "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAchtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAA"
            "ADRpbG9jAAAAAERAAAIAAQAAAAAB7AABAAAAAAAAAMsAAgAAAAACtwABAAAAAAAAAGIAAAA4aWluZgAAAAAAAgAAABVpbmZlAgAA"
            "AAABAABodmMxAAAAABVpbmZlAgAAAQACAABFeGlmAAAAAA5waXRtAAAAAAABAAABB2lwcnAAAADmaXBjbwAAAHZodmNDAQNwAAAA"
            "kAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQAqQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbq"
            "5Ka5uAhoMCAAAAMDIAAAAwAhYgABAAZEAcFzwIkAAAATY29scm5jbHgAAQANAAaAAAAAFGlzcGUAAAAAAAAAQAAAAEAAAAAoY2xh"
            "cAAAAEAAAAABAAAAMAAAAAEAAAAAAAAAAv////AAAAACAAAAEHBpeGkAAAAAAwgICAAAAAlpcm90AwAAABlpcG1hAAAAAAAAAAEA"
            "AQaBAgMFhIYAAAAaaXJlZgAAAAAAAAAOY2RzYwACAAEAAQAAATVtZGF0AAAAxygBrwngITip/+2Sf/wQdl7cvJ5Wnv1j/+um+8i2"
            "/+F1t0fo8TzD2SR/wiX/qSPrZGShI//khZflHYcOD2BlgOd+N4kgIO0EPL1XTkNCqLnZgA75KlYvn8oSfSRwqGFIkOr25NS2wcPc"
            "eUNvbbo1q9anLr80UQ+08TW/QOAO2qfDgdCdqj+eV/PwyIKR89FcLmVfS3TZylLZsHVAImNoCC0Mj00srFreQk00+0YQzkIGLx5+"
            "UIxh5ur617UgTzmElygQKu7chuQAAAAGRXhpZgAATU0AKgAAAAgAAwEQAAIAAAAEVG95AAESAAMAAAABAAYAAIdpAAQAAAABAAAA"
            "MgAAAAAAAZADAAIAAAAUAAAARAAAAAAyMDIwOjA1OjE3IDEwOjAwOjAzAA=="
        ),
    }.items()
}


def quarters(width: int = 64, height: int = 48) -> Image.Image:
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2] = RED
    pixels[: height // 2, width // 2 :] = GREEN
    pixels[height // 2 :, : width // 2] = BLUE
    pixels[height // 2 :, width // 2 :] = GREY
    return Image.fromarray(pixels)


def corners(pixels: np.ndarray) -> list[tuple[int, ...]]:
    """Top left, top right, bottom left, bottom right, a few pixels inside."""
    return [tuple(int(v) for v in pixels[y, x]) for y in (4, -5) for x in (4, -5)]


def names(pixels: np.ndarray) -> str:
    """The corners as the letters of the nearest of the four colours, so that lossy formats compare."""
    known = {"R": RED, "G": GREEN, "B": BLUE, "W": GREY}
    return "".join(
        min(known, key=lambda k: sum(abs(a - b) for a, b in zip(known[k], corner, strict=True)))
        for corner in corners(pixels)
    )


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def exif(orientation: int | None = None, model: str = "Toy", **times: str) -> bytes:
    block = Image.Exif()
    if orientation is not None:
        block[274] = orientation
    block[272] = model
    if "changed" in times:
        block[306] = times["changed"]
    if "original" in times:
        block.get_ifd(0x8769)[0x9003] = times["original"]
    return block.tobytes()


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *extra: tuple[bytes, bytes]) -> bytes:
    """A PNG written by hand (W3C PNG, third edition); `rows` carry their filter bytes."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = [(b"IHDR", header), *extra, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + tag + body + struct.pack(">I", zlib.crc32(tag + body)) for tag, body in chunks
    )


def tiff(values: np.ndarray, order: str, sample_format: int, photometric: int = 1) -> bytes:
    """An uncompressed grey TIFF written by hand (TIFF 6.0), in byte order `order`: ``"<"`` or ``">"``."""
    data = values.astype(values.dtype.newbyteorder(order)).tobytes()
    height, width = values.shape
    entries = [
        (256, 4, width),
        (257, 4, height),
        (258, 3, values.dtype.itemsize * 8),
        (259, 3, 1),
        (262, 3, photometric),
        (273, 4, 8),
        (277, 3, 1),
        (278, 4, height),
        (279, 4, len(data)),
        (339, 3, sample_format),
    ]
    directory = struct.pack(f"{order}H", len(entries))
    for tag, kind, value in entries:
        body = struct.pack(f"{order}HH", value, 0) if kind == 3 else struct.pack(f"{order}I", value)
        directory += struct.pack(f"{order}HHI", tag, kind, 1) + body
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return mark + struct.pack(f"{order}I", 8 + len(data)) + data + directory + b"\0\0\0\0"


def refusal(source: str | os.PathLike[str] | bytes) -> str:
    with pytest.raises(ImageError) as caught:
        decode_image(source)
    return caught.value.reason


# ---------------------------------------------------------------- formats


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "GIF", "WEBP"])
def test_lossless_formats_give_the_pixels_that_were_written(kind: str, tmp_path: Path) -> None:
    picture = quarters()
    path = tmp_path / "picture.any"
    path.write_bytes(encode(picture, kind, **({"lossless": True} if kind == "WEBP" else {})))
    for source in (path, str(path), path.read_bytes()):
        pixels = decode_image(source)
        assert pixels.dtype == np.uint8 and pixels.shape == (48, 64, 3)
        assert pixels.flags.writeable and pixels.flags.c_contiguous
        np.testing.assert_array_equal(pixels, np.asarray(picture))


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_jpeg_is_what_pillow_decodes(options: dict[str, object]) -> None:
    data = encode(quarters(), "JPEG", **options)
    np.testing.assert_array_equal(decode_image(data), np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))
    assert names(decode_image(data)) == "RGBW"


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow was built without AVIF")
def test_avif() -> None:
    assert names(decode_image(encode(quarters(), "AVIF"))) == "RGBW"
    turned = decode(encode(quarters(), "AVIF", exif=exif(6, original="2020:05:17 10:00:03")))
    assert (names(turned.pixels), turned.width, turned.height) == ("BRWG", 48, 64)
    assert turned.taken == "Toy|2020:05:17 10:00:03"


def test_heic() -> None:
    pytest.importorskip("pi_heif")
    plain = decode(HEIC["plain"])
    assert (names(plain.pixels), plain.pixels.shape, plain.taken) == ("RGBW", (48, 64, 3), None)
    turned = decode(HEIC["turned"])
    assert (names(turned.pixels), turned.width, turned.height) == ("BRWG", 48, 64)  # once, not twice
    assert turned.taken == read_exif_taken(HEIC["turned"]) == "Toy|2020:05:17 10:00:03"


def test_heic_without_its_extra_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    assert refusal(HEIC["plain"]).endswith("pip install 'foveal[heic]'")
    assert read_exif_taken(HEIC["plain"]) is None


def test_every_extension_belongs_to_a_readable_format() -> None:
    Image.init()
    readable = {"JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF"}
    pillows = {suffix for suffix, kind in Image.registered_extensions().items() if kind in readable}
    assert EXTENSIONS - {".heic", ".heif", ".hif"} == pillows - {".avifs"}
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in EXTENSIONS)


# ---------------------------------------------------------------- orientation and scale


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize(
    ("orientation", "expected"),  # the EXIF standard's table: where row 0 and column 0 are to be shown
    [
        (1, "RGBW"),
        (2, "GRWB"),
        (3, "WBGR"),
        (4, "BWRG"),
        (5, "RBGW"),
        (6, "BRWG"),
        (7, "WGBR"),
        (8, "GWRB"),
        (0, "RGBW"),
        (9, "RGBW"),
    ],
)
def test_orientation(kind: str, orientation: int, expected: str) -> None:
    data = encode(quarters(), kind, exif=exif(orientation))
    result = decode(data)
    size = (48, 64) if 5 <= orientation <= 8 else (64, 48)
    assert names(result.pixels) == expected
    assert (result.width, result.height) == size == result.pixels.shape[1::-1]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_with_reduced_scale(orientation: int) -> None:
    data = encode(quarters(643, 481), "JPEG", exif=exif(orientation))
    full, reduced = decode(data), decode(data, at_least=100)
    assert (reduced.width, reduced.height) == (full.width, full.height) == full.pixels.shape[1::-1]
    assert names(reduced.pixels) == names(full.pixels)
    small = (121, 161) if orientation < 5 else (161, 121)  # a quarter, rounded up: 481/4 >= 100 > 481/8
    assert reduced.pixels.shape[:2] == small


def test_orientation_from_xmp() -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><d tiff:Orientation="3"/></x:xmpmeta>'
    assert names(decode_image(encode(quarters(), "JPEG", xmp=xmp))) == "WBGR"


@given(width=st.integers(1, 300), height=st.integers(1, 300), at_least=st.integers(1, 400))
@settings(max_examples=60, deadline=None)
def test_at_least_is_kept(width: int, height: int, at_least: int) -> None:
    data = encode(Image.new("RGB", (width, height), RED), "JPEG")
    result = decode(data, at_least=at_least)
    assert min(result.pixels.shape[:2]) >= min(at_least, width, height)
    assert (result.width, result.height) == (width, height)
    assert result.pixels.shape[0] <= height


def test_reduced_scale_is_faithful() -> None:
    y, x = np.mgrid[0:480, 0:640]
    picture = Image.fromarray(np.stack([x * 255 // 639, y * 255 // 479, (x + y) * 255 // 1118], -1).astype(np.uint8))
    reduced = decode_image(encode(picture, "JPEG", quality=95), at_least=120)
    expected = np.asarray(picture.resize((160, 120), Image.Resampling.BOX)).astype(int)
    assert reduced.shape == expected.shape
    assert np.abs(reduced - expected).max() <= 6


@pytest.mark.parametrize("at_least", [0, -5])
def test_at_least_below_one_is_a_usage_error(at_least: int) -> None:
    with pytest.raises(UsageError, match=f"at_least must be 1 pixel or more, got {at_least}"):
        decode_image(encode(quarters(), "JPEG"), at_least=at_least)


def test_the_same_bytes_give_the_same_pixels() -> None:
    data = encode(quarters(400, 300), "JPEG", quality=70)
    np.testing.assert_array_equal(decode_image(data, at_least=100), decode_image(data, at_least=100))


# ---------------------------------------------------------------- colour


def test_cmyk_jpeg_inverted_as_adobe_writes_it() -> None:
    cmyk = Image.merge("CMYK", [Image.new("L", (16, 16), v) for v in (0, 255, 255, 0)])  # pure red ink
    data = encode(cmyk, "JPEG", quality=95)
    assert b"Adobe" in data
    pixels = decode_image(data)
    np.testing.assert_array_equal(pixels, np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))
    assert np.abs(pixels[8, 8].astype(int) - (255, 0, 0)).max() <= 3


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "L", "1"])
def test_other_colour_modes_as_pillow_converts_them(mode: str) -> None:
    data = encode(quarters().convert(mode), "TIFF")
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    np.testing.assert_array_equal(decode_image(data), expected)


@pytest.mark.parametrize(("lightness", "grey"), [(0, 0), (255, 255)])
def test_lab(lightness: int, grey: int) -> None:
    lab = Image.merge("LAB", [Image.new("L", (8, 8), value) for value in (lightness, 128, 128)])
    assert np.abs(decode_image(encode(lab, "TIFF")).astype(int) - grey).max() <= 2


def test_one_bit_and_grey() -> None:
    bits = png(8, 1, 1, 0, b"\0\xa0")
    assert decode_image(bits)[0, :, 0].tolist() == [255, 0, 255, 0, 0, 0, 0, 0]
    grey = decode_image(png(3, 1, 8, 0, b"\0\x00\x80\xff"))
    assert grey.tolist() == [[[0, 0, 0], [128, 128, 128], [255, 255, 255]]]


def test_palette_with_and_without_transparency() -> None:
    palette = (b"PLTE", bytes([255, 0, 0, 0, 0, 255, 10, 20, 30]))
    rows = b"\0\x00\x01\x02"
    assert decode_image(png(3, 1, 8, 3, rows, palette)).tolist() == [[[255, 0, 0], [0, 0, 255], [10, 20, 30]]]
    clear = decode_image(png(3, 1, 8, 3, rows, palette, (b"tRNS", bytes([0, 128]))))
    assert clear.tolist() == [[[255, 255, 255], [127, 127, 255], [10, 20, 30]]]


def test_transparency_is_laid_on_white() -> None:
    assert module.BACKGROUND == (255, 255, 255)
    rgba = Image.new("RGBA", (3, 1))
    for x, alpha in enumerate((0, 51, 255)):
        rgba.putpixel((x, 0), (100, 0, 200, alpha))
    assert decode_image(encode(rgba, "PNG")).tolist() == [[[255, 255, 255], [224, 204, 244], [100, 0, 200]]]
    la = Image.new("LA", (2, 1))
    la.putpixel((0, 0), (0, 0))
    la.putpixel((1, 0), (0, 102))
    assert decode_image(encode(la, "PNG")).tolist() == [[[255] * 3, [153] * 3]]


@pytest.mark.parametrize(("kind", "options"), [("WEBP", {"lossless": True, "exact": True}), ("TIFF", {}), ("PNG", {})])
def test_alpha_in_other_formats(kind: str, options: dict[str, object]) -> None:
    rgba = Image.new("RGBA", (8, 8), (200, 0, 0, 0))
    rgba.paste((0, 0, 200, 255), (4, 0, 8, 8))
    pixels = decode_image(encode(rgba, kind, **options))
    assert corners(np.pad(pixels, ((4, 4), (4, 4), (0, 0)), mode="edge"))[:2] == [(255, 255, 255), (0, 0, 200)]


def test_pa_mode_and_gif_transparency() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.putdata([0, 1])
    assert decode_image(encode(image, "GIF", transparency=0)).tolist() == [[[255, 255, 255], [0, 255, 0]]]
    pa = Image.merge("PA", (image, Image.frombytes("L", (2, 1), b"\x00\xff")))
    pa.putpalette([255, 0, 0, 0, 255, 0])
    assert np.asarray(module._rgb(pa)).tolist() == [[[255, 255, 255], [0, 255, 0]]]


@pytest.mark.parametrize("colour", [0, 2])
def test_colour_key_transparency(colour: int) -> None:
    if colour == 0:
        data = png(2, 1, 8, 0, b"\0\x05\x06", (b"tRNS", struct.pack(">H", 5)))
        assert decode_image(data).tolist() == [[[255] * 3, [6] * 3]]
    else:
        data = png(2, 1, 8, 2, b"\0" + bytes([1, 2, 3, 4, 5, 6]), (b"tRNS", struct.pack(">HHH", 1, 2, 3)))
        assert decode_image(data).tolist() == [[[255] * 3, [4, 5, 6]]]


# ---------------------------------------------------------------- deep pictures


def test_16_bit_grey_png_is_scaled_not_saturated() -> None:
    row = np.array([[0, 255, 256, 1000, 32768, 65535]], np.uint16)
    data = png(6, 1, 16, 0, b"\0" + row.astype(">u2").tobytes())
    assert decode_image(data)[0, :, 0].tolist() == [0, 0, 1, 3, 128, 255]


def test_16_bit_grey_png_colour_key() -> None:
    row = np.array([[300, 40000]], ">u2")
    data = png(2, 1, 16, 0, b"\0" + row.tobytes(), (b"tRNS", struct.pack(">H", 300)))
    assert decode_image(data)[0, :, 0].tolist() == [255, 40000 >> 8]


def test_16_bit_colour_png_keeps_the_high_byte() -> None:
    row = np.array([[0, 32768, 65535, 255, 256, 511]], ">u2")
    assert decode_image(png(2, 1, 16, 2, b"\0" + row.tobytes())).tolist() == [[[0, 128, 255], [0, 1, 1]]]
    grey_alpha = np.array([[65535, 65535, 0, 0]], ">u2")
    assert decode_image(png(2, 1, 16, 4, b"\0" + grey_alpha.tobytes())).tolist() == [[[255] * 3, [255] * 3]]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("values", "sample_format", "expected"),
    [
        (np.array([[0, 256, 65535]], np.uint16), 1, [0, 1, 255]),  # 16 bits
        (np.array([[0, 16, 4095]], np.uint16), 1, [0, 1, 255]),  # 12 bits in 16
        (np.array([[0, 7, 255]], np.uint16), 1, [0, 7, 255]),  # 8 bits in 16
        (np.array([[-100, 0, 155]], np.int16), 2, [0, 100, 255]),  # signed: stretched
        (np.array([[0, 7, 200]], np.int32), 2, [0, 7, 200]),
        (np.array([[0, 16, 4095]], np.int32), 2, [0, 1, 255]),
        (np.array([[0, 256, 65535]], np.int32), 2, [0, 1, 255]),
        (np.array([[-(2**31), -1, 2**31 - 1]], np.int32), 2, [0, 127, 255]),
        (np.array([[0, 500_000, 1_000_000]], np.int32), 2, [0, 128, 255]),
        (np.array([[0, 0.25, 1]], np.float32), 3, [0, 64, 255]),
        (np.array([[0.25, 0.25, 0.5]], np.float32), 3, [64, 64, 128]),  # within [0, 1]: not stretched
        (np.array([[-1, 0, 1]], np.float32), 3, [0, 128, 255]),
        (np.array([[100, 150, 300]], np.float32), 3, [0, 64, 255]),
        (np.array([[np.nan, 10, 30]], np.float32), 3, [0, 0, 255]),
        (np.array([[-np.inf, 20, np.inf, 10, 30]], np.float32), 3, [0, 128, 255, 0, 255]),
        (np.array([[np.nan, np.inf, -np.inf]], np.float32), 3, [0, 255, 0]),
        (np.array([[np.nan, 0.5, np.inf]], np.float32), 3, [0, 128, 255]),
        (np.array([[7.0, 7.0]], np.float32), 3, [0, 0]),
        (np.array([[-3.4e38, 0, 3.4e38]], np.float32), 3, [0, 128, 255]),
    ],
)
def test_deep_grey(order: str, values: np.ndarray, sample_format: int, expected: list[int]) -> None:
    pixels = decode_image(tiff(values, order, sample_format))
    assert pixels.shape == (1, values.shape[1], 3)
    for channel in range(3):
        assert pixels[0, :, channel].tolist() == expected


def test_compressed_deep_tiff() -> None:
    values = np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64)
    data = encode(Image.fromarray(values), "TIFF", compression="tiff_lzw")
    np.testing.assert_array_equal(decode_image(data)[..., 1], values // 256)


# ---------------------------------------------------------------- first picture of several


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_first_frame(kind: str) -> None:
    frames = [Image.new("RGB", (20, 10), colour) for colour in (RED, GREEN, BLUE)]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encode(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert Image.open(io.BytesIO(data)).n_frames == 3
    assert (decode_image(data) == RED).all()


def test_multi_picture_jpeg_gives_its_first() -> None:
    data = encode(quarters(), "MPO", save_all=True, append_images=[Image.new("RGB", (64, 48), BLUE)])
    assert Image.open(io.BytesIO(data)).format == "MPO"
    assert names(decode_image(data)) == "RGBW"


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize("name", ["missing.jpg", "nul\0.jpg", "x" * 300])
def test_missing_or_impossible_path(name: str, tmp_path: Path) -> None:
    reason = refusal(str(tmp_path / name))
    assert reason.startswith("the file cannot be read (")


def test_error_carries_a_safe_name_and_survives_pickling(tmp_path: Path) -> None:
    path = tmp_path / "a\x1b[31m\u202eb.jpg"
    path.write_bytes(b"no picture")
    with pytest.raises(ImageError) as caught:
        decode_image(path)
    assert "\x1b" not in str(caught.value) and "\u202e" not in str(caught.value)
    assert caught.value.path.endswith("a\\x1b[31m\\u202eb.jpg")
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    with pytest.raises(ImageError) as caught:
        decode_image(b"no picture")
    assert caught.value.path == "<bytes>"


def test_directory_named_as_a_picture(tmp_path: Path) -> None:
    (tmp_path / "cat.jpg").mkdir()
    assert refusal(tmp_path / "cat.jpg") == "a folder, not a picture"


def test_empty(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    assert refusal(tmp_path / "a.jpg") == refusal(b"") == "the file is empty"


def test_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encode(quarters(), "PNG"))
    path.chmod(0)
    if os.access(path, os.R_OK):  # root may read everything

        def denied(*_: object) -> int:
            raise PermissionError(13, "Permission denied", str(path))

        monkeypatch.setattr(os, "open", denied)
    assert refusal(path) == "the file cannot be read (Permission denied)"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_pipes_sockets_and_devices_are_refused_without_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket.jpg")
        for path in ("pipe.jpg", "socket.jpg", "/dev/zero"):
            assert refusal(path) == "not an ordinary file (a pipe, socket or device)"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_file_that_becomes_a_pipe_does_not_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, decoy = tmp_path / "a.jpg", tmp_path / "b.jpg"
    os.mkfifo(path)
    decoy.write_bytes(b"x")
    status = decoy.stat()
    monkeypatch.setattr(Path, "stat", lambda self: status)
    assert read_file(path) == b""
    assert refusal(path) == "the file is empty"


def test_a_file_longer_than_the_limit_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    with path.open("wb") as file:
        file.truncate(module.MAX_BYTES + 1)  # sparse: takes no space
    assert refusal(path) == "the file is longer than 2,147,483,648 bytes"


@pytest.mark.parametrize(
    "data",
    [
        b"this is text",
        b"\0" * 100,
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n",
        b"\xc5\xd0\xd3\xc6" + b"\0" * 40,  # EPS with a preview
        b"%PDF-1.7\n",
        b"\xd7\xcd\xc6\x9a" + b"\0" * 40,  # WMF
        b"SIMPLE  =                    T",  # FITS
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"P6 2 2 255 " + b"\0" * 12,
        b"8BPS\0\1" + b"\0" * 40,
        b"\0\0\0\x18ftypmp42" + b"\0" * 40,
        b"RIFF\0\0\0\0AVI LIST",
    ],
)
@pytest.mark.parametrize("suffix", [".jpg", ".eps", ".pdf"])
def test_other_formats_are_refused_whatever_the_suffix(data: bytes, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(data)
    assert refusal(path) == (
        "not a picture in a format that Foveal reads (JPEG, PNG, WebP, BMP, GIF, TIFF, AVIF, HEIC)"
    )


def test_a_wrong_suffix_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "a.eps"
    path.write_bytes(encode(quarters(), "PNG"))
    assert names(decode_image(path)) == "RGBW"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "HEIC"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_truncated(kind: str, share: float) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    data = HEIC["plain"] if kind == "HEIC" else encode(noise, kind)
    if kind == "HEIC":
        pytest.importorskip("pi_heif")
    reason = refusal(data[: int(len(data) * share)])
    shown = "WebP" if kind == "WEBP" else kind
    assert reason.startswith(f"damaged, cut short or an unusual kind of {shown} (")
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


def test_tiff_with_missing_strips() -> None:
    header = bytearray(tiff(np.full((4, 4), 9, np.uint8), "<", 1))
    at = header.index(struct.pack("<HHI", 257, 4, 1)) + 8
    header[at : at + 4] = struct.pack("<I", 400)  # 400 rows, of which the only strip has 4
    assert refusal(bytes(header)).endswith("kind of TIFF (part of the picture is missing)")


@pytest.mark.parametrize("change", [{177: 0xFF}, {176: 0x80}, {163: 0, 177: 0xFF}])  # length 0: to the end
def test_heic_items_that_crash_pi_heif_are_refused(change: dict[int, int]) -> None:
    pytest.importorskip("pi_heif")
    broken = bytearray(HEIC["turned"])
    assert broken[163] == 21 and broken[176:180] == b"Exif"  # the length and the type of the second item's entry
    for at, value in change.items():
        broken[at] = value
    assert "kind of HEIC" in refusal(bytes(broken))


def test_damaged_compression() -> None:
    good = encode(quarters(), "PNG")
    start = good.index(b"IDAT") + 6
    bad = good[:start] + bytes(255 - b for b in good[start : start + 20]) + good[start + 20 :]
    assert "kind of PNG" in refusal(bad)


def test_bombs_are_refused_from_the_header() -> None:
    reason = "more than 178,956,970 pixels; make it smaller first"
    assert MAX_PIXELS == 178_956_970
    assert refusal(png(20_000, 20_000, 8, 0, b"\0" * 100)) == reason
    assert refusal(png(2**31 - 1, 2**31 - 1, 8, 0, b"\0" * 100)) == reason
    assert refusal(b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b"," + b"\0" * 20) == reason
    assert refusal(
        b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 60000, 60000, 1, 24, 0, 0, 0, 0, 0, 0)
    ) == (reason)
    jpeg = bytearray(encode(quarters(), "JPEG"))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = struct.pack(">HH", 65000, 65000)
    assert refusal(bytes(jpeg)) == reason
    header = bytearray(tiff(np.zeros((1, 1), np.uint8), "<", 1))
    for tag in (256, 257):
        at = header.index(struct.pack("<HHI", tag, 4, 1)) + 8
        header[at : at + 4] = struct.pack("<I", 100_000)
    assert refusal(bytes(header)) == reason


def test_pictures_over_pillows_warning_limit_are_read_without_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert names(decode_image(encode(quarters(40, 30), "GIF"))) == "RGBW"
    assert refusal(encode(quarters(), "WEBP")).startswith("more than")  # Pillow's own limit, lowered by the user


def test_just_over_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PIXELS", 64 * 48 - 1)
    assert refusal(encode(quarters(), "BMP")) == "more than 3,071 pixels; make it smaller first"
    monkeypatch.setattr(module, "MAX_PIXELS", 64 * 48)
    assert decode_image(encode(quarters(), "BMP")).shape == (48, 64, 3)


def test_zero_size() -> None:
    assert "kind of PNG" in refusal(png(0, 5, 8, 0, b""))
    assert "kind of BMP" in refusal(
        b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 0, 9, 1, 24, 0, 0, 0, 0, 0, 0)
    )


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RecursionError("deep"), struct.error("short"), SyntaxError("bad"), KeyError(3), Warning("w")],
)
def test_whatever_the_library_raises(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    reason = refusal(encode(quarters(), "BMP"))
    assert reason == (
        "not enough memory to decode it"
        if isinstance(error, MemoryError)
        else f"damaged, cut short or an unusual kind of BMP ({str(error) or type(error).__name__})"
    )


# ---------------------------------------------------------------- EXIF


def test_taken() -> None:
    both = {"original": "2020:05:17 10:00:03", "changed": "2021:01:01 00:00:00"}
    cases = [
        ({"model": "Canon EOS", **both}, "Canon EOS|2020:05:17 10:00:03"),
        ({"changed": both["changed"]}, "Toy|2021:01:01 00:00:00"),
        ({"model": "", **both}, "|2020:05:17 10:00:03"),
        ({"model": " a|b\0 ", **both}, "a|b|2020:05:17 10:00:03"),
        ({"original": "0000:00:00 00:00:00", "changed": both["changed"]}, "Toy|2021:01:01 00:00:00"),
        ({"original": "2020:13:40 99:00:00"}, None),
        ({"original": "yesterday"}, None),
        ({}, None),
    ]
    for fields, expected in cases:
        data = encode(quarters(), "JPEG", exif=exif(**fields))
        assert read_exif_taken(data) == decode(data).taken == expected, fields
    assert read_exif_taken(encode(quarters(), "PNG")) is None


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_taken_in_other_formats(kind: str) -> None:
    data = encode(quarters(), kind, exif=exif(6, original="2020:05:17 10:00:03"))
    assert read_exif_taken(data) == decode(data).taken == "Toy|2020:05:17 10:00:03"


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_taken_never_raises(junk: bytes) -> None:
    assert read_exif_taken(junk) is None
    block = b"Exif\0\0II*\0\x08\0\0\0" + junk
    read_exif_taken(encode(Image.new("RGB", (8, 8)), "JPEG", exif=block))


# A TIFF directory of 40 entries whose contents lie far outside the block: Pillow warns about each.
CORRUPT_EXIF = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 40) + struct.pack("<HHII", 271, 2, 900, 70_000) * 20


def test_damaged_exif_neither_warns_nor_refuses() -> None:
    data = encode(quarters(), "JPEG", exif=CORRUPT_EXIF)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        Image.open(io.BytesIO(data)).getexif()
    assert seen, "this file no longer makes Pillow warn; the test needs another"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert names(decode_image(data)) == "RGBW"
        assert read_exif_taken(data) is None


def test_silence_is_for_pillow_alone() -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        decode_image(encode(quarters(), "JPEG", exif=CORRUPT_EXIF))
        warnings.warn("mine", stacklevel=1)
    assert [str(warning.message) for warning in seen] == ["mine"]


def test_exif_that_is_none_does_not_refuse() -> None:
    data = png(1, 1, 8, 0, b"\0\x07", (b"eXIf", b"nonsense of some length"))
    with pytest.raises(SyntaxError):
        Image.open(io.BytesIO(data)).getexif()
    assert decode_image(data).tolist() == [[[7, 7, 7]]]


def test_huge_exif() -> None:
    chunk = (b"eXIf", b"II*\0\x08\0\0\0" + b"\xff" * 5_000_000)
    assert decode_image(png(1, 1, 8, 0, b"\0\x07", chunk)).tolist() == [[[7, 7, 7]]]


# ---------------------------------------------------------------- any bytes at all

_NOISE = Image.fromarray(np.random.default_rng(1).integers(0, 255, (40, 50, 3), np.uint8))
VALID = {
    "jpeg": encode(_NOISE, "JPEG", exif=exif(6, original="2020:05:17 10:00:03")),
    "progressive": encode(_NOISE, "JPEG", progressive=True),
    "png": encode(_NOISE, "PNG", exif=exif(3)),
    "palette": encode(_NOISE.quantize(16), "PNG", transparency=3),
    "apng": encode(_NOISE, "PNG", save_all=True, append_images=[_NOISE.rotate(9)]),
    "webp": encode(_NOISE, "WEBP"),
    "webp animation": encode(_NOISE, "WEBP", save_all=True, append_images=[_NOISE.rotate(9)]),
    "bmp": encode(_NOISE, "BMP"),
    "gif": encode(_NOISE, "GIF", save_all=True, append_images=[_NOISE.rotate(9)]),
    "tiff": encode(_NOISE, "TIFF", exif=exif(8)),
    "tiff lzw": encode(_NOISE, "TIFF", compression="tiff_lzw"),
    "tiff jpeg": encode(_NOISE, "TIFF", compression="jpeg"),
    "tiff float": tiff(np.random.default_rng(2).normal(size=(9, 9)).astype(np.float32), "<", 3),
    "tiff 16": tiff(np.arange(81, dtype=np.uint16).reshape(9, 9), ">", 1),
    "heic": HEIC["turned"],
    **({"avif": encode(_NOISE, "AVIF")} if features.check("avif") else {}),
}


def picture_or_refusal(data: bytes, at_least: int | None = None) -> None:
    try:
        with unittest.mock.patch.object(module, "MAX_PIXELS", 4_000_000):  # a changed header may ask for any size
            result = decode(data, at_least=at_least)
    except ImageError as error:
        assert error.reason and "\n" not in error.reason
        return
    assert isinstance(result, Decoded)
    assert result.pixels.dtype == np.uint8 and result.pixels.ndim == 3 and result.pixels.shape[2] == 3
    assert result.pixels.size > 0


@given(
    st.binary(max_size=300), st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"GIF89a", b"II*\0"])
)
@settings(max_examples=300, deadline=None)
def test_random_bytes(junk: bytes, start: bytes) -> None:
    picture_or_refusal(start + junk)


@pytest.mark.parametrize("kind", VALID)
@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_corrupted_files(kind: str, data: st.DataObject) -> None:
    whole = VALID[kind]
    early = st.integers(0, min(200, len(whole) - 1))  # headers break more code than pixels do
    broken = bytearray(whole)
    changes = st.lists(st.tuples(early | st.integers(0, len(whole) - 1), st.integers(0, 255)), max_size=8)
    for at, value in data.draw(changes):
        broken[at] = value
    end = data.draw(st.just(len(whole)) | st.integers(1, len(whole)))
    picture_or_refusal(bytes(broken[:end]), data.draw(st.sampled_from([None, 10])))


# ---------------------------------------------------------------- threads


def test_many_threads_decode_alike_and_in_silence() -> None:
    files = [*VALID.values(), encode(quarters(), "JPEG", exif=CORRUPT_EXIF), b"text", b""] * 12

    def outcome(data: bytes) -> object:
        try:
            return decode(data).pixels.tobytes()
        except ImageError as error:
            return error.reason

    alone = [outcome(data) for data in files]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            assert list(pool.map(outcome, files)) == alone
    assert sum(isinstance(result, bytes) for result in alone) >= 12 * len(VALID)
