"""Values that lie in the memory of others, rows and columns picked out, and formulas that see a part of a matrix: each
program gives the same numbers in every tier, with any number of rows, in sequences, and inside a recurrence."""

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab.backends.cpu import jit, onednn
from tests.unit.engine.tiers import ROWS, same_in_every_tier, values_and_gradients

pytestmark = pytest.mark.skipif(not (jit.available() and onednn.available()), reason="no numba or no oneDNN here")


def weight(x, *shape, seed=1):
    rng = np.random.default_rng(seed)
    return C.parameter(init=(rng.normal(size=shape) * 0.4).astype(x.dtype))


def dense(x, n, seed=1):
    return C.times(C.reshape(x, (24,)), weight(x, 24, n, seed=seed)) + weight(x, n, seed=seed + 1)


def glu_and_skip(x):
    t = dense(x, 6)
    return C.splice(C.slice(t, 0, 0, 3) * C.sigmoid(C.slice(t, 0, 3, 6)), t)


def densely_connected(x):
    h = dense(x, 6)
    for i, n in enumerate((6, 9, 12)):
        h = C.splice(h, C.relu(C.times(h, weight(x, n, 3, seed=5 + i))))
    return h


def pieces_of_pieces(x):
    a, b = dense(x, 4), C.tanh(dense(x, 3, seed=3))
    return C.splice(C.splice(a, b), C.splice(b, C.exp(a)))


def parts_of_parts(x):
    t = dense(x, 8)
    half = C.slice(t, 0, 2, 7)
    return C.splice(C.slice(half, 0, 1, 4) * 2, half, C.sigmoid(C.slice(half, 0, 0, 2)))


def parts_along_two_axes(x):
    y = C.tanh(x) + 1
    return C.splice(C.splice(y[1:3], y[0:1] * 2, axis=0), C.sigmoid(y[1:4]), axis=1)


def all_that_a_piece_holds(x):
    y = C.tanh(x)
    return C.splice(y[2:4] * y[0:2], y, axis=0)


def a_bias_that_is_computed(x):
    return C.times(C.reshape(x, (24,)), weight(x, 24, 5)) + C.exp(weight(x, 5, seed=3))


SHARED = [
    glu_and_skip, densely_connected, pieces_of_pieces, parts_of_parts, parts_along_two_axes, all_that_a_piece_holds,
    a_bias_that_is_computed,
]  # fmt: skip

PICKED = {
    "row": lambda x: x[2] * 1,
    "row of a row": lambda x: C.tanh(x)[1:3][1] + x[0],
    "column": lambda x: C.slice(x, 1, 3, 4) * 2,
    "element": lambda x: C.slice(C.slice(x, 0, 1, 2), 1, 4, 5),
    "row times column": lambda x: C.sin(x)[1] * C.slice(C.cos(x), 1, 2, 3),
    "rows in the middle": lambda x: C.minus(*(C.slice(C.reshape(x, (2, 2, 6)), 1, i, i + 1) for i in (1, 0))),
    "row of three axes": lambda x: C.slice(C.reshape(C.exp(x), (2, 2, 6)), 1, 1, 2) * weight(x, 6),
    "mean of a row": lambda x: x[3] - C.reduce_mean(C.square(x)[3]),
    "rows put together": lambda x: C.splice(x[3] * 2, C.tanh(x)[0], C.tanh(x)[0], axis=0),
    "softmax of a row": lambda x: C.softmax(C.tanh(x)[2]),
    "product with a row": lambda x: C.times(C.tanh(x)[1:2], weight(x, 6, 3)),
    "a leading axis of one": lambda x: C.reduce_sum(C.reshape(C.tanh(x), (1, 24)), axis=1, keepdims=False) * x,
}  # fmt: skip


