"""A progress bar made of text, for terminals, notebooks and logs alike.

A terminal and a notebook cell redraw one line (both understand a carriage return); a log gets one line per quarter.
It knows numbers of bytes only, not where they come from.
"""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self, TextIO

WIDTH = 24
REDRAW_SECONDS = 0.1
MEGABYTE = 1e6


def in_notebook() -> bool:
    """Whether this process is a Jupyter kernel; IPython is not imported to find out."""
    module = sys.modules.get("IPython")
    shell = module.get_ipython() if module is not None and hasattr(module, "get_ipython") else None
    return shell is not None and type(shell).__name__ == "ZMQInteractiveShell"


def megabytes(count: int) -> str:
    """Bytes in words: ``22.8 kB``, ``11.5 MB``."""
    return f"{count / MEGABYTE:.1f} MB" if count >= MEGABYTE / 10 or count == 0 else f"{count / 1000:.1f} kB"


class Progress:
    """Shows how far a download is.

    Args:
        label: words in front of the bar.
        total: bytes expected; None if unknown, then the bytes so far are shown without a bar.
        stream: where to draw; standard output if None.
        enabled: False draws nothing.
    """

    def __init__(self, label: str, total: int | None, stream: TextIO | None = None, enabled: bool = True) -> None:
        self.label, self.total = label, total
        self._stream = stream if stream is not None else sys.stdout
        self._enabled = enabled
        self._redraws = enabled and (self._stream.isatty() or in_notebook())
        self._drawn_at = 0.0
        self._quarter = 0
        self._done = 0
        self._length = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.finish(complete=kind is None)

    def update(self, done: int) -> None:
        """Show that ``done`` bytes are here; called as often as one likes, drawn at most ten times a second."""
        self._done = done
        if self._redraws:
            now = time.monotonic()
            if now - self._drawn_at >= REDRAW_SECONDS:
                self._drawn_at = now
                self._draw()
        elif self._enabled and self.total:
            quarter = min(int(4 * done / self.total), 4)
            if quarter > self._quarter:
                self._quarter = quarter
                print(self.text(), file=self._stream, flush=True)

    def finish(self, complete: bool = True) -> None:
        """Draw the last state and end the line."""
        if complete and self.total is not None:
            self._done = max(self._done, self.total)
        if self._redraws:
            self._draw()
            self._stream.write("\n")
            self._stream.flush()
        elif self._enabled and complete and self._quarter < 4:
            print(self.text(), file=self._stream, flush=True)

    def text(self) -> str:
        """The line as it stands now."""
        if not self.total:
            return f"{self.label}: {megabytes(self._done)}"
        done = min(self._done, self.total)
        filled = WIDTH * done // self.total
        bar = "#" * filled + "." * (WIDTH - filled)
        return f"{self.label}: [{bar}] {100 * done // self.total:3d} %  {megabytes(done)} of {megabytes(self.total)}"

    def _draw(self) -> None:
        text = self.text()
        self._stream.write("\r" + text + " " * max(self._length - len(text), 0))
        self._stream.flush()
        self._length = len(text)
