"""Protobuf's wire format, read with suspicion: numbers, texts and the fields of a message, in one pass over the bytes.

Must not know what a message means: who reads a format subclasses :class:`Wire` and gives its table of messages.
Every length is checked against the bytes that are left before it is believed, and what is wrong is told with its
byte and with the path of fields that led there. Source: protobuf's description of its encoding (public knowledge).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar, Final, NoReturn

from cntk_lab.errors import FormatError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_WIDTH: Final = {FIXED64: 8, FIXED32: 4}

Schema = Mapping[str, Mapping[int, tuple[str, int]]]
"""Message -> number of a field -> its name and wire type."""


class Wire:
    """Bytes that are read, and where the reader is, for messages.

    A subclass gives ``schema``, the pairs (message, field) that are ``repeated``, those of them whose numbers may
    stand in one ``packable`` run, what to do about damage (``advice``), and whether fields that the schema does not
    know are passed over (``tolerant``: formats that grow) or damage.

    Args:
        data: the whole file, as unsigned bytes.
        source: its name, for messages.
    """

    schema: ClassVar[Schema] = {}
    repeated: ClassVar[frozenset[tuple[str, int]]] = frozenset()
    packable: ClassVar[frozenset[tuple[str, int]]] = frozenset()
    advice: ClassVar[str] = ""
    tolerant: ClassVar[bool] = False

    def __init__(self, data: memoryview, source: str) -> None:
        self.data, self.source = data, source
        self.path: list[str] = []

    def fail(self, position: int, what: str) -> NoReturn:
        """Raise: what is wrong at that byte."""
        keys = "".join(self.path).lstrip(".")
        raise FormatError(what, f"{self.source}, byte {position}" + (f", under {keys}" if keys else ""), self.advice)

    def varint(self, position: int, stop: int) -> tuple[int, int]:  # noqa: RET503  (fail never returns)
        """An unsigned number of at most 64 bits, and the position behind it."""
        data, value, shift, start = self.data, 0, 0, position
        while position < stop:
            byte = data[position]
            position += 1
            value |= (byte & 127) << shift
            if byte < 128:
                if value >> 64:
                    self.fail(start, f"a number of more than 64 bits: {value}")
                return value, position
            shift += 7
            if shift > 63:
                break
        self.fail(start, "a number of more than 10 bytes" if shift > 63 else "the bytes end in the middle of a number")

    def text(self, start: int, stop: int) -> str:
        """A text; it must be UTF-8."""
        try:
            return str(self.data[start:stop], "utf-8")
        except UnicodeDecodeError as error:
            self.fail(start + error.start, "a text that is not UTF-8")

    def fields(self, message: str, position: int, stop: int) -> Iterator[tuple[int, int, int]]:
        """The fields of a message: number, and its value and position (numbers) or start and stop (all others).

        A field whose numbers may be packed gives the start and stop of its run, and of a run of one where a number
        stands alone.
        """
        schema = self.schema[message]
        seen = 0
        while position < stop:
            start = position
            tag, position = self.varint(position, stop)
            number, wire = tag >> 3, tag & 7
            if number not in schema:
                if not self.tolerant:
                    self.fail(start, f"{message} has no field {number}")
                _, position = self._extent(message, start, wire, position, stop)
                continue
            expected = schema[number][1]
            packed = bool(self.packable) and (message, number) in self.packable
            if wire != expected and not (packed and wire == BYTES):
                self.fail(start, f"field {schema[number][0]} of {message} has wire type {wire}, not {expected}")
            if seen >> number & 1 and (message, number) not in self.repeated:
                self.fail(start, f"field {schema[number][0]} of {message} appears twice")
            seen |= 1 << number
            if wire == VARINT and not packed:
                value, position = self.varint(position, stop)
                yield number, value, start
                continue
            begin, position = self._extent(message, start, wire, position, stop)
            yield number, begin, position

    def _extent(self, message: str, start: int, wire: int, position: int, stop: int) -> tuple[int, int]:
        """Where the content of a field begins and ends."""
        if wire == VARINT:
            return position, self.varint(position, stop)[1]
        if wire == BYTES:
            length, position = self.varint(position, stop)
        elif wire in _WIDTH:
            length = _WIDTH[wire]
        else:
            self.fail(start, f"a field of {message} has wire type {wire}, which does not exist")
        if length > stop - position:
            number = self.varint(start, stop)[0] >> 3
            name = self.schema[message].get(number, (str(number), 0))[0]
            self.fail(
                start, f"field {name} of {message} should be {length} bytes long, but only {stop - position} follow"
            )
        return position, position + length
