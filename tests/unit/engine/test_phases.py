"""Phases of a plan: what can be run by itself, and where workers share their gradients."""

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab import settings
from cntk_lab.engine.ask.training import Program
from cntk_lab.engine.make.wanted import Wanted
from cntk_lab.engine.plan import Phase
from tests.unit.engine.bounds import plan_for

_rng = np.random.default_rng(0)
DATA = _rng.normal(size=(5, 3)).astype(np.float32)
TARGET = _rng.normal(size=(5, 2)).astype(np.float32)


def model(*, momentum=False):
    x, y = C.input_variable(3), C.input_variable(2)
    w, b = C.parameter((3, 2), init=np.eye(3, 2, dtype="f")), C.parameter(2)
    loss = C.reduce_sum(C.square(C.tanh(C.times(x, w) + b) - y))
    learner = C.momentum_sgd([w, b], 0.01, 0.9, unit_gain=False) if momentum else C.sgd([w, b], 0.01)
    return loss, {x: DATA, y: TARGET}, (w, b), learner


def trained(share, *, momentum, steps=5):
    loss, data, parameters, learner = model(momentum=momentum)
    program = Program(loss.output, None, learner.updates(), share=share)
    totals = []
    for _ in range(steps):
        values = learner.scalar_values(len(DATA))
        totals.append(program.run(program.bind(data), [values] * len(parameters)).loss)
    return totals, [p.value for p in parameters]


def test_steps_of_a_plan_are_in_the_order_of_phases_before_anything_is_fused():
    loss, _, parameters, learner = model()
    wanted = Wanted(roots=(loss.output,), totals=(loss.output,), training=True, updates=learner.updates(), shared=True)
    with settings.option(check_plans=True):
        plan = plan_for(wanted, fused=False)
    found = [s.phase for s in plan.steps]
    order = list(Phase)
    assert found == sorted(found, key=order.index)
    assert set(found) == {Phase.FORWARD, Phase.BACKWARD, Phase.SHARE, Phase.UPDATE}
    (share,) = plan.of_phase(Phase.SHARE)
    assert len(plan.steps[share].reads) == len(parameters)


@pytest.mark.parametrize("momentum", [False, True])
@pytest.mark.parametrize("native", [False, True])
def test_what_workers_share_is_what_learners_get(momentum, native):
    """Two workers with the same data: half of the sum of their gradients is each one's own."""
    shared = []

    def with_a_twin(arrays):
        shared.append([np.array(a) for a in arrays])
        return [(a + a) / 2 for a in arrays]

    with settings.option(native=native, native_after=0, background_compilation=False):
        alone = trained(None, momentum=momentum)
        together = trained(with_a_twin, momentum=momentum)
    assert [[a.shape for a in arrays] for arrays in shared] == [[(1, 3, 2), (1, 2)]] * 5
    np.testing.assert_allclose(together[0], alone[0], rtol=1e-5)
    for a, b in zip(together[1], alone[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_a_worker_that_is_cut_off_while_it_shares_has_changed_nothing():
    def cut_off(arrays):
        raise ConnectionError

    loss, data, parameters, learner = model(momentum=True)
    before = [p.value.copy() for p in parameters]
    program = Program(loss.output, None, learner.updates(), share=cut_off)
    for _ in range(5):
        with pytest.raises(ConnectionError):
            program.run(program.bind(data), [learner.scalar_values(len(DATA))] * 2)
    for p, value in zip(parameters, before, strict=True):
        np.testing.assert_array_equal(p.value, value)
    assert all((s.array == 0).all() for u in learner.updates() for s in u.state.values())
