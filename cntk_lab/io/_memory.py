"""MinibatchSourceFromData: minibatches from arrays in memory, in their order. Knows no files.

Source: CNTK 2.7 ``io.MinibatchSourceFromData``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cntk_lab._turn import new_lock
from cntk_lab.errors import AttributeValueError, ReaderError
from cntk_lab.io._ragged import Ragged, from_lists
from cntk_lab.io._streams import FULL_DATA_SWEEP, INFINITELY_REPEAT, MinibatchData, StreamInformation
from cntk_lab.io._user import UserMinibatchSource
from cntk_lab.tensor import dtype as dtypes
from cntk_lab.tensor.sparse import SparseRows, is_csr
from cntk_lab.tensor.value import Value


class MinibatchSourceFromData(UserMinibatchSource):
    """Minibatches from arrays in memory, in their order; a minibatch ends where the data end.

    Args:
        data_streams: {name: data} or {name: (data, type)}: an array (samples x shape) or CSR matrix (samples x
            elements), or a list with one array (frames x shape) or CSR matrix per sequence; or a Value.
        max_samples: samples delivered in all; FULL_DATA_SWEEP: the data once.

    Raises:
        AttributeValueError: if there is no stream.
        ReaderError: if streams hold different numbers of sequences, or data that are no numbers.

    Example:
        >>> source = MinibatchSourceFromData(dict(x=np.arange(5, dtype=np.float32)[:, None]))
        >>> [source.next_minibatch(3)[source["x"]].num_samples for _ in range(3)]
        [3, 2, 3]

    Source: CNTK 2.7 ``io.MinibatchSourceFromData``.
    """

    def __init__(self, data_streams: Mapping[str, Any], max_samples: int = INFINITELY_REPEAT) -> None:
        if not data_streams:
            raise AttributeValueError("at least one stream must be given, in the form of {name: data}")
        self._data: dict[str, Ragged] = {}
        self._infos: dict[str, StreamInformation] = {}
        self._frames: dict[str, bool] = {}
        for number, (name, given) in enumerate(data_streams.items()):
            if isinstance(given, tuple) and len(given) != 2:
                raise AttributeValueError(f"stream '{name}': a tuple of {len(given)}", fix="give data, or (data, type)")
            data, kind = given if isinstance(given, tuple) else (given, None)
            self._add(number, name, data, kind)
        counts = {n: r.count for n, r in self._data.items()}
        if len(set(counts.values())) > 1:
            words = ", ".join(f"'{n}' {c}" for n, c in counts.items())
            raise ReaderError(f"all sources must have the same number of sequences: {words}")
        self._count = next(iter(counts.values()))
        self._sizes = np.max([r.lengths for r in self._data.values()], axis=0)
        self._total = np.concatenate([[0], np.cumsum(self._sizes)])
        self._limit = int(max_samples)
        if self._limit == FULL_DATA_SWEEP:
            self._limit = int(self._total[-1])
        self._cursor = self._delivered = 0
        self._turn = new_lock()
        super().__init__()

    def _add(self, number: int, name: str, data: Any, kind: Any) -> None:
        where, given = f"stream '{name}'", data
        if isinstance(data, Value):
            data = data.as_sequences() if data.rows is not None else data.raw
        listed = isinstance(data, (list, tuple))
        if listed and not len(data):
            raise ReaderError(f"{where}: the list of sequences is empty", fix="give at least one sequence")
        first = data[0] if listed else data
        sparse = is_csr(first)
        if listed and not sparse:
            data = [np.asarray(d) for d in data]
            first = data[0]
        elif not sparse:
            first = data = np.asarray(data)
            if not data.ndim:
                raise ReaderError(
                    f"{where}: a {type(given).__name__} is no data",
                    fix="give an array (samples first) or a list of arrays",
                )
        dtype = dtypes.name_of(getattr(kind, "dtype", None) or ("float64" if first.dtype == np.float64 else "float32"))
        shape = tuple(first.shape[1:]) or ((1,) if first.ndim < 2 else ())
        shape = tuple(getattr(kind, "shape", None) or shape)
        self._data[name] = from_lists(data, shape, dtype, sparse, where)
        self._frames[name] = not listed
        self._infos[name] = StreamInformation(name, number, "sparse" if sparse else "dense", dtype, shape)

    def stream_infos(self) -> list[StreamInformation]:
        """What is known of each stream."""
        return list(self._infos.values())

    def next_minibatch(
        self, num_samples: int, number_of_workers: int = 1, worker_rank: int = 0, device: Any = None
    ) -> dict[StreamInformation, MinibatchData]:
        """The next sequences in order: as many as fit, at least one; none after the end of the data.

        Args:
            num_samples: how many samples are wanted, of all workers together.
            number_of_workers: workers that share the data.
            worker_rank: which of them this is, from 0.
            device: accepted for CNTK programs.

        Returns:
            {stream: MinibatchData}; empty at the end.
        """
        del device
        with self._turn:
            return self._next(num_samples, number_of_workers, worker_rank)

    def _next(
        self, num_samples: int, number_of_workers: int, worker_rank: int
    ) -> dict[StreamInformation, MinibatchData]:
        room = min(num_samples, self._limit - self._delivered)
        if room <= 0:
            return {}
        first = self._cursor
        last = int(np.searchsorted(self._total, self._total[first] + room, side="right")) - 1
        last = max(last, first + 1)
        self._delivered += int(self._total[last] - self._total[first])
        end = last == self._count
        self._cursor = 0 if end else last
        which = np.arange(first + worker_rank, last, number_of_workers)
        result = {}
        for name, info in self._infos.items():
            part = self._data[name].take(which)
            value = part.value()
            if self._frames[name]:
                rows = SparseRows(part.rows, part.shape) if is_csr(part.rows) else part.rows
                value = Value.packed(rows, value.layout, has_sequence=False)
            result[info] = MinibatchData(value, part.count, int(part.lengths.sum()), end)
        return result if len(which) else {}

    def is_infinite(self) -> bool:
        """Whether the source never ends."""
        return self._limit == INFINITELY_REPEAT

    def get_checkpoint_state(self) -> dict[str, int]:
        """The place in the data and the samples delivered."""
        return {"cursor": self._cursor, "total_num_samples": self._delivered}

    def restore_from_checkpoint(self, state: Mapping[str, Any]) -> None:
        """Go on from where a state was taken.

        Args:
            state: what ``get_checkpoint_state`` gave.
        """
        self._cursor, self._delivered = int(state["cursor"]), int(state["total_num_samples"])
