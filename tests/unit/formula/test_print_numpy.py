"""The NumPy tier: values, shapes, element types, sharing and freeing."""

import math
import warnings

import numpy as np
import pytest

from cntk_lab.formula import expr as X
from cntk_lab.formula.expr import ROWS, const, coordinate, input_, make, reduce, where
from cntk_lab.formula.kernel import Kernel, Operand
from cntk_lab.formula.print_numpy import numpy_function, numpy_source
from tests.unit.formula.formulas import OPERANDS, data_for, kernel_of, random_formula

x, y = input_("x"), input_("y")


def one(formula, shape=(3,), *, rows=True, domain=(3,), dtype="float32", inputs=None, out_rows=None):
    """A kernel with the inputs x (full) and y (1 x 3, no rows) and one output."""
    inputs = inputs or (Operand("x", domain, rows, dtype), Operand("y", domain, False, dtype))
    output = Operand("out", shape, rows if out_rows is None else out_rows, dtype)
    return Kernel(domain, rows, inputs, ((output, formula),), dtype)


def evaluate(kernel, *arrays, **more):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return numpy_function(kernel)(np, *arrays, **more)


REFERENCE = {
    "neg": lambda a: -a,
    "abs": abs,
    "sigmoid": lambda a: 1 / (1 + math.exp(-a)),
    "softplus": lambda a: math.log1p(math.exp(a)),
    "sign": lambda a: math.copysign(1.0, a) if a else 0.0,
    "logical_not": lambda a: float(not a),
    "isfinite": lambda a: float(math.isfinite(a)),
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "min": min,
    "max": max,
    "mod": lambda a, b: a - b * math.floor(a / b),
    "lt": lambda a, b: float(a < b),
    "le": lambda a, b: float(a <= b),
    "gt": lambda a, b: float(a > b),
    "ge": lambda a, b: float(a >= b),
    "eq": lambda a, b: float(a == b),
    "ne": lambda a, b: float(a != b),
    "logical_and": lambda a, b: float(bool(a and b)),
    "logical_or": lambda a, b: float(bool(a or b)),
    "where": lambda c, a, b: a if c else b,
}
POSITIVE = {"log", "sqrt", "pow", "log1p"}


@pytest.mark.parametrize("word", sorted(X.UNARY | X.BINARY | X.TERNARY))
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_every_word_has_its_mathematical_value(word, dtype):
    count = 1 if word in X.UNARY else 2 if word in X.BINARY else 3
    points = [(0.25, 0.5, -1.0), (0.75, 0.75, 2.0), (0.0, 0.5, 0.5), (-0.5, 0.25, 0.0), (0.5, -0.75, 3.0)]
    if word in POSITIVE:
        points = [(abs(a) + 0.25, b, c) for a, b, c in points]
    if word == "acosh":
        points = [(a + 2, b, c) for a, b, c in points]
    reference = REFERENCE.get(word) or getattr(math, word)
    names = "abc"[:count]
    inputs = tuple(Operand(n, (5,), rows=False, dtype=dtype) for n in names)
    kernel = Kernel(
        (5,), False, inputs, ((Operand("out", (5,), False, dtype), make(word, *map(input_, names))),), dtype
    )
    (got,) = evaluate(kernel, *(np.array([[p[i] for p in points]], dtype) for i in range(count)))
    expected = [reference(*p[:count]) for p in points]
    assert got.dtype == dtype
    np.testing.assert_allclose(got[0], expected, rtol={"float64": 1e-14, "float32": 2e-6, "float16": 1e-3}[dtype])


@pytest.mark.parametrize("rows", [0, 1, 7])
@pytest.mark.parametrize("seed", range(20))
def test_shapes_are_those_of_the_operands_for_any_number_of_rows(rows, seed):
    kernel = kernel_of(random_formula(seed), random_formula(seed + 100), dtype="float32")
    outputs = evaluate(kernel, *data_for(kernel.inputs, rows=rows))
    for array, (operand, _) in zip(outputs, kernel.outputs, strict=True):
        assert array.shape == (rows if operand.rows else 1, *operand.shape)
        assert array.dtype == np.float32
        assert array.flags.c_contiguous
        assert array.flags.owndata
        assert array.flags.writeable


