"""Text -> graph: a reader that turns tokens into a tree of steps, and an author that builds what the tree says.

The tree is made first so that a network that is too large is refused before any node of it exists.
"""

from __future__ import annotations

import contextlib
import difflib
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

from foveal.errors import GraphError, NotationError, ShapeError
from foveal.graph import MOST_NODES, Builder, Graph
from foveal.notation.words import DEPTHWISE, JOINS, WORDS, Argument, Word, make, read_shape
from foveal.ops import LARGEST
from foveal.shapes import Shape
from foveal.text import printable

MOST_TEXT = 10_000_000
MOST_NESTED = {"{": 8, "(": 7}  # each is a part of a node's name, which has at most 16
_TOKEN = re.compile(
    r"""
    \#[^\n]*                                # a comment
    | [>→(){}|]
    | [0-9]+ \s* [x×] \s* \(                # how often, as in 3 x (
    | [0-9]+ (?: \s* [x×] \s* [0-9]+ )+     # a size
    | (?: global | adaptive ) \s+ [a-z]+    # a name of two words
    | [^\s>→(){}|\#]+
    """,
    re.IGNORECASE | re.VERBOSE,
)
_AFTER = {"": " or '>'", ")": ", '>' or ')'", "|}": ", '>', '|' or '}'"}
_TOO_LARGE = re.compile(r"(?<![0-9.])0*([1-9][0-9]{12,})")


@dataclass(frozen=True)
class Token:
    """A word or sign as it is compared (lower case, ``x`` for ``×``), and where it stands; the last one is empty."""

    text: str
    at: int


@dataclass(frozen=True)
class Step:
    """One layer; `stem` is its name without a number."""

    stem: str
    word: Word
    given: dict[Argument, str]
    at: int
    size: int = 1


@dataclass(frozen=True)
class Chain:
    """Steps, one after the other; none where a branch is the input itself. `size` counts nodes and branches."""

    items: tuple[Step | Repeat | Fork, ...]
    size: int


@dataclass(frozen=True)
class Repeat:
    """A chain several times over."""

    times: int
    chain: Chain

    @property
    def size(self) -> int:
        return self.times * self.chain.size


@dataclass(frozen=True)
class Fork:
    """Chains from one node, and what joins their ends."""

    branches: tuple[Chain, ...]
    join: str
    at: int

    @property
    def size(self) -> int:
        return 1 + sum(1 + branch.size for branch in self.branches)


def parse(text: str, name: str = "network") -> Graph:
    """The network that `text` says; ``docs/notation.md`` has the grammar.

    Parameters
    ----------
    name : what the graph is called.

    Raises
    ------
    NotationError : the text is no network; the message points at the column.
    ShapeError : a layer that does not fit its input; the message points at it, too.

    >>> parse("32x32x3 > conv 8 3x3 same relu > flatten > dense 10").shapes["dense1"]
    (10,)
    """
    if len(text) > MOST_TEXT:
        raise NotationError(f"a text of {len(text):,} characters; a network has at most {MOST_TEXT:,}")
    shape, chain = _Reader(text).network()
    net = Builder(name)
    output = _Author(net, text).chain(chain, net.input(*shape))
    return net.graph(output)


