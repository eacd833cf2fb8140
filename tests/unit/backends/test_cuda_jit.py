"""Compiling and launching for the GPU, as far as it can be checked without one."""

import numpy as np
import pytest

from cntk_lab import settings
from cntk_lab.backends.cuda import jit
from cntk_lab.formula.expr import ROWS, input_, reduce
from cntk_lab.formula.kernel import Kernel, Operand
from cntk_lab.formula.print_cuda import cuda_source
from cntk_lab.formula.print_numpy import numpy_function

x, p = input_("x"), input_("p")
COLUMN = Kernel((3,), True, (Operand("x", (3,), True),), ((Operand("y", (3,), False), reduce("sum", x, [ROWS])),))
UPDATE = Kernel(
    (3,), False, (Operand("p", (3,), False),), ((Operand("p", (3,), False), p * 2.0),), in_place=(("p", "p"),)
)
MIDDLE = Kernel(
    (2, 3, 4), True, (Operand("x", (2, 3, 4), True),), ((Operand("y", (2, 1, 4), True), reduce("sum", x, [-2])),)
)


@pytest.fixture
def launches(monkeypatch):
    """What would be launched: (name, grid, block, arguments)."""
    seen = []

    def record(launcher, xp):
        def function(name):
            return lambda grid, block, arguments: seen.append((name, grid, block, arguments))

        return [function(n) for n in launcher.names]

    monkeypatch.setattr(jit._Launcher, "functions", record)
    jit.gpu_function.cache_clear()
    return seen


def test_launches_get_inputs_outputs_scratch_rows_and_chunks(launches):
    array = np.ones((5000, 3), "float32")
    (out,) = jit.gpu_function(COLUMN)(np, array)
    source = cuda_source(COLUMN)
    assert [seen[0] for seen in launches] == [launch.name for launch in source.launches]
    for (_, grid, block, arguments), launch in zip(launches, source.launches, strict=True):
        assert (grid, block) == (launch.grid(5000), (launch.block,))
        assert arguments[0] is array
        assert arguments[1] is out
        assert arguments[2].size == source.scratch
        assert arguments[3:] == (5000, launch.chunks(5000))
    assert out.shape == (1, 3)


def test_nothing_is_launched_for_no_rows(launches):
    kernel = Kernel((3,), True, COLUMN.inputs, ((Operand("y", (3,), True), x + 1.0),))
    (out,) = jit.gpu_function(kernel)(np, np.ones((0, 3), "float32"))
    assert (out.shape, launches) == ((0, 3), [])


def test_an_output_in_place_is_its_input(launches):
    array = np.ones((1, 3), "float32")
    assert jit.gpu_function(UPDATE)(np, array) == (array,)
    assert launches[0][3][0] is launches[0][3][1] is array
    with pytest.raises(ValueError, match="float64 or with gaps cannot be overwritten as float32"):
        jit.gpu_function(UPDATE)(np, array.astype("float64"))


def test_inputs_with_gaps_or_of_another_type_are_copied(launches):
    jit.gpu_function(COLUMN)(np, np.ones((4, 6), "float64")[:, ::2])
    given = launches[0][3][0]
    assert (given.shape, given.dtype, given.flags.c_contiguous) == ((4, 3), np.float32, True)


def test_what_is_not_printed_and_what_is_too_large_runs_on_arrays(launches, monkeypatch):
    assert jit.gpu_function(MIDDLE) is numpy_function(MIDDLE)
    monkeypatch.setattr(jit, "LARGEST", 10)
    (out,) = jit.gpu_function(COLUMN)(np, np.ones((4, 3), "float32"))
    assert (out.tolist(), launches) == ([[4, 4, 4]], [])


def test_the_switch_native_turns_generated_code_off():
    jit.gpu_function.cache_clear()
    with settings.option(native=False):
        assert jit.gpu_function(COLUMN) is numpy_function(COLUMN)
    jit.gpu_function.cache_clear()


def test_machine_code_is_kept_by_text_and_architecture(tmp_path, monkeypatch):
    pytest.importorskip("cupy", reason="no CuPy, whose NVRTC compiles: pip install cntk-lab[cuda12]")
    code = cuda_source(COLUMN).code
    with settings.option(cache_folder=str(tmp_path)):
        file = jit.cached_file(code, "sm_90")
        assert b"partial0" in file.read_bytes()
        assert jit.cached_file(code, "sm_80") != file
        monkeypatch.setattr(jit, "machine_code", None)  # not compiled again
        assert jit.cached_file(code, "sm_90") == file
    assert sorted(f.suffix for f in file.parent.iterdir()) == [".cubin", ".cubin"]


def test_a_refused_source_is_reported_with_the_words_of_the_compiler():
    pytest.importorskip("cupy", reason="no CuPy, whose NVRTC compiles: pip install cntk-lab[cuda12]")
    with pytest.raises(jit.KernelCompilationError, match=r"(?s)refuses a generated kernel for sm_90.*expected"):
        jit.machine_code("not C++", "sm_90")
