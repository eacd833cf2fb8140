"""One pool of threads for everything: libgomp's, which oneDNN uses too; kernels enter it by ``GOMP_parallel``.

Two pools in one process fight for the cores (measured: 46 ms instead of 6.4 for one step), so the native plan uses this
pool and caps OpenBLAS to one thread. Where there is no libgomp everything runs on the calling thread.

Knows no kernels and no plans.
"""

from __future__ import annotations

import contextlib
import ctypes
import ctypes.util
import functools
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cntk_lab import _changes, settings
from cntk_lab.errors import AttributeValueError

WORK_PER_THREAD: Final = 8_000.0
"""Nanoseconds of work from which another thread pays: a fork and join costs 1 to 5 microseconds."""
PRODUCTS_PER_NANOSECOND: Final = 25.0
"""Multiply-adds of float32 that one core does, for the choice of threads."""
_chosen = 0
_version = 0
"""How often the number of threads was chosen."""


class _Here(threading.local):
    """What libgomp was told in the thread that asks: it keeps its number of threads for each of them."""

    told = -1


_here = _Here()


@functools.cache
def gomp() -> ctypes.CDLL | None:
    """GNU's OpenMP runtime, or None where it cannot be loaded."""
    # libgomp reads it while it loads. On a shared machine a thread that spins for its default (300 000 rounds) holds
    # the core the other one waits for: 2-thread kernels took 10 ms instead of 0.2 on two cores with other work.
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")
    for name in ("libgomp.so.1", ctypes.util.find_library("gomp")):
        if not name:
            continue
        try:
            library = ctypes.CDLL(name)
            for symbol in (
                "GOMP_parallel",
                "GOMP_barrier",
                "omp_get_thread_num",
                "omp_get_num_threads",
                "omp_set_num_threads",
            ):
                getattr(library, symbol)
        except (OSError, AttributeError):
            continue
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(before=_before_fork, after_in_child=_in_child)
        return library
    return None


_PAUSE_HARD: Final = 2


def _before_fork() -> None:
    """End the pool of this thread: a forked child has none of its threads, and would wait for them for ever.

    Parent and child make a new one when they next need it.
    """
    library = gomp()
    if library is not None and hasattr(library, "omp_pause_resource_all"):
        library.omp_pause_resource_all(_PAUSE_HARD)


def _in_child() -> None:
    """Without a way to end the pool (libgomp before GCC 9) a child computes on NumPy."""
    if not hasattr(gomp(), "omp_pause_resource_all"):
        settings.set_option("native", False)


def why_serial() -> str | None:
    """Why kernels run on one thread here, or None."""
    if gomp() is None:
        return "no libgomp.so.1 (package libgomp1): kernels run on one thread"
    return None


def address(symbol: str) -> int:
    """The address of a function of libgomp; 0 without libgomp."""
    library = gomp()
    return 0 if library is None else ctypes.cast(getattr(library, symbol), ctypes.c_void_p).value or 0


@functools.cache
def _cores() -> int:
    """Physical cores that this process may use."""
    allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    cores = set()
    for cpu in allowed:
        try:
            where = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
            cores.add(where.read_text(encoding="ascii").strip())
        except OSError:
            cores.add(str(cpu))
    return max(1, len(cores))


def get_num_threads() -> int:
    """The number of threads that native plans use.

    Returns:
        What :func:`set_num_threads` said, else the option ``threads``, else one per physical core.

    Example:
        >>> get_num_threads() >= 1
        True
    """
    if gomp() is None:
        return 1
    return _chosen or max(0, settings.number("threads")) or _cores()


def set_num_threads(count: int) -> None:
    """Native plans use ``count`` threads from now on; 0 goes back to the default. Tiny models run best on one.

    Raises:
        AttributeValueError: if count is negative.
    """
    global _chosen
    if count < 0:
        raise AttributeValueError(
            f"threads: {count} is less than 0", fix="give a number of threads, or 0 for the default"
        )
    _chosen = count
    _changes.note()
    apply()


def apply() -> None:
    """Tell libgomp (and with it oneDNN) how many threads to use from now on."""
    global _version
    _version += 1
    enter()


def enter() -> None:
    """Whoever is going to run a table says so: libgomp has to be told the number of threads in each thread."""
    if _here.told != _version:
        library = gomp()
        if library is not None:
            library.omp_set_num_threads(get_num_threads())
        _here.told = _version


@contextlib.contextmanager
def limited(count: int) -> Iterator[None]:
    """What oneDNN prepares inside is prepared for so many threads; 0 = as many as there are."""
    library = gomp()
    if library is None or not count:
        yield
        return
    library.omp_set_num_threads(count)
    try:
        yield
    finally:
        library.omp_set_num_threads(get_num_threads())


def threads_for_products(count: float) -> int:
    """How many threads are worth using for so many multiply-adds."""
    return threads_for(count / PRODUCTS_PER_NANOSECOND)


def threads_for(work: float) -> int:
    """How many threads are worth using for this much work (nanoseconds on one thread).

    Example:
        >>> threads_for(100.0)
        1
    """
    return max(1, min(get_num_threads(), int(work / WORK_PER_THREAD)))
