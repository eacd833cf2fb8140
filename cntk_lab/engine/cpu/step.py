"""What a native step is, how steps of a plan are claimed for it, and what it asks of a binding. Knows no step."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


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
    takes_sparse = False
    """Whether it takes sparse rows as they are, without dense memory for them."""

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

    def reads_before(self) -> tuple[int, ...]:
        """What is looked at before the table in which this step stands is run."""
        return ()

    def seen(self) -> tuple[int, ...]:
        """Buffers that Python code looks at as arrays, around the run."""
        return ()

    def cost(self) -> str:
        """What it costs, as text behind the tier; empty if the step of the plan says it."""
        return ""

    def rows(self, binder: Binder) -> list[list[int]]:  # noqa: ARG002  (some steps need no row)
        """The rows for a binding."""
        return []


class Absorbed(NativeStep):
    """A step that another step does along the way."""

    tier = "done by the step before"


class Rank(enum.IntEnum):
    """Which claim wins where several want the same step: the first of these."""

    FRAMES = enum.auto()
    """Frames that are chosen, summed or weighed: which rows meet is known before the run."""
    SPARSE = enum.auto()
    """Sparse rows taken as they are."""
    LOOP = enum.auto()
    """A whole recurrence as one row."""
    LEARNING = enum.auto()
    """The gradient's product and the learner's step in one kernel of our own: the gradient is never stored."""
    THIN = enum.auto()
    """A product with a thin side by a kernel of our own, with the bias and activation behind it."""
    BLENDED = enum.auto()
    """A large gradient's product added to the momentum by the library."""
    FINISHING = enum.auto()
    """A product or operator by a library, with the bias and activation behind it."""
    ALONE = enum.auto()
    """A step by itself."""


@dataclass(frozen=True, slots=True)
class Claim:
    """That steps of a plan would be done by native code; to say so has no effect.

    Args:
        rank: which claim wins.
        steps: places in the plan.
        make: what does these steps, one native step for each; kernels are compiled from here on.
    """

    rank: Rank
    steps: tuple[int, ...]
    make: Callable[[], Sequence[NativeStep]]

    @classmethod
    def one(cls, rank: Rank, at: int, make: Callable[[], NativeStep]) -> Claim:
        """The claim on a single step."""
        return cls(rank, (at,), lambda: (make(),))

    @classmethod
    def with_next(cls, rank: Rank, at: int, after: int, make: Callable[[], NativeStep]) -> Claim:
        """The claim on a step that does a later one along the way."""
        return cls(rank, (at, after), lambda: (make(), Absorbed()))
