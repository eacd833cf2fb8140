"""Kernels for the GPU: printed, compiled by NVRTC, kept on disk as machine code, launched on CuPy's arrays.

A kernel's machine code is found again by the hash of its text, the compiler's version and the GPU's architecture; files
are written beside their place and renamed, so another process never reads half a file, and a file that does not load
is compiled anew. Kernels that no CUDA code is printed for, and runs too long for 32-bit positions, use the array tier.
Knows no operators and no plans.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from cntk_lab import settings
from cntk_lab.backends.base import KernelFunction
from cntk_lab.errors import LabError, NotAvailableError
from cntk_lab.formula.kernel import Kernel, Operand
from cntk_lab.formula.print_cuda import CudaSource, NotPrintableError, cuda_source
from cntk_lab.formula.print_numpy import numpy_function, required

OPTIONS = ("--std=c++17", "--fmad=true")
LARGEST = 2**30
"""Elements of a domain from which on positions might overflow 32 bits in a grid-stride loop."""


class KernelCompilationError(LabError, RuntimeError):
    """NVRTC does not accept a generated kernel."""


def cupy_module() -> Any:
    """CuPy.

    Raises:
        NotAvailableError: if it is not installed.
    """
    try:
        import cupy  # noqa: TID251
    except ImportError as error:
        fix = "pip install cntk-lab[cuda12] (CUDA 12) or cntk-lab[cuda13] (CUDA 13)"
        raise NotAvailableError(f"CuPy cannot be imported: {error}", fix=fix) from error
    return cupy


# ---------------------------------------------------------------- machine code


def machine_code(code: str, architecture: str) -> bytes:
    """Compile CUDA C++ to the machine code of an architecture such as ``sm_90``; needs no GPU.

    Args:
        code: the text; includes nothing.
        architecture: the GPU's, as NVRTC writes it.

    Returns:
        The contents of a cubin file.

    Raises:
        KernelCompilationError: with the compiler's words, if it refuses.
    """
    nvrtc = cupy_module().cuda.nvrtc
    program = nvrtc.createProgram(code, "kernel.cu", (), ())
    try:
        nvrtc.compileProgram(program, (*OPTIONS, f"--gpu-architecture={architecture}"))
        return bytes(nvrtc.getCUBIN(program))
    except nvrtc.NVRTCError as error:
        log = nvrtc.getProgramLog(program)
        raise KernelCompilationError(
            f"NVRTC {'.'.join(map(str, nvrtc.getVersion()))} refuses a generated kernel for {architecture}: {error}",
            where=log[:2000],
            fix="report it with this text; settings.set_option('native', False) uses the array tier meanwhile",
        ) from error
    finally:
        nvrtc.destroyProgram(program)


def cached_file(code: str, architecture: str) -> Path:
    """The cubin file of a source in the cache folder; compiled if it is not there yet."""
    version = cupy_module().cuda.nvrtc.getVersion()
    key = hashlib.sha256(repr((code, architecture, version, OPTIONS)).encode()).hexdigest()
    file = settings.folder("cache_folder", "kernels") / "cuda" / f"{key}.cubin"
    if not file.exists():
        _write(file, machine_code(code, architecture))
    return file


def _write(file: Path, data: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=file.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(data)
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _load(code: str, architecture: str, names: tuple[str, ...]) -> list[Any]:
    """The launchable functions of a source on the current GPU."""
    cupy = cupy_module()
    file = cached_file(code, architecture)
    try:
        module = cupy.RawModule(path=str(file))
        return [module.get_function(n) for n in names]
    except cupy.cuda.driver.CUDADriverError:
        file.unlink(missing_ok=True)  # damaged on disk: once more from the source, then the error is real
        module = cupy.RawModule(path=str(cached_file(code, architecture)))
        return [module.get_function(n) for n in names]


# ---------------------------------------------------------------- functions


@lru_cache(maxsize=4096)
def gpu_function(kernel: Kernel) -> KernelFunction:
    """A function ``(cupy, *inputs, rows=None) -> outputs`` that computes a kernel on the current GPU.

    Args:
        kernel: what to compute.

    Returns:
        Launches of generated CUDA code; the array tier's function where none is generated for this kernel.
    """
    if not settings.flag("native"):
        return numpy_function(kernel)
    try:
        return _Launcher(kernel, cuda_source(kernel))
    except NotPrintableError:
        return numpy_function(kernel)


class _Launcher:
    """One kernel's functions, loaded on each GPU when it first runs there."""

    def __init__(self, kernel: Kernel, source: CudaSource) -> None:
        self.kernel, self.source = kernel, source
        self.names = tuple(launch.name for launch in source.launches)
        self.loaded: dict[int, list[Any]] = {}
        in_place = dict(kernel.in_place)
        position = {o.name: i for i, o in enumerate(kernel.inputs)}
        self.targets = [position[in_place[o.name]] if o.name in in_place else None for o, _ in kernel.outputs]
        self.having_rows = next((i for i, o in enumerate(kernel.inputs) if o.rows), None)

    def functions(self, cupy: Any) -> list[Any]:
        """The loaded functions on the current GPU."""
        device = cupy.cuda.Device()
        if device.id not in self.loaded:
            self.loaded[device.id] = _load(self.source.code, f"sm_{device.compute_capability}", self.names)
        return self.loaded[device.id]

    def __call__(self, xp: Any, *arrays: Any, rows: int | None = None) -> tuple[Any, ...]:
        """Compute; ``rows`` is read only if no input has rows."""
        if self.kernel.rows:
            rows = arrays[self.having_rows].shape[0] if self.having_rows is not None else required(rows)
        else:
            rows = 1
        if rows * self.source.per_row >= LARGEST:
            return numpy_function(self.kernel)(xp, *arrays, rows=rows)
        given = [
            _fitting(xp, a, o, i in self.targets)
            for i, (a, o) in enumerate(zip(arrays, self.kernel.inputs, strict=True))
        ]
        outputs = [
            given[target] if target is not None else xp.empty((rows if o.rows else 1, *o.shape), o.dtype)
            for (o, _), target in zip(self.kernel.outputs, self.targets, strict=True)
        ]
        scratch = xp.empty(max(1, self.source.scratch), self.source.dtype)
        for launch, function in zip(self.source.launches, self.functions(xp), strict=True):
            x, y = launch.grid(rows)
            if x:
                tail = (scratch, np.int32(rows), np.int32(launch.chunks(rows)))
                function((x, y), (launch.block,), (*given, *outputs, *tail))
        return tuple(outputs)


def _fitting(xp: Any, array: Any, operand: Operand, written: bool) -> Any:
    """The array as the generated code reads it: the operand's element type, without gaps."""
    if array.dtype == operand.dtype and array.flags.c_contiguous:
        return array
    if written:
        raise ValueError(f"kernel: an array of {array.dtype} or with gaps cannot be overwritten as {operand.dtype}")
    return xp.ascontiguousarray(array, dtype=operand.dtype)
