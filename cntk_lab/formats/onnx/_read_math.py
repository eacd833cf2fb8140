"""ONNX's operators of arithmetic, as operators of the graph: one line for each that means the same.

Must not know files. Where CNTK's operators have edges of their own (division by 0 and the root of a negative number
give 0), theirs count. Whole numbers and truth values are computed as floats: exact up to 2^24 in single precision.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce as fold
from typing import Any, Final

import numpy as np

from cntk_lab import ops
from cntk_lab.axis import Axis
from cntk_lab.errors import FormatError
from cntk_lab.formats.onnx._values import (
    BATCH_SIZE,
    Known,
    Live,
    Value,
    held,
    is_open,
    is_whole,
    live,
    made,
    static_axis,
    together,
)
from cntk_lab.formats.onnx.tensors import ELEMENTS


@dataclass(frozen=True, slots=True)
class Call:
    """One node: its operands (None where left out), attributes, and the version of ONNX's operators."""

    op: str
    inputs: tuple[Value | None, ...]
    attributes: Mapping[str, Any]
    version: int
    outputs: int = 1
    sample: Live | None = None
    """An input of the file that has a batch axis."""

    def given(self, at: int) -> Value:
        """An operand that must be there."""
        value = self.inputs[at] if at < len(self.inputs) else None
        if value is None:
            raise FormatError(f"{self.op} lacks operand {at}", fix="the file is damaged")
        return value

    def maybe(self, at: int) -> Value | None:
        """An operand that may be left out."""
        return self.inputs[at] if at < len(self.inputs) else None

    def x(self, at: int = 0) -> Live:
        """An operand as a variable."""
        return live(self.given(at))

    def known(self, at: int, what: str = "") -> np.ndarray[Any, Any]:
        """The numbers of an operand that must be known while the graph is built."""
        value = self.given(at)
        if not isinstance(value, Known):
            raise FormatError(
                f"{self.op}: {what or f'operand {at}'} is computed from data; it must be known",
                fix="give it a value with constants={name: numbers}, or simplify the file",
            )
        return value.numbers

    def ints(self, name: str, at: int, default: Any = None) -> list[int] | None:
        """A list of whole numbers that newer versions take as an operand, older ones as an attribute."""
        if name in self.attributes:
            value = self.attributes[name]
            return [int(v) for v in (value if isinstance(value, tuple) else (value,))]
        if self.maybe(at) is not None:
            return [int(v) for v in np.ravel(self.known(at, name))]
        return None if default is None else list(default)

    def number(self, name: str, default: float) -> float:
        """An attribute that is a number."""
        return float(self.attributes.get(name, default))

    def whole(self, name: str, default: int) -> int:
        """An attribute that is a whole number."""
        return int(self.attributes.get(name, default))

    def word(self, name: str, default: str) -> str:
        """An attribute that is a text."""
        value = self.attributes.get(name, default)
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


Rule = Callable[[Call], "Value | list[Value]"]


def element_name(number: int) -> str:
    """NumPy's name of an element type.

    Raises:
        FormatError: if it is none of numbers.
    """
    name = ELEMENTS[number].name if number in ELEMENTS else ""
    if ELEMENTS.get(number, ELEMENTS[0]).pattern[:1] not in tuple("<|") or name.startswith("complex"):
        raise FormatError(f"element type {name or number} is not computed", fix="convert the file to float32")
    return name


def _unary(function: Callable[[Any], Any]) -> Rule:
    return lambda call: made(function(call.x().variable), call.x().kind)


def _binary(function: Callable[[Any, Any], Any], kind: str = "") -> Rule:
    def rule(call: Call) -> Value:
        a, b = call.given(0), call.given(1)
        x, y = together(a, b)
        return made(function(x, y), kind or a.kind)

    return rule


def _many(function: Callable[[Any, Any], Any]) -> Rule:
    def rule(call: Call) -> Value:
        values = [v for v in call.inputs if v is not None]
        if len(values) == 1:
            return values[0]
        return made(fold(function, together(*values)), values[0].kind)

    return rule


def _select(condition: Any, yes: Any, no: Any) -> Any:
    return ops.element_select(condition, yes, no)


def _divide(call: Call) -> Value:
    a, b = call.given(0), call.given(1)
    x, y = together(a, b)
    if not is_whole(a.kind):
        return made(ops.element_divide(x, y), a.kind)
    q = ops.element_divide(x, y)
    return made(_select(ops.less(q, 0), ops.ceil(q), ops.floor(q)), a.kind)


def _modulo(call: Call) -> Value:
    a = call.given(0)
    x, y = together(a, call.given(1))
    q = ops.element_divide(x, y)
    whole = _select(ops.less(q, 0), ops.ceil(q), ops.floor(q)) if call.whole("fmod", 0) else ops.floor(q)
    return made(ops.minus(x, ops.element_times(whole, y)), a.kind)


