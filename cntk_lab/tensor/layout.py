"""Layout: how a minibatch of sequences is packed into rows without padding, and back.

Sequences are sorted by length, longest first, and laid out time-major: slab ``t`` holds one row for each sequence with
more than ``t`` frames, in sorted order. Then one time step of all live sequences is one contiguous slab of rows, a
frame-wise operator is a plain operator on all rows, and a delay reads the first rows of a neighbouring slab: no
masks, no padding. A minibatch without sequence axis is simply its samples in the user's order.

    lengths (2, 3, 1)   order (1, 0, 2)      rows:  1.0 0.0 2.0 | 1.1 0.1 | 1.2
                                             slab:       0      |    1    |  2

Knows nothing of operators; arrays are touched only through index vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cntk_lab.errors import SequenceError

IndexVector = NDArray[np.int64]


class Layout:
    """The lengths of the sequences of a minibatch and everything that follows from them. Immutable; equal ones are
    shared.

    Args:
        lengths: number of frames of each sequence, in the user's order.
        begins: whether each sequence begins here (False: it continues the previous minibatch).
        slots: where several sequences are cut into minibatches side by side, the slot in which each piece lies: a
            piece that continues goes on from the last one of its slot before. None: each sequence is a slot of its own.
    """

    def __init__(
        self, lengths: Sequence[int], begins: Sequence[bool] | None = None, slots: Sequence[int] | None = None
    ) -> None:
        self.lengths: IndexVector = np.asarray(lengths, np.int64).reshape(-1)
        if len(self.lengths) and int(self.lengths.min()) < 1:
            raise SequenceError(
                f"sequence {int(self.lengths.argmin())} is empty: sequences must be at least one frame long",
                fix="drop empty sequences before they reach the network",
            )
        self.begins = None if begins is None or all(begins) else tuple(bool(b) for b in begins)
        self.slots = None if slots is None or list(slots) == list(range(len(self.lengths))) else tuple(slots)

    @staticmethod
    def of(
        lengths: Sequence[int] | IndexVector, begins: Sequence[bool] | None = None, slots: Sequence[int] | None = None
    ) -> Layout:
        """The shared layout of these lengths."""
        return _shared(
            np.asarray(lengths, np.int64).tobytes(),
            None if begins is None else tuple(map(bool, begins)),
            None if slots is None else tuple(map(int, slots)),
        )

    @staticmethod
    def of_samples(count: int) -> Layout:
        """The shared layout of so many sequences of a single frame.

        Example:
            >>> Layout.of_samples(2) == Layout.of([1, 1])
            True
        """
        return _samples(count)

    @cached_property
    def slot(self) -> IndexVector:
        """The slot of each of the user's sequences."""
        return np.arange(self.count, dtype=np.int64) if self.slots is None else np.array(self.slots, np.int64)

    @property
    def count(self) -> int:
        """Number of sequences."""
        return len(self.lengths)

    @cached_property
    def rows(self) -> int:
        """Number of frames in all."""
        return int(self.lengths.sum())

    @cached_property
    def longest(self) -> int:
        """Number of frames of the longest sequence; number of slabs."""
        return int(self.lengths.max()) if self.count else 0

    @cached_property
    def order(self) -> IndexVector:
        """The user's number of each sequence in sorted order."""
        return np.argsort(-self.lengths, kind="stable")

    @cached_property
    def rank(self) -> IndexVector:
        """The place in sorted order of each of the user's sequences."""
        rank = np.empty_like(self.order)
        rank[self.order] = np.arange(self.count)
        return rank

    @cached_property
    def live(self) -> IndexVector:
        """Number of sequences with more than ``t`` frames, for each slab ``t``."""
        return self.count - np.bincount(self.lengths).cumsum()[:-1] if self.count else np.zeros(0, np.int64)

    @cached_property
    def offsets(self) -> IndexVector:
        """First row of each slab, and the number of rows at the end."""
        return _sums(self.live)

    @cached_property
    def position(self) -> IndexVector:
        """The frame number of each row within its sequence."""
        return np.arange(self.longest, dtype=np.int64).repeat(self.live)

    @cached_property
    def _place(self) -> IndexVector:
        """The sorted place of each row's sequence."""
        return np.arange(self.rows, dtype=np.int64) - self.offsets[:-1].repeat(self.live)

    @cached_property
    def sequence(self) -> IndexVector:
        """The user's sequence number of each row."""
        return self.order.take(self._place)

    @cached_property
    def starts(self) -> IndexVector:
        """Where each of the user's sequences starts when they are laid end to end."""
        return _sums(self.lengths)[:-1]

    @cached_property
    def pack(self) -> IndexVector:
        """For each packed row, its place among the sequences laid end to end in the user's order."""
        return self.starts.take(self.sequence) + self.position

    @cached_property
    def unpack(self) -> IndexVector:
        """For each frame of the sequences laid end to end, its packed row."""
        inverse = np.empty(self.rows, np.int64)
        inverse[self.pack] = np.arange(self.rows)
        return inverse

    @cached_property
    def first(self) -> IndexVector:
        """The packed row of the first frame of each of the user's sequences."""
        return self.rank

    @cached_property
    def last(self) -> IndexVector:
        """The packed row of the last frame of each of the user's sequences."""
        return self.offsets[self.lengths - 1] + self.rank

    def row(self, sequence: IndexVector, position: IndexVector) -> IndexVector:
        """The packed rows of frames given by the user's sequence numbers and positions."""
        return self.offsets[position] + self.rank[sequence]

    @cached_property
    def identity(self) -> bool:
        """Whether packed order is the user's order laid end to end (true for single frames)."""
        return self.longest <= 1 or self.count <= 1

    def pack_rows(self, flat: Any) -> Any:
        """Rows laid end to end (an array with rows first, NumPy or CuPy) in packed order."""
        return flat if self.identity else _taken(flat, self.pack)

    def unpack_rows(self, rows: Any) -> Any:
        """Packed rows laid end to end in the user's order."""
        return rows if self.identity else _taken(rows, self.unpack)

    def split(self, rows: Any) -> list[Any]:
        """Packed rows as one array per sequence, in the user's order."""
        flat = self.unpack_rows(rows)
        return [flat[s : s + n] for s, n in zip(self.starts.tolist(), self.lengths.tolist(), strict=True)]

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, Layout)
            and self.begins == other.begins
            and self.slots == other.slots
            and np.array_equal(self.lengths, other.lengths)
        )

    def __hash__(self) -> int:
        return hash((self.lengths.tobytes(), self.begins))

    def __repr__(self) -> str:
        return f"Layout(lengths={self.lengths.tolist()})"