class _Reader:
    """Reads the tokens of `source` from left to right, one ahead."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.tokens = self._tokens()
        self.token = next(self.tokens)
        self.nested = Counter[str]()
        self.word: Word | None = None  # whose options may go on

    def _tokens(self) -> Iterator[Token]:
        for match in _TOKEN.finditer(self.source):
            text = match[0].lower().replace("×", "x").replace("→", ">")
            token = Token(("" if text[0].isdigit() else " ").join(text.split()), match.start())
            if token.text.startswith("#"):
                continue
            if (run := _TOO_LARGE.search(token.text)) and int(run[1][:20]) > LARGEST:
                self.fail(f"numbers up to {LARGEST:,}", token)
            yield token
        yield Token("", len(self.source.rstrip()))

    def take(self) -> Token:
        taken, self.token = self.token, next(self.tokens, self.token)
        return taken

    def fail(self, expected: str, token: Token | None = None) -> NoReturn:
        """Refuse `token`, or else the next one."""
        token = token or self.token
        read = f"{token.text!r:.80}" if token.text else "the end"
        raise NotationError(_pointed(self.source, token.at, f"read {read}, expected {expected}"))

    def network(self) -> tuple[Shape, Chain]:
        size = self.token
        if not re.fullmatch("[0-9]+(x[0-9]+){0,3}", size.text):
            self.fail("the input's size, such as 32x32x3 (height, width, channels)")
        shape = read_shape(size.text)
        if 0 in shape:
            self.fail("sizes of at least 1")
        self.take()
        if self.token.text != ">":
            self.fail("'>'")
        self.take()
        return shape, self.chain("")

    def chain(self, ends: str) -> Chain:
        """Items up to one of the signs `ends`, or to the end of the text; that sign is left."""
        items: list[Step | Repeat | Fork] = []
        size, others = 0, ""
        while True:
            first = self.token
            items += (more := self.items(others))
            size += sum(item.size for item in more)
            if size > MOST_NODES:
                self.fail(f"at most {MOST_NODES:,} layers and branches in all", first)
            if self.token.text in (tuple(ends) or ("",)):
                return Chain(tuple(items), size)
            others = _AFTER[ends]
            if self.token.text == ">":
                self.take()
                others = ""

    def items(self, others: str) -> list[Step | Repeat | Fork]:
        """What the next token begins; `others` is what could have stood in place of it."""
        sign = self.token
        if sign.text == "(":
            return [*self.inside().items]
        if sign.text.endswith("x("):
            times = int(sign.text[:-2])
            if not times:
                self.fail("a number of times of at least 1")
            return [Repeat(times, self.inside())]
        if sign.text == "{":
            return [self.fork()]
        if sign.text in WORDS or sign.text == DEPTHWISE:
            return [self.step()]
        return self.unknown(others)

    def inside(self) -> Chain:
        """What stands in parentheses, from the opening one."""
        with self.nesting("("):
            self.take()
            chain = self.chain(")")
            self.take()
        self.word = None
        return chain

    def fork(self) -> Fork:
        opening = self.token
        branches = []
        with self.nesting("{"):
            while self.token.text != "}":
                self.take()
                branches.append(self.branch())
            self.take()
        if self.token.text not in JOINS:
            self.fail("add, concat or multiply, which joins the branches")
        self.word = None
        return Fork(tuple(branches), self.take().text, opening.at)

    def branch(self) -> Chain:
        if self.token.text != "id":
            return self.chain("|}")
        self.take()
        if self.token.text not in ("|", "}"):
            self.fail("'|' or '}', for id is a whole branch")
        return Chain((), 0)

    def step(self) -> Step:
        first = self.take()
        word = WORDS["conv" if first.text == DEPTHWISE else first.text]
        given = {argument: DEPTHWISE for argument in word.arguments if argument.matches(first.text)}  # depthwise itself
        while argument := next((a for a in word.arguments if a not in given and a.matches(self.token.text)), None):
            given[argument] = self.take().text
        if DEPTHWISE in given.values():  # a single number is the kernel, for the filters may be left out
            filters, kernel, *_ = word.arguments
            if kernel not in given and filters in given:
                given[kernel] = given.pop(filters)
        if missing := word.missing(given):
            self.fail(f"{missing.what}, after {first.text}")
        self.word = word
        return Step(first.text.replace(" ", ""), word, given, first.at)

    @contextlib.contextmanager
    def nesting(self, sign: str) -> Iterator[None]:
        self.nested[sign] += 1
        if self.nested[sign] > MOST_NESTED[sign]:
            self.fail(f"at most {MOST_NESTED[sign]} {sign} inside one another")
        yield
        self.nested[sign] -= 1

    def unknown(self, others: str) -> NoReturn:
        """Refuse the next token, with what may have been meant."""
        text = self.token.text
        options = [option for a in self.word.arguments for option in a.literals] if self.word and others else []
        near = difflib.get_close_matches(text[:40], [*WORDS, DEPTHWISE, *options], n=1)
        layer = "a layer"
        if text in JOINS:
            layer += f" ({text} stands after {{ a | b }})"
        elif text == "id":
            layer += " (id is a whole branch, as in { a | id } add)"
        elif self.word and text in options:
            layer += f" ({self.word.text} has that option already)"
        elif self.word and near and near[0] in options:
            layer = f"an option of {self.word.text} (did you mean {near[0]}?), a layer"
        elif near:
            layer += f" (did you mean {near[0]}?)"
        self.fail(layer + others)


class _Author:
    """Builds what a chain says; names count from 1 within each block and each branch."""

    def __init__(self, net: Builder, source: str) -> None:
        self.net = net
        self.source = source

    def chain(self, chain: Chain, x: str) -> str:
        """Append the nodes of `chain` after the node `x`; the last one's name."""
        counts = Counter[str]()

        def numbered(stem: str) -> str:
            counts[stem] += 1
            return f"{stem}{counts[stem]}"

        for item in chain.items:
            if isinstance(item, Step):
                with self.pointing(item.at):
                    op = make(item.word, item.given, self.net.shape(x))
                    x = self.net(op, x, name=numbered(item.stem))
            elif isinstance(item, Repeat):
                for _ in range(item.times):
                    x = self.scoped(numbered("block"), item.chain, x)
            else:
                ends = [self.scoped(numbered("branch"), branch, x) for branch in item.branches]
                with self.pointing(item.at):
                    x = self.net(JOINS[item.join](), *ends, name=numbered(item.join))
        return x

    def scoped(self, scope: str, chain: Chain, x: str) -> str:
        with self.net.scope(scope):
            return self.chain(chain, x)

    @contextlib.contextmanager
    def pointing(self, at: int) -> Iterator[None]:
        """Errors raised inside show the text and the place `at`."""
        try:
            yield
        except ShapeError as error:
            raise ShapeError(_pointed(self.source, at, str(error))) from error
        except GraphError as error:
            raise NotationError(_pointed(self.source, at, str(error))) from error


def _pointed(source: str, at: int, message: str) -> str:
    """`message` with its column, the line that it is about, and a caret under the place."""
    begin = source.rfind("\n", 0, at) + 1
    line, column = source[begin:].partition("\n")[0].rstrip(), at - begin
    place = f"column {column + 1}"
    if "\n" in source.strip():
        place = f"line {source.count(chr(10), 0, at) + 1}, {place}"
    left = max(column - 60, 0)
    before, after = (printable(part, limit=1000) for part in (line[left:column], line[column : column + 60]))
    dots = "…" if left else ""
    return f"{place}: {message}\n  {dots}{before}{after}\n  {' ' * len(dots + before)}^"
