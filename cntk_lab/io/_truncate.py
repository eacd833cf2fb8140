"""Truncation: long sequences are cut into pieces of T frames that follow each other minibatch after minibatch.

Several sequences are cut side by side, one per slot; a slot whose sequence is finished takes the next one. A piece that
continues a sequence carries no begin mark. As everywhere on the timeline, picking changes nothing.

Source: CNTK 2.7 ``truncation_length``, as observed.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cntk_lab.io._timeline import Picked, Piece, Place, Slot, Timeline


def pick_truncated(timeline: Timeline, place: Place, samples: int, frames: int) -> Picked | None:
    """The pieces of the next minibatch; None at the end.

    Args:
        timeline: where sequences come from.
        place: where to begin.
        samples: how many samples are wanted; the number of slots is this over ``frames``, at least 1.
        frames: longest piece, in frames.
    """
    wanted = max(1, samples // frames)
    slots = list(place.slots) + [()] * (wanted - len(place.slots))
    taker = _Taker(timeline, place, frames)
    after = [taker.fill(slot, number, number < wanted) for number, slot in enumerate(slots)]
    if not taker.rows:
        return None
    while len(after) > wanted and not after[-1]:
        after.pop()
    chunk, number, sweep, first, count, slot_of = np.array(taker.rows, np.int64).T
    taken = int(count.sum())
    done = replace(taker.place, samples=place.samples + taken, slots=tuple(after) if any(after) else ())
    return Picked(chunk, number, sweep, taken, taker.ended, done, first, count, slot_of)


class _Taker:
    """Fills slots and moves the place on."""

    def __init__(self, timeline: Timeline, place: Place, frames: int) -> None:
        self._timeline, self.place, self._frames = timeline, replace(place, slots=()), frames
        limit = timeline.limits.samples
        self._room = None if limit is None else limit - place.samples
        self.rows: list[tuple[int, int, int, int, int, int]] = []
        self.ended = False

    def fill(self, waiting: Slot, slot: int, may_start: bool) -> Slot:
        """Take up to T frames for one slot; the sequences that wait in it afterwards are returned.

        A slot holds more than T frames before it is emptied, if there are so many: that decides, as in CNTK, which
        slot the next sequences go to.
        """
        pieces = list(waiting)
        held = sum(self._length(p) - p.done for p in pieces)
        while may_start and held <= self._frames:
            piece = self._next()
            if piece is None:
                break
            pieces.append(piece)
            held += self._length(piece)
        left = self._frames
        while left and pieces and self._room != 0:
            piece = pieces[0]
            chunk, number, length = self._timeline.sweep(piece.sweep).at(piece.position)
            count = min(left, length - piece.done)
            if self._room is not None:
                count = min(count, self._room)
                self._room -= count
            self.rows.append((chunk, number, piece.sweep, piece.done, count, slot))
            left -= count
            pieces[0] = replace(piece, done=piece.done + count)
            if pieces[0].done >= length:
                self.ended = self.ended or piece.last
                pieces.pop(0)
        return () if self._room == 0 else tuple(pieces)

    def _length(self, piece: Piece) -> int:
        return self._timeline.sweep(piece.sweep).at(piece.position)[2]

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
