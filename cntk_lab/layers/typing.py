"""Types of arguments of network functions: ``Tensor[13]``, ``Sequence[Tensor[13]]``, ``SparseTensor[943]`` and so on.

They annotate the parameters of ``@Function`` definitions and say what ``update_signature`` puts in. Idea and names:
CNTK 2.7's type system; here they are plain descriptions without behaviour.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

from cntk_lab.axis import Axis
from cntk_lab.errors import SignatureError
from cntk_lab.graph.record import Record
from cntk_lab.graph.signature import TypeSpec, as_spec, named_types
from cntk_lab.graph.variable import Variable
from cntk_lab.tensor.shape import UNKNOWN_SHAPE

F = TypeVar("F", bound=Callable[..., Any])
Dims: TypeAlias = "int | tuple[int, ...]"

__all__ = [
    "Axis", "ParameterTensor", "Record", "Sequence", "SequenceOver", "Signature", "SparseTensor", "Tensor", "Variable",
    "tensor",
]  # fmt: skip


def _batch() -> tuple[Axis, ...]:
    return (Axis.default_batch_axis(),)


class Tensor:
    """The type of one dense sample: ``Tensor[3, 32, 32]``, ``Tensor[1]``, ``Tensor[()]``.

    Example:
        >>> Tensor[2, 3], Tensor[()]
        (Tensor[2,3], float)

    Source: CNTK 2.7 ``layers.typing.Tensor``.
    """

    def __class_getitem__(cls, shape: Dims) -> TypeSpec:
        return TypeSpec(shape, _batch(), scalar="float")


class SparseTensor:
    """The type of one sparse sample: ``SparseTensor[943]``.

    Example:
        >>> SparseTensor[943]
        SparseTensor[943]

    Source: CNTK 2.7 ``layers.typing.SparseTensor``.
    """

    def __class_getitem__(cls, shape: Dims) -> TypeSpec:
        return TypeSpec(shape, _batch(), sparse=True)


class ParameterTensor:
    """The type of a value without dynamic axes, as parameters have: ``ParameterTensor[3]``.

    Example:
        >>> ParameterTensor[3]
        ParameterTensor[3]

    Source: CNTK 2.7 ``layers.typing.ParameterTensor``.
    """

    def __class_getitem__(cls, shape: Dims) -> TypeSpec:
        return TypeSpec(shape, ())


class _Over:
    """``Sequence`` or ``SequenceOver[axis]``: makes the type of a sequence of the type of its frames."""

    def __init__(self, axis: Axis) -> None:
        self._axis = axis

    def __getitem__(self, item: Any) -> TypeSpec:
        frame = as_spec(item)
        if len(frame.dynamic_axes) > 1:
            raise SignatureError(
                f"sequences over sequences are currently not supported: Sequence[{frame}]",
                fix="give the type of one frame, as in Sequence[Tensor[3]]",
            )
        return TypeSpec(
            frame.shape, (*_batch(), self._axis), frame.dtype, sparse=frame.is_sparse, scalar=frame._scalar or "float"
        )


class Sequence:
    """The type of a sequence over the default sequence axis: ``Sequence[Tensor[13]]``.

    Example:
        >>> Sequence[Tensor[13]], Sequence[float]
        (Sequence[Tensor[13]], Sequence[float])

    Source: CNTK 2.7 ``layers.typing.Sequence``.
    """

    def __class_getitem__(cls, item: Any) -> TypeSpec:
        return _Over(Axis.default_dynamic_axis())[item]


class SequenceOver:
    """The type of a sequence over a named axis: ``SequenceOver[axis][Tensor[13]]``.

    Example:
        >>> SequenceOver[Axis("words")][Tensor[13]]
        SequenceOver[words][Tensor[13]]

    Source: CNTK 2.7 ``layers.typing.SequenceOver``.
    """

    def __class_getitem__(cls, axis: Axis) -> _Over:
        if not isinstance(axis, Axis):
            raise SignatureError(
                f"SequenceOver[{axis!r}]: that is no axis", fix="write SequenceOver[Axis('words')][...]"
            )
        return _Over(axis)


tensor = TypeSpec(UNKNOWN_SHAPE, _batch())
"""The type of a sample whose shape is not said."""


def Signature(*args: Any, **kwargs: Any) -> Callable[[F], F]:
    """A decorator that annotates the parameters of a Python function with types, to be put below ``@Function``.

    Args:
        args: types by position.
        kwargs: types by name.

    Returns:
        Decorator; the function stays a Python function.

    Raises:
        SignatureError: if the number of types is not that of the parameters.

    Example:
        >>> from cntk_lab import Function
        >>> @Function
        ... @Signature(Tensor[2], Sequence[Tensor[2]])
        ... def f(a, b):
        ...     return a + b
        >>> [str(argument) for argument in f.arguments]
        ["Input('a', [#], [2])", "Input('b', [#, *], [2])"]

    Source: CNTK 2.7 ``layers.typing.Signature``.
    """

    def annotate(f: F) -> F:
        f.__annotations__ = named_types(f, args, kwargs)
        return f

    return annotate
