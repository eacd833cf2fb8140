"""What a page of a preview is, and what gives pages: by number, without moving anything. Knows no reader."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from numpy.typing import NDArray

from cntk_lab.io._defects import Defect
from cntk_lab.io._pixels import Step
from cntk_lab.io._ragged import Ragged
from cntk_lab.io._streams import StreamInformation
from cntk_lab.tensor.layout import IndexVector

MOST_PAGES: Final = 200
"""Minibatches whose padding is measured."""


@dataclass(frozen=True)
class Page:
    """One minibatch.

    Args:
        number: of the minibatch, from 0.
        data: per stream its sequences; a stream that ended before a cut piece has none of its frames.
        names: of the sequences.
        samples: that the minibatch counts.
        sweep: number of the sweep it begins in; None where that is not known.
        ends_sweep: whether a sweep ends in or with it.
        left_out: sequences that cannot be delivered.
        origin: of each sequence chunk, number in the chunk and seed, where there are chunks.
    """

    number: int
    data: Mapping[str, Ragged]
    names: tuple[str, ...]
    samples: int
    sweep: int | None = None
    ends_sweep: bool = False
    left_out: int = 0
    origin: tuple[tuple[int, int, int], ...] = ()


@dataclass(frozen=True)
class Lengths:
    """How long sequences are.

    Args:
        lengths: samples of each sequence.
        waste: part of a padded minibatch that would be padding, 0..1.
        basis: what was counted, in words.
    """

    lengths: IndexVector
    waste: float
    basis: str


@dataclass(frozen=True)
class Sample:
    """Sequences from all over the data: per stream, and in words which ones."""

    data: Mapping[str, Ragged]
    basis: str


class Pages(ABC):
    """The minibatches of a source, by number."""

    streams: tuple[StreamInformation, ...]
    """What each stream holds."""
    order: str = "in the order of the data"
    """In which order sequences come, in words."""
    shuffles: bool = False
    """Whether the source has an order of its own beside the one shown."""
    total: int | None = None
    """Sequences of a sweep, where that is known."""
    follows: bool = False
    """Whether it is known where training is."""
    blue_first: frozenset[str] = frozenset()
    """Streams whose images are stored with blue as the first channel."""

    @abstractmethod
    def page(self, number: int, size: int) -> Page | None:
        """The minibatch of a number; None after the end.

        Args:
            number: from 0.
            size: samples wanted in a minibatch.
        """

    @abstractmethod
    def sample(self, limit: int) -> Sample:
        """Sequences from all over the data, as evenly as can be.

        Args:
            limit: how many at most.
        """

    @abstractmethod
    def lengths(self, size: int) -> Lengths:
        """The lengths of sequences, and what padding would waste.

        Args:
            size: samples wanted in a minibatch.
        """

    def steps(self, page: Page, sequence: int) -> Mapping[str, Sequence[Step]]:  # noqa: ARG002
        """Per stream what each transform makes of a sequence of a page; nothing where there are no transforms."""
        return {}

    def training(self, size: int) -> int | None:  # noqa: ARG002
        """The number of the minibatch that training sees next; None where that is not known."""
        return None

    def in_training_order(self) -> None:
        """From now on, pages come in the order in which training sees them; where they do already, nothing changes."""
        return

    @property
    def defects(self) -> Sequence[Defect]:
        """Bad places met so far."""
        return ()

    def close(self) -> None:
        """Give the memory back, where there is any."""
        return


def waste(batches: Sequence[NDArray[Any]]) -> float:
    """The part of padded minibatches that is padding."""
    padded = sum(len(b) * int(b.max()) for b in batches if len(b))
    return 1 - sum(int(b.sum()) for b in batches) / padded if padded else 0.0
