"""Criteria of ranked lists and of token sequences: LambdaRank, NDCG, edit distance.

Rows of one minibatch are compared with each other, so the results have no dynamic axes. Must not know losses of single
rows.
Source: CNTK 2.7, observed; Burges (2010), equation (6); Levenshtein (1966).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from cntk_lab.errors import DataError, ShapeError
from cntk_lab.graph.declare import tensor_op
from cntk_lab.graph.function import Function
from cntk_lab.graph.opdef import CntkRule, Reals, Sample, TensorType, Trait, reals
from cntk_lab.graph.operand import Operand
from cntk_lab.tensor.arrays import to_host
from cntk_lab.tensor.shape import size, text

__all__ = ["edit_distance_error", "lambda_rank", "ndcg_at_1"]


# ---- ranked lists


def _scalars(name: str, *operands: TensorType) -> tuple[int, ...]:
    for t in operands:
        if size(t.dims) != 1:
            raise ShapeError(
                f"{name}: an operand has the static shape {text(t.dims)}", fix="give one number for each row"
            )
    return ()


def _queries(group: Any) -> list[slice]:
    """Runs of rows of one group."""
    flat = to_host(group).reshape(-1)
    edges = [0, *(np.flatnonzero(flat[1:] != flat[:-1]) + 1).tolist(), len(flat)]
    return [slice(a, b) for a, b in itertools.pairwise(edges)]


def _ranks(scores: Any) -> Any:
    """The place of each row when the best score comes first; equal scores keep their order."""
    ranks = np.empty(len(scores), np.int64)
    ranks[np.argsort(-scores, kind="stable")] = np.arange(len(scores))
    return ranks


def _ideal(gains: Any) -> float:
    return float((gains / np.log(2.0 + np.arange(len(gains)))).sum())


def _lambda_forward(xp: Any, output: Any, gain: Any, group: Any) -> Any:
    scores, gains = (to_host(v).reshape(-1).astype(np.float64) for v in (output, gain))
    queries = _queries(group)
    loss = 0.0
    for q in queries:
        best = _ideal(gains[q])
        reached = float((gains[q] / np.log(2.0 + _ranks(scores[q]))).sum())
        loss += 1.0 - (reached / best if best else 0.0)
    return xp.full((1,), 100.0 * loss / max(len(queries), 1) * len(scores), output.dtype)


def _lambda_gradient(xp: Any, dy: Any, output: Any, gain: Any, group: Any) -> Any:
    scores, gains = (to_host(v).reshape(-1).astype(np.float64) for v in (output, gain))
    result = np.zeros_like(scores)
    for q in _queries(group):
        s, g = scores[q], gains[q]
        best = _ideal(g)
        if not best:
            continue
        weight = 1.0 / np.log(2.0 + _ranks(s))
        change = np.abs((g[:, None] - g[None, :]) * (weight[:, None] - weight[None, :])) / best
        # rows come with falling gain: each is paired with those after it, if it gains more than the last one
        pairs = np.triu(change * (g[:, None] > g[-1]), 1)
        pull = -pairs / (1.0 + np.exp(np.minimum(s[:, None] - s[None, :], 700.0)))
        result[q] += pull.sum(axis=1) - pull.sum(axis=0)
    return xp.asarray(result.astype(output.dtype).reshape(output.shape)) * dy.reshape(-1)[0]


@tensor_op(
    shape=lambda output, gain, group: _scalars("lambda_rank", output, gain, group),
    axes=lambda: (),
    forward=_lambda_forward,
    gradient={"output": _lambda_gradient},
    traits=[Trait.HOST],
    cntk=CntkRule("LambdaRank", id=59),
    domain={"gain": Reals(0, 3, whole=True), "group": Reals(1, 1, whole=True)},
    samples=(Sample(((1,), (1,), (1,)), sequence=False, gradient=False),),
)
def lambda_rank(output: Operand, gain: Operand, group: Operand, name: str = "") -> Function:
    """How far the order by score is from the best one: 100 * (1 - NDCG), the mean over groups times the number of rows.

    The gradient is LambdaRank's: pairs of rows push each other apart by how much exchanging them would change NDCG.

    Args:
        output: score of each row.
        gain: relevance of each row, 0 or more; in each group rows come with falling gain.
        group: number of the group of each row (a query); the rows of a group stand together.

    Returns:
        Function of a scalar without dynamic axes. Only output has a gradient.

    Raises:
        ShapeError: if an operand is not one number for each row.

    Example:
        >>> import cntk_lab as C
        >>> s, g, q = (C.input_variable(1) for _ in range(3))
        >>> f = lambda_rank(s, g, q)
        >>> round(float(f.eval({s: [[1], [2], [3]], g: [[3], [1], [0]], q: [[1], [1], [1]]})), 4)
        123.9352

    Source: CNTK 2.7 ``losses.lambda_rank``; Burges (2010), "From RankNet to LambdaRank to LambdaMART".
    """


def _ndcg_forward(xp: Any, output: Any, gain: Any, group: Any) -> Any:
    scores, gains = (to_host(v).reshape(-1).astype(np.float64) for v in (output, gain))
    queries = _queries(group)
    total = sum(float(gains[q][int(np.argmax(scores[q]))] / gains[q][0]) if gains[q][0] else 0.0 for q in queries)
    return xp.full((1,), 100.0 * total / max(len(queries), 1) * len(scores), output.dtype)


@tensor_op(
    shape=lambda output, gain, group: _scalars("ndcg_at_1", output, gain, group),
    axes=lambda: (),
    forward=_ndcg_forward,
    traits=[Trait.NO_GRADIENT, Trait.HOST],
    cntk=CntkRule("NDCG", id=60),
    domain={"gain": Reals(1, 3, whole=True), "group": Reals(1, 1, whole=True)},
    samples=(Sample(((1,), (1,), (1,)), sequence=False, gradient=False),),
)
def ndcg_at_1(output: Operand, gain: Operand, group: Operand, name: str = "") -> Function:
    """The gain of the best scored row in percent of the first row's, the mean over groups times the number of rows.

    Args:
        output: score of each row.
        gain: relevance of each row, 0 or more; in each group rows come with falling gain.
        group: number of the group of each row (a query); the rows of a group stand together.

    Returns:
        Function of a scalar without dynamic axes, without gradient.

    Raises:
        ShapeError: if an operand is not one number for each row.

    Example:
        >>> import cntk_lab as C
        >>> s, g, q = (C.input_variable(1) for _ in range(3))
        >>> float(ndcg_at_1(s, g, q).eval({s: [[1], [3]], g: [[2], [1]], q: [[1], [1]]}))
        100.0

    Source: CNTK 2.7 ``metrics.ndcg_at_1``.
    """


# ---- token sequences


def _tokens(rows: Any, layout: Any, *, squash: bool, ignore: frozenset[int]) -> Iterator[list[int]]:
    """The largest elements' numbers of each sequence, runs as one if ``squash``, without those to ignore."""
    largest = to_host(rows).reshape(rows.shape[0], -1).argmax(axis=1)
    for part in layout.split(largest):
        numbers = part.tolist()
        if squash:
            numbers = [t for i, t in enumerate(numbers) if i == 0 or t != numbers[i - 1]]
        yield [t for t in numbers if t not in ignore]


