"""Losses for very many classes: noise contrastive estimation, and a softmax in two steps."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cntk_lab import initializer
from cntk_lab.errors import AttributeValueError
from cntk_lab.graph.declare import as_flow, composite
from cntk_lab.graph.function import Function
from cntk_lab.graph.opdef import CntkRule, Reals, Sample
from cntk_lab.graph.operand import Operand
from cntk_lab.graph.variable import Constant, Parameter
from cntk_lab.ops._arithmetic import element_times, log_add_exp, minus, plus
from cntk_lab.ops._indexing import one_hot
from cntk_lab.ops._products import times, times_transpose
from cntk_lab.ops._random import random_sample, random_sample_inclusion_frequency, seeded
from cntk_lab.ops._reductions import reduce_sum
from cntk_lab.ops._shaping import reshape
from cntk_lab.ops._softmax import softmax
from cntk_lab.ops._unary import floor
from cntk_lab.tensor.randomness import AUTO_SEED
from cntk_lab.tensor.shape import INFERRED

__all__ = ["hierarchical_softmax_layer", "nce_loss"]


@composite(
    operands=("weights", "biases", "inputs", "labels"),
    sparse_operands=("labels",),
    cntk=CntkRule(block="NCE"),
    domain={"labels": Reals(one_hot=True)},
    samples=(
        Sample(
            ((6, 4), (6, 1), (4,), (6,)),
            {"noise_distribution": [1, 2, 3, 1, 1, 2], "num_samples": 3, "allow_duplicates": True, "seed": 1},
            parameters=(0, 1),
            gradient=False,
        ),
    ),
)
def _nce_loss(
    weights: Operand,
    biases: Operand,
    inputs: Operand,
    labels: Operand,
    noise_distribution: Any = (),
    num_samples: int = 32,
    allow_duplicates: bool = True,
    seed: int = 0,
    name: str = "",  # noqa: ARG001  (the block's name)
) -> Function:
    """The loss of noise contrastive estimation; see :func:`nce_loss`.

    Args:
        weights: parameter (V x D).
        biases: parameter (V x 1).
        inputs: operand (D).
        labels: one-hot operand (V).
        noise_distribution: V weights.
        num_samples: how many noise classes are drawn.
        allow_duplicates: whether one may be drawn twice.
        seed: of the drawing.

    Returns:
        Function of shape ().

    Example:
        >>> _nce_loss([[1.0], [1.0]], [[0.0], [0.0]], [0.0], [1.0, 0.0], [1, 0], num_samples=1).shape
        ()

    Source: CNTK 2.7, inside ``losses.nce_loss``.
    """
    share = np.asarray(noise_distribution, np.float64)
    share = share / share.sum()
    expected = num_samples * share
    dtype = as_flow("nce_loss", weights).dtype
    logarithm = np.log(np.maximum(expected, 1e-37))
    log_expected = Constant(logarithm[:, None], dtype=dtype)
    noise = Constant(share, dtype=dtype)
    included = random_sample_inclusion_frequency(noise, num_samples, allow_duplicates, seed).eval()
    importance = Constant(expected / np.maximum(included, 1e-37), dtype=dtype)
    drawn = random_sample(noise, num_samples, allow_duplicates, seed)
    of_noise = reshape(times(drawn, log_expected), (-1,))
    noise_scores = plus(times_transpose(inputs, times(drawn, weights)), reshape(times(drawn, biases), (-1,)))
    drawn_importance = times_transpose(importance, drawn)
    noise_loss = minus(
        reduce_sum(element_times(drawn_importance, log_add_exp(of_noise, noise_scores))),
        float((expected * logarithm).sum()),
    )
    own = reduce_sum(element_times(times(labels, weights), inputs))
    own_score = plus(own, reshape(times(labels, biases), ()))
    of_own = reshape(times(labels, log_expected), ())
    return plus(minus(log_add_exp(of_own, own_score), own_score), noise_loss)


@seeded
def nce_loss(
    weights: Operand,
    biases: Operand,
    inputs: Operand,
    labels: Operand,
    noise_distribution: Any,
    num_samples: int = 32,
    allow_duplicates: bool = True,
    seed: int = AUTO_SEED,
    name: str = "",
) -> Function:
    """A loss that learns to tell the class from classes drawn at random, instead of a softmax over all classes.

    With s = w x + b and m(c) = num_samples * probability of class c, it is log(exp(s) + m) - s for the own class,
    plus the sum over the drawn classes of log(exp(s) + m), minus the sum over all classes of m log(m). Without
    duplicates a drawn class counts m(c) over the expected number of its drawings.

    Args:
        weights: parameter (V x D), one row for each class; D may be inferred.
        biases: parameter (V x 1).
        inputs: operand (D).
        labels: one-hot operand (V), best sparse.
        noise_distribution: V weights, 0 or more, by which classes are drawn.
        num_samples: how many classes are drawn for each minibatch.
        allow_duplicates: whether a class may be drawn more than once.
        seed: of the drawing; by default the next one of the process.
        name: name of the function.

    Returns:
        Function of shape (): the loss of each sample.

    Raises:
        AttributeValueError: if the weights of the distribution are not V numbers.

    Example:
        >>> import cntk_lab as C
        >>> x, y = C.input_variable(2), C.input_variable(3, is_sparse=True)
        >>> loss = nce_loss(C.parameter((3, 2)), C.parameter((3, 1)), x, y, [1, 1, 1], num_samples=3)
        >>> loss.shape
        ()

    Source: CNTK 2.7 ``losses.nce_loss``; Gutmann and Hyvarinen (2010).
    """
    shape = tuple(as_flow("nce_loss", weights).shape)
    noise = np.asarray(getattr(noise_distribution, "value", noise_distribution), np.float64).ravel()
    if len(noise) != shape[0]:
        raise AttributeValueError(
            f"nce_loss: the noise distribution has {len(noise)} weights, the parameter {shape[0]} rows",
            fix="give one weight for each class",
        )
    if INFERRED in shape and isinstance(weights, Parameter):
        weights.resolve_shape((shape[0], as_flow("nce_loss", inputs).shape[-1]))
    return _nce_loss(weights, biases, inputs, labels, noise.tolist(), num_samples, allow_duplicates, seed, name)


def hierarchical_softmax_layer(
    input_var: Operand, label_index: Operand, label_dim: int, label_classes: int | None = None
) -> tuple[Function, Function, list[Function]]:
    """A softmax in two steps: first over groups of classes, then over the classes of one group.

    The cost grows with the square root of the number of classes.

    Args:
        input_var: operand (D).
        label_index: number of the class, of shape (1).
        label_dim: how many classes there are.
        label_classes: how many groups; by default the square root of label_dim, rounded up.

    Returns:
        The probability of the class, of shape (1 x 1); the probabilities of the groups; and for each group a Function
        of the probabilities of its classes.

    Example:
        >>> import cntk_lab as C
        >>> z, groups, classes = hierarchical_softmax_layer(C.input_variable(3), C.input_variable(1), 4)
        >>> z.shape, groups.shape, len(classes)
        ((1, 1), (2,), 2)

    Source: CNTK 2.7 ``losses.hierarchical_softmax_layer``; Goodman (2001).
    """
    width = as_flow("hierarchical_softmax_layer", input_var).shape[-1]
    groups = math.ceil(math.sqrt(label_dim)) if label_classes is None else label_classes
    members = math.ceil(label_dim / groups)
    glorot = initializer.glorot_normal()
    w1 = Parameter((width, groups), init=glorot, name="hsoftmax_w1")
    b1 = Parameter((groups,), init=glorot, name="hsoftmax_b1")
    w2s = Parameter((groups, width, members), init=glorot, name="hsoftmax_w2s")
    b2s = Parameter((groups, members), init=glorot, name="hsoftmax_b2s")
    group_probabilities = softmax(plus(times(input_var, w1), b1))
    group = floor(element_times(plus(label_index, 0.5), 1.0 / members))  # a half away from the border of two groups
    member = minus(label_index, element_times(group, members))
    in_group = reshape(one_hot(group, groups), (groups,))
    weights = times(in_group, w2s, output_rank=2)
    within = softmax(plus(times(input_var, weights), times(in_group, b2s)))
    own = element_times(
        times_transpose(in_group, group_probabilities),
        times_transpose(reshape(one_hot(member, members), (members,)), within),
    )
    everything = [_of_group(input_var, group_probabilities, w2s, b2s, g) for g in range(groups)]
    return reshape(own, (1, 1)), group_probabilities, everything


def _of_group(input_var: Operand, probabilities: Function, w2s: Parameter, b2s: Parameter, group: int) -> Function:
    """The probabilities of the classes of one group."""
    chosen = Constant(np.eye(w2s.shape[0], dtype=np.float32)[group])
    within = softmax(plus(times(input_var, times(chosen, w2s, output_rank=2)), times(chosen, b2s)))
    return element_times(within, times_transpose(chosen, probabilities))
