"""The first native run of a plan is compared with NumPy: a wrong kernel is found, and its numbers reach nobody."""

import dataclasses
import warnings
from types import SimpleNamespace

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab import settings
from cntk_lab.backends.cpu import jit
from cntk_lab.engine.ask.plans import bound_for
from cntk_lab.engine.ask.runs import state_of
from cntk_lab.engine.cpu import maps as native
from cntk_lab.engine.cpu.proof import Proof
from cntk_lab.engine.make.wanted import Wanted
from cntk_lab.errors import LabWarning
from tests.unit.engine import bounds

pytestmark = pytest.mark.skipif(not jit.available(), reason="no numba here")
ROWS = np.arange(8, dtype=np.float32).reshape(2, 4) / 8


@pytest.fixture
def broken(monkeypatch):
    """Kernels in which the hyperbolic tangent is another function."""
    real = native.numba_code

    def wrong(kernel):
        code = real(kernel)
        return dataclasses.replace(code, source=code.source.replace("tanh_f32", "exp_f32"))

    monkeypatch.setattr(native, "numba_code", wrong)
    with settings.option(native_after=2, background_compilation=False):
        yield


def model():
    x = C.input_variable(4)
    w = C.parameter(init=np.full((4, 3), 0.3, np.float32))
    return x, w, C.tanh(C.times(x, w)) * 2


def test_a_wrong_kernel_never_gives_a_number_to_an_evaluation_and_is_told_once(broken):
    x, w, z = model()
    want = np.tanh(ROWS @ w.value) * 2
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for _ in range(6):
            np.testing.assert_allclose(z.eval({x: ROWS}), want, rtol=1e-5)
    assert [t.category for t in told] == [LabWarning]
    assert "native code and NumPy differ" in str(told[0].message)
    assert "please report" in str(told[0].message)
    assert "Tanh" in str(told[0].message)


def test_a_wrong_kernel_never_moves_a_parameter(broken):
    values = {}
    for tier in (True, False):
        x, w, z = model()
        trainer = C.Trainer(None, (C.reduce_sum(z), None), [C.adam(z.parameters, 0.1, 0.9, minibatch_size=1)])
        with settings.option(native=tier), warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            for _ in range(4):
                trainer.train_minibatch({x: ROWS})
        assert len(told) == (1 if tier else 0)
        values[tier] = w.value
    np.testing.assert_allclose(values[True], values[False], rtol=1e-6)


def test_a_right_plan_is_compared_once_and_then_takes_the_short_way():
    x, _, z = model()
    with settings.option(native_after=0, background_compilation=False):
        before = set(bounds.natives())
        z.eval({x: ROWS})
        (made,) = [n for p, n in bounds.natives().items() if p not in before]
        assert made.proof is None


def test_rounding_is_no_difference():
    # the gradient of the bias is 0 but for rounding, and adam makes a whole step of it
    x = C.input_variable(4)
    w, b = C.parameter(init=np.full((4, 3), 0.3, np.float32)), C.parameter(init=np.zeros(1, np.float32))
    score = C.softmax(C.times(x, w) + b)
    loss = C.reduce_sum(C.square(score - C.constant(np.array([0.2, 0.7, 0.1], np.float32))))
    with settings.option(native_after=0, background_compilation=False):
        trainer = C.Trainer(None, (loss, None), [C.adam(loss.parameters, 0.1, 0.9, minibatch_size=1)])
        for rows in (2, 3, 2):
            trainer.train_minibatch({x: np.random.default_rng(rows).normal(size=(rows, 4)).astype(np.float32)})


def test_a_gradient_that_is_nothing_but_rounding_is_no_difference():
    x = C.input_variable(33, needs_gradient=True)
    z = C.layers.LayerNormalization()(x)  # the sum of what comes out does not depend on x
    data = np.random.default_rng(3).normal(size=(70, 33)).astype(np.float32)
    with settings.option(native_after=0, background_compilation=False):
        assert np.abs(z.grad({x: data}, wrt=[x])).max() < 1e-5


def test_a_gradient_that_cancels_inside_of_one_formula_is_no_difference():
    # whole numbers come in, which nothing shakes; the sum of normalized numbers is 0 but for rounding
    with settings.option(native_after=0, background_compilation=False), warnings.catch_warnings():
        warnings.simplefilter("error")
        for seed in range(8):
            x = C.sequence.input_variable(4, needs_gradient=True)
            z = C.layers.BatchNormalization()(C.exp(C.element_min(C.ceil(x), 1)))
            data = np.random.default_rng(seed).normal(size=(3 + 9 * seed, 5, 4)).astype(np.float32)
            assert np.abs(z.grad({x: data}, wrt=[z.scale])).max() < 1e-3


def test_a_wrong_number_beside_others_that_overflow_is_still_found(broken):
    x = C.input_variable(3)
    z = C.splice(C.exp(x * 50), C.tanh(C.slice(x, 0, 0, 1)))  # exp(100) and exp(150) are too large
    with pytest.warns(LabWarning, match="1 of 4 numbers"):
        values = [z.eval({x: [[1, 2, 3]]})[0, 3] for _ in range(4)]
    np.testing.assert_allclose(values, np.tanh(1), rtol=1e-5)


@pytest.mark.parametrize(("inside", "told"), [(np.inf, 0), (2.85e38, 0), (3.0, 1)])
def test_what_comes_out_of_an_overflow_may_be_infinite_or_nan(inside, told):
    _, _, z = model()
    proof = Proof(bound_for(Wanted(outputs=z.outputs)).plan)
    number = proof.plan.outputs["output 0"]

    def run(value, more=None):
        values = {number: value, **({} if more is None else {-1: more})}
        return SimpleNamespace(arrays={n: np.full((1, 3), v, np.float32) for n, v in values.items()})

    numpy = run(2.0, inside)
    assert len(list(proof.differences(run(np.nan), numpy, run(1.0), lambda _: numpy))) == told


def test_a_large_training_plan_waits_until_the_comparison_is_a_hundredth_of_its_time(monkeypatch):
    _, _, z = model()
    bound = bound_for(Wanted(outputs=z.outputs))
    plan, run = bound.plan, bound.new_run(state_of(z.node), training=False)
    now = [100.0]
    monkeypatch.setattr("cntk_lab.engine.cpu.proof.time.perf_counter", lambda: now[0])
    proof = Proof(plan)
    assert proof.due(run, often=True)  # a small one costs nothing
    proof.seconds = 1.0
    assert not proof.due(run, often=True)
    now[0] = 199.0
    assert not proof.due(run, often=True)
    now[0] = 200.0
    assert proof.due(run, often=True)
