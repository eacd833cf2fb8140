"""The process that compiles kernels: at most one for each user of the machine, gone with the process that started it.

Whoever needs a kernel first asks the compiling process that is there already, by a socket in a folder that only the
user may enter; where there is none it starts one, as a child of its own. The child inherits a file lock and holds it
for as long as it lives, so two are never at work for the same environment, and ends when its parent does, however that
ends. Those who waited for it then start another one. Where there are no such sockets every process has its own child,
and where no child can be started a thread compiles.

Requests and answers are lines of JSON. Knows neither what is compiled nor who asks.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import queue
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cntk_lab import _child
from cntk_lab._turn import new_lock

if sys.platform != "win32":
    import fcntl

Job = Mapping[str, str]
Answer = Mapping[str, str]
Compile = Callable[[Job], Answer]

_TRIES: Final = {True: 2, False: 20}
"""How often a job is given to another compiler after it was lost, with an own child and with others'."""
_PATIENCE: Final = 30.0
"""Seconds after which a compiler that holds the lock and does not answer is no longer waited for."""
_KEPT: Final = 64


class _Wire:
    """Lines to a compiler and back: the pipes of an own child, or a socket to somebody else's."""

    def __init__(self, read: int, write: int, child: subprocess.Popen[bytes] | None) -> None:
        self.child = child
        self._read, self._write = read, write

    def send(self, line: str) -> None:
        """Write a whole line."""
        left = memoryview(line.encode() + b"\n")
        while left:
            left = left[os.write(self._write, left) :]

    def lines(self) -> Iterator[str]:
        """The lines that come, until the other end is gone."""
        got = b""
        while True:
            try:
                more = os.read(self._read, 1 << 20)
            except OSError:
                return
            if not more:
                return
            *whole, got = (got + more).split(b"\n")
            for line in whole:
                yield line.decode()

    def shut(self) -> None:
        """Close this end, when no thread writes any more."""
        if self.child is None:
            os.close(self._write)
            return
        for pipe in (self.child.stdin, self.child.stdout):
            if pipe is not None:
                pipe.close()

    def end(self) -> None:
        """End an own child."""
        if self.child is not None:
            self.child.kill()  # before anything else: a thread may be writing into a full pipe
            self.child.wait()

    def leave(self) -> None:
        """Let go of the other end in a forked child; the numbers stay taken, so that nobody's files are closed."""
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in {self._read, self._write}:
            with contextlib.suppress(OSError):
                os.dup2(nothing, number, inheritable=False)
        os.close(nothing)
        if self.child is not None:
            self.child.returncode = 0  # it is not ours to wait for


@dataclass(slots=True)
class _Waiting:
    line: str
    job: Job
    tries: int = 0


class Compiler:
    """Has jobs compiled, one after the other, and tells the answers.

    Args:
        here: compiles a job in this process.
        answered: told each answer, from a thread.
        serve: (module, function) of what a child runs: :func:`serve` with a function that compiles.
        environment: everything a compiler must have in common with those who use it.
    """

    def __init__(
        self, here: Compile, answered: Callable[[Answer], None], serve: tuple[str, str], environment: str
    ) -> None:
        self._here, self._answered, self._serve = here, answered, serve
        self._path = _meeting_place(environment)
        self._wire: _Wire | None = None
        self._begun: _Wire | None = None
        """The own child that was started last."""
        self._gone: list[_Wire] = []
        """Ways to compilers that are gone, still to be closed by the thread that writes."""
        self._waiting: dict[str, _Waiting] = {}
        self._closed = False
        self._begin()

    def _begin(self) -> None:
        self._guard = threading.Lock()
        self._queue: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._sender: threading.Thread | None = None

    def submit(self, job: Job) -> None:
        """Have a job compiled; ``job["key"]`` is what its answer is called, too."""
        with self._guard:
            self._waiting[job["key"]] = _Waiting(json.dumps(job), job)
            if self._sender is None:
                self._sender = threading.Thread(target=self._send, daemon=True, name="cntk-lab-compiler")
                self._sender.start()
        self._queue.put(job["key"])

    def close(self) -> None:
        """End the own child, if there is one, at once."""
        self._closed = True
        self._wire = None
        if self._begun is not None:
            self._begun.end()

    def in_child(self) -> None:
        """Begin anew in a forked child: threads and compiler are its parent's. What was waited for is forgotten."""
        for wire in {self._wire, self._begun} - {None}:
            assert wire is not None
            wire.leave()
            self._gone.append(wire)
        self._wire, self._waiting = None, {}
        self._begin()

    @property
    def child(self) -> int | None:
        """The number of the own child; None without one."""
        wire = self._wire
        return None if wire is None or wire.child is None else wire.child.pid

    # --- inside

    def _send(self) -> None:
        while True:
            key = self._queue.get()
            while self._gone:
                self._gone.pop().shut()
            waiting = self._waiting.get(key)
            if waiting is None or self._closed:
                continue
            wire = self._wire or self._open()
            if wire is None:
                self._take(self._here(waiting.job))
                continue
            try:
                wire.send(waiting.line)
            except OSError:
                self._lost(wire)

    def _listen(self, wire: _Wire) -> None:
        for line in wire.lines():
            self._take(json.loads(line))
        self._lost(wire)

    def _take(self, answer: Answer) -> None:
        with self._guard:
            known = self._waiting.pop(answer["key"], None)
        if known is not None:
            self._answered(answer)

    def _lost(self, wire: _Wire) -> None:
        """Give what a compiler that is gone was to compile to the next one."""
        with self._guard:
            if self._wire is not wire:
                return
            self._wire = None
            self._gone.append(wire)
            again = list(self._waiting.items())
            for _, waiting in again:
                waiting.tries += 1
        code = None if wire.child is None else wire.child.wait()
        for key, waiting in again:
            if waiting.tries > _TRIES[wire.child is not None]:
                self._take({"key": key, "error": f"the compiling process ended with code {code}"})
            else:
                self._queue.put(key)

    def _open(self) -> _Wire | None:
        """The way to a compiler: somebody's, else an own one."""
        found: _Wire | None = None
        end = time.monotonic() + _PATIENCE
        while self._path and found is None and time.monotonic() < end:
            found = _connected(self._path)
            lock = None if found is not None else _locked(self._path)
            if lock is not None:
                found = self._started(self._path, lock)
            if found is None:
                time.sleep(0.03)
        if found is None:
            found = self._started("", None)
        if found is not None:
            self._wire = found
            threading.Thread(target=self._listen, args=(found,), daemon=True, name="cntk-lab-kernels").start()
        return found

    def _started(self, path: str, lock: int | None) -> _Wire | None:
        """The way to a child of our own, which inherits the lock; None if it cannot be."""
        with _starting:
            try:
                child = subprocess.Popen(  # noqa: S603  (this Python, our own module)
                    _child.command(*self._serve, path),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    bufsize=0,
                    cwd=_child.NOWHERE,
                    env=_child.environment(),
                    start_new_session=True,  # an interrupt of the notebook does not end it
                    pass_fds=() if lock is None else (lock,),
                )
            except (OSError, ValueError):
                self._path = ""
                return None
            finally:
                if lock is not None:
                    os.close(lock)
            assert child.stdin is not None
            assert child.stdout is not None
            wire = self._begun = _Wire(child.stdout.fileno(), child.stdin.fileno(), child)
        if next(wire.lines(), "") == _READY:
            return wire
        wire.end()
        wire.shut()
        return None


