"""Normalization by statistics of the minibatch or the sample, and dropout."""

from __future__ import annotations

import math
import numbers
import warnings
from collections.abc import Sequence
from typing import Any

from cntk_lab.errors import AttributeValueError, ShapeError
from cntk_lab.formula import expr as e
from cntk_lab.graph.declare import as_flow, composite, elementwise, tensor_op
from cntk_lab.graph.function import Function
from cntk_lab.graph.opdef import EVERY, CntkRule, OnnxRule, Sample, TensorType, Trait, reals
from cntk_lab.graph.operand import Operand
from cntk_lab.graph.variable import Constant
from cntk_lab.ops._arithmetic import element_times, minus, plus
from cntk_lab.ops._random import seeded
from cntk_lab.tensor.randomness import AUTO_SEED
from cntk_lab.tensor.shape import FREE, INFERRED, Shape, size, text

__all__ = [
    "batch_normalization",
    "dropout",
    "image_scaler",
    "local_response_normalization",
    "mean_variance_normalization",
    "per_dim_mean_variance_normalize",
]


# ---- batch normalization


def _statistics_shape(operand: TensorType, spatial: bool) -> Shape:
    """How scale, bias, mean and variance lie in a sample: one number for each channel, or for each element."""
    return (operand.dims[0], *(1,) * (operand.rank - 1)) if spatial and operand.rank else operand.dims


def _views(operand: TensorType, spatial: bool) -> dict[str, Shape]:
    shape = _statistics_shape(operand, spatial)
    return {**dict.fromkeys(("scale", "bias", "running_mean", "running_inv_std"), shape), "running_count": ()}


def _check(operand: TensorType, scale: TensorType, bias: TensorType, running_mean: TensorType, spatial: bool) -> Shape:
    shape = _statistics_shape(operand, spatial)
    if FREE not in shape:
        for name, t in (("scale", scale), ("bias", bias), ("running_mean", running_mean)):
            if INFERRED not in t.dims and size(t.dims) != size(shape):
                raise ShapeError(
                    f"batch_normalization: {name} {text(t.dims)} has {size(t.dims)} elements, the statistics of "
                    f"{text(operand.dims)} {size(shape)}",
                    fix="give one number for each channel (the first axis) if spatial=True, else one for each element",
                )
    return operand.dims


def _complete(
    operand: TensorType,
    scale: TensorType,
    bias: TensorType,
    running_mean: TensorType,
    running_inv_std: TensorType,
    spatial: bool,
) -> dict[str, Shape]:
    shape = _statistics_shape(operand, spatial)
    named = {"scale": scale, "bias": bias, "running_mean": running_mean, "running_inv_std": running_inv_std}
    return {
        name: (size(shape),)
        if t.rank == 1
        else tuple(s if d == INFERRED else d for d, s in zip(t.dims, shape, strict=False))
        for name, t in named.items()
    }


def _resolve_batch(operand: TensorType, spatial: bool) -> dict[str, Any]:
    along: list[e.Axis] = [e.ROWS] if operand.axes else []
    if spatial:
        along.extend(range(-operand.rank + 1, 0))
    return {"along": along, "rows": [a for a in along if a == e.ROWS]}


def _count(along: Sequence[e.Axis]) -> e.Expr:
    return e.reduce("sum", e.const(1), along)


def _mean(x: e.Expr, along: Sequence[e.Axis]) -> e.Expr:
    return e.reduce("sum", x, along) / _count(along)


def _variance(x: e.Expr, along: Sequence[e.Axis]) -> e.Expr:
    apart = x - _mean(x, along)
    return e.reduce("sum", apart * apart, along) / _count(along)


def _normalized(operand: e.Expr, along: Sequence[e.Axis], epsilon: float) -> e.Expr:
    return (operand - _mean(operand, along)) / e.sqrt(_variance(operand, along) + epsilon)


def _batch_slope(dy: e.Expr, operand: e.Expr, scale: e.Expr, along: Sequence[e.Axis], epsilon: float) -> e.Expr:
    count, apart = _count(along), _normalized(operand, along, epsilon)
    shared = e.reduce("sum", dy, along) / count + apart * (e.reduce("sum", dy * apart, along) / count)
    return scale / e.sqrt(_variance(operand, along) + epsilon) * (dy - shared)


def _momentum(running_count: e.Expr, rows: Sequence[e.Axis], time: float) -> e.Expr:
    """The share of the minibatch in the running statistics: all of it the first time, then by the time constant."""
    count = _count(rows)
    if time == 0:
        return e.const(1)
    if math.isinf(time):
        later = e.const(0)
    elif time > 0:
        later = -e.expm1(-(count / time))
    else:
        later = count / (count + running_count)
    return e.where(e.equal(running_count, 0), 1, later)


