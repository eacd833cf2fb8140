"""Feeding: data in the many forms that users give them, as packed rows and a layout for one variable.

Accepted are arrays, nested lists, one array per sequence, SciPy CSR matrices, Values and minibatches of a reader; the
variable's static shape and dynamic axes decide what the axes of the data mean. Source: CNTK 2.7, as observed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cntk_lab.errors import DataError, DTypeError
from cntk_lab.tensor import dtype as dtypes
from cntk_lab.tensor.arrays import ArrayView
from cntk_lab.tensor.layout import Layout
from cntk_lab.tensor.shape import FREE, Shape, size, text
from cntk_lab.tensor.sparse import Csr, SparseRows, is_csr, is_sparse_matrix
from cntk_lab.tensor.value import PackedValue, Value


def read(type_: Any, data: Any, begins: Sequence[bool] | None, name: str) -> tuple[Any, Layout | None]:
    """Packed rows and layout of data for a variable.

    Args:
        type_: the variable's type (shape, dtype, axes, sparse).
        data: the data.
        begins: for each sequence whether it begins here.
        name: the variable's name, for messages.

    Returns:
        Rows ``(rows x static shape)``, or SparseRows, in packed order; and the layout (None without dynamic axes).

    Raises:
        DataError: if the data do not fit the variable.
    """
    plain = type(data) is np.ndarray or type(data) is list  # asking these for what they have not takes time
    if not plain and hasattr(data, "end_of_sweep") and hasattr(data, "data"):
        data = data.data
    if isinstance(data, PackedValue):
        if data.rows is not None:
            if isinstance(data.rows, SparseRows):
                data.rows.check(name)
            found = _as_it_is(type_, data) if begins is None else None
            return found or _from_value(type_, data, begins, name)
        begins = begins if begins is not None else data.seq_starts
        data = data.raw
    if isinstance(data, ArrayView) and data.is_sparse:
        return _from_sparse_view(type_, data, begins, name)
    if not plain and hasattr(data, "asarray") and not isinstance(data, np.ndarray):
        data = data.asarray()
    if isinstance(data, (list, tuple)) and data and isinstance(data[0], ArrayView):
        data = [d.asarray() for d in data]
    axes = type_.axes or ()
    if begins is not None and len(axes) < 2:
        raise DataError("you specified sequence begin markers, but your input does not contain a sequence axis.")
    if not axes:
        array = _dense(data, type_, name)
        _check(array.shape, type_.dims, type_, name)
        return array[None], None
    if is_sparse_matrix(data) and not is_csr(data):
        raise DataError(
            "batch must be a list of NumPy arrays or SciPy CSR matrices", f"data for '{name}'", "convert with .tocsr()"
        )
    if is_csr(data) or (isinstance(data, (list, tuple)) and data and is_csr(data[0])):
        return _from_csr(type_, data, begins, name)
    if type_.sparse and not _is_index_list(data):
        raise DataError(
            f"Dense input data supplied for sparse input Variable '{name}'",
            fix="give a scipy.sparse.csr_matrix, or Value.one_hot(indices, num_classes)",
        )
    if type_.sparse:
        value = Value.one_hot(data, type_.dims, type_.dtype)
        return _from_value(type_, value, begins, name)
    if len(axes) > 1:
        return _sequences(type_, data, begins, name)
    return _samples(type_, data, name)


def _is_index_list(data: Any) -> bool:
    """Whether data are class numbers: a list of whole numbers, or of lists of them."""
    if not isinstance(data, (list, tuple)) or not data:
        return False
    first = data[0]
    while isinstance(first, (list, tuple)) and first:
        first = first[0]
    return isinstance(first, (int, np.integer)) and not isinstance(first, bool)


def _dense(data: Any, type_: Any, name: str) -> np.ndarray[Any, Any]:
    if type(data) is np.ndarray and data.dtype is dtypes.as_numpy(type_.dtype):
        return data
    try:
        array = np.asarray(data)
    except ValueError:
        raise DataError(
            f"data for '{name}' are ragged: its samples have different shapes",
            fix="give a variable with a sequence axis, or equal shapes",
        ) from None
    if array.dtype == object:
        raise DTypeError(
            f"dtype object is not supported for data of '{name}'", fix="give numbers, all samples of one shape"
        )
    dtypes.convertible(array.dtype)
    return array.astype(type_.dtype, copy=False)


def _fits(have: Sequence[int], want: Shape) -> bool:
    return len(have) == len(want) and all(w < 0 or w == h for h, w in zip(have, want, strict=True))


def _check(have: Sequence[int], want: Shape, type_: Any, name: str, whole: Sequence[int] | None = None) -> None:
    if not _fits(have, want):
        from cntk_lab.axis import format_axes

        raise DataError(
            f"The trailing dimensions of the Value shape '{text(tuple(whole or have))}' do not match the Variable "
            f"'Input('{name}', {format_axes(type_.axes or ())}, {text(want)})' shape '{text(want)}'.",
            fix=f"give data whose last {len(want)} axes are {text(want)}" if want else "give one number per sample",
        )


def _samples(type_: Any, data: Any, name: str) -> tuple[Any, Layout]:
    shape = type_.dims
    rank = len(shape)
    array = _dense(data, type_, name)
    if rank and isinstance(data, list) and any(isinstance(d, np.ndarray) and not d.ndim for d in data):
        _check((), shape, type_, name)
    if array.ndim == rank and _fits(array.shape, shape):
        array = array[None]
    elif array.ndim == rank + 2 and array.shape[1] == 1:
        array = array[:, 0]
    if (
        array.ndim != rank + 1
        and array.ndim >= 1
        and rank
        and size(array.shape[1:]) == size([d for d in shape if d > 0])
        and array.shape[-rank:] == shape
    ):
        array = array.reshape((-1, *shape))
    _check(array.shape[1:], shape, type_, name, array.shape)
    return array, Layout.of_samples(len(array))


def _sequences(type_: Any, data: Any, begins: Sequence[bool] | None, name: str) -> tuple[Any, Layout]:
    if type(data) is list and _are_frames(data, type_):
        layout = _layout(list(map(len, data)), begins)
        return layout.pack_rows(np.concatenate(data) if len(data) > 1 else data[0]), layout
    shape = type_.dims
    rank = len(shape)
    if isinstance(data, (list, tuple)):
        if data and not rank and all(isinstance(d, (int, float, np.number)) for d in data):
            data = [data]  # a list of numbers is one sequence of scalars; a list of frames is many sequences of one
        parts = [_dense(d, type_, name) for d in data]
    else:
        array = _dense(data, type_, name)
        if array.ndim == rank + 2:
            parts = list(array)
        elif array.ndim == rank + 1:
            parts = list(array[:, None]) if begins is not None and len(begins) == len(array) else [array]
        elif array.ndim == rank:
            parts = [array[None]]
        else:
            _check(array.shape, shape, type_, name)
            parts = []
    parts = [p[None] if p.ndim == rank and _fits(p.shape, shape) else p for p in parts]
    if size([abs(d) for d in shape]) == 1:
        # one number for each frame may be given without its axis of length 1
        parts = [p.reshape(-1, *shape) if p.ndim == 1 else p for p in parts]
    for p in parts:
        if p.shape[1:] != shape:
            _check(p.shape[1:], shape, type_, name, p.shape)
    layout = _layout([len(p) for p in parts], begins)
    flat = np.concatenate(parts) if len(parts) != 1 else parts[0]
    return layout.pack_rows(flat), layout


def _are_frames(data: list[Any], type_: Any) -> bool:
    """Whether data are one array for each sequence, just as the variable wants them, as nearly always."""
    dtype, shape, ndim = dtypes.as_numpy(type_.dtype), type_.dims, len(type_.dims) + 1
    for d in data:
        if type(d) is not np.ndarray or d.dtype is not dtype or d.ndim != ndim or d.shape[1:] != shape:
            return False
    return bool(data)


def _layout(lengths: Sequence[int], begins: Sequence[bool] | None) -> Layout:
    if begins is not None and len(begins) != len(lengths):
        raise DataError(
            f"you have {len(lengths)} sequences, but only {len(begins)} sequence begin markers",
            fix="give one marker per sequence",
        )
    return Layout.of(lengths, begins)


def _from_csr(type_: Any, data: Any, begins: Sequence[bool] | None, name: str) -> tuple[Any, Layout]:
    has_sequence = len(type_.axes) > 1
    given = data if isinstance(data, (list, tuple)) else [data]
    for p in given:
        if not is_csr(p):
            raise DataError(
                f"data for '{name}' mix CSR matrices and a {type(p).__name__}", fix="give one csr_matrix per sequence"
            )
    parts = [_whole_rows(p, type_.dims, name, f"sequence {i}" if len(given) > 1 else "") for i, p in enumerate(given)]
    for p in parts:
        if p.shape[1] != size(type_.dims):
            _check((p.shape[1],), type_.dims, type_, name, p.shape)
            raise DataError(
                f"sparse data for '{name}' have {p.shape[1]} columns, its shape {text(type_.dims)} has "
                f"{size(type_.dims)} elements"
            )
    matrix = parts[0] if len(parts) == 1 else Csr.joined(parts)
    layout = _layout([p.shape[0] for p in parts] if has_sequence else [1] * matrix.shape[0], begins)
    rows = layout.pack_rows(SparseRows(matrix.astype(type_.dtype), type_.dims))
    return (rows if type_.sparse else rows.toarray()), layout


def _whole_rows(matrix: Any, shape: Shape, name: str, part: str) -> Csr:
    """A matrix of one row for each sample or frame; rows may also be given along the last axis alone."""
    held = Csr.checked(matrix, name, part)
    lines = size(shape[:-1])
    if len(shape) < 2 or min(shape) < 1 or matrix.shape[1] != shape[-1] or matrix.shape[0] % lines:
        return held
    return Csr.of(held.matrix().reshape((matrix.shape[0] // lines, size(shape))).tocsr())


def _from_sparse_view(
    type_: Any, view: ArrayView, begins: Sequence[bool] | None, name: str
) -> tuple[Any, Layout | None]:
    """A sparse view: its shape says how many sequences, frames or samples there are."""
    rank = len(type_.dims)
    shape = view.shape if len(view.shape) > rank else (1, *view.shape)
    leading, static = shape[: len(shape) - rank], shape[len(shape) - rank :]
    _check(static, type_.dims, type_, name, view.shape)
    given = Csr.checked(view._data, name).matrix()
    matrix = given.reshape((size(leading), size(static))).tocsr().astype(type_.dtype)
    axes = type_.axes or ()
    layout = None
    if len(axes) > 1:
        layout = _layout([leading[-1]] * size(leading[:-1]), begins)
    elif axes:
        layout = Layout.of_samples(size(leading))
    rows = SparseRows(matrix, static)
    rows = rows if layout is None else layout.pack_rows(rows)
    return (rows if type_.sparse else rows.toarray()), layout


def single_frames(data: Any) -> np.ndarray[Any, Any] | None:
    """The rows of a reader's minibatch, or of a value, if they are dense and each is a sequence of its own."""
    value = data if isinstance(data, PackedValue) else getattr(data, "data", None)
    if not isinstance(value, PackedValue):
        return None
    rows, layout = value.rows, value.layout
    if type(rows) is not np.ndarray or layout is None or layout.begins is not None or layout.longest > 1:
        return None
    return rows


