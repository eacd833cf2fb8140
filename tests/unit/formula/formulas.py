"""Seeded random formulas over the whole vocabulary, kernels and data for them."""

import random

import numpy as np

from cntk_lab.formula import expr as X
from cntk_lab.formula.expr import ROWS, Expr, const, input_, make, reduce, where
from cntk_lab.formula.extent import extents
from cntk_lab.formula.kernel import Kernel, Operand

DOMAIN = (3, 4)
OPERANDS = (
    Operand("matrix", (3, 4), rows=True, dtype="float64"),
    Operand("bias", (1, 4), rows=False, dtype="float64"),
    Operand("column", (3, 1), rows=True, dtype="float64"),
    Operand("scalar", (1, 1), rows=False, dtype="float64"),
)
AXES = ([-1], [-2], [-1, -2], [ROWS], [ROWS, -1], [ROWS, -2, -1])

# how an argument is brought into the interval where a word is smooth and of moderate size
SOFT = {
    "log": lambda x: X.softplus(x) + 0.5,
    "sqrt": lambda x: X.softplus(x) + 0.5,
    "acosh": lambda x: X.softplus(x) + 1.5,
    "log1p": lambda x: X.softplus(x) - 0.5,
    **{w: lambda x: X.tanh(x) * 0.9 for w in ("asin", "acos", "atanh", "exp", "tan", "sinh", "cosh", "expm1")},
}
SMOOTH = sorted(X.UNARY - {"logical_not", "isfinite"})


def random_formula(seed: int, *, size: int = 12, reductions: bool = True) -> Expr:
    """A formula of about ``size`` words that shares subexpressions; smooth almost everywhere."""
    rng = random.Random(seed)
    pool: list[Expr] = [input_(o.name) for o in OPERANDS]
    pool += [const(rng.choice([0.5, -1.25, 2.0])), X.coordinate(-1) * 0.25, X.coordinate(ROWS) * 0.125]

    def pick() -> Expr:
        return rng.choice(pool[-6:]) if rng.random() < 0.7 else rng.choice(pool)

    for _ in range(size):
        kind = rng.random()
        if kind < 0.4:
            word = rng.choice(SMOOTH)
            x = pick()
            new = make(word, SOFT.get(word, X.tanh)(x) if word not in ("neg", "abs", "floor", "ceil", "sign") else x)
        elif kind < 0.75 or not reductions:
            new = _binary(rng, pick(), pick())
        elif kind < 0.85:
            condition = make(rng.choice(["lt", "gt", "le", "ge", "ne"]), pick(), pick() + 0.0123)
            new = where(condition, pick(), pick())
        else:
            kind_of = rng.choice(sorted(X.REDUCTIONS))
            x = X.tanh(pick()) * 0.2 + (1.0 if kind_of == "prod" else 0.0)
            axes = rng.choice(AXES)
            if kind_of in ("max", "min"):  # no ties: the argument differs along every axis
                x = sum((X.sin(X.coordinate(a) * (1.3 + i)) * 0.2 for i, a in enumerate(axes)), start=x)
            new = reduce(kind_of, x, axes)
        pool.append(new)
    return pool[-1] + X.tanh(pool[-2]) * pool[0]


def _binary(rng: random.Random, x: Expr, y: Expr) -> Expr:
    word = rng.choice(["add", "sub", "mul", "div", "pow", "min", "max", "mod", "flag"])
    if word == "div":
        return x / (X.softplus(y) + 0.5)
    if word == "mod":
        return make("mod", X.tanh(x), X.softplus(y) + 0.7)
    if word == "pow":
        return X.power(X.softplus(x) + 0.3, X.tanh(y) if rng.random() < 0.5 else rng.choice([2.0, -1.0, 0.5, 3.0, 1.7]))
    if word == "flag":
        return make(rng.choice(["logical_and", "logical_or"]), x > 0.1, make("logical_not", y < 0.2)) + x
    return make(word, X.tanh(x), y)


def kernel_of(*formulas: Expr, dtype: str = "float64", operands: tuple[Operand, ...] = OPERANDS) -> Kernel:
    """A kernel over DOMAIN whose outputs are as large as each formula needs."""
    inputs = tuple(Operand(o.name, o.shape, o.rows, dtype) for o in operands)
    found = extents(Kernel(DOMAIN, True, inputs, ()), formulas)
    outputs = []
    for i, f in enumerate(formulas):
        shape = tuple(n if axis in found[f] else 1 for axis, n in zip((-2, -1), DOMAIN, strict=True))
        outputs.append((Operand(f"y{i}", shape, ROWS in found[f], dtype), f))
    return Kernel(DOMAIN, True, inputs, tuple(outputs), dtype)


def data_for(operands: tuple[Operand, ...] = OPERANDS, *, rows: int = 5, seed: int = 0) -> list[np.ndarray]:
    """One array per operand, normally distributed, in the operand's element type."""
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(rows if o.rows else 1, *o.shape)).astype(o.dtype) for o in operands]
