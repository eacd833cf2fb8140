"""Event files for TensorBoard: scalars, images and graphs, written without TensorFlow.

An event file is a list of records (length, checksum of it, data, checksum of these; little-endian, masked CRC-32C),
each a protobuf message ``Event``. Knows no training. Source: TFRecord format and the messages event.proto,
summary.proto and graph.proto of TensorFlow, whose field numbers stand beside their use.
"""

from __future__ import annotations

import os
import socket
import struct
import time
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cntk_lab.errors import ShapeError


class EventFile:
    """An event file that grows; every record that is flushed can be read at once.

    Args:
        folder: where; it is made if it is missing.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     events = EventFile(folder)
        ...     events.scalar("loss", 0.5, 1)
        ...     events.close()
        ...     events.path.stat().st_size > 0
        True
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        stem = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}"
        number = 0
        while True:  # several writers may begin within a second
            self.path = Path(folder) / f"{stem}.{number}"
            try:
                self._file = self.path.open("xb")
                break
            except FileExistsError:
                number += 1
        self._record(_text(3, "brain.Event:2"))  # Event.file_version
        self.flush()

    def scalar(self, name: str, value: float, step: int) -> None:
        """Add a number.

        Args:
            name: curve it belongs to.
            value: the number.
            step: place on the curve.
        """
        self._summary(_text(1, name) + _key(2, 5) + struct.pack("<f", value), step)  # Value.tag, simple_value

    def image(self, name: str, pixels: NDArray[np.uint8], step: int) -> None:
        """Add an image.

        Args:
            name: series it belongs to.
            pixels: (height x width x 1, 3 or 4) bytes.
            step: place in the series.
        """
        height, width, channels = pixels.shape
        image = (
            _number(1, height) + _number(2, width) + _number(3, channels) + _bytes(4, png(pixels))
        )  # Image.height, width, colorspace, encoded_image_string
        self._summary(_text(1, name) + _bytes(4, image), step)  # Value.tag, image

    def graph(self, nodes: Iterable[tuple[str, str, Iterable[str], Mapping[str, str]]]) -> None:
        """Add a graph.

        Args:
            nodes: (name, operator, names of the operands, attributes as text) of each node.
        """
        definition = b""
        for name, operator, operands, attributes in nodes:
            node = _text(1, name) + _text(2, operator)  # NodeDef.name, op
            node += b"".join(_text(3, operand) for operand in operands)  # NodeDef.input
            for key, value in attributes.items():
                node += _bytes(5, _text(1, key) + _bytes(2, _text(2, value)))  # NodeDef.attr: key, AttrValue.s
            definition += _bytes(1, node)  # GraphDef.node
        definition += _bytes(4, _number(1, 1087))  # GraphDef.versions.producer
        self._event(_bytes(4, definition))  # Event.graph_def

    def flush(self) -> None:
        """Bring everything to the file."""
        self._file.flush()

    def close(self) -> None:
        """Bring everything to the file and close it; nothing if it is closed."""
        self._file.close()

    def _summary(self, value: bytes, step: int) -> None:
        self._event(_number(2, int(step)) + _bytes(5, _bytes(1, value)))  # Event.step, summary; Summary.value

    def _event(self, content: bytes) -> None:
        self._record(content)

    def _record(self, content: bytes) -> None:
        data = _key(1, 1) + struct.pack("<d", time.time()) + content  # Event.wall_time
        length = struct.pack("<Q", len(data))
        self._file.write(length + _masked(length) + data + _masked(data))


# --- protobuf: https://protobuf.dev/programming-guides/encoding


def _varint(value: int) -> bytes:
    value %= 2**64
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _key(field: int, kind: int) -> bytes:
    return _varint(field << 3 | kind)


def _number(field: int, value: int) -> bytes:
    return _key(field, 0) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _key(field, 2) + _varint(len(value)) + value


def _text(field: int, value: str) -> bytes:
    return _bytes(field, value.encode("utf-8", "replace"))


# --- checksums: RFC 3720, appendix B.4 (polynomial 0x1EDC6F41, reflected)


def _table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


_TABLE = _table()


def crc32c(data: bytes) -> int:
    """The Castagnoli checksum.

    Args:
        data: what is summed up.

    Returns:
        32 bits.

    Example:
        >>> hex(crc32c(b"123456789"))
        '0xe3069283'

    Source: RFC 3720, appendix B.4.
    """
    crc, table = 0xFFFFFFFF, _TABLE
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF


def _masked(data: bytes) -> bytes:
    """The checksum as TFRecord keeps it: rotated and moved, so that checksums of checksums differ."""
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32)


# --- PNG: https://www.w3.org/TR/png-3


def png(pixels: NDArray[np.uint8]) -> bytes:
    r"""Pixels as a PNG file.

    Args:
        pixels: (height x width x 1, 3 or 4) bytes.

    Returns:
        The file's bytes.

    Example:
        >>> png(np.zeros((1, 1, 3), np.uint8))[:4]
        b'\x89PNG'

    Source: W3C, PNG specification.
    """
    height, width, channels = pixels.shape
    colour = {1: 0, 3: 2, 4: 6}[channels]
    rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], axis=1)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    body = zlib.compress(rows.tobytes())
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def pixels_of(image: Any, name: str = "") -> NDArray[np.uint8]:
    """An image in CNTK's order as bytes: values that are whole numbers from 0 to 255 as they are, others stretched.

    Args:
        image: (channels x height x width), (height x width), or (height x width x channels) array; 1, 3 or 4 channels.
        name: of the image, for messages.

    Returns:
        (height x width x channels).

    Raises:
        ShapeError: if it has another shape.
    """
    array = np.asarray(image)
    if array.ndim == 2:
        array = array[None]
    if array.ndim == 3 and array.shape[0] in (1, 3, 4):
        array = np.moveaxis(array, 0, -1)
    if array.ndim != 3 or array.shape[-1] not in (1, 3, 4) or not array.size:
        raise ShapeError(
            f"image '{name}' has shape {' x '.join(map(str, np.shape(image)))}", fix="give (1, 3 or 4) x height x width"
        )
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    values = np.nan_to_num(array.astype(np.float64))
    low, high = values.min(), values.max()
    if low < 0 or high > 255 or high <= 1:
        values = (values - low) * (255 / (high - low) if high > low else 0)
    return np.ascontiguousarray(values.round().astype(np.uint8))
