"""Defects: bad places in data, each with file, line, column, stream, what was found and what was expected.

A reader tells every bad place here. Up to ``max_errors`` are tolerated (the sequence is left out and a warning says
so); the next one ends reading with an error. Knows no format.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

from cntk_lab._foreign import look
from cntk_lab._turn import new_lock
from cntk_lab.errors import LabWarning, ReaderError

WIDEST = 96
"""Characters of a line that a message shows."""


@dataclass(frozen=True)
class Defect:
    """One bad place.

    Args:
        file: path of the file.
        cause: what is wrong, in a few words.
        line: line number, counted from 1; 0 where there are no lines.
        column: column in characters, counted from 1; 0 if the whole line is meant.
        stream: name of the stream concerned, or empty.
        found: what is there.
        expected: what should be.
        text: the line.
        offset: place in bytes, in files without lines; -1 otherwise.
    """

    file: str
    cause: str
    line: int = 0
    column: int = 0
    stream: str = ""
    found: str = ""
    expected: str = ""
    text: str = ""
    offset: int = -1

    @property
    def place(self) -> str:
        """File, line and column in the form that editors understand."""
        place = f"{self.file}:{self.line}" + (f":{self.column}" if self.column else "") if self.line else self.file
        if self.offset >= 0:
            place += f", byte {self.offset}"
        return place + (f", stream '{self.stream}'" if self.stream else "")

    def marked(self) -> list[str]:
        """The line and a marker under the column; long lines are shown around it."""
        if not self.text:
            return []
        text, at = self.text.rstrip("\r\n"), max(self.column - 1, 0)
        first = max(0, min(at - WIDEST // 2, len(text) - WIDEST))
        shown = text[first : first + WIDEST]
        head = "..." if first else ""
        tail = "..." if first + WIDEST < len(text) else ""
        clean = "".join(c if c.isprintable() else " " if c == "\t" else "\N{REPLACEMENT CHARACTER}" for c in shown)
        return [f"    {head}{clean}{tail}", "    " + " " * (len(head) + at - first) + "^"]

    def words(self) -> str:
        """All that is known, over several lines."""
        lines = [f"{self.place}: {self.cause}", *self.marked()]
        if self.found:
            lines.append(f"  found:    {self.found}")
        if self.expected:
            lines.append(f"  expected: {self.expected}")
        return "\n".join(lines)


def refuse_foreign(file: str) -> None:
    """Return if a file may be what a reader wants: neither a page nor an archive nor another program's file.

    Raises:
        ReaderError: if it is one of those; says which, and what to do.
    """
    kind = look(file)
    if kind is not None:
        raise ReaderError(f"'{file}' is {kind.what}", fix=kind.fix)


class Defects:
    """The bad places met so far.

    Args:
        max_errors: how many are tolerated.

    Example:
        >>> defects = Defects()
        >>> defects.tell(Defect("a.txt", "empty line", 3))
        Traceback (most recent call last):
        cntk_lab.errors.ReaderError: a.txt:3: empty line
        ...
    """

    def __init__(self, max_errors: int = 0) -> None:
        self.max_errors = max_errors
        self.all: list[Defect] = []
        self._known: set[tuple[str, int, int, str]] = set()
        self._warned: set[tuple[str, str]] = set()
        self._lock = new_lock()
        self.silent = False

    def tell(self, defect: Defect) -> None:
        """Note a bad place; the same place counts once.

        Raises:
            ReaderError: if there are now more than are tolerated.
        """
        with self._lock:
            place = (defect.file, defect.line, defect.offset, defect.cause if not defect.line else "")
            if place in self._known:
                return
            self._known.add(place)
            self.all.append(defect)
            count = len(self.all)
        if count > self.max_errors:
            tolerated = f"{self.max_errors} errors are tolerated, this is number {count}; " if self.max_errors else ""
            raise ReaderError(
                defect.words(),
                fix=f"{tolerated}correct the place, or let the reader leave out bad sequences: max_errors={count}",
            )
        if not self.silent:
            warnings.warn(
                f"left out ({count} of {self.max_errors} errors tolerated): {defect.words()}", LabWarning, stacklevel=2
            )

    def once(self, file: str, subject: str, words: str) -> None:
        """Warn of something harmless, once per file and subject."""
        with self._lock:
            if (file, subject) in self._warned:
                return
            self._warned.add((file, subject))
        if not self.silent:
            warnings.warn(words, LabWarning, stacklevel=2)
