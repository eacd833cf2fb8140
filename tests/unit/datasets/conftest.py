"""An empty cache and stand-ins for the registries' clients; nothing leaves the machine."""

import gzip
import os
import sys

import pytest

from cntk_lab.datasets._record import Installed
from tests.unit.datasets.tiny import FIRST, SECOND, make_record, make_tgz


@pytest.fixture
def record():
    return make_record()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("CNTK_LAB_DATA", str(folder))
    monkeypatch.delenv("CNTK_LAB_OFFLINE", raising=False)
    return folder


@pytest.fixture
def archive(tmp_path):
    return make_tgz(
        tmp_path / "tiny-data-1.0.0.tgz", {"package/first": FIRST, "package/second.gz": gzip.compress(SECOND)}
    )


@pytest.fixture
def client(tmp_path, monkeypatch):
    """Put a program of our own on the PATH instead of npm; returns a function that takes its Python body."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def install(body, name="npm"):
        path = folder / name
        path.write_text(
            f"#!{sys.executable}\nimport os, shutil, sys, time, pathlib\nfolder = pathlib.Path.cwd()\n{body}\n"
        )
        path.chmod(0o755)
        return path

    return install


@pytest.fixture
def npm(client, archive, tmp_path):
    """A client that serves the archive and notes each call in a file."""
    calls = tmp_path / "calls"
    calls.write_text("")
    client(f"open({str(calls)!r}, 'a').write('x')\nshutil.copy({str(archive)!r}, folder)")
    return calls


@pytest.fixture
def installed(tmp_path):
    """The same files as if another package had put them on the machine."""
    folder = tmp_path / "system"
    folder.mkdir()
    (folder / "first").write_bytes(FIRST)
    (folder / "second.gz").write_bytes(gzip.compress(SECOND))
    return Installed({"first": str(folder / "first"), "second": str(folder / "second.gz")})
