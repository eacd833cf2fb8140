"""Broken programs: the problem is put to the right place, and one fix, when applied, repairs it."""

from __future__ import annotations

import importlib.util
import random
from pathlib import Path

import pytest

import cntk_lab as C
from cntk_lab.composer import Composer
from cntk_lab.errors import GraphError
from cntk_lab.widgets._snapshot import check

_spec = importlib.util.spec_from_file_location("programs", Path(__file__).parent / "programs.py")
programs = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(programs)

VECTOR = 'import cntk_lab as C\n\nx = C.input_variable(4, name="x")\n'
IMAGE = 'import cntk_lab as C\n\nx = C.input_variable((2, 8, 8), name="x")\n'
SEQUENCE = 'import cntk_lab as C\n\ns = C.sequence.input_variable(4, name="s")\nx = C.input_variable(4, name="x")\n'

# name: (program, text at which the problem must be, part of the message)
# ruff: noqa: E501
BROKEN = {
    "unknown layer": (VECTOR + "model = C.layers.Dens(3)(x)\n", "C.layers.Dens", "no C.layers.Dens"),
    "unknown operator": (VECTOR + "model = C.rellu(x)\n", "C.rellu", "no C.rellu"),
    "unknown variable": (VECTOR + "hidden = C.layers.Dense(3)(x)\nmodel = C.relu(hiden)\n", "hiden", "no 'hiden'"),
    "unknown parameter": (VECTOR + "model = C.layers.Dense(3, actvation=C.relu)(x)\n", "C.layers.Dense", "'actvation'"),
    "missing shape": (VECTOR + "model = C.layers.Dense(activation=C.relu)(x)\n", "C.layers.Dense", "shape"),
    "missing operand": (VECTOR + "model = C.splice(x, x) + C.relu()\n", "C.relu()", "relu"),
    "too many arguments": (VECTOR + "model = C.layers.Dropout(0.5, 0.3, 1, 2, 3, 4)(x)\n", "C.layers.Dropout", "argument"),
    "layer not applied": (VECTOR + "model = C.layers.Dense(4) + x\n", "C.layers.Dense(4) + x", "not applied"),
    "operator on a layer": (VECTOR + "model = C.relu(C.layers.Dense(4)) + C.plus(x, C.layers.Dense(4))\n",
                            "C.", "not applied"),
    "number among layers": (VECTOR + "model = C.layers.Sequential([C.layers.Dense(3), 10])(x)\n", "10]", "10"),
    "value among layers": (VECTOR + "model = C.layers.Sequential([C.layers.Dense(3), x])(x)\n", "x]", "value"),
    "layers without list": (VECTOR + "model = C.layers.Sequential(C.layers.Dense(3))(x)\n", "C.layers.Seq", "list"),
    "For without range": (VECTOR + "model = C.layers.For(3, lambda: C.layers.Dense(3))(x)\n", "C.layers.For", "range"),
    "For without lambda": (VECTOR + "model = C.layers.For(range(3), C.layers.Dense(3))(x)\n", "C.layers.For", "lambda"),
    "negative units": (VECTOR + "model = C.layers.Dense(-3)(x)\n", "C.layers.Dense", ""),
    "dropout rate above one": (VECTOR + "model = C.layers.Dropout(1.5)(x)\n", "C.layers.Dropout", ""),
    "both ranks": (VECTOR + "model = C.layers.Dense(3, input_rank=1, map_rank=1)(x)\n", "C.layers.Dense", "both"),
    "embedding without shape": (VECTOR + "model = C.layers.Embedding()(x)\n", "C.layers.Embedding", "neither"),
    "init is None": (VECTOR + "model = C.layers.Dense(3, init=None)(x)\n", "C.layers.Dense", "init"),
    "sum of 3 and 5": (VECTOR + "a = C.layers.Dense(3)(x)\nb = C.layers.Dense(5)(x)\nmodel = a + b\n", "a + b", ""),
    "shortcut of 3 around 4": (VECTOR + "model = C.layers.ResNetBlock(C.layers.Dense(3))(x)\n", "C.layers.ResNet", ""),
    "times of 4 and 5": (VECTOR + 'W = C.parameter((5, 3), name="W")\nmodel = C.times(x, W)\n', "C.times", ""),
    "reshape to another size": (VECTOR + "model = C.reshape(x, (3, 2))\n", "C.reshape", ""),
    "pooling of a vector": (VECTOR + "model = C.layers.Sequential([C.layers.MaxPooling((2, 2))])(x)\n",
                            "C.layers.MaxPooling", ""),
    "filter larger than image": (IMAGE + "model = C.layers.Convolution2D((9, 9), 4)(x)\n", "C.layers.Conv", ""),
    "axis that is not there": (VECTOR + "model = C.splice(x, x, axis=5)\n", "C.splice", ""),
    "transpose of wrong rank": (VECTOR + "model = C.transpose(x, (1, 0, 2))\n", "C.transpose", ""),
    "slice out of range": (VECTOR + "model = C.slice(x, 3, 0, 1)\n", "C.slice", "axis"),
    "last of no sequence": (VECTOR + "model = C.sequence.last(x)\n", "C.sequence.last", ""),
    "recurrence of no sequence": (VECTOR + "model = C.layers.Recurrence(C.layers.LSTM(3))(x)\n", "C.layers.Rec", ""),
    "cell without recurrence": (SEQUENCE + "model = C.layers.Sequential([C.layers.LSTM(3)])(s)\n", "C.layers.LSTM", ""),
    "two operands for a list": (VECTOR + "model = C.layers.Sequential([C.layers.Dense(3)])(x, x)\n", "C.layers.S", "one"),
    "two element types": (VECTOR + 'y = C.input_variable(4, dtype="float64", name="y")\nmodel = x + y\n', "x + y", ""),
    "call of a value": (VECTOR + "model = x(3)\n", "x(3)", "no function"),
    "no model": ("import cntk_lab as C\n", "", "no model"),
    "a number as model": (VECTOR + "model = 3\n", "model", "no network"),
    "another import": ("import torch\n" + VECTOR + "model = C.relu(x)\n", "import torch", "torch"),
    "a loop": (VECTOR + "for i in range(3):\n    x = C.relu(x)\nmodel = C.tanh(x)\n", "for i", "imports, assign"),
    "open bracket": (VECTOR + "model = C.layers.Dense(3(x)\n", "", "line 4"),
    "forgotten import": ('x = C.input_variable(4, name="x")\nmodel = C.relu(x)\n', "C", "no 'C'"),
    "side by side of two and three": (
        VECTOR + "d = C.layers.Dense(3)\nmodel = C.layers.Sequential([(d, d), (d, d, d), C.plus])(x)\n", "(d, d, d)", "2 values",
    ),
}  # fmt: skip


