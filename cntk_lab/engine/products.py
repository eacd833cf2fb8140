"""Products by letters on arrays: what a contraction means, in NumPy's words (or CuPy's), for dense and sparse operands.

The reference that the native products are checked against. Knows no plans.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from cntk_lab.errors import DataError
from cntk_lab.graph.opdef import Contraction
from cntk_lab.tensor.shape import FREE
from cntk_lab.tensor.sparse import SparseRows


def contraction(spec: Contraction) -> Callable[[Any, Any, Any], Any]:
    """The product that letters describe, as a function of ``(xp, left, right)`` on arrays with a row axis."""

    def letters(word: str) -> tuple[str, bool]:
        return (word, False) if "r" in word else ("r" + word, True)

    left, left_single = letters(spec.left)
    right, right_single = letters(spec.right)
    out = spec.out

    def product(xp: Any, x: Any, y: Any) -> Any:
        with np.errstate(all="ignore"):  # as in formulas: infinities and NaN are told by who looks at results
            return quiet(xp, x, y)

    def quiet(xp: Any, x: Any, y: Any) -> Any:
        if isinstance(x, SparseRows) or isinstance(y, SparseRows):
            return sparse_product(xp, x, y, spec)
        if spec.ranks and FREE in spec.sizes.values():
            return _free_product(xp, x, y, spec)
        sizes = spec.sizes
        a = x.reshape(_dims(spec.left, sizes, x.shape[0]))
        b = y.reshape(_dims(spec.right, sizes, y.shape[0]))
        result = _matmul(xp, a, b, spec)
        return result if "r" in out else result[None]

    del left, left_single, right, right_single
    return product


def _free_product(xp: Any, x: Any, y: Any, spec: Contraction) -> Any:
    """A product whose sizes only the data tell; the result has all its axes."""
    dims: dict[str, tuple[int, ...]] = {}
    for word, array in ((spec.left, x), (spec.right, y)):
        at = 1
        for c in word.replace("r", ""):
            have = tuple(array.shape[at : at + spec.ranks[c]])
            if dims.setdefault(c, have) != have:
                raise DataError(
                    f"times: inner dimensions differ: the data have {dims[c]} and {have}",
                    fix="the summed axes of both operands must be equally long",
                )
            at += spec.ranks[c]
    sizes = {c: int(np.prod(d, dtype=np.int64)) for c, d in dims.items()}
    a, b = x.reshape(_dims(spec.left, sizes, x.shape[0])), y.reshape(_dims(spec.right, sizes, y.shape[0]))
    result = _matmul(xp, a, b, spec)
    rows = result.shape[0] if "r" in spec.out else 1
    return result.reshape((rows, *(d for c in spec.out.replace("r", "") for d in dims[c])))


def _dims(word: str, sizes: Mapping[str, int], rows: int) -> tuple[int, ...]:
    return tuple(rows if c == "r" else (-1 if sizes[c] == FREE else sizes[c]) for c in word)


def _matmul(xp: Any, a: Any, b: Any, spec: Contraction) -> Any:
    """The product by matmul where letters allow, else by einsum."""
    left, right, out = spec.left, spec.right, spec.out
    shared = [c for c in left if c in right and c not in out]
    batch = [c for c in left if c in right and c in out]
    only_left = [c for c in left if c not in right]
    only_right = [c for c in right if c not in left]
    if any(c not in out for c in only_left + only_right):
        return xp.einsum(f"{left},{right}->{out}", a, b, optimize=True)
    a = a.transpose([left.index(c) for c in (*batch, *only_left, *shared)])
    b = b.transpose([right.index(c) for c in (*batch, *shared, *only_right)])
    n, m, k = (
        tuple(a.shape[i] for i in range(len(batch))),
        a.shape[len(batch) : len(batch) + len(only_left)],
        a.shape[len(batch) + len(only_left) :],
    )
    o = b.shape[len(batch) + len(shared) :]
    m_size, k_size, o_size = (int(np.prod(s, dtype=np.int64)) for s in (m, k, o))
    product = xp.matmul(a.reshape((*n, m_size, k_size)), b.reshape((*n, k_size, o_size)))
    full = product.reshape((*n, *m, *o))
    order = "".join((*batch, *only_left, *only_right))
    return full if order == out else xp.ascontiguousarray(full.transpose([order.index(c) for c in out]))


def sparse_product(xp: Any, x: Any, y: Any, spec: Contraction) -> Any:
    """A product in which one operand is sparse rows (its static axes are summed, or it is summed over rows)."""
    left, right, out = spec.left, spec.right, spec.out
    if isinstance(y, SparseRows) and not isinstance(x, SparseRows):
        return sparse_product(xp, y, x, Contraction(right, left, out, spec.sizes))
    matrix = x.matrix
    sizes = spec.sizes
    if isinstance(y, SparseRows):
        y = y.toarray()
    dense = y.reshape(_dims(right, sizes, y.shape[0]))
    static = left.replace("r", "")
    if "r" in left and static == "k" and "r" not in right:
        order = [right.index(c) for c in ("k", *(c for c in right if c != "k"))]
        flat = dense.transpose(order).reshape(matrix.shape[1], -1)
        rest = "".join(c for c in right if c != "k")
        result = np.asarray(matrix @ flat).reshape((matrix.shape[0], *(dense.shape[right.index(c)] for c in rest)))
        order_now = "r" + rest
        return result if order_now == out else result.transpose([order_now.index(c) for c in out])
    if "r" in left and "r" in right and "r" not in out and static == "k" and "k" not in right:
        rest = right.replace("r", "")
        flat = dense.transpose([right.index(c) for c in ("r", *rest)]).reshape(matrix.shape[0], -1)
        result = np.asarray(matrix.T @ flat).reshape((matrix.shape[1], *(dense.shape[right.index(c)] for c in rest)))
        order_now = "k" + rest
        return (result if order_now == out else result.transpose([order_now.index(c) for c in out]))[None]
    a = x.toarray().reshape(_dims(left, sizes, matrix.shape[0]))
    result = _matmul(xp, a, dense, spec)
    return result if "r" in out else result[None]
