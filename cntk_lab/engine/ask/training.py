"""A whole training step as one program: feed, forward, backward, update, and the totals of loss and metric.

Upper layers say what to minimise and how learners update; this module owns the compiled plan and runs it for
minibatches of any size. The number of samples is known before the step runs, so that learners' rates can be computed
from it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from cntk_lab._turn import TURN
from cntk_lab.engine.arrays.run import Run
from cntk_lab.engine.ask.captured import Basis, Captured, Captures, Scalars, scalar_of
from cntk_lab.engine.ask.match import Matched, match
from cntk_lab.engine.ask.plans import bound_for
from cntk_lab.engine.ask.results import present
from cntk_lab.engine.ask.runs import load, state_of
from cntk_lab.engine.make.wanted import Update, Wanted
from cntk_lab.engine.plan import Plan, row_symbol
from cntk_lab.errors import DataError
from cntk_lab.graph import walk
from cntk_lab.graph.variable import Variable
from cntk_lab.tensor.arrays import to_host
from cntk_lab.tensor.layout import Layout
from cntk_lab.tensor.sparse import SparseRows

Shared = Callable[[Sequence[Any]], Sequence[Any]]


class Totals:
    """What came out of one step: sums of loss and metric over the minibatch, and how many samples it had.

    Args:
        samples: samples in the minibatch.
        loss: sum of the loss over the minibatch.
        metric: sum of the metric over the minibatch; 0 if there is none.
        outputs: values of the variables that were wanted too.
    """

    __slots__ = ("loss", "metric", "outputs", "samples")

    def __init__(self, samples: int, loss: float, metric: float, outputs: Mapping[Variable, Any]) -> None:
        self.samples, self.loss, self.metric, self.outputs = samples, loss, metric, outputs


class Program:
    """A compiled step: evaluation of a criterion, or training with updates.

    Args:
        loss: what is minimised (its sum over everything).
        metric: what is reported beside it.
        updates: what learners do, one entry per parameter; empty for evaluation.
        outputs: variables whose values are wanted too.
        share: sums gradients over all workers before learners get them: arrays in, their sums out, in the same order.
    """

    def __init__(
        self,
        loss: Variable,
        metric: Variable | None,
        updates: Sequence[Update] = (),
        outputs: Sequence[Variable] = (),
        share: Shared | None = None,
    ) -> None:
        self.loss, self.metric, self.updates, self.outputs = loss, metric, tuple(updates), tuple(outputs)
        totals = (loss,) if metric is None else (loss, metric)
        self.wanted = Wanted(
            outputs=self.outputs,
            roots=(loss,) if updates else (),
            totals=totals,
            training=bool(updates),
            updates=self.updates,
            shared=share is not None,
        )
        self._share = share
        with TURN:
            self._bound = bound_for(self.wanted)
        self._bound.often = True
        self.plan: Plan = self._bound.plan
        self.arguments = self._arguments()
        self._counted = row_symbol(loss.type.axes or ())
        self._state = state_of(loss.node)
        self.captures = Captures(self.arguments, [self.plan.outputs[f"total {i}"] for i in range(len(totals))])
        self._scalars = [(b.id, b.dtype, *scalar_of(b.name)) for b in self.plan.buffers_of("scalar")]
        self._numbers: dict[int, Any] = {}
        self._numbers_of: Scalars = ()
        of_update = ((b.id, *scalar_of(b.name)) for b in self.plan.buffers_of("state"))
        self._states = [(n, self.updates[position].state[name]) for n, position, name in of_update]
        self.cut: Captured | None = None
        """What ran last, if it was a captured step."""
        self._basis = Basis(self.plan)

    @property
    def current(self) -> bool:
        """Whether the constants that were written into formulas still have the same values."""
        return self._basis.constants_hold

    @property
    def repeats(self) -> bool:
        """Whether a step can be captured at all, if it is one table: it counts samples, and gives only totals."""
        # only where the loss has a row per sample (or the inputs' count is what is counted) the count is the samples
        return bool(self.captures.plain) and self._counted in ("", "#") and not self.outputs

    def _arguments(self) -> list[Variable]:
        every = [*(self.outputs), self.loss, *([] if self.metric is None else [self.metric])]
        return [v for v in walk.flat_leaves(every) if v.is_input]

    def samples(self, bound: Matched) -> int:
        """How many samples a minibatch counts: rows of the loss, or of the first input if the loss has none."""
        if self._counted:
            layout = bound.layouts.get(self._counted)
            if layout is not None:
                return layout.rows
        for v in self.arguments:
            symbol = row_symbol(v.type.axes or ())
            if symbol in bound.layouts:
                return bound.layouts[symbol].rows
        return 1

    def _bind_plain(self, count: int, rows: Sequence[Any]) -> Matched:
        bound = Matched()
        bound.rows = {id(v): r for v, r in zip(self.arguments, rows, strict=True)}
        bound.layouts["#"] = Layout.of_samples(count)
        return bound

    def bind(self, arguments: Any) -> Matched:
        """Match data to the inputs."""
        found = self.captures.rows(arguments)
        if found is not None:
            return self._bind_plain(*found)
        every = [self.loss] if self.metric is None else [self.loss, self.metric]
        return match(self.arguments, arguments, every)

    def run(self, bound: Matched, scalars: Scalars = (), commit: Callable[[], object] | None = None) -> Totals:
        """One step on bound data.

        Args:
            bound: the minibatch.
            scalars: for each update, the values of its scalars.
            commit: called before anything changes that outlives the step, unless ``cut_off`` can tell about it.
        """
        with TURN:
            return self._step(bound, scalars, commit)

    def cut_off(self, samples: int) -> Totals | None:
        """The totals of a step done since ``cut`` was None, if an interrupt kept :meth:`run` from returning them."""
        cut = self.cut
        return None if cut is None or cut.mark.value else totals_of(samples, cut)

    def _step(self, bound: Matched, scalars: Scalars, commit: Callable[[], object] | None) -> Totals:
        count = bound.layouts["#"].rows if self.captures.plain else 0
        captured = self.captures.find(count)
        if captured is not None:
            captured.mark.value = 1
            self.cut = captured
            captured.go([bound.rows[id(v)] for v in self.arguments], scalars)
            return totals_of(count, captured)
        run = self._run(bound, scalars, commit)
        plan = self.plan
        totals = [
            float(to_host(run.arrays[plan.outputs[f"total {i}"]]).reshape(()))
            for i in range(1 if self.metric is None else 2)
        ]
        values = {
            v: present(run, plan, plan.outputs[f"output {i}"], v, as_numpy=True) for i, v in enumerate(self.outputs)
        }
        layout = run.layouts.get(self._counted) if self._counted else None
        samples = layout.rows if layout is not None else self.samples(bound)
        return Totals(samples, totals[0], totals[1] if len(totals) > 1 else 0.0, values)

    def _run(self, bound: Matched, scalars: Scalars, commit: Callable[[], object] | None) -> Run:
        """One step the general way; remembers the short way for next time if there is one."""
        basis = Basis(self.plan)
        run = self._bound.new_run(self._state, training=bool(self.updates))
        run.commit, run.share = commit or run.commit, self._share or run.share
        load(run, self._bound, bound)
        if scalars != self._numbers_of:
            self._numbers = {
                n: np.full((1,), scalars[position][name], dtype) for n, dtype, position, name in self._scalars
            }
            self._numbers_of = scalars
        for n, number in self._numbers.items():
            run.arrays[n] = run.to_device(number)
        self._bound.bring(storage for _, storage in self._states)
        for n, storage in self._states:
            run.arrays[n] = storage.array[None]
        binding = self._bound.run(run)
        if self.repeats:
            self.captures.learn(basis, binding, bound.layouts)
        return run


def totals_of(samples: int, captured: Captured) -> Totals:
    """What came out of a captured step on so many samples."""
    loss, *metric = captured.numbers()
    return Totals(samples, loss, metric[0] if metric else 0.0, {})


def surely_finite(values: Any) -> bool:
    """Whether the sum of squares is finite: if not, it is too large or not a number, and each element tells which."""
    return math.isfinite(np.vdot(values, values))


def check_finite(arguments: Sequence[Variable], bound: Matched) -> None:
    """Refuse data that are not numbers.

    Raises:
        DataError: naming the input, how many elements are NaN, and the first of them.
    """
    for v in arguments:
        rows = bound.rows[id(v)]
        values = rows if type(rows) is np.ndarray else rows.stored[0] if isinstance(rows, SparseRows) else rows
        if values.dtype.kind != "f" or surely_finite(values):
            continue
        bad = np.isnan(values)
        count = int(bad.sum())
        if count:
            first = tuple(int(i) for i in np.argwhere(bad)[0])
            raise DataError(
                f"data for '{v.name or v.uid}' contain {count} NaN among {values.size} numbers, the first at {first}",
                fix="clean the data, or replace missing values, before training",
            )


__all__ = ["Program", "Totals", "Update", "check_finite"]
