"""On the GPU, generated kernels and the array tier compute what NumPy computes."""

import math

import numpy as np
import pytest

from cntk_lab.backends.cuda import jit
from cntk_lab.formula.expr import ROWS, input_, reduce
from cntk_lab.formula.kernel import Kernel, Operand
from cntk_lab.formula.print_numpy import numpy_function
from tests.unit.formula.formulas import data_for, kernel_of, random_formula
from tests.unit.formula.kernel_table import TABLE, TOLERANCE, arrays_for


def assert_equal_to_numpy(gpu, function, kernel, arrays, tolerance):
    expected = [np.array(a) for a in numpy_function(kernel)(np, *(a.copy() for a in arrays))]
    found = function(gpu.xp, *(gpu.to_device(a) for a in arrays))
    for got, want in zip(map(gpu.to_host, found), expected, strict=True):
        assert (got.shape, got.dtype) == (want.shape, want.dtype)
        size = max(1.0, float(np.nan_to_num(abs(want), posinf=0, nan=0).max(initial=0)))
        np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance * size)


@pytest.mark.parametrize("rows", [0, 1, 37, 5000])
@pytest.mark.parametrize("name", TABLE)
def test_generated_kernels(gpu, name, rows):
    kernel = TABLE[name]
    arrays = arrays_for(kernel, rows if kernel.rows else 1)
    many = 10 if rows * math.prod(kernel.domain) > 10**4 else 1  # long sums: rounding grows with the count
    assert_equal_to_numpy(gpu, gpu.kernel(kernel), kernel, arrays, many * TOLERANCE[kernel.dtype])


@pytest.mark.parametrize("name", TABLE)
def test_array_tier(gpu, name):
    kernel = TABLE[name]
    arrays = arrays_for(kernel, 37 if kernel.rows else 1)
    assert_equal_to_numpy(gpu, numpy_function(kernel), kernel, arrays, TOLERANCE[kernel.dtype])


@pytest.mark.parametrize("seed", range(40))
def test_random_formulas(gpu, seed):
    kernel = kernel_of(random_formula(seed))
    assert_equal_to_numpy(gpu, gpu.kernel(kernel), kernel, data_for(seed=seed), 1e-8)


def test_the_same_numbers_give_the_same_bits(gpu):
    kernel = TABLE["column: loss of everything"]
    arrays = [gpu.to_device(a) for a in arrays_for(kernel, 100_000)]
    first = gpu.to_host(gpu.kernel(kernel)(gpu.xp, *arrays)[0]).tobytes()
    assert all(gpu.to_host(gpu.kernel(kernel)(gpu.xp, *arrays)[0]).tobytes() == first for _ in range(20))


def test_generated_kernels_replay_in_a_graph(gpu):
    cupy = gpu.xp
    kernel = Kernel(
        (64,),
        False,
        (Operand("p", (64,), False),),
        ((Operand("p", (64,), False), input_("p") + 1.0),),
        in_place=(("p", "p"),),
    )
    array = gpu.to_device(np.zeros((1, 64), "float32"))
    compute = gpu.kernel(kernel)
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        compute(cupy, array)
        stream.synchronize()
        stream.begin_capture()
        for _ in range(5):
            compute(cupy, array)
        graph = stream.end_capture()
        for _ in range(3):
            graph.launch(stream)
        stream.synchronize()
    assert gpu.to_host(array).tolist() == [[16.0] * 64]


def test_a_damaged_file_of_machine_code_is_compiled_anew(gpu, tmp_path):
    from cntk_lab import settings

    kernel = Kernel(
        (3,), True, (Operand("x", (3,), True),), ((Operand("y", (1,), True), reduce("sum", input_("x") * 3.25, [-1])),)
    )
    source = jit.cuda_source(kernel)
    with settings.option(cache_folder=str(tmp_path)):
        architecture = f"sm_{gpu.xp.cuda.Device().compute_capability}"
        jit.cached_file(source.code, architecture).write_bytes(b"damaged")
        assert len(jit._load(source.code, architecture, ("row_all",))) == 1


def test_products_are_exact_float32(gpu):
    a = np.random.default_rng(0).normal(size=(256, 256)).astype("float32")
    got = gpu.to_host(gpu.to_device(a) @ gpu.to_device(a))
    np.testing.assert_allclose(got, a.astype("float64") @ a.astype("float64"), atol=1e-4)  # TF32 would miss by 1e-2


def test_reducing_rows_of_nothing_is_neutral(gpu):
    kernel = Kernel(
        (3,), True, (Operand("x", (3,), True),), ((Operand("y", (3,), False), reduce("max", input_("x"), [ROWS])),)
    )
    (got,) = gpu.kernel(kernel)(gpu.xp, gpu.xp.empty((0, 3), "float32"))
    assert gpu.to_host(got).tolist() == [[-math.inf] * 3]
