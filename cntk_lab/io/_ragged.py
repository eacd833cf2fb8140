"""Ragged rows: many sequences of frames in one array, the form in which readers hold chunks and cut minibatches.

Sequence ``i`` is ``rows[starts[i] : starts[i] + lengths[i]]``. Selecting, joining and cutting sequences are single
NumPy operations. Knows no files, no streams and no order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cntk_lab.errors import ReaderError
from cntk_lab.tensor.layout import IndexVector, Layout, concatenate_ranges
from cntk_lab.tensor.shape import Shape
from cntk_lab.tensor.sparse import SparseRows, is_csr
from cntk_lab.tensor.value import Value


class Ragged:
    """Sequences of frames laid end to end.

    Args:
        rows: array (frames x static shape), or CSR matrix (frames x elements).
        lengths: frames of each sequence; sequences lie end to end in this order.
        shape: static shape of a frame (for a CSR matrix; arrays have their own).

    Example:
        >>> Ragged(np.arange(6.0).reshape(6, 1), np.array([1, 3, 2])).take(np.array([2, 0])).rows.ravel().tolist()
        [4.0, 5.0, 0.0]
    """

    __slots__ = ("lengths", "rows", "shape", "starts")

    def __init__(self, rows: Any, lengths: IndexVector, shape: Shape | None = None) -> None:
        self.rows, self.lengths = rows, lengths
        self.shape: Shape = tuple(rows.shape[1:]) if shape is None else shape
        self.starts: IndexVector = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)

    @property
    def count(self) -> int:
        """Number of sequences."""
        return len(self.lengths)

    @property
    def nbytes(self) -> int:
        """Memory taken, in bytes."""
        if is_csr(self.rows):
            return int(self.rows.data.nbytes + self.rows.indices.nbytes + self.rows.indptr.nbytes)
        return int(self.rows.nbytes)

    def take(self, which: IndexVector) -> Ragged:
        """The sequences with these numbers, in this order."""
        count = len(which)
        if count and int(which[-1]) - int(which[0]) == count - 1 and bool((np.diff(which) == 1).all()):
            first, last = int(which[0]), int(which[-1]) + 1
            return Ragged(self.rows[self.starts[first] : self.starts[last]], self.lengths[first:last], self.shape)
        return self.cut(which, np.zeros(count, np.int64), self.lengths[which])

    def cut(self, which: IndexVector, first: IndexVector, lengths: IndexVector) -> Ragged:
        """Pieces: of each sequence ``which[i]`` the frames from ``first[i]`` on, ``lengths[i]`` of them."""
        starts = self.starts[which] + first
        index = starts if bool((lengths == 1).all()) else concatenate_ranges(starts, lengths)
        return Ragged(self.rows[index], lengths, self.shape)

    def value(self, begins: Sequence[bool] | None = None) -> Value:
        """The sequences as packed rows."""
        layout = Layout.of(self.lengths, begins)
        rows = SparseRows(self.rows, self.shape) if is_csr(self.rows) else self.rows
        return Value.packed(layout.pack_rows(rows), layout, has_sequence=True)


def join(parts: Sequence[Ragged]) -> Ragged:
    """The sequences of several parts, one part after the other."""
    if len(parts) == 1:
        return parts[0]
    if is_csr(parts[0].rows):
        from scipy import sparse

        rows: Any = sparse.vstack([p.rows for p in parts], format="csr")
    else:
        rows = np.concatenate([p.rows for p in parts])
    return Ragged(rows, np.concatenate([p.lengths for p in parts]), parts[0].shape)


def from_lists(data: Any, shape: Shape, dtype: str, sparse: bool, where: str) -> Ragged:
    """What users give for a chunk: a list with one array per sequence, or one array whose rows are samples.

    Args:
        data: list of arrays (frames x shape; or of shape: one frame) or CSR matrices; or one of these, rows being
            samples.
        shape: static shape of a frame.
        dtype: element type.
        sparse: whether CSR matrices are expected.
        where: words for messages.

    Raises:
        ReaderError: if the data have another form.
    """
    single = not isinstance(data, (list, tuple))
    items = [data] if single else list(data)
    if not items or (single and data.shape[0] == 0):
        raise ReaderError(f"{where}: there is no sequence", fix="give at least one sequence in every chunk")
    elements = int(np.prod(shape, dtype=np.int64))
    if sparse:
        from scipy.sparse import csr_matrix, vstack

        for item in items:
            if not is_csr(item) or item.shape[1] != elements:
                found = f"{type(item).__name__} of shape {getattr(item, 'shape', '?')}"
                raise ReaderError(f"{where}: found a {found}", fix=f"give csr_matrix with {elements} columns")
        rows: Any = csr_matrix(vstack(items, format="csr").astype(dtype), copy=True)
        rows.sort_indices()
        lengths = [item.shape[0] for item in items]
    else:
        flat, lengths = [], []
        for number, item in enumerate(items):
            array = np.asarray(item, dtype)
            if array.shape == shape and not (single and shape):
                array = array[None]
            elif array.ndim >= 1 and array.shape[1:] != shape and array.size == len(array) * elements:
                array = array.reshape((len(array), *shape))
            if array.shape[1:] != shape or len(array) == 0:
                raise ReaderError(
                    f"{where}: sequence {number} has shape {np.shape(item)}", fix=f"give arrays (frames x {shape})"
                )
            flat.append(array)
            lengths.append(len(array))
        rows = np.concatenate(flat) if len(flat) > 1 else flat[0].copy()
    if single:
        lengths = [1] * rows.shape[0]
    return Ragged(rows, np.asarray(lengths, np.int64), shape)
