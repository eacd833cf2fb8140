"""Momentum: the gradient of a large matrix is never stored, its product goes straight into the velocity."""

import pytest

import cntk_lab as C
from cntk_lab.backends.cpu import jit, onednn
from cntk_lab.engine.cpu.claims import native_steps
from cntk_lab.engine.cpu.target import ONEDNN
from tests.unit.engine.passes.printed import plan_of, printed

pytestmark = pytest.mark.skipif(not (jit.available() and onednn.available()), reason="no numba or no oneDNN here")


def forms(columns):
    x, w = C.input_variable(1024), C.parameter((1024, columns), init=1, name="w")
    updates = C.momentum_sgd([w], 0.1, 0.9, unit_gain=False).updates()
    out = C.times(x, w)
    plan = plan_of(ONEDNN, roots=out.outputs, totals=out.outputs, updates=updates, training=True)
    steps = native_steps(plan)
    assert printed(plan)[-2].startswith("BACKWARD: %5 dw ")
    assert printed(plan)[-1].startswith("UPDATE: %1 w ")
    return [type(s).__name__ for s in steps[-2:]], [s.tier for s in steps[-2:]]


def test_the_product_of_a_large_gradient_and_the_learners_step_are_blended():
    names, tiers = forms(1024)
    assert names == ["_Blended", "_Difference"]
    assert tiers == ["oneDNN, into the momentum", "kernel"]


def test_a_small_gradient_is_stored():
    assert forms(64)[0] == ["GemmStep", "MapStep"]
