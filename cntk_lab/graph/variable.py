"""Variable and its kinds: inputs, outputs, placeholders, parameters and constants.

A variable is a value in the graph: a static shape, an element type and dynamic axes, and for parameters and
constants the numbers themselves. Knows no operators; ``node`` points to the node that computes an output.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from cntk_lab import device as devices
from cntk_lab import initializer as initializers
from cntk_lab._turn import TURN
from cntk_lab.axis import UNKNOWN_AXES, Axis, format_axes
from cntk_lab.device import DeviceDescriptor
from cntk_lab.errors import DataError, DTypeError, GraphError, LabWarning, ShapeError, SignatureError
from cntk_lab.graph import ports
from cntk_lab.graph.naming import function_without_parameters, new_uid, user_line
from cntk_lab.graph.opdef import TensorType
from cntk_lab.graph.operand import Operable, constant_array, symbol
from cntk_lab.tensor import dtype as dtypes
from cntk_lab.tensor.arrays import NDArrayView, Storage
from cntk_lab.tensor.shape import UNKNOWN_SHAPE, Shape, as_shape, is_known, size, text

if TYPE_CHECKING:
    from cntk_lab.graph.node import Node

INPUT, OUTPUT, PARAMETER, CONSTANT, PLACEHOLDER = "Input", "Output", "Parameter", "Constant", "Placeholder"


UNKNOWN_TYPE = 0
"""CNTK's number of an element type that is not known yet."""


class VariableKind:
    """The kinds of variables, as CNTK numbers them."""

    INPUT, OUTPUT, PARAMETER, CONSTANT, PLACEHOLDER = range(5)


class Variable(Operable):
    """A value in the graph.

    Not built directly: use ``input_variable``, ``parameter``, ``constant``, ``placeholder``, or any operator.
    Carries whatever attributes the user hangs on it (``x.my_note = 3``); nothing here reads them.

    Source: CNTK 2.7 ``variables.Variable``.
    """

    __slots__ = (
        "__dict__",  # the user's attributes; made when the first one is set
        "__weakref__",
        "_name",
        "block_input",
        "index",
        "kind",
        "needs_gradient",
        "node",
        "source",
        "type",
        "uid",
    )

    def __init__(
        self, kind: str, type_: TensorType, name: str = "", *, needs_gradient: bool = False, uid: str = ""
    ) -> None:
        self.kind = kind
        self.type = type_
        self._name = name
        self.uid = uid or new_uid(kind)
        self.needs_gradient = needs_gradient
        self.node: Node | None = None
        self.index = 0
        self.block_input: Variable | None = None
        """For a placeholder inside a block: the variable outside that it stands for."""
        self.source = user_line()

    @property
    def name(self) -> str:
        """Name given by the user; empty if there is none."""
        return self._name

    @name.setter
    def name(self, value: str) -> None:
        if self._name and value != self._name:
            raise GraphError(f"variable '{self._name}' already has a name: it cannot be renamed to '{value}'")
        self._name = value

    @property
    def shape(self) -> Shape:
        """Static shape; ``(-2,)`` while unknown, -1 for dimensions to be inferred, -3 for free ones."""
        return UNKNOWN_SHAPE if self.type.shape is None else self.type.shape

    @property
    def rank(self) -> int:
        """Number of static axes."""
        return len(self.shape)

    @property
    def dtype(self) -> Any:
        """NumPy element type; None while unknown."""
        return None if self.type.dtype is None else np.dtype(self.type.dtype).type

    @property
    def dynamic_axes(self) -> tuple[Axis, ...]:
        """Batch and sequence axes."""
        return UNKNOWN_AXES if self.type.axes is None else self.type.axes

    def get_data_type(self) -> int:
        """CNTK's number of the element type (``cntk_py.DataType_Float`` and so on); 0 while that is not known."""
        return UNKNOWN_TYPE if self.type.dtype is None else dtypes.CNTK_NUMBER[self.type.dtype]

    @property
    def is_sparse(self) -> bool:
        """Whether values are sparse rows."""
        return self.type.sparse

    @property
    def is_input(self) -> bool:
        """Whether data are fed here."""
        return self.kind == INPUT

    @property
    def is_output(self) -> bool:
        """Whether an operator computes this."""
        return self.kind == OUTPUT

    @property
    def is_parameter(self) -> bool:
        """Whether this is a parameter."""
        return self.kind == PARAMETER

    @property
    def is_constant(self) -> bool:
        """Whether this is a constant."""
        return self.kind == CONSTANT

    @property
    def is_placeholder(self) -> bool:
        """Whether this stands for a variable that is bound later."""
        return self.kind == PLACEHOLDER

    @property
    def owner(self) -> Any:
        """The primitive Function that computes this output; None for leaves."""
        return None if self.node is None else symbol("owner")(self.node)

    @property
    def variable(self) -> Variable:
        """The variable itself (parameters and constants of CNTK scripts ask for it)."""
        return self

    def has_batch_axis(self) -> bool:
        """Whether samples of a minibatch lie along an axis of this variable."""
        return any(not a.is_ordered for a in self.type.axes or ())

    def has_sequence_axis(self) -> bool:
        """Whether this is a sequence."""
        return any(a.is_ordered for a in self.type.axes or ())

    def is_initialized(self) -> bool:
        """Whether a value exists (always, for variables that hold none)."""
        return True

    def as_string(self) -> str:
        """One line: kind, name or uid, dynamic axes, static shape."""
        return str(self)

    def __str__(self) -> str:
        axes = "[???]" if self.type.axes is None else format_axes(self.type.axes)
        return f"{self.kind}('{self._name or self.uid}', {axes}, {text(self.type.shape)})"

    def __repr__(self) -> str:
        return str(self)

    def __iter__(self) -> Any:
        raise TypeError(f"{self} is not iterable: take parts with slice() or [begin:end]")

    # identity; those of object itself, because steps look variables up in dictionaries
    __hash__ = object.__hash__
    __eq__ = object.__eq__


