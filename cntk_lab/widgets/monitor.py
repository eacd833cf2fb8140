"""The training monitor: a run that is watched and steered from the notebook.

Listens to ``events.RunChanged``, sends pieces of thinned curves and a short state a few times a second, and answers the
buttons by plain calls. It takes no part in the training: without it the run is the same. State that Python owns:
``runs`` (short, sent often), ``details`` (sent when they change), ``notice``; the browser's own: smoothing, scale,
zoom, the step pointed at.
"""

from __future__ import annotations

import logging
import math
import threading
import weakref
from collections.abc import Callable, Generator
from typing import Any, Final

import numpy as np
import traitlets

from cntk_lab._words import all_shown, shown, told, traced
from cntk_lab.errors import AttributeValueError, LabError
from cntk_lab.events import BUS, RunChanged
from cntk_lab.train._history import History
from cntk_lab.train._run import Run
from cntk_lab.widgets import _curves
from cntk_lab.widgets import _messages as messages
from cntk_lab.widgets._base import LabWidget

_log = logging.getLogger("cntk_lab.widgets")
SETTLED: Final = ("paused", "stopped", "finished", "failed")
"""Where the picture that the notebook keeps is made anew."""
MOST_TOLD: Final = 50
"""Findings and changes that are shown of a run."""
MOST_CHECKS: Final = 200
"""Validations that are shown of a run."""

_open: weakref.WeakSet[TrainingMonitor] = weakref.WeakSet()


def open_monitors() -> list[TrainingMonitor]:
    """The monitors of this process that were not closed."""
    return list(_open)


