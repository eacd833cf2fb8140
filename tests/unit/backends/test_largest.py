"""Max pooling of windows that hold no number, or none above the lowest, on every tier."""

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab.backends.cpu import executor, kernels, onednn
from cntk_lab.backends.cpu.window import Window

if not onednn.available():
    pytest.skip("oneDNN is not there", allow_module_level=True)

LOWEST = np.finfo(np.float32).min
INF, NAN = np.inf, np.nan
GEOMETRIES = {
    "halves": Window((2, 3, 4, 6), (2, 2), (2, 2), (0, 0), (0, 0)),
    "overlapping, padded": Window((3, 2, 5, 4), (3, 3), (2, 1), (1, 1), (1, 1)),
    "one axis": Window((4, 1, 9), (3,), (2,), (1,), (1,)),
    "three axes": Window((1, 2, 3, 4, 5), (2, 2, 3), (1, 2, 2), (0, 1, 0), (1, 0, 1)),
    "more than a block": Window((2, 17, 24, 24), (2, 2), (1, 1), (0, 0), (0, 0)),
}


def images(window, seed):
    """Numbers among which many windows hold no other than -inf, the lowest number and NaN."""
    rng = np.random.default_rng(seed)
    x = rng.choice(np.array([-INF, LOWEST, NAN, 1.0], np.float32), window.source, p=[0.4, 0.2, 0.3, 0.1])
    x[x == 1] = rng.permutation(x.size).reshape(x.shape)[x == 1]
    x[0, 0] = rng.choice(np.array([-INF, NAN], np.float32), x[0, 0].shape)
    return x


def by_definition(window, x, dy):
    """Results and gradient by loops over windows: NaN is never the largest, the first of equals gets the gradient."""
    y, dx = np.full(window.target(), -INF, np.float32), np.zeros(x.shape, np.float32)
    for at in np.ndindex(y.shape):
        begin = [o * s - p for o, s, p in zip(at[2:], window.strides, window.lower, strict=True)]
        ends = zip(begin, window.kernel, x.shape[2:], strict=True)
        where = (*at[:2], *(slice(max(b, 0), min(b + k, n)) for b, k, n in ends))
        seen = x[where]
        numbers = seen[~np.isnan(seen)]
        if numbers.size:
            y[at] = numbers.max()
            first = np.unravel_index(np.argmax(seen == y[at]), seen.shape)
            dx[where][first] += dy[at]
    return y, dx


def run(rows, how):
    """Run rows from Python, or as the executor's table."""
    if how == "python":
        rows()
        return
    assert all(h.wait() for h in rows.handles())
    executor.load().wait()
    table = np.array(rows.table(), np.int64)
    assert executor.load().run(table) == -1


def stored(x, last):
    return np.ascontiguousarray(np.moveaxis(x, 1, -1) if last else x)


@pytest.mark.parametrize("how", ["python", "table"])
@pytest.mark.parametrize("last", [(), ("source",), ("target",), ("source", "target")], ids=str)
@pytest.mark.parametrize("name", GEOMETRIES)
def test_a_window_without_a_number_is_minus_infinity(name, last, how):
    window = GEOMETRIES[name]
    x = images(window, 1)
    expected, _ = by_definition(window, x, np.zeros(window.target(), np.float32))
    assert np.isinf(expected).any()
    assert (expected == LOWEST).any()
    rows = kernels.plan_pooling("max", window, frozenset(last))
    source, y = stored(x, "source" in last), stored(np.zeros(window.target(), np.float32), "target" in last)
    rows.set("source", source)
    rows.set("target", y)
    run(rows, how)
    np.testing.assert_array_equal(y, stored(expected, "target" in last))


@pytest.mark.parametrize("how", ["python", "table"])
@pytest.mark.parametrize("last", [False, True], ids=["first", "last"])
@pytest.mark.parametrize("name", GEOMETRIES)
def test_its_gradient_goes_to_the_first_element_that_is_the_largest(name, last, how):
    window = GEOMETRIES[name]
    x = images(window, 2)
    dy = np.random.default_rng(3).normal(size=window.target()).astype(np.float32)
    _, expected = by_definition(window, x, dy)
    rows = kernels.plan_pooling_gradient("max", window, last)
    source, given, dx = stored(x, last), stored(dy, last), stored(np.full(x.shape, NAN, np.float32), last)
    rows.set("source", source)
    rows.set("target_gradient", given)
    rows.set("source_gradient", dx)
    run(rows, how)
    np.testing.assert_allclose(dx, stored(expected, last), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(given, stored(dy, last))


@pytest.mark.parametrize("name", ["halves", "three axes"])
def test_programs_pool_alike_however_often_they_run(name):
    window = GEOMETRIES[name]
    exact = Window(window.source, window.kernel, window.strides, (0,) * len(window.kernel), (0,) * len(window.kernel))
    x = images(exact, 4)
    y, dx = by_definition(exact, x, np.ones(exact.target(), np.float32))
    v = C.input_variable(x.shape[1:], needs_gradient=True)
    z = C.pooling(v, C.MAX_POOLING, exact.kernel, exact.strides)
    for _ in range(5):
        np.testing.assert_array_equal(z.eval({v: x}), y)
        np.testing.assert_array_equal(z.grad({v: x}, wrt=[v]), dx)


def test_values_as_cntk_gives_them():
    v = C.input_variable((1, 2, 4), needs_gradient=True)
    z = C.pooling(v, C.MAX_POOLING, (2, 2), (2, 2))
    x = np.array([[[NAN, -INF, 1, 2], [-INF, -INF, 3, NAN]]], np.float32)[None]
    w = C.input_variable((1, 3, 3), needs_gradient=True)
    padded = C.pooling(w, C.MAX_POOLING, (3, 3), (2, 2), [True])
    nothing = np.full((1, 1, 3, 3), -INF, np.float32)
    for _ in range(5):
        assert z.eval({v: x}).tolist() == [[[[-INF, 3.0]]]]
        assert z.grad({v: x}, wrt=[v]).tolist() == [[[[0, 1, 0, 0], [0, 0, 1, 0]]]]
        assert padded.eval({w: nothing}).tolist() == [[[[-INF, -INF]] * 2]]
        assert padded.grad({w: nothing}, wrt=[w]).tolist() == [[[[1, 1, 0], [1, 1, 0], [0, 0, 0]]]]
