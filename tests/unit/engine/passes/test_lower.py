"""Lowering: each operator of a graph is a step."""

from cntk_lab.engine.cpu.target import PLAIN
from tests.unit.engine.passes.printed import dense, plan_of, printed


def test_operators_become_steps_in_the_order_of_the_graph():
    out, _, _ = dense()
    plan = plan_of(PLAIN, fused=False, outputs=out.outputs)
    assert printed(plan) == [
        "FORWARD: %2 [#][2] = product rak,ko->rao(%0, %1)",
        "FORWARD: %4 [#][2] = map {b4 = add(b2, b3)}(%2, %3)",
        "FORWARD: %5 [#][2] = map {b5 = tanh(b4)}(%4)",
    ]
    assert plan.outputs == {"output 0": 5}