ONLY_BY_DELETING = {
    "too many arguments", "value among layers", "another import", "a loop", "side by side of two and three",
    "two operands for a list",
}  # fmt: skip
"""What nothing but taking something away repairs."""


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_program_is_marked_and_repaired(name):
    text, place, words = BROKEN[name]
    good = Composer(VECTOR + "model = C.layers.Dense(2)(x)\n")
    good.code = text
    problem = good.problems[0]
    assert good.code[problem.start :].startswith(place)
    assert words in problem.message
    if problem.kind != "syntax":
        marked = next(n for n in good.graph["nodes"] if n.get("problem"))
        assert marked["problem"].startswith(problem.message[:40])
    kind = good.fix_for(problem)
    fix = kind or good.fix_for(problem, deleting=True)
    assert fix is not None
    assert fix.label != "go back to the last program that worked"
    assert (kind is None) == (name in ONLY_BY_DELETING)
    for _ in range(3):
        good.fix(deleting=good.fix_for(good.problems[0]) is None)
        if not good.problems:
            break
    assert good.problems == ()
    assert good.model.outputs
    good.undo()
    assert good.problems


def test_there_are_thirty_kinds():
    assert len(BROKEN) >= 30


def test_a_shape_that_does_not_fit_marks_the_edge_it_comes_by():
    composer = Composer(VECTOR + "a = C.layers.Dense(3)(x)\nb = C.layers.Dense(5)(x)\nmodel = a + b\n")
    problem = composer.problems[0]
    assert problem.kind == "shape"
    assert problem.edge == (composer.find("b"), problem.node)
    edges = {(e["from"], e["to"]) for e in composer.graph["edges"]}
    assert problem.edge in edges


