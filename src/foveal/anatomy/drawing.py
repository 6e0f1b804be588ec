"""A network drawn: one self-contained SVG."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from xml.sax.saxutils import escape

from foveal.anatomy.layout import Item, Rect, Wire, place
from foveal.anatomy.outline import Outline, Piece, flow
from foveal.anatomy.rows import Anatomy
from foveal.anatomy.table import four_digits
from foveal.errors import UnknownName, UsageError
from foveal.graph import INPUT, Node
from foveal.notation.words import write
from foveal.ops import Add, Concat, Conv, ConvTranspose, Dense, Multiply, Opaque
from foveal.shapes import text
from foveal.svg import label, picture, tag
from foveal.text import plural, printable

MEASURES = {"macs": "MACs", "parameters": "parameters"}
"""What the bars can show, and what it is called."""

JOINS = (Add, Concat, Multiply)
WEIGHTED = (Conv, ConvTranspose, Dense)
MARGIN, TITLE, HEAD = 16.0, 22.0, 60.0  # around the picture; of a frame; above the network
HEIGHT, LOW = 42.0, 26.0  # of a box with two lines and a bar, and with one
NARROW, WIDE, PILL = 150.0, 230.0, 110.0  # a box, at least and at most; a join
LETTER, SMALL_LETTER = 7.4, 6.3  # pixels a letter takes at most, on average, at 13 and 11 pixels
LABELLED = 24.0  # a line this tall has room for its shape
_MINOR = re.compile(r"p\d.*|same|(no)?(bias|affine)|ceil|countpad|\w+=.*")  # settings that the box leaves to its title

STYLE = """
.network{--page:#fff;--frame:#f4f5f7;--box:#fff;--ink:#1b1f24;--muted:#5a626c;--edge:#8b95a1;--border:#c3cad2;
--bar:#1668b0;--weights:#1668b0;--pool:#b5500b;--join:#2f7d20;--lit:#d6e8f8;
color-scheme:light dark;font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","Liberation Sans",sans-serif}
@media(prefers-color-scheme:dark){.network{--page:#14171b;--frame:#1b2026;--box:#242a31;--ink:#e7e9ec;--muted:#a3abb5;
--edge:#77818d;--border:#444d57;--bar:#74b3ea;--weights:#74b3ea;--pool:#f0a066;--join:#7cc46a;--lit:#1f4266}}
@media print{.network{color-scheme:light;--page:#fff;--frame:#f4f5f7;--box:#fff;--ink:#1b1f24;--muted:#5a626c;
--edge:#8b95a1;--border:#c3cad2;--bar:#1668b0;--weights:#1668b0;--pool:#b5500b;--join:#2f7d20}}
.network .page{fill:var(--page)}.network .ink{fill:var(--ink);font-size:13px;font-weight:600}
.network .name{fill:var(--ink);font-size:17px;font-weight:650}
.network .muted{fill:var(--muted);font-size:11px}.network .end{text-anchor:end}.network .mid{text-anchor:middle}
.network .frame{fill:var(--frame);stroke:var(--border)}.network .inner{fill:var(--page)}
.network .box{fill:var(--box);stroke:var(--border)}.network .terminal{fill:none;stroke:var(--edge)}
.network .lit>.box{fill:var(--lit);stroke:var(--bar)}
.network .bar{fill:var(--bar)}.network .stripe{fill:var(--edge)}.network .weights .stripe{fill:var(--weights)}
.network .pool .stripe{fill:var(--pool)}.network .join .stripe{fill:var(--join)}
.network .wire{fill:none;stroke:var(--edge);stroke-width:1.4}.network .tip{fill:var(--edge)}
.network .shape{fill:var(--muted);font-size:11px;paint-order:stroke;stroke:var(--page);stroke-width:3px}
.network .title{fill:var(--muted);font-size:11px;paint-order:stroke;stroke:var(--frame);stroke-width:5px}
.network .inner-title{stroke:var(--page)}
.network .badge{fill:var(--ink)}.network .count{fill:var(--page);font-size:11px;font-weight:700;text-anchor:middle}
"""
_TIP = tag(
    "defs",
    tag("marker", tag("path", class_="tip", d="M0 0L8 4L0 8z"), id="foveal-tip", viewBox="0 0 8 8", refX=8, refY=4,
        markerWidth=6, markerHeight=6, orient="auto"),
)  # fmt: skip


def draw(anatomy: Anatomy, *, by: str = "macs", depth: int | None = None) -> str:
    """The network from top to bottom, branches side by side, as one SVG that needs nothing else.

    A layer and the norm and activation that follow it are one box; equal pieces in a row are drawn once, with their
    number; scopes are frames.

    Parameters
    ----------
    by : what the bar in a box is its share of, against the largest box: ``"macs"`` or ``"parameters"``.
    depth : scopes this deep are boxes: at 1, ``stage1``; as deep as the picture stays readable if None.

    Raises
    ------
    UnknownName, UsageError : another `by`; a `depth` below 1.
    """
    if by not in MEASURES:
        raise UnknownName("measure", by, MEASURES)
    if depth is not None and depth < 1:
        raise UsageError(f"depth {depth}; expected at least 1")
    return _Drawing(anatomy, by, depth).svg()


class _Drawing:
    def __init__(self, anatomy: Anatomy, by: str, depth: int | None) -> None:
        self.anatomy, self.graph, self.by = anatomy, anatomy.graph, by
        self.outline = Outline(self.graph, depth)
        self.keyed: list[tuple[Piece, str]] = []  # by an item's key: its piece, and the scope of the frame around it
        self.readers: dict[str, set[str]] = {}
        for node in (node for piece in self.outline.pieces for node in piece.drawn):
            for value in node.inputs:
                self.readers.setdefault(self.outline.value(value), set()).add(node.name)
        for output in self.graph.outputs:
            self.readers.setdefault(self.outline.value(output), set()).add("")
        boxes = [box for piece in self.outline.pieces for box in piece.boxes()]
        self.most = max(map(self.share, boxes), default=0.0)
        widths = [_badge_width(box) + _width(*self.face(box, _scope(box.name))) for box in boxes]
        self.width = min(max([NARROW, *widths]), WIDE)

    def svg(self) -> str:
        block = place(list(self._items()))
        title = f"{self.graph.name}: {plural(self.anatomy.totals.nodes, 'node')}"
        width = max(block.right, 280.0) + 2 * MARGIN
        dx, dy = (width - block.right) / 2, HEAD + MARGIN
        rects = [rect._replace(x=rect.x + dx, y=rect.y + dy) for rect in block.rects]
        wires = [w._replace(x1=w.x1 + dx, y1=w.y1 + dy, x2=w.x2 + dx, y2=w.y2 + dy) for w in block.wires]
        page = tag("rect", class_="page", width="100%", height="100%")
        parts = [
            tag("style", STYLE), _TIP, page, *self._head(), *self._frames(rects), *map(_path, wires),
            *self._titles(rects), *self._shapes(wires), *self._boxes(rects),
        ]  # fmt: skip
        return picture(width, block.height + HEAD + 2 * MARGIN, title, parts, class_="network",
                       xmlns="http://www.w3.org/2000/svg")  # fmt: skip

    # --- what is shown ------------------------------------------------------------------------------------------------

    def _items(self) -> Iterator[Item]:
        """The input, the network, and each output right after the piece that it comes from."""
        names = list(dict.fromkeys(self.graph.outputs))
        ends: dict[str, list[str]] = {}  # by the drawn value: the outputs that it is
        for i, output in enumerate(names, start=1):
            ends.setdefault(self.outline.value(output), []).append(f"output {i}" if len(names) > 1 else "output")
        if INPUT in self.readers:
            yield self._terminal("input", (), (INPUT,))
        for made, piece in [((INPUT,), None), *((tuple(n.name for n in p.drawn), p) for p in self.outline.pieces)]:
            if piece:
                yield self._item(piece, "")
            for value in made:
                yield from (self._terminal(name, (value,), ()) for name in ends.get(value, ()))

    def _terminal(self, name: str, reads: tuple[str, ...], gives: tuple[str, ...]) -> Item:
        self.keyed.append((Piece(name, (), ()), ""))
        return Item(len(self.keyed) - 1, PILL, LOW, reads, gives)

    def _item(self, piece: Piece, scope: str) -> Item:
        key = len(self.keyed)
        self.keyed.append((piece, scope))
        reads, gives = flow(piece.drawn, self.readers, self.outline.value)
        if piece.parts:
            parts = tuple(self._item(part, piece.name or scope) for part in piece.parts)
            return Item(key, SMALL_LETTER * len(_span(piece, scope)) + 80, TITLE, reads, gives, parts)
        if _kind(piece) != "join":
            return Item(key, self.width, HEIGHT, reads, gives)
        width = LETTER * len(self._joined(piece)) + 16
        return Item(key, min(max(PILL, width), self.width), LOW, reads, gives)

    def face(self, box: Piece, scope: str) -> tuple[str, str, str, str]:
        """What a box says: its layer, its share, what follows the layer, its name inside `scope`."""
        share = _percent(self.share(box))
        name = _span(box, scope)
        if box.closed:
            return name, share, plural(len(box.drawn), "node"), ""
        layer, *after = (self._said(node) for node in box.drawn)
        unnamed = name == type(box.drawn[0].op).__name__.lower()
        return layer, share, " ".join(after), "" if unnamed else name

    def _joined(self, box: Piece) -> str:
        """The one line of a join."""
        return " ".join(map(self._said, box.drawn))

    def _said(self, node: Node) -> str:
        """A node in the words of the notation, without its lesser settings."""
        if isinstance(node.op, Opaque):
            return printable(node.op.label)
        if isinstance(node.op, JOINS):
            return type(node.op).__name__.lower()
        return " ".join(w for w in write(node.op, self.graph.input_shapes(node)[0]).split() if not _MINOR.fullmatch(w))

    def share(self, piece: Piece) -> float:
        """Of all there is to measure, what `piece` and its copies have."""
        return self._sum(piece, self.by) / (getattr(self.anatomy.totals, self.by) or 1)

    def _sum(self, piece: Piece, key: str) -> int:
        return sum(getattr(self.anatomy.by_name[node.name], key) for node in piece.nodes)

    def _hint(self, piece: Piece) -> str:
        """The full figures, for whoever points at the box."""
        rows = [self.anatomy.by_name[node.name] for node in piece.nodes]
        names = ", ".join(printable(node.name) for node in piece.drawn[:6]) + (", ..." if len(piece.drawn) > 6 else "")
        ops = "; ".join(f"{node.op!r:.200}" for node in piece.drawn) if len(piece.drawn) <= 4 else ""
        shared = next((f"weights of {node.weights_of}" for node in piece.drawn if node.weights_of), "")
        times = len(piece.nodes) // len(piece.drawn)
        copies = f"{times} copies; together:" if times > 1 else ""
        figures = (
            f"output {text(self.graph.shapes[piece.drawn[-1].name])}, {self._sum(piece, 'parameters'):,} parameters, "
            f"{self._sum(piece, 'macs'):,} MACs, {self._sum(piece, 'other_ops'):,} other operations, "
            f"{self._sum(piece, 'activation_bytes'):,} bytes, field {rows[-1].receptive_field.text()}"
        )
        return escape("\n".join(printable(line, limit=600) for line in (names, ops, shared, copies, figures) if line))

    # --- how it is drawn ----------------------------------------------------------------------------------------------

    def _head(self) -> list[str]:
        totals, measure = self.anatomy.totals, MEASURES[self.by]
        counted = f"{four_digits(totals.parameters)} parameters, {four_digits(totals.macs)} MACs"
        if totals.opaque:
            counted += f", without {plural(totals.opaque, 'opaque step')}"
        legend = f"bars: share of the {measure}, at most {_percent(self.most)}" if self.most else f"no {measure}"
        return [
            label(MARGIN, MARGIN + 12, printable(self.graph.name, limit=30), class_="name"),
            label(MARGIN, MARGIN + 32, counted, class_="muted"),
            label(MARGIN, MARGIN + 47, legend, class_="muted"),
        ]

    def _frames(self, rects: Iterable[Rect]) -> Iterator[str]:
        for rect in rects:
            piece, scope = self.keyed[rect.key]
            if piece.parts:
                box = {"x": rect.x, "y": rect.y, "width": rect.width, "height": rect.height, "rx": 8}
                yield tag("rect", tag("title", self._hint(piece)), class_="frame inner" if scope else "frame", **box)

    def _titles(self, rects: Iterable[Rect]) -> Iterator[str]:
        for rect in rects:
            piece, scope = self.keyed[rect.key]
            if piece.parts:
                look = "title inner-title" if scope else "title"
                yield label(rect.x + 10, rect.y + 15, _span(piece, scope), class_=look)
                right = rect.x + rect.width - 10 - _badge_width(piece)
                yield label(right, rect.y + 15, _percent(self.share(piece)), class_=f"{look} end")
                yield _badge(piece, rect)

    def _boxes(self, rects: Iterable[Rect]) -> Iterator[str]:
        for rect in rects:
            piece, scope = self.keyed[rect.key]
            if not piece.parts:
                yield self._box(piece, rect, scope) if piece.nodes else self._end(piece, rect)

    def _end(self, piece: Piece, rect: Rect) -> str:
        box = tag("rect", class_="terminal", x=rect.x, y=rect.y, width=rect.width, height=rect.height, rx=LOW / 2)
        return tag("g", box + label(rect.x + rect.width / 2, rect.y + 17, piece.name, class_="ink mid"))

    def _box(self, piece: Piece, rect: Rect, scope: str) -> str:
        kind = _kind(piece)
        if kind == "join":
            line = _fitted(self._joined(piece), rect.width - 12, LETTER)
            inside = label(rect.x + rect.width / 2, rect.y + 17, line, class_="ink mid")
        else:
            inside = "".join(self._lines(piece, rect, scope))
        hint = tag("title", self._hint(piece))
        box = tag("rect", class_="box", x=rect.x, y=rect.y, width=rect.width, height=rect.height, rx=5)
        return tag("g", hint + box + inside + _badge(piece, rect), class_=f"node {kind}",
                   data_node=piece.nodes[0].name, data_nodes=" ".join(node.name for node in piece.nodes))  # fmt: skip

    def _lines(self, piece: Piece, rect: Rect, scope: str) -> Iterator[str]:
        """Two lines, to the left the layer and what follows it, to the right its share and its name; and the bar."""
        x, y, right = rect.x + 13, rect.y, rect.x + rect.width - 8
        layer, share, after, name = self.face(piece, scope)
        inset = _badge_width(piece)
        after = _fitted(after, (rect.width - 24) * (0.6 if name else 1), SMALL_LETTER)
        name = _fitted(name, rect.width - 30 - SMALL_LETTER * len(after), SMALL_LETTER)
        yield tag("rect", class_="stripe", x=rect.x + 4, y=y + 7, width=3, height=rect.height - 14, rx=1.5)
        yield label(x, y + 17, _fitted(layer, right - x - inset - SMALL_LETTER * len(share), LETTER))
        yield label(right - inset, y + 17, share, class_="muted end")
        yield label(x, y + 31, after, class_="muted")
        yield label(right, y + 31, name, class_="muted end")
        if long := (right - x) * self.share(piece) / (self.most or 1):
            yield tag("rect", class_="bar", x=x, y=y + 35, width=long, height=3, rx=1.5)

    def _shapes(self, wires: Iterable[Wire]) -> Iterator[str]:
        """Each value's shape, where its line first has room for it."""
        done: set[str] = set()
        for wire in sorted(wires, key=lambda w: w.y1):
            if wire.value not in done and wire.y2 - wire.y1 >= LABELLED:
                done.add(wire.value)
                side = -6 if wire.x2 > wire.x1 else 6  # away from where the line goes
                shape = text(self.graph.shapes[wire.value])
                yield label(wire.x1 + side, wire.y1 + 13, shape, class_="shape end" if side < 0 else "shape")


def _kind(piece: Piece) -> str:
    op = piece.drawn[0].op
    if piece.closed:
        return "closed"
    if isinstance(op, JOINS):
        return "join"
    if "pool" in type(op).__name__.lower():
        return "pool"
    return "weights" if isinstance(op, WEIGHTED) else "plain"


def _span(piece: Piece, scope: str) -> str:
    """What a piece is called inside `scope`: its name, or those of the first and the last copy."""
    name, last = _inside(piece.name, scope), _inside(piece.last, scope)
    return f"{name} - {last}" if last and last != name else name


def _scope(name: str) -> str:
    return name.rpartition(".")[0]


def _inside(name: str, scope: str) -> str:
    return name.removeprefix(f"{scope}.")


def _percent(share: float) -> str:
    return "" if not share else "< 0.1 %" if share < 0.0005 else f"{100 * share:.1f} %"


def _width(layer: str, share: str, after: str, name: str) -> float:
    return 34 + max(LETTER * len(layer) + SMALL_LETTER * len(share), SMALL_LETTER * (len(after) + len(name)))


def _fitted(said: str, room: float, letter: float) -> str:
    return printable(said, limit=max(3, int(room / letter)))


def _badge_width(piece: Piece) -> float:
    return 22 + SMALL_LETTER * len(str(piece.times)) if piece.times > 1 else 0.0


def _badge(piece: Piece, rect: Rect) -> str:
    if piece.times == 1:
        return ""
    width = _badge_width(piece)
    x = rect.x + rect.width - width - 4
    pill = tag("rect", class_="badge", x=x, y=rect.y - 8, width=width, height=18, rx=9)
    return pill + label(x + width / 2, rect.y + 5, f"×{piece.times}", class_="count")


def _path(wire: Wire) -> str:
    x1, y1, x2, y2 = (round(v, 2) for v in wire[1:5])
    middle = round((y1 + y2) / 2, 2)
    way = f"M{x1} {y1}V{y2}" if x1 == x2 else f"M{x1} {y1}C{x1} {middle} {x2} {middle} {x2} {y2}"
    return tag("path", class_="wire", d=way, **({"marker_end": "url(#foveal-tip)"} if wire.enters else {}))
