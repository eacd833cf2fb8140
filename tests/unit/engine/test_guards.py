"""Checked memory: writing beside a buffer, reading what is not written or not in use, and wrong numbers are found."""

import ctypes
import dataclasses

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab import settings
from cntk_lab.backends.cpu import executor, jit, onednn
from cntk_lab.engine.ask.explain import explain
from cntk_lab.engine.cpu import maps as native
from cntk_lab.engine.cpu import native as native_plans
from cntk_lab.engine.cpu.guards import Guards, Watch
from cntk_lab.errors import ExecutionError
from tests.unit.engine import bounds
from tests.unit.engine.test_native_plans import MODELS, _flat, _plan

needs_native = pytest.mark.skipif(not (jit.available() and onednn.available()), reason="no numba or no oneDNN here")


@needs_native
@pytest.mark.parametrize("place", [-1, 12])
def test_writing_beside_a_buffer_is_named(place):
    guards = Guards()
    assert guards.kernel.wait(60)
    assert executor.load().wait(60)
    room = guards.empty(48)
    watch = Watch(guards, executor.load().run_address, {"%7": (room, 48)}, {"%7": -1})
    watch.place()
    watch.check("before")
    ctypes.c_float.from_address(room.ctypes.data + 4 * place).value = 1.0
    with pytest.raises(ExecutionError) as error:
        watch.check("step 3")
    assert "%7 were overwritten" in str(error.value)
    assert "step 3" in str(error.value)
    watch.place()
    watch.check("once more")  # the zone is whole again


def model():
    x = C.input_variable(4)
    w = C.parameter(init=np.full((4, 3), 0.3, np.float32))
    a = C.tanh(C.times(x, w))
    return x, C.splice(C.times(a, C.constant(np.ones((3, 2), np.float32))), C.softmax(a))


def evaluated(rows=2):
    x, z = model()
    with settings.option(background_compilation=False, checked=True, native_after=0):
        return [z.eval({x: np.ones((n, 4), np.float32)}) for n in (rows, rows, rows + 1)]


@needs_native
def test_checked_numbers_are_those_of_numpy():
    x, z = model()
    with settings.option(native=False):
        want = z.eval({x: np.ones((2, 4), np.float32)})
    for got in evaluated():
        np.testing.assert_allclose(got[:2], want, rtol=1e-5)


@needs_native
def test_a_step_that_writes_nothing_is_found(monkeypatch):
    monkeypatch.setattr(native.MapStep, "rows", lambda step, binder: [])
    with pytest.raises(ExecutionError, match="never written"):
        evaluated()


@needs_native
def test_a_row_that_writes_beside_its_buffer_is_named_with_its_step(monkeypatch):
    real = native.MapStep.rows

    def longer(step, binder):
        w = step.step.writes[0]
        b = binder.native.plan.buffers[w]
        behind = binder.address(w) + 4 * binder.rows[b.rows] * int(np.prod(b.whole or b.shape))
        return [*real(step, binder), executor.fill_row(behind, 4)]

    monkeypatch.setattr(native.MapStep, "rows", longer)
    with pytest.raises(ExecutionError, match=r"4 bytes behind %\d+ were overwritten[\s\S]*step \d+ \(Map\)"):
        evaluated()


@needs_native
def test_reading_what_is_out_of_use_is_found(monkeypatch):
    real = native_plans.slots_of

    def too_short(*arguments, **named):
        slots = real(*arguments, **named)
        for slot in slots:
            slot.free_after = min(slot.free_after, 0)  # after the product, nobody may read it
        return slots

    monkeypatch.setattr(native_plans, "slots_of", too_short)
    with pytest.raises(ExecutionError, match="memory that is not in use"):
        evaluated()


@needs_native
def test_a_wrong_kernel_is_named_with_its_step(monkeypatch):
    real = native.numba_code

    def wrong(kernel):
        code = real(kernel)
        return dataclasses.replace(code, source=code.source.replace("tanh_f32", "exp_f32"))

    monkeypatch.setattr(native, "numba_code", wrong)
    with pytest.raises(ExecutionError, match=r"native code and NumPy differ[\s\S]*where: step \d+ \(Map\)"):
        evaluated()


@pytest.mark.skipif(not (jit.available() and onednn.available()), reason="no numba or no oneDNN here")
@pytest.mark.parametrize("name", MODELS)
def test_native_rows_stay_inside_their_buffers(name):
    out, x, minibatches = MODELS[name]()
    wrt = [x, *out.parameters]
    for data in minibatches:
        with settings.option(background_compilation=False):
            want = out.grad({x: data}, wrt=wrt, outputs=[out.output])
        with settings.option(background_compilation=False, checked=True, native_after=0):
            got = out.grad({x: data}, wrt=wrt, outputs=[out.output])
            assert bounds.native_of(_plan(out, wrt)).guards is not None
        for a, b in zip(_flat(got), _flat(want), strict=True):
            # gradients through normalization are small differences of large sums
            np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5 * max(1, np.abs(b).max(initial=0)))


@pytest.mark.skipif(not (jit.available() and onednn.available()), reason="no numba or no oneDNN here")
def test_a_plan_tells_where_its_steps_run():
    out, x, _ = MODELS["attention"]()
    text = explain(bounds.bound_of(_plan(out, [x, *out.parameters])))
    assert "# cblas one by one, or oneDNN if large, 288 flop/row" in text  # 2 x 6 x 6 x 4: queries by keys
    assert "ns/row" in text
    assert "NumPy" not in text
