"""The Jupyter Server part: graphs of model files, and a copy of the tutorials, through Jupyter's contents manager.

Everything is asked of the contents manager first, so that the server's own rules (root folder, hidden files, remote
storage, permissions) hold. Nothing of a user's file is executed, and none of its bytes pass through the server where
they lie on its disk: a process of its own reads them, with limits of memory and time, at most two at once. Whatever
goes wrong is answered with a status and ``{"message": words}``.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import http
import json
import os
import stat
import subprocess
import tempfile
import unicodedata
from collections.abc import AsyncIterator, Iterator
from pathlib import PurePosixPath
from typing import IO, Any, Final, Self

import nbformat
from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from jupyter_server.services.contents.filemanager import FileContentsManager
from jupyter_server.utils import ensure_async, url_path_join
from tornado import ioloop, iostream, web

from cntk_lab import _child, tutorials
from cntk_lab.widgets import _model_file

PARENT: Final = "CNTK_LAB_PARENT"
"""Names, in the environment, the process that this server ends with: ``cntk-lab`` sets it."""
PARENT_SECONDS: Final = 1.0
READING_SECONDS: Final = 60.0
"""Longest time that reading a model may take."""
WAITING_SECONDS: Final = 60.0
"""Longest time that a request waits for its turn."""
MOST_READING, MOST_WAITING = 2, 16
"""Models that are read at once, and requests that wait meanwhile."""
LARGEST_REQUEST: Final = 64 << 10
"""Bytes of the body of a request; what comes after them is not kept."""
LARGEST_REMOTE: Final = 32 << 20
"""Bytes of a file that is not on this machine's disk: a contents manager gives such a file whole, in base64."""
LARGEST_ANSWER: Final = 128 << 20
"""Bytes of the graph and the statistics of a model, as JSON."""
PIECE: Final = 1 << 20


@web.stream_request_body
class LabHandler(APIHandler):
    """What all requests have in common: bodies of bounded size, errors as words in JSON."""

    async def prepare(self) -> None:  # type: ignore[override]  # as APIHandler's own
        """Begin to take the body; pieces beyond the limit are counted only."""
        self.length, self.pieces = 0, bytearray()
        await super().prepare()

    def data_received(self, chunk: bytes) -> None:
        """Keep a piece of the body."""
        self.length += len(chunk)
        if self.length <= LARGEST_REQUEST:
            self.pieces += chunk
        else:
            self.pieces = bytearray()

    def asked(self) -> Any:
        """The body, read as JSON; None if there is none.

        Raises:
            HTTPError: 413 if it is too large, 400 if it is no JSON.
        """
        if self.length > LARGEST_REQUEST:
            raise web.HTTPError(413, f"{self.length:,} bytes: a request has at most {LARGEST_REQUEST:,}")
        try:
            return json.loads(self.pieces.decode("utf-8")) if self.pieces.strip() else None
        except (ValueError, RecursionError) as error:
            raise web.HTTPError(400, f"the request is no JSON: {error}") from error

    def write_error(self, status_code: int, **more: Any) -> None:
        """Answer with the words of an error."""
        error = more.get("exc_info", (None, None, None))[1]
        words = http.HTTPStatus(status_code).phrase if status_code in set(http.HTTPStatus) else f"status {status_code}"
        if isinstance(error, web.HTTPError):
            words = (error.log_message or "") % error.args or words
        elif error is not None:
            words = f"{type(error).__name__} while the request was answered: the server's log holds the details"
        self.set_header("Cache-Control", "no-store")
        self.finish(json.dumps({"message": words}))


class TutorialsHandler(LabHandler):
    """POST /cntk-lab/tutorials: the folder with the user's copy of the tutorials, and the first of them."""

    @web.authenticated
    @authorized("write", resource="contents")
    async def post(self) -> None:
        """Copy what is missing; answers ``{"folder": ..., "first": ...}``."""
        self.asked()
        contents = self.contents_manager
        if not await ensure_async(contents.dir_exists(tutorials.FOLDER)):
            await ensure_async(contents.save({"type": "directory"}, tutorials.FOLDER))
        paths = []
        for source in tutorials.notebooks():
            path = f"{tutorials.FOLDER}/{source.name}"
            if not await ensure_async(contents.file_exists(path)):
                content = nbformat.reads(source.read_text(encoding="utf-8"), as_version=4)
                await ensure_async(contents.save({"type": "notebook", "format": "json", "content": content}, path))
            paths.append(path)
        self.finish(json.dumps({"folder": tutorials.FOLDER, "first": paths[0]}))