def _new_mean(
    running_mean: e.Expr,
    running_count: e.Expr,
    operand: e.Expr,
    along: Sequence[e.Axis],
    rows: Sequence[e.Axis],
    normalization_time_constant: float,
) -> e.Expr:
    share = _momentum(running_count, rows, normalization_time_constant)
    return e.where(e.equal(share, 0), running_mean, (1 - share) * running_mean + share * _mean(operand, along))


def _new_variance(
    running_inv_std: e.Expr,
    running_count: e.Expr,
    operand: e.Expr,
    along: Sequence[e.Axis],
    rows: Sequence[e.Axis],
    normalization_time_constant: float,
) -> e.Expr:
    share = _momentum(running_count, rows, normalization_time_constant)
    count = _count(along)
    unbiased = _variance(operand, along) * (count / (count - 1))
    return e.where(e.equal(share, 0), running_inv_std, (1 - share) * running_inv_std + share * unbiased)


@elementwise(
    formula=lambda operand, scale, bias, along, epsilon: _normalized(operand, along, epsilon) * scale + bias,
    inference=lambda operand, scale, bias, running_mean, running_inv_std, epsilon: (
        (operand - running_mean) / e.sqrt(running_inv_std + epsilon) * scale + bias
    ),
    derivative={
        "operand": _batch_slope,
        "scale": lambda dy, operand, along, epsilon: dy * _normalized(operand, along, epsilon),
        "bias": lambda dy: dy,
        "running_mean": lambda: e.const(0),
        "running_inv_std": lambda: e.const(0),
        "running_count": lambda: e.const(0),
    },
    updates={
        "running_mean": _new_mean,
        "running_inv_std": _new_variance,
        "running_count": lambda running_count, rows: running_count + _count(rows),
    },
    operands=("operand", "scale", "bias", "running_mean", "running_inv_std", "running_count"),
    shape=_check,
    axes=lambda operand: operand.axes,
    partial=lambda operand: operand.shape,
    views=_views,
    complete=_complete,
    resolve=_resolve_batch,
    settles=("along", "rows"),
    domain={"scale": reals(0.5, 2.0), "running_inv_std": reals(0.5, 2.0), "running_count": reals(1.0, 1.0)},
    cntk=CntkRule(
        "BatchNormalization",
        id=40,
        attributes={
            "spatial": "spatial",
            "normalization_time_constant": "normalizationTimeConstant",
            "blend_time_constant": "blendTimeConstant",
            "epsilon": "epsilon",
            "use_cudnn_engine": "useCuDNNEngine",
            "disable_regularization": "disableRegularization",
        },
    ),
    onnx=OnnxRule("BatchNormalization", since=9, attributes={"epsilon": "epsilon"}),
    samples=tuple(
        Sample((shape, *((n,),) * 4, ()), {"spatial": spatial, **more}, parameters=(1, 2, 3, 4, 5))
        for shape, n, spatial, more in (
            ((3,), 3, False, {}),
            ((2, 3, 3), 2, True, {}),
            ((3, 2, 3), 3, True, {"epsilon": 0.1}),
            ((2, 3), 6, False, {}),
        )
    ),
)
def _batch_normalization(
    operand: Operand,
    scale: Operand,
    bias: Operand,
    running_mean: Operand,
    running_inv_std: Operand,
    running_count: Operand,
    spatial: bool = False,
    normalization_time_constant: float = 5000,
    blend_time_constant: float = 0,
    epsilon: float = 1e-5,
    use_cudnn_engine: bool = False,
    disable_regularization: bool = False,
    name: str = "",
) -> Function:
    """Batch normalization with all six operands; see :func:`batch_normalization`.

    Args:
        operand: what is normalized.
        scale: factor after normalization.
        bias: summand after normalization.
        running_mean: constant that collects the mean.
        running_inv_std: constant that collects the variance.
        running_count: constant that counts samples.
        spatial: one statistic for each channel.
        normalization_time_constant: samples until old minibatches count 1/e.
        blend_time_constant: without effect.
        epsilon: added to the variance.
        use_cudnn_engine: without effect.
        disable_regularization: marks scale and bias for learners.

    Returns:
        Function of the shape of the operand.

    Example:
        >>> _batch_normalization([3.0], [2.0], [1.0], [1.0], [1.0], 0, epsilon=0.0).eval().tolist()
        [5.0]

    Source: CNTK 2.7 ``ops.batch_normalization``.
    """


