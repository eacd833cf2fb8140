"""Downloads files from an address that the user named; a broken transfer goes on where it stopped.

Only https, http and file addresses are opened. Bytes are counted against the size in the record, so that a wrong
address cannot fill the disk. Checksums are the caller's business.
"""

from __future__ import annotations

import gzip
import http.client
import urllib.error
import urllib.parse
import urllib.request
import zlib
from collections.abc import Callable
from pathlib import Path

from cntk_lab.datasets._record import DataFile
from cntk_lab.errors import AttributeValueError, FormatError, NotAvailableError

SCHEMES = ("https", "http", "file")
BLOCK = 1 << 16
TIMEOUT_SECONDS = 60.0
TRIES = 3
NOT_FOUND, PARTIAL, RANGE_REFUSED = 404, 206, 416
GZIP_MAGIC = b"\x1f\x8b"


def check_address(url: str) -> None:
    """Return if the address can be opened here.

    Raises:
        AttributeValueError: if it is not an https, http or file address.
    """
    scheme = urllib.parse.urlsplit(url).scheme
    if scheme not in SCHEMES:
        raise AttributeValueError(
            f"url: '{url}' has the scheme '{scheme}'",
            where="datasets(url=...)",
            fix="give the folder that holds the files as https://..., http://... or file:///...",
        )


def download(base: str, file: DataFile, folder: Path, report: Callable[[int], None]) -> bytes:
    """The content of ``<base>/<name>``, or of ``<base>/<name>.gz`` unpacked.

    Args:
        base: address of the folder that holds the files.
        file: which file.
        folder: where the bytes are kept until all are here; what an earlier try left there is continued.
        report: told the bytes that have arrived.

    Raises:
        NotAvailableError: if neither address can be read.
        FormatError: if more bytes come than the file has.
    """
    names = (file.name, file.name + ".gz")
    problem = ""
    for name in names:
        address = f"{base.rstrip('/')}/{urllib.parse.quote(name)}"
        path = folder / f"{name}.part"
        for _ in range(TRIES):
            try:
                _transfer(address, path, file.size, report)
                return _content(path, file, address)
            except urllib.error.HTTPError as error:
                problem = f"{address} answered {error.code} {error.reason}"
                if error.code == NOT_FOUND:
                    break
            except (OSError, http.client.HTTPException) as error:  # a broken connection, a missing local file
                problem = f"{address}: {error}"
    raise NotAvailableError(
        f"{file.name} could not be downloaded: {problem}",
        where=f"url={base}",
        fix=f"give the folder that holds {file.name} (or {file.name}.gz)",
    )


def _transfer(address: str, path: Path, size: int, report: Callable[[int], None]) -> None:
    have = path.stat().st_size if path.exists() else 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    request = urllib.request.Request(address, headers=headers)  # noqa: S310  (check_address saw the scheme)
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)  # noqa: S310  (likewise)
    except urllib.error.HTTPError as error:
        if error.code == RANGE_REFUSED and have:  # all bytes are here already, or the file got shorter: start again
            path.unlink()
            _transfer(address, path, size, report)
            return
        raise
    with response:
        if have and response.status != PARTIAL:
            have = 0
        expected = response.headers.get("Content-Length")
        with path.open("ab" if have else "wb") as out:
            got = 0
            while block := response.read(BLOCK):
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
        if expected is not None and got < int(expected):
            raise ConnectionError(f"connection closed after {have + got} of {have + int(expected)} bytes")


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
