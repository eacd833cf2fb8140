"""MinibatchSource: joining, frame mode, restore, prefetch, memory, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

from cntk_lab.errors import AttributeValueError, LabWarning, ReaderError
from cntk_lab.io import (
    CBFDeserializer,
    CTFDeserializer,
    MinibatchSource,
    MinibatchSourceFromData,
    StreamDef,
    StreamDefs,
    StreamInformation,
    UserDeserializer,
    check,
    write_cbf,
)


def ctf(path, text, **streams):
    path.write_text(text)
    return CTFDeserializer(str(path), StreamDefs(**{n: StreamDef(field=n, **d) for n, d in streams.items()}))


def numbers(tmp_path, count=10):
    return ctf(tmp_path / "n.txt", "".join(f"{i} |x {i}\n" for i in range(count)), x={"shape": 1})


def values(source, size, **more):
    minibatch = source.next_minibatch(size, **more)
    return minibatch[source.streams.x].asarray().ravel().tolist() if minibatch else None


def test_readers_are_joined_by_id_in_the_order_of_the_first(tmp_path):
    a = ctf(tmp_path / "a.txt", "3 |x 3\n1 |x 1\n2 |x 2\n", x={"shape": 1})
    b = ctf(tmp_path / "b.txt", "1 |y 10\n1 |y 11\n2 |y 20\n3 |y 30\n7 |y 70\n", y={"shape": 1})
    source = MinibatchSource([a, b], randomize=False, max_sweeps=1)
    minibatch = source.next_minibatch(100)
    assert [s.ravel().tolist() for s in minibatch[source.streams.x].as_sequences()] == [[3], [1], [2]]
    assert [s.ravel().tolist() for s in minibatch[source.streams.y].as_sequences()] == [[30], [10, 11], [20]]


def test_sequences_without_partner_are_left_out_and_told(tmp_path):
    a = ctf(tmp_path / "a.txt", "3 |x 3\n1 |x 1\n2 |x 2\n", x={"shape": 1})
    b = ctf(tmp_path / "b.txt", "1 |y 10\n2 |y 20\n", y={"shape": 1})
    source = MinibatchSource([a, b], randomize=False, max_sweeps=1, prefetch=0)
    with pytest.warns(LabWarning, match="sequence 3 has no partner"):
        assert values(source, 100) == [1, 2]
    report = check([a, b])
    assert (report.sequences, report.left_out) == (2, 1)


def test_frame_mode_wants_single_frames(tmp_path):
    source = MinibatchSource(ctf(tmp_path / "a.txt", "0 |x 1\n0 |x 2\n", x={"shape": 1}), frame_mode=True)
    with pytest.raises(ReaderError, match="Detected a non-frame sequence of size 2 in frame mode"):
        source.next_minibatch(1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_samples": 3, "max_sweeps": 1}, "mutually exclusive"),
        ({"max_samples": 3, "epoch_size": 3}, "mean the same"),
        ({"randomization_window_in_chunks": 2, "randomization_window_in_samples": 3}, "randomization window"),
        ({"frame_mode": True, "truncation_length": 2}, "mutually exclusive"),
    ],
)
def test_arguments_that_exclude_each_other_are_refused(tmp_path, options, words):
    with pytest.raises(AttributeValueError, match=words):
        MinibatchSource(numbers(tmp_path), **options)


def test_sizes_and_partitions_that_cannot_be_are_refused(tmp_path):
    source = MinibatchSource(numbers(tmp_path))
    with pytest.raises(AttributeValueError, match="the minibatch size is 0"):
        source.next_minibatch(0)
    with pytest.raises(AttributeValueError, match="partition 2 of 2 does not exist"):
        source.next_minibatch(1, num_data_partitions=2, partition_index=2)
    with pytest.raises(ReaderError, match="there is no stream 'y'"):
        source["y"]


def test_a_stream_name_is_used_once(tmp_path):
    with pytest.raises(AttributeValueError, match="stream name 'x' is used twice"):
        MinibatchSource([numbers(tmp_path), numbers(tmp_path)])


def test_the_position_can_be_read_and_set(tmp_path):
    source = MinibatchSource(numbers(tmp_path), randomize=False)
    assert values(source, 4) == [0, 1, 2, 3]
    assert source.current_position == 4
    source.current_position = 6
    assert values(source, 4) == [6, 7, 8, 9]
    source.current_position = 23
    assert values(source, 3) == [3, 4, 5]


def test_another_size_in_between_loses_nothing_that_was_read_ahead(tmp_path):
    source = MinibatchSource(numbers(tmp_path), randomize=False)
    found = [values(source, n) for n in (2, 2, 3, 1, 2)]
    assert found == [[0, 1], [2, 3], [4, 5, 6], [7], [8, 9]]


def test_errors_of_the_thread_come_when_their_minibatch_is_due(tmp_path):
    text = "".join(f"|x {i}\n" for i in range(6)) + "|x bad\n" + "|x 1\n"
    deserializer = ctf(tmp_path / "a.txt", text, x={"shape": 1})
    deserializer["chunkSizeInBytes"] = 1
    source = MinibatchSource(deserializer, randomize=False)
    assert [values(source, 2) for _ in range(3)] == [[0, 1], [2, 3], [4, 5]]
    with pytest.raises(ReaderError, match=r"a\.txt:7:4"):
        source.next_minibatch(2)


PROGRAM = """
import os, signal, sys
from cntk_lab.io import *
source = MinibatchSource(CTFDeserializer(sys.argv[1], StreamDefs(x=StreamDef(field="x", shape=1))), max_sweeps=3)
at = int(sys.argv[2])
source.current_position = at
while minibatch := source.next_minibatch(7):
    print(source.current_position, *minibatch[source.streams.x].asarray().ravel().astype(int), flush=True)
    if len(sys.argv) > 3 and source.current_position >= int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_after_kill_nine_the_order_goes_on_and_no_sample_is_lost(tmp_path):
    numbers(tmp_path, 50)

    def run(*arguments):
        command = [sys.executable, "-c", PROGRAM, str(tmp_path / "n.txt"), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return [line.split() for line in done.stdout.splitlines()], done.returncode

    whole, code = run(0)
    assert code == 0
    begun, code = run(0, 60)
    assert code == -9
    rest, code = run(begun[-1][0])
    assert code == 0
    assert begun + rest == whole
    assert sorted(int(n) for line in whole for n in line[1:]) == sorted(list(range(50)) * 3)


@pytest.mark.parametrize("options", [{}, {"randomize": False}, {"truncation_length": 2}])
def test_every_worker_goes_on_from_any_minibatch_and_together_they_lose_no_sample(options, tmp_path):
    text = "".join(f"{i} |x {i}{k}\n" for i in range(10, 33) for k in range(1 + i % 3))

    def opened(prefetch):
        return MinibatchSource(
            ctf(tmp_path / "n.txt", text, x={"shape": 1}), max_sweeps=2, prefetch=prefetch, **options
        )

    def rest(state, **part):
        source = opened(2)
        source.restore_from_checkpoint(state)
        found = []
        while minibatch := source.next_minibatch(7, **part):
            found += [n for s in minibatch[source.streams.x].as_sequences() for n in s.ravel().tolist()]
            if len(found) > 1000:
                raise AssertionError("it does not end")
        return found

    source, delivered = opened(0), []
    everything = sorted([float(f"{i}{k}") for i in range(10, 33) for k in range(1 + i % 3)] * 2)
    while True:
        state = source.get_checkpoint_state()
        shares = [n for k in range(2) for n in rest(state, num_data_partitions=2, partition_index=k)]
        assert sorted(delivered + shares) == everything
        minibatch = source.next_minibatch(7)
        if not minibatch:
            break
        delivered += [n for s in minibatch[source.streams.x].as_sequences() for n in s.ravel().tolist()]


class Slices(UserDeserializer):
    """A table in chunks of 1 MB, made when it is asked for."""

    def __init__(self, chunks=40):
        self.chunks, self.info = chunks, StreamInformation("z", 0, "dense", np.float32, (256,))

    def stream_infos(self):
        return [self.info]

    def num_chunks(self):
        return self.chunks

    def get_chunk(self, chunk_id):
        return {"z": np.full((1024, 256), chunk_id, np.float32)}


@pytest.mark.parametrize("randomize", [False, True])
def test_memory_stays_under_the_limit(randomize, tmp_path):
    path = tmp_path / "data.bin"
    rows = np.repeat(np.arange(40, dtype=np.float32), 1024)[:, None] * np.ones((1, 256), np.float32)
    write_cbf({"x": rows}, path, chunk_bytes=1 << 20)
    del rows
    limit = 10 << 20  # the file is four times larger
    source = MinibatchSource(CBFDeserializer(str(path)), max_sweeps=1, randomize=randomize, memory_limit=limit)
    tracemalloc.start()
    seen = 0
    while minibatch := source.next_minibatch(256):
        seen += minibatch[source.streams.x].num_samples
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seen == 40 * 1024
    assert peak < limit + (8 << 20)  # and the minibatches read ahead


def test_a_user_deserializer_says_what_went_wrong(tmp_path):
    class Broken(Slices):
        def get_chunk(self, chunk_id):
            if chunk_id == 2:
                raise OSError("disk on fire")
            return super().get_chunk(chunk_id)

    source = MinibatchSource(Broken(), randomize=False)
    assert [source.next_minibatch(512)[source.streams.z].num_samples for _ in range(3)] == [512] * 3
    with pytest.raises(ReaderError, match=r"Broken.get_chunk\(2\) raised OSError: disk on fire"):
        source.next_minibatch(512)
    with pytest.raises(AttributeValueError, match="cannot be joined"):
        MinibatchSource([Slices(), numbers(tmp_path)])


def test_data_in_memory_come_in_order_and_end_with_the_data():
    source = MinibatchSourceFromData({"x": np.arange(5, dtype=np.float32)[:, None]})
    found = [source.next_minibatch(3)[source["x"]] for _ in range(3)]
    assert [(d.num_samples, d.end_of_sweep) for d in found] == [(3, False), (2, True), (3, False)]
    source = MinibatchSourceFromData({"x": np.arange(5, dtype=np.float32)[:, None]}, max_samples=5)
    sizes = [d.num_samples for m in iter(lambda: source.next_minibatch(3), {}) for d in m.values()]
    assert sizes == [3, 2]
    sequences = [np.ones((2, 2), np.float32), np.ones((1, 2), np.float32), np.ones((3, 2), np.float32)]
    source = MinibatchSourceFromData({"x": sequences})
    found = [source.next_minibatch(3)[source["x"]] for _ in range(3)]
    assert [(d.num_sequences, d.shape) for d in found] == [(2, (2, 2, 2)), (1, (1, 3, 2)), (2, (2, 2, 2))]
    assert MinibatchSourceFromData({"x": sequences}).get_checkpoint_state() == {"cursor": 0, "total_num_samples": 0}


def test_a_restored_source_of_data_in_memory_goes_on():
    source = MinibatchSourceFromData({"x": np.arange(7, dtype=np.float32)[:, None]})
    source.next_minibatch(3)
    state = source.get_checkpoint_state()
    expected = source.next_minibatch(3)[source["x"]].asarray().tolist()
    other = MinibatchSourceFromData({"x": np.arange(7, dtype=np.float32)[:, None]})
    other.restore_from_checkpoint(state)
    assert other.next_minibatch(3)[other["x"]].asarray().tolist() == expected
