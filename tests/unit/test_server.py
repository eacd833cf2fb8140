"""The Jupyter Server part, asked over the network of a real one: statuses, words, limits; opening runs nothing."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab.layers import Dense

pytest.importorskip("jupyter_server")

pytestmark = [pytest.mark.xdist_group("jupyter server"), pytest.mark.timeout(240)]
ROOT = Path(C.__file__).parents[1]
TOKEN = "e2e"  # noqa: S105  (of servers that live for these tests)
NAMES = ("numpy", "json", "sitecustomize", "usercustomize", "cntk_lab", "scipy", "resource", "mmap")
LINUX = sys.platform == "linux"


class Server:
    """A running Jupyter server, its folder, and what it has logged."""

    def __init__(self, home: Path, *options: str) -> None:
        self.root, self.log = home / "root", home / "server.log"
        self.root.mkdir()
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{s.getsockname()[1]}/"
        environment = {
            **os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(home)]), "JUPYTER_PLATFORM_DIRS": "1",
            "JUPYTER_CONFIG_DIR": str(home / "config"), "JUPYTER_RUNTIME_DIR": str(home / "rt"),
            "JUPYTER_DATA_DIR": str(home / "data"),
        }  # fmt: skip
        command = [
            sys.executable, "-P", "-m", "jupyter_server", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1",
            f"--ServerApp.port={self.url.split(':')[-1][:-1]}", "--ServerApp.port_retries=0",
            f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={self.root}",
            "--ServerApp.jpserver_extensions=cntk_lab.server=True", *options,
        ]  # fmt: skip
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, env=environment, cwd=self.root
            )
        for _ in range(400):
            try:
                urllib.request.urlopen(f"{self.url}api/status?token={TOKEN}", timeout=5).close()
                return  # noqa: TRY300  (it is there)
            except OSError:
                assert self.process.poll() is None, self.log.read_text()[-3000:]
                time.sleep(0.1)
        self.process.kill()
        raise AssertionError(self.log.read_text()[-3000:])

    def ask(self, what: str, body: Any = None, token: str | None = TOKEN) -> tuple[int, Any]:
        """Status and answer (JSON) of a POST; the body is JSON unless it is bytes."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {} if token is None else {"Authorization": f"token {token}"}
        request = urllib.request.Request(f"{self.url}cntk-lab/{what}", data=data, headers=headers, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    def memory(self) -> int:
        """The most bytes that the server has held."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line.split()[1] for line in text.splitlines() if line.startswith("VmHWM"))) << 10

    def children(self) -> list[int]:
        """The processes that the server has started and that run."""
        tasks = Path(f"/proc/{self.process.pid}/task")
        return [int(pid) for task in tasks.iterdir() for pid in (task / "children").read_text().split()]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    started = Server(tmp_path_factory.mktemp("jupyter"))
    yield started
    started.process.terminate()
    started.process.wait(30)


REMOTE = """
import base64
from jupyter_server.services.contents.manager import ContentsManager

class Remote(ContentsManager):
    def is_hidden(self, path):
        return False
    def get(self, path, content=True, type=None, format=None):
        if path == "known.model":
            raise KeyError(path)
        size = (32 << 20) + 1 if path == "large.model" else None if path == "endless.model" else 8
        text = None if path == "odd.model" else base64.b64encode(b"no model").decode()
        return {"size": size, "content": text if content else None}
"""


@pytest.fixture(scope="module")
def remote(tmp_path_factory):
    """A server whose files lie elsewhere."""
    home = tmp_path_factory.mktemp("remote")
    (home / "remote_contents.py").write_text(REMOTE)
    started = Server(home, "--ServerApp.contents_manager_class=remote_contents.Remote")
    yield started
    started.process.terminate()
    started.process.wait(30)


@pytest.fixture(scope="module")
def model(server):
    """The path of a small model in the server's folder."""
    Dense(3, name="top")(C.input_variable(4, name="x")).save(str(server.root / "small.model"))
    return "small.model"


def traps(folder: Path) -> None:
    for name in NAMES:
        (folder / f"{name}.py").write_text(f"open({str(folder / name)!r} + '.ran', 'w').close()\n")


# ---------------------------------------------------------------- statuses and words


def test_a_model_is_answered_with_its_graph(server, model):
    status, answer = server.ask("graph", {"path": model})
    assert status == 200, answer
    assert set(answer) == {"graph", "opened", "arrays"}
    assert answer["graph"]["name"] == "small" or any(n["name"] == "top" for n in answer["graph"]["nodes"])


def test_tutorials_are_copied_into_the_servers_folder(server):
    status, answer = server.ask("tutorials", {})
    assert status == 200, answer
    assert (server.root / answer["first"]).is_file()


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b"[" * 50_000, b"null", b"", b"[]", b'"a"', b"{}", b'{"path": 1}'])
def test_requests_that_make_no_sense_are_400(server, body):
    status, answer = server.ask("graph", body)
    assert status == 400
    assert "no JSON" in answer["message"] or "no model file" in answer["message"]


