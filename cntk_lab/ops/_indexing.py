"""Elements by number: gather, one-hot vectors, the largest elements.

Numbers are held in float elements, as everything; fractions are cut off. Must not know sequences (see ops/sequence).
Source: CNTK 2.7, observed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cntk_lab.errors import AttributeValueError, ShapeError
from cntk_lab.graph.declare import tensor_op
from cntk_lab.graph.function import Function
from cntk_lab.graph.opdef import CntkRule, OnnxRule, Reals, Sample, TensorType, Trait, reals
from cntk_lab.graph.operand import Operand
from cntk_lab.ops._numbers import places, whole
from cntk_lab.ops._shaping import static_axis, swapaxes
from cntk_lab.tensor.shape import FREE, Shape
from cntk_lab.tensor.sparse import SparseRows, from_one_hot

__all__ = ["gather", "one_hot", "top_k"]


# ---- gather


def _gather_shape(reference: TensorType, indices: TensorType) -> Shape:
    if not reference.rank:
        raise ShapeError("gather: the reference has no axis to take elements from", fix="give it at least one axis")
    return indices.dims + reference.dims[1:]


def _numbers(indices: Any, n: int) -> Any:
    """Whole numbers out of elements, each of them an element's number."""
    return whole(
        indices, 0, n - 1, f"gather: index {{}} is not an element of an axis of {n}", f"indices go from 0 to {n - 1}"
    )


def _gather_forward(xp: Any, reference: Any, indices: Any) -> Any:
    numbers = _numbers(indices, reference.shape[1])
    if reference.shape[0] == 1:
        return reference[0][numbers]
    rows = xp.arange(reference.shape[0]).reshape((-1,) + (1,) * (numbers.ndim - 1))
    return reference[rows, numbers]


def _gather_gradient(xp: Any, dy: Any, reference: Any, indices: Any) -> Any:
    numbers = _numbers(indices, reference.shape[1])
    if reference.shape[0] == 1:
        rest = reference.shape[2:]
        flat, slopes = numbers.reshape(-1), dy.reshape(-1, int(np.prod(rest, dtype=np.int64)))
        result = xp.zeros((reference.shape[1], slopes.shape[1]), dy.dtype)
        _add_rows(xp, result, flat, slopes)
        return result.reshape(reference.shape)
    result = xp.zeros(reference.shape, dy.dtype)
    rows = xp.broadcast_to(xp.arange(reference.shape[0]).reshape((-1,) + (1,) * (numbers.ndim - 1)), numbers.shape)
    xp.add.at(result, (rows, numbers), dy)
    return result


def _add_rows(xp: Any, target: Any, numbers: Any, rows: Any) -> None:
    """``target[numbers] += rows``, equal numbers added up: sorted and summed by segments."""
    if not numbers.size:
        return
    order = xp.argsort(numbers, kind="stable")
    ordered = numbers[order]
    first = xp.concatenate([xp.ones(1, bool), ordered[1:] != ordered[:-1]])
    starts = xp.flatnonzero(first)
    target[ordered[starts]] += xp.add.reduceat(rows[order], starts, axis=0)


@tensor_op(
    arrays="reference",
    shape=_gather_shape,
    forward=_gather_forward,
    gradient={"reference": _gather_gradient},
    swapped=True,
    operands=("reference", "indices"),
    cntk=CntkRule("Gather", id=74),
    onnx=OnnxRule("Gather", since=1),
    domain={"indices": Reals(0, 4, whole=True)},
    samples=(
        Sample(((5, 2), (4,)), parameters=(0,)),
        Sample(((5,), (2, 3)), parameters=(0,)),
        Sample(((5, 2), (3,))),
        Sample(((5, 2), ()), parameters=(0,)),
    ),
)
def _gather(reference: Operand, indices: Operand, name: str = "") -> Function:
    """See :func:`gather`."""


def gather(reference: Operand, indices: Operand, axis: Any = None, name: str = "") -> Function:
    """The elements of ``reference`` along an axis whose numbers ``indices`` holds.

    Args:
        reference: operand (n x ...), often a parameter.
        indices: numbers 0 to n - 1; fractions are cut off. Its gradient is zero.
        axis: axis of reference; default the first. Along another axis k, axes 0 and k are exchanged before and after.

    Returns:
        Function (shape of indices x remaining axes of reference).

    Raises:
        DataError: when run, if an index is no element's number.

    Example:
        >>> gather([[1, 2], [3, 4], [5, 6]], [2, 0]).eval().tolist()
        [[5.0, 6.0], [1.0, 2.0]]

    Source: CNTK 2.7 ``ops.gather``; ONNX Gather-1.
    """
    if axis is None or axis == 0:
        return _gather(reference, indices, name)
    return swapaxes(_gather(swapaxes(reference, 0, axis), indices), 0, axis, name)


# ---- one-hot


