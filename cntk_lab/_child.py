"""Python processes of our own that import nothing but what is installed: the command line, the folder and the limits.

A child finds this package where its parent found it, and the packages it needs where they are installed. The current
folder, ``PYTHONPATH``, the folder of a script and user customisation are not on its import path, so that a ``numpy.py``
beside a model is never run because the model was opened. Knows nothing of what the children do.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, Final

PACKAGE: Final = Path(__file__).resolve().parent
NEEDED: Final = ("numpy", "scipy", "numba", "llvmlite", "platformdirs")
"""What children may import from outside the standard library and this package."""
NOWHERE: Final = os.path.abspath(os.sep)  # noqa: PTH100  (there is no Path of the root of the current drive)
"""The folder children run in: nobody works there, and it cannot be taken away meanwhile."""

_START: Final = """
import importlib, importlib.util, json, sys
given = json.loads(sys.argv[1])
try:
    import resource
except ImportError:
    resource = None
if resource is not None:
    for kind, most in given["limits"].items():
        number = getattr(resource, kind)
        hard = resource.getrlimit(number)[1]
        if hard != resource.RLIM_INFINITY:
            most = min(most, hard)
        try:
            resource.setrlimit(number, (most, most))
        except (OSError, ValueError):
            pass
if given["lives"] is not None:
    import signal
    if hasattr(signal, "alarm"):
        signal.alarm(given["lives"])
sites = [i for i, p in enumerate(sys.path) if p.endswith(("site-packages", "dist-packages"))]
at = sites[0] if sites else len(sys.path)
sys.path[at:at] = [home for home in given["homes"] if home not in sys.path]
spec = importlib.util.spec_from_file_location(
    given["package"], given["folder"] + "/__init__.py", submodule_search_locations=[given["folder"]])
module = sys.modules[given["package"]] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
sys.exit(getattr(importlib.import_module(given["module"]), given["function"])(*given["words"]))
"""


def command(
    module: str, function: str, *words: str, memory: int | None = None, seconds: int | None = None,
    output: int | None = None,
) -> list[str]:  # fmt: skip
    """The words that start a process which calls a function of this package.

    Args:
        module: full name of the module that holds the function.
        function: its name; what it returns is the exit status as ``sys.exit`` takes it.
        words: its arguments.
        memory: most address space, in bytes, where the system can limit it (not on Windows).
        seconds: most time of the processor, in seconds, where the system can limit it; twice as long it may live.
        output: most bytes of a file that it writes, where the system can limit it.

    Returns:
        Words for ``subprocess``; run them in the folder :data:`NOWHERE`.

    Raises:
        ValueError: if this process does not know its Python (it is embedded in another program).

    Example:
        >>> command("cntk_lab._child", "homes")[1]
        '-I'
    """
    if not sys.executable:
        raise ValueError("this Python is embedded in another program: it cannot be started again")
    limits = {"RLIMIT_AS": memory, "RLIMIT_CPU": seconds, "RLIMIT_FSIZE": output, "RLIMIT_CORE": 0}
    given = {
        "package": PACKAGE.name, "folder": str(PACKAGE), "homes": homes(), "module": module, "function": function,
        "words": words, "limits": {kind: most for kind, most in limits.items() if most is not None},
        "lives": None if seconds is None else 2 * seconds,
    }  # fmt: skip
    flags = ["-I", "-X", "utf8", "-W", "ignore", *(["-B"] if sys.dont_write_bytecode else [])]
    return [sys.executable, *flags, "-c", _START, json.dumps(given)]


def environment(**more: str) -> dict[str, str]:
    """The surroundings of a child: this process's, with libraries told to use one thread.

    Args:
        more: variables to set as well.
    """
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {**os.environ, **one, **more}


def homes() -> list[str]:
    """The folders in which the needed packages lie, each once: where they were imported from, else installed places.

    A package that is not imported yet is looked for in absolute folders only that are not the current one.
    """
    here = os.path.realpath(os.curdir) if _there() else ""
    places = [p for p in sys.path if os.path.isabs(p) and os.path.realpath(p) != here]  # noqa: PTH117
    found: dict[str, None] = {}
    for name in NEEDED:
        spec = getattr(sys.modules.get(name), "__spec__", None) or PathFinder.find_spec(name, places)
        if spec is not None and spec.origin:
            origin = Path(spec.origin)
            found[str((origin.parent if spec.submodule_search_locations else origin).parent)] = None
    return list(found)


def _there() -> bool:
    try:
        return bool(os.getcwd())  # noqa: PTH109  (only whether there is one)
    except OSError:
        return False


def run_program(
    words: Sequence[str], given: bytes, seconds: float, memory: int, more: Mapping[str, str] | None = None
) -> bytes:
    """What a program that is no Python answers to what it is given, within limits.

    Args:
        words: of the command; the first is an absolute path.
        given: its standard input.
        seconds: longest time, in seconds.
        memory: most address space, in bytes (Linux).
        more: environment variables to set.

    Raises:
        OSError: if it cannot be started.
        subprocess.SubprocessError: if it fails, or takes longer.
    """
    pipe = subprocess.PIPE
    with subprocess.Popen(  # noqa: S603  (the callers' own words)
        list(words), stdin=pipe, stdout=pipe, stderr=pipe, cwd=NOWHERE, env={**os.environ, **(more or {})}
    ) as process:
        _limit(process.pid, memory)
        try:
            told, wrong = process.communicate(given, timeout=seconds)
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, list(words), told, wrong)
    return told


def _limit(process: int, memory: int) -> None:
    """Bound a process that runs already, where the system can do that."""
    try:
        import resource

        limit: Any = resource.prlimit
        limit(process, resource.RLIMIT_AS, (memory, memory))
    except (ImportError, AttributeError, OSError, ValueError):
        return
