"""Source of a kernel -> address of machine code: compiled by numba in a child process, kept on disk as object code.

``request(source)`` answers at once with a :class:`Handle`. If the object code is in the cache folder it is loaded by
llvmlite alone in milliseconds (numba itself is never imported by a program that only runs kernels); otherwise a child
process compiles it, because numba's compiler holds the interpreter lock and would make training and notebook stutter.

The cache folder belongs to the user (mode 0700); an entry's name is the hash of everything it depends on: source,
words, versions of numba and llvmlite, and the processor. Entries are object code with a checksum, written to a
temporary name and renamed, so several processes may share the folder; a folder that is full or read-only costs time,
nothing else. A kernel that does not compile is reported once; its handle never becomes ready and the caller stays with
NumPy.

This module knows no formulas and no plans.
"""

from __future__ import annotations

import atexit
import base64
import contextlib
import ctypes
import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import logging
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

from cntk_lab import _child, settings
from cntk_lab.errors import NotAvailableError

KERNEL_SIGNATURE: Final = "void(int64,int64,int64,int64)"
"""A kernel gets the address of its argument block, its thread's number, the count of threads, and the phase."""
_HEADER: Final = "from cntk_lab.backends.cpu.words import *\n"
_OPTION: Final = "-unroll-full-max-count=7"
"""Told to LLVM: loops of 8 to 50 steps are not unrolled whole, because then they are no loops to vectorise any more
(batch normalization of 16 channels took 8 times as long)."""
_MAGIC: Final = b"cntk-lab kernel 1\n"
_LARGEST: Final = 64 << 20
_log = logging.getLogger("cntk_lab.native")


class Handle:
    r"""A kernel that is compiled or being compiled.

    Example:
        >>> handle = request("def kernel(block, thread, threads, phase):\n    pass\n")
        >>> handle.wait(60) and handle.address > 0
        True
    """

    def __init__(self, key: str) -> None:
        self.key = key
        self.failure: str | None = None
        """Why there is no machine code and never will be; None while there is hope."""
        self._address = 0
        self._done = threading.Event()

    def ready(self) -> bool:
        """Whether the machine code is loaded."""
        return self._address != 0

    @property
    def address(self) -> int:
        """The address of the machine code.

        Raises:
            NotAvailableError: while it is not ready.
        """
        if not self._address:
            raise NotAvailableError(
                f"kernel {self.key[:12]} has no machine code: {self.failure or 'it is still being compiled'}",
                fix="ask ready() first, or wait()",
            )
        return self._address

    def wait(self, timeout: float | None = None) -> bool:
        """Whether the kernel is ready, after at most ``timeout`` seconds (None: however long it takes)."""
        self._done.wait(timeout)
        return self.ready()

    def _finish(self, address: int = 0, failure: str | None = None) -> None:
        self._address, self.failure = address, failure
        if failure is not None:
            _log.warning("a kernel stays on NumPy: %s", failure)
        self._done.set()


_handles: dict[str, Handle] = {}
_lock = threading.RLock()


def available() -> bool:
    """Whether kernels can be compiled here at all."""
    return why_not() is None


@functools.cache
def why_not() -> str | None:
    """Why kernels cannot be compiled here, or None."""
    for module in ("llvmlite", "numba"):
        if importlib.util.find_spec(module) is None:
            return f"no {module}: pip install numba"
    if sys.platform in ("emscripten", "wasi"):
        return f"no native code on {sys.platform}"
    return None


def request(source: str, signature: str = KERNEL_SIGNATURE) -> Handle:
    """The handle of the machine code of ``source``, which defines one function ``kernel`` in the words of ``words.py``.

    Args:
        source: Python text, printed by this package (never from a file or a user).
        signature: numba signature of the function.

    Returns:
        Handle, the same one for the same source; ready at once if it was compiled before on this machine.
    """
    reason = why_not()
    key = _key(source, signature) if reason is None else hashlib.sha256(source.encode()).hexdigest()
    with _lock:
        handle = _handles.get(key)
        if handle is not None:
            return handle
        handle = _handles[key] = Handle(key)
        if reason is not None:
            handle._finish(failure=reason)
            return handle
        stored = _read(key)
        if stored is not None:
            _install(handle, stored)
        compiler = None if handle.ready() else _compiler()
    if compiler is not None:  # without the lock: the child stops reading until its answers are taken, which needs it
        compiler.submit(handle, {"key": key, "source": source, "signature": signature})
    if not settings.flag("background_compilation"):
        handle.wait(None)
    return handle


def finish(timeout: float | None = None) -> bool:
    """Wait for every kernel that was asked for; whether all are compiled or have failed.

    Args:
        timeout: longest wait for each, in seconds; None waits however long it takes.
    """
    with _lock:
        handles = list(_handles.values())
    for handle in handles:
        handle.wait(timeout)
    return all(h.ready() or h.failure is not None for h in handles)


