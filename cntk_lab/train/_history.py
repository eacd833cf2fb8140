"""What a run leaves behind: numbers of each step, validation, rates, changes; as JSON lines on disk.

A history is plain data: it can be drawn, compared and read again without the model. Format ``cntk-lab-run``: the first
line names format, version and run; every other line is one entry with a ``kind``; steps come in blocks of columns. A
number that is not finite is the text NaN, Infinity or -Infinity. A last line that was cut short is left out on reading.
Knows no trainers.
"""

from __future__ import annotations

import json
import math
import os
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from cntk_lab._files import atomic_file
from cntk_lab._foreign import look
from cntk_lab.errors import FormatError
from cntk_lab.train._control import KINDS, Change

FORMAT: Final = "cntk-lab-run"
VERSION: Final = 1
BLOCK: Final = 1000
LARGEST: Final = 1 << 30
"""Bytes of a file that are read at most."""


@dataclass(frozen=True, slots=True)
class Validation:
    """Averages over the validation data after a step; the metric is None if there is none."""

    step: int
    loss: float
    metric: float | None


@dataclass(frozen=True, slots=True)
class Load:
    """How fast the run went (samples per second since the last entry), and the memory of the process in bytes."""

    step: int
    samples_per_second: float
    memory: int


@dataclass(frozen=True, slots=True)
class Finding:
    """Something the doctor saw: after which step, what sort, in words, and the uid of the node it is about."""

    step: int
    kind: str
    words: str
    node: str = ""


class Column(Sequence[float]):
    """Numbers that only grow at the end, 8 bytes each; reading them, as an array too, never holds up the writer.

    Args:
        code: as in ``array``: "d" for floating-point, "q" for whole numbers.
    """

    __slots__ = ("_numbers",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, code: str, numbers: Iterable[float] = ()) -> None:
        self._numbers: array[Any] = array(code, numbers)

    def append(self, value: float) -> None:
        """Add a number."""
        self._numbers.append(value)

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, at: Any) -> Any:
        found = self._numbers[at]
        return Column(found.typecode, found) if isinstance(found, array) else found

    def __delitem__(self, at: slice) -> None:
        del self._numbers[at]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Column) and self._numbers == other._numbers

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, np.dtype[Any]]:
        del copy  # an array that shared the memory would keep it from growing
        return np.array(self._numbers[:], dtype)

    def __repr__(self) -> str:
        return f"Column({list(self._numbers[:5])!r}{', ...' if len(self) > 5 else ''})"


