"""Fusing: neighbouring formulas are one kernel, and what only it needs is not stored."""

from dataclasses import replace

import cntk_lab as C
from cntk_lab.engine.cpu.target import PLAIN
from tests.unit.engine.passes.printed import dense, plan_of, printed

SLOPE = "sub(1.0, mul(tanh(add(b2, b3)), tanh(add(b2, b3))))"


def test_formulas_with_data_in_common_become_one_step_that_is_there_for_both():
    out, w, b = dense()
    plan = plan_of(PLAIN, roots=out.outputs, gradients=(w, b), training=True)
    assert printed(plan) == [
        "FORWARD: %2 [#][2] = product rak,ko->rao(%0, %1)",
        "FORWARD|BACKWARD: %7 [#][2], %8 db [][2] = map {b7 = " + SLOPE + "; "
        "b8 = reduce[('sum', ('rows',))](" + SLOPE + ")}(%2, %3)",
        "BACKWARD: %9 dw [][3 x 2] = product rak,rao->ko(%0, %7)",
    ]  # fmt: skip


def test_a_target_that_cannot_run_sums_with_formulas_keeps_them_apart():
    def plain_only(kernel):
        return False

    out, w, b = dense()
    plan = plan_of(replace(PLAIN, compiles=plain_only), roots=out.outputs, gradients=(w, b), training=True)
    assert [line.split(" = map")[0] for line in printed(plan) if "map" in line] == [
        "FORWARD|BACKWARD: %7 [#][2]",
        "BACKWARD: %8 db [][2]",
    ]


def test_a_formula_stays_behind_the_product_that_makes_what_it_reads():
    b = C.exp(C.input_variable(2))
    out = C.sin(C.times(b, C.parameter((2, 2), init=1))) + b
    assert printed(plan_of(PLAIN, outputs=out.outputs)) == [
        "FORWARD: %1 [#][2] = map {b1 = exp(b0)}(%0)",
        "FORWARD: %3 [#][2] = product rak,ko->rao(%1, %2)",
        "FORWARD: %5 [#][2] = map {b5 = add(sin(b3), b1)}(%3, %1)",
    ]
