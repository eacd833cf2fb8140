"""How much CNTK Lab says about what it does: the trace level.

Knows nothing else.
"""

from __future__ import annotations

import enum

from cntk_lab.errors import AttributeValueError


class TraceLevel(enum.IntEnum):
    """How much is told.

    Source: CNTK 2.7 ``logging.TraceLevel``.
    """

    Error = 0
    Warning = 1
    Info = 2


_level = TraceLevel.Warning


def get_trace_level() -> int:
    """The number of the trace level.

    Returns:
        0 (errors), 1 (warnings too) or 2 (information too).

    Example:
        >>> get_trace_level()
        1

    Source: CNTK 2.7 ``logging.get_trace_level``.
    """
    return int(_level.value)


def set_trace_level(value: TraceLevel | int) -> None:
    """Set the trace level.

    Args:
        value: a TraceLevel or its number.

    Raises:
        AttributeValueError: if there is no such level.

    Example:
        >>> set_trace_level(TraceLevel.Info); get_trace_level()
        2
        >>> set_trace_level(1)

    Source: CNTK 2.7 ``logging.set_trace_level``.
    """
    global _level
    try:
        _level = TraceLevel(value)
    except ValueError:
        raise AttributeValueError(f"there is no trace level {value!r}", fix="use 0, 1 or 2") from None
