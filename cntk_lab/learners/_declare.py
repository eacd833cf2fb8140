"""@learner: an update written as formulas becomes a rule that every backend can run.

A rule is a function of expressions: the parameter ``p``, its gradient ``g``, the state kept beside the parameter, and
scalars that are computed once for a minibatch. It returns the new ``p`` and the new state. The training plan appends
the formulas as its last steps, so an update is one pass over memory.

Knows expressions and storage, no schedules and no plan. Idea: one declaration per learner, instead of a kernel per
learner and device.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from cntk_lab.formula.expr import ROWS, Axis, Expr, const, equal, input_, inputs_of, reduce, sqrt, where
from cntk_lab.formula.kernel import Kernel, Operand
from cntk_lab.graph.variable import Parameter
from cntk_lab.tensor.arrays import Storage

Formulas: TypeAlias = dict[str, Expr]


@dataclass(frozen=True, slots=True)
class Moment:
    """The numbers of one minibatch that scalars are made from."""

    rate: float
    """Learning rate for each unit of the gradient that the rule sees."""
    momentum: float
    """Momentum for this minibatch."""
    variance_momentum: float
    """Momentum of squared gradients for this minibatch."""
    gain: float
    """Factor of the gradient in momentum rules: 1 - momentum with unit gain, else 1."""
    samples: int
    """Samples in the minibatch."""
    units: int
    """By what thresholds and weights per sample are multiplied: the samples, or 1 if the rule sees mean gradients."""
    step: int
    """Number of this update: 1, 2, ..."""
    smoothed_count: float
    """Decaying average of the number of samples, this minibatch included."""


Scalar: TypeAlias = Callable[[Moment], float]

COMMON: dict[str, Scalar] = {
    "rate": lambda m: m.rate,
    "momentum": lambda m: m.momentum,
    "variance_momentum": lambda m: m.variance_momentum,
    "gain": lambda m: m.gain,
}
"""Scalars that every rule may name."""


class Whole:
    """Reductions over the whole tensor, for rules that need a norm or a mean."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._axes: tuple[Axis, ...] = tuple(range(-len(shape), 0))
        self._count = 1
        for d in shape:
            self._count *= d

    def sum(self, x: Expr) -> Expr:
        """The sum of all elements."""
        return reduce("sum", x, self._axes)

    def mean(self, x: Expr) -> Expr:
        """The mean of all elements."""
        return self.sum(x) / float(max(self._count, 1))

    def norm(self, x: Expr) -> Expr:
        """The Euclidean norm."""
        return sqrt(self.sum(x * x))


class TouchedRows(Whole):
    """The same reductions over the touched rows of a gradient that has no others."""

    def __init__(self) -> None:
        self._axes = (ROWS, -1)

    def mean(self, x: Expr) -> Expr:
        """The mean of all touched elements."""
        return self.sum(x) / input_("touched")


@dataclass(frozen=True, slots=True)
class Rule:
    """One way to update a parameter: state, formulas, scalars."""

    name: str
    state: tuple[str, ...]
    """Names of the arrays kept beside each parameter, in the order in which checkpoints stack them."""
    formulas: Callable[..., Formulas]
    scalars: Mapping[str, Scalar]
    counts: str = ""
    """What ``smoothed_count`` of a checkpoint holds: ``steps``, ``samples``, or nothing."""
    tells_momentum: bool = False
    """Whether progress writers are told the momentum."""

    whole: bool = False
    """Whether rows without a gradient change too."""
    fresh: str = ""
    """A state that is zero only before the first update of an element, for rules with the scalar ``is_first``."""

    def build(self, whole: Whole, gradient: Expr, options: Mapping[str, Any]) -> Formulas:
        """The formulas for a parameter; options and scalars are found by the names of the arguments.

        Args:
            whole: reductions over the parameter, or over touched rows.
            gradient: the gradient.
            options: numbers and switches of the learner.
        """
        known: dict[str, Any] = {"p": input_("p"), "g": gradient, "whole": whole, **options}
        known.update({name: input_(name) for name in (*self.state, *COMMON, *self.scalars) if name not in options})
        if self.fresh and isinstance(whole, TouchedRows):
            known["is_first"] = where(equal(input_(self.fresh), 0.0), 1.0, 0.0)  # each row has a first time of its own
        return self.formulas(**{name: known[name] for name in inspect.signature(self.formulas).parameters})


