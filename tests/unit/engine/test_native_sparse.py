"""Native products with sparse rows, and updates of the rows they touch, give what the NumPy tier gives, bit for bit."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix

import cntk_lab as C
from cntk_lab import settings
from cntk_lab.backends.cpu import executor, jit, sparse_rows
from cntk_lab.engine.arrays.products import contraction, touched_rows
from cntk_lab.engine.arrays.run import Run, State
from cntk_lab.engine.ask.explain import explain
from cntk_lab.engine.cpu.sparse import ProductStep, SparseStep, TouchedStep, touched_by
from cntk_lab.engine.make.wanted import Wanted
from cntk_lab.graph.opdef import Contraction
from cntk_lab.tensor.sparse import SparseRows
from tests.unit.engine import bounds
from tests.unit.engine.bounds import plan_for

pytestmark = pytest.mark.skipif(not jit.available(), reason="no numba here")
_rng = np.random.default_rng(5)

#          words                 sizes                       what
PRODUCTS = [
    (("rak", "ko", "rao"), {"a": 1, "k": 7, "o": 5}),  # rows of an embedding
    (("rak", "ko", "rao"), {"a": 3, "k": 4, "o": 17}),
    (("rak", "ko", "rao"), {"a": 1, "k": 1, "o": 1}),
    (("rak", "rok", "rao"), {"a": 1, "k": 9, "o": 1}),  # the scores of the right classes
    (("rak", "rok", "rao"), {"a": 3, "k": 5, "o": 2}),
    (("rok", "rao", "rak"), {"a": 1, "k": 9, "o": 1}),  # and their gradient
    (("rok", "rao", "rak"), {"a": 2, "k": 5, "o": 3}),
    (("rak", "rao", "ko"), {"a": 1, "k": 6, "o": 33}),  # the whole gradient of an embedding
    (("rak", "rao", "ok"), {"a": 1, "k": 6, "o": 4}),
]
ROWS = [1, 2, 37]


class Memory:
    """A binding of three buffers: sparse rows, the dense operand, the result."""

    def __init__(self, rows, arrays):
        self.rows, self.arrays, self.kept, self.acts = {"#": rows}, arrays, [], []

    def address(self, buffer):
        return self.arrays[buffer].ctypes.data

    def padded(self, symbol):
        return self.rows[symbol]

    def keep(self, thing):
        self.kept.append(thing)

    def before_run(self, act):
        self.acts.append(act)


def sparse(rows, width, kind, dtype):
    """Several values in a row, in any order and some twice; empty rows; or one value each."""
    if kind == "one each":
        counts = np.ones(rows, int)
    else:
        counts = _rng.integers(0, 4, rows) if kind == "several" else np.zeros(rows, int)
    starts = np.concatenate([[0], np.cumsum(counts)])
    values = _rng.normal(size=starts[-1]).astype(dtype)
    return csr_matrix((values, _rng.integers(0, width, starts[-1]), starts), shape=(rows, width))


def dims(word, sizes, rows):
    own = tuple(rows if c == "r" else sizes[c] for c in word)
    return own if "r" in word else (1, *own)


def run_native(step, spec, x, y, rows, threads):
    target = np.full(dims(spec.out, spec.sizes, rows), np.nan, y.dtype)
    memory = Memory(rows, {1: y, 2: target})
    assert step.kernel.wait(120)
    table = step.rows(memory)
    for row in table:
        row[3] = threads
    run = Run({}, State())
    run.arrays = {0: x, 1: y, 2: target}
    for act in memory.acts:
        act(run)
    assert executor.load().wait(120)
    assert executor.load().run(np.array(table, np.int64)) == -1
    return run.arrays[2]


@pytest.mark.parametrize("kind", ["one each", "several", "nothing"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("words", "sizes"), PRODUCTS, ids=["{},{}->{} {}".format(*w, s) for w, s in PRODUCTS])
def test_products_are_those_of_numpy(words, sizes, dtype, kind):
    spec = Contraction(*words, sizes)
    static = tuple(sizes[c] for c in spec.left[1:])
    step = ProductStep(spec, (0, 1), 2, "#", dtype)
    for rows in ROWS:
        x = SparseRows(sparse(rows, static[0] * static[1], kind, dtype), static)
        y = _rng.normal(size=dims(spec.right, sizes, rows)).astype(dtype)
        want = contraction(spec)(np, x, y)
        for threads in (1, 2, 3):
            got = run_native(step, spec, x, y, rows, threads)
            tolerance = 3e-6 if dtype == "float32" else 1e-14  # also of what sums of both signs leave
            np.testing.assert_allclose(got, want.reshape(got.shape), rtol=tolerance, atol=tolerance)
            np.testing.assert_array_equal(got, run_native(step, spec, x, y, rows, 1))


@pytest.mark.parametrize(("words", "sizes"), PRODUCTS[:7], ids=["{},{}->{} {}".format(*w, s) for w, s in PRODUCTS[:7]])
def test_what_is_not_stored_does_not_count(words, sizes):
    spec = Contraction(*words, sizes)
    static = tuple(sizes[c] for c in spec.left[1:])
    columns = static[0] * static[1]
    x = SparseRows(csr_matrix(([2.0], [columns - 1], [0, 0, 1]), shape=(2, columns), dtype=np.float32), static)
    y = np.full(dims(spec.right, sizes, 2), np.inf, np.float32)
    want = contraction(spec)(np, x, y)
    assert not np.isnan(want).any()
    assert np.isposinf(want[1]).any()
    np.testing.assert_array_equal(run_native(ProductStep(spec, (0, 1), 2, "#", "float32"), spec, x, y, 2, 1), want)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_stored_values_that_are_no_numbers_pass_through(value):
    spec = Contraction("rak", "ko", "rao", {"a": 1, "k": 3, "o": 2})
    x = SparseRows(csr_matrix(([value, 1.0], [2, 0], [0, 1, 2]), shape=(2, 3), dtype=np.float32), (1, 3))
    y = np.array([[[1, 2], [3, 4], [5, 0]]], np.float32)
    want = contraction(spec)(np, x, y)
    np.testing.assert_array_equal(run_native(ProductStep(spec, (0, 1), 2, "#", "float32"), spec, x, y, 2, 1), want)


@pytest.mark.parametrize("kind", ["one each", "several", "nothing"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradients_keep_the_rows_that_numpy_keeps(dtype, kind):
    for words in (("rak", "rao", "ko"), ("rk", "ro", "ko")):
        spec = Contraction(*words, {"a": 1, "k": 50, "o": 19})
        step = TouchedStep(spec, (0, 1), 2, "#", dtype)
        for rows in ROWS:
            x = SparseRows(sparse(rows, 50, kind, dtype), (50,))
            y = _rng.normal(size=dims(spec.right, spec.sizes, rows)).astype(dtype)
            want = touched_rows(spec, 0)(np, x, y)
            for threads in (1, 2, 3):
                got = run_native(step, spec, x, y, rows, threads)
                assert got.shape == want.shape
                np.testing.assert_array_equal(got.indices, want.indices)
                np.testing.assert_allclose(got.rows, want.rows, rtol=3e-6 if dtype == "float32" else 1e-14, atol=1e-6)


@pytest.mark.parametrize("whole", [6, 10_000])
def test_touched_rows_are_in_order_whichever_way_they_are_found(whole):
    columns = np.array([5, 2, 2, 0, 5], np.int32)
    indices, places = touched_by(columns, whole)
    np.testing.assert_array_equal(indices, [0, 2, 5])
    np.testing.assert_array_equal(places, [2, 1, 1, 0, 2])
    assert places.dtype == np.int32


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_are_copied_together_and_back(dtype):
    whole = _rng.normal(size=(9, 5)).astype(dtype)
    numbers = np.array([8, 0, 3], np.int32)
    near, kept = np.zeros((3, 5), dtype), whole.copy()
    handle = sparse_rows.mover(dtype)
    assert handle.wait(120)
    block = np.array([numbers.ctypes.data, 3, whole.ctypes.data, near.ctypes.data, 5, 0], np.int64)
    table = np.array([executor.kernel_row(handle.address, block.ctypes.data, 2)], np.int64)
    assert executor.load().wait(120)
    executor.load().run(table)
    np.testing.assert_array_equal(near, whole[numbers])
    near += 1
    block[sparse_rows.MOVE_AT["back"]] = 1
    executor.load().run(table)
    kept[numbers] += 1
    np.testing.assert_array_equal(whole, kept)


# ---- whole plans

RATE, MOMENTUM = C.learning_parameter_schedule_per_sample(0.05), C.momentum_schedule(0.9)
LEARNERS = {
    "sgd": lambda p: C.sgd(p, RATE),
    "sgd, norm clipped": lambda p: C.sgd(
        p, RATE, gradient_clipping_threshold_per_sample=0.1, gradient_clipping_with_truncation=False
    ),
    "momentum": lambda p: C.momentum_sgd(p, RATE, MOMENTUM),
    "adagrad": lambda p: C.adagrad(p, RATE),
    "adam": lambda p: C.adam(p, RATE, MOMENTUM),
}
WORDS, TAGS, WIDTH = 23, 7, 5


def tagger(learner, dtype):
    """A model with words in and tags out, both sparse, and its trainer."""
    rng = np.random.default_rng(3)
    x = C.sequence.input_variable(WORDS, is_sparse=True, dtype=dtype)
    y = C.sequence.input_variable(TAGS, is_sparse=True, dtype=dtype)
    table = C.parameter(init=rng.normal(size=(WORDS, WIDTH)).astype(dtype), dtype=dtype)
    w = C.parameter(init=rng.normal(size=(WIDTH, TAGS)).astype(dtype), dtype=dtype)
    z = C.times(C.tanh(C.times(x, table)), w)
    loss = C.cross_entropy_with_softmax(z, y)
    return x, y, table, loss, C.Trainer(z, (loss, None), [LEARNERS[learner](z.parameters)])


def minibatch(lengths, kind, dtype):
    words = [sparse(n, WORDS, kind, dtype) for n in lengths]
    return words, [sparse(n, TAGS, "one each", dtype) for n in lengths]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("learner", LEARNERS)
def test_training_agrees_with_numpy(learner, dtype):
    minibatches = [
        minibatch(*m, dtype)
        for m in (
            ((4, 1, 7), "one each"),
            ((2,), "several"),
            ((1,), "nothing"),
            ((5, 5), "several"),
            ((70,), "several"),
        )
    ]
    results = {}
    for tier, options in (
        ("NumPy", {"native": False}),
        ("native", {"background_compilation": False}),
        ("guarded", {"background_compilation": False, "checked": True}),
    ):
        with settings.option(**options):
            x, y, table, _, trainer = tagger(learner, dtype)
            results[tier] = []
            for words, tags in minibatches:
                trainer.train_minibatch({x: words, y: tags})
                results[tier].append((table.value.copy(), trainer.previous_minibatch_loss_average))
    close = {"rtol": 2e-4, "atol": 1e-5} if dtype is np.float32 else {"rtol": 1e-9, "atol": 1e-12}
    for tier in ("native", "guarded"):
        for (got, loss), (want, wanted) in zip(results[tier], results["NumPy"], strict=True):
            np.testing.assert_allclose(got, want, **close)
            assert loss == pytest.approx(wanted, rel=1e-4)


def test_every_product_with_sparse_rows_has_a_native_row():
    x, y, _, loss, _ = tagger("sgd", np.float32)
    updates = tuple(C.adam(loss.parameters, RATE, MOMENTUM).updates())
    plan = plan_for(Wanted(roots=loss.outputs, totals=loss.outputs, training=True, updates=updates))
    native = bounds.native_of(plan)
    assert len([s for s in native.steps if isinstance(s, SparseStep)]) == 5
    text = explain(bounds.bound_of(plan))
    assert "NumPy" not in text
    assert text.count(f"# kernel, {2 * WIDTH} flop/stored value") == 2  # a word's row of the table, and its gradient
    assert text.count("# kernel, 2 flop/stored value") == 2  # a tag's score, and its gradient
    assert "ns/touched row" in text
    assert {plan.buffers[b].variable for b in native.left_sparse} == {x, y}


def test_a_gradient_given_to_the_user_stays_as_it_is():
    x = C.input_variable(WORDS, is_sparse=True)
    table = C.parameter((WORDS, 3), init=1.0)
    loss = C.reduce_sum(C.square(C.times(x, table)))
    with settings.option(background_compilation=False, native_after=0):
        first = loss.grad({x: sparse(6, WORDS, "several", np.float32)}, wrt=[table], as_numpy=False).asarray()
        kept = first.toarray().copy()
        loss.grad({x: sparse(6, WORDS, "several", np.float32)}, wrt=[table], as_numpy=False)
    np.testing.assert_array_equal(first.toarray(), kept)