@lru_cache(maxsize=256)
def _shared(lengths: bytes, begins: tuple[bool, ...] | None, slots: tuple[int, ...] | None) -> Layout:
    return Layout(np.frombuffer(lengths, np.int64), begins, slots)  # type: ignore[arg-type]


def _sums(counts: IndexVector) -> IndexVector:
    """The sums of the first 0, 1, 2 ... counts."""
    sums = np.zeros(len(counts) + 1, np.int64)
    counts.cumsum(out=sums[1:])
    return sums


def _taken(rows: Any, index: IndexVector) -> Any:
    """Some rows; NumPy takes them in half the time by name."""
    return rows.take(index, axis=0) if type(rows) is np.ndarray else rows[index]


@lru_cache(maxsize=256)
def _samples(count: int) -> Layout:
    return Layout.of(np.ones(count, np.int64))


def concatenate_ranges(starts: IndexVector, lengths: IndexVector) -> IndexVector:
    """The numbers ``starts[i], starts[i] + 1, ...`` (``lengths[i]`` of them) for each i, end to end.

    Example:
        >>> concatenate_ranges(np.array([5, 0]), np.array([2, 3])).tolist()
        [5, 6, 0, 1, 2]
    """
    total = int(lengths.sum())
    shift = np.repeat(starts - np.concatenate([[0], np.cumsum(lengths)[:-1]]), lengths)
    numbers: IndexVector = np.arange(total, dtype=np.int64) + shift
    return numbers
