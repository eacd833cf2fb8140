"""Random edits of random programs: one hunk each, weights kept, everything back by undo."""

from __future__ import annotations

import importlib.util
import random
from pathlib import Path

import numpy as np
import pytest

from cntk_lab.composer import Code, Composer
from cntk_lab.errors import AttributeValueError, GraphError
from cntk_lab.widgets._snapshot import check
from tests.unit.composer.edits import hunks, own

_spec = importlib.util.spec_from_file_location("programs", Path(__file__).parent / "programs.py")
programs = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(programs)


KINDS = (
    "add", "add", "add before", "branch", "input", "remove", "set", "clear", "rename", "group", "repeat", "ungroup",
    "move", "paste", "connect",
)  # fmt: skip


def edit(composer, r):
    """One random edit of the canvas; its kind."""
    nodes = composer.nodes
    one, two = r.choice(nodes), r.choice(nodes)
    kind = r.choice(KINDS)
    layer = r.choice(("Dense", "relu", "Stabilizer", "Dropout", "Sequential"))
    acts = {
        "add": lambda: composer.add(layer, after=one),
        "add before": lambda: composer.add(layer, before=one),
        "branch": lambda: composer.add(layer if layer != "Sequential" else "Dense", to=composer.find("x")),
        "input": lambda: composer.add("input_variable", shape=r.randint(1, 5)),
        "remove": lambda: composer.remove(one),
        "set": lambda: composer.set(one, shape=r.randint(2, 6)),
        "clear": lambda: composer.set(one, activation=Code("")),
        "rename": lambda: composer.rename(one, f"n{r.randint(0, 99)}"),
        "group": lambda: composer.group(one, kind=r.choice(("Sequential", "ResNetBlock"))),
        "repeat": lambda: composer.group(one, kind="For", count=2),
        "ungroup": lambda: composer.ungroup(one),
        "move": lambda: composer.move(one, after=two),
        "paste": lambda: (composer.copy(one), composer.paste(after=two)),
        "connect": lambda: composer.connect(composer.find("x"), one, r.randint(0, 1)),
    }
    acts[kind]()
    return kind


@pytest.mark.parametrize("first", range(0, 120, 20))
def test_edits_are_one_hunk_keep_weights_and_come_back(first):
    done: dict[str, int] = {}
    for seed in range(first, first + 20):
        r = random.Random(seed)
        start = programs.program(seed)
        composer = Composer(start)
        for p in composer.model.parameters:  # as if it had been trained
            p.value = np.asarray(p.value) + np.float32(0.25)
        states = [(composer.code, composer.graph, {k: p.value.tolist() for k, p in own(composer).items()})]
        for _ in range(6):
            before, code = own(composer), composer.code
            count = len(composer.undoable)
            try:
                kind = edit(composer, r)
            except (GraphError, AttributeValueError):
                assert composer.code == code
                continue
            check(composer.graph)
            if len(composer.undoable) == count:
                continue
            done[kind] = done.get(kind, 0) + 1
            # a move takes lines away and puts them elsewhere; everything else is one hunk
            assert hunks(code, composer.code) <= (2 if kind == "move" else 1), (seed, kind, code, composer.code)
            if composer.problems:
                composer.undo()
                assert composer.code == code
                continue
            for key, parameter in own(composer).items():
                if key in before and before[key].shape == parameter.shape:
                    assert parameter is before[key], (seed, kind, key, code, composer.code)
            states.append((composer.code, composer.graph, {k: p.value.tolist() for k, p in own(composer).items()}))
        for code, graph, values in reversed(states[:-1]):
            composer.undo()
            assert (composer.code, composer.graph) == (code, graph)
            assert {k: p.value.tolist() for k, p in own(composer).items()} == values
        assert composer.code == start
        for code, graph, values in states[1:]:
            composer.redo()
            assert (composer.code, composer.graph) == (code, graph)
            assert {k: p.value.tolist() for k, p in own(composer).items()} == values
    assert sum(done.values()) > 40
    assert len(done) > 8


@pytest.mark.parametrize("seed", range(0, 100, 5))
def test_an_added_layer_leaves_all_weights_before_it_and_shapes_after_it(seed):
    composer = Composer(programs.program(seed))
    parameters = {id(p) for p in composer.model.parameters}
    composer.add("Dropout", dropout_rate=0.0)
    assert composer.problems == ()
    assert {id(p) for p in composer.model.parameters} == parameters
    assert composer.report.new == composer.report.dropped == ()