class TrainingMonitor(LabWidget):
    """A run to watch and to steer: curves, progress, speed and memory; pause, step, stop; learning rate and momentum.

    Everything that the buttons do has a method of the same name. The run itself, with its history, is ``monitor.run``.

    Args:
        run: the run that the buttons are for.
        others: runs or histories that are drawn beside it.

    Example:
        >>> from cntk_lab import lab
        >>> monitor = lab.train((loss, error), {x: X, y: Y}, learner, max_epochs=10)  # doctest: +SKIP
        >>> monitor.pause(); monitor.set_learning_rate(0.01); monitor.resume()  # doctest: +SKIP
        >>> await monitor  # doctest: +SKIP
    """

    bundle_name = "monitor"
    saved_seconds = 10.0  # it changes all the time; where it settles it is kept at once

    runs = traitlets.List(traitlets.Dict()).tag(sync=True)
    details = traitlets.Dict().tag(sync=True)
    notice = traitlets.Unicode("").tag(sync=True)

    def __init__(self, run: Run, *others: Run | History) -> None:
        self._entries: list[_Entry] = [_Entry(run)]
        self._steered = run.number
        self._sending = threading.Lock()
        self._unsubscribe: Callable[[], None] = lambda: None
        self._kept = ""
        super().__init__(runs=self._states(), details=self._details())
        for other in others:
            self.compare(other)
        self._unsubscribe = BUS.subscribe(RunChanged, self._heard)
        _open.add(self)

    # --- the run

    @property
    def run(self) -> Run:
        """The run that the methods below are for: the monitor's own, or what was forked from it last."""
        return next(e.run for e in self._entries if e.run is not None and e.number == self._steered)

    @property
    def shown_runs(self) -> list[Run]:
        """The runs that are shown; histories that were read are none."""
        return [e.run for e in self._entries if e.run is not None]

    @property
    def history(self) -> History:
        """The run's numbers."""
        return self.run.history

    def pause(self) -> None:
        """Hold before the next minibatch."""
        self.run.pause()

    def resume(self) -> None:
        """Go on after a pause, a stop or a rewind."""
        self.run.resume()

    def step(self, count: int = 1) -> None:
        """Do some minibatches, and hold again.

        Args:
            count: how many.
        """
        self.run.do_steps(count)

    def stop(self) -> None:
        """End before the next minibatch; the run can still be resumed, rewound and forked."""
        self.run.stop()

    def set_learning_rate(self, value: float) -> None:
        """Another learning rate from the next minibatch on.

        Args:
            value: the rate, for as many samples as the learner's schedule was meant for.
        """
        self.run.set_learning_rate(value)

    def set_momentum(self, value: float) -> None:
        """Another momentum from the next minibatch on.

        Args:
            value: 0 <= value < 1.
        """
        self.run.set_momentum(value)

    def rewind(self, step: int) -> None:
        """Go back to a step, exactly; then the run is paused.

        Args:
            step: any that was done, or 0.
        """
        self.run.rewind(step)
        self._show_all(self._entry(self.run.number))

    def fork(self, step: int | None = None, name: str = "") -> Run:
        """A second run from a step of this one, drawn beside it, not started; this one is stopped.

        Args:
            step: where they part; None for here.
            name: of the new run.

        Returns:
            The new run; the monitor's methods are for it from now on.
        """
        return self._forked(self.run.fork(step, name))

    def _forked(self, made: Run) -> Run:
        """Draw a fork; from now on it is the run that is steered."""
        self._steered = made.number
        self.compare(made)
        return made

    def compare(self, *others: Run | History | TrainingMonitor) -> TrainingMonitor:
        """Draw other runs beside this one; what is steered stays the same.

        Args:
            others: runs, monitors of runs, or histories as ``lab.read_run`` gives them.

        Returns:
            The monitor itself.
        """
        for other in others:
            entry = _Entry(other.run if isinstance(other, TrainingMonitor) else other)
            if all(e.number != entry.number for e in self._entries):
                with self._sending:
                    self._entries.append(entry)
                self._show_all(entry)
        self._tell()
        return self

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the run ends; see ``Run.wait``.

        Args:
            timeout: longest wait, in seconds.
        """
        self.run.wait(timeout)

    def __await__(self) -> Generator[Any, None, Run]:
        """``await monitor`` ends when the run does."""
        return self.run.__await__()

    def close(self) -> None:
        """Take the monitor out of the notebook; the run goes on."""
        _open.discard(self)
        self._unsubscribe()
        super().close()

    # --- to the browser

    def answer(self, request: messages.Request) -> messages.Reply:
        """Do what a button asks for."""
        if isinstance(request, messages.ShowAll):
            for entry in self._entries:
                self._show_all(entry)
            return messages.Done("done", "")
        if isinstance(request, messages.SetRate):
            run = self._run(request.run)
            (run.set_learning_rate if request.what == "learning_rate" else run.set_momentum)(request.value)
            what = request.what.replace("_", " ")
            return messages.Done("done", f"{what} {request.value:g} from the next minibatch on")
        if isinstance(request, messages.Act):
            return self._act(self._run(request.run), request)
        return super().answer(request)

    def _act(self, run: Run, request: messages.Act) -> messages.Reply:
        match request.action:
            case "pause":
                run.pause()
            case "resume":
                run.resume()
            case "stop":
                run.stop()
                if run.status == "paused" and not run.alive:
                    return messages.Done("done", "the run is stopped already")
            case "step":
                run.do_steps(max(1, request.step))
            case "checkpoint":
                return messages.Done("done", f"step {run.checkpoint()} is kept")
            case "rewind" | "fork" | "rate":
                # may take as long as the steps take that have to be done again
                threading.Thread(target=self._slow, args=(run, request), daemon=True).start()
                return messages.Done("done", {"rate": "trying learning rates …"}.get(request.action, "going back …"))
        return messages.Done("done", "")

    def _slow(self, run: Run, request: messages.Act) -> None:
        words = ""
        try:
            if request.action == "rewind":
                run.rewind(request.step)
                self._show_all(self._entry(run.number))
                words = f"{run.name} is at step {request.step} again"
            elif request.action == "fork":
                made = self._forked(run.fork(request.step))
                words = f"{made.name} goes on from step {request.step}: change what you like, then resume"
            else:
                found = run.find_learning_rate()
                words = f"the loss falls most steeply at the learning rate {found.suggestion:.2g}: try that"
                words += f" ({found.note})" if found.note else ""
        except Exception as error:  # noqa: BLE001  (the browser waits for the notice)
            words = told(error)
            if not isinstance(error, LabError):
                _log.error("%s of %s:\n%s", request.action, run.name, traced(error))
        self.notice = ""
        self.notice = words
        self._tell()

    def _heard(self, event: RunChanged) -> None:
        """In the run's thread, a few times a second."""
        entry = next((e for e in self._entries if e.number == event.run), None)
        if entry is None:
            return
        with self._sending:
            piece = entry.curves.update()
            if piece is not None:
                self._send_curve(entry, *piece)
        self._tell()
        if event.status in SETTLED and event.status != self._kept:
            self.refresh_saved()
        self._kept = event.status

    def _show_all(self, entry: _Entry) -> None:
        with self._sending:
            entry.curves = _curves.Thinned(entry.history)
            entry.curves.update()
            self._send_curve(entry, 0, entry.curves.loss, entry.curves.metric)

    def _send_curve(self, entry: _Entry, first: int, loss: Any, metric: Any) -> None:
        self.send(_told(entry.number, entry.curves, first, len(loss)), [_bytes(loss, metric)])

    def _tell(self) -> None:
        self.runs = self._states()
        if any(e.grown() for e in self._entries):
            self.details = self._details()

    def _states(self) -> list[dict[str, Any]]:
        return [{**e.state(), "main": e.number == self._steered} for e in self._entries]

    def _details(self) -> dict[str, Any]:
        return {str(e.number): e.details() for e in self._entries}

    def _run(self, number: int) -> Run:
        run = self._entry(number).run
        if run is None:
            raise AttributeValueError("a history that was read cannot be steered", fix="choose a run of this notebook")
        return run

    def _entry(self, number: int) -> _Entry:
        for entry in self._entries:
            if entry.number == number:
                return entry
        raise AttributeValueError(f"the monitor shows no run {number}", fix="choose one of those shown")

    # --- without a browser

    def static_forms(self) -> dict[str, Any]:
        """The curves as a picture, and a few lines of text."""
        histories = [e.history for e in self._entries]
        lines = [e.words() for e in self._entries]
        sparks = [f"  {_curves.spark(h.loss)}" for h in histories]
        found = [f"  ! {shown(f.words)}" for h in histories for f in h.findings[:MOST_TOLD]]
        text = "\n".join([line for pair in zip(lines, sparks, strict=True) for line in pair] + found)
        return {"image/svg+xml": _curves.svg(histories, lines), "text/plain": text}

    def saved_messages(self) -> list[tuple[Any, bytes]]:
        """The whole curves of each run."""
        found = []
        for entry in self._entries:
            curves = _curves.Thinned(entry.history)
            curves.update()
            found.append((_told(entry.number, curves, 0, len(curves.loss)), _bytes(curves.loss, curves.metric)))
        return found


