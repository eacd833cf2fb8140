"""Momentum inside the product of a large weight gradient: the numbers of the reference, and only where nobody looks."""

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab import settings
from cntk_lab.backends.cpu import jit, onednn
from cntk_lab.engine.cpu import momentum
from tests.unit.engine import bounds

pytestmark = pytest.mark.skipif(not (jit.available() and onednn.available()), reason="no numba or no oneDNN here")


@pytest.fixture(autouse=True)
def _small_matrices_count_too(monkeypatch):
    monkeypatch.setattr(momentum, "_WORTH", 1)


def train(native, rates, momenta, rows=(20, 20, 7, 64, 70), unit_gain=False):
    rng = np.random.default_rng(4)
    with settings.option(native=native):
        x, y = C.input_variable(31), C.input_variable(17)
        w, v = (C.parameter(init=(rng.normal(size=s) * 0.3).astype(np.float32)) for s in ((31, 40), (40, 17)))
        z = C.times(C.tanh(C.times(x, w)), v)
        learner = C.momentum_sgd(
            z.parameters, rates[0], momenta[0], unit_gain=unit_gain, minibatch_size=C.learners.IGNORE
        )
        trainer = C.Trainer(z, C.cross_entropy_with_softmax(z, y), learner)
        before = set(bounds.natives())
        for round_ in range(3):
            for n in rows:
                data = {
                    x: rng.normal(size=(n, 31)).astype(np.float32),
                    y: np.eye(17, dtype=np.float32)[rng.integers(17, size=n)],
                }
                trainer.train_minibatch(data)
                jit.finish(120)
            learner.reset_learning_rate(C.learning_parameter_schedule(rates[(round_ + 1) % len(rates)]))
            learner.change_momentum(momenta[(round_ + 1) % len(momenta)])
        plans = [n for p, n in bounds.natives().items() if p not in before]
        blended = sum(isinstance(s, momentum._Blended) for n in plans for s in n.steps)
        return [p.value for p in z.parameters], blended


CASES = {
    "constant": ([0.3], [0.9]),
    "rates change": ([0.3, 0.01, 0.0001], [0.9]),
    "momentum changes, and is 0": ([0.2], [0.9, 0.0, 0.5]),
    "rate 0": ([0.2, 0.0], [0.9]),
}


@pytest.mark.parametrize("unit_gain", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_training_equals_the_reference(case, unit_gain):
    rates, momenta = CASES[case]
    got, blended = train(True, rates, momenta, unit_gain=unit_gain)
    wanted, none = train(False, rates, momenta, unit_gain=unit_gain)
    assert blended >= 2
    assert none == 0
    for a, b in zip(got, wanted, strict=True):
        assert np.allclose(a, b, rtol=2e-5, atol=2e-6)


def test_the_same_steps_give_the_same_bits():
    first, second = (train(True, [0.3, 0.1], [0.9])[0] for _ in range(2))
    for a, b in zip(first, second, strict=True):
        assert np.array_equal(a, b)


OTHER = {
    "sgd": lambda p: C.sgd(p, 0.1),
    "nesterov": lambda p: C.nesterov(p, 0.1, 0.9),
    "adam": lambda p: C.adam(p, 0.1, 0.9),
    "clipped": lambda p: C.momentum_sgd(p, 0.1, 0.9, gradient_clipping_threshold_per_sample=0.1),
    "regularised": lambda p: C.momentum_sgd(p, 0.1, 0.9, l2_regularization_weight=0.1),
}


@pytest.mark.parametrize("name", OTHER)
def test_other_formulas_keep_their_gradient(name):
    x, y = C.input_variable(5), C.input_variable(3)
    z = C.times(x, C.parameter((5, 3), init=0.1))
    trainer = C.Trainer(z, C.cross_entropy_with_softmax(z, y), OTHER[name](z.parameters))
    before = set(bounds.natives())
    for _ in range(3):
        trainer.train_minibatch({x: np.ones((4, 5), np.float32), y: np.eye(3, dtype=np.float32)[[0, 1, 2, 0]]})
        jit.finish(120)
    plans = [n for p, n in bounds.natives().items() if p not in before]
    assert plans
    assert not any(isinstance(s, momentum._Blended) for n in plans for s in n.steps)


@pytest.mark.parametrize("k", [1, 5])
def test_the_primitive_blends_with_numbers_read_when_it_runs(k):
    rng = np.random.default_rng(1)
    a, b, v = (rng.normal(size=s).astype(np.float32) for s in ((7, k), (k, 9), (7, 9)))
    ratio, share = np.array([0.0], np.float32), np.array([0.0], np.float32)
    bound = onednn.matmul(7, 9, k, post=onednn.BLEND).bind(
        {"source": a, "weights": b, "target": v, "ratio": ratio, "share": share}
    )
    for first, second in ((0.5, 0.25), (1e20, 1e-20), (0.0, 1.0)):
        ratio[:], share[:] = first, second
        wanted = second * (first * (a.astype(np.float64) @ b) + v)
        bound()
        assert np.allclose(v, wanted, rtol=1e-5, atol=1e-6)
