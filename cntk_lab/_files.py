"""Whole files or none: how models, programs, runs and pictures are written to disk.

Must not know what is written. The idea is the usual one: write beside the target under another name, make it durable,
then rename; whoever opens the target sees the old file or the new one, never a part, also after a crash at any moment.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from cntk_lab.errors import FormatError

PARTIAL_SUFFIX = ".partial"
"""How the name of a file ends while it is being written."""


@contextlib.contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Give a binary file to write that takes the name ``path`` when the block ends, and vanishes if it raises.

    The file is made durable (fsync of file and folder) before it gets its name. A symbolic link is followed: the
    file it points to is replaced. Files of the same name keep their permissions; new ones get the user's usual ones.

    Args:
        path: where the file shall be; its folder must exist.

    Yields:
        The open file.

    Raises:
        FormatError: if the folder does not exist or cannot be written.

    Example:
        >>> import tempfile, os
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with atomic_file(os.path.join(folder, "a.bin")) as file:
        ...         _ = file.write(b"abc")
        ...     print(os.listdir(folder), os.path.getsize(os.path.join(folder, "a.bin")))
        ['a.bin'] 3
    """
    target = Path(os.path.realpath(path))
    partial = target.parent / f".{target.name[:200]}.{os.getpid()}-{secrets.token_hex(4)}{PARTIAL_SUFFIX}"
    try:
        mode = target.stat().st_mode & 0o777
    except OSError:
        mode = None
    try:
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    except OSError as error:
        raise FormatError(
            f"cannot write a file in {target.parent}: {error.strerror}",
            str(target),
            "give a folder that exists and can be written",
        ) from error
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            partial.chmod(mode)
        partial.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    """Make a rename durable where the system lets a folder be opened (not on Windows)."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)
