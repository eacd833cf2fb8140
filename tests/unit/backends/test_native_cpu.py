# ruff: noqa: E501, PTH110  (one case a line)
"""The native CPU tier: compiled kernels, the table executor, oneDNN, BLAS and threads against NumPy."""

import itertools
import os

import numpy as np
import pytest

from cntk_lab import settings
from cntk_lab.backends.cpu import blas, executor, jit, kernels, onednn, threads
from cntk_lab.errors import AttributeValueError, NotAvailableError
from cntk_lab.formula.expr import ROWS, input_, reduce
from cntk_lab.formula.kernel import Kernel, Operand
from cntk_lab.formula.print_numba import numba_code

native = pytest.mark.skipif(jit.why_not() is not None, reason="no numba")
dnnl = pytest.mark.skipif(onednn.why_not() is not None, reason="no oneDNN")
cblas = pytest.mark.skipif(blas.why_not() is not None, reason="no cblas by address")
NOTHING = "def kernel(block, thread, threads, phase):\n    pass\n"
x = input_("x")


@pytest.fixture(scope="module")
def engine():
    found = executor.load()
    assert found.wait(240), found.failure()
    return found


def table(*rows):
    return np.array(rows, np.int64).reshape(-1, executor.FIELDS)


@native
def test_running_compiled_kernels_never_imports_numba(tmp_path):
    import subprocess
    import sys

    assert jit.request(NOTHING).wait(240)
    code = f"import sys; from cntk_lab.backends.cpu import jit; h = jit.request({NOTHING!r}); print(h.ready(), 'numba' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["True", "False"]


@native
@pytest.mark.parametrize("kind", ["file in the way", "damaged entry", "open to others"])
def test_an_unusable_cache_costs_time_only(tmp_path, kind):
    folder = tmp_path / "cache"
    source = NOTHING + f"# {kind}\n"
    if kind == "file in the way":
        folder.write_text("no folder")
    else:
        folder.mkdir(mode=0o700)
        if kind == "open to others":
            folder.chmod(0o777)
        else:
            (folder / f"{jit._key(source, jit.KERNEL_SIGNATURE)}.o").write_bytes(b"cntk-lab kernel 1\nname 00\nrubbish")
    with settings.option(cache_folder=str(folder)):
        assert jit.request(source).wait(240)


@native
def test_a_new_kernel_is_kept_privately(tmp_path):
    with settings.option(cache_folder=str(tmp_path / "new")):
        handle = jit.request(NOTHING + "# kept\n")
        assert handle.wait(240)
        (entry,) = (tmp_path / "new").iterdir()
        assert entry.stat().st_mode & 0o077 == 0
        assert (tmp_path / "new").stat().st_mode & 0o077 == 0
        jit.forget()
        assert jit.request(NOTHING + "# kept\n").ready()


@native
def test_a_kernel_that_does_not_compile_says_why_once():
    handle = jit.request("def kernel(block, thread, threads, phase):\n    no_such_word(block)\n")
    assert not handle.wait(240)
    assert "no_such_word" in (handle.failure or "")
    with pytest.raises(NotAvailableError, match="no machine code"):
        _ = handle.address


@native
@pytest.mark.parametrize("count", [1, 2])
def test_kernel_rows_run_on_threads_and_meet_between_phases(engine, count):
    kernel = Kernel((33,), True, (Operand("x", (33,), True),), (
        (Operand("o", (33,), True), x - reduce("sum", x, [ROWS])), (Operand("s", (33,), False), reduce("sum", x, [ROWS])),
    ))  # fmt: skip
    code = numba_code(kernel)
    handle = jit.request(code.source)
    assert handle.wait(240), handle.failure
    a = np.random.default_rng(1).standard_normal((500, 33)).astype(np.float32)
    o, s = np.zeros_like(a), np.zeros((1, 33), np.float32)
    scratch = onednn.aligned(code.scratch_bytes(count))
    block = np.array([a.ctypes.data, o.ctypes.data, s.ctypes.data, 500, scratch.ctypes.data], np.int64)
    row = executor.kernel_row(handle.address, block.ctypes.data, count, code.phases)
    times = np.zeros(1, np.int64)
    for _ in range(20):
        assert engine.run(table(row), times) == -1
    np.testing.assert_allclose(s, a.sum(0, keepdims=True), atol=1e-4)
    np.testing.assert_allclose(o, a - a.sum(0), atol=1e-4)
    assert times[0] > 0 or not engine.can_time()


