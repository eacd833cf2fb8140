"""Connectionist temporal classification: the likelihood of tokens summed over all their alignments with the frames.

The label of a frame holds 2 where a token begins and 1 where it goes on. All work is done in logarithms, one time step
at a time for all tokens of a sequence. Must not know other criteria. Source: CNTK 2.7, observed; Graves et al. (2006),
eqs. 6-16.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cntk_lab.errors import AttributeValueError, DataError, ShapeError
from cntk_lab.graph.declare import tensor_op
from cntk_lab.graph.function import Function
from cntk_lab.graph.opdef import EVERY, CntkRule, Sample, TensorType, Trait
from cntk_lab.graph.operand import Operand
from cntk_lab.ops.sequence._frames import sequence_axis
from cntk_lab.tensor.arrays import to_host
from cntk_lab.tensor.shape import Shape, text

__all__ = ["forward_backward", "labels_to_graph"]

_ZERO = -1e30
"""Logarithm of an impossible probability: small enough to vanish, large enough to add up."""
_IMPOSSIBLE = 1e11
"""Loss of a sequence that has no alignment, as CNTK gives it."""


@tensor_op(
    arrays=EVERY,
    shape=lambda labels: labels.dims,
    forward=lambda labels: labels,
    gradient={"labels": lambda dy: dy},
    traits=[Trait.VIEW],
    cntk=CntkRule("LabelsToGraph", id=63),
    samples=(Sample(((3,),)),),
)
def labels_to_graph(labels: Operand, name: str = "") -> Function:
    """Labels as :func:`forward_backward` takes them: the same values.

    Args:
        labels: for each frame a vector with 2 where a token begins, 1 where it goes on.

    Returns:
        Function of the shape of labels.

    Example:
        >>> import cntk_lab as C
        >>> x = C.sequence.input_variable(2)
        >>> labels_to_graph(x).eval({x: [[[2, 0]]]})[0].tolist()
        [[2.0, 0.0]]

    Source: CNTK 2.7 ``ops.labels_to_graph``.
    """


def _shape(graph: TensorType, features: TensorType, blankTokenId: int) -> Shape:
    if graph.dims != features.dims or features.rank != 1:
        raise ShapeError(
            f"forward_backward: labels {text(graph.dims)} and features {text(features.dims)} must be equal vectors",
            fix="one element for each token",
        )
    if not 0 <= blankTokenId < features.dims[0]:
        raise AttributeValueError(
            f"forward_backward: blankTokenId is {blankTokenId}", fix=f"tokens go from 0 to {features.dims[0] - 1}"
        )
    return ()


def _resolve(graph: TensorType, features: TensorType) -> dict[str, Any]:
    for t in (graph, features):
        if t.axes is not None:
            sequence_axis(t.axes, "forward_backward")
    return {}


def _tokens(labels: Any, blank: int) -> tuple[Any, Any]:
    """The tokens with blanks before, between and after them, and the frame at which each position begins."""
    begins = np.flatnonzero(labels.max(axis=1) >= 2)
    if not len(begins):
        raise DataError(
            "forward_backward: the labels of a sequence have no token", fix="mark the first frame of every token with 2"
        )
    tokens = np.full(2 * len(begins) + 1, blank, np.int64)
    tokens[1::2] = labels[begins].argmax(axis=1)
    starts = np.full(len(tokens), len(labels), np.int64)
    starts[1::2] = begins
    starts[0:-1:2] = begins
    return tokens, starts


def _log_add(*terms: Any) -> Any:
    result = terms[0]
    for t in terms[1:]:
        result = np.logaddexp(result, t)
    return np.maximum(result, _ZERO)


def _shifted(row: Any, by: int) -> Any:
    """The row moved by some positions; what comes in is impossible."""
    result = np.full_like(row, _ZERO)
    if by > 0:
        result[by:] = row[:-by] if len(row) > by else _ZERO
    else:
        result[:by] = row[-by:]
    return result


def _limits(starts: Any, tokens: Any, blank: int, delay: int, frames: int) -> Any:
    """The last frame of each position: a token comes at most ``delay`` frames after the next begins, a blank one less.

    The blank at the end has nothing after it, and CNTK takes that to begin at frame 0; a limit before frame 0 is none.
    """
    if delay < 0:
        return np.full(len(tokens), 1 << 30)
    after = np.concatenate([starts[2:], [frames, 0]])
    limits = after + delay - (tokens == blank)
    return np.where(limits < 0, 1 << 30, limits)


def _align(scores: Any, labels: Any, blank: int, delay: int) -> tuple[float, Any]:
    """The negative logarithm of the likelihood of one sequence, and each token's occupancy of each frame.

    A token may be skipped to, or from, if it is not blank and not the one before, or after: as long as no label is
    blank both say the same. Where they do not, CNTK's likelihood is that of the way back, and each frame's occupancy is
    scaled to a sum of 1. All of a sequence's positions are equally occupied if it has no alignment.

    Args:
        scores: logarithms of the tokens' probabilities (frames x tokens).
        labels: (frames x tokens).
        blank: the blank token.
        delay: most frames by which a token may be late; -1: any.
    """
    tokens, starts = _tokens(labels, blank)
    frames, n = len(scores), len(tokens)
    emitted = scores[:, tokens]
    limits = _limits(starts, tokens, blank, delay, frames)
    differs = tokens[2:] != tokens[:-2]
    to, away = np.zeros(n, bool), np.zeros(n, bool)
    to[2:], away[:-2] = (tokens[2:] != blank) & differs, (tokens[:-2] != blank) & differs
    alpha, beta = np.full((2, frames, n), _ZERO)
    alpha[0, :2] = emitted[0, :2]
    for t in range(1, frames):
        before = alpha[t - 1]
        alpha[t] = _log_add(before, _shifted(before, 1), np.where(to, _shifted(before, 2), _ZERO)) + emitted[t]
        alpha[t][t > limits] = _ZERO
    beta[-1, -2:] = emitted[-1, -2:]
    for t in range(frames - 2, -1, -1):
        after = beta[t + 1]
        beta[t] = _log_add(after, _shifted(after, -1), np.where(away, _shifted(after, -2), _ZERO)) + emitted[t]
        beta[t][t > limits] = _ZERO
    total = float(_log_add(beta[0, 0], beta[0, 1]))
    share = np.maximum(alpha + beta - emitted, _ZERO)
    share = np.exp(share - share.max(axis=1, keepdims=True))
    occupancy = np.zeros_like(scores)
    np.add.at(occupancy.T, tokens, (share / share.sum(axis=1, keepdims=True)).T)
    return (_IMPOSSIBLE if total <= _ZERO / 2 else -total), occupancy


def _log_softmax(x: Any) -> Any:
    shifted = x - x.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def _forward(xp: Any, graph: Any, features: Any, layouts: Any, blankTokenId: int, delayConstraint: int) -> Any:
    """Loss summed over sequences, and its gradient with respect to the features (packed rows)."""
    layout = layouts[1]
    if layouts[0] != layout:
        raise DataError(
            "forward_backward: labels and features have different sequence lengths", fix="give one label for each frame"
        )
    scores = _log_softmax(to_host(features).astype(np.float64))
    labels = to_host(graph)
    loss = 0.0
    slopes = np.zeros_like(scores)
    for rows in layout.split(np.arange(layout.rows)):
        one, occupancy = _align(scores[rows], labels[rows], blankTokenId, delayConstraint)
        loss += one
        slopes[rows] = np.exp(scores[rows]) - occupancy
    return xp.full((1,), loss, features.dtype), xp.asarray(slopes.astype(features.dtype))


@tensor_op(
    shape=_shape,
    resolve=_resolve,
    axes=lambda: (),
    forward=_forward,
    gradient={"features": lambda dy, slopes: slopes * dy.reshape(-1)[0]},
    saved=("slopes",),
    operands=("graph", "features"),
    traits=[Trait.NEEDS_LAYOUT, Trait.HOST],
    cntk=CntkRule(
        "ForwardBackward", id=66, attributes={"blankTokenId": "BlankTokenId", "delayConstraint": "DelayConstraint"}
    ),
)
def forward_backward(
    graph: Operand, features: Operand, blankTokenId: int, delayConstraint: int = -1, name: str = ""
) -> Function:
    """The CTC loss: minus the logarithm of the probability of the tokens over all alignments, summed over sequences.

    Args:
        graph: labels from :func:`labels_to_graph`: for each frame 2 where a token begins, 1 where it goes on.
        features: scores of the tokens for each frame; their softmax is taken here.
        blankTokenId: number of the token that means "no token".
        delayConstraint: most frames by which a token may come after the next one has begun, and 1 more than a blank
            may; -1: any. The blank at the end counts as if the next one began at frame 0, as in CNTK.

    Returns:
        Function of a scalar without dynamic axes. Its gradient with respect to features is softmax minus occupancy;
        that of the labels is zero. A sequence that has no alignment counts 1e11.

    Raises:
        DataError: when run, if lengths differ or a sequence has no token.

    Example:
        >>> import numpy as np
        >>> import cntk_lab as C
        >>> labels, x = C.sequence.input_variable(2), C.sequence.input_variable(2)
        >>> loss = forward_backward(labels_to_graph(labels), x, blankTokenId=1)
        >>> round(float(loss.eval({labels: [[[2, 0], [1, 0]]], x: [np.zeros((2, 2))]})), 4)
        0.2877

    Source: CNTK 2.7 ``ops.forward_backward``; Graves et al. (2006), "Connectionist Temporal Classification".
    """
