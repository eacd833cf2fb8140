"""Guard zones: what is written beside a buffer is found, and the native tier writes beside none."""

import ctypes

import numpy as np
import pytest

from cntk_lab import settings
from cntk_lab.backends.cpu import jit, onednn
from cntk_lab.engine import execute
from cntk_lab.engine.guards import Guards
from cntk_lab.errors import ExecutionError
from tests.unit.engine.test_native_plans import MODELS, _flat, _plan


@pytest.mark.parametrize("place", [-1, 12])
def test_writing_beside_a_buffer_is_named(place):
    guards = Guards()
    array = guards.empty((3, 4), "float32", "%7")
    guards.check("before")
    start = array.ctypes.data + 4 * place
    ctypes.c_float.from_address(start).value = 1.0
    with pytest.raises(ExecutionError) as error:
        guards.check("step 3")
    assert "%7 were overwritten" in str(error.value)
    assert "step 3" in str(error.value)
    guards.check("once more")  # the zone is whole again


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
            assert execute.native_of(_plan(out, wrt)).guards is not None
        for a, b in zip(_flat(got), _flat(want), strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5)


@pytest.mark.skipif(not (jit.available() and onednn.available()), reason="no numba or no oneDNN here")
def test_a_plan_tells_where_its_steps_run():
    out, x, _ = MODELS["attention"]()
    text = _plan(out, [x, *out.parameters]).explain()
    assert "# cblas one by one, or oneDNN if large, 288 flop/row" in text  # 2 x 6 x 6 x 4: queries by keys
    assert "ns/row" in text
    assert "NumPy" not in text
