"""What tests may not do: wait for time in a browser, and keep copies of each other's helpers."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
FILES = sorted(TESTS.rglob("*.py"))
PROGRAMS = ("golden/tutorials/", "golden/legacy/")
"""Programs that are tests' material: they stand alone, as their users have them."""
SHORTEST = 4
"""Lines from which a helper is shared, not copied."""


def place(path: Path) -> str:
    return path.relative_to(TESTS).as_posix()


def meaning(node: ast.FunctionDef | ast.ClassDef) -> str:
    """What a helper does, without its own name, its words and its types."""
    copy = ast.parse(ast.unparse(node)).body[0]
    assert isinstance(copy, (ast.FunctionDef, ast.ClassDef))
    copy.name = ""
    if ast.get_docstring(copy):
        copy.body = copy.body[1:]
    for part in ast.walk(copy):
        if isinstance(part, ast.arg):
            part.annotation = None
        if isinstance(part, ast.FunctionDef):
            part.returns = None
    return ast.dump(copy)


def runs_in_cntk(path: Path) -> bool:
    """Whether a script runs in CNTK's own Python, which knows none of our files."""
    return path.stem.startswith("record") or path.stem == "check"


def test_no_helper_is_copied_between_test_files() -> None:
    found: dict[str, list[str]] = defaultdict(list)
    for path in FILES:
        if place(path).startswith(PROGRAMS) or runs_in_cntk(path):
            continue
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            helper = isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.lower().startswith("test")
            if helper and node.end_lineno - node.lineno + 1 >= SHORTEST:
                found[meaning(node)].append(f"{place(path)}: {node.name}")
    assert [copies for copies in found.values() if len(copies) > 1] == []


def test_browser_tests_wait_for_what_they_expect() -> None:
    timed = "wait_for_" + "timeout"
    assert [place(path) for path in FILES if timed in path.read_text(encoding="utf-8")] == []
