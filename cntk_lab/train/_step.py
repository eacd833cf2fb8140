"""One training step, from a minibatch in the user's form to changed parameters and an event.

The steps are those of the architecture's picture: feed, plan, run, update, report, tell. This module knows criteria and
learners; it knows no loops, files or writers. The plan itself is the engine's.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cntk_lab import settings
from cntk_lab._turn import TURN
from cntk_lab.engine.ask.match import Matched
from cntk_lab.engine.ask.training import Program, Totals, Update, check_finite
from cntk_lab.errors import GraphError, SignatureError
from cntk_lab.events import BUS, StepFinished
from cntk_lab.graph import walk
from cntk_lab.graph.compose import combine
from cntk_lab.graph.function import Function
from cntk_lab.graph.node import edits
from cntk_lab.graph.variable import Variable
from cntk_lab.learners._learner import Learner, Seen
from cntk_lab.learners._user import UserLearner
from cntk_lab.train._steady import Counts, Steady
from cntk_lab.train._whole import Whole

_numbers = itertools.count(1)
_KEPT_PROGRAMS = 16


@dataclass(frozen=True, slots=True)
class Criterion:
    """What is minimised, and what is reported beside it."""

    loss: Variable
    metric: Variable | None

    @property
    def variables(self) -> list[Variable]:
        """Loss and, if there is one, metric."""
        return [self.loss] if self.metric is None else [self.loss, self.metric]


def criterion_of(given: Any) -> Criterion:
    """A criterion in the user's form: a loss, a pair (loss, metric), or a function with these outputs.

    Args:
        given: Function, variable, or a tuple or list of one or two of them; the metric may be None.

    Returns:
        Criterion.

    Raises:
        GraphError: if there are more than two outputs.
        SignatureError: if something is neither Function nor variable.
    """
    parts = [p for p in given if p is not None] if isinstance(given, (tuple, list)) else [given]
    variables: list[Variable] = []
    for part in parts:
        if isinstance(part, Function):
            variables.extend(part.outputs)
        elif isinstance(part, Variable):
            variables.append(part)
        else:
            raise SignatureError(
                f"criterion: a {type(part).__name__} is neither a Function nor a variable", fix="give (loss, metric)"
            )
    if not 1 <= len(variables) <= 2:
        raise GraphError(
            f"criterion: it has {len(variables)} outputs, it must have one (loss) or two (loss, metric)",
            fix="give a loss, or a tuple (loss, metric)",
        )
    return Criterion(variables[0], variables[1] if len(variables) == 2 else None)


def function_of(variable: Variable) -> Function:
    """The function that computes a variable."""
    if variable.node is not None and len(variable.node.outputs) == 1:
        return Function.of(variable.node)
    return combine([variable])


def check_learners(learners: Sequence[Learner], roots: Iterable[Variable]) -> list[Variable]:
    """Check that learners and model belong together.

    Args:
        learners: the trainer's learners.
        roots: outputs of model, loss and metric.

    Returns:
        Parameters of the model that are in no learner.

    Raises:
        GraphError: if there is no learner, a learner's parameter is not in the model, or one is in two learners.
    """
    if not learners:
        raise GraphError("a trainer needs at least one learner", fix="give [sgd(model.parameters, lr)]")
    outputs = list(roots)
    # also parameters of a block's other outputs belong to the model, though they do not reach the loss
    of_model = {v for v in (*walk.flat_leaves(outputs), *walk.leaves(outputs)) if v.is_parameter}
    seen: set[Variable] = set()
    for learner in learners:
        strangers = [p for p in learner.parameters if p not in of_model]
        if strangers:
            raise GraphError(
                f"{len(strangers)} of the learner's parameters are not part of the model: "
                + ", ".join(str(p) for p in strangers[:5]),
                fix="make the learner from model.parameters",
            )
        for p in learner.parameters:
            if p in seen:
                raise GraphError(f"{p} is in 2 different learners", fix="give each parameter to one learner")
            seen.add(p)
    return [p for p in of_model if p not in seen]


@dataclass(slots=True)
class Done:
    """What came out of one step."""

    updated: bool
    totals: Totals


class Stepper:
    """Runs training and test steps of one criterion; keeps the programs it has compiled.

    Args:
        criterion: loss and metric.
        learners: who changes the parameters.
    """

    def __init__(self, criterion: Criterion, learners: Sequence[Learner]) -> None:
        self.criterion, self.learners = criterion, tuple(learners)
        self.number = next(_numbers)
        self.counts = Counts()
        self._programs: dict[tuple[object, ...], Program] = {}
        self._steady: Steady | None = None

    def steady(self, arguments: Any) -> Totals | None:
        """One training step like the one before; None if it has to be done by :meth:`train`.

        Args:
            arguments: the minibatch, in the user's form; not the end of a sweep.
        """
        steady = self._steady
        if steady is None:
            return None
        with TURN:
            return steady.step(arguments)

    def train(self, arguments: Any, outputs: Sequence[Variable], sweep_end: bool, whole: Whole) -> Done:
        """One training step.

        Args:
            arguments: the minibatch, in the user's form.
            outputs: variables whose values are wanted too.
            sweep_end: whether the minibatch ends a sweep over the data.
            whole: told before the step changes anything.

        Returns:
            Whether a learner changed anything, sums of loss and metric.

        Raises:
            DataError: if the data do not fit the criterion, or contain NaN; nothing is changed then.
        """
        started = time.perf_counter()
        for learner in self.learners:
            learner.tell_rates()
        with TURN:
            done = self._train(arguments, outputs, sweep_end, whole)
            number = self.counts.latest[0]
        if BUS.heard(StepFinished):
            totals, seconds = done.totals, time.perf_counter() - started
            BUS.publish(StepFinished(self.number, number, totals.samples, totals.loss, totals.metric, seconds))
        return done

    def _train(self, arguments: Any, outputs: Sequence[Variable], sweep_end: bool, whole: Whole) -> Done:
        active = [learner.learning_rate() != 0 for learner in self.learners]
        updates = [
            learner.updates() if is_active else learner.idle_updates()
            for learner, is_active in zip(self.learners, active, strict=True)
        ]
        program = self._training_program(updates, outputs)
        bound = program.bind(arguments)
        if settings.flag("check_data"):
            check_finite(program.arguments, bound)
        samples = program.samples(bound)
        scalars = self._scalars(active, samples)
        before, latest = [learner.seen for learner in self.learners], self.counts.latest
        users = any(isinstance(learner, UserLearner) for learner in self.learners)
        if users:
            whole.begin()
        program.cut = None
        try:
            totals = program.run(bound, scalars, whole.begin)
            updated = self._count(before, active, totals, sweep_end)
            self.counts.latest = (latest[0] + 1, totals)
        except BaseException:
            done = None if users else program.cut_off(samples)
            if done is not None:  # an interrupt came behind a step that could not hold it back
                whole.begin()
                self._count(before, active, done, sweep_end)
                self.counts.latest = (latest[0] + 1, done)
            raise
        if self._steady is None or not self._steady.serves(outputs, updates):
            self._steady = Steady(program, outputs, updates, self.learners, self.counts, active)
        return Done(updated, totals)

    def _count(self, before: Sequence[Seen], active: Sequence[bool], totals: Totals, sweep_end: bool) -> bool:
        """Let the learners count a step that was done, those that did not yet; whether anything was updated."""
        updated = False
        for learner, seen, is_active in zip(self.learners, before, active, strict=True):
            if not is_active:
                continue
            if isinstance(learner, UserLearner):
                updated |= learner.take_kept(totals.samples, sweep_end)
                continue
            if learner.seen is seen:
                learner.advance(totals.samples, sweep_end)
            updated = True
        return updated

    def test(self, arguments: Any) -> Totals:
        """Sum of the metric over a minibatch, without changing anything.

        Args:
            arguments: the minibatch, in the user's form.

        Returns:
            The metric as ``loss`` of the totals, and the number of samples.

        Raises:
            GraphError: if there is no metric.
            DataError: if the data do not fit the metric.
        """
        metric = self.criterion.metric
        if metric is None:
            raise GraphError("there is no metric to test with", fix="give the criterion as (loss, metric)")
        with TURN:
            return evaluate(self._program(("test",), lambda: Program(metric, None)), arguments)

    def _training_program(self, chosen: Sequence[Sequence[Update]], outputs: Sequence[Variable]) -> Program:
        """The program of a step: the latest again, as learners give the same updates until their formulas change."""
        if self._steady is not None and self._steady.serves(outputs, chosen):
            return self._steady.program
        updates = [u for group in chosen for u in group]
        key = ("train", *map(id, updates), *outputs)
        return self._program(key, lambda: Program(self.criterion.loss, self.criterion.metric, updates, outputs))

    def _program(self, key: tuple[object, ...], make: Any) -> Program:
        """The program for this key, made anew when the graph or a constant in it was changed."""
        key = (*key, edits())
        found = self._programs.get(key)
        if found is None or not found.current:
            if len(self._programs) >= _KEPT_PROGRAMS:
                self._programs.clear()
            found = self._programs[key] = make()
        return found

    def _scalars(self, active: Sequence[bool], samples: int) -> list[Mapping[str, float]]:
        """For each update in the order of the program the values of its scalars."""
        made: list[Mapping[str, float]] = []
        for learner, is_active in zip(self.learners, active, strict=True):
            values: Mapping[str, float] = {}
            if is_active and not isinstance(learner, UserLearner):
                values = learner.scalar_values(samples)
            made.extend([values] * len(learner.parameters))
        return made


def evaluate(program: Program, arguments: Any) -> Totals:
    """Run a program that changes nothing."""
    bound: Matched = program.bind(arguments)
    return program.run(bound)


def is_empty(arguments: Any) -> bool:
    """Whether a minibatch holds no data at all (the end of a source)."""
    return not arguments if type(arguments) is dict else isinstance(arguments, Mapping) and not arguments


def ends_sweep(arguments: Any) -> bool:
    """Whether data of a reader say that a sweep over the data ends here."""
    # dict is asked first: for small models this costs as much as their arithmetic
    mapping = type(arguments) is dict or isinstance(arguments, Mapping)
    for data in arguments.values() if mapping else [arguments]:
        if type(data) is not np.ndarray and getattr(data, "end_of_sweep", False):
            return True
    return False
