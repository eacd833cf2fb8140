"""The doctor: names what is wrong and where, and lets healthy runs alone."""

import threading

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab import learners
from cntk_lab.events import BUS, RunChanged
from cntk_lab.graph.variable import Parameter
from cntk_lab.layers import Dense, Sequential
from cntk_lab.train import Trainer, _run
from cntk_lab.train._arrays import Arrays
from cntk_lab.train._doctor import Doctor
from cntk_lab.train._history import History
from cntk_lab.train._run import Run

schedule = learners.learning_parameter_schedule
FAULTS = {
    "exp overflows": lambda h: C.exp(C.abs(h) * 1000 + 200, name="fault"),
    "product overflows": lambda h: C.element_times(C.exp(C.abs(h) + 80), C.exp(C.abs(h) + 80), name="fault"),
    "sum overflows": lambda h: C.plus(C.abs(h) + 3e38, C.abs(h) + 3e38, name="fault"),
    "square overflows": lambda h: C.square(h + 1e20, name="fault"),
    "sinh overflows": lambda h: C.sinh(C.abs(h) * 1000 + 200, name="fault"),
    "power of a negative number": lambda h: C.pow(-C.abs(h) - 1, 0.5, name="fault"),
    "arc cosine of a large number": lambda h: C.acos(C.abs(h) + 2, name="fault"),
    "a parameter is not finite": lambda h: h + C.parameter((), init=np.inf, name="fault"),
}
ACTIVATIONS = [C.relu, C.tanh, C.sigmoid, C.softplus]


def data_of(rng, count=64, dims=5):
    features = rng.normal(size=(count, dims)).astype(np.float32)
    return features, features[:, :1] * 2 - features[:, 1:2]


def network(rng, fault=None):
    """A small network with a fault between two of its layers."""
    C.cntk_py.set_fixed_random_seed(int(rng.integers(1, 1000)))
    x, y = C.input_variable(5, name="x"), C.input_variable(1, name="y")
    depth = int(rng.integers(2, 4))
    place = int(rng.integers(depth))
    h = x
    for i in range(depth):
        h = Dense(int(rng.integers(3, 9)), activation=ACTIVATIONS[rng.integers(4)])(h)
        if fault is not None and i == place:
            h = fault(h)
    z = Dense(1)(h)
    loss = C.squared_error(z, y)
    C.cntk_py.reset_random_seed(0)
    return x, y, z, loss


@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("seed", range(13))
def test_the_first_node_that_is_not_finite_is_named(kind, seed) -> None:
    rng = np.random.default_rng(seed)
    x, y, z, loss = network(rng, FAULTS[kind])
    features, labels = data_of(rng, 8)
    trainer = Trainer(z, loss, learners.sgd(z.parameters, schedule(0.01, 0)))
    finding = Doctor(trainer).first_not_finite({x: features, y: labels}, 1, float("nan"))
    guilty = loss.find_by_name("fault", -1) or next(p for p in loss.parameters if p.name == "fault")
    named = {guilty.uid, *(n.uid for n in [getattr(guilty, "node", None)] if n)}
    assert finding.node in named, finding.words
    assert finding.words.startswith("the loss became NaN at step 1: ")


def test_a_run_that_blows_up_is_held_and_the_reason_is_told() -> None:
    x, w = C.input_variable(1, name="x"), Parameter((1,), init=1.0, name="w")
    # the rate is far too high: w x - 1 grows nearly 800 times at each step, until its square does not fit
    loss = C.square(w * x - 1, name="wrong")
    trainer = Trainer(None, loss, learners.sgd([w], schedule(100.0, 0)))
    feed = Arrays({x: np.full((4, 1), 2, np.float32)}, shuffle=False)
    run = Run(trainer, feed, minibatch_size=2, max_steps=20)
    held = threading.Event()
    end = BUS.subscribe(RunChanged, lambda event: held.set() if event.status == "paused" else None)
    run.start()
    assert held.wait(60)
    end()
    [finding] = [f for f in run.history.findings if f.kind == "not finite"]
    assert run.status == "paused"
    assert "'wrong' is the first node that is not finite (2 of 2 numbers)" in finding.words
    assert "a number above 3.4e38 does not fit into float32" in finding.words
    assert finding.step == run.step
    assert run.history.loss[-1] == np.inf
    run.stop()
    run.wait(20)


