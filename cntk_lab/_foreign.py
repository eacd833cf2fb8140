"""What a file is that should be another: named by its first bytes, with what to do about it.

Used wherever a file is opened that somebody else wrote. Nothing of a foreign file is read but the bytes given here.
Source: the formats' own descriptions (Git LFS pointer v1; ZIP appnote; HDF5 superblock; pickle protocol 2 to 5;
safetensors; NumPy format; TensorFlow saved_model.proto; ONNX onnx.proto).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from cntk_lab.errors import FormatError

HEAD: Final = 8192
"""Bytes that are looked at."""


class Kind(NamedTuple):
    """What a file is, in words, and what to do with it."""

    what: str
    fix: str


_CONVERT = "export the model as ONNX, or write its numbers to an .npz and set parameters from there"
_UNPACK = "unpack it, and give the file inside"
_BEGINS: Final[tuple[tuple[bytes, Kind], ...]] = (
    (b"\x89HDF\r\n\x1a\n", Kind("an HDF5 file, as Keras writes models", _CONVERT)),
    (b"\x93NUMPY", Kind("a NumPy array (.npy)", "read it with numpy.load")),
    (b"GGUF", Kind("a GGUF file (llama.cpp)", _CONVERT)),
    (b"PAR1", Kind("a Parquet file", "read it with io.TableDeserializer")),
    (b"ARROW1", Kind("an Arrow file", "read it with pyarrow, and give the table to io.TableDeserializer")),
    (b"SQLite format 3", Kind("an SQLite data base", "write what is needed to a text or .npz file")),
    (b"\x1f\x8b", Kind("a gzip file", "unpack it: gunzip FILE")),
    (b"BZh", Kind("a bzip2 file", "unpack it: bunzip2 FILE")),
    (b"\xfd7zXZ\0", Kind("an xz file", "unpack it: unxz FILE")),
    (b"\x28\xb5\x2f\xfd", Kind("a Zstandard file", "unpack it: unzstd FILE")),
    (b"7z\xbc\xaf\x27\x1c", Kind("a 7z archive", _UNPACK)),
    (b"Rar!", Kind("a RAR archive", _UNPACK)),
    (b"\x89PNG\r\n\x1a\n", Kind("a PNG image", "read images with io.ImageDeserializer")),
    (b"\xff\xd8\xff", Kind("a JPEG image", "read images with io.ImageDeserializer")),
    (b"GIF8", Kind("a GIF image", "read images with io.ImageDeserializer")),
    (b"%PDF", Kind("a PDF document", "give another file")),
    (b"\x7fELF", Kind("a program or library of Linux", "give another file")),
    (b"MZ", Kind("a program or library of Windows", "give another file")),
)
_LFS = re.compile(rb"version https://git-lfs\.github\.com/spec/v1\s.*?size (\d{1,20})", re.DOTALL)
_HTML = re.compile(rb"\s*(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)\b", re.DOTALL | re.IGNORECASE)
_TENSORFLOW: Final = (b"VarHandleOp", b"Placeholder", b"PartitionedCall", b"saved_model", b"tensorflow", b"NoOp")
_TEXT = re.compile(r"[\t\n\r\x20-\x7e\u00a0-\uffff]*")
_ONNX_VERSIONS = range(3, 32)


def kind_of(head: bytes) -> Kind | None:
    r"""What a file is, by its first bytes; None if they say nothing that is known.

    Args:
        head: the first bytes, best :data:`HEAD` of them.

    Example:
        >>> kind_of(b"\x89HDF\r\n\x1a\n...").what
        'an HDF5 file, as Keras writes models'
        >>> kind_of(b"\x08\x01\x12") is None
        True
    """
    for test in (_of_git, _of_page, _of_zip, _of_pickle, _of_numbers, _of_protobuf):
        found = test(head)
        if found is not None:
            return found
    for begin, kind in _BEGINS:
        if head.startswith(begin):  # and is no text that happens to begin with the same letters
            return None if begin.isascii() and text_of(head) is not None else kind
    return None


def look(path: str | os.PathLike[str], own: Callable[[bytes], bool] | None = None) -> Kind | None:
    """What the file at a path is; None if that is not known, or it cannot be read.

    Args:
        path: the file.
        own: whether first bytes are those of the format that is wanted; then the answer is None.
    """
    try:
        with Path(path).open("rb") as file:
            head = file.read(HEAD)
    except (OSError, ValueError):
        return None
    return None if own is not None and own(head) else kind_of(head)


def refuse(head: bytes, source: str, wanted: str, own: Callable[[bytes], bool]) -> None:
    """Return if a file may be what is wanted: neither a page nor a text, an archive or another program's file.

    Args:
        head: its first bytes.
        source: its name, for messages.
        wanted: what it should be, for messages.
        own: whether first bytes are those of what is wanted.

    Raises:
        FormatError: if it is something else; says what, and what to do.
    """
    if own(head):
        return
    kind = kind_of(head)
    if kind is not None:
        raise FormatError(f"this is no {wanted} but {kind.what}", source, kind.fix)
    first = text_of(head)
    if first is not None:
        raise FormatError(f"this is no {wanted} but a text, which begins {first!r}", source, "give another file")


def text_of(head: bytes) -> str | None:
    """The first line, if the bytes are text: for messages."""
    try:
        words = head[:400].decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if len(head) < 400 or error.start < 390:
            return None
        words = head[: error.start].decode("utf-8-sig")
    if not words.strip() or not _TEXT.fullmatch(words):
        return None
    first: str = words.strip().splitlines()[0]
    return first if len(first) <= 60 else first[:60] + "..."


def _of_git(head: bytes) -> Kind | None:
    found = _LFS.match(head)
    if found is None:
        return None
    return Kind(
        f"a Git LFS pointer: the file itself, {int(found[1])} bytes, is not here",
        "fetch it: git lfs install, then git lfs pull",
    )


def _of_page(head: bytes) -> Kind | None:
    if _HTML.match(head):
        return Kind("an HTML page, not the file", "download the file itself (its 'raw' or 'download' address)")
    if head.lstrip().startswith(b"<?xml"):
        return Kind("an XML file", "give another file; an error page of a storage service looks like this too")
    return None


def _of_zip(head: bytes) -> Kind | None:
    if head[:4] not in (b"PK\x03\x04", b"PK\x05\x06"):
        return None
    first = head[30 : 30 + int.from_bytes(head[26:28], "little")]
    if b"data.pkl" in head or first.endswith((b"/byteorder", b"/.format_version", b"/version", b"constants.pkl")):
        return Kind("a PyTorch file (zip with a pickle)", f"in PyTorch, {_CONVERT}")
    if first.endswith(b".npy"):
        return Kind("a NumPy archive (.npz)", "read it with numpy.load, or with io.TableDeserializer")
    if first in (b"metadata.json", b"config.json") and b"keras" in head:
        return Kind("a Keras 3 file (.keras)", f"in Keras, {_CONVERT}")
    if first.startswith((b"[Content_Types].xml", b"xl/", b"word/")):
        return Kind("an Office document", "save it as text")
    return Kind(f"a zip archive (its first file: {first.decode('utf-8', 'replace')[:60]!r})", _UNPACK)


def _of_pickle(head: bytes) -> Kind | None:
    if len(head) < 3 or head[0] != 0x80 or head[1] not in range(2, 6):
        return None
    maker = "PyTorch" if b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19." in head or b"torch" in head else "Python"
    return Kind(
        f"a pickle of {maker}, which can run any program when it is opened and is never read here",
        f"where it was made, {_CONVERT}",
    )


def _of_numbers(head: bytes) -> Kind | None:
    """Formats that begin with a length or have their mark further on."""
    if len(head) > 9 and head[8:10] == b'{"' and 2 <= int.from_bytes(head[:8], "little") < 1 << 27:
        return Kind("a safetensors file", f"in the library that wrote it, {_CONVERT}")
    if head[4:8] == b"TFL3":
        return Kind("a TensorFlow Lite model", _CONVERT)
    if head[257:262] == b"ustar":
        return Kind("a tar archive", _UNPACK)
    return None


def _of_protobuf(head: bytes) -> Kind | None:
    if is_onnx(head):
        return Kind("an ONNX model", "name it .onnx; its graph opens in JupyterLab")
    if is_cntk(head):
        return None
    if head[:3] == b"\x08\x01\x12" and any(word in head for word in _TENSORFLOW):
        return Kind("a TensorFlow SavedModel", f"in TensorFlow, {_CONVERT}")
    if head[:1] == b"\x0a" and any(op in head for op in (b"\x12\x0bPlaceholder", b"\x12\x05Const", b"tensorflow")):
        return Kind("a TensorFlow graph", f"in TensorFlow, {_CONVERT}")
    return None


def is_onnx(head: bytes) -> bool:
    """Whether first bytes are those of an ONNX model: the version of the format, then its producer or graph."""
    return len(head) > 3 and head[0] == 0x08 and head[1] in _ONNX_VERSIONS and head[2] in (0x12, 0x1A, 0x22, 0x3A, 0x42)


def is_cntk(head: bytes) -> bool:
    """Whether first bytes are those of a CNTK v2 dictionary: its version, then an entry (a key and a value)."""
    return len(head) > 6 and head[0] == 0x08 and head[1] <= 2 and head[2] == 0x12 and _entry_key(head[3:]) is not None


def _entry_key(data: bytes) -> bytes | None:
    """The key with which the first entry of a dictionary begins."""
    at = 0
    while at < len(data) and data[at] & 0x80:
        at += 1
    at += 1
    if data[at : at + 1] != b"\x0a" or at + 1 >= len(data):
        return None
    end = at + 2 + data[at + 1]
    key = data[at + 2 : end]
    plain = bool(key) and all(0x20 < c < 0x7F for c in key)
    return key if plain and data[end : end + 1] in (b"\x12", b"") else None  # a value follows
