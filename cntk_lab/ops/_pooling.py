"""Pooling: the largest or mean element of each window; putting values back where the largest were; pooling of regions.

The rules work on explicit numbers that ``resolve`` makes of CNTK's attributes: ``window``, ``strides``, ``lower_pad``,
``upper_pad`` for each pooled axis (the last ones), so that a native kernel can take them as they are. The NumPy rules
loop over the taps of a window, never over pixels. Must not know layers. Source: CNTK 2.7, observed; Girshick (2015)
for regions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cntk_lab.errors import AttributeValueError, ShapeError
from cntk_lab.graph.declare import tensor_op
from cntk_lab.graph.function import Function
from cntk_lab.graph.opdef import NONE, CntkRule, OnnxRule, Sample, TensorType, Trait, reals
from cntk_lab.graph.operand import Operand
from cntk_lab.ops import _windows as w
from cntk_lab.ops._numbers import finite
from cntk_lab.tensor.shape import UNKNOWN_SHAPE, Shape, size, text

__all__ = ["AVG_POOLING", "MAX_POOLING", "MAX_UNPOOLING", "pooling", "roipooling", "unpooling"]

MAX_POOLING = 0
AVG_POOLING = 1
MAX_UNPOOLING = 0


# ---- attributes in the engine's terms


def _geometry(name: str, dims: Shape, window: Any, strides: Any, auto_padding: Any, *, ceil: bool) -> dict[str, Any]:
    """Explicit numbers of a pooling of an operand of static shape ``dims``."""
    given = tuple(int(d) for d in window) if isinstance(window, Sequence) else (int(window),)
    if given == UNKNOWN_SHAPE:
        given, auto_padding, strides = dims[1:], (False,), (1,)
    rank = len(given)
    if rank > len(dims) or not rank:
        raise ShapeError(
            f"{name}: the window {text(given)} has {rank} axes, the operand {text(dims)} has {len(dims)}",
            fix="the window lies on the last axes",
        )
    pooled = dims[len(dims) - rank :]
    steps = tuple(int(s) for s in w.per_axis(_last(strides, rank, len(dims)), rank, f"{name}: strides", 1))
    same = tuple(
        bool(p) for p in w.per_axis(_last(auto_padding, rank, len(dims)), rank, f"{name}: auto_padding", False)
    )
    if any(s < 1 for s in steps):
        raise AttributeValueError(f"{name}: strides {steps} must be 1 or more")
    if min(given) < 0:
        return {
            "window": given,
            "strides": steps,
            "same": same,
            "out": (1,) * rank,
            "lower_pad": None,
            "upper_pad": None,
        }
    w.check_fits(name, pooled, given)
    out = tuple(w.count(n, k, s, padded=p, ceil=ceil) for n, k, s, p in zip(pooled, given, steps, same, strict=True))
    lower, upper = (None, None) if min(pooled) < 0 else w.pads(pooled, out, given, steps, (1,) * rank, same)
    return {"window": given, "strides": steps, "same": same, "out": out, "lower_pad": lower, "upper_pad": upper}


def _last(values: Any, rank: int, whole: int) -> Any:
    """Settings for the pooled axes out of settings that may be for all axes of the operand."""
    items = tuple(values) if isinstance(values, Sequence) else (values,)
    return items[len(items) - rank :] if rank < len(items) <= whole else items


def _resolve(
    operand: TensorType,
    pooling_type: int,
    pooling_window_shape: Any,
    strides: Any,
    auto_padding: Any,
    ceil_out_dim: bool,
) -> dict[str, Any]:
    if pooling_type not in (MAX_POOLING, AVG_POOLING):
        raise AttributeValueError(
            f"pooling: there is no pooling type {pooling_type}", fix="MAX_POOLING is 0, AVG_POOLING is 1"
        )
    return _geometry("pooling", operand.dims, pooling_window_shape, strides, auto_padding, ceil=ceil_out_dim)


def _pooled_shape(operand: TensorType, out: Shape) -> Shape:
    return operand.dims[: operand.rank - len(out)] + tuple(out)


def _at_run_time(
    dims: Shape,
    window: Shape,
    strides: Shape,
    same: tuple[bool, ...],
    lower: Shape | None,
    upper: Shape | None,
    *,
    ceil: bool,
) -> tuple[Shape, Shape, Shape, Shape]:
    """Window, numbers of windows and paddings for the sizes at hand (dimensions may be free)."""
    window = tuple(n if k < 0 else k for n, k in zip(dims, window, strict=True))
    out = tuple(w.count(n, k, s, padded=p, ceil=ceil) for n, k, s, p in zip(dims, window, strides, same, strict=True))
    if lower is None or upper is None:
        lower, upper = w.pads(dims, out, window, strides, (1,) * len(dims), same)
    return window, out, lower, upper


def _counts(dims: Shape, window: Shape, out: Shape, strides: Shape, lower: Shape, dtype: Any) -> Any:
    """How many elements of the operand each window sees (out axes), as a NumPy array."""
    result = np.ones((1,) * len(dims), dtype)
    for axis, (n, k, o, s, a) in enumerate(zip(dims, window, out, strides, lower, strict=True)):
        first = np.arange(o) * s - a
        seen = np.maximum(np.minimum(first + k, n) - np.maximum(first, 0), 0)
        result = result * seen.astype(dtype).reshape(tuple(-1 if i == axis else 1 for i in range(len(dims))))
    return result


# ---- pooling


def _forward(
    xp: Any,
    operand: Any,
    pooling_type: int,
    include_pad: bool,
    ceil_out_dim: bool,
    window: Shape,
    strides: Shape,
    same: tuple[bool, ...],
    lower_pad: Shape | None,
    upper_pad: Shape | None,
) -> Any:
    rank = len(window)
    dims = tuple(operand.shape[operand.ndim - rank :])
    window, out, lower, upper = _at_run_time(dims, window, strides, same, lower_pad, upper_pad, ceil=ceil_out_dim)
    largest = pooling_type == MAX_POOLING
    x = w.padded(xp, operand, lower, upper, -np.inf if largest else 0.0)
    start = -np.inf if largest else 0.0
    result = xp.full((*x.shape[: x.ndim - rank], *out), start, x.dtype)
    for _, where in w.taps(window, strides, (1,) * rank, out):
        (xp.fmax if largest else xp.add)(result, x[(..., *where)], out=result)  # NaN is never the largest, as in CNTK
    if largest:
        return result
    with np.errstate(invalid="ignore"):  # a window beyond the operand's end has no mean
        result /= size(window) if include_pad else xp.asarray(_counts(dims, window, out, strides, lower, operand.dtype))
    return result


def _gradient(
    xp: Any,
    dy: Any,
    y: Any,
    operand: Any,
    pooling_type: int,
    include_pad: bool,
    ceil_out_dim: bool,
    window: Shape,
    strides: Shape,
    same: tuple[bool, ...],
    lower_pad: Shape | None,
    upper_pad: Shape | None,
) -> Any:
    rank = len(window)
    dims = tuple(operand.shape[operand.ndim - rank :])
    window, out, lower, upper = _at_run_time(dims, window, strides, same, lower_pad, upper_pad, ceil=ceil_out_dim)
    if pooling_type == AVG_POOLING:
        share = dy / (
            size(window)
            if include_pad
            else xp.asarray(np.maximum(_counts(dims, window, out, strides, lower, dy.dtype), 1))
        )
        spread = xp.zeros(
            (*dy.shape[: dy.ndim - rank], *(n + a + b for n, a, b in zip(dims, lower, upper, strict=True))), dy.dtype
        )
        for _, where in w.taps(window, strides, (1,) * rank, out):
            spread[(..., *where)] += share
        return w.unpadded(xp, spread, dims, lower, upper)
    x = w.padded(xp, operand, lower, upper, np.nan)  # equals nothing, not even the -inf of a window of -inf
    spread = xp.zeros(x.shape, dy.dtype)
    left = dy.copy()
    for _, where in w.taps(window, strides, (1,) * rank, out):
        hit = x[(..., *where)] == y
        # chosen, not multiplied: what another element gets may be infinite. Only the first of equal elements receives
        spread[(..., *where)] += xp.where(hit, left, 0)
        left[hit] = 0
    return w.unpadded(xp, spread, dims, lower, upper)


@tensor_op(
    shape=_pooled_shape,
    resolve=_resolve,
    settles=("window", "strides", "same", "out", "lower_pad", "upper_pad"),
    forward=_forward,
    gradient={"operand": _gradient},
    cntk=CntkRule(
        "Pooling",
        id=17,
        attributes={
            "pooling_type": "poolingType",
            "pooling_window_shape": "poolingWindowShape",
            "strides": "strides",
            "auto_padding": "autoPadding",
            "ceil_out_dim": "ceilOutDim",
            "include_pad": "includePad",
        },
    ),
    onnx=OnnxRule("MaxPool", since=1, attributes={"pooling_window_shape": "kernel_shape", "strides": "strides"}),
    operands=("operand",),
    domain={"operand": reals(distinct=True)},
    samples=(
        Sample(((2, 5, 5),), {"pooling_type": MAX_POOLING, "pooling_window_shape": (2, 2), "strides": (2, 2)}),
        Sample(
            ((2, 5, 5),),
            {
                "pooling_type": MAX_POOLING,
                "pooling_window_shape": (3, 2),
                "strides": (2, 1),
                "auto_padding": [False, True, True],
            },
        ),
        Sample(((5, 4),), {"pooling_type": AVG_POOLING, "pooling_window_shape": (2, 3), "auto_padding": [True]}),
        Sample(
            ((2, 5, 5),),
            {"pooling_type": AVG_POOLING, "pooling_window_shape": (2, 2), "strides": (2,), "ceil_out_dim": True},
        ),
        Sample(
            ((1, 5, 5),),
            {
                "pooling_type": AVG_POOLING,
                "pooling_window_shape": (3, 3),
                "strides": (3, 3),
                "ceil_out_dim": True,
                "include_pad": True,
            },
        ),
        Sample(((3, 4, 4),), {"pooling_type": MAX_POOLING, "pooling_window_shape": (2, 2, 2)}),
        Sample(((3, 4, 2),), {"pooling_type": AVG_POOLING, "pooling_window_shape": UNKNOWN_SHAPE}),
    ),
)
def pooling(
    operand: Operand,
    pooling_type: int,
    pooling_window_shape: Any,
    strides: Any = (1,),
    auto_padding: Any = (False,),
    ceil_out_dim: bool = False,
    include_pad: bool = False,
    name: str = "",
) -> Function:
    """The largest (or mean) element of each window on the last axes.

    The gradient of a largest element goes to the first of equal ones. Means divide by the number of elements of the
    operand in the window, or by the window's size with ``include_pad``.

    Args:
        operand: (... x pooled axes); dynamic axes pass through.
        pooling_type: MAX_POOLING (0) or AVG_POOLING (1).
        pooling_window_shape: size of the window on each of the last axes, in elements; unknown (-2,): all axes but the
            first.
        strides: distance of windows for each pooled axis, in elements; one value counts for all.
        auto_padding: for each pooled axis, whether ceil(n / stride) windows are taken, some beyond the border.
        ceil_out_dim: whether windows that only partly fit at the end are taken too.
        include_pad: whether the padding counts in means.

    Returns:
        Function (... x numbers of windows).

    Raises:
        ShapeError: if the window has more axes than the operand, or is larger.

    Example:
        >>> import numpy as np
        >>> import cntk_lab as C
        >>> x = C.input_variable((4,))
        >>> C.pooling(x, C.MAX_POOLING, (2,), (2,)).eval({x: [[1, 3, 2, 0]]}).tolist()
        [[3.0, 2.0]]

    Source: CNTK 2.7 ``ops.pooling``; ONNX MaxPool-1, AveragePool-1.
    """


# ---- unpooling


def _resolve_unpooling(
    pooling_input: TensorType,
    operand: TensorType,
    unpooling_type: int,
    unpooling_window_shape: Any,
    strides: Any,
    auto_padding: Any,
) -> dict[str, Any]:
    if unpooling_type != MAX_UNPOOLING:
        raise AttributeValueError(f"unpooling: there is no unpooling type {unpooling_type}", fix="MAX_UNPOOLING is 0")
    found = _geometry("unpooling", pooling_input.dims, unpooling_window_shape, strides, auto_padding, ceil=False)
    expected = _pooled_shape(pooling_input, found["out"])
    if expected != operand.dims and min(*expected, *operand.dims) >= 0:
        raise ShapeError(
            f"unpooling: pooling {text(pooling_input.dims)} gives {text(expected)}, the operand is "
            f"{text(operand.dims)}",
            fix="use the window, strides and padding with which the operand was pooled",
        )
    return found


def _places(
    xp: Any, pooling_input: Any, window: Shape, strides: Shape, same: tuple[bool, ...], lower_pad: Any, upper_pad: Any
) -> Any:
    """For each window the flat place on the pooled axes of its first largest element."""
    rank = len(window)
    dims = tuple(pooling_input.shape[pooling_input.ndim - rank :])
    window, out, lower, upper = _at_run_time(dims, window, strides, same, lower_pad, upper_pad, ceil=False)
    x = w.padded(xp, pooling_input, lower, upper, -np.inf)
    place = w.padded(xp, xp.arange(size(dims), dtype=np.int64).reshape(dims), lower, upper, -1)
    best: Any = None
    for _, where in w.taps(window, strides, (1,) * rank, out):
        seen, at = x[(..., *where)], place[where]
        if best is None:
            best, found = seen.copy(), xp.broadcast_to(at, seen.shape).copy()
            continue
        better = (seen > best) | (found < 0)
        best[better] = seen[better]
        found = xp.where(better, at, found)
    return found


def _unpool(
    xp: Any,
    operand: Any,
    pooling_input: Any,
    window: Shape,
    strides: Shape,
    same: tuple[bool, ...],
    lower_pad: Any,
    upper_pad: Any,
) -> Any:
    rank = len(window)
    found = _places(xp, pooling_input, window, strides, same, lower_pad, upper_pad)
    dims = tuple(pooling_input.shape[pooling_input.ndim - rank :])
    windows = size(found.shape[found.ndim - rank :])
    flat = found.reshape(-1, windows)
    result = xp.zeros((flat.shape[0], size(dims)), operand.dtype)
    values = xp.broadcast_to(operand, found.shape).reshape(-1, windows)
    # where windows share their largest element, the last one counts (NumPy assigns in order)
    result[xp.arange(flat.shape[0])[:, None], flat] = values
    return result.reshape(pooling_input.shape)


def _unpool_gradient(
    xp: Any,
    dy: Any,
    pooling_input: Any,
    window: Shape,
    strides: Shape,
    same: tuple[bool, ...],
    lower_pad: Any,
    upper_pad: Any,
) -> Any:
    rank = len(window)
    found = _places(xp, pooling_input, window, strides, same, lower_pad, upper_pad)
    windows = size(found.shape[found.ndim - rank :])
    flat = dy.reshape(-1, size(dy.shape[dy.ndim - rank :]))
    return xp.take_along_axis(flat, found.reshape(-1, windows), axis=1).reshape(found.shape)


@tensor_op(
    arrays=NONE,
    shape=lambda pooling_input: pooling_input.dims,
    resolve=_resolve_unpooling,
    settles=("window", "strides", "same", "out", "lower_pad", "upper_pad"),
    forward=_unpool,
    gradient={"operand": _unpool_gradient},
    traits=[Trait.SAME_AXES],
    cntk=CntkRule(
        "Unpooling",
        id=58,
        attributes={
            "unpooling_type": "poolingType",
            "unpooling_window_shape": "unpoolingWindowShape",
            "strides": "strides",
            "auto_padding": "autoPadding",
        },
    ),
    onnx=OnnxRule("MaxUnpool", since=9, attributes={"unpooling_window_shape": "kernel_shape", "strides": "strides"}),
    operands=("operand", "pooling_input"),
    domain={"pooling_input": reals(distinct=True)},
    samples=(
        Sample(
            ((2, 2, 2), (2, 4, 4)),
            {"unpooling_type": MAX_UNPOOLING, "unpooling_window_shape": (2, 2), "strides": (2, 2)},
        ),
        Sample(
            ((1, 3), (1, 5)),
            {"unpooling_type": MAX_UNPOOLING, "unpooling_window_shape": (2,), "strides": (2,), "auto_padding": [True]},
        ),
    ),
)
def unpooling(
    operand: Operand,
    pooling_input: Operand,
    unpooling_type: int,
    unpooling_window_shape: Any,
    strides: Any = (1,),
    auto_padding: Any = (False,),
    name: str = "",
) -> Function:
    """Each element of the operand where the largest element of its window was; zero elsewhere.

    Args:
        operand: (... x numbers of windows), as pooling gave it.
        pooling_input: (... x pooled axes), from which it was pooled; its gradient is zero.
        unpooling_type: MAX_UNPOOLING (0).
        unpooling_window_shape: size of the window on each of the last axes, in elements.
        strides: distance of windows for each pooled axis, in elements.
        auto_padding: for each pooled axis, whether the pooling was padded.

    Returns:
        Function of the shape of pooling_input.

    Raises:
        ShapeError: if the pooling would not give the operand's shape.

    Example:
        >>> import cntk_lab as C
        >>> x, y = C.input_variable(4), C.input_variable(2)
        >>> C.unpooling(y, x, C.MAX_UNPOOLING, (2,), (2,)).eval({x: [[1, 3, 2, 0]], y: [[7, 8]]}).tolist()
        [[0.0, 7.0, 8.0, 0.0]]

    Source: CNTK 2.7 ``ops.unpooling``; ONNX MaxUnpool-9.
    """


# ---- regions of interest


def _roi_shape(operand: TensorType, rois: TensorType, pooling_type: int, roi_output_shape: Any) -> Shape:
    if pooling_type != MAX_POOLING:
        raise AttributeValueError(
            "roipooling: Unsupported pooling type, ROIPooling support only MAX pooling.", fix="pooling_type=MAX_POOLING"
        )
    if operand.rank != 3 or rois.rank != 2 or rois.dims[1] != 4:
        raise ShapeError(
            f"roipooling: the operand {text(operand.dims)} must be C x H x W, the regions {text(rois.dims)} n x 4"
        )
    return (rois.dims[0], operand.dims[0], *(int(d) for d in roi_output_shape))


def _bins(rois: Any, spatial_scale: float, out: tuple[int, int], dims: tuple[int, int]) -> tuple[Any, Any, Any, Any]:
    """First and one past the last row and column of each bin of each region: (regions x bins) each."""
    scaled = rois.astype(np.float64) * spatial_scale
    corners = np.sign(scaled) * np.floor(np.abs(scaled) + 0.5)  # halves are rounded away from zero
    ends = []
    for low, high, bins, n in (
        (corners[:, 1], corners[:, 3], out[0], dims[0]),
        (corners[:, 0], corners[:, 2], out[1], dims[1]),
    ):
        length = high - low + 1
        length = np.where(
            length < 0, 4.0 * bins * (n + np.abs(low)), np.maximum(length, 1)
        )  # CNTK takes a negative length for a huge one
        step = (length / bins)[:, None]
        number = np.arange(bins)[None, :]
        begin, end = np.floor(number * step) + low[:, None], np.ceil((number + 1) * step) + low[:, None]
        # CNTK counts without signs: what begins before the operand counts as beyond its end, and the bin is empty
        ends += [np.where(begin < 0, n, np.minimum(begin, n)).astype(int), np.clip(end, 0, n).astype(int)]
    return ends[0], ends[1], ends[2], ends[3]


def _roi_places(xp: Any, operand: Any, rois: Any, roi_output_shape: Any, spatial_scale: float) -> Any:
    """For each sample, region, channel and bin the flat place of the largest element; -1 for an empty bin."""
    ph, pw = (int(d) for d in roi_output_shape)
    rows, channels, height, width = operand.shape
    n = rois.shape[1]
    boxes = np.broadcast_to(finite(rois, "roipooling: a region has the coordinate"), (rows, n, 4)).reshape(-1, 4)
    top, bottom, left, right = _bins(boxes, float(spatial_scale), (ph, pw), (height, width))
    places = xp.full((rows * n, channels, ph, pw), -1, np.int64)
    for r in range(rows * n):
        image = operand[r // n]
        for i in range(ph):
            for j in range(pw):
                a, b, c, d = int(top[r, i]), int(bottom[r, i]), int(left[r, j]), int(right[r, j])
                if b > a and d > c:
                    flat = image[:, a:b, c:d].reshape(channels, -1).argmax(axis=1)
                    places[r, :, i, j] = (a + flat // (d - c)) * width + c + flat % (d - c)
    return places.reshape(rows, n, channels, ph * pw)


def _roi_forward(xp: Any, operand: Any, rois: Any, roi_output_shape: Any, spatial_scale: float) -> Any:
    rows, channels = operand.shape[:2]
    places = _roi_places(xp, operand, rois, roi_output_shape, spatial_scale)
    flat = operand.reshape(rows, 1, channels, size(operand.shape[2:]))
    found = xp.take_along_axis(
        xp.broadcast_to(flat, (rows, places.shape[1], channels, flat.shape[-1])), xp.maximum(places, 0), axis=3
    )
    return (
        xp.where(places < 0, 0, found)
        .astype(operand.dtype)
        .reshape(rows, places.shape[1], channels, *(int(d) for d in roi_output_shape))
    )


def _roi_gradient(xp: Any, dy: Any, operand: Any, rois: Any, roi_output_shape: Any, spatial_scale: float) -> Any:
    rows, channels = operand.shape[:2]
    places = _roi_places(xp, operand, rois, roi_output_shape, spatial_scale)
    result = xp.zeros((rows, channels, operand.shape[2] * operand.shape[3]), dy.dtype)
    slopes = dy.reshape(places.shape)
    row, _, channel, _ = xp.nonzero(places >= 0)
    kept = places >= 0
    xp.add.at(result, (row, channel, places[kept]), slopes[kept])
    return result.reshape(operand.shape)


@tensor_op(
    arrays=NONE,
    shape=_roi_shape,
    forward=_roi_forward,
    gradient={"operand": _roi_gradient},
    cntk=CntkRule(
        "ROIPooling",
        id=47,
        attributes={
            "pooling_type": "poolingType",
            "roi_output_shape": "roiOutputShape",
            "spatial_scale": "spatialScale",
        },
    ),
    onnx=OnnxRule(
        "MaxRoiPool", since=1, attributes={"roi_output_shape": "pooled_shape", "spatial_scale": "spatial_scale"}
    ),
    operands=("operand", "rois"),
    domain={"operand": reals(distinct=True), "rois": reals(0.0, 3.0)},
    samples=(
        Sample(
            ((2, 5, 6), (2, 4)),
            {"pooling_type": MAX_POOLING, "roi_output_shape": (2, 2), "spatial_scale": 1.0},
            sequence=False,
        ),
    ),
)
def roipooling(
    operand: Operand, rois: Operand, pooling_type: int, roi_output_shape: Any, spatial_scale: float, name: str = ""
) -> Function:
    """The largest elements of an even division of each region into bins.

    Args:
        operand: feature maps (C x H x W).
        rois: regions (n x 4): left, top, right, bottom, both corners inside, in pixels of the image before scaling.
        pooling_type: MAX_POOLING (0).
        roi_output_shape: numbers of bins (height, width).
        spatial_scale: factor from the image to the feature map; corners are rounded after it.

    Returns:
        Function (n x C x height x width); 0 for bins outside the operand. The gradient of rois is zero.

    Raises:
        AttributeValueError: for another pooling type.

    Example:
        >>> import numpy as np
        >>> import cntk_lab as C
        >>> x, r = C.input_variable((1, 4, 4)), C.input_variable((1, 4))
        >>> f = C.roipooling(x, r, C.MAX_POOLING, (2, 2), 1.0)
        >>> f.eval({x: np.arange(16).reshape(1, 1, 4, 4), r: [[[0, 0, 3, 3]]]}).ravel().tolist()
        [5.0, 7.0, 13.0, 15.0]

    Source: CNTK 2.7 ``ops.roipooling``; ONNX MaxRoiPool-1.
    """