MOST_AT_ONCE = 1 << 16
"""Numbers that are filled in when a parameter is made; what is only looked at shall not take gigabytes."""


class Valued(Variable):
    """A variable that holds numbers: what parameters and constants share."""

    __slots__ = ("_init", "_storage", "device", "follows", "seed", "soft", "was_open")

    def __init__(
        self,
        kind: str,
        shape: Shape | None,
        init: object,
        dtype: str | None,
        device: DeviceDescriptor | None,
        name: str,
    ) -> None:
        self._storage: Storage | None = None
        self.follows: Valued | None = None
        """Whose numbers these are, in another element type: what is written there counts here."""
        self.was_open = False
        """Whether dimensions were inferred: what used it before may not fit any more."""
        self.soft = False
        """Whether this is a number of the program that takes the element type of what it is combined with."""
        self._init: initializers.Initializer | np.ndarray[Any, Any] | None = None
        self.seed: int | None = None
        self.device = device
        array: np.ndarray[Any, Any] | None = None
        if isinstance(init, NDArrayView):
            init = init.asarray()
        if isinstance(init, dict):
            init = initializers.Initializer(init)
        if isinstance(init, initializers.Initializer):
            self._init, self.seed = init, init.claim_seed()
            if shape is None:
                raise ShapeError(f"a {kind.lower()} with an initializer needs a shape", fix="give shape=...")
        else:
            array = constant_array(init, dtype)
            shape = array.shape if shape is None else self._shape_of_values(kind, array, shape)
        dtype = dtype or (array.dtype.name if array is not None else "float32")
        super().__init__(kind, TensorType(shape, dtype, ()), name)
        if array is not None:
            self._init_array(array)

    @staticmethod
    def _shape_of_values(kind: str, array: np.ndarray[Any, Any], asked: Shape) -> Shape:
        """The values' shape, which CNTK takes whatever was asked for; a single number fills what was asked for."""
        if not array.ndim or array.shape == asked:
            return asked
        if is_known(asked):
            warnings.warn(
                f"a {kind.lower()} takes shape {text(array.shape)} from its values; shape {text(asked)} was asked for",
                LabWarning,
                stacklevel=5,
            )
        return tuple(array.shape)

    def _init_array(self, array: np.ndarray[Any, Any]) -> None:
        """Take the numbers; one number for very many places fills them when they are first asked for."""
        if is_known(self.type.shape) and (array.ndim or size(self.type.dims) <= MOST_AT_ONCE):
            full = np.broadcast_to(array, self.type.dims)
            self._storage = Storage(
                np.array(full, self.type.dtype, order="C"), self.device or devices.use_default_device()
            )
        else:
            self._init = array

    def harden(self, dtype: str) -> None:
        """Take the element type of the other operands. Called by inference, for soft constants and parameters."""
        self.soft = False
        if dtype != self.type.dtype:
            self.type = TensorType(self.type.shape, dtype, (), self.type.sparse)
            if self._storage is not None:
                value = self._storage.array.astype(dtype)
                self._storage = Storage(value, self.device or devices.use_default_device())

    def get_data_type(self) -> int:
        """CNTK's number of the element type; 0 while that is open."""
        return UNKNOWN_TYPE if self.soft else super().get_data_type()

    def resolve_shape(self, shape: Shape) -> None:
        """Fix the inferred dimensions. Called by inference."""
        self.was_open = True
        self.type = TensorType(shape, self.type.dtype, (), self.type.sparse)

    def is_initialized(self) -> bool:
        """Whether the shape is known, so that a value exists or can be made."""
        return self._storage is not None or is_known(self.type.shape)

    @property
    def storage(self) -> Storage:
        """The array that kernels work on; made from the initializer when first asked for.

        Raises:
            ShapeError: while dimensions are still to be inferred.
        """
        if self._storage is None:
            shape = self.type.shape
            if not is_known(shape) or shape is None:
                raise ShapeError(
                    f"{self.kind} '{self._name or self.uid}' has no value yet: its shape {text(shape)} has "
                    "unknown dimensions",
                    fix="apply the layer to an input first, so that the dimensions are inferred",
                )
            with TURN:
                if self._storage is None:  # another thread may have made it meanwhile
                    self._storage = self._made(shape)
        return self._storage

    def _made(self, shape: Shape) -> Storage:
        """The first value, as the initializer gives it."""
        init, dtype = self._init, self.type.dtype or "float32"
        assert init is not None
        array = (
            init.fill(shape, dtype, self.seed)
            if isinstance(init, initializers.Initializer)
            else np.full(shape, init, dtype)
        )
        return Storage(array, self.device or devices.use_default_device())

    @property
    def value(self) -> np.ndarray[Any, Any]:
        """A copy of the numbers, in host memory."""
        if self.follows is not None:
            return self.follows.value.astype(self.type.dtype)
        return self.storage.copied()

    @value.setter
    def value(self, value: object) -> None:
        new = value.asarray() if isinstance(value, NDArrayView) else np.asarray(value)
        if new.dtype.kind not in "fiub":
            raise DTypeError(
                f"{self.kind} '{self._name or self.uid}': the new value is {value!r:.60}", fix="give numbers"
            )
        if self.follows is not None:
            self.follows.value = new
            return
        shape = tuple(new.shape)
        if self._storage is None and not is_known(self.type.shape):
            self.resolve_shape(shape)
        if shape != self.type.shape and new.size != 1:
            raise ShapeError(
                f"{self.kind} '{self._name or self.uid}' has shape {text(self.type.shape)}, the new value "
                f"{text(shape)}",
                fix="give an array of the same shape",
            )
        self.storage.write(new)

    def data(self) -> NDArrayView:
        """A view of the numbers that shares their memory."""
        return NDArrayView._wrap(self.storage.array, self.storage.device, self.storage)

    def set_value(self, value: object) -> None:
        """Overwrite the numbers."""
        self.value = value

    def asarray(self) -> np.ndarray[Any, Any]:
        """A copy of the numbers, in host memory."""
        return self.value


