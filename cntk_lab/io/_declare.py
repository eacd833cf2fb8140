"""What a deserializer is: a description that says which file and streams, and a reader made from it.

``@deserializer("CNTKTextFormatDeserializer")`` registers the reader class of a format; a description can be looked at
and changed like a dictionary before a source opens it. A reader offers its data in chunks of sequences; everything else
(order, minibatches, several readers at once) is the source's business. Knows no format.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from cntk_lab.errors import AttributeValueError
from cntk_lab.io._defects import Defects
from cntk_lab.io._ragged import Ragged
from cntk_lab.io._streams import StreamInformation
from cntk_lab.tensor.layout import IndexVector

Keys = NDArray[Any]
"""Names of sequences: whole numbers (uint64) or words (object)."""


Lying = tuple[IndexVector | None, Ragged, IndexVector]
"""Where some of the sequences asked for lie: which ones (None: all), sequences, and their numbers among these."""


class Chunk(ABC):
    """A part of the data that is in memory."""

    nbytes: int = 0

    def lying(self, which: IndexVector) -> Mapping[str, list[Lying]]:
        """Where sequences lie, per stream; only of readers that are ``plain``.

        Args:
            which: numbers of sequences within the chunk.
        """
        raise NotImplementedError(f"{type(self).__name__} makes its sequences when they are taken")

    @abstractmethod
    def take(self, which: IndexVector, seeds: NDArray[np.uint64]) -> Mapping[str, Ragged]:
        """Per stream the sequences with these numbers.

        Args:
            which: numbers of sequences within the chunk.
            seeds: one number for each, for transforms that draw lots.
        """


class LeftOut(Exception):  # noqa: N818  (not an error: a signal to pick again)
    """Sequences turned out to be bad while they were taken; :meth:`Reader.usable` knows them now."""


class MemoryChunk(Chunk):
    """A chunk whose streams are arrays.

    Args:
        streams: stream name -> all sequences of the chunk.
    """

    def __init__(self, streams: Mapping[str, Ragged]) -> None:
        self.streams = dict(streams)
        self.nbytes = sum(r.nbytes for r in self.streams.values())

    def take(self, which: IndexVector, seeds: NDArray[np.uint64]) -> Mapping[str, Ragged]:  # noqa: ARG002
        """Per stream the sequences with these numbers."""
        return {name: data.take(which) for name, data in self.streams.items()}

    def lying(self, which: IndexVector) -> Mapping[str, list[Lying]]:
        """Where sequences lie."""
        return {name: [(None, data, which)] for name, data in self.streams.items()}


class Reader(ABC):
    """Data in chunks of sequences."""

    streams: tuple[StreamInformation, ...]
    """What each sequence holds."""
    keyed: bool = True
    """Whether keys name sequences across readers, so that several can be joined."""
    indexed: bool = True
    """Whether keys and numbers of samples are known before data are read."""
    selective: bool = False
    """Whether :meth:`some` reads nothing else."""
    plain: bool = False
    """Whether taking sequences of a loaded chunk only copies them from where they lie (:meth:`Chunk.lying`), and chunks
    may be loaded in a thread while sizes and keys are asked for.
    """
    defects: Defects
    """Where bad places are told."""
    left_out: int = 0
    """Sequences that no chunk has, because their entry was bad or they have no partner, as far as known."""

    @abstractmethod
    def chunk_count(self) -> int:
        """Number of chunks."""

    @abstractmethod
    def samples(self, chunk: int) -> IndexVector:
        """For each sequence of a chunk how many samples it counts in a minibatch."""

    @abstractmethod
    def keys(self, chunk: int) -> Keys:
        """The key of each sequence of a chunk."""

    @abstractmethod
    def load(self, chunk: int) -> Chunk:
        """Read a chunk; sequences with tolerated defects are left out by :meth:`usable`."""

    def usable(self, chunk: int, loaded: Chunk) -> NDArray[np.bool_] | None:  # noqa: ARG002
        """Which sequences of a loaded chunk can be delivered; None: all."""
        return None

    def some(
        self, chunk: int, which: IndexVector, seeds: NDArray[np.uint64]
    ) -> tuple[Mapping[str, Ragged], IndexVector]:
        """A few sequences of a chunk for who only looks at them; readers that can do so read nothing else.

        Args:
            chunk: where they lie.
            which: numbers of sequences within the chunk.
            seeds: one number for each, for transforms that draw lots.

        Returns:
            Per stream the sequences that can be delivered, and which of those asked for they are.
        """
        loaded = self.load(chunk)
        while True:
            mask = self.usable(chunk, loaded)
            kept = np.arange(len(which)) if mask is None else np.flatnonzero(mask[which])
            if not len(kept):
                return {}, kept
            try:
                return loaded.take(which[kept], seeds[kept]), kept
            except LeftOut:  # now it is known which ones are bad
                continue

    def twin(self, defects: Defects, fine: bool) -> Reader | None:  # noqa: ARG002
        """A reader of the same data with a state of its own, that shares what never changes; None: open one anew.

        Args:
            defects: where it tells bad places.
            fine: whether small chunks are wanted; for who goes through the data in their order.
        """
        return None

    def steps(self, chunk: int, number: int, seed: int) -> Mapping[str, Sequence[Any]]:  # noqa: ARG002
        """Per stream what each transform makes of a sequence (``_pixels.Step``), where there are transforms."""
        return {}

    def chunk_bytes(self) -> int:
        """Memory that one chunk takes about, in bytes."""
        return 0


Open = Callable[["Deserializer", Defects], Reader]
_formats: dict[str, Open] = {}
_Made = TypeVar("_Made", bound=Callable[..., Reader])


def deserializer(format_name: str) -> Callable[[_Made], _Made]:
    """Register what opens a format: called with the description and the list of defects, it gives the Reader."""

    def register(make: _Made) -> _Made:
        _formats[format_name] = make
        return make

    return register


class Deserializer(MutableMapping[str, Any]):
    """Which file is read, as what, into which streams: a dictionary with the entries of CNTK's configuration.

    Args:
        type_: name of the format.
        entries: further entries, such as ``file`` and ``input``.

    Example:
        >>> d = Deserializer("CNTKTextFormatDeserializer", {"file": "train.txt", "input": {}})
        >>> d["type"], d["file"]
        ('CNTKTextFormatDeserializer', 'train.txt')
    """

    def __init__(self, type_: str, entries: Mapping[str, Any]) -> None:
        self._entries: dict[str, Any] = {"type": type_, **entries}

    def __getitem__(self, key: str) -> Any:
        return self._entries[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._entries[key] = value

    def __delitem__(self, key: str) -> None:
        del self._entries[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"Deserializer({self._entries!r})"

    def open(self, defects: Defects) -> Reader:
        """The reader of what is described.

        Raises:
            AttributeValueError: if there is no such format.
        """
        make = _formats.get(self["type"])
        if make is None:
            raise AttributeValueError(
                f"there is no reader for '{self['type']}'", fix=f"one of: {', '.join(sorted(_formats))}"
            )
        return make(self, defects)