def _power(call: Call) -> Value:
    a, b = call.given(0), call.given(1)
    x, y = together(a, b)
    if isinstance(b, Known) and b.numbers.size == 1 and float(b.numbers.ravel()[0]) in (2.0, 3.0):
        square = ops.element_times(x, x)
        return made(square if float(b.numbers.ravel()[0]) == 2 else ops.element_times(square, x), a.kind)
    return made(ops.pow(x, y), a.kind)


def _sign(x: Any) -> Any:
    return ops.minus(ops.greater(x, 0), ops.less(x, 0))


def half_even(x: Any) -> Any:
    """Rounding of halves to the even neighbour; CNTK's own rounds them up."""
    up = ops.floor(ops.plus(x, 0.5))
    half = ops.equal(ops.minus(up, x), 0.5)
    odd = ops.minus(up, ops.element_times(2.0, ops.floor(ops.element_times(up, 0.5))))
    return ops.minus(up, ops.element_times(half, odd))


def _erf(x: Any) -> Any:
    """The error function by Abramowitz and Stegun (1964), 7.1.28: within 3e-7."""
    a = (0.0705230784, 0.0422820123, 0.0092705272, 0.0001520143, 0.0002765672, 0.0000430638)
    size = ops.abs(x)
    total: Any = a[-1]
    for factor in reversed(a[:-1]):
        total = ops.plus(ops.element_times(total, size), factor)
    base = ops.plus(ops.element_times(total, size), 1.0)
    for _ in range(4):
        base = ops.element_times(base, base)
    return ops.element_times(_sign(x), ops.minus(1.0, ops.reciprocal(base)))


def _sigmoid_times(x: Any, alpha: float = 1.0) -> Any:
    return ops.element_times(x, ops.sigmoid(x if alpha == 1 else ops.element_times(alpha, x)))


def _gelu(call: Call) -> Value:
    x = call.x()
    v = x.variable
    if call.word("approximate", "none") == "tanh":
        inner = ops.plus(v, ops.element_times(0.044715, ops.element_times(v, ops.element_times(v, v))))
        curve = ops.tanh(ops.element_times(math.sqrt(2 / math.pi), inner))
    else:
        curve = _erf(ops.element_times(v, math.sqrt(0.5)))
    return made(ops.element_times(ops.element_times(0.5, v), ops.plus(1.0, curve)), x.kind)


def _clip(call: Call) -> Value:
    x = call.x()
    v = x.variable
    for at, name, choose in ((1, "min", ops.element_max), (2, "max", ops.element_min)):
        bound = call.maybe(at)
        if name in call.attributes:
            v = choose(v, call.number(name, 0))
        elif bound is not None:
            v = choose(*together(made(v, x.kind), bound))
    return made(v, x.kind) if v is not x.variable else x


def _cast(call: Call) -> Value:
    value = call.given(0)
    target = call.given(1).kind if call.op == "CastLike" else element_name(call.whole("to", 1))
    if isinstance(value, Known) and is_open(value.numbers):
        if target == "int64":
            return value
        if value.numbers.size > 1 or value.numbers.max() != BATCH_SIZE or call.sample is None:
            raise FormatError("sizes of the minibatch are used as numbers", fix="give that input a fixed size (axes=)")
        one = ops.reshape(ops.ones_like(ops.reduce_sum(call.sample.variable, Axis.all_static_axes())), ())
        count = ops.reduce_sum(ops.cast(one, held(target)), Axis.default_batch_axis())
        return made(ops.reshape(count, value.numbers.shape), target)
    if isinstance(value, Known):
        with np.errstate(invalid="ignore", over="ignore"):
            return Known(value.numbers.astype(target))
    x = value.variable
    if target == "bool":
        x = ops.not_equal(x, 0)
    elif is_whole(target) and not is_whole(value.kind):
        x = _select(ops.less(x, 0), ops.ceil(x), ops.floor(x))
    if held(target) != held(value.kind):
        x = ops.cast(x, held(target))
    return made(x, target) if x is not value.variable else Live(x, value.lead, target)


def _where(call: Call) -> Value:
    condition, yes, no = (call.given(at) for at in range(3))
    return made(_select(*together(condition, yes, no)), yes.kind)


def _prelu(call: Call) -> Value:
    given = call.given(1)
    if call.version < 7 and live(given).rank == 1:  # a slope for each channel
        wide = live(given)
        given = made(ops.reshape(wide.variable, (*wide.dims, *[1] * (call.x().rank - 2))), wide.kind)
    x, slope = together(call.given(0), given)
    return made(ops.param_relu(slope, x), call.given(0).kind)


