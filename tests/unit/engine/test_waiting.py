"""While kernels are being compiled, large convolutions run in oneDNN and give what NumPy gives."""

import gc
import weakref

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab import settings
from cntk_lab.backends.cpu import onednn
from cntk_lab.engine.arrays.interpreter import Interpreter
from cntk_lab.engine.arrays.run import Run, State
from cntk_lab.engine.ask import plans
from cntk_lab.engine.cpu import waiting
from cntk_lab.engine.cpu.waiting import WaitingInterpreter
from cntk_lab.engine.make.wanted import Wanted
from cntk_lab.graph import ports
from cntk_lab.tensor.layout import Layout
from tests.unit.engine import bounds
from tests.unit.engine.bounds import plan_for

pytestmark = pytest.mark.skipif(not onednn.available(), reason="no oneDNN here")
_rng = np.random.default_rng(2)


def weight(*shape):
    return C.parameter(init=(_rng.normal(size=shape) * 0.3).astype(np.float32))


def convnet(pooling, dtype=np.float32):
    x = C.input_variable((3, 12, 11), needs_gradient=True, dtype=dtype)
    w = C.parameter(init=(_rng.normal(size=(5, 3, 3, 3)) * 0.3).astype(dtype), dtype=dtype)
    h = C.relu(C.convolution(w, x, auto_padding=[False, True, True]))
    return x, C.pooling(h, pooling, (2, 2), (2, 2))


def plan_of(x, out):
    return plan_for(Wanted(outputs=out.outputs, gradients=(x, *out.parameters), roots=out.outputs, training=True))


def results(interpreter, plan, rows, dtype=np.float32):
    """All outputs of a plan for random rows, and which steps NumPy did."""
    run = Run({"#": Layout.of(np.ones(rows, np.int64))}, State(), training=True)
    rng = np.random.default_rng(8)
    for b in plan.buffers:
        if b.role == "input":
            run.arrays[b.id] = rng.normal(size=(rows, *b.shape)).astype(dtype)
        elif b.variable is not None:
            run.arrays[b.id] = b.variable.storage.array[None]
    interpreter.run(run)
    return {name: run.arrays[n] for name, n in plan.outputs.items()}


@pytest.mark.parametrize("pooling", [C.MAX_POOLING, C.AVG_POOLING])
@pytest.mark.parametrize("rows", [0, 1, 64])
def test_results_are_those_of_numpy(pooling, rows):
    x, out = convnet(pooling)
    plan = plan_of(x, out)
    got, want = results(WaitingInterpreter(plan), plan, rows), results(Interpreter(plan), plan, rows)
    assert len(got) == 3
    for name, value in want.items():
        assert got[name].shape == value.shape
        np.testing.assert_allclose(got[name], value, rtol=1e-4, atol=1e-4, err_msg=name)


@pytest.mark.parametrize(
    ("rows", "dtype", "by_library"), [(64, np.float32, True), (1, np.float32, False), (64, np.float64, False)]
)
def test_only_what_is_large_and_of_32_bits_goes_to_the_library(monkeypatch, rows, dtype, by_library):
    x, out = convnet(C.MAX_POOLING, dtype)
    plan = plan_of(x, out)
    used = []
    made = waiting.aligned_empty
    monkeypatch.setattr(waiting, "aligned_empty", lambda *a: used.append(a) or made(*a))
    results(WaitingInterpreter(plan), plan, rows, dtype)
    assert bool(used) == by_library


def test_numpy_alone_serves_where_native_code_is_not_wanted(monkeypatch):
    x, out = convnet(C.MAX_POOLING)
    data = _rng.normal(size=(64, 3, 12, 11)).astype(np.float32)
    with settings.option(native=False):
        want = out.eval({x: data})
    monkeypatch.setattr(waiting, "aligned_empty", lambda *_: pytest.fail("the library was used"))
    with settings.option(native=False):
        np.testing.assert_array_equal(out.eval({x: data}), want)


def test_what_was_made_of_a_plan_goes_with_it():
    x, out = convnet(C.MAX_POOLING)
    data = _rng.normal(size=(64, 3, 12, 11)).astype(np.float32)
    plan = plan_of(x, out)
    with settings.option(native_after=0, background_compilation=False):
        out.grad({x: data}, wrt=[x, *out.parameters], outputs=out.outputs)
    bound = bounds.bound_of(plan)
    for made in (bound.interpreter, bound.waiting):
        results(made, plan, 64)
    made = [weakref.ref(x) for x in (plan, bound, bound.interpreter, bound.waiting, bound.native)]
    plans._cache.clear()
    ports.use("executor")._memory._asked.clear()
    del x, out, plan, bound
    gc.collect()
    assert [r() for r in made] == [None] * len(made)