@pytest.mark.parametrize("path", ["a.txt", "a\0.model", "a\n.model", "\ud800.model", "folder.model"])
def test_paths_of_no_model_file_are_400(server, path):
    (server.root / "folder.model").mkdir(exist_ok=True)
    status, answer = server.ask("graph", {"path": path})
    assert status == 400
    assert answer["message"]


@pytest.mark.parametrize(
    "path", ["no.model", "../out.model", "/../../etc/passwd.model", ".hidden.model", "100%s.model"]
)
def test_files_that_are_not_there_are_404(server, path):
    (server.root.parent / "out.model").write_bytes(b"x")
    (server.root / ".hidden.model").write_bytes(b"x")
    status, answer = server.ask("graph", {"path": path})
    assert status == 404
    assert answer["message"] not in ("", "Not Found")


@pytest.mark.parametrize("token", [None, "wrong"])
@pytest.mark.parametrize("what", ["graph", "tutorials"])
def test_who_has_no_token_gets_403(server, what, token):
    status, answer = server.ask(what, {"path": "small.model"}, token)
    assert status == 403
    assert answer["message"]


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="permissions of POSIX")
def test_a_file_that_may_not_be_read_is_403(server):
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    secret = server.root / "secret.model"
    secret.write_bytes(b"x")
    secret.chmod(0)
    assert server.ask("graph", {"path": "secret.model"})[0] == 403


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes of POSIX")
def test_a_pipe_is_400_at_once(server):
    os.mkfifo(server.root / "pipe.model")
    status, answer = server.ask("graph", {"path": "pipe.model"})
    assert status == 400, answer


def test_a_body_that_is_too_large_is_413_and_is_not_kept(server):
    before = server.memory() if LINUX else 0
    status, answer = server.ask("graph", b" " * (60 << 20))
    assert status == 413
    assert answer["message"] == f"{60 << 20:,} bytes: a request has at most 65,536"
    assert not LINUX or server.memory() - before < 20 << 20


def test_a_file_that_is_too_large_is_413(server):
    with (server.root / "giant.model").open("wb") as file:
        file.truncate((512 << 20) + 1)
    status, answer = server.ask("graph", {"path": "giant.model"})
    assert status == 413
    assert answer["message"] == "536,870,913 bytes: a viewer takes at most 536,870,912 bytes"


@pytest.mark.parametrize("content", [b"", b"no model", bytes(1000), b"BCN\0" * 50, b"\x08\x02\x12\xff\xff\xff\x7f"])
@pytest.mark.parametrize("suffix", ["model", "onnx"])
def test_damaged_files_are_422_in_words(server, suffix, content):
    (server.root / f"damaged.{suffix}").write_bytes(content)
    status, answer = server.ask("graph", {"path": f"damaged.{suffix}"})
    assert (status, list(answer)) == (422, ["message"]) or (suffix, content, status) == ("onnx", b"", 200)
    assert answer["message"].startswith(f"damaged.{suffix}: ")


