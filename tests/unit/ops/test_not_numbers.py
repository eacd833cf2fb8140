"""NaN and infinite gradients stay where they belong: what did not take part gets 0, in every tier, as in CNTK."""

import numpy as np
import pytest

import cntk_lab as C
from tests.unit.engine.tiers import flat, numpy_only, same_in_every_tier

nan, inf = np.nan, np.inf
ARRIVING = np.array([[1, inf, nan, -inf, 2, inf, nan, 3]], np.float32)
X = np.array([[-1, -1, -1, 0, 2, 2, 2, 2]], np.float32)
KEPT, LOST = [0, inf, nan, -inf, 2, inf, nan, 3], [0, 0, 0, 0, 0, 0, 0, 0]

SLOPES = {  # operator -> gradients for X
    "relu": (C.relu, [0, 0, 0, 0, 2, inf, nan, 3]),
    "clip": (lambda x: C.clip(x, -1, 1), [1, inf, nan, -inf, 0, 0, 0, 0]),
    "straight_through": (C.straight_through_impl, [1, inf, nan, -inf, 0, 0, 0, 0]),
    "element_max": (lambda x: C.element_max(x, C.constant(np.ones(8, np.float32))), [0, 0, 0, 0, 2, inf, nan, 3]),
    "element_min": (lambda x: C.element_min(x, C.constant(np.ones(8, np.float32))), [1, inf, nan, -inf, 0, 0, 0, 0]),
    "element_select": (lambda x: C.element_select(C.greater(x, 1), x, -1), [0, 0, 0, 0, 2, inf, nan, 3]),
    "leaky_relu": (lambda x: C.leaky_relu(x, 0.5), [0.5, inf, nan, -inf, 2, inf, nan, 3]),
    "hard_sigmoid": (lambda x: C.hard_sigmoid(x, 1, 1.5), [1, inf, nan, 0, 0, 0, 0, 0]),
    "abs": (C.abs, [-1, -inf, nan, nan, 2, inf, nan, 3]),
}  # fmt: skip


def images(rows):
    return np.array(rows, np.float32).reshape(1, 1, 4, 4)


IMAGE = images([1, 5, 2, 0, 3, 3, 7, 1, 0, -1, -2, -9, 4, 4, 4, 4])
WITH_NAN = images([1, 5, 2, nan, 3, 3, inf, 1, 0, -1, -2, -inf, 4, 4, 4, 4])
POOLED = [nan, inf, 2, 3]


def max_pooling(x):
    return C.pooling(x, C.MAX_POOLING, (2, 2), (2, 2))


def same(got, want, **_):
    np.testing.assert_array_equal(got, want)


def asked(make, x_data, arriving, dtype=np.float32, *, sequence=False):
    """The value and the gradient of an operator where ``arriving`` arrives."""
    variable = C.sequence.input_variable if sequence else C.input_variable
    x = variable(x_data.shape[1:], dtype=dtype, needs_gradient=True)
    y = make(x)
    weights = np.resize(arriving, y.shape).astype(dtype)
    loss = C.reduce_sum(y * C.constant(weights, dtype=dtype))
    data = [x_data[[0] * 3].astype(dtype)] * 2 if sequence else x_data[[0] * 3].astype(dtype)
    return lambda: [*flat(y.eval({x: data})), *flat(loss.grad({x: data}, [x]))]


