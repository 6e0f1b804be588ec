"""Frozen features: PyTorch is the oracle of the values, counting engines that of how often anything is computed."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from foveal import backbones, features
from foveal.backbones import choose_precision, engine_class, load_backbone, make_extractor
from foveal.build import TorchEngine, build
from foveal.data.dataset import Item
from foveal.data.decode import decode, decode_image
from foveal.data.hashing import content_hash, fingerprint
from foveal.data.preprocess import Preprocessing
from foveal.engines.openvino import OpenVinoEngine
from foveal.errors import UnknownName, UsageError
from foveal.features import BATCH, Backbone, Extraction, Extractor, pooled, with_head
from foveal.graph import Builder, Graph
from foveal.ops import Conv, Relu
from foveal.store import Picture, Store
from foveal.weights import digest

LEVELS = {"stage3": 40, "stage5": 112, "stage7": 320, "top": 1280}  # channels in table 1 of the EfficientNet paper


def tiny_backbone() -> Backbone:
    """A network so small that a test may run it a hundred times."""
    net = Builder("tiny")
    x = net(Conv(4, 3, stride=4), net.input(3, 32, 32), name="stage3")
    graph = net.graph(net(Relu(), net(Conv(6, 3), x, name="top.conv"), name="top.relu"))
    levels = {"stage3": "stage3", "top": "top.relu"}
    trunk = pooled(graph, levels)
    rng = np.random.default_rng(0)
    weights = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in trunk.parameters().items()}
    return Backbone("tiny", "own", "here", "none", trunk, levels, weights, digest(weights), Preprocessing(size=32))


class Counting:
    """An engine that counts the photos it is given."""

    photos = 0

    def __init__(self, graph: Graph, weights: Mapping[str, np.ndarray], *, precision: str, threads: int) -> None:
        self.name, self.precision = "counting", precision
        self._engine = TorchEngine(graph, weights, precision=precision)

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        Counting.photos += len(batch)
        return self._engine(batch)


@pytest.fixture(autouse=True)
def torch_threads() -> Iterator[None]:
    """TorchEngine sets them for the whole process."""
    before = torch.get_num_threads()
    Counting.photos = 0
    yield
    torch.set_num_threads(before)


def never(*_: Any, **__: Any) -> Any:
    raise AssertionError("an engine was made although everything is known")


def extractor(
    store: Path | Store | None = None, engine: Callable[..., Any] = Counting, backbone: Backbone | None = None
) -> Extractor:
    kept = store if isinstance(store, Store) else Store(store)
    return Extractor(
        backbone or tiny_backbone(), engine, engine_name="counting", precision="f32", store=kept, threads=2
    )


def items(files: list[Path]) -> list[Item]:
    return [Item(path, path.parent.name) for path in files]


def equal(a: Extraction, b: Extraction) -> bool:
    return a.photos == b.photos and all(np.array_equal(a.features[level], b.features[level]) for level in b.features)


def close(a: Extraction, b: Extraction) -> bool:
    """As good as equal: a photo's last digits may depend on how many others are in its batch."""
    return a.photos == b.photos and all(np.allclose(a.features[k], b.features[k], atol=1e-5) for k in b.features)


# --------------------------------------------------------------------------------------- the pretrained network


