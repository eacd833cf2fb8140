"""Backward: gradients of what is asked, and of nothing else."""

from cntk_lab.engine.cpu.target import PLAIN
from tests.unit.engine.passes.printed import dense, plan_of, printed, recurrent


def test_a_gradient_takes_the_steps_between_it_and_the_root():
    out, w, _ = dense()
    plan = plan_of(PLAIN, fused=False, roots=out.outputs, gradients=(w,), training=True)
    assert printed(plan)[3:] == [
        "BACKWARD: %6 one [#][2] = map {b6 = 1.0}()",
        "BACKWARD: %7 [#][2] = map {b7 = mul(sub(1.0, mul(b5, b5)), b6)}(%6, %5)",
        "BACKWARD: %8 dw [][3 x 2] = product rak,rao->ko(%0, %7)",
    ]
    assert plan.outputs == {"gradient 0": 8}


def test_a_loop_goes_back_and_its_weights_have_one_product_behind_it():
    out, r = recurrent()
    plan = plan_of(PLAIN, fused=False, roots=out.outputs, gradients=(r,), training=True)
    assert printed(plan)[5:] == [
        "BACKWARD: %7 one [#,*][2] = map {b7 = 1.0}()",
        f"BACKWARD: {', '.join(f'%{n} [#,*][2]' for n in (9, 10, 11, 12, 8))} = loop over #,* backward(%7, %0, %3)",
        "    %9 [#,*][2] = delay[-1](%8)",
        "    %10 [#,*][2] = map {b10 = add(b7, b9)}(%7, %9)",
        "    %11 [#,*][2] = map {b11 = mul(sub(1.0, mul(b0, b0)), b10)}(%10, %0)",
        "    %12 [#,*][2] = product rao,ko->rak(%11, %3)",
        "    %8 [#,*][2] = map {b8 = b12}(%12)",
        "BACKWARD: %13 dr [][2 x 2] = product rak,rao->ko(%1, %11)",
    ]
