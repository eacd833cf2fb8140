"""Downloads files from an address that the user named; a broken transfer goes on where it stopped.

Only https, http and file addresses are opened. Bytes are counted against the size in the record, so that a wrong
address cannot fill the disk. Checksums are the caller's business.
"""

from __future__ import annotations

import contextlib
import gzip
import http.client
import socket
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cntk_lab.datasets._record import DataFile
from cntk_lab.errors import AttributeValueError, FormatError, LabError, NotAvailableError

SCHEMES = ("https", "http", "file")
BLOCK = 1 << 16
TIMEOUT_SECONDS = 60.0
SLOWEST = 100
"""Bytes a second below which a transfer counts as standing still."""
TRIES = 3
NOT_FOUND, PARTIAL, RANGE_REFUSED = 404, 206, 416
_DIGITS = 16
GZIP_MAGIC = b"\x1f\x8b"


def check_address(url: str) -> None:
    """Return if the address can be opened here.

    Raises:
        AttributeValueError: if it is not an https, http or file address.
    """
    fix = "give the folder that holds the files as https://..., http://... or file:///..."
    try:
        parts = urllib.parse.urlsplit(url)
        scheme, host, _ = parts.scheme, parts.hostname, parts.port
    except (ValueError, TypeError, AttributeError) as error:
        raise AttributeValueError(f"url: {url!r} is no address: {error}", "datasets(url=...)", fix) from None
    if scheme not in SCHEMES:
        raise AttributeValueError(f"url: '{url}' has the scheme '{scheme}'", "datasets(url=...)", fix)
    if scheme != "file" and not host:
        raise AttributeValueError(f"url: '{url}' names no host", "datasets(url=...)", fix)
    if any(ord(c) <= ord(" ") for c in url):
        raise AttributeValueError(f"url: {url!r} holds blanks or control characters", "datasets(url=...)", fix)


def download(base: str, file: DataFile, folder: Path, report: Callable[[int], None]) -> bytes:
    """The content of ``<base>/<name>``, or of ``<base>/<name>.gz`` unpacked.

    Args:
        base: address of the folder that holds the files.
        file: which file.
        folder: where the bytes are kept until all are here; what an earlier try left there is continued.
        report: told the bytes that have arrived.

    Raises:
        NotAvailableError: if neither address can be read; says what the server answered for the one that matters.
        FormatError: if more bytes come than the file has.
    """
    names = (file.name, file.name + ".gz")
    problems: list[str] = []
    for name in names:
        problem, missing = "", False
        address = f"{base.rstrip('/')}/{urllib.parse.quote(name)}"
        path = folder / f"{name}.part"
        for _ in range(TRIES):
            try:
                _transfer(address, path, file.size, report)
                return _content(path, file, address)
            except urllib.error.HTTPError as error:
                problem = f"{address} answered {error.code} {error.reason}"
                missing = error.code == NOT_FOUND
                if missing:
                    break
            except (OSError, http.client.HTTPException, ValueError) as error:  # a broken connection, no local file
                if isinstance(error, LabError):
                    raise
                problem = f"{address}: {error}"
        problems.insert(0 if missing else len(problems), problem)  # what is not there says less than what does not come
    raise NotAvailableError(
        f"{file.name} could not be downloaded: {problems[-1]}",
        where=f"url={base}",
        fix=f"give the folder that holds {file.name} (or {file.name}.gz)",
    )


def _transfer(address: str, path: Path, size: int, report: Callable[[int], None]) -> None:
    have = path.stat().st_size if path.exists() else 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    request = urllib.request.Request(address, headers=headers)  # noqa: S310  (check_address saw the scheme)
    try:
        response = urllib.request.build_opener(_HttpHandler, _HttpsHandler).open(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        if error.code == RANGE_REFUSED and have:  # all bytes are here already, or the file got shorter: start again
            path.unlink()
            _transfer(address, path, size, report)
            return
        raise
    with response:
        if have and response.status != PARTIAL:
            have = 0
        told = (response.headers.get("Content-Length") or "").strip()
        expected = int(told) if told.isascii() and told.isdigit() and len(told) < _DIGITS else None
        with path.open("ab" if have else "wb") as out:
            got, pace = 0, _Pace()
            while block := _some(response):
                pace.tell(len(block))
                out.write(block)
                got += len(block)
                report(have + got)
                if have + got > size + BLOCK:
                    path.unlink()
                    raise FormatError(
                        f"{address}: more than the {size} bytes of the file arrive",
                        where=str(path),
                        fix="check the address",
                    )
        if expected is not None and got < expected:
            raise ConnectionError(f"connection closed after {have + got} of {have + expected} bytes")


def _some(response: Any) -> bytes:
    """The bytes that are there, without waiting for a whole block of them; empty at the end."""
    read = getattr(response, "read1", response.read)  # a local file has no read1
    found: bytes = read(BLOCK)
    return found


class _Pace:
    """Ends a transfer that goes on for ever without getting anywhere."""

    def __init__(self) -> None:
        self._since, self._arrived = time.monotonic(), 0

    def tell(self, count: int) -> None:
        """Note bytes that have arrived.

        Raises:
            TimeoutError: if fewer than SLOWEST bytes a second came in the last TIMEOUT_SECONDS.
        """
        self._arrived += count
        passed = time.monotonic() - self._since
        if passed < TIMEOUT_SECONDS:
            return
        if self._arrived < SLOWEST * passed:
            raise TimeoutError(f"only {self._arrived} bytes arrived in {passed:.0f} s")
        self._since, self._arrived = time.monotonic(), 0


class _Answering:
    """A connection that gives up when the head of the answer is not there in time, however it trickles."""

    sock: Any
    _late = False

    def getresponse(self) -> Any:
        """The answer, its head read."""
        timer = threading.Timer(TIMEOUT_SECONDS, self._cut)
        timer.daemon = True
        timer.start()
        try:
            answer = super().getresponse()  # type: ignore[misc]
        finally:
            timer.cancel()
        if self._late:  # what was cut off looks like a short answer
            raise TimeoutError(f"no answer in {TIMEOUT_SECONDS:.0f} s")
        return answer

    def _cut(self) -> None:
        self._late = True
        with contextlib.suppress(OSError, AttributeError):
            self.sock.shutdown(socket.SHUT_RDWR)


class _Http(_Answering, http.client.HTTPConnection):
    pass


class _Https(_Answering, http.client.HTTPSConnection):
    pass


class _HttpHandler(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(_Http, req)


class _HttpsHandler(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(_Https, req)


def _content(path: Path, file: DataFile, address: str) -> bytes:
    """The bytes that arrived, unpacked if they are gzip's; the partial file is removed, be they right or wrong."""
    try:
        with path.open("rb") as stream:
            if stream.read(2) == GZIP_MAGIC and not file.name.endswith(".gz"):
                stream.seek(0)
                with gzip.GzipFile(fileobj=stream) as unzipped:
                    return unzipped.read(file.size + 1)
            stream.seek(0)
            return stream.read(file.size + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FormatError(
            f"{address}: damaged gzip file: {error}", where=str(path), fix="load the data set again"
        ) from error
    finally:
        path.unlink(missing_ok=True)
