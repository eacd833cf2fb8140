"""Master label files: which class each frame of an utterance has, as text or binary.

Text: ``#!MLF!#``, then per utterance its name in quotes, lines ``start end state`` (100 ns; a frame is 100000), and a
dot. Binary: 'MLF', version, then per utterance its key, number of frames and runs (class, count). Knows no features.

Source: Young et al., The HTK Book, section 6.3; CNTK 2.7's readers, as observed.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

import numpy as np
from numpy.typing import NDArray

from cntk_lab.errors import ReaderError
from cntk_lab.io._defects import Defect, Defects, refuse_foreign

UNITS_PER_FRAME: Final = 100_000
MARK: Final = "#!MLF!#"
MOST_FRAMES = 1 << 22
"""Frames of an utterance (11 hours) beyond which a file is thought to be damaged, rather than given memory."""
_DIGITS = 19


@dataclass(frozen=True)
class Labels:
    """The classes of an utterance: ``classes[i]`` for ``counts[i]`` frames."""

    classes: NDArray[np.int64]
    counts: NDArray[np.int64]


def read_states(file: str, dim: int, stream: str) -> dict[str, int]:
    """The classes by state name: one name a line.

    Raises:
        ReaderError: if the file cannot be read or holds more names than there are classes.
    """
    try:
        names = [line.strip() for line in Path(file).read_text(encoding="utf-8", errors="replace").split("\n")]
    except OSError as error:
        raise ReaderError(
            f"Cannot open file '{file}'", error.strerror or str(error), "give one state name a line"
        ) from error
    refuse_foreign(file)
    while names and not names[-1]:
        names.pop()
    if len(names) > dim:
        raise ReaderError(
            f"{file} has {len(names)} states, stream '{stream}' has {dim} classes", fix=f"give shape={len(names)}"
        )
    return {name: k for k, name in enumerate(names)}


def read_mlf(
    file: str, states: dict[str, int], dim: int, stream: str, defects: Defects, labels: dict[str, Labels]
) -> None:
    """Add the utterances of a text file; bad ones are told and left out.

    Args:
        file: the file.
        states: classes by name.
        dim: number of classes.
        stream: for messages.
        defects: where bad places are told.
        labels: where utterances are added.
    """
    del dim
    try:
        text = Path(file).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ReaderError(
            f"Cannot open file '{file}'", error.strerror or str(error), "give a readable label file"
        ) from error
    refuse_foreign(file)
    _TextReader(file, states, stream, defects, labels).run(text)


class _TextReader:
    def __init__(
        self, file: str, states: dict[str, int], stream: str, defects: Defects, labels: dict[str, Labels]
    ) -> None:
        self._file, self._states, self._stream, self._defects, self._labels = file, states, stream, defects, labels
        self._name: str | None = None
        self._opened = 0
        self._runs: list[tuple[int, int]] = []
        self._end = 0
        self._bad = False

    def run(self, text: str) -> None:
        """Go through the lines."""
        lines = text.split("\n")
        if lines[0].strip().removeprefix("\ufeff") != MARK:
            self._tell(1, lines[0], "the file does not begin like a master label file", repr(lines[0][:40]), MARK)
        for number, line in enumerate(lines[1:], start=2):
            word = line.strip()
            if not word or word.startswith(MARK):
                continue
            if self._name is None:
                self._open(number, line, word)
            elif word == ".":
                self._close(number, line)
            elif word.startswith('"'):
                self._tell(
                    number,
                    line,
                    f"utterance '{self._name}' (line {self._opened}) has no end",
                    word,
                    "'.' before the next one",
                )
                self._name = None
                self._open(number, line, word)
            else:
                self._run(number, line, word.split())
        if self._name is not None:
            self._tell(
                len(lines),
                lines[-1],
                f"the file ends within utterance '{self._name}' (line {self._opened})",
                "the end",
                "'.'",
            )

    def _tell(self, line: int, text: str, cause: str, found: str, expected: str, word: str = "") -> None:
        self._bad = True
        column = text.find(word) + 1 if word else 1
        self._defects.tell(Defect(self._file, cause, line, column, self._stream, found, expected, text))

    def _open(self, number: int, line: str, word: str) -> None:
        name = utterance_name(word)
        self._bad = False
        if not (word.startswith('"') and word.endswith('"') and len(word) > 2):
            self._tell(number, line, "this is not the name of an utterance", repr(word[:40]), '"name.lab" in quotes')
        elif name in self._labels:
            self._tell(number, line, "an utterance is labelled twice", name, "each once")
        self._name, self._opened, self._runs, self._end = name, number, [], 0

    def _run(self, number: int, line: str, words: list[str]) -> None:
        if self._bad:
            return
        if len(words) < 3 or not all(w.isdecimal() and len(w) < _DIGITS for w in words[:2]):
            self._tell(number, line, "this is no label", repr(line.strip()[:40]), "start end state, in units of 100 ns")
            return
        first, last = (round(int(w) / UNITS_PER_FRAME) for w in words[:2])
        if last <= first or first != self._end:
            self._tell(
                number,
                line,
                "labels do not follow each other",
                f"frames {first} to {last}",
                f"start at frame {self._end}, end after it",
            )
            return
        if last > MOST_FRAMES:
            self._tell(number, line, "an utterance is too long", f"{last} frames", f"at most {MOST_FRAMES} frames")
            return
        if words[2] not in self._states:
            self._tell(
                number,
                line,
                "the state is not in the label mapping file",
                repr(words[2]),
                "a state name listed there",
                words[2],
            )
            return
        self._end = last
        self._runs.append((self._states[words[2]], last - first))

    def _close(self, number: int, line: str) -> None:
        if not self._runs and not self._bad:
            self._tell(
                number,
                line,
                f"utterance '{self._name}' (line {self._opened}) has no label",
                "nothing",
                "at least one line",
            )
        if not self._bad and self._name is not None:
            runs = np.array(self._runs, np.int64)
            self._labels[self._name] = Labels(runs[:, 0], runs[:, 1])
        self._name = None


def utterance_name(word: str) -> str:
    """The name by which labels and features are joined: without quotes, ``*/`` and extension."""
    name = word.strip().strip('"')
    name = re.sub(r"^\*[/\\]", "", name)
    return name.rpartition(".")[0] if "." in re.split(r"[/\\]", name)[-1] else name


def read_binary_mlf(file: str, dim: int, stream: str, defects: Defects, labels: dict[str, Labels]) -> None:
    """Add the utterances of a binary file.

    Args:
        file: the file.
        dim: number of classes.
        stream: for messages.
        defects: where bad places are told.
        labels: where utterances are added.

    Raises:
        ReaderError: if the file cannot be read or is damaged.
    """
    try:
        data = Path(file).read_bytes()
    except OSError as error:
        raise ReaderError(
            f"Cannot open file '{file}'", error.strerror or str(error), "give a readable label file"
        ) from error

    def fail(at: int, cause: str, found: str, expected: str) -> NoReturn:
        defect = Defect(file, cause, stream=stream, found=found, expected=expected, offset=at)
        defects.all.append(defect)
        raise ReaderError(defect.words(), fix="the file is damaged or no binary label file: write it anew")

    def take(form: str, at: int, what: str) -> tuple[int, ...]:
        if at + struct.calcsize(form) > len(data):
            fail(at, f"the file ends within {what}", f"{len(data) - at} bytes", f"{struct.calcsize(form)} bytes")
        return struct.unpack_from(form, data, at)

    if data[:3] != b"MLF":
        refuse_foreign(file)
        fail(0, "the file does not begin like a binary label file", repr(data[:3]), "b'MLF'")
    (version,) = take("<h", 3, "the version")
    if version not in {1, 2}:
        fail(3, "the version is not known", str(version), "1 or 2")
    at = 5
    while at < len(data):
        start = at
        if version == 1:
            name, at = str(take("<I", at, "the key of an utterance")[0]), at + 4
        else:
            (length,) = take("<H", at, "the name of an utterance")
            raw = data[at + 2 : at + 2 + length]
            if len(raw) < length or not 1 <= length <= 256:
                fail(at, "the length of a name cannot be", str(length), "1 to 256, within the file")
            name, at = raw.decode("utf-8", "replace"), at + 2 + length
        frames, count = take("<IH", at, f"utterance '{name}'")
        at += 6
        take(f"<{2 * count}H", at, f"the labels of utterance '{name}'")
        pairs = np.frombuffer(data, "<u2", 2 * count, at).reshape(-1, 2).astype(np.int64)
        at += 4 * count
        if count < 1 or int(pairs[:, 1].sum()) != frames or (pairs[:, 1] < 1).any():
            fail(
                start,
                f"frames of utterance '{name}' do not add up",
                f"{int(pairs[:, 1].sum())} in {count} runs",
                f"{frames}",
            )
        if frames > MOST_FRAMES:
            fail(start, f"utterance '{name}' is too long", f"{frames} frames", f"at most {MOST_FRAMES} frames")
        if int(pairs[:, 0].max()) >= dim:
            fail(
                start,
                f"a class of utterance '{name}' is too large",
                str(int(pairs[:, 0].max())),
                f"0 to {dim - 1} (shape={dim})",
            )
        if name in labels:
            fail(start, f"utterance '{name}' is labelled twice", name, "each once")
        labels[name] = Labels(pairs[:, 0].copy(), pairs[:, 1].copy())
