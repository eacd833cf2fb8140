"""The file of a run, written while the run goes on; and how much memory the process uses.

Lines are only added: what is taken back by a rewind is told by a line of its own. Knows histories; no runs.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TextIO

from cntk_lab.train._history import History


class Journal:
    """Writes a history to its file as it grows.

    Args:
        path: of the file; None: nothing is written.
    """

    def __init__(self, path: str | os.PathLike[str] | None) -> None:
        self._path = None if path is None else Path(path)
        self._file: TextIO | None = None
        self._done = 0
        self._early = 1

    def write(self, history: History, line: str) -> None:
        """Add a line; before it the steps that are not written yet."""
        if self._path is not None:
            self._steps(history)
            self._open(history).write(line)

    def flush(self, history: History) -> None:
        """Write the steps done since the last time, so that others can read them."""
        if self._path is not None:
            self._steps(history)
            if self._file is not None:
                self._file.flush()

    def early(self, history: History) -> None:
        """Write the first steps soon, the second one, the fourth and so on: a run that is killed leaves what it did."""
        if history.step == self._early:
            self._early *= 2
            self.flush(history)

    def cut(self, history: History, line: str) -> None:
        """Add the line that takes back what came after the present step."""
        if self._path is not None:
            self._open(history).write(line)
            self._done = history.step

    def close(self) -> None:
        """Let go of the file; the next line opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _steps(self, history: History) -> None:
        first, end = self._done, history.step
        if end > first:
            file = self._open(history)
            file.write(history.block(min(first, self._done), end))
            self._done = end

    def _open(self, history: History) -> TextIO:
        assert self._path is not None
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            fresh = (self._done == 0 and history.step == 0) or not self._path.is_file()
            self._file = self._path.open("w" if fresh else "a", encoding="utf-8")
            if fresh:
                self._file.write(history.head())
                self._file.flush()
                self._done = 0
        return self._file


def memory_in_use() -> int:
    """Bytes of memory this process has in use now (where the system does not say: at most so far)."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - quicker, and read often
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