def rows(n, dtype, seed=0):
    return np.random.default_rng(seed).normal(size=(n, 4, 6)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("program", [*SHARED, *PICKED.values()], ids=[*(f.__name__ for f in SHARED), *PICKED])
def test_single_samples_give_the_same_in_every_tier(program, dtype):
    x = C.input_variable((4, 6), dtype=dtype, needs_gradient=True)
    out = C.square(program(x))
    wrt = [x, *out.parameters]
    for n in ROWS:
        same_in_every_tier(lambda n=n: values_and_gradients(out, wrt, {x: rows(n, dtype)}), dtype)


@pytest.mark.parametrize("program", SHARED)
def test_gradients_alone_are_the_same_where_nobody_reads_what_was_put_together(program):
    x = C.input_variable((4, 6), needs_gradient=True)
    z = program(x)
    feed = {x: rows(3, np.float32)}
    wrt = [x, *z.parameters]

    def ask():
        found = z.grad(feed, wrt=wrt)
        return [found[v] for v in wrt] if isinstance(found, dict) else [found]

    same_in_every_tier(ask)


@pytest.mark.parametrize("program", [*SHARED, *PICKED.values()], ids=[*(f.__name__ for f in SHARED), *PICKED])
def test_frames_inside_a_recurrence_give_the_same_in_every_tier(program):
    x = C.sequence.input_variable((4, 6), needs_gradient=True)
    before = C.placeholder(shape=(1,), dynamic_axes=x.dynamic_axes)
    out = program(x + C.sequence.past_value(before) * 0.5)
    state = C.reshape(C.tanh(C.reduce_sum(out)), (1,))
    state.replace_placeholders({before: state.output})
    out = C.square(out)
    wrt = [x, *out.parameters]
    for lengths in ((1,), (3, 1, 4), (2, 1) * 20):
        data = [rows(n, np.float32, seed) for seed, n in enumerate(lengths)]
        same_in_every_tier(lambda data=data: values_and_gradients(out, wrt, {x: data}))


def test_both_directions_beside_their_input_give_the_same_in_every_tier():
    x = C.sequence.input_variable(4, needs_gradient=True)
    forward = C.layers.Recurrence(C.layers.LSTM(3, init=C.glorot_uniform(seed=1)))(x)
    backward = C.layers.Recurrence(C.layers.LSTM(3, init=C.glorot_uniform(seed=2)), go_backwards=True)(x)
    out = C.splice(C.splice(forward, backward), x)
    wrt = [x, *out.parameters]
    for lengths in ((1,), (3, 1, 4), (2, 1) * 20):
        data = [rows(n, np.float32, seed)[:, :, 0] for seed, n in enumerate(lengths)]
        same_in_every_tier(lambda data=data: values_and_gradients(out, wrt, {x: data}))


@pytest.mark.parametrize("learner", [C.momentum_sgd, C.adam])
@pytest.mark.parametrize("program", SHARED, ids=[f.__name__ for f in SHARED])
def test_programs_that_share_memory_learn_the_same_in_every_tier(program, learner):
    for n in ROWS:

        def train(n=n):
            x = C.input_variable((4, 6))
            out = program(x * weight(x, 4, 6, seed=9))
            loss = C.reduce_mean(C.square(out - 1))
            own = learner(out.parameters, C.learning_parameter_schedule(0.01), C.momentum_schedule(0.9))
            trainer = C.Trainer(out, (loss, loss), [own])
            losses = []
            for seed in range(4):
                trainer.train_minibatch({x: rows(n, np.float32, seed)})
                losses.append(trainer.previous_minibatch_loss_average)
            return [np.array(losses), *(p.value for p in out.parameters)]

        def close(got, want, **_):
            np.testing.assert_allclose(got, want, rtol=2e-3, atol=2e-4)  # adam divides by what rounding makes of 0

        same_in_every_tier(train, compare=close)


@pytest.mark.parametrize("kind", [C.reduce_sum, C.reduce_max, C.reduce_min, C.reduce_mean, C.reduce_prod, C.reduce_l1])
@pytest.mark.parametrize(
    ("shape", "axis"), [((1, 5, 5), 2), ((1, 5, 5), 1), ((1, 1, 5), 2), ((5, 1, 5), 0), ((1, 5, 1, 5), 3), ((1, 1), 1)]
)
def test_reductions_drop_axes_of_tensors_with_an_axis_of_one_and_equal_axes(kind, shape, axis):
    x = C.input_variable(shape, needs_gradient=True)
    out = kind(x, axis=axis, keepdims=False)
    assert out.shape == shape[:axis] + shape[axis + 1 :]
    data = np.random.default_rng(3).normal(size=(3, *shape)).astype(np.float32)
    same_in_every_tier(lambda: values_and_gradients(C.square(out), [x], {x: data}))
    if kind is C.reduce_sum:
        np.testing.assert_allclose(out.eval({x: data}), data.sum(axis + 1), rtol=1e-5)


def test_images_with_as_many_channels_as_rows_meet_parameters_of_any_shape():
    x = C.input_variable((3, 3, 5), needs_gradient=True)
    y = C.convolution(weight(x, 3, 3, 3, 3), x, auto_padding=[False, True, True])
    for shape in ((3, 3, 1), (3, 1, 5), (1, 3, 5), (3, 1, 1), (3, 3, 5), (5,)):
        out = C.relu(y * weight(x, *shape, seed=4) + weight(x, 3, 1, 1, seed=5))
        wrt = [x, *out.parameters]
        data = np.random.default_rng(3).normal(size=(3, 3, 3, 5)).astype(np.float32)
        same_in_every_tier(lambda out=out, wrt=wrt, data=data: values_and_gradients(out, wrt, {x: data}))
