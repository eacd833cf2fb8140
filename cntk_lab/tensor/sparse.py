"""Sparse rows: the CSR form of a minibatch (one row per sample or frame) and row-sparse gradients.

scipy does the arithmetic and is imported when the first sparse value appears. Knows no operators.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cntk_lab.errors import DataError
from cntk_lab.tensor.layout import concatenate_ranges
from cntk_lab.tensor.shape import Shape, size

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


class Csr:
    """The three arrays of a CSR matrix: making one and selecting rows of it take a tenth of the time of SciPy's.

    Args:
        data: stored values, row by row.
        indices: column of each.
        indptr: where each row begins, and the number of stored values.
        width: number of columns.
        one_each: whether every row stores one value, as words and classes do.
    """

    __slots__ = ("data", "indices", "indptr", "one_each", "width")

    def __init__(self, data: Any, indices: Any, indptr: Any, width: int, one_each: bool) -> None:
        self.data, self.indices, self.indptr, self.width, self.one_each = data, indices, indptr, width, one_each

    @staticmethod
    def of(matrix: Any) -> Csr:
        """The arrays of a SciPy matrix; nothing is copied."""
        pointers = matrix.indptr
        one_each = bool((pointers == np.arange(len(pointers))).all())
        return Csr(matrix.data, matrix.indices, pointers, int(matrix.shape[1]), one_each)

    @staticmethod
    def checked(matrix: Any, name: str, part: str = "") -> Csr:
        """The arrays of somebody else's SciPy matrix, after a look at each column and row start; nothing is copied.

        Args:
            matrix: the matrix: whoever gave it may have set its arrays to anything.
            name: whose data they are, for messages.
            part: which of several matrices it is, for messages.

        Raises:
            DataError: if a column lies outside of the matrix, or row starts are no row starts.
        """
        held = _arrays_of(matrix, name, part)
        held.check(name, part)
        return held

    def check(self, name: str, part: str = "") -> None:
        """See that every row start and every column lies where it may: kernels trust them.

        Args:
            name: whose data they are, for messages.
            part: which of several matrices it is, for messages.

        Raises:
            DataError: if one does not.
        """
        starts, columns, stored = self.indptr, self.indices, len(self.indices)
        fine = len(self.data) == stored and len(starts) > 0 and int(starts[0]) == 0 and int(starts[-1]) == stored
        if fine and not self.one_each:
            fine = not (starts[1:] < starts[:-1]).any()
        if fine and stored:
            # without a sign, negative numbers are large ones
            whole = columns.view(f"u{columns.itemsize}") if columns.dtype.kind == "i" else columns
            fine = int(whole.max()) < self.width
        if not fine:
            raise _misplaced(self, name, part)

    @staticmethod
    def tidy(data: Any, indices: Any, indptr: Any, width: int) -> Csr:
        """A matrix from arrays as they were read: columns are sorted, what a row stores twice is added up.

        Args:
            data, indices, indptr, width: as for the class, with the columns of a row in any order.
        """
        small = np.int32 if len(data) < 2**31 else np.int64
        indices, indptr = indices.astype(small, copy=False), indptr.astype(small, copy=False)
        one_each = len(data) == len(indptr) - 1 and bool((indptr == np.arange(len(indptr))).all())
        if not one_each:
            grows = np.ones(len(indices) + 1, bool)
            np.greater(indices[1:], indices[:-1], out=grows[1:-1])
            grows[indptr] = True  # the first one of a row follows nothing
            if not grows.all():
                from scipy.sparse import csr_matrix

                matrix = csr_matrix((data, indices, indptr), shape=(len(indptr) - 1, width))
                matrix.sum_duplicates()
                return Csr.of(matrix)
        return Csr(data, indices, indptr, width, one_each)

    @staticmethod
    def joined(parts: Sequence[Csr]) -> Csr:
        """The rows of several matrices of one width, one after the other."""
        if len(parts) == 1:
            return parts[0]
        before = np.cumsum([0, *(len(p.data) for p in parts)])
        small = np.int32 if int(before[-1]) < 2**31 else np.int64
        pointers = np.zeros(sum(len(p.indptr) - 1 for p in parts) + 1, small)
        first = 1
        for part, held in zip(parts, before.tolist(), strict=False):
            last = first + len(part.indptr) - 1
            np.add(part.indptr[1:], held, out=pointers[first:last])
            first = last
        indices = np.concatenate([p.indices for p in parts])
        data = np.concatenate([p.data for p in parts])
        return Csr(data, indices, pointers, parts[0].width, all(p.one_each for p in parts))

    def astype(self, dtype: str) -> Csr:
        """The same matrix with another element type; itself if it has that."""
        if self.data.dtype == np.dtype(dtype):
            return self
        return Csr(self.data.astype(dtype), self.indices, self.indptr, self.width, self.one_each)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self.indptr) - 1, self.width

    @property
    def dtype(self) -> Any:
        """NumPy element type of the stored values."""
        return self.data.dtype

    @property
    def nbytes(self) -> int:
        """Memory taken, in bytes."""
        return int(self.data.nbytes + self.indices.nbytes + self.indptr.nbytes)

    def matrix(self) -> Any:
        """The SciPy matrix; nothing is copied."""
        from scipy.sparse import csr_matrix

        return csr_matrix((self.data, self.indices, self.indptr), shape=self.shape)

    def __getitem__(self, rows: Any) -> Csr:
        """Some rows: a slice, their numbers (from 0), or which ones (booleans)."""
        if isinstance(rows, slice) and rows.step not in (None, 1):
            rows = np.arange(*rows.indices(len(self.indptr) - 1))
        elif isinstance(rows, np.ndarray) and rows.dtype == bool:
            rows = np.flatnonzero(rows)
        if isinstance(rows, slice):
            first, last, _ = rows.indices(len(self.indptr) - 1)
            bounds = self.indptr[first : max(first, last) + 1]
            held = slice(int(bounds[0]), int(bounds[-1]))
            return Csr(self.data[held], self.indices[held], bounds - bounds[0], self.width, self.one_each)
        if self.one_each:
            pointers = np.arange(len(rows) + 1, dtype=self.indptr.dtype)
            return Csr(self.data[rows], self.indices[rows], pointers, self.width, True)
        start = self.indptr[rows].astype(np.int64)
        count = self.indptr[1:][rows] - start
        pointers = np.zeros(len(rows) + 1, self.indptr.dtype)
        np.cumsum(count, out=pointers[1:])
        places = concatenate_ranges(start, count)
        return Csr(self.data[places], self.indices[places], pointers, self.width, False)


def _whose(name: str) -> str:
    """A variable's name in quotes; words that name something themselves as they are."""
    return name if "'" in name or " " in name else f"'{name}'"


