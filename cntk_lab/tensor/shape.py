"""Static shapes: dimensions that are inferred or free, broadcasting, positions of axes.

A static shape is a tuple of integers in Python (row-major) order. Knows nothing of rows, arrays or operators.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cntk_lab.errors import AxisError, ShapeError

Shape = tuple[int, ...]

INFERRED = -1
"""A dimension of a parameter that is resolved when the graph is built."""
FREE = -3
"""A dimension that is known only per minibatch."""
UNKNOWN_SHAPE: Shape = (-2,)
"""How CNTK prints the shape of a placeholder that is not bound."""


def as_shape(shape: object, *, may_be_empty: bool = False) -> Shape:
    """A shape given as number or sequence, as a tuple.

    Args:
        shape: the shape.
        may_be_empty: whether dimensions may be 0, as CNTK allows for parameters.

    Raises:
        ShapeError: if a dimension is zero, or negative and neither inferred nor free.

    Example:
        >>> as_shape(3), as_shape([2, -1])
        ((3,), (2, -1))
    """
    if isinstance(shape, (int, float)) or hasattr(shape, "__index__"):
        dims: Iterable[object] = (shape,)
    elif isinstance(shape, Iterable):
        dims = shape
    else:
        raise ShapeError(f"a shape is a number or a tuple of numbers, not {type(shape).__name__}")
    result = tuple(_whole(d) for d in dims)
    for d in result:
        if d < 1 and d not in (INFERRED, FREE, -2) and not (d == 0 and may_be_empty):
            raise ShapeError(
                f"shape {result}: a dimension of {d} cannot be", fix="dimensions are 1 or more; -1 is inferred"
            )
    return result


def _whole(dimension: object) -> int:
    """A dimension as an int; CNTK takes the result of a division too, if it is a whole number."""
    try:
        whole = int(dimension)  # type: ignore[call-overload]
    except (TypeError, ValueError, OverflowError):
        whole = None
    if whole is None or whole != dimension:
        raise ShapeError(f"a dimension of {dimension!r} is no whole number", fix="divide with //")
    return int(whole)


def size(shape: Sequence[int]) -> int:
    """Number of elements of a shape whose dimensions are all known."""
    n = 1
    for d in shape:
        n *= d
    return n


def is_known(shape: Sequence[int] | None) -> bool:
    """Whether no dimension has to be inferred yet (free dimensions count as known)."""
    return shape is not None and all(d >= 0 or d == FREE for d in shape)


def text(shape: Sequence[int] | None) -> str:
    """A shape in the words of messages: ``[2 x 3]``.

    Example:
        >>> text((2, 3)), text((-1, 5)), text(None)
        ('[2 x 3]', '[? x 5]', '[???]')
    """
    if shape is None or tuple(shape) == UNKNOWN_SHAPE:
        return "[???]"
    return "[" + " x ".join({INFERRED: "?", FREE: "*"}.get(d, str(d)) for d in shape) + "]"


def broadcast(*shapes: Shape) -> Shape:
    """The shape of an elementwise combination: aligned at the last axis, 1 stretches, inferred dimensions give way.

    Raises:
        ShapeError: if two dimensions differ and neither is 1.

    Example:
        >>> broadcast((2, 3), (3,)), broadcast((2, 1), (1, 3))
        ((2, 3), (2, 3))
    """
    rank = max(map(len, shapes), default=0)
    result: list[int] = []
    for position in range(-rank, 0):
        dim = 1
        for shape in shapes:
            d = shape[position] if -position <= len(shape) else 1
            if d in (dim, 1):
                continue
            if dim == 1 or dim in (INFERRED, FREE) or d in (INFERRED, FREE):
                dim = d if (dim == 1 or d > 0) else dim
                if dim == INFERRED and d == FREE:
                    dim = d
            else:
                raise ShapeError(
                    "shapes " + " and ".join(text(s) for s in shapes) + f" do not broadcast: {dim} against {d} "
                    f"at axis {position}",
                )
        result.append(dim)
    return tuple(result)


def fill_inferred(shape: Shape, pattern: Shape) -> Shape:
    """``shape`` with its inferred dimensions taken from the trailing dimensions of ``pattern``.

    Example:
        >>> fill_inferred((-1, 3), (5, 2, 3))
        (2, 3)
    """
    offset = len(pattern) - len(shape)
    return tuple(pattern[i + offset] if d == INFERRED and i + offset >= 0 else d for i, d in enumerate(shape))


def from_right(axis: int, rank: int, what: str = "axis") -> int:
    """A static axis counted from the right (-1 is the last), given counted from either side.

    Raises:
        AxisError: if there is no such axis.
    """
    if not -rank <= axis < rank:
        raise AxisError(
            f"{what} {axis} does not exist in a tensor of rank {rank}", fix=f"axes go from {-rank} to {rank - 1}"
        )
    return axis - rank if axis >= 0 else axis
