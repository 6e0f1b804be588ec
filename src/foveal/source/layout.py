"""Laying out Python so that a formatter would leave it as it is.

An expression is text, or a `Bracket` that may be broken: on one line where it fits, else one item a line with a comma
after the last. Lines end by column 88 (Black's and Ruff's default), so both leave the text alone at 88 and above.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

WIDTH = 88
INDENT = "    "


@dataclass(frozen=True)
class Bracket:
    """``head item, item tail``, e.g. ``Bracket("f(", ("x", "y=2"), ")")``."""

    head: str
    items: tuple[Expression, ...]
    tail: str


Expression = str | Bracket


def call(function: str, items: Iterable[Expression], after: str = "") -> Bracket:
    return Bracket(f"{function}(", tuple(items), f"){after}")


def before(prefix: str, expression: Expression) -> Expression:
    """`prefix` in front of `expression`, e.g. ``name=``."""
    if isinstance(expression, str):
        return prefix + expression
    return Bracket(prefix + expression.head, expression.items, expression.tail)


def flat(expression: Expression) -> str:
    """`expression` on one line."""
    if isinstance(expression, str):
        return expression
    return f"{expression.head}{', '.join(flat(item) for item in expression.items)}{expression.tail}"


def lines(expression: Expression, depth: int, end: str = "") -> list[str]:
    """`expression` and then `end`, indented `depth` times, on as many lines as it takes."""
    one = INDENT * depth + flat(expression) + end
    if isinstance(expression, str) or len(one) <= WIDTH or not expression.items:
        return [one]
    inner = [line for item in expression.items for line in lines(item, depth + 1, ",")]
    return [INDENT * depth + expression.head, *inner, INDENT * depth + expression.tail + end]


def literal(value: object) -> str:
    """A number, truth value, text or tuple of those as Python writes it: ``1e-5``, ``(3, 3)``."""
    if isinstance(value, tuple):
        return f"({', '.join(literal(part) for part in value)}{',' if len(value) == 1 else ''})"
    if isinstance(value, str):
        return f'"{value}"'
    return re.sub(r"e([+-])0*", lambda power: "e" + power[1].strip("+"), repr(value))


def camel(name: str) -> str:
    """``squeeze_excite`` -> ``SqueezeExcite``; between digits the line stays."""
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"\.|(?<!\d)_|_(?!\d)", name))


def paragraphs(parts: Sequence[str], apart: int = 2) -> str:
    """Top-level definitions, `apart` empty lines between them."""
    return ("\n" * (apart + 1)).join(part.strip("\n") for part in parts if part) + "\n"
