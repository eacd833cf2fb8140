"""Products with a thin side: the numbers of NumPy at all sizes, nothing written beside, the same bits everywhere."""

import numpy as np
import pytest

from cntk_lab.backends.cpu import executor, jit, thin

pytestmark = pytest.mark.skipif(not thin.available(), reason="no numba, or no processor with vectors of 16 floats")

ROWS = (0, 1, 2, 7, 64, 65)
LONG = (1, 2, 16, 17, 63, 64, 65, 784)
COLUMNS = (1, 2, 7, 10, 13, 16)
BESIDE = 24
"""Elements around an array, and between its rows, that nobody may touch."""


class Matrix:
    """A matrix inside of larger memory that is nan (or a mark) everywhere else."""

    def __init__(self, values, between=3):
        rows, columns = values.shape
        self.pitch = columns + between
        self.memory = np.full(2 * BESIDE + max(0, rows * self.pitch - between), np.nan, np.float32)
        inside = self.memory[BESIDE : len(self.memory) - BESIDE]
        self.values = np.lib.stride_tricks.as_strided(inside, (rows, columns), (4 * self.pitch, 4))
        self.values[...] = values
        self.address = inside.ctypes.data

    def beside_is_untouched(self):
        marks = int(np.isnan(self.memory).sum() - np.isnan(self.values).sum())
        return marks == self.memory.size - self.values.size


def run(form, a, b, c, n, finish="", threads=1, **operands):
    """The product's result in c."""
    handle = thin.kernel(form, n, finish)
    assert handle.wait(120), handle.failure
    rows, long = {
        "forward": lambda: a.values.shape,
        "gradient": lambda: a.values.shape,
        "inputs": lambda: (len(a.values), len(b.values)),
    }[form]()
    scratch = np.full(threads * thin.scratch_bytes(n, long), 255, np.uint8)
    block = np.zeros(len(thin.FIELDS), np.int64)
    fields = {"a": a.address, "a_row": a.pitch, "b": b.address, "b_row": b.pitch, "c": c.address, "c_row": c.pitch}
    fields |= {"rows": rows, "each": 1, "long": long, "scratch": scratch.ctypes.data, **operands}
    for name, value in fields.items():
        block[thin.AT[name]] = value
    native = executor.load()
    assert native.wait(120)
    table = np.array([executor.kernel_row(handle.address, block.ctypes.data, threads)], np.int64)
    assert native.run(table) == -1


def operands_of(form, rows, long, n, rng):
    """a, b and the shape of c."""
    shapes = {
        "forward": ((rows, long), (long, n), (rows, n)),
        "gradient": ((rows, long), (rows, n), (long, n)),
        "inputs": ((rows, n), (long, n), (rows, long)),
    }[form]
    return *(rng.normal(size=s).astype(np.float32) for s in shapes[:2]), shapes[2]


def reference(form, a, b):
    a, b = a.astype(np.float64), b.astype(np.float64)
    with np.errstate(invalid="ignore"):
        return {"forward": lambda: a @ b, "gradient": lambda: a.T @ b, "inputs": lambda: a @ b.T}[form]()


@pytest.mark.parametrize("form", thin.FORMS)
@pytest.mark.parametrize("n", COLUMNS)
def test_products_equal_numpy_and_touch_nothing_beside(form, n):
    rng = np.random.default_rng(n)
    for rows in ROWS:
        for long in LONG:
            x, y, shape = operands_of(form, rows, long, n, rng)
            a, b, c = Matrix(x), Matrix(y), Matrix(np.zeros(shape, np.float32))
            run(form, a, b, c, n)
            # float32 sums of at most 784 products of about 1: 784 half units in the last place of 28
            assert np.allclose(c.values, reference(form, x, y), rtol=1e-5, atol=2e-4), (rows, long)
            assert c.beside_is_untouched(), (rows, long)