def _told(number: int, curves: _curves.Thinned, first: int, count: int) -> dict[str, Any]:
    return {"kind": "curve", "run": number, "width": curves.width, "first": first, "count": count}


def _bytes(loss: Any, metric: Any) -> bytes:
    return np.concatenate([loss, metric]).astype(np.float32).tobytes()


class _Entry:
    """One run that is shown, or one history that was read (numbered below 0)."""

    def __init__(self, given: Run | History) -> None:
        self.run = given if isinstance(given, Run) else None
        self.history = given.history if isinstance(given, Run) else given
        if isinstance(given, Run):
            self.number = given.number
        else:
            self.number = -1 - id(given) % (1 << 31)
        self.curves = _curves.Thinned(self.history)
        self._counts: tuple[int, ...] = ()

    def state(self) -> dict[str, Any]:
        """What the browser shows of it a few times a second, beside the curves."""
        run, history = self.run, self.history
        load = history.load[-1] if history.load else None
        return {
            "number": self.number,
            "name": shown(history.name),
            "parent": shown(history.parent),
            "forkedAt": history.forked_at,
            "hasMetric": history.has_metric,
            "steered": run is not None,
            "status": run.status if run is not None else "read",
            "step": history.step,
            "epoch": run.epoch if run is not None else 0,
            "progress": run.progress if run is not None else None,
            "remaining": run.remaining if run is not None else None,
            "seconds": history.seconds[-1] if history.step else 0.0,
            "speed": load.samples_per_second if load else None,
            "memory": load.memory if load else None,
            "learningRate": self._rate("learning_rate"),
            "momentum": self._rate("momentum"),
        }

    def grown(self) -> bool:
        """Whether details have come or gone since they were last asked for."""
        return self._counts != self._count()

    def details(self) -> dict[str, Any]:
        """What the browser shows of it that changes seldom; of long lists an even choice, or the end."""
        history = self.history
        self._counts = self._count()
        checks = history.validation
        every = -(-len(checks) // MOST_CHECKS) or 1
        chosen = checks[(len(checks) - 1) % every :: every]
        return {
            "validation": [[v.step, _finite(v.loss), _finite(v.metric)] for v in chosen],
            "changes": [[c.step, c.kind, c.value] for c in history.changes[-MOST_TOLD:]],
            "findings": all_shown([[f.step, f.kind, f.words, f.node] for f in history.findings[-MOST_TOLD:]]),
        }

    def _count(self) -> tuple[int, ...]:
        history = self.history
        return (len(history.validation), len(history.changes), len(history.findings))

    def _rate(self, kind: str) -> float | None:
        if self.run is None:
            return next((c.value for c in reversed(self.history.rates) if c.kind == kind), None)
        learner = self.run.trainer.parameter_learners[0]
        return learner.learning_rate() if kind == "learning_rate" else learner.momentum()

    def words(self) -> str:
        """The run in one line."""
        history = self.history
        parts = [f"{shown(history.name)}: step {history.step:,}"]
        if history.step:
            parts.append(f"loss {history.loss[-1]:.4g}")
            if history.has_metric:
                parts.append(f"metric {history.metric[-1]:.4g}")
        if history.validation:
            parts.append(f"validation loss {history.validation[-1].loss:.4g}")
        if history.step:
            parts.append(f"{history.seconds[-1]:.1f} s")
        if self.run is not None:
            parts.append(self.run.status)
        return ", ".join(parts)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
