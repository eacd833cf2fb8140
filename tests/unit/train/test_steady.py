"""A step like the one before does what the general step does, and whatever changes is seen by the next step."""

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab import settings
from cntk_lab.backends.cpu import jit
from cntk_lab.errors import DataError
from cntk_lab.events import BUS, StepFinished

pytestmark = pytest.mark.skipif(not jit.available(), reason="no numba here")


def job(learner=lambda p: C.momentum_sgd(p, C.learning_parameter_schedule(0.5), C.momentum_schedule(0.9))):
    x, y = C.input_variable(3), C.input_variable(2)
    z = C.times(x, C.parameter((3, 2), init=0.1)) + C.parameter(2, init=0)
    own = learner(z.parameters)
    trainer = C.Trainer(z, (C.cross_entropy_with_softmax(z, y), C.classification_error(z, y)), own)
    rng = np.random.default_rng(2)
    data = [
        {x: rng.normal(size=(n, 3)).astype(np.float32), y: np.eye(2, dtype=np.float32)[rng.integers(2, size=n)]}
        for n in (5, 5, 7)
    ]
    trainer.train_minibatch(data[0])
    jit.finish(120)
    for d in data * 2:
        trainer.train_minibatch(d)
    return x, y, z, own, trainer, data


def values(z):
    return [p.value.copy() for p in z.parameters]


def reference(change):
    """The same training without the short way: a listener makes every step the general one."""
    end = BUS.subscribe(StepFinished, lambda _: None)
    try:
        return change()
    finally:
        end()


CHANGES = {
    "nothing": lambda own, trainer, x: None,
    "the rate": lambda own, trainer, x: own.reset_learning_rate(C.learning_parameter_schedule(0.01)),
    "the rate becomes 0": lambda own, trainer, x: own.reset_learning_rate(C.learning_parameter_schedule(0.0)),
    "the momentum": lambda own, trainer, x: own.change_momentum(0.1),
    "the minibatch size": lambda own, trainer, x: setattr(own, "minibatch_size", 3),
    "a switch": lambda own, trainer, x: settings.set_option("native", False),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_counts_from_the_next_step_on(what):
    def run():
        with settings.option():
            x, _, z, own, trainer, data = job()
            CHANGES[what](own, trainer, x)
            for d in data * 2:
                trainer.train_minibatch(d)
            return values(z), trainer.previous_minibatch_loss_average, own.total_number_of_samples_seen()

    short, general = run(), reference(run)
    for a, b in zip(short[0], general[0], strict=True):
        assert np.allclose(a, b, rtol=1e-6, atol=1e-7)
    assert short[1] == pytest.approx(general[1], rel=1e-5)
    assert short[2] == general[2]


def test_a_listener_hears_the_next_step():
    _, _, _, _, trainer, data = job()
    heard = []
    end = BUS.subscribe(StepFinished, heard.append)
    trainer.train_minibatch(data[0])
    end()
    trainer.train_minibatch(data[0])
    assert [e.samples for e in heard] == [5]


def test_numbers_that_are_none_change_nothing():
    x, y, z, _, trainer, data = job()
    before = values(z)
    bad = data[0][x].copy()
    bad[3, 1] = np.nan
    with pytest.raises(DataError, match=r"1 NaN among 15 numbers, the first at \(3, 1\)"):
        trainer.train_minibatch({x: bad, y: data[0][y]})
    for a, b in zip(before, values(z), strict=True):
        assert np.array_equal(a, b)


def test_the_end_of_a_sweep_is_counted():
    _, _, _, own, trainer, data = job()
    trainer.train_minibatch(data[0], is_sweep_end=True)
    assert own.total_number_of_sweeps_seen() == 1


def test_a_writer_that_comes_late_is_told_at_the_next_step():
    heard = []

    class Writer:
        def write(self, key, value):
            heard.append((key, value))

    with settings.option(native_after=0, background_compilation=False):
        _, _, _, own, trainer, data = job()
        for _ in range(4):
            trainer.train_minibatch(data[0])
        own.add_progress_writers([Writer()])
        trainer.train_minibatch(data[0])
    assert ("Learning rate per minibatch", 0.5) in heard
