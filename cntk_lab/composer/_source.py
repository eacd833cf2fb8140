"""Program text: places in it, edits of it, and which place of a new text is which of the old one.

An edit replaces one stretch of text; everything else stays as the user wrote it, to the character. Knows the grammar of
Python through ``ast`` and nothing of networks.
"""

from __future__ import annotations

import ast
import difflib
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cntk_lab.errors import AttributeValueError, GraphError

LONGEST: Final = 100_000
"""Characters of a program; a longer one is refused before anything is done with it."""
DEEPEST: Final = 200
"""Levels of the syntax tree of a program."""


@dataclass(frozen=True, slots=True)
class Splice:
    """One edit: the text from ``start`` to ``end`` is replaced."""

    start: int
    end: int
    text: str

    def apply(self, source: str) -> str:
        """The edited text."""
        return source[: self.start] + self.text + source[self.end :]


def bounded(source: str) -> str:
    """The text of a program that can be worked on.

    Args:
        source: the text.

    Raises:
        AttributeValueError: if it is too long, or holds halves of characters.
    """
    if len(source) > LONGEST:
        raise AttributeValueError(
            f"the program would have {len(source):,} characters; the limit is {LONGEST:,}",
            fix="repeat layers by For, or compose a part of it",
        )
    try:
        source.encode()
    except UnicodeEncodeError as error:
        raise AttributeValueError(
            f"the program holds half of a character at place {error.start}", fix="take it out"
        ) from error
    return source


def depth(tree: ast.AST) -> int:
    """Levels of a syntax tree, counted without recursion, as far as :data:`DEEPEST`."""
    level, found = [tree], 0
    while level and found <= DEEPEST:
        level, found = [child for node in level for child in ast.iter_child_nodes(node)], found + 1
    return found


def joined(source: str, splices: Sequence[Splice]) -> Splice:
    """Several edits of a text as one, which covers them all.

    Args:
        source: the text before.
        splices: edits that do not overlap, in any order.
    """
    ordered = sorted(splices, key=lambda s: (s.start, s.end))
    for one, two in itertools.pairwise(ordered):
        if one.end > two.start:
            raise GraphError("the edits overlap", fix="do one after the other")
    start, end = ordered[0].start, ordered[-1].end
    text, at = "", start
    for s in ordered:
        text += source[at : s.start] + s.text
        at = s.end
    return Splice(start, end, text)


def difference(before: str, after: str) -> Splice:
    """The shortest single edit that makes one text of another."""
    start = 0
    while start < min(len(before), len(after)) and before[start] == after[start]:
        start += 1
    end = 0
    while end < min(len(before), len(after)) - start and before[-1 - end] == after[-1 - end]:
        end += 1
    return Splice(start, len(before) - end, after[start : len(after) - end])


class Lines:
    """Turns Python's line and column (in bytes) into places in the text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._lines = text.splitlines(keepends=True) or [""]
        self._starts = [0]
        for line in self._lines:
            self._starts.append(self._starts[-1] + len(line))

    def place(self, line: int, column: int) -> int:
        """The place of a line (from 1) and a column (from 0, in bytes of UTF-8)."""
        row = self._lines[line - 1] if line <= len(self._lines) else ""
        inside = column if row.isascii() else len(row.encode()[:column].decode("utf-8", "ignore"))
        return self._starts[line - 1] + inside

    def span(self, node: ast.AST) -> tuple[int, int]:
        """Where a syntax node begins and ends."""
        assert isinstance(node, (ast.expr, ast.stmt, ast.keyword, ast.arg, ast.alias))
        return (
            self.place(node.lineno, node.col_offset),
            self.place(node.end_lineno or node.lineno, node.end_col_offset or node.col_offset),
        )

    def start_of_line(self, at: int) -> int:
        """The beginning of the line around a place."""
        return self.text.rfind("\n", 0, at) + 1

    def end_of_line(self, at: int) -> int:
        """The end of the line around a place, before its line break."""
        found = self.text.find("\n", at)
        return len(self.text) if found < 0 else found

    def indent(self, at: int) -> str:
        """The blanks at the beginning of the line around a place."""
        start = self.start_of_line(at)
        line = self.text[start : self.end_of_line(at)]
        return line[: len(line) - len(line.lstrip())]


@dataclass(slots=True)
class Site:
    """One place of a program that can be spoken of: an expression with an id that survives edits."""

    id: str
    start: int
    end: int
    kind: str
    """The syntax, and for a call what is called."""
    node: ast.expr
    parent: Site | None = None


_SPOKEN_OF: Final = (
    ast.Call, ast.BinOp, ast.UnaryOp, ast.List, ast.Tuple, ast.Lambda, ast.Name, ast.Attribute, ast.Compare,
)  # fmt: skip


def sites(tree: ast.Module, lines: Lines) -> Iterator[Site]:
    """All places of a program, those around others first, without ids."""
    stack: list[tuple[ast.AST, Site | None]] = [(s, None) for s in reversed(tree.body)]
    while stack:
        node, parent = stack.pop()
        here = parent
        if isinstance(node, _SPOKEN_OF) and not isinstance(getattr(node, "ctx", ast.Load()), ast.Store):
            kind = type(node).__name__
            if isinstance(node, ast.Call):
                kind += " " + (ast.unparse(node.func) if isinstance(node.func, (ast.Name, ast.Attribute)) else "()")
            elif isinstance(node, (ast.BinOp, ast.UnaryOp)):
                kind += " " + type(node.op).__name__
            here = Site("", *lines.span(node), kind, node, parent)
            yield here
            if isinstance(node, ast.Attribute) and _is_path(node):
                continue  # C.layers.Dense is one place
        stack.extend((child, here) for child in reversed(list(ast.iter_child_nodes(node))))


def _is_path(node: ast.expr) -> bool:
    """Whether an expression is names with dots between them."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return isinstance(node, ast.Name)


