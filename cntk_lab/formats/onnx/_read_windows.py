"""ONNX's products, windows and normalisations, as operators of the graph.

Must not know files. What ONNX pads as it likes is padded beforehand; where its padding is CNTK's own, the operator does
it. Images whose first axis is static are taken as samples of a minibatch and unpacked again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from cntk_lab import ops
from cntk_lab.errors import FormatError
from cntk_lab.formats.onnx._read_math import Call, Rule
from cntk_lab.formats.onnx._values import WITHOUT, Live, Value, held, live, made, static_axis, together
from cntk_lab.graph.variable import Constant, Parameter
from cntk_lab.ops import _windows as w
from cntk_lab.tensor.shape import FREE

# ---- products


def _matmul(call: Call) -> Value:
    return product(call.x(0), call.x(1))


def product(a: Live, b: Live) -> Live:
    """The product of matrices, or of stacks of them."""
    x, y = a.variable, b.variable
    if not b.lead and len(b.dims) <= 2 and not (a.lead and len(a.dims) == 0):
        if not a.lead and not a.dims:
            raise FormatError("a product of single numbers", fix="the file is damaged")
        if len(b.dims) == 1:
            found = ops.times(x, ops.reshape(y, (b.dims[0], 1)))
            return made(ops.reshape(found, a.dims[:-1]), a.kind)
        return made(ops.times(x, y), a.kind)
    return _stacked(a, b)


def _stacked(a: Live, b: Live) -> Live:
    """A product of stacks of matrices: elements multiplied and summed along the axis in common."""
    if (a.lead and len(a.dims) < 2) or (b.lead and len(b.dims) < 2):
        raise FormatError("a product over the batch axis", fix=WITHOUT)
    m, n = len(a.dims), len(b.dims)
    x = ops.reshape(a.variable, (1, *a.dims)) if m == 1 else a.variable
    y = ops.reshape(b.variable, (*b.dims, 1)) if n == 1 else b.variable
    left = made(ops.reshape(x, (*x.shape, 1)), a.kind)
    right = made(ops.reshape(y, (*y.shape[:-2], 1, *y.shape[-2:])), b.kind)
    products = ops.element_times(*together(left, right))
    rank = len(products.shape)
    found = ops.reduce_sum(products, rank - 2, keepdims=False)
    dims = list(found.shape)
    if n == 1:
        dims.pop(-1)
    if m == 1:
        dims.pop(-1 if n == 1 else -2)
    return made(ops.reshape(found, tuple(dims)) if tuple(dims) != tuple(found.shape) else found, a.kind)


def _gemm(call: Call) -> Value:
    a, b = call.x(0), call.x(1)
    if call.whole("transA", 0):
        if a.lead:
            raise FormatError("the batch axis is transposed", fix=WITHOUT)
        a = made(ops.transpose(a.variable, (1, 0)), a.kind)
    if call.whole("transB", 0):
        b = made(ops.transpose(b.variable, (1, 0)), b.kind)
    found = product(a, b)
    alpha, beta, c = call.number("alpha", 1.0), call.number("beta", 1.0), call.maybe(2)
    if alpha != 1:
        found = made(ops.element_times(alpha, found.variable), a.kind)
    if c is not None:
        summand = live(c)
        if beta != 1:
            summand = made(ops.element_times(beta, summand.variable), a.kind)
        found = made(ops.plus(*together(found, summand)), a.kind)
    return found


# ---- windows


def _samples(x: Live) -> tuple[Any, Any]:
    """The operand with a batch axis, and what gives a result its static first axis back."""
    if x.lead:
        return x.variable, lambda y: y
    count = x.dims[0]
    return ops.to_batch(x.variable), lambda y: ops.reshape(ops.unpack_batch(y), (count, *y.shape))


def _pads(
    call: Call, dims: Sequence[int], kernel: Sequence[int], strides: Sequence[int], gaps: Sequence[int]
) -> list[tuple[int, int]]:
    auto = call.word("auto_pad", "NOTSET")
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, gaps, strict=True)]
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        found = []
        for n, s, step in zip(dims, spans, strides, strict=True):
            if n == FREE:
                raise FormatError("windows of free dimensions are padded by size", fix="give them sizes with axes=")
            total = max(0, (-(-n // step) - 1) * step + s - n)
            small, large = total // 2, total - total // 2
            found.append((small, large) if auto == "SAME_UPPER" else (large, small))
        return found
    pads = [int(p) for p in call.attributes.get("pads", [0] * (2 * len(kernel)))]
    return list(zip(pads[: len(kernel)], pads[len(kernel) :], strict=True))


def _steps(call: Call, name: str, rank: int) -> list[int]:
    return [int(v) for v in call.attributes.get(name, [1] * rank)]


def _is_own(dims: Sequence[int], kernel: Any, strides: Any, gaps: Any, pads: Sequence[tuple[int, int]]) -> bool:
    """Whether these paddings are those that CNTK's automatic padding gives."""
    if FREE in dims:
        return all(
            a == b == (k - 1) * d // 2 and k % 2 and s == 1
            for (a, b), k, d, s in zip(pads, kernel, gaps, strides, strict=True)
        )
    same = (True,) * len(dims)
    if any((k - 1) * d + 1 > n for n, k, d in zip(dims, kernel, gaps, strict=True)):
        return False
    spans = tuple((k - 1) * d + 1 for k, d in zip(kernel, gaps, strict=True))
    out = tuple(w.count(n, k, s, padded=True) for n, k, s in zip(dims, spans, strides, strict=True))
    lower, upper = w.pads(tuple(dims), out, tuple(kernel), tuple(strides), tuple(gaps), same)
    fits = all(b >= u and b - u < s for (_, b), u, s in zip(pads, upper, strides, strict=True))
    counts = [(n + a + b - k) // s + 1 for n, (a, b), k, s in zip(dims, pads, spans, strides, strict=True)]
    return fits and [a for a, _ in pads] == list(lower) and counts == list(out)


def _padded(v: Any, pads: Sequence[tuple[int, int]], fill: float) -> Any:
    for at, (a, b) in enumerate(pads):
        if a < 0 or b < 0:
            v = ops.slice(v, at + 1, max(0, -a), min(0, b))
    whole = [(0, 0), *((max(0, a), max(0, b)) for a, b in pads)]
    return ops.pad(v, whole, constant_value=fill) if any(p != (0, 0) for p in whole) else v


def _convolution(call: Call) -> Value:
    x, kernels = call.x(0), call.x(1)
    kernel = kernels.dims[2:]
    rank = len(kernel)
    strides, gaps, groups = _steps(call, "strides", rank), _steps(call, "dilations", rank), call.whole("group", 1)
    v, back = _samples(x)
    pads = _pads(call, v.shape[1:], kernel, strides, gaps)
    own = any(p != (0, 0) for p in pads) and _is_own(v.shape[1:], kernel, strides, gaps, pads)
    v = v if own else _padded(v, pads, 0.0)
    y = ops.convolution(
        kernels.variable,
        v,
        strides=tuple(strides),
        auto_padding=[False, *[own] * rank],
        dilation=tuple(gaps),
        groups=groups,
    )
    return _biased(call, y, back, rank, x.kind)


def _biased(call: Call, y: Any, back: Any, rank: int, kind: str) -> Value:
    bias = call.maybe(2)
    if bias is not None:
        b = live(bias)
        y = ops.plus(y, ops.reshape(b.variable, (*b.dims, *[1] * rank)))
    return made(back(y), kind)


def _transposed(call: Call) -> Value:
    x, kernels = call.x(0), call.x(1)
    if call.whole("group", 1) != 1:
        raise FormatError("a transposed convolution in groups", fix="simplify the file")
    kernel = kernels.dims[2:]
    rank = len(kernel)
    strides, gaps = _steps(call, "strides", rank), _steps(call, "dilations", rank)
    v, back = _samples(x)
    small = v.shape[1:]
    more = [int(p) for p in call.attributes.get("output_padding", [0] * rank)]
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, gaps, strict=True)]
    whole = [(n - 1) * s + k for n, s, k in zip(small, strides, spans, strict=True)]
    wanted = call.attributes.get("output_shape")
    auto = call.word("auto_pad", "NOTSET")
    if wanted is not None or auto.startswith("SAME"):
        sizes = list(wanted)[-rank:] if wanted is not None else [n * s for n, s in zip(small, strides, strict=True)]
        pads = []
        for n, o, extra in zip(whole, sizes, more, strict=True):
            total = n + extra - o
            half, rest = total // 2, total - total // 2
            pads.append((half, rest) if auto == "SAME_UPPER" else (rest, half))
    else:
        pads = _pads(call, small, kernel, strides, gaps)
    y = ops.convolution_transpose(
        kernels.variable, v, strides=tuple(strides), auto_padding=[False] * (rank + 1), dilation=tuple(gaps)
    )
    y = _padded(y, [(-a, extra - b) for (a, b), extra in zip(pads, more, strict=True)], 0.0)
    return _biased(call, y, back, rank, x.kind)


