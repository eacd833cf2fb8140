"""What a native step is, and what it asks of a binding. Knows no step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

Readers = dict[int, list[int]]


class Binder(Protocol):
    """What a native step asks of a binding."""

    rows: dict[str, int]
    arrays: dict[int, Any]

    def address(self, buffer: int) -> int:
        """Where a buffer's data start."""

    def follow(self, buffer: int, setter: Callable[[int], None]) -> int:
        """Where a buffer's data start now; ``setter`` is told when they start elsewhere."""

    def count(self, symbol: str, block: Any, field: int) -> int:
        """How many rows there are now; ``block[field]`` is kept up to date."""

    def padded(self, symbol: str) -> int:
        """How many rows there is memory for; more than there are, never less."""

    def clear_behind(self, buffer: int) -> list[int] | None:
        """The row that sets what lies behind a buffer's last row to zero, up to the padded count."""

    def keep(self, thing: Any) -> None:
        """Keep something alive."""

    def before_run(self, act: Callable[[Any], None]) -> None:
        """Do this before each run, with the run."""


class NativeStep:
    """A step that has rows of its own."""

    tier = "native"
    """What computes it, in words."""
    exact = False
    """Whether its rows hold for one count of rows only, not for all counts with the same memory."""
    lasting = False
    """Whether it writes what outlives the run although its step of the plan does not."""

    def ready(self) -> bool:
        """Whether the rows can be made now, or never will."""
        return True

    def usable(self) -> bool:
        """Whether the rows can be made."""
        return True

    def writes_early(self) -> tuple[int, ...]:
        """Buffers of absorbed steps that this step writes."""
        return ()

    def reads_early(self) -> tuple[int, ...]:
        """What this step reads for the steps that it does along the way."""
        return ()

    def rows(self, binder: Binder) -> list[list[int]]:  # noqa: ARG002  (some steps need no row)
        """The rows for a binding."""
        return []


class Absorbed(NativeStep):
    """A step that another step does along the way."""
