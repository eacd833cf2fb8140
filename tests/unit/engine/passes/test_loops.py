"""Loops: what depends on its own past is a loop over frames, and nothing else is in it."""

import cntk_lab as C
from cntk_lab.engine.cpu.target import PLAIN
from tests.unit.engine.passes.printed import plan_of, printed, recurrent


def test_a_cycle_through_a_delay_becomes_a_loop():
    out, _ = recurrent()
    assert printed(plan_of(PLAIN, fused=False, outputs=out.outputs)) == [
        "FORWARD: %1 [#,*][2], %4 [#,*][2], %6 [#,*][2], %0 [#,*][2] = loop over #,*(%2, %3, %5)",
        "    %1 [#,*][2] = delay[1](%0, %2)",
        "    %4 [#,*][2] = product rak,ko->rao(%1, %3)",
        "    %6 [#,*][2] = map {b6 = add(b4, b5)}(%4, %5)",
        "    %0 [#,*][2] = map {b0 = tanh(b6)}(%6)",
    ]


def test_what_is_before_and_behind_the_cycle_stays_outside_of_it():
    s, r, h = C.sequence.input_variable(2), C.parameter((2, 2), init=0.5), C.placeholder()
    state = C.tanh(C.times(C.sequence.past_value(h), r) + C.exp(s))
    state.replace_placeholders({h: state.output})
    steps = printed(plan_of(PLAIN, fused=False, outputs=C.sin(state).outputs))
    assert [line for line in steps if line.startswith("FORWARD") and "loop" not in line] == [
        "FORWARD: %1 [#,*][2] = map {b1 = exp(b0)}(%0)",
        "FORWARD: %8 [#,*][2] = map {b8 = sin(b2)}(%2)",
    ]
