import gzip
import io
import itertools
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foveal.data import hashing
from foveal.data.dataset import Item, Photo
from foveal.data.hashing import content_hash, find_duplicates, fingerprint, near_duplicates

data = pytest.importorskip("skimage.data")
FASHION = Path("/usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz")
PHOTOS = {name: getattr(data, name)() for name in ("chelsea", "coffee", "astronaut")}
PHOTOS |= {
    name: np.repeat(getattr(data, name)()[..., None], 3, axis=2) for name in ("camera", "coins", "grass", "brick")
}


def crops(size=(120, 150)):
    """Regions of each photograph that do not overlap."""
    height, width = size
    return [
        np.ascontiguousarray(photo[y : y + height, x : x + width])
        for photo in PHOTOS.values()
        for y in range(0, photo.shape[0] - height + 1, height)
        for x in range(0, photo.shape[1] - width + 1, width)
    ]


def saved(pixels, kind="JPEG", **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return Image.open(file)


def resized(pixels, factor):
    image = Image.fromarray(pixels)
    return np.asarray(
        image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.LANCZOS)
    )


CHANGES = {
    "jpeg 90": lambda p: np.asarray(saved(p, quality=90)),
    "jpeg 50": lambda p: np.asarray(saved(p, quality=50)),
    "webp 60": lambda p: np.asarray(saved(p, "WEBP", quality=60).convert("RGB")),
    "half size": lambda p: resized(p, 0.5),
    "a third": lambda p: resized(p, 1 / 3),
    "one and a half": lambda p: resized(p, 1.5),
    "smaller and compressed": lambda p: np.asarray(saved(resized(p, 0.67), quality=60)),
    "10 % brighter": lambda p: np.clip(p * 1.1, 0, 255).astype(np.uint8),
    "10 levels darker": lambda p: np.clip(p.astype(int) - 10, 0, 255).astype(np.uint8),
}


