"""A program as it is read: its syntax tree with places, and what may stand in it.

Nothing of a program is run as Python. What is not in the small language that composed programs are written in is a
problem with a place: imports of this package, assignments, calls of the catalog, operators, ``lambda``, ``def`` with
one ``return``, and ``with C.default_options(...)``.
"""

from __future__ import annotations

import ast
import itertools
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from cntk_lab.composer._source import DEEPEST, Lines, Site, Splice, bounded, carry_ids, depth, difference, sites

OUTPUT_NAMES = ("model", "z", "output", "network")
"""Names that mean the model, where a program assigns them; otherwise it is the last thing assigned."""


@dataclass
class Problem:
    """Something that keeps a program from being a model: where, why, and what belongs to it.

    Args:
        site: id of the place in the program.
        message: in words for the user.
        kind: what sort, for the search for a fix: ``shape``, ``name``, ``parameter``, ``syntax`` and more.
        node: id of the drawn node.
        edge: ids of the drawn nodes at the ends of the edge to blame, if it is one.
        start: where it begins in the text.
        end: where it ends in the text.
        facts: what a fix may need to know.
    """

    site: str
    message: str
    kind: str
    node: str = ""
    edge: tuple[str, str] | None = None
    start: int = 0
    end: int = 0
    facts: Mapping[str, object] = field(default_factory=dict)


@dataclass
class Program:
    """A program text, read."""

    source: str
    tree: ast.Module
    lines: Lines
    sites: list[Site]
    problems: list[Problem]

    def __post_init__(self) -> None:
        self.by_node = {id(s.node): s for s in self.sites}
        self.by_id = {s.id: s for s in self.sites}

    def site(self, node: ast.AST) -> Site:
        """The place of a syntax node."""
        return self.by_node[id(node)]

    def text(self, node: ast.AST) -> str:
        """The text of a syntax node."""
        start, end = self.lines.span(node)
        return self.source[start:end]

    def statements(self) -> Iterator[ast.stmt]:
        """All statements in order, those within ``with`` blocks too."""
        stack: list[ast.stmt] = list(reversed(self.tree.body))
        while stack:
            s = stack.pop()
            yield s
            if isinstance(s, ast.With):
                stack.extend(reversed(s.body))

    def statement_of(self, site: Site) -> ast.stmt | None:
        """The innermost statement around a place."""
        found = None
        for s in self.statements():
            start, end = self.lines.span(s)
            if start <= site.start and site.end <= end:
                found = s
        return found

    def output(self) -> tuple[str, ast.stmt] | None:
        """The name of the model and the statement that makes it."""
        assigned: dict[str, ast.stmt] = {}
        for s in self.statements():
            if isinstance(s, ast.Assign) and len(s.targets) == 1 and isinstance(s.targets[0], ast.Name):
                name = s.targets[0].id
                assigned.pop(name, None)
                assigned[name] = s
        for name in OUTPUT_NAMES:
            if name in assigned:
                return name, assigned[name]
        return list(assigned.items())[-1] if assigned else None


class Ids:
    """Ids of places, never used twice in a session."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        return f"n{next(self._numbers)}"


def read(
    source: str, ids: Iterator[str], before: Program | None = None, splices: Sequence[Splice] | None = None,
    hints: Mapping[str, int] | None = None,
) -> Program:  # fmt: skip
    """Read a program; what was there before keeps its ids.

    Args:
        source: the text.
        ids: fresh ids.
        before: the program before an edit.
        splices: the edits that led here; by default the shortest one.
        hints: id of a place that was moved -> where it begins now.
    """
    problems: list[Problem] = []
    tree = ast.Module([], [])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of texts that look like a slip, as "\\d" or 1if
            tree = ast.parse(bounded(source))
        if depth(tree) > DEEPEST:
            tree = ast.Module([], [])
            problems.append(_unreadable(f"the program is nested more than {DEEPEST} levels deep", source))
    except SyntaxError as error:
        problems.append(_syntax_problem(source, error))
    except (RecursionError, MemoryError, ValueError) as error:
        problems.append(_unreadable(f"the program cannot be read: {error}", source))
    lines = Lines(source)
    found = list(sites(tree, lines))
    if before is None or (problems and not found):
        for s in found:
            s.id = next(ids)
    else:
        edits = [difference(before.source, source)] if splices is None else splices
        carry_ids(before.sites, found, before.source, source, edits, ids, hints)
    return Program(source, tree, lines, found, problems)


def _unreadable(words: str, source: str) -> Problem:
    return Problem("", words, "depth", facts={"source": source})


def _syntax_problem(source: str, error: SyntaxError) -> Problem:
    lines = Lines(source)
    line = min(max(error.lineno or 1, 1), max(1, len(source.splitlines())))
    start = lines.place(line, 0)
    at = min(start + max((error.offset or 1) - 1, 0), len(source))
    words = f"line {line}: {error.msg}"
    return Problem("", words, "syntax", start=at, end=lines.end_of_line(at), facts={"line": line, "source": source})