def _errors(a: Sequence[int], b: Sequence[int], sub_pen: float, del_pen: float, ins_pen: float) -> int:
    """How many tokens the cheapest way to turn ``a`` into ``b`` changes; the penalties only choose the way."""
    costs = [j * ins_pen for j in range(len(b) + 1)]
    counts = list(range(len(b) + 1))
    for i, x in enumerate(a):
        diagonal, diagonal_count = costs[0], counts[0]
        costs[0], counts[0] = (i + 1) * del_pen, i + 1
        for j, y in enumerate(b, start=1):
            above, above_count = costs[j], counts[j]
            best, count = (diagonal, diagonal_count) if x == y else (diagonal + sub_pen, diagonal_count + 1)
            if above + del_pen < best:
                best, count = above + del_pen, above_count + 1
            if costs[j - 1] + ins_pen < best:
                best, count = costs[j - 1] + ins_pen, counts[j - 1] + 1
            diagonal, diagonal_count = above, above_count
            costs[j], counts[j] = best, count
    return counts[-1]


def _edit_forward(
    xp: Any,
    input_a: Any,
    input_b: Any,
    layouts: Any,
    subPen: float,
    delPen: float,
    insPen: float,
    squashInputs: bool,
    tokensToIgnore: Any,
) -> Any:
    first, second = layouts
    if first.count != second.count or first.rows != second.rows:
        raise DataError(
            f"edit_distance_error: the first operand has {first.rows} frames in {first.count} sequences, the "
            f"second {second.rows} in {second.count}",
            fix="give both the same sequence lengths",
        )
    settings: dict[str, Any] = {"squash": squashInputs, "ignore": frozenset(int(t) for t in tokensToIgnore)}
    errors = length = 0
    for a, b in zip(_tokens(input_a, first, **settings), _tokens(input_b, second, **settings), strict=True):
        errors += _errors(a, b, subPen, delPen, insPen)
        length += len(b)
    rate = errors / length if length else (np.inf if errors else 0.0)
    return xp.full((1,), rate * first.rows if errors else 0.0, input_a.dtype)


