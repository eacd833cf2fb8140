"""Equal units that follow each other in a chain: where a long row of nodes repeats itself.

Knows nothing of drawing: it is given digests of what the nodes do and who feeds whom.

Idea: rolled-up modules of torchview.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Final

import numpy as np

LONGEST_UNIT: Final = 24
"""Nodes beside each other that may form the unit of a repeat."""
PATIENCE: Final = 2_000_000
"""Children that are compared while repeats are looked for; a graph made to take for ever keeps its nodes unfolded."""


class Row:
    """The children of one container in order, and where equal units follow each other in a chain.

    Args:
        order: the children.
        digests: what each of them does.
        edges: target -> sources, among the children and from outside.
        ends: children that must be seen, because others use them from outside.
        fewest: repeats that are worth a fold.
    """

    def __init__(
        self, order: list[str], digests: list[str], edges: Mapping[str, set[str]], ends: set[str], fewest: int
    ) -> None:
        self.order, self.fewest = order, fewest
        number: dict[str, int] = {}
        self._codes = np.array([number.setdefault(digest, len(number)) for digest in digests], np.int64)
        place = {uid: index for index, uid in enumerate(order)}
        sources = [edges.get(uid, set()) for uid in order]
        self._back = [sorted(index - place[s] for s in fed if s in place) for index, fed in enumerate(sources)]
        """How far back lies what each child takes from its siblings."""
        self._linked = [0, *itertools.accumulate(bool(back) and back[0] < 2 * LONGEST_UNIT for back in self._back)]
        """How many children before a place are fed by a sibling near by."""
        self._outside = [tuple(sorted(s for s in fed if s not in place)) for fed in sources]
        self._last_use = list(range(len(order)))
        """The last sibling that uses a child; beyond all of them if it must be seen."""
        for index, back in enumerate(self._back):
            for far in back:
                self._last_use[index - far] = max(self._last_use[index - far], index)
        for index, uid in enumerate(order):
            if uid in ends:
                self._last_use[index] = len(order)
        self._equal: dict[int, list[int]] = {}
        self._patience = PATIENCE

    def longest_run(self, start: int, periods: range) -> tuple[int, int]:
        """(nodes of a unit, repeats) of the run that folds most nodes from ``start``; (1, 1) if there is none."""
        best = (1, 1)
        near = min(len(self.order), start + 2 * LONGEST_UNIT)
        if self._linked[near] == self._linked[min(start + 1, near)]:
            return best  # nothing here feeds its neighbours
        longest = min(LONGEST_UNIT, (len(self.order) - start) // self.fewest, periods.stop - 1)
        for period in range(periods.start, longest + 1):
            repeats = self._equal_from(period)[start] // period + 1
            if repeats >= self.fewest and (repeats - 1) * period > (best[1] - 1) * best[0]:
                repeats = self._connected(start, period, repeats)
                if repeats >= self.fewest and (repeats - 1) * period > (best[1] - 1) * best[0]:
                    best = (period, repeats)
        return best

    def _equal_from(self, period: int) -> list[int]:
        """For every place how many children from there on do the same as the ones a period later."""
        if period not in self._equal:
            codes = self._codes
            here = np.arange(len(codes))
            unlike = np.where(np.append(codes[:-period] == codes[period:], np.zeros(period, bool)), len(codes), here)
            self._equal[period] = (np.minimum.accumulate(unlike[::-1])[::-1] - here).tolist()
        return self._equal[period]

    def _connected(self, start: int, period: int, repeats: int) -> int:
        """How many units of a run hang together as a chain: each fed by the one before, in the same way."""
        good = 1
        while good < repeats and self._patience > 0 and self._follows(start, start + good * period, period, good):
            good += 1
            self._patience -= period
        # what is used behind the run, or must be seen, can only stand in the last unit
        uses: list[int] = []
        for index in range(start, start + (good - 1) * period):
            uses.append(max(self._last_use[index], uses[-1] if uses else 0))
        self._patience -= len(uses)
        while good >= self.fewest and uses[(good - 1) * period - 1] >= start + good * period:
            good -= 1
        return good

    def _follows(self, start: int, first: int, period: int, unit: int) -> bool:
        """Whether the unit at ``first`` is fed by the one before it, in the way in which that one is."""
        reaches = any(q < far <= q + period for q in range(period) for far in self._back[first + q])
        return reaches and (
            unit == 1 or all(self._fed(start, first + q) == self._fed(start, first + q - period) for q in range(period))
        )

    def _fed(self, start: int, index: int) -> tuple[list[int], list[str]]:
        """What a child takes from the run so far (how far back), and what from before it (by name)."""
        back = self._back[index]
        if not back or back[-1] <= index - start:
            return back, list(self._outside[index])
        far = [self.order[index - n] for n in back if n > index - start]
        return [n for n in back if n <= index - start], sorted((*self._outside[index], *far))