def batch_normalization(
    operand: Operand,
    scale: Operand,
    bias: Operand,
    running_mean: Operand,
    running_inv_std: Operand,
    spatial: bool,
    normalization_time_constant: float = 5000,
    blend_time_constant: float = 0,
    epsilon: float = 0.00001,
    use_cudnn_engine: bool = False,
    disable_regularization: bool = False,
    name: str = "",
    running_count: Operand | None = None,
) -> Function:
    """(operand - mean) / sqrt(variance + epsilon) * scale + bias.

    In training, mean and (biased) variance are those of the minibatch, and the running statistics take a share of
    them after the forward pass: all of it the first time; later 1 - exp(-N / T) for N samples and time constant T >
    0, all of it for T = 0, N / (N + count) for T < 0, none for T = inf. The running variance collects the unbiased
    variance. Otherwise the running statistics are used.

    Args:
        operand: operand of any static shape (C x H x W).
        scale: factors: (C) if spatial, else as many as the sample has elements.
        bias: summands, likewise.
        running_mean: constant or parameter that collects the mean, likewise.
        running_inv_std: constant or parameter that collects the variance (in spite of its name), likewise.
        spatial: whether one statistic serves a whole channel (the first axis).
        normalization_time_constant: T, in samples.
        blend_time_constant: accepted, without effect (as in CNTK on a CPU).
        epsilon: added to the variance.
        use_cudnn_engine: accepted, without effect.
        disable_regularization: accepted; learners may leave scale and bias out of regularization.
        name: name of the function.
        running_count: constant of shape () that counts the samples seen.

    Returns:
        Function of the shape of the operand.

    Raises:
        ShapeError: if scale, bias or statistics have another number of elements.

    Example:
        >>> import cntk_lab as C
        >>> mean, variance, count = C.constant([1.0]), C.constant([4.0]), C.constant(0.0)
        >>> x = C.input_variable(1)
        >>> f = batch_normalization(x, [1.0], [0.0], mean, variance, False, epsilon=0.0, running_count=count)
        >>> f.eval({x: [[3.0], [5.0]]}).tolist()
        [[1.0], [2.0]]

    Source: CNTK 2.7 ``ops.batch_normalization``; ONNX BatchNormalization-9; Ioffe and Szegedy (2015).
    """
    if running_count is None:
        warnings.warn(
            "batch_normalization requires an additional 'running_count' parameter, which can be instantiated as "
            "'constant(0, shape=())'",
            Warning,
            stacklevel=2,
        )
        running_count = Constant(0, shape=(), dtype=getattr(operand, "dtype", None))
    return _batch_normalization(
        operand,
        scale,
        bias,
        running_mean,
        running_inv_std,
        running_count,
        spatial,
        normalization_time_constant,
        blend_time_constant,
        epsilon,
        use_cudnn_engine,
        disable_regularization,
        name,
    )


# ---- statistics of the sample


def _window_sum(x: Any, radius: int) -> Any:
    """Sums over a window of ``2 radius + 1`` channels (axis 1), as many of them as there are."""
    channels = x.shape[1]
    total = x.copy()
    for k in range(1, min(radius, channels - 1) + 1):
        total[:, k:] += x[:, :-k]
        total[:, :-k] += x[:, k:]
    return total


def _local_scale(operand: Any, depth_radius: int, bias: float, alpha: float) -> Any:
    return bias + alpha / (2 * depth_radius + 1) * _window_sum(operand * operand, depth_radius)


def _local_slope(dy: Any, operand: Any, depth_radius: int, bias: float, alpha: float, beta: float) -> Any:
    scale = _local_scale(operand, depth_radius, bias, alpha)
    power = scale**-beta
    spread = _window_sum(dy * operand * power / scale, depth_radius)
    return dy * power - (2 * alpha * beta / (2 * depth_radius + 1)) * operand * spread


def _same_with_channels(operand: TensorType, depth_radius: int) -> Shape:
    if not operand.rank:
        raise ShapeError(
            "local_response_normalization: the operand has no channel axis", fix="give it the shape (C x H x W)"
        )
    if depth_radius < 0:
        raise AttributeValueError(f"local_response_normalization: depth_radius is {depth_radius}", fix="give 0 or more")
    return operand.dims


