"""HTKFeatureDeserializer, HTKMLFDeserializer, HTKMLFBinaryDeserializer: speech features and frame labels.

Features: HTK files listed in a script file (``name=path[first,last]`` or a path a line). Labels: master label files,
as text or binary. Utterances are joined by name. In frame mode every frame is a sequence of its own.

Source: CNTK 2.7 ``io.HTKFeatureDeserializer``, ``io.HTKMLFDeserializer``; Young et al., The HTK Book, chapters 5 and 6.
"""

from __future__ import annotations

import abc
import os
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cntk_lab._foreign import look
from cntk_lab.errors import AttributeValueError, NotAvailableError, ReaderError
from cntk_lab.io._declare import Chunk, Deserializer, Keys, MemoryChunk, Reader, deserializer
from cntk_lab.io._defects import Defect, Defects, refuse_foreign
from cntk_lab.io._mlf import MOST_FRAMES, Labels, read_binary_mlf, read_mlf, read_states
from cntk_lab.io._ragged import Ragged
from cntk_lab.io._streams import StreamInformation
from cntk_lab.tensor.layout import IndexVector
from cntk_lab.tensor.shape import as_shape, size

FRAMES_PER_CHUNK: Final = 90_000
_HEADER: Final = struct.Struct(">iihH")
_COMPRESSED: Final = 0o2000
_LINE: Final = re.compile(r"(?:(?P<key>[^=]+)=)?(?P<path>.+?)(?:\[(?P<first>\d{1,18}),(?P<last>\d{1,18})\])?")


def HTKFeatureDeserializer(streams: Mapping[str, Any]) -> Deserializer:
    """Reads speech features from HTK files.

    Args:
        streams: StreamDefs; of each, ``scp`` is the script file or files, ``shape`` the dimension of a frame,
            ``context`` the frames added on the left and right, ``broadcast`` whether the one frame stands for the
            whole utterance.

    Returns:
        Deserializer for MinibatchSource.

    Raises:
        AttributeValueError: if a stream has no scp or no shape.

    Example:
        >>> from cntk_lab.io import StreamDef, StreamDefs
        >>> HTKFeatureDeserializer(StreamDefs(x=StreamDef(scp="train.scp", shape=33, context=(5, 5))))["type"]
        'HTKFeatureDeserializer'

    Source: CNTK 2.7 ``io.HTKFeatureDeserializer``.
    """
    inputs: dict[str, dict[str, Any]] = {}
    for name, d in streams.items():
        scp = d.get("scp")
        if scp is None or d.get("dim") is None:
            missing = "scp" if scp is None else "shape"
            raise AttributeValueError(
                f"HTKFeatureDeserializer: stream '{name}' has no {missing}", fix=f"StreamDef({missing}=...)"
            )
        left, right = d.get("context", (0, 0))
        if left < 0 or right < 0:
            raise AttributeValueError(
                f"HTKFeatureDeserializer: context=({left}, {right})", fix="give frames of 0 or more"
            )
        inputs[name] = {
            "scpFile": [scp] if isinstance(scp, (str, os.PathLike)) else list(scp),
            "dim": int(size(as_shape(d["dim"]))),
            "contextWindow": [int(left), int(right)],
            "expandToUtterance": bool(d.get("broadcast", False)),
            "definesMBSize": bool(d.get("defines_mb_size", False)),
        }
    return Deserializer("HTKFeatureDeserializer", {"input": inputs})


def HTKMLFDeserializer(
    label_mapping_file: str, streams: Mapping[str, Any], phoneBoundaries: bool = False
) -> Deserializer:
    """Reads one class for each frame from master label files.

    Args:
        label_mapping_file: one state name a line; its line number is the class.
        streams: StreamDefs; of the one, ``mlf`` is the label file or files, ``shape`` the number of classes.
        phoneBoundaries: give the value 2 instead of 1 at the first frame of each phone, as CTC training wants it.

    Returns:
        Deserializer for MinibatchSource.

    Raises:
        AttributeValueError: if there is not one stream with mlf and shape.

    Example:
        >>> from cntk_lab.io import StreamDef, StreamDefs
        >>> HTKMLFDeserializer("states.txt", StreamDefs(y=StreamDef(mlf="train.mlf", shape=132)))["type"]
        'HTKMLFDeserializer'

    Source: CNTK 2.7 ``io.HTKMLFDeserializer``.
    """
    entries = {"labelMappingFile": str(label_mapping_file), "phoneBoundaries": bool(phoneBoundaries)}
    return Deserializer("HTKMLFDeserializer", {**entries, "input": _mlf_input("HTKMLFDeserializer", streams)})


