"""Truncation: long sequences are cut into pieces of T frames that follow each other minibatch after minibatch.

Several sequences are cut side by side, one per slot; a slot whose sequence is finished takes the next one. A piece that
continues a sequence carries no begin mark. As everywhere on the timeline, picking changes nothing.

Source: CNTK 2.7 ``truncation_length``, as observed.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cntk_lab.io._timeline import Picked, Piece, Place, Timeline


def pick_truncated(timeline: Timeline, place: Place, samples: int, frames: int) -> Picked | None:
    """The pieces of the next minibatch; None at the end.

    Args:
        timeline: where sequences come from.
        place: where to begin.
        samples: how many samples are wanted; the number of slots is this over ``frames``, at least 1.
        frames: longest piece, in frames.
    """
    slots: list[Piece | None] = list(place.slots)
    wanted = max(1, samples // frames)
    slots += [None] * (wanted - len(slots))
    taker = _Taker(timeline, place, frames)
    after = [taker.fill(slot, number, number < wanted) for number, slot in enumerate(slots)]
    if not taker.rows:
        return None
    while len(after) > wanted and after[-1] is None:
        after.pop()
    columns = [np.array(column, np.int64) for column in zip(*taker.rows, strict=True)]
    taken = int(columns[4].sum())
    done = replace(taker.place, samples=place.samples + taken, slots=tuple(after) if any(after) else ())
    return Picked(*columns[:3], taken, taker.ended, done, columns[3], columns[4], columns[5])


class _Taker:
    """Fills slots and moves the place on."""

    def __init__(self, timeline: Timeline, place: Place, frames: int) -> None:
        self._timeline, self.place, self._frames = timeline, replace(place, slots=()), frames
        limit = timeline.limits.samples
        self._room = None if limit is None else limit - place.samples
        self.rows: list[tuple[int, int, int, int, int, int]] = []
        self.ended = False

    def fill(self, piece: Piece | None, slot: int, may_start: bool) -> Piece | None:
        """Take up to T frames for one slot; what is left of the last sequence is returned."""
        left = self._frames
        while left and self._room != 0:
            if piece is None:
                piece = self._next() if may_start else None
                if piece is None:
                    break
            chunk, number, length = self._timeline.sweep(piece.sweep).at(piece.position)
            count = min(left, length - piece.done)
            if self._room is not None:
                count = min(count, self._room)
                self._room -= count
            self.rows.append((chunk, number, piece.sweep, piece.done, count, slot))
            left -= count
            piece = replace(piece, done=piece.done + count)
            if piece.done >= length:
                self.ended = self.ended or piece.last
                piece = None
        return None if self._room == 0 else piece

    def _next(self) -> Piece | None:
        place, limits = self.place, self._timeline.limits
        if limits.sweeps is not None and place.sweep >= limits.sweeps:
            return None
        sweep = self._timeline.sweep(place.sweep)
        if sweep.complete(place.position):
            return None
        last = sweep.complete(place.position + 1)
        self.place = (
            replace(place, sweep=place.sweep + 1, position=0) if last else replace(place, position=place.position + 1)
        )
        return Piece(place.sweep, place.position, 0, last)
