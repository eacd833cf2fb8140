"""Value: what is fed to a variable or comes out of one: packed rows and their layout, dense or sparse.

A Value made from a plain array keeps it as it is until it meets a variable, because only the variable knows whether the
second axis is a sequence. Knows no graph: a variable is anything with a ``type``.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cntk_lab import device as devices
from cntk_lab.axis import Axis
from cntk_lab.device import DeviceDescriptor
from cntk_lab.errors import DataError
from cntk_lab.tensor import dtype as dtypes
from cntk_lab.tensor.arrays import NDArrayView, to_host
from cntk_lab.tensor.layout import Layout
from cntk_lab.tensor.shape import Shape, as_shape, size
from cntk_lab.tensor.sparse import SparseRows, from_one_hot, is_csr, one_each

ONE_HOT_SKIP = 4294967295
_CPU = devices.cpu()


class PackedValue:
    """What a Value holds and shows: rows in packed order and their layout, or data as they were given."""

    raw: Any
    rows: Any
    layout: Layout | None
    has_sequence: bool
    seq_starts: Sequence[bool] | None
    device: DeviceDescriptor
    is_read_only: bool
    own_shape: bool
    """Whether the static shape is the user's own, so that only this one fits."""

    @property
    def is_sparse(self) -> bool:
        """Whether rows are sparse."""
        return isinstance(self.rows, SparseRows) or _holds_sparse(self.raw)

    @property
    def is_valid(self) -> bool:
        """Whether the data are there: always, for results stay after the next computation (CNTK took them away)."""
        return True

    @property
    def dtype(self) -> Any:
        """NumPy element type."""
        data = self.rows if self.raw is None else self.raw
        return np.dtype(data.dtype).type if hasattr(data, "dtype") else np.dtype(np.asarray(data[0]).dtype).type

    @property
    def static_shape(self) -> Shape:
        """Shape of one row."""
        return tuple(self.rows.shape[1:]) if self.rows is not None else ()

    @property
    def shape(self) -> Shape:
        """Samples x static shape, or sequences x longest length x static shape."""
        if self.rows is None:
            return tuple(self.raw.shape) if hasattr(self.raw, "shape") else (len(self.raw),)
        if self.layout is None:
            return self.static_shape
        if not self.has_sequence:
            return (self.layout.count, *self.static_shape)
        return (self.layout.count, self.layout.longest, *self.static_shape)

    @property
    def mask(self) -> NDArray[np.int8] | None:
        """For sequences: 2 where one begins, 1 for further frames, 0 where there is none."""
        if not self.has_sequence or self.layout is None:
            return None
        codes = (np.arange(self.layout.longest)[None, :] < self.layout.lengths[:, None]).astype(np.int8)
        begins = np.ones(self.layout.count, bool) if self.layout.begins is None else np.asarray(self.layout.begins)
        codes[begins, 0] = 2
        return codes

    @property
    def num_samples(self) -> int:
        """Number of rows."""
        return self.layout.rows if self.layout is not None else len(self)

    def as_sequences(self, variable: Any = None) -> list[Any]:  # noqa: ARG002  (CNTK needed it for sparse values)
        """One array (or CSR matrix) per sequence, without padding."""
        value = self
        if value.rows is None:
            return [value.raw[i] for i in range(value.raw.shape[0])] if is_csr(value.raw) else list(value.raw)
        rows = value.rows
        if value.layout is None:
            return [to_host(rows[0])]
        if isinstance(rows, SparseRows):
            return [p.matrix for p in value.layout.split(rows)]
        return value.layout.split(to_host(rows))

    def asarray(self) -> Any:
        """The data as one array, sequences padded with zeros; a CSR matrix if sparse without sequences."""
        if self.rows is None:
            raw = self.raw.asarray() if isinstance(self.raw, NDArrayView) else self.raw
            return raw if is_csr(raw) else np.asarray(raw)
        if isinstance(self.rows, SparseRows):
            if self.has_sequence:
                return self._padded_matrix().toarray().reshape(self.shape)
            matrix, static = self.rows.matrix, self.rows.static
            if self.layout is None and len(static) > 1:
                return matrix.reshape((size(static[:-1]), static[-1])).tocsr()
            return matrix
        rows = to_host(self.rows)
        if self.layout is None:
            return rows[0]
        if not self.has_sequence:
            return rows
        padded = np.zeros(self.shape, rows.dtype)
        padded[self.layout.sequence, self.layout.position] = rows
        return padded

    @property
    def data(self) -> NDArrayView:
        """The data as a view, sequences padded with zeros."""
        if isinstance(self.rows, SparseRows):
            view = NDArrayView._wrap(self._padded_matrix(), self.device)
            view._given_shape = self.shape
            return view
        return NDArrayView._wrap(self.asarray(), self.device)

    def _padded_matrix(self) -> Any:
        """Sparse rows with one line for each place along the last axis, frames that are missing left empty."""
        matrix, layout, static = self.rows.matrix, self.layout, self.rows.static
        if self.has_sequence and layout is not None:
            from scipy.sparse import csr_matrix

            entries = matrix.tocoo()
            places = layout.sequence * layout.longest + layout.position
            shape = (layout.count * layout.longest, matrix.shape[1])
            matrix = csr_matrix((entries.data, (places[entries.row], entries.col)), shape=shape)
        return matrix.reshape((-1, static[-1])).tocsr() if len(static) > 1 else matrix

    def __len__(self) -> int:
        if self.layout is not None:
            return self.layout.count
        return len(self.raw) if self.raw is not None else 1


