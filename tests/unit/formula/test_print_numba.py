# ruff: noqa: E501, RUF005, E731  (one case a line)
"""Generated CPU kernels give NumPy's numbers: every pattern of loops, any number of rows and threads, all special values."""

import itertools
import math

import numpy as np
import pytest

from cntk_lab.formula.expr import (
    ROWS,
    const,
    coordinate,
    equal,
    exp,
    expm1,
    input_,
    isfinite,
    log,
    log1p,
    logical_and,
    logical_not,
    logical_or,
    make,
    maximum,
    minimum,
    modulo,
    power,
    reduce,
    sigmoid,
    sign,
    softplus,
    sqrt,
    tanh,
    where,
)  # fmt: skip
from cntk_lab.formula.kernel import Kernel, Operand
from cntk_lab.formula.print_numba import Unsupported, numba_code, supported
from cntk_lab.formula.print_numpy import numpy_function
from tests.unit.formula import kernel_table

jit = pytest.importorskip("cntk_lab.backends.cpu.jit")
pytestmark = pytest.mark.skipif(jit.why_not() is not None, reason="no numba")

x, y, b, w, v = map(input_, "xybwv")
SPECIAL = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    math.inf,
    -math.inf,
    math.nan,
    1e-30,
    -1e-30,
    1e30,
    -1e30,
    88.0,
    89.5,
    -88.0,
    -104.0,
    0.5,
    1e-4,
]


def op(name, *shape, rows=True, dtype="float32"):
    return Operand(name, shape, rows, dtype)


def run(kernel, arrays, rows, threads):
    """The outputs of the compiled kernel; threads take turns (phases are the barriers)."""
    import ctypes

    code = numba_code(kernel)
    handle = jit.request(code.source)
    assert handle.wait(240), handle.failure
    function = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 4)(handle.address)
    given = [np.array(a, o.dtype, order="C") for a, o in zip(arrays, kernel.inputs, strict=True)]
    held = dict(zip(code.inputs, given, strict=True))
    in_place = dict(kernel.in_place)
    outputs = []
    for operand, _ in kernel.outputs:
        fresh = np.full((rows if operand.rows else 1, *operand.shape), 77, operand.dtype)
        outputs.append(held[in_place[operand.name]] if operand.name in in_place else fresh)
    scratch = np.full(code.scratch_bytes(threads) + 64, 99, np.uint8)
    start = scratch.ctypes.data + -scratch.ctypes.data % 64
    block = np.array([*(a.ctypes.data for a in given), *(a.ctypes.data for a in outputs), rows, start], np.int64)
    assert len(block) == code.fields()
    for phase in range(code.phases):
        for thread in reversed(range(threads)):
            function(block.ctypes.data, thread, threads, phase)
    return outputs


def check(kernel, rows_list=(1, 7, 0, 100), threads_list=(1, 3), special=False, tolerance=None):
    rng = np.random.default_rng(5)
    tolerance = tolerance or (3e-6 if kernel.dtype == "float32" else 1e-13)
    for rows, threads in itertools.product(rows_list if kernel.rows else (1,), threads_list):
        arrays = []
        for o in kernel.inputs:
            a = rng.standard_normal((rows if o.rows else 1, *o.shape)).astype(o.dtype)
            if special and a.size:
                a.ravel()[rng.random(a.size) < 0.3] = rng.choice(SPECIAL)
                a.ravel()[: len(SPECIAL)] = SPECIAL[: a.size]
            arrays.append(a)
        with np.errstate(all="ignore"):
            copies = [a.copy() for a in arrays]
            expected = numpy_function(kernel)(np, *copies, rows=rows)
        got = run(kernel, arrays, rows, threads)
        for (operand, _), e, g in zip(kernel.outputs, expected, got, strict=True):
            scale = max(1.0, float(np.abs(e[np.isfinite(e)]).max(initial=0))) if not special else 1
            np.testing.assert_allclose(
                g, e, rtol=tolerance, atol=tolerance * scale * (not special), err_msg=operand.name
            )


def softmax(e):
    top = exp(e - reduce("max", e, [-1]))
    return top / reduce("sum", top, [-1])


