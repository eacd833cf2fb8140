"""Derivatives are those of finite differences, and CNTK's at kinks."""

import numpy as np
import pytest

from cntk_lab.formula import expr as X
from cntk_lab.formula.derive import vjp
from cntk_lab.formula.expr import ROWS, const, coordinate, input_, make, reduce, topological, where
from cntk_lab.formula.kernel import Kernel, Operand
from cntk_lab.formula.print_numpy import numpy_function
from tests.unit.formula.formulas import DOMAIN, OPERANDS, SOFT, data_for, kernel_of, random_formula

x, y = input_("x"), input_("y")


def over(*formulas, **arrays):
    """The formulas over a domain of 1 row and the arrays' common length."""
    n = max(len(a) for a in arrays.values())
    inputs = tuple(Operand(name, (len(a),), rows=False, dtype="float64") for name, a in arrays.items())
    outputs = tuple((Operand(f"y{i}", (n,), rows=False, dtype="float64"), f) for i, f in enumerate(formulas))
    kernel = Kernel((n,), False, inputs, outputs, "float64")
    found = numpy_function(kernel)(np, *(np.asarray([a], "float64") for a in arrays.values()))
    return [a[0].tolist() for a in found]


def project(formula, arrays, weights):
    """sum(weights * formula) over the whole domain."""
    kernel = kernel_of(formula)
    (value,) = numpy_function(kernel)(np, *arrays)
    return float((np.broadcast_to(value, weights.shape) * weights).sum())


@pytest.mark.parametrize("seed", range(60))
def test_gradients_of_random_formulas_are_finite_differences(seed):
    formula = random_formula(seed)
    arrays = data_for(seed=seed)
    weight = Operand("dy", DOMAIN, rows=True, dtype="float64")
    weights = np.random.default_rng(seed + 1).normal(size=(5, *DOMAIN))
    names = [o.name for o in OPERANDS]
    gradients = vjp([formula], [input_("dy")], names)
    kernel = kernel_of(*gradients.values(), operands=(*OPERANDS, weight))
    found = numpy_function(kernel)(np, *arrays, weights)
    rng = np.random.default_rng(seed + 2)
    for i, got in enumerate(found):
        direction = rng.normal(size=arrays[i].shape)
        # the field over the domain, projected on the direction that is broadcast like the input
        analytic = float((np.broadcast_to(got, weights.shape) * np.broadcast_to(direction, weights.shape)).sum())
        h = 1e-6
        ends = [
            project(formula, [*arrays[:i], arrays[i] + s * h * direction, *arrays[i + 1 :]], weights) for s in (1, -1)
        ]
        numeric = (ends[0] - ends[1]) / (2 * h)
        assert analytic == pytest.approx(numeric, rel=2e-5, abs=2e-5)


