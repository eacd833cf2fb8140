"""Plans: passes leave results alone, memory never overlaps, and another minibatch size is no new plan."""

import itertools

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab import settings
from cntk_lab.engine.ask.explain import explain
from cntk_lab.engine.cpu.target import PLAIN
from cntk_lab.engine.make.compile import make_plan
from cntk_lab.engine.make.wanted import Wanted
from cntk_lab.engine.memory.slots import lifetimes, slots_of
from cntk_lab.events import BUS, PlanCompiled
from tests.unit.engine import bounds
from tests.unit.engine.bounds import plan_for


def perceptron(seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    x = C.input_variable(5, dtype=dtype)
    h = x
    parameters = []
    for a, b in ((5, 7), (7, 6), (6, 3)):
        w = C.parameter(init=rng.normal(size=(a, b)).astype(dtype))
        c = C.parameter(init=rng.normal(size=b).astype(dtype))
        h = C.sigmoid(C.times(h, w) + c)
        parameters += [w, c]
    return h, x, parameters


@pytest.mark.parametrize("fuse", [False, True])
@pytest.mark.parametrize("native", [False, True])
def test_every_pass_and_tier_gives_the_same_gradients(fuse, native):
    h, x, parameters = perceptron()
    batch = np.random.default_rng(1).normal(size=(9, 5)).astype("f")
    with settings.option(fuse=False, native=False):
        expected = h.grad({x: batch}, wrt=parameters)
    with settings.option(fuse=fuse, native=native, background_compilation=False, native_after=0):
        for _ in range(2):
            got = h.grad({x: batch}, wrt=parameters)
    for p in parameters:
        np.testing.assert_allclose(got[p], expected[p], rtol=2e-5, atol=1e-6)


def test_another_minibatch_size_is_no_new_plan():
    h, x, parameters = perceptron()
    made = []
    stop = BUS.subscribe(PlanCompiled, made.append)
    for n in (1, 2, 33, 1, 64, 100):
        h.grad({x: np.ones((n, 5), "f")}, wrt=parameters)
    stop()
    assert len(made) == 1


def test_fusing_leaves_one_formula_for_each_layer():
    h, _, parameters = perceptron()
    plan = make_plan(Wanted(roots=(h.output,), gradients=tuple(parameters), training=True), PLAIN)
    kinds = [s.kind for s in plan.steps]
    assert kinds.count("Contract") == 8  # three forward, three for weights, two backward
    assert kinds.count("Map") <= 6


def test_memory_plan_never_overlaps_live_buffers():
    h, _, parameters = perceptron()
    plan = make_plan(Wanted(roots=(h.output,), gradients=tuple(parameters), training=True), PLAIN)
    lives = lifetimes(plan, plan.steps)
    for slot in slots_of(plan, plan.steps):
        spans = sorted(lives[b] for b in slot.buffers)
        assert all(first[1] < second[0] for first, second in itertools.pairwise(spans))


def test_a_plan_prints_every_step():
    h, _, parameters = perceptron()
    plan = plan_for(Wanted(roots=(h.output,), gradients=tuple(parameters), training=True))
    assert len(explain(bounds.bound_of(plan)).splitlines()) == len(plan.steps)


def test_only_what_is_asked_is_computed():
    h, _, parameters = perceptron()
    everything = make_plan(Wanted(roots=(h.output,), gradients=tuple(parameters), training=True), PLAIN)
    last = make_plan(Wanted(roots=(h.output,), gradients=(parameters[-1],), training=True), PLAIN)
    assert sum(s.kind == "Contract" for s in last.steps) == 3 < sum(s.kind == "Contract" for s in everything.steps)