def HTKMLFBinaryDeserializer(streams: Mapping[str, Any]) -> Deserializer:
    """Reads one class for each frame from binary master label files (class numbers with run lengths).

    Args:
        streams: StreamDefs; of the one, ``mlf`` is the label file or files, ``shape`` the number of classes.

    Returns:
        Deserializer for MinibatchSource.

    Raises:
        AttributeValueError: if there is not one stream with mlf and shape.

    Example:
        >>> from cntk_lab.io import StreamDef, StreamDefs
        >>> HTKMLFBinaryDeserializer(StreamDefs(y=StreamDef(mlf="train.bin", shape=132)))["type"]
        'HTKMLFBinaryDeserializer'

    Source: CNTK 2.7 ``io.HTKMLFBinaryDeserializer``.
    """
    return Deserializer("HTKMLFBinaryDeserializer", {"input": _mlf_input("HTKMLFBinaryDeserializer", streams)})


def LatticeDeserializer(lattice_index_file: str, streams: Mapping[str, Any]) -> Deserializer:
    """Refuses: lattices serve sequence training of speech models only, whose operator CNTK Lab does not have.

    Args:
        lattice_index_file: list of lattices.
        streams: StreamDefs.

    Raises:
        NotAvailableError: always.

    Example:
        >>> LatticeDeserializer("lattices.toc", {})
        Traceback (most recent call last):
        cntk_lab.errors.NotAvailableError: lattices.toc: lattices cannot be read
        ...

    Source: CNTK 2.7 ``io.LatticeDeserializer``.
    """
    del streams
    raise NotAvailableError(
        f"{lattice_index_file}: lattices cannot be read",
        fix="train on frame labels: HTKMLFDeserializer, or CTC on phones",
    )