@pytest.mark.parametrize("word", sorted(X.UNARY - X.BOOLEAN))
def test_every_word_of_one_argument(word):
    inner = SOFT.get(word, lambda a: a)(x)
    formula = make(word, inner)
    points = np.array([-1.3, -0.4, 0.2, 0.9, 1.6])
    gradient = vjp([formula], [const(1.0)], ["x"])["x"]
    got = over(gradient, x=points)[0]
    h = 1e-6
    up, down = over(formula, x=points + h)[0], over(formula, x=points - h)[0]
    np.testing.assert_allclose(got, (np.array(up) - down) / (2 * h), rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize(
    ("formula", "at", "slope"),
    [
        (X.absolute(x), [0.0, -2.0, 3.0], [0.0, -1.0, 1.0]),
        (X.floor(x) + X.ceil(x) + X.sign(x), [0.3, 1.0, -2.5], [0.0, 0.0, 0.0]),
        (where(x > 0.0, x, 0.0), [-1.0, 0.0, 1.0], [0.0, 0.0, 1.0]),
        ((x > 1.0) * x, [0.0, 1.0, 2.0], [0.0, 0.0, 1.0]),
        (coordinate(-1) * x, [5.0, 5.0, 5.0], [0.0, 1.0, 2.0]),
    ],
)
def test_slopes_at_kinks_are_those_of_cntk(formula, at, slope):
    assert over(vjp([formula], [const(1.0)], ["x"])["x"], x=at) == [slope]


@pytest.mark.parametrize("word", ["max", "min"])
def test_a_tie_of_two_operands_gives_the_gradient_to_the_second(word):
    gradients = vjp([make(word, x, y)], [const(1.0)], ["x", "y"])
    of_x, of_y = over(*gradients.values(), x=[1.0, 1.0, 1.0], y=[1.0, 0.0, 2.0])
    assert of_x == ([0.0, 1.0, 0.0] if word == "max" else [0.0, 0.0, 1.0])
    assert of_y == [1.0 - a for a in of_x]


def test_reduction_to_an_extremum_gives_the_gradient_to_every_element_that_attains_it():
    gradient = vjp([reduce("max", x, [-1])], [const(1.0)], ["x"], reduced=[[-1]])["x"]
    assert over(gradient, x=[3.0, 3.0, 1.0]) == [[1.0, 1.0, 0.0]]


@pytest.mark.parametrize(
    ("numbers", "others"),
    [([2.0, 3.0, 4.0], [12.0, 8.0, 6.0]), ([2.0, 0.0, 4.0], [0.0, 8.0, 0.0]), ([0.0, 0.0, 4.0], [0.0, 0.0, 0.0])],
)
def test_gradient_of_a_product_is_the_product_of_the_others_also_with_zeros(numbers, others):
    gradient = vjp([reduce("prod", x, [-1])], [const(1.0)], ["x"], reduced=[[-1]])["x"]
    assert over(gradient, x=numbers) == [others]


def test_an_operand_not_chosen_gets_zero_even_where_its_slope_is_infinite():
    both = where(x > 0.0, X.log(x), 0.0) + where(x < 5.0, 0.0, X.log(x))
    assert over(vjp([both], [const(1.0)], ["x"])["x"], x=[0.0, -1.0, 2.0, 8.0]) == [[0.0, 0.0, 0.5, 0.25]]


def test_power_is_flat_in_exponent_zero_and_at_base_zero():
    gradients = vjp([X.power(x, y)], [const(1.0)], ["x", "y"])
    of_x, of_y = over(*gradients.values(), x=[0.0, 0.0, 2.0], y=[0.0, 2.0, 3.0])
    assert of_x == [0.0, 0.0, 12.0]
    assert of_y == pytest.approx([0.0, 0.0, 8.0 * np.log(2.0)])


def test_an_output_stored_reduced_has_one_adjoint_per_element():
    total = reduce("sum", x * y, [-1])
    stored = vjp([total], [const(1.0)], ["x"], reduced=[[-1]])["x"]
    field = vjp([total], [const(1.0)], ["x"])["x"]
    data = {"x": [1.0, 2.0, 3.0], "y": [5.0, 6.0, 7.0]}
    assert over(stored, field, **data) == [[5.0, 6.0, 7.0], [15.0, 18.0, 21.0]]


def test_a_broadcast_input_of_a_reduced_output_sums_to_its_gradient():
    formula = reduce("sum", x, [-1]) * y
    gradient = vjp([formula], [const(2.0)], ["y"], reduced=[[-1]])["y"]
    assert sum(over(gradient, x=[1.0, 2.0, 3.0], y=[10.0])[0]) == 12.0


def test_a_reduction_partly_stored_reduced_spreads_over_the_rest():
    formula = reduce("sum", x, [-1, ROWS])
    assert repr(vjp([formula], [input_("dy")], ["x"], reduced=[[-1]])["x"]) == "reduce[('sum', ('rows',))](dy)"


def test_an_input_that_is_not_reached_gets_the_constant_zero():
    assert vjp([X.exp(x)], [input_("dy")], ["y"]) == {"y": const(0.0)}
    assert vjp([X.floor(x) + (x > y)], [input_("dy")], ["x", "y"]) == {"x": const(0.0), "y": const(0.0)}


@pytest.mark.parametrize("word", ["exp", "tanh", "sigmoid", "sqrt", "expm1", "tan"])
def test_the_result_is_used_in_its_own_derivative(word):
    y = make(word, x)
    gradient = vjp([y], [input_("dy")], ["x"])["x"]
    assert [e for e in topological([y, gradient]) if e.op == word] == [y]
    assert not [e for e in topological([gradient]) if e.op in X.UNARY - {word}]


def test_unequal_numbers_of_outputs_and_adjoints_are_refused():
    with pytest.raises(ValueError, match="vjp: 1 outputs, 2 adjoints, 1 sets of reduced axes"):
        vjp([x], [x, y], ["x"])