def carry_ids(
    old: Sequence[Site], new: Sequence[Site], before: str, after: str, splices: Sequence[Splice], fresh: Iterator[str],
    hints: Mapping[str, int] | None = None,
) -> None:  # fmt: skip
    """Give each new place the id of the old place that it is, or a fresh one.

    Args:
        old: places of the text before, with ids.
        new: places of the text after; their ids are set.
        before: the text before.
        after: the text after.
        splices: the edits between them, which do not overlap.
        fresh: ids never used before.
        hints: id of a place that was moved -> where it begins in the text after.
    """
    at = {(s.start, s.end, s.kind): s for s in new}
    for id_, start in (hints or {}).items():
        moved = next((s for s in old if s.id == id_), None)
        for s in _within(old, moved) if moved is not None else ():
            assert moved is not None
            twin = at.get((s.start - moved.start + start, s.end - moved.start + start, s.kind))
            if twin is not None:
                twin.id = s.id
    used = {s.id for s in new}
    for s in old:
        if s.id in used or not all(_outside(s, splice) for splice in splices):
            continue
        for start, end in _after(s, splices):
            twin = at.get((start, end, s.kind))
            if twin is not None and not twin.id:
                twin.id = s.id
                used.add(s.id)
                break
    rest_old = [s for s in old if s.id not in used]
    rest_new = [s for s in new if not s.id]
    _match(rest_old, rest_new, [f"{s.kind}|{before[s.start : s.end]}" for s in rest_old],
           [f"{s.kind}|{after[s.start : s.end]}" for s in rest_new])  # fmt: skip
    used = {s.id for s in new}
    rest_old = [s for s in rest_old if s.id not in used and s.kind.startswith("Call")]
    rest_new = [s for s in rest_new if not s.id and s.kind.startswith("Call")]
    _match(rest_old, rest_new, [s.kind for s in rest_old], [s.kind for s in rest_new])
    for s in new:
        s.id = s.id or next(fresh)


def _outside(site: Site, splice: Splice) -> bool:
    """Whether an edit lies before a place, behind it, or within it."""
    return site.end <= splice.start or site.start >= splice.end or (
        site.start <= splice.start and site.end >= splice.end
    )  # fmt: skip


def _after(site: Site, splices: Sequence[Splice]) -> Iterator[tuple[int, int]]:
    """Where a place may be after the edits: what is inserted at its very edge may belong to it or not."""
    start = end = 0
    edges = [0, 0]
    for s in splices:
        grown = len(s.text) - (s.end - s.start)
        if s.end <= site.start:
            if s.start == s.end == site.start:
                edges[0] += grown
            else:
                start += grown
        if s.end <= site.end and not (s.start == s.end == site.end):
            end += grown
        elif s.start == s.end == site.end:
            edges[1] += grown
    for first, last in ((1, 0), (0, 0), (0, 1), (1, 1)):
        if (first and not edges[0]) or (last and not edges[1]):
            continue
        # what is inserted at the start and counts as outside also moves the end, which `end` has counted already
        yield site.start + start + (edges[0] if first else 0), site.end + end + (edges[1] if last else 0)
    yield site.start + start, site.end + end


def _within(sites_: Iterable[Site], outer: Site) -> list[Site]:
    return [s for s in sites_ if outer.start <= s.start and s.end <= outer.end]


def _match(old: Sequence[Site], new: Sequence[Site], old_keys: Sequence[str], new_keys: Sequence[str]) -> None:
    """Pair places of equal keys: runs in order first, then whatever was moved."""
    if not old or not new:
        return
    taken: set[int] = set()
    matcher = difflib.SequenceMatcher(None, old_keys, new_keys, autojunk=False)
    for i, j, n in matcher.get_matching_blocks():
        for k in range(n):
            new[j + k].id = old[i + k].id
            taken.add(i + k)
    left: dict[str, list[int]] = {}
    for i, key in enumerate(old_keys):
        if i not in taken:
            left.setdefault(key, []).append(i)
    for s, key in zip(new, new_keys, strict=True):
        if not s.id and left.get(key):
            s.id = old[left[key].pop(0)].id
