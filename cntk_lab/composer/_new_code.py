"""The text of something new: a layer, an operator or an input with parameters that work at once.

Knows the catalog and no program. What is needed and not given gets a sensible value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from cntk_lab.composer._catalog import STARTING_VALUES, Entry, as_code, starting
from cntk_lab.errors import AttributeValueError

_READY: Final = {
    "For": "C.layers.For(range(3), lambda: C.layers.Dense(10))",
    "ResNetBlock": "C.layers.ResNetBlock(C.layers.Sequential([]))",
    "AttentionModel": "lambda x: C.layers.AttentionModel(16)(x, x)",
    "MaxUnpooling": "lambda x: C.layers.MaxUnpooling((2, 2), 2)(C.layers.MaxPooling((2, 2), 2)(x), x)",
}
"""What is added for a name without parameters, where the layer alone would be no step of a chain."""
_OPERANDS: Final = {
    ("times", "right"): "C.parameter((C.InferredDimension, 10), init=C.glorot_uniform())",
    ("times_transpose", "right"): "C.parameter((10, C.InferredDimension), init=C.glorot_uniform())",
    ("param_relu", "alpha"): "C.parameter((), init=0.25)",
}
"""Operands that are weights."""


class Code(str):
    """A parameter's value that is Python already: ``Code("C.relu")``."""

    __slots__ = ()


def code_for(entry: Entry, given: Mapping[str, Any], operands: Sequence[str] = ()) -> str:
    """The text of a new layer, or of an operator applied to operands.

    Raises:
        AttributeValueError: if the entry has no parameter of a name.
    """
    known = {f.name for f in entry.fields}
    for name in given:
        if name not in known and entry.signature is not None and name not in entry.signature.parameters:
            raise AttributeValueError(
                f"{entry.name} has no parameter {name!r}", fix=f"its parameters: {', '.join(sorted(known))}"
            )
    values = starting(entry, given)
    if entry.kind == "op":
        return _operator_code(entry, values, operands)
    if not given and entry.name in _READY:
        return _READY[entry.name]
    if entry.name in ("Recurrence", "Fold") and not {"step_function", "folder_function"} & set(given):
        values = {"": Code("C.layers.LSTM(32)"), **{k: v for k, v in values.items() if not k.endswith("_function")}}
    if entry.kind == "group" and not given.get("layers"):
        values = {"": [], **{k: v for k, v in values.items() if k not in ("layers", "functions")}}
    required = [f.name for f in entry.fields if f.required]
    parts = []
    for name, value in values.items():
        first = (name == "shape" and entry.kind == "leaf") or entry.name == "Embedding"
        by_position = name == "" or (name in required and entry.kind != "leaf") or first
        parts.append(written(value) if by_position else f"{name}={written(value)}")
    return f"{entry.code}({', '.join(parts)})"


def _operator_code(entry: Entry, values: Mapping[str, Any], operands: Sequence[str]) -> str:
    """An operator applied to operands; without operands, as a function of one value that is used where it must."""
    assert entry.signature is not None
    needed = [p.name for p in entry.signature.parameters.values()
              if p.default is p.empty and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]  # fmt: skip
    if entry.operands[:1] == ("arg1",):
        needed = ["arg1", "arg2"]
    if len(operands) > 1 or (not operands and len(needed) <= 1 and not values):
        parts = [*operands, *(f"{k}={written(v)}" for k, v in values.items())]
        return f"{entry.code}({', '.join(parts)})" if parts else entry.code
    x = operands[0] if operands else "x"
    parts = []
    for name in needed:
        own = _OPERANDS.get((entry.name, name))
        if own is not None:
            parts.append(own)
        elif name in values or (parts and name in STARTING_VALUES):
            parts.append(written(values.get(name, STARTING_VALUES.get(name))))
        else:
            parts.append(x)
    parts += [x] if not needed else []
    parts += [f"{k}={written(v)}" for k, v in values.items() if k not in needed]
    call = f"{entry.code}({', '.join(parts)})"
    return call if operands else f"lambda x: {call}"


def written(value: Any) -> str:
    """A parameter's value as text.

    Raises:
        AttributeValueError: if it has no form that a program can hold.
    """
    if isinstance(value, Code):
        return str(value)
    text = as_code(value)
    if "<" in text and not isinstance(value, str):
        raise AttributeValueError(
            f"a {type(value).__name__} cannot be written into a program",
            fix="give a number, a text, a tuple, an operator such as C.relu, an initializer, or Code('...')",
        )
    return text
