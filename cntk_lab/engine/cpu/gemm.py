"""Products as matrices: from the letters of a contraction to one matrix product, where memory order allows it."""

from __future__ import annotations

from dataclasses import dataclass

from cntk_lab.engine.plan import Buffer
from cntk_lab.graph.opdef import Contraction
from cntk_lab.tensor.shape import FREE, size


@dataclass(frozen=True, slots=True)
class Matrices:
    """A contraction as ``out (m x n) = left (m x k) right (k x n)``; sizes are products of letters.

    ``swapped`` says that the operands change places (the result is then the transpose of what the letters say, which
    lies in memory as wanted).
    """

    m: str
    n: str
    k: str
    transpose_left: bool
    transpose_right: bool
    swapped: bool


def as_matrices(spec: Contraction) -> Matrices | None:
    """The matrix product that does a contraction, or None if its memory order does not allow one.

    Example:
        >>> as_matrices(Contraction("rak", "ko", "rao", {"a": 1, "k": 4, "o": 3}))
        Matrices(m='r', n='o', k='k', transpose_left=False, transpose_right=False, swapped=False)
    """
    left, right, out = (_without_ones(w, spec) for w in (spec.left, spec.right, spec.out))
    for a, b, swapped in ((left, right, False), (right, left, True)):
        shared = "".join(c for c in a if c in b)
        if any(c in out for c in shared):
            return None
        m = "".join(c for c in a if c not in b)
        n = "".join(c for c in b if c not in a)
        if out != m + n or shared != "".join(c for c in b if c in a):
            continue
        if a not in (m + shared, shared + m) or b not in (shared + n, n + shared):
            continue
        return Matrices(m, n, shared, transpose_left=a != m + shared, transpose_right=b != shared + n, swapped=swapped)
    return None


def batched(spec: Contraction) -> Contraction | None:
    """The product that is done for every row by itself, if that is what a contraction is (rows in all three words)."""
    words = (spec.left, spec.right, spec.out)
    if any(w[:1] != "r" for w in words):
        return None
    return Contraction(spec.left[1:], spec.right[1:], spec.out[1:], spec.sizes)


def pitch(b: Buffer, columns: int) -> int | None:
    """Elements between the rows of a buffer that is read as a matrix with so many columns; None if it is no matrix."""
    if b.whole is None:
        return columns
    axis, _ = b.cut
    return size(b.whole[axis:]) if columns == size(b.shape[axis:]) else None


def row_pitch(b: Buffer) -> int:
    """Elements between the packed rows of a buffer."""
    return size(b.whole or b.shape)


def _without_ones(word: str, spec: Contraction) -> str:
    return "".join(c for c in word if c == "r" or spec.sizes[c] != 1)


def size_of(letters: str, spec: Contraction, rows: int) -> int:
    """How many elements some letters span."""
    n = 1
    for c in letters:
        n *= rows if c == "r" else spec.sizes[c]
    return n


def is_static(spec: Contraction) -> bool:
    """Whether all sizes but the rows are known."""
    return FREE not in spec.sizes.values()