@pytest.fixture(scope="module")
def extraction(backbone: Backbone, photo_files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Extraction:
    real = make_extractor("efficientnet_lite0", "f32", cache=False, threads=2)
    return real(items(photo_files[::3]))


def test_f32_features_are_those_of_the_torch_network(
    backbone: Backbone, extraction: Extraction, photo_files: list[Path]
) -> None:
    module = build(backbone.graph, backbone.weights).eval()
    batch = np.stack([backbone.preprocessing(decode_image(path, at_least=224)) for path in photo_files[::3]])
    with torch.inference_mode():
        expected = module(torch.from_numpy(batch))
    assert list(extraction.features) == list(LEVELS)
    for (level, ours), theirs in zip(extraction.features.items(), expected, strict=True):
        assert ours.shape == (len(photo_files[::3]), LEVELS[level]) and ours.dtype == np.float32
        scale = float(theirs.abs().max())
        assert np.abs(ours - theirs.numpy()).max() < 1e-4 * max(1.0, scale)
        assert ours.std(axis=0).max() > 1e-2  # of different photos


def test_levels_are_the_means_of_the_maps_they_name(backbone: Backbone, photo_files: list[Path]) -> None:
    maps_graph = backbone.graph.up_to(*backbone.levels.values())
    weights = {name: backbone.weights[name] for name in (*maps_graph.parameters(), *maps_graph.buffers())}
    x = torch.from_numpy(backbone.preprocessing(decode_image(photo_files[0]))[None])
    with torch.inference_mode():
        maps = build(maps_graph, weights).eval()(x)
        vectors = build(backbone.graph, backbone.weights).eval()(x)
    for level, vector in zip(maps, vectors, strict=True):
        assert torch.allclose(level.mean(dim=(2, 3)), vector, atol=1e-5)


def test_photos_carry_what_the_file_holds(extraction: Extraction, photo_files: list[Path]) -> None:
    for photo, path in zip(extraction.photos, photo_files[::3], strict=True):
        with Image.open(path) as image:
            assert (photo.width, photo.height) == image.size
        assert photo.item == Item(path, path.parent.name)
        assert photo.sha256 == content_hash(path.read_bytes())
        assert photo.fingerprint == fingerprint(decode_image(path, at_least=224))
    assert (extraction.refused, extraction.cached) == ([], 0) and extraction.seconds > 0


def test_the_torch_engine_takes_over_where_openvino_is_absent(
    monkeypatch: pytest.MonkeyPatch, extraction: Extraction, photo_files: list[Path]
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "openvino" else find(name))
    assert engine_class() is TorchEngine
    fallback = make_extractor("efficientnet_lite0", "auto", cache=False, threads=2)
    assert (fallback.engine_name, fallback.precision) == (TorchEngine.name, "f32")
    ours = fallback(items(photo_files[::3]))
    for level, theirs in extraction.features.items():
        assert np.abs(ours.features[level] - theirs).max() < 1e-4 * max(1.0, float(np.abs(theirs).max()))
    with pytest.raises(UsageError, match="--precision bf16: this CPU does not compute in bfloat16; use f32 or auto"):
        choose_precision("bf16")


def test_mirrored_features_are_those_of_the_mirrored_picture(
    extraction: Extraction, photo_files: list[Path], tmp_path: Path
) -> None:
    flipped = []
    for number, path in enumerate(photo_files[:4]):
        pixels = np.flip(decode_image(path), axis=1)
        Image.fromarray(np.ascontiguousarray(pixels)).save(tmp_path / f"{number}.png")
        flipped.append(tmp_path / f"{number}.png")
    real = make_extractor("efficientnet_lite0", "f32", cache=False, threads=2)
    ours, theirs = real(items(photo_files[:4]), mirrored=True), real(items(flipped))
    plain = real(items(photo_files[:4]))
    for level in LEVELS:
        rounding = np.abs(ours.features[level] - theirs.features[level]).max()
        assert rounding < 0.2 * np.abs(ours.features[level] - plain.features[level]).max()


@pytest.mark.parametrize("levels", [("top",), ("stage5", "stage7", "top"), tuple(LEVELS)])
def test_logits_of_the_whole_graph_are_the_head_on_the_features(
    backbone: Backbone, extraction: Extraction, photo_files: list[Path], levels: tuple[str, ...]
) -> None:
    rng = np.random.default_rng(0)
    width = sum(LEVELS[level] for level in levels)
    weight, bias = rng.standard_normal((5, width)).astype(np.float32), rng.standard_normal(5).astype(np.float32)
    graph = with_head(backbone, levels, 5)
    own = {"head.dense.weight": weight, "head.dense.bias": bias}
    needed = {name: own.get(name, backbone.weights.get(name)) for name in (*graph.parameters(), *graph.buffers())}
    batch = np.stack([backbone.preprocessing(decode_image(path, at_least=224)) for path in photo_files[::3]])
    joined = np.concatenate([extraction.features[level] for level in levels], axis=1)
    expected = joined.astype(float) @ weight.T + bias
    assert graph.shapes[graph.outputs[0]] == (5,)
    for engine in (OpenVinoEngine(graph, needed), TorchEngine(graph, needed)):
        assert np.abs(engine(batch)[0] - expected).max() < 1e-4 * np.abs(expected).max()


def test_a_backbone_carries_only_what_its_graph_needs(backbone: Backbone) -> None:
    assert backbone.weights.keys() == backbone.graph.parameters().keys() | backbone.graph.buffers().keys()
    assert backbone.widths == LEVELS
    assert not [name for name in backbone.weights if "dense" in name]


def test_an_unknown_backbone_is_told_with_the_known() -> None:
    with pytest.raises(UnknownName, match=r"network 'efficientnet_lite9'; did you mean efficientnet_lite"):
        load_backbone("efficientnet_lite9")


@pytest.mark.parametrize(("wanted", "able", "chosen"), [("f32", True, "f32"), ("auto", True, "bf16"),
                                                        ("auto", False, "f32"), ("bf16", True, "bf16")])  # fmt: skip
def test_precision(monkeypatch: pytest.MonkeyPatch, wanted: str, able: bool, chosen: str) -> None:
    monkeypatch.setattr(OpenVinoEngine, "has_bf16", staticmethod(lambda: able))
    assert choose_precision(wanted) == chosen


def test_a_precision_that_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OpenVinoEngine, "has_bf16", staticmethod(lambda: False))
    with pytest.raises(UsageError, match="bf16: this CPU does not compute in bfloat16"):
        choose_precision("bf16")
    with pytest.raises(UsageError, match="--precision 'int8'; expected one of auto, bf16, f32"):
        choose_precision("int8")