class Parameter(Valued):
    """Numbers that training changes.

    Args:
        shape: static shape; -1 is inferred from what the parameter is combined with.
        init: a number, an array or an initializer; default 0.
        dtype: element type; default from ``default_options`` or float32, whatever the array's (``parameter`` keeps
            it); CNTK's number 0 leaves it to the first operator.
        device: where the numbers live.
        name: name for look-ups and files.

    Example:
        >>> Parameter((2, 3), init=1.5).value.sum().item()
        9.0

    Source: CNTK 2.7 ``variables.Parameter``.
    """

    __slots__ = ()

    def __init__(
        self,
        shape: object = None,
        init: object = None,
        dtype: object = None,
        device: DeviceDescriptor | None = None,
        name: str = "",
    ) -> None:
        if outer := function_without_parameters():
            raise SignatureError(
                f"parameters cannot be created inside a @Function def: '{outer}' would get new ones at each use",
                fix="make layers and parameters before the function, and use them inside",
            )
        open_type = type(dtype) is int and dtype == UNKNOWN_TYPE
        type_ = _dtype(None if open_type else dtype)
        super().__init__(PARAMETER, _shape(shape, init), _init(init, shape, PARAMETER), type_, device, name)
        self.needs_gradient = True
        self.soft = open_type


class Constant(Valued):
    """Numbers that training does not change.

    Args:
        value: a number, an array or an initializer.
        shape: static shape, filled with the value; default the value's own.
        dtype: element type; default from ``default_options`` or float32, whatever the array's (``constant`` keeps it).
        device: where the numbers live.
        name: name for look-ups and files.

    Example:
        >>> Constant(3, shape=(2,)).value.tolist()
        [3.0, 3.0]

    Source: CNTK 2.7 ``variables.Constant``.
    """

    __slots__ = ()

    def __init__(
        self,
        value: object = None,
        shape: object = None,
        dtype: object = None,
        device: DeviceDescriptor | None = None,
        name: str = "",
    ) -> None:
        super().__init__(CONSTANT, _shape(shape, value), _init(value, shape, CONSTANT), _dtype(dtype), device, name)


