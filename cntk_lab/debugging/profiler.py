"""The profiler: how long each step of the engine takes, told by events, as a table and as a trace for a browser.

Knows events only. While times are taken plans run step by step on the reference tier, so shares of the time matter,
not its amount.
"""

from __future__ import annotations

import json
import math
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cntk_lab.events import BUS, StepTimed

__all__ = ["disable_profiler", "enable_profiler", "print_node_timing", "start_profiler", "stop_profiler"]

_COLUMNS = ("Mean", "StdDev", "Min", "Max", "Count", "Total")


class _Times:
    """Times of one function or step, in seconds."""

    __slots__ = ("count", "longest", "shortest", "squares", "total")

    def __init__(self) -> None:
        self.count, self.total, self.squares = 0, 0.0, 0.0
        self.shortest, self.longest = math.inf, 0.0

    def add(self, seconds: float) -> None:
        """One more time."""
        self.count += 1
        self.total += seconds
        self.squares += seconds * seconds
        self.shortest, self.longest = min(self.shortest, seconds), max(self.longest, seconds)

    def numbers(self) -> tuple[float, float, float, float, int, float]:
        """Mean, standard deviation, shortest, longest, count and total."""
        mean = self.total / self.count
        spread = math.sqrt(max(0.0, self.squares / self.count - mean * mean))
        return mean, spread, self.shortest, self.longest, self.count, self.total


class _Listener:
    """Hears times between ``on`` and ``off``."""

    def __init__(self, most_events: int) -> None:
        self.times: dict[str, _Times] = {}
        self.trace: list[dict[str, Any]] = []
        self.lost = 0
        self._most = most_events
        self._began = time.perf_counter()
        self._end: Callable[[], None] | None = None

    def on(self) -> None:
        """Begin to hear; nothing if it does already."""
        if self._end is None:
            self._end = BUS.subscribe(StepTimed, self._take)

    def off(self) -> None:
        """Hear no more; what was heard stays."""
        if self._end is not None:
            self._end()
            self._end = None

    def _take(self, event: StepTimed) -> None:
        name = "+".join(event.nodes) or f"plan {event.plan} step {event.step}"
        self.times.setdefault(name, _Times()).add(event.seconds)
        if len(self.trace) >= self._most:
            self.lost += 1
            return
        now = time.perf_counter() - self._began
        self.trace.append(
            {
                "pid": os.getpid(),
                "tid": threading.get_native_id(),
                "name": name,
                "cat": "PERF",
                "ph": "X",
                "ts": round((now - event.seconds) * 1e6),
                "dur": round(event.seconds * 1e6),
            }
        )

    def table(self) -> str:
        """The times as a table, the longest total first; milliseconds."""
        width = max([len("Description"), *(min(len(n), 60) for n in self.times)])
        lines = [f"{'Description':<{width}}" + "".join(f"{c:>12}" for c in _COLUMNS)]
        for name, times in sorted(self.times.items(), key=lambda item: -item[1].total):
            *seconds, count, total = times.numbers()
            cells = [f"{1000 * s:12.4f}" for s in seconds]
            lines.append(f"{name[:60]:<{width}}{''.join(cells)}{count:12d}{1000 * total:12.4f}")
        return "\n".join(lines)


_running: dict[str, _Listener] = {}
"""The profiler that was started, and the one behind ``set_node_timing``; both belong to the process."""
_folders: dict[str, Path] = {}
_BYTES_OF_AN_EVENT = 256


def start_profiler(
    dir: str | os.PathLike[str] = "profiler", sync_gpu: bool = True, reserve_mem: int = 32 << 20
) -> None:
    """Prepare the profiler; ``enable_profiler`` begins to take times, ``stop_profiler`` writes them.

    Args:
        dir: folder for the two files; it is made if it is missing.
        sync_gpu: accepted for CNTK programs; on a GPU each step is always waited for.
        reserve_mem: most memory for single times, in bytes; the table counts them all.

    Source: CNTK 2.7 ``debugging.start_profiler``.
    """
    del sync_gpu
    folder = Path(dir)
    folder.mkdir(parents=True, exist_ok=True)
    if "profiler" in _running:
        _running["profiler"].off()
    _running["profiler"], _folders["profiler"] = _Listener(max(1, reserve_mem // _BYTES_OF_AN_EVENT)), folder


def enable_profiler() -> None:
    """Take times from now on; nothing if the profiler was not started.

    Source: CNTK 2.7 ``debugging.enable_profiler``.
    """
    if "profiler" in _running:
        _running["profiler"].on()


def disable_profiler() -> None:
    """Take no times until the profiler is enabled again.

    Source: CNTK 2.7 ``debugging.disable_profiler``.
    """
    if "profiler" in _running:
        _running["profiler"].off()


def stop_profiler() -> None:
    """Write what was measured and end the profiler; nothing if it was not started.

    The summary is a text, the details a trace that chrome://tracing and Perfetto show.

    Example:
        >>> import tempfile, cntk_lab as C
        >>> x = C.input_variable(2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     start_profiler(folder)
        ...     enable_profiler()
        ...     _ = C.exp(x).eval({x: [[1, 2]]})
        ...     stop_profiler()
        ...     sorted(name.split("_")[-2] for name in os.listdir(folder))
        ['detail', 'summary']

    Source: CNTK 2.7 ``debugging.stop_profiler``.
    """
    listener = _running.pop("profiler", None)
    if listener is None:
        return
    listener.off()
    folder = _folders.pop("profiler")
    stamp = time.strftime("%Y-%m-%d_%H-%M-%S")
    text = f"Time Stamp: {stamp}\nTimes in milliseconds; steps ran one by one on the reference tier.\n\n"
    if listener.lost:
        text += f"{listener.lost} single times did not fit into memory; the table counts them.\n\n"
    (folder / f"{stamp}_summary_.txt").write_text(text + listener.table() + "\n", encoding="utf-8")
    (folder / f"{stamp}_detail_.json").write_text(json.dumps(listener.trace, indent=1) + "\n", encoding="utf-8")


def set_node_timing(enable: bool) -> None:
    """Take times of functions, which ``Trainer.print_node_timing`` prints, or end this.

    Args:
        enable: whether to take times.

    Source: CNTK 2.7 ``debugging.set_node_timing``.
    """
    before = _running.pop("nodes", None)
    if before is not None:
        before.off()
    if enable:
        _running["nodes"] = _Listener(0)
        _running["nodes"].on()


def print_node_timing() -> None:
    """Print times of functions since ``set_node_timing(True)``; nothing if it is off."""
    if "nodes" in _running:
        sys.stdout.write(_running["nodes"].table() + "\n")
