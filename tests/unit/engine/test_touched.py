"""Products with sparse rows touch only some rows of a parameter: gradients and updates keep to these rows."""

import tracemalloc

import numpy as np
import pytest
from scipy.sparse import csr_matrix

import cntk_lab as C
from cntk_lab import settings
from cntk_lab.engine.make.wanted import Wanted
from tests.unit.engine.bounds import plan_for

CLASSES = 5
BATCHES = ([0, 1, 1], [2, 0], [3, 3], [0])


def one_hot(classes, dtype=np.float32):
    return csr_matrix(np.eye(CLASSES, dtype=dtype)[classes])


def gradient_of(graph, shape, dtype=np.float32, batch=(0, 1, 1)):
    x = C.input_variable(CLASSES, is_sparse=True, dtype=dtype)
    start = np.arange(np.prod(shape), dtype=dtype).reshape(shape) * 0.1
    w = C.parameter(shape, init=start, dtype=dtype)
    function = C.reduce_sum(graph(x, w))
    data = {x: one_hot(list(batch), dtype)}
    return function.grad(data, wrt=[w], as_numpy=False), function.grad(data, wrt=[w])


GRAPHS = [
    ("times", lambda x, w: C.times(x, w), (5, 2), True),
    ("times by a matrix of rank 3", lambda x, w: C.times(x, w, output_rank=2), (5, 2, 3), True),
    ("two products", lambda x, w: C.times(x, w) + 2 * C.times(x, w), (5, 2), True),
    ("a product and the whole", lambda x, w: C.reduce_sum(C.times(x, w)) + C.reduce_sum(w), (5, 2), False),
    ("a product of a formula", lambda x, w: C.times(x, 2 * w), (5, 2), False),
    ("the sparse operand on the right", lambda x, w: C.times(w, x), (2, 5), False),
    ("times_transpose", lambda x, w: C.times_transpose(x, w), (2, 5), False),
    ("rows of another shape", lambda x, w: C.times(x, C.reshape(w, (5, 2))), (10,), False),
]


@pytest.mark.parametrize(("name", "graph", "shape", "kept"), GRAPHS, ids=[g[0] for g in GRAPHS])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gradients_of_sparse_and_dense_operands_are_equal(name, graph, shape, kept, dtype):
    del name
    value, array = gradient_of(graph, shape, dtype)
    assert value.is_sparse == kept
    assert value.shape == shape
    x = C.input_variable(CLASSES, dtype=dtype)
    w = C.parameter(shape, init=np.arange(np.prod(shape), dtype=dtype).reshape(shape) * 0.1, dtype=dtype)
    dense = C.reduce_sum(graph(x, w)).grad({x: np.eye(CLASSES, dtype=dtype)[[0, 1, 1]]}, wrt=[w])
    np.testing.assert_allclose(array, dense, rtol=1e-6)


def test_a_kept_gradient_is_a_sparse_matrix_of_the_touched_rows():
    value, _ = gradient_of(lambda x, w: C.times(x, w), (5, 2))
    matrix = value.asarray()
    np.testing.assert_array_equal(matrix.toarray(), [[1, 1], [2, 2], [0, 0], [0, 0], [0, 0]])
    assert matrix.nnz == 4


def test_a_batch_without_samples_touches_nothing():
    value, array = gradient_of(lambda x, w: C.times(x, w), (5, 2), batch=[])
    assert value.asarray().nnz == 0
    assert not array.any()


def trained(make, sparse, batches=BATCHES):
    """The parameter after each of some minibatches; its gradient is (1, 2) for each sample."""
    x = C.input_variable(CLASSES, is_sparse=sparse)
    w = C.parameter((CLASSES, 2), init=np.arange(10, dtype=np.float32).reshape(5, 2) * 0.1)
    loss = C.reduce_sum(C.times(x, w) * np.array([1, 2], np.float32))
    trainer = C.Trainer(loss, (loss, None), [make([w])])
    values = []
    for classes in batches:
        data = one_hot(classes) if sparse else np.eye(CLASSES, dtype=np.float32)[classes]
        trainer.train_minibatch({x: data})
        values.append(w.value.copy())
    return np.array(values)


RATE = C.learning_parameter_schedule_per_sample(0.1)
MOMENTUM = C.momentum_schedule(0.9)
SAME_AS_DENSE = [
    ("sgd", lambda p: C.sgd(p, RATE)),
    ("sgd with L1", lambda p: C.sgd(p, RATE, l1_regularization_weight=0.1)),
    ("sgd with L2", lambda p: C.sgd(p, RATE, l2_regularization_weight=0.1)),
    ("sgd, elements clipped", lambda p: C.sgd(p, RATE, gradient_clipping_threshold_per_sample=0.5)),
    (
        "sgd, norm clipped",
        lambda p: C.sgd(p, RATE, gradient_clipping_threshold_per_sample=0.5, gradient_clipping_with_truncation=False),
    ),
    ("adagrad", lambda p: C.adagrad(p, RATE, need_ave_multiplier=False)),
    ("adadelta", lambda p: C.adadelta(p, RATE)),
]