def _as_it_is(type_: Any, value: PackedValue) -> tuple[Any, Layout] | None:
    """Rows that fit a variable as they are: what readers and ``one_hot`` give. Sequences for a variable with a sequence
    axis, dense single frames for one without.
    """
    rows, layout, axes = value.rows, value.layout, type_.axes or ()
    if layout is None or not axes or isinstance(rows, SparseRows) != type_.sparse:
        return None
    agree = value.has_sequence if len(axes) > 1 else single_frames(value) is not None
    if not agree or rows.shape[1:] != type_.dims or rows.dtype != dtypes.as_numpy(type_.dtype):
        return None
    return rows, layout


def _from_value(type_: Any, value: PackedValue, begins: Sequence[bool] | None, name: str) -> tuple[Any, Layout | None]:
    rows, layout = value.rows, value.layout
    if isinstance(rows, SparseRows):
        if size(rows.static) != size([d for d in type_.dims if d > 0]):
            _check(rows.static, type_.dims, type_, name, value.shape)
        if FREE not in type_.dims:
            rows = rows.reshape((rows.shape[0], *type_.dims))
        rows = rows if type_.sparse else rows.toarray()
    else:
        if layout is None and type_.axes and len(rows.shape) == len(type_.dims) + 2:
            rows, layout = rows[0], Layout.of_samples(rows.shape[1])  # its first static axis counts samples
        _check(rows.shape[1:], type_.dims, type_, name, value.shape)
    if layout is None and type_.axes:
        layout = Layout.of([1])
    if layout is not None and len(type_.axes or ()) == 1 and value.has_sequence:
        if layout.longest > 1:
            raise DataError(f"'{name}' has no sequence axis, but sequences of up to {layout.longest} frames are given")
        layout = Layout.of_samples(layout.count)
    if layout is not None and len(type_.axes or ()) > 1 and not value.has_sequence:
        layout = (
            Layout.of([layout.count]) if layout.longest <= 1 and layout.count > 1 and not value.has_sequence else layout
        )
    if begins is not None and layout is not None:
        layout = _layout(layout.lengths.tolist(), begins)
    if rows.dtype != dtypes.as_numpy(type_.dtype):
        rows = rows.astype(type_.dtype)
    return rows, layout