@pytest.mark.parametrize("sequence", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", SLOPES)
def test_what_was_not_chosen_gets_nothing_of_an_infinite_gradient(name, dtype, sequence):
    make, want = SLOPES[name]
    ask = asked(make, X, ARRIVING, dtype, sequence=sequence)
    if dtype is np.float32:
        with numpy_only():
            np.testing.assert_array_equal(np.asarray(ask()[-1]).reshape(-1, 8)[0], want)
    same_in_every_tier(ask, dtype, compare=same)


@pytest.mark.parametrize(
    ("image", "first", "want"),
    [
        (IMAGE, [5, 7, 4, 4], [0, nan, 0, 0, 0, 0, inf, 0, 0, 0, 0, 0, 2, 0, 3, 0]),
        (WITH_NAN, [5, inf, 4, 4], [0, nan, 0, 0, 0, 0, inf, 0, 0, 0, 0, 0, 2, 0, 3, 0]),
    ],
)
def test_max_pooling_gives_its_gradient_to_the_largest_number_alone(image, first, want):
    ask = asked(max_pooling, image, POOLED)
    value, gradient = ask()
    np.testing.assert_array_equal(value[0].ravel(), first)
    np.testing.assert_array_equal(gradient[0].ravel(), want)
    same_in_every_tier(ask, compare=same)
    same_in_every_tier(asked(C.layers.GlobalMaxPooling(), image, [inf]), compare=same)
    assert np.count_nonzero(np.nan_to_num(asked(C.layers.GlobalMaxPooling(), image, [inf])()[1][0])) == 1


@pytest.mark.parametrize("make", [lambda x: C.reduce_max(x, axis=1), lambda x: C.reduce_min(x, axis=2)])
def test_reductions_to_an_extremum_give_their_gradient_to_it_alone(make):
    ask = asked(make, IMAGE + 0.01 * np.arange(16, dtype=np.float32).reshape(IMAGE.shape), [inf, nan, 1, 2])
    assert np.count_nonzero(ask()[1][0]) == 4
    same_in_every_tier(ask, compare=same)


def test_the_largest_frame_alone_gets_the_gradient_of_a_sequence():
    x = C.sequence.input_variable(2, needs_gradient=True)
    loss = C.reduce_sum(C.sequence.reduce_max(x) * C.constant(np.array([inf, nan], np.float32)))
    data = [np.array([[1, 2], [3, 1], [0, 0]], np.float32), np.array([[1, 2]], np.float32)]

    def ask():
        return flat(loss.grad({x: data}, [x]))

    np.testing.assert_array_equal(ask()[0], [[0, nan], [inf, 0], [0, 0]])
    same_in_every_tier(ask, compare=same)


@pytest.mark.parametrize(
    ("scores", "target", "error", "chosen", "largest"),  # as CNTK 2.7 says, but for -1 as the position among NaN
    [
        ([1, nan, 2], [0, 0, 1], 0, [0, 0, 1], 2),
        ([nan, nan, nan], [0, 1, 0], 1, [1, 0, 0], 0),
        ([nan, nan, nan], [1, 0, 0], 0, [1, 0, 0], 0),
        ([nan, 1, 2], [0, 0, 1], 1, [1, 0, 0], 2),
        ([nan, 3, 2], [1, 0, 0], 0, [1, 0, 0], 1),
        ([1, 2, nan], [0, 1, 0], 0, [0, 1, 0], 1),
        ([1, 2, 3], [0, 0, 1], 0, [0, 0, 1], 2),
        ([-inf, -inf, -inf], [1, 0, 0], 0, [1, 0, 0], 0),
    ],
)
def test_scores_that_are_no_numbers_have_a_class(scores, target, error, chosen, largest):
    x, t = C.input_variable(3), C.input_variable(3)
    feed = {x: np.array([scores] * 3, np.float32), t: np.array([target] * 3, np.float32)}
    wrong, hard, best = C.classification_error(x, t), C.hardmax(x), C.argmax(x)

    def ask():
        return [wrong.eval(feed), hard.eval({x: feed[x]}), best.eval({x: feed[x]})]

    got = ask()
    assert [got[0].ravel()[0], got[1][0].tolist(), got[2].ravel()[0]] == [error, chosen, largest]
    same_in_every_tier(ask, compare=same)


@pytest.mark.parametrize("sequence", [False, True])
def test_positions_of_the_largest_elements_have_the_gradient_zero(sequence):
    x = (C.sequence.input_variable if sequence else C.input_variable)(4, needs_gradient=True)
    places = C.top_k(x, 2).outputs[1]
    data = [np.array([[1, 3, 2, 4]], np.float32)] * 2 if sequence else np.array([[1, 3, 2, 4]], np.float32)
    for loss in (C.reduce_sum(places * 1.0), C.reduce_sum(C.combine([places]))):
        same_in_every_tier(lambda loss=loss: flat(loss.grad({x: data}, [x])), compare=same)
        np.testing.assert_array_equal(flat(loss.grad({x: data}, [x]))[0].reshape(-1, 4), np.zeros((1, 4)))


BEHIND = {
    "relu": lambda x: C.relu(x),
    "tanh": lambda x: C.tanh(x),
    "sigmoid": lambda x: C.sigmoid(x),
    "bias and relu": lambda x: C.relu(x + C.parameter(init=np.full(20, 0.5, np.float32))),
}
ODD = np.array([[nan, 1, 2, 3], [inf, 1, 2, 3], [1, -2, 3, -4]], np.float32)
FACTORS = np.random.default_rng(0).normal(size=(4, 20)).astype(np.float32)


@pytest.mark.parametrize("name", BEHIND)
@pytest.mark.parametrize("width", [20, 3])
def test_what_is_no_number_stays_that_behind_a_product(name, width):
    """As in CNTK: relu, tanh and sigmoid of NaN are NaN, also where a product would apply them along the way."""
    x = C.input_variable(4)
    z = BEHIND[name](C.times(x, C.parameter(init=FACTORS[:, :width] if name != "bias and relu" else FACTORS)))
    with numpy_only():
        want = z.eval({x: ODD})
    assert np.isnan(want[0]).all()
    same_in_every_tier(lambda: [z.eval({x: ODD})])


def test_what_is_no_number_stays_that_behind_a_convolution():
    x = C.input_variable((2, 5, 5))
    data = np.random.default_rng(1).normal(size=(2, 2, 5, 5)).astype(np.float32)
    data[0, 0, 2, 2] = nan
    z = C.layers.Convolution((3, 3), 16, pad=True, activation=C.relu)(x)
    with numpy_only():
        want = z.eval({x: data})
    assert np.isnan(want[0, :, 1:4, 1:4]).all()
    same_in_every_tier(lambda: [z.eval({x: data})])