def _thresholded(call: Call) -> Value:
    x = call.x()
    return made(ops.element_times(x.variable, ops.greater(x.variable, call.number("alpha", 1.0))), x.kind)


def _shrink(call: Call) -> Value:
    x, edge, bias = call.x(), call.number("lambd", 0.5), call.number("bias", 0.0)
    v = x.variable
    above = ops.element_times(ops.greater(v, edge), ops.minus(v, bias))
    return made(ops.plus(above, ops.element_times(ops.less(v, -edge), ops.plus(v, bias))), x.kind)


def _celu(call: Call) -> Value:
    x, alpha = call.x(), call.number("alpha", 1.0)
    return made(ops.element_times(alpha, ops.elu(ops.element_divide(x.variable, alpha))), x.kind)


def _selu(call: Call) -> Value:
    x = call.x()
    alpha, gamma = call.number("alpha", 1.67326319217681884765625), call.number("gamma", 1.05070102214813232421875)
    return made(ops.selu(x.variable, gamma, alpha), x.kind)


def _elu(call: Call) -> Value:
    return made(ops.elu(call.x().variable, call.number("alpha", 1.0)), call.x().kind)


def _swish(call: Call) -> Value:
    return made(_sigmoid_times(call.x().variable, call.number("alpha", 1.0)), call.x().kind)


def _softplus(x: Any) -> Any:
    return ops.softplus(x)


def _hard_sigmoid(x: Any, alpha: float, beta: float) -> Any:
    return ops.element_max(0.0, ops.element_min(1.0, ops.plus(ops.element_times(alpha, x), beta)))


def _acosh(x: Any) -> Any:
    return ops.log(ops.plus(x, ops.sqrt(ops.minus(ops.element_times(x, x), 1.0))))


# ---- reductions


def _axes(call: Call, x: Live) -> tuple[list[int], bool]:
    """Static axes that are reduced, and whether the batch axis is too."""
    axes = call.ints("axes", 1)
    if axes is None or (not axes and not call.whole("noop_with_empty_axes", 0)):
        return list(range(-len(x.dims), 0)), bool(x.lead)
    batch = bool(x.lead) and any(a in (0, -x.rank) for a in axes)
    return [static_axis(x, a) for a in axes if not (batch and a in (0, -x.rank))], batch


def _reduction(function: Callable[..., Any], after: Any = None) -> Rule:
    def rule(call: Call) -> Value:
        x = call.x()
        axes, batch = _axes(call, x)
        v = x.variable
        keep = bool(call.whole("keepdims", 1))
        if batch:
            along = [Axis.default_batch_axis(), *(a + len(x.dims) for a in axes)]
            dims = tuple(1 if i - len(x.dims) in axes else d for i, d in enumerate(x.dims))
            v = function(v, along)
            kept = tuple(d for i, d in enumerate(dims) if i - len(dims) not in axes)
            v = ops.reshape(v, (1, *dims) if keep else kept)
        elif axes:
            at = [a + len(x.dims) for a in axes]
            v = function(v, at if keep or len(at) < len(x.dims) else Axis.all_static_axes(), keepdims=keep)
            if not keep and len(at) == len(x.dims):
                v = ops.reshape(v, ())
        return made(v if after is None else after(v), x.kind)

    return rule


def _place(function: Callable[..., Any]) -> Rule:
    def rule(call: Call) -> Value:
        x = call.x()
        axis = static_axis(x, call.whole("axis", 0))
        v = x.variable
        if call.whole("select_last_index", 0):
            n = x.dims[axis]
            v = ops.slice(v, axis + len(x.dims), 0, 0, -1)
            v = ops.minus(float(n - 1), function(v, axis=axis + len(x.dims)))
        else:
            v = function(v, axis=axis + len(x.dims))
        if not call.whole("keepdims", 1):
            v = ops.reshape(v, tuple(d for i, d in enumerate(x.dims) if i - len(x.dims) != axis))
        return made(v, "int64")

    return rule


def _soft(function: Callable[..., Any]) -> Rule:
    """Softmax along one axis; before version 13 along all axes from one on."""

    def rule(call: Call) -> Value:
        x = call.x()
        axis = call.whole("axis", -1 if call.version >= 13 else 1)
        at = static_axis(x, axis) + len(x.dims)
        if call.version >= 13 or at == len(x.dims) - 1:
            return made(function(x.variable, at), x.kind)
        flat = ops.reshape(x.variable, (*x.dims[:at], int(np.prod(x.dims[at:]))))
        return made(ops.reshape(function(flat, at), x.dims), x.kind)

    return rule