def forget() -> None:
    """Drop all handles of this process (the machine code stays mapped; the disk cache stays)."""
    with _lock:
        _handles.clear()


def fields_read(fields: Sequence[str]) -> str:
    """The lines of a kernel that read its argument block: each field becomes a variable of its name.

    Example:
        >>> print(fields_read(["rows", "width"]))
            rows = ld_i64(block, 0, -1)
            width = ld_i64(block, 1, -1)
    """
    return "\n".join(f"    {name} = ld_i64(block, {i}, -1)" for i, name in enumerate(fields))


def request_for(dtype: str, source: Callable[[str, int], str]) -> Handle:
    """The kernel for an element type: ``source`` is told what its words are called, and the bytes of an element."""
    return request(source("f32", 4) if dtype == "float32" else source("f64", 8))


# ---------------------------------------------------------------- the cache folder


@functools.cache
def _environment() -> str:
    """Everything beside the source that the machine code depends on."""
    import llvmlite.binding as llvm

    words = Path(__file__).with_name("words.py").read_bytes()
    versions = [importlib.metadata.version(p) for p in ("numba", "llvmlite")]
    cpu = [llvm.get_default_triple(), llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()]
    return "\n".join([hashlib.sha256(words).hexdigest(), _OPTION, *versions, *cpu])


def _key(source: str, signature: str) -> str:
    return hashlib.sha256(f"{_environment()}\0{signature}\0{source}".encode()).hexdigest()


def _folder() -> Path | None:
    """The cache folder, made if need be; None if it cannot be used or belongs to somebody else."""
    folder = settings.folder("cache_folder", "kernels")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except OSError:
        return None
    if hasattr(os, "getuid") and (status.st_uid != os.getuid() or status.st_mode & 0o022):
        _log.warning("kernels are not kept: %s can be written by others", folder)
        return None
    return folder


def _read(key: str) -> Mapping[str, Any] | None:
    folder = _folder()
    if folder is None:
        return None
    try:
        with (folder / f"{key}.o").open("rb") as file:
            # no more than there is: a read makes room for all that it may get
            text = file.read(min(_LARGEST, os.fstat(file.fileno()).st_size))
    except OSError:
        return None
    head, _, rest = text.removeprefix(_MAGIC).partition(b"\n")
    name, _, digest = head.decode("ascii", "replace").partition(" ")
    if not text.startswith(_MAGIC) or hashlib.sha256(name.encode() + rest).hexdigest() != digest:
        return None
    return {"name": name, "object": rest}


def _write(key: str, name: str, code: bytes) -> None:
    folder = _folder()
    if folder is None:
        return
    digest = hashlib.sha256(name.encode() + code).hexdigest()
    try:
        number, temporary = tempfile.mkstemp(dir=folder, suffix=".tmp")
        try:
            with os.fdopen(number, "wb") as file:
                file.write(_MAGIC + f"{name} {digest}\n".encode() + code)
            Path(temporary).replace(folder / f"{key}.o")
        except OSError:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
            raise
    except OSError as error:
        _log.info("a kernel is not kept on disk: %s", error)


# ---------------------------------------------------------------- machine code


_engines: list[Any] = []


def _install(handle: Handle, compiled: Mapping[str, Any]) -> None:
    """Map object code into this process (an engine each: names cannot collide)."""
    import llvmlite.binding as llvm

    try:
        with _lock:
            if not _engines:
                with contextlib.suppress(RuntimeError):  # newer llvmlite does this by itself
                    llvm.initialize_native_target()
                    llvm.initialize_native_asmprinter()
                # numba's wrapper names them for kernels that raise; ours never do, and an unknown name would leave the
                # whole object unlinked (calls of libm would go to address 0)
                for name in ("numba_gil_ensure", "numba_gil_release"):
                    llvm.add_symbol(name, ctypes.cast(ctypes.pythonapi.Py_FatalError, ctypes.c_void_p).value)
            machine = llvm.Target.from_default_triple().create_target_machine(jit=True)
            engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
            engine.add_object_file(llvm.ObjectFileRef.from_data(compiled["object"]))
            engine.finalize_object()
            address = engine.get_function_address(compiled["name"])
            _engines.append(engine)
    except (RuntimeError, OSError) as error:
        handle._finish(failure=f"the object code cannot be loaded: {error}")
        return
    if address:
        handle._finish(address)
    else:
        handle._finish(failure=f"the object code has no symbol {compiled['name']}")


@functools.cache
def _tell_options() -> None:
    import llvmlite.binding as llvm

    llvm.set_option("", _OPTION)