@pytest.mark.parametrize("form", thin.FORMS)
def test_bits_do_not_depend_on_threads_or_on_the_position(form):
    rng = np.random.default_rng(3)
    n = 10
    x, y, shape = operands_of(form, 65, 81, n, rng)
    a, b, whole = Matrix(x), Matrix(y), Matrix(np.zeros(shape, np.float32))
    run(form, a, b, whole, n)
    for threads in (2, 3):
        shared = Matrix(np.zeros(shape, np.float32))
        run(form, a, b, shared, n, threads=threads)
        assert np.array_equal(shared.values, whole.values)
    for first in (1, 2, 40, 64):  # elements further behind lie elsewhere in tiles
        cut_a, cut_b = {
            "forward": (x[first:], y),
            "gradient": (x[:, first:], y),
            "inputs": (x[first:], y),
        }[form]
        part = Matrix(np.zeros((shape[0] - first, shape[1]), np.float32))
        run(form, Matrix(cut_a), Matrix(cut_b), part, n)
        assert np.array_equal(part.values, whole.values[first:])


@pytest.mark.parametrize("form", thin.FORMS)
def test_what_is_not_finite_stays_where_it_is(form):
    rng = np.random.default_rng(5)
    n = 7
    x, y, shape = operands_of(form, 19, 37, n, rng)
    x[3, 5], x[4, 6] = np.nan, np.inf
    c = Matrix(np.zeros(shape, np.float32))
    run(form, Matrix(x), Matrix(y), c, n)
    wanted = reference(form, x, y)
    assert np.array_equal(np.isnan(c.values), np.isnan(wanted))
    assert np.array_equal(np.isposinf(c.values), np.isposinf(wanted))
    assert np.isfinite(c.values).sum() == np.isfinite(wanted).sum() > 0


@pytest.mark.parametrize("form", thin.FORMS)
def test_adds_to_what_the_result_held(form):
    rng = np.random.default_rng(6)
    x, y, shape = operands_of(form, 21, 70, 10, rng)
    before = rng.normal(size=shape).astype(np.float32)
    plain, c = Matrix(np.zeros(shape, np.float32)), Matrix(before)
    run(form, Matrix(x), Matrix(y), plain, 10)
    run(form, Matrix(x), Matrix(y), c, 10, "add")
    assert np.array_equal(c.values, before + plain.values)
    assert c.beside_is_untouched()


def test_a_bias_has_the_bits_of_numpy():
    rng = np.random.default_rng(7)
    x, y, shape = operands_of("forward", 13, 70, 13, rng)
    x[2, 3] = np.nan
    bias = rng.normal(size=13).astype(np.float32)
    plain, c = Matrix(np.zeros(shape, np.float32)), Matrix(np.zeros(shape, np.float32))
    run("forward", Matrix(x), Matrix(y), plain, 13)
    run("forward", Matrix(x), Matrix(y), c, 13, "bias", bias=bias.ctypes.data)
    assert np.array_equal(c.values, plain.values + bias, equal_nan=True)
    assert np.isnan(c.values[2]).all()
    assert c.beside_is_untouched()


@pytest.mark.parametrize("long", [5, 16, 81])
def test_the_learners_step_has_the_bits_of_its_formulas(long):
    rng = np.random.default_rng(8)
    n = 10
    x, y, shape = operands_of("gradient", 21, long, n, rng)
    before, pace = (rng.normal(size=shape).astype(np.float32) for _ in range(2))
    s, t, m = (np.full(1, v, np.float32) for v in (0.3, 0.7, 0.9))
    numbers = {"s": s.ctypes.data, "t": t.ctypes.data, "m": m.ctypes.data}
    g = Matrix(np.zeros(shape, np.float32))
    run("gradient", Matrix(x), Matrix(y), g, n)

    p = Matrix(before)
    run("gradient", Matrix(x), Matrix(y), p, n, "step", **numbers)
    assert np.array_equal(p.values, before - s * g.values)
    assert p.beside_is_untouched()

    p, v = Matrix(before), Matrix(pace)
    run("gradient", Matrix(x), Matrix(y), p, n, "momentum", velocity=v.address, **numbers)
    assert np.array_equal(v.values, m * pace + (s * t) * g.values)
    assert np.array_equal(p.values, before - v.values)
    assert p.beside_is_untouched()
    assert v.beside_is_untouched()


def test_the_kernel_of_the_same_product_is_the_same():
    assert thin.kernel("forward", 10) is thin.kernel("forward", 10)
    assert jit.request(thin._source("forward", 10, "")) is thin.kernel("forward", 10)


@pytest.mark.parametrize("n", range(1, thin.MOST + 1))
def test_groups_of_columns_cover_all_of_them_once(n):
    covered = [j for first, count in thin.groups(n) for j in range(first, first + count)]
    assert covered == list(range(n))
