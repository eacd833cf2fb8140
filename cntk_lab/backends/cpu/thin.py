"""Kernels for products with a thin side (up to 16 columns, such as the scores of ten classes), and where they are used.

A library gives a vector of 16 floats to 10 columns and leaves six lanes idle, or packs what is hardly worth packing.
Here the long side lies in the lanes; the thin one is unrolled, so there is a kernel for each number of columns::

    forward    C (m x n) = A (m x k) B (k x n)               sums over k in 16 lanes, B transposed into scratch memory
    gradient   C (m x n) = transposed A (k x m) B (k x n)    lanes along m, transposed when they are stored
    inputs     C (m x n) = A (m x k) transposed B (n x k)    lanes along n, B transposed in registers; k is thin

What can be done along with a product is its ``finish``: adding what C held, a bias for the scores, the
learner's step for the gradient of a parameter (with the arithmetic of the formula it replaces: the same bits).

An element is computed in the same order wherever it lies, so that its bits depend neither on the number of rows nor on
the number of threads: these share rows (forward) or columns (otherwise) in whole tiles.

Measured for 64 rows of 784 and 10 columns on one core (Zen 4): 9.5 microseconds each way, 107 of the 111 GFLOP/s that
oneDNN reaches on large products; oneDNN takes 12 to 19, OpenBLAS 12 to 15. Knows neither graphs nor plans.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cntk_lab.backends.cpu import jit

MOST: Final = 16
"""The widest thin side."""
LANES: Final = 16
FORMS: Final = ("forward", "gradient", "inputs")
FINISHES: Final = {
    "forward": ("", "add", "bias"),
    "gradient": ("", "add", "step", "momentum"),
    "inputs": ("", "add"),
}
"""What a form can do along: add what C held; add a bias; p = p - s C; v = m v + s t C and p = p - v (at C: p)."""
FIELDS: Final = (
    "a",  # addresses, and elements between rows as they are stored
    "a_row",
    "b",
    "b_row",
    "c",
    "c_row",
    "rows",  # how many there are now; times "each" it is m (for a gradient: k)
    "each",
    "long",  # the other long side
    "scratch",  # scratch_bytes() for each thread, for "forward" alone
    "bias",
    "velocity",  # lies as C does
    "s",  # addresses of numbers
    "t",
    "m",
)
"""The fields of the argument block, in order."""
AT: Final = {name: i for i, name in enumerate(FIELDS)}
_SUMS: Final = 12
"""Columns whose sums stay in registers while one row is added to them, twice (of 32 vector registers)."""


@functools.cache
def available() -> bool:
    """Whether the kernels are worth it here: they need 32 registers of 16 floats."""
    if jit.why_not() is not None:
        return False
    import llvmlite.binding as llvm

    return bool(llvm.get_host_cpu_features().get("avx512f", False))


def scratch_bytes(n: int, k: int) -> int:
    """Bytes that a thread of ``forward`` needs."""
    return 4 * LANES * n * -(-k // LANES)


def groups(n: int) -> list[tuple[int, int]]:
    """The columns in groups that fit into registers: first column, number."""
    count = -(-n // _SUMS)
    ends = [n * i // count for i in range(count + 1)]
    return [(begin, end - begin) for begin, end in itertools.pairwise(ends)]


@functools.cache
def _tiles() -> str:
    """What the tiles are made of, so that kernels change their names with it."""
    return hashlib.sha256(Path(__file__).with_name("tiles.py").read_bytes()).hexdigest()


def _source(form: str, n: int, finish: str) -> str:
    reads = jit.fields_read(FIELDS)
    body = {"forward": _forward, "gradient": _gradient, "inputs": _inputs}[form](n, FINISHES[form].index(finish))
    return f"""# {_tiles()}
from cntk_lab.backends.cpu.tiles import *
def kernel(block, thread, threads, phase):
{reads}
    rows = rows * each
{body}"""


def _forward(n: int, finish: int) -> str:
    parts = groups(n)
    packs = "".join(
        f"        pack({g}, b + 4 * (16 * t * b_row + {j}), b_row, own + 64 * (blocks * {j} + {g} * t), "
        "min(16, long - 16 * t))\n"
        for j, g in parts
    )
    tiles = "".join(
        f"""    i = begin
    while i < end:
        if end - i >= 2:
            forward_tile(2, {g}, {finish}, a + 4 * i * a_row, a_row, own + 64 * blocks * {j},
                c + 4 * (i * c_row + {j}), c_row, long, bias + {4 * j})
        else:
            forward_tile(1, {g}, {finish}, a + 4 * i * a_row, a_row, own + 64 * blocks * {j},
                c + 4 * (i * c_row + {j}), c_row, long, bias + {4 * j})
        i += 2
"""
        for j, g in parts
    )
    return f"""    blocks = (long + 15) // 16
    own = scratch + 64 * blocks * {n} * thread
    pairs = (rows + 1) // 2
    begin = pairs * thread // threads * 2
    end = min(rows, pairs * (thread + 1) // threads * 2)
    if begin >= end:
        return
    for t in range(blocks):
{packs}{tiles}"""


def _gradient(n: int, finish: int) -> str:
    def calls(vectors: int, columns: str) -> str:
        return "".join(
            f"            gradient_tile({vectors}, {g}, {finish}, a + 4 * i, a_row, b + {4 * j}, b_row,\n"
            f"                c + 4 * (i * c_row + {j}), c_row, rows, {columns},\n"
            f"                velocity + 4 * (i * c_row + {j}), s, t, m)\n"
            for j, g in groups(n)
        )

    return _columns(calls)


def _inputs(n: int, finish: int) -> str:
    def calls(vectors: int, columns: str) -> str:
        return (
            f"            input_tile({vectors}, {n}, {finish}, a, a_row, b + 4 * i * b_row, b_row, c + 4 * i, c_row,\n"
            f"                rows, {columns})\n"
        )

    return _columns(calls, 2 if n <= _SUMS else 1)


def _columns(calls: Callable[[int, str], str], vectors: int = 2) -> str:
    """A loop over a thread's part of the long side, by tiles of some vectors, one vector, and what is left."""
    width = LANES * vectors
    return f"""    tiles = (long + {width - 1}) // {width}
    i = tiles * thread // threads * {width}
    end = min(long, tiles * (thread + 1) // threads * {width})
    while i < end:
        if end - i >= {width}:
{calls(vectors, "0")}            i += {width}
        else:
{calls(0, "min(16, end - i)")}            i += 16
"""


@functools.cache
def kernel(form: str, n: int, finish: str = "") -> jit.Handle:
    """The kernel of a form for a thin side of ``n``."""
    return jit.request(_source(form, n, finish))