_starting = new_lock(over_fork=True)  # a fork in between would keep the lock and the pipes open
_READY: Final = '{"ready": true}'


def _meeting_place(environment: str) -> str:
    """Where the compiler for an environment listens; empty where that cannot be had."""
    if sys.platform == "win32" or not hasattr(socket, "AF_UNIX"):
        return ""
    folder = Path(tempfile.gettempdir()) / f"cntk-lab-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError:
        return ""
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        return ""  # somebody else's
    path = str(folder / hashlib.sha256(f"{environment}\0{_child.PACKAGE}".encode()).hexdigest()[:12])
    return path if len(os.fsencode(path)) < 104 else ""  # no system allows more


def _connected(path: str) -> _Wire | None:
    made = socket.socket(socket.AF_UNIX)
    try:
        made.connect(path)
    except OSError:
        made.close()
        return None
    number = made.detach()
    return _Wire(number, number, None)


def _locked(path: str) -> int | None:
    """The open lock file, locked; None while somebody has it."""
    if sys.platform == "win32":
        return None
    with _starting:
        try:
            number = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            return None
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(number)
            return None
        return number


# ---- in the child


def serve(path: str, compile_job: Compile) -> None:
    """Compile the jobs that come in on standard input, and at a socket, until standard input ends.

    Args:
        path: where others of the user may ask; empty: nobody else.
        compile_job: compiles one job.
    """
    own = _Wire(0, os.dup(1), None)
    os.dup2(2, 1)  # what libraries print must not disturb the answers
    if path:
        listener = _listener(path)
    own.send(_READY)
    with contextlib.suppress(OSError, AttributeError):
        os.nice(5)
    jobs: queue.SimpleQueue[tuple[_Wire, Job]] = queue.SimpleQueue()

    def end() -> None:
        """The parent is gone: nobody waits for a compiler in the middle of its work."""
        with contextlib.suppress(OSError):
            os.unlink(path)  # noqa: PTH108  (the lock is still held: it is no other one's)
        os._exit(0)

    def read(wire: _Wire) -> None:
        for line in wire.lines():
            jobs.put((wire, json.loads(line)))
        if wire is own:
            end()

    def accept() -> None:
        while True:
            number = listener.accept()[0].detach()
            threading.Thread(target=read, args=(_Wire(number, number, None),), daemon=True).start()

    def watch(parent: int) -> None:
        while os.getppid() == parent:  # a forked child of the parent may hold the other end of the pipe open
            time.sleep(1.0)
        end()

    threading.Thread(target=read, args=(own,), daemon=True).start()
    if path:
        threading.Thread(target=accept, daemon=True).start()
    if sys.platform != "win32":
        threading.Thread(target=watch, args=(os.getppid(),), daemon=True).start()
    known: OrderedDict[str, Answer] = OrderedDict()
    while True:
        wire, job = jobs.get()
        answer = known.get(job["key"]) or compile_job(job)
        known[job["key"]] = answer
        if len(known) > _KEPT:
            known.popitem(last=False)
        with contextlib.suppress(OSError):
            wire.send(json.dumps(answer))


def _listener(path: str) -> socket.socket:
    """The socket at which others ask; what an ended compiler left there is taken away."""
    os.umask(0o077)
    with contextlib.suppress(OSError):
        os.unlink(path)  # noqa: PTH108
    made = socket.socket(socket.AF_UNIX)
    made.bind(path)
    made.listen(128)
    return made
