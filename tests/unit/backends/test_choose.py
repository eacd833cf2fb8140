"""Backends by device: the CPU always, a GPU or the reason why not."""

import numpy as np
import pytest

from cntk_lab.backends import choose
from cntk_lab.backends.cpu.backend import CpuBackend
from cntk_lab.device import DeviceDescriptor, DeviceKind, cpu
from cntk_lab.errors import NotAvailableError
from cntk_lab.formula.expr import input_
from cntk_lab.formula.kernel import Kernel, Operand

GPU = DeviceDescriptor(DeviceKind.GPU, 0)


def test_the_cpu_computes_kernels_with_numpy():
    backend = choose.backend_of(cpu())
    assert isinstance(backend, CpuBackend)
    assert backend is choose.backend_of(cpu())
    double = Kernel((2,), True, (Operand("x", (2,), True),), ((Operand("y", (2,), True), input_("x") * 2.0),))
    array = backend.to_device(np.array([[1, 2], [3, 4]], "float32"))
    assert backend.to_host(backend.kernel(double)(backend.xp, array)[0]).tolist() == [[2, 4], [6, 8]]
    backend.synchronize()


def test_allocated_arrays_start_at_multiples_of_64_bytes():
    arrays = [CpuBackend().allocate((3, n), "float32") for n in range(1, 5)]
    assert [(a.shape, a.ctypes.data % 64) for a in arrays] == [((3, n), 0) for n in range(1, 5)]


def test_without_cupy_the_error_says_how_to_get_it(monkeypatch):
    choose.backend_of.cache_clear()
    monkeypatch.setattr(choose.importlib.util, "find_spec", lambda name: None)
    assert choose.gpu_names() == []
    with pytest.raises(NotAvailableError) as raised:
        choose.backend_of(GPU)
    assert str(raised.value) == (
        "GPU[0] cannot be used: CuPy is not installed\n"
        "  fix:   pip install cntk-lab[cuda12] (CUDA 12) or cntk-lab[cuda13] (CUDA 13)"
    )
