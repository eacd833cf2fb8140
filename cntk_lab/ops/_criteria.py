"""Losses and metrics: cross entropies, squared error, classification error."""

from __future__ import annotations

from typing import Any

from cntk_lab.axis import Axis
from cntk_lab.errors import AttributeValueError, ShapeError
from cntk_lab.formula import expr as e
from cntk_lab.graph import walk
from cntk_lab.graph.declare import as_flow, composite, elementwise
from cntk_lab.graph.function import Function
from cntk_lab.graph.opdef import CntkRule, Reals, Sample, TensorType, Trait, reals
from cntk_lab.graph.operand import Operand
from cntk_lab.graph.variable import Variable
from cntk_lab.ops._arithmetic import minus
from cntk_lab.ops._comparison import equal, greater_equal, not_equal
from cntk_lab.ops._products import times_transpose
from cntk_lab.ops._reductions import (
    first_extremum,
    log_sum_exp,
    reduce_log_sum_exp,
    reduce_max,
    reduce_mean,
    reduce_sum,
    static_axes,
)
from cntk_lab.ops._softmax import hardmax, softmax_of
from cntk_lab.tensor.shape import FREE, Shape, broadcast, text

__all__ = [
    "binary_cross_entropy",
    "classification_error",
    "cross_entropy",
    "cross_entropy_with_softmax",
    "squared_error",
    "weighted_binary_cross_entropy",
]

_LEAST_LOG = -85.0999984741211
"""What CNTK takes for the logarithm of 0."""
_PROBABILITY = Reals(0.1, 0.9, probability=True)
_ONE_HOT = Reals(one_hot=True)


def _log(x: e.Expr) -> e.Expr:
    return e.where(x < 1e-37, _LEAST_LOG, e.log(e.where(x < 1e-37, 1, x)))


# ---- cross entropies


def _kept(output: TensorType, target: TensorType, axis: Any) -> Shape:
    misfit = ShapeError(
        f"cross entropy: the output has the shape {text(output.dims)}, the target {text(target.dims)}",
        fix="give both the same shape: one number for each class",
    )
    try:
        broadcast(output.dims, target.dims)
    except ShapeError:
        raise misfit from None
    if isinstance(axis, Axis) and axis == Axis.all_static_axes():
        return ()
    gone = static_axes(axis, output.rank)
    classes = [(output.dims[a], target.dims[a]) for a in gone if -a <= target.rank]
    if len(classes) < len(gone) or any(FREE not in pair and pair[0] != pair[1] for pair in classes):
        raise misfit
    return tuple(1 if i - output.rank in gone else d for i, d in enumerate(output.dims))


_AXIS_FACTS: dict[str, Any] = {
    "operands": ("output", "target"),
    "shape": _kept,
    "resolve": lambda output, axis: {"along": static_axes(axis, output.rank)},
    "settles": ("along",),
    "samples": (
        Sample(((3,), (3,))),
        Sample(((2, 3), (2, 3)), {"axis": 0}),
        Sample(((2, 3), (2, 3)), {"axis": 1}),
        Sample(((2, 3), (2, 3)), {"axis": Axis.all_static_axes()}),
        Sample(((3,), (3,)), parameters=(1,)),
    ),
}


@elementwise(
    formula=lambda output, target, along: log_sum_exp(output, along) - e.reduce("sum", target * output, along),
    derivative={
        "output": lambda dy, output, target, along: dy * (softmax_of(output, along) - target),
        "target": lambda dy, output: -(dy * output),
    },
    domain={"target": _ONE_HOT},
    traits=[Trait.SAME_AXES],
    cntk=CntkRule("CrossEntropyWithSoftmax", id=35),
    **_AXIS_FACTS,
)
def _softmax_cross_entropy(output: Operand, target: Operand, axis: Any = -1, name: str = "") -> Function:
    """The cross entropy of softmax(output) along an axis; see :func:`cross_entropy_with_softmax`.

    Args:
        output: scores of any static shape.
        target: weights of the same shape, usually one-hot.
        axis: the class axis.

    Returns:
        Function with length 1 along the axis.

    Example:
        >>> _softmax_cross_entropy([1, 2, 3], [0, 1, 0]).eval().astype(float).round(4).tolist()
        [1.4076]

    Source: CNTK 2.7, inside ``losses.cross_entropy_with_softmax``.
    """