lse = log(reduce("sum", exp(x - reduce("max", x, [-1])), [-1])) + reduce("max", x, [-1])
mean = reduce("sum", x, [ROWS, -1]) * 0.01
rows_in_all = reduce("sum", const(1), [ROWS, -2])
channel_mean = reduce("sum", x, [ROWS, -2]) / rows_in_all
bsum = reduce("sum", x * (y > 0), [ROWS])
KERNELS = {
    "map": Kernel((5,), True, (op("x", 5), op("y", 5)), ((op("o", 5), x * y + sigmoid(x)),)),
    "map_columns": Kernel((5,), True, (op("x", 5), op("b", 5, rows=False)), ((op("o", 5), maximum(x + b, 0)),)),
    "map_row_scalar": Kernel((37,), True, (op("x", 37), op("y", 1)), ((op("o", 37), x * exp(y)),)),
    "map_scalar": Kernel((5,), True, (op("x", 5), op("y", 1, rows=False)), ((op("o", 5), x * exp(y)),)),
    "channels": Kernel((3, 4, 5), True, (op("x", 3, 4, 5), op("b", 3, 1, 1, rows=False)), ((op("o", 3, 4, 5), x + b),)),
    "middle": Kernel((3, 4, 5), True, (op("x", 3, 4, 5), op("y", 3, 1, 5)), ((op("o", 3, 4, 5), x * y),)),
    "no_rows": Kernel((300,), False, (op("x", 300, rows=False),), ((op("o", 300, rows=False), tanh(x)),)),
    "scalar": Kernel((), False, (op("x", rows=False),), ((op("o", rows=False), x + 1),)),
    "broadcast_out": Kernel((5,), True, (op("b", 5, rows=False),), ((op("o", 5), b * 2),)),
    "coordinates": Kernel((3, 5), True, (op("x", 3, 5),), ((op("o", 3, 5), x + coordinate(-1) + 10 * coordinate(-2) + 100 * coordinate(ROWS)),)),
    "softmax": Kernel((19,), True, (op("x", 19),), ((op("o", 19), softmax(x)),)),
    "cross_entropy": Kernel(
        (10,), True, (op("x", 10), op("y", 10)),
        ((op("loss", 1), reduce("sum", y * (lse - x), [-1])), (op("dx", 10), softmax(x) - y),
         (op("db", 10, rows=False), reduce("sum", softmax(x) - y, [ROWS])),
         (op("total", 1, rows=False), reduce("sum", y * (lse - x), [ROWS, -1]))),
    ),
    "argmax": Kernel((9,), True, (op("x", 9),), ((op("o", 1), reduce("min", where(equal(x, reduce("max", x, [-1])), coordinate(-1), 99), [-1])),)),
    "layer_norm": Kernel((4, 6), True, (op("x", 4, 6),), ((op("o", 4, 6), (x - reduce("sum", x, [-1, -2]) / 24) / sqrt(reduce("sum", power(x - reduce("sum", x, [-1, -2]) / 24, 2), [-1, -2]) / 24 + 0.1)),)),
    "channel_softmax": Kernel((4, 6), True, (op("x", 4, 6),), ((op("o", 4, 6), exp(x - reduce("max", x, [-2])) / reduce("sum", exp(x - reduce("max", x, [-2])), [-2])),)),
    "two_inner_axes": Kernel((4, 6), True, (op("x", 4, 6),), ((op("o", 4, 1), reduce("sum", x, [-1])), (op("q", 1, 6), reduce("max", x, [-2])))),
    "heads": Kernel((3, 4, 6), True, (op("x", 3, 4, 6),), ((op("o", 3, 4, 6), softmax(x)),)),
    "columns": Kernel((33,), True, (op("x", 33),), ((op("o", 33, rows=False), reduce("sum", x, [ROWS])), (op("m", 33, rows=False), reduce("max", x, [ROWS])))),
    "guarded": Kernel((3, 4), True, (op("x", 3, 4), op("y", 1, 4)), ((op("o", 3, 4), x + y), (op("s", 1, 4, rows=False), reduce("sum", y, [ROWS])))),
    "total": Kernel((7,), True, (op("x", 7),), ((op("o", 1, rows=False), reduce("sum", x, [ROWS, -1])), (op("m", 1, rows=False), reduce("min", x, [ROWS, -1])))),
    "batch_norm": Kernel((3, 8), True, (op("x", 3, 8),), ((op("o", 3, 8), x - mean), (op("m", 3, 1, rows=False), mean))),
    "bias_update": Kernel(
        (6,), True, (op("x", 6), op("y", 6), op("b", 6, rows=False), op("v", 6, rows=False), op("w", 1, rows=False)),
        ((op("dx", 6), x * (y > 0)), (op("nv", 6, rows=False), v * 0.9 + bsum), (op("nb", 6, rows=False), b - w * (v * 0.9 + bsum))),
        in_place=(("dx", "x"), ("nv", "v"), ("nb", "b")),
    ),
    "clipped_bias": Kernel(
        (6,), True, (op("x", 6), op("y", 6), op("b", 6, rows=False)),
        ((op("nb", 6, rows=False), b - bsum / sqrt(reduce("sum", bsum * bsum, [-1]) + 1)),), in_place=(("nb", "b"),),
    ),
    "norm": Kernel((30, 7), False, (op("x", 30, 7, rows=False),), ((op("o", 30, 7, rows=False), x / sqrt(reduce("sum", x * x, [-1, -2]))),), in_place=(("o", "x"),)),
    "column_norm": Kernel((30, 7), False, (op("x", 30, 7, rows=False),), ((op("o", 30, 7, rows=False), x / (1 + reduce("sum", x * x, [-2]))),)),
    "adam": Kernel(
        (1000,), False, tuple(op(n, 1000, rows=False) for n in "xywv") + (op("b", 1, rows=False),),
        ((op("m", 1000, rows=False), w * 0.9 + y * 0.1), (op("n", 1000, rows=False), v * 0.99 + y * y * 0.01),
         (op("p", 1000, rows=False), x - b * (w * 0.9 + y * 0.1) / (sqrt(maximum(v, 0) * 0.99 + y * y * 0.01) + 1e-3))),
        in_place=(("m", "w"), ("n", "v"), ("p", "x")),
    ),
    "static_reduction": Kernel((5,), True, (op("x", 5), op("b", 5, rows=False)), ((op("o", 5), x * reduce("sum", b * b, [-1])),)),
    "count_rows": Kernel((5,), True, (op("x", 5),), ((op("o", 5), x), (op("n", 1, rows=False), reduce("sum", x * 0 + 1, [ROWS, -1])))),
    "counted": Kernel((3, 16), True, (op("x", 3, 16),), ((op("o", 3, 16), x - reduce("sum", x, [ROWS, -2]) / rows_in_all),)),
    "counted_two_ways": Kernel((4,), True, (op("x", 4),), ((op("o", 4), x + reduce("sum", const(2), [ROWS])), (op("n", 1, rows=False), reduce("sum", const(2), [ROWS, -1])))),
    "normalized": Kernel(
        (5, 16), True, (op("x", 5, 16), op("b", 1, 16, rows=False), op("w", 1, 16, rows=False)),
        ((op("o", 5, 16), (x - channel_mean) / sqrt(reduce("sum", power(x - channel_mean, 2), [ROWS, -2]) / rows_in_all + 1e-2) * w + b),
         (op("m", 1, 16, rows=False), channel_mean)),
    ),
    "tests_that_are_the_same_in_every_row": kernel_table.TABLE["map: tests that are the same in every row"],
    "same_in_every_row": Kernel((3, 20), True, (op("x", 3, 20), op("b", 1, 20, rows=False), op("w", 3, 1, rows=False)), ((op("o", 3, 20), x * exp(b) + tanh(w)),)),
    "empty_static": Kernel((0,), True, (op("x", 0),), ((op("o", 0), x), (op("s", 1), reduce("sum", x, [-1])))),
}  # fmt: skip


