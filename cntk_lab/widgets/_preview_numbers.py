"""Numbers of a preview: lengths and padding, balance of classes, ranges; and whether streams fit a model's inputs.

Takes samples and lengths of ``io._preview`` and gives plain dataclasses; draws nothing, knows no functions and no
widget. What was counted is always said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np

from cntk_lab.errors import AttributeValueError
from cntk_lab.io._check import StreamReport, Walk
from cntk_lab.io._defects import Defects
from cntk_lab.io._pages import Lengths, Pages
from cntk_lab.io._streams import StreamInformation
from cntk_lab.tensor.shape import FREE, INFERRED

BINS: Final = 24
SAMPLE: Final = 2000
"""Sequences that ranges and classes are counted from."""
MOST_CLASSES: Final = 20
RARE: Final = 0.1
"""A class is told as rare below this part of an even share."""


@dataclass(frozen=True)
class StreamNumbers:
    """What a sample of one stream holds.

    Args:
        name: the stream.
        low, high, mean: of the finite values.
        not_zero: part of the values that is not 0, 0..1.
        not_finite: number of values that are nan or infinite.
        shortest, longest: samples of the shortest and longest sequence.
        classes: samples of each class, where every sample has one 1 and else zeros; else empty.
    """

    name: str
    low: float
    high: float
    mean: float
    not_zero: float
    not_finite: int
    shortest: int
    longest: int
    classes: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Numbers:
    """Statistics of a source.

    Args:
        lengths: how many sequences have each range of lengths, by ``edges``.
        edges: bounds of these ranges, one more than there are ranges.
        shortest, longest, mean: of the lengths, in samples.
        waste: part of a padded minibatch that would be padding, 0..1.
        lengths_basis: which sequences the lengths are of.
        streams: what a sample of each stream holds.
        basis: which sequences the sample is.
    """

    lengths: list[int]
    edges: list[float]
    shortest: int
    longest: int
    mean: float
    waste: float
    lengths_basis: str
    streams: list[StreamNumbers]
    basis: str

    def words(self) -> list[str]:
        """The statistics in lines."""
        lines = []
        if self.longest > 1:
            spread = f"{self.shortest}" if self.shortest == self.longest else f"{self.shortest} to {self.longest}"
            lines.append(f"lengths: {spread} samples, mean {self.mean:.1f} ({self.lengths_basis})")
            lines.append(f"padding would waste {100 * self.waste:.0f} % of a minibatch")
        for s in self.streams:
            line = f"{s.name}: {s.low:.4g} to {s.high:.4g}, mean {s.mean:.4g}, {100 * s.not_zero:.3g} % not zero"
            lines.append(line + (f", {s.not_finite} not finite" if s.not_finite else ""))
            lines += [f"  {w}" for w in balance(s.classes, self.basis)]
        return [*lines, f"(ranges and classes: {self.basis})"]


def balance(classes: Sequence[int], basis: str) -> list[str]:
    """What is to be said of the classes: how even they are, and which never occur in what was looked at.

    Args:
        classes: samples of each class.
        basis: what was looked at, in words.
    """
    if not classes:
        return []
    counts = np.asarray(classes)
    share = counts / max(int(counts.sum()), 1)
    most, least = int(counts.argmax()), int(counts.argmin())
    lines = [
        f"{len(counts)} classes: {100 * share[least]:.3g} % (class {least}) to {100 * share[most]:.3g} % (class {most})"
    ]
    missing = np.flatnonzero(counts == 0).tolist()
    if missing:
        names = ", ".join(map(str, missing[:8])) + (" …" if len(missing) > 8 else "")
        lines.append(f"{len(missing)} of {len(counts)} classes do not occur in {basis}: {names}")
    rare = np.flatnonzero((counts > 0) & (share * len(counts) < RARE)).tolist()
    if rare:
        names = ", ".join(map(str, rare[:8])) + (" …" if len(rare) > 8 else "")
        lines.append(f"{len(rare)} classes have less than a tenth of an even share: {names}")
    return lines


def numbers_of(pages: Pages, size: int, limit: int = SAMPLE) -> Numbers:
    """Statistics of a source, from its index and from a sample of bounded size.

    Args:
        pages: of the source.
        size: samples wanted in a minibatch.
        limit: sequences in the sample, at most.

    Raises:
        AttributeValueError: if the limit is not positive.
    """
    if limit < 1:
        raise AttributeValueError(f"a sample of {limit} sequences", fix="give at least 1")
    sample, lengths = pages.sample(limit), pages.lengths(size)
    walk = Walk(Defects(2**62))
    walk.start([s for s in pages.streams if s.m_name in sample.data])
    if sample.data:
        walk._add(sample.data)
    histogram, edges = _histogram(lengths)
    every = lengths.lengths
    return Numbers(
        lengths=histogram, edges=edges, shortest=int(every.min()) if len(every) else 0,
        longest=int(every.max(initial=0)), mean=float(every.mean()) if len(every) else 0.0, waste=lengths.waste,
        lengths_basis=lengths.basis, streams=[_stream(r) for r in walk.streams.values()], basis=sample.basis,
    )  # fmt: skip


def _stream(report: StreamReport) -> StreamNumbers:
    there = report.highest >= report.lowest
    classes = [] if report.classes is None else np.asarray(report.classes).tolist()
    return StreamNumbers(
        report.name, report.lowest if there else 0.0, report.highest if there else 0.0, report.mean,
        report.nonzero / max(report.values, 1), report.not_finite, report.shortest, report.longest, classes,
    )  # fmt: skip


def _histogram(lengths: Lengths) -> tuple[list[int], list[float]]:
    every = lengths.lengths
    if not len(every):
        return [], []
    low, high = int(every.min()), int(every.max())
    width = max(1, -(-(high - low + 1) // BINS))
    edges = np.arange(low, high + width + 1, width)
    counts = np.histogram(every, edges)[0]
    return counts.tolist(), edges.astype(float).tolist()


# --- streams and the inputs of a model


@dataclass(frozen=True)
class Input:
    """An input of a model.

    Args:
        uid, name: of the variable.
        shape: static shape; FREE and INFERRED where any size fits.
        dtype: name of the element type; empty where it is not known.
        sparse: whether it is declared sparse.
        sequence: name of its sequence axis; empty without one.
    """

    uid: str
    name: str
    shape: tuple[int, ...]
    dtype: str
    sparse: bool
    sequence: str

    @property
    def title(self) -> str:
        """The name, or the uid of an input without one."""
        return self.name or self.uid


@dataclass(frozen=True)
class Match:
    """How an input and a stream go together.

    Args:
        input: name of the input; empty for a stream that no input takes.
        stream: name of the stream; empty for an input that gets none.
        expects: what the input wants, in words.
        arrives: what the stream gives, in words.
        state: "fits", "wrong" or "unused".
        problem: what is wrong; empty if it fits.
        fix: what to do about it.
        uid: of the input.
    """

    input: str
    stream: str
    expects: str
    arrives: str
    state: str
    problem: str = ""
    fix: str = ""
    uid: str = ""

    def words(self) -> str:
        """The match in one line, with its fix."""
        if self.state == "unused":
            return f"{self.stream} ({self.arrives}): no input takes it"
        line = f"{self.stream or 'nothing'} -> {self.input}: "
        return line + ("fits" if self.state == "fits" else f"{self.problem}; fix: {self.fix}")


def shape_words(shape: Sequence[int]) -> str:
    """A shape in words: "3 x 28 x 28", with * where any size fits."""
    return " x ".join("*" if d in (FREE, INFERRED) else str(d) for d in shape) or "scalar"


def matches(
    inputs: Sequence[Input],
    streams: Sequence[StreamInformation],
    lengths: Mapping[str, Sequence[int]],
    chosen: Mapping[str, str],
) -> list[Match]:
    """Which stream goes to which input, and what does not fit.

    Args:
        inputs: of the model.
        streams: of the source.
        lengths: per stream the lengths of the sequences of one minibatch.
        chosen: input (name or uid) -> stream; others go by name, then by shape.
    """
    pairs = _pairs(inputs, streams, chosen)
    found = []
    by_axis: dict[str, tuple[str, Sequence[int]]] = {}
    for one in inputs:
        stream = pairs.get(one.uid)
        wants = _expects(one)
        if stream is None:
            fix = f"name a stream {one.title!r}, or say which one: streams={{{one.title!r}: ...}}"
            found.append(Match(one.title, "", wants, "nothing", "wrong", "no stream goes to this input", fix, one.uid))
            continue
        own = list(lengths.get(stream.m_name, ()))
        problem, fix = _problem(one, stream, own)
        if not problem and one.sequence and own:
            before = by_axis.setdefault(one.sequence, (stream.m_name, own))
            if list(before[1]) != own:
                problem = (
                    f"its sequences are not as long as those of '{before[0]}', which share the axis '{one.sequence}'"
                )
                axis = f"sequence_axis=C.Axis({stream.m_name!r})"
                fix = f"give the input an axis of its own: C.sequence.input_variable(..., {axis})"
        arrives = _arrives(stream, own)
        state = "wrong" if problem else "fits"
        found.append(Match(one.title, stream.m_name, wants, arrives, state, problem, fix, one.uid))
    used = {s.m_name for s in pairs.values()}
    unused = [s for s in streams if s.m_name not in used]
    return found + [Match("", s.m_name, "", _arrives(s, list(lengths.get(s.m_name, ()))), "unused") for s in unused]


def _pairs(
    inputs: Sequence[Input], streams: Sequence[StreamInformation], chosen: Mapping[str, str]
) -> dict[str, StreamInformation]:
    by_name = {s.m_name: s for s in streams}
    pairs: dict[str, StreamInformation] = {}
    for key, name in chosen.items():
        wanted = [i for i in inputs if key in (i.uid, i.name)]
        if not wanted or name not in by_name:
            what, there = (
                (f"input {key!r}", [i.title for i in inputs]) if not wanted else (f"stream {name!r}", [*by_name])
            )
            raise AttributeValueError(f"there is no {what}", fix=f"one of: {', '.join(map(repr, there))}")
        pairs[wanted[0].uid] = by_name[name]

    def left() -> tuple[list[Input], list[StreamInformation]]:
        used = {s.m_name for s in pairs.values()}
        return [i for i in inputs if i.uid not in pairs], [s for s in streams if s.m_name not in used]

    for one in left()[0]:
        same = [s for s in left()[1] if one.name and s.m_name.lower() == one.name.lower()]
        if len(same) == 1:
            pairs[one.uid] = same[0]
    rest, free = left()
    for one in rest:
        fitting = [s for s in free if _same(one.shape, s.sample_shape)]
        rivals = [i for i in rest if _same(i.shape, one.shape)]
        if len(fitting) == 1 and len(rivals) == 1:
            pairs[one.uid] = fitting[0]
    rest, free = left()
    if len(rest) == len(free) == 1:
        pairs[rest[0].uid] = free[0]
    return pairs


def _same(a: Sequence[int], b: Sequence[int]) -> bool:
    return len(a) == len(b) and all(x == y or min(x, y) < 0 for x, y in zip(a, b, strict=True))


def _problem(one: Input, stream: StreamInformation, lengths: Sequence[int]) -> tuple[str, str]:
    arrives, wants = stream.sample_shape, one.shape
    if not _same(wants, arrives):
        sizes = [int(np.prod(s)) if min(s, default=1) >= 0 else -1 for s in (arrives, wants)]
        words = f"{shape_words(arrives)} arrives, {shape_words(wants)} expected"
        declare = f"declare the input with shape {tuple(arrives)}"
        if sizes[0] == sizes[1] >= 0:
            return words, f"{declare} and reshape it: C.reshape(x, {tuple(wants)})"
        return words, f"{declare}, or let the reader deliver shape={tuple(wants)}"
    if not one.sequence and max(lengths, default=1) > 1:
        words = f"sequences of up to {max(lengths)} frames arrive, single samples expected"
        return words, "declare the input as a sequence: C.sequence.input_variable(...)"
    return "", ""


def _expects(one: Input) -> str:
    what = "sequence of " if one.sequence else ""
    return f"{what}{shape_words(one.shape)}{' sparse' if one.sparse else ''} {one.dtype}".strip()


def _arrives(stream: StreamInformation, lengths: Sequence[int]) -> str:
    what = "sequence of " if max(lengths, default=1) > 1 else ""
    return f"{what}{shape_words(stream.sample_shape)}{' sparse' if stream.is_sparse else ''} {stream.dtype}"


def plain(one: Numbers | StreamNumbers | Match) -> dict[str, Any]:
    """A dataclass of this module as a dictionary for the browser."""
    return asdict(one)