def _shape(shape: object, value: object) -> Shape | None:
    if shape is None or (isinstance(shape, memoryview) and isinstance(value, np.ndarray)):
        return None  # an array's memory (``array.data``) given as its shape says no more than the array
    return as_shape(shape, may_be_empty=True)


def _init(init: object, shape: object, kind: str) -> object:
    if init is not None:
        return init
    if shape is None:
        raise DataError(
            f"a {kind.lower()} needs a shape or a value", fix="give shape=... or init=... (value=... for a constant)"
        )
    return 0


def _dtype(dtype: object) -> str:
    return dtypes.name_of(ports.use("default_option")("dtype", "float32") if dtype is None else dtype)


def dtype_of_values(values: object) -> str | None:
    """The element type that ``constant`` and ``parameter`` (not the classes) take from an array; None for others."""
    # a scalar of NumPy's float64 is also a Python float, and counts as one
    if isinstance(values, (np.ndarray, np.generic)) and not isinstance(values, float):
        return values.dtype.name if values.dtype.name in dtypes.FLOATS else None
    return None


def input_type(shape: object, dtype: object, axes: Iterable[Axis] | Axis | None, *, sparse: bool) -> TensorType:
    """The type of an input variable given in the user's words."""
    if isinstance(axes, Axis):
        axes = (axes,)
    return TensorType(as_shape(shape), dtypes.name_of(dtype), tuple(axes or ()), sparse)


def new_placeholder(
    shape: object = None, axes: Iterable[Axis] | None = None, name: str = "", dtype: str | None = None
) -> Variable:
    """A variable that stands for another one until it is replaced."""
    return Variable(
        PLACEHOLDER,
        TensorType(
            None if shape is None or as_shape(shape) == UNKNOWN_SHAPE else as_shape(shape),
            dtype,
            None if axes is None or tuple(axes) == UNKNOWN_AXES else tuple(axes),
        ),
        name,
    )
