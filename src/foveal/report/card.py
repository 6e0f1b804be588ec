"""The bundle's ``README.md``: what the classifier is, how good, on what data, and where it must not be trusted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from foveal.published import PRETRAINED
from foveal.report import training_page, wording
from foveal.report.render import usage
from foveal.text import markdown, plural, printable


def model_card(result: Mapping[str, Any]) -> str:
    """`result` (see ``result.json``) as a model card in Markdown (Mitchell et al. 2019).

    Every name in it is literal text: nothing becomes a link, HTML, a heading or the end of a table cell.
    """
    test, head, features, data = result["test"], result["head"], result["features"], result["data"]
    commands = usage(result)
    parts = [
        f"# {markdown(result['name'])}: an image classifier",
        f"Names a photo as one of {plural(len(data['classes']), 'class', 'classes')}"
        + ("" if result["rejection"]["threshold"] is None else ", or answers that it is none of these")
        + f". Made on {markdown(result['created'][:10])} with Foveal {markdown(result['foveal'])} by:",
        _code(result["command"]),
        "## How good it is",
        f"**{wording.accuracy_text(test)}** of a sealed test part were named right. {wording.meaning(test)}",
        wording.caveat(result["split"]) or _grouped(result["split"]),
        f"Log loss {wording.number(test['log_loss'])}, calibration error {wording.percent(test['calibration_error'])}. "
        + _sentence(wording.confusion_heading(data["classes"], test["confusion"]))
        + ".",
        _class_table(result, "photo"),
        "## How to use it",
        "Run these where the training was started, or put the new path of this folder.",
        _code(f"{commands['predict']}\n{commands['evaluate']}"),
        _code(commands["python"], "python"),
        "## What it was made from",
        f"{plural(len(result['split']['train']), 'photo')} for training and {len(result['split']['test'])} for the "
        f"test, from {markdown(data['root'])}. {_sentence(result['split']['how'])}",
        f"The network {markdown(features['backbone'])} with its {markdown(features['weights'])} weights gives the "
        f"features (number format {markdown(features['precision'])}); only a {markdown(head['kind'])} head was fitted "
        "to the photos.",
        "## Where not to trust it",
        *_limits(result),
        "## Licence",
        licence(features),
    ]
    return "\n\n".join(parts) + "\n"


def training_card(result: Mapping[str, Any]) -> str:
    """Likewise of a network that was trained from scratch."""
    test, data, network, split = result["test"], result["data"], result["network"], result["split"]
    noun = training_page.noun_of(result)
    commands = usage(result)
    photos = data["kind"] != "known"
    parts = [
        f"# {markdown(result['name'])}: an image classifier",
        f"Names a {noun} as one of {plural(len(data['classes']), 'class', 'classes')}. Made on "
        f"{markdown(result['created'][:10])} with Foveal {markdown(result['foveal'])} by:",
        _code(result["command"]),
        "## How good it is",
        f"**{wording.accuracy_text(test)}** of a sealed test part were named right. {wording.meaning(test, noun)}"
        if test["total"]
        else wording.meaning(test, noun),
        *([wording.caveat(split) or _grouped(split)] if photos else []),
        f"Log loss {wording.number(test['log_loss'])}, calibration error {wording.percent(test['calibration_error'])}.",
        _class_table(result, noun),
        "## How to use it",
        "Run this where the training was started, or put the new path of this folder.",
        _code(commands["predict"]),
        _code(commands["python"], "python"),
        "## What it was made from",
        f"{plural(split['train'], noun)} to train on, {split['val']} to validate and {split['test']} for the test: "
        f"{markdown(data['source'])}.",
        f"The network {markdown(network['name'])} of {network['parameters']:,} parameters, drawn at random and trained "
        f"for {plural(result['training']['epochs'], 'epoch')} with {markdown(result['config']['optimizer'])}.",
        "## Where not to trust it",
        f"- {noun.capitalize()}s unlike those it was trained on can score far lower than the number above.\n"
        "- It always names one of its classes, whatever the picture shows.",
        "## Licence",
        "The weights were made from the data above: their rights are their owner's.",
    ]
    return "\n\n".join(parts) + "\n"


def _class_table(result: Mapping[str, Any], noun: str) -> str:
    counts = result["data"]["counts"]
    return _table(
        ("class", "recall", "precision", f"test {noun}s", f"training {noun}s"),
        (
            (
                markdown(row["label"]),
                wording.percent(row["recall"]),
                wording.percent(row["precision"]),
                f"{row['support']}",
                f"{counts[row['label']]['train']}",
            )
            for row in result["test"]["per_class"]
        ),
    )


def _grouped(split: Mapping[str, Any]) -> str:
    return f"No group of photos (by {markdown(split['group_by'])}) is in both the training and the test part."


def _sentence(text: str) -> str:
    """`text` as literal text, however long (a single name is shortened, a sentence is not)."""
    return " ".join(markdown(word) for word in text.split(" "))


def _limits(result: Mapping[str, Any]) -> list[str]:
    """One Markdown bullet list."""
    rejection = result["rejection"]
    seen = "ImageNet" if _published(result["features"]) else "other photos"
    lines = [
        "Photos unlike the training photos (another camera, light, background or season) can score far lower than the "
        "number above.",
        f"It learned from {plural(len(result['split']['train']), 'photo')}; a class with few of them is known poorly.",
        f"{wording.rejection_heading(rejection)}. {rejection['how']}",
        f"The pretrained network saw {seen} and keeps its leanings; a score on the whole says nothing about a part of "
        "your photos.",
    ]
    if wording.caveat(result["split"]):
        lines.insert(0, "Nothing was known of photos that belong together, so the score above may flatter.")
    return ["\n".join(f"- {_sentence(line)}" for line in lines)]


def licence(features: Mapping[str, Any]) -> str:
    """Whose weights the bundle carries and under which licence; says so where that is not known."""
    rest = "The head was fitted to the photos above: their rights are their owner's."
    source = markdown(features["source"])
    if not _published(features):
        return f"The licence of the network's weights ({source}) is not known to Foveal; ask who made them. {rest}"
    return (
        f"The network's weights: {markdown(features['licence'])} ({source}). They were trained on ImageNet, whose "
        f"photographs have terms of their own. {rest}"
    )


def _published(features: Mapping[str, Any]) -> bool:
    return (features["backbone"], features["weights"]) in PRETRAINED


def _code(text: str, language: str = "") -> str:
    """A fenced block; the fence is longer than any run of backticks inside."""
    lines = [printable(line, limit=len(line) * 10 + 200) for line in text.split("\n")]
    longest = max((len(run) for line in lines for run in _backticks(line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([f"{fence}{language}", *lines, fence])


def _backticks(line: str) -> list[str]:
    return [run for run in "".join(c if c == "`" else " " for c in line).split() if run]


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(header)} |", "|" + "|".join(["---", *["---:"] * (len(header) - 1)]) + "|"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines)