def test_no_cache_means_nothing_on_the_disk(foveal_cache: Path, photo_files: list[Path]) -> None:
    load_backbone("efficientnet_lite0")  # its weights are converted once a machine, cache or not
    before = {path: path.stat().st_mtime_ns for path in foveal_cache.rglob("*")}
    make_extractor("efficientnet_lite0", "f32", cache=False, threads=1)(items(photo_files[:1]))
    assert {path: path.stat().st_mtime_ns for path in foveal_cache.rglob("*")} == before


def test_the_cache_lies_in_the_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOVEAL_CACHE", str(tmp_path))
    monkeypatch.setattr(backbones, "load_backbone", lambda *options: tiny_backbone())
    make_extractor("tiny", "f32", cache=True).store.close()
    assert (tmp_path / "features.sqlite").exists()


# ------------------------------------------------------------------------------------------------------ the recipe


def recipe(backbone: Backbone, engine: str = "e", precision: str = "f32", mirrored: bool = False) -> str:
    return backbone.recipe(engine, precision, mirrored)


def test_the_key_of_features_holds_everything_they_depend_on(monkeypatch: pytest.MonkeyPatch) -> None:
    base = tiny_backbone()
    ours = base.preprocessing
    other_graph = replace(base.graph, outputs=base.graph.outputs[::-1])
    recipes = [
        recipe(base),
        recipe(base, engine="other"),
        recipe(base, precision="bf16"),
        recipe(base, mirrored=True),
        recipe(replace(base, sha256="0" * 64)),
        recipe(replace(base, graph=other_graph)),
        recipe(replace(base, graph=base.graph.with_input((3, 33, 33)))),
        *(
            recipe(replace(base, preprocessing=replace(ours, **change)))
            for change in ({"size": 33}, {"crop": 0.99}, {"mean": 1.0}, {"std": 1.0})
        ),
    ]
    monkeypatch.setattr(features, "DECODER_VERSION", features.DECODER_VERSION + 1)
    recipes.append(recipe(base))
    assert len(set(recipes)) == len(recipes)


def test_the_key_does_not_depend_on_the_process() -> None:
    script = "import sys; sys.path.insert(0, 'tests'); from test_features import *; print(recipe(tiny_backbone()))"
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == recipe(tiny_backbone())


# ------------------------------------------------------------------------------------------------------- the cache


def test_the_second_pass_computes_nothing_and_gives_exactly_the_same(tmp_path: Path, photo_files: list[Path]) -> None:
    first = extractor(tmp_path / "a.sqlite")(items(photo_files))
    assert Counting.photos == len(photo_files) == len(first.photos) and first.cached == 0
    second = extractor(tmp_path / "a.sqlite", never)(items(photo_files))
    assert equal(first, second) and second.cached == len(photo_files)
    assert [photo.item.path for photo in second.photos] == photo_files


