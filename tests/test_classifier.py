from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.special import logsumexp, softmax

from foveal.bundle import Bundle
from foveal.classifier import Classifier, Prediction, expand
from foveal.data.decode import EXTENSIONS, decode_image
from foveal.data.preprocess import Preprocessing
from foveal.engines.openvino import OpenVinoEngine
from foveal.errors import ImageError
from foveal.features import BATCH
from foveal.graph import Builder
from foveal.ops import Dense, Flatten, GlobalAvgPool

CLASSES = ("red", "green", "blue")


def colours(temperature: float = 1.0, threshold: float | None = None, threads: int = 2) -> Classifier:
    """A classifier whose logits are the mean red, green and blue of the picture, in tens: its answers are known."""
    net = Builder("colours")
    x = net(Flatten(), net(GlobalAvgPool(), net.input(3, 32, 32)))
    graph = net.graph(net(Dense(3), x, name="dense"))
    weights = {"dense.weight": np.eye(3, dtype=np.float32), "dense.bias": np.zeros(3, np.float32)}
    preprocessing = Preprocessing(size=32, mean=0.0, std=10.0)
    bundle = Bundle(graph, weights, CLASSES, preprocessing, temperature, threshold, "f32")
    return Classifier(bundle, OpenVinoEngine(graph, weights, threads=threads), threads)


def plain(red: int, green: int, blue: int, size: tuple[int, int] = (40, 60)) -> np.ndarray:
    return np.full((*size, 3), (red, green, blue), np.uint8)


def png(path: Path, pixels: np.ndarray) -> Path:
    Image.fromarray(pixels).save(path)
    return path


def test_what_it_says_is_the_softmax_of_the_logits() -> None:
    (found,) = colours(temperature=2.0).predict(plain(30, 20, 50))
    expected = softmax(np.array([3.0, 2.0, 5.0]) / 2.0)
    assert found.label == "blue" and found.unknown is False
    assert found.probability == pytest.approx(expected[2], abs=1e-6)
    assert list(found.scores) == list(CLASSES)
    assert list(found.scores.values()) == pytest.approx(expected.tolist(), abs=1e-6)
    assert json.loads(json.dumps(found.to_json())) == {
        "label": "blue", "probability": found.probability, "unknown": False, "scores": found.scores,
    }  # fmt: skip


def test_a_path_its_text_its_bytes_and_its_pixels_say_the_same(tmp_path: Path) -> None:
    path = png(tmp_path / "a.png", plain(200, 10, 30))
    answers = colours().predict([path, str(path), path.read_bytes(), decode_image(path)])
    assert len(answers) == 4 and len({json.dumps(answer.to_json()) for answer in answers}) == 1
    assert answers[0].label == "red"


@pytest.mark.parametrize("kind", ["path", "text", "bytes", "array"])
def test_a_single_picture_gives_a_list_of_one(tmp_path: Path, kind: str) -> None:
    path = png(tmp_path / "a.png", plain(1, 90, 3))
    one: Any = {"path": path, "text": str(path), "bytes": path.read_bytes(), "array": plain(1, 90, 3)}[kind]
    assert [answer.label for answer in colours().predict(one)] == ["green"]


def test_any_iterable_of_pictures_will_do(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        png(tmp_path / f"{name}.png", plain(0, 0, 9))
    assert len(colours().predict(tmp_path.glob("*.png"))) == 3
    assert colours().predict([]) == [] == list(colours().predict_each([]))


@pytest.mark.parametrize(
    ("array", "what"),
    [
        (np.zeros((4, 4), np.uint8), "uint8 (4, 4)"),
        (np.zeros((3, 4, 4), np.uint8), "uint8 (3, 4, 4)"),
        (np.zeros((4, 4, 4), np.uint8), "uint8 (4, 4, 4)"),
        (np.zeros((2, 4, 4, 3), np.uint8), "uint8 (2, 4, 4, 3)"),
        (np.zeros((4, 4, 3), np.float32), "float32 (4, 4, 3)"),
        (np.zeros((4, 4, 3), object), "object (4, 4, 3)"),
        (np.zeros((0, 4, 3), np.uint8), "uint8 (0, 4, 3)"),
        (np.zeros((), np.uint8), "uint8 ()"),
    ],
    ids=lambda value: str(value) if isinstance(value, str) else "",
)
def test_arrays_that_are_no_pictures(array: np.ndarray, what: str) -> None:
    with pytest.raises(ImageError) as caught:
        colours().predict([array])
    assert str(caught.value) == f"<array>: {what}; expected uint8 (height, width, 3), red first"


def test_an_array_in_any_memory_order() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (50, 40, 3), dtype=np.uint8)
    first, *others = colours().predict([pixels, np.asfortranarray(pixels), pixels[::-1].copy()[::-1]])
    assert all(other == first for other in others)