def _mlf_input(type_: str, streams: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    if len(streams) != 1:
        raise AttributeValueError(f"{type_} has {len(streams)} streams", fix="give one")
    ((name, d),) = streams.items()
    for key, words in (("mlf", "mlf"), ("dim", "shape")):
        if d.get(key) is None:
            raise AttributeValueError(f"{type_}: stream '{name}' has no {words}", fix=f"StreamDef({words}=...)")
    mlf = d["mlf"]
    return {
        name: {
            "mlfFile": [mlf] if isinstance(mlf, (str, os.PathLike)) else list(mlf),
            "dim": int(size(as_shape(d["dim"]))),
            "definesMBSize": bool(d.get("defines_mb_size", False)),
        }
    }


class _Utterances(Reader):
    """What feature and label readers share: utterances with names and lengths, in chunks of about 15 minutes."""

    plain = True
    names: list[str]
    lengths: IndexVector

    def _arrange(self, frame_mode: bool) -> None:
        if not self.names:
            raise ReaderError("there is no utterance", self._files(), "give files with at least one")
        self._frames = frame_mode
        ends = np.cumsum(self.lengths)
        number = (ends - self.lengths) // FRAMES_PER_CHUNK
        first = np.concatenate([[0], np.flatnonzero(np.diff(number)) + 1, [len(ends)]])
        self._edges = first.astype(np.int64)

    @abc.abstractmethod
    def _files(self) -> str:
        """The files, for messages."""

    def _part(self, chunk: int) -> range:
        return range(int(self._edges[chunk]), int(self._edges[chunk + 1]))

    def chunk_count(self) -> int:
        return len(self._edges) - 1

    def samples(self, chunk: int) -> IndexVector:
        part = self.lengths[self._edges[chunk] : self._edges[chunk + 1]]
        return np.ones(int(part.sum()), np.int64) if self._frames else part

    def keys(self, chunk: int) -> Keys:
        names = [self.names[i] for i in self._part(chunk)]
        if self._frames:
            names = [
                f"{n}\n{t}" for n, i in zip(names, self._part(chunk), strict=True) for t in range(int(self.lengths[i]))
            ]
        return np.array(names, object)

    def chunk_bytes(self) -> int:
        return FRAMES_PER_CHUNK * sum(4 * size(s.sample_shape) if not s.is_sparse else 12 for s in self.streams)

    def _ragged(self, rows: Any, lengths: Sequence[int], shape: Any) -> Ragged:
        counts = np.ones(sum(lengths), np.int64) if self._frames else np.asarray(lengths, np.int64)
        return Ragged(rows, counts, shape)


@dataclass(frozen=True)
class _Place:
    """Where the frames of an utterance are; last -1: up to the end. And the script line that says so."""

    path: str
    first: int
    last: int
    script: str
    line: int


@deserializer("HTKFeatureDeserializer")
class _HTKReader(_Utterances):
    def __init__(self, description: Deserializer, defects: Defects) -> None:
        self.defects = defects
        self._inputs: Mapping[str, Any] = description["input"]
        self._places: dict[str, dict[str, _Place]] = {
            n: self._read_scripts(i["scpFile"]) for n, i in self._inputs.items()
        }
        broadcast = {n for n, i in self._inputs.items() if i["expandToUtterance"]}
        guides = [n for n in self._inputs if n not in broadcast]
        if not guides:
            raise AttributeValueError(
                "every stream is broadcast: nothing says how long utterances are", fix="add features"
            )
        self._guide = guides[0]
        common = set.intersection(*(set(p) for p in self._places.values()))
        self.names = [n for n in self._places[self._guide] if n in common]
        lost = len(self._places[self._guide]) - len(self.names)
        if lost:
            self.defects.once(
                self._files(), "missing", f"{lost} utterances are not in every script file; they are left out"
            )
        lengths = []
        kept = []
        for name in self.names:
            length = self._length(self._places[self._guide][name])
            if length:
                kept.append(name)
                lengths.append(length)
        self.names, self.lengths = kept, np.array(lengths, np.int64)
        self.streams = tuple(
            StreamInformation(
                n, k, "dense", np.float32, (i["dim"] * (1 + sum(i["contextWindow"])),), i["definesMBSize"]
            )
            for k, (n, i) in enumerate(self._inputs.items())
        )
        self._arrange(bool(description.get("frameMode")))
        self._bad: dict[int, NDArray[np.bool_]] = {}

    def _files(self) -> str:
        return ", ".join(str(f) for i in self._inputs.values() for f in i["scpFile"])

    def _read_scripts(self, files: Sequence[Any]) -> dict[str, _Place]:
        found: dict[str, _Place] = {}
        for file in map(str, files):
            try:
                text = Path(file).read_text(encoding="utf-8", errors="replace")
            except OSError as error:
                raise ReaderError(
                    f"Cannot open file '{file}'", error.strerror or str(error), "give a readable script file"
                ) from error
            refuse_foreign(file)
            for number, line in enumerate(text.split("\n"), start=1):
                if not line.strip():
                    continue
                match = _LINE.fullmatch(line.strip())
                assert match is not None
                path = match["path"].strip()
                first, last = int(match["first"] or 0), int(match["last"] or -1)
                if path.startswith(("...", ".../")):
                    path = str(Path(file).parent / path.lstrip(".").lstrip("/\\"))
                key = _stem(match["key"] or path)
                if (match["first"] and last < first) or "[" in path:
                    at = max(line.find("["), 0)
                    wanted = "[first,last] with first <= last"
                    cause = "the range of frames cannot be"
                    self.defects.tell(Defect(file, cause, number, at + 1, "", line[at:].strip(), wanted, line))
                elif key in found:
                    self.defects.tell(
                        Defect(file, "an utterance is listed twice", number, 1, "", key, "each once", line)
                    )
                else:
                    found[key] = _Place(path, first, last, file, number)
        return found

    def _length(self, place: _Place) -> int:
        """Frames of an utterance: from the script's range, or from the file; 0 if it is bad and that is tolerated."""
        if 0 <= place.last < MOST_FRAMES:  # else its file is asked, before memory is
            return place.last - place.first + 1
        header = self._header(place, 0)
        if header is not None and place.last >= header[0]:
            self._beyond(place, "", header[0])
            return 0
        return 0 if header is None else (header[0] if place.last < 0 else place.last + 1) - place.first

    def _beyond(self, place: _Place, stream: str, total: int) -> None:
        self._tell(place, stream, "the range of frames ends after the file", f"frame {place.last}", f"0 to {total - 1}")

    def _tell(self, place: _Place, stream: str, cause: str, found: str, expected: str) -> None:
        self.defects.tell(
            Defect(place.script, f"{cause} ({place.path})", place.line, 0, stream, found, expected, place.path)
        )

    def _header(self, place: _Place, dim: int, stream: str = "") -> tuple[int, int, int] | None:
        """Frames, bytes per frame and kind of a file; None if it is bad and that is tolerated."""
        try:
            with Path(place.path).open("rb") as file:
                head, total = file.read(_HEADER.size), os.fstat(file.fileno()).st_size
        except (OSError, ValueError) as error:  # ValueError: a character that no path has
            self._tell(
                place,
                stream,
                "Cannot open a feature file",
                getattr(error, "strerror", None) or str(error),
                "a path from the working folder, or .../ from the script's",
            )
            return None
        if len(head) < _HEADER.size:
            self._tell(place, stream, "a feature file ends within its header", f"{len(head)} bytes", "12 bytes")
            return None
        frames, _period, width, kind = _HEADER.unpack(head)
        packed = bool(kind & _COMPRESSED)
        values = width // (2 if packed else 4)
        offset = 8 * values if packed else 0
        frames -= 4 if packed else 0
        if width < 1 or frames < 1 or _HEADER.size + offset + frames * width > total:
            kind_found = look(place.path)
            found = f"{frames} frames of {width} bytes in {total} bytes"
            found = found if kind_found is None else f"{kind_found.what}; {kind_found.fix}"
            wanted = "a big-endian HTK file that holds the frames its header promises"
            self._tell(place, stream, "a feature file is damaged or cut off", found, wanted)
            return None
        if dim and values != dim:
            self._tell(
                place, stream, "frames have another dimension", f"{values} values", f"{dim} values (shape={dim})"
            )
            return None
        return frames, width, kind

    def usable(self, chunk: int, loaded: Chunk) -> NDArray[np.bool_] | None:  # noqa: ARG002
        return self._bad.get(chunk)

    def load(self, chunk: int) -> Chunk:
        part = self._part(chunk)
        lengths = [int(self.lengths[i]) for i in part]
        good = np.ones(len(lengths), bool)
        streams = {}
        for info in self.streams:
            entry, rows = self._inputs[info.m_name], []
            for k, i in enumerate(part):
                frames = self._frames_of(info.m_name, self.names[i], entry, lengths[k])
                if frames is None:
                    good[k] = False
                    frames = np.zeros((lengths[k], *info.sample_shape), np.float32)
                rows.append(frames)
            streams[info.m_name] = self._ragged(np.concatenate(rows), lengths, info.sample_shape)
        if not good.all():
            self._bad[chunk] = np.repeat(good, lengths) if self._frames else good
        return MemoryChunk(streams)

    def _frames_of(self, stream: str, name: str, entry: Mapping[str, Any], length: int) -> Any:
        place, dim = self._places[stream][name], int(entry["dim"])
        header = self._header(place, dim, stream)
        if header is None:
            return None
        total, width, kind = header
        last = total - 1 if place.last < 0 else place.last
        if last >= total:
            self._beyond(place, stream, total)
            return None
        frames = self._read_frames(place, stream, dim, width, last, kind)
        if frames is None:
            return None
        left, right = entry["contextWindow"]
        if left or right:  # edges are repeated
            at = np.arange(len(frames))[:, None] + np.arange(-left, right + 1)[None, :]
            frames = frames[at.clip(0, len(frames) - 1)].reshape(len(frames), -1)
        if entry["expandToUtterance"]:
            frames = np.repeat(frames[:1], length, axis=0)
        if len(frames) != length:
            self._tell(
                place,
                stream,
                "an utterance has another length than in the first stream",
                f"{len(frames)} frames",
                f"{length} frames",
            )
            return None
        return frames

    def _read_frames(self, place: _Place, stream: str, dim: int, width: int, last: int, kind: int) -> Any:
        """The frames of an utterance alone, however long the archive is; None if the file has ended before."""
        count, packed = last + 1 - place.first, bool(kind & _COMPRESSED)
        begin = _HEADER.size + (8 * dim if packed else 0)
        try:
            with Path(place.path).open("rb") as file:
                file.seek(_HEADER.size)
                factors = np.frombuffer(file.read(8 * dim if packed else 0), ">f4").astype(np.float32)
                file.seek(begin + place.first * width)
                data = file.read(count * width)
        except OSError as error:
            self._tell(place, stream, "Cannot read a feature file", error.strerror or str(error), "a readable file")
            return None
        if len(data) != count * width or (packed and len(factors) != 2 * dim):
            self._tell(place, stream, "a feature file became shorter", f"{len(data)} bytes", f"{count * width} bytes")
            return None
        if not packed:
            return np.frombuffer(data, ">f4").astype(np.float32).reshape(count, dim)
        factor, shift = factors.reshape(2, dim)
        return (np.frombuffer(data, ">i2").astype(np.float32).reshape(count, dim) + shift) / factor


class _LabelReader(_Utterances):
    """Frame labels, held as runs of one class."""

    def __init__(self, description: Deserializer, defects: Defects, labels: Mapping[str, Labels]) -> None:
        self.defects = defects
        ((name, entry),) = description["input"].items()
        self._entry = entry
        self._dim = int(entry["dim"])
        self._labels = labels
        self.names = list(labels)
        self.lengths = np.array([int(runs.counts.sum()) for runs in labels.values()], np.int64)
        self._value = 2.0 if description.get("phoneBoundaries") else 1.0
        self.streams = (StreamInformation(name, 0, "sparse", np.float32, (self._dim,), entry["definesMBSize"]),)
        self._arrange(bool(description.get("frameMode")))

    def _files(self) -> str:
        return ", ".join(map(str, self._entry["mlfFile"]))

    def load(self, chunk: int) -> Chunk:
        from scipy.sparse import csr_matrix

        part = self._part(chunk)
        runs = [self._labels[self.names[i]] for i in part]
        classes = np.concatenate([np.repeat(r.classes, r.counts) for r in runs])
        values = np.ones(len(classes), np.float32)
        if self._value != 1:
            counts = np.concatenate([r.counts for r in runs])
            values[np.cumsum(counts) - counts] = self._value
        matrix = csr_matrix(
            (values, classes.astype(np.int32), np.arange(len(classes) + 1)), shape=(len(classes), self._dim)
        )
        lengths = [int(self.lengths[i]) for i in part]
        return MemoryChunk({self.streams[0].m_name: self._ragged(matrix, lengths, (self._dim,))})


@deserializer("HTKMLFDeserializer")
def _open_mlf(description: Deserializer, defects: Defects) -> Reader:
    ((name, entry),) = description["input"].items()
    states = read_states(description["labelMappingFile"], entry["dim"], name)
    labels: dict[str, Labels] = {}
    for file in map(str, entry["mlfFile"]):
        read_mlf(file, states, entry["dim"], name, defects, labels)
    return _LabelReader(description, defects, labels)


@deserializer("HTKMLFBinaryDeserializer")
def _open_binary_mlf(description: Deserializer, defects: Defects) -> Reader:
    ((name, entry),) = description["input"].items()
    labels: dict[str, Labels] = {}
    for file in map(str, entry["mlfFile"]):
        read_binary_mlf(file, entry["dim"], name, defects, labels)
    return _LabelReader(description, defects, labels)


def _stem(path: str) -> str:
    """The name of an utterance: a path without its extension."""
    return path.rpartition(".")[0] if "." in re.split(r"[/\\]", path)[-1] else path
