"""Products by letters on arrays: what a contraction means, in NumPy's words (or CuPy's), for dense and sparse operands.

The reference that the native products are checked against. Knows no plans.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from cntk_lab.engine.plan.touched import matrix_words, ones
from cntk_lab.errors import DataError
from cntk_lab.graph.opdef import Contraction
from cntk_lab.tensor.arrays import to_host
from cntk_lab.tensor.shape import FREE
from cntk_lab.tensor.sparse import RowSparse, SparseRows


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
    """A product in which one operand is sparse rows."""
    if isinstance(y, SparseRows) and not isinstance(x, SparseRows):
        return sparse_product(xp, y, x, Contraction(spec.right, spec.left, spec.out, spec.sizes))
    if isinstance(y, SparseRows):
        y = y.toarray()
    sizes, rows = spec.sizes, x.shape[0]
    dense = y.reshape(_dims(spec.right, sizes, y.shape[0]))
    words = matrix_words(spec)
    if words is None and _by_entries(spec) and ("r" not in spec.right or y.shape[0] == rows):
        return _entries(x, dense, spec)
    if words is None or ("r" in spec.left and "r" in spec.right and y.shape[0] != rows):
        result = _matmul(xp, x.toarray().reshape(_dims(spec.left, sizes, rows)), dense, spec)
        return result if "r" in spec.out else result[None]
    kept, summed, rest, adjoint = words
    flat = dense.transpose([spec.right.index(c) for c in (*summed, *rest, *ones(spec.right, spec))])
    matrix = _as_matrix(x, spec)
    if adjoint:
        matrix = matrix.T
    full = {**sizes, "r": rows}
    product = np.asarray(matrix @ flat.reshape(matrix.shape[1], math.prod(full[c] for c in rest)))
    result = product.reshape(tuple(full[c] for c in (*kept, *rest)))
    order = kept + rest
    out = "".join(c for c in spec.out if c in order)
    if out != order:
        result = result.transpose([order.index(c) for c in out])
    shaped = result.reshape(_dims(spec.out, sizes, rows))
    return shaped if "r" in spec.out else shaped[None]


def _by_entries(spec: Contraction) -> bool:
    """Whether each stored value is multiplied with one vector at most, and added to one row."""
    free = [c for c in spec.right if c not in spec.left]
    return (
        spec.left[:1] == spec.out[:1] == "r"
        and FREE not in spec.sizes.values()
        and len(free) <= 1
        and all(c in spec.out for c in free)
        and any(c in spec.right for c in spec.left)
    )


def _entries(x: SparseRows, dense: Any, spec: Contraction) -> Any:
    """The product one stored value at a time: only what is stored counts, so that an infinity beside it stays out of
    the sum.
    """
    values, columns, starts = x.stored
    letters, rows = spec.left[1:], len(starts) - 1
    at = dict(zip(letters, np.unravel_index(columns, [spec.sizes[c] for c in letters]), strict=True))
    at["r"] = np.repeat(np.arange(rows), np.diff(starts))
    free = [c for c in spec.right if c not in at]
    shared, kept = ([c for c in word if c in at] for word in (spec.right, spec.out))
    picked = dense.transpose([spec.right.index(c) for c in (*shared, *free)])[tuple(at[c] for c in shared)]
    weighted = picked * values.reshape((-1, *(1,) * len(free)))
    order = "".join((*kept, *free))
    result = np.zeros(_dims(order, spec.sizes, rows), np.result_type(dense, values))
    np.add.at(result, tuple(at[c] for c in kept), weighted)
    return result if order == spec.out else np.ascontiguousarray(result.transpose([order.index(c) for c in spec.out]))


def _as_matrix(x: SparseRows, spec: Contraction) -> Any:
    """Sparse rows as the matrix whose columns are the last letter of their word."""
    columns = next(spec.sizes[c] for c in reversed(spec.left) if spec.sizes.get(c, 1) != 1)
    matrix = x.matrix
    return matrix if matrix.shape[1] == columns else matrix.reshape((-1, columns)).tocsr()


def touched_rows(spec: Contraction, sparse: int) -> Callable[[Any, Any, Any], RowSparse]:
    """The product that touches only some rows of its result, as a function of ``(xp, left, right)``.

    Args:
        spec: the product; :func:`touches_rows` must say yes.
        sparse: which operand is sparse: 0 the left, 1 the right one.
    """
    if sparse == 1:
        spec = Contraction(spec.right, spec.left, spec.out, spec.sizes)
    words = matrix_words(spec)
    assert words is not None
    kept, summed, rest, _ = words
    sizes = spec.sizes
    out = [c for c in spec.out if c in rest]
    order = [spec.right.index(c) for c in (*summed, *out, *ones(spec.right, spec))]

    def product(xp: Any, x: Any, y: Any) -> RowSparse:
        if sparse == 1:
            x, y = y, x
        flat = y.reshape(_dims(spec.right, sizes, y.shape[0])).transpose(order)
        shape = (sizes[kept], *(sizes[c] for c in out))
        width = math.prod(shape[1:])
        if isinstance(x, SparseRows):
            matrix = _as_matrix(x, spec)
            indices, place = np.unique(matrix.indices, return_inverse=True)
            small = type(matrix)((matrix.data, place, matrix.indptr), shape=(matrix.shape[0], len(indices)))
            rows = np.asarray(small.T @ flat.reshape(matrix.shape[0], width))
        else:  # rows that lie dense in memory, as on a GPU
            whole = x.reshape((-1, sizes[kept]))
            indices = to_host(xp.flatnonzero((whole != 0).any(axis=0)))
            rows = whole[:, indices].T @ flat.reshape(whole.shape[0], width)
        return RowSparse(indices, rows.reshape((len(indices), *shape[1:])), shape)

    return product
