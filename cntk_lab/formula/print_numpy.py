"""Kernel to array code: each word becomes one call of NumPy or CuPy; the tier that is always there and the reference.

The printed function allocates its outputs, computes a shared subexpression once, writes into temporaries that nobody
reads any more (``out=``) and frees the others as soon as they are dead. It works for any number of rows, also none.
Its text is made from whitelisted words and numbered names only: no name of an operand ever enters it. float16 kernels
compute in float32. ``max`` and ``min`` pass a nan on, ``mod`` has the sign of its divisor.

Knows arrays only through their module ``xp``; no operators, no devices.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np

from cntk_lab.formula.expr import ROWS, Axis, Expr, topological
from cntk_lab.formula.extent import Extent, axes_of_data, check_outputs, extents, kind_of, operand_extent
from cntk_lab.formula.kernel import Kernel

NumpyFunction = Callable[..., tuple[Any, ...]]
"""``function(xp, *inputs, rows=None) -> outputs``; ``rows`` is only read if no input has rows."""

_UFUNC: Final = {
    "neg": "negative",
    "abs": "absolute",
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "div": "divide",
    "pow": "power",
    "min": "minimum",
    "max": "maximum",
    "mod": "remainder",
    "asin": "arcsin",
    "acos": "arccos",
    "atan": "arctan",
    "asinh": "arcsinh",
    "acosh": "arccosh",
    "atanh": "arctanh",
    **{w: w for w in ("exp", "log", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh", "expm1", "log1p")},
    **{w: w for w in ("sign", "floor", "ceil")},
}
_TEST: Final = {
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
    "eq": "equal",
    "ne": "not_equal",
    "isfinite": "isfinite",
}
_LOGIC: Final = ("logical_and", "logical_or", "logical_not")


# ---------------------------------------------------------------- the words that are more than one call


def sigmoid(xp: Any, x: Any, out: Any = None) -> Any:
    """1 / (1 + exp(-x)), which is 0 and not nan where exp(-x) is too large."""
    out = xp.exp(xp.negative(x, out=out), out=out)
    out = xp.add(out, out.dtype.type(1), out=out)
    return xp.reciprocal(out, out=out)


def softplus(xp: Any, x: Any, out: Any = None) -> Any:
    """log(1 + exp(x)) without overflow: max(x, 0) + log1p(exp(-abs(x)))."""
    small = xp.negative(xp.absolute(x))
    small = xp.log1p(xp.exp(small, out=small), out=small)
    return xp.add(xp.maximum(x, x.dtype.type(0)), small, out=out if out is not None else small)


def largest(xp: Any, x: Any, axis: tuple[int, ...]) -> Any:
    """The largest element along ``axis``; minus infinity where there is none."""
    return x.max(axis=axis, keepdims=True) if x.size else _of_nothing(xp, x, axis, -math.inf)


def smallest(xp: Any, x: Any, axis: tuple[int, ...]) -> Any:
    """The smallest element along ``axis``; infinity where there is none."""
    return x.min(axis=axis, keepdims=True) if x.size else _of_nothing(xp, x, axis, math.inf)


def _of_nothing(xp: Any, x: Any, axis: tuple[int, ...], value: float) -> Any:
    gone = {a % x.ndim for a in axis}
    return xp.full([1 if i in gone else n for i, n in enumerate(x.shape)], value, x.dtype)


def spread(xp: Any, x: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    """A new array of exactly this shape and type that holds ``x``, repeated along the axes it lacks."""
    out = xp.empty(shape, dtype)
    out[...] = x
    return out


def required(rows: int | None) -> int:
    """The number of rows, which the caller must say when no input has rows."""
    if rows is None:
        raise TypeError("kernel: no input has rows, so their number must be given: function(xp, ..., rows=n)")
    return rows


# ---------------------------------------------------------------- instructions


@dataclass(slots=True)
class _Instruction:
    dest: str
    before: str
    """Text up to the arguments, e.g. ``xp.add(``."""
    arguments: list[str]
    after: str
    """Text behind the arguments, e.g. ``, axis=(0,), keepdims=True)``."""
    extent: Extent
    takes_out: bool = False
    is_flag: bool = False

    @property
    def owns(self) -> bool:
        """Whether the result is a new array that may be overwritten later."""
        return not self.before.startswith("xp.broadcast_to")


class _Lowering:
    """One walk over a kernel's formulas that makes the list of instructions; names are numbered."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.rank = len(kernel.domain)
        self.axes: list[Axis] = [ROWS, *range(-self.rank, 0)]
        self.real = "float64" if kernel.dtype == "float64" else "float32"
        self.extent = extents(kernel)
        check_outputs(kernel, self.extent)
        self.free = -3 in kernel.domain
        self.code: list[_Instruction] = []
        self.values: dict[Expr, str] = {}
        self.flags: dict[Expr, str] = {}
        self.constants: dict[str, str] = {}
        self.filled: dict[str, str] = {}
        self.sizes: dict[str, str] = {}
        self.arrays = {o.name: (f"a{i}", o) for i, o in enumerate(kernel.inputs)}
        for e in topological([x for _, x in kernel.outputs]):
            self._visit(e)

    # ---- names

    def _emit(self, before: str, arguments: list[str], after: str, extent: Extent, takes_out: bool = False) -> str:
        dest = f"t{len(self.code)}"
        self.code.append(_Instruction(dest, before, arguments, after, extent, takes_out))
        return dest

    def _emit_flag(self, word: str, arguments: list[str], extent: Extent) -> str:
        dest = self._emit(f"xp.{word}(", arguments, ")", extent)
        self.code[-1].is_flag = True
        return dest

    def _constant(self, text: str) -> str:
        return self.constants.setdefault(text, f"c{len(self.constants)}")

    def _array_of(self, e: Expr) -> str:
        """The name of an array of one element that holds the constant ``e``."""
        text = repr(e.data)
        if text not in self.filled:
            shape = "(" + "1, " * (self.rank + 1) + ")"
            after = f", {self.real})"
            self.filled[text] = self._emit(f"xp.full({shape}, ", [self._constant(text)], after, frozenset())
        return self.filled[text]

    def value(self, e: Expr) -> str:
        """The name of the value of ``e`` in the element type of the arithmetic."""
        if e.op == "const":
            return self._constant(repr(e.data))
        if e not in self.values:
            self.values[e] = self._emit("", [self.flags[e]], f".astype({self.real})", self.extent[e])
        return self.values[e]

    def flag(self, e: Expr) -> str:
        """The name of a boolean array that says where ``e`` is not zero."""
        if e not in self.flags:
            x = self._array_of(e) if e.op == "const" else self.value(e)
            self.flags[e] = self._emit_flag("not_equal", [x, self._constant("0.0")], self.extent[e])
        return self.flags[e]

    def size(self, axis: Axis) -> str:
        """The length of an axis of the domain: a number, or a name that is set when the function starts."""
        if isinstance(axis, str):
            return self._rows() if self.kernel.rows else "1"
        length = self.kernel.domain[axis]
        if length != -3:
            return str(length)
        name = f"d{-axis}"
        known = [f"{a}.shape[{axis}]" for a, o in self.arrays.values() if o.shape[axis] == -3]
        if not known:
            raise ValueError(f"kernel: no input tells the length of axis {axis} of the domain {self.kernel.domain}")
        self.sizes[name] = known[0] if len(known) == 1 else f"max({', '.join(known)})"
        return name

    def _rows(self) -> str:
        having = [a for a, o in self.arrays.values() if o.rows]
        self.sizes["rows"] = f"{having[0]}.shape[0]" if having else "required(rows)"
        return "rows"

    # ---- words

    def _visit(self, e: Expr) -> None:
        if e.op == "input":
            self._input(e)
        elif e.op == "coordinate":
            self._coordinate(e)
        elif e.op == "reduce":
            self._reduce(e)
        elif e.op == "where":
            condition, x, y = e.args
            arguments = [self.flag(condition), self.value(x), self.value(y)]
            self.values[e] = self._emit("xp.where(", arguments, ")", self.extent[e])
        elif e.op in _LOGIC:
            self.flags[e] = self._emit_flag(e.op, [self.flag(a) for a in e.args], self.extent[e])
        elif e.op in _TEST:
            self.flags[e] = self._emit_flag(_TEST[e.op], self._operands(e), self.extent[e])
        elif e.op in ("sigmoid", "softplus"):
            self.values[e] = self._emit(f"{e.op}(xp, ", self._operands(e), ")", self.extent[e], True)
        elif e.op in _UFUNC:
            self.values[e] = self._emit(f"xp.{_UFUNC[e.op]}(", self._operands(e), ")", self.extent[e], True)
        elif e.op != "const":
            raise ValueError(f"print_numpy: unknown word {e.op!r}")

    def _operands(self, e: Expr) -> list[str]:
        if all(a.op == "const" for a in e.args):
            return [self._array_of(e.args[0]), *map(self.value, e.args[1:])]
        return [self.value(a) for a in e.args]

    def _input(self, e: Expr) -> None:
        name, operand = self.arrays[str(e.data)]
        if operand.dtype == self.real:
            self.values[e] = name
        else:
            self.values[e] = self._emit("", [name], f".astype({self.real})", self.extent[e])

    def _coordinate(self, e: Expr) -> None:
        (axis,) = axes_of_data(e)
        at = 0 if isinstance(axis, str) else self.rank + 1 + axis
        shape = ", ".join("-1" if i == at else "1" for i in range(self.rank + 1))
        text = f"xp.arange({self.size(axis)}, dtype={self.real}).reshape({shape})"
        self.values[e] = self._emit(text, [], "", self.extent[e])

    def _reduce(self, e: Expr) -> None:
        kind, axes, (x,) = kind_of(e), axes_of_data(e), e.args
        name = self._array_of(x) if x.op == "const" else self.value(x)
        if self.free:
            # an array of unknown length may have length 1 where the domain is longer
            lengths = [self.size(a) if a in self.extent[x] else "1" for a in self.axes]
            name = self._emit("xp.broadcast_to(", [name], f", ({', '.join(lengths)},))", self.extent[x])
        varying = [a for a in axes if a in self.extent[x]]
        if varying:
            numbers = ", ".join(str(0 if isinstance(a, str) else a) for a in varying)
            word = {"max": "largest(xp, ", "min": "smallest(xp, "}.get(kind, f"xp.{kind}(")
            keep = "" if kind in ("max", "min") else ", keepdims=True"
            name = self._emit(word, [name], f", axis=({numbers},){keep})", self.extent[e])
        repeated = [s for s in (self.size(a) for a in axes if a not in varying) if s != "1"]
        if repeated and kind in ("sum", "prod"):
            count = f"{self.real}({' * '.join(repeated)})"
            word = "xp.multiply(" if kind == "sum" else "xp.power("
            name = self._emit(word, [name, count], ")", self.extent[e], True)
        self.values[e] = name


