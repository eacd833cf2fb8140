"""CNTK's protobuf ``Dictionary`` <-> plain Python values: the container of model files and checkpoints.

Must not know what the entries mean: no models, no learners, no graphs. Source of the format: CNTK 2.7's schema
(package ``CNTK.proto``: DictionaryValue, Dictionary, Vector, NDShape, Axis, NDArrayView), checked on files it wrote.

Why an own codec and not the protobuf library: the schema is seven small messages; the library forgets the order of map
entries (files could not be written back byte for byte), needs each message and each array in memory twice, stops at
2 GB, and cannot say at which byte and under which key a file is damaged. It would also be the heaviest thing that
``load`` imports.

Values:

=============== =================================== ==============================================================
CNTK            Python                              note
=============== =================================== ==============================================================
None, Bool      ``None``, ``bool``
Int (32 bits)   ``int``                             written as SizeT if it needs more than 31 bits, as CNTK's Python did
SizeT (64 bits) :class:`SizeT`                      an ``int``, never negative
Float           :class:`Float`                      a ``float`` of 32 bits
Double          ``float``
String          ``str``                             UTF-8
NDShape         :class:`NDShape`                    a tuple in CNTK's order: reverse of the Python shape
Axis            :class:`StoredAxis`                 index in CNTK's order
Vector          ``list``                            a plain ``tuple`` is written as one too
Dictionary      ``dict``                            keeps the order of the file
NDArrayView     ``numpy.ndarray``                   Python shape; float32, float64, float16, int8 or int16
=============== =================================== ==============================================================

Messages of 2 GB and more are split: the arrays come behind the message (magic number, size of the message, message,
arrays).
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import BinaryIO

from cntk_lab._files import atomic_file
from cntk_lab._foreign import HEAD, is_cntk, refuse
from cntk_lab.errors import FormatError
from cntk_lab.formats.cntk._decode import DAMAGED, Decoder
from cntk_lab.formats.cntk._encode import blocks, file_pieces, value_pieces
from cntk_lab.formats.cntk.values import DEFAULT_LIMITS, Dictionary, Float, Limits, NDShape, SizeT, StoredAxis, Value

__all__ = [
    "DEFAULT_LIMITS", "Dictionary", "Float", "Limits", "NDShape", "SizeT", "StoredAxis", "Value",
    "decode", "encode", "read", "read_value", "write", "write_to", "write_value",
]  # fmt: skip


def read(path: str | os.PathLike[str], limits: Limits = DEFAULT_LIMITS) -> Dictionary:
    """The dictionary that a file holds.

    The file is mapped, not loaded: the memory needed is that of the values. Nothing in it is executed.

    Args:
        path: a CNTK v2 model file or checkpoint.
        limits: what the file may ask for.

    Returns:
        Its entries, in the order of the file.

    Raises:
        FormatError: if the file is damaged; says at which byte and under which key.
        OSError: if it cannot be opened.

    Source: CNTK 2.7, ``Dictionary::Load``.
    """
    name = os.fspath(path)
    with Path(path).open("rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            raise FormatError("the file is empty: it has 0 bytes", str(name), DAMAGED)
        # Not closed by hand: an error's traceback may still look at it. It closes when the last reference goes.
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    refuse(mapped[:HEAD], str(name), "CNTK file", is_cntk)
    return decode(mapped, str(name), limits)


def decode(
    data: bytes | bytearray | memoryview | mmap.mmap, source: str = "bytes", limits: Limits = DEFAULT_LIMITS
) -> Dictionary:
    """The dictionary that the bytes of a file hold.

    Args:
        data: the whole file.
        source: its name, for messages.
        limits: what the file may ask for.

    Raises:
        FormatError: if the bytes are damaged; says at which byte and under which key.

    Example:
        >>> decode(encode({"version": SizeT(3), "name": "h1"}))
        {'version': SizeT(3), 'name': 'h1'}
    """
    return Decoder(memoryview(data).cast("B"), source, limits).file()


def write(path: str | os.PathLike[str], dictionary: Dictionary) -> None:
    """Write a dictionary to a file, whole or not at all.

    Arrays are streamed: the memory needed beside them is that of the other values and one buffer.

    Args:
        path: the file; one of this name is replaced when the new one is complete.
        dictionary: the entries; written in this order.

    Raises:
        FormatError: if a value has a type that files cannot hold, or the file cannot be written.
    """
    pieces = file_pieces(dictionary)
    with atomic_file(path) as file:
        for block in blocks(pieces):
            file.write(block)


def encode(dictionary: Dictionary) -> bytes:
    """The bytes of a dictionary's file.

    Raises:
        FormatError: if a value has a type that files cannot hold.

    Example:
        >>> encode({"a": 1}).hex(" ")
        '08 02 12 0b 0a 01 61 12 06 08 02 10 02 20 01'
    """
    return b"".join(bytes(block) for block in blocks(file_pieces(dictionary)))


def write_to(file: BinaryIO, dictionary: Dictionary) -> None:
    """Write a dictionary to an open binary file.

    Raises:
        FormatError: if a value has a type that files cannot hold.
    """
    file.writelines(blocks(file_pieces(dictionary)))


def write_value(path: str | os.PathLike[str], value: Value) -> None:
    """Write one value alone to a file, whole or not at all.

    Args:
        path: the file; one of this name is replaced when the new one is complete.
        value: the value.

    Raises:
        FormatError: if the value has a type that files cannot hold, or the file cannot be written.
    """
    pieces = value_pieces(value)
    with atomic_file(path) as file:
        for block in blocks(pieces):
            file.write(block)


def read_value(path: str | os.PathLike[str], limits: Limits = DEFAULT_LIMITS) -> Value:
    """The value that a file of :func:`write_value` holds.

    Args:
        path: the file.
        limits: what the file may ask for.

    Raises:
        FormatError: if the file is damaged.
    """
    data = Path(path).read_bytes()
    return Decoder(memoryview(data), str(os.fspath(path)), limits).value(0, len(data), 0)
