"""The programs of the introduction to CNTK run as printed there, with its names, and learn."""

from __future__ import annotations

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab import (
    Function,
    Input,
    Parameter,
    Trainer,
    cross_entropy,
    default_options,
    relu,
    sequence,
    sgd,
    sigmoid,
    softmax,
)
from cntk_lab.layers import (
    LSTM,
    Convolution,
    Dense,
    Embedding,
    Fold,
    For,
    MaxPooling,
    Recurrence,
    Sequential,
)

M, H, J = 40, 51, 9  # the slides' 512 and 9000 with less to compute


@pytest.fixture(autouse=True)
def _seeds():
    C.cntk_py.reset_random_seed(1)


def minibatch(x, y, count=64):
    """Points in three clouds, and which cloud each is of."""
    random = np.random.default_rng(0)
    label = random.integers(0, 3, count)
    centres = random.standard_normal((3, M))
    points = centres[label] + 0.1 * random.standard_normal((count, M))
    return {x: points.astype(np.float32), y: np.eye(J, dtype=np.float32)[label]}


def losses(trainer, data, steps=60):
    found = []
    for _ in range(steps):
        trainer.train_minibatch(data)
        found.append(trainer.previous_minibatch_loss_average)
    return found


def test_a_network_of_formulas_learns():
    x = Input(M)
    y = Input(J)
    W1, b1 = Parameter((M, H), init=C.glorot_uniform()), Parameter(H)
    W2, b2 = Parameter((H, H), init=C.glorot_uniform()), Parameter(H)
    Wout, bout = Parameter((H, J), init=C.glorot_uniform()), Parameter(J)
    h1 = sigmoid(x @ W1 + b1)
    h2 = sigmoid(h1 @ W2 + b2)
    P = softmax(h2 @ Wout + bout)
    ce = cross_entropy(P, y)
    data = minibatch(x, y)
    found = losses(Trainer(P, (ce), [sgd(P.parameters, 0.5)]), data)
    assert found[0] == pytest.approx(np.log(J), abs=0.6)  # nothing is known yet: all classes are about as probable
    assert found[-1] < 0.5 * found[0]


def test_a_network_of_layers_learns():
    x = Input(M)
    y = Input(J)
    h1 = Dense(H, activation=sigmoid)(x)
    h2 = Dense(H, activation=sigmoid)(h1)
    P = Dense(J, activation=softmax)(h2)
    ce = cross_entropy(P, y)
    learner = sgd(P.parameters, 0.5)
    trainer = Trainer(P, (ce), [learner])
    found = losses(trainer, minibatch(x, y))
    assert found[-1] < 0.5 * found[0]


def test_functions_chained_by_arrows_are_the_same_network():
    x = Input(M)
    y = Input(J)
    model = Dense(H, activation=sigmoid) >> Dense(H, activation=sigmoid) >> Dense(J, activation=softmax)
    P = model(x)
    ce = cross_entropy(P, y)
    C.cntk_py.reset_random_seed(1)
    sequential = Sequential([Dense(H, activation=sigmoid), Dense(H, activation=sigmoid), Dense(J, activation=softmax)])
    data = minibatch(x, y)
    np.testing.assert_array_equal(P.eval({x: data[x]}), sequential(x).eval({x: data[x]}))
    assert losses(Trainer(P, (ce), [sgd(P.parameters, 0.5)]), data)[-1] < 1.5


def test_layers_repeat_with_their_number():
    model = Sequential([For(range(3), lambda i: Dense(H - i, activation=sigmoid)), Dense(J)])
    assert [p.shape for p in model(Input(M)).parameters][::-2] == [(H,), (H - 1,), (H - 2,), (J,)]


def test_a_convolutional_network_is_written_in_one_expression():
    with default_options(activation=relu, pad=True):
        model = Sequential([
            For(range(2), lambda i: [Convolution((5, 5), (8, 16)[i]), MaxPooling((3, 3), strides=(2, 2))]),
            Dense(16), Dense(10, activation=None),
        ])  # fmt: skip
    z = model(Input((1, 12, 12)))
    assert z.shape == (10,)
    assert [p.shape for p in z.parameters if p.name == "W"] == [(16, 10), (16, 3, 3, 16), (16, 8, 5, 5), (8, 1, 5, 5)]


def test_a_recurrent_network_tags_every_word():
    words, labels = 20, 5
    model = Sequential([Embedding(8), Recurrence(LSTM(12)), Dense(labels)])
    x = sequence.input_variable(words)
    y = sequence.input_variable(labels)
    z = model(x)
    ce = C.cross_entropy_with_softmax(z, y)
    random = np.random.default_rng(2)
    indices = [random.integers(0, words, n) for n in (4, 7, 2)]
    data = {
        x: [np.eye(words, dtype=np.float32)[i] for i in indices],
        y: [np.eye(labels, dtype=np.float32)[i % labels] for i in indices],
    }
    trainer = Trainer(z, ce, [sgd(z.parameters, 0.5)])
    found = losses(trainer, data, 40)
    assert trainer.previous_minibatch_sample_count == 13
    assert found[0] == pytest.approx(np.log(labels), abs=0.3)
    assert found[-1] < 0.6 * found[0]


def test_a_sequence_is_classified_by_its_last_state():
    model = Sequential([Fold(LSTM(6)), Dense(2, activation=softmax)])
    z = model(sequence.input_variable(3))
    probabilities = z([np.ones((2, 3), np.float32), np.ones((5, 3), np.float32)])
    assert probabilities.shape == (2, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)


def test_a_function_is_written_as_python():
    inner = Dense(H, activation=sigmoid)

    @Function
    def model(x, scale):
        return inner(x * scale) + 1

    z = model(Input(M), C.constant(2))
    assert [a.name for a in model.arguments] == ["x", "scale"]
    assert z.shape == (H,)
    assert (z(np.zeros((1, M), np.float32)) == 1.5).all()
