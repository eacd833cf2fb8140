"""A stretch of work that is done whole: an interrupt that comes meanwhile acts behind it.

A training step changes parameters, counts its samples and tells writers. An interrupt (Ctrl-C, the notebook's stop
button) in the middle would leave these at odds. Before the first of them begins, interrupts act at once; from there on
they wait until the last one is done. A second interrupt does not wait: user code may be stuck. Knows no training.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

# without its wrapper, which looks the numbers up among names and takes ten times as long
_set_handler: Callable[[int, Any], Any] = getattr(signal.signal, "__wrapped__", signal.signal)
_MAIN = threading.main_thread().ident


class Whole:
    """Holds interrupts from :meth:`begin` to the end of the ``with`` block; in threads that get none it does nothing.

    Example:
        >>> with Whole() as whole:
        ...     whole.begin()
    """

    __slots__ = ("_before", "_came", "_frame")

    def __init__(self) -> None:
        self._before: Callable[[int, FrameType | None], Any] | None = None
        self._came = False
        self._frame: FrameType | None = None

    def begin(self) -> None:
        """From here on an interrupt waits."""
        if self._before is not None or threading.get_ident() != _MAIN:
            return
        before = _set_handler(signal.SIGINT, self._take)
        if callable(before):
            self._before = before
        else:  # the process ignores or leaves interrupts to the system
            _set_handler(signal.SIGINT, signal.SIG_DFL if before is None else before)

    def _take(self, number: int, frame: FrameType | None) -> None:
        before = self._before
        if self._came and before is not None:
            before(number, frame)
        self._came, self._frame = True, frame

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        before = self._before
        if before is None:
            return
        _set_handler(signal.SIGINT, before)
        self._before = None
        if self._came:
            before(signal.SIGINT, self._frame)