@composite(
    traits=[Trait.SAME_AXES],
    cntk=CntkRule(block="CrossEntropyWithSoftmax"),
    operands=("output_vector", "target_vector"),
    sparse_operands=("target_vector",),
    domain={"target_vector": _ONE_HOT},
    samples=(
        Sample(((3,), (3,))),
        Sample(((1, 3), (1, 3))),
        Sample(((2, 3), (2, 3))),
        Sample(((2, 3), (2, 3)), {"axis": 0}),
        Sample(((2, 3), (2, 3)), {"axis": 1}),
        Sample(((2, 3), (2, 3)), {"axis": Axis.all_static_axes()}),
    ),
)
def cross_entropy_with_softmax(
    output_vector: Operand,
    target_vector: Operand,
    axis: Any = -1,
    name: str = "",  # noqa: ARG001  (the block's name)
) -> Function:
    """log(sum(exp(output))) - sum(target * output): the cross entropy between a distribution and the softmax of scores.

    Safe for scores of any size. Its gradient is softmax(output) - target. For a target that does not add up to 1 it
    is what the formula says. With the default axis and operands of two axes the result holds every pair of rows, as
    in CNTK: give axis=1 to get one number for each row.

    Args:
        output_vector: scores, before softmax, of any static shape.
        target_vector: weights of the same shape, usually one-hot; dense or sparse.
        axis: the class axis; ``Axis.all_static_axes()`` for all of them.

    Returns:
        Function with length 1 along the axis; of shape () for all axes.

    Raises:
        ShapeError: if the shapes differ.

    Example:
        >>> cross_entropy_with_softmax([1, 1, 1, 50], [0, 0, 0, 1]).eval().astype(float).round(4).tolist()
        [0.0]

    Source: CNTK 2.7 ``losses.cross_entropy_with_softmax``.
    """
    pairs = not isinstance(axis, Axis) and axis == -1
    target = as_flow("cross_entropy_with_softmax", target_vector)
    rank = max(len(as_flow("cross_entropy_with_softmax", output_vector).shape), len(target.shape))
    if pairs and (rank > 1 or target.is_sparse):
        scores = times_transpose(output_vector, target)
        return minus(reduce_log_sum_exp(output_vector, -1), scores)
    return _softmax_cross_entropy(output_vector, target_vector, axis)


@elementwise(
    formula=lambda output, target, along: -e.reduce("sum", target * _log(output), along),
    domain={"output": _PROBABILITY, "target": _ONE_HOT},
    traits=[Trait.SAME_AXES],
    cntk=CntkRule(block="CrossEntropy"),
    **_AXIS_FACTS,
)
def _probability_cross_entropy(output: Operand, target: Operand, axis: Any = -1, name: str = "") -> Function:
    """The cross entropy of probabilities along an axis; see :func:`cross_entropy`.

    Args:
        output: probabilities of any static shape.
        target: weights of the same shape, usually one-hot.
        axis: the class axis.

    Returns:
        Function with length 1 along the axis.

    Example:
        >>> _probability_cross_entropy([0.5, 0.5], [0, 1]).eval().astype(float).round(4).tolist()
        [0.6931]

    Source: CNTK's introduction slides, ``cross_entropy(P, y)``.
    """


@elementwise(
    formula=lambda output, target, along: (
        e.reduce("sum", target, along) * log_sum_exp(output, along) - e.reduce("sum", target * output, along)
    ),
    derivative={
        "output": lambda dy, output, target, along: (
            dy * (e.reduce("sum", target, along) * softmax_of(output, along) - target)
        ),
        "target": lambda dy, output, along: dy * (log_sum_exp(output, along) - output),
    },
    domain={"target": _ONE_HOT},
    traits=[Trait.SAME_AXES],
    cntk=CntkRule(block="CrossEntropyOfSoftmax"),
    **_AXIS_FACTS,
)
def _log_softmax_cross_entropy(output: Operand, target: Operand, axis: Any = -1, name: str = "") -> Function:
    """-sum(target * log(softmax(output))) computed from the scores; see :func:`cross_entropy`.

    Args:
        output: scores of any static shape.
        target: weights of the same shape, usually one-hot.
        axis: the class axis.

    Returns:
        Function with length 1 along the axis.

    Example:
        >>> _log_softmax_cross_entropy([1000, 0], [0, 1]).eval().tolist()
        [1000.0]

    Source: this project.
    """


