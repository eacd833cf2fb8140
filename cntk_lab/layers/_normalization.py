"""Layers that keep values in range or switch some off: normalisations and dropout; and Activation."""

from __future__ import annotations

from typing import Any

from cntk_lab.default_options import default_override_or, get_default_override
from cntk_lab.errors import AttributeValueError
from cntk_lab.graph.function import Function
from cntk_lab.graph.operand import Operand
from cntk_lab.graph.variable import Constant, Parameter
from cntk_lab.layers.blocks import _INFERRED, NotSupportedError, identity
from cntk_lab.ops import BlockFunction, batch_normalization, dropout, reduce_mean, sqrt
from cntk_lab.tensor.randomness import AUTO_SEED

__all__ = ["Activation", "BatchNormalization", "Dropout", "LayerNormalization"]


def Activation(activation: Any = default_override_or(identity), name: str = "") -> Function:
    """A layer that applies a function, by default the one of ``default_options``.

    Args:
        activation: function of one operand.
        name: name of the layer.

    Returns:
        Function.

    Example:
        >>> import cntk_lab as C
        >>> with C.default_options(activation=C.relu):
        ...     f = C.layers.Activation()
        >>> f(C.constant([-1, 2])).eval().tolist()
        [0.0, 2.0]

    Source: CNTK 2.7 ``layers.Activation``.
    """
    function = get_default_override(Activation, activation=activation)

    @BlockFunction("Activation", name)
    def activate(x: Operand) -> Any:
        return function(x)

    return activate


def Dropout(
    dropout_rate: float | None = None,
    keep_prob: float | None = None,
    seed: int = AUTO_SEED,
    name: str = "",
) -> Function:
    """A layer that in training sets a random share of the elements to 0 and scales the others by 1 / (1 - share).

    Args:
        dropout_rate: share of elements dropped, 0 <= rate < 1. No unit.
        keep_prob: share of elements kept, instead of ``dropout_rate``.
        seed: start of the random numbers; default the next of the process.
        name: name of the layer.

    Returns:
        Function of the operand's shape; outside of training the operand itself.

    Raises:
        AttributeValueError: if not exactly one of rate and probability is given, or it is out of range.

    Example:
        >>> import cntk_lab as C
        >>> C.layers.Dropout(0.5)(C.constant([1, 2])).eval().tolist()
        [1.0, 2.0]

    Source: CNTK 2.7 ``layers.Dropout``; Srivastava et al. (2014).
    """
    if dropout_rate is None and keep_prob is None:
        raise AttributeValueError(
            "Dropout: neither dropout_rate nor keep_prob is given",
            fix="write Dropout(0.5) for half of the elements",
        )
    if dropout_rate is not None and keep_prob is not None:
        raise AttributeValueError(
            f"Dropout: both dropout_rate={dropout_rate} and keep_prob={keep_prob} are given",
            fix="keep_prob is 1 - dropout_rate: give one",
        )
    if keep_prob is not None:
        if not 0 < keep_prob <= 1:
            raise AttributeValueError(f"Dropout: keep_prob is {keep_prob}", fix="it is above 0 and at most 1")
        rate = 1 - keep_prob
    else:
        assert dropout_rate is not None
        rate = dropout_rate
    if not 0 <= rate < 1:
        raise AttributeValueError(f"Dropout: dropout_rate is {rate}", fix="it is at least 0 and below 1")

    @BlockFunction("Dropout", name)
    def drop(x: Operand) -> Any:
        return dropout(x, rate, seed)

    return drop