@pytest.mark.parametrize(("word", "value"), [("sum", 0.0), ("prod", 1.0), ("max", -math.inf), ("min", math.inf)])
def test_a_reduction_over_no_rows_is_its_neutral_element(word, value):
    kernel = one(reduce(word, x, [ROWS]), out_rows=False)
    (got,) = evaluate(kernel, np.zeros((0, 3), "f"), np.zeros((1, 3), "f"))
    assert got.tolist() == [[value] * 3]


@pytest.mark.parametrize(
    ("formula", "value"),
    [
        (reduce("sum", y, [ROWS]), 8.0),
        (reduce("prod", y, [ROWS]), 16.0),
        (reduce("max", y, [ROWS]), 2.0),
        (reduce("sum", const(1.0), [ROWS, -1]), 12.0),
        (reduce("sum", y, [ROWS, -1]), 24.0),
    ],
)
def test_reducing_what_does_not_vary_counts_the_axis(formula, value):
    (got,) = evaluate(one(formula), np.zeros((4, 3), "f"), np.full((1, 3), 2, "f"))
    assert got.tolist() == [[value] * 3] * 4


def test_coordinates_count_along_their_axis():
    (got,) = evaluate(one(coordinate(ROWS) * 10 + coordinate(-1) + x * 0), np.zeros((2, 3), "f"), np.zeros((1, 3), "f"))
    assert got.tolist() == [[0, 1, 2], [10, 11, 12]]


def test_a_kernel_without_inputs_is_told_the_rows():
    kernel = Kernel((2,), True, (), ((Operand("out", (2,), True), coordinate(ROWS) + coordinate(-1)),))
    assert evaluate(kernel, rows=2)[0].tolist() == [[0, 1], [1, 2]]
    with pytest.raises(TypeError, match="no input has rows"):
        evaluate(kernel)


def test_lengths_unknown_until_run_are_read_from_the_arrays():
    inputs = (Operand("x", (-3, 2), True), Operand("y", (-3, 1), False))
    outputs = (
        (Operand("a", (-3, 2), True), x + y),
        (Operand("b", (1, 2), True), reduce("sum", x, [-2])),
        (Operand("c", (1, 1), False), reduce("sum", y, [-2, -1])),
        (Operand("d", (-3, 2), True), const(1.0)),
    )
    kernel = Kernel((-3, 2), True, inputs, outputs)
    for n in (1, 3):
        a, b, c, d = evaluate(kernel, np.ones((4, n, 2), "f"), np.ones((1, n, 1), "f"))
        assert (a.shape, b.shape, c.shape, d.shape) == ((4, n, 2), (4, 1, 2), (1, 1, 1), (4, n, 2))
        assert a.sum() == 2 * 4 * n * 2
        assert b.tolist() == [[[n, n]]] * 4
        assert c.tolist() == [[[2 * n]]]


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_flags_are_numbers_of_the_element_type(dtype):
    (got,) = evaluate(one((x > y) + (x > y), dtype=dtype), np.ones((1, 3), dtype), np.zeros((1, 3), dtype))
    assert (got.dtype, got.tolist()) == (np.dtype(dtype), [[2.0, 2.0, 2.0]])


def test_float16_is_computed_in_float32():
    kernel = one(reduce("sum", x, [ROWS]) / 4096.0, dtype="float16", out_rows=False)
    (got,) = evaluate(kernel, np.full((4096, 3), 100, "float16"), np.zeros((1, 3), "float16"))
    assert got.tolist() == [[100.0] * 3]  # the sum itself is beyond float16


