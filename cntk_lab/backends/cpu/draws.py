"""Words of the counter-based stream by native code: the same numbers as ``tensor/philox.py``, some ten times faster.

One kernel, printed with its ten rounds written out, fills whole blocks of four words; the stream uses it once it is
compiled. Knows no streams beyond their seed and place.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cntk_lab import settings
from cntk_lab.backends.cpu import jit
from cntk_lab.tensor import philox

_FEW: Final = 256
"""Blocks below which NumPy is quick enough."""


def _source() -> str:
    lines = [
        "def kernel(block, thread, threads, phase):",
        "    out, begin, count = ld_i64(block, 0, -1), ld_i64(block, 1, -1), ld_i64(block, 2, -1)",
        "    step0, step1 = ld_i64(block, 3, -1), ld_i64(block, 4, -1)",
        "    a0, b0 = ld_i64(block, 5, -1), ld_i64(block, 6, -1)",
        "    low = 0xFFFFFFFF",
    ]
    first, second = philox.WEYL
    lines += [
        f"    a{r}, b{r} = (a{r - 1} + {first}) & low, (b{r - 1} + {second}) & low" for r in range(1, philox.ROUNDS)
    ]
    lines += [
        "    for i in range(count):",
        "        c0, c1, c2, c3 = (begin + i) & low, ((begin + i) >> 32) & low, step0, step1",
    ]
    for r in range(philox.ROUNDS):
        lines += [
            f"        p, q = c0 * {philox.MULTIPLY[0]}, c2 * {philox.MULTIPLY[1]}",
            f"        c0, c1, c2, c3 = ((q >> 32) & low) ^ c1 ^ a{r}, q & low, ((p >> 32) & low) ^ c3 ^ b{r}, p & low",
        ]
    lines += [
        "        st_i64(out, 2 * i, c0 | (c1 << 32), 0)",
        "        st_i64(out, 2 * i + 1, c2 | (c3 << 32), 0)",
    ]
    return "\n".join(lines) + "\n"


@functools.cache
def _kernel() -> jit.Handle:
    return jit.request(_source())


def fill(out: NDArray[np.uint32], begin: int, step: int, seed: int) -> bool:
    """Write the words of whole blocks.

    Args:
        out: (blocks, 4), dense.
        begin: the first block.
        step: how often the stream was used before.
        seed: the stream.

    Returns:
        Whether that was done; False while there is no native code, or where it does not pay.
    """
    if len(out) < _FEW or not settings.flag("native") or not jit.available():
        return False
    kernel = _kernel()
    if not kernel.ready():
        return False
    low = 2**32
    words = [out.ctypes.data, begin, len(out), step % low, step // low % low, seed % low, seed // low % low]
    block = np.array(words, np.int64)
    _call(kernel.address)(block.ctypes.data, 0, 1, 0)
    return True


@functools.cache
def _call(address: int) -> Any:
    return ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 4)(address)


def serve() -> None:
    """Let the streams of this process use native code."""
    philox.native_fill = fill
