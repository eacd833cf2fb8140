"""References: how a formula names a buffer. What stands in a formula is the buffer's number, printed as ``b12``."""

from __future__ import annotations

from functools import lru_cache


class Reference(str):
    """The name of a buffer in formulas; equal to its text, so that kernels print and compare as any other."""

    __slots__ = ("number",)
    number: int

    def __str__(self) -> str:
        """Itself: whoever wants a name gets one that still knows its number."""
        return self


@lru_cache(maxsize=65_536)
def reference(number: int) -> Reference:
    """The name of a buffer.

    Example:
        >>> reference(12), reference(12).number
        ('b12', 12)
    """
    made = Reference(f"b{number}")
    made.number = number
    return made


def number_of(name: object) -> int:
    """The number of the buffer that a formula's operand is.

    Raises:
        TypeError: if it is the operand of a formula that is about no buffers.
    """
    if not isinstance(name, Reference):
        raise TypeError(f"{name!r} names no buffer")
    return name.number
