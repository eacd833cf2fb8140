"""Products with a thin side in plans: which they are, the reference's numbers, the learner's step along with them."""

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab import settings
from cntk_lab.backends.cpu import jit, thin, threads
from cntk_lab.engine.cpu import thin as native_thin
from cntk_lab.engine.cpu.gemm import as_matrices
from cntk_lab.engine.cpu.thin import Form, ThinStep, form_of, worth
from cntk_lab.graph.opdef import Contraction
from tests.unit.engine import bounds

native = pytest.mark.skipif(not thin.available(), reason="no numba, or no processor with vectors of 16 floats")
ROWS = (20, 1, 7, 64, 70, 0, 65)

FORMS = [
    (Contraction("rk", "ko", "ro", {"k": 784, "o": 10}), Form("forward", 10, 784, 1)),
    (Contraction("rak", "ko", "rao", {"a": 3, "k": 64, "o": 10}), Form("forward", 10, 64, 3)),
    (Contraction("rk", "ko", "ro", {"k": 784, "o": 11}), None),
    (Contraction("rk", "ko", "ro", {"k": 63, "o": 10}), None),
    (Contraction("rk", "ro", "ko", {"k": 784, "o": 16}), Form("gradient", 16, 784, 1)),
    (Contraction("rk", "ro", "ko", {"k": 2, "o": 1}), Form("gradient", 1, 2, 1)),
    (Contraction("rk", "ro", "ko", {"k": 784, "o": 17}), None),
    (Contraction("rk", "ro", "ko", {"k": 60_000, "o": 10}), None),
    (Contraction("ro", "ko", "rk", {"k": 200, "o": 2}), Form("inputs", 2, 200, 1)),
    (Contraction("ro", "ko", "rk", {"k": 200, "o": 17}), None),
]


@pytest.mark.parametrize(("spec", "wanted"), FORMS)
def test_which_products_are_thin(spec, wanted):
    matrices = as_matrices(spec)
    assert matrices is not None
    assert form_of(matrices, spec) == wanted


def test_few_rows_are_left_to_the_libraries():
    assert [worth(Form("forward", 10, 784, 1), rows) for rows in (7, 8)] == [False, True]
    assert [worth(Form("gradient", 11, 784, 1), rows) for rows in (15, 16)] == [False, True]
    assert worth(Form("forward", 10, 784, 8), 1)
    assert worth(Form("gradient", 10, 784, 1), 1)
    assert worth(Form("inputs", 16, 784, 1), 1)


LEARNERS = {
    "sgd": lambda p: C.sgd(p, 0.3),
    "momentum": lambda p: C.momentum_sgd(p, 0.2, 0.9),
    "momentum, unit gain": lambda p: C.momentum_sgd(p, 0.2, 0.9, unit_gain=True),
    "nesterov": lambda p: C.nesterov(p, 0.1, 0.9),
    "adam": lambda p: C.adam(p, 0.1, 0.9),
    "clipped": lambda p: C.sgd(p, 0.1, gradient_clipping_threshold_per_sample=0.01),
    "regularised": lambda p: C.momentum_sgd(p, 0.1, 0.9, l2_regularization_weight=0.1),
}


def train(learner, *, use_native=True, rows=ROWS, rounds=2, hidden=65, **options):
    """Parameters after some minibatches, and the kinds of thin steps there were."""
    rng = np.random.default_rng(4)
    with settings.option(native=use_native, **options):
        x, y = C.input_variable(81), C.input_variable(10)
        h = x
        for n in (hidden, 10) if hidden else (10,):
            w = C.parameter(init=(rng.normal(size=(h.shape[0], n)) * 0.3).astype(np.float32))
            h = C.times(C.tanh(h), w)
        z = h + C.parameter(init=rng.normal(size=10).astype(np.float32))
        loss = C.cross_entropy_with_softmax(z, y)
        trainer = C.Trainer(z, loss, LEARNERS[learner](z.parameters))
        before = set(bounds.natives())
        for _ in range(rounds):
            for n in rows:
                data = {
                    x: rng.normal(size=(n, 81)).astype(np.float32),
                    y: np.eye(10, dtype=np.float32)[rng.integers(10, size=n)],
                }
                if n:
                    trainer.train_minibatch(data)
                jit.finish(120)
        steps = [s for p, n in bounds.natives().items() if p not in before for s in n.steps]
        thin_steps = [(s.form.name, s.finish.word) for s in steps if isinstance(s, ThinStep)]
        return [p.value for p in z.parameters], thin_steps


@native
@pytest.mark.parametrize("learner", LEARNERS)
def test_training_equals_the_reference(learner):
    got, steps = train(learner)
    wanted, none = train(learner, use_native=False)
    assert none == []
    finish = {"sgd": "step", "momentum": "momentum", "momentum, unit gain": "momentum"}.get(learner, "")
    assert set(steps) == {("forward", ""), ("gradient", finish), ("inputs", "")}
    for a, b in zip(got, wanted, strict=True):
        assert np.allclose(a, b, rtol=2e-4, atol=2e-5)


