"""Memory: values that are never needed at the same time share a slot."""

import cntk_lab as C
from cntk_lab.engine.cpu.target import PLAIN
from cntk_lab.engine.memory.slots import lifetimes, slots_of
from tests.unit.engine.passes.printed import plan_of


def chain():
    """Four products one after the other, each of which needs only the one before."""
    out = C.input_variable(4)
    for _ in range(4):
        out = C.times(out, C.parameter((4, 4), init=1))
    return plan_of(PLAIN, outputs=out.outputs)


def test_a_chain_needs_the_memory_of_two_neighbours():
    plan = chain()
    assert lifetimes(plan, plan.steps) == {2: (0, 1), 4: (1, 2), 6: (2, 3), 8: (3, 4)}
    slots = slots_of(plan, plan.steps)
    assert [(s.rows, s.dtype, s.row_bytes, s.buffers) for s in slots] == [
        ("#", "float32", 16, [2, 6]),
        ("#", "float32", 16, [4, 8]),
    ]


def test_without_sharing_each_value_has_its_own():
    plan = chain()
    assert [s.buffers for s in slots_of(plan, plan.steps, share=False)] == [[2], [4], [6], [8]]
