"""Modes of the whole suite.

``--native-first``: machine code from the first run on, compiled in the foreground; so every number that a test looks at
comes from the tier that users reach after some runs. A session in this mode in which nothing ran natively fails.
In every mode each plan is looked at after each pass of the compiler, in child processes too.

``--every N`` takes one test of N, others with each seed (printed, and given back by an environment variable).
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SEED = "CNTK_LAB_TEST_SEED"
"""Environment variable: what tests that draw anew each time draw from."""
_ran = 0
"""Native runs in this process."""
_tests: dict[str, int] = {"reached": 0, "in all": 0}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--native-first", action="store_true", help="machine code from the first run on, compiled in the foreground"
    )
    parser.addoption("--every", type=int, default=1, metavar="N", help="one test of N, others with each seed")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    every = config.getoption("--every")
    if every > 1:
        turn = int(os.environ[SEED]) % every
        taken = [zlib.crc32(item.nodeid.encode()) % every == turn for item in items]
        config.hook.pytest_deselected(items=[i for i, take in zip(items, taken, strict=True) if not take])
        items[:] = [i for i, take in zip(items, taken, strict=True) if take]


def pytest_configure(config: pytest.Config) -> None:
    # before any worker starts, so that all draw the same
    os.environ.setdefault(SEED, str(int(time.time()) % 10**8))
    os.environ.setdefault("CNTK_LAB_CHECK_PLANS", "1")
    if worker := os.environ.get("PYTEST_XDIST_WORKER"):
        _own_compiler(worker)
    if config.getoption("--native-first"):
        os.environ.update(CNTK_LAB_NATIVE_AFTER="0", CNTK_LAB_BACKGROUND="0")
        _count_native_runs()


def _own_compiler(worker: str) -> None:
    """Let a worker of several meet nobody: one compiling process for each user would keep all but one core idle."""
    folder = Path(tempfile.gettempdir()) / f"cntk-lab-{os.getuid()}-{worker}"
    folder.mkdir(mode=0o700, exist_ok=True)
    os.environ["TMPDIR"], tempfile.tempdir = str(folder), None


def pytest_report_header(config: pytest.Config) -> str:
    mode = "native from the first run" if config.getoption("--native-first") else "default (NumPy first)"
    every = config.getoption("--every")
    which = "" if every == 1 else f"; one test of {every}"
    return f"cntk_lab: {mode}{which}; drawn from {SEED}={os.environ[SEED]}"


def _count_native_runs() -> None:
    """Count the runs of native tables, the short way included."""
    from cntk_lab.engine.ask.captured import Captured
    from cntk_lab.engine.cpu.binding import Binding

    def counted(run: Any) -> Any:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            global _ran
            _ran += 1
            return run(*arguments, **named)

        return wrapped

    Binding.run, Captured.go = counted(Binding.run), counted(Captured.go)  # type: ignore[method-assign]


def pytest_collection_finish() -> None:
    """Take the alias away again: looking for examples in cntk_lab/alias.py imports it, and importing it installs it."""
    if "cntk_lab.alias" in sys.modules:
        sys.modules["cntk_lab.alias"].remove()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    before = _ran
    yield
    _tests["in all"] += 1
    _tests["reached"] += _ran > before


def pytest_sessionfinish(session: pytest.Session) -> None:
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["native"] = dict(_tests)


def pytest_testnodedown(node: Any) -> None:
    for name, count in getattr(node, "workeroutput", {}).get("native", {}).items():
        _tests[name] += count


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if config.getoption("--native-first"):
        terminalreporter.line(f"{_tests['reached']} of {_tests['in all']} tests reached the native tier")


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    if config.getoption("--native-first") and _tests["in all"] > 20 and not _tests["reached"]:
        raise pytest.UsageError("--native-first: no test reached the native tier (is numba installed?)")


@pytest.fixture
def front_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Widgets that work although the front end was not built."""
    from cntk_lab.widgets import _base

    bundle = _base.Bundle(source="export default {}", key="test")
    monkeypatch.setattr(_base, "bundle", lambda _name: bundle)
