"""Pause, resume, step, stop and steer training; safe to call from a widget, a callback or another thread.

Whoever trains asks its control between minibatches: ``proceed`` waits while training is paused, ``apply`` gives the
learners the rates that were asked for meanwhile and says which. Nothing acts in the middle of a minibatch, so training
that was paused is bit for bit the training that was not, and changes that are written down with their step can be
made again at the same step. Controls are found by the number of their trainer, which the events of its steps carry.
Knows learners, no sessions and no widgets.
"""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Literal

from cntk_lab.errors import AttributeValueError, TrainingError
from cntk_lab.learners._learner import Learner

_POLL_SECONDS = 0.05
KINDS: Final = ("learning_rate", "momentum")

Kind = Literal["learning_rate", "momentum"]


@dataclass(frozen=True, slots=True)
class Change:
    """A learner was given another rate: after which step (0: before the first), what, the value, to which learner."""

    step: int
    kind: Kind
    value: float
    learner: int | None = None
    """Number of the learner, from 0; None for all that have such a rate."""


class Control:
    """The handle by which others hold, steer or end training.

    Args:
        idle: called again and again while training is paused, for example to let a notebook handle clicks.

    Example:
        >>> control = Control()
        >>> control.stop(); control.proceed()
        False
    """

    def __init__(self, idle: Callable[[], object] | None = None) -> None:
        self._running = threading.Event()
        self._running.set()
        self._lock = threading.Lock()
        self._allowed = 0
        self._stopped = self._paused = False
        self._free = True  # neither stopped nor paused: all that is asked of most minibatches
        self._asked: list[Change] = []
        self.idle = idle

    @property
    def paused(self) -> bool:
        """Whether training is held before its next minibatch."""
        return self._paused and not self._stopped

    @property
    def stopped(self) -> bool:
        """Whether training ends before its next minibatch."""
        return self._stopped

    def begin(self, *, paused: bool = False) -> None:
        """Be as at first, or held from the first minibatch on; rates that were asked for are kept."""
        with self._lock:
            self._stopped, self._paused, self._allowed, self._free = False, paused, 0, not paused
            (self._running.clear if paused else self._running.set)()

    def pause(self) -> None:
        """Hold training before its next minibatch."""
        with self._lock:
            self._paused, self._allowed, self._free = True, 0, False
            self._running.clear()

    def resume(self) -> None:
        """Let training go on."""
        with self._lock:
            self._paused, self._allowed, self._free = False, 0, not self._stopped
            self._running.set()

    def step(self, count: int = 1) -> None:
        """Let training do some minibatches, and hold it again.

        Args:
            count: how many minibatches more, at least 1.

        Raises:
            AttributeValueError: if it is less than 1.
        """
        if count < 1:
            raise AttributeValueError(f"step: {count} minibatches cannot be done", fix="give 1 or more")
        with self._lock:
            self._paused, self._free = True, False
            self._allowed += count
            self._running.set()

    def stop(self) -> None:
        """End training before its next minibatch, as if all samples had been seen."""
        with self._lock:
            self._stopped, self._free = True, False
            self._running.set()

    def proceed(self) -> bool:
        """Wait while paused; then whether there shall be another minibatch. Asked before each, by one thread."""
        if self._free:
            return True
        while True:
            while not self._running.wait(_POLL_SECONDS if self.idle else None):
                if self.idle:
                    self.idle()
            if self._stopped:
                return False
            if not self._paused:
                return True
            with self._lock:
                if self._allowed:
                    self._allowed -= 1
                    if not self._allowed:
                        self._running.clear()
                    return True

    # --- rates

    def set_learning_rate(self, value: float, learner: int | None = None) -> None:
        """Let learners follow this learning rate from the next minibatch on.

        Args:
            value: the rate, for as many samples as the learner's schedule was meant for; 0 holds the parameters.
            learner: number of the learner, from 0; None for all.

        Raises:
            AttributeValueError: if the value is not finite, or negative.
        """
        self._ask("learning_rate", value, learner, math.inf)

    def set_momentum(self, value: float, learner: int | None = None) -> None:
        """Let learners follow this momentum from the next minibatch on.

        Args:
            value: the momentum, 0 <= value < 1, for as many samples as the learner's schedule was meant for.
            learner: number of the learner, from 0; None for all that have a momentum.

        Raises:
            AttributeValueError: if the value is outside of its range.
        """
        self._ask("momentum", value, learner, 1.0)

    def _ask(self, kind: Kind, value: float, learner: int | None, end: float) -> None:
        number = float(value)
        if not 0 <= number < end:
            raise AttributeValueError(
                f"{kind.replace('_', ' ')} {number:g} cannot be used",
                fix="give a finite number of at least 0" + (" and below 1" if end == 1 else ""),
            )
        with self._lock:
            self._asked.append(Change(0, kind, number, learner))

    @property
    def asked(self) -> bool:
        """Whether changes wait for the next minibatch."""
        return bool(self._asked)

    def apply(self, step: int, learners: Sequence[Learner]) -> list[Change]:
        """Make the changes that were asked for. Asked before each minibatch, after ``proceed``.

        Args:
            step: how many minibatches were done.
            learners: of the trainer.

        Returns:
            The changes made, to be written down.
        """
        if not self._asked:
            return []
        with self._lock:
            asked, self._asked = self._asked, []
        made = [Change(step, c.kind, c.value, c.learner) for c in asked]
        for change in made:
            make(change, learners)
        return made


def make(change: Change, learners: Sequence[Learner]) -> None:
    """Give learners the rate of a change.

    Args:
        change: its learner's number counts from 0.
        learners: of the trainer.

    Raises:
        TrainingError: if there is no such learner, or it has no momentum; nothing is changed then.
    """
    if change.learner is not None and not 0 <= change.learner < len(learners):
        raise TrainingError(
            f"there is no learner {change.learner}", fix=f"give a number from 0 to {len(learners) - 1}, or None for all"
        )
    chosen = list(learners) if change.learner is None else [learners[change.learner]]
    if change.kind == "learning_rate":
        for learner in chosen:
            learner.change_learning_rate(change.value)
        return
    chosen = [learner for learner in chosen if learner.momentum() is not None]
    if not chosen:
        raise TrainingError("no learner has a momentum", fix="use momentum_sgd, nesterov or adam")
    for learner in chosen:
        learner.change_momentum(change.value)


_controls: weakref.WeakValueDictionary[int, Control] = weakref.WeakValueDictionary()


@contextmanager
def running(trainer: int, control: Control) -> Iterator[None]:
    """Make a control known under its trainer's number for as long as the block runs."""
    _controls[trainer] = control
    try:
        yield
    finally:
        _controls.pop(trainer, None)


def control_of(trainer: int) -> Control | None:
    """The control of the training that goes on with a trainer.

    Args:
        trainer: number as in ``events.StepFinished.trainer``.

    Returns:
        Control; None if this trainer is not at work.
    """
    return _controls.get(trainer)
