"""What holds for every reader: one table of readers, one list of promises."""

from __future__ import annotations

import base64
import io
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.sparse import csr_matrix

from cntk_lab.io import (
    Base64ImageDeserializer,
    CBFDeserializer,
    CTFDeserializer,
    DatasetDeserializer,
    HTKFeatureDeserializer,
    HTKMLFBinaryDeserializer,
    HTKMLFDeserializer,
    ImageDeserializer,
    MinibatchSource,
    StreamDef,
    StreamDefs,
    StreamInformation,
    TableDeserializer,
    UserDeserializer,
    check,
    transforms,
    write_cbf,
)

GOLDEN = Path(__file__).parents[1] / "golden/io/speech"
COUNT = 23
"""Sequences of every reader below, the speech files excepted."""


def ctf(folder: Path) -> Any:
    lines = [f"{i} |x {i} {j} |y {i % 5}:1\n" for i in range(COUNT) for j in range(1 + i % 3)]
    (folder / "data.txt").write_text("".join(lines))
    streams = StreamDefs(x=StreamDef(field="x", shape=2), y=StreamDef(field="y", shape=5, is_sparse=True))
    made = CTFDeserializer(str(folder / "data.txt"), streams)
    made["chunkSizeInBytes"] = 100
    return made


def cbf(folder: Path) -> Any:
    return CBFDeserializer(str(write_cbf(ctf(folder), folder / "data.bin", chunk_bytes=60)))


