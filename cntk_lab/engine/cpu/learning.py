"""Gradient descent as a product's kernel can do it along the way: recognised by its formulas, not by a learner's name.

``p = p - s g`` and, with momentum, ``v = m v + s g`` and ``p = p - v``, where s is a product of numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

from cntk_lab.engine.plan import Map
from cntk_lab.engine.plan.reference import number_of, reference
from cntk_lab.formula import expr as e
from cntk_lab.tensor.shape import size


@dataclass(frozen=True, slots=True)
class Descent:
    """A learner's step; all fields are buffers.

    Args:
        parameter: p.
        gradient: g.
        scales: the factors of s.
        together: whether s is multiplied out first and then with g; else the rounding is another one.
        velocity: v; None without momentum.
        share: m.
    """

    parameter: int
    gradient: int
    scales: tuple[int, ...]
    together: bool
    velocity: int | None = None
    share: int | None = None


def descent_of(step: Map, gradient: int) -> Descent | None:
    """What a step does with a gradient, if it is gradient descent with or without momentum, and nothing else."""
    formulas = {number_of(o.name): f for o, f in step.kernel.outputs}
    g = e.input_(reference(gradient))
    for p, formula in formulas.items():
        if formula.op != "sub" or formula.args[0] is not e.input_(reference(p)):
            continue
        change = formula.args[1]
        if len(formulas) == 1:
            scales = _scales(step, change, g)
            return Descent(p, gradient, *scales) if scales is not None else None
        v = next((b for b in formulas if b != p), p)
        if len(formulas) != 2 or formulas[v] is not change or change.op != "add":
            continue
        for kept, added in (change.args, change.args[::-1]):
            share, scales = _other(kept, e.input_(reference(v))), _scales(step, added, g)
            if share is not None and scales is not None and _is_number(step, share):
                return Descent(p, gradient, *scales, v, number_of(share.data))
    return None


def _scales(step: Map, formula: e.Expr, g: e.Expr) -> tuple[tuple[int, ...], bool] | None:
    """The numbers that g is multiplied with in a formula, and whether they are multiplied with each other first."""
    factors = _factors(formula)
    numbers = [f for f in factors if f is not g]
    if len(factors) != len(numbers) + 1 or not numbers or not all(_is_number(step, f) for f in numbers):
        return None
    return tuple(number_of(f.data) for f in numbers), _other(formula, g) is not None


def _factors(formula: e.Expr) -> list[e.Expr]:
    return [f for a in formula.args for f in _factors(a)] if formula.op == "mul" else [formula]


def _other(formula: e.Expr, factor: e.Expr) -> e.Expr | None:
    """What ``factor`` is multiplied with."""
    if formula.op != "mul" or factor not in formula.args or formula.args[0] is formula.args[1]:
        return None
    return formula.args[1] if formula.args[0] is factor else formula.args[0]


def _is_number(step: Map, formula: e.Expr) -> bool:
    """Whether a formula is an input that is one number."""
    return formula.op == "input" and any(
        o.name == formula.data and not o.rows and size(o.shape) == 1 for o in step.kernel.inputs
    )
