"""Axis: static, dynamic (batch and sequence), and the special axes of CNTK.

An axis is a name or a number, never a size. Static axes are counted from 0 in Python order (negative ones from the
right). Equality is by name. Knows nothing of shapes or values.
"""

from __future__ import annotations

from typing import ClassVar

_STATIC_PREFIX = "staticAxisIdx="
_LEADING = 2147483644
_ALL_AXES = 2147483643
_ALL_STATIC = 2147483646
_DYNAMIC = 2147483647


class Axis:
    """One axis of a value.

    Args:
        name_or_index: a static axis' position, or a dynamic axis' name.
        is_ordered: whether the order along a dynamic axis matters (a sequence axis).

    Example:
        >>> Axis(1).is_static_axis
        True
        >>> Axis("words") == Axis("words")
        True

    Source: CNTK 2.7 ``axis.Axis``.
    """

    __slots__ = ("_index", "_maker", "_name", "_ordered")
    _used: ClassVar[dict[str, int]] = {}

    def __init__(self, name_or_index: int | str, is_ordered: bool = True) -> None:
        if isinstance(name_or_index, str):
            self._name, self._index, self._ordered = name_or_index, _DYNAMIC, bool(is_ordered)
        else:
            index = int(name_or_index)
            self._name, self._index, self._ordered = f"{_STATIC_PREFIX}{index}", index, False
        self._maker = ""

    @property
    def name(self) -> str:
        """The axis' name; a static axis is named after its position."""
        return self._name

    @property
    def is_static_axis(self) -> bool:
        """Whether this is one static axis, given by its position."""
        return self._index not in (_DYNAMIC, _ALL_AXES, _ALL_STATIC)

    @property
    def is_dynamic_axis(self) -> bool:
        """Whether this is a batch or sequence axis."""
        return self._index == _DYNAMIC

    @property
    def is_ordered(self) -> bool:
        """Whether order along the axis matters: true for sequence axes."""
        return self._ordered

    @property
    def is_batch_axis(self) -> bool:
        """Whether this is the batch axis."""
        return self == Axis.default_batch_axis()

    @property
    def is_sequence_axis(self) -> bool:
        """Whether this is an ordered dynamic axis."""
        return self.is_dynamic_axis and self._ordered

    def static_axis_index(self, checked: bool = True) -> int:
        """The position of a static axis.

        Raises:
            ValueError: if the axis is not static and ``checked`` is set.
        """
        if checked and not self.is_static_axis:
            raise ValueError(f"axis {self._name!r} is not a static axis: it has no position")
        return self._index

    @staticmethod
    def default_batch_axis() -> Axis:
        """The axis along which the samples of a minibatch lie."""
        return _BATCH

    @staticmethod
    def batch_axis_made_by(maker: str) -> Axis:
        """The batch axis of a minibatch that a function makes out of values: its samples need not be those of the data.

        It is equal to the default batch axis, as in CNTK, where only running tells minibatches of different sizes.

        Args:
            maker: the uid of what makes it.
        """
        axis = Axis("defaultBatchAxis", is_ordered=False)
        axis._maker = maker
        return axis

    @staticmethod
    def default_dynamic_axis() -> Axis:
        """The sequence axis that inputs get when none is named."""
        return _SEQUENCE

    @staticmethod
    def default_input_variable_dynamic_axes() -> tuple[Axis, ...]:
        """The axes of a sequence input."""
        return (_BATCH, _SEQUENCE)

    @staticmethod
    def unknown_dynamic_axes() -> tuple[Axis, ...]:
        """The axes of a placeholder that is not bound yet."""
        return (_UNKNOWN,)

    @staticmethod
    def all_axes() -> Axis:
        """All static and dynamic axes together."""
        return Axis._special(_ALL_AXES, "AllAxes")

    @staticmethod
    def all_static_axes() -> Axis:
        """All static axes together."""
        return Axis._special(_ALL_STATIC, "AllStaticAxes")

    @staticmethod
    def end_static_axis() -> Axis:
        """One past the last static axis in CNTK's column-major order: before the first in Python order."""
        return Axis._special(_LEADING, "endStaticAxis")

    @staticmethod
    def new_leading_axis() -> Axis:
        """A new static axis in front of all others."""
        return Axis._special(_LEADING, "endStaticAxis")

    @staticmethod
    def new_unique_dynamic_axis(name: str) -> Axis:
        """A dynamic axis with a name that no other such axis of this process has."""
        count = Axis._used.get(name, -1) + 1
        Axis._used[name] = count
        return Axis(name if count == 0 else f"{name}{count}")

    @classmethod
    def _special(cls, index: int, name: str) -> Axis:
        axis = cls(name, is_ordered=False)
        axis._index = index
        return axis

    @property
    def short(self) -> str:
        """How the axis is printed among dynamic axes: ``#`` for batch, ``*`` for the default sequence axis."""
        return {"defaultBatchAxis": "#", "defaultDynamicAxis": "*", "UnknownAxes": "???"}.get(self._name, self._name)

    @property
    def maker(self) -> str:
        """What makes the samples along a batch axis; "" for the data."""
        return self._maker

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Axis) and self._name == other._name

    def __hash__(self) -> int:
        return hash(self._name)

    def __repr__(self) -> str:
        return f"Axis('{self._name}')"


_BATCH = Axis("defaultBatchAxis", is_ordered=False)
_SEQUENCE = Axis("defaultDynamicAxis")
_UNKNOWN = Axis("UnknownAxes")


def format_axes(axes: tuple[Axis, ...]) -> str:
    """Dynamic axes as CNTK prints them: ``[#, *]``.

    Example:
        >>> format_axes((Axis.default_batch_axis(), Axis("words")))
        '[#, words]'
    """
    return "[" + ", ".join(a.short for a in axes) + "]"


UNKNOWN_AXES: tuple[Axis, ...] = (_UNKNOWN,)
"""Dynamic axes that are not known yet."""
