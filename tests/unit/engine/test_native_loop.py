"""Native recurrences: the executor's loops give what NumPy gives, for any lengths, without a new plan or binding."""

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab import settings
from cntk_lab.backends.cpu import jit, onednn, threads
from cntk_lab.engine.cpu.loop import LoopStep
from cntk_lab.engine.make.wanted import Wanted
from cntk_lab.engine.plan import Loop
from tests.unit.engine import bounds
from tests.unit.engine.bounds import plan_for

pytestmark = pytest.mark.skipif(not jit.available(), reason="no numba here")


def gated(dtype, delay, n=4):
    """A recurrent cell of two gates and a memory, with a learned initial state."""
    rng = np.random.default_rng(3)
    x = C.sequence.input_variable(3, dtype=dtype, needs_gradient=True)

    def weight(*shape):
        return C.parameter(init=(rng.normal(size=shape) / n**0.5).astype(dtype))

    w, u, r, s, start = weight(3, n), weight(3, n), weight(n, n), weight(n, n), weight(n)
    h, c = C.placeholder(), C.placeholder()
    before, memory = delay(h, start), delay(c)
    gate = C.sigmoid(C.times(x, w) + C.times(before, r))
    cell = gate * memory + (1 - gate) * C.tanh(C.times(x, u) + C.times(before, s))
    out = C.tanh(cell)
    out.replace_placeholders({h: out.output, c: cell.output})
    return out, x, [w, u, r, s, start]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("count", [1, 2])
def test_loops_agree_with_numpy_for_any_lengths(dtype, backward, count):
    delay = C.sequence.future_value if backward else C.sequence.past_value
    out, x, parameters = gated(dtype, delay)
    rng = np.random.default_rng(4)
    tolerance = {"rtol": 1e-4, "atol": 1e-5} if dtype == "float32" else {"rtol": 1e-10, "atol": 1e-12}
    before = threads.get_num_threads()
    try:
        with settings.option(background_compilation=False, native_after=0):
            threads.set_num_threads(count)
            for lengths in ((2, 5, 1, 3), (1,), (7, 7, 7), (1, 40), (3, 2, 2, 5, 1)):
                data = {x: [rng.normal(size=(n, 3)).astype(dtype) for n in lengths]}
                with settings.option(native=False):
                    values, gradients = out.eval(data), out.grad(data, wrt=[*parameters, x])
                for got, want in zip(out.eval(data), values, strict=True):
                    np.testing.assert_allclose(got, want, **tolerance)
                native = out.grad(data, wrt=[*parameters, x])
                for p in parameters:
                    np.testing.assert_allclose(native[p], gradients[p], **tolerance)
                for got, want in zip(native[x], gradients[x], strict=True):
                    np.testing.assert_allclose(got, want, **tolerance)
    finally:
        threads.set_num_threads(before)
    plan = plan_for(Wanted(gradients=(*parameters, x), roots=(out.output,), training=True))
    found = bounds.native_of(plan)
    assert found is not None
    loops = [own for s, own in zip(plan.steps, found.steps, strict=True) if isinstance(s, Loop)]
    assert len(loops) == 2
    assert all(isinstance(own, LoopStep) for own in loops)


@pytest.mark.skipif(not onednn.available(), reason="no oneDNN here")
@pytest.mark.parametrize("count", [1, 2])
def test_large_weights_are_packed_for_slabs_of_few_rows_and_not_for_many(count):
    out, x, parameters = gated("float32", C.sequence.past_value, n=184)
    rng = np.random.default_rng(6)
    before = threads.get_num_threads()
    try:
        with settings.option(background_compilation=False, native_after=0):
            threads.set_num_threads(count)
            # 300 sequences of one frame and more: slabs of more rows than are packed for, then of fewer
            for lengths in ((1,) * 160 + (4,) * 130 + (9, 12) * 5, (3, 17, 16)):
                data = {x: [rng.normal(size=(n, 3)).astype("f") for n in lengths]}
                with settings.option(native=False):
                    gradients = out.grad(data, wrt=[*parameters, x])
                native = out.grad(data, wrt=[*parameters, x])
                for p in parameters:
                    scale = np.abs(gradients[p]).max()
                    np.testing.assert_allclose(native[p] / scale, gradients[p] / scale, atol=1e-5)
                for got, want in zip(native[x], gradients[x], strict=True):
                    np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-4)
            plan = plan_for(Wanted(gradients=(*parameters, x), roots=(out.output,), training=True))
            found = bounds.native_of(plan)
            packed = [own._bound._packed for own in found.steps if isinstance(own, LoopStep)]
    finally:
        threads.set_num_threads(before)
    assert len(packed) == 2
    assert all(packed)


def test_native_sequences_continue_from_the_last_minibatch():
    out, x, _ = gated("float64", C.sequence.past_value)
    rng = np.random.default_rng(5)
    whole = [rng.normal(size=(6, 3)), rng.normal(size=(4, 3))]
    with settings.option(background_compilation=False, native_after=0):
        expected = out.eval({x: whole})
        out.eval({x: [w[:2] for w in whole]})
        rest = out.eval(({x: [w[2:] for w in whole]}, [False, False]))
    for got, want in zip(rest, expected, strict=True):
        np.testing.assert_allclose(got, want[2:], rtol=1e-10)
