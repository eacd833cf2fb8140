"""The native form of the bilinear scale: bytes in, 32-bit floats out, one pass over the new pixels.

Compiled once per machine by the engine's compiler process. Where nothing can be compiled, NumPy does the same
(``_pixels``).
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cntk_lab import settings
from cntk_lab.backends.cpu import jit

_PATIENCE: Final = 60.0
_SOURCE: Final = """
def kernel(block):
    source = ld_i64(block, 0, -1)
    stride = ld_i64(block, 1, -1)
    out = ld_i64(block, 2, -1)
    height = ld_i64(block, 3, -1)
    width = ld_i64(block, 4, -1)
    down = ld_i64(block, 5, -1)
    down_weight = ld_i64(block, 6, -1)
    across = ld_i64(block, 7, -1)
    across_weight = ld_i64(block, 8, -1)
    bands = ld_i64(block, 9, -1)
    at = 0
    for y in range(height):
        upper = ld_i64(down, y, -1) * stride
        lower = ld_i64(down, height + y, -1) * stride
        v = ld_f32(down_weight, height + y, -1)
        for x in range(width):
            left = ld_i64(across, x, -1) * bands
            right = ld_i64(across, width + x, -1) * bands
            w = ld_f32(across_weight, width + x, -1)
            for band in range(bands):
                a = f32(ld_u8(source, upper + left + band, -1))
                b = f32(ld_u8(source, upper + right + band, -1))
                c = f32(ld_u8(source, lower + left + band, -1))
                d = f32(ld_u8(source, lower + right + band, -1))
                above = a + (b - a) * w
                below = c + (d - c) * w
                st_f32(out, at, f32(int(above + (below - above) * v + f32(0.5))), -1)
                at += 1
"""


@functools.cache
def _address() -> int:
    """The address of the machine code; 0 where there is none."""
    if not settings.flag("native") or not jit.available():
        return 0
    handle = jit.request(_SOURCE, "void(int64)")
    return handle.address if handle.wait(_PATIENCE) else 0


def bilinear(image: NDArray[np.uint8], down: tuple[Any, Any], across: tuple[Any, Any]) -> NDArray[np.float32] | None:
    """The image at another size, rounded to whole numbers; None where there is no machine code.

    Args:
        image: rows x columns x channels, contiguous.
        down: rows to mix and their weights, (2 x new rows) both.
        across: columns to mix and their weights, (2 x new columns) both.
    """
    address = _address()
    if not address:
        return None
    height, width, bands = down[0].shape[1], across[0].shape[1], image.shape[2]
    out = np.empty((height, width, bands), np.float32)
    tables = [a.ctypes.data for a in (*down, *across)]
    block = np.array([image.ctypes.data, image.strides[0], out.ctypes.data, height, width, *tables, bands], np.int64)
    ctypes.CFUNCTYPE(None, ctypes.c_int64)(address)(block.ctypes.data)
    return out
