"""Results are found under the very objects that were asked for, Function or variable (CNTK 2.7, observed)."""

from __future__ import annotations

import numpy as np
import pytest

import cntk_lab as C

DATA = np.array([[1, 2]], np.float32)


@pytest.fixture
def squares():
    x = C.input_variable(2, needs_gradient=True)
    f = x * x
    g = C.reduce_sum(f)
    return x, f, g, C.combine([g, f])


GIVEN = {
    "functions": lambda f, g, h: [g, f],
    "variables": lambda f, g, h: [f.output, g.output],
    "both": lambda f, g, h: [g.output, f],
    "a tuple": lambda f, g, h: (f, g),
    "outputs of several": lambda f, g, h: list(h.outputs),
    "one thing twice, once as each": lambda f, g, h: [f, f.output],
}


@pytest.mark.parametrize("what", GIVEN)
def test_results_are_found_under_what_was_asked_for(squares, what):
    x, f, g, h = squares
    asked = GIVEN[what](f, g, h)
    right = {id(f): [[1, 4]], id(f.output): [[1, 4]], id(g): [5], id(g.output): [5]}
    for _ in range(5):
        _, forward = h.forward({x: DATA}, outputs=asked)
        _, kept = h.forward({x: DATA}, outputs=asked, keep_for_backward=[g.output])
        _, beside = g.grad({x: DATA}, wrt=[x], outputs=asked)
        for found in (h.eval({x: DATA}, outputs=asked), forward, kept, beside):
            assert list(found) == list(asked)
            assert [found[a].tolist() for a in asked] == [right[id(a)] for a in asked]


def test_a_function_of_several_outputs_gives_them_one_by_one(squares):
    x, f, _, h = squares
    found = h.eval({x: DATA}, outputs=[h, f])
    assert list(found) == [*h.outputs, f]
    assert list(h.eval({x: DATA})) == list(h.outputs)


def test_a_single_result_comes_without_a_name(squares):
    x, f, g, h = squares
    for asked in ([g], [g.output], g, [g, g], iter([g])):
        assert h.eval({x: DATA}, outputs=asked).tolist() == [5]
    assert list(h.forward({x: DATA}, outputs=[f])[1]) == [f]
    assert list(f.forward({x: DATA})[1]) == [f.output]


def test_training_gives_results_under_what_was_asked_for():
    x, y = C.input_variable(2), C.input_variable(1)
    z = C.layers.Dense(1, init=0, bias=False)(x)
    loss = C.squared_error(z, y)
    trainer = C.Trainer(z, loss, [C.sgd(z.parameters, C.learning_parameter_schedule(0.5, minibatch_size=1))])
    data = {x: [[1, 0]], y: [[1]]}
    _, found = trainer.train_minibatch(data, outputs=[z, loss.output])
    assert list(found) == [z, loss.output]
    assert found[z].tolist() == [[0]]
    assert found[loss.output].tolist() == [1]
    _, found = trainer.train_minibatch(data, outputs=[z.output])
    assert found[z.output].tolist() == [[1]]
    _, found = trainer.train_minibatch(data, outputs=iter([z, z.output]))
    assert found[z].tolist() == found[z.output].tolist()