def compile_source(key: str, source: str, signature: str) -> dict[str, str]:
    """Object code of a source (imports numba; slow): what the child process does for each request."""
    import numba

    _tell_options()
    scope: dict[str, Any] = {"__name__": f"kernel_{key[:16]}"}
    exec(compile(_HEADER + source, f"<kernel {key[:16]}>", "exec"), scope)  # noqa: S102  (text printed by this package)
    function = scope["kernel"]
    function.__name__ = function.__qualname__ = f"kernel_{key[:16]}"
    # no contraction of a*b+c: p - rate*g has the same bits here, in another kernel and on the NumPy tier (measured: no
    # kernel got slower; the words, where it counts, keep it)
    compiled: Any = numba.cfunc(signature, error_model="numpy")(function)
    code: bytes = compiled._library._get_compiled_object()
    return {"key": key, "name": compiled.native_name, "object": base64.b64encode(code).decode("ascii")}


def _compile_job(job: Mapping[str, str]) -> dict[str, str]:
    try:
        return compile_source(job["key"], job["source"], job["signature"])
    except Exception as error:  # noqa: BLE001  (whatever numba raises is the reason that is reported)
        return {"key": job["key"], "error": f"{type(error).__name__}: {error}"[:2000]}


class _Compiler:
    """The child process and the thread that reads its answers; without child processes, a thread that compiles."""

    def __init__(self) -> None:
        self.waiting: dict[str, Handle] = {}
        self.guard = threading.Lock()
        self.requests: queue.SimpleQueue[tuple[subprocess.Popen[str], str]] = queue.SimpleQueue()
        """What is still to be written: the pipe to a child that compiles is soon full, and training must not wait."""
        self.writer: threading.Thread | None = None
        self.child: subprocess.Popen[str] | None = None

    def submit(self, handle: Handle, job: Mapping[str, str]) -> None:
        with self.guard:
            self.waiting[handle.key] = handle
            child = self._start()
        if child is None or child.stdin is None:
            threading.Thread(target=lambda: self._take(_compile_job(job)), daemon=True).start()
            return
        self.requests.put((child, json.dumps(job) + "\n"))
        with self.guard:
            if self.writer is None:
                self.writer = threading.Thread(target=self._write_requests, daemon=True)
                self.writer.start()

    def _write_requests(self) -> None:
        """Hand one request after the other to its child, for as long as the process lives."""
        while True:
            child, line = self.requests.get()
            try:
                assert child.stdin is not None
                child.stdin.write(line)
                child.stdin.flush()
            except (OSError, ValueError) as error:
                with self.guard:
                    current = self.child is child
                if current:
                    self._lost(f"the compiling process ended: {error}")

    def _start(self) -> subprocess.Popen[str] | None:
        if self.child is not None and self.child.poll() is None:
            return self.child
        try:
            self.child = subprocess.Popen(  # noqa: S603  (this Python, our own module)
                _child.command(__name__, "serve"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                encoding="utf-8",
                cwd=_child.NOWHERE,
                env=_child.environment(),
                start_new_session=True,  # an interrupt of the notebook does not end it
            )
        except (OSError, ValueError):
            self.child = None
            return None
        threading.Thread(target=self._listen, args=(self.child, self.child.stdout), daemon=True).start()
        return self.child

    def _listen(self, child: subprocess.Popen[str], stream: IO[str]) -> None:
        with contextlib.suppress(OSError, ValueError):
            for line in stream:
                self._take(json.loads(line))
        with self.guard:
            current = self.child is child
        if current:
            self._lost(f"the compiling process ended with code {child.wait()}")

    def _take(self, answer: Mapping[str, str]) -> None:
        with self.guard:
            handle = self.waiting.pop(answer["key"], None)
        if handle is None:
            return
        if "error" in answer:
            handle._finish(failure=answer["error"])
            return
        code = base64.b64decode(answer["object"])
        _write(handle.key, answer["name"], code)
        _install(handle, {"name": answer["name"], "object": code})

    def _lost(self, reason: str) -> None:
        with self.guard:
            lost, self.waiting, self.child = list(self.waiting.values()), {}, None
        for handle in lost:
            handle._finish(failure=reason)

    def close(self) -> None:
        """End the child process."""
        with self.guard:
            child, self.child = self.child, None
        if child is None:
            return
        with contextlib.suppress(OSError):
            if child.stdin is not None:
                child.stdin.close()
        child.kill()
        child.wait()
        with contextlib.suppress(OSError):
            if child.stdout is not None:
                child.stdout.close()


@functools.cache
def _compiler() -> _Compiler:
    compiler = _Compiler()
    atexit.register(compiler.close)
    return compiler


def serve() -> None:
    """Compile the requests on standard input, one JSON object per line, until it is closed."""
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print must not disturb the answers
    with contextlib.suppress(OSError, AttributeError):
        os.nice(5)
    for line in sys.stdin:
        output.write(json.dumps(_compile_job(json.loads(line))) + "\n")
        output.flush()
