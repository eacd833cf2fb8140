"""What a trainer's steps have in common with the one before: its program, and whether a step can be repeated as it was.

Everything that a step asks is asked once; then one rule (``engine/ask/captured.py``) says whether any of it may have
changed. A step that nobody listens to, on plain arrays or frames at constant rates, is the captured one: small models
take most of their time here. An interrupt finds the step done and counted, or neither: there is no time here to hold
it back, so what it cut off is made up for. Knows no files and no loops.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any

from cntk_lab import settings
from cntk_lab.engine.ask.captured import Basis
from cntk_lab.engine.ask.training import Program, Totals, surely_finite, totals_of
from cntk_lab.events import BUS, StepFinished
from cntk_lab.graph.variable import Variable
from cntk_lab.learners._learner import Learner, Seen
from cntk_lab.learners._user import UserLearner
from cntk_lab.train._whole import Whole


class Counts:
    """What a trainer's steps leave behind: how many there were, and the totals of the last one, changed as one."""

    __slots__ = ("latest",)

    def __init__(self) -> None:
        self.latest: tuple[int, Totals | None] = (0, None)


class Steady:
    """A training step as it was taken last.

    Args:
        program: the compiled step.
        outputs: variables whose values were wanted too.
        updates: what each learner does; the same objects as long as its formulas are the same.
        learners: who updates.
        counts: where steps are counted.
        active: which learners have a rate that is not 0.
    """

    __slots__ = (
        "_basis",
        "_check",
        "_counts",
        "_learners",
        "_outputs",
        "_repeats",
        "_scalars",
        "_updates",
        "_values",
        "program",
    )

    def __init__(
        self,
        program: Program,
        outputs: Sequence[Variable],
        updates: Sequence[object],
        learners: Sequence[Learner],
        counts: Counts,
        active: Sequence[bool],
    ) -> None:
        self.program, self._outputs, self._updates = program, outputs, updates
        self._learners, self._counts = tuple(learners), counts
        self._basis = Basis(program.plan)
        self._check = settings.flag("check_data")
        told = BUS.heard(StepFinished) or any(isinstance(x, UserLearner) or x.has_writers for x in learners)
        self._repeats = program.repeats and not told and all(active)
        self._values: list[dict[str, float] | None] = []
        self._scalars: list[Mapping[str, float]] = []

    def serves(self, outputs: Sequence[Variable], updates: Sequence[object]) -> bool:
        """Whether the program is the one for these outputs and updates."""
        return self._basis.holds and self._outputs == outputs and all(map(operator.is_, self._updates, updates))

    def step(self, arguments: Any) -> Totals | None:
        """One step and its totals; None if it has to be done the general way, and then nothing has been done."""
        found = self.program.captures.again(arguments) if self._repeats else None
        if found is None:
            return None
        captured, rows = found
        if captured.basis.at != self._basis.at:  # what was asked here may have changed before that was captured
            return None
        if self._check and not all(map(surely_finite, rows)):
            return None
        count = len(rows[0])
        values = [learner.steady_values(count) for learner in self._learners]
        if None in values:
            return None
        if values != self._values:
            of_learners = zip(values, self._learners, strict=True)
            self._values = []  # of no step, should an interrupt come
            self._scalars = [v or {} for v, x in of_learners for _ in x.parameters]
            self._values = values
        before, latest = [learner.seen for learner in self._learners], self._counts.latest
        captured.mark.value = 1
        try:
            captured.go(rows, self._scalars)
            totals = totals_of(count, captured)
            for learner in self._learners:
                learner.advance(count)
            self._counts.latest = (latest[0] + 1, totals)
        except BaseException:
            if not captured.mark.value:
                self._make_up(totals_of(count, captured), before, latest)
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
