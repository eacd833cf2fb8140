"""Arrays of a device: the array module behind a value, copies between host and device, and parameter storage.

The only place beside ``backends/cuda`` that imports CuPy. Knows no operators and no graphs.
"""

from __future__ import annotations

import ctypes
import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cntk_lab import _changes
from cntk_lab import device as devices
from cntk_lab._turn import TURN
from cntk_lab.device import DeviceDescriptor
from cntk_lab.errors import DataError, ShapeError
from cntk_lab.tensor import dtype as dtypes
from cntk_lab.tensor.shape import Shape, size, text
from cntk_lab.tensor.sparse import Csr, is_csr, is_sparse_matrix

HostArray = NDArray[Any]
_BYTE = ctypes.c_char


def array_module(array: object) -> Any:
    """The module (numpy or cupy) that computes with this array."""
    cupy = sys.modules.get("cupy")
    return cupy if cupy is not None and isinstance(array, cupy.ndarray) else np


def module_of(device: DeviceDescriptor) -> Any:
    """The array module of a device; CuPy loads when a GPU is first used."""
    if device.type() == devices.DeviceKind.GPU:
        import cupy

        return cupy
    return np


def to_host(array: Any) -> HostArray:
    """The array in host memory (itself if it is there); of a NumPy number an array without dimensions."""
    if isinstance(array, np.ndarray):
        return array
    return np.asarray(array if isinstance(array, np.generic) else array.get())


def to_device(array: Any, device: DeviceDescriptor) -> Any:
    """The array in the memory of a device (itself if it is there)."""
    if device.type() == devices.DeviceKind.GPU:
        cupy = module_of(device)
        with cupy.cuda.Device(device.id()):
            return cupy.asarray(array)
    return to_host(array)


def aligned_empty(shape: Shape, dtype: str) -> HostArray:
    """An array whose data start at a multiple of 64 bytes, as vector instructions and oneDNN like it."""
    kind = np.dtype(dtype)
    raw = np.empty(math.prod(shape) * kind.itemsize + 64, np.uint8)
    return np.ndarray(shape, kind, raw, -address_of(raw) % 64)


def address_of(array: Any) -> int:
    """Where the data of a host array lie.

    Example:
        >>> a = np.zeros((2, 3))
        >>> address_of(a) == a.ctypes.data
        True
    """
    flags = array.flags
    if flags.writeable and flags.c_contiguous and array.size:
        return ctypes.addressof(_BYTE.from_buffer(array))  # a quarter of the time of the others
    found: int = array.__array_interface__["data"][0]
    return found


_left_host: list[bool] = []


def values_left_host() -> bool:
    """Whether any parameter or constant was ever moved to a GPU: until then nobody need look where they are."""
    return bool(_left_host)


class Storage:
    """The value of a parameter or constant: one array that kernels write in place.

    While a training plan keeps the value in a layout of its own, ``flush`` brings it back before anybody reads it and
    ``version`` tells the plan that somebody else has written.
    """

    __slots__ = ("_array", "_host", "device", "flush", "moves", "version")

    def __init__(self, array: HostArray, device: DeviceDescriptor) -> None:
        if device.type() == devices.DeviceKind.CPU:
            kept = aligned_empty(array.shape, array.dtype.name)
            kept[...] = array
            self._array: Any = kept
        else:
            self._array = to_device(array, device)
        self._host: Any = self._array if device.type() == devices.DeviceKind.CPU else None
        """The memory on the CPU, which native plans know: kept while the numbers are elsewhere."""
        self.device = device
        self.version = 0
        self.moves = False
        """Whether a plan writes it, so that no plan may take its numbers for granted."""
        self.flush: Callable[[], None] | None = None

    @property
    def array(self) -> Any:
        """The array itself, up to date: on the CPU its address never changes."""
        if self.flush is not None:
            self.flush()
        return self._array

    @property
    def raw(self) -> Any:
        """The array as it is, without asking a plan to bring it up to date."""
        return self._array

    def move(self, device: DeviceDescriptor) -> None:
        """Keep the numbers on another device from now on."""
        if device == self.device:
            return
        moved = to_device(self.array, device)
        if device.type() == devices.DeviceKind.CPU:
            if self._host is None:
                self._host = aligned_empty(moved.shape, moved.dtype.name)
            self._host[...] = moved
            moved = self._host
        else:
            _left_host[:] = [True]
        self._array = moved
        self.device = device
        self.version += 1
        _changes.note()

    def will_move(self) -> None:
        """Tell that a plan writes these numbers: what took them for granted is out of date, and nobody does again."""
        if not self.moves:
            self.moves = True
            self.version += 1
            _changes.note()

    def write(self, value: object) -> None:
        """Overwrite all elements, keeping shape and element type; never in the middle of a step."""
        with TURN:
            if self.flush is not None:
                self.flush()
            self._array[...] = to_device(np.asarray(value, self._array.dtype), self.device)
            self.version += 1

    def copied(self) -> HostArray:
        """A copy in host memory, of one moment: never half of what a step writes."""
        with TURN:
            return to_host(self.array).copy()