def test_content_hash_is_sha_256():
    # FIPS 180-2, appendix B.1
    assert content_hash(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize("change", CHANGES)
def test_changed_copies_of_photographs_are_found(change):
    originals = crops()
    marks = [fingerprint(CHANGES[change](pixels)) for pixels in originals]
    groups = near_duplicates([fingerprint(pixels) for pixels in originals] + marks)
    expected = {(i, i + len(originals)) for i in range(len(originals))}
    assert len(originals) > 60
    assert len(expected & {tuple(group) for group in groups}) >= 0.97 * len(expected)
    assert all(tuple(group) in expected for group in groups)


def test_reduced_decoding_gives_the_same_picture():
    photo = np.ascontiguousarray(PHOTOS["astronaut"])
    reduced = saved(photo, quality=95)
    reduced.draft("RGB", (256, 256))
    assert reduced.size == (256, 256)
    assert near_duplicates([fingerprint(photo), fingerprint(np.asarray(reduced))]) == [[0, 1]]


@pytest.mark.parametrize("size", [(60, 80), (96, 96), (150, 200)])
def test_regions_of_one_photograph_are_not_merged(size):
    # a thumbnail cannot tell one piece of plain sky from the next, so those are left out
    regions = [
        pixels for pixels in crops(size) if np.asarray(Image.fromarray(pixels).resize((16, 16))).std((0, 1)).max() > 5
    ]
    assert len(regions) > 30
    assert near_duplicates([fingerprint(pixels) for pixels in regions]) == []


def test_half_overlapping_regions_are_not_merged():
    photo = PHOTOS["chelsea"]
    marks = [fingerprint(np.ascontiguousarray(photo[60:240, x : x + 200])) for x in range(0, 251, 50)]
    assert near_duplicates(marks) == []


def test_blank_pictures_are_the_same_only_in_the_same_colour():
    colours = [(0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 0, 255), (0, 128, 0), (128, 128, 128), (140, 140, 140)]
    blank = [np.full((50, 60, 3), colour, np.uint8) for colour in colours]
    again = [np.full((90, 30, 3), colour, np.uint8) for colour in colours]
    marks = [fingerprint(pixels) for pixels in blank + again]
    assert near_duplicates(marks) == [[i, i + len(colours)] for i in range(len(colours))]
    assert near_duplicates([fingerprint(blank[1]), fingerprint(np.full((50, 60, 3), 254, np.uint8))]) == [[0, 1]]


def test_the_same_shape_in_another_colour_is_another_picture():
    shirt = np.full((100, 100, 3), 255, np.uint8)
    red, blue = shirt.copy(), shirt.copy()
    red[20:90, 30:70] = (200, 30, 30)
    blue[20:90, 30:70] = (30, 30, 200)
    assert near_duplicates([fingerprint(red), fingerprint(blue)]) == []


def test_no_pictures_and_one():
    assert near_duplicates([]) == []
    assert near_duplicates([fingerprint(np.zeros((1, 1, 3), np.uint8))]) == []


def fashion(count):
    if not FASHION.exists():
        pytest.skip("the Debian package dataset-fashion-mnist is not installed")
    pixels = np.frombuffer(gzip.decompress(FASHION.read_bytes()), np.uint8, offset=16).reshape(-1, 28, 28)[:count]
    return [fingerprint(np.repeat(one[..., None], 3, axis=2)) for one in pixels]


def test_silhouettes_that_are_all_alike_are_rarely_merged():
    groups = near_duplicates(fashion(10_000))
    assert sum(map(len, groups)) < 30  # 0.3 %; of all 70,000 0.44 %, no group of them of two classes


def test_the_search_misses_nothing_that_comparing_all_pairs_finds():
    marks = fashion(600) * 2
    marks += [
        bytes(np.clip(np.frombuffer(mark, np.uint8).astype(int) + 3, 0, 255).astype(np.uint8)) for mark in marks[:90]
    ]
    thumbs = np.stack([np.frombuffer(mark, np.uint8).reshape(-1, 3) for mark in marks])
    parent = list(range(len(marks)))

    def root(i):
        while parent[i] != i:
            i = parent[i]
        return i

    for i in range(len(marks)):
        for j in (
            np.flatnonzero(hashing._same(thumbs[i : i + 1], thumbs[i + 1 :])) + i + 1 if i + 1 < len(marks) else ()
        ):
            parent[root(j)] = root(i)
    expected = {}
    for i in range(len(marks)):
        expected.setdefault(root(i), []).append(i)
    assert near_duplicates(marks) == sorted(group for group in expected.values() if len(group) > 1)


def test_a_crowd_of_nearly_identical_pictures_is_one_group():
    random = np.random.default_rng(0)
    base = random.integers(20, 230, (16 * 16 * 3,))
    marks = [(base + random.integers(-2, 3, base.shape)).astype(np.uint8).tobytes() for _ in range(400)]
    assert near_duplicates(marks) == [list(range(400))]


def test_a_fingerprint_costs_less_than_a_millisecond():
    pixels = np.random.default_rng(0).integers(0, 255, (240, 300, 3), np.uint8)
    fingerprint(pixels)
    times = []
    for _ in range(5):
        start = time.process_time()
        for _ in range(20):
            fingerprint(pixels)
        times.append((time.process_time() - start) / 20)
    assert min(times) < 1e-3


def test_duplicates_of_photos():
    a, b = (fingerprint(pixels) for pixels in crops()[:2])
    near_a = fingerprint(CHANGES["jpeg 90"](crops()[0]))
    marks = [("1", b), ("2", a), ("1", b), ("3", near_a), ("2", a), ("4", fingerprint(crops()[5]))]
    photos = [Photo(Item(Path(f"{i}.jpg"), "x"), sha, 9, 9, mark) for i, (sha, mark) in enumerate(marks)]
    found = find_duplicates(photos)
    assert found.exact == ((0, 2), (1, 4))
    assert found.near == ((1, 3, 4),)
    assert found.ids(6).tolist() == [0, 1, 0, 1, 1, 2]
    assert all(list(pair) == sorted(pair) for pair in itertools.chain(found.exact, found.near))
