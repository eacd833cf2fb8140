"""One NVIDIA GPU as a Backend: CuPy's arrays, memory pool and cuBLAS products, generated kernels for formulas.

Products of float32 are exact float32 unless the switch ``tf32`` is on. Everything runs on CuPy's current stream.
"""

from __future__ import annotations

from typing import Any

from cntk_lab import settings
from cntk_lab.backends.base import KernelFunction
from cntk_lab.backends.cuda.jit import cupy_module, gpu_function
from cntk_lab.device import DeviceDescriptor
from cntk_lab.errors import NotAvailableError
from cntk_lab.formula.kernel import Kernel
from cntk_lab.tensor.arrays import HostArray, to_host
from cntk_lab.tensor.shape import Shape


def obstacle() -> tuple[str, str]:
    """What keeps GPUs from being used and how to mend it; two empty texts if nothing does."""
    try:
        cupy = cupy_module()
    except NotAvailableError as error:
        return error.what, error.fix
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        return f"CUDA does not start: {error}", "install NVIDIA's driver, or a newer one, and see `nvidia-smi`"
    if count == 0:
        return "CUDA sees no GPU", "check CUDA_VISIBLE_DEVICES and `nvidia-smi`"
    return "", ""


def device_names() -> list[str]:
    """The names of the GPUs, by number."""
    runtime = cupy_module().cuda.runtime
    return [runtime.getDeviceProperties(i)["name"].decode() for i in range(runtime.getDeviceCount())]


def choose_products(cupy: Any, *, tf32: bool) -> None:
    """Let products of float32 round their inputs to TF32, or compute in float32 throughout."""
    linear = cupy._core._routines_linalg  # CuPy offers this choice only by environment, before it is imported
    number_of = {str(linear.compute_type_to_str(i)): i for i in range(16)}
    wanted = "COMPUTE_TYPE_TF32" if tf32 else "COMPUTE_TYPE_DEFAULT"
    linear.set_compute_type(cupy.dtype("float32"), number_of[wanted])


class CudaBackend:
    """One GPU.

    Args:
        device: the GPU's descriptor.

    Raises:
        NotAvailableError: if CuPy is not installed.
    """

    name = "cuda"
    keeps_sparse = False

    def __init__(self, device: DeviceDescriptor) -> None:
        self.device = device
        self.xp: Any = cupy_module()
        choose_products(self.xp, tf32=settings.flag("tf32"))

    def _current(self) -> Any:
        return self.xp.cuda.Device(self.device.id())

    def allocate(self, shape: Shape, dtype: str) -> Any:
        """A new array with undefined elements from CuPy's memory pool."""
        with self._current():
            return self.xp.empty(shape, dtype)

    def to_device(self, array: Any) -> Any:
        """The array on this GPU (itself if it is there)."""
        with self._current():
            return self.xp.asarray(array)

    def to_host(self, array: Any) -> HostArray:
        """The array in host memory (itself if it is there); waits for what computes it."""
        return to_host(array)

    def kernel(self, kernel: Kernel) -> KernelFunction:
        """The generated CUDA code of a kernel, or its CuPy function where none is generated."""
        function, device = gpu_function(kernel), self._current()

        def on_device(xp: Any, *arrays: Any, rows: int | None = None) -> tuple[Any, ...]:
            with device:
                return function(xp, *arrays, rows=rows)

        return on_device

    def synchronize(self) -> None:
        """Return when everything on this GPU's current stream is done."""
        with self._current():
            self.xp.cuda.get_current_stream().synchronize()