# ---------------------------------------------------------------- text


@dataclass(slots=True)
class _Output:
    source: str
    """Name of the value that goes out."""
    statement: str
    """What makes the output from it; empty if the value itself is the output."""
    result: str
    overwrites: bool = False


def _outputs(low: _Lowering) -> list[_Output]:
    in_place = dict(low.kernel.in_place)
    taken: set[str] = set()
    made: list[_Output] = []
    for i, (operand, e) in enumerate(low.kernel.outputs):
        source = low.value(e)
        if operand.name in in_place:
            target = low.arrays[in_place[operand.name]][0]
            made.append(_Output(source, f"xp.copyto({target}, {source})", target, overwrites=True))
        elif not source.startswith("t") or low.extent[e] != operand_extent(operand) or low.free:
            lengths = [low.size(ROWS) if operand.rows else "1"]
            lengths += [low.size(a) if n == -3 else str(n) for a, n in zip(low.axes[1:], operand.shape, strict=True)]
            made.append(
                _Output(source, f"y{i} = spread(xp, {source}, ({', '.join(lengths)},), {operand.dtype})", f"y{i}")
            )
        elif operand.dtype != low.real or source in taken:
            made.append(_Output(source, f"y{i} = {source}.astype({operand.dtype})", f"y{i}"))
        else:
            taken.add(source)
            made.append(_Output(source, "", source))
    return made


