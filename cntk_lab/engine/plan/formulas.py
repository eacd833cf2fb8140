"""Formulas over buffers as steps: the domain that operands span, and how each of them lies in it. Knows no pass."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cntk_lab.engine.plan.plan import Builder
from cntk_lab.engine.plan.reference import reference
from cntk_lab.engine.plan.steps import Map, RowSymbol
from cntk_lab.formula import expr as e
from cntk_lab.formula.kernel import Kernel, Operand
from cntk_lab.tensor.shape import FREE, Shape, broadcast


def map_step(builder: Builder, outputs: dict[int, e.Expr], reads: Iterable[int], nodes: tuple[str, ...] = ()) -> Map:
    """A step that computes formulas over the domain that its operands span.

    Args:
        builder: where the buffers are.
        outputs: buffer -> formula over inputs named ``b<buffer>``.
        reads: buffers that span the domain (also those that the formula does not use).
        nodes: where the step comes from.
    """
    reads = list(dict.fromkeys(reads))
    buffers = builder.buffers
    named = set(e.inputs_of(outputs.values()))
    used = [r for r in reads if reference(r) in named]
    spanning = [buffers[r] for r in reads]
    domain = broadcast(*(b.shape for b in spanning)) if spanning else buffers[next(iter(outputs))].shape
    rows = max(
        (b.rows for b in (*spanning, *([] if spanning else [buffers[o] for o in outputs]))),
        key=lambda r: r.count(",") + bool(r),
        default="",
    )
    used += [r for r in _tellers(buffers, reads, domain, rows) if r not in used]
    targets = []
    for number, formula in zip(outputs, _without_trivial_axes(outputs.values(), domain), strict=True):
        b = buffers[number]
        varies = axes_of(formula, {reference(r): buffers[r] for r in reads}, len(domain))
        aligned = aligned_output(b.shape, domain, varies)
        targets.append((Operand(reference(number), aligned, bool(b.rows), b.dtype), formula))
    kernel = Kernel(
        domain,
        bool(rows),
        tuple(
            Operand(reference(r), align(buffers[r].shape, len(domain)), bool(buffers[r].rows), buffers[r].dtype)
            for r in used
        ),
        tuple(targets),
        buffers[next(iter(outputs))].dtype,
    )
    return Map(tuple(used), tuple(outputs), nodes, kernel=kernel, rows=rows)


def _tellers(buffers: list[Any], reads: list[int], domain: Shape, rows: RowSymbol) -> list[int]:
    """Operands that tell a kernel sizes that only the data decide: free dimensions, and rows that no input has."""
    found = []
    for axis in (i - len(domain) for i, d in enumerate(domain) if d == FREE):
        found += [r for r in reads if len(buffers[r].shape) >= -axis and buffers[r].shape[axis] == FREE][:1]
    if rows and not any(b.role == "input" and (b.rows == rows or b.rows.startswith(rows + ",")) for b in buffers):
        found += [r for r in reads if buffers[r].rows == rows][:1]
    return found


def _without_trivial_axes(formulas: Iterable[e.Expr], domain: Shape) -> tuple[e.Expr, ...]:
    """Formulas without reductions along axes of length 1, so that a larger domain may contain this one."""
    trivial = {i - len(domain) for i, d in enumerate(domain) if d == 1}

    def without(x: e.Expr, args: tuple[e.Expr, ...]) -> e.Expr | None:
        if x.op == "reduce" and isinstance(x.data, tuple):
            return e.reduce(x.data[0], args[0], [a for a in x.data[1] if a not in trivial])
        if x.op == "coordinate" and isinstance(x.data, tuple) and x.data[1][0] in trivial:
            return e.const(0)
        return None

    return e.rewrite(formulas, without) if trivial else tuple(formulas)


def align(shape: Shape, rank: int) -> Shape:
    """A static shape with leading 1s up to a rank."""
    return (1,) * (rank - len(shape)) + tuple(shape)


def axes_of(formula: e.Expr, operands: dict[str, Any], rank: int) -> set[e.Axis]:
    """The axes of the domain along which a formula's value may vary."""
    varies: dict[int, set[e.Axis]] = {}
    for x in e.topological([formula]):
        if x.op == "input":
            b = operands.get(str(x.data))
            if b is None:
                varies[id(x)] = {e.ROWS, *range(-rank, 0)}
                continue
            varies[id(x)] = {i - len(b.shape) for i, d in enumerate(b.shape) if d != 1} | (
                {e.ROWS} if b.rows else set()
            )
        elif x.op == "coordinate" and isinstance(x.data, tuple):
            varies[id(x)] = set(x.data[1])
        else:
            below: set[e.Axis] = set().union(*(varies[id(a)] for a in x.args)) if x.args else set()
            varies[id(x)] = below - set(x.data[1]) if x.op == "reduce" and isinstance(x.data, tuple) else below
    return varies[id(formula)]


def aligned_output(shape: Shape, domain: Shape, varies: set[e.Axis]) -> Shape:
    """How an output of a static shape lies in the domain: the domain's dimensions where it varies, else 1."""
    if len(shape) <= len(domain):
        aligned = align(shape, len(domain))
        kept = all(
            s == d or (s == 1 and i - len(domain) not in varies)
            for i, (s, d) in enumerate(zip(aligned, domain, strict=True))
        )
        if kept:
            return aligned
    return tuple(d if i - len(domain) in varies else 1 for i, d in enumerate(domain))
