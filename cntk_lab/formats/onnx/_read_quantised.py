"""ONNX's operators of quantised numbers, as operators of the graph.

Must not know files. Whole numbers are computed as floats: sums of products are exact as long as they stay below 2^24.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from cntk_lab import ops
from cntk_lab.axis import Axis
from cntk_lab.errors import FormatError
from cntk_lab.formats.onnx._read_math import Call, Rule, element_name, half_even
from cntk_lab.formats.onnx._read_windows import product
from cntk_lab.formats.onnx._values import Live, Value, live, made, static_axis, together


def _along(call: Call, x: Live, value: Value | None, default: int = 1) -> Live | None:
    """A scale or zero point that is one number, or one for each place along an axis."""
    if value is None:
        return None
    number = live(value)
    if call.whole("block_size", 0):
        raise FormatError("quantisation in blocks", fix="convert the file to one scale for each axis")
    if number.rank != 1 or number.dims == (1,):
        return made(ops.reshape(number.variable, ()), number.kind) if number.dims == (1,) else number
    axis = static_axis(x, call.whole("axis", default))
    return made(ops.reshape(number.variable, (*number.dims, *[1] * (-axis - 1))), number.kind)


def _held_to(v: Any, kind: str) -> Any:
    """Numbers kept within an element type."""
    limits = np.iinfo(kind)
    return ops.element_min(ops.element_max(v, float(limits.min)), float(limits.max))


def _quantised(call: Call, x: Live, scale: Value, zero: Value | None) -> Live:
    kind = zero.kind if zero is not None else element_name(call.whole("output_dtype", 2) or 2)
    if not kind.startswith(("int", "uint")):
        raise FormatError(f"quantisation to {kind}", fix="convert the file to int8 or uint8")
    step = _along(call, x, scale)
    assert step is not None
    v = half_even(ops.element_divide(*together(x, step)))
    point = _along(call, x, zero)
    if point is not None:
        v = ops.plus(*together(made(v, kind), point))
    return made(_held_to(v, kind), kind)


def _quantise(call: Call) -> Value:
    return _quantised(call, call.x(), call.given(1), call.maybe(2))


def _centred(call: Call, x: Live, zero: Value | None, axis: int = 1) -> Live:
    point = _along(call, x, zero, axis)
    return x if point is None else made(ops.minus(*together(x, point)), x.kind)


def _dequantise(call: Call) -> Value:
    x, scale = call.x(), call.given(1)
    step = _along(call, x, scale)
    assert step is not None
    return made(ops.element_times(*together(_centred(call, x, call.maybe(2)), step)), scale.kind)


def _matmul_integer(call: Call) -> Value:
    a = _centred(call, call.x(0), call.maybe(2), -2)
    b = _centred(call, call.x(1), call.maybe(3), -1)
    return made(product(a, b).variable, "int32")


def _quantised_matmul(call: Call) -> Value:
    a = _centred(call, call.x(0), call.maybe(2), -2)
    b = _centred(call, call.x(3), call.maybe(5), -1)
    whole = product(a, b)
    for at, axis in ((1, -2), (4, -1)):
        step = _along(call, whole, call.given(at), axis)
        assert step is not None
        whole = made(ops.element_times(*together(whole, step)), "float32")
    return _quantised(call, whole, call.given(6), call.given(7))


def _dynamic(call: Call) -> list[Value]:
    """A scale and zero point for all of a tensor, by its largest and smallest number."""
    x = call.x()
    if x.lead:
        raise FormatError("one scale for a whole minibatch", fix="convert the file to fixed scales")
    every = Axis.all_static_axes()
    low = ops.element_min(ops.reshape(ops.reduce_min(x.variable, every), ()), 0.0)
    high = ops.element_max(ops.reshape(ops.reduce_max(x.variable, every), ()), 0.0)
    scale = ops.element_divide(ops.minus(high, low), 255.0)
    zero = _held_to(half_even(ops.negate(ops.element_divide(low, scale))), "uint8")
    y = _held_to(ops.plus(half_even(ops.element_divide(x.variable, scale)), zero), "uint8")
    return [made(y, "uint8"), made(scale, "float32"), made(zero, "uint8")]


RULES: Final[dict[str, Rule]] = {
    "QuantizeLinear": _quantise, "DequantizeLinear": _dequantise, "MatMulInteger": _matmul_integer,
    "QLinearMatMul": _quantised_matmul, "DynamicQuantizeLinear": _dynamic,
}  # fmt: skip
"""Operator of ONNX -> what builds it."""
