"""Every door through which a file comes in: a good file for each, and how it is opened; and how files get damaged.

A door is (make, open): ``make(folder)`` writes good files and names the one that is damaged; ``open(folder)`` reads it
all. ``python tests/contracts/doors.py [--seed S] [--count N] [door ...]`` damages files N times for each door.
"""

from __future__ import annotations

import argparse
import base64
import io
import signal
import struct
import sys
import tarfile
import tempfile
import threading
import time
import traceback
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

import cntk_lab as C
from cntk_lab.datasets import _archive
from cntk_lab.datasets._record import DataFile
from cntk_lab.errors import LabError
from cntk_lab.formats.onnx import description, records, snapshot, tensors
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
    TableDeserializer,
    write_cbf,
)
from cntk_lab.train import _history

GOLDEN = Path(__file__).parents[1] / "golden"
SECONDS = 10
"""Longest time that reading a small damaged file may take."""
BYTES = 300 << 20
"""Most memory that reading a small damaged file may take."""


# ---- the doors

TEXT = "".join(f"{k // 2}\t|a {k}.5 -1e-{k} {k} |b {k % 9}:1 8:{k} |# note {k}\n" for k in range(14))
STREAMS = StreamDefs(a=StreamDef(field="a", shape=3), b=StreamDef(field="b", shape=9, is_sparse=True))


def drain(deserializers: object, **options: object) -> None:
    """Read all that a source gives."""
    source = MinibatchSource(deserializers, max_sweeps=1, **options)
    for _ in range(100):
        minibatch = source.next_minibatch(5)
        if not minibatch:
            break
        for data in minibatch.values():
            data.as_sequences()


def ctf(folder: Path) -> Path:
    (folder / "data.txt").write_text(TEXT)
    return folder / "data.txt"


def open_ctf(folder: Path) -> None:
    drain(CTFDeserializer(str(folder / "data.txt"), STREAMS))


def cbf(folder: Path) -> Path:
    return write_cbf(CTFDeserializer(str(ctf(folder)), STREAMS), folder / "data.bin", chunk_bytes=200)


def htk(folder: Path) -> Path:
    values = np.arange(40, dtype=">f4")
    (folder / "all.fea").write_bytes(struct.pack(">iihH", 20, 100000, 8, 6) + values.tobytes())
    (folder / "all.scp").write_text(f"u.f={folder}/all.fea[0,9]\nv.f={folder}/all.fea[10,19]\nw={folder}/all.fea\n")
    return folder / "all.fea"


def scp(folder: Path) -> Path:
    htk(folder)
    return folder / "all.scp"


def open_htk(folder: Path, **options: object) -> None:
    drain(
        HTKFeatureDeserializer(StreamDefs(f=StreamDef(scp=str(folder / "all.scp"), shape=2, context=(1, 1)))), **options
    )


MLF = '#!MLF!#\n"u.lab"\n0 300000 a\n300000 900000 b\n.\n"v.lab"\n0 400000 c\n.\n'


def mlf(folder: Path) -> Path:
    (folder / "states.txt").write_text("a\nb\nc\n")
    (folder / "all.mlf").write_text(MLF)
    return folder / "all.mlf"


def states(folder: Path) -> Path:
    mlf(folder)
    return folder / "states.txt"


def open_mlf(folder: Path, **options: object) -> None:
    stream = StreamDefs(y=StreamDef(mlf=str(folder / "all.mlf"), shape=3))
    drain(HTKMLFDeserializer(str(folder / "states.txt"), stream), **options)


def binary_mlf(folder: Path) -> Path:
    target = folder / "all.bin"
    target.write_bytes((GOLDEN / "io/speech/all.bin").read_bytes())
    return target


