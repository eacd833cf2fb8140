"""Gradients of which only touched rows are kept: their sums, their whole, and learners' updates of these rows alone.

The work and the memory grow with the touched rows, never with the rows that the parameter has. Knows arrays only.
Idea: the lazy updates of embeddings in CNTK.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from cntk_lab.engine.plan import AddRows, Fill, Plan, UpdateRows
from cntk_lab.engine.plan.reference import number_of
from cntk_lab.tensor.sparse import RowSparse

if TYPE_CHECKING:
    from cntk_lab.engine.arrays.run import Run

Act = Callable[["Run"], None]


def add_rows(step: AddRows) -> Act:
    """The sum of several such gradients."""
    reads, w = step.reads, step.writes[0]

    def act(run: Run) -> None:
        parts: list[RowSparse] = [run.arrays[r] for r in reads]
        indices, place = np.unique(np.concatenate([p.indices for p in parts]), return_inverse=True)
        rows = run.xp.zeros((len(indices), *parts[0].rows.shape[1:]), parts[0].rows.dtype)
        at = 0
        for p in parts:
            rows[place[at : at + len(p.indices)]] += p.rows  # distinct within one part
            at += len(p.indices)
        run.arrays[w] = RowSparse(indices, rows, parts[0].shape)

    return act


def fill(step: Fill, plan: Plan) -> Act:
    """The whole gradient, zero where nothing was touched."""
    r, b = step.reads[0], plan.buffers[step.writes[0]]

    def act(run: Run) -> None:
        part: RowSparse = run.arrays[r]
        whole = run.xp.zeros(part.shape, part.rows.dtype)
        whole[part.indices] = part.rows
        run.arrays[b.id] = whole.reshape((1, *b.shape))

    return act


def update_rows(step: UpdateRows, kernel: Callable[[Any], Callable[..., Any]]) -> Act:
    """A learner's formulas on the touched rows of a parameter and its states.

    Args:
        step: the step.
        kernel: Kernel -> function of ``(xp, *arrays)``.
    """
    compute = kernel(step.kernel)
    gradient = step.reads[0]
    names = [o.name for o in step.kernel.inputs]
    whole, dtype = step.whole, step.kernel.dtype

    def act(run: Run) -> None:
        g: RowSparse = run.arrays[gradient]
        rows, width = g.shape[0], int(np.prod(g.shape[1:], dtype=np.int64))
        if not len(g.indices):
            return

        def operand(name: str) -> Any:
            if name == "touched":
                return run.xp.full((1, 1), len(g.indices) * width, dtype)
            number = number_of(name)
            if number == gradient:
                return g.rows.reshape((-1, width))
            array = run.arrays[number]
            return array.reshape((rows, width))[g.indices] if number in whole else array.reshape((1, 1))

        results = compute(run.xp, *map(operand, names))
        for w, result in zip(step.writes, results, strict=True):
            run.arrays[w].reshape((rows, width))[g.indices] = result

    return act
