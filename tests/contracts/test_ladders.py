"""Kinds of steps are told apart by their own methods and by tables, not by ladders of ``isinstance``."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import cntk_lab
from cntk_lab.engine.cpu import claims  # noqa: F401  (defines all kinds of native steps)
from cntk_lab.engine.cpu.step import NativeStep
from cntk_lab.engine.plan import Step

ENGINE = Path(cntk_lab.__file__).parent / "engine"
LONGEST = 2
"""So many branches on the kind of one step are still no ladder."""


def kinds(base: type) -> Iterator[str]:
    """The names of a class and of all classes that are derived from it."""
    yield base.__name__
    for own in base.__subclasses__():
        yield from kinds(own)


def ladders(source: str, names: set[str]) -> Iterator[tuple[str, str, int]]:
    """Functions that ask more than twice which kind the same thing is: function, thing, and how often."""
    for function in ast.walk(ast.parse(source)):
        if not isinstance(function, ast.FunctionDef):
            continue
        asked: Counter[str] = Counter()
        for branch in ast.walk(function):
            if isinstance(branch, (ast.If, ast.IfExp)):
                asked.update({ast.unparse(q.args[0]) for q in ast.walk(branch.test) if _asks_kind(q, names)})
        yield from ((function.name, thing, n) for thing, n in asked.items() if n > LONGEST)


def _asks_kind(node: ast.AST, names: set[str]) -> bool:
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance"):
        return False
    return any(isinstance(n, ast.Name) and n.id in names for n in ast.walk(node.args[1]))


def test_the_engine_has_no_ladders_over_kinds_of_steps() -> None:
    names = {*kinds(Step), *kinds(NativeStep)}
    found = [(p.name, *ladder) for p in sorted(ENGINE.rglob("*.py")) for ladder in ladders(p.read_text(), names)]
    assert found == [], "give the step a method, or look its type up in a table"


def test_a_ladder_is_found() -> None:
    source = """
def cost(s, t):
    if isinstance(s, Map): return 1
    if isinstance(t, Loop): return 4
    elif isinstance(s, (Call, Loop)): return 2
    return 3 if isinstance(s, Contract) and t else 0
"""
    assert list(ladders(source, set(kinds(Step)))) == [("cost", "s", 3)]
