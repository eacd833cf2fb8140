"""A whole training step as one program: feed, forward, backward, update, and the totals of loss and metric.

Upper layers say what to minimise and how learners update; this module owns the compiled plan and runs it for
minibatches of any size. The number of samples is known before the step runs, so that learners' rates can be computed
from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from cntk_lab.engine.compile import Update, Wanted, inputs_of, plan_for
from cntk_lab.engine.execute import Bound, execute, load, match, new_run, present, state_of
from cntk_lab.engine.plan import Plan, row_symbol
from cntk_lab.errors import DataError
from cntk_lab.graph import walk
from cntk_lab.graph.variable import Variable

Scalars = Callable[[int], Sequence[Mapping[str, float]]]


class Totals:
    """What came out of one step: sums of loss and metric over the minibatch, and how many samples it had."""

    __slots__ = ("_arrays", "outputs", "samples")

    def __init__(self, samples: int, arrays: Sequence[Any], outputs: Mapping[Variable, Any]) -> None:
        self.samples = samples
        self._arrays = arrays
        self.outputs = outputs

    @property
    def loss(self) -> float:
        """Sum of the loss over the minibatch."""
        return float(self._arrays[0].reshape(()))

    @property
    def metric(self) -> float:
        """Sum of the metric over the minibatch; 0 if there is none."""
        return float(self._arrays[1].reshape(())) if len(self._arrays) > 1 else 0.0


class Program:
    """A compiled step: evaluation of a criterion, or training with updates.

    Args:
        loss: what is minimised (its sum over everything).
        metric: what is reported beside it.
        updates: what learners do, one entry per parameter; empty for evaluation.
        outputs: variables whose values are wanted too.
    """

    def __init__(
        self, loss: Variable, metric: Variable | None, updates: Sequence[Update] = (), outputs: Sequence[Variable] = ()
    ) -> None:
        self.loss, self.metric, self.updates, self.outputs = loss, metric, tuple(updates), tuple(outputs)
        totals = (loss,) if metric is None else (loss, metric)
        self.wanted = Wanted(
            outputs=self.outputs,
            roots=(loss,) if updates else (),
            totals=totals,
            training=bool(updates),
            updates=self.updates,
        )
        self.plan: Plan = plan_for(self.wanted)
        self.arguments = self._arguments()
        self._counted = row_symbol(loss.type.axes or ())
        self._state = state_of(loss.node)

    def _arguments(self) -> list[Variable]:
        every = [*(self.outputs), self.loss, *([] if self.metric is None else [self.metric])]
        return [v for v in walk.flat_leaves(every) if v.is_input]

    def samples(self, bound: Bound) -> int:
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

    def bind(self, arguments: Any) -> Bound:
        """Match data to the inputs."""
        every = [self.loss] if self.metric is None else [self.loss, self.metric]
        return match(self.arguments, arguments, every)

    def run(self, bound: Bound, scalars: Sequence[Mapping[str, float]] = ()) -> Totals:
        """One step on bound data.

        Args:
            bound: the minibatch.
            scalars: for each update, the values of its scalars.
        """
        plan = self.plan
        run = new_run(None, self._state, training=bool(self.updates))
        load(run, plan, bound)
        for b in plan.buffers:
            if b.role == "scalar":
                position, _, name = b.name.partition(":")
                run.arrays[b.id] = run.to_device(np.full((1,), scalars[int(position)][name], b.dtype))
            elif b.role == "state":
                position, _, name = b.name.partition(":")
                storage = self.updates[int(position)].state[name]
                if run.backend is not None:
                    storage.move(run.backend.device)
                run.arrays[b.id] = storage.array[None]
        execute(plan, run)
        count = 1 if self.metric is None else 2
        arrays = [run.arrays[plan.outputs[f"total {i}"]] for i in range(count)]
        values = {
            v: present(run, plan, plan.outputs[f"output {i}"], v, as_numpy=True) for i, v in enumerate(self.outputs)
        }
        rows = {k: layout.rows for k, layout in run.layouts.items()}
        samples = rows.get(self._counted) if self._counted else None
        return Totals(samples if samples is not None else self.samples(bound), arrays, values)


def check_finite(arguments: Sequence[Variable], bound: Bound) -> None:
    """Refuse data that are not numbers.

    Raises:
        DataError: naming the input, how many elements are NaN, and the first of them.
    """
    for v in arguments:
        rows = bound.rows[id(v)]
        values = rows.matrix.data if hasattr(rows, "matrix") else rows
        if values.dtype.kind != "f" or np.isfinite(np.add.reduce(values, axis=None, dtype=np.float64)):
            continue
        bad = np.isnan(values)
        count = int(bad.sum())
        if count:
            first = tuple(int(i) for i in np.argwhere(bad)[0])
            raise DataError(
                f"data for '{v.name or v.uid}' contain {count} NaN among {values.size} numbers, the first at {first}",
                fix="clean the data, or replace missing values, before training",
            )


__all__ = ["Program", "Totals", "Update", "check_finite", "inputs_of"]
