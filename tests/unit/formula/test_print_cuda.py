"""Printed CUDA C++ compiles for sm_80 and sm_90, and computes what NumPy computes."""

import math

import numpy as np
import pytest

from cntk_lab.formula.expr import ROWS, const, input_, reduce
from cntk_lab.formula.kernel import Kernel, Operand
from cntk_lab.formula.print_cuda import CHUNKS, NotPrintableError, cuda_source
from cntk_lab.formula.print_numpy import numpy_function
from tests.unit.formula.cuda_host import compile_cubin, nvrtc, run_on_host
from tests.unit.formula.formulas import data_for, kernel_of, random_formula
from tests.unit.formula.kernel_table import TABLE, TOLERANCE, arrays_for

x = input_("x")


@pytest.mark.parametrize("architecture", ["sm_80", "sm_90"])
@pytest.mark.parametrize("name", TABLE)
def test_source_compiles(name, architecture):
    source = cuda_source(TABLE[name])
    cubin = compile_cubin(nvrtc(), source.code, architecture)
    for launch in source.launches:
        assert launch.name.encode() in cubin


@pytest.mark.parametrize("name", TABLE)
def test_source_computes_what_numpy_computes(name, tmp_path):
    kernel = TABLE[name]
    rows = (37 if math.prod(kernel.domain) < 1000 else 3) if kernel.rows else 1
    arrays = arrays_for(kernel, rows)
    expected = [np.array(a) for a in numpy_function(kernel)(np, *(a.copy() for a in arrays))]
    found = run_on_host(kernel, cuda_source(kernel), arrays, rows, tmp_path)
    tolerance = TOLERANCE[kernel.dtype]
    for got, want in zip(found, expected, strict=True):
        np.testing.assert_allclose(
            got, want, rtol=tolerance, atol=tolerance * max(1.0, np.nan_to_num(abs(want), posinf=0).max())
        )


@pytest.mark.parametrize(
    "name", ["map: coordinates", "row: softmax, loss and gradient, short", "column: bias gradient"]
)
@pytest.mark.parametrize("rows", [0, 1, 100])
def test_any_number_of_rows_runs_the_same_source(name, rows, tmp_path):
    kernel = TABLE[name]
    arrays = arrays_for(kernel, rows)
    expected = numpy_function(kernel)(np, *arrays)
    for got, want in zip(run_on_host(kernel, cuda_source(kernel), arrays, rows, tmp_path), expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=2e-5, atol=2e-4)


def test_random_formulas_of_shared_subexpressions(tmp_path):
    kernel = kernel_of(*(random_formula(seed, reductions=False) for seed in range(12)))
    arrays = data_for()
    source = cuda_source(kernel)
    compile_cubin(nvrtc(), source.code, "sm_90")
    for got, want in zip(
        run_on_host(kernel, source, arrays, 5, tmp_path), numpy_function(kernel)(np, *arrays), strict=True
    ):
        np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", TABLE)
def test_family_is_the_one_expected(name):
    family = name.split(":")[0]
    families = [launch.family for launch in cuda_source(TABLE[name]).launches]
    assert families[0] == {"map": "map", "row": "row", "column": "partial"}[family]


def test_launches_cover_their_work():
    (launch,) = cuda_source(TABLE["map: broadcasting"]).launches
    assert [launch.grid(r) for r in (0, 1, 11, 10**6)] == [(0, 1), (1, 1), (2, 1), (8192, 1)]
    (launch,) = cuda_source(TABLE["row: softmax, loss and gradient, short"]).launches
    assert [launch.grid(r) for r in (0, 1, 5)] == [(0, 1), (1, 1), (2, 1)]
    partial, combine = cuda_source(TABLE["column: wide"]).launches
    assert partial.grid(0) == (3, 1)
    assert partial.grid(10**6) == (3, CHUNKS)
    assert combine.grid(10**6) == (1, 1)


def test_source_is_deterministic_and_free_of_names_of_operands():
    def build():
        name = "evil; drop"
        output = Operand("another evil", (3,), True)
        return Kernel((3,), True, (Operand(name, (3,), True),), ((output, input_(name) + 1.0),))

    code = cuda_source(build()).code
    assert code == cuda_source(build()).code
    assert "evil" not in code


@pytest.mark.parametrize(
    ("formula", "domain", "shape", "reason"),
    [
        (reduce("sum", x, [-2]), (2, 3, 4), (2, 1, 4), r"along \[-2\], neither the first nor the last"),
        (reduce("sum", x, [-1]) + reduce("sum", x, [ROWS, -1]), (3,), (1,), "along different axes"),
        (x, (-3,), (-3,), "known only when it runs"),
        (x, (0,), (0,), "has no elements"),
        (const(1.0), (3,), (3,), "output without rows"),
    ],
)
def test_what_cannot_be_printed_says_why(formula, domain, shape, reason):
    rows = formula.op != "const"
    kernel = Kernel(domain, True, (Operand("x", domain, True),), ((Operand("y", shape, rows), formula),))
    with pytest.raises(NotPrintableError, match=reason):
        cuda_source(kernel)
