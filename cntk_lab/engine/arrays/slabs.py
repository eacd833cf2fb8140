"""Values of a run as a step sees them: whole, or the rows of the present slab of a loop. Knows no step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cntk_lab.engine.arrays.run import Run
from cntk_lab.engine.plan import Buffer, Plan, RowSymbol
from cntk_lab.tensor.shape import FREE, Shape
from cntk_lab.tensor.sparse import SparseRows


def plain_buffer(b: Buffer) -> Buffer:
    """The buffer as operators know it: channels first."""
    return replace(b, shape=(b.shape[-1], *b.shape[:-1]), last=False) if b.last else b


def rows_now(run: Run, symbol: RowSymbol) -> int:
    """How many rows there are now: of the slab inside a loop."""
    return run.rows(symbol) if run.slab is None else run.slab[2] - run.slab[1]


def slab_of(run: Run, number: int, plan: Plan) -> Any:
    """What a step reads of a value: the rows of the present slab inside a loop."""
    array = run.arrays[number]
    if run.slab is None or not plan.buffers[number].rows:
        return array
    return array[run.slab[1] : run.slab[2]]


def operand_of(run: Run, number: int, has_rows: bool, shape: Shape | None) -> Any:
    """The operand of a formula, in the shape of its domain."""
    array = run.arrays[number]
    if isinstance(array, SparseRows):
        array = array.toarray()
    if has_rows and run.slab is not None:
        array = array[run.slab[1] : run.slab[2]]
    if shape is None:
        return array
    if FREE in shape:
        return array.reshape(array.shape[:1] + (1,) * (len(shape) + 1 - array.ndim) + array.shape[1:])
    return array.reshape((array.shape[0], *shape))


def shaped(array: Any, shape: tuple[int, ...]) -> Any:
    """An array in a static shape; free dimensions are the array's."""
    have = tuple(array.shape[1:])
    if len(have) == len(shape) and all(d in (h, FREE) for h, d in zip(have, shape, strict=True)):
        return array
    return array.reshape((array.shape[0], *(-1 if d == FREE else d for d in shape)))


def whole_of(run: Run, number: int, plan: Plan) -> Any:
    """The whole array of a value that a loop writes slab by slab."""
    array = run.arrays.get(number)
    if array is None:
        b = plan.buffers[number]
        shape = b.shape
        if FREE in shape:
            # free dimensions of a loop are those of what enters it
            known = (run.arrays[o.id].shape[1:] for o in plan.buffers if o.shape == b.shape and o.id in run.arrays)
            shape = next(known, tuple(1 if d == FREE else d for d in shape))
        array = run.arrays[number] = run.xp.zeros((run.rows(b.rows), *shape), b.dtype)
    return array


def store(run: Run, number: int, b: Any, value: Any) -> None:
    """Keep a result: whole, or the rows of the present slab."""
    if run.slab is None or not b.rows:
        run.arrays[number] = value
        return
    array = run.arrays.get(number)
    if array is None:
        array = run.arrays[number] = run.xp.empty((run.rows(b.rows), *value.shape[1:]), value.dtype)
    array[run.slab[1] : run.slab[2]] = value
