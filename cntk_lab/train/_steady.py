"""The step that is like the one before: plain arrays or frames, the same program, constant rates, nobody who listens.

Everything that a step asks is asked once; then one number says whether any of it may have changed. Small models take
most of their time here. An interrupt finds the step done and counted, or neither: there is no time here to hold it
back, so what it cut off is made up for. Knows no files and no loops.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cntk_lab import _changes, settings
from cntk_lab.engine.ask.training import Program, Totals, surely_finite
from cntk_lab.events import BUS, StepFinished
from cntk_lab.learners._learner import Learner, Seen
from cntk_lab.learners._user import UserLearner
from cntk_lab.train._whole import Whole


class Counts:
    """What a trainer's steps leave behind: how many there were, and the totals of the last one, changed as one."""

    __slots__ = ("latest",)

    def __init__(self) -> None:
        self.latest: tuple[int, Totals | None] = (0, None)


class Steady:
    """A training step that can be repeated without asking again.

    Args:
        program: the compiled step.
        learners: who updates, all of them with a rate that is not 0.
        counts: where steps are counted.
    """

    __slots__ = ("_at", "_check", "_counts", "_learners", "_program", "_scalars", "_values")

    def __init__(self, program: Program, learners: Sequence[Learner], counts: Counts) -> None:
        self._counts = counts
        self._program, self._learners = program, tuple(learners)
        self._at = _changes.count()
        self._check = settings.flag("check_data")
        self._values: list[dict[str, float] | None] = []
        self._scalars: list[Mapping[str, float]] = []

    @staticmethod
    def possible(program: Program, learners: Sequence[Learner], active: Sequence[bool]) -> bool:
        """Whether a step of this kind can be repeated so."""
        simple = bool(program.plain) and not program.outputs
        told = BUS.heard(StepFinished) or any(isinstance(x, UserLearner) or x.has_writers for x in learners)
        return simple and not told and all(active)

    def step(self, arguments: Any) -> Totals | None:
        """One step and its totals; None if it has to be done the general way, and then nothing has been done."""
        program = self._program
        found = program.plain_rows(arguments) if self._at == _changes.count() and program.current else None
        if found is None:
            return None
        count, rows = found
        if self._check and not all(map(surely_finite, rows)):
            return None
        shortcut = program.shortcut(count)
        if shortcut is None:
            return None
        values = [learner.steady_values(count) for learner in self._learners]
        if None in values:
            return None
        if values != self._values:
            of_learners = zip(values, self._learners, strict=True)
            self._values = []  # of no step, should an interrupt come
            self._scalars = [v or {} for v, x in of_learners for _ in x.parameters]
            self._values = values
        before, latest = [learner.seen for learner in self._learners], self._counts.latest
        shortcut.mark.value = 1
        try:
            loss, metric = shortcut.step(rows, self._scalars)
            for learner in self._learners:
                learner.advance(count)
            totals = Totals(count, loss, metric, {})
            self._counts.latest = (latest[0] + 1, totals)
        except BaseException:
            if not shortcut.mark.value:
                self._make_up(Totals(count, *shortcut.totals(), {}), before, latest)
            raise
        return totals

    def _make_up(self, totals: Totals, before: Sequence[Seen], latest: tuple[int, Totals | None]) -> None:
        """Count what was not yet counted of a step that was done."""
        with Whole() as whole:
            whole.begin()
            for learner, seen in zip(self._learners, before, strict=True):
                if learner.seen is seen:
                    learner.advance(totals.samples)
            if self._counts.latest is latest:
                self._counts.latest = (latest[0] + 1, totals)
