"""How often something changed that a repeated step must look at again: switches, devices, listeners, graphs.

Whoever changes such a thing says :func:`note`; whoever remembers how a step goes compares :func:`count`. Knows nothing
else.
"""

from __future__ import annotations

import itertools

_numbers = itertools.count(1)
_count = 0


def count() -> int:
    """The number of changes so far."""
    return _count


def note() -> None:
    """Tell of a change."""
    global _count
    _count = next(_numbers)  # no number twice, however many threads tell at once