def _pool(call: Call) -> Value | list[Value]:
    x = call.x()
    if call.outputs > 1:
        raise FormatError("the places of largest elements are asked for", fix="simplify the file")
    kernel = [int(k) for k in call.attributes["kernel_shape"]]
    rank = len(kernel)
    strides, gaps = _steps(call, "strides", rank), _steps(call, "dilations", rank)
    if any(d != 1 for d in gaps):
        raise FormatError("pooling with gaps in its windows", fix="simplify the file")
    v, back = _samples(x)
    dims = v.shape[1:]
    pads = _pads(call, dims, kernel, strides, gaps)
    counted = list(pads)
    if call.whole("ceil_mode", 0) and FREE not in dims:
        pads = [_ceiled(n, k, s, p) for n, k, s, p in zip(dims, kernel, strides, pads, strict=True)]
    largest = call.op == "MaxPool"
    y = ops.pooling(_padded(v, pads, -np.inf if largest else 0.0), int(not largest), tuple(kernel), tuple(strides))
    if not largest:
        inside = not call.whole("count_include_pad", 0)
        area = pads if not inside and counted == pads else [(0, 0)] * rank if inside else counted
        if area != pads:
            y = ops.element_times(y, _shares(dims, kernel, strides, pads, area, str(np.dtype(v.dtype))))
    return made(back(y), x.kind)