@pytest.mark.parametrize("name", KERNELS)
def test_every_pattern_agrees_with_numpy(name):
    check(KERNELS[name], tolerance=1e-5)


@pytest.mark.parametrize("name", ["map", "cross_entropy", "batch_norm", "adam", "bias_update"])
def test_float64_agrees_to_its_precision(name):
    import dataclasses

    k = KERNELS[name]
    wide = lambda o: dataclasses.replace(o, dtype="float64")
    check(
        dataclasses.replace(
            k, dtype="float64", inputs=tuple(map(wide, k.inputs)), outputs=tuple((wide(o), e) for o, e in k.outputs)
        ),
        rows_list=(7,),
    )


WORDS = {
    "exp": exp(x), "log": log(x), "expm1": expm1(x), "log1p": log1p(x), "sigmoid": sigmoid(x), "tanh": tanh(x),
    "softplus": softplus(x), "sqrt": sqrt(x), "sign": sign(x), "max": maximum(x, y), "min": minimum(x, y), "pow": power(x, y),
    "mod": modulo(x, y), "where": where(x > y, x, log(y)), "and": logical_and(x, y), "or": logical_or(x > 0, y),
    "not": logical_not(x), "isfinite": isfinite(x) + (x <= y), "div": x / y, "square": power(x, 2), "abs": make("abs", -x),
    **{n: make(n, x) for n in ["sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "asinh", "acosh", "atanh", "floor", "ceil"]},
    "reduce": reduce("max", x, [-1]) + reduce("min", y, [-1]), "sum": reduce("sum", x, [-1]), "prod": reduce("prod", x, [-1]),
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_word_agrees_also_on_special_values(dtype):
    """One kernel with an output per word; tiny results of exp may be flushed by NumPy, so they are compared absolutely."""
    names = list(WORDS)
    ins = (op("x", 40, dtype=dtype), op("y", 40, dtype=dtype))
    for part in range(0, len(names), 9):
        outs = tuple((op(n, 40, dtype=dtype), WORDS[n]) for n in names[part : part + 9])
        check(
            Kernel((40,), True, ins, outs, dtype),
            rows_list=(3,),
            threads_list=(1,),
            special=True,
            tolerance=2e-6 if dtype == "float32" else 1e-13,
        )


def test_own_functions_are_accurate_to_some_units_in_the_last_place():
    for dtype, limit in (("float32", 4.0), ("float64", 4.0)):
        ops = [exp(x), sigmoid(x), tanh(x), softplus(x), expm1(x), log(make("abs", x)), log1p(make("abs", x))]
        points = np.concatenate([np.linspace(-80, 80, 4001), np.linspace(-1, 1, 4001), np.geomspace(1e-12, 1e12, 4000)])
        points = points.astype(dtype)[None]
        n = points.shape[1]
        k = Kernel(
            (n,),
            True,
            (op("x", n, dtype=dtype),),
            tuple((op(f"o{i}", n, dtype=dtype), e) for i, e in enumerate(ops)),
            dtype,
        )
        wide = points.astype(np.longdouble)
        with np.errstate(all="ignore"):
            exact = [
                np.exp(wide),
                1 / (1 + np.exp(-wide)),
                np.tanh(wide),
                np.logaddexp(0, wide),
                np.expm1(wide),
                np.log(np.abs(wide)),
                np.log1p(np.abs(wide)),
            ]
            for i, (g, e) in enumerate(zip(run(k, [points], 1, 1), exact, strict=True)):
                near = np.asarray(e, dtype)
                fine = np.isfinite(near) & (np.abs(near) > np.finfo(dtype).tiny)
                unit = np.spacing(np.abs(near[fine]))
                assert float(np.max(np.abs(g[fine] - e[fine]) / unit)) < limit, (dtype, i)


def test_a_sum_over_many_rows_keeps_its_digits():
    n = 1_000_001
    k = Kernel((), True, (op("x"),), ((op("o", rows=False), reduce("sum", x, [ROWS])),))
    (total,) = run(k, [np.full(n, 0.1, np.float32)], n, 2)
    assert abs(float(total[0]) - n * float(np.float32(0.1))) < 0.1


def test_what_cannot_be_printed_says_why():
    assert "float16" in (supported(Kernel((2,), True, (op("x", 2),), ((op("o", 2), x),), "float16")) or "")
    assert "only known when it runs" in (supported(Kernel((-3,), True, (op("x", -3),), ((op("o", -3), x),))) or "")
    late = Kernel((2, 3), False, (op("x", 2, 3, rows=False), op("b", 1, 3, rows=False)),
                  ((op("o", 2, 3, rows=False), x + b), (op("nb", 1, 3, rows=False), b * 2)), in_place=(("nb", "b"),))  # fmt: skip
    assert (reason := supported(late)) is None or "in place" in reason or "overwritten" in reason
    with pytest.raises(Unsupported, match="more than 48 operands"):
        numba_code(Kernel((2,), True, (op("x", 2),), tuple((op(f"o{i}", 2), x) for i in range(60))))


def test_equal_kernels_print_equal_sources_and_names_never_enter():
    a = Kernel((5,), True, (op("x", 5),), ((op("evil\n import os", 5), x * 2),))
    assert numba_code(a).source == numba_code(Kernel((5,), True, (op("x", 5),), ((op("o", 5), x * 2),))).source


def test_sums_of_a_number_need_no_phase():
    assert numba_code(Kernel((3, 4), True, (op("x", 3, 4),), ((op("o", 3, 4), x / rows_in_all),))).phases == 1
    assert numba_code(KERNELS["counted"]).phases == 3  # sum, combine, subtract


def test_costly_values_that_are_the_same_in_every_row_are_computed_before_the_rows():
    """By rows of 20 elements: exp(b) once, x * exp(b) in each."""
    before, _, inside = numba_code(KERNELS["same_in_every_row"]).source.partition("n = rows")
    assert "exp_f32" in before
    assert "exp_f32" not in inside
