"""Run: a training on a thread of its own, that can be watched, held, steered, rewound, forked and repeated.

The thread takes minibatches from a feed and trains, one at a time; between two of them it asks its control. Nothing
that watches takes part in the computation: a run that was paused, looked at or checked by the doctor is bit for bit the
run that was not. What was changed by hand is written down with its step, so that a run can be made again. Tells
``events.RunChanged`` a few times a second; knows no widgets.
"""

from __future__ import annotations

import asyncio
import bisect
import itertools
import math
import os
import threading
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from cntk_lab.errors import AttributeValueError, TrainingError
from cntk_lab.events import BUS, RunChanged
from cntk_lab.train import _doctor
from cntk_lab.train._arrays import Fed
from cntk_lab.train._control import Change, Control, make, running
from cntk_lab.train._feed import Feed
from cntk_lab.train._history import Finding, History
from cntk_lab.train._moment import undisturbed
from cntk_lab.train._probe import Probe, tell_not_finite
from cntk_lab.train._rate_finder import RateSearch, find_rate
from cntk_lab.train._record import Record
from cntk_lab.train._signs import SAMPLES, together
from cntk_lab.train._states import States
from cntk_lab.train._validate import Validator
from cntk_lab.train.trainer import Trainer

TELL_SECONDS: Final = 0.2
"""Between two events of a run."""
RECENT: Final = 10.0
"""Seconds of training whose speed says how long the rest will take."""
KEEP_SHARE: Final = 1000
"""Moments and the doctor's visits may take one part in this of the time."""

_numbers = itertools.count(1)