def picture(i: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((6, 7, 3), i * 5, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


IMAGES = StreamDefs(
    x=StreamDef(
        field="image",
        transforms=[
            transforms.crop("randomside", side_ratio=(0.4, 1), jitter_type="uniratio"),
            transforms.scale(4, 4, 3),
        ],
    ),
    y=StreamDef(field="label", shape=5),
)


def images(folder: Path) -> Any:
    for i in range(COUNT):
        (folder / f"{i}.png").write_bytes(picture(i))
    (folder / "map.txt").write_text("".join(f".../{i}.png\t{i % 5}\n" for i in range(COUNT)))
    return ImageDeserializer(str(folder / "map.txt"), IMAGES)


def encoded_images(folder: Path) -> Any:
    lines = [f"{i % 5}\t{base64.b64encode(picture(i)).decode()}\n" for i in range(COUNT)]
    (folder / "images.tsv").write_text("".join(lines))
    return Base64ImageDeserializer(str(folder / "images.tsv"), IMAGES)


class Mine(UserDeserializer):
    def stream_infos(self) -> list[StreamInformation]:
        return [
            StreamInformation("x", 0, "dense", np.float32, (2,)),
            StreamInformation("y", 1, "sparse", np.float32, (5,)),
        ]

    def num_chunks(self) -> int:
        return 4

    def get_chunk(self, chunk_id: int) -> dict[str, Any]:
        which = range(chunk_id * 6, min(chunk_id * 6 + 6, COUNT))
        return {
            "x": [np.full((1 + i % 3, 2), i, np.float32) for i in which],
            "y": [csr_matrix(np.eye(5, dtype=np.float32)[[i % 5]]) for i in which],
        }


COLUMNS = StreamDefs(x=StreamDef(field=["a", "b"], shape=2), y=StreamDef(field="c", shape=5, is_sparse=True))


def columns() -> dict[str, Any]:
    n = np.arange(COUNT)
    return {"a": n.astype(np.float32), "b": n * 2, "c": n % 5}


def table(folder: Path) -> Any:
    np.savez(folder / "data.npz", **columns())
    return TableDeserializer(folder / "data.npz", COLUMNS)


def dataset(folder: Path) -> Any:
    del folder
    items = [{"x": np.full((1 + i % 3, 2), i, np.float32), "y": i % 5} for i in range(COUNT)]
    streams = StreamDefs(x=StreamDef(field="x", shape=2), y=StreamDef(field="y", shape=5, is_sparse=True))
    return DatasetDeserializer(items, streams, items_per_chunk=4)


def speech(folder: Path) -> list[Any]:
    script = folder / "all.scp"
    script.write_text("".join(f"{n}={GOLDEN / n}.fea[0,{k}]\n" for n, k in (("u1", 3), ("u2", 1), ("u3", 1))))
    features = HTKFeatureDeserializer(StreamDefs(x=StreamDef(scp=str(script), shape=2, context=(1, 1))))
    labels = StreamDefs(y=StreamDef(mlf=str(GOLDEN / "all.mlf"), shape=3))
    return [features, HTKMLFDeserializer(str(GOLDEN / "states.txt"), labels)]


def binary_speech(folder: Path) -> list[Any]:
    features, _ = speech(folder)
    return [features, HTKMLFBinaryDeserializer(StreamDefs(y=StreamDef(mlf=str(GOLDEN / "all.bin"), shape=3)))]


def joined(folder: Path) -> list[Any]:
    captions = [f"{i} |z {j + i}\n" for i in reversed(range(COUNT)) for j in range(1 + i % 2)]
    (folder / "captions.txt").write_text("".join(captions))
    return [images(folder), CTFDeserializer(str(folder / "captions.txt"), StreamDefs(z=StreamDef(field="z", shape=1)))]


READERS: dict[str, Callable[[Path], Any]] = {
    "CTFDeserializer": ctf,
    "CBFDeserializer": cbf,
    "ImageDeserializer": images,
    "Base64ImageDeserializer": encoded_images,
    "UserDeserializer": lambda folder: Mine(),
    "TableDeserializer": table,
    "DatasetDeserializer": dataset,
    "HTK and MLF": speech,
    "HTK and binary MLF": binary_speech,
    "images with captions": joined,
}


@pytest.fixture(params=list(READERS))
def make(request: Any, tmp_path: Path) -> Callable[..., MinibatchSource]:
    return lambda **options: MinibatchSource(READERS[request.param](tmp_path), **options)


def sequences(minibatch: Any) -> list[str]:
    """Each sequence of a minibatch, with all its streams, as text."""
    parts = {}
    for info, data in minibatch.items():
        parts[info.name] = [
            np.asarray(p.todense() if hasattr(p, "todense") else p).tolist() for p in data.as_sequences()
        ]
    return [json.dumps(row) for row in zip(*(parts[name] for name in sorted(parts)), strict=True)]


def everything(source: MinibatchSource, size: int, **more: Any) -> list[str]:
    return [s for m in iter(lambda: source.next_minibatch(size, **more), {}) for s in sequences(m)]


@pytest.mark.parametrize("randomize", [False, True])
def test_order_and_lots_do_not_depend_on_the_minibatch_size(make, randomize):
    found = [everything(make(max_sweeps=2, randomize=randomize), size) for size in (1, 5, 1000)]
    assert found[0] == found[1] == found[2]


def test_every_sequence_comes_once_a_sweep(make):
    straight = everything(make(max_sweeps=1, randomize=False), 7)
    if "crop" not in straight[0] and len(straight) != COUNT:
        assert len(straight) == 3  # the speech files
    for seed in range(3):
        source = make(max_sweeps=1, randomization_seed=seed)
        labels = [json.loads(s)[-1] for s in everything(source, 7)]
        assert sorted(map(json.dumps, labels)) == sorted(json.dumps(json.loads(s)[-1]) for s in straight)


def test_seeds_give_different_orders_and_the_same_seed_the_same(make):
    orders = [everything(make(max_sweeps=4, randomization_seed=seed), 6) for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]


@pytest.mark.parametrize("randomize", [False, True])
def test_restored_at_any_minibatch_the_rest_is_the_same(make, randomize):
    source = make(max_sweeps=2, randomize=randomize)
    states, minibatches = [], []
    while True:
        states.append(json.loads(json.dumps(source.get_checkpoint_state())))
        minibatch = source.next_minibatch(4)
        if not minibatch:
            break
        minibatches.append(sequences(minibatch))
    other = make(max_sweeps=2, randomize=randomize)
    for k in reversed(range(len(minibatches))):
        other.restore_from_checkpoint(states[k])
        assert sequences(other.next_minibatch(4)) == minibatches[k]
    other.restore_from_checkpoint(states[1])
    assert everything(other, 4) == [s for m in minibatches[1:] for s in m]


def test_reading_ahead_changes_nothing(make):
    assert everything(make(max_sweeps=2, prefetch=0), 3) == everything(make(max_sweeps=2, prefetch=4), 3)


def test_workers_together_get_what_one_gets(make):
    only = make(max_sweeps=2)
    whole = [sequences(m) for m in iter(lambda: only.next_minibatch(5), {})]
    for k in range(2):
        source = make(max_sweeps=2)
        for expected in whole:
            mine = source.next_minibatch(5, num_data_partitions=2, partition_index=k)
            assert (sequences(mine) if mine else []) == expected[k::2]


def test_pieces_of_truncated_sequences_make_up_the_whole(make):
    source = make(max_sweeps=1, randomize=False, truncation_length=2)
    frames = sum(
        d.num_samples for m in iter(lambda: source.next_minibatch(4), {}) for i, d in m.items() if i.name == "x"
    )
    begun = make(max_sweeps=1, randomize=False)
    assert frames == sum(d.num_samples for i, d in begun.next_minibatch(10**6).items() if i.name == "x")


def test_check_counts_what_the_source_delivers(make):
    source = make(max_sweeps=1, randomize=False)
    report = check(source)
    minibatch = source.next_minibatch(10**6)
    assert report.ok, str(report)
    for info, data in minibatch.items():
        found = report.streams[info.name]
        assert (found.sequences, found.samples) == (data.num_sequences, data.num_samples)
        assert found.longest == data.shape[1]
        assert f"stream '{info.name}'" in str(report)


def test_cbf_files_hold_what_any_reader_reads(make, tmp_path):
    deserializers = make()._config.deserializers
    if len(deserializers) > 1 or isinstance(deserializers[0], UserDeserializer) or "Image" in deserializers[0]["type"]:
        deserializers = [ctf(tmp_path)]  # those are joined, made or cut anew each time
    copy = CBFDeserializer(str(write_cbf(deserializers[0], tmp_path / "copy.bin", chunk_bytes=50)))
    original = MinibatchSource(deserializers, max_sweeps=1, randomize=False)
    assert everything(MinibatchSource(copy, max_sweeps=1, randomize=False), 5) == everything(original, 5)


def test_the_header_of_a_feature_file_is_as_written_here() -> None:
    assert struct.unpack(">iihh", (GOLDEN / "u1.fea").read_bytes()[:12]) == (4, 100000, 8, 9)