class GraphHandler(LabHandler):
    """POST /cntk-lab/graph with ``{"path": ...}``: the graph of a model file, for the viewer."""

    def initialize(self, readers: Readers) -> None:
        """Take what all requests share."""
        self.readers = readers
        self.reading: Reading | None = None
        self.gone = False

    @web.authenticated
    @authorized("read", resource="contents")
    async def post(self) -> None:
        """Answers ``{"graph": snapshot, "opened": uids, "arrays": statistics}``, or an error in words."""
        path = _path_in(self.asked())
        with contextlib.ExitStack() as open_files:
            async with self.readers.turn(path):
                if self.gone:
                    return
                file, size = await self._content(path, open_files)
                self.reading = Reading(file, size, PurePosixPath(path).name)
                answer = open_files.enter_context(self.reading)
                await asyncio.to_thread(self.reading.wait, self.readers.seconds)
            if answer.told:
                self.log.warning("cntk_lab: reading %s: %s", path, answer.told)
            self.set_status(answer.status)
            self.set_header("Content-Type", "application/json")
            self.set_header("Content-Length", str(answer.length))
            with contextlib.suppress(iostream.StreamClosedError):
                for piece in answer.pieces():
                    self.write(piece)
                    await self.flush()
                await self.finish()

    def on_connection_close(self) -> None:
        """Give up a reading that nobody waits for any more."""
        super().on_connection_close()
        self.gone = True
        if self.reading is not None:
            self.reading.give_up()

    async def _content(self, path: str, open_files: contextlib.ExitStack) -> tuple[IO[bytes], int]:
        """The file, open, and its bytes; a local one is opened where it lies.

        Raises:
            HTTPError: 404, 403, 413 or 400 if it cannot be had.
        """
        contents = self.contents_manager
        if not contents.allow_hidden and await ensure_async(contents.is_hidden(path)):
            raise web.HTTPError(404, f"there is no file {path}")
        size = (await ensure_async(contents.get(path, content=False, type="file"))).get("size")
        if isinstance(contents, FileContentsManager):
            with _statuses(path):
                file = open_files.enter_context(_regular_file(contents._get_os_path(path.strip("/"))))
                return file, _bounded(os.fstat(file.fileno()).st_size, _model_file.LARGEST)
        _bounded(size, LARGEST_REMOTE)
        model = await ensure_async(contents.get(path, type="file", format="base64"))
        try:
            content = base64.b64decode(model.pop("content"))
        except (KeyError, TypeError, binascii.Error) as error:
            raise web.HTTPError(502, f"{path}: the contents manager gave no content in base64: {error}") from error
        copy = open_files.enter_context(tempfile.TemporaryFile())  # noqa: SIM115  (the stack closes it)
        copy.write(content)
        copy.seek(0)
        return copy, _bounded(len(content), LARGEST_REMOTE)


class Readers:
    """Whose turn it is: a few models are read at once, some requests wait, others are told to come again."""

    def __init__(self, seconds: float = READING_SECONDS) -> None:
        self.seconds = seconds
        self.free = asyncio.Semaphore(MOST_READING)
        self.waiting = 0

    @contextlib.asynccontextmanager
    async def turn(self, path: str) -> AsyncIterator[None]:
        """A block in which a model may be read.

        Raises:
            HTTPError: 503 if too many wait already, or it takes too long.
        """
        if self.free.locked() and self.waiting >= MOST_WAITING:
            raise web.HTTPError(503, f"{path}: {MOST_WAITING} models wait to be read already: open it again later")
        self.waiting += 1
        try:
            await asyncio.wait_for(self.free.acquire(), WAITING_SECONDS)
        except TimeoutError as error:
            words = f"{path}: other models are being read for {WAITING_SECONDS:g} s: open it again later"
            raise web.HTTPError(503, words) from error
        finally:
            self.waiting -= 1
        try:
            yield
        finally:
            self.free.release()


