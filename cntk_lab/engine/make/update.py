"""The last steps of training: totals of losses and metrics, and what learners do with gradients, as formulas."""

from __future__ import annotations

from collections.abc import Mapping

from cntk_lab.engine.make.backward import filled
from cntk_lab.engine.make.wanted import Update
from cntk_lab.engine.plan import Builder, UpdateRows
from cntk_lab.engine.plan.formulas import map_step
from cntk_lab.engine.plan.reference import number_of, reference
from cntk_lab.formula import expr as e
from cntk_lab.formula.kernel import Kernel, Operand
from cntk_lab.tensor.shape import size


def total_of(builder: Builder, number: int) -> int:
    """Adds the sum of a value over everything, rows included; returns its buffer."""
    b = builder.buffers[number]
    total = builder.new("", (), b.dtype, name=f"sum of {b.name}")
    axes: list[e.Axis] = [i - len(b.shape) for i in range(len(b.shape))]
    if b.rows:
        axes.append(e.ROWS)
    builder.emit(map_step(builder, {total: e.reduce("sum", e.input_(reference(number)), axes)}, [number]))
    return total


def update_of(builder: Builder, position: int, update: Update, parameter: int, gradient: int) -> None:
    """Adds a learner's formulas for one parameter; scalars are called ``<position>:<name>``."""
    b = builder.buffers[parameter]
    names: dict[str, int] = {"p": parameter, "g": gradient}
    for name, storage in update.state.items():
        names[name] = builder.new("", tuple(storage.raw.shape), b.dtype, "state", f"{position}:{name}")
    for name in update.scalars:
        names[name] = builder.new("", (), b.dtype, "scalar", f"{position}:{name}")
    if builder.buffers[gradient].touched:
        if update.row_outputs is not None:
            _update_rows(builder, update.row_outputs, names, frozenset((parameter, *(names[n] for n in update.state))))
            return
        names["g"] = filled(builder, gradient)
    by_input = {name: e.input_(reference(n)) for name, n in names.items()}
    formulas = e.substitute([f for _, f in update.outputs], by_input)
    targets = {names[name]: f for (name, _), f in zip(update.outputs, formulas, strict=True)}
    builder.emit(map_step(builder, targets, names.values()))


def _update_rows(
    builder: Builder, outputs: tuple[tuple[str, e.Expr], ...], names: Mapping[str, int], whole: frozenset[int]
) -> None:
    """Adds a learner's formulas for the touched rows of one parameter."""
    b = builder.buffers[names["p"]]
    formulas = e.substitute([f for _, f in outputs], {name: e.input_(reference(n)) for name, n in names.items()})
    used = e.inputs_of(formulas)
    rows = {reference(n) for n in (*whole, names["g"])}
    width = (size(b.shape) // builder.buffers[names["g"]].touched,)

    def operand(name: str) -> Operand:
        return Operand(name, width if name in rows else (1,), name in rows, b.dtype)

    kernel = Kernel(
        width,
        True,
        tuple(map(operand, used)),
        tuple((operand(reference(names[n])), f) for (n, _), f in zip(outputs, formulas, strict=True)),
        b.dtype,
    )
    reads = (names["g"], *(number_of(n) for n in used if n != "touched" and n != reference(names["g"])))
    builder.emit(UpdateRows(reads, tuple(names[n] for n, _ in outputs), kernel=kernel, whole=whole))