class Run:
    """A training that goes on by itself.

    Args:
        trainer: who trains; while the run is at work nobody else may use it.
        feed: of minibatches (see ``_feed``).
        minibatch_size: samples or sequences in a minibatch.
        max_epochs: sweeps over the data; None for no limit.
        max_samples: samples in all; None for no limit.
        max_steps: minibatches in all; None for no limit.
        validation: minibatches to validate with after each sweep.
        name: in legends and files.
        file: where to write the history while it grows, as JSON lines.
        changes: of an earlier run, to be made again at the same steps.
        doctor: whether to look for what is wrong; one part in 1000 of the time at most.
        memory: bytes for moments to go back to.

    Raises:
        AttributeValueError: if a limit is not positive.

    Example:
        >>> import cntk_lab as C, numpy as np
        >>> from cntk_lab.learners import sgd
        >>> from cntk_lab.train._arrays import Arrays
        >>> x, w = C.input_variable(1), C.parameter((1,), init=1.0)
        >>> trainer = Trainer(None, (x * w - 3) * (x * w - 3), sgd([w], 0.25))
        >>> run = Run(trainer, Arrays({x: np.ones((4, 1), np.float32)}), minibatch_size=2, max_epochs=3, doctor=False)
        >>> run.start().wait()
        >>> run.status, run.step, run.history.loss[0], w.value.tolist()
        ('finished', 6, 4.0, [2.96875])
    """

    def __init__(
        self,
        trainer: Trainer,
        feed: Feed,
        *,
        minibatch_size: int = 32,
        max_epochs: int | None = None,
        max_samples: int | None = None,
        max_steps: int | None = None,
        validation: Sequence[Any] = (),
        name: str = "",
        file: str | os.PathLike[str] | None = None,
        changes: Sequence[Change] = (),
        doctor: bool = True,
        memory: int = 256 << 20,
    ) -> None:
        limits = {"max_epochs": max_epochs, "max_samples": max_samples, "max_steps": max_steps}
        for limit, value in {"minibatch_size": minibatch_size, **limits}.items():
            if value is not None and value < 1:
                raise AttributeValueError(f"{limit} is {value}", fix="give 1 or more")
        self.number = next(_numbers)
        self.trainer, self.feed, self.minibatch_size = trainer, feed, minibatch_size
        self.max_epochs, self.max_samples, self.max_steps = max_epochs, max_samples, max_steps
        history = History(name or f"run {self.number}", trainer.evaluation_function is not None)
        self._record = Record(history, file)
        self.error: BaseException | None = None
        self._status, self._control = "ready", Control(self._idle)
        self._planned, self._validator = list(changes), Validator(trainer, validation)
        self._doctor, self._probe = _doctor.Doctor(trainer, validation) if doctor else None, Probe(trainer)
        self._states = States(trainer, feed, minibatch_size, self._record, memory)
        self._thread: threading.Thread | None = None
        self._lock = threading.RLock()
        self._recent: deque[Any] = deque(maxlen=max(1, -(-SAMPLES // minibatch_size)))
        self._costs = 0.0
        self._told = ("", 0)

    # --- what there is to see

    @property
    def status(self) -> str:
        """``ready``, ``running``, ``paused``, ``stopped``, ``finished`` or ``failed``."""
        return self._status

    @property
    def history(self) -> History:
        """All numbers of the run."""
        return self._record.history

    @property
    def name(self) -> str:
        """In legends and files."""
        return self.history.name

    @property
    def step(self) -> int:
        """Minibatches done."""
        return self.history.step

    @property
    def checkpoints(self) -> list[int]:
        """Steps whose state is kept; every other step can be reached from the one before it."""
        return self._states.steps

    @property
    def progress(self) -> float | None:
        """How much is done, from 0 to 1; None if that is not known."""
        shares = []
        if self.max_steps:
            shares.append(self.step / self.max_steps)
        if self.max_samples:
            shares.append(self._record.samples / self.max_samples)
        if self.max_epochs:
            sweeps, part = self._states.position(self)
            if part is not None or sweeps >= self.max_epochs:
                shares.append((sweeps + (part or 0.0)) / self.max_epochs)
        return min(1.0, max(shares)) if shares else None

    @property
    def remaining(self) -> float | None:
        """Seconds left at the speed of the last seconds; None if that is not known."""
        done, step = self.progress, self.step
        if not done or not step:
            return None
        seconds = self.history.seconds
        now = float(seconds[step - 1])
        since = min(bisect.bisect_left(seconds, now - RECENT, 0, step), step - 1)
        before = float(seconds[since - 1]) if since else 0.0
        return (now - before) / (step - since) * step * (1 - done) / done

    @property
    def epoch(self) -> int:
        """Sweeps over the data that are done."""
        return self._states.position(self)[0]

    # --- what can be done

    def start(self) -> Run:
        """Begin, or go on after ``stop`` or the end; returns at once.

        Returns:
            The run itself.

        Raises:
            TrainingError: if another run of the same trainer is at work.
        """
        return self._start(paused=False)

    def _start(self, *, paused: bool) -> Run:
        with self._lock:
            if self.alive:
                if not paused:
                    self._control.resume()
                return self
            self._states.take_trainer(self)
            self.error = None
            self._control.begin(paused=paused)
            self._status = "running"
            self._thread = threading.Thread(target=self._work, name=f"training {self.name}", daemon=True)
            self._thread.start()
        return self

    def pause(self) -> None:
        """Hold before the next minibatch."""
        self._control.pause()

    def resume(self) -> None:
        """Go on after a pause, a stop or a rewind."""
        if self.alive:
            self._control.resume()
        elif self._status in ("paused", "stopped"):
            self.start()

    def do_steps(self, count: int = 1) -> None:
        """Do some minibatches, and hold again.

        Args:
            count: how many.
        """
        self._start(paused=True)
        self._control.step(count)

    def stop(self) -> None:
        """End before the next minibatch; the run can still be resumed, rewound and forked."""
        self._control.stop()

    def set_learning_rate(self, value: float, learner: int | None = None) -> None:
        """Another learning rate from the next minibatch on; see ``Control.set_learning_rate``."""
        self._control.set_learning_rate(value, learner)

    def set_momentum(self, value: float, learner: int | None = None) -> None:
        """Another momentum from the next minibatch on; see ``Control.set_momentum``."""
        if all(entry.momentum() is None for entry in self.trainer.parameter_learners):
            raise TrainingError("no learner has a momentum", fix="use momentum_sgd, nesterov or adam")
        self._control.set_momentum(value, learner)

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the run ends. An interrupt (Ctrl-C, or the notebook's stop button) stops the run.

        Args:
            timeout: longest wait, in seconds.

        Raises:
            TrainingError: if the time is over.
            Exception: what ended the run, if it failed.
        """
        end = math.inf if timeout is None else time.monotonic() + timeout
        try:
            while self.alive and time.monotonic() < end:
                assert self._thread is not None
                self._thread.join(min(0.1, max(0.0, end - time.monotonic())))
        except KeyboardInterrupt:
            self.stop()
            raise
        if self.alive:
            raise TrainingError(f"{self.name} is not at its end after {timeout} s", fix="give it more time, or stop it")
        if self.error is not None:
            raise self.error

    def __await__(self) -> Generator[Any, None, Run]:
        """``await run`` ends when the run does; a notebook's cell with it keeps later cells waiting."""
        return self._ended().__await__()

    async def _ended(self) -> Run:
        try:
            while self.alive:  # noqa: ASYNC110 - the thread of the run knows no event loop
                await asyncio.sleep(0.02)
        except (asyncio.CancelledError, KeyboardInterrupt):
            self.stop()
            raise
        if self.error is not None:
            raise self.error
        return self

    def checkpoint(self) -> int:
        """Keep the present state to go back to.

        Returns:
            Its step.
        """
        with self._held(then_on=True):
            self._states.keep(asked=True)
            return self.step

    def rewind(self, step: int) -> None:
        """Go back to a step, exactly; then the run is paused, and what came after it is forgotten.

        Args:
            step: any step that was done, or 0.

        Raises:
            AttributeValueError: if the run was never there.
            TrainingError: if the data cannot be given again.
        """
        with self._held():
            self._states.check(step, self.name)
            self._states.take_trainer(self)
            self._states.go_back(step)
            self._states.cut(step)
            self._record.cut(step)
            if not self.alive:
                self._states.leave()
            self._tell("paused")

    def fork(self, step: int | None = None, name: str = "") -> Run:
        """A second run that goes on from a step of this one; this one is stopped and keeps its history.

        The parameters are the same objects, so only one of the two can be at work; each finds its own state again.

        Args:
            step: where they part; None for here.
            name: of the new run.

        Returns:
            The new run, not started.
        """
        at = self.step if step is None else step
        with self._held():
            self._states.check(at, self.name)
            self._states.take_trainer(self)
            here = self._states.now()
            self._states.go_back(at)
            made = Run(
                self.trainer, self.feed, minibatch_size=self.minibatch_size, max_epochs=self.max_epochs,
                max_samples=self.max_samples, max_steps=self.max_steps, validation=self._validator.minibatches,
                doctor=self._doctor is not None, memory=self._states.memory,
            )  # fmt: skip
            history = made._record.history = self.history.copy(at)
            history.name, history.parent, history.forked_at = name or f"{self.name}+", self.name, at
            made._status = "paused"
            made._states.begin_at(self._states.now(at))
            self._states.return_to(here)
            self._states.leave(here)
        self.stop()
        if self._thread is not None:
            self._thread.join()
        return made

    def find_learning_rate(self, low: float = 1e-6, high: float = 10.0, steps: int = 384) -> RateSearch:
        """Try learning rates on the run's data, and put everything back; the run is held meanwhile.

        Each rate is tried from the state that the run began with, so that the answer is the same at every step of it.

        Args:
            low: first rate, above 0.
            high: last rate.
            steps: minibatches at most, at least 10.

        Returns:
            Rates, the losses they lead to, and a suggestion.

        Raises:
            AttributeValueError: if the range cannot be tried, or the loss falls at none of its rates.
            TrainingError: if the data cannot be given again.
        """
        if not self.feed.returns:
            raise TrainingError("the data cannot be given again after a search", fix="train on arrays or a list")
        with self._held(then_on=True):
            self._states.take_trainer(self)
            return find_rate(
                self.trainer, self._states.variables, self.feed, self.minibatch_size, low, high, steps,
                self._states.first,
            )  # fmt: skip

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the history as JSON lines (format ``cntk-lab-run``).

        Args:
            path: of the file.

        Returns:
            The path.
        """
        with self._lock:
            return self.history.copy(self.step).save(path)

    # --- the thread

    def _work(self) -> None:
        status = "finished"
        try:
            with running(self.trainer.number, self._control):
                self._tell("running")
                status = self._train()
                self._visit_last()
        except Exception as error:  # noqa: BLE001 - told by wait(), await and the monitor
            self.error, status = error, "failed"
        with self._lock:
            self._states.leave()
            if status == "failed" and self.error is not None:
                self._record.found([Finding(self.step, "error", f"{type(self.error).__name__}: {self.error}")])
            self._record.load(force=True)
            self._record.close()
        self._tell(status)

    def _train(self) -> str:
        """Minibatch after minibatch; the status at the end."""
        control, history = self._control, self.history
        self._states.keep_first()
        self._record.flush()
        self._record.rates(self.trainer.parameter_learners[0])
        if self._doctor is not None:
            self._doctor.begin(self.step)
        clock, next_tell = time.perf_counter, time.perf_counter() + TELL_SECONDS
        while True:
            if control.paused:
                self._idle()
            if not control.proceed():
                return "stopped"
            with self._lock:
                if self._status != "running" and not control.paused:
                    self._tell("running")
                if self._over():
                    return "finished"
                started = clock()
                self._make_changes()
                fed = self.feed.next(self.minibatch_size)
                if fed is None:
                    return "finished"
                self._one(fed, started)
                if not math.isfinite(history.loss[-1]):
                    self._not_finite()
                if fed.ends_sweep:
                    self._validate()
                if clock() >= next_tell:
                    self._look_around(fed)
                    next_tell = clock() + TELL_SECONDS

    def _one(self, fed: Fed, started: float) -> None:
        """Train on one minibatch and write it down."""
        trainer = self.trainer
        self._recent.append(fed.arguments)
        trainer.train_minibatch(fed.arguments, is_sweep_end=fed.ends_sweep)
        metric = trainer.previous_minibatch_evaluation_average if self.history.has_metric else 0.0
        seconds = time.perf_counter() - started
        self._record.one(
            trainer.previous_minibatch_sample_count, trainer.previous_minibatch_loss_average, metric, seconds
        )

    def _over(self) -> bool:
        return bool(
            (self.max_steps and self.step >= self.max_steps)
            or (self.max_samples and self._record.samples >= self.max_samples)
            or (self.max_epochs and self.feed.position()[0] >= self.max_epochs)
        )

    def _make_changes(self) -> None:
        """Changes of an earlier run that are due now, and those that were asked for."""
        learners = self.trainer.parameter_learners
        if not self._planned and not self._control.asked:
            self._record.rates(learners[0], anew=False)
            return
        done = self.step
        due = [c for c in self._planned if c.step == done]
        self._planned = [c for c in self._planned if c.step > done]
        for change in due:
            make(change, learners)
        self._record.changed([*due, *self._control.apply(done, learners)])
        self._record.rates(learners[0])

    def _look_around(self, fed: Fed) -> None:
        """A few times a second: load, moments, the doctor, the event."""
        started, seconds = time.perf_counter(), self._record.seconds
        self._record.load()
        if seconds - self._states.kept_at > KEEP_SHARE * self._costs:
            self._states.keep()
            self._costs = time.perf_counter() - started
        if self._doctor is not None and self._doctor.due(seconds, KEEP_SHARE):
            self._ask_doctor(self._doctor)
        self._probe.visit(self.number, self.step, fed.arguments, seconds)
        self._record.flush()
        self._tell("paused" if self._control.paused else "running")

    def _ask_doctor(self, doctor: _doctor.Doctor, *, last: bool = False) -> None:
        with undisturbed(self.trainer):
            seconds = self._record.seconds
            self._record.found(doctor.visit(self.history, together(self._recent), seconds, last=last))

    def _visit_last(self) -> None:
        """At the end of a training the doctor comes once more, however short it was."""
        if self._doctor is not None and self._recent and self.step >= _doctor.FEW:
            with self._lock:
                self._ask_doctor(self._doctor, last=True)

    def _not_finite(self) -> None:
        """The loss is not finite for the first time: go back to before that step, look at every node, and hold."""
        if self._doctor is None or any(f.kind == "not finite" for f in self.history.findings):
            return
        step, loss = self.step, self.history.loss[-1]
        if self.feed.returns:
            here = self._states.now()
            try:
                self._states.go_back(step - 1)
                before = self.feed.next(self.minibatch_size)
                assert before is not None
                finding = self._doctor.first_not_finite(before.arguments, step, loss)
                with undisturbed(self.trainer):
                    others = self._doctor.visit(
                        self.history, together([*self._recent, before.arguments]), self._record.seconds, before=True
                    )
            finally:
                self._states.return_to(here)
        else:
            words = f"the loss became {loss} at step {step}; the source cannot go back to see which node was first"
            finding, others = Finding(step, "not finite", words), []
        self._record.found([finding, *others])
        tell_not_finite(self.number, step, finding.node)
        self._control.pause()

    def _validate(self) -> None:
        if self._validator.minibatches:
            self._record.validated(self._validator.validate(self.step))

    # --- inside

    @property
    def alive(self) -> bool:
        """Whether the run's thread is there: at work, or held."""
        return self._thread is not None and self._thread.is_alive()

    def _idle(self) -> None:
        """While training is held, by its thread: tell where it is held."""
        if self._control.paused and self._told != ("paused", self.step):
            with self._lock:
                self._record.flush()
            self._tell("paused")

    def _tell(self, status: str) -> None:
        self._status, self._told = status, (status, self.step)
        if BUS.heard(RunChanged):
            BUS.publish(RunChanged(self.number, status, self.step))

    @contextmanager
    def _held(self, *, then_on: bool = False) -> Iterator[None]:
        """While the block runs the run does nothing, wherever its thread is; then it goes on if it did before."""
        goes_on = then_on and self.alive and not self._control.paused
        if self.alive:
            self.pause()
        with self._lock:
            self._states.keep_first()
            yield
        if goes_on:
            self._control.resume()
