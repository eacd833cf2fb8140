"""GEMM of the BLAS that NumPy ships, by its address; and the rule which GEMM is worth which library.

NumPy's wheels carry OpenBLAS under private names (``scipy_cblas_sgemm64_``). They are probed by name, tried on a small
product, and where none is found ``probe()`` says why and products stay with ``numpy.matmul``.
Inside native plans OpenBLAS runs on one thread: two thread pools in one process fight for the cores.

Knows no plans; the executor's GEMM rows are made here because their layout is cblas's.
"""

from __future__ import annotations

import ctypes
import functools
import struct
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

SMALL_GEMM: Final = 50_000
"""Multiply-adds x 2 below which cblas (0.03 microseconds per call) beats oneDNN (0.4)."""
ROW_MAJOR, PLAIN, TRANSPOSED = 101, 111, 112


@dataclass(frozen=True, slots=True)
class Blas:
    """The BLAS that was found."""

    path: str
    sgemm: int
    """Address of cblas_sgemm."""
    dgemm: int
    wide: bool
    """Whether its integers have 64 bits."""
    library: ctypes.CDLL
    set_threads_name: str
    get_threads_name: str

    def threads(self) -> int:
        """The number of threads OpenBLAS uses now."""
        return int(getattr(self.library, self.get_threads_name)()) if self.get_threads_name else 1

    def set_threads(self, count: int) -> None:
        """Let OpenBLAS use ``count`` threads."""
        if self.set_threads_name:
            getattr(self.library, self.set_threads_name)(ctypes.c_int(count))


def _libraries() -> list[str]:
    """Files that may be NumPy's BLAS: beside NumPy (wheels), and those of its extension module."""
    home = Path(np.__file__).parent
    found: list[str] = []
    for folder in (
        home.parent / "numpy.libs",
        home / ".libs",
        home / ".dylibs",
        home.parent / "scipy_openblas64" / "lib",
    ):
        found += sorted(str(p) for p in folder.glob("*openblas*"))
    return [*found, *(str(p) for p in sorted((home / "_core").glob("_multiarray_umath*")))]


@functools.cache
def probe() -> Blas | None:
    """NumPy's BLAS if its GEMM can be called by address, else None."""
    for path in _libraries():
        try:
            library = ctypes.CDLL(path)
        except OSError:
            continue
        for before in ("scipy_", ""):
            for after in ("64_", "_64", ""):
                found = _bind(library, path, before, after)
                if found is not None and _works(found):
                    return found
    return None


def why_not() -> str | None:
    """Why GEMM cannot be called from native plans, or None."""
    return None if probe() is not None else "NumPy's BLAS has no cblas_sgemm that can be called by address"


def _bind(library: ctypes.CDLL, path: str, before: str, after: str) -> Blas | None:
    try:
        single, double = (getattr(library, f"{before}cblas_{t}gemm{after}") for t in "sd")
    except AttributeError:
        return None
    names = []
    for word in ("set", "get"):
        name = f"{before}openblas_{word}_num_threads{after}"
        names.append(name if hasattr(library, name) else "")
    addresses = [ctypes.cast(f, ctypes.c_void_p).value or 0 for f in (single, double)]
    wide = after != ""
    if not wide and sys.platform == "darwin" and "Accelerate" in path:
        return None
    return Blas(path, addresses[0], addresses[1], wide, library, names[0], names[1])


def _works(blas: Blas) -> bool:
    """Whether a product of small matrices comes out right."""
    for dtype in (np.float32, np.float64):
        a, b = np.arange(6, dtype=dtype).reshape(2, 3), np.arange(12, dtype=dtype).reshape(3, 4) - 5
        c = np.ones((2, 4), dtype)
        size = ctypes.c_int64 if blas.wide else ctypes.c_int
        number = ctypes.c_float if dtype is np.float32 else ctypes.c_double
        kinds = (
            [ctypes.c_int] * 3
            + [size] * 3
            + [number, ctypes.c_void_p, size, ctypes.c_void_p, size, number, ctypes.c_void_p, size]
        )
        function = ctypes.CFUNCTYPE(None, *kinds)(blas.sgemm if dtype is np.float32 else blas.dgemm)
        function(ROW_MAJOR, PLAIN, PLAIN, 2, 4, 3, 2.0, a.ctypes.data, 3, b.ctypes.data, 4, 3.0, c.ctypes.data, 4)
        if not np.array_equal(c, 2 * np.matmul(a, b) + 3):
            return False
    return True


def limit_to_one() -> None:
    """OpenBLAS runs on the calling thread from now on (native plans bring their own pool)."""
    blas = probe()
    if blas is not None and blas.threads() != 1:
        blas.set_threads(1)


GEMM_FIELDS: Final = ("ta", "tb", "m", "n", "k", "alpha", "a", "lda", "b", "ldb", "beta", "c", "ldc")
"""The fields of a GEMM row's argument block, in order; alpha and beta as bits of a float64."""


OPERANDS: Final = (6, 8, 11)
"""Fields of an argument block that hold the addresses of a, b and c."""


def gemm_block(
    m: int,
    n: int,
    k: int,
    *,
    a: int = 0,
    b: int = 0,
    c: int = 0,
    transpose_a: bool = False,
    transpose_b: bool = False,
    alpha: float = 1.0,
    beta: float = 0.0,
    lda: int = 0,
    ldb: int = 0,
    ldc: int = 0,
) -> npt.NDArray[np.int64]:
    """The argument block of ``c = alpha a b + beta c`` for row-major matrices (m x k) (k x n).

    Args:
        m: rows of c.
        n: columns of c.
        k: inner dimension.
        a: address of a; it may be set later, like the others (see OPERANDS).
        b: address of b.
        c: address of c.
        transpose_a: a is stored (k x m).
        transpose_b: b is stored (n x k).
        alpha: factor of the product.
        beta: factor of what c held before.
        lda: elements between rows of a as stored; 0 = dense.
        ldb: elements between rows of b as stored; 0 = dense.
        ldc: elements between rows of c; 0 = dense.

    Returns:
        int64 array of 13 fields, in the order of GEMM_FIELDS.
    """
    lda, ldb, ldc = lda or (m if transpose_a else k), ldb or (k if transpose_b else n), ldc or n
    ta, tb = (TRANSPOSED if t else PLAIN for t in (transpose_a, transpose_b))
    return np.array([ta, tb, m, n, k, number_bits(alpha), a, lda, b, ldb, number_bits(beta), c, ldc], np.int64)


def number_bits(value: float) -> int:
    """The bits of a float64 as a signed integer, to travel in an int64 table."""
    return int(struct.unpack("<q", struct.pack("<d", value))[0])


def prefers_onednn(m: int, n: int, k: int) -> bool:
    """Whether a float32 product of this size is worth a oneDNN primitive rather than a cblas call."""
    return 2 * m * n * k >= SMALL_GEMM
