"""Minibatches dealt out of memory: native code and NumPy give the same, buffers in use are left alone."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from cntk_lab import settings
from cntk_lab.backends.cpu import jit
from cntk_lab.io import (
    CBFDeserializer,
    CTFDeserializer,
    MinibatchSource,
    StreamDef,
    StreamDefs,
    StreamInformation,
    TableDeserializer,
    _gather_native,
    _order_native,
    write_cbf,
)
from cntk_lab.io._chunks import Chunks
from cntk_lab.io._deal import Dealer, _DenseDeck, _SlowDeck, _SparseDeck
from cntk_lab.io._declare import MemoryChunk, Reader
from cntk_lab.io._defects import Defects
from cntk_lab.io._ragged import Ragged
from cntk_lab.io._randomize import ShuffledOrder
from cntk_lab.io._timeline import Limits, Place, Shuffle, Timeline
from cntk_lab.tensor.layout import Layout
from cntk_lab.tensor.sparse import Csr

pytestmark = pytest.mark.skipif(not jit.available(), reason="nothing is compiled here")


@pytest.fixture
def compiled() -> None:
    """Native code is there from the first minibatch on."""
    for handle in (_gather_native._handle(), _order_native._swaps(), _order_native._window()):
        assert handle.wait(120), handle.failure


def text(folder: Path) -> Any:
    """Bytes, floats, sequences, one value per frame, several values per frame: in chunks of a few sequences."""
    random = np.random.default_rng(0)
    lines = []
    for k in range(300):
        for j in range(1 + k % 4):
            pairs = " ".join(f"{i}:{i + j}" for i in sorted(random.choice(9, k % 3, replace=False).tolist()))
            floats = f" |f {k}.5 -{j}" if j == 0 else ""
            lines.append(f"{k} |b {k % 256} {j}{floats} |w {(k + j) % 7}:1 |s {pairs}\n")
    (folder / "data.txt").write_text("".join(lines))
    shapes = {"b": (2, False), "f": (2, False), "w": (7, True), "s": (9, True)}
    streams = {n: StreamDef(field=n, shape=d, is_sparse=s) for n, (d, s) in shapes.items()}
    made = CTFDeserializer(str(folder / "data.txt"), StreamDefs(**streams))
    made["chunkSizeInBytes"] = 2000
    return made


def pixels(folder: Path) -> Any:
    """Whole numbers from 0 to 255: chunks hold them as bytes."""
    (folder / "data.txt").write_text("".join(f"|p {k % 256} {k % 7} 255\n" for k in range(500)))
    made = CTFDeserializer(str(folder / "data.txt"), StreamDefs(p=StreamDef(field="p", shape=3)))
    made["chunkSizeInBytes"] = 1000
    return made


def doubles(folder: Path) -> Any:
    rows = [np.arange(3 * (1 + k % 3), dtype=np.float64).reshape(-1, 3) + k for k in range(200)]
    sparse = [csr_matrix(np.eye(4)[[k % 4] * len(r)]) for k, r in enumerate(rows)]
    return CBFDeserializer(str(write_cbf({"x": rows, "y": sparse}, folder / "data.bin", chunk_bytes=900)))


def joined(folder: Path) -> Any:
    """Two files joined by id; the partners of a chunk's sequences lie in many chunks."""
    order = np.random.default_rng(1).permutation(300).tolist()
    lines = [f"{k} |z {k} {j}\n" for k in order for j in range(1 + k % 3)]
    (folder / "more.txt").write_text("".join(lines))
    more = CTFDeserializer(str(folder / "more.txt"), StreamDefs(z=StreamDef(field="z", shape=2)))
    more["chunkSizeInBytes"] = 300
    return [text(folder), more]


def columns(folder: Path) -> Any:
    np.savez(folder / "data.npz", x=np.arange(400.0).reshape(200, 2), y=np.arange(200) % 7)
    streams = StreamDefs(x=StreamDef(field="x", shape=2), y=StreamDef(field="y", shape=7, is_sparse=True))
    return TableDeserializer(folder / "data.npz", streams)


def dealt(deserializer: Any, **options: Any) -> list[Any]:
    source = MinibatchSource(deserializer, max_sweeps=2, **options)
    found = []
    while minibatch := source.next_minibatch(37):
        for info, data in minibatch.items():
            rows = [np.asarray(s.todense() if hasattr(s, "todense") else s).tolist() for s in data.as_sequences()]
            found.append(
                (info.name, data.num_samples, data.num_sequences, data.end_of_sweep, str(data.data.dtype), rows)
            )
    return found


@pytest.mark.parametrize("make", [text, pixels, doubles, joined, columns])
@pytest.mark.parametrize("options", [{"randomize": False}, {}, {"randomization_window_in_chunks": 3}])
def test_native_code_and_numpy_deal_the_same(make, options, compiled, tmp_path):
    deserializer = make(tmp_path)
    native = dealt(deserializer, **options)
    with settings.option(native=False):
        assert dealt(deserializer, **options) == native


def test_what_is_dealt_by_native_code(compiled, tmp_path):
    source = MinibatchSource(text(tmp_path))
    source.next_minibatch(8)
    decks = {name: type(deck) for name, deck in source._dealer._dealing._decks.items()}
    assert decks == {"b": _DenseDeck, "f": _DenseDeck, "w": _SparseDeck, "s": _SparseDeck}
    with settings.option(native=False):
        source = MinibatchSource(text(tmp_path))
        source.next_minibatch(8)
        assert {type(deck) for deck in source._dealer._dealing._decks.values()} == {_SlowDeck}