def cross_entropy(output: Operand, target: Operand, axis: Any = -1, name: str = "") -> Function:
    """-sum(target * log(output)): the cross entropy between a distribution and probabilities.

    If the operand is a softmax along the same axis, the result is computed from the softmax's own operand and so
    neither loses digits nor overflows, however large the scores are. A probability of 0 counts as exp(-85.1)
    otherwise.

    Args:
        output: probabilities of any static shape, for example a softmax.
        target: weights of the same shape, usually one-hot.
        axis: the class axis; ``Axis.all_static_axes()`` for all of them.

    Returns:
        Function with length 1 along the axis; of shape () for all axes.

    Example:
        >>> from cntk_lab.ops import softmax
        >>> cross_entropy(softmax([1000, 0]), [0, 1]).eval().tolist()
        [1000.0]

    Source: CNTK's introduction slides, ``cross_entropy(P, y)``.
    """
    scores = _scores_of(output, axis)
    if scores is not None:
        return _log_softmax_cross_entropy(scores, target, axis, name)
    return _probability_cross_entropy(output, target, axis, name)


def _scores_of(output: Operand, axis: Any) -> Variable | None:
    """The operand of the softmax whose value this is, if it is normalised along this axis."""
    variable = output.output if isinstance(output, Function) and len(output.outputs) == 1 else output
    if not isinstance(variable, Variable):
        return None
    variable = walk.resolve(variable)
    node = variable.node
    if node is None or node.op.name != "softmax" or variable.type.shape is None:
        return None
    rank = variable.type.rank
    return node.inputs[0] if static_axes(node.attributes["axis"], rank) == static_axes(axis, rank) else None


_EPSILON = 9.999999974752427e-07
"""One millionth as CNTK adds it, in single precision."""
_ONE_AND_EPSILON = 1.00000095367431640625
"""One and one millionth, in single precision."""


@elementwise(
    formula=lambda output, target: -(target * _log(output + _EPSILON) + (1 - target) * _log(_ONE_AND_EPSILON - output)),
    domain={"output": _PROBABILITY, "target": reals(0.0, 1.0)},
    traits=[Trait.SAME_AXES],
    cntk=CntkRule(block="BinaryCrossEntropy"),
    samples=(Sample(((3,), (3,))), Sample(((2, 3), (2, 3))), Sample(((1,), (1,)), parameters=(1,))),
)
def binary_cross_entropy(output: Operand, target: Operand, name: str = "") -> Function:
    """-(target * log(output) + (1 - target) * log(1 - output)), for every element by itself.

    One millionth is added inside both logarithms.

    Args:
        output: probabilities, 0 to 1, of any static shape.
        target: wanted probabilities of the same shape, usually 0 or 1.

    Returns:
        Function of the shape of the operands (nothing is summed).

    Example:
        >>> binary_cross_entropy([0.5, 0.0], [1.0, 1.0]).eval().astype(float).round(4).tolist()
        [0.6931, 13.8155]

    Source: CNTK 2.7 ``losses.binary_cross_entropy``.
    """


def _everything(output: TensorType) -> dict[str, Any]:
    return {"along": [*range(-output.rank, 0), *([e.ROWS] if output.axes else [])]}


def _weighted(output: e.Expr, target: e.Expr, weight: e.Expr, along: Any) -> e.Expr:
    loss = -(target * _log(output) + (1 - target) * _log(1 - output))
    count = e.reduce("sum", e.const(1), [a for a in along if a == e.ROWS])
    return count * e.reduce("sum", weight * loss, along) / e.reduce("sum", weight, along)