@native
@cblas
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gemm_rows_multiply(engine, dtype):
    rng = np.random.default_rng(2)
    for (m, n, k), ta, tb in itertools.product([(1, 1, 1), (7, 3, 5), (33, 17, 65)], (False, True), (False, True)):
        a = rng.standard_normal((k, m) if ta else (m, k)).astype(dtype)
        b = rng.standard_normal((n, k) if tb else (k, n)).astype(dtype)
        c = np.ones((m, n), dtype)
        block = blas.gemm_block(
            m, n, k, a=a.ctypes.data, b=b.ctypes.data, c=c.ctypes.data, transpose_a=ta, transpose_b=tb, alpha=2, beta=3
        )
        assert engine.run(table(executor.gemm_row(block, c.itemsize))) == -1
        np.testing.assert_allclose(c, 2 * ((a.T if ta else a) @ (b.T if tb else b)) + 3, rtol=1e-4, atol=1e-4)


@native
def test_copy_and_fill_reach_the_last_byte_and_no_further(engine):
    a, b, c = np.arange(29, dtype=np.uint8), np.zeros(32, np.uint8), np.ones(32, np.uint8)
    engine.run(table(executor.copy_row(b.ctypes.data, a.ctypes.data, 29), executor.fill_row(c.ctypes.data, 29)))
    assert b[:29].tolist() == a.tolist() and b[29:].tolist() == [0, 0, 0] and c.sum() == 3  # noqa: PT018


@native
@pytest.mark.parametrize("count", [1, 2])
def test_a_loop_runs_each_share_step_by_step(engine, count):
    """h(t) = h(t-1) + x(t) over slabs of shrinking size, two shares of sequences; the first step has no predecessor."""
    h = input_("h")
    step = numba_code(
        Kernel((), True, (Operand("x", (), True), Operand("h", (), True)), ((Operand("o", (), True), x + h),))
    )
    handle = jit.request(step.source)
    assert handle.wait(240), handle.failure
    lengths, shares, expected, kept = [[3, 2, 2], [4, 1]], [], [], []
    for own in lengths:
        live = [sum(n > t for n in own) for t in range(max(own))]
        first = np.concatenate([[0], np.cumsum(live)])
        a, o = np.arange(1.0, first[-1] + 1).astype(np.float32), np.zeros(first[-1] + 8, np.float32)
        expected.append(
            (o, [a[[first[t] for t in range(n)] + np.int64(i)].sum() for i, n in enumerate(own)], own, first)
        )
        block = np.zeros(step.fields(), np.int64)
        slabs = np.array([[first[t], live[t], first[t - 1] if t else first[-1], t] for t in range(len(live))], np.int64)
        at = block.ctypes.data
        body = table(executor.fill_row(o.ctypes.data, 0), executor.kernel_row(handle.address, at))
        patches = np.array(
            [
                [at, a.ctypes.data, 4, 0, 0],
                [at + 8, o.ctypes.data, 4, 2, 0],
                [at + 16, o.ctypes.data, 4, 0, 0],
                [at + 24, 0, 1, 1, 0],
            ],
            np.int64,
        )
        body[0, 7] = 4  # only where a step before exists
        shares.append(executor.Share(body, slabs, patches))
        kept += [a, block]
    loop = executor.Loop(shares)
    for _ in range(3):
        assert engine.run(table(executor.loop_row(loop, count))) == -1
    for o, sums, own, first in expected:
        assert [float(o[first[n - 1] + i]) for i, n in enumerate(own)] == [float(s) for s in sums]


@native
def test_wrong_tables_are_refused(engine):
    with pytest.raises(ValueError, match="needs dense int64"):
        engine.run(np.zeros((2, 3), np.int64))


@native
@dnnl
@cblas
@pytest.mark.parametrize("post", [(), ("tanh",), ("logistic",)])
def test_onednn_products_take_bias_activation_and_sum(engine, post):
    rng = np.random.default_rng(3)
    a, b, bias, c = (rng.standard_normal(s).astype(np.float32) for s in ((7, 5), (11, 5), (11,), (7, 11)))
    expected = a @ b.T + bias + 0.5 * c
    expected = {"tanh": np.tanh, "logistic": lambda z: 1 / (1 + np.exp(-z))}.get((*post, "")[0], lambda z: z)(expected)
    bound = onednn.matmul(7, 11, 5, transpose_b=True, bias=True, post=post, beta=0.5).bind(
        {"source": a, "weights": b, "bias": bias}
    )
    bound.set("target", c)
    assert engine.run(table(executor.primitive_row(bound.row()))) == -1
    np.testing.assert_allclose(c, expected, atol=2e-5)


