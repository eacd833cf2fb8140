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
import logging
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from cntk_lab import settings
from cntk_lab._turn import new_lock
from cntk_lab.backends.cpu import compiling
from cntk_lab.backends.cpu.compiling import Compiler
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
        self._job: Mapping[str, str] = {}
        self._address = 0
        self._done = threading.Event()

    def ready(self) -> bool:
        """Whether the machine code is loaded."""
        if self._address:
            return True
        if _left:
            _ask_again()
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
        if not self.ready():
            self._done.wait(timeout)
        return self.ready()

    def _finish(self, address: int = 0, failure: str | None = None) -> None:
        self._address, self.failure = address, failure
        if failure is not None:
            _log.warning("a kernel stays on NumPy: %s", failure)
        self._done.set()


_handles: dict[str, Handle] = {}
_lock = new_lock(over_fork=True)
_left: list[Handle] = []
"""What this process's parent had asked for when it forked."""


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
        handle = Handle(key)
        if reason is not None:
            handle._finish(failure=reason)
        else:
            handle._job = {"key": key, "source": source, "signature": signature}
            _begin(handle)
        _handles[key] = handle
    if not settings.flag("background_compilation"):
        handle.wait(None)
    return handle


def _begin(handle: Handle) -> None:
    """Load a kernel that was compiled before, or have it compiled."""
    stored = _read(handle.key)
    if stored is not None:
        _install(handle, stored)
    if not handle.ready():
        _compiler().submit(handle._job)


def _ask_again() -> None:
    with _lock:
        left, _left[:] = list(_left), []
        for handle in left:
            _begin(handle)


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


@functools.cache
def _compiler() -> Compiler:
    made = Compiler(_compile_job, _take, (__name__, "serve"), _environment())
    atexit.register(made.close)
    return made


def _take(answer: Mapping[str, str]) -> None:
    """Use an answer of the compiler."""
    with _lock:  # whoever asks for it has put it there when this is free
        handle = _handles.get(answer["key"])
    if handle is None or handle.ready():
        return
    if "error" in answer:
        handle._finish(failure=answer["error"])
        return
    code = base64.b64decode(answer["object"])
    _write(handle.key, answer["name"], code)
    _install(handle, {"name": answer["name"], "object": code})


def serve(path: str) -> None:
    """Compile what is asked for: what the child process does.

    Args:
        path: where other processes of the user may ask; empty: nobody else.
    """
    compiling.serve(path, _compile_job)


def _in_child() -> None:
    """What is not compiled yet when a process forks, its child has to ask for again (when it needs it)."""
    left = [h for h in _handles.values() if not h.ready() and h.failure is None]
    for handle in left:
        handle._done = threading.Event()
    _left[:] = left
    if _compiler.cache_info().currsize:
        _compiler().in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
