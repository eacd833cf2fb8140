"""100 damaged files, made from a seed: each is named with place and cause; nothing of it is delivered before."""

from __future__ import annotations

import base64
import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cntk_lab.errors import ReaderError
from cntk_lab.io import (
    Base64ImageDeserializer,
    CBFDeserializer,
    CTFDeserializer,
    HTKFeatureDeserializer,
    HTKMLFBinaryDeserializer,
    HTKMLFDeserializer,
    ImageDeserializer,
    MinibatchSource,
    StreamDef,
    StreamDefs,
    check,
    write_cbf,
)

GOLDEN = Path(__file__).parents[2] / "golden/io/speech"
CTF_STREAMS = StreamDefs(a=StreamDef(field="a", shape=3), b=StreamDef(field="b", shape=9, is_sparse=True))
LABELS = StreamDefs(y=StreamDef(field="label", shape=4), x=StreamDef(field="image"))


def lines_of(random):
    return [
        f"{k}\t|a {random.normal():.3f} {random.normal():.2e} {k} |b {random.integers(9)}:1 |# note {k}"
        for k in range(random.integers(20, 60))
    ]


def damage_line(line, random):
    """A line with one fault of a random kind."""
    kinds = [
        lambda: line.replace("|a ", "|a x", 1),
        lambda: line.replace("|a ", "|a 1 ", 1),
        lambda: line.replace(":1", ":", 1),
        lambda: line.replace(":1", "", 1),
        lambda: line.replace("|b ", "|b 9:1 ", 1),
        lambda: line.replace("|b", "|c", 1),
        lambda: line.replace("|b", "|a", 1),
        lambda: line.replace("\t|", "\tz|", 1),
        lambda: "",
        lambda: "#" + line,
        lambda: line.replace("|a", "|", 1),
        lambda: line.replace("|a ", "|a 1,", 1),
        lambda: line[: line.index("|a") + 4],
        lambda: "| " + line,
        lambda: line.replace(" |b", " nan |b", 1),
    ]
    return kinds[random.integers(len(kinds))]()


def ctf(folder, random):
    lines = lines_of(random)
    at = int(random.integers(len(lines)))
    lines[at] = damage_line(lines[at], random)
    (folder / "data.txt").write_text("\n".join(lines) + "\n")
    return CTFDeserializer(str(folder / "data.txt"), CTF_STREAMS), f"data.txt:{at + 1}"


def cbf(folder, random):
    (folder / "data.txt").write_text("\n".join(lines_of(random)) + "\n")
    path = write_cbf(CTFDeserializer(str(folder / "data.txt"), CTF_STREAMS), folder / "data.bin", chunk_bytes=300)
    data = bytearray(path.read_bytes())
    header = struct.unpack_from("<q", data, len(data) - 8)[0]

    def put(form, at, value):
        struct.pack_into(form, data, at, value)

    (chunks,) = struct.unpack_from("<I", data, header + 8)
    table = len(data) - 8 - 16 * chunks
    which = int(random.integers(chunks))
    first, count, _ = struct.unpack_from("<qII", data, table + 16 * which)
    kinds = [
        lambda: put("<Q", 0, 7),
        lambda: put("<I", 8, 2),
        lambda: put("<q", len(data) - 8, 2**40),
        lambda: put("<q", len(data) - 8, header - 1),
        lambda: data.__delitem__(slice(int(random.integers(1, len(data))), None)),
        lambda: put("<I", header + 8, 2**31),
        lambda: put("<I", header + 12, 0),
        lambda: put("<B", header + 16, 3),
        lambda: put("<I", header + 17, 0),
        lambda: put("<q", table + 16 * which, header + 5),
        lambda: put("<I", table + 16 * which + 8, 2**30),
        lambda: put("<I", first, 77),
        lambda: put("<I", first + 4 * count, 2**31),
        lambda: put("<I", first + 4 * count, 0),
        lambda: put("<i", first + 4 * count + 16 * count + 4, -1),
        lambda: put("<i", first + 4 * count + 16 * count + 12, 9),
        lambda: put("<i", first + 4 * count + 16 * count + 16, 2),
    ]
    kinds[random.integers(len(kinds))]()
    path.write_bytes(data)
    return CBFDeserializer(str(path)), "data.bin, byte "


def png(random):
    buffer = io.BytesIO()
    form = ["PNG", "JPEG", "BMP"][random.integers(3)]
    Image.fromarray(random.integers(0, 256, (12, 12, 3)).astype(np.uint8)).save(buffer, form)
    return buffer.getvalue()


