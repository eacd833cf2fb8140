"""The states of a run's training: the present one, those that are kept, and any other, done again from the one before.

One trainer's parameters can belong to several runs in turn (a fork and the run it came from): each finds its own state
again. Knows trainers, feeds and what was written down; no threads.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from cntk_lab.errors import AttributeValueError, TrainingError
from cntk_lab.train._control import make
from cntk_lab.train._feed import Feed
from cntk_lab.train._moment import Moment, Shelf, changing, put_back, take
from cntk_lab.train._record import Record
from cntk_lab.train.trainer import Trainer

if TYPE_CHECKING:
    from cntk_lab.train._run import Run

_at_work: weakref.WeakValueDictionary[int, Run] = weakref.WeakValueDictionary()
"""The run that a trainer's parameters belong to at present, by the trainer's number."""


class States:
    """What a run's training was, is, and can go back to.

    Args:
        trainer: whose parameters and learners change.
        feed: of minibatches.
        minibatch_size: samples or sequences in one.
        record: of what was done.
        memory: bytes for moments to go back to.
    """

    def __init__(self, trainer: Trainer, feed: Feed, minibatch_size: int, record: Record, memory: int) -> None:
        self._trainer, self._feed, self._size, self._record = trainer, feed, minibatch_size, record
        self.variables = changing(trainer)
        self.memory = memory
        self.kept_at = 0.0
        """Seconds of training when a moment was kept last."""
        self._shelf = Shelf(memory)
        self._left: Moment | None = None
        self._position: tuple[int, float | None] | None = None

    def position(self, run: Run) -> tuple[int, float | None]:
        """Sweeps done by a run, and how much of the present one: its own, though others use the same feed."""
        if self._position is None or _at_work.get(self._trainer.number) is run:
            return self._feed.position()
        return self._position

    @property
    def steps(self) -> list[int]:
        """Steps whose state is kept."""
        return self._shelf.steps

    def now(self, step: int | None = None) -> Moment:
        """The present state; ``step`` says at which step, if it is not the record's last."""
        at = self._record.step if step is None else step
        return take(self._trainer, self.variables, self._feed, at, *self._record.at(at))

    def keep(self, *, asked: bool = False) -> None:
        """Keep the present state to go back to."""
        self._shelf.add(self.now(), asked=asked)
        self.kept_at = self._record.seconds

    def keep_first(self) -> None:
        """Keep the present state if there is none yet."""
        if not self._shelf.steps:
            self._shelf.add(self.now())

    @property
    def first(self) -> Moment | None:
        """The state that the run began with; None before it began."""
        return self._shelf.first() if self._shelf.steps else None

    def leave(self, moment: Moment | None = None) -> None:
        """This is where the run stands when somebody else has trained meanwhile."""
        self._left = self.now() if moment is None else moment
        self._position = self._feed.position()

    def begin_at(self, moment: Moment) -> None:
        """A fork begins here."""
        self._left = moment
        self._position = self._feed.position()
        self._shelf.add(moment)
        self.count_from(moment.step)

    def check(self, step: int, name: str) -> None:
        """See that the run can go back to a step.

        Raises:
            AttributeValueError: if it was never there.
        """
        first, last = self._shelf.first().step, self._record.step
        if not first <= step <= last:
            raise AttributeValueError(f"{name} has no step {step}", fix=f"give a step from {first} to {last}")

    def go_back(self, step: int) -> None:
        """Put the state of training to a step: from the last moment before it, the steps are done again."""
        moment = self._shelf.before(step)
        put_back(moment, self._trainer, self.variables, self._feed)
        for done in range(moment.step, step):
            for change in self._record.history.changes:
                if change.step == done:
                    make(change, self._trainer.parameter_learners)
            fed = self._feed.next(self._size)
            if fed is None:
                raise TrainingError("the data ended before they did the first time", fix="give the same data again")
            self._trainer.train_minibatch(fed.arguments, is_sweep_end=fed.ends_sweep)
        self.count_from(step)

    def return_to(self, moment: Moment) -> None:
        """Put back a state that was taken just now."""
        put_back(moment, self._trainer, self.variables, self._feed)
        self.count_from(moment.step)

    def cut(self, step: int) -> None:
        """Forget the states after a step, at which training stands now."""
        self._shelf.cut(step)
        self._left = None

    def count_from(self, step: int) -> None:
        """Training goes on from a step that was done before."""
        self._record.count_from(step)
        self.kept_at = min(self.kept_at, self._record.seconds)

    def take_trainer(self, run: Run) -> None:
        """Put the trainer into the run's state, if another run was at work with it meanwhile.

        Raises:
            TrainingError: if that one is still at work.
        """
        other = _at_work.get(self._trainer.number)
        if other is run:
            return
        if other is not None and other.alive:
            raise TrainingError(
                f"{other.name} is at work with the same trainer", fix=f"stop it first, then start {run.name}"
            )
        _at_work[self._trainer.number] = run
        if self._left is not None:
            put_back(self._left, self._trainer, self.variables, self._feed)
