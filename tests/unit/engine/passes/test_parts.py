"""Parts: slices and pieces put together are addresses, no copies."""

import cntk_lab as C
from cntk_lab.engine.cpu.target import ONEDNN, PLAIN
from tests.unit.engine.passes.printed import plan_of, printed


def gated():
    t = C.times(C.input_variable(4), C.parameter((4, 4), init=1))
    return C.splice(C.sigmoid(C.slice(t, 0, 0, 2)), C.slice(t, 0, 2, 4) * 2)


def test_slices_and_splices_are_calls_for_a_target_without_parts():
    steps = printed(plan_of(PLAIN, fused=False, outputs=gated().outputs))
    assert [line.split(" = ", 1)[1] for line in steps] == [
        "product rak,ko->rao(%0, %1)", "slice.forward(%2)", "map {b4 = sigmoid(b3)}(%3)", "slice.forward(%2)",
        "map {b7 = mul(b5, 2.0)}(%5)", "splice.forward(%4, %7)",
    ]  # fmt: skip


def test_slices_lie_in_what_they_are_cut_from_and_pieces_where_they_belong():
    plan = plan_of(ONEDNN, outputs=gated().outputs)
    assert printed(plan) == [
        "FORWARD: %2 [#][4] = product rak,ko->rao(%0, %1)",
        "FORWARD: %3 [#][2] = part(%2)",
        "FORWARD: %4 [#][2] = map {b4 = sigmoid(b3)}(%3)",
        "FORWARD: %5 [#][2] = part(%2)",
        "FORWARD: %7 [#][2] = map {b7 = mul(b5, 2.0)}(%5)",
        "FORWARD: %8 [#][4] = join(%4, %7)",
    ]
    lie = {b.id: (b.inside, b.cut) for b in plan.buffers if b.inside >= 0}
    assert lie == {3: (2, (0, 0)), 5: (2, (0, 2)), 4: (8, (0, 0)), 7: (8, (0, 2))}


def test_gradients_of_slices_that_cover_a_value_are_put_together_instead_of_padded_and_summed():
    v = C.parameter((4, 4), init=1, name="v")
    t = C.times(C.input_variable(4), v)
    out = C.sigmoid(C.slice(t, 0, 0, 2)) * C.slice(t, 0, 2, 4)
    plan = plan_of(ONEDNN, roots=out.outputs, gradients=(v,), training=True)
    assert printed(plan)[-2:] == [
        "BACKWARD: %13 [#][4] = join(%11, %9)",
        "BACKWARD: %14 dv [][4 x 4] = product rak,rao->ko(%0, %13)",
    ]
