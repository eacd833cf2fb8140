"""The picture tells the truth about a broken program: nothing disappears, and what is not known is called so."""

from __future__ import annotations

import pytest

from cntk_lab.composer import Composer
from cntk_lab.tensor.shape import UNKNOWN_SHAPE

NET = """import cntk_lab as C

x = C.input_variable(4, name="x")
a = C.layers.Dense(3)(x)
b = C.layers.Dense(5)(x)
c = a + a
spare = C.tanh(b)
model = C.layers.Sequential([
    C.relu,
    C.layers.Dense(2),
])(c)
"""
BREAKS = {
    "an input": ("C.input_variable(4,", "C.input_variable(-7,"), "a layer": ("Dense(3)", "Dense(-3)"),
    "a name in a layer": ("Dense(3)", "Dense(bogus)"), "an operator": ("a + a", "a + b"),
    "an item of a list": ("C.relu", "C.relo"), "a name": ("(a + a)", "(aa + a)"),
}  # fmt: skip


def titles(composer: Composer) -> list[str]:
    return [n["op"] for n in composer.graph["nodes"]]


@pytest.mark.parametrize("name", BREAKS)
def test_nothing_disappears_behind_a_mistake_and_nothing_is_called_a_scalar(name: str) -> None:
    composer = Composer(NET)
    before = composer.graph
    composer.code = NET.replace(*BREAKS[name]) if BREAKS[name][0] in NET else NET.replace("a + a", "aa + a")
    assert len(composer.problems) == 1  # what follows from it is no problem of its own
    after = composer.graph
    assert len(after["nodes"]) >= len(before["nodes"])
    assert len(after["edges"]) >= len(before["edges"]) - (name == "a name")
    assert all(n["shape"] != [] for n in after["nodes"])
    wrong = next(n["id"] for n in after["nodes"] if n.get("problem"))
    reached = {wrong}
    for _ in after["edges"]:
        reached |= {e["to"] for e in after["edges"] if e["from"] in reached}
    assert all(n["shape"] == list(UNKNOWN_SHAPE) for n in after["nodes"] if n["id"] in reached)
    assert after["outputs"] == before["outputs"] or name == "an item of a list"


def test_a_scalar_is_a_scalar_still() -> None:
    composer = Composer('import cntk_lab as C\nx = C.input_variable((), name="x")\nmodel = C.exp(x)\n')
    assert [n["shape"] for n in composer.graph["nodes"]] == [[], []]