@tensor_op(
    operands=("operand",),
    shape=_same_with_channels,
    partial=lambda operand: operand.shape,
    forward=lambda operand, depth_radius, bias, alpha, beta: (
        operand * _local_scale(operand, depth_radius, bias, alpha) ** -beta
    ),
    gradient={"operand": _local_slope},
    cntk=CntkRule(
        block="LocalResponseNormalization",
        attributes={"depth_radius": "depthRadius", "bias": "bias", "alpha": "alpha", "beta": "beta"},
    ),
    onnx=OnnxRule("LRN", attributes={"bias": "bias", "beta": "beta"}),
    samples=(
        Sample(((3, 2, 2),), {"depth_radius": 1, "bias": 1.0, "alpha": 2.0, "beta": 0.75}),
        Sample(((3, 2, 2),), {"depth_radius": 4, "bias": 2.0, "alpha": 1.0, "beta": 0.5}),
        Sample(((4,),), {"depth_radius": 0, "bias": 1.0, "alpha": 1.0, "beta": 0.5}),
    ),
)
def local_response_normalization(
    operand: Operand, depth_radius: int, bias: float, alpha: float, beta: float, name: str = ""
) -> Function:
    """The operand divided by the size of its surroundings: x / (bias + alpha / (2r + 1) * sum(x^2))^beta.

    The sum goes over the own channel and r channels on either side, as far as there are any (CNTK 2.7 shortens the
    window where 2r + 1 is more than the number of channels).

    Args:
        operand: operand (C x H x W); any number of axes behind the channels.
        depth_radius: r, in channels.
        bias: summand that keeps the divisor away from 0.
        alpha: factor of the mean of squares.
        beta: exponent.

    Returns:
        Function of the shape of the operand.

    Raises:
        ShapeError: if the operand has no axis.

    Example:
        >>> f = local_response_normalization([[[1.0]], [[2.0]], [[3.0]]], 1, 1.0, 1.0, 0.5)
        >>> f.eval().ravel().astype(float).round(4).tolist()
        [0.6124, 0.8402, 1.299]

    Source: CNTK 2.7 ``ops.local_response_normalization``; ONNX LRN-1; Krizhevsky and others (2012).
    """


def _own_statistics(operand: TensorType, use_stats_across_channels: bool) -> dict[str, Any]:
    across = use_stats_across_channels or operand.rank < 2
    return {"along": list(range(-operand.rank if across else -operand.rank + 1, 0))}


def _standardized(operand: e.Expr, along: Sequence[e.Axis], epsilon: float, do_variance_scaling: bool) -> e.Expr:
    apart = operand - _mean(operand, along)
    return apart / (e.sqrt(_variance(operand, along)) + epsilon) if do_variance_scaling else apart


@elementwise(
    arrays=EVERY,
    formula=_standardized,
    resolve=_own_statistics,
    settles=("along",),
    cntk=CntkRule(
        block="MeanVarianceNormalization",
        attributes={
            "epsilon": "epsilon",
            "use_stats_across_channels": "useStatsAcrossChannels",
            "do_variance_scaling": "doVarianceScaling",
        },
    ),
    onnx=OnnxRule("MeanVarianceNormalization", since=9),
    samples=(
        Sample(((2, 2, 3),)),
        Sample(((2, 2, 3),), {"use_stats_across_channels": True}),
        Sample(((2, 2, 3),), {"do_variance_scaling": False, "epsilon": 0.1}),
        Sample(((4,),)),
    ),
)
def mean_variance_normalization(
    operand: Operand,
    epsilon: float = 0.00001,
    use_stats_across_channels: bool = False,
    do_variance_scaling: bool = True,
    name: str = "",
) -> Function:
    """(x - mean) / (standard deviation + epsilon), with the statistics of each channel of the sample.

    Args:
        operand: operand (C x H x W); an operand of one axis counts as one channel.
        epsilon: added to the standard deviation.
        use_stats_across_channels: whether one mean and deviation serve all channels.
        do_variance_scaling: whether to divide at all.

    Returns:
        Function of the shape of the operand.

    Example:
        >>> mean_variance_normalization([[[0.0, 2.0]], [[4.0, 4.0]]]).eval().astype(float).round(3).tolist()
        [[[-1.0, 1.0]], [[0.0, 0.0]]]

    Source: CNTK 2.7 ``ops.mean_variance_normalization``; ONNX MeanVarianceNormalization-9.
    """


