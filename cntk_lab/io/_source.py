"""MinibatchSource: deals out minibatches from one or several deserializers.

Ties the parts together: readers give chunks, the timeline says which sequences come next, chunks are kept while they
are in the window, a thread reads ahead: chunks where minibatches are merely copied out of them, whole minibatches where
images are decoded or sequences cut. The only thing that changes is the place on the timeline. Knows no format.

Source: CNTK 2.7 ``io.MinibatchSource``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np

from cntk_lab._turn import new_lock
from cntk_lab.errors import AttributeValueError, ReaderError
from cntk_lab.graph.record import Record
from cntk_lab.io._bundle import Bundle, gather
from cntk_lab.io._chunks import Chunks
from cntk_lab.io._config import MinibatchSourceConfig
from cntk_lab.io._deal import Dealer, Dealt
from cntk_lab.io._declare import Deserializer, LeftOut, Reader
from cntk_lab.io._defects import Defects
from cntk_lab.io._prefetch import Ahead
from cntk_lab.io._ragged import Ragged
from cntk_lab.io._streams import (
    DEFAULT_RANDOMIZATION_WINDOW_IN_CHUNKS,
    FULL_DATA_SWEEP,
    INFINITELY_REPEAT,
    MinibatchData,
    StreamInformation,
    check_streams,
)
from cntk_lab.io._timeline import Limits, Picked, Piece, Place, Shuffle, Timeline
from cntk_lab.io._truncate import pick_truncated
from cntk_lab.io._user import UserDeserializer, open_user
from cntk_lab.tensor.layout import Layout
from cntk_lab.tensor.value import Value

DEFAULT_MEMORY: Final = 4 << 30
"""Bytes of chunks that a source keeps, unless told otherwise."""

Minibatch = dict[StreamInformation, MinibatchData]
Marks = tuple[list[bool], list[int] | None]
"""Of cut sequences: whether each piece begins its sequence, and its slot."""


class MinibatchSource:
    r"""Minibatches of whole sequences from files or other data, sweep after sweep.

    A minibatch holds as many whole sequences as fit, at least one; sweeps follow each other without a gap. Shuffled
    orders depend only on the seed and the sweep: not on minibatch sizes, workers or threads.

    Args:
        deserializers: what is read: one deserializer or several, which are then joined by sequence id.
        max_samples: samples delivered in all; FULL_DATA_SWEEP: every sequence once; INFINITELY_REPEAT: no end.
        max_sweeps: sweeps delivered in all.
        randomization_window_in_chunks: chunks among which sequences change places; 0: none.
        randomization_window_in_samples: the same window in samples; only if the one in chunks is 0.
        randomization_seed: seed of the first sweep's order; sweep k has the seed + k.
        trace_level: accepted for CNTK programs; bad data are always told.
        multithreaded_deserializer: whether images are decoded by several threads; None: where it pays.
        frame_mode: every sequence is one frame; utterances of HTK files are cut into frames.
        truncation_length: longest piece of a sequence in a minibatch, in frames; 0: whole sequences.
        randomize: False sets both windows to 0.
        max_errors: bad places in the data that are tolerated; their sequences are left out and a warning tells each.
        epoch_size: max_samples under its older name.
        memory_limit: bytes of chunks kept in memory; the window shrinks to what fits.
        prefetch: minibatches made ahead by a thread, where making them takes work; where they are only copied out of
            chunks the thread loads chunks ahead; 0: no thread.

    Raises:
        AttributeValueError: if arguments exclude each other or streams clash.
        ReaderError: if a file cannot be read.

    Example:
        >>> import os, tempfile
        >>> from cntk_lab.io import CTFDeserializer, StreamDef, StreamDefs
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "data.txt")
        ...     with open(path, "w") as file:
        ...         _ = file.write("|x 1 2\n|x 3 4\n|x 5 6\n")
        ...     streams = StreamDefs(features=StreamDef(field="x", shape=2))
        ...     source = MinibatchSource(CTFDeserializer(path, streams), randomize=False)
        ...     source.next_minibatch(2)[source.streams.features].asarray().tolist()
        [[[1.0, 2.0]], [[3.0, 4.0]]]

    Source: CNTK 2.7 ``io.MinibatchSource``; epoch_size from CNTK 2.0.
    """

    infinitely_repeat = INFINITELY_REPEAT
    full_data_sweep = FULL_DATA_SWEEP
    default_randomization_window_in_chunks = DEFAULT_RANDOMIZATION_WINDOW_IN_CHUNKS

    def __init__(
        self,
        deserializers: Any,
        max_samples: int = INFINITELY_REPEAT,
        max_sweeps: int = INFINITELY_REPEAT,
        randomization_window_in_chunks: int = DEFAULT_RANDOMIZATION_WINDOW_IN_CHUNKS,
        randomization_window_in_samples: int = 0,
        randomization_seed: int = 0,
        trace_level: Any = 1,
        multithreaded_deserializer: bool | None = None,
        frame_mode: bool = False,
        truncation_length: int = 0,
        randomize: bool = True,
        max_errors: int = 0,
        *,
        epoch_size: int | None = None,
        memory_limit: int = DEFAULT_MEMORY,
        prefetch: int = 2,
    ) -> None:
        if epoch_size is not None:
            if max_samples != INFINITELY_REPEAT:
                raise AttributeValueError(
                    f"max_samples={max_samples} and epoch_size={epoch_size} mean the same", fix="give one"
                )
            max_samples = epoch_size
        config = MinibatchSourceConfig(
            [deserializers] if isinstance(deserializers, (Deserializer, UserDeserializer)) else deserializers, randomize
        )
        if randomize:
            if (
                randomization_window_in_samples
                and randomization_window_in_chunks == DEFAULT_RANDOMIZATION_WINDOW_IN_CHUNKS
            ):
                randomization_window_in_chunks = 0
            config.randomization_window_in_chunks = int(randomization_window_in_chunks)
            config.randomization_window_in_samples = int(randomization_window_in_samples)
        config.max_samples, config.max_sweeps = int(max_samples), int(max_sweeps)
        config.randomization_seed, config.trace_level = int(randomization_seed), trace_level
        config.is_multithreaded.value = multithreaded_deserializer
        config.is_frame_mode_enabled, config.truncation_length = bool(frame_mode), int(truncation_length)
        config.max_errors = int(max_errors)
        self._start(config, int(memory_limit), int(prefetch))

    def _start(self, config: MinibatchSourceConfig, memory: int, prefetch: int) -> None:
        config.check()
        self._turn = new_lock()  # threads may share a source: each minibatch goes to one of them
        if not config.deserializers:
            raise AttributeValueError("there is no deserializer", fix="give at least one")
        self._config = config
        self._defects = Defects(config.max_errors)
        self._reader = open_readers(config, self._defects)
        if isinstance(self._reader, Bundle):
            self._reader.limit_memory(memory // 2)
        self._infos = {s.m_name: s for s in self._reader.streams}
        self.streams = Record(**self._infos)
        chunk = self._reader.chunk_bytes()
        fitting = max(1, memory // chunk) if chunk else 2**31
        window = min(config.randomization_window_in_chunks, fitting)
        shuffle = Shuffle(config.randomization_seed, window, config.randomization_window_in_samples)
        one = config.max_samples == FULL_DATA_SWEEP
        self._timeline = Timeline(
            self._reader,
            shuffle,
            Limits(
                1 if one else None if config.max_sweeps == INFINITELY_REPEAT else config.max_sweeps,
                None if config.max_samples >= FULL_DATA_SWEEP else config.max_samples,
            ),
        )
        most = min(fitting, 2 * window + 2) if shuffle.chunks else 0
        self._chunks = Chunks(self._reader, memory, most, prefetch > 0)
        self._place: Place = Place()
        single = {"most": 1} if config.is_frame_mode_enabled else {}  # so that errors come in their turn
        self._dealer = Dealer(self._reader.streams, self._timeline, self._chunks, self._finish, **single)
        self._ahead: Ahead[Minibatch, Place, tuple[int, int, int]] = Ahead(self._make, prefetch)

    @classmethod
    def from_config(cls, config: MinibatchSourceConfig) -> MinibatchSource:
        """A source made from a configuration.

        Args:
            config: what is read and how.
        """
        source = cls.__new__(cls)
        source._start(config, DEFAULT_MEMORY, 2)
        return source

    # --- streams

    def stream_infos(self) -> list[StreamInformation]:
        """What is known of each stream."""
        return list(self._infos.values())

    def stream_info(self, name: str) -> StreamInformation:
        """What is known of one stream.

        Raises:
            ReaderError: if there is none of this name.
        """
        if name not in self._infos:
            raise ReaderError(f"there is no stream '{name}'", fix=f"one of: {', '.join(self._infos)}")
        return self._infos[name]

    def __getitem__(self, name: str) -> StreamInformation:
        return self.stream_info(name)

    # --- minibatches

    def next_minibatch(
        self,
        minibatch_size_in_samples: int,
        input_map: Mapping[Any, StreamInformation] | None = None,
        device: Any = None,
        num_data_partitions: int | None = None,
        partition_index: int | None = None,
    ) -> dict[Any, MinibatchData]:
        """The next minibatch.

        Args:
            minibatch_size_in_samples: how many samples, of all workers together.
            input_map: for the keys of the result: {variable: stream}; None: streams are the keys.
            device: accepted for CNTK programs.
            num_data_partitions: number of workers that share the data.
            partition_index: which of them this is, from 0.

        Returns:
            {stream or variable: MinibatchData}; empty at the end.

        Raises:
            AttributeValueError: if the size or partition cannot be.
            ReaderError: if the data are bad.

        Source: CNTK 2.7 ``MinibatchSource.next_minibatch``.
        """
        del device
        size = int(minibatch_size_in_samples)
        parts, index = int(num_data_partitions or 1), int(partition_index or 0)
        if size < 1:
            raise AttributeValueError(f"the minibatch size is {size}", fix="give a whole number of at least 1")
        if not 0 <= index < parts:
            raise AttributeValueError(
                f"partition {index} of {parts} does not exist", fix=f"0 <= partition_index < {parts}"
            )
        with self._turn:
            found = self._next((size, parts, index))
        if input_map is None or not found:
            return dict(found)
        return {key: found[info] for key, info in input_map.items()}

    def _next(self, request: tuple[int, int, int]) -> Minibatch:
        deals = self._reader.plain and not self._config.truncation_length
        found, after = (self._dealer if deals else self._ahead).get(self._place, request)
        if after is None:
            self._chunks.clear()
            self._dealer.clear()
        else:
            self._place = after
        return found

    def get_next_minibatch(self, *args: Any) -> dict[Any, MinibatchData]:
        """The next minibatch, by CNTK's lower-level name: (samples) or (sequences, samples)."""
        return self.next_minibatch(next(a for a in reversed(args) if isinstance(a, int) and a))

    def _finish(self, dealt: Mapping[str, Dealt], ends_sweep: bool) -> Minibatch:
        """A minibatch of what was dealt out of chunks in memory."""
        frames = self._config.is_frame_mode_enabled
        result: Minibatch = {}
        for name, one in dealt.items():
            if frames and one.longest > 1:
                raise _not_a_frame(name, one.longest)
            result[self._infos[name]] = MinibatchData(one.value, one.sequences, one.samples, ends_sweep)
        return result

    def _make(self, place: Place, request: tuple[int, int, int]) -> tuple[Minibatch, Place | None]:
        """A minibatch that takes work: decoding, cutting."""
        size, parts, index = request
        cut = self._config.truncation_length
        while True:
            picked = pick_truncated(self._timeline, place, size, cut) if cut else self._timeline.pick(place, size)
            if picked is None:
                return {}, None
            share = _part(picked, parts, index)
            found, marks = self._fetch(share)
            if found or not len(share.chunk):
                break
            place = picked.after  # all of it was left out: on to the next one
        result: Minibatch = {}
        for name, data in found.items():
            begins, slots = marks.get(name, (None, None))
            value = data.value(begins)
            if slots is not None:
                layout = Layout.of(data.lengths, begins, slots)
                value = Value.packed(value.rows, layout, has_sequence=True)
            result[self._infos[name]] = MinibatchData(value, data.count, int(data.lengths.sum()), picked.ends_sweep)
        return result, picked.after

    def _fetch(self, picked: Picked) -> tuple[Mapping[str, Ragged], dict[str, Marks]]:
        """The data of picked sequences by stream; and for pieces, which of them begin their sequence, and slots."""
        while True:
            keep = self._chunks.usable(picked.chunk, picked.number)
            if keep is not None:
                picked = _select(picked, keep)
            if not len(picked.chunk):
                return {}, {}
            try:
                found = gather(picked.chunk, picked.number, self._timeline.seeds(picked), self._chunks.load)
                break
            except LeftOut:  # bad images are met only when they are decoded; now they are known
                continue
        if self._config.is_frame_mode_enabled:
            for name, data in found.items():
                longest = int(data.lengths.max())
                if longest > 1:
                    raise _not_a_frame(name, longest)
        if picked.first is None or picked.lengths is None:
            return found, {}
        pieces = {name: _pieces(data, picked) for name, data in found.items()}
        return {n: p for n, (p, _) in pieces.items()}, {n: marks for n, (_, marks) in pieces.items()}

    # --- place

    def is_infinite(self) -> bool:
        """Whether the source never ends."""
        limits = self._timeline.limits
        return limits.sweeps is None and limits.samples is None

    def get_checkpoint_state(self) -> dict[str, Any]:
        """What is needed to go on from here in another process: a dictionary of numbers."""
        place = self._place
        state: dict[str, Any] = {"minibatchSourcePosition": place.samples}
        if self._config.truncation_length:
            state["sweep"], state["position"] = place.sweep, place.position
            state["slots"] = [
                [{"sweep": p.sweep, "position": p.position, "done": p.done, "last": p.last} for p in slot]
                for slot in place.slots
            ]
        return state

    def restore_from_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Go on from where the state was taken: the minibatches that follow are the same.

        Args:
            checkpoint: what ``get_checkpoint_state`` gave.

        Raises:
            ReaderError: if it is not such a state.
        """
        if "minibatchSourcePosition" not in checkpoint:
            raise ReaderError(
                f"the checkpoint has no minibatchSourcePosition; it has: {', '.join(checkpoint) or 'nothing'}",
                fix="give the state of a MinibatchSource",
            )
        samples = int(checkpoint["minibatchSourcePosition"])
        self._ahead.clear()
        self._chunks.forget()
        if "sweep" in checkpoint:
            slots = tuple(
                tuple(Piece(int(p["sweep"]), int(p["position"]), int(p["done"]), bool(p["last"])) for p in slot)
                for slot in checkpoint["slots"]
            )
            self._place = Place(int(checkpoint["sweep"]), int(checkpoint["position"]), samples, slots)
        else:
            self._place = self._timeline.place_of(samples)

    @property
    def current_position(self) -> int:
        """Samples delivered so far, to all workers; can be set."""
        return self._place.samples

    @current_position.setter
    def current_position(self, samples: int) -> None:
        self.restore_from_checkpoint({"minibatchSourcePosition": int(samples)})


def open_readers(config: MinibatchSourceConfig, defects: Defects) -> Reader:
    """The reader of all deserializers of a configuration."""
    opened: list[Reader] = []
    for each in config.deserializers:
        if isinstance(each, UserDeserializer):
            opened.append(open_user(each, defects))
            continue
        if not isinstance(each, Mapping) or "type" not in each:
            raise ReaderError(
                f"a {type(each).__name__} stands where a deserializer is expected",
                fix="give CTFDeserializer(...) or the like; arrays go to MinibatchSourceFromData",
            )
        description = Deserializer(each["type"], {k: v for k, v in each.items() if k != "type"})
        description["frameMode"] = config.is_frame_mode_enabled
        description["multiThreaded"] = config.is_multithreaded.value
        opened.append(description.open(defects))
    if len(opened) == 1:
        check_streams(opened[0].streams)
        return opened[0]
    return Bundle(opened, defects)


def _not_a_frame(name: str, length: int) -> ReaderError:
    return ReaderError(
        f"Detected a non-frame sequence of size {length} in frame mode.",
        f"stream '{name}'",
        "give sequences of one frame each, or leave out frame_mode",
    )


def _select(picked: Picked, keep: Any) -> Picked:
    """Some of the picked sequences."""

    def some(column: Any) -> Any:
        return None if column is None else column[keep]

    return replace(
        picked,
        chunk=picked.chunk[keep],
        number=picked.number[keep],
        sweeps=picked.sweeps[keep],
        first=some(picked.first),
        lengths=some(picked.lengths),
        slot=some(picked.slot),
    )


def _part(picked: Picked, parts: int, index: int) -> Picked:
    """One worker's share: every ``parts``-th sequence, or slot."""
    if parts == 1:
        return picked
    turn = np.arange(len(picked.chunk)) if picked.slot is None else picked.slot
    return _select(picked, turn % parts == index)


def _pieces(data: Ragged, picked: Picked) -> tuple[Ragged, Marks]:
    """The picked frames of each sequence, which pieces begin it, their slots; a shorter stream gives what it has."""
    assert picked.first is not None
    assert picked.lengths is not None
    lengths = np.minimum(picked.lengths, data.lengths - picked.first)
    there = np.flatnonzero(lengths > 0)
    slots = None if picked.slot is None else picked.slot[there].tolist()
    return data.cut(there, picked.first[there], lengths[there]), ((picked.first[there] == 0).tolist(), slots)
