"""Kernel: a group of formulas over one domain, as plain data; what the printers turn into code.

The domain of a kernel is ``(rows x d1 x ... x dk)``: the packed rows of a minibatch times a static shape. Every
operand is aligned to it from the right: each of its dimensions is the domain's or 1, and it varies with the rows or
not. Arrays always carry the row axis (of length 1 where the operand has no rows): an operand has rank ``k + 1``.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from cntk_lab.formula import expr as e
from cntk_lab.formula.expr import Expr


@dataclass(frozen=True, slots=True)
class Operand:
    """How one array lies in the kernel's domain."""

    name: str
    shape: tuple[int, ...]
    """Static shape, as many dimensions as the domain, each the domain's or 1 (or -3: known only when it runs)."""
    rows: bool
    """Whether the array has one entry per row (else its row axis has length 1)."""
    dtype: str = "float32"
    whole: tuple[int, ...] = ()
    """If the array is a part of a larger one: static shape of that one, which gives the distances between elements."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """Formulas over one domain. Equal kernels print to the same source, which is their identity in every cache."""

    domain: tuple[int, ...]
    rows: bool
    inputs: tuple[Operand, ...]
    outputs: tuple[tuple[Operand, Expr], ...]
    dtype: str = "float32"
    """Element type of the arithmetic."""
    in_place: tuple[tuple[str, str], ...] = field(default=())
    """Pairs (output, input) that share one array: the output overwrites the input element by element."""


def canonical(kernel: Kernel) -> Kernel:
    """The kernel with operands renamed in order, so that equal formulas of different plans share their code."""
    names = {o.name: f"i{n}" for n, o in enumerate(kernel.inputs)}
    formulas = e.substitute([f for _, f in kernel.outputs], {old: e.input_(new) for old, new in names.items()})
    inputs = tuple(replace(o, name=names[o.name]) for o in kernel.inputs)
    outputs = tuple(
        (replace(o, name=f"o{n}"), f) for n, ((o, _), f) in enumerate(zip(kernel.outputs, formulas, strict=True))
    )
    in_place = tuple((f"o{n}", names[o.name]) for n, (o, _) in enumerate(kernel.outputs) if o.name in names)
    return Kernel(kernel.domain, kernel.rows, inputs, outputs, kernel.dtype, in_place)