def picture(k: int, form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    random = np.random.default_rng(k)
    Image.fromarray(random.integers(0, 256, (8, 8, 3)).astype(np.uint8)).save(buffer, form)
    return buffer.getvalue()


LABELS = StreamDefs(y=StreamDef(field="label", shape=4), x=StreamDef(field="image"))


def images(folder: Path) -> Path:
    for k, form in enumerate(("PNG", "JPEG", "BMP")):
        (folder / f"{k}.img").write_bytes(picture(k, form))
    (folder / "map.txt").write_text("".join(f".../{k}.img\t{k}\n" for k in range(3)))
    return folder / "map.txt"


def one_image(number: int) -> Callable[[Path], Path]:
    return lambda folder: images(folder).parent / f"{number}.img"


def zipped(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "all.zip", "w") as target:
        for k in range(3):
            target.writestr(f"{k}.png", picture(k))
    (folder / "map.txt").write_text("".join(f"{folder}/all.zip@/{k}.png\t{k}\n" for k in range(3)))
    return folder / "all.zip"


def open_images(folder: Path) -> None:
    drain(ImageDeserializer(str(folder / "map.txt"), LABELS))


def encoded(folder: Path) -> Path:
    lines = [f"{k}\t{base64.b64encode(picture(k)).decode()}\n" for k in range(3)]
    (folder / "map.b64").write_text("".join(lines))
    return folder / "map.b64"


def npz(folder: Path) -> Path:
    np.savez(folder / "table.npz", w=np.arange(6.0), k=np.arange(6))
    return folder / "table.npz"


def open_npz(folder: Path) -> None:
    streams = StreamDefs(w=StreamDef(field="w", shape=1), k=StreamDef(field="k", shape=6, is_sparse=True))
    drain(TableDeserializer(str(folder / "table.npz"), streams))


def golden(path: str, name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes((GOLDEN / path).read_bytes())
        return folder / name

    return make


def loaded(name: str) -> Callable[[Path], None]:
    return lambda folder: C.load_model(str(folder / name))


def trainer() -> C.Trainer:
    x, y = C.input_variable(2, name="x"), C.input_variable(1, name="y")
    z = C.layers.Dense(1, name="d")(x)
    rate = C.learning_parameter_schedule(0.1)
    loss = C.squared_error(z, y)
    return C.Trainer(z, (loss, loss), [C.adam(z.parameters, rate, C.momentum_schedule(0.9))])


def model_of_trainer(folder: Path) -> Path:
    trainer().save_checkpoint(str(folder / "t"), external_state={"epoch": 3, "name": "x"})
    return folder / "t"


def checkpoint(folder: Path) -> Path:
    model_of_trainer(folder)
    return folder / "t.ckp"


def open_checkpoint(folder: Path) -> None:
    trainer().restore_from_checkpoint(str(folder / "t"))


def onnx(folder: Path) -> Path:
    sys.path.insert(0, str(Path(__file__).parents[1] / "unit/formats"))
    try:
        import onnx_bytes as o
    finally:
        sys.path.pop(0)
    graph = o.graph(
        [o.node("Add", ["x", "w"], ["t"]), o.node("Relu", ["t"], ["y"])],
        inputs=[o.value("x", 1, 2, 3)],
        outputs=[o.value("y", 1, 2, 3)],
        tensors=[o.tensor("w", np.ones((2, 3), np.float32))],
    )
    (folder / "m.onnx").write_bytes(o.model(graph))
    return folder / "m.onnx"


def open_onnx(folder: Path) -> None:
    content = (folder / "m.onnx").read_bytes()
    limits = records.Limits(nodes=1000)
    _, held = snapshot.graph_of(description.read(memoryview(content), "m.onnx", limits), "m.onnx", limits)
    for tensor in held.values():
        if tensors.size(tensor) < 1 << 20:
            tensors.array(tensor)


def history(folder: Path) -> Path:
    made = _history.History("run", has_metric=True)
    for k in range(30):
        made.append(k, 1 / (k + 1), 0.5, 0.1 * k)
    made.validation.append(_history.Validation(3, 0.5, None))
    made.findings.append(_history.Finding(2, "nan", "loss is ü"))
    return made.save(folder / "run.jsonl")


def archive(form: str) -> Callable[[Path], Path]:
    content = b"numbers " * 50

    def make(folder: Path) -> Path:
        target = folder / f"p.{form}"
        if form == "tgz":
            with tarfile.open(target, "w:gz") as made:
                info = tarfile.TarInfo("package/data.bin")
                info.size = len(content)
                made.addfile(info, io.BytesIO(content))
        elif form == "whl":
            with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as made:
                made.writestr("package/data.bin", content)
        else:
            inner = io.BytesIO()
            with tarfile.open(fileobj=inner, mode="w:gz") as made:
                info = tarfile.TarInfo("./package/data.bin")
                info.size = len(content)
                made.addfile(info, io.BytesIO(content))
            data = inner.getvalue()
            head = b"data.tar.gz     0           0     0     100644  " + f"{len(data):<10}".encode() + b"`\n"
            target.write_bytes(b"!<arch>\n" + head + data)
        return target

    return make


def open_archive(form: str) -> Callable[[Path], None]:
    class Set:
        title, files = "set", (DataFile("data.bin", 400, "0" * 64),)

    return lambda folder: _archive.members(folder / f"p.{form}", Set, {"data.bin": "package/data.bin"})


DOORS: dict[str, tuple[Callable[[Path], Path], Callable[[Path], None]]] = {
    "text": (ctf, open_ctf),
    "text, read in pieces": (ctf, lambda f: drain(CTFDeserializer(str(f / "data.txt"), STREAMS), randomize=False)),
    "binary": (cbf, lambda f: drain(CBFDeserializer(str(f / "data.bin")))),
    "features": (htk, open_htk),
    "features, frames": (htk, lambda f: open_htk(f, frame_mode=True)),
    "script": (scp, open_htk),
    "script, frames": (scp, lambda f: open_htk(f, frame_mode=True)),
    "labels": (mlf, open_mlf),
    "labels, frames": (mlf, lambda f: open_mlf(f, frame_mode=True)),
    "states": (states, open_mlf),
    "binary labels": (
        binary_mlf,
        lambda f: drain(HTKMLFBinaryDeserializer(StreamDefs(l=StreamDef(mlf=str(f / "all.bin"), shape=3)))),
    ),
    "image map": (images, open_images),
    "png": (one_image(0), open_images),
    "jpeg": (one_image(1), open_images),
    "bmp": (one_image(2), open_images),
    "zip of images": (zipped, open_images),
    "base64 images": (encoded, lambda f: drain(Base64ImageDeserializer(str(f / "map.b64"), LABELS))),
    "table": (npz, open_npz),
    "model": (golden("models/dense_layers.model", "m.model"), loaded("m.model")),
    "recurrent model": (golden("models/delays.model", "m.model"), loaded("m.model")),
    "old model": (golden("legacy/dense.v1", "m.dnn"), loaded("m.dnn")),
    "old recurrent model": (golden("legacy/past.v1", "m.dnn"), loaded("m.dnn")),
    "model of a checkpoint": (model_of_trainer, open_checkpoint),
    "checkpoint": (checkpoint, open_checkpoint),
    "onnx": (onnx, open_onnx),
    "run": (history, lambda f: _history.read(f / "run.jsonl")),
    "npm archive": (archive("tgz"), open_archive("tgz")),
    "wheel": (archive("whl"), open_archive("whl")),
    "deb": (archive("deb"), open_archive("deb")),
}


# ---- damage


def cut(data: bytes, random: np.random.Generator) -> bytes:
    return data[: random.integers(len(data) + 1)]


def flipped(data: bytes, random: np.random.Generator) -> bytes:
    made = bytearray(data)
    for _ in range(random.integers(1, 4)):
        if made:
            made[random.integers(len(made))] ^= 1 << int(random.integers(8))
    return bytes(made)


def bytes_changed(data: bytes, random: np.random.Generator) -> bytes:
    made = bytearray(data)
    for _ in range(random.integers(1, 9)):
        if made:
            made[random.integers(len(made))] = random.integers(256)
    return bytes(made)


def no_text(data: bytes, random: np.random.Generator) -> bytes:
    at = random.integers(len(data) + 1)
    return (
        data[:at] + [b"\xff\xfe", b"\xc3", b"\x00", b"\xed\xa0\x80", b"\r", b"\x1b[0m"][random.integers(6)] + data[at:]
    )


def huge_number(data: bytes, random: np.random.Generator) -> bytes:
    """A number of a text becomes a huge one, or 4 or 8 bytes in a row do."""
    digits = [i for i, c in enumerate(data) if 48 <= c < 58]
    if digits and random.integers(2):
        at = digits[random.integers(len(digits))]
        word = [b"99999999999999999999999999", b"-1", b"4294967296", b"1e400", b"nan", b"2147483647", b"0"][
            random.integers(7)
        ]
        return data[:at] + word + data[at + 1 :]
    at, width = random.integers(max(len(data) - 8, 1)), int(random.choice([2, 4, 8]))
    number = [b"\xff" * 8, b"\xff\xff\xff\x7f" * 2, b"\0" * 8, b"\x7f" + b"\xff" * 7, b"\xff" * 7 + b"\x7f"][
        random.integers(5)
    ]
    return data[:at] + number[:width] + data[at + width :]


def emptied(data: bytes, random: np.random.Generator) -> bytes:
    return [b"", b"\n", b"\0" * 64, b" ", data[:1]][random.integers(5)]


def noise(data: bytes, random: np.random.Generator) -> bytes:
    return random.integers(0, 256, int(random.integers(1, 400))).astype(np.uint8).tobytes()


def repeated(data: bytes, random: np.random.Generator) -> bytes:
    a, b = sorted(random.integers(0, len(data) + 1, 2).tolist())
    return data[:b] + data[a:b] * int(random.integers(1, 4)) + data[b:]


def removed(data: bytes, random: np.random.Generator) -> bytes:
    a = int(random.integers(len(data) + 1))
    return data[:a] + data[a + int(random.integers(1, 20)) :]


DAMAGE = (cut, flipped, bytes_changed, no_text, huge_number, emptied, noise, repeated, removed)


# ---- trying


class TakesTooLongError(Exception):
    """Reading has not ended in time."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Interrupt what takes longer, on the main thread of a system that can."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def late(*_: object) -> None:
        raise TakesTooLongError

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def attempt(name: str, seed: int, memory: bool = False) -> str:
    """What happens to a damaged file at a door: "" if it was read, or refused as it should; else what went wrong.

    Args:
        name: of the door.
        seed: what decides the damage.
        memory: whether to measure memory too (slower).
    """
    make, open_ = DOORS[name]
    random = np.random.default_rng([seed, sum(name.encode())])
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        path = make(folder)
        damage = DAMAGE[random.integers(len(DAMAGE))]
        path.write_bytes(damage(path.read_bytes(), random))
        what = f"{name}, seed {seed}, {damage.__name__}"
        if memory:
            tracemalloc.start()
        try:
            with within(SECONDS):
                open_(folder)
        except LabError as error:
            if not error.what or not str(error).strip():
                return f"{what}: an error without words"
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            return (
                f"{what}: {type(error).__name__}: {str(error)[:120]}\n{''.join(traceback.format_exception(error)[-3:])}"
            )
        finally:
            peak = tracemalloc.get_traced_memory()[1] if memory else 0
            tracemalloc.stop()
        if peak > BYTES:
            return f"{what}: {peak:,} bytes of memory"
    return ""


def main() -> int:
    """Damage files at doors, and print what goes wrong."""
    parser = argparse.ArgumentParser()
    parser.add_argument("doors", nargs="*")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--memory", action="store_true")
    given = parser.parse_args()
    print(f"seed {given.seed}")
    wrong = 0
    for name in given.doors or DOORS:
        began, kinds = time.time(), {}
        for k in range(given.count):
            found = attempt(name, given.seed + k, memory=given.memory)
            if found:
                wrong += 1
                kinds.setdefault(found.split(": ", 1)[1][:60], []).append(found)
        print(
            f"{name}: {given.count} tries, {sum(map(len, kinds.values()))} wrong, {time.time() - began:.1f} s",
            flush=True,
        )
        for found in kinds.values():
            print(f"  {len(found)} x {found[0]}", flush=True)
    return wrong > 0


if __name__ == "__main__":
    sys.exit(main())