def _weighted_shape(output: TensorType, target: TensorType, weight: TensorType) -> Shape:
    for name, other in (("target", target), ("weight", weight)):
        if output.rank != other.rank or any(
            a != b and min(a, b) >= 0 for a, b in zip(output.dims, other.dims, strict=True)
        ):
            raise ShapeError(
                f"weighted_binary_cross_entropy: the output has the shape {text(output.dims)}, the {name} "
                f"{text(other.dims)}",
                fix="give all three the same shape",
            )
    return ()


@elementwise(
    formula=_weighted,
    resolve=_everything,
    settles=("along",),
    shape=_weighted_shape,
    axes=lambda output: (),
    domain={"output": _PROBABILITY, "target": reals(0.0, 1.0), "weight": reals(0.5, 2.0)},
    cntk=CntkRule("Logistic", id=48),
    samples=(Sample(((1,), (1,), (1,))), Sample(((), (), ()))),
)
def weighted_binary_cross_entropy(output: Operand, target: Operand, weight: Operand, name: str = "") -> Function:
    """The binary cross entropy averaged over the minibatch with weights, times the number of samples.

    Args:
        output: probabilities, 0 to 1, one for each sample.
        target: wanted probabilities of the same shape, usually 0 or 1.
        weight: weights of the same shape.

    Returns:
        Function of shape () without dynamic axes: N * sum(weight * loss) / sum(weight).

    Raises:
        ShapeError: if the shapes differ.

    Example:
        >>> import cntk_lab as C
        >>> o, t, w = C.input_variable(1), C.input_variable(1), C.input_variable(1)
        >>> loss = weighted_binary_cross_entropy(o, t, w)
        >>> round(float(loss.eval({o: [[0.2], [0.9]], t: [[0], [1]], w: [[1], [2]]})), 5)
        0.28924

    Source: CNTK 2.7 ``losses.weighted_binary_cross_entropy``.
    """


# ---- errors


@elementwise(
    formula=lambda output, along, target: e.reduce("sum", (output - target) * (output - target), along),
    resolve=lambda output, target: {"along": list(range(-max(output.rank, target.rank), 0))},
    settles=("along",),
    shape=lambda output, target: (),
    traits=[Trait.SAME_AXES],
    cntk=CntkRule(block="SquaredError"),
    samples=(
        Sample(((3,), (3,))),
        Sample(((2, 3), (2, 3))),
        Sample(((), ())),
        Sample(((2, 3), (2, 3)), parameters=(1,)),
    ),
)
def squared_error(output: Operand, target: Operand, name: str = "") -> Function:
    """The sum over the sample of the squared differences.

    Args:
        output: operand of any static shape.
        target: operand of the same shape.

    Returns:
        Function of shape (): one number for each sample.

    Raises:
        ShapeError: if the shapes differ.

    Example:
        >>> squared_error([1, 2], [3, 5]).eval().tolist()
        13.0

    Source: CNTK 2.7 ``losses.squared_error``.
    """


def _at_most_first(output: e.Expr, target: e.Expr, dims: Shape, top: int) -> e.Expr:
    """0 if the target's class is among the ``top`` largest scores, else 1; summed over the minibatch."""
    axes = list(range(-len(dims), 0))
    wanted = first_extremum(target, "max", dims, axes)
    position: e.Expr = e.const(0)
    for axis in axes:
        position = position * dims[axis] + e.coordinate(axis)
    score = e.reduce("sum", e.where(e.equal(position, wanted), output, 0), axes)
    before = e.logical_or(output > score, e.logical_and(e.equal(output, score), position < wanted))
    return e.reduce("sum", before, axes) >= top


