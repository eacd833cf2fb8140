"""The folder where data sets are kept: verified files, written atomically, one writer at a time.

A file appears under its name only when it is complete and its checksum is right, so a killed download leaves nothing
that could be mistaken for data. What a killed process left half-written is removed by the next one. Nothing here
knows where data comes from.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from cntk_lab import settings
from cntk_lab._files import PARTIAL_SUFFIX, atomic_file
from cntk_lab.datasets._record import DataFile, Record
from cntk_lab.errors import FormatError, NotAvailableError

STAGING = ".staging-"
LOCK_POLL_SECONDS = 0.1


def root() -> Path:
    """The folder of all data sets: ``$CNTK_LAB_DATA``, else ``data`` in the user's cache folder."""
    return settings.folder("data_folder", "data")


def folder(record: Record) -> Path:
    """The folder of one data set; it need not exist."""
    return root() / f"{record.name}-{record.version}"


def check(content: bytes, file: DataFile, where: str) -> None:
    """Return if the content is the file's.

    Raises:
        FormatError: if its length or checksum differs.
    """
    if len(content) != file.size:
        raise FormatError(
            f"{file.name}: {len(content)} bytes found, {file.size} expected",
            where=where,
            fix="the copy is damaged, or of another version; remove it and load the data set again",
        )
    found = hashlib.sha256(content).hexdigest()
    if found != file.sha256:
        raise FormatError(
            f"{file.name}: sha256 {found[:16]}... found, {file.sha256[:16]}... expected",
            where=where,
            fix="the copy is damaged, or of another version; remove it and load the data set again",
        )


def read(record: Record) -> dict[str, bytes] | None:
    """The verified content of all files, or None if one is not there.

    Raises:
        FormatError: if a file in the cache is damaged.
    """
    found: dict[str, bytes] = {}
    for file in record.files:
        content = read_file(record, file)
        if content is None:
            return None
        found[file.name] = content
    return found


def read_file(record: Record, file: DataFile) -> bytes | None:
    """The verified content of one file, or None if it is not there.

    Raises:
        FormatError: if it is damaged.
    """
    path = folder(record) / file.name
    try:
        with path.open("rb") as stream:
            content = stream.read(file.size + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    check(content, file, str(path))
    return content


def write(record: Record, file: DataFile, content: bytes, where: str) -> None:
    """Put a verified file into the cache; it appears complete or not at all.

    Raises:
        FormatError: if the content is not the file's; ``where`` says who served it.
    """
    check(content, file, where)
    with atomic_file(folder(record) / file.name) as stream:
        stream.write(content)


@contextlib.contextmanager
def staging(record: Record) -> Iterator[Path]:
    """A fresh folder for a download inside the data set's cache folder; gone afterwards."""
    path = Path(tempfile.mkdtemp(prefix=STAGING, dir=folder(record)))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def lock(record: Record, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the data set's cache folder for writing; the operating system frees it even if the process is killed.

    Args:
        record: the data set.
        waiting: called once if another process holds the folder.

    Raises:
        NotAvailableError: if the folder cannot be made or written.
    """
    target = folder(record)
    try:
        target.mkdir(parents=True, exist_ok=True)
        stream = (target / ".lock").open("a+b")
    except OSError as error:
        raise NotAvailableError(
            f"the data folder cannot be written: {error.strerror}",
            where=str(target),
            fix="name a folder that you may write in the environment variable CNTK_LAB_DATA",
        ) from error
    with stream:
        told = False
        while not _try_lock(stream.fileno()):
            if not told:
                waiting()
                told = True
            time.sleep(LOCK_POLL_SECONDS)
        _remove_leftovers(target)
        yield


if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def _remove_leftovers(target: Path) -> None:
    """Remove what killed downloads left; safe because the lock is held, so nobody else is writing here."""
    for path in (*target.glob(STAGING + "*"), *target.glob(f".*{PARTIAL_SUFFIX}")):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def sizes() -> dict[str, int]:
    """Bytes kept per data set folder."""
    if not root().is_dir():
        return {}
    return {
        path.name: sum(f.stat().st_size for f in path.rglob("*") if f.is_file())
        for path in sorted(root().iterdir())
        if path.is_dir()
    }
