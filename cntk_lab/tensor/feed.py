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
        data = [d._data if d.is_sparse else d.asarray() for d in data]
    axes = type_.axes or ()
    if begins is not None and len(axes) < 2:
        raise DataError("you specified sequence begin markers, but your input does not contain a sequence axis.")
    if not axes:
        return _static(type_, _dense(data, type_, name), name)
    if is_sparse_matrix(data) and not is_csr(data):
        raise DataError(
            "batch must be a list of NumPy arrays or SciPy CSR matrices", f"data for '{name}'", "convert with .tocsr()"
        )
    if is_csr(data) or (isinstance(data, (list, tuple)) and data and is_csr(data[0])):
        return _from_csr(type_, data, begins, name)
    if isinstance(data, (list, tuple)) and not data:
        raise DataError(f"the list of data for '{name}' is empty", fix="give at least one sample or sequence")
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
        raise _no_numbers(data, name)
    dtypes.convertible(array.dtype)
    return array.astype(type_.dtype, copy=False)


def _no_numbers(data: Any, name: str) -> DTypeError:
    """The error for data that hold something else than numbers; says what."""
    first = data
    while isinstance(first, (list, tuple)) and first:
        first = first[0]
    if isinstance(first, np.ndarray) and first.dtype == object and first.size:
        first = first.flat[0]
    kind = type(first).__name__
    if hasattr(first, "root_function") and hasattr(first, "eval"):
        return DTypeError(
            f"data for '{name}' are a Function, which has no numbers until it is evaluated",
            fix="give its value: .eval(), with its own data if it has arguments; or clone the model with it in place "
            "of the input",
        )
    if hasattr(first, "is_placeholder"):
        return DTypeError(f"data for '{name}' are a variable ({kind}), not numbers", fix="give an array")
    return DTypeError(
        f"dtype object is not supported for data of '{name}': a {kind} is among them",
        fix="give numbers, all samples of one shape",
    )


def _fits(have: Sequence[int], want: Shape) -> bool:
    return len(have) == len(want) and all(w < 0 or w == h for h, w in zip(have, want, strict=True))


def _check(have: Sequence[int], want: Shape, type_: Any, name: str, whole: Sequence[int] | None = None) -> None:
    if not _fits(have, want):
        raise _misfit(type_, name, have if whole is None else whole)


def _misfit(type_: Any, name: str, whole: Sequence[int]) -> DataError:
    """The error that says which axis of the data is not as the variable wants it.

    Args:
        type_: the variable's type.
        name: its name.
        whole: shape of all the data, as they were given.
    """
    from cntk_lab.axis import format_axes

    want, axes = type_.dims, type_.axes or ()
    variable = f"'Input('{name}', {format_axes(axes)}, {text(want)})'"
    given, lead = text(tuple(whole)), len(whole) - len(want)
    fix = f"give data whose last {len(want)} axes are {text(want)}" if want else "give one number per sample"
    if lead < 0:
        return DataError(
            f"Value's rank ({len(whole)}) should be >= the Variable's rank ({len(want)}); Variable = {variable}, "
            f"Value shape = '{given}'.",
            fix=fix,
        )
    for axis, w in enumerate(want):
        if w >= 0 and whole[lead + axis] != w:
            return DataError(
                f"The trailing dimensions of the Value shape '{given}' do not match the Variable {variable} shape "
                f"'{text(want)}': axis {lead + axis} of the data has {whole[lead + axis]} elements, static axis {axis} "
                f"of the variable {w}.",
                fix=fix,
            )
    axis = next((i for i in range(len(axes) and 1, lead) if whole[i] != 1), lead - 1)
    kinds = ["no axis but the static ones", "a batch axis and no sequence axis", "a batch and a sequence axis"]
    return DataError(
        f"The dimension size ({whole[axis]}) of the axis ({axis}) of the Value ('{given}') must be 1, because this "
        f"axis is not specified as a dynamic axis of the Variable ({variable}).",
        fix=f"the variable has {kinds[min(len(axes), 2)]}: give it that axis, or give data without it",
    )


def _static(type_: Any, array: Any, name: str) -> tuple[Any, None]:
    """One sample for a variable without dynamic axes; axes of length 1 may stand before it."""
    shape = type_.dims
    lead = array.ndim - len(shape)
    if lead < 0 or not _fits(array.shape[lead:], shape) or any(d != 1 for d in array.shape[:lead]):
        raise _misfit(type_, name, array.shape)
    return (array[None] if not lead else array.reshape((1, *array.shape[lead:]))), None


