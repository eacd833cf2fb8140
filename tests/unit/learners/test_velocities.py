"""Velocities while rates and momenta change: dense, of touched rows, while the momentum is 0 (CNTK 2.7, observed)."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix

import cntk_lab as C
from cntk_lab import settings


def rates(*values):
    return C.learning_parameter_schedule(list(values), epoch_size=2)


def momenta(*values):
    return C.momentum_schedule(list(values), epoch_size=3)


def steps(make, *, sparse, count):
    """A weight whose gradient is 1, after each of so many steps with one sample."""
    x = C.input_variable(2, is_sparse=sparse)
    w = C.parameter((2, 1), init=np.array([[1.0], [2.0]], "f"))
    z = C.times(x, w)
    trainer = C.Trainer(z, C.reduce_sum(z), make(w))
    row = np.array([[1, 0]], "f")
    found = []
    for _ in range(count):
        trainer.train_minibatch({x: csr_matrix(row) if sparse else row})
        found.append(float(w.value[0, 0]))
    assert float(w.value[1, 0]) == 2.0
    return found


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize(
    ("sparse", "momentum", "numbers"),
    [
        (True, 0.5, [0.9, 0.75, 0.40, 0.025, -0.3625]),
        (False, 0.5, [0.9, 0.75, 0.475, 0.1375, -0.23125]),
        (True, momenta(0.0, 0.5), [0.9, 0.8, 0.6, 0.4, 0.1, -0.25]),
        (False, momenta(0.0, 0.5), [0.9, 0.8, 0.6, 0.3, -0.05, -0.425]),
    ],
    ids=["rows", "dense", "rows without momentum at first", "dense without momentum at first"],
)
def test_momentum_keeps_the_rate_outside_the_velocity_of_touched_rows(native, sparse, momentum, numbers):
    def make(w):
        return C.momentum_sgd([w], rates(0.1, 0.2), momentum, unit_gain=False)

    with settings.option(native=native, background_compilation=False):
        found = steps(make, sparse=sparse, count=len(numbers))
    np.testing.assert_allclose(found, numbers, atol=1e-6)


@pytest.mark.parametrize("native", [False, True])
def test_fsadagrad_leaves_the_velocity_at_zero_while_the_momentum_is_zero(native):
    def make(w):
        return C.fsadagrad([w], rates(0.1, 0.2), momenta(0.0, 0.5), unit_gain=False)

    with settings.option(native=native, background_compilation=False):
        found = steps(make, sparse=False, count=6)
    np.testing.assert_allclose(found, [0.89935, 0.79869, 0.59739, 0.39608, 0.09412, -0.25817], atol=2e-5)