def _one_hot_resolve(x: TensorType, num_classes: int, axis: Any) -> dict[str, Any]:
    if num_classes < 1:
        raise AttributeValueError(f"one_hot: num_classes is {num_classes}", fix="give the number of classes, 1 or more")
    return {"at": static_axis(axis, x.rank + 1, "one_hot")}


def _one_hot_forward(xp: Any, x: Any, num_classes: int, sparse_output: bool, at: int) -> Any:
    numbers = places(xp, x, num_classes)
    if sparse_output and x.ndim == 1 and xp is np:
        return SparseRows(from_one_hot(numbers, num_classes, x.dtype.name), (num_classes,))
    hits = numbers[..., None] == xp.arange(num_classes)
    return xp.ascontiguousarray(xp.moveaxis(hits, -1, at + 1)).astype(x.dtype)


@tensor_op(
    shape=lambda x, num_classes, at: (*x.dims[:at], num_classes, *x.dims[at:]),
    resolve=_one_hot_resolve,
    settles=("at",),
    forward=_one_hot_forward,
    operands=("x",),
    traits=[Trait.NO_GRADIENT],
    sparse=lambda x, sparse_output: sparse_output and not x.rank,
    cntk=CntkRule(
        "OneHotOp",
        id=68,
        attributes={"num_classes": "numClass", "sparse_output": "oneHotOutputSparse", "axis": "onehotAxis"},
    ),
    onnx=OnnxRule("OneHot", since=9, attributes={"axis": "axis"}),
    domain={"x": Reals(-1, 4, whole=True)},
    samples=(
        Sample(((4,),), {"num_classes": 3}, gradient=False),
        Sample(((2, 2),), {"num_classes": 3, "axis": 0}, gradient=False),
        Sample(((),), {"num_classes": 4, "sparse_output": True}, gradient=False),
    ),
)
def one_hot(x: Operand, num_classes: int, sparse_output: bool = False, axis: Any = -1, name: str = "") -> Function:
    """For each number a vector with 1 at that place and 0 elsewhere; all 0 if there is no such place.

    Args:
        x: whole numbers, of any static shape; dynamic axes pass through.
        num_classes: length of the vectors.
        sparse_output: whether the result is held sparse (scalars only; otherwise dense).
        axis: where the vectors lie in the result; default the last axis.

    Returns:
        Function with one axis more; its gradient is zero.

    Raises:
        AxisError: if there is no such axis.

    Example:
        >>> one_hot([2, 0], 3).eval().tolist()
        [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]

    Source: CNTK 2.7 ``ops.one_hot``; ONNX OneHot-9.
    """


# ---- the largest elements


def _top_resolve(x: TensorType, k: int, axis: Any) -> dict[str, Any]:
    at = static_axis(axis, x.rank, "top_k") - x.rank
    n = x.dims[at]
    if n != FREE and not 1 <= k <= n:
        raise AttributeValueError(f"top_k: k is {k}, the axis has {n} elements", fix=f"k goes from 1 to {n}")
    return {"at": at}


def _top_forward(xp: Any, x: Any, k: int, at: int) -> Any:
    places = xp.moveaxis(xp.argsort(-x, axis=at, kind="stable"), at, -1)[..., :k]
    places = xp.ascontiguousarray(xp.moveaxis(places, -1, at))
    return xp.take_along_axis(x, places, axis=at), places.astype(x.dtype)


def _top_gradient(xp: Any, dy: Any, x: Any, indices: Any, at: int) -> Any:
    result = xp.zeros(x.shape, dy.dtype)
    xp.put_along_axis(result, indices.astype(np.int64), dy, axis=at)
    return result


@tensor_op(
    shape=lambda x, k, at: (x.with_dim(at, k), x.with_dim(at, k)),
    resolve=_top_resolve,
    settles=("at",),
    forward=_top_forward,
    gradient={"x": _top_gradient},
    operands=("x",),
    outputs=("values", "indices"),
    cntk=CntkRule("TopK", id=87, attributes={"k": "numItems", "axis": "axis"}),
    onnx=OnnxRule("TopK", since=1, attributes={"k": "k", "axis": "axis"}),
    domain={"x": reals(distinct=True)},
    samples=(Sample(((5,),), {"k": 2}), Sample(((3, 4),), {"k": 2, "axis": 0})),
)
def top_k(x: Operand, k: int, axis: Any = -1, name: str = "") -> Function:
    """The k largest elements along an axis, the largest first, and where they are.

    Args:
        x: operand of any static shape; dynamic axes pass through.
        k: how many elements.
        axis: static axis; default the last.

    Returns:
        Function with two outputs of k elements along the axis: values, and their positions (the first of equal ones
        first). The gradient goes to the elements chosen.

    Raises:
        AttributeValueError: if the axis has fewer than k elements.

    Example:
        >>> values, positions = top_k([1, 5, 2, 4], 2).outputs
        >>> values.shape
        (2,)

    Source: CNTK 2.7 ``ops.top_k``; ONNX TopK-1.
    """