def _hardmax(v: Any, axis: int) -> Any:
    n = v.shape[axis]
    places = np.arange(n, dtype=np.float32).reshape(-1, *[1] * (len(v.shape) - axis - 1))
    return ops.equal(ops.argmax(v, axis=axis), places)


def _is_infinite(call: Call) -> Value:
    v, largest = call.x().variable, float(np.finfo(held(call.x().kind)).max)
    above = ops.greater(v, largest) if call.whole("detect_positive", 1) else ops.zeros_like(v)
    below = ops.less(v, -largest) if call.whole("detect_negative", 1) else ops.zeros_like(v)
    return made(ops.element_or(above, below), "bool")


def _mean(call: Call) -> Value:
    total = _many(ops.plus)(call)
    assert not isinstance(total, list)
    return made(ops.element_times(live(total).variable, 1.0 / len(call.inputs)), total.kind)


_TRUE: Final = "bool"
_UNARY: Final[dict[str, Callable[[Any], Any]]] = {
    "Abs": ops.abs, "Acos": ops.acos, "Asin": ops.asin, "Asinh": ops.asinh, "Atan": ops.atan, "Atanh": ops.atanh,
    "Ceil": ops.ceil, "Cos": ops.cos, "Cosh": ops.cosh, "Exp": ops.exp, "Floor": ops.floor, "Log": ops.log,
    "Neg": ops.negate, "Reciprocal": ops.reciprocal, "Relu": ops.relu, "Sigmoid": ops.sigmoid, "Sin": ops.sin,
    "Sinh": ops.sinh, "Softplus": _softplus, "Softsign": ops.softsign, "Sqrt": ops.sqrt, "Tan": ops.tan,
    "Tanh": ops.tanh, "Acosh": _acosh, "Sign": _sign, "Round": half_even, "Erf": _erf,
    "Mish": lambda x: ops.element_times(x, ops.tanh(ops.softplus(x))),
    "HardSwish": lambda x: ops.element_times(x, _hard_sigmoid(x, 1 / 6, 0.5)),
    "Not": lambda x: ops.equal(x, 0),
}  # fmt: skip
RULES: Final[dict[str, Rule]] = {
    **{name: _unary(function) for name, function in _UNARY.items()},
    "Add": _binary(ops.plus), "Sub": _binary(ops.minus), "Mul": _binary(ops.element_times), "Div": _divide,
    "Pow": _power, "Mod": _modulo, "Max": _many(ops.element_max), "Min": _many(ops.element_min),
    "Sum": _many(ops.plus),
    "Mean": _mean,
    "And": _binary(ops.element_and, _TRUE), "Or": _binary(ops.element_or, _TRUE),
    "Xor": _binary(ops.element_xor, _TRUE),
    "Equal": _binary(ops.equal, _TRUE), "Less": _binary(ops.less, _TRUE), "Greater": _binary(ops.greater, _TRUE),
    "LessOrEqual": _binary(ops.less_equal, _TRUE), "GreaterOrEqual": _binary(ops.greater_equal, _TRUE),
    "Cast": _cast, "CastLike": _cast, "Where": _where, "PRelu": _prelu, "ThresholdedRelu": _thresholded,
    "Shrink": _shrink, "Celu": _celu, "Selu": _selu, "Elu": _elu, "Swish": _swish, "Gelu": _gelu, "Clip": _clip,
    "LeakyRelu": lambda call: made(ops.leaky_relu(call.x().variable, call.number("alpha", 0.01)), call.x().kind),
    "HardSigmoid": lambda call: made(
        _hard_sigmoid(call.x().variable, call.number("alpha", 0.2), call.number("beta", 0.5)), call.x().kind),
    "IsInf": _is_infinite,
    "IsNaN": lambda call: made(ops.not_equal(call.x().variable, call.x().variable), _TRUE),
    "ReduceSum": _reduction(ops.reduce_sum), "ReduceMean": _reduction(ops.reduce_mean),
    "ReduceMax": _reduction(ops.reduce_max), "ReduceMin": _reduction(ops.reduce_min),
    "ReduceProd": _reduction(ops.reduce_prod), "ReduceLogSumExp": _reduction(ops.reduce_log_sum_exp),
    "ReduceL1": _reduction(ops.reduce_l1), "ReduceL2": _reduction(ops.reduce_l2),
    "ReduceSumSquare": _reduction(ops.reduce_sum_square), "ReduceLogSum": _reduction(ops.reduce_sum, after=ops.log),
    "ArgMax": _place(ops.argmax), "ArgMin": _place(ops.argmin),
    "Softmax": _soft(ops.softmax), "LogSoftmax": _soft(ops.log_softmax), "Hardmax": _soft(_hardmax),
}  # fmt: skip
"""Operator of ONNX -> what builds it."""
