"""Along which axes of a kernel's domain each expression changes; what every printer asks before it writes a loop.

A reduction along an axis on which its argument does not change needs no loop but the length of the axis, and an output
that is shorter than the domain must not change along the axes it lacks. Knows expressions and kernels, no arrays.

Idea: Halide's bounds inference, reduced to "varies or not".
"""

from __future__ import annotations

from collections.abc import Iterable

from cntk_lab.formula.expr import ROWS, Axis, Expr, topological
from cntk_lab.formula.kernel import Kernel, Operand

Extent = frozenset[Axis]


def axes_of_data(e: Expr) -> tuple[Axis, ...]:
    """The axes that a reduction or a coordinate names."""
    if not isinstance(e.data, tuple):
        raise TypeError(f"{e.op}: no axes in its data {e.data!r}")
    return e.data[1]


def kind_of(e: Expr) -> str:
    """The kind of a reduction: ``sum``, ``max``, ``min`` or ``prod``."""
    if not isinstance(e.data, tuple):
        raise TypeError(f"{e.op}: no kind in its data {e.data!r}")
    return e.data[0]


def operand_extent(operand: Operand) -> Extent:
    """The axes along which the elements of an operand's array differ."""
    rank = len(operand.shape)
    static: list[Axis] = [i - rank for i, n in enumerate(operand.shape) if n != 1]
    return frozenset([*static, ROWS] if operand.rows else static)


def extents(kernel: Kernel, roots: Iterable[Expr] | None = None) -> dict[Expr, Extent]:
    """For every expression of a kernel the axes along which it changes.

    Args:
        kernel: the kernel whose operands say how each input lies in the domain.
        roots: expressions to look at; the kernel's outputs if left out.

    Returns:
        One entry per expression: a subset of the domain's axes ``-1, -2, ...`` and ``ROWS``.

    Raises:
        ValueError: if an expression names an input or an axis that the kernel does not have.
    """
    by_name = {o.name: operand_extent(o) for o in kernel.inputs}
    rank = len(kernel.domain)
    known: set[Axis] = {*range(-rank, 0), ROWS}
    found: dict[Expr, Extent] = {}
    for e in topological([x for _, x in kernel.outputs] if roots is None else roots):
        if e.op == "input":
            if e.data not in by_name:
                raise ValueError(f"kernel: formula uses input {e.data!r}; the kernel has {sorted(by_name)}")
            found[e] = by_name[str(e.data)]
            continue
        extent: Extent = frozenset().union(*(found[a] for a in e.args))
        if e.op in ("reduce", "coordinate"):
            axes = axes_of_data(e)
            if not known.issuperset(axes):
                raise ValueError(f"kernel: {e.op} along axes {axes}; the domain {kernel.domain} has rank {rank}")
            if e.op == "reduce":
                extent = extent.difference(axes)
            else:
                extent = frozenset(a for a in axes if _length(kernel, a) != 1)
        found[e] = extent
    return found


def check_outputs(kernel: Kernel, found: dict[Expr, Extent]) -> None:
    """Raise ValueError if an output's formula changes along an axis on which the output has length 1."""
    for operand, e in kernel.outputs:
        excess = found[e] - operand_extent(operand)
        if excess:
            raise ValueError(
                f"kernel: output {operand.name!r} of shape {operand.shape}, rows={operand.rows} cannot hold a formula "
                f"that changes along {sorted(excess, key=str)}; reduce it along these axes first"
            )


def _length(kernel: Kernel, axis: Axis) -> int | None:
    if isinstance(axis, str):
        return None if kernel.rows else 1
    return kernel.domain[axis]