def _write_through(low: _Lowering, outputs: list[_Output]) -> dict[str, str]:
    """Values that may be computed straight into the input they overwrite: nobody reads that input afterwards."""
    at = {i.dest: n for n, i in enumerate(low.code)}
    last_read = {name: n for n, i in enumerate(low.code) for name in i.arguments}
    targets: dict[str, str] = {}
    for (operand, e), out in zip(low.kernel.outputs, outputs, strict=True):
        only_use = sum(o.source == out.source for o in outputs) == 1
        read_by_output = any(o.source == out.result for o in outputs)
        if not out.overwrites or out.source not in at or not only_use or read_by_output or low.free:
            continue
        instruction = low.code[at[out.source]]
        fits = low.extent[e] == operand_extent(operand) and operand.dtype == low.real
        if fits and instruction.takes_out and last_read.get(out.result, -1) <= at[out.source]:
            targets[out.source] = out.result
            out.statement = ""
    return targets


def _statements(low: _Lowering, outputs: list[_Output]) -> list[str]:
    """One line per instruction, with ``out=`` and ``del`` where a temporary is read for the last time."""
    made = {i.dest: i for i in low.code}
    last_read = {name: n for n, i in enumerate(low.code) for name in i.arguments}
    alive = {o.source for o in outputs}
    through = _write_through(low, outputs)
    lines: list[str] = []
    for n, i in enumerate(low.code):
        dying = [a for a in dict.fromkeys(i.arguments) if a in made and last_read[a] == n and a not in alive]
        room = [a for a in dying if not made[a].is_flag and made[a].extent == i.extent and made[a].owns]
        out = through.get(i.dest) or (room[0] if room and i.takes_out and not low.free else "")
        lines.append(f"{i.dest} = {i.before}{', '.join(i.arguments)}{', out=' + out if out else ''}{i.after}")
        if dying:
            lines.append(f"del {', '.join(dying)}")
    lines += [o.statement for o in outputs if o.statement and not o.overwrites]
    return lines + [o.statement for o in outputs if o.statement and o.overwrites]