def test_a_folder_where_a_tutorial_should_be_is_500_in_words(server):
    kept = server.root / "cntk-lab-tutorials"
    assert server.ask("tutorials", {})[0] == 200
    first = min(kept.glob("*.ipynb"))
    first.unlink()
    first.mkdir()
    (first / "something").write_text("")
    status, answer = server.ask("tutorials", {})
    assert status == 500
    assert first.name in answer["message"]


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("a.model", 422, "a.model: "),
        ("large.model", 413, "33,554,433 bytes: a viewer takes at most 33,554,432 bytes"),
        ("endless.model", 413, "a file of unknown size"),
        ("odd.model", 502, "odd.model: the contents manager gave no content in base64"),
        ("known.model", 500, "KeyError while the request was answered: the server's log holds the details"),
    ],
)
def test_files_that_lie_elsewhere_are_read_within_limits(remote, path, status, words):
    found, answer = remote.ask("graph", {"path": path})
    assert found == status
    assert answer["message"].startswith(words)


def test_the_log_holds_no_error_of_ours(server, model):
    server.ask("graph", {"path": model})
    server.ask("graph", b"{")
    server.ask("graph", {"path": "no such.model"})
    text = server.log.read_text()
    assert "KeyError" not in text
    assert "'cntk_lab'" not in text


# ---------------------------------------------------------------- nothing runs


def test_opening_a_model_runs_no_python_that_lies_beside_it(server, model):
    traps(server.root)
    status, answer = server.ask("graph", {"path": model})
    ran = sorted(path.name for path in server.root.glob("*.ran"))
    for name in NAMES:
        (server.root / f"{name}.py").unlink()
    assert status == 200, answer
    assert ran == []


# ---------------------------------------------------------------- memory and crowds


@pytest.mark.skipif(not LINUX, reason="reads /proc")
def test_a_large_file_takes_no_memory_of_the_server_and_bounded_memory_of_the_child(server):
    elements = 30 << 20
    w = C.parameter((elements,), init=np.zeros(elements, np.float32), name="w")
    (C.input_variable(elements) * w).save(str(server.root / "large.model"))
    before, most, done = server.memory(), [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            for pid in server.children():
                try:
                    text = Path(f"/proc/{pid}/status").read_text()
                except OSError:
                    continue
                most.extend(int(line.split()[1]) << 10 for line in text.splitlines() if line.startswith("VmHWM"))

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        status, answer = server.ask("graph", {"path": "large.model"})
    finally:
        done.set()
        watching.join()
    (server.root / "large.model").unlink()
    assert status == 200, answer
    assert server.memory() - before < 16 << 20  # the file has 120 MB
    assert max(most) < 700 << 20


@pytest.mark.skipif(not LINUX, reason="reads /proc")
def test_forty_requests_at_once_start_two_children_at_a_time(server, model):
    most, done = [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.01):
            most.append(len(server.children()))

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        with ThreadPoolExecutor(40) as pool:
            answers = list(pool.map(lambda _: server.ask("graph", {"path": model}), range(40)))
    finally:
        done.set()
        watching.join()
    assert max(most) <= 2
    assert {status for status, _ in answers} <= {200, 503}
    assert sum(status == 200 for status, _ in answers) >= 18
    for status, answer in answers:
        if status == 503:
            assert answer["message"] == f"{model}: 16 models wait to be read already: open it again later"


@pytest.mark.skipif(not LINUX, reason="reads /proc")
def test_a_reader_ends_when_nobody_waits_for_its_answer(server, model):
    data = json.dumps({"path": model}).encode()
    head = f"POST /cntk-lab/graph HTTP/1.1\r\nHost: {server.url[7:-1]}\r\nAuthorization: token {TOKEN}\r\n"
    with socket.create_connection(("127.0.0.1", int(server.url.split(":")[-1][:-1]))) as s:
        s.sendall(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
        end = time.monotonic() + 20
        while not server.children() and time.monotonic() < end:
            time.sleep(0.01)
        assert server.children()
    begun = time.monotonic()
    while server.children() and time.monotonic() < end:
        time.sleep(0.01)
    assert time.monotonic() - begun < 0.6  # reading takes longer
