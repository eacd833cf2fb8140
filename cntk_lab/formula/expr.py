"""Scalar expression trees and the operators that build them.

A formula says what *one element* of a result is. It is written once, in an operator's declaration, and everything else
follows from it: the derivative (``derive``), the clean-up (``simplify``), NumPy, numba and CUDA code (``print_*``).

Expressions are immutable and interned: two equal expressions are the same object, so sharing a subexpression costs
nothing and printing a *graph* instead of a tree is automatic. Beside scalar words the language has two things that look
beyond one element: ``reduce`` (a reduction along axes of the kernel's domain, whose result is broadcast back) and
``coordinate`` (the position of the element along an axis). Nothing here knows arrays, operators or devices.

Idea: tinygrad's single node type; Halide's separation of formula and schedule.
"""

# ruff: noqa: SIM905 - lists of words read better as one text

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, TypeAlias

from cntk_lab._turn import new_lock

ROWS: Final = "rows"
"""The row axis of a kernel's domain (the packed dynamic axes), beside its static axes -1, -2, ..."""

Axis: TypeAlias = int | str
Data: TypeAlias = str | float | tuple[str, tuple[Axis, ...]] | None
Number: TypeAlias = int | float

UNARY: Final = frozenset(
    "neg abs exp log sqrt sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh expm1 log1p "
    "sigmoid softplus sign floor ceil logical_not isfinite".split()
)
BINARY: Final = frozenset("add sub mul div pow min max mod lt le gt ge eq ne logical_and logical_or".split())
TERNARY: Final = frozenset(("where",))
LEAVES: Final = frozenset(("input", "const", "coordinate"))
REDUCTIONS: Final = frozenset(("sum", "max", "min", "prod"))
BOOLEAN: Final = frozenset("lt le gt ge eq ne logical_and logical_or logical_not isfinite".split())
"""Words whose value is 0 or 1, held in the element type of the kernel."""


class Expr:
    """One node of a formula: a word, its arguments and, for leaves and reductions, its data.

    Build expressions with operators (``x * 2 + y``), with the functions of this module (``exp(x)``) or, generally, with
    :func:`make`. ``==`` is identity; the word for element equality is :func:`equal`.
    """

    __slots__ = ("__weakref__", "args", "data", "op")

    op: str
    args: tuple[Expr, ...]
    data: Data

    def __add__(self, other: Expr | Number) -> Expr:
        return make("add", self, other)

    def __radd__(self, other: Number) -> Expr:
        return make("add", other, self)

    def __sub__(self, other: Expr | Number) -> Expr:
        return make("sub", self, other)

    def __rsub__(self, other: Number) -> Expr:
        return make("sub", other, self)

    def __mul__(self, other: Expr | Number) -> Expr:
        return make("mul", self, other)

    def __rmul__(self, other: Number) -> Expr:
        return make("mul", other, self)

    def __truediv__(self, other: Expr | Number) -> Expr:
        return make("div", self, other)

    def __rtruediv__(self, other: Number) -> Expr:
        return make("div", other, self)

    def __pow__(self, other: Expr | Number) -> Expr:
        return make("pow", self, other)

    def __neg__(self) -> Expr:
        return make("neg", self)

    def __lt__(self, other: Expr | Number) -> Expr:
        return make("lt", self, other)

    def __le__(self, other: Expr | Number) -> Expr:
        return make("le", self, other)

    def __gt__(self, other: Expr | Number) -> Expr:
        return make("gt", self, other)

    def __ge__(self, other: Expr | Number) -> Expr:
        return make("ge", self, other)

    def __repr__(self) -> str:
        if self.op in ("input", "const"):
            return str(self.data)
        inside = ", ".join(map(repr, self.args))
        if self.op in ("reduce", "coordinate"):
            return f"{self.op}[{self.data}]({inside})"
        return f"{self.op}({inside})"


_interned: weakref.WeakValueDictionary[tuple[object, ...], Expr] = weakref.WeakValueDictionary()
_making = new_lock()


def make(op: str, *args: Expr | Number, data: Data = None) -> Expr:
    """The one expression with this word, these arguments and this data (numbers become constants)."""
    operands = tuple(a if isinstance(a, Expr) else const(a) for a in args)
    # repr tells 0.0 from -0.0 and makes nan equal to itself
    key = (op, tuple(map(id, operands)), repr(data))
    found = _interned.get(key)
    if found is None:
        with _making:
            found = _interned.get(key)  # another thread may have made it meanwhile
            if found is None:
                found = Expr()
                found.op, found.args, found.data = op, operands, data
                _interned[key] = found
    return found


def input_(name: str) -> Expr:
    """The element of the operand ``name`` at the position that is being computed."""
    return make("input", data=name)


def const(value: Number) -> Expr:
    """A number, rounded to the kernel's element type when it is used."""
    return make("const", data=float(value))