class Reading:
    """A process that reads a model; in a ``with`` block, at whose end it and its answer are gone.

    Args:
        file: the model.
        size: its bytes.
        name: of the file.
    """

    def __init__(self, file: IO[bytes], size: int, name: str) -> None:
        self.name, self.size = name, size
        self.status, self.length, self.told = 200, 0, ""
        self._given = file
        self._failed = b""

    def __enter__(self) -> Self:
        self._answer, self._errors = tempfile.TemporaryFile(), tempfile.TemporaryFile()
        words = _child.command(
            _model_file.__name__, "main", self.name, memory=_model_file.memory(self.size), seconds=int(READING_SECONDS),
            output=LARGEST_ANSWER,
        )  # fmt: skip
        self._process = subprocess.Popen(  # noqa: S603  (this Python, our own module)
            words, stdin=self._given, stdout=self._answer, stderr=self._errors, cwd=_child.NOWHERE,
            env=_child.environment(),
        )  # fmt: skip
        return self

    def __exit__(self, *_: object) -> None:
        self.give_up()
        self._process.wait()
        self._answer.close()
        self._errors.close()

    def give_up(self) -> None:
        """End the process now, if it still runs."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    def wait(self, seconds: float) -> None:
        """Wait for the answer: ``status`` and ``length`` are known then; ``told`` is for the server's log.

        Args:
            seconds: longest wait.
        """
        try:
            ended = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.give_up()
            self._process.wait()
            self._fail(f"reading takes longer than {seconds:g} s; it was given up")
            return
        self._errors.seek(max(0, self._errors.seek(0, os.SEEK_END) - 4000))
        self.told = self._errors.read().decode("utf-8", "replace").strip()
        self.length = self._answer.seek(0, os.SEEK_END)
        if ended not in _model_file.STATUSES:
            self._fail(f"the process that reads it ended with {ended}: it needs more memory or time than it may have")
        elif self.length >= LARGEST_ANSWER:
            self._fail(f"its graph and statistics are more than a viewer takes ({LARGEST_ANSWER:,} bytes)")
        else:
            self.status = _model_file.STATUSES[ended]

    def _fail(self, words: str) -> None:
        self._failed = json.dumps({"message": f"{self.name}: {words}"}).encode()
        self.status, self.length = 422, len(self._failed)

    def pieces(self) -> Iterator[bytes]:
        """The answer, JSON, a piece at a time."""
        if self._failed:
            yield self._failed
            return
        self._answer.seek(0)
        while piece := self._answer.read(PIECE):
            yield piece


def _path_in(body: Any) -> str:
    """The path of a model file that a request asks for.

    Raises:
        HTTPError: 400 if it asks for none.
    """
    path = body.get("path") if isinstance(body, dict) else None
    if not isinstance(path, str) or PurePosixPath(path).suffix.lower() not in _model_file.SUFFIXES:
        raise web.HTTPError(400, f"no model file: give a path that ends with {', '.join(_model_file.SUFFIXES)}")
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in path):
        raise web.HTTPError(400, "a path holds no control characters and no halves of characters")
    return path


def _bounded(size: int | None, most: int) -> int:
    """A size that is not too large.

    Raises:
        HTTPError: 413 if it is.
    """
    if size is None or size > most:
        found = "a file of unknown size" if size is None else f"{size:,} bytes"
        raise web.HTTPError(413, f"{found}: a viewer takes at most {most:,} bytes")
    return size


def _regular_file(path: str) -> IO[bytes]:
    """A file to read; opening never waits, as it would for a pipe.

    Raises:
        HTTPError: 400 if it is a folder, a pipe or a device.
    """
    file = os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise web.HTTPError(400, f"{PurePosixPath(path).name} is no file that can be read")
    return file


@contextlib.contextmanager
def _statuses(path: str) -> Iterator[None]:
    """Say by a status what the disk says."""
    try:
        yield
    except FileNotFoundError as error:
        raise web.HTTPError(404, f"there is no file {path}") from error
    except PermissionError as error:
        raise web.HTTPError(403, f"{path} may not be read by the server") from error
    except OSError as error:
        raise web.HTTPError(400, f"{path} cannot be read: {error.strerror}") from error


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "cntk_lab.server"}]


def _load_jupyter_server_extension(server: Any) -> None:
    base = server.web_app.settings["base_url"]
    routes = [
        (url_path_join(base, "cntk-lab", "tutorials"), TutorialsHandler),
        (url_path_join(base, "cntk-lab", "graph"), GraphHandler, {"readers": Readers()}),
    ]
    server.web_app.add_handlers(".*$", routes)
    parent = os.environ.get(PARENT)
    if parent == str(os.getppid()):  # not that of a server in whose terminal this one was started
        _end_without(int(parent), server)


def _end_without(parent: int, server: Any) -> None:
    """Stop the server, its kernels first, when the program that started it has gone."""

    def look() -> None:
        if os.getppid() != parent:
            server.log.warning("cntk_lab: the program that started this server has gone; it ends")
            watch.stop()
            server.stop(from_signal=True)

    watch = ioloop.PeriodicCallback(look, PARENT_SECONDS * 1000)
    watch.start()
