"""Algebraic clean-up of formulas: the same values from fewer words.

Every rule keeps the value of every element except for float rounding and the sign of a zero; what is only true for
finite numbers (``x * 0``, ``x - x``, ``x / x``) is left alone unless the argument is known to be finite (comparisons,
coordinates, constants). The one further exception is written at its rule: ``x ** 0.5`` becomes ``sqrt(x)``, which
differs at minus infinity. The rules are local, terminate because each makes the graph smaller or moves a constant or a
minus sign one way only, and the result is a fixed point. Knows no kernels, operators or arrays.

Idea: the usual peephole rules of algebraic compilers, as in tinygrad's symbolic pass.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable
from typing import Final

from cntk_lab.formula.expr import BOOLEAN, ROWS, Expr, const, make, reduce, rewrite, where

ZERO: Final = const(0.0)
ONE: Final = const(1.0)


def simplify(roots: Iterable[Expr]) -> tuple[Expr, ...]:
    """The same formulas with everything done that can be done before the numbers are known.

    Args:
        roots: formulas; subexpressions that they share stay shared.

    Returns:
        One formula per root with the same value (see the module's text for what "same" means).

    Example:
        >>> from cntk_lab.formula.expr import input_
        >>> x = input_("x")
        >>> simplify([(x * 1.0 + 0.0) * 2.0 * 3.0, -(-x)])
        (mul(x, 6.0), x)
    """
    now = tuple(roots)
    while True:
        following = rewrite(now, lambda e, args: _simple(make(e.op, *args, data=e.data)) if args else e)
        if following == now:
            return now
        now = following


def _simple(e: Expr) -> Expr:
    """``e``, whose arguments are simple, until no rule applies at its top."""
    while e.args:
        following = _fold(e)
        if following is e:
            following = _RULES[e.op](e, *e.args) if e.op in _RULES else e
        if following is e:
            return e
        e = following
    return e


def _number(e: Expr) -> float | None:
    return e.data if e.op == "const" and isinstance(e.data, float) else None


# ---------------------------------------------------------------- constants


def _flag(test: Callable[..., object]) -> Callable[..., float]:
    return lambda *numbers: float(bool(test(*numbers)))


_FOLD: Final[dict[str, Callable[..., float]]] = {
    "neg": operator.neg,
    "abs": abs,
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "pow": math.pow,
    "max": max,
    "min": min,
    "mod": operator.mod,
    "lt": _flag(operator.lt),
    "le": _flag(operator.le),
    "gt": _flag(operator.gt),
    "ge": _flag(operator.ge),
    "eq": _flag(operator.eq),
    "ne": _flag(operator.ne),
    "logical_and": _flag(lambda a, b: a and b),
    "logical_or": _flag(lambda a, b: a or b),
    "logical_not": _flag(operator.not_),
    "isfinite": _flag(math.isfinite),
    "sign": lambda x: float((x > 0) - (x < 0)),
    "floor": lambda x: float(math.floor(x)),
    "ceil": lambda x: float(math.ceil(x)),
    "sigmoid": lambda x: 1.0 / (1.0 + math.exp(-x)),
    "softplus": lambda x: max(x, 0.0) + math.log1p(math.exp(-abs(x))),
    **{
        word: getattr(math, word)
        for word in (
            *("exp", "log", "sqrt", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh"),
            *("asinh", "acosh", "atanh", "expm1", "log1p"),
        )
    },
}


def _fold(e: Expr) -> Expr:
    """The number that a word of numbers is; the word itself where that number is not finite or not defined."""
    fold = _FOLD.get(e.op)
    numbers = [_number(a) for a in e.args]
    if fold is None or any(n is None or not math.isfinite(n) for n in numbers):
        return e
    try:
        value = fold(*numbers)
    except (ValueError, OverflowError, ZeroDivisionError):
        return e  # left to the arithmetic of the element type: log(0) is -inf there
    return const(value) if math.isfinite(value) else e


def _power_of_two(n: float) -> bool:
    return abs(math.frexp(n)[0]) == 0.5 and 2.0**-14 <= abs(n) <= 2.0**14


def _moderate(n: float) -> bool:
    return 1e-4 <= abs(n) <= 1e4


def _surely_finite(e: Expr) -> bool:
    number = _number(e)
    if number is not None:
        return math.isfinite(number)
    return e.op in BOOLEAN or e.op == "coordinate" or (e.op in ("neg", "abs") and _surely_finite(e.args[0]))


# ---------------------------------------------------------------- rules: (expression, *arguments) -> expression


def _neg(e: Expr, x: Expr) -> Expr:
    if x.op == "neg":
        return x.args[0]
    if x.op == "sub":
        return x.args[1] - x.args[0]
    if x.op in ("mul", "div"):
        a, b = x.args
        if (n := _number(b)) is not None:
            return make(x.op, a, -n)
        if x.op == "div" and (n := _number(a)) is not None:
            return make("div", -n, b)
    return e


def _add(e: Expr, x: Expr, y: Expr) -> Expr:
    if x.op == "const" and y.op != "const":
        return y + x
    if _number(y) == 0.0:
        return x
    if y.op == "neg":
        return x - y.args[0]
    if x.op == "neg":
        return y - x.args[0]
    return e


def _sub(e: Expr, x: Expr, y: Expr) -> Expr:
    n = _number(y)
    if n == 0.0:
        return x
    if n is not None and _number(x) is None and not math.isnan(n):
        return x + -n
    if _number(x) == 0.0:
        return -y
    if y.op == "neg":
        return x + y.args[0]
    if x is y and _surely_finite(x):
        return ZERO
    return e


def _mul(e: Expr, x: Expr, y: Expr) -> Expr:
    if x.op == "const" and y.op != "const":
        return y * x
    n = _number(y)
    if n is not None:
        if n == 1.0:
            return x
        if n == -1.0:
            return -x
        if n == 0.0 and _surely_finite(x):
            return ZERO
        if x.op == "neg":
            return x.args[0] * -n
        inner = _number(x.args[1]) if x.op == "mul" else None
        if inner is not None and _moderate(n) and _moderate(inner):
            return x.args[0] * (inner * n)
        return e
    if x.op == "neg":
        return y.args[0] * x.args[0] if y.op == "neg" else -(x.args[0] * y)
    if y.op == "neg":
        return -(x * y.args[0])
    return e


def _div(e: Expr, x: Expr, y: Expr) -> Expr:
    n = _number(y)
    if n == 1.0:
        return x
    if n == -1.0:
        return -x
    if n is not None and _power_of_two(n):
        return x * (1.0 / n)  # exact: only the exponent changes
    if x.op == "neg":
        return x.args[0] / y.args[0] if y.op == "neg" else -(x.args[0] / y)
    if y.op == "neg":
        return -(x / y.args[0])
    return e


def _pow(e: Expr, x: Expr, p: Expr) -> Expr:
    n = _number(p)
    if n == 0.0:
        return ONE
    if n == 1.0:
        return x
    if n == 2.0:
        return x * x
    if n == 3.0:
        return x * x * x
    if n == -1.0:
        return 1.0 / x
    if n == -2.0:
        return 1.0 / (x * x)
    if n == 0.5:
        return make("sqrt", x)  # pow(-inf, 0.5) is inf, sqrt(-inf) is nan
    if n == -0.5:
        return 1.0 / make("sqrt", x)
    return e


def _same(e: Expr, x: Expr, y: Expr) -> Expr:
    return x if x is y else e


def _and_or(e: Expr, x: Expr, y: Expr) -> Expr:
    if x is y and x.op in BOOLEAN:
        return x
    for a, b in ((x, y), (y, x)):
        n = _number(a)
        if n is not None:
            decides = bool(n) == (e.op == "logical_or")
            if decides:
                return const(float(bool(n)))
            if b.op in BOOLEAN:
                return b
    return e


def _not(e: Expr, x: Expr) -> Expr:
    if x.op == "logical_not" and x.args[0].op in BOOLEAN:
        return x.args[0]
    if x.op in ("eq", "ne"):
        return make("ne" if x.op == "eq" else "eq", *x.args)
    return e


def _where(e: Expr, c: Expr, x: Expr, y: Expr) -> Expr:
    if x is y:
        return x
    n = _number(c)
    if n is not None:
        return x if n != 0.0 else y
    if c.op == "logical_not":
        return where(c.args[0], y, x)
    if c.op == "ne" and _number(c.args[1]) == 0.0:
        return where(c.args[0], x, y)
    if x.op == "where" and x.args[0] is c:
        return where(c, x.args[1], y)
    if y.op == "where" and y.args[0] is c:
        return where(c, x, y.args[2])
    if c.op in BOOLEAN and x is ONE and y is ZERO:
        return c
    if c.op in BOOLEAN and x is ZERO and y is ONE:
        return make("logical_not", c)
    return e


def _even(e: Expr, x: Expr) -> Expr:
    return make(e.op, x.args[0]) if x.op in ("neg", "abs") else e


def _abs(e: Expr, x: Expr) -> Expr:
    square = x.op == "mul" and x.args[0] is x.args[1]
    return x if square or x.op in BOOLEAN or x.op in ("exp", "sigmoid", "softplus", "coordinate") else _even(e, x)


def _idempotent(e: Expr, x: Expr) -> Expr:
    return x if x.op in BOOLEAN or x.op in ("floor", "ceil", "sign", "coordinate") else e


def _reduce(e: Expr, x: Expr) -> Expr:
    if x.op == "reduce" and isinstance(e.data, tuple) and isinstance(x.data, tuple) and e.data[0] == x.data[0]:
        (kind, outer), (_, inner) = e.data, x.data
        # summing the same axis twice multiplies by its length; without rows the largest of nothing is -inf
        if not set(outer) & set(inner) or (kind in ("max", "min") and ROWS not in outer):
            return reduce(kind, x.args[0], (*outer, *inner))
    return e


_RULES: Final[dict[str, Callable[..., Expr]]] = {
    "neg": _neg,
    "add": _add,
    "sub": _sub,
    "mul": _mul,
    "div": _div,
    "pow": _pow,
    "max": _same,
    "min": _same,
    "logical_and": _and_or,
    "logical_or": _and_or,
    "logical_not": _not,
    "where": _where,
    "cos": _even,
    "cosh": _even,
    "abs": _abs,
    "floor": _idempotent,
    "ceil": _idempotent,
    "reduce": _reduce,
}
