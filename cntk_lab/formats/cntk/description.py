"""What a CNTK v2 model file says, as plain records: variables, functions, blocks. Between the dictionary and the graph.

Must not know graphs or operators: a function is its number and its attributes as they stand in the file. What is
checked here is what every model must satisfy: the keys are there with their types, uids are unique, every input
exists, arrays have their variable's shape. Shapes and dynamic axes are turned into Python's order, attributes are
not (that needs operators). Source: CNTK 2.7's model files, read with its own schema.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray

from cntk_lab.axis import Axis
from cntk_lab.errors import FormatError
from cntk_lab.formats.cntk.values import Dictionary, NDShape, SizeT, StoredAxis, Value

COMPOSITE_VERSION, FUNCTION_VERSION, VARIABLE_VERSION = 3, 24, 1
BLOCK = 57
"""Number of the primitive function that stands for a graph."""
KINDS = ("Input", "Output", "Parameter", "Constant", "Placeholder")
DTYPES = {0: None, 1: "float32", 2: "float64", 4: "float16", 5: "int8", 6: "int16"}
_DTYPE_CODES = {name: code for code, name in DTYPES.items()}
_INFERRED, _UNKNOWN, _FREE = 2**64 - 1, 2**64 - 2, 2**64 - 3
_SENTINELS = {_INFERRED: -1, _FREE: -3}
DYNAMIC_AXIS = 2147483647
UNKNOWN_AXES = "UnknownAxes"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class VariableRecord:
    """A leaf of the graph: input, parameter, constant or placeholder.

    ``shape`` is in Python's order, -1 for inferred and -3 for free dimensions, None if nothing is known; ``axes``
    are the dynamic axes, batch first, None if not known; ``value`` is there for parameters and constants.
    """

    uid: str
    kind: str
    shape: tuple[int, ...] | None
    dtype: str | None
    axes: tuple[Axis, ...] | None = ()
    name: str = ""
    sparse: bool = False
    needs_gradient: bool = False
    value: NDArray[Any] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class BlockRecord:
    """The graph that a block function stands for: its root, and what its placeholders stand for outside.

    ``arguments`` are pairs (uid of a placeholder inside, uid of the variable outside) in the block's own order.
    """

    op_name: str
    root: str
    arguments: tuple[tuple[str, str], ...]
    uid: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class UserRecord:
    """A function that the user wrote: the class that makes it, and its state. Nothing of it is executed here."""

    module: str
    class_name: str
    op_name: str
    state: Dictionary
    native: bool = False
    version: int = 1


@dataclass(frozen=True, slots=True)
class FunctionRecord:
    """One function: its number (None for the user's own), the uids it reads, and its attributes as in the file."""

    uid: str
    op: int | None
    inputs: tuple[str, ...]
    attributes: Dictionary = field(default_factory=dict)
    name: str = ""
    version: int = FUNCTION_VERSION
    block: BlockRecord | None = None
    user: UserRecord | None = None


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """A whole model: its leaves, its functions (operands before users, except around cycles), and the root's uid."""

    root: str
    variables: tuple[VariableRecord, ...]
    functions: tuple[FunctionRecord, ...]
    uid: str = ""
    name: str = ""
    version: int = COMPOSITE_VERSION
    state: Dictionary = field(default_factory=dict)
    """Random seeds by function, in files of older versions."""

    def function(self, uid: str) -> FunctionRecord:
        """The function of that uid."""
        return next(f for f in self.functions if f.uid == uid)


def output_uid(function: str, index: int) -> str:
    """The uid of a function's output.

    Example:
        >>> output_uid("Plus10", 0)
        'Plus10_Output_0'
    """
    return f"{function}_Output_{index}"


def function_of_output(uid: str) -> tuple[str, int] | None:
    """The function and the index that an output's uid stands for, or None if it is not one.

    Example:
        >>> function_of_output("Plus10_Output_0")
        ('Plus10', 0)
    """
    function, found, index = uid.rpartition("_Output_")
    return (function, int(index)) if found and index.isascii() and index.isdigit() and len(index) < 7 else None


# ---- dictionary -> description


def from_dictionary(dictionary: Dictionary, source: str = "") -> ModelDescription:
    """The description of a model that was read from a file.

    Args:
        dictionary: the file's entries.
        source: the file's name, for messages.

    Raises:
        FormatError: if this is no model, or one that contradicts itself; names the entry.

    Source: CNTK 2.7 model files (CompositeFunction, version 3).
    """
    top = Entries(dictionary, source, "")
    kind = top.get("type", str)
    if kind != "CompositeFunction":
        top.fail("type", f"this is a {kind!r}, not a model ('CompositeFunction')")
    version = top.version(COMPOSITE_VERSION)
    variables = tuple(_variable(e) for e in top.entries("inputs"))
    functions = tuple(_function(e) for e in top.entries("primitive_functions"))
    model = ModelDescription(
        root=top.get("root", str),
        variables=variables,
        functions=functions,
        uid=top.get("uid", str),
        name=top.get("name", str, ""),
        version=version,
        state=top.get("state", dict, {}),
    )
    _check(model, top)
    return model


class Entries:
    """A dictionary and where it stands: gives entries of the right type, or says what is wrong with them."""

    def __init__(self, dictionary: Dictionary, source: str, path: str) -> None:
        self.dictionary, self.source, self.path = dictionary, source, path

    def fail(self, key: str, what: str) -> NoReturn:
        """Raise: what is wrong with the entry of that key."""
        place = f"{self.path}.{key}".strip(".")
        where = f"{self.source}, under {place}" if self.source else f"under {place}"
        raise FormatError(what, where, "the file is damaged or was not written by CNTK: take another copy of it")

    def get(self, key: str, kind: type[T], *default: T) -> T:
        """The entry of that key, of that type; a default if there is none."""
        value = self.dictionary.get(key)
        if value is None and default:
            return default[0]
        if value is None:
            self.fail(key, f"the entry {key!r} is missing")
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            self.fail(key, f"the entry {key!r} is a {type(value).__name__}, not a {kind.__name__}")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A vector of texts."""
        values = self.get(key, list)
        for index, value in enumerate(values):
            if not isinstance(value, str):
                self.fail(f"{key}[{index}]", f"a {type(value).__name__}, not a text")
        return tuple(values)

    def entries(self, key: str) -> list[Entries]:
        """A vector of dictionaries."""
        result = []
        for index, value in enumerate(self.get(key, list)):
            if not isinstance(value, dict):
                self.fail(f"{key}[{index}]", f"a {type(value).__name__}, not a dictionary")
            result.append(Entries(value, self.source, f"{self.path}.{key}[{index}]".strip(".")))
        return result

    def version(self, newest: int) -> int:
        """The version, which must not be newer than what is known."""
        version = self.get("version", int)
        if version > newest:
            self.fail("version", f"version {version}; the newest there is (CNTK 2.7) is {newest}")
        return int(version)


def _variable(entries: Entries) -> VariableRecord:
    kind = entries.get("type", str)
    if kind != "Variable":
        entries.fail("type", f"this is a {kind!r}, not a 'Variable'")
    entries.version(VARIABLE_VERSION)
    number, code = entries.get("kind", int), entries.get("data_type", int)
    if not 0 <= number < len(KINDS) or KINDS[number] == "Output":
        entries.fail("kind", f"{number} is no kind of a leaf variable")
    if code not in DTYPES:
        entries.fail("data_type", f"there is no element type {code}")
    shape, dtype = shape_from_file(entries.get("shape", NDShape)), DTYPES[code]
    value = None
    if KINDS[number] in ("Parameter", "Constant"):
        value = entries.get("value", np.ndarray)
        if value.shape != shape:
            entries.fail("value", f"an array of shape {value.shape} for a variable of shape {shape}")
        if value.dtype.name != dtype:
            entries.fail("value", f"an array of {value.dtype.name} for a variable of {dtype}")
    return VariableRecord(
        uid=entries.get("uid", str),
        kind=KINDS[number],
        shape=shape,
        dtype=dtype,
        axes=_axes(entries),
        name=entries.get("name", str, ""),
        sparse=entries.get("is_sparse", bool, False),
        needs_gradient=entries.get("needs_gradient", bool, False),
        value=value,
    )


def shape_from_file(shape: NDShape) -> tuple[int, ...] | None:
    """A stored shape in Python's order and with Python's signs; None if it says that nothing is known.

    Example:
        >>> shape_from_file(NDShape((3, 2**64 - 1)))
        (-1, 3)
    """
    if _UNKNOWN in shape:
        return None
    return tuple(_SENTINELS.get(size, size) for size in reversed(shape))


def shape_to_file(shape: tuple[int, ...] | None) -> NDShape:
    """A Python shape as files hold it.

    Example:
        >>> shape_to_file((2, -3))
        NDShape(18446744073709551613, 2)
    """
    if shape is None:
        return NDShape((_UNKNOWN,))
    return NDShape(2**64 + size if size < 0 else size for size in reversed(shape))


def _axes(entries: Entries) -> tuple[Axis, ...] | None:
    result = []
    for index, axis in enumerate(entries.get("dynamic_axis", list)):
        if not isinstance(axis, StoredAxis) or axis.position != DYNAMIC_AXIS:
            entries.fail(f"dynamic_axis[{index}]", f"{axis!r} is no dynamic axis")
        if axis.name == UNKNOWN_AXES:
            return None
        result.append(Axis(axis.name, axis.ordered))
    return tuple(reversed(result))


def _function(entries: Entries) -> FunctionRecord:
    kind = entries.get("type", str)
    if kind == "UserDefinedFunction":
        return _user_function(entries)
    if kind != "PrimitiveFunction":
        entries.fail("type", f"this is a {kind!r}, neither a 'PrimitiveFunction' nor a 'UserDefinedFunction'")
    number = entries.get("op", int)
    return FunctionRecord(
        uid=entries.get("uid", str),
        op=int(number),
        inputs=entries.texts("inputs"),
        attributes=entries.get("attributes", dict),
        name=entries.get("name", str, ""),
        version=entries.version(FUNCTION_VERSION),
        block=_block(entries) if number == BLOCK else None,
    )


def _block(entries: Entries) -> BlockRecord:
    prefix = "block_function_composite"
    inside = Entries(entries.get(prefix, dict), entries.source, f"{entries.path}.{prefix}")
    keys = entries.texts(f"{prefix}_arguments_map_keys")
    values = entries.texts(f"{prefix}_arguments_map_values")
    if len(keys) != len(values):
        entries.fail(f"{prefix}_arguments_map_values", f"{len(values)} values for {len(keys)} placeholders")
    return BlockRecord(
        op_name=entries.get("block_function_op_name", str),
        root=inside.get("root", str),
        arguments=tuple(zip(keys, values, strict=True)),
        uid=inside.get("uid", str),
        name=inside.get("name", str, ""),
    )


def _user_function(entries: Entries) -> FunctionRecord:
    native = entries.get("native", bool, False)
    if native:
        entries.fail("native", "a user function in a compiled library, which cannot be loaded here")
    state = Entries(entries.get("user_defined_state", dict), entries.source, f"{entries.path}.user_defined_state")
    user = UserRecord(
        module=state.get("module", str),
        class_name=state.get("class", str),
        op_name=state.get("op_name", str, ""),
        state=state.get("state", dict, {}),
        native=native,
        version=int(state.get("version", int, 1)),
    )
    return FunctionRecord(
        uid=entries.get("uid", str),
        op=None,
        inputs=entries.texts("inputs"),
        name=entries.get("name", str, ""),
        version=entries.version(0),
        user=user,
    )


def _check(model: ModelDescription, top: Entries) -> None:
    """Every uid once, every input there, every block's root and placeholders there."""
    leaves: set[str] = set()
    for index, variable in enumerate(model.variables):
        if variable.uid in leaves:
            top.fail(f"inputs[{index}].uid", f"the uid {variable.uid!r} appears twice")
        leaves.add(variable.uid)
    functions: set[str] = set()
    for index, function in enumerate(model.functions):
        if function.uid in functions or function.uid in leaves:
            top.fail(f"primitive_functions[{index}].uid", f"the uid {function.uid!r} appears twice")
        functions.add(function.uid)

    def known(uid: str) -> bool:
        output = function_of_output(uid)
        return uid in leaves or (output is not None and output[0] in functions)

    for index, function in enumerate(model.functions):
        place = f"primitive_functions[{index}]"
        for uid in function.inputs:
            if not known(uid):
                top.fail(f"{place}.inputs", f"function {function.uid!r} reads {uid!r}, which does not exist")
        if function.block is None:
            continue
        if function.block.root not in functions:
            top.fail(f"{place}.block_function_composite.root", f"there is no function {function.block.root!r}")
        for inner, outer in function.block.arguments:
            for uid in (inner, outer):
                if not known(uid):
                    top.fail(f"{place}.block_function_composite_arguments_map_keys", f"there is no variable {uid!r}")
    if model.root not in functions:
        top.fail("root", f"there is no function {model.root!r}")


# ---- description -> dictionary


def to_dictionary(model: ModelDescription) -> Dictionary:
    """The entries of the file of a model.

    Raises:
        FormatError: if a parameter has no value or a shape that is not known yet.

    Example:
        >>> model = ModelDescription("Plus1", (), (FunctionRecord("Plus1", 19, ()),), uid="CompositeFunction2")
        >>> from_dictionary(to_dictionary(model)) == model
        True
    """
    result: Dictionary = {
        "version": SizeT(COMPOSITE_VERSION),
        "type": "CompositeFunction",
        "root": model.root,
        "uid": model.uid,
        "inputs": [_variable_entries(v) for v in model.variables],
        "primitive_functions": [_function_entries(f) for f in model.functions],
    }
    return _named(result, model.name)


def _named(entries: Dictionary, name: str) -> Dictionary:
    if name:
        entries["name"] = name
    return entries


def _variable_entries(variable: VariableRecord) -> Dictionary:
    axes: list[Value] = [stored_axis(a) for a in reversed(variable.axes or ())]
    if variable.axes is None:
        axes = [StoredAxis(DYNAMIC_AXIS, UNKNOWN_AXES, ordered=False)]
    result: Dictionary = {
        "version": SizeT(VARIABLE_VERSION),
        "type": "Variable",
        "uid": variable.uid,
        "kind": SizeT(KINDS.index(variable.kind)),
        "data_type": SizeT(_DTYPE_CODES[variable.dtype]),
        "shape": shape_to_file(variable.shape),
        "dynamic_axis": axes,
        "is_sparse": variable.sparse,
        "needs_gradient": variable.needs_gradient,
    }
    if variable.kind in ("Parameter", "Constant"):
        if variable.value is None or variable.shape != variable.value.shape:
            raise FormatError(
                f"{variable.kind} '{variable.name or variable.uid}' of shape {variable.shape} has no such value",
                "saving a model",
                "apply the model to an input first, so that all dimensions are known",
            )
        result["value"] = variable.value
    return _named(result, variable.name)


def stored_axis(axis: Axis) -> StoredAxis:
    """A dynamic axis as files hold it.

    Example:
        >>> stored_axis(Axis.default_batch_axis())
        StoredAxis(position=2147483647, name='defaultBatchAxis', ordered=False)
    """
    return StoredAxis(DYNAMIC_AXIS, axis.name, axis.is_ordered)


def _function_entries(function: FunctionRecord) -> Dictionary:
    inputs: list[Value] = list(function.inputs)
    if function.user is not None:
        return _named(
            {
                "version": SizeT(0),
                "type": "UserDefinedFunction",
                "uid": function.uid,
                "inputs": inputs,
                "native": function.user.native,
                "user_defined_state": {
                    "class": function.user.class_name,
                    "module": function.user.module,
                    "op_name": function.user.op_name,
                    "state": function.user.state,
                    "version": function.user.version,
                },
            },
            function.name,
        )
    result: Dictionary = {
        "version": SizeT(FUNCTION_VERSION),
        "type": "PrimitiveFunction",
        "uid": function.uid,
        "op": SizeT(function.op or 0),
        "inputs": inputs,
        "attributes": function.attributes,
    }
    if function.block is not None:
        block = function.block
        composite: Dictionary = {
            "version": SizeT(COMPOSITE_VERSION),
            "type": "CompositeFunction",
            "root": block.root,
            "uid": block.uid,
        }
        result["block_function_op_name"] = block.op_name
        result["block_function_composite"] = _named(composite, block.name)
        result["block_function_composite_arguments_map_keys"] = [inner for inner, _ in block.arguments]
        result["block_function_composite_arguments_map_values"] = [outer for _, outer in block.arguments]
    return _named(result, function.name)


def same(left: Value, right: Value) -> bool:
    """Whether two values are equal in type and content, whatever the order of dictionary entries.

    Example:
        >>> same({"a": 1, "b": SizeT(2)}, {"b": SizeT(2), "a": 1}), same(1, SizeT(1))
        (True, False)
    """
    if type(left) is not type(right):
        return False
    if isinstance(left, np.ndarray) and isinstance(right, np.ndarray):
        return left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[k], right[k]) for k in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(same(a, b) for a, b in zip(left, right, strict=True))
    return left == right or (isinstance(left, float) and math.isnan(left))