def numpy_source(kernel: Kernel) -> str:
    """The text of a function ``kernel(xp, *inputs, rows=None)`` that computes a kernel's outputs.

    Args:
        kernel: what to compute. Arrays come in the order of its inputs, each (rows or 1) x its static shape.

    Returns:
        Python source; the same text for equal kernels.

    Raises:
        ValueError: if a formula uses an input or axis that the kernel lacks, or does not fit its output.
    """
    low = _Lowering(kernel)
    outputs = _outputs(low)
    body = _statements(low, outputs)
    names = "".join(f", a{i}" for i in range(len(kernel.inputs)))
    returned = "".join(o.result + ", " for o in outputs)
    indent = "\n        "
    return (
        "".join(f"{name} = {low.real}({text})\n" for text, name in low.constants.items())
        + f"\n\ndef kernel(xp{names}, *, rows=None):\n    with errstate(all='ignore'):"
        + "".join(indent + f"{name} = {text}" for name, text in low.sizes.items())
        + "".join(indent + line for line in body)
        + f"{indent}return ({returned})\n"
    )


@lru_cache(maxsize=4096)
def numpy_function(kernel: Kernel) -> NumpyFunction:
    """A function ``(xp, *inputs, rows=None) -> outputs`` that computes a kernel with the array module ``xp``.

    The outputs are new arrays in the order of the kernel's outputs, each exactly (rows or 1) x its static shape, except
    those that ``kernel.in_place`` pairs with an input: they are written into that input's array.

    Args:
        kernel: what to compute.

    Returns:
        The compiled function of :func:`numpy_source`; the same object for equal kernels.

    Raises:
        ValueError: as :func:`numpy_source`.
    """
    names: dict[str, object] = {
        "__builtins__": {"max": max},
        "errstate": np.errstate,
        "float16": np.float16,
        "float32": np.float32,
        "float64": np.float64,
        "inf": math.inf,
        "nan": math.nan,
        **{f.__name__: f for f in (sigmoid, softplus, largest, smallest, spread, required)},
    }
    with np.errstate(all="ignore"):
        # the text is made of this module's words and of numbers, never of a user's
        exec(compile(numpy_source(kernel), "<numpy kernel>", "exec"), names)  # noqa: S102
    function: NumpyFunction = names["kernel"]  # type: ignore[assignment]
    return function
