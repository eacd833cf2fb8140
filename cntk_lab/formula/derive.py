"""Reverse-mode derivatives: from formulas and their adjoints to the gradients of their inputs, again as formulas.

The derivative of every word is written here once, in terms of its arguments and of its *result* where that saves
work (``exp``, ``tanh``, ``sigmoid``, ``sqrt`` are not computed twice). At kinks the conventions are CNTK's: ``abs``
has slope 0 at 0, ``max``/``min`` of two equal operands hand the gradient to the second one, a reduction to the largest
or smallest element hands it to every element that attains it, and comparisons, ``floor``, ``ceil`` and ``sign`` have
none. An operand that ``where`` did not choose gets exactly 0, even where its own derivative is infinite. Knows no
operators and no arrays.

Idea: reverse accumulation (Linnainmaa, 1970) on an interned graph, as in autograd; the guarded adjoints are our own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from cntk_lab.formula import expr as X
from cntk_lab.formula.expr import Axis, Expr, const, make, reduce, topological, where

ZERO = const(0.0)
Summed = frozenset[Axis]


def vjp(
    outputs: Sequence[Expr],
    adjoints: Sequence[Expr],
    inputs: Sequence[str],
    reduced: Sequence[Collection[Axis]] | None = None,
) -> dict[str, Expr]:
    """For each input the sum over the outputs of adjoint times derivative, one formula over the same domain.

    Every expression counts as a field over the whole domain: an input that is broadcast in the kernel must still be
    summed over the axes it lacks. An output that is itself *shorter* than the domain (it ends in a reduction and is
    stored with length 1) has one adjoint per stored element, not one per position; name those axes in ``reduced``.
    Along an axis on which the argument of a ``max`` or ``min`` reduction is only repeated, all repetitions tie, and
    each gets the gradient: reduce along the axes on which it differs.

    Args:
        outputs: formulas to differentiate.
        adjoints: for each output the gradient that arrives there.
        inputs: names of the inputs whose gradients are wanted.
        reduced: for each output the axes on which its array has length 1 and its adjoint arrives once; none by default.

    Returns:
        The gradient of every name in ``inputs``; the constant 0 for an input that gets none.

    Raises:
        ValueError: if the number of adjoints (or of ``reduced``) is not the number of outputs.

    Example:
        >>> from cntk_lab.formula.expr import input_, exp
        >>> vjp([exp(input_("x"))], [input_("dy")], ["x"])
        {'x': mul(dy, exp(x))}
    """
    modes: Sequence[Collection[Axis]] = [()] * len(outputs) if reduced is None else reduced
    if not len(outputs) == len(adjoints) == len(modes):
        raise ValueError(f"vjp: {len(outputs)} outputs, {len(adjoints)} adjoints, {len(modes)} sets of reduced axes")
    wanted = set(inputs)
    order = list(topological(outputs))
    reaches: set[Expr] = set()
    for e in order:
        if (e.op == "input" and e.data in wanted) or any(a in reaches for a in e.args):
            reaches.add(e)
    # An adjoint filed under a set S of axes is the total over S of a field that does not change along S.
    arriving: dict[Expr, dict[Summed, Expr]] = {}
    for output, adjoint, mode in zip(outputs, adjoints, modes, strict=True):
        _deposit(arriving, output, frozenset(mode), adjoint)
    gradients = dict.fromkeys(inputs, ZERO)
    for e in reversed(order):
        if e not in reaches:
            continue
        for summed, adjoint in arriving.get(e, {}).items():
            if e.op == "input":
                name = str(e.data)
                gradients[name] = _plus(gradients[name], _at_origin(adjoint, summed))
            elif e.op == "reduce":
                _into_reduction(arriving, e, summed, adjoint)
            else:
                _into_word(arriving, e, summed, adjoint, reaches)
    return gradients


def _deposit(arriving: dict[Expr, dict[Summed, Expr]], e: Expr, summed: Summed, adjoint: Expr) -> None:
    if adjoint is not ZERO:
        by_mode = arriving.setdefault(e, {})
        by_mode[summed] = _plus(by_mode[summed], adjoint) if summed in by_mode else adjoint


def _into_word(
    arriving: dict[Expr, dict[Summed, Expr]], e: Expr, summed: Summed, adjoint: Expr, reaches: set[Expr]
) -> None:
    rule = _RULES.get(e.op)
    if rule is None:
        return
    wanted = [a in reaches for a in e.args]
    for argument, needed, share in zip(e.args, wanted, rule(adjoint, e, *e.args), strict=True):
        if needed and share is not None:
            _deposit(arriving, argument, summed, share())


def _into_reduction(arriving: dict[Expr, dict[Summed, Expr]], e: Expr, summed: Summed, adjoint: Expr) -> None:
    if not isinstance(e.data, tuple):
        raise TypeError(f"reduce without axes: {e!r}")
    kind, axes = e.data
    (x,) = e.args
    total = reduce("sum", adjoint, [a for a in axes if a not in summed])
    if kind == "sum":
        share = total
    elif kind == "prod":
        share = _times(total, _product_of_others(x, e, axes))
    else:  # max, min: every element that attains the extremum
        share = where(make("eq", x, e), total, 0.0)
    _deposit(arriving, x, summed.difference(axes), share)


def _product_of_others(x: Expr, product: Expr, axes: tuple[Axis, ...]) -> Expr:
    is_zero = make("eq", x, 0.0)
    zeros = reduce("sum", is_zero, axes)
    without_zeros = reduce("prod", where(is_zero, 1.0, x), axes)
    return where(is_zero, where(make("lt", zeros, 1.5), without_zeros, 0.0), product / x)


def _at_origin(adjoint: Expr, summed: Summed) -> Expr:
    """A total as a field over the domain whose sum is that total: it stands at the origin of the summed axes."""
    for axis in sorted(summed, key=str):
        adjoint = where(make("eq", X.coordinate(axis), 0.0), adjoint, 0.0)
    return adjoint


# ---------------------------------------------------------------- arithmetic that keeps a guard outermost
# where(c, a, 0) * d is written where(c, a * d, 0): what was not chosen stays 0 even if d is infinite there.


def _guard(e: Expr) -> tuple[Expr, Expr, bool] | None:
    """``(condition, value, chosen when true)`` of a value guarded by a condition, else None."""
    if e.op == "where":
        if e.args[2] is ZERO:
            return e.args[0], e.args[1], True
        if e.args[1] is ZERO:
            return e.args[0], e.args[2], False
    return None


def _guarded(condition: Expr, value: Expr, when: bool) -> Expr:
    if value is ZERO:
        return ZERO
    return where(condition, value, 0.0) if when else where(condition, 0.0, value)


def _under_guard(adjoint: Expr, change: Callable[[Expr], Expr]) -> Expr:
    guard = _guard(adjoint)
    if guard is None:
        return change(adjoint)
    condition, value, when = guard
    return _guarded(condition, _under_guard(value, change), when)


def _times(adjoint: Expr, factor: Expr) -> Expr:
    outer = _guard(factor)
    if outer is not None:
        condition, value, when = outer
        return _guarded(condition, _times(adjoint, value), when)
    if factor.op == "const":
        if factor.data == 1.0:
            return adjoint
        if factor.data == -1.0:
            return _under_guard(adjoint, lambda a: -a)
    return _under_guard(adjoint, lambda a: factor if a.op == "const" and a.data == 1.0 else a * factor)


def sloped(slope: Expr, adjoint: Expr) -> Expr:
    """Slope times adjoint; where the slope is a truth value it chooses, so that 0 is 0 beside an infinite adjoint."""
    if slope.op in X.BOOLEAN:
        return _guarded(slope, adjoint, True)
    return ZERO if slope is ZERO else slope * adjoint


def _over(adjoint: Expr, divisor: Expr) -> Expr:
    return _under_guard(adjoint, lambda a: a / divisor)


def _minus(adjoint: Expr) -> Expr:
    return _under_guard(adjoint, lambda a: -a)


def _plus(a: Expr, b: Expr) -> Expr:
    if a is ZERO:
        return b
    if b is ZERO:
        return a
    left, right = _guard(a), _guard(b)
    if left is None or right is None:
        return a + b
    (c, v, when_c), (d, w, when_d) = left, right
    if c is d:
        if when_c == when_d:
            return _guarded(c, _plus(v, w), when_c)
        return where(c, v, w) if when_c else where(c, w, v)
    either = make("logical_or", c if when_c else make("logical_not", c), d if when_d else make("logical_not", d))
    return where(either, a + b, 0.0)


# ---------------------------------------------------------------- the derivative of every word
# rule(adjoint, result, *arguments) -> for each argument a way to make its share (None: it gets nothing)

Share = Callable[[], Expr] | None
_RULES: dict[str, Callable[..., tuple[Share, ...]]] = {}


def _unary(op: str, share: Callable[[Expr, Expr, Expr], Expr]) -> None:
    _RULES[op] = lambda a, y, x: (lambda: share(a, y, x),)


_unary("neg", lambda a, y, x: _minus(a))
_unary("abs", lambda a, y, x: _times(a, X.sign(x)))
_unary("exp", lambda a, y, x: _times(a, y))
_unary("log", lambda a, y, x: _over(a, x))
_unary("sqrt", lambda a, y, x: _over(a, 2.0 * y))
_unary("sin", lambda a, y, x: _times(a, X.cos(x)))
_unary("cos", lambda a, y, x: _minus(_times(a, X.sin(x))))
_unary("tan", lambda a, y, x: _times(a, y * y + 1.0))
_unary("asin", lambda a, y, x: _over(a, X.sqrt((1.0 - x) * (x + 1.0))))
_unary("acos", lambda a, y, x: _minus(_over(a, X.sqrt((1.0 - x) * (x + 1.0)))))
_unary("atan", lambda a, y, x: _over(a, x * x + 1.0))
_unary("sinh", lambda a, y, x: _times(a, X.cosh(x)))
_unary("cosh", lambda a, y, x: _times(a, X.sinh(x)))
_unary("tanh", lambda a, y, x: _times(a, 1.0 - y * y))
_unary("asinh", lambda a, y, x: _over(a, X.sqrt(x * x + 1.0)))
_unary("acosh", lambda a, y, x: _over(a, X.sqrt((x - 1.0) * (x + 1.0))))
_unary("atanh", lambda a, y, x: _over(a, (1.0 - x) * (x + 1.0)))
_unary("expm1", lambda a, y, x: _times(a, y + 1.0))
_unary("log1p", lambda a, y, x: _over(a, x + 1.0))
_unary("sigmoid", lambda a, y, x: _times(a, y * (1.0 - y)))
_unary("softplus", lambda a, y, x: _times(a, X.sigmoid(x)))


def _power(a: Expr, y: Expr, x: Expr, p: Expr) -> tuple[Share, ...]:
    def base() -> Expr:
        if p.op == "const" and isinstance(p.data, float):
            slope = const(p.data) if p.data == 1.0 else X.power(x, p.data - 1.0) * p.data
            return ZERO if p.data == 0.0 else _times(a, slope)
        return _times(a, where(make("eq", p, 0.0), 0.0, p * X.power(x, p - 1.0)))

    # x ** p changes with p like y * log(x); at x = 0 it is flat (and for x < 0 not differentiable: 0)
    return base, lambda: _times(a, where(x > 0.0, y * X.log(x), 0.0))


def _larger(a: Expr, y: Expr, x: Expr, z: Expr) -> tuple[Share, ...]:
    first = x > z if y.op == "max" else x < z
    return lambda: _guarded(first, a, True), lambda: _guarded(first, a, False)


_RULES.update(
    add=lambda a, y, x, z: (lambda: a, lambda: a),
    sub=lambda a, y, x, z: (lambda: a, lambda: _minus(a)),
    mul=lambda a, y, x, z: (lambda: _times(a, z), lambda: _times(a, x)),
    div=lambda a, y, x, z: (lambda: _over(a, z), lambda: _minus(_times(a, y / z))),
    pow=_power,
    max=_larger,
    min=_larger,
    mod=lambda a, y, x, z: (lambda: a, lambda: _minus(_times(a, X.floor(x / z)))),
    where=lambda a, y, c, x, z: (None, lambda: _guarded(c, a, True), lambda: _guarded(c, a, False)),
)