@pytest.mark.parametrize(("name", "make"), SAME_AS_DENSE, ids=[n for n, _ in SAME_AS_DENSE])
@pytest.mark.parametrize("native", [True, False])
def test_these_learners_do_the_same_with_sparse_and_dense_gradients(name, make, native):
    del name
    with settings.option(native=native):
        np.testing.assert_allclose(trained(make, sparse=True), trained(make, sparse=False), rtol=2e-6, atol=2e-7)


OBSERVED = {
    # the last of four steps, printed by CNTK 2.7 for sparse rows on a CPU
    "momentum": (
        lambda p: C.momentum_sgd(p, RATE, MOMENTUM),
        [-0.0561, -0.0122, 0.18, 0.26, 0.39, 0.48, 0.58, 0.66, 0.8, 0.9],
    ),
    "momentum without unit gain": (
        lambda p: C.momentum_sgd(p, RATE, MOMENTUM, unit_gain=False),
        [-0.561, -1.022, 0, -0.1, 0.3, 0.3, 0.4, 0.3, 0.8, 0.9],
    ),
    "adagrad with the mean of touched rows": (
        lambda p: C.adagrad(p, RATE, need_ave_multiplier=True),
        [-0.421568, -0.321568, 0.022222, 0.122222, 0.24379, 0.34379, 0.333333, 0.433333, 0.8, 0.9],
    ),
    "adadelta": (
        lambda p: C.adadelta(p, C.learning_parameter_schedule_per_sample(1.0), use_mean_gradient=True),
        [-0.001678, 0.098322, 0.199553, 0.299553, 0.399553, 0.499553, 0.599553, 0.699553, 0.8, 0.9],
    ),
}


@pytest.mark.parametrize("name", OBSERVED)
def test_lazy_updates_as_observed(name):
    make, expected = OBSERVED[name]
    np.testing.assert_allclose(trained(make, sparse=True)[-1].ravel(), expected, atol=2e-6)


LAZY = {
    "sgd": lambda p: C.sgd(p, RATE),
    "momentum": lambda p: C.momentum_sgd(p, RATE, MOMENTUM),
    "nesterov": lambda p: C.nesterov(p, RATE, MOMENTUM),
    "adagrad": lambda p: C.adagrad(p, RATE),
    "adam": lambda p: C.adam(p, RATE, MOMENTUM),
    "adamax": lambda p: C.adam(p, RATE, MOMENTUM, adamax=True),
    "fsadagrad": lambda p: C.fsadagrad(p, RATE, MOMENTUM),
    "rmsprop": lambda p: C.rmsprop(p, RATE, 0.9, 1.1, 0.9, 1.2, 0.8),
}


@pytest.mark.parametrize("name", LAZY)
def test_rows_that_are_not_touched_stay_bit_for_bit(name):
    values = trained(LAZY[name], sparse=True)
    for before, after, classes in zip(values, values[1:], BATCHES[1:], strict=False):
        others = [c for c in range(CLASSES) if c not in classes]
        np.testing.assert_array_equal(after[others], before[others])
        assert (after[sorted(set(classes))] != before[sorted(set(classes))]).all()


@pytest.mark.parametrize("name", [n for n in LAZY if n != "adagrad"])
def test_a_step_that_touches_all_rows_is_the_dense_step(name):
    every = ([0, 1, 2, 3, 4], [4, 3, 2, 1, 0, 0])
    sparse, dense = (trained(LAZY[name], sparse=s, batches=every) for s in (True, False))
    np.testing.assert_allclose(sparse, dense, rtol=2e-6)


def test_a_step_needs_no_memory_that_grows_with_the_vocabulary():
    words, width = 200_000, 16
    x = C.input_variable(words, is_sparse=True)
    loss = C.reduce_sum(C.square(C.layers.Embedding(width)(x)))
    (w,) = loss.parameters
    trainer = C.Trainer(loss, (loss, None), [C.adam(loss.parameters, RATE, MOMENTUM)])

    def batch(first):
        return csr_matrix((np.ones(8, np.float32), np.arange(first, first + 8), np.arange(9)), shape=(8, words))

    for i in range(3):
        trainer.train_minibatch({x: batch(8 * i)})
    before = w.value.copy()
    last = batch(100)
    tracemalloc.start()
    trainer.train_minibatch({x: last})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    whole = words * width * 4
    assert peak < whole // 50, f"{peak} bytes for a step, {whole} for the whole gradient"
    changed = np.flatnonzero((w.value != before).any(axis=1))
    np.testing.assert_array_equal(changed, np.arange(100, 108))


def test_the_plan_says_that_only_touched_rows_are_updated():
    x = C.input_variable(CLASSES, is_sparse=True)
    w = C.parameter((CLASSES, 2), init=1.0)
    loss = C.reduce_sum(C.times(x, w))
    (update,) = C.sgd([w], RATE).updates()
    plan = plan_for(Wanted(roots=loss.outputs, totals=loss.outputs, training=True, updates=(update,)))
    assert [s.kind for s in plan.steps][-1] == "UpdateRows"
    assert not any(s.kind == "Fill" for s in plan.steps)