def test_the_model_of_before_stays_while_something_is_wrong():
    composer = Composer(VECTOR + "model = C.layers.Dense(2)(x)\n")
    model = composer.model
    composer.code = VECTOR + "model = C.layers.Dense(2)(y)\n"
    assert composer.model is model
    composer.fix()
    assert composer.problems == ()


@pytest.mark.parametrize("name", BROKEN)
def test_a_fix_deletes_nothing_and_one_that_does_says_what(name):
    composer = Composer(VECTOR + "model = C.layers.Dense(2)(x)\n")
    composer.code = BROKEN[name][0]
    problem = composer.problems[0]
    fix, removal = composer.fix_for(problem), composer.fix_for(problem, deleting=True)
    assert fix is None or not (fix.deletes or fix.label.startswith("delete"))
    if removal is not None and removal.label != "go back to the last program that worked":
        assert removal.deletes
        assert removal.label.split()[0] == "delete"
    if fix is None:
        with pytest.raises(GraphError, match="that keeps everything"):
            composer.fix()
        assert composer.code == BROKEN[name][0]


def test_adding_and_repairing_never_takes_another_layer_away():
    composer = Composer()
    for layer in ("Dense", "Dropout", "LSTM", "Convolution2D", "MaxPooling"):
        composer.add(layer)
        for _ in range(4):
            if not composer.problems or composer.fix_for(composer.problems[0]) is None:
                break
            composer.fix()
        assert f"C.layers.{layer}(" in composer.code
    assert composer.code.count("C.layers.Dropout(dropout_rate=0.5)") == 1


def test_nothing_to_fix_is_said():
    with pytest.raises(GraphError, match="nothing is wrong"):
        Composer().fix()


def test_no_python_is_run():
    evil = VECTOR + "model = C.layers.Dense(__import__('os').getpid())(x)\n"
    composer = Composer(evil)
    assert composer.problems[0].message == "there is no '__import__'"
    for text in ("C.__class__", "C.layers.Dense.__globals__", "C.load_model", "C.ops.functions", "x.node"):
        composer.code = VECTOR + f"model = {text}\n"
        assert composer.problems, text
    assert isinstance(C.relu, object)


def test_a_program_too_deep_is_a_problem_not_a_crash():
    for text in ("model = " + "(" * 300 + "x" + ")" * 300, "model = " + "-" * 3000 + "1\n", "\x00",
                 "model = 9 ** 9 ** 9"):  # fmt: skip
        assert Composer(text).problems


WORDS = ("C.layers.Dense", "C.relu", "x", "3", "(", ")", "[", "]", ",", "lambda i: ", "range(2)", " + ", ".last", "=", "None", "-1",
         '"name"', "C.layers.Sequential", "C.layers.For", "C", "C.splice", "0.5", "activation=", "\n", " >> ", "**{}", "*x", "[0]",
         "{1: 2}", "not ", "True", "C.layers.Recurrence(C.layers.LSTM(2))", "C.sequence.last", "f'{x}'", "...", "1e400", "C.ops")  # fmt: skip


@pytest.mark.parametrize("seed", range(6))
def test_no_text_breaks_the_composer(seed):
    """Programs with words put in, taken out and exchanged: a problem at worst, and a picture that can be shown."""
    r = random.Random(seed)
    composer = Composer(VECTOR + "model = C.layers.Dense(2)(x)\n")
    for i in range(60):
        text = programs.program(r.randint(0, 499)) if i % 10 == 0 else composer.code
        for _ in range(r.randint(1, 2)):
            at = r.randint(0, len(text))
            text = text[:at] + r.choice((r.choice(WORDS), "")) + text[at + r.choice((0, 0, 1, 3, 9)) :]
        composer.code = text
        check(composer.graph)
        for problem in composer.problems[:1]:
            assert problem.message
            assert 0 <= problem.start <= problem.end <= len(text)
    while composer.undoable:
        composer.undo()
    assert composer.problems == ()
