"""Recurrences: any cycle through a delay runs over ragged sequences and has the right gradient."""

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab import settings
from cntk_lab.engine.make.wanted import Wanted
from cntk_lab.engine.plan import Loop
from cntk_lab.errors import GraphError
from tests.unit.engine.bounds import plan_for

LENGTHS = (2, 5, 1, 3)


def data(seed=0, size=3):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(n, size)) for n in LENGTHS]


def network(delay=C.sequence.past_value, step=1, initial=0.25):
    rng = np.random.default_rng(1)
    x = C.sequence.input_variable(3, dtype=np.float64, needs_gradient=True)
    w = C.parameter(init=rng.normal(size=(3, 4)) * 0.5)
    r = C.parameter(init=rng.normal(size=(4, 4)) * 0.5)
    b = C.parameter(init=rng.normal(size=4))
    s = C.parameter(init=np.full(4, initial))
    state = C.placeholder()
    h = C.tanh(C.times(x, w) + C.times(delay(state, s, step), r) + b)
    h.replace_placeholders({state: h.output})
    return h, x, (w, r, b, s)


def reference(sequences, w, r, b, s, step=1, *, backward=False):
    result = []
    for sequence in sequences:
        frames = sequence[::-1] if backward else sequence
        states = [s] * step
        for frame in frames:
            states.append(np.tanh(frame @ w + states[-step] @ r + b))
        out = np.array(states[step:])
        result.append(out[::-1] if backward else out)
    return result


@pytest.mark.parametrize("step", [1, 2, 4])
@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("native", [False, True])
def test_ragged_sequences_match_a_plain_loop(step, backward, native):
    delay = C.sequence.future_value if backward else C.sequence.past_value
    h, x, parameters = network(delay, step)
    expected = reference(data(), *(p.value for p in parameters), step, backward=backward)
    with settings.option(native=native, native_after=0):
        for got, want in zip(h.eval({x: data()}), expected, strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-12)


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("fuse", [False, True])
def test_gradients_match_finite_differences(backward, fuse):
    delay = C.sequence.future_value if backward else C.sequence.past_value
    h, x, parameters = network(delay, 2)
    sequences = data()
    values = [p.value for p in parameters]

    def total():
        return sum(o.sum() for o in reference(sequences, *values, 2, backward=backward))

    with settings.option(fuse=fuse):
        gradients = h.grad({x: sequences}, wrt=[*parameters, x])
    for p, value in zip(parameters, values, strict=True):
        numeric = np.zeros_like(value)
        for index in np.ndindex(value.shape):
            before = value[index]
            value[index] = before + 1e-6
            above = total()
            value[index] = before - 1e-6
            numeric[index] = (above - total()) / 2e-6
            value[index] = before
        np.testing.assert_allclose(gradients[p], numeric, atol=1e-7)
    probe = sequences[1]
    before = probe[2, 1]
    probe[2, 1] = before + 1e-6
    above = total()
    probe[2, 1] = before - 1e-6
    assert abs(gradients[x][1][2, 1] - (above - total()) / 2e-6) < 1e-7


def test_what_does_not_depend_on_the_loop_stays_outside():
    h, _, (w, r, b, s) = network()
    plan = plan_for(Wanted(roots=(h.output,), gradients=(w, r, b, s), training=True))
    loops = [step for step in plan.steps if isinstance(step, Loop)]
    assert [loop.reverse for loop in loops] == [False, True]
    # in the loop: delay, recurrent product, one formula; backward: delay, formula, product, closing copy
    assert len(loops[0].body) == 3
    # the gradients of both weights are products over all frames, after the loop
    assert sum(type(step).__name__ == "Contract" for step in plan.steps) == 3


def test_sequences_that_continue_take_the_last_state():
    x = C.sequence.input_variable(1)
    f = C.sequence.past_value(x)
    first = f.eval({x: [np.array([[1.0], [2.0], [3.0]], "f")]})
    second = f.eval(({x: [np.array([[4.0], [5.0]], "f")]}, [False]))
    assert first[0].ravel().tolist() == [0, 1, 2]
    assert second[0].ravel().tolist() == [3, 4]


def test_a_cycle_without_delay_is_named():
    x = C.sequence.input_variable(1)
    p = C.placeholder()
    f = C.plus(x, p, name="knot")
    f.replace_placeholders({p: f.output})
    with pytest.raises(GraphError, match="cycle without a delay through Plus"):
        f.eval({x: [np.ones((1, 1), "f")]})