@composite(
    cntk=CntkRule(block="PerDimMeanVarianceNormalize"),
    domain={"inv_stddev": reals(0.5, 2.0)},
    samples=(Sample(((3,), (3,), (3,)), parameters=(1, 2)), Sample(((2, 3), (3,), (2, 3)), parameters=(1, 2))),
)
def per_dim_mean_variance_normalize(
    operand: Operand,
    mean: Operand,
    inv_stddev: Operand,
    name: str = "",  # noqa: ARG001  (the block's name)
) -> Function:
    """(x - mean) * inv_stddev, with statistics that are given.

    Args:
        operand: operand of any static shape.
        mean: means, of the operand's shape.
        inv_stddev: one over the standard deviations, of the operand's shape.

    Returns:
        Function of the shape of the operand.

    Example:
        >>> per_dim_mean_variance_normalize([1, 4], [1.0, 2.0], [1.0, 0.5]).eval().tolist()
        [0.0, 1.0]

    Source: CNTK 2.7 ``ops.per_dim_mean_variance_normalize``.
    """
    return element_times(minus(operand, mean), inv_stddev)


@composite(
    operands=("x",),
    cntk=CntkRule(block="ImageScaler", attributes={"scalar": "Scaler", "biases": "Biases"}),
    onnx=OnnxRule("ImageScaler", attributes={"scalar": "scale", "biases": "bias"}),
    samples=(Sample(((3, 2, 2),), {"scalar": 2.0, "biases": [1.0, 2.0, 3.0]}),),
)
def image_scaler(
    x: Operand,
    scalar: float,
    biases: Sequence[float],
    name: str = "",  # noqa: ARG001  (the block's name)
) -> Function:
    """The image times a factor plus a bias, with one bias for each channel.

    Args:
        x: image (C x H x W).
        scalar: factor of all elements.
        biases: C numbers.

    Returns:
        Function of the shape of x.

    Raises:
        ShapeError: if there are not C biases.

    Example:
        >>> image_scaler([[[1.0]], [[2.0]]], 2, [10, 20]).eval().ravel().tolist()
        [12.0, 24.0]

    Source: CNTK 2.7 ``ops.image_scaler``; ONNX ImageScaler-1.
    """
    values = [float(b) for b in biases]
    image = as_flow("image_scaler", x)
    if len(image.shape) != 3 or image.shape[0] != len(values):
        raise ShapeError(
            f"image_scaler: {len(values)} biases for an image {text(image.shape)}", fix="give one bias for each channel"
        )
    bias = Constant([[[b]] for b in values], dtype=image.dtype)
    return plus(element_times(image, float(scalar)), bias)


# ---- dropout


def _rate(x: TensorType, dropout_rate: object) -> Shape:
    if not isinstance(dropout_rate, numbers.Real) or not 0 <= float(dropout_rate) < 1:
        raise AttributeValueError(f"dropout: the rate is {dropout_rate!r}", fix="give a rate with 0 <= rate < 1")
    return x.dims


def _drop(xp: Any, x: Any, dropout_rate: float, random: Any, training: bool) -> Any:
    if not training or dropout_rate == 0:
        return x, xp.broadcast_to(xp.ones((), x.dtype), x.shape)
    kept = random.keep(x.size, dropout_rate).reshape(x.shape) * x.dtype.type(1 / (1 - dropout_rate))
    return x * kept, kept


@seeded
@tensor_op(
    operands=("x",),
    shape=_rate,
    partial=lambda x: x.shape,
    forward=_drop,
    saved=("kept",),
    saved_alike=True,
    gradient={"x": lambda dy, kept: dy * kept},
    traits=[Trait.RANDOM],
    cntk=CntkRule("Dropout", id=15, attributes={"dropout_rate": "dropoutRate", "seed": "rngSeed"}),
    onnx=OnnxRule("Dropout", since=7, attributes={"dropout_rate": "ratio"}),
    samples=(Sample(((2, 3),), {"dropout_rate": 0.25, "seed": 1}), Sample(((3,),), {"dropout_rate": 0.0, "seed": 1})),
)
def dropout(x: Operand, dropout_rate: float = 0.0, seed: int = AUTO_SEED, name: str = "") -> Function:
    """In training, the operand with a random share of its elements set to 0 and the others scaled by 1 / (1 - rate).

    Otherwise the operand itself.

    Args:
        x: operand of any static shape; dynamic axes pass through.
        dropout_rate: probability that an element is dropped, 0 <= rate < 1.
        seed: of the random numbers; by default the next one of the process.

    Returns:
        Function of the shape of x.

    Raises:
        AttributeValueError: if the rate is outside 0 <= rate < 1.

    Example:
        >>> dropout([10, 20, 30], 0.5).eval().tolist()
        [10.0, 20.0, 30.0]

    Source: CNTK 2.7 ``ops.dropout``; ONNX Dropout-7; Srivastava and others (2014).
    """