def test_the_same_photos_under_other_names_are_known(tmp_path: Path, photo_files: list[Path]) -> None:
    first = extractor(tmp_path / "a.sqlite")(items(photo_files[:5]))
    moved = [shutil.copy(path, tmp_path / f"{i}.moved") for i, path in enumerate(photo_files[:5])]
    again = extractor(tmp_path / "a.sqlite", never)(items([Path(path) for path in moved]))
    assert all(np.array_equal(again.features[level], first.features[level]) for level in first.features)
    assert [photo.item.path.suffix for photo in again.photos] == [".moved"] * 5


def test_added_photos_cost_only_themselves(tmp_path: Path, photo_files: list[Path]) -> None:
    known = extractor(tmp_path / "a.sqlite")(items(photo_files[:20]))
    Counting.photos = 0
    grown = extractor(tmp_path / "a.sqlite")(items(photo_files[:27]))
    assert (Counting.photos, grown.cached) == (7, 20)
    assert all(np.array_equal(grown.features[level][:20], known.features[level]) for level in known.features)


def test_another_precision_or_view_is_computed_anew(tmp_path: Path, photo_files: list[Path]) -> None:
    plain = extractor(tmp_path / "a.sqlite")
    plain(items(photo_files[:3]))
    mirrored = plain(items(photo_files[:3]), mirrored=True)
    assert Counting.photos == 6 and mirrored.cached == 0
    plain.at("bf16")(items(photo_files[:3]))
    assert Counting.photos == 9
    extractor(tmp_path / "a.sqlite", never)(items(photo_files[:3]), mirrored=True)


def test_looking_needs_no_engine_and_is_remembered(tmp_path: Path, photo_files: list[Path]) -> None:
    store = tmp_path / "a.sqlite"
    looked = extractor(store, never).look(items(photo_files))
    assert looked.features == {} and looked.cached == 0
    assert extractor(store, never).look(items(photo_files)).cached == len(photo_files)
    full = extractor(store)(items(photo_files))
    assert full.photos == looked.photos and full.cached == 0 and Counting.photos == len(photo_files)


def test_without_a_cache_every_pass_computes(photo_files: list[Path]) -> None:
    first, second = (extractor()(items(photo_files[:3])) for _ in range(2))
    assert Counting.photos == 6 and equal(first, second)


def test_vectors_of_another_length_are_computed_again(tmp_path: Path, photo_files: list[Path]) -> None:
    store = Store(tmp_path / "a.sqlite")
    ours = extractor(store)
    first = ours(items(photo_files[:3]))
    key = ours.backbone.recipe("counting", "f32", False)
    store.add({}, "", {first.photos[1].sha256: np.zeros(7, np.float32)}, key)
    Counting.photos = 0
    assert close(ours(items(photo_files[:3])), first) and Counting.photos == 1


def test_a_cache_that_breaks_mid_run_costs_only_time(
    tmp_path: Path, photo_files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "a.sqlite")
    expected = extractor()(items(photo_files))

    def pictures(hashes: Sequence[str], decoder: str) -> dict[str, Picture]:
        found = Store.pictures(store, hashes, decoder)
        with store._lock:  # the readers' threads share the connection
            store._connection.execute("DROP TABLE IF EXISTS features")
        return found

    monkeypatch.setattr(store, "pictures", pictures)
    assert equal(extractor(store)(items(photo_files)), expected)
    assert store.note and "was begun anew" in store.note


# ----------------------------------------------------------------------------------------------- odd photos, order