def _arrays_of(matrix: Any, name: str, part: str) -> Csr:
    """The arrays of a SciPy matrix, what it stores beyond its last row left out."""
    data, columns, starts = matrix.data, matrix.indices, matrix.indptr
    rows, width = map(int, matrix.shape)
    named = (("data", data, "iufb"), ("indices", columns, "iu"), ("indptr", starts, "iu"))
    for word, array, kinds in named:
        if not isinstance(array, np.ndarray) or array.ndim != 1 or array.dtype.kind not in kinds:
            found = f"{array.ndim}-d, {array.dtype}" if isinstance(array, np.ndarray) else type(array).__name__
            raise DataError(
                f"sparse data for {_whose(name)}: {word} is {found}",
                part,
                f"give a vector of {'numbers' if word == 'data' else 'whole numbers'}",
            )
    if len(starts) != rows + 1:
        raise DataError(
            f"sparse data for {_whose(name)}: indptr has {len(starts)} elements, the matrix {rows} rows",
            part,
            f"give {rows + 1}: where each row starts, and how many values are stored",
        )
    stored = int(starts[-1])
    if len(data) != len(columns) and min(len(data), len(columns)) < stored:
        raise DataError(
            f"sparse data for {_whose(name)}: {len(data)} values, {len(columns)} columns, {stored} stored elements in "
            "indptr",
            part,
            "give a value and a column for each stored element",
        )
    if 0 <= stored < max(len(data), len(columns)):
        data, columns = data[:stored], columns[:stored]
    one_each = stored == rows and bool((starts == np.arange(rows + 1)).all())
    return Csr(data, columns, starts, width, one_each)


