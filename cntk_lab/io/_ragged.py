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
from cntk_lab.tensor.sparse import Csr, SparseRows, is_csr
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

    __slots__ = ("_base", "_ones", "_picked", "_starts", "lengths", "shape")

    def __init__(
        self, rows: Any, lengths: IndexVector, shape: Shape | None = None, *, picked: IndexVector | None = None
    ) -> None:
        self._base = Csr.of(rows) if is_csr(rows) else rows
        self._picked = picked
        """Which rows of the base they are, while nothing has been copied; None: all, in order."""
        self.lengths = lengths
        self.shape: Shape = tuple(rows.shape[1:]) if shape is None else shape
        self._starts: IndexVector | None = None
        self._ones: bool | None = None

    @property
    def _rows(self) -> Any:
        if self._picked is not None:
            self._base, self._picked = self._base[self._picked], None
        return self._base

    @property
    def rows(self) -> Any:
        """Array (frames x static shape), or CSR matrix (frames x elements)."""
        return self._rows.matrix() if isinstance(self._rows, Csr) else self._rows

    @property
    def base(self) -> Any:
        """The rows as they are held: array, or the three arrays of a CSR matrix (``Csr``)."""
        return self._rows

    @property
    def ones(self) -> bool:
        """Whether every sequence is one frame."""
        if self._ones is None:
            self._ones = bool((self.lengths == 1).all())
        return self._ones

    @property
    def dtype(self) -> Any:
        """NumPy element type of the rows."""
        return self._base.dtype

    @property
    def single(self) -> bool:
        """Whether every sequence is one frame of a dense stream."""
        return not isinstance(self._base, Csr) and self.ones

    @property
    def starts(self) -> IndexVector:
        """Where each sequence starts, and the number of frames in all."""
        if self._starts is None:
            self._starts = np.zeros(len(self.lengths) + 1, np.int64)
            np.cumsum(self.lengths, out=self._starts[1:])
        return self._starts

    @property
    def count(self) -> int:
        """Number of sequences."""
        return len(self.lengths)

    @property
    def nbytes(self) -> int:
        """Memory taken, in bytes."""
        return int(self._rows.nbytes)

    def take(self, which: IndexVector) -> Ragged:
        """The sequences with these numbers, in this order."""
        count = len(which)
        if count and int(which[-1]) - int(which[0]) == count - 1 and bool((np.diff(which) == 1).all()):
            return self.part(int(which[0]), int(which[-1]) + 1)
        return self.cut(which, np.zeros(count, np.int64), self.lengths[which])

    def part(self, first: int, last: int) -> Ragged:
        """The sequences from one number up to another, in place."""
        return Ragged(self._rows[self.starts[first] : self.starts[last]], self.lengths[first:last], self.shape)

    def cut(self, which: IndexVector, first: IndexVector, lengths: IndexVector) -> Ragged:
        """Pieces: of each sequence ``which[i]`` the frames from ``first[i]`` on, ``lengths[i]`` of them."""
        starts = self.starts[which] + first
        index = starts if bool((lengths == 1).all()) else concatenate_ranges(starts, lengths)
        return Ragged(self._rows, lengths, self.shape, picked=index)

    def value(self, begins: Sequence[bool] | None = None) -> Value:
        """The sequences as packed rows."""
        layout = Layout.of(self.lengths, begins)
        # rows that are still to be picked are copied once, in packed order
        whole = self._picked is None
        rows = layout.pack_rows(self._base) if whole else self._base[layout.pack_rows(self._picked)]
        if isinstance(rows, Csr):
            rows = SparseRows(rows, self.shape)
        return Value.packed(rows, layout, has_sequence=True)


def join(parts: Sequence[Ragged]) -> Ragged:
    """The sequences of several parts, one part after the other."""
    if len(parts) == 1:
        return parts[0]
    if isinstance(parts[0]._base, Csr):
        rows: Any = Csr.joined([p._rows for p in parts])
    else:
        rows = np.concatenate([p._rows for p in parts])
    return Ragged(rows, np.concatenate([p.lengths for p in parts]), parts[0].shape)


def reordered(parts: Sequence[Ragged], order: IndexVector) -> Ragged:
    """The sequences of several parts, in another order.

    Args:
        parts: sequences.
        order: place that each sequence of the joined parts gets.
    """
    if not all(p.single for p in parts):
        back = np.empty(len(order), np.int64)
        back[order] = np.arange(len(order))
        return join(parts).take(back)
    rows = [p.rows for p in parts]
    out = np.empty((len(order), *rows[0].shape[1:]), np.result_type(*rows))  # one copy instead of two
    first = 0
    for part in rows:
        out[order[first : first + len(part)]] = part
        first += len(part)
    return Ragged(out, np.ones(len(order), np.int64), parts[0].shape)


def together(parts: Sequence[Ragged], part: IndexVector, number: IndexVector) -> Ragged:
    """Sequences that lie in several parts.

    Args:
        parts: sequences.
        part: in which of them each one lies.
        number: its number there.
    """
    if bool((part == part[0]).all()):
        return parts[int(part[0])].take(number)
    order = np.argsort(part, kind="stable")
    edges = np.flatnonzero(np.diff(part[order])) + 1
    return reordered([parts[int(part[here[0]])].take(number[here]) for here in np.split(order, edges)], order)


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
        for number, item in enumerate(items):
            Csr.checked(item, where, "" if single else f"sequence {number}")
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
