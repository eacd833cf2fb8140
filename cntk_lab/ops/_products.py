"""Products of matrices and tensors: sums over the axes that two operands share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

from cntk_lab.errors import AttributeValueError, ShapeError
from cntk_lab.graph.declare import tensor_op
from cntk_lab.graph.function import Function
from cntk_lab.graph.opdef import CntkRule, Contraction, OnnxRule, Sample, TensorType
from cntk_lab.graph.operand import Operand
from cntk_lab.tensor.shape import FREE, INFERRED, Shape, size, text

F = TypeVar("F", bound=Callable[..., Any])

TIMES_NO_INFERRED_INPUT_RANK = -1
TIMES_REDUCE_SEQUENCE_AXIS_WITHOUT_INFERRED_INPUT_RANK = -2

__all__ = [
    "TIMES_NO_INFERRED_INPUT_RANK",
    "TIMES_REDUCE_SEQUENCE_AXIS_WITHOUT_INFERRED_INPUT_RANK",
    "times",
    "times_transpose",
]


def _split(right: TensorType, output_rank: int) -> tuple[Shape, Shape]:
    if output_rank < 1:
        raise AttributeValueError(
            f"times: output rank ({output_rank}) must be > 0",
            fix="output_rank is the number of axes of the result that come from the right operand",
        )
    if right.rank < output_rank:
        raise ShapeError(f"times: the right operand {text(right.shape)} has fewer axes than output_rank {output_rank}")
    return right.dims[: right.rank - output_rank], right.dims[right.rank - output_rank :]


def _check_axes(left: TensorType, inner: Shape, output_rank: int) -> None:
    """Raises ShapeError if the left operand has fewer axes than are summed over."""
    if len(inner) > left.rank:
        raise ShapeError(
            f"times: the right operand sums over {len(inner)} axes {text(inner)}, the left {text(left.shape)} "
            f"has {left.rank}",
            fix=f"give the right operand {left.rank + output_rank} axes or fewer, or another output_rank",
        )


def _times_shape(left: TensorType, right: TensorType, output_rank: int) -> Shape:
    inner, outer = _split(right, output_rank)
    k = len(inner)
    _check_axes(left, inner, output_rank)
    have = left.dims[left.rank - k :]
    for x, w in zip(have, inner, strict=True):
        if x != w and min(x, w) >= 0:
            raise ShapeError(
                f"times: inner dimensions differ: the left operand has {x} columns, the right {w} rows",
                fix=(
                    f"give the right operand {x} rows, or let it be inferred: parameter((InferredDimension, "
                    f"{', '.join(map(str, outer))}))"
                ),
            )
    return left.dims[: left.rank - k] + outer


def _complete(left: TensorType, right: TensorType, output_rank: int, infer_input_rank_to_map: int) -> dict[str, Shape]:
    """The shape of a weight whose first dimension is inferred from the left operand."""
    inner, outer = _split(right, output_rank)
    if INFERRED in outer:
        raise AttributeValueError(
            f"times: the dimensions {text(outer)} of the result come from the right operand and cannot be inferred",
            fix="give the number of outputs; only what is summed over can be inferred",
        )
    if INFERRED not in inner:
        return {"right": right.dims, "left": (*left.dims[: left.rank - len(inner)], *inner)}
    if infer_input_rank_to_map == TIMES_NO_INFERRED_INPUT_RANK:
        _check_axes(left, inner, output_rank)
        have = left.dims[left.rank - len(inner) :]
        filled = tuple(h if d == INFERRED else d for d, h in zip(inner, have, strict=False))
        return {"right": filled + outer}
    if infer_input_rank_to_map >= left.rank:
        raise AttributeValueError(
            f"times: infer_input_rank_to_map is {infer_input_rank_to_map}, the left operand {text(left.shape)} has "
            f"{left.rank} axes: none is left to sum over",
            fix=f"give a number below {left.rank}; a layer calls it map_rank",
        )
    return {"right": left.dims[infer_input_rank_to_map:] + outer}


def _contraction(left: TensorType, right: TensorType, output_rank: int) -> Contraction:
    inner, outer = _split(right, output_rank)
    rows = bool(left.axes), bool(right.axes)
    sizes = {"a": _size(left.dims[: left.rank - len(inner)]), "k": _size(inner), "o": _size(outer)}
    if sizes["k"] == FREE:
        sizes["k"] = _size(left.dims[left.rank - len(inner) :])
    x, y, out = "r" * rows[0] + "ak", "r" * rows[1] + "ko", "r" * any(rows) + "ao"
    return Contraction(x, y, out, sizes, {"a": left.rank - len(inner), "k": len(inner), "o": len(outer)})


def _size(dims: Shape) -> int:
    return FREE if dims and min(dims) < 0 else size(dims)


def _partial(left: TensorType, right: TensorType, output_rank: int) -> Shape | None:
    """While the left operand is unknown, its summed axes are taken to be all it has."""
    if left.shape is None and right.shape is not None and all(d >= 0 for d in right.shape):
        return _split(right, output_rank)[1]
    return None


def _over_frames(build: F) -> F:
    """The product that also sums over the frames of a sequence, if that is asked for."""

    @functools.wraps(build)
    def times(
        left: Operand,
        right: Operand,
        output_rank: int = 1,
        infer_input_rank_to_map: int = TIMES_NO_INFERRED_INPUT_RANK,
        name: str = "",
    ) -> Any:
        if infer_input_rank_to_map != TIMES_REDUCE_SEQUENCE_AXIS_WITHOUT_INFERRED_INPUT_RANK:
            return build(left, right, output_rank, infer_input_rank_to_map, name)
        from cntk_lab.ops.sequence import reduce_sum

        return reduce_sum(build(left, right, output_rank), name=name)

    return cast("F", times)


@_over_frames
@tensor_op(
    shape=_times_shape,
    complete=_complete,
    partial=_partial,
    contraction=_contraction,
    operands=("left", "right"),
    cntk=CntkRule(
        "Times", id=31, attributes={"output_rank": "outputRank", "infer_input_rank_to_map": "inferInputRankToMap"}
    ),
    onnx=OnnxRule("MatMul", since=1),
    operator="__matmul__",
    swapped=True,
    sparse_operands=("left", "right"),
    samples=(
        Sample(((4,), (4, 3)), parameters=(1,)),
        Sample(((2, 4), (4, 3)), parameters=(1,)),
        Sample(((2, 3, 4), (3, 4, 5)), parameters=(1,)),
        Sample(((3,), (3, 2, 2)), {"output_rank": 2}, parameters=(1,)),
        Sample(((2, 4), (4, 3))),
        Sample(((2, 4), (4, 3)), parameters=(0,)),
        Sample(((4,), (4, 3)), parameters=(0, 1)),
    ),
)
def times(
    left: Operand,
    right: Operand,
    output_rank: int = 1,
    infer_input_rank_to_map: int = TIMES_NO_INFERRED_INPUT_RANK,
    name: str = "",
) -> Function:
    """The matrix product: sums over the last axes of left and the first axes of right.

    ``right`` has k + output_rank axes; its first k are summed with the last k of ``left``.

    Args:
        left: operand (a1 x ... x k1 x ...); dense or sparse rows.
        right: operand (k1 x ... x o1 x ...).
        output_rank: how many axes of right are axes of the result.
        infer_input_rank_to_map: for a right operand with an inferred first dimension: -1 keeps its rank, n >= 0 lets it
            take all axes of left but the first n; -2 (TIMES_REDUCE_SEQUENCE_AXIS_WITHOUT_INFERRED_INPUT_RANK) sums
            over the frames of the sequence axis that both have, too.

    Returns:
        Function (a1 x ... x o1 x ...).

    Raises:
        ShapeError: if the summed dimensions differ.

    Example:
        >>> times([[1, 2], [3, 4]], [[5], [6]]).eval().tolist()
        [[17.0], [39.0]]

    Source: CNTK 2.7 ``ops.times``; ONNX MatMul-1.
    """


def _transpose_shape(left: TensorType, right: TensorType) -> Shape:
    rows = right.dims if right.rank > 1 else (1, *right.dims)
    if right.rank > 2 or not left.rank:
        raise ShapeError(f"times_transpose: the right operand {text(right.shape)} is not a matrix or vector")
    if left.dims[-1] != rows[-1] and FREE not in (left.dims[-1], rows[-1]):
        raise ShapeError(
            f"times_transpose: inner dimensions differ: the left operand has {left.dims[-1]} columns, the "
            f"right {rows[-1]} columns",
            fix=f"give the right operand {left.dims[-1]} columns",
        )
    return (*left.dims[:-1], rows[0])


def _transpose_contraction(left: TensorType, right: TensorType) -> Contraction:
    rows = bool(left.axes), bool(right.axes)
    sizes = {"a": _size(left.dims[:-1]), "k": left.dims[-1], "o": right.dims[0] if right.rank > 1 else 1}
    return Contraction("r" * rows[0] + "ak", "r" * rows[1] + "ok", "r" * any(rows) + "ao", sizes)


@tensor_op(
    shape=_transpose_shape,
    complete=lambda left, right: {"right": (*right.dims[:-1], left.dims[-1])},
    contraction=_transpose_contraction,
    cntk=CntkRule("TransposeTimes", id=32),
    swapped=True,
    sparse_operands=("left", "right"),
    samples=(
        Sample(((4,), (3, 4)), parameters=(1,)),
        Sample(((2, 4), (3, 4))),
        Sample(((2, 4), (4,)), parameters=(1,)),
    ),
)
def times_transpose(left: Operand, right: Operand, name: str = "") -> Function:
    """The product of left with the transpose of right.

    Args:
        left: operand (... x k).
        right: matrix (o x k); a vector counts as one row.

    Returns:
        Function (... x o).

    Raises:
        ShapeError: if the last dimensions differ.

    Example:
        >>> times_transpose([1, 2, 3], [[1, 1, 1], [0, 0, 1]]).eval().tolist()
        [6.0, 3.0]

    Source: CNTK 2.7 ``ops.times_transpose``.
    """