def _edit_shape(input_a: TensorType, input_b: TensorType) -> tuple[int, ...]:
    if size(input_a.dims) != size(input_b.dims):
        raise ShapeError(
            f"edit_distance_error: the operands have {size(input_a.dims)} and {size(input_b.dims)} classes",
            fix="give both the same classes",
        )
    return ()


@tensor_op(
    shape=_edit_shape,
    axes=lambda: (),
    forward=_edit_forward,
    operands=("input_a", "input_b"),
    traits=[Trait.NO_GRADIENT, Trait.NEEDS_LAYOUT, Trait.HOST],
    cntk=CntkRule(
        "EditDistanceError",
        id=61,
        attributes={
            "subPen": "SubstitutionPenalty",
            "delPen": "DeletionPenalty",
            "insPen": "InsertionPenalty",
            "squashInputs": "SquashInputs",
            "tokensToIgnore": "TokensToIgnore",
        },
    ),
    domain={"input_a": reals(distinct=True), "input_b": reals(distinct=True)},
    samples=(
        Sample(((4,), (4,)), gradient=False),
        Sample(((4,), (4,)), {"subPen": 0.4, "squashInputs": True, "tokensToIgnore": [1]}, gradient=False),
    ),
)
def edit_distance_error(
    input_a: Operand,
    input_b: Operand,
    subPen: float = 1,
    delPen: float = 1,
    insPen: float = 1,
    squashInputs: bool = False,
    tokensToIgnore: Any = (),
    name: str = "",
) -> Function:
    """How many tokens differ between two sequences of tokens, as an error rate times the number of frames.

    The tokens are the largest elements' numbers. Substitutions, deletions and insertions on the cheapest way from the
    first sequence to the second are counted (the penalties choose the way, not the count), divided by the length of
    the second.

    Args:
        input_a: scores of tokens for each frame.
        input_b: the same for the reference, with equal sequence lengths.
        subPen: penalty of a substitution.
        delPen: penalty of a deletion.
        insPen: penalty of an insertion.
        squashInputs: whether runs of equal tokens count as one.
        tokensToIgnore: tokens that are left out.

    Returns:
        Function of a scalar without dynamic axes, without gradient; divided by the frames it is the error rate.

    Raises:
        DataError: when run, if the sequences of the operands differ in length.

    Example:
        >>> import numpy as np
        >>> import cntk_lab as C
        >>> a, b = C.sequence.input_variable(3), C.sequence.input_variable(3)
        >>> e = edit_distance_error(a, b)
        >>> float(e.eval({a: [np.eye(3)[[0, 1, 2]]], b: [np.eye(3)[[0, 2, 2]]]}))
        1.0

    Source: CNTK 2.7 ``metrics.edit_distance_error``.
    """
