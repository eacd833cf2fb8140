"""A data set of two small files, as records, archives and cache contents."""

import hashlib
import io
import tarfile

from cntk_lab.datasets._record import DataFile, Package, Record

FIRST, SECOND = b"first file\n" * 300, b"second\n"
MEMBERS = {"first": "package/first", "second": "package/second.gz"}


def data_file(name, content):
    return DataFile(name, len(content), hashlib.sha256(content).hexdigest())


def make_record(**changes):
    facts = {
        "name": "tiny",
        "title": "Tiny",
        "version": "1",
        "licence": "none",
        "description": "two files",
        "origin": "this test",
        "files": (data_file("first", FIRST), data_file("second", SECOND)),
        "packages": (Package("npm", "tiny-data", "1.0.0", 4000, MEMBERS),),
    }
    return Record(**(facts | changes))


def make_tgz(path, members):
    with tarfile.open(path, "w:gz") as target:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            target.addfile(info, io.BytesIO(content))
    return path


def in_cache(cache):
    return {p.name: p.read_bytes() for p in (cache / "tiny-1").iterdir() if p.name != ".lock"}
