"""Opens JupyterLab on the user's own copy of the tutorials.

JupyterLab runs as a program of its own: nothing of it is imported, and its exit status is passed on.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from cntk_lab import tutorials
from cntk_lab.errors import NotAvailableError

PARENT: Final = "CNTK_LAB_PARENT"
"""Tells JupyterLab, by the environment, which process it ends with; ``server`` reads it."""


def open_lab(
    folder: Path | None = None, *, browser: bool = True, port: int | None = None, more: Sequence[str] = ()
) -> int:
    """Copy the tutorials that are missing, open JupyterLab on the first, and return its exit status when it ends.

    Args:
        folder: the user's copy; ``cntk-lab-tutorials`` in the current folder if None.
        browser: open a browser window.
        port: of the server; Jupyter's choice if None.
        more: words that JupyterLab is started with as well.

    Raises:
        NotAvailableError: if JupyterLab is not installed.
    """
    if importlib.util.find_spec("jupyterlab") is None:
        raise NotAvailableError(
            "JupyterLab is not installed",
            where=sys.executable,
            fix='pip install "cntk-lab[lab]", or: pip install jupyterlab',
        )
    folder = (folder or Path(tutorials.FOLDER)).resolve()
    copies = tutorials.copy_to(folder)
    sys.stdout.write(f"your tutorials: {folder}\n")
    sys.stdout.flush()
    return _start([*command(folder, copies[0].name, browser=browser, port=port), *more])


def command(folder: Path, first: str, *, browser: bool, port: int | None) -> list[str]:
    """The words that start JupyterLab on a folder with a notebook open; it imports nothing from the current folder."""
    words = [
        sys.executable,
        "-P",
        "-m",
        "jupyterlab",
        f"--ServerApp.root_dir={folder}",
        f"--LabApp.default_url=/lab/tree/{first}",
    ]
    if not browser:
        words.append("--no-browser")
    if port is not None:
        words.append(f"--port={port}")
    return words


def _start(words: list[str]) -> int:
    """Run until it ends; Ctrl-C is JupyterLab's to answer, it asks whether to stop.

    Whatever ends this program ends JupyterLab and its kernels too: a signal is passed on, and where none can be
    (SIGKILL), JupyterLab sees that this process has gone (``server``).
    """
    environment = {**os.environ, PARENT: str(os.getpid())}
    with subprocess.Popen(words, env=environment) as process:  # noqa: S603  (this Python and the words above)

        def end(_number: int, _frame: object) -> None:
            process.terminate()  # JupyterLab ends its kernels first

        handlers: dict[int, Any] = {signal.SIGINT: signal.SIG_IGN, signal.SIGTERM: end}
        if hasattr(signal, "SIGHUP"):
            handlers[signal.SIGHUP] = end
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            return process.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
