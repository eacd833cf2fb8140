"""Results in the user's form: a buffer's rows as arrays, one array per sequence, sparse matrices or Values.

Results belong to whoever asked: what lies in memory that the next run writes is copied. Knows buffers and layouts, not
how they were computed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cntk_lab.engine.arrays.run import Run
from cntk_lab.engine.plan import Plan, row_symbol
from cntk_lab.graph.variable import Variable
from cntk_lab.tensor.arrays import to_host
from cntk_lab.tensor.layout import Layout
from cntk_lab.tensor.shape import Shape
from cntk_lab.tensor.sparse import RowSparse, SparseRows
from cntk_lab.tensor.value import Value


def result(run: Run, plan: Plan, name: str, variable: Variable, *, as_numpy: bool) -> Any:
    """What comes out of a plan under a name, in the user's form: zeros for a gradient that nothing flows into."""
    number = plan.outputs.get(name)
    if number is not None:
        return present(run, plan, number, variable, as_numpy=as_numpy)
    symbol, dims = row_symbol(variable.type.axes or ()), variable.type.dims
    zeros: Any = np.zeros((run.rows(symbol), *dims), variable.type.dtype)
    return shown(zeros, symbol, dims, run.layouts.get(symbol) if symbol else None, as_numpy=as_numpy, own=True)


def present(run: Run, plan: Plan, number: int, variable: Variable, *, as_numpy: bool) -> Any:  # noqa: ARG001
    """A buffer's rows in the user's form."""
    b = plan.buffers[number]
    layout = run.layouts.get(b.rows) if b.rows else None
    return shown(run.arrays[number], b.rows, b.shape, layout, as_numpy=as_numpy, own=number in run.given)


def shown(rows: Any, symbol: str, shape: Shape, layout: Layout | None, *, as_numpy: bool, own: bool) -> Any:
    """Rows in the user's form.

    Args:
        rows: dense or sparse rows, or a gradient of touched rows.
        symbol: the row symbol; empty without dynamic axes.
        shape: static shape.
        layout: of the rows; None without dynamic axes.
        as_numpy: arrays instead of a Value.
        own: whether no run will write where the rows lie.
    """
    if isinstance(rows, RowSparse):
        rows = rows.toarray().reshape((1, *shape)) if as_numpy else rows.as_sparse(shape)
    sparse = isinstance(rows, SparseRows)
    taken_apart = as_numpy and "," in symbol and layout is not None and not layout.identity  # which copies
    if not (sparse or own or taken_apart):
        rows = rows.copy()  # the next run of the plan writes where these lie
    if as_numpy and not sparse and "," not in symbol:
        return to_host(rows) if symbol else to_host(rows)[0, ...]  # of a scalar an array too, as in CNTK
    value = Value.packed(rows, layout, has_sequence="," in symbol)
    if not as_numpy:
        return value
    if sparse and not symbol and len(rows.static) == 2:
        return rows.matrix.reshape(rows.static).tocsr()
    return value.as_sequences() if "," in symbol else rows.matrix
