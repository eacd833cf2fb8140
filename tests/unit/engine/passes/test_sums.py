"""Sharing sums: a sum over all rows that several kernels need is computed by the first of them."""

import re

import pytest

import cntk_lab as C
from cntk_lab.backends.cpu import onednn
from cntk_lab.engine.cpu.target import ONEDNN, PLAIN
from tests.unit.engine.passes.printed import plan_of, printed


def normalized(target):
    x = C.input_variable(3)
    out = C.layers.BatchNormalization()(x)
    scale = next(p for p in out.parameters if p.name == "scale")
    return printed(plan_of(target, outputs=out.outputs, roots=out.outputs, gradients=(scale,), training=True))


def sums_over_rows(step):
    """What is summed over rows in a printed step, without the counts of rows."""
    return len(re.findall(r"reduce\[\('sum', \('rows',\)\)\]\((?!1\.0\))", step.partition("{")[2]))


@pytest.mark.skipif(not onednn.available(), reason="no oneDNN here")
def test_the_statistics_of_a_minibatch_are_stored_by_the_first_kernel_and_read_by_the_second():
    first, second = normalized(ONEDNN)
    assert re.findall(r"%\d+ sum \[\]\[3\]", first.partition(" = ")[0]) == ["%9 sum [][3]", "%10 sum [][3]"]
    reads = second.rpartition("(")[2]
    assert "%9" in reads
    assert "%10" in reads
    assert sums_over_rows(second) == 1  # that of the gradient


def test_without_a_place_for_them_each_kernel_sums_for_itself():
    assert all(" sum []" not in step.partition(" = ")[0] for step in normalized(PLAIN))
    assert sum(map(sums_over_rows, normalized(PLAIN))) > sum(map(sums_over_rows, normalized(ONEDNN)))
