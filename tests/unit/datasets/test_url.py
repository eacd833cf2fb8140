"""Downloads from the user's own address: resumed, unpacked, limited, and refused in words."""

import gzip
import http.server
import threading

import pytest

from cntk_lab.datasets._fetch import fetch
from cntk_lab.errors import AttributeValueError, NotAvailableError
from tests.unit.datasets.tiny import FIRST, SECOND, in_cache

BOTH = {"first": FIRST, "second": SECOND}


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves files from a dictionary, knows ranges, and can break off."""

    files: dict[str, bytes]
    breaks: list[int]
    ranges: list[str]
    sized = True

    def do_GET(self):
        content = self.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        asked = self.headers.get("Range")
        self.ranges.append(asked or "all")
        begin = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        if begin >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if asked else 200)
        if self.sized:
            self.send_header("Content-Length", str(len(content) - begin))
        self.end_headers()
        end = self.breaks.pop(0) if self.breaks else len(content)
        self.wfile.write(content[begin:end])

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    handler = type("TestHandler", (Handler,), {"files": {}, "breaks": [], "ranges": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        handler.url = f"http://127.0.0.1:{running.server_port}"
        yield handler
        running.shutdown()
        thread.join()


def test_files_come_from_the_address_plain_or_packed(record, server, cache, capsys):
    server.files = {"/data/first": FIRST, "/data/second.gz": gzip.compress(SECOND)}
    assert fetch(record, url=server.url + "/data/") == BOTH
    assert in_cache(cache) == BOTH
    assert f"Tiny: served by {server.url}/data/, kept in {cache / 'tiny-1'}" in capsys.readouterr().out


def test_a_broken_transfer_goes_on_where_it_stopped(record, server):
    server.files = {"/first": FIRST, "/second": SECOND}
    server.breaks = [1000, 2000]
    assert fetch(record, url=server.url, verbose=False) == BOTH
    assert server.ranges == ["all", "bytes=1000-", "bytes=2000-", "all"]


def test_a_killed_transfer_is_continued_by_the_next_process(record, server, cache):
    server.files = {"/first": FIRST, "/second": SECOND}
    (cache / "tiny-1").mkdir(parents=True)
    (cache / "tiny-1" / "first.part").write_bytes(FIRST[:500])
    assert fetch(record, url=server.url, verbose=False) == BOTH
    assert server.ranges[0] == "bytes=500-"
    assert in_cache(cache) == BOTH


def test_what_is_left_of_another_file_is_noticed_and_loaded_again(record, server, cache):
    server.files = {"/first": FIRST, "/second": SECOND}
    (cache / "tiny-1").mkdir(parents=True)
    (cache / "tiny-1" / "first.part").write_bytes(b"z" * 500)
    assert fetch(record, url=server.url, verbose=False) == BOTH
    assert server.ranges[:2] == ["bytes=500-", "all"]


def test_a_complete_leftover_is_loaded_again(record, server, cache):
    server.files = {"/first": FIRST, "/second": SECOND}
    (cache / "tiny-1").mkdir(parents=True)
    (cache / "tiny-1" / "first.part").write_bytes(FIRST)
    assert fetch(record, url=server.url, verbose=False) == BOTH


def test_a_server_that_does_not_tell_sizes_is_served_too(record, server):
    server.files, server.sized = {"/first": FIRST, "/second": SECOND}, False
    assert fetch(record, url=server.url, verbose=False) == BOTH


def test_more_bytes_than_the_file_has_are_not_taken(record, server, cache):
    server.files = {"/first": FIRST + b"0" * 1_000_000, "/second": SECOND}
    with pytest.raises(ValueError, match="more than the 3300 bytes of the file arrive"):
        fetch(record, url=server.url, verbose=False)
    assert in_cache(cache) == {}


def test_a_packed_bomb_is_not_unpacked(record, server, cache):
    server.files = {"/first.gz": gzip.compress(b"0" * 10_000_000), "/second": SECOND}
    with pytest.raises(ValueError, match="first: 3301 bytes found, 3300 expected"):
        fetch(record, url=server.url, verbose=False)
    assert in_cache(cache) == {}


def test_a_missing_file_is_named(record, server):
    with pytest.raises(NotAvailableError) as caught:
        fetch(record, url=server.url, verbose=False)
    assert str(caught.value).splitlines() == [
        f"first could not be downloaded: {server.url}/first.gz answered 404 Not Found",
        f"  where: url={server.url}",
        "  fix:   give the folder that holds first (or first.gz)",
    ]


def test_a_local_folder_is_an_address(record, tmp_path, npm):
    (tmp_path / "first").write_bytes(FIRST)
    (tmp_path / "second").write_bytes(SECOND)
    assert fetch(record, url=tmp_path.as_uri(), verbose=False) == BOTH
    assert npm.read_text() == ""


def test_other_schemes_are_refused(record):
    with pytest.raises(AttributeValueError) as caught:
        fetch(record, url="ftp://host/data")
    assert str(caught.value).splitlines() == [
        "url: 'ftp://host/data' has the scheme 'ftp'",
        "  where: datasets(url=...)",
        "  fix:   give the folder that holds the files as https://..., http://... or file:///...",
    ]
