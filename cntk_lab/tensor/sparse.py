"""Sparse rows: the CSR form of a minibatch (one row per sample or frame) and row-sparse gradients.

scipy does the arithmetic and is imported when the first sparse value appears. Knows no operators.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cntk_lab.errors import DataError
from cntk_lab.tensor.shape import Shape, size

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


class SparseRows:
    """Rows of a sparse value: a CSR matrix ``(rows x elements of the static shape)`` and that static shape.

    Args:
        matrix: one row per sample or frame, in packed order.
        shape: static shape; its elements in row-major order are the columns.
    """

    __slots__ = ("matrix", "static")

    def __init__(self, matrix: Any, shape: Shape) -> None:
        if matrix.shape[1] != size(shape):
            raise DataError(f"sparse rows have {matrix.shape[1]} columns, shape {shape} has {size(shape)} elements")
        self.matrix, self.static = matrix, shape

    @property
    def shape(self) -> Shape:
        """Rows and static shape, as for a dense array of rows."""
        return (int(self.matrix.shape[0]), *self.static)

    @property
    def ndim(self) -> int:
        """Rank, the row axis counted."""
        return 1 + len(self.static)

    @property
    def dtype(self) -> np.dtype[Any]:
        """NumPy element type of the stored values."""
        found: np.dtype[Any] = np.dtype(self.matrix.dtype)
        return found

    def __getitem__(self, rows: Any) -> SparseRows:
        """A selection of rows (slice or index vector)."""
        return SparseRows(self.matrix[rows], self.static)

    def reshape(self, shape: Shape) -> SparseRows:
        """The same elements under another static shape (``shape`` includes the row axis)."""
        return SparseRows(self.matrix, tuple(shape[1:]))

    def toarray(self) -> NDArray[Any]:
        """The dense rows."""
        return np.asarray(self.matrix.toarray()).reshape(self.shape)

    def astype(self, dtype: str) -> SparseRows:
        """The same rows with another element type."""
        return SparseRows(self.matrix.astype(dtype), self.static)


class RowSparse:
    """A gradient of a matrix of which only some rows were touched: ``full[indices] += rows``, indices distinct and
    sorted.

    Args:
        indices: touched rows.
        rows: the gradient of those rows.
        shape: shape of the whole matrix.
    """

    __slots__ = ("indices", "rows", "shape")

    def __init__(self, indices: NDArray[np.int64], rows: NDArray[Any], shape: Shape) -> None:
        self.indices, self.rows, self.shape = indices, rows, shape

    def toarray(self) -> NDArray[Any]:
        """The whole gradient, zero where nothing was touched."""
        full = np.zeros(self.shape, self.rows.dtype)
        full[self.indices] = self._on_host()
        return full

    def as_sparse(self, shape: Shape) -> SparseRows:
        """The whole gradient as one sparse row of a static shape."""
        from scipy.sparse import csr_matrix

        width = size(self.shape[1:])
        places = self.indices[:, None] * width + np.arange(width)
        values = np.asarray(self._on_host()).reshape(-1)
        count = len(values)
        return SparseRows(csr_matrix((values, places.reshape(-1), [0, count]), shape=(1, size(shape))), shape)

    def _on_host(self) -> Any:
        rows: Any = self.rows
        return rows.get() if hasattr(rows, "get") else rows


def from_one_hot(indices: NDArray[np.int64], num_classes: int, dtype: str) -> csr_matrix:
    """CSR rows with a single 1 each; an index outside ``0 <= i < num_classes`` gives an all-zero row."""
    from scipy.sparse import csr_matrix

    indices = np.asarray(indices, np.int64).reshape(-1)
    valid = (indices >= 0) & (indices < num_classes)
    indptr = np.concatenate([[0], np.cumsum(valid)])
    return csr_matrix((np.ones(int(valid.sum()), dtype), indices[valid], indptr), shape=(len(indices), num_classes))


def is_csr(data: object) -> bool:
    """Whether data is a SciPy CSR matrix or array (without importing SciPy)."""
    return type(data).__name__ in ("csr_matrix", "csr_array") and type(data).__module__.startswith("scipy.sparse")


def is_sparse_matrix(data: object) -> bool:
    """Whether data is any SciPy sparse matrix."""
    return type(data).__module__.startswith("scipy.sparse")
