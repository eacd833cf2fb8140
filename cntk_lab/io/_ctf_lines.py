"""CNTK's text format, line by line: the grammar in its readable form, and what is wrong with a line that breaks it.

A line is ``[sequence id] { |name values | |# comment }``. Dense values are plain numbers, sparse ones index:value
pairs; fewer dense values than the dimension are filled up with zeros. This is the reference for the native parser and
the judge of every line that parser stumbles over. Knows no files.

Source: CNTK 2.7's reader, as observed (tests/golden/io/ctf.json).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

_NUMBER: Final = rb"[+-]?[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?"
_DENSE: Final = re.compile(rb"(?:[ \t]+" + _NUMBER + rb")*[ \t]*")
_SPARSE: Final = re.compile(rb"(?:[ \t]+[0-9]+:" + _NUMBER + rb")*[ \t]*")
_ONE_NUMBER: Final = re.compile(_NUMBER)
_ONE_PAIR: Final = re.compile(rb"([0-9]+):(" + _NUMBER + rb")")
_HEAD: Final = re.compile(rb"(?:[0-9]+[ \t]*|[ \t]*)(?=\|)")
_NAME: Final = re.compile(rb"[^ \t]+")
_TOKEN: Final = re.compile(rb"[^ \t]+")


@dataclass(frozen=True)
class Field:
    """A stream as it stands in the file.

    Args:
        alias: its name in the file.
        name: its name in the source.
        dim: elements of one sample.
        sparse: whether its values are index:value pairs.
    """

    alias: bytes
    name: str
    dim: int
    sparse: bool


class BadLine(Exception):  # noqa: N818  (not an error of the user's program: a finding, turned into a Defect)
    """What is wrong with a line.

    Args:
        at: place in the line, in bytes.
        cause: what is wrong.
        found: what is there.
        expected: what should be.
        stream: which stream is concerned.
    """

    def __init__(self, at: int, cause: str, found: str = "", expected: str = "", stream: str = "") -> None:
        super().__init__(cause)
        self.at, self.cause, self.found, self.expected, self.stream = at, cause, found, expected, stream


Sample = tuple[NDArray[np.float32], NDArray[np.int64] | None, int]
"""Values, their indices if sparse, and how many values were given."""


def parse(line: bytes, fields: Sequence[Field]) -> list[tuple[int, Sample]]:
    """The samples of one line: (number of the field, values).

    Args:
        line: the line, with or without its end.
        fields: the streams that are wanted; others are skipped.

    Raises:
        BadLine: at the first place that breaks the grammar.
    """
    if line.endswith(b"\n"):
        line = line[:-1]
    if line.endswith(b"\r"):
        line = line[:-1]
    head = _HEAD.match(line)
    if head is None:
        raise _bad_head(line)
    known = {f.alias: k for k, f in enumerate(fields)}
    found: list[tuple[int, Sample]] = []
    seen: set[int] = set()
    at = head.end() + 1
    for part in line[at:].split(b"|"):
        number = None if part.startswith(b"#") else _field_of(part, at, known)
        if number is not None:
            field = fields[number]
            if number in seen:
                raise BadLine(
                    at - 1, "a stream is given twice in one line", _show(part), "each stream at most once", field.name
                )
            seen.add(number)
            body = part[len(field.alias) :]
            found.append((number, _values(body, at + len(field.alias), field)))
        at += len(part) + 1
    return found


def _field_of(part: bytes, at: int, known: dict[bytes, int]) -> int | None:
    name = _NAME.match(part)
    if name is None:
        raise BadLine(at, "there is no stream name after '|'", _show(part), "|name values")
    return known.get(name.group())


def _values(body: bytes, at: int, field: Field) -> Sample:
    if field.sparse:
        if _SPARSE.fullmatch(body) is None:
            raise _bad_pair(body, at, field)
        pairs = [token.split(b":") for token in body.split()]
        indices = np.array([min(int(i), 2**62) for i, _ in pairs], np.int64)
        if len(indices) and int(indices.max()) >= field.dim:
            place = list(_TOKEN.finditer(body))[int(np.argmax(indices >= field.dim))]
            raise BadLine(
                at + place.start(),
                "an index is too large",
                _show(place.group()),
                f"indices from 0 to {field.dim - 1} (shape={field.dim})",
                field.name,
            )
        return _floats([v for _, v in pairs]), indices, len(pairs)
    if _DENSE.fullmatch(body) is None:
        raise _bad_number(body, at, field)
    tokens = body.split()
    if len(tokens) > field.dim:
        place = list(_TOKEN.finditer(body))[field.dim]
        raise BadLine(
            at + place.start(),
            "there are too many values",
            f"{len(tokens)} values",
            f"{field.dim} values (shape={field.dim})",
            field.name,
        )
    values = np.zeros(field.dim, np.float32)
    values[: len(tokens)] = _floats(tokens)
    return values, None, len(tokens)


def _floats(tokens: Sequence[bytes]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        return np.array([float(t) for t in tokens], np.float64).astype(np.float32)


def _bad_head(line: bytes) -> BadLine:
    if not line.strip(b" \t"):
        return BadLine(0, "the line is empty", "nothing", "[sequence id] |name values ...")
    bar = line.find(b"|")
    token = _TOKEN.search(line if bar < 0 else line[:bar])
    assert token is not None
    if bar < 0:
        return BadLine(token.start(), "the line has no stream", _show(line), "|name values after the sequence id")
    if token.start() and token.group().isdigit():
        return BadLine(
            0, "there are blanks before the sequence id", _show(line[:bar]), "the id at the start of the line"
        )
    if token.group().isdigit():
        second = _TOKEN.search(line[:bar], token.end())
        at, what = (second.start(), second.group()) if second else (token.start(), token.group())
        return BadLine(
            at, "there is something between the sequence id and the first stream", _show(what), "|name values"
        )
    return BadLine(
        token.start(), "the line begins with neither a sequence id nor '|'", _show(token.group()), "digits or '|'"
    )


def _bad_number(body: bytes, at: int, field: Field) -> BadLine:
    for token in _TOKEN.finditer(body):
        text = token.group()
        if _ONE_NUMBER.fullmatch(text) is None:
            expected = "a number such as 12, -0.5 or 1e-3"
            if re.fullmatch(rb"[+-]?\.[0-9]+(?:[eE][+-]?[0-9]+)?", text):
                expected += " (CNTK wants a digit before the point)"
            elif b":" in text:
                expected += "; index:value pairs need is_sparse=True"
            return BadLine(at + token.start(), "a value is not a number", _show(text), expected, field.name)
    return BadLine(at, "values are not separated by blanks", _show(body), "blanks between values", field.name)


def _bad_pair(body: bytes, at: int, field: Field) -> BadLine:
    for token in _TOKEN.finditer(body):
        text = token.group()
        if _ONE_PAIR.fullmatch(text) is None:
            expected = "index:value, such as 5:1, without blanks around ':'"
            if _ONE_NUMBER.fullmatch(text):
                expected += "; plain values need is_sparse=False"
            return BadLine(at + token.start(), "a value is not an index:value pair", _show(text), expected, field.name)
    return BadLine(at, "pairs are not separated by blanks", _show(body), "blanks between pairs", field.name)


def _show(text: bytes) -> str:
    shown = text.decode("utf-8", "replace")
    return repr(shown if len(shown) <= 40 else shown[:37] + "...")