def coordinate(axis: Axis) -> Expr:
    """The position (0, 1, ...) of the element along ``axis`` of the domain."""
    return make("coordinate", data=("", (axis,)))


def reduce(kind: str, x: Expr, axes: Iterable[Axis]) -> Expr:
    """The sum (or largest, smallest, product) of ``x`` along ``axes``, the same for every element there."""
    ordered = tuple(sorted(set(axes), key=str))
    return make("reduce", x, data=(kind, ordered)) if ordered else x


def _word(op: str) -> Callable[..., Expr]:
    def build(*args: Expr | Number) -> Expr:
        return make(op, *args)

    build.__name__ = build.__qualname__ = op
    return build


exp, log, sqrt = _word("exp"), _word("log"), _word("sqrt")
sin, cos, tan, asin, acos, atan = map(_word, ("sin", "cos", "tan", "asin", "acos", "atan"))
sinh, cosh, tanh, asinh, acosh, atanh = map(_word, ("sinh", "cosh", "tanh", "asinh", "acosh", "atanh"))
expm1, log1p, sigmoid, softplus = map(_word, ("expm1", "log1p", "sigmoid", "softplus"))
absolute, sign, floor, ceil = _word("abs"), _word("sign"), _word("floor"), _word("ceil")
power, minimum, maximum, modulo = _word("pow"), _word("min"), _word("max"), _word("mod")
equal, not_equal, isfinite = _word("eq"), _word("ne"), _word("isfinite")
logical_and, logical_or, logical_not = _word("logical_and"), _word("logical_or"), _word("logical_not")


def where(condition: Expr, if_true: Expr | Number, if_false: Expr | Number) -> Expr:
    """``if_true`` where the condition is not zero, else ``if_false``; only the chosen value counts."""
    return make("where", condition, if_true, if_false)


def topological(roots: Iterable[Expr]) -> Iterator[Expr]:
    """Every expression below ``roots`` once, arguments before their users."""
    done: set[int] = set()
    stack: list[tuple[Expr, bool]] = [(r, False) for r in reversed(list(roots))]
    while stack:
        e, expanded = stack.pop()
        if id(e) in done:
            continue
        if expanded:
            done.add(id(e))
            yield e
        else:
            stack.append((e, True))
            stack.extend((a, False) for a in reversed(e.args) if id(a) not in done)


def rewrite(roots: Iterable[Expr], change: Callable[[Expr, tuple[Expr, ...]], Expr | None]) -> tuple[Expr, ...]:
    """``roots`` with expressions replaced, arguments before their users; what is shared stays shared.

    Args:
        roots: formulas.
        change: an expression as it was and its arguments as they are now -> what stands there now; None: the same word
            with these arguments.

    Example:
        >>> rewrite([exp(input_("x")) + 1.0], lambda e, args: log(*args) if e.op == "exp" else None)
        (add(log(x), 1.0),)
    """
    roots = tuple(roots)
    new: dict[int, Expr] = {}
    for e in topological(roots):
        args = tuple(new[id(a)] for a in e.args)
        changed = change(e, args)
        new[id(e)] = (make(e.op, *args, data=e.data) if args else e) if changed is None else changed
    return tuple(new[id(r)] for r in roots)


def replace(roots: Iterable[Expr], by: Mapping[Expr, Expr]) -> tuple[Expr, ...]:
    """``roots`` with the expressions that ``by`` has, wherever they stand, replaced by others."""
    return rewrite(roots, lambda e, _: by.get(e))


def substitute(roots: Iterable[Expr], by_input: Mapping[str, Expr]) -> tuple[Expr, ...]:
    """``roots`` with the inputs named in ``by_input`` replaced by expressions."""
    return rewrite(roots, lambda e, _: by_input.get(str(e.data)) if e.op == "input" else None)


def map_axes(roots: Iterable[Expr], move: Callable[[Axis], Axis]) -> tuple[Expr, ...]:
    """``roots`` with every axis of a reduction or coordinate replaced by ``move(axis)``."""

    def moved(e: Expr, args: tuple[Expr, ...]) -> Expr | None:
        if e.op not in ("reduce", "coordinate") or not isinstance(e.data, tuple):
            return None
        return make(e.op, *args, data=(e.data[0], tuple(sorted({move(a) for a in e.data[1]}, key=str))))

    return rewrite(roots, moved)


def inputs_of(roots: Iterable[Expr]) -> list[str]:
    """The names of the inputs below ``roots``, in the order of their first use."""
    return [str(e.data) for e in topological(roots) if e.op == "input"]


def has_reduction(roots: Iterable[Expr]) -> bool:
    """Whether a reduction stands anywhere below ``roots``."""
    return any(e.op == "reduce" for e in topological(roots))
