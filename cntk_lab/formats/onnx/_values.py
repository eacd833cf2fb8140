"""What a name of an ONNX file stands for while its graph is built: numbers known now, or a variable of the graph.

Must not know operators of ONNX. A variable's ONNX shape is its batch axis, if it has one, and its static dimensions;
so axis 0 of the file is the batch axis and axis k is static axis k - 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cntk_lab import ops
from cntk_lab.errors import FormatError
from cntk_lab.graph.variable import Constant, Variable
from cntk_lab.tensor.shape import FREE, Shape

BATCH_SIZE: Final = -(1 << 40)
"""Stands for the number of samples in lists of sizes that are computed from it."""
WITHOUT: Final = "load it without a batch axis: axes={name of the input: sizes}"
"""What helps where a file computes along the batch axis."""
FREE_SIZE: Final = BATCH_SIZE - 1
"""Stands for the length of a free axis there."""


@dataclass(frozen=True, slots=True)
class Known:
    """Numbers that are known while the graph is built: shapes, axes, places, single constants."""

    numbers: NDArray[Any]

    @property
    def kind(self) -> str:
        """Element type."""
        return self.numbers.dtype.name


@dataclass(frozen=True, slots=True)
class Live:
    """A variable of the graph.

    Args:
        variable: what computes it.
        lead: 1 with a batch axis, else 0.
        kind: the element type that the file says; whole numbers and truth values are held as floats.
    """

    variable: Any
    lead: int
    kind: str

    @property
    def dims(self) -> Shape:
        """Static dimensions."""
        return tuple(self.variable.shape)

    @property
    def rank(self) -> int:
        """Number of axes in the file."""
        return self.lead + len(self.dims)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape as the file means it, with stand-ins for sizes that are not known."""
        return (*[BATCH_SIZE] * self.lead, *(FREE_SIZE if d == FREE else d for d in self.dims))


Value = Known | Live


def is_whole(kind: str) -> bool:
    """Whether an element type is of whole numbers or truth values."""
    return not kind.startswith(("float", "bfloat"))


def held(kind: str) -> str:
    """The element type in which values of a kind are computed."""
    return kind if kind in ("float16", "float32", "float64") else "float32"


def is_open(numbers: NDArray[Any]) -> bool:
    """Whether sizes that are not known are among the numbers."""
    return bool(numbers.dtype.kind in "iu" and numbers.size and numbers.min() <= BATCH_SIZE)


def live(value: Value) -> Live:
    """The value as a variable; known numbers become a constant."""
    if isinstance(value, Live):
        return value
    numbers = value.numbers
    if is_open(numbers):
        raise FormatError("the number of samples is used as a number", fix="give that input a fixed size (axes=)")
    constant = Constant(np.asarray(numbers, held(value.kind)), dtype=held(value.kind))
    return Live(constant, 0, value.kind)


def made(variable: Any, kind: str) -> Live:
    """What an operator gave."""
    types: Variable = variable if isinstance(variable, Variable) else variable.output
    return Live(variable, len(types.type.axes or ()), kind)


def static_axis(value: Live, axis: int) -> int:
    """The static axis, from the right, of an axis of the file.

    Raises:
        FormatError: if it is the batch axis, or none.
    """
    at = axis + value.rank if axis < 0 else axis
    if not 0 <= at < value.rank:
        raise FormatError(f"axis {axis} of a value of {value.rank} axes", fix="the file is damaged")
    if at < value.lead:
        raise FormatError("an operation along the batch axis", fix=WITHOUT)
    return at - value.rank


def together(*values: Value) -> list[Any]:
    """Variables that broadcast in the graph as the file means: axes are aligned at the last one.

    Raises:
        FormatError: if the batch axis of one meets another axis of the other.
    """
    lives = [live(v) for v in values]
    rank = max(v.rank for v in lives)
    if not any(v.lead for v in lives):
        return [v.variable for v in lives]
    found = []
    for v in lives:
        variable = v.variable
        if v.lead and v.rank < rank:
            raise FormatError(
                f"the batch axis of a value of {v.rank} axes meets another axis of a value of {rank}",
                fix=WITHOUT,
            )
        if not v.lead and v.rank == rank:
            if v.dims[0] != 1:
                raise FormatError(f"a value of {v.dims[0]} rows meets the batch axis", fix=WITHOUT)
            variable = ops.reshape(variable, v.dims[1:])
        found.append(variable)
    return found