def images(folder, random):
    count = int(random.integers(3, 12))
    for k in range(count):
        (folder / f"{k}.img").write_bytes(png(random))
    lines = [f".../{k}.img\t{k % 4}" for k in range(count)]
    at = int(random.integers(count))
    content = png(random)
    kinds = [
        lambda: lines.__setitem__(at, f".../none{at}.img\t1"),
        lambda: lines.__setitem__(at, f".../{at}.img\t4"),
        lambda: lines.__setitem__(at, f".../{at}.img 1"),
        lambda: lines.__setitem__(at, f".../{at}.img\tdog"),
        lambda: lines.__setitem__(at, f"1\t2\t.../{at}.img\t1"),
        lambda: (folder / f"{at}.img").write_bytes(content[: len(content) // 2]),
        lambda: (folder / f"{at}.img").write_bytes(b""),
        lambda: (folder / f"{at}.img").write_bytes(bytes(random.integers(0, 256, 300).astype(np.uint8))),
    ]
    kinds[random.integers(len(kinds))]()
    (folder / "map.txt").write_text("\n".join(lines) + "\n")
    return ImageDeserializer(str(folder / "map.txt"), LABELS), f"map.txt:{at + 1}"


def encoded(folder, random):
    count = int(random.integers(3, 12))
    lines = [f"{k % 4}\t{base64.b64encode(png(random)).decode()}" for k in range(count)]
    at = int(random.integers(count))
    kinds = [
        lambda: lines[at][: len(lines[at]) // 2 // 4 * 4 + 2],
        lambda: lines[at].replace("\t", "\t*", 1),
        lambda: lines[at].replace("\t", " ", 1),
        lambda: "9" + lines[at],
        lambda: "1\tAAAA",
    ]
    lines[at] = kinds[random.integers(len(kinds))]()
    (folder / "images.tsv").write_text("\n".join(lines) + "\n")
    return Base64ImageDeserializer(str(folder / "images.tsv"), LABELS), f"images.tsv:{at + 1}"


def labels(folder, random):
    text = (GOLDEN / "all.mlf").read_text()
    changes = [
        ("#!MLF!#", "#!MLF", 1),
        ("0 200000 a", "0 200000", 3),
        ("200000 400000 b", "200000 100000 b", 4),
        ("200000 400000 b", "500000 600000 b", 4),
        ("100000 200000 a", "100000 200000 zz", 8),
        ('"*/u3.lab"', "u3.lab", 6),
        ('"*/u3.lab"', '"u1.lab"', 6),
        ("0 200000 b\n.", ".", 11),
        ("0 100000 c", "0 x c", 7),
        ("b\n.\n", "b\n", 5),
    ]
    old, new, line = changes[random.integers(len(changes))]
    (folder / "all.mlf").write_text(text.replace(old, new, 1))
    streams = StreamDefs(y=StreamDef(mlf=str(folder / "all.mlf"), shape=3))
    return HTKMLFDeserializer(str(GOLDEN / "states.txt"), streams), f"all.mlf:{line}"


def binary_labels(folder, random):
    data = bytearray((GOLDEN / "all.bin").read_bytes())
    kinds = [
        lambda: data.__setitem__(0, 0),
        lambda: data.__setitem__(3, 9),
        lambda: data.__delitem__(slice(int(random.integers(6, len(data))), None)),
        lambda: struct.pack_into("<I", data, 9, 5),
        lambda: struct.pack_into("<H", data, 15, 7),
        lambda: struct.pack_into("<H", data, 5, 999),
    ]
    kinds[random.integers(len(kinds))]()
    (folder / "all.bin").write_bytes(data)
    return HTKMLFBinaryDeserializer(StreamDefs(y=StreamDef(mlf=str(folder / "all.bin"), shape=3))), "all.bin, byte "


def features(folder, random):
    at = int(random.integers(3))
    name = f"u{at + 1}"
    for k in (1, 2, 3):
        (folder / f"u{k}.fea").write_bytes((GOLDEN / f"u{k}.fea").read_bytes())
    lines = [f"u{k}=.../u{k}.fea[0,{n}]" for k, n in ((1, 3), (2, 1), (3, 2))]
    data = bytearray((folder / f"{name}.fea").read_bytes())
    kinds = [
        lambda: data.__delitem__(slice(int(random.integers(0, len(data))), None)),
        lambda: struct.pack_into(">i", data, 0, 999),
        lambda: struct.pack_into(">h", data, 8, 12),
        lambda: struct.pack_into("<i", data, 0, 4),
        lambda: lines.__setitem__(at, f"{name}=.../{name}.fea[0,9]"),
        lambda: lines.__setitem__(at, f"{name}=.../{name}.fea[3,1]"),
        lambda: lines.__setitem__(at, f"{name}=.../none.fea[0,1]"),
    ]
    kinds[random.integers(len(kinds))]()
    (folder / f"{name}.fea").write_bytes(data)
    (folder / "all.scp").write_text("\n".join(lines) + "\n")
    return HTKFeatureDeserializer(StreamDefs(x=StreamDef(scp=str(folder / "all.scp"), shape=2))), f"all.scp:{at + 1}"


KINDS = [ctf, ctf, ctf, cbf, cbf, images, encoded, labels, binary_labels, features]


@pytest.mark.parametrize("seed", range(100))
def test_the_bad_place_and_its_cause_are_named(seed, tmp_path):
    random = np.random.default_rng(seed)
    deserializer, place = KINDS[seed % len(KINDS)](tmp_path, random)
    randomize = bool(random.integers(2))
    with pytest.raises(ReaderError) as caught:  # one minibatch holds everything: nothing of it comes
        MinibatchSource(deserializer, randomize=randomize, max_sweeps=1).next_minibatch(10**6)
    message = str(caught.value)
    assert place in message.split("\n", maxsplit=1)[0]
    assert "found:" in message
    assert "expected:" in message
    report = check(deserializer)
    assert not report.ok
    assert place in str(report)
