"""What CNTK's Python needed around its C++ classes and old programs still name; here there are no C++ classes.

``typemap`` and ``map_if_possible`` gave Python classes to C++ objects. All objects are Python's own here, so both leave
things as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

__all__ = ["map_if_possible", "typemap"]


def typemap(f: F) -> F:
    """The function itself: results need no conversion here.

    Args:
        f: a function.

    Returns:
        The same function.

    Example:
        >>> typemap(len) is len
        True

    Source: CNTK 2.7 ``internal.swig_helper.typemap``.
    """
    return f


def map_if_possible(obj: object) -> None:
    """Nothing: objects have their Python class from the start.

    Args:
        obj: any object.

    Example:
        >>> map_if_possible(3)

    Source: CNTK 2.7 ``internal.swig_helper.map_if_possible``.
    """
    del obj