def correlate(w, a, strides, lower, upper, dilation, groups):
    spatial = w.shape[2:]
    a = np.pad(a.astype(float), [(0, 0), (0, 0), *zip(lower, upper, strict=True)])
    size = [(a.shape[2 + i] - (spatial[i] - 1) * dilation[i] - 1) // strides[i] + 1 for i in range(len(spatial))]
    y, c, m = np.zeros((a.shape[0], w.shape[0], *size)), a.shape[1] // groups, w.shape[0] // groups
    for k in itertools.product(*map(range, spatial)):
        part = a[
            (
                slice(None),
                slice(None),
                *(
                    slice(k[i] * dilation[i], k[i] * dilation[i] + (size[i] - 1) * strides[i] + 1, strides[i])
                    for i in range(len(k))
                ),
            )
        ]
        for g in range(groups):
            y[:, g * m : (g + 1) * m] += np.einsum(
                "mc,nc...->nm...", w[(slice(g * m, (g + 1) * m), slice(None), *k)], part[:, g * c : (g + 1) * c]
            )
    return y


@dnnl
@pytest.mark.parametrize("case", [
    (2, 3, 5, (7, 6), (3, 2), (2, 1), (1, 0), (0, 1), (1, 2), 1), (3, 4, 8, (9,), (3,), (1,), (1,), (1,), (2,), 2),
    (1, 2, 4, (4, 5, 6), (2, 2, 3), (1, 2, 1), (0, 1, 1), (1, 0, 1), (1, 1, 1), 1), (1, 4, 4, (5, 5), (3, 3), (1, 1), (1, 1), (1, 1), (1, 1), 4),
    (0, 4, 4, (5, 5), (3, 3), (1, 1), (1, 1), (1, 1), (1, 1), 1),
])  # fmt: skip
def test_convolution_and_its_gradients_are_adjoint(case):
    batch, channels, maps, spatial, window, strides, lower, upper, dilation, groups = case
    rng = np.random.default_rng(4)
    a, w = (
        rng.standard_normal(s).astype(np.float32)
        for s in ((batch, channels, *spatial), (maps, channels // groups, *window))
    )
    attributes = {"strides": strides, "lower_pad": lower, "upper_pad": upper, "dilation": dilation, "groups": groups}
    expected = correlate(w, a, strides, lower, upper, dilation, groups)
    y = kernels.convolution(w, a, **attributes, out=np.empty(expected.shape, np.float32))
    np.testing.assert_allclose(y, expected, atol=1e-5)
    dy = rng.standard_normal(y.shape).astype(np.float32)
    inner = float((dy * expected).sum())
    dx = kernels.convolution_input_gradient(dy, w, x_shape=a.shape, **attributes)
    dw = kernels.convolution_weights_gradient(dy, a, weights_shape=w.shape, **attributes)
    assert float((dx.astype(float) * a).sum()) == pytest.approx(inner, abs=1e-4)
    assert float((dw.astype(float) * w).sum()) == pytest.approx(inner, abs=1e-4)


@dnnl
@pytest.mark.parametrize("kind", ["max", "average"])
def test_pooling_and_its_gradient(kind):
    a = np.random.default_rng(5).standard_normal((2, 3, 6, 6)).astype(np.float32)
    attributes = {"pooling_window": (2, 2), "strides": (2, 2), "kind": kind}
    y = kernels.pooling(a, **attributes)
    parts = a.reshape(2, 3, 3, 2, 3, 2)
    np.testing.assert_allclose(y, parts.max((3, 5)) if kind == "max" else parts.mean((3, 5)), atol=1e-6)
    dx = kernels.pooling_gradient(np.ones_like(y), a, **attributes)
    wanted = parts == parts.max((3, 5), keepdims=True) if kind == "max" else np.full(parts.shape, 0.25)
    np.testing.assert_allclose(dx.reshape(parts.shape), wanted)


def test_small_work_stays_on_one_thread():
    before = threads._chosen
    try:
        threads.set_num_threads(4)
        assert threads.threads_for(100.0) == 1
        assert threads.threads_for(1e9) == (4 if threads.gomp() else 1)
        with pytest.raises(AttributeValueError, match="-1 is less than 0"):
            threads.set_num_threads(-1)
    finally:
        threads.set_num_threads(before)


@dnnl
def test_onednn_can_be_switched_off():
    with settings.option(onednn=False):
        assert "switched off" in (onednn.why_not() or "")
        assert not onednn.available()
    assert onednn.available()
    assert os.path.exists(onednn.loaded().path)