def test_nothing_warns_and_extremes_are_ieee():
    formula = X.sigmoid(x) + X.softplus(-x) + where(x < 0, X.log(x), X.exp(x)) * 0.0
    (got,) = evaluate(one(formula), np.array([[-1000, 0, 1000]], "f"), np.zeros((1, 3), "f"))
    assert np.isnan(got[0, 0])
    assert np.isfinite(got[0, 1])
    (got,) = evaluate(one(X.sigmoid(x)), np.array([[-1000, 0, 1000]], "f"), np.zeros((1, 3), "f"))
    assert got.tolist() == [[0.0, 0.5, 1.0]]
    (got,) = evaluate(one(X.softplus(x)), np.array([[-1000, 0, 1000]], "f"), np.zeros((1, 3), "f"))
    assert got.tolist() == [[0.0, np.float32(math.log(2)), 1000.0]]


def test_inputs_are_never_changed_and_outputs_never_alias():
    a, b = np.ones((2, 3), "f"), np.ones((1, 3), "f")
    outputs = tuple((Operand(n, (3,), True), f) for n, f in [("p", x), ("q", x + y), ("r", x + y), ("s", X.exp(x + y))])
    found = evaluate(Kernel((3,), True, one(x).inputs, outputs), a, b)
    for i, first in enumerate((a, b, *found)):
        for second in found[max(0, i - 1) :]:
            assert first is second or not np.shares_memory(first, second)
    assert (a == 1).all()
    assert (b == 1).all()


def test_pairs_in_place_write_into_their_input_after_everybody_has_read_it():
    inputs = tuple(Operand(n, (3,), False) for n in ("p", "g", "v"))
    p, g, v = map(input_, ("p", "g", "v"))
    new_v = v * 0.5 + g
    outputs = (
        (Operand("p", (3,), False), p - new_v * p),
        (Operand("v", (3,), False), new_v),
        (Operand("old", (3,), False), v + p),
    )
    kernel = Kernel((3,), False, inputs, outputs, in_place=(("p", "p"), ("v", "v")))
    arrays = [np.full((1, 3), n, "f") for n in (2, 1, 4)]
    found = evaluate(kernel, *arrays)
    assert found[0] is arrays[0]
    assert found[1] is arrays[2]
    assert [a[0, 0] for a in found] == [2 - 3 * 2, 3, 6]


def test_a_learner_update_writes_straight_into_parameter_and_state():
    inputs = tuple(Operand(n, (3,), False) for n in ("p", "g", "v"))
    new_v = input_("v") * 0.5 + input_("g")
    outputs = ((Operand("p", (3,), False), input_("p") - new_v), (Operand("v", (3,), False), new_v))
    source = numpy_source(Kernel((3,), False, inputs, outputs, in_place=(("p", "p"), ("v", "v"))))
    assert "copyto" not in source
    assert source.count("out=a0") == source.count("out=a2") == 1


def test_a_shared_subexpression_is_computed_once():
    e = X.exp(x)
    source = numpy_source(one(e / (e + 1.0) * e))
    assert source.count("xp.exp(") == 1


def test_dead_temporaries_are_reused_and_freed():
    source = numpy_source(one(X.exp(X.tanh(x + 1.0)) * 2.0))
    assert source.count("out=") == 3
    assert "del" in source


@pytest.mark.parametrize("seed", range(5))
def test_printing_is_deterministic_and_free_of_names_of_operands(seed):
    kernel = kernel_of(random_formula(seed))
    source = numpy_source(kernel)
    assert source == numpy_source(kernel_of(random_formula(seed)))
    assert not any(o.name in source for o in OPERANDS)
    assert numpy_function(kernel) is numpy_function(kernel_of(random_formula(seed)))


def test_a_formula_that_does_not_fit_its_output_is_refused():
    with pytest.raises(ValueError, match=r"output 'out' of shape \(1,\).* changes along \[-1\]"):
        numpy_source(one(x, shape=(1,)))
    with pytest.raises(ValueError, match="uses input 'z'"):
        numpy_source(one(input_("z")))
    with pytest.raises(ValueError, match="rank 1"):
        numpy_source(one(reduce("sum", x, [-2])))