def learner(
    state: tuple[str, ...] = (),
    scalars: Mapping[str, Scalar] | None = None,
    counts: str = "",
    tells_momentum: bool = False,
    whole: bool = False,
    fresh: str = "",
) -> Callable[[Callable[..., Formulas]], Rule]:
    """The decorator that makes a :class:`Rule` from a function of expressions.

    The names of the function's arguments say what it wants: ``p`` the parameter, ``g`` its gradient, names of the
    state, ``rate``, ``momentum``, ``variance_momentum``, ``gain`` or own ``scalars``, ``whole`` for reductions over
    the tensor; anything else is an option that the learner gives as a number or a switch.

    Args:
        state: names of the arrays kept beside each parameter; zeros at first.
        scalars: own numbers of a minibatch, made from a :class:`Moment`.
        counts: what ``smoothed_count`` of a checkpoint holds: "steps", "samples" or nothing.
        tells_momentum: whether progress writers are told the momentum.
        whole: whether rows without a gradient change too: sparse gradients are then made whole.
        fresh: a state that is zero only before the first update of an element.

    Returns:
        Decorator.

    Example:
        >>> @learner(state=("v",))
        ... def heavy_ball(p, g, v, rate, momentum):
        ...     v = momentum * v + g
        ...     return {"p": p - rate * v, "v": v}
        >>> heavy_ball.build(Whole((2,)), input_("g"), {})["v"]
        add(mul(momentum, v), g)

    Source: this project.
    """

    def declare(formulas: Callable[..., Formulas]) -> Rule:
        return Rule(formulas.__name__, state, formulas, dict(scalars or {}), counts, tells_momentum, whole, fresh)

    return declare


@dataclass(frozen=True, slots=True)
class Update:
    """The update of one parameter as data: what the engine appends to a training plan.

    Inputs of the formulas are ``p`` (the parameter), ``g`` (its gradient, summed over the minibatch), the names in
    ``state`` and the names in ``scalars``. All have the parameter's static shape but the scalars, which have shape ().
    Outputs are written in place: ``p`` to the parameter, the others to the state of that name.
    """

    parameter: Parameter
    outputs: tuple[tuple[str, Expr], ...]
    state: dict[str, Storage]
    scalars: tuple[str, ...]
    row_outputs: tuple[tuple[str, Expr], ...] | None = None
    """The same for touched rows alone; None if the rule changes the other rows too. The input ``touched`` is the number
    of touched elements.
    """

    def kernel(self) -> Kernel:
        """The update as one kernel: inputs ``p``, ``g``, state and scalars in this order, outputs in place."""
        shape = tuple(self.parameter.shape)
        dtype = str(self.parameter.type.dtype)
        arrays = [Operand(name, shape, False, dtype) for name in ("p", "g", *self.state)]
        numbers = [Operand(name, (1,) * len(shape), False, dtype) for name in self.scalars]
        outputs = tuple((Operand(name, shape, False, dtype), e) for name, e in self.outputs)
        in_place = tuple((name, name) for name, _ in self.outputs)
        return Kernel(shape, False, (*arrays, *numbers), outputs, dtype, in_place)


def scalars_of(formulas: Formulas, arrays: set[str]) -> tuple[str, ...]:
    """The names of the scalars that the formulas use, in the order of their first use."""
    return tuple(name for name in inputs_of(formulas.values()) if name not in arrays)


def number(value: float) -> Expr:
    """A number as an expression."""
    return const(value)
