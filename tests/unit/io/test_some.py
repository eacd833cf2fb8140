"""A few sequences of a chunk are the same ones as of the whole chunk; transforms tell what they drew."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from cntk_lab.io import (
    CTFDeserializer,
    DatasetDeserializer,
    ImageDeserializer,
    MinibatchSourceConfig,
    StreamDef,
    StreamDefs,
    TableDeserializer,
    transforms,
)
from cntk_lab.io._bundle import some_of
from cntk_lab.io._defects import Defects
from cntk_lab.io._source import open_readers

WHICH = np.array([5, 6, 1, 3])
SEEDS = np.arange(10, 14, dtype=np.uint64)


def opened(*descriptions):
    defects = Defects(100)
    defects.silent = True
    return open_readers(MinibatchSourceConfig(list(descriptions), False), defects), defects


def ctf(folder, name="x", damage=True):
    lines = [f"{i} |{name} {i}\n{i} |{name} {i}.5\n" if i % 2 else f"{i} |{name} {i}\n" for i in range(9)]
    lines[3] = f"3 |{name} oh\n" if damage else lines[3]
    (folder / f"{name}.txt").write_text("".join(lines))
    return CTFDeserializer(str(folder / f"{name}.txt"), StreamDefs(**{name: StreamDef(field=name, shape=1)}))


def table(_folder):
    return TableDeserializer({"v": np.arange(9.0)}, StreamDefs(x=StreamDef(field="v", shape=1)))


def items(_folder):
    data = [{"v": [i, i + 0.5]} if i != 3 else {"v": "oh"} for i in range(9)]
    return DatasetDeserializer(data, StreamDefs(x=StreamDef(field="v", shape=1)), 4)


@pytest.mark.parametrize("make", [ctf, table, items])
def test_a_few_sequences_are_those_of_the_whole_chunk(tmp_path, make):
    (reader, defects), (other, theirs) = opened(make(tmp_path)), opened(make(tmp_path))
    first = 4 if make is items else 9
    found, kept = some_of(reader, WHICH // first, WHICH % first, SEEDS)
    good = kept.tolist()
    assert good == ([0, 1, 2, 3] if make is table else [0, 1, 2])
    chunks = {c: other.load(c) for c in range(other.chunk_count())}
    for place, k in enumerate(good):
        c, n = divmod(int(WHICH[k]), first)
        whole = chunks[c].take(np.array([n]), SEEDS[:1])["x"]
        np.testing.assert_array_equal(found["x"].take(np.array([place])).rows, whole.rows)
    assert [(d.line, d.file) for d in defects.all] == [(d.line, d.file) for d in theirs.all]


def test_joined_readers_give_a_few_sequences_with_their_partners(tmp_path):
    reader, _ = opened(ctf(tmp_path, "a", damage=False), ctf(tmp_path, "b"))
    found, kept = some_of(reader, np.zeros(4, np.int64), WHICH, SEEDS)
    assert kept.tolist() == [0, 1, 2]
    assert found["a"].lengths.tolist() == found["b"].lengths.tolist() == [2, 1, 2]
    assert found["b"].rows.ravel().tolist() == [5, 5.5, 6, 1, 1.5]


def test_steps_end_in_what_the_reader_delivers_and_tell_their_lots(tmp_path):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (40, 50, 3), np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "map.txt").write_text(".../a.png\t0\n" * 3)
    steps = [
        transforms.crop("randomside", side_ratio=(0.5, 0.9), jitter_type="uniratio"),
        transforms.scale(16, 12, 3),
        transforms.color(0.3, 0.3, 0.3),
    ]
    streams = StreamDefs(image=StreamDef(field="image", transforms=steps), label=StreamDef(field="label", shape=2))
    reader, _ = opened(ImageDeserializer(str(tmp_path / "map.txt"), streams))
    found, _ = reader.some(0, np.array([2]), SEEDS[:1])
    traced = reader.steps(0, 2, int(SEEDS[0]))["image"]
    assert [s.kind for s in traced] == ["image", "crop", "scale", "color"]
    np.testing.assert_array_equal(traced[-1].image.transpose(2, 0, 1), found["image"].rows[0])
    assert traced[0].draws == (f".../a.png, {tmp_path}/map.txt:3",)
    wide, high = traced[1].image.shape[1::-1]
    assert traced[1].draws[0].startswith(f"{wide} x {high} of 50 x 40 pixels from column ")
    assert [d.split(" ")[0] for d in traced[3].draws] == ["brightness", "contrast", "saturation"]
