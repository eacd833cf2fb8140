"""ImageDeserializer and Base64ImageDeserializer: images listed in a map file, with class labels.

A line of a map file is ``path<TAB>label`` or ``id<TAB>path<TAB>label``; of a base64 file ``label<TAB>base64`` or
``id<TAB>label<TAB>base64``. Images are decoded when their turn comes, several at a time.

Source: CNTK 2.7 ``io.ImageDeserializer``, ``io.Base64ImageDeserializer``.
"""

from __future__ import annotations

import base64
import binascii
import copy
import os
import zipfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cntk_lab import settings
from cntk_lab._foreign import look
from cntk_lab.errors import AttributeValueError, ReaderError
from cntk_lab.io import _pixels, transforms
from cntk_lab.io._declare import Chunk, Deserializer, Keys, LeftOut, Reader, deserializer
from cntk_lab.io._defects import Defect, Defects, refuse_foreign
from cntk_lab.io._ragged import Ragged
from cntk_lab.io._streams import StreamInformation
from cntk_lab.tensor.layout import IndexVector
from cntk_lab.tensor.shape import FREE
from cntk_lab.tensor.sparse import from_one_hot

CHUNK_LINES: Final = 1 << 16
_FIELDS: Final = {"image", "label"}


class ImageDeserializer(Deserializer):
    """Reads images listed in a map file: 32-bit floats, channels x rows x columns, blue first, 0..255.

    Args:
        filename: map file with lines ``path<TAB>label`` or ``id<TAB>path<TAB>label``; a path that begins with
            ``.../`` is relative to the map file's folder; ``archive.zip@/path`` reads from an archive.
        streams: StreamDefs with field 'image' (and transforms) and field 'label' (and shape, the number of classes).

    Raises:
        AttributeValueError: if a stream has another field, or labels have no shape.

    Example:
        >>> from cntk_lab.io import StreamDef, StreamDefs
        >>> size = ImageDeserializer.scale(width=32, height=32, channels=3)
        >>> ImageDeserializer("map.txt", StreamDefs(x=StreamDef(field="image", transforms=[size])))["file"]
        'map.txt'

    Source: CNTK 2.7 ``io.ImageDeserializer``; the static forms of transforms from CNTK 2.0.
    """

    _type = "ImageDeserializer"

    def __init__(self, filename: str, streams: Any) -> None:
        super().__init__(self._type, {"file": str(filename), "input": _inputs(self._type, streams)})

    @staticmethod
    def crop(
        crop_type: str = "center",
        ratio: float | tuple[float, float] = 1.0,
        jitter_type: str = "uniRatio",
        **more: Any,
    ) -> transforms.Transform:
        """``transforms.crop`` by its older name: ``ratio`` is the side ratio.

        Args:
            crop_type: 'Center' or 'Random'.
            ratio: part of the shorter side, 0..1.
            jitter_type: 'uniRatio' or 'none'.
            more: what ``transforms.crop`` takes.
        """
        return transforms.crop(crop_type, side_ratio=more.pop("side_ratio", ratio), jitter_type=jitter_type, **more)

    scale = staticmethod(transforms.scale)
    mean = staticmethod(transforms.mean)
    color = staticmethod(transforms.color)


class Base64ImageDeserializer(ImageDeserializer):
    """Reads images that stand in a text file, base64-encoded: lines ``label<TAB>data`` or ``id<TAB>label<TAB>data``.

    Args:
        filename: the text file.
        streams: as for ImageDeserializer.

    Raises:
        AttributeValueError: if a stream has another field, or labels have no shape.

    Example:
        >>> from cntk_lab.io import StreamDef, StreamDefs
        >>> Base64ImageDeserializer("images.tsv", StreamDefs(x=StreamDef(field="image")))["type"]
        'Base64ImageDeserializer'

    Source: CNTK 2.7 ``io.Base64ImageDeserializer``.
    """

    _type = "Base64ImageDeserializer"


