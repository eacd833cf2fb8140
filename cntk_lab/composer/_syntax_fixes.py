"""Candidates for repairing a text that is no Python: brackets, quotes and commas that are missing or too many.

As in ``_fixes``, whoever asks tries each.
"""

from __future__ import annotations

from collections.abc import Iterator

from cntk_lab.composer._edits import Edit
from cntk_lab.composer._program import Problem
from cntk_lab.composer._source import Splice


def syntax(source: str, problem: Problem) -> Iterator[tuple[str, Edit]]:
    """Edits of a text that is no Python that may make it so.

    Args:
        source: the text.
        problem: what its reading found.
    """
    start, end = problem.start, problem.end
    line = source[start:end]
    for closing in (")", "]", "])", ")]", '"', "'", ":", ","):
        yield f"add {closing}", Edit([Splice(end, end, closing)])
    for i in range(start, min(end, start + 3)):
        yield f"take {source[i]!r} away", Edit([Splice(i, i + 1, "")])
    if start > 0:
        yield "add a comma", Edit([Splice(start, start, ", ")])
    stripped = line.rstrip()
    first = source.rfind("\n", 0, start) + 1
    # a bracket that was never closed is reported where it opens: close it at the end of a following line
    at = source.find("\n", end)
    for _ in range(40):
        if at < 0:
            break
        for closing in (")", "])", "]", "])(features)"):
            yield f"add {closing}", Edit([Splice(at, at, closing)])
        at = source.find("\n", at + 1)
    for closing in (")", "])", "]"):
        yield f"add {closing}", Edit([Splice(len(source.rstrip()), len(source), f"{closing}\n")])
    if stripped:
        cut = Splice(first, min(end + 1, len(source)), "")
        yield f"delete the line {stripped.strip()[:40]}", Edit([cut], destroys=source[first:end])
