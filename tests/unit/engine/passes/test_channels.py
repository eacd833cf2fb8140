"""Channels last: images between convolutions lie with their channels behind, and are put back at the border."""

import pytest

import cntk_lab as C
from cntk_lab.backends.cpu import onednn
from cntk_lab.engine.cpu.target import ONEDNN, PLAIN
from tests.unit.engine.passes.printed import plan_of, printed


def image():
    x, k = C.input_variable((2, 4, 4)), C.parameter((3, 2, 3, 3), init=1)
    return C.relu(C.convolution(k, x, auto_padding=[False, True, True]))


@pytest.mark.skipif(not onednn.available(), reason="no oneDNN here")
def test_formulas_follow_the_order_of_convolutions_and_the_user_gets_the_other():
    assert printed(plan_of(ONEDNN, outputs=image().outputs)) == [
        "FORWARD: %2 [#][4 x 4 x 3] = convolution.forward(%0, %1)",
        "FORWARD: %3 [#][4 x 4 x 3] = map {b3 = max(b2, 0.0)}(%2)",
        "FORWARD: %4 [#][3 x 4 x 4] = order(%3)",
    ]


def test_nothing_changes_its_order_for_a_target_without_such_images():
    assert printed(plan_of(PLAIN, outputs=image().outputs)) == [
        "FORWARD: %2 [#][3 x 4 x 4] = convolution.forward(%0, %1)",
        "FORWARD: %3 [#][3 x 4 x 4] = map {b3 = max(b2, 0.0)}(%2)",
    ]