@dataclass
class History:
    """Numbers of a run. Steps count from 1: ``loss[0]`` is the average loss of step 1, before its update."""

    name: str = ""
    has_metric: bool = False
    parent: str = ""
    forked_at: int = 0
    loss: Column = field(default_factory=lambda: Column("d"))
    metric: Column = field(default_factory=lambda: Column("d"))
    samples: Column = field(default_factory=lambda: Column("q"))
    seconds: Column = field(default_factory=lambda: Column("d"))
    validation: list[Validation] = field(default_factory=list)
    rates: list[Change] = field(default_factory=list)
    """Learning rate and momentum of the first learner from a step on, however they came to change."""
    changes: list[Change] = field(default_factory=list)
    """What was changed by hand: made again at the same steps, the run is the same."""
    load: list[Load] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def step(self) -> int:
        """Steps done."""
        return len(self.loss)

    def append(self, samples: int, loss: float, metric: float, seconds: float) -> None:
        """Add a step: samples in all, averages, and seconds of training in all."""
        self.seconds.append(seconds)
        self.samples.append(samples)
        self.metric.append(metric)
        self.loss.append(loss)  # the last: its length says how many steps there are

    def cut(self, step: int) -> None:
        """Forget what happened after a step; changes made before the step that follows it are forgotten too."""
        for column in (self.loss, self.metric, self.samples, self.seconds):
            del column[step:]
        self.changes = [c for c in self.changes if c.step < step]
        self.rates = [c for c in self.rates if c.step <= step]
        self.validation = [v for v in self.validation if v.step <= step]
        self.load = [v for v in self.load if v.step <= step]
        self.findings = [v for v in self.findings if v.step <= step]

    def copy(self, step: int) -> History:
        """An independent history up to a step."""
        made = History(self.name, self.has_metric, self.parent, self.forked_at)
        for name in ("loss", "metric", "samples", "seconds", "validation", "rates", "changes", "load", "findings"):
            setattr(made, name, getattr(self, name)[:])
        made.cut(step)
        return made

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the history as JSON lines; the file appears whole or not at all.

        Args:
            path: of the file; folders are made.

        Returns:
            The path.
        """
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(target) as file:
            file.writelines(line.encode() for line in self.lines())
        return target

    def lines(self) -> Iterator[str]:
        """The lines of the file."""
        yield self.head()
        for first in range(0, self.step, BLOCK):
            yield self.block(first, min(first + BLOCK, self.step))
        yield from map(line_of, (*self.validation, *self.load, *self.findings))
        yield from (line_of(c, "rate") for c in self.rates)
        yield from map(line_of, self.changes)

    def head(self) -> str:
        """The first line."""
        return _line({
            "format": FORMAT, "version": VERSION, "name": self.name, "has_metric": self.has_metric,
            "parent": self.parent, "forked_at": self.forked_at,
        })  # fmt: skip

    def block(self, first: int, end: int) -> str:
        """One line with the steps after ``first`` up to ``end``."""
        entry: dict[str, Any] = {"kind": "steps", "first": first + 1}
        for name in ("loss", "metric", "seconds"):
            entry[name] = [_plain(v) for v in getattr(self, name)[first:end]]
        entry["samples"] = list(self.samples[first:end])
        return _line(entry)


_ENTRIES: Final[dict[type, str]] = {Validation: "validation", Load: "load", Finding: "finding", Change: "change"}


def line_of(entry: Any, kind: str = "") -> str:
    """One entry of a history as a line of its file."""
    values = {name: _plain(value) for name, value in asdict(entry).items()}
    if isinstance(entry, Change):
        values["what"] = values.pop("kind")
    if isinstance(entry, Finding):
        values["sort"] = values.pop("kind")
    return _line({"kind": kind or _ENTRIES[type(entry)], **values})


def cut_line(step: int) -> str:
    """The line that says: the run went back to this step."""
    return _line({"kind": "cut", "step": step})


def _line(entry: dict[str, Any]) -> str:
    return json.dumps(entry, allow_nan=False, separators=(",", ":")) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not (isinstance(value, (int, float)) or value in ("NaN", "Infinity", "-Infinity")):
        raise ValueError(f"{value!r} is no number")
    return float(value)


def read(path: str | os.PathLike[str]) -> History:
    """A history from its file.

    Args:
        path: of a file of format ``cntk-lab-run``.

    Returns:
        History.

    Raises:
        FormatError: if the file cannot be read, is too large, of another format, or a line in it is damaged.
    """
    file = Path(path)
    try:
        size = file.stat().st_size
        if size > LARGEST:
            raise FormatError(f"the file has {size} bytes, at most {LARGEST} are read", where=str(file))
        kind = look(file)
        if kind is not None:
            raise FormatError(f"this is no run but {kind.what}", str(file), kind.fix)
        with file.open("rb") as lines:
            return _read(lines, str(file))
    except OSError as error:
        raise FormatError(
            f"the run cannot be read: {error.strerror or error}", str(file), "give a file that a run wrote"
        ) from error


def _read(lines: Iterable[bytes], where: str) -> History:
    history: History | None = None
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line.decode("utf-8"))
            if history is None:
                if entry.get("format") != FORMAT or entry.get("version") != VERSION:
                    raise FormatError(
                        f"this is no run of format {FORMAT}, version {VERSION}", where, "give a file that a run wrote"
                    )
                history = History(
                    str(entry["name"]), bool(entry["has_metric"]), str(entry["parent"]), int(entry["forked_at"])
                )
            else:
                _take(history, entry)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            if isinstance(error, FormatError):
                raise
            if not line.endswith(b"\n"):
                break  # the writer was cut short
            raise FormatError(f"line {number} is damaged: {error!r}", where, "give a file that a run wrote") from error
    if history is None:
        raise FormatError("the file is empty", where, "give a file that a run wrote")
    return history


def _take(history: History, entry: dict[str, Any]) -> None:
    """Add one entry of a file."""
    kind = entry["kind"]
    if kind == "steps":
        if entry["first"] != history.step + 1:
            raise ValueError(f"steps go on with {entry['first']} after {history.step}")
        columns = [list(map(_number, entry[name])) for name in ("loss", "metric", "seconds")]
        for samples, loss, metric, seconds in zip(entry["samples"], *columns, strict=True):
            history.append(int(samples), loss, metric, seconds)
    elif kind == "validation":
        metric = entry["metric"]
        history.validation.append(
            Validation(int(entry["step"]), _number(entry["loss"]), None if metric is None else _number(metric))
        )
    elif kind == "load":
        history.load.append(Load(int(entry["step"]), _number(entry["samples_per_second"]), int(entry["memory"])))
    elif kind == "finding":
        words = [str(entry[name]) for name in ("sort", "words", "node")]
        history.findings.append(Finding(int(entry["step"]), *words))
    elif kind == "cut":
        history.cut(int(entry["step"]))
    elif kind in ("rate", "change"):
        if entry["what"] not in KINDS:
            raise ValueError(f"there is no rate {entry['what']!r}")
        learner = entry["learner"]
        learner = None if learner is None else int(learner)
        change = Change(int(entry["step"]), entry["what"], _number(entry["value"]), learner)
        (history.rates if kind == "rate" else history.changes).append(change)
    else:
        raise ValueError(f"there is no entry {kind!r}")