def _misplaced(held: Csr, name: str, part: str) -> DataError:
    """The error that says which row start or column lies where it may not."""
    data, columns, starts, width = held.data, held.indices, held.indptr, held.width
    rows, stored = len(starts) - 1, len(columns)
    before = f"{part}, " if part else ""
    if rows < 0 or int(starts[0]) != 0 or int(starts[-1]) != stored or len(data) != stored:
        ends = "is empty" if rows < 0 else f"goes from {int(starts[0])} to {int(starts[-1])}"
        return DataError(
            f"sparse data for {_whose(name)}: indptr {ends}, but {len(data)} values and {stored} columns are stored",
            part,
            "the first element of indptr is 0, the last is the number of stored values",
        )
    falls = np.flatnonzero(starts[1:] < starts[:-1])
    if len(falls):
        row = int(falls[0])
        return DataError(
            f"sparse data for {_whose(name)}: indptr falls from {int(starts[row])} to {int(starts[row + 1])}",
            f"{before}row {row} of {rows}",
            "each row starts where the one before ends",
        )
    at = int(np.flatnonzero((columns < 0) | (columns >= width))[0])
    row = int(np.searchsorted(starts, at, side="right")) - 1
    return DataError(
        f"sparse data for {_whose(name)}: there is no column {int(columns[at])}, columns go from 0 to {width - 1}",
        f"{before}row {row} of {rows}, stored element {at}",
        f"give column numbers from 0 to {width - 1}, or a variable with more elements",
    )


class SparseRows:
    """Rows of a sparse value: a CSR matrix ``(rows x elements of the static shape)`` and that static shape.

    Args:
        matrix: one row per sample or frame, in packed order: a SciPy matrix, or its arrays, from which the SciPy
            matrix is made when it is first asked for.
        shape: static shape; its elements in row-major order are the columns.
    """

    __slots__ = ("_arrays", "_matrix", "static")

    def __init__(self, matrix: Any, shape: Shape) -> None:
        if matrix.shape[1] != size(shape):
            raise DataError(f"sparse rows have {matrix.shape[1]} columns, shape {shape} has {size(shape)} elements")
        self._arrays: Csr | None = matrix if isinstance(matrix, Csr) else None
        self._matrix = None if isinstance(matrix, Csr) else matrix
        self.static = shape

    @property
    def matrix(self) -> Any:
        """The rows as a SciPy matrix."""
        if self._arrays is not None:
            self._matrix, self._arrays = self._arrays.matrix(), None
        return self._matrix

    @property
    def stored(self) -> tuple[Any, Any, Any]:
        """The three arrays of the CSR form: values, their columns, where each row begins."""
        held = self._held
        return held.data, held.indices, held.indptr

    def check(self, name: str) -> None:
        """See that every column and row start lies where it may, whoever changed the arrays since they were given.

        Args:
            name: whose data they are, for messages.

        Raises:
            DataError: if one does not.
        """
        if self._arrays is None:
            Csr.checked(self._matrix, name)
        else:
            self._arrays.check(name)

    @property
    def _held(self) -> Any:
        return self._matrix if self._arrays is None else self._arrays

    @property
    def shape(self) -> Shape:
        """Rows and static shape, as for a dense array of rows."""
        return (int(self._held.shape[0]), *self.static)

    @property
    def ndim(self) -> int:
        """Rank, the row axis counted."""
        return 1 + len(self.static)

    @property
    def dtype(self) -> np.dtype[Any]:
        """NumPy element type of the stored values."""
        found: np.dtype[Any] = np.dtype(self._held.dtype)
        return found

    def __getitem__(self, rows: Any) -> SparseRows:
        """A selection of rows (slice, index vector from 0, or booleans)."""
        return SparseRows((self._arrays or Csr.of(self._matrix))[rows], self.static)

    def reshape(self, shape: Shape) -> SparseRows:
        """The same elements under another static shape (``shape`` includes the row axis)."""
        return SparseRows(self._held, tuple(shape[1:]))

    def toarray(self) -> NDArray[Any]:
        """The dense rows."""
        return np.asarray(self.matrix.toarray()).reshape(self.shape)

    def astype(self, dtype: str) -> SparseRows:
        """The same rows with another element type."""
        return SparseRows((self._arrays or Csr.of(self._matrix)).astype(dtype), self.static)


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


def one_each(indices: NDArray[np.int64], num_classes: int, dtype: str) -> Csr | None:
    """The arrays of rows with a single 1 each; None if some row has none, or there are too many for 32-bit numbers."""
    count = len(indices)
    if count and (int(indices.min()) < 0 or max(count, num_classes) >= 2**31):
        return None
    ones = np.empty(count, dtype)
    ones.fill(1)
    return Csr(ones, indices.astype(np.int32), np.arange(count + 1, dtype=np.int32), num_classes, True)


def is_csr(data: object) -> bool:
    """Whether data is a SciPy CSR matrix or array (without importing SciPy)."""
    return type(data).__name__ in ("csr_matrix", "csr_array") and type(data).__module__.startswith("scipy.sparse")


def is_sparse_matrix(data: object) -> bool:
    """Whether data is any SciPy sparse matrix."""
    return type(data).__module__.startswith("scipy.sparse")