class Value(PackedValue):
    """A minibatch of one variable.

    Args:
        batch: array, CSR matrix, NDArrayView, or list of those (one for each sequence).
        seq_starts: for each sequence whether it begins here.
        device: accepted for CNTK programs.

    Source: CNTK 2.7 ``core.Value``.
    """

    ONE_HOT_SKIP = ONE_HOT_SKIP
    """In one_hot: an index that gives a frame of zeros."""

    def __init__(
        self, batch: Any, seq_starts: Sequence[bool] | None = None, device: DeviceDescriptor | None = None
    ) -> None:
        if isinstance(batch, (str, bytes)) or batch is None:
            raise DataError(
                f"Value: the data are {batch!r:.60}", fix="give an array, or a list with one for each sample"
            )
        if isinstance(batch, NDArrayView) and not batch.is_sparse:
            batch = batch.asarray()
        kept = is_csr(batch) or isinstance(batch, (list, tuple, NDArrayView))
        self.raw = batch if kept else np.asarray(batch)
        self.rows = None
        self.layout = None
        self.has_sequence = False
        self.seq_starts = seq_starts
        self.device = device or devices.cpu()
        self.is_read_only = False
        self.own_shape = True

    @classmethod
    def packed(cls, rows: Any, layout: Layout | None, *, has_sequence: bool) -> Value:
        """A value of rows in packed order (``layout`` None: no dynamic axes; then rows has a leading 1)."""
        value = cls.__new__(cls)
        value.raw, value.rows, value.layout, value.has_sequence = None, rows, layout, has_sequence
        value.seq_starts, value.device, value.is_read_only = None, _CPU, False
        value.own_shape = False
        return value

    @staticmethod
    def create(
        var: Any,
        data: Any,
        seq_starts: Sequence[bool] | None = None,
        device: DeviceDescriptor | None = None,
        read_only: bool = False,
    ) -> Value:
        """A value for a variable: data are checked against its shape and packed."""
        from cntk_lab.tensor.feed import read

        type_ = var.type
        if not isinstance(data, (list, tuple)) or not type_.axes:
            pass
        elif len(type_.axes) == 1:
            # in a list each element is a sequence, if only of one frame
            type_ = replace(type_, axes=(*type_.axes, Axis.default_dynamic_axis()))
        if _holds_sparse(data):
            type_ = replace(type_, sparse=True)
        elif isinstance(data, list) and any(isinstance(d, np.ndarray) for d in data):
            type_ = replace(type_, sparse=False)  # as CNTK, refused only where sparse rows are needed
        rows, layout = read(type_, data, seq_starts, var.name or var.uid)
        value = Value.packed(rows, layout, has_sequence=len(type_.axes or ()) > 1)
        value.is_read_only = read_only
        value.own_shape = True
        value.device = device or devices.cpu()
        return value

    @staticmethod
    def one_hot(batch: Any, num_classes: Any, dtype: Any = None, device: DeviceDescriptor | None = None) -> Value:  # noqa: ARG004
        """Sparse one-hot rows from class numbers: a list gives samples, a list of lists gives sequences.

        Raises:
            DataError: if a number is not whole, or not below ``num_classes``.
        """
        shape = as_shape(num_classes)
        items = batch.tolist() if isinstance(batch, np.ndarray) else list(batch)
        nested = bool(items) and isinstance(items[0], (list, tuple, np.ndarray))
        lists = [i if type(i) is list else _listed(i) for i in items] if nested else []
        flat = list(itertools.chain.from_iterable(lists)) if nested else items
        lengths = list(map(len, lists)) if nested else [1] * len(items)
        # of several axes the last one is the class; one number for each position of the others
        classes, per = shape[-1] if shape else 1, size(shape[:-1])
        indices = _class_numbers(flat, classes)
        if per > 1:
            if any(n % per for n in lengths):
                raise DataError(
                    f"one_hot: a sample of shape {shape} takes {per} class numbers, there are {lengths[:8]}",
                    fix="give whole samples",
                )
            lengths = [n // per for n in lengths]
        layout = Layout.of(lengths)
        name = "float32" if dtype is None else dtypes.name_of(dtype)
        if per > 1:
            whole = from_one_hot(indices, classes, name).reshape((len(indices) // per, size(shape))).tocsr()
            return Value.packed(layout.pack_rows(SparseRows(whole, shape)), layout, has_sequence=nested)
        indices = layout.pack_rows(indices)
        matrix: Any = one_each(indices, classes, name)
        if matrix is None:
            matrix = from_one_hot(indices, classes, name)
        return Value.packed(SparseRows(matrix, shape), layout, has_sequence=nested)


def _listed(numbers: Any) -> list[Any]:
    return numbers.tolist() if isinstance(numbers, np.ndarray) else list(numbers)


def _class_numbers(flat: list[Any], classes: int) -> Any:
    """Class numbers, checked: int64, -1 for those that are to be skipped."""
    if list(map(type, flat)).count(int) == len(flat):  # as nearly always: no look at each number
        try:
            indices = np.array(flat, np.int64)
        except OverflowError:
            indices = np.array([classes], np.int64)
        if classes <= ONE_HOT_SKIP and len(indices) and indices.view(np.uint64).max() < classes:
            return indices  # negative numbers are large ones without a sign
        lowest = int(indices.min(initial=0))
        indices[indices == ONE_HOT_SKIP] = -1
        if lowest >= 0 and int(indices.max(initial=-1)) < classes:
            return indices
    for i in flat:
        if not isinstance(i, (int, np.integer)) or isinstance(i, bool):
            raise DataError(f"one_hot: {i!r} is not a class number", fix="class numbers are whole numbers")
        if i != ONE_HOT_SKIP and not 0 <= i < classes:
            raise DataError(
                f"Value::Create: one-hot index value ({i}) exceeds vocabulary size ({classes}).",
                fix=f"indices go from 0 to {classes - 1}",
            )
    return np.array([-1 if i == ONE_HOT_SKIP else i for i in flat], np.int64)


def _holds_sparse(data: Any) -> bool:
    """Whether data are sparse matrices, or views or lists of them."""
    if isinstance(data, (list, tuple)):
        return bool(data) and _holds_sparse(data[0])
    return is_csr(data) or (isinstance(data, NDArrayView) and data.is_sparse)


def asvalue(data: Any) -> Value:
    """Data as a Value, if it is not one."""
    return data if isinstance(data, Value) else Value(data)