class ArrayView:
    """What a view of an array shows, dense or sparse; :class:`NDArrayView` makes them."""

    _data: Any
    _storage: Storage | None
    _given_shape: Shape | None
    device: DeviceDescriptor
    is_read_only: bool

    @property
    def is_sparse(self) -> bool:
        """Whether the array is sparse."""
        return is_sparse_matrix(self._data)

    @property
    def is_slice_view(self) -> bool:
        """Whether the array is a part of another one."""
        return not self.is_sparse and getattr(self._data, "base", None) is not None and self._storage is None

    @property
    def shape(self) -> Shape:
        """Shape of the array."""
        return tuple(self._data.shape) if self._given_shape is None else self._given_shape

    def as_shape(self, shape: Shape) -> NDArrayView:
        """A view of the same numbers under another shape.

        Raises:
            ShapeError: if the number of elements differs.
        """
        if size(shape) != size(self.shape):
            raise ShapeError(
                f"an array of shape {text(self.shape)} cannot be seen as {text(tuple(shape))}",
                fix="both must have the same number of elements",
            )
        view = NDArrayView._wrap(self._data if self.is_sparse else self._data.reshape(shape), self.device)
        view._given_shape = tuple(shape) if self.is_sparse else None
        view.is_read_only = self.is_read_only
        return view

    @property
    def dtype(self) -> type[Any]:
        """NumPy element type."""
        found: type[Any] = np.dtype(self._data.dtype).type
        return found

    def asarray(self) -> Any:
        """A copy in host memory: a NumPy array, or a CSR matrix if the view is sparse and has at most two axes."""
        if self.is_sparse:
            return self._data.copy() if len(self.shape) <= 2 else self._data.toarray().reshape(self.shape)
        return self._storage.copied() if self._storage is not None else to_host(self._data).copy()

    def slice_view(self, start_offset: tuple[int, ...], extent: tuple[int, ...], read_only: bool = True) -> NDArrayView:
        """A part of the array that shares its memory; axes without an extent are taken at their start."""
        index: list[Any] = [slice(s, s + e) for s, e in zip(start_offset, extent, strict=False)]
        index += list(start_offset[len(extent) :])
        skip = len(start_offset) - len(extent)
        if skip:
            index = list(start_offset[:skip]) + [
                slice(s, s + e) for s, e in zip(start_offset[skip:], extent, strict=True)
            ]
        view = NDArrayView._wrap(self._data[tuple(index)], self.device)
        view.is_read_only = read_only
        return view

    def __len__(self) -> int:
        return int(self.shape[0])


class NDArrayView(ArrayView):
    """A dense or sparse array on a device, as CNTK programs see it.

    Args:
        shape: static shape.
        dtype: element type.
        device: where it lives.

    Source: CNTK 2.7 ``core.NDArrayView``.
    """

    def __init__(self, shape: object, dtype: object = "float32", device: DeviceDescriptor | None = None) -> None:
        dims = (shape,) if isinstance(shape, int) else tuple(shape)  # type: ignore[arg-type]
        if any(d < 0 for d in dims):
            raise ShapeError(
                f"an array of shape {text(dims)} cannot be created: it has dimensions that are not known",
                fix="resolve inferred dimensions first, for example by applying the layer to an input",
            )
        self.device = device or devices.use_default_device()
        self._data: Any = module_of(self.device).zeros(dims, dtypes.name_of(dtype))
        self._storage: Storage | None = None
        self._given_shape: Shape | None = None
        self.is_read_only = False

    @classmethod
    def _wrap(cls, data: Any, device: DeviceDescriptor, storage: Storage | None = None) -> NDArrayView:
        view = cls.__new__(cls)
        view._data, view.device, view._storage, view.is_read_only = data, device, storage, False
        view._given_shape = None
        return view

    @staticmethod
    def from_dense(
        np_array: object, device: DeviceDescriptor | None = None, read_only: bool = False, borrow: bool = False
    ) -> NDArrayView:
        """A view of a NumPy array, copied to a device unless borrowed."""
        array = np.asarray(np_array)
        dtypes.convertible(array.dtype)
        if array.dtype.name not in dtypes.CNTK_NUMBER:
            array = array.astype("float32")
        device = device or devices.use_default_device()
        view = NDArrayView._wrap(to_device(array if borrow else array.copy(), device), device)
        view.is_read_only = read_only
        return view

    @staticmethod
    def from_data(
        data: Any, device: DeviceDescriptor | None = None, read_only: bool = False, borrow: bool = False
    ) -> NDArrayView:
        """A view of a NumPy array or a CSR matrix."""
        if is_csr(data):
            return NDArrayView.from_csr(data, device, read_only, borrow)
        if is_sparse_matrix(data):
            raise DataError("only the CSR format of sparse matrices is supported", fix="convert with .tocsr()")
        return NDArrayView.from_dense(data, device, read_only, borrow)

    @staticmethod
    def from_csr(
        csr_array: Any,
        device: DeviceDescriptor | None = None,
        read_only: bool = False,
        borrow: bool = False,
        shape: Shape | None = None,
    ) -> NDArrayView:
        """A view of a SciPy CSR matrix.

        Args:
            csr_array: the matrix.
            device: where it lives.
            read_only: whether programs may change it.
            borrow: whether to share the memory.
            shape: of the view: the last dimension is the columns, the product of all others the rows.

        Raises:
            ShapeError: if the matrix has other numbers of rows and columns.
            DataError: if a column lies outside of the matrix, or it is no CSR matrix.
        """
        if not is_csr(csr_array):
            raise SignatureTypeError(f"only csr_matrix is supported as sparse data, not {type(csr_array).__name__}")
        Csr.checked(csr_array, "NDArrayView.from_csr")
        if shape is not None and (size(shape[:-1]), shape[-1]) != tuple(csr_array.shape):
            raise ShapeError(
                f"a sparse matrix of {csr_array.shape[0]} rows and {csr_array.shape[1]} columns does not have "
                f"the shape {text(shape)}",
                fix="the last dimension is the columns, the product of all others the rows",
            )
        view = NDArrayView._wrap(csr_array if borrow else csr_array.copy(), device or devices.cpu())
        view._given_shape = None if shape is None else tuple(shape)
        view.is_read_only = read_only
        return view


class SignatureTypeError(DataError, TypeError):
    """Data of a kind that cannot be used."""