class Counting(Reader):
    """Ten samples in each of six chunks; says which were loaded, and whether by a thread."""

    plain = True
    streams = (StreamInformation("x", 0, "dense", np.float32, (1,)),)

    def __init__(self) -> None:
        self.defects = Defects()
        self.loads: list[tuple[int, bool]] = []

    def chunk_count(self) -> int:
        return 6

    def samples(self, chunk: int) -> Any:
        return np.ones(10, np.int64)

    def keys(self, chunk: int) -> Any:
        return np.arange(10 * chunk, 10 * chunk + 10, dtype=np.uint64)

    def chunk_bytes(self) -> int:
        return 40

    def load(self, chunk: int) -> MemoryChunk:
        self.loads.append((chunk, threading.current_thread() is not threading.main_thread()))
        rows = np.arange(10 * chunk, 10 * chunk + 10, dtype=np.float32)[:, None]
        return MemoryChunk({"x": Ragged(rows, np.ones(10, np.int64))})


@pytest.mark.parametrize(("memory", "threads"), [(1000, [False] + 11 * [True]), (79, 12 * [False])])
def test_the_next_chunk_is_loaded_by_a_thread_if_there_is_room_for_it(memory, threads):
    reader = Counting()
    timeline = Timeline(reader, Shuffle(), Limits(sweeps=2))
    chunks = Chunks(reader, memory, 2, ahead=True)
    dealer = Dealer(reader.streams, timeline, chunks, lambda found, _: found, most=1)
    place: Place | None = Place()
    seen: list[float] = []
    while True:
        found, after = dealer.get(place, (5, 1, 0))
        for coming in chunks._coming.values():
            coming.result()
        if after is None:
            break
        place = after
        seen += found["x"].value.asarray().ravel().tolist()
        assert len(chunks._kept) + len(chunks._coming) <= (2 if memory > 79 else 1)
    assert seen == 2 * list(map(float, range(60)))
    assert [chunk for chunk, _ in reader.loads] == 2 * list(range(6))
    assert [thread for _, thread in reader.loads] == threads


def test_minibatches_that_are_kept_do_not_change(compiled, tmp_path):
    source = MinibatchSource(text(tmp_path))
    kept = [source.next_minibatch(5) for _ in range(20)]
    before = [[d.asarray().tolist() for d in m.values()] for m in kept]
    part = kept[3][source.streams.b].as_sequences()[0]  # a view of a part of what is let go
    was = part.tolist()
    for _ in range(20):
        source.next_minibatch(5)
    assert [[d.asarray().tolist() for d in m.values()] for m in kept] == before
    del kept, before
    for _ in range(20):
        source.next_minibatch(5)
    assert part.tolist() == was


def test_a_buffer_is_used_again_when_nobody_has_it():
    buffers = _gather_native.Buffers((2,), np.dtype("float32"))
    first, place = buffers.take(10)
    assert buffers.take(10)[1] != place  # in use
    view = first[3:5]
    del first
    assert buffers.take(10)[1] != place  # a view of it is in use
    del view
    assert buffers.take(8)[1] == place
    assert buffers.take(8)[0].shape == (8, 2)


def test_frames_are_packed_longest_sequence_first(compiled):
    data = np.arange(12, dtype=np.float32).reshape(6, 2)
    layout = Layout.of([1, 3, 2])
    places = data.ctypes.data + 8 * np.array([5, 0, 3])
    out = np.zeros((6, 2), np.float32)
    jobs = _gather_native.Jobs(1)
    jobs.add(places.ctypes.data, out.ctypes.data, data.dtype, layout, 2)
    jobs.run()
    assert out[:, 0].tolist() == [0, 6, 10, 2, 8, 4]


@pytest.mark.parametrize("window", [3, 50])
@pytest.mark.parametrize("samples", [0, 9000])
def test_orders_by_native_code_are_those_of_python(window, samples, compiled):
    sizes = [3000, 1, 2500, 0, 4000, 2000, 700, 2600]

    def order() -> list[Any]:
        made = ShuffledOrder(len(sizes), lambda c: sizes[c], 11, window, lambda c: sizes[c], samples)
        while made.grow():
            pass
        return [made.chunk.tolist(), made.number.tolist()]

    native = order()
    with settings.option(native=False):
        assert order() == native
    assert sorted(zip(*native, strict=True)) == [(c, n) for c, size in enumerate(sizes) for n in range(size)]


def test_columns_are_sorted_and_added_up_where_a_row_stores_them_so():
    data, columns = np.array([1, 2, 3, 4, 5], np.float32), np.array([4, 2, 2, 0, 3])
    made = Csr.tidy(data, columns, np.array([0, 1, 1, 4, 5]), 5)
    assert made.matrix().toarray().tolist() == [[0, 0, 0, 0, 1], [0] * 5, [4, 0, 5, 0, 0], [0, 0, 0, 5, 0]]
    assert made.indices.tolist() == [4, 0, 2, 3]
    assert not made.one_each
    plain = Csr.tidy(data, columns, np.arange(6), 5)
    assert plain.one_each
    assert plain.data is data
