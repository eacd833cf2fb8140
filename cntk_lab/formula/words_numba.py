"""One word of a formula as Python text in the words of ``backends/cpu/words.py``; knows no loops and no memory.

The values of a formula are numbers, or truth values where the word tests something; a truth value that is read as a
number is 0 or 1, a number that is read as a truth value is true unless it is 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cntk_lab.formula.expr import BOOLEAN, Expr, const
from cntk_lab.formula.schedule import Unsupported

OWN: Final = frozenset(("exp", "log", "expm1", "log1p", "sigmoid", "tanh", "softplus", "sign", "mod", "isfinite"))
LIBRARY: Final = frozenset(
    ["sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "asinh", "acosh", "atanh", "pow"]
)
_SYMBOLS: Final = {
    "add": "+",
    "sub": "-",
    "mul": "*",
    "div": "/",
    "lt": "<",
    "le": "<=",
    "gt": ">",
    "ge": ">=",
    "eq": "==",
    "ne": "!=",
}


def number(e: Expr, values: Mapping[Expr, str], real: str) -> str:
    """A value as a number of the type ``real``."""
    return f"to_{real}({values[e]})" if e.op in BOOLEAN else values[e]


def flag(e: Expr, values: Mapping[Expr, str], real: str) -> str:
    """A value as a truth value."""
    return values[e] if e.op in BOOLEAN else f"({values[e]} != {real}(0.0))"


def word(e: Expr, values: Mapping[Expr, str], real: str) -> str:
    """A word, computed from the values of its arguments.

    Raises:
        Unsupported: if the word is not printed for the CPU.
    """
    if e.op == "where":
        chosen, otherwise = number(e.args[1], values, real), number(e.args[2], values, real)
        return f"sel({flag(e.args[0], values, real)}, {chosen}, {otherwise})"
    if e.op == "logical_and":
        return f"{flag(e.args[0], values, real)} & {flag(e.args[1], values, real)}"
    if e.op == "logical_or":
        return f"{flag(e.args[0], values, real)} | {flag(e.args[1], values, real)}"
    if e.op == "logical_not":
        return f"{number(e.args[0], values, real)} == {real}(0.0)"
    args = [number(a, values, real) for a in e.args]
    if e.op == "neg":
        return f"-{args[0]}"
    if e.op in _SYMBOLS:
        return f"{args[0]} {_SYMBOLS[e.op]} {args[1]}"
    if e.op == "pow" and e.args[1] is const(2):
        return f"{args[0]} * {args[0]}"
    if e.op == "pow" and e.args[1] is const(-1):
        return f"{real}(1.0) / {args[0]}"
    if e.op in OWN:
        return f"{e.op}_{real}({', '.join(args)})"
    if e.op in LIBRARY or e.op in ("abs", "sqrt", "floor", "ceil", "min", "max"):
        return f"w_{e.op}({', '.join(args)})"
    raise Unsupported(f"the word {e.op!r} is not printed for the CPU")
