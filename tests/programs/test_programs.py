"""Random programs compute on the native tier what they compute on NumPy: others in each session, from a seed that is
printed; ``CNTK_LAB_TEST_SEED`` gives them back.
"""

import os
from collections import Counter

import pytest

from cntk_lab import settings
from cntk_lab.backends.cpu import jit, onednn
from tests.programs.__main__ import cache
from tests.programs.child import smallest
from tests.programs.draw import draw
from tests.programs.program import Input, Program, Step, script
from tests.programs.shrink import shrunk
from tests.programs.tiers import differences

COUNT = int(os.environ.get("CNTK_LAB_TEST_PROGRAMS", "300"))
EACH = 10
FIRST = int(os.environ["CNTK_LAB_TEST_SEED"]) % 10**8 * 1000

pytestmark = pytest.mark.skipif(not (jit.available() and onednn.available()), reason="no numba or no oneDNN here")


@pytest.mark.parametrize("first", range(0, COUNT, EACH))
def test_native_programs_compute_what_numpy_does(first):
    native = Counter()
    for seed in range(FIRST + first, FIRST + min(first + EACH, COUNT)):
        program = draw(seed)
        with settings.option(cache_folder=str(cache())):
            what = differences(program, native)
            if what:
                program, what = smallest(program, what, effort=40)
                pytest.fail(f"program {seed} differs between tiers:\n{script(program, what[:3])}", pytrace=False)
    assert native["native"] > 0


def test_a_program_is_plain_data():
    for seed in range(20):
        program = draw(seed)
        assert Program.of_text(program.text()) == program
        assert draw(seed) == program


def test_a_script_shows_the_program_and_runs(capsys):
    x = Input("x0", "sequence", (3,))
    program = Program(7, "float32", (x,), (Step("v0", "C.tanh({0})", ("x0",)),), ("v0",), calls=((2, 1), (1,)))
    with settings.option(cache_folder=str(cache())):
        exec(script(program, ["only shown"]), {})  # noqa: S102  (our own text)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["NumPy", "NumPy", "native", "native"]
    assert "call 0 v0 (3, 3)" in lines[0]


def test_what_differs_shrinks_to_the_step_that_does():
    program = draw(11)
    made = Step("v99", "C.sin({0})", (program.outputs[0],))
    program = Program(11, program.dtype, program.inputs, (*program.steps, made), ("v99",), calls=((1,) * 70, (1,)))
    least = shrunk(program, lambda candidate: any("C.sin" in s.text for s in candidate.steps))
    assert [s.text for s in least.steps] == ["C.sin({0})"]
    assert least.calls == ((1,),)