@native
@pytest.mark.parametrize("learner", ["sgd", "momentum"])
def test_nothing_is_written_beside_the_buffers(learner):
    got, _ = train(learner, checked=True)
    wanted, _ = train(learner, use_native=False)
    for a, b in zip(got, wanted, strict=True):
        assert np.allclose(a, b, rtol=2e-4, atol=2e-5)


@native
@pytest.mark.parametrize("learner", ["sgd", "momentum"])
def test_the_learners_step_along_with_the_product_has_the_same_bits(learner, monkeypatch):
    along, _ = train(learner, background_compilation=False)
    monkeypatch.setattr(native_thin, "descent_of", lambda *_: None)
    apart, steps = train(learner, background_compilation=False)
    assert ("gradient", "") in steps
    for a, b in zip(along, apart, strict=True):
        assert np.array_equal(a, b)


@native
def test_the_number_of_threads_changes_no_bit(monkeypatch):
    monkeypatch.setattr(threads, "WORK_PER_THREAD", 1.0)
    results = []
    for count in (1, 2):
        threads.set_num_threads(count)
        try:
            # one step: sums over rows in formulas are shared among threads in parts
            results.append(train("sgd", rows=(65,), rounds=1, hidden=0, background_compilation=False)[0][0])
        finally:
            threads.set_num_threads(0)
    assert np.array_equal(*results)


@native
@pytest.mark.parametrize("learner", ["sgd", "momentum"])
def test_without_the_kernel_the_libraries_and_the_formulas_serve(learner, monkeypatch):
    broken = jit.Handle("0")
    broken._finish(failure="a test")
    monkeypatch.setattr(thin, "kernel", lambda *_: broken)
    got, steps = train(learner)
    assert len(steps) >= 3
    wanted, _ = train(learner, use_native=False)
    for a, b in zip(got, wanted, strict=True):
        assert np.allclose(a, b, rtol=2e-4, atol=2e-5)


@native
def test_numpy_serves_while_the_kernel_is_compiled(monkeypatch):
    pending = jit.Handle("0")
    monkeypatch.setattr(thin, "kernel", lambda *_: pending)
    monkeypatch.setattr(jit, "finish", lambda *_: False)
    before = set(bounds.natives())
    got, _ = train("sgd", rounds=1)
    wanted, _ = train("sgd", rounds=1, use_native=False)
    for a, b in zip(got, wanted, strict=True):
        assert np.array_equal(a, b)
    plans = [n for p, n in bounds.natives().items() if p not in before]
    learners = [s for n in plans for s in n.steps if isinstance(s, native_thin._Learner)]
    assert learners
    assert not any(n.ready() for n in plans)
    assert not any(s.usable() or s._formula for s in learners)  # nothing is compiled in vain
    pending._finish(failure="a test")
    monkeypatch.undo()
    assert all(s.formula is not None for s in learners)
    assert jit.finish(120)
    assert all(s.ready() and s.usable() for s in learners)


@native
def test_a_gradient_that_somebody_else_reads_is_written():
    rng = np.random.default_rng(1)
    start = rng.normal(size=(70, 4)).astype(np.float32)
    data = rng.normal(size=(9, 70)).astype(np.float32)
    seen = []
    for use_native in (True, False):
        with settings.option(native=use_native):
            x = C.input_variable(70)
            w = C.parameter(init=start)
            both = C.times(x, w) + C.times(C.sin(x), w)  # two products add to one gradient
            loss = C.reduce_sum(C.square(both))
            trainer = C.Trainer(both, loss, C.sgd([w], 0.001))
            for _ in range(3):
                trainer.train_minibatch({x: data})
                jit.finish(120)
            seen.append((w.value, loss.grad({x: data}, wrt=[w])))
    for a, b in zip(*seen, strict=True):
        assert np.allclose(a, b, rtol=2e-4, atol=2e-3)
    assert not np.allclose(seen[0][0], start)


@native
@pytest.mark.parametrize("activation", [C.relu, C.tanh, lambda v: v], ids=["relu", "tanh", "none"])
def test_scores_with_a_bias_equal_the_reference(activation):
    rng = np.random.default_rng(2)
    w, b = rng.normal(size=(64, 10)).astype(np.float32), rng.normal(size=10).astype(np.float32)
    x = C.input_variable(64)
    z = activation(C.times(x, C.parameter(init=w)) + C.parameter(init=b))
    before = set(bounds.natives())
    for rows in (3, 64, 129):
        data = rng.normal(size=(rows, 64)).astype(np.float32)
        with settings.option(native=False):
            wanted = z.eval({x: data})
        with settings.option(background_compilation=False, checked=rows == 64):
            assert np.allclose(z.eval({x: data}), wanted, rtol=1e-5, atol=1e-5)
    found = [s for p, n in bounds.natives().items() if p not in before for s in n.steps if isinstance(s, ThinStep)]
    assert {s.finish.word for s in found} == (
        set() if activation is C.tanh else {""} if activation is C.relu else {"bias"}
    )
