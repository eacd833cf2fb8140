"""The update rules of CNTK's learners: one declaration each, formula by formula.

``g`` is the sum of a minibatch's gradients (their mean in compatible mode) and ``rate`` the matching rate; what both
mean is settled in ``_learner``. Knows expressions only. Each rule names its paper; the constants are CNTK 2.7's,
observed.
"""

from __future__ import annotations

import math

from cntk_lab.formula.expr import Expr, absolute, maximum, minimum, not_equal, sqrt, where
from cntk_lab.formula.expr import sign as sign_of
from cntk_lab.learners._declare import Formulas, Moment, TouchedRows, Whole, learner, number


@learner()
def sgd(p: Expr, g: Expr, rate: Expr) -> Formulas:
    """Stochastic gradient descent: Robbins, Monro (1951)."""
    return {"p": p - rate * g}


@learner(state=("v",), tells_momentum=True)
def momentum_sgd(p: Expr, g: Expr, v: Expr, rate: Expr, momentum: Expr, gain: Expr, whole: Whole) -> Formulas:
    """Gradient descent with momentum: Polyak (1964).

    Of touched rows CNTK keeps the rate outside the velocity, which stays as it was while the momentum is 0.
    """
    if isinstance(whole, TouchedRows):
        step = momentum * v + gain * g
        return {"p": p - rate * step, "v": where(not_equal(momentum, 0.0), step, v)}
    v = momentum * v + rate * gain * g
    return {"p": p - v, "v": v}


@learner(state=("v",))
def nesterov(p: Expr, g: Expr, v: Expr, rate: Expr, momentum: Expr, gain: Expr) -> Formulas:
    """Accelerated gradient: Nesterov (1983), in the form of Sutskever et al. (2013)."""
    step = rate * gain * g
    v = momentum * v + step
    return {"p": p - (momentum * v + step), "v": v}


@learner(state=("a",))
def adagrad(p: Expr, g: Expr, a: Expr, rate: Expr, need_ave_multiplier: bool, whole: Whole) -> Formulas:
    """Rates that fall with the sum of squared gradients: Duchi, Hazan, Singer (2011)."""
    a = a + g * g
    scale = 1.0 / sqrt(a + 1e-16)
    average = whole.mean(scale) if need_ave_multiplier else number(1)
    return {"p": p - rate * (g * scale) / average, "a": a}


@learner(state=("a", "d"), whole=True)
def adadelta(p: Expr, g: Expr, a: Expr, d: Expr, rate: Expr, rho: float, epsilon: float) -> Formulas:
    """Steps in the parameter's own units: Zeiler (2012)."""
    a = rho * a + (1 - rho) * (g * g)
    step = -sqrt(d + epsilon) / sqrt(a + epsilon) * g
    return {"p": p + rate * step, "a": a, "d": rho * d + (1 - rho) * (step * step)}


@learner(state=("a", "v"), scalars={"root_count": lambda m: math.sqrt(m.smoothed_count)}, counts="samples")
def fsadagrad(
    p: Expr,
    g: Expr,
    a: Expr,
    v: Expr,
    rate: Expr,
    momentum: Expr,
    variance_momentum: Expr,
    gain: Expr,
    root_count: Expr,
) -> Formulas:
    """Adagrad with a decaying sum and momentum: CNTK's predecessor of Adam; a gradient grows tenfold at most.

    While the momentum is 0 the velocity stays as it was.
    """
    a = variance_momentum * a + (1 - variance_momentum) * (g * g)
    step = momentum * v + gain * (g * minimum(root_count / sqrt(a), 10.0))
    return {"p": p - rate * step, "a": a, "v": where(not_equal(momentum, 0.0), step, v)}


def _adam_rate(m: Moment) -> float:
    return m.rate * math.sqrt(1 - m.variance_momentum**m.step) / _correction(m)


def _adamax_rate(m: Moment) -> float:
    return m.rate / _correction(m)


def _correction(m: Moment) -> float:
    left = 1 - m.momentum**m.step
    return left if left != 0 else 1.0


@learner(state=("a", "v"), scalars={"corrected_rate": _adam_rate}, counts="steps")
def adam(
    p: Expr,
    g: Expr,
    a: Expr,
    v: Expr,
    corrected_rate: Expr,
    momentum: Expr,
    variance_momentum: Expr,
    gain: Expr,
    epsilon: float,
) -> Formulas:
    """Momentum divided by the root of averaged squares: Kingma, Ba (2015), algorithm 1."""
    a = variance_momentum * a + (1 - variance_momentum) * (g * g)
    v = momentum * v + gain * g
    return {"p": p - corrected_rate * v / (sqrt(a) + epsilon), "a": a, "v": v}


@learner(state=("u", "v"), scalars={"corrected_rate": _adamax_rate}, counts="steps")
def adamax(
    p: Expr,
    g: Expr,
    u: Expr,
    v: Expr,
    corrected_rate: Expr,
    momentum: Expr,
    variance_momentum: Expr,
    gain: Expr,
    epsilon: float,
) -> Formulas:
    """Adam with the largest gradient in place of the root of squares: Kingma, Ba (2015), algorithm 2."""
    u = maximum(variance_momentum * u, absolute(g))
    v = momentum * v + gain * g
    return {"p": p - corrected_rate * v / (u + epsilon), "u": u, "v": v}


@learner(state=("a", "sign", "step"), scalars={"is_first": lambda m: float(m.step == 1)}, counts="steps", fresh="step")
def rmsprop(
    p: Expr,
    g: Expr,
    a: Expr,
    sign: Expr,
    step: Expr,
    rate: Expr,
    is_first: Expr,
    gamma: float,
    inc: float,
    dec: float,
    max: float,
    min: float,
    need_ave_multiplier: bool,
    whole: Whole,
) -> Formulas:
    """Averaged squares, and step sizes that grow while the sign of the gradient stays: Tieleman, Hinton (2012)."""
    squared = g * g
    a = where(is_first > 0, squared, gamma * a + (1 - gamma) * squared)
    now = sign_of(g)
    step = where(is_first > 0, 0.02, step)
    sign = where(is_first > 0, 0.0, sign)
    step = where(now * sign > 0, minimum(step * inc, max), maximum(step * dec, min))
    scale = step / sqrt(a + 1e-6)
    each = rate / (whole.mean(scale) if need_ave_multiplier else number(1))
    # step sizes may grow to infinity; their mean is then infinite too, and the parameter stays
    return {"p": p - where(not_equal(each, 0.0), each * (g * scale), 0.0), "a": a, "sign": now, "step": step}
