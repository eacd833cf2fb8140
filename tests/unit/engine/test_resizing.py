"""Counts of rows that share memory share a binding: every count gives the reference's numbers, in any order."""

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab import settings
from cntk_lab.backends.cpu import jit, onednn
from tests.unit.engine import bounds

pytestmark = pytest.mark.skipif(not (jit.available() and onednn.available()), reason="no numba or no oneDNN here")
COUNTS = (70, 128, 65, 100, 64, 3, 129, 128, 70, 192)


def recurrent():
    x, y = C.sequence.input_variable(6), C.sequence.input_variable(4)
    z = C.layers.Dense(4)(C.layers.Recurrence(C.layers.LSTM(9))(x))
    rng = np.random.default_rng(0)

    def data(rows):
        lengths = [*[7] * (rows // 7), *([rows % 7] if rows % 7 else [])]
        return {
            x: [rng.normal(size=(n, 6)).astype(np.float32) for n in lengths],
            y: [np.eye(4, dtype=np.float32)[rng.integers(4, size=n)] for n in lengths],
        }

    return z, C.cross_entropy_with_softmax(z, y), data


def dense():
    x, y = C.input_variable(300), C.input_variable(4)
    z = C.layers.Sequential([C.layers.Dense(33, activation=C.relu), C.layers.Dense(4)])(x)
    rng = np.random.default_rng(0)

    def data(rows):
        eye = np.eye(4, dtype=np.float32)
        return {x: rng.normal(size=(rows, 300)).astype(np.float32), y: eye[rng.integers(4, size=rows)]}

    return z, C.cross_entropy_with_softmax(z, y), data


def attention():
    x, y = C.input_variable((5, 8)), C.input_variable(4)
    q, k = (C.times(x, C.parameter((8, 8), init=C.glorot_uniform(seed=s))) for s in (1, 2))
    mixed = C.times(C.softmax(C.times(q, C.swapaxes(k)), axis=-1), x)
    z = C.layers.Dense(4)(C.reshape(mixed, 40))
    rng = np.random.default_rng(0)

    def data(rows):
        eye = np.eye(4, dtype=np.float32)
        return {x: rng.normal(size=(rows, 5, 8)).astype(np.float32), y: eye[rng.integers(4, size=rows)]}

    return z, C.cross_entropy_with_softmax(z, y), data


def images():
    x, y = C.input_variable((1, 9, 9)), C.input_variable(4)
    z = C.layers.Dense(4)(C.layers.Convolution((3, 3), 5, activation=C.relu)(x))
    rng = np.random.default_rng(0)

    def data(rows):
        eye = np.eye(4, dtype=np.float32)
        return {x: rng.normal(size=(rows, 1, 9, 9)).astype(np.float32), y: eye[rng.integers(4, size=rows)]}

    return z, C.cross_entropy_with_softmax(z, y), data


MODELS = {"recurrent": recurrent, "dense": dense, "attention": attention, "images": images}


def run(make, native):
    C.cntk_py.set_fixed_random_seed(1)
    with settings.option(native=native):
        z, loss, data = make()
        trainer = C.Trainer(z, loss, C.momentum_sgd(z.parameters, 0.1, 0.9))
        seen = []
        for _ in range(2):
            for rows in COUNTS:
                given = data(rows)
                trainer.train_minibatch(given)
                jit.finish(120)
                seen.append(trainer.previous_minibatch_loss_average)
                values = z.eval({z.arguments[0]: given[z.arguments[0]]})
                seen.append(float(np.concatenate([np.asarray(v).ravel() for v in values]).sum()))
        return seen


@pytest.mark.parametrize("name", MODELS)
def test_every_count_in_any_order_equals_the_reference(name):
    got, wanted = (run(MODELS[name], native) for native in (True, False))
    assert np.allclose(got, wanted, rtol=1e-3, atol=1e-4)


def test_counts_of_the_same_memory_share_a_binding():
    z, loss, data = recurrent()
    trainer = C.Trainer(z, loss, C.sgd(z.parameters, 0.1))
    before = set(bounds.natives())
    for rows in (100, 90, 110, 128, 65, 66):
        trainer.train_minibatch(data(rows))
        jit.finish(120)
    plan = next(n for p, n in bounds.natives().items() if p not in before)
    trainer.train_minibatch(data(67))
    bound = {b.counts for b in plan._bindings.values()}
    assert len({n for counts in bound for n in counts if n > 64}) == 1
