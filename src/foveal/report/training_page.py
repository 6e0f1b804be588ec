"""The result of a training from scratch as one self-contained HTML page."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from foveal.anatomy.table import four_digits
from foveal.report import charts, curves, wording
from foveal.report.glossary import TRAINING_GLOSSARY
from foveal.report.render import page_style, page_templates, usage, weakest_first
from foveal.shapes import text
from foveal.text import printable

Result = Mapping[str, Any]
STILL = 0.01  # share of the loss that an epoch must still take off to speak of falling


def render_training(result: dict[str, Any], pictures: Mapping[str, bytes]) -> str:
    """`result` (see ``result.json``) as one HTML page that needs no network and no JavaScript.

    Parameters
    ----------
    pictures : JPEG bytes by path as in `result`; a missing one becomes a neutral placeholder.
    """
    from markupsafe import Markup

    def curve(name: str, *arguments: Any) -> Markup:
        return Markup(getattr(curves, name)(*arguments) or "")

    noun = noun_of(result)
    glossary = {key: (term, meaning.replace("photo", noun)) for key, (term, meaning) in TRAINING_GLOSSARY.items()}
    templates = page_templates(pictures, {}, glossary, noun)
    templates.globals["curve"] = curve
    templates.filters.update(four_digits=four_digits, shape=text)
    history, classes = result["history"], result["data"]["classes"]
    commands = {name: Markup.escape(line) for name, line in _commands(result).items()}
    return templates.get_template("training.html").render(
        r=result, style=page_style(), how=curves_heading(history), findings=findings(result), settings=settings(result),
        pairs=wording.confused_pairs(classes, result["test"]["confusion"]),
        matrix=len(classes) <= charts.LARGEST_MATRIX, per_class=weakest_first(result["test"]["per_class"]),
        network_heading=network_heading(result["network"], noun), usage=commands,
    )  # fmt: skip


def _commands(result: Result) -> dict[str, str]:
    bundle, folder = (wording.shell_word(path) for path in (wording.bundle_path(result), wording.run_folder(result)))
    return usage(result) | {
        "open": f"foveal open {bundle} {shlex.quote('my photo.jpg')}",
        "reproduce": f"foveal reproduce {folder}",
    }


def noun_of(result: Result) -> str:
    """What the data are."""
    return "picture" if result["data"]["kind"] == "known" else "photo"


def findings(result: Result) -> list[dict[str, Any]]:
    """What there is to say of the training and the data, the most pressing first."""
    history = result["history"]
    alarms = [
        {"kind": alarm["kind"], "severity": "warning", "title": f"Epoch {alarm['epoch']}: {alarm['title']}",
         "advice": alarm["advice"], "rows": []}
        for alarm in history["alarms"]
    ]  # fmt: skip
    notes = [
        {"kind": "note", "severity": "note", "title": _sentence(note), "advice": "", "rows": []}
        for note in (*history["notes"], *result["data"]["notes"])
    ]
    order = {"error": 0, "warning": 1, "note": 2}
    return sorted([*alarms, *result["preflight"]["findings"], *notes], key=lambda finding: order[finding["severity"]])


def curves_heading(history: Result) -> str:
    """How the losses went, in a sentence."""
    epochs = history["epochs"]
    if not epochs:
        return "No epoch was finished"
    if history["stopped"]:
        return f"It stopped after epoch {epochs[-1]['epoch']}: {printable(history['stopped'])}"
    first, last = epochs[0], epochs[-1]
    if last["val_loss"] is None or len(epochs) == 1:
        part, name = ("train", "training") if last["val_loss"] is None else ("val", "validation")
        fell = f"from {wording.number(first[f'{part}_loss'])} " if len(epochs) > 1 else ""
        return f"The {name} loss came {fell}to {wording.number(last[f'{part}_loss'])}"
    losses = [row["val_loss"] for row in epochs]
    least = min(reversed(range(len(losses))), key=losses.__getitem__)
    if least < len(losses) - 1:
        more = losses[-1] / losses[least] - 1
        return f"The validation loss was least after epoch {least + 1}, and {wording.percent(more)} higher at the end"
    if losses[-1] < (1 - STILL) * losses[-2]:
        return "The validation loss was still falling when it ended"
    return "The validation loss had all but stopped falling when it ended"


def network_heading(network: Result, noun: str) -> str:
    parameters, macs = (four_digits(network[key]).replace(" ", "\u00a0") for key in ("parameters", "macs"))
    name = "" if network["name"] == "network" else f"{printable(network['name'])}: "
    return f"{name}{parameters} parameters, {macs} multiply-accumulates a {noun}"


def settings(result: Result) -> list[tuple[str, str]]:
    """The config's fields, with what was chosen where they left it open; those that do nothing in one row, last."""
    chosen, rows, idle = result["choices"] | {"device": result["environment"]["device"]}, [], []
    for name, value in result["config"].items():
        words = name.replace("_", " ")
        if name in chosen and value in (None, "auto"):
            why = "the optimizer’s own" if value is None else "found here" if name == "device" else "found quickest"
            rows.append((words, f"{_said(chosen[name])} ({why})"))
        elif value in (None, "", 0) and name != "seed":
            idle.append(words)
        elif name != "format":
            rows.append((words, _said(value)))
    return [*rows, ("not used", ", ".join(idle))] if idle else rows


def _said(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"
