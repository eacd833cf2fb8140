"""Downloads from the user's own address: resumed, unpacked, limited, and refused in words."""

import contextlib
import gzip
import http.server
import threading

import pytest

from cntk_lab.datasets import _url
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

    faults: dict[str, int]
    told = None
    slow = ""

    def do_GET(self):
        if self.path in self.faults:
            self.send_error(self.faults[self.path])
            return
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
        if self.slow == "head":
            self.trickle(b"HTTP/1.0 200 OK\r\nX-Filler: " + b"x" * 10**4)
            return
        self.send_response(206 if asked else 200)
        if self.sized:
            self.send_header("Content-Length", str(len(content) - begin) if self.told is None else self.told)
        self.end_headers()
        if self.slow == "body":
            self.trickle(content)
            return
        end = self.breaks.pop(0) if self.breaks else len(content)
        self.wfile.write(content[begin:end])

    def trickle(self, content):
        """A byte now and then, until the client has gone."""
        with contextlib.suppress(OSError):
            for byte in content:
                self.wfile.write(bytes([byte]))
                if self.gone.wait(0.005):
                    break

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    handler = type("TestHandler", (Handler,), {"files": {}, "breaks": [], "ranges": [], "faults": {}})
    handler.gone = threading.Event()
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
        f"first could not be downloaded: {server.url}/first answered 404 Not Found",
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


def test_a_server_s_error_is_told_though_the_packed_file_is_not_there(record, server):
    server.files = {"/first": FIRST}
    server.faults = {"/first": 503}
    with pytest.raises(NotAvailableError) as error:
        fetch(record, url=server.url, verbose=False)
    assert f"first could not be downloaded: {server.url}/first answered 503" in str(error.value)


@pytest.mark.parametrize("told", ["abc", "-5", "1e3", "", "9" * 400, "\u0661"])
def test_a_size_that_is_none_is_not_believed(record, server, told):
    server.files = {"/first": FIRST, "/second": SECOND}
    server.told = told.encode("utf-8").decode("latin-1")
    assert fetch(record, url=server.url, verbose=False) == BOTH


@pytest.mark.parametrize(
    "url",
    [
        "http://[::1",
        "http://[::1]:x/",
        "http://",
        "https:///data",
        "http://host:99999/",
        "http://ho st/",
        "http://h\n/",
        5,
    ],
)
def test_what_is_no_address_is_refused_before_anything_is_opened(record, url):
    with pytest.raises(AttributeValueError, match="url: "):
        fetch(record, url=url, verbose=False)


@pytest.mark.parametrize("slow", ["head", "body"])
def test_a_server_that_trickles_does_not_hold_the_folder_for_ever(record, server, monkeypatch, slow):
    monkeypatch.setattr(_url, "TIMEOUT_SECONDS", 0.1)
    monkeypatch.setattr(_url, "SLOWEST", 10**6)
    server.files = {"/first": FIRST}
    server.slow = slow
    with pytest.raises(NotAvailableError, match="first could not be downloaded"):
        fetch(record, url=server.url, verbose=False)
    server.gone.set()
    monkeypatch.undo()
    server.slow, server.files = "", {"/first": FIRST, "/second": SECOND}
    assert fetch(record, url=server.url, verbose=False) == BOTH
