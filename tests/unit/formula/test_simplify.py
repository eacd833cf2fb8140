"""Simplification keeps every value and is a fixed point."""

import math

import numpy as np
import pytest

from cntk_lab.formula import expr as X
from cntk_lab.formula.derive import vjp
from cntk_lab.formula.expr import ROWS, const, input_, make, reduce, topological, where
from cntk_lab.formula.print_numpy import numpy_function
from cntk_lab.formula.simplify import simplify
from tests.unit.formula.formulas import OPERANDS, data_for, kernel_of, random_formula

x, y = input_("x"), input_("y")
flag = x > y


def formulas_of(seed):
    formula = random_formula(seed)
    return [formula, *vjp([formula], [const(1.5)], ["matrix", "bias"]).values()]


@pytest.mark.parametrize("seed", range(60))
def test_values_of_random_formulas_and_their_gradients_stay(seed):
    before = formulas_of(seed)
    after = simplify(before)
    arrays = data_for(OPERANDS, seed=seed)
    old = numpy_function(kernel_of(*before))(np, *arrays)
    new = numpy_function(kernel_of(*after))(np, *arrays)
    for a, b in zip(old, new, strict=True):
        np.testing.assert_allclose(np.broadcast_to(b, a.shape), a, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("seed", range(60))
def test_simplifying_again_changes_nothing(seed):
    once = simplify(formulas_of(seed))
    assert simplify(once) == once


@pytest.mark.parametrize(
    ("formula", "simple"),
    [
        (x + 0.0, x),
        (0.0 + x, x),
        (x - 0.0, x),
        (0.0 - x, -x),
        (x * 1.0, x),
        (x / 1.0, x),
        (x * -1.0, -x),
        (make("neg", -x), x),
        (x + -y, x - y),
        (x - make("neg", y), x + y),
        (-(x - y), y - x),
        (x / 4.0, x * 0.25),
        (x / 3.0, x / 3.0),
        (x**2.0, x * x),
        (x**1.0, x),
        (x**0.0, const(1.0)),
        (x**0.5, X.sqrt(x)),
        (x**-1.0, 1.0 / x),
        (x**1.5, x**1.5),
        (flag * 0.0, const(0.0)),
        (where(const(1.0), x, y), x),
        (where(const(2.0) > 3.0, x, y), y),
        (where(flag, x, x), x),
        (where(flag, 1.0, 0.0), flag),
        (where(make("logical_not", flag), x, y), where(flag, y, x)),
        (make("logical_not", make("eq", x, y)), make("ne", x, y)),
        (X.log(const(math.e**2)) + 1.0, const(3.0)),
        (X.maximum(x, x), x),
        (reduce("sum", reduce("sum", x, [-1]), [ROWS]), reduce("sum", x, [ROWS, -1])),
    ],
)
def test_rules(formula, simple):
    assert simplify([formula]) == (simple,)


@pytest.mark.parametrize(
    "formula",
    [
        x * 0.0,
        x - x,
        x / x,
        X.log(const(0.0)),
        const(1.0) / const(0.0),
        const(1e308) * const(1e308),
        reduce("sum", reduce("sum", x, [-1]), [-1]),
        reduce("max", reduce("max", x, [-1]), [-1, ROWS]),
        X.sqrt(x) * X.sqrt(x),
    ],
)
def test_what_would_change_a_value_is_left_alone(formula):
    assert simplify([formula]) == (formula,)


def test_what_is_shared_stays_shared():
    e = X.exp(x * 1.0)
    first, second = simplify([e + 1.0, e * y + 0.0])
    assert [n for n in topological([first, second]) if n.op == "exp"] == [X.exp(x)]