def _inputs(type_: str, streams: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    inputs: dict[str, dict[str, Any]] = {}
    for name, d in streams.items():
        field = d.get("stream_alias")
        if field not in _FIELDS:
            raise AttributeValueError(f"{type_}: stream '{name}' has field {field!r}", fix="one of: 'image', 'label'")
        if field == "label":
            if d.get("dim") is None:
                raise AttributeValueError(f"{type_}: stream '{name}' has no shape", fix="give the number of classes")
            inputs[name] = {"labelDim": int(np.prod(d["dim"], dtype=np.int64))}
        else:
            inputs[name] = {"transforms": [*d.get("transforms", ()), {"type": "Transpose"}]}
    return inputs


@dataclass(frozen=True)
class _Entry:
    """One line of a map: number of the line, path of the image (or its text), and class."""

    line: int
    what: str
    label: int


class _MapReader(Reader):
    """Lines of a map file; the images follow when their turn comes."""

    selective = True
    encoded = False

    def __init__(self, description: Deserializer, defects: Defects) -> None:
        self.path, self.defects = str(description["file"]), defects
        inputs: Mapping[str, Any] = description["input"]
        self._images = {n: _pixels.Pipeline(i["transforms"][:-1]) for n, i in inputs.items() if "transforms" in i}
        self._labels = {n: int(i["labelDim"]) for n, i in inputs.items() if "labelDim" in i}
        views = {p.views for p in self._images.values()}
        self._views = max(views, default=1)
        shapes = {n: p.shape() or (3, FREE, FREE) for n, p in self._images.items()}
        self.streams = tuple(
            StreamInformation(n, k, "dense", np.float32, shapes[n])
            if n in self._images
            else StreamInformation(n, k, "sparse", np.float32, (self._labels[n],))
            for k, n in enumerate(inputs)
        )
        self._entries: list[_Entry] = []
        self._keys: Keys = self._read_map()
        self._bad: set[int] = set()
        wanted = settings.number("threads") or os.cpu_count() or 1
        threads = 1 if description.get("multiThreaded") is False else min(wanted, 16)
        self._workers = threads
        self._made: tuple[int, ThreadPoolExecutor] | None = None

    # --- the map

    def _read_map(self) -> Keys:
        try:
            content = Path(self.path).read_bytes()
        except OSError as error:
            raise ReaderError(
                f"Cannot open file '{self.path}'", error.strerror or str(error), "give a readable map file"
            ) from error
        refuse_foreign(self.path)
        keys: list[str] = []
        for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
            text = line.removesuffix(b"\r").decode("utf-8", "replace")
            if not text.strip():
                continue
            found = self._entry(text, number)
            if found is None:
                self.left_out += 1
            else:
                keys.append(found[0] or str(len(keys)))
                self._entries.append(found[1])
        return _as_keys(keys)

    def _entry(self, text: str, number: int) -> tuple[str, _Entry] | None:
        form = "label<TAB>base64 data" if self.encoded else "path<TAB>label"
        parts = text.split("\t")
        while len(parts) > 2 and not parts[-1].strip():
            parts.pop()
        if len(parts) not in {2, 3}:
            self._tell(
                number,
                text,
                1,
                "a line has the wrong number of columns",
                f"{len(parts)} columns",
                f"{form}, or id<TAB>{form}",
            )
            return None
        key, (first, second) = (parts[0] if len(parts) == 3 else ""), (parts[-2], parts[-1])
        what, label = (second, first) if self.encoded else (first, second)
        column = text.rindex(label) + 1 if not self.encoded else len(key) + (2 if len(parts) == 3 else 1)
        shown = repr(label[:40])
        if not label.strip().isascii() or not label.strip().isdigit():
            self._tell(number, text, column, "the label is not a class number", shown, "a whole number from 0 on")
            return None
        for name, classes in self._labels.items():
            if int(label) >= classes:
                self._tell(
                    number,
                    text,
                    column,
                    "the class number is too large",
                    label,
                    f"0 to {classes - 1} (shape={classes})",
                    name,
                )
                return None
        return key, _Entry(number, what.strip(), int(label))

    def _tell(self, line: int, text: str, column: int, cause: str, found: str, expected: str, stream: str = "") -> None:
        self.defects.tell(Defect(self.path, cause, line, column, stream, found, expected, text))

    # --- chunks

    def chunk_count(self) -> int:
        return -(-len(self._entries) // CHUNK_LINES)

    def _range(self, chunk: int) -> range:
        return range(chunk * CHUNK_LINES, min((chunk + 1) * CHUNK_LINES, len(self._entries)))

    def samples(self, chunk: int) -> IndexVector:
        return np.ones(len(self._range(chunk)) * self._views, np.int64)

    def keys(self, chunk: int) -> Keys:
        part = self._range(chunk)
        return np.repeat(self._keys[part.start : part.stop], self._views)

    def load(self, chunk: int) -> Chunk:
        return _ImageChunk(self, self._range(chunk).start)

    def usable(self, chunk: int, loaded: Chunk) -> NDArray[np.bool_] | None:  # noqa: ARG002
        if not self._bad:
            return None
        part = self._range(chunk)
        good = np.array([i not in self._bad for i in part])
        return np.repeat(good, self._views)

    # --- images

    def take(self, which: IndexVector, seeds: NDArray[np.uint64]) -> Mapping[str, Ragged]:
        """Decode and transform images, several at a time."""
        items, views = which // self._views, which % self._views
        result: dict[str, Ragged] = {}
        ones = np.ones(len(which), np.int64)
        for name, classes in self._labels.items():
            labels = np.array([self._entries[i].label for i in items.tolist()], np.int64)
            result[name] = Ragged(from_one_hot(labels, classes, "float32"), ones, (classes,))
        if self._images:
            out: dict[str, Any] = {}
            jobs = list(zip(range(len(which)), items.tolist(), seeds.tolist(), views.tolist(), strict=True))
            self._each(jobs[:1], out, len(which))  # the first image says how large all are
            self._each(jobs[1:], out, len(which))
            bad = [i for i in items.tolist() if i in self._bad]
            if bad:
                raise LeftOut
            for name, rows in out.items():
                result[name] = Ragged(rows, ones)
        return result

    def twin(self, defects: Defects, fine: bool) -> Reader:  # noqa: ARG002  (a chunk is a few lines already)
        """A reader with the same map."""
        made = copy.copy(self)
        made.defects, made._bad, made._workers = defects, set(), 1
        return made

    def steps(self, chunk: int, number: int, seed: int) -> Mapping[str, Sequence[_pixels.Step]]:
        """The image as it is stored, and what each transform makes of it."""
        item, view = divmod(number + self._range(chunk).start * self._views, self._views)
        entry = self._entries[item]
        image = _pixels.decode(self._content(entry))
        what = "" if self.encoded else f"{entry.what}, "
        stored = _pixels.Step("image", (f"{what}{self.path}:{entry.line}",), _pixels.as_array(image))
        return {name: [stored, *pipeline.trace(image, seed, view)] for name, pipeline in self._images.items()}

    def _each(self, jobs: list[tuple[int, int, int, int]], out: dict[str, Any], count: int) -> None:
        def work(job: tuple[int, int, int, int]) -> None:
            place, item, seed, view = job
            try:
                image = _pixels.decode(self._content(self._entries[item]))
                for name, pipeline in self._images.items():
                    self._put(name, pipeline.apply(image, seed, view), place, count, out, self._entries[item])
            except ReaderError:
                raise
            except Exception as error:  # noqa: BLE001  (decoders raise anything)
                self._spoilt(item, error)

        if self._workers < 2 or len(jobs) < 2:
            for job in jobs:
                work(job)
        else:
            for _ in self._pool().map(work, jobs):
                pass

    def _pool(self) -> ThreadPoolExecutor:
        """The threads that decode; a forked child makes its own."""
        made, process = self._made, os.getpid()
        if made is None or made[0] != process:
            made = self._made = process, ThreadPoolExecutor(self._workers, "cntk-lab-image")
        return made[1]

    def _put(self, name: str, image: Any, place: int, count: int, out: dict[str, Any], entry: _Entry) -> None:
        size = _pixels.size_of(image)
        rows = out.get(name)
        if rows is None:
            rows = out[name] = np.empty((count, *size), np.float32)
        if rows.shape[1:] != size:
            words = " x ".join(map(str, size))
            raise ReaderError(
                f"images differ in size: {words} and {' x '.join(map(str, rows.shape[1:]))} (channels, rows, columns)",
                f"{self.path}:{entry.line}, stream '{name}'",
                "bring them to one size: transforms=[scale(width=..., height=..., channels=3)]",
            )
        _pixels.write(image, rows[place])

    def _spoilt(self, item: int, error: Exception) -> None:
        entry = self._entries[item]
        if isinstance(error, FileNotFoundError):
            cause, expected = (
                f"Cannot open file '{entry.what}'",
                "a path from the working folder, or .../ from the map's folder",
            )
        elif isinstance(error, binascii.Error):
            cause, expected = "the data are not base64", "letters, digits, '+', '/' and '=' as padding"
        else:
            cause, expected = "the image cannot be decoded", "a whole JPEG, PNG or BMP image"
        shown = entry.what if len(entry.what) <= 60 else entry.what[:57] + "..."
        name = next(iter(self._images))
        self._bad.add(item)
        # Pillow names the buffer it was given by its address, which says nothing
        found = "no known format" if type(error).__name__ == "UnidentifiedImageError" else str(error)
        kind = None if self.encoded or "@" in entry.what else look(self._place(entry.what))
        found = found if kind is None or "image" in kind.what else f"{kind.what}; {kind.fix}"
        self._tell(entry.line, shown, 1, cause, f"{type(error).__name__}: {found}"[:300], expected, name)

    def _content(self, entry: _Entry) -> bytes:
        if self.encoded:
            return base64.b64decode(entry.what, validate=True)
        archive, mark, member = entry.what.partition("@")
        if mark and archive.lower().endswith(".zip"):
            with zipfile.ZipFile(self._place(archive)) as stored:
                return stored.read(member.lstrip("/\\"))
        return self._place(entry.what).read_bytes()

    def _place(self, path: str) -> Path:
        if path.startswith((".../", "...\\")):
            return Path(self.path).parent / path[4:]
        return Path(path)


class _ImageChunk(Chunk):
    """A part of the map; its images are decoded when they are taken."""

    def __init__(self, reader: _MapReader, first: int) -> None:
        self._reader, self._first = reader, first

    def take(self, which: IndexVector, seeds: NDArray[np.uint64]) -> Mapping[str, Ragged]:
        """Decode and transform images."""
        return self._reader.take(which + self._first * self._reader._views, seeds)


def _as_keys(keys: list[str]) -> Keys:
    """Whole numbers if all are, words otherwise."""
    if all(k.isascii() and k.isdigit() and int(k) < 2**64 for k in keys):
        return np.array([int(k) for k in keys], np.uint64)
    return np.array(keys, object)


@deserializer("ImageDeserializer")
class _ImageReader(_MapReader):
    pass


@deserializer("Base64ImageDeserializer")
class _Base64Reader(_MapReader):
    encoded = True