def mixture(folder: Path) -> tuple[list[Path], list[str]]:
    """Three batches and a bit of pictures with broken files among them, and what is right for each."""
    files, right = [], []
    for i in range(3 * BATCH + 5):
        path = folder / f"{i}.png"
        if i % 7 == 3 or BATCH <= i < 2 * BATCH:  # the whole second batch is broken
            path.write_bytes(b"no picture")
            right.append("error")
        else:
            strong = [10, 10, 10]
            strong[i % 3] = 100 + i
            png(path, plain(*strong))
            right.append(CLASSES[i % 3])
        files.append(path)
    return files, right


def test_answers_keep_the_order_and_errors_their_place(tmp_path: Path) -> None:
    files, right = mixture(tmp_path)
    answers = list(colours().predict_each(files))
    assert [a.label if isinstance(a, Prediction) else "error" for a in answers] == right
    for path, answer in zip(files, answers, strict=True):
        if isinstance(answer, ImageError):
            assert answer.path == str(path) and answer.reason


def test_predict_raises_the_first_error(tmp_path: Path) -> None:
    files, _ = mixture(tmp_path)
    with pytest.raises(ImageError) as caught:
        colours().predict(files)
    assert caught.value.path == str(files[3])
    with pytest.raises(ImageError, match=r"gone\.png"):
        colours().predict(tmp_path / "gone.png")


def test_answers_come_as_they_are_made(tmp_path: Path) -> None:
    calls = []

    class Watched(Classifier):
        def _batch(self, images: Any) -> Any:
            calls.append(len(images))
            return super()._batch(images)

    whole = colours(threads=1)
    answers: Iterator[Any] = Watched(whole.bundle, whole.engine, 1).predict_each([plain(1, 2, 3)] * (20 * BATCH))
    next(answers)
    assert sum(calls) < 10 * BATCH
    answers.close()  # type: ignore[attr-defined]  # a generator


def test_unknown_follows_the_threshold() -> None:
    """The score as Liu et al. (2020) define it, at twice the temperature."""
    pictures = [plain(5 * i, 20, 200 - 7 * i) for i in range(25)]
    logits = np.array([pixels[0, 0] / 10 for pixels in pictures])
    scores = logsumexp(logits / (2 * 1.5), axis=1)
    threshold = float(np.median(scores)) + 1e-4
    answers = colours(temperature=1.5, threshold=threshold).predict(pictures)
    assert [answer.unknown for answer in answers] == (scores < threshold).tolist()
    assert 0 < sum(answer.unknown for answer in answers) < 25
    without = colours(temperature=1.5).predict(pictures)
    assert not any(answer.unknown for answer in without)
    assert [answer.label for answer in answers] == [answer.label for answer in without]


def test_decide_takes_none_and_many() -> None:
    ours = colours(threshold=0.0)
    assert ours.decide(np.zeros((0, 3))) == []
    assert [answer.label for answer in ours.decide(np.eye(3))] == list(CLASSES)
    assert ours.decide(np.array([[1e4, 0, -1e4]]))[0].probability == 1.0


def test_logits_are_in_order_too(tmp_path: Path) -> None:
    (logits,) = colours().logits_each([plain(10, 20, 30)])
    assert not isinstance(logits, ImageError) and logits.tolist() == pytest.approx([1, 2, 3], abs=1e-5)


def test_folders_become_their_pictures(tmp_path: Path) -> None:
    for name in ("b/2.jpg", "b/1.PNG", "a.txt", ".hidden/x.jpg", "b/.x.jpg", "c.jpg/inside.webp"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    inside = [tmp_path / name for name in ("b/1.PNG", "b/2.jpg", "c.jpg/inside.webp")]
    named = tmp_path / "a.txt"  # a file that was named is read, whatever its suffix
    assert expand([named, tmp_path, tmp_path / "gone"], EXTENSIONS) == [named, *inside, tmp_path / "gone"]
    hidden = tmp_path / ".hidden"  # a hidden folder that was named is looked into
    assert expand([hidden], EXTENSIONS) == [hidden / "x.jpg"]