def _ceiled(n: int, k: int, s: int, pads: tuple[int, int]) -> tuple[int, int]:
    out = -(-(n + sum(pads) - k) // s) + 1
    if (out - 1) * s >= n + pads[0]:
        out -= 1
    return pads[0], max(pads[1], (out - 1) * s + k - n - pads[0])


def _shares(dims: Any, kernel: Any, strides: Any, pads: Any, area: Any, dtype: str) -> Any:
    """For each window all its elements over those that count."""
    if FREE in dims:
        raise FormatError("a mean over windows at the edge of free dimensions", fix="give them sizes with axes=")
    share = np.ones((), np.float64)
    rank = len(dims)
    for at, (n, k, s, (a, b), (c, d)) in enumerate(zip(dims, kernel, strides, pads, area, strict=True)):
        out = (n + a + b - k) // s + 1
        first = np.arange(out) * s - a
        seen = np.minimum(first + k, n + d) - np.maximum(first, -c)
        share = share * (k / np.maximum(seen, 1)).reshape([-1 if i == at else 1 for i in range(rank)])
    return np.asarray(share, dtype)


def _whole_pool(call: Call) -> Value:
    x = call.x()
    axes = list(range(2 - x.lead, len(x.dims)))
    function = ops.reduce_max if call.op == "GlobalMaxPool" else ops.reduce_mean
    return made(function(x.variable, axes), x.kind)


def _norm_pool(call: Call) -> Value:
    x, p = call.x(), call.whole("p", 2)
    axes = list(range(2 - x.lead, len(x.dims)))
    total = ops.reduce_sum(ops.pow(ops.abs(x.variable), float(p)), axes)
    return made(ops.pow(total, 1.0 / p), x.kind)


# ---- normalisation


def _batch_norm(call: Call) -> Value:
    x = call.x()
    if call.outputs > 1 or call.whole("training_mode", 0):
        raise FormatError("batch normalisation that gives its statistics", fix="export the model for evaluation")
    scale, bias, mean, variance = (call.x(at) for at in range(1, 5))
    v, back = _samples(x)
    y = ops.batch_normalization(
        v,
        scale.variable,
        bias.variable,
        _fixed(mean),
        _fixed(variance),
        spatial=True,
        normalization_time_constant=5000.0,
        epsilon=call.number("epsilon", 1e-5),
        running_count=Constant(1, shape=()),
    )
    return made(back(y), x.kind)


def _fixed(value: Live) -> Any:
    """Running statistics as a constant, which no learner changes."""
    variable = value.variable
    if isinstance(variable, Parameter):
        return Constant(np.asarray(variable.value), dtype=held(value.kind), name=variable.name)
    return variable


def _apart(x: Any, axes: list[int], epsilon: float) -> Any:
    """(x - mean) / sqrt(variance + epsilon) along static axes."""
    centred = ops.minus(x, ops.reduce_mean(x, axes))
    variance = ops.reduce_mean(ops.element_times(centred, centred), axes)
    return ops.element_divide(centred, ops.sqrt(ops.plus(variance, epsilon)))


def _scaled(y: Any, scale: Live, bias: Live, wide: tuple[int, ...]) -> Any:
    return ops.plus(ops.element_times(y, ops.reshape(scale.variable, wide)), ops.reshape(bias.variable, wide))


def _instance_norm(call: Call) -> Value:
    x, scale, bias = call.x(0), call.x(1), call.x(2)
    rank = len(x.dims) - 1 + x.lead - 1
    y = _apart(x.variable, list(range(2 - x.lead, len(x.dims))), call.number("epsilon", 1e-5))
    wide = (scale.dims[0], *[1] * rank)
    return made(_scaled(y, scale, bias, wide), x.kind)


def _group_norm(call: Call) -> Value:
    x, scale, bias = call.x(0), call.x(1), call.x(2)
    groups, lead = call.whole("num_groups", 1), () if x.lead else x.dims[:1]
    c, *rest = x.dims if x.lead else x.dims[1:]
    split = ops.reshape(x.variable, (*lead, groups, (c // groups) * math.prod(rest)))
    y = ops.reshape(_apart(split, [len(lead) + 1], call.number("epsilon", 1e-5)), x.dims)
    if scale.dims[0] != c:
        raise FormatError("a scale for each group (version 18)", fix="convert the file to version 21")
    wide = (c, *[1] * len(rest))
    return made(_scaled(y, scale, bias, wide), x.kind)


def _layer_norm(call: Call) -> list[Value]:
    x = call.x()
    axes = list(range(static_axis(x, call.whole("axis", -1)) + len(x.dims), len(x.dims)))
    mean = ops.reduce_mean(x.variable, axes)
    centred = ops.minus(x.variable, mean)
    variance = ops.reduce_mean(ops.element_times(centred, centred), axes)
    share = ops.reciprocal(ops.sqrt(ops.plus(variance, call.number("epsilon", 1e-5))))
    y = made(ops.element_times(centred, share), x.kind)
    y = made(ops.element_times(*together(y, call.given(1))), x.kind)
    if call.maybe(2) is not None:
        y = made(ops.plus(*together(y, call.given(2))), x.kind)
    return [y, made(mean, x.kind), made(share, x.kind)]


def _rms_norm(call: Call) -> Value:
    x = call.x()
    first = static_axis(x, call.whole("axis", -1)) + len(x.dims)
    v = x.variable
    square = ops.reduce_mean(ops.element_times(v, v), list(range(first, len(x.dims))))
    y = made(ops.element_divide(v, ops.sqrt(ops.plus(square, call.number("epsilon", 1e-5)))), x.kind)
    return made(ops.element_times(*together(y, call.given(1))), x.kind)


def _norm(call: Call) -> Value:
    x, p = call.x(), call.whole("p", 2)
    axis = static_axis(x, call.whole("axis", -1)) + len(x.dims)
    size = (ops.reduce_l2 if p == 2 else ops.reduce_l1)(x.variable, axis)
    return made(ops.element_divide(x.variable, size), x.kind)


def _mean_variance(call: Call) -> Value:
    x = call.x()
    axes = [int(a) for a in call.attributes.get("axes", (0, 2, 3))]
    static = [static_axis(x, a) + len(x.dims) for a in axes]
    centred = ops.minus(x.variable, ops.reduce_mean(x.variable, static))
    deviation = ops.sqrt(ops.reduce_mean(ops.element_times(centred, centred), static))
    return made(ops.element_divide(centred, ops.plus(deviation, 1e-9)), x.kind)


def _local_response(call: Call) -> Value:
    x, n = call.x(), call.whole("size", 1)
    v, back = _samples(x)
    alpha, beta, bias = call.number("alpha", 1e-4), call.number("beta", 0.75), call.number("bias", 1.0)
    if n % 2:
        return made(back(ops.local_response_normalization(v, (n - 1) // 2, bias, alpha, beta)), x.kind)
    raise FormatError("local response normalisation over an even number of channels", fix="simplify the file")


def _dropout(call: Call) -> Value | list[Value]:
    x = call.x()
    rate = call.number("ratio", 0.5)
    if call.maybe(1) is not None:
        rate = float(call.known(1, "the ratio").ravel()[0])
    if call.maybe(2) is not None and bool(call.known(2, "training_mode").ravel()[0]) and rate:
        raise FormatError("dropout that is always on", fix="export the model for evaluation")
    y = made(ops.dropout(x.variable, min(rate, 0.999)), x.kind)
    if call.outputs > 1:
        return [y, made(ops.ones_like(x.variable), "bool")]
    return y


def _nearest(call: Call) -> Value:
    """Pixels repeated a whole number of times."""
    x = call.x()
    at = 1 if call.op == "Upsample" else 2
    scales = call.attributes.get("scales")
    if scales is None and call.maybe(at) is not None and call.known(at, "the scales").size:
        scales = call.known(at, "the scales").tolist()
    mode = call.word("mode", "nearest")
    if scales is None or mode != "nearest" or any(s != int(s) for s in scales):
        raise FormatError(f"images are resized by mode {mode!r}", fix="only whole multiples by repetition are computed")
    v = x.variable
    for axis, s in enumerate([int(s) for s in scales][x.lead :]):
        if s > 1:
            dims = tuple(v.shape)
            wide = ops.reshape(v, (*dims[: axis + 1], 1, *dims[axis + 1 :]))
            v = ops.reshape(ops.splice(*[wide] * s, axis=axis + 1), (*dims[:axis], dims[axis] * s, *dims[axis + 1 :]))
    return made(v, x.kind)


RULES: Final[dict[str, Rule]] = {
    "MatMul": _matmul, "Gemm": _gemm, "Conv": _convolution, "ConvTranspose": _transposed, "MaxPool": _pool,
    "AveragePool": _pool, "GlobalMaxPool": _whole_pool, "GlobalAveragePool": _whole_pool, "GlobalLpPool": _norm_pool,
    "BatchNormalization": _batch_norm, "InstanceNormalization": _instance_norm, "GroupNormalization": _group_norm,
    "LayerNormalization": _layer_norm, "RMSNormalization": _rms_norm, "LpNormalization": _norm,
    "MeanVarianceNormalization": _mean_variance, "LRN": _local_response, "Dropout": _dropout, "Upsample": _nearest,
    "Resize": _nearest,
}  # fmt: skip
"""Operator of ONNX -> what builds it."""
