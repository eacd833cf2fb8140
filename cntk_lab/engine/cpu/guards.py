"""Checked memory of a native plan: zones around every buffer, and poison where nothing is to be read.

Raw addresses mean that a wrong one is a crash, or worse, silently wrong numbers. With the option ``checked`` every
buffer of a plan has memory of its own between two zones with a known pattern, and is filled with poison (NaN with all
bits set) before it is first written and after the last step that may read it. So what is written beside a buffer, read
before it is written, or read after its end of life is found: in the zones, or as poison in a result. The first run
with other counts of rows looks at the zones after every row of the table and keeps what each step wrote, so that an
error names the step; later runs have the poison and the check of all zones as rows of their table.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cntk_lab.backends.cpu import executor, jit
from cntk_lab.engine.plan import Plan
from cntk_lab.errors import ExecutionError
from cntk_lab.tensor.arrays import address_of

_ZONE = 256
_PATTERN = 0xA5
_WORD = int.from_bytes(bytes([_PATTERN]) * 8, "little", signed=True)
_HALF = int.from_bytes(bytes([_PATTERN]) * 4, "little", signed=True)
_POISON = -1
_FIX = "a bug of the native tier: report the model; settings.set_option('native', False) avoids it"
_SOURCE = f"""
def kernel(block, thread, threads, phase):
    zones, count = ld_i64(block, 0, -1), ld_i64(block, 1, -1)
    bad = -1
    for i in range(count):
        zone = ld_i64(zones, i, -1)
        wrong = 0
        for j in range({_ZONE // 4}):
            wrong = wrong | (ld_i32(zone, j, -1) ^ {_HALF})
        if wrong != 0 and bad < 0:
            bad = i
    st_i64(block, 2, bad, -1)
"""


class Guards:
    """Hands out guarded memory for a plan."""

    def __init__(self) -> None:
        self.kernel = jit.request(_SOURCE)
        """Finds the first zone that was written to."""
        self.placed: Watch | None = None
        """Whose zones lie in the memory now."""

    def ready(self) -> bool:
        """Whether zones can be looked at."""
        return self.kernel.ready() or self.kernel.failure is not None

    @staticmethod
    def empty(count: int) -> Any:
        """So many bytes on a cache line, poisoned, with room for a zone on both sides."""
        raw = np.full(count + 2 * _ZONE + 64, 0xFF, np.uint8)
        start = _ZONE + (-(raw.ctypes.data + _ZONE)) % 64
        return raw[start : start + count]


class Watch:
    """Zones and poison of one binding.

    Args:
        guards: of the plan.
        run_table: the executor's function that runs rows.
        memory: name -> its memory, and how many bytes of it are used.
        temporary: names of the memory that is poisoned.
    """

    def __init__(
        self, guards: Guards, run_table: Any, memory: Mapping[str, tuple[Any, int]], temporary: Mapping[str, int]
    ) -> None:
        self._guards, self._run = guards, run_table
        self.places = {name: (address_of(array), used) for name, (array, used) in memory.items()}
        self.names = [f"{side} {name}" for name in memory for side in ("before", "behind")]
        starts = [a for at, used in self.places.values() for a in (at - _ZONE, at + used)]
        self._zones = np.array(starts, np.int64)
        self._block = np.array([self._zones.ctypes.data, len(starts), -1], np.int64)
        poisoned = [executor.fill_row(*self.places[name], _POISON) for name in temporary]
        zones = [executor.fill_row(a, _ZONE, _WORD) for a in starts]
        self._placing = np.array([*poisoned, *zones], np.int64).reshape(-1, executor.FIELDS)
        self._check = np.array([self.check_row()], np.int64)
        self._dies: dict[int, list[str]] = {}
        for name, last in temporary.items():
            self._dies.setdefault(last, []).append(name)

    def check_row(self) -> list[int]:
        """The row that looks at all zones."""
        return executor.kernel_row(self._guards.kernel.address, self._block.ctypes.data)

    def poison_rows(self, step: int) -> list[list[int]]:
        """The rows that poison what nobody reads after a step; step -1: before the first one."""
        return [executor.fill_row(*self.places[name], _POISON) for name in self._dies.get(step, ())]

    def place(self) -> None:
        """Put the zones where this binding's end, if another one ran last."""
        if self._guards.placed is not self:
            self._run(self._placing.ctypes.data, len(self._placing))
            self._guards.placed = self

    def check(self, after: str) -> None:
        """Look at all zones now.

        Raises:
            ExecutionError: naming the zone that was written to, and after what.
        """
        self._run(self._check.ctypes.data, 1)
        self.look(after)

    def look(self, after: str) -> None:
        """What the last look at the zones found.

        Raises:
            ExecutionError: naming the zone that was written to, and after what.
        """
        bad = int(self._block[2])
        if bad < 0:
            return
        zone = np.frombuffer(ctypes.string_at(int(self._zones[bad]), _ZONE), np.uint8)
        written = np.flatnonzero(zone != _PATTERN)
        self._guards.placed = None
        raise ExecutionError(
            f"{len(written)} bytes {self.names[bad]} were overwritten, from byte {int(written[0])} of the zone on",
            where=after,
            fix=_FIX,
        )


def poisoned(array: Any) -> int:
    """How many numbers of an array are poison: memory that nobody wrote, or that was read after its end of life."""
    if getattr(getattr(array, "dtype", None), "kind", "") != "f":
        return 0  # sparse results are never native
    whole = np.ascontiguousarray(array)
    return int(np.count_nonzero(whole.view(f"i{whole.itemsize}") == _POISON))


def refuse_poison(results: Sequence[tuple[str, Any]], where: str) -> None:
    """Look for poison in what a run has made.

    Raises:
        ExecutionError: naming the result.
    """
    for name, array in results:
        if count := poisoned(array):
            raise ExecutionError(
                f"{count} of {array.size} numbers of {name} were never written, or come from memory that is not in use",
                where=where,
                fix=_FIX,
            )


def row_failed(plan: Plan, row: int, count: int) -> ExecutionError:
    """What is raised when a library reports an error from inside a table."""
    return ExecutionError(
        f"native row {row} of {count} of plan {plan.number} reported an error",
        fix="compare with settings.set_option('native', False), and report the model",
    )