@elementwise(
    formula=lambda output, target, top_n, dims, rows: e.reduce(
        "sum", _at_most_first(output, target, dims, top_n), rows
    ),
    operands=("output", "target"),
    resolve=lambda output: {"dims": output.dims, "rows": [e.ROWS] if output.axes else []},
    settles=("dims", "rows"),
    shape=lambda output: (),
    axes=lambda output: (),
    traits=[Trait.SAME_AXES, Trait.NO_GRADIENT],
    domain={"output": reals(distinct=True), "target": _ONE_HOT},
    cntk=CntkRule("ClassificationError", id=36),
    samples=(Sample(((4,), (4,)), {"top_n": 2}, gradient=False), Sample(((5,), (5,)), {"top_n": 3}, gradient=False)),
)
def _top_n_error(output: Operand, target: Operand, top_n: int, name: str = "") -> Function:
    """How many samples have their class not among the n largest scores; see :func:`classification_error`.

    Args:
        output: scores.
        target: one-hot classes.
        top_n: n.

    Returns:
        Function of shape () without dynamic axes.

    Example:
        >>> _top_n_error([1, 2, 3], [1, 0, 0], 2).eval().tolist()
        1.0

    Source: CNTK 2.7, inside ``metrics.classification_error``.
    """


@composite(
    cntk=CntkRule(block="ClassificationError"),
    operands=("output_vector", "target_vector"),
    sparse_operands=("target_vector",),
    traits=[Trait.SAME_AXES, Trait.NO_GRADIENT],
    domain={"output_vector": reals(distinct=True), "target_vector": _ONE_HOT},
    samples=(
        Sample(((3,), (3,)), gradient=False),
        Sample(((2, 3), (2, 3)), gradient=False),
        Sample(((2, 3), (2, 3)), {"axis": 0}, gradient=False),
        Sample(((2, 3), (2, 3)), {"axis": 1}, gradient=False),
    ),
)
def _classification_error(
    output_vector: Operand,
    target_vector: Operand,
    axis: Any = -1,
    name: str = "",  # noqa: ARG001  (the block's name)
) -> Function:
    """1 where the largest score is not at the class, else 0; see :func:`classification_error`.

    Args:
        output_vector: scores.
        target_vector: one-hot classes.
        axis: the class axis.

    Returns:
        Function of shape (1,), or () for an explicit axis.

    Example:
        >>> _classification_error([1, 2, 3], [0, 1, 0]).eval().tolist()
        [1.0]

    Source: CNTK 2.7, inside ``metrics.classification_error``.
    """
    if not isinstance(axis, Axis) and axis == -1:
        return minus(1, times_transpose(hardmax(output_vector), target_vector))
    chosen = equal(reduce_max(output_vector, axis), output_vector)
    wrong = reduce_sum(not_equal(target_vector, chosen), axis)
    return reduce_mean(greater_equal(wrong, 1))


def classification_error(
    output_vector: Operand, target_vector: Operand, axis: Any = -1, topN: int = 1, name: str = ""
) -> Function:
    """1 where the largest score is not at the class, else 0; the first of several largest scores counts.

    With an explicit axis (not -1): the fraction, over the other axes, of places where the scores' largest elements
    are not exactly the target's.

    Args:
        output_vector: scores of any static shape.
        target_vector: one-hot classes of the same shape; dense or sparse.
        axis: the class axis; -1, the default, takes the largest score of the whole sample.
        topN: how many of the largest scores count as right. For more than 1 the result is a number for the whole
            minibatch: how many samples are wrong.

    Returns:
        Function of shape (1,); of shape () with an explicit axis; of shape () without dynamic axes for topN > 1.

    Raises:
        AttributeValueError: for topN > 1 along an explicit axis.

    Example:
        >>> classification_error([1, 2, 3, 4], [0, 0, 0, 1]).eval().tolist()
        [0.0]
        >>> classification_error([1, 2, 3, 4], [0, 0, 1, 0], topN=2).eval().tolist()
        0.0

    Source: CNTK 2.7 ``metrics.classification_error``.
    """
    if topN == 1:
        return _classification_error(output_vector, target_vector, axis, name)
    if isinstance(axis, Axis) or axis != -1:
        raise AttributeValueError(
            f"ClassificationError: The topN feature is not supported along a specific axis (topN={topN}, "
            f"axis={axis!r})",
            fix="leave axis at -1, or topN at 1",
        )
    return _top_n_error(output_vector, target_vector, int(topN), name)