def BatchNormalization(
    map_rank: Any = default_override_or(None),
    init_scale: float = 1,
    normalization_time_constant: Any = default_override_or(5000),
    blend_time_constant: float = 0,
    epsilon: Any = default_override_or(0.00001),
    use_cntk_engine: Any = default_override_or(False),
    disable_regularization: Any = default_override_or(False),
    name: str = "",
) -> Function:
    """A layer that gives each element (or channel) mean 0 and variance 1 over the minibatch, then scales and shifts it.

    In training, statistics are those of the minibatch, and running ones are kept; otherwise the running ones are used.

    Args:
        map_rank: 1 for one scale and bias for each channel (first axis), None for one for each element.
        init_scale: initial scale.
        normalization_time_constant: samples over which the running statistics forget.
        blend_time_constant: samples' worth of running statistics that are mixed in during training.
        epsilon: what is added to the variance.
        use_cntk_engine: accepted for CNTK programs; there is one implementation.
        disable_regularization: whether scale and bias are left out of regularisation.
        name: name of the layer.

    Returns:
        Function of the operand's shape. Parameters: ``scale``, ``bias``; constants ``aggregate_mean``,
        ``aggregate_variance``, ``aggregate_count``.

    Raises:
        NotSupportedError: if ``map_rank`` is neither 1 nor None.

    Example:
        >>> import cntk_lab as C
        >>> f = C.layers.BatchNormalization(map_rank=1)(C.input_variable((3, 8, 8)))
        >>> [(p.name, p.shape) for p in f.parameters]
        [('scale', (3,)), ('bias', (3,))]

    Source: CNTK 2.7 ``layers.BatchNormalization``; Ioffe and Szegedy (2015).
    """
    map_rank = get_default_override(BatchNormalization, map_rank=map_rank)
    time_constant = get_default_override(BatchNormalization, normalization_time_constant=normalization_time_constant)
    epsilon = get_default_override(BatchNormalization, epsilon=epsilon)
    use_cntk_engine = get_default_override(BatchNormalization, use_cntk_engine=use_cntk_engine)
    unregularized = get_default_override(BatchNormalization, disable_regularization=disable_regularization)
    if map_rank not in (None, 1):
        raise NotSupportedError(
            f"BatchNormalization: map_rank={map_rank}: statistics are kept for each channel or for each element",
            fix="give 1 for channels, or None for elements",
        )
    scale = Parameter(_INFERRED, init=init_scale, name="scale")
    bias = Parameter(_INFERRED, init=0, name="bias")
    mean = Constant(0, shape=_INFERRED, name="aggregate_mean")
    variance = Constant(0, shape=_INFERRED, name="aggregate_variance")
    count = Constant(0, shape=(), name="aggregate_count")

    @BlockFunction("BatchNormalization", name)
    def normalize(x: Operand) -> Any:
        return batch_normalization(
            x, scale, bias, mean, variance, map_rank == 1, normalization_time_constant=time_constant,
            blend_time_constant=blend_time_constant, epsilon=epsilon, use_cudnn_engine=not use_cntk_engine,
            disable_regularization=unregularized, running_count=count,
        )  # fmt: skip

    return normalize


def LayerNormalization(
    initial_scale: float = 1,
    initial_bias: float = 0,
    epsilon: Any = default_override_or(0.00001),
    name: str = "",
) -> Function:
    """A layer that gives each sample mean 0 and variance 1 over all its static axes, then scales and shifts it.

    Computes ``(x - mean) / (deviation + epsilon) * scale + bias``.

    Args:
        initial_scale: initial scale.
        initial_bias: initial bias.
        epsilon: what is added to the standard deviation.
        name: name of the layer.

    Returns:
        Function of the operand's shape. Parameters: ``scale``, ``bias``, both of the shape of the last axis.

    Example:
        >>> import cntk_lab as C
        >>> C.layers.LayerNormalization()(C.constant([-3, 3])).eval().round(3).tolist()
        [-1.0, 1.0]

    Source: CNTK 2.7 ``layers.LayerNormalization``; Ba et al. (2016).
    """
    epsilon = get_default_override(LayerNormalization, epsilon=epsilon)
    scale = Parameter(_INFERRED, init=initial_scale, name="scale")
    bias = Parameter(_INFERRED, init=initial_bias, name="bias")

    @BlockFunction("LayerNormalization", name)
    def normalize(x: Operand) -> Any:
        centred = x - reduce_mean(x)
        deviation = sqrt(reduce_mean(centred * centred))
        if epsilon != 0:
            deviation = deviation + epsilon
        return centred / deviation * scale + bias

    return normalize
