"""HTK and MLF files give what CNTK gave; damaged ones are named."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path

import numpy as np
import pytest

from cntk_lab.errors import ReaderError
from cntk_lab.io import (
    CBFDeserializer,
    HTKFeatureDeserializer,
    HTKMLFBinaryDeserializer,
    HTKMLFDeserializer,
    MinibatchSource,
    StreamDef,
    StreamDefs,
)

GOLDEN = Path(__file__).parents[2] / "golden/io"
RECORDED = json.loads((GOLDEN / "speech.json").read_text())


def scp(context=(0, 0), **more):
    return HTKFeatureDeserializer(StreamDefs(f=StreamDef(scp="speech/all.scp", shape=2, context=context, **more)))


def mlf(**more):
    return HTKMLFDeserializer("speech/states.txt", StreamDefs(l=StreamDef(mlf="speech/all.mlf", shape=3)), **more)


def binary():
    return HTKMLFBinaryDeserializer(StreamDefs(l=StreamDef(mlf="speech/all.bin", shape=3)))


CASES = {
    "features and labels": (lambda: [scp(), mlf()], {}),
    "context": (lambda: [scp((1, 2)), mlf()], {}),
    "frame mode": (lambda: [scp((1, 1)), mlf()], {"frame_mode": True}),
    "phone boundaries": (lambda: [scp(), mlf(phoneBoundaries=True)], {}),
    "binary labels": (lambda: [scp(), binary()], {}),
    "mixed.bin": (lambda: [CBFDeserializer("mixed.bin")], {}),
}


@pytest.mark.parametrize("name", CASES)
def test_files_read_as_cntk_reads_them(name, monkeypatch):
    monkeypatch.chdir(GOLDEN)
    make, options = CASES[name]
    minibatch = MinibatchSource(make(), randomize=False, max_sweeps=1, **options).next_minibatch(100)
    found = {
        info.name: [np.asarray(p.todense() if hasattr(p, "todense") else p).tolist() for p in data.as_sequences()]
        for info, data in minibatch.items()
    }
    assert found == RECORDED[name]


def test_frame_mode_shuffles_frames_of_features_and_labels_together(monkeypatch):
    monkeypatch.chdir(GOLDEN)

    def pairs(**options):
        source = MinibatchSource([scp(), mlf()], frame_mode=True, max_sweeps=1, **options)
        minibatch = source.next_minibatch(100)
        f, y = (minibatch[source.streams[n]].asarray()[:, 0] for n in "fl")
        return [(*a, *b) for a, b in zip(f.tolist(), y.tolist(), strict=True)]

    straight, shuffled = pairs(randomize=False), pairs()
    assert straight != shuffled
    assert sorted(straight) == sorted(shuffled)


def test_compressed_features_are_unpacked(tmp_path):
    values = np.array([[0.5, -1.0], [1.0, 3.0], [0.0, 0.25]], np.float32)
    scale, shift = np.array([1000, 2000], ">f4"), np.array([10, -20], ">f4")
    packed = np.rint(values * scale - shift).astype(">i2")
    head = struct.pack(">iihH", 3 + 4, 100000, 4, 9 | 0o2000)
    (tmp_path / "u.fea").write_bytes(head + scale.tobytes() + shift.tobytes() + packed.tobytes())
    (tmp_path / "all.scp").write_text(".../u.fea\n")
    source = MinibatchSource(HTKFeatureDeserializer(StreamDefs(f=StreamDef(scp=str(tmp_path / "all.scp"), shape=2))))
    found = source.next_minibatch(3)[source.streams.f].asarray()[0]
    np.testing.assert_allclose(found, values, atol=1e-3)


def test_a_broadcast_vector_stands_for_the_whole_utterance(tmp_path):
    def write(name, frames):
        frames = np.asarray(frames, ">f4")
        (tmp_path / name).write_bytes(
            struct.pack(">iihH", len(frames), 100000, 4 * frames.shape[1], 9) + frames.tobytes()
        )

    write("u.fea", [[1, 2], [3, 4], [5, 6]])
    write("u.vec", [[7]])
    (tmp_path / "fea.scp").write_text("u=.../u.fea[0,2]\n")
    (tmp_path / "vec.scp").write_text("u=.../u.vec[0,0]\n")
    streams = StreamDefs(
        f=StreamDef(scp=str(tmp_path / "fea.scp"), shape=2),
        v=StreamDef(scp=str(tmp_path / "vec.scp"), shape=1, broadcast=True),
    )
    source = MinibatchSource(HTKFeatureDeserializer(streams))
    assert source.next_minibatch(3)[source.streams.v].asarray().tolist() == [[[7], [7], [7]]]


@pytest.mark.parametrize(
    ("change", "line", "cause"),
    [
        (("0 200000 a", "0 200000 q"), 3, "the state is not in the label mapping file"),
        (("200000 400000 b", "300000 400000 b"), 4, "labels do not follow each other"),
        (("200000 400000 b", "200000 b"), 4, "this is no label"),
        (("#!MLF!#", "MLF"), 1, "the file does not begin like a master label file"),
        (('"u2.lab"', "u2"), 10, "this is not the name of an utterance"),
        (('.\n"*/u3', '"*/u3'), 5, "utterance 'u1' (line 2) has no end"),
    ],
)
def test_a_fault_in_labels_is_named(change, line, cause, tmp_path):
    path = tmp_path / "all.mlf"
    path.write_text((GOLDEN / "speech/all.mlf").read_text().replace(*change))
    labels = HTKMLFDeserializer(str(GOLDEN / "speech/states.txt"), StreamDefs(l=StreamDef(mlf=str(path), shape=3)))
    with pytest.raises(ReaderError) as caught:
        MinibatchSource(labels)
    assert str(caught.value).startswith(f"{path}:{line}")
    assert cause in str(caught.value)


def archive(folder, count, frames, dim=2):
    """Many utterances in one file, and the script that lists them."""
    values = np.arange(count * frames * dim, dtype=">f4").reshape(-1, dim)
    head = struct.pack(">iihH", len(values), 100000, 4 * dim, 6)
    (folder / "all.fea").write_bytes(head + values.tobytes())
    lines = [f"u{i}.f={folder}/all.fea[{i * frames},{(i + 1) * frames - 1}]" for i in range(count)]
    (folder / "all.scp").write_text("\n".join(lines))
    stream = StreamDef(scp=str(folder / "all.scp"), shape=dim)
    return MinibatchSource(HTKFeatureDeserializer(StreamDefs(f=stream)), randomize=False, max_sweeps=1), values


def test_of_an_archive_each_byte_is_read_once(tmp_path, monkeypatch):
    source, values = archive(tmp_path, 50, 20)
    read, plain = [], Path.open

    def counted(self, *args):
        file = plain(self, *args)
        if self.name != "all.fea":
            return file

        class Counted(io.BufferedReader):
            def read(self, size=-1):
                data = super().read(size)
                read.append(len(data))
                return data

        return Counted(file.detach())

    monkeypatch.setattr(Path, "open", counted)
    data = source.next_minibatch(5000)[source.streams.f]
    np.testing.assert_array_equal(np.concatenate(data.as_sequences()), values)
    assert sum(read) <= values.nbytes + 50 * 12 * 2


def test_a_range_far_beyond_the_file_takes_no_memory(tmp_path):
    archive(tmp_path, 1, 4)
    (tmp_path / "far.scp").write_text(f"u={tmp_path}/all.fea[0,999999999999999]\n")
    reader = HTKFeatureDeserializer(StreamDefs(f=StreamDef(scp=str(tmp_path / "far.scp"), shape=2)))
    with pytest.raises(ReaderError, match="the range of frames ends after the file"):
        MinibatchSource(reader, frame_mode=True)