def test_healthy_runs_are_let_alone(monkeypatch) -> None:
    monkeypatch.setattr(_run, "TELL_SECONDS", 0.02)
    alarms = []
    for seed in range(20):
        rng = np.random.default_rng(100 + seed)
        x, y, z, loss = network(rng)
        features, labels = data_of(rng, 512)
        trainer = Trainer(z, loss, learners.sgd(z.parameters, schedule(0.05, 0)))
        run = Run(trainer, Arrays({x: features, y: labels}), minibatch_size=32, max_steps=150)
        assert run._doctor is not None
        run._doctor.due = lambda *_: True  # type: ignore[method-assign]
        run.start().wait(60)
        alarms += [(seed, f.kind, f.words) for f in run.history.findings]
    assert len({seed for seed, _, _ in alarms}) <= 1, alarms


def told(trainer, arguments, losses, visits=8):
    doctor, history = Doctor(trainer), History()
    for value in losses:
        history.append(1, value, 0.0, 0.1)
    return [f for _ in range(visits) for f in doctor.visit(history, arguments)]


def test_dead_units_are_counted_and_told_once() -> None:
    x = C.input_variable(4, name="x")
    W, b = C.parameter((4, 10), init=0.1, name="W"), C.parameter((10,), init=0.1, name="b")
    b.value = np.array([-1000] * 6 + [0.5] * 4, np.float32)
    loss = C.reduce_sum(C.relu(C.times(x, W) + b, name="h"))
    trainer = Trainer(None, loss, learners.sgd([W, b], schedule(0.1, 0)))
    features = np.abs(np.random.default_rng(0).normal(size=(100, 4))).astype(np.float32)
    [finding] = told(trainer, {x: features}, [1.0])
    assert finding.kind == "dead units"
    assert finding.words.startswith("6 of 10 units of ReLU 'h' were 0 for all of 300 samples")


def test_vanishing_gradients_name_the_layer() -> None:
    C.cntk_py.set_fixed_random_seed(1)
    x, y = C.input_variable(4, name="x"), C.input_variable(1, name="y")
    small = C.initializer.uniform(0.001)
    z = Sequential([Dense(4, activation=C.sigmoid, init=small) for _ in range(6)] + [Dense(1)])(x)
    C.cntk_py.reset_random_seed(0)
    trainer = Trainer(z, C.squared_error(z, y), learners.sgd(z.parameters, schedule(0.1, 0)))
    features = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    [finding] = told(trainer, {x: features, y: features[:, :1]}, [1.0])
    assert (finding.kind, "it vanishes on the way" in finding.words) == ("vanishing gradients", True)


def test_exploding_gradients_are_seen_against_what_was_usual() -> None:
    x, W = C.input_variable(2, name="x"), C.parameter((2, 2), init=1.0, name="W")
    loss = C.reduce_sum(C.square(C.times(x, W)))
    trainer = Trainer(None, loss, learners.sgd([W], schedule(0.1, 0)))
    doctor, history = Doctor(trainer), History()
    history.append(1, 1.0, 0.0, 0.1)
    usual, large = {x: np.ones((1, 2), np.float32)}, {x: np.full((1, 2), 100, np.float32)}
    assert [doctor.visit(history, usual) for _ in range(4)] == [[]] * 4
    [finding] = doctor.visit(history, large)
    assert finding.kind == "exploding gradients"
    assert "times the usual" in finding.words


@pytest.mark.parametrize(
    ("losses", "rate", "kind"),
    [
        (list(np.linspace(1, 0.2, 60)) + list(np.linspace(0.2, 9, 60)), 0.1, "learning rate too high"),
        (list(np.linspace(1, 0.999, 120)), 1e-9, "learning rate too low"),
    ],
)
def test_rates_that_are_too_high_or_too_low_are_told(losses, rate, kind) -> None:
    x, W = C.input_variable(2, name="x"), C.parameter((2, 2), init=1.0, name="W")
    trainer = Trainer(None, C.reduce_sum(C.square(C.times(x, W))), learners.sgd([W], schedule(rate, 0)))
    doctor, history = Doctor(trainer), History()
    found = []
    for i, value in enumerate(losses):
        history.append(1, float(value), 0.0, 0.1)
        if i % 40 == 39:
            found += doctor.visit(history, {x: np.ones((1, 2), np.float32)})
    assert [f.kind for f in found] == [kind]
    assert f"the learning rate {rate:g} is too" in found[0].words