def _samples(type_: Any, data: Any, name: str) -> tuple[Any, Layout]:
    shape = type_.dims
    rank = len(shape)
    array = _dense(data, type_, name)
    if rank and isinstance(data, list) and any(isinstance(d, np.ndarray) and not d.ndim for d in data):
        _check((), shape, type_, name)
    lead = array.ndim - rank
    if lead < 0 or not _fits(array.shape[lead:], shape) or any(d != 1 for d in array.shape[1:lead]):
        raise _misfit(type_, name, array.shape)
    if lead != 1:
        array = array[None] if not lead else array.reshape((array.shape[0], *array.shape[lead:]))
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
    if not parts:
        raise DataError(f"there is no sequence for '{name}'", fix="give at least one")
    parts = [p.reshape((0, *shape)) if p.shape == (0,) else p for p in parts]  # [] is a sequence without a frame
    parts = [p[None] if p.ndim == rank and _fits(p.shape, shape) else p for p in parts]
    if size([abs(d) for d in shape]) == 1:
        # one number for each frame may be given without its axis of length 1
        parts = [p.reshape(-1, *shape) if p.ndim == 1 else p for p in parts]
    for i, p in enumerate(parts):
        if p.shape[1:] != shape:
            if not isinstance(data, (list, tuple)):
                _check(p.shape[1:], shape, type_, name, array.shape)
            elif not _fits(p.shape[1:], shape):
                raise _of_sequence(_misfit(type_, name, p.shape), i)
    layout = _layout([len(p) for p in parts], begins)
    flat = np.concatenate(parts) if len(parts) != 1 else parts[0]
    return layout.pack_rows(flat), layout


def _of_sequence(error: DataError, number: int) -> DataError:
    return DataError(error.what, error.where or f"sequence {number} of the data", error.fix)


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
    rows, layout, axes = value.rows, value.layout, type_.axes or ()
    if isinstance(rows, SparseRows):
        if size(rows.static) != size([d for d in type_.dims if d > 0]):
            _check(rows.static, type_.dims, type_, name, value.shape)
        if FREE not in type_.dims:
            rows = rows.reshape((rows.shape[0], *type_.dims))
        rows = rows if type_.sparse else rows.toarray()
    elif not _fits(rows.shape[1:], type_.dims):
        rows = _in_another_shape(type_, value)
        if rows is None:
            return _as_array(type_, value, begins, name)
    if layout is None and axes:
        layout = Layout.of([1])
    elif layout is not None and len(axes) < 2 and (layout.longest > 1 or (not axes and layout.count > 1)):
        raise _misfit(type_, name, value.shape)
    elif layout is not None and len(axes) == 1 and value.has_sequence:
        layout = Layout.of_samples(layout.count)
    elif layout is not None and not axes:
        layout = None
    elif layout is not None and len(axes) > 1 and not value.has_sequence:
        layout = Layout.of([layout.count]) if layout.longest <= 1 and layout.count > 1 else layout
    if begins is not None and layout is not None:
        layout = _layout(layout.lengths.tolist(), begins)
    if rows.dtype != dtypes.as_numpy(type_.dtype):
        rows = rows.astype(type_.dtype)
    return rows, layout


def _in_another_shape(type_: Any, value: PackedValue) -> Any:
    """Frames of a reader, or of another function, in the variable's static shape if that has as many elements, as CNTK
    does; None if they do not fit.
    """
    shape, rows = type_.dims, value.rows
    if not value.has_sequence or value.own_shape or FREE in shape or size(rows.shape[1:]) != size(shape):
        return None
    return rows.reshape((rows.shape[0], *shape))


def _as_array(type_: Any, value: PackedValue, begins: Sequence[bool] | None, name: str) -> tuple[Any, Layout | None]:
    """A value some of whose dynamic axes are static ones of the variable, or the other way round."""
    layout = value.layout
    lead = len(value.shape) - len(type_.dims)
    if lead < 0 or not _fits(value.shape[lead:], type_.dims):
        raise _misfit(type_, name, value.shape)
    if layout is not None and layout.count and int(layout.lengths.min()) < layout.longest:
        raise DataError(
            f"the value of shape '{text(value.shape)}' has sequences of {int(layout.lengths.min())} to "
            f"{layout.longest} frames: they cannot be static axis {1 - lead} of '{name}'",
            fix="give sequences of equal length, or a variable with a sequence axis",
        )
    return read(type_, value.asarray(), begins, name)
