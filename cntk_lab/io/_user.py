"""Sources and deserializers written by the user in Python.

``UserMinibatchSource``: the user makes minibatches. ``UserDeserializer``: the user gives chunks; order, minibatches,
workers and checkpoints are the MinibatchSource's. Knows no files.

Source: CNTK 2.7 ``io.UserMinibatchSource``, ``io.UserDeserializer``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cntk_lab.errors import AttributeValueError, ReaderError
from cntk_lab.graph.record import Record
from cntk_lab.io._declare import Chunk, Keys, MemoryChunk, Reader
from cntk_lab.io._defects import Defects
from cntk_lab.io._ragged import from_lists
from cntk_lab.io._streams import FULL_DATA_SWEEP, INFINITELY_REPEAT, MinibatchData, StreamInformation
from cntk_lab.tensor.layout import IndexVector


class UserMinibatchSource:
    """Base class of sources that make minibatches themselves.

    A subclass gives ``stream_infos`` and ``next_minibatch``; ``get_checkpoint_state`` and ``restore_from_checkpoint``
    if training shall go on where it stopped.

    Example:
        >>> class Ones(UserMinibatchSource):
        ...     def stream_infos(self):
        ...         return [StreamInformation("x", 0, "dense", np.float32, (1,))]
        >>> Ones()["x"].name
        'x'

    Source: CNTK 2.7 ``io.UserMinibatchSource``.
    """

    infinitely_repeat = INFINITELY_REPEAT
    full_data_sweep = FULL_DATA_SWEEP

    def __init__(self) -> None:
        self.streams = Record(**{info.m_name: info for info in self.stream_infos()})

    def stream_infos(self) -> Sequence[StreamInformation]:
        """What is known of each stream; a subclass says it."""
        raise NotImplementedError(f"{type(self).__name__} has no stream_infos(): return a list of StreamInformation")

    def stream_info(self, name: str) -> StreamInformation:
        """What is known of one stream.

        Raises:
            ReaderError: if there is none of this name.
        """
        for info in self.stream_infos():
            if info.m_name == name:
                return info
        raise ReaderError(
            f"there is no stream '{name}'", fix=f"one of: {', '.join(i.m_name for i in self.stream_infos())}"
        )

    def __getitem__(self, name: str) -> StreamInformation:
        return self.stream_info(name)

    def next_minibatch(
        self, num_samples: int, number_of_workers: int = 1, worker_rank: int = 0, device: Any = None
    ) -> dict[StreamInformation, MinibatchData]:
        """The next minibatch; a subclass makes it.

        Args:
            num_samples: how many samples are wanted.
            number_of_workers: workers that share the data.
            worker_rank: which of them this is, from 0.
            device: where the data are wanted.

        Returns:
            {stream: MinibatchData}; empty at the end.
        """
        raise NotImplementedError(
            f"{type(self).__name__} has no next_minibatch(): return a dictionary of MinibatchData"
        )

    def is_infinite(self) -> bool:
        """Whether the source never ends; a subclass that does says so."""
        return False

    def get_checkpoint_state(self) -> Mapping[str, Any]:
        """What is needed to go on from here; a subclass that keeps a state says it."""
        return {}

    def restore_from_checkpoint(self, state: Mapping[str, Any]) -> None:
        """Go on from where a state was taken.

        Raises:
            ReaderError: if there is a state and the subclass does not take it.
        """
        if state:
            raise ReaderError(
                f"{type(self).__name__} gives a checkpoint state but does not take it back",
                fix="override restore_from_checkpoint(state) too",
            )


class UserDeserializer:
    """Base class of deserializers written by the user: data in chunks.

    A subclass gives ``stream_infos``, ``num_chunks`` and ``get_chunk``. The same chunk number must give the same
    sequences every time.

    Example:
        >>> from cntk_lab.io import MinibatchSource
        >>> class Squares(UserDeserializer):
        ...     def stream_infos(self):
        ...         return [StreamInformation("y", 0, "dense", np.float32, (1,))]
        ...     def num_chunks(self):
        ...         return 2
        ...     def get_chunk(self, chunk_id):
        ...         return {"y": np.arange(chunk_id * 2, chunk_id * 2 + 2, dtype=np.float32)[:, None] ** 2}
        >>> source = MinibatchSource(Squares(), randomize=False)
        >>> source.next_minibatch(4)[source.streams.y].asarray().ravel().tolist()
        [0.0, 1.0, 4.0, 9.0]

    Source: CNTK 2.7 ``io.UserDeserializer``.
    """

    def stream_infos(self) -> Sequence[StreamInformation]:
        """What is known of each stream; a subclass says it."""
        raise NotImplementedError(f"{type(self).__name__} has no stream_infos(): return a list of StreamInformation")

    def num_chunks(self) -> int:
        """Number of chunks; a subclass says it."""
        raise NotImplementedError(f"{type(self).__name__} has no num_chunks(): return how many chunks there are")

    def get_chunk(self, chunk_id: int) -> Mapping[str, Any]:
        """One chunk; a subclass reads it.

        Args:
            chunk_id: its number, from 0.

        Returns:
            {stream name: data}: a list with one array (frames x shape) or CSR matrix per sequence, or one array or
            CSR matrix whose rows are samples.
        """
        raise NotImplementedError(f"{type(self).__name__} has no get_chunk(): return a dictionary of arrays")

    def __getitem__(self, key: str) -> str:
        return {"type": "UserDeserializer"}[key]


class _UserReader(Reader):
    """Chunks from the user's code; sizes become known when a chunk is read first."""

    keyed = False
    indexed = False

    def __init__(self, source: UserDeserializer, defects: Defects) -> None:
        self._source, self.defects = source, defects
        self.streams = tuple(source.stream_infos())
        self._count = int(source.num_chunks())
        if not self.streams or self._count < 1:
            raise AttributeValueError(
                f"{type(source).__name__} has {len(self.streams)} streams and {self._count} chunks",
                fix="give at least one",
            )
        self._sizes: dict[int, IndexVector] = {}
        self._last: tuple[int, MemoryChunk] | None = None

    def chunk_count(self) -> int:
        return self._count

    def samples(self, chunk: int) -> IndexVector:
        if chunk not in self._sizes:
            self._last = (chunk, self._read(chunk))
        return self._sizes[chunk]

    def keys(self, chunk: int) -> Keys:
        return np.arange(len(self.samples(chunk)), dtype=np.uint64)

    def load(self, chunk: int) -> Chunk:
        last, self._last = self._last, None
        return last[1] if last is not None and last[0] == chunk else self._read(chunk)

    def _read(self, chunk: int) -> MemoryChunk:
        name = type(self._source).__name__
        try:
            data = self._source.get_chunk(chunk_id=chunk)
        except Exception as error:
            raise ReaderError(
                f"{name}.get_chunk({chunk}) raised {type(error).__name__}: {error}", fix="see the error above this one"
            ) from error
        if not isinstance(data, Mapping):
            raise ReaderError(
                f"{name}.get_chunk({chunk}) gave a {type(data).__name__}", fix="return {stream name: data}"
            )
        missing = [s.m_name for s in self.streams if s.m_name not in data]
        if missing:
            raise ReaderError(
                f"{name}.get_chunk({chunk}) gives no data of stream '{missing[0]}'", fix="give all streams"
            )
        ragged = {
            s.m_name: from_lists(
                data[s.m_name], s.sample_shape, s.dtype, s.is_sparse, f"{name}.get_chunk({chunk}), stream '{s.m_name}'"
            )
            for s in self.streams
        }
        counts = {n: r.count for n, r in ragged.items()}
        if len(set(counts.values())) > 1:
            words = ", ".join(f"'{n}' {c}" for n, c in counts.items())
            raise ReaderError(f"{name}.get_chunk({chunk}): streams hold different numbers of sequences: {words}")
        sizing = [s.m_name for s in self.streams if s.m_defines_mb_size]
        lengths = [ragged[n].lengths for n in (sizing[:1] or ragged)]
        sizes = np.max(lengths, axis=0)
        if chunk in self._sizes and not np.array_equal(self._sizes[chunk], sizes):
            raise ReaderError(
                f"{name}.get_chunk({chunk}) gave {len(self._sizes[chunk])} sequences before and other ones now",
                fix="the same chunk_id must give the same sequences every time",
            )
        self._sizes[chunk] = sizes
        return MemoryChunk(ragged)


def open_user(source: UserDeserializer, defects: Defects) -> Reader:
    """The reader of a user's deserializer."""
    return _UserReader(source, defects)
