"""Formulas of elementwise operators -> nodes of ONNX: whoever declares a formula can be exported.

Must not know operators. Words that ONNX has are one node; a comparison stays a truth value until numbers are asked for.
Reductions keep their axes at length 1, so that the result broadcasts back as formulas say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from cntk_lab.errors import NotAvailableError
from cntk_lab.formats.onnx._sheet import Held, Sheet
from cntk_lab.formula import expr as e
from cntk_lab.tensor.shape import FREE, Shape, broadcast

_WORDS: Final = {
    "neg": "Neg", "abs": "Abs", "exp": "Exp", "log": "Log", "sqrt": "Sqrt", "sin": "Sin", "cos": "Cos", "tan": "Tan",
    "asin": "Asin", "acos": "Acos", "atan": "Atan", "sinh": "Sinh", "cosh": "Cosh", "tanh": "Tanh", "asinh": "Asinh",
    "acosh": "Acosh", "atanh": "Atanh", "sigmoid": "Sigmoid", "softplus": "Softplus", "sign": "Sign",
    "floor": "Floor", "ceil": "Ceil", "add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "pow": "Pow",
    "min": "Min", "max": "Max",
}  # fmt: skip
_TRUTHS: Final = {"lt": "Less", "le": "LessOrEqual", "gt": "Greater", "ge": "GreaterOrEqual", "eq": "Equal"}
_LOGIC: Final = {"logical_and": "And", "logical_or": "Or", "logical_not": "Not"}
_REDUCTIONS: Final = {"sum": "Sum", "max": "Max", "min": "Min", "prod": "Prod"}


@dataclass(frozen=True, slots=True)
class _Value:
    """What an expression became: a name, whether it is a truth value, and the axes along which it varies."""

    name: str
    truth: bool
    axes: frozenset[Any]
    rank: int = 0
    """How many axes it has in the file."""


class Printer:
    """Writes the formulas of one node.

    Args:
        sheet: where to.
        operands: the formula's inputs by name.
        dtype: element type of the arithmetic.
        lengths: gives the frames of each sequence, where the operands are sequences.
    """

    def __init__(self, sheet: Sheet, operands: Mapping[str, Held], dtype: str, lengths: Callable[[], str]) -> None:
        self.sheet, self.dtype, self.lengths = sheet, dtype, lengths
        self.operands = operands
        values = list(operands.values())
        self.dims = broadcast(*(v.dims for v in values)) if values else ()
        self.lead = max((v.lead for v in values), default=0)
        self.made: dict[int, _Value] = {}

    def value(self, formula: e.Expr, lead: int, dims: Shape) -> str:
        """The name of a formula's value, with that many dynamic axes and these static dimensions."""
        for expression in e.topological([formula]):
            self.made[id(expression)] = self._made(expression)
        found = self.made[id(formula)]
        name, rank = self._number(found), found.rank
        static = len(self.dims)
        if not lead and rank > static:  # what is reduced over rows
            name, rank = self.sheet.squeezed(name, list(range(rank - static))), static
        has_lead = rank > static
        whole = [d if at - static in found.axes else 1 for at, d in enumerate(self.dims)]
        have = tuple(whole[max(0, static - rank) :])
        if have != dims and len([d for d in have if d != 1]) == len([d for d in dims if d != 1]):
            if FREE in dims:
                gone = [at - len(have) for at, d in enumerate(have) if d == 1 and len(have) > len(dims)]
                name = self.sheet.squeezed(name, gone[: len(have) - len(dims)])
            else:
                name = self.sheet.reshaped(name, [0] * (lead if has_lead else 0) + list(dims))
            have = dims
        if have != dims or (lead and (not has_lead or e.ROWS not in found.axes)):
            name = self.sheet.op("Expand", name, self._shape(lead, dims))
        return name

    def _shape(self, lead: int, dims: Shape) -> str:
        """The shape of a result, as it is when the model runs."""
        if FREE in dims:
            raise NotAvailableError("a value that takes the free dimensions of an operand alone is not exported")
        if not lead:
            return self.sheet.ints(*dims)
        widest = max(self.operands.values(), key=lambda v: v.lead)
        rows = self.sheet.op("Shape", widest.name, start=0, end=lead)
        return self.sheet.op("Concat", rows, self.sheet.ints(*dims), axis=0) if dims else rows

    def _made(self, x: e.Expr) -> _Value:
        if x.op == "input":
            return self._input(str(x.data))
        if x.op == "const":
            assert isinstance(x.data, float)
            return _Value(self.sheet.number(x.data, self.dtype), False, frozenset())
        args = [self.made[id(a)] for a in x.args]
        axes, rank = frozenset().union(*(a.axes for a in args)), max((a.rank for a in args), default=0)
        if x.op == "reduce":
            return self._reduction(x, args[0])
        if x.op == "coordinate":
            return self._coordinate(x)
        if x.op == "where":
            condition, *rest = args
            return _Value(self.sheet.op("Where", self._truth(condition), *map(self._number, rest)), False, axes, rank)
        if x.op in _TRUTHS:
            return _Value(self.sheet.op(_TRUTHS[x.op], *map(self._number, args)), True, axes, rank)
        if x.op == "ne":
            return _Value(self.sheet.op("Not", self.sheet.op("Equal", *map(self._number, args))), True, axes, rank)
        if x.op in _LOGIC:
            return _Value(self.sheet.op(_LOGIC[x.op], *map(self._truth, args)), True, axes, rank)
        names = [self._number(a) for a in args]
        return _Value(self._word(x.op, names), x.op == "isfinite", axes, rank)

    def _word(self, word: str, names: Sequence[str]) -> str:
        sheet = self.sheet
        if word in _WORDS:
            if word == "max" and names[1] == sheet.number(0, self.dtype):
                return sheet.op("Relu", names[0])
            return sheet.op(_WORDS[word], *names)
        if word == "expm1":
            return sheet.op("Sub", sheet.op("Exp", *names), sheet.number(1, self.dtype))
        if word == "log1p":
            return sheet.op("Log", sheet.op("Add", *names, sheet.number(1, self.dtype)))
        if word == "mod":
            whole = sheet.op("Floor", sheet.op("Div", *names))
            return sheet.op("Sub", names[0], sheet.op("Mul", whole, names[1]))
        assert word == "isfinite", word
        # x - x is 0 for finite numbers only, in every element type
        return sheet.op("Equal", sheet.op("Sub", *names, *names), sheet.number(0, self.dtype))

    def _input(self, name: str) -> _Value:
        held = self.operands[name]
        axes = {at - held.rank for at, d in enumerate(held.dims) if d != 1 or self.dims[at - held.rank] == 1}
        rank = self.lead + len(self.dims) if held.lead else held.rank
        rows = {e.ROWS} if held.lead else set()
        return _Value(self.sheet.aligned(held, self.lead, len(self.dims)), False, frozenset(axes | rows), rank)

    def _number(self, value: _Value) -> str:
        return self.sheet.cast(value.name, self.dtype) if value.truth else value.name

    def _truth(self, value: _Value) -> str:
        if value.truth:
            return value.name
        return self.sheet.op("Not", self.sheet.op("Equal", value.name, self.sheet.number(0, self.dtype)))

    def _length(self, axis: e.Axis) -> str:
        """How many elements lie along an axis of the domain, as a number of the arithmetic."""
        size = FREE if axis == e.ROWS else self.dims[int(axis)]
        if size != FREE:
            return self.sheet.number(size, self.dtype)
        found = next(
            v for v in self.operands.values()
            if (v.lead if axis == e.ROWS else v.rank >= -int(axis) and v.dims[int(axis)] == FREE)
        )  # fmt: skip
        if axis == e.ROWS and self.lead > 1:
            return self.sheet.cast(self.sheet.reduced("Sum", self.lengths(), [0], keep=False), self.dtype)
        at = 0 if axis == e.ROWS else int(axis) + found.lead + found.rank
        length = self.sheet.squeezed(self.sheet.dim(found.name, at), [0])
        return self.sheet.cast(length, self.dtype)

    def _real_frames(self, name: str, kind: str) -> str:
        """A value with what changes no such reduction behind the ends of sequences."""
        neutral = {"sum": 0.0, "prod": 1.0, "max": -np.inf, "min": np.inf}[kind]
        frames = self.sheet.squeezed(self.sheet.dim(name, 1), [0])
        places = self.sheet.op("Range", self.sheet.number(0, "int64"), frames, self.sheet.number(1, "int64"))
        real = self.sheet.op("Less", places, self.sheet.unsqueezed(self.lengths(), [1]))
        real = self.sheet.unsqueezed(real, list(range(2, 2 + len(self.dims))))
        return self.sheet.op("Where", real, name, self.sheet.number(neutral, self.dtype))

    def _reduction(self, x: e.Expr, inner: _Value) -> _Value:
        assert isinstance(x.data, tuple)
        kind, along = x.data
        name, here = self._number(inner), [a for a in along if a in inner.axes]
        if e.ROWS in here and self.lead > 1:
            name = self._real_frames(name, kind)
        if here:
            rows = range(-len(self.dims) - self.lead, -len(self.dims)) if e.ROWS in here else ()
            whole = sorted([*rows, *(int(a) for a in here if a != e.ROWS)])
            name = self.sheet.reduced(_REDUCTIONS[kind], name, whole)
        for axis in along:
            if axis in inner.axes or kind in ("max", "min"):
                continue
            length = self._length(axis)
            name = self.sheet.op("Mul" if kind == "sum" else "Pow", name, length)
        return _Value(name, False, inner.axes - set(along), inner.rank)

    def _coordinate(self, x: e.Expr) -> _Value:
        assert isinstance(x.data, tuple)
        (axis,) = x.data[1]
        if axis == e.ROWS:
            raise NotAvailableError("the place of a sample in its minibatch is not exported")
        at = int(axis)
        more = [1] * (-at - 1)
        if self.dims[at] != FREE:
            places = np.arange(self.dims[at], dtype=self.dtype).reshape(-1, *more)
            return _Value(self.sheet.array(places), False, frozenset({at}), -at)
        zero, one = self.sheet.number(0, self.dtype), self.sheet.number(1, self.dtype)
        found = self.sheet.op("Range", zero, self._length(at), one)
        return _Value(self.sheet.reshaped(found, [-1, *more]) if more else found, False, frozenset({at}), -at)
