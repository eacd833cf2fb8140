"""One training of the table from its start to what the doctor says of it."""

from __future__ import annotations

import threading
import time
from typing import Any

from cntk_lab.events import BUS, RunChanged
from tests.doctor.cases import Case


def findings(case: Case, limit: float = 60.0) -> tuple[list[Any], float]:
    """What was found in a training, and how many seconds that took; one that is held is ended."""
    run = case.make()
    over = threading.Event()

    def listen(event: RunChanged) -> None:
        if event.run == run.number and event.status not in ("ready", "running"):
            over.set()

    end = BUS.subscribe(RunChanged, listen)
    started = time.perf_counter()
    try:
        run.start()
        assert over.wait(limit), f"{case.name}: no end after {limit:g} s"
        run.stop()
        if run.error is None:
            run.wait(limit)
    finally:
        end()
    return list(run.history.findings), time.perf_counter() - started


def right(case: Case, found: list[Any]) -> bool:
    """Whether the doctor named what is wrong, or nothing where nothing is."""
    kinds = {f.kind for f in found}
    return bool(kinds & set(case.kinds)) if case.kinds else not kinds
