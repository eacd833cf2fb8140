"""Native draws: the numbers of the counter-based stream, whoever computes them."""

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab import settings
from cntk_lab.backends.cpu import draws, jit
from cntk_lab.tensor import philox

pytestmark = pytest.mark.skipif(not jit.available(), reason="no numba here")


@pytest.mark.parametrize(
    ("seed", "step", "count", "first"), [(5, 0, 5000, 0), (2**63 + 12345, 3, 4099, 2**33 + 7), (1, 2**40, 30000, 13)]
)
def test_native_words_are_those_of_the_formula(seed, step, count, first):
    assert draws._kernel().wait(120)
    blocks = -(-(first + count) // 4) - first // 4
    out = np.empty((blocks, 4), np.uint32)
    assert draws.fill(out, first // 4, step, seed)
    with settings.option(native=False):
        expected = philox.counter_words(np, seed, step, count, first)
    np.testing.assert_array_equal(out.reshape(-1)[first % 4 : first % 4 + count], expected)


def test_a_network_with_dropout_runs_on_the_native_tier_and_drops_the_same_elements():
    x = C.input_variable(64)
    dropped = C.dropout(C.relu(x + 0.0), 0.25, seed=11)
    data = np.abs(np.random.default_rng(1).normal(size=(100, 64))).astype("f") + 1
    results = []
    for native in (False, True):
        clone = dropped.clone("share")
        with settings.option(native=native, native_after=0, background_compilation=False):
            results.append(clone.forward({clone.arguments[0]: data}, [clone.output], {clone.output})[1])
    (numpy_values,), (native_values,) = (r.values() for r in results)
    np.testing.assert_array_equal(numpy_values, native_values)
    kept = numpy_values != 0
    assert 0.7 < kept.mean() < 0.8
    np.testing.assert_allclose(numpy_values[kept], (data / 0.75)[kept], rtol=1e-6)
