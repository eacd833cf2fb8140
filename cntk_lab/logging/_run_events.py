"""A run as TensorBoard's events: curves of loss, metric, validation and rates, while it grows or afterwards.

Takes histories (plain numbers); what an event file is, is in ``_events``.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from cntk_lab.events import BUS, RunChanged
from cntk_lab.logging._events import EventFile
from cntk_lab.train._history import History

ENDS: Final = ("stopped", "finished", "failed")


class RunEvents:
    """Writes a history into an event file, each number once.

    After a rewind the steps that are done again are written again; TensorBoard shows both.

    Args:
        history: that may grow.
        folder: of the file; it is made if it is missing.
    """

    def __init__(self, history: History, folder: str | os.PathLike[str]) -> None:
        self._history, self._folder = history, folder
        self._lock = threading.RLock()  # a run tells of itself from several threads
        self._file: EventFile | None = EventFile(folder)
        self.path: Path = self._file.path
        self._steps = self._checks = self._rates = 0

    def write(self) -> None:
        """Bring what came since the last time to the file."""
        with self._lock:
            history, file = self._history, self._opened()
            end, checks, rates = history.step, list(history.validation), list(history.rates)
            for step in range(min(self._steps, end), end):
                file.scalar("loss/training", history.loss[step], step + 1)
                if history.has_metric:
                    file.scalar("metric/training", history.metric[step], step + 1)
            for check in checks[min(self._checks, len(checks)) :]:
                file.scalar("loss/validation", check.loss, check.step)
                if check.metric is not None:
                    file.scalar("metric/validation", check.metric, check.step)
            for change in rates[min(self._rates, len(rates)) :]:
                file.scalar(change.kind, change.value, change.step)
            self._steps, self._checks, self._rates = end, len(checks), len(rates)
            file.flush()

    def close(self) -> None:
        """Write what is missing, and close the file; what comes later goes into another one of the same folder."""
        with self._lock:
            if self._file is None and self._steps == self._history.step:
                return
            self.write()
            self._opened().close()
            self._file = None

    def _opened(self) -> EventFile:
        if self._file is None:
            self._file = EventFile(self._folder)
            self.path = self._file.path
        return self._file


def write_history(history: History, folder: str | os.PathLike[str]) -> Path:
    """Write a whole history as TensorBoard's events.

    Args:
        history: of a run, or read from its file.
        folder: of the event file; it is made if it is missing.

    Returns:
        The path of the event file.
    """
    events = RunEvents(history, folder)
    events.close()
    return events.path


def follow_run(run: Any, folder: str | os.PathLike[str]) -> Callable[[], None]:
    """Write a run as TensorBoard's events while it goes on, a few times a second.

    Args:
        run: not started yet, or at work; the file is closed when it ends, and a run that is resumed begins another.
        folder: of the event file; it is made if it is missing.

    Returns:
        What ends it.
    """
    events = RunEvents(run.history, folder)

    def heard(event: RunChanged) -> None:
        if event.run == run.number:
            (events.close if event.status in ENDS else events.write)()

    return BUS.subscribe(RunChanged, heard)