def test_a_photo_may_come_twice(tmp_path: Path, photo_files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []
    monkeypatch.setattr(features, "decode", lambda data, **options: decoded.append(data) or decode(data, **options))
    copy = Path(shutil.copy(photo_files[0], tmp_path / "copy.jpg"))
    files = [photo_files[0], photo_files[1], copy, photo_files[0], *photo_files[2 : 2 + BATCH], copy]
    found = extractor()(items(files))
    assert [photo.item.path for photo in found.photos] == files
    assert len(decoded) == len(files) - 2  # once a batch
    top = found.features["top"]
    assert np.array_equal(top[0], top[2]) and np.array_equal(top[0], top[3])
    assert np.allclose(top[0], top[-1], atol=1e-5)  # of another batch
    assert not np.allclose(top[0], top[1], atol=1e-3)


def test_unreadable_photos_are_set_aside_and_the_rest_goes_on(tmp_path: Path, photo_files: list[Path]) -> None:
    bad = {name: tmp_path / name for name in ("empty.jpg", "text.jpg", "half.jpg", "gone.jpg", "folder.jpg")}
    bad["empty.jpg"].write_bytes(b"")
    bad["text.jpg"].write_text("no picture at all")
    bad["half.jpg"].write_bytes(photo_files[0].read_bytes()[:700])
    bad["folder.jpg"].mkdir()
    files = [*photo_files]
    for place, path in zip((0, 3, 15, 16, len(files) + 4), bad.values(), strict=True):
        files.insert(place, path)
    found = extractor(tmp_path / "a.sqlite")(items(files))
    assert [photo.item.path for photo in found.photos] == photo_files
    assert equal(found, extractor()(items(photo_files)))
    assert {refusal.path for refusal in found.refused} == set(bad.values())
    assert all(refusal.reason and str(tmp_path) not in refusal.reason for refusal in found.refused)
    again = extractor(tmp_path / "a.sqlite", never)(items(files))
    assert equal(again, found) and Counter(map(str, again.refused)) == Counter(map(str, found.refused))


def test_nothing_but_unreadable_photos_and_nothing_at_all(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    for files, refused in (([tmp_path / "a.jpg"], 1), ([], 0)):
        found = extractor(engine=never)(items(files))
        assert (found.photos, len(found.refused)) == ([], refused)
        assert {level: array.shape for level, array in found.features.items()} == {"stage3": (0, 4), "top": (0, 6)}


def test_progress_counts_to_the_end(tmp_path: Path, photo_files: list[Path]) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"")
    files = [*photo_files, tmp_path / "bad.jpg"]
    extractor(tmp_path / "a.sqlite")(items(photo_files[:10]))
    told: list[tuple[int, int, int]] = []
    extractor(tmp_path / "a.sqlite")(items(files), progress=lambda *numbers: told.append(numbers))
    total = len(files)
    assert [done for done, _, _ in told] == [*range(BATCH, total, BATCH), total]
    assert told[-1] == (total, total, 10)


def test_a_failing_engine_ends_the_pass_and_keeps_what_came_before(tmp_path: Path, photo_files: list[Path]) -> None:
    class Failing(Counting):
        def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
            if Counting.photos >= BATCH:
                raise MemoryError("out of memory")
            return super().__call__(batch)

    failing = extractor(tmp_path / "a.sqlite", Failing)
    failing.threads = 1
    with pytest.raises(MemoryError):
        failing(items(photo_files))
    Counting.photos = 0
    extractor(tmp_path / "a.sqlite")(items(photo_files))
    assert Counting.photos == len(photo_files) - BATCH


# ------------------------------------------------------------------------------------------------------ being killed

AHEAD = 2 * 2  # batches under way or waiting for their turn

SLOW = """
import sys, time
sys.path.insert(0, "tests")
from test_features import *

class Slow(Counting):
    def __call__(self, batch):
        time.sleep(0.05)
        return super().__call__(batch)

files = sorted(Path(sys.argv[2]).glob("*.jpg"))
def progress(done, total, cached):
    print(done, flush=True)
extractor(Path(sys.argv[1]), Slow)(items(files), progress=progress)
"""


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_run_keeps_what_was_told_as_done(
    tmp_path: Path, photo_files: list[Path], kill: signal.Signals
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for i in range(8):  # 288 different files of the 36 photos: bytes after a JPEG's end change only its hash
        for path in photo_files:
            (photos / f"{i}-{path.name}").write_bytes(path.read_bytes() + bytes([i]))
    with subprocess.Popen(
        [sys.executable, "-c", SLOW, str(tmp_path / "a.sqlite"), str(photos)],
        cwd=Path(__file__).parent.parent, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as process:  # fmt: skip
        assert process.stdout
        told = [process.stdout.readline() for _ in range(4)]
        os.kill(process.pid, kill)
        done = int([*told, *process.stdout.read().splitlines()][-1])
    files = sorted(photos.glob("*.jpg"))
    assert 4 * BATCH <= done < len(files)
    again = extractor(tmp_path / "a.sqlite")(items(files))
    assert done <= again.cached <= done + AHEAD * BATCH  # a finished batch is kept before it is told in its turn
    assert Counting.photos == len(files) - again.cached
    Counting.photos = 0
    assert close(again, extractor()(items(files)))
