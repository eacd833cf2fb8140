"""Large inputs are read where they lie and large results belong to whoever asked: numbers and memory stay theirs."""

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab import settings
from cntk_lab.backends.cpu import jit, onednn
from tests.unit.engine import bounds

pytestmark = pytest.mark.skipif(not (jit.available() and onednn.available()), reason="no numba or no oneDNN here")
_rng = np.random.default_rng(5)
WIDTH = 300


def model():
    x = C.input_variable(WIDTH)
    w = C.parameter(init=(_rng.normal(size=(WIDTH, WIDTH)) * 0.1).astype(np.float32))
    return C.tanh(C.times(x, w) + C.parameter(WIDTH, init=0.1))


def warm(f, *rows):
    for _ in range(6):
        for r in rows:
            f.eval(r)
    jit.finish(120)
    for r in rows:
        f.eval(r)


def bindings(f):
    # the plans of this function that ran natively
    return [b for n in bounds.natives().values() for b in n._bindings.values()]


@pytest.mark.parametrize("rows", [64, 65, 500, 512])
def test_results_equal_the_reference_and_stay_when_the_next_run_comes(rows):
    f = model()
    first, second = (_rng.normal(size=(rows, WIDTH)).astype(np.float32) for _ in range(2))
    with settings.option(native=False):
        wanted = f.eval(first).copy()
    warm(f, first, second)
    got = f.eval(first)
    kept = got.copy()
    f.eval(second)
    assert np.array_equal(got, kept)
    assert np.allclose(got, wanted, rtol=1e-5, atol=1e-5)


KINDS = {
    "every second row": lambda a: np.repeat(a, 2, axis=0)[::2],
    "columns first": lambda a: np.asfortranarray(a),
    "off by one element": lambda a: np.concatenate([[0], a.ravel()]).astype(np.float32)[1:].reshape(a.shape),
    "read only": lambda a: np.frombuffer(a.tobytes(), np.float32).reshape(a.shape),
    "float64": lambda a: a.astype(np.float64),
}


@pytest.mark.parametrize("kind", KINDS)
def test_data_in_any_form_give_the_same_and_are_not_written(kind):
    f = model()
    plain = _rng.normal(size=(128, WIDTH)).astype(np.float32)
    warm(f, plain)
    wanted = f.eval(plain)
    given = KINDS[kind](plain)
    before = given.copy()
    assert np.array_equal(f.eval(given), wanted)
    assert np.array_equal(given, before)
    assert np.array_equal(f.eval(plain), wanted)


def test_what_changes_in_place_between_two_runs_is_seen():
    f = model()
    data = _rng.normal(size=(128, WIDTH)).astype(np.float32)
    warm(f, data)
    data[:] = 0
    assert np.allclose(f.eval(data), np.tanh(0.1), atol=1e-6)


def test_large_data_are_not_copied_and_small_ones_are():
    f = model()
    large, small = (np.zeros((n, WIDTH), np.float32) for n in (256, 2))
    before = bindings(f)
    warm(f, large, small)
    made = [b for b in bindings(f) if b not in before]
    assert sorted(len(b.moving) for b in made) == [0, 1]


def test_training_on_arrays_equals_training_on_copies():
    losses = []
    for copy in (False, True):
        C.cntk_py.set_fixed_random_seed(3)
        x, y = C.input_variable(WIDTH), C.input_variable(4)
        z = C.times(x, C.parameter((WIDTH, 4), init=C.glorot_uniform(seed=1)))
        trainer = C.Trainer(z, C.cross_entropy_with_softmax(z, y), C.sgd(z.parameters, 0.01))
        rng = np.random.default_rng(1)
        batches = [
            (rng.normal(size=(64, WIDTH)).astype(np.float32), np.eye(4, dtype=np.float32)[rng.integers(4, size=64)])
            for _ in range(3)
        ]
        trainer.train_minibatch({x: batches[0][0], y: batches[0][1]})
        jit.finish(120)
        for _ in range(5):
            for a, b in batches:
                trainer.train_minibatch({x: np.repeat(a, 2, axis=0)[::2] if copy else a, y: b})
        losses.append(trainer.previous_minibatch_loss_average)
    assert losses[0] == losses[1]
