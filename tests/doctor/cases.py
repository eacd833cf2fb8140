"""The table: 40 trainings with one thing wrong each, 40 with nothing wrong; seeded, some seconds each at most."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import cntk_lab as C
from cntk_lab import learners
from cntk_lab.layers import GRU, LSTM, BatchNormalization, Convolution2D, Dense, Dropout, Fold, Sequential
from cntk_lab.train._run import Run
from cntk_lab.train._start import run_of

DIMS, CLASSES, ROWS = 8, 3, 1024


@dataclass(frozen=True)
class Case:
    """A training: its name, the kinds of finding that name what is wrong (none: healthy), and how it is made."""

    name: str
    kinds: tuple[str, ...]
    make: Callable[[], Run]


def classes(rng: Any, rows: int = ROWS, dims: int = DIMS) -> tuple[Any, Any]:
    """Samples around a centre for each class."""
    which = rng.integers(CLASSES, size=rows)
    centres = 1.5 * rng.normal(size=(CLASSES, dims))
    x = centres[which] + rng.normal(size=(rows, dims))
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    return x.astype(np.float32), np.eye(CLASSES, dtype=np.float32)[which]


def numbers(rng: Any) -> tuple[Any, Any]:
    """A smooth function of the inputs with some noise."""
    x = rng.normal(size=(ROWS, DIMS)).astype(np.float32)
    y = np.sin(x[:, :1]) + 0.5 * x[:, 1:2] + 0.1 * rng.normal(size=(ROWS, 1))
    return x, y.astype(np.float32)


def dense(width: int = 32, depth: int = 2, activation: Any = C.relu, out: int = CLASSES, **options: Any) -> Any:
    """Layers of one kind, and a last one without activation."""
    return Sequential([*(Dense(width, activation=activation, **options) for _ in range(depth)), Dense(out)])


def training(
    seed: int,
    net: Any,
    data: tuple[Any, Any],
    rate: float = 0.1,
    steps: int = 300,
    learner: Any = learners.sgd,
    size: int = 32,
    **options: Any,
) -> Run:
    """A run of a network on data; the loss follows from the labels."""
    C.cntk_py.set_fixed_random_seed(seed + 1)
    try:
        x = C.input_variable(data[0].shape[1:], name="x")
        y = C.input_variable(data[1].shape[1:], name="y")
        z = net(x)
        loss = C.squared_error(z, y) if data[1].shape[1] == 1 else C.cross_entropy_with_softmax(z, y)
    finally:
        C.cntk_py.reset_random_seed(0)
    extra = {learners.momentum_sgd: (0.9,), learners.adam: (0.9,)}.get(learner, ())
    made = learner(z.parameters, learners.learning_parameter_schedule(rate), *extra)
    return run_of(loss, {x: data[0], y: data[1]}, made, minibatch_size=size, max_steps=steps, seed=seed, **options)


def sequences(rng: Any, length: int = 12) -> tuple[Any, Any]:
    """Sequences whose class is the sign of what they sum to."""
    x = [rng.normal(size=(length + int(rng.integers(4)), 3)).astype(np.float32) for _ in range(512)]
    which = np.array([int(s[:, 0].sum() > 0) for s in x])
    return x, np.eye(2, dtype=np.float32)[which]


def recurrent(seed: int, step: Any, steps: int = 150, length: int = 12, rate: float = 0.1) -> Run:
    """A recurrence over such sequences."""
    data = sequences(np.random.default_rng(seed), length)
    C.cntk_py.set_fixed_random_seed(seed + 1)
    try:
        x, y = C.sequence.input_variable(3, name="x"), C.input_variable(2, name="y")
        z = Sequential([Fold(step), Dense(2)])(x)
        loss = C.cross_entropy_with_softmax(z, y)
    finally:
        C.cntk_py.reset_random_seed(0)
    learner = learners.sgd(z.parameters, learners.learning_parameter_schedule(rate))
    return run_of(loss, {x: data[0], y: data[1]}, learner, minibatch_size=32, max_steps=steps, seed=seed)


# --- sick


def _data(seed: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    return numbers(rng) if seed % 2 else classes(rng)


def _net(data: tuple[Any, Any], **options: Any) -> Any:
    return dense(out=data[1].shape[1], **options)


def _dead(seed: int) -> Run:
    return training(seed, dense(64, 1 + seed % 2, init_bias=-30.0 - 10 * seed), classes(np.random.default_rng(seed)))


def _too_low(seed: int) -> Run:
    learner = (learners.sgd, learners.momentum_sgd, learners.adam, learners.sgd)[seed]
    data = _data(seed)
    return training(seed, _net(data), data, 1e-7, 400, learner)


def _too_high(seed: int) -> Run:
    data = _data(seed)
    net = _net(data, activation=C.tanh if seed == 2 else C.relu)
    return training(seed, net, data, (30.0, 3.0, 100.0, 10.0)[seed])


def _exploding(seed: int) -> Run:
    if seed < 2:
        return recurrent(seed, _linear_cell(1.7 + 0.3 * seed), length=30, rate=0.01)
    data = _data(seed)
    return training(seed, _net(data, depth=8, init=C.initializer.normal(0.9)), data, 0.001)


def _linear_cell(gain: float) -> Any:
    W = C.parameter((3, 8), init=C.initializer.normal(0.3, seed=3), name="W")
    R = C.parameter((8, 8), init=(gain * np.eye(8)).astype(np.float32), name="R")
    return C.layers.BlockFunction("LinearStep", "step")(lambda h, x: C.times(h, R) + C.times(x, W))


def _vanishing(seed: int) -> Run:
    init = C.initializer.normal(0.05 + 0.02 * seed)
    return training(seed, dense(16, 8 + seed, C.sigmoid, init=init), classes(np.random.default_rng(seed)))


def _saturated(seed: int) -> Run:
    activation = C.tanh if seed % 2 else C.sigmoid
    net = dense(32, 1 + seed // 2, activation, init=C.initializer.normal(20.0 + 5 * seed))
    return training(seed, net, classes(np.random.default_rng(seed)), 0.01)


def _shuffled(seed: int) -> Run:
    x, y = _data(seed)
    return training(seed, _net((x, y), width=16), (x, np.random.default_rng(seed).permutation(y)), 0.03)


def _unscaled(seed: int) -> Run:
    x, y = _data(seed)
    x = (x * 100, x * 255 + 128, x + 1000, x * np.array([1000, *[1] * (DIMS - 1)], np.float32))[seed]
    return training(seed, _net((x, y)), (x.astype(np.float32), y), 0.01)


def _one_class(seed: int) -> Run:
    x, y = classes(np.random.default_rng(seed))
    y = y if seed == 3 else np.eye(CLASSES, dtype=np.float32)[np.full(ROWS, seed)]
    if seed == 3:  # sorted by class, and dealt out in that order
        order = np.argsort(y.argmax(axis=1), kind="stable")
        return training(seed, dense(), (x[order], y[order]), steps=ROWS // 32, shuffle=False)
    return training(seed, dense(), (x, y))


def _not_a_number(seed: int) -> Run:
    x, y = _data(seed)
    x[100 * seed + 7, seed] = np.nan if seed % 2 else np.inf
    return training(seed, _net((x, y)), (x, y), 0.01)


def _leaking(seed: int) -> Run:
    x, y = _data(seed)
    rows = slice(50 * seed, 200 + 50 * seed)
    return training(seed, _net((x, y)), (x, y), 0.03, validation=(x[rows], y[rows]))


SICK = [
    Case(f"{make.__name__[1:].replace('_', ' ')} {seed}", kinds, lambda make=make, seed=seed: make(seed))  # type: ignore[misc]
    for make, kinds, count in (
        (_dead, ("dead units",), 4),
        (_too_low, ("learning rate too low",), 4),
        (_too_high, ("learning rate too high",), 4),
        (_exploding, ("exploding gradients",), 4),
        (_vanishing, ("vanishing gradients",), 4),
        (_saturated, ("saturated units",), 4),
        (_shuffled, ("labels do not follow inputs",), 4),
        (_unscaled, ("inputs unscaled",), 4),
        (_one_class, ("one class only",), 4),
        (_not_a_number, ("not finite", "error"), 2),
        (_leaking, ("validation leaks",), 2),
    )
    for seed in range(count)
]

# --- healthy


def _plain(seed: int) -> Run:
    data = _data(seed)
    activation = (C.relu, C.tanh, C.sigmoid, C.elu, C.leaky_relu)[seed % 5]
    rate = 0.05 if seed % 2 else (0.1, 0.03, 0.3)[seed % 3]
    return training(seed, _net(data, activation=activation), data, rate, 300)


def _learned(seed: int) -> Run:
    learner = (learners.adam, learners.momentum_sgd)[seed % 2]
    data = _data(seed)
    return training(seed, _net(data, width=64, depth=3), data, 0.003, 500, learner)


def _validated(seed: int) -> Run:
    return training(seed, Sequential([Dense(32, activation=C.relu), Dropout(0.3), Dense(CLASSES)]),
                    classes(np.random.default_rng(seed)), 0.1, 200, validation=0.2)  # fmt: skip


def _normalised(seed: int) -> Run:
    net = Sequential([Dense(32), BatchNormalization(), C.relu, Dense(32), BatchNormalization(), C.relu, Dense(CLASSES)])
    return training(seed, net, classes(np.random.default_rng(seed)), 0.1, 200)


def _images(seed: int) -> Run:
    rng = np.random.default_rng(seed)
    which = rng.integers(CLASSES, size=256)
    x = rng.integers(0, 60, size=(256, 1, 8, 8)).astype(np.float32)
    for i, c in enumerate(which):
        x[i, 0, 2 * c : 2 * c + 3] += 150
    net = Sequential([lambda v: v / 255, Convolution2D((3, 3), 8, activation=C.relu, pad=True), Dense(CLASSES)])
    return training(seed, net, (x, np.eye(CLASSES, dtype=np.float32)[which]), 0.05, 120, size=16)


def _recurrent(seed: int) -> Run:
    return recurrent(seed, (LSTM, GRU)[seed % 2](12), steps=120, rate=0.5)


HEALTHY = [
    Case(f"{make.__name__[1:]} {seed}", (), lambda make=make, seed=seed: make(seed))  # type: ignore[misc]
    for make, count in ((_plain, 15), (_learned, 8), (_validated, 5), (_normalised, 4), (_images, 4), (_recurrent, 4))
    for seed in range(100, 100 + count)
]
