"""What a program may ask for is bounded before it is worked on: text, depth, repetitions, layers, weights."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

import cntk_lab as C
from cntk_lab.composer import Code, Composer, _build, _source
from cntk_lab.errors import AttributeValueError, GraphError
from cntk_lab.graph import naming
from cntk_lab.layers import Dense

HEAD = "import cntk_lab as C\nx = C.input_variable(4)\n"
SMALL = HEAD + "model = C.layers.Dense(2)(x)\n"
LONG = "# " + "x" * 1_000_000
SECONDS = 20.0
"""For what takes a second or two on a machine that does nothing else."""


def edited(source):
    composer = Composer(SMALL)
    composer.code = source
    return composer


@pytest.mark.parametrize("filling", ["x", "(", "a = 1\n", "q w\n", "model = C.relu(model)\n", "[", '"', "\n"])
def test_a_million_characters_are_refused_at_once_and_change_nothing(filling):
    composer = Composer(SMALL)
    begun = time.perf_counter()
    with pytest.raises(AttributeValueError, match="characters; the limit is 100,000"):
        composer.code = HEAD + filling * (1_000_000 // len(filling))
    assert time.perf_counter() - begun < 1
    assert composer.code == SMALL
    assert composer.undoable == ()


def test_every_door_for_text_is_bounded():
    composer = Composer(SMALL)
    dense = composer.find("Dense")
    doors = {
        "begin": lambda: Composer(HEAD + LONG),
        "edit": lambda: composer.set(dense, activation=Code("C." + "relu" * 30_000)),
        "rename": lambda: composer.rename(dense, "n" * 200_000),
        "add": lambda: composer.add("Dense", shape=3, name="n" * 200_000),
        "group": lambda: composer.group(dense, name="n" * 200_000),
    }
    for name, door in doors.items():
        with pytest.raises(AttributeValueError):
            door()
        assert len(composer.code) < 1000, name


def test_halves_of_characters_are_refused():
    with pytest.raises(AttributeValueError, match="half of a character at place 3"):
        edited("# a\ud800")


@pytest.mark.parametrize(
    "deep",
    ["-" * 3000 + "1", "x" + " + x" * 3000, "x" + ".output" * 3000, "C.relu(" * 90 + "x" + ")" * 90,
     "(" * 150 + "x" + ")" * 150,
     "C.layers.Sequential([" * 60 + "C.relu" + "])" * 60 + "(x)", "lambda a: " * 150 + "x", "[" * 90 + "x" + "]" * 90],
)  # fmt: skip
def test_programs_nested_deeply_are_a_problem_or_a_model(deep):
    composer = edited(HEAD + f"model = {deep}\n")
    assert composer.problems or composer.model is not None


@pytest.mark.parametrize(
    "body",
    ["f = lambda a: f(a)\nmodel = f(x)\n", "def f(a):\n    return g(a)\ndef g(a):\n    return f(a)\nmodel = f(x)\n",
     "f = lambda: f()\nmodel = C.layers.For(range(3), f)(x)\n"],
)  # fmt: skip
def test_functions_that_call_themselves_are_a_problem(body):
    composer = edited(HEAD + body)
    assert composer.problems
    assert composer.fix(deleting=composer.fix_for(composer.problems[0]) is None)


NESTED = {
    "doubling": "f0 = lambda a: C.relu(a)\n"
    + "".join(f"f{i + 1} = lambda a: f{i}(f{i}(a))\n" for i in range(40))
    + "model = f40(x)\n",
    "loops": "model = " + "C.layers.For(range(1000), lambda: " * 4 + "C.layers.Dense(4)" + ")" * 4 + "(x)\n",
    "numbers": "n = [" + ", ".join("range(1000)" for _ in range(900)) + "]\nmodel = C.layers.Sequential([])(x)\n",
    "many loops": "model = C.layers.Sequential(["
    + "C.layers.For(range(1000), lambda: C.layers.Dense(4)), " * 300
    + "])(x)\n",
    "a long window": "model = C.layers.PastValueWindow(10**6, axis=-2)(C.sequence.input_variable(4))\n",
    "lines": "x = C.layers.Dense(4)(x)\n" * 3900,
    "unknown": "y = unknown\n" * 8000,
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", NESTED)
def test_programs_that_unfold_are_given_up_in_time(name):
    composer = Composer(SMALL)
    begun = time.perf_counter()
    composer.code = HEAD + NESTED[name]
    assert time.perf_counter() - begun < SECONDS
    if name != "numbers":
        assert composer.problems
        begun = time.perf_counter()
        composer.fix(deleting=composer.fix_for(composer.problems[0]) is None)
        assert time.perf_counter() - begun < SECONDS


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("count", ["10**9", "10**12", "(10**6, 10**6)", "2**62"])
def test_weights_that_no_machine_holds_are_a_problem_and_take_no_memory(count):
    def taken():
        with Path("/proc/self/status").open() as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))

    before = taken()
    composer = edited(HEAD + f"model = C.layers.Dense({count})(x)\n")
    assert "numbers; the limit is 2,147,483,648" in composer.problems[0].message
    assert taken() - before < 50_000
    for leaf in (f"C.parameter({count}, init=0)", f"C.constant(0, shape={count})"):
        composer.code = HEAD + f"w = {leaf}\nmodel = C.relu(x)\n"
        assert composer.problems or composer.model is not None
    assert taken() - before < 50_000


def test_a_parameter_of_one_number_fills_its_shape_when_its_value_is_asked_for():
    large = Dense(1 << 20)(C.input_variable(1))
    b = next(p for p in large.parameters if p.name == "b")
    assert b._storage is None
    assert (b.value == 0).all()
    assert b._storage is not None
    c = C.constant(1.5, shape=(1 << 17,))
    assert c._storage is None
    assert c.value.sum() == 1.5 * (1 << 17)
    c = C.parameter((1 << 17,), init=0.1, dtype="float64")
    assert (c.value == 0.1).all()


def test_no_more_is_made_than_is_allowed():
    with naming.at_most(3), pytest.raises(GraphError, match="more than 3 nodes, variables and weights"):
        Dense(3)(C.input_variable(2))
    assert Dense(3)(C.input_variable(2)).shape == (3,)
    assert _build.MOST_STEPS >= 10 * 3000  # programs of 3,000 layers stay within
    assert _source.DEEPEST >= 100
