"""All operators' declarations: look-up by public name, CNTK key and ONNX type."""

from __future__ import annotations

from collections.abc import Iterator

from cntk_lab.graph.opdef import OpDef

_by_name: dict[str, OpDef] = {}


def register(op: OpDef) -> OpDef:
    """Add an operator; its name must be new."""
    if op.name in _by_name:
        raise ValueError(f"operator {op.name!r} is declared twice")
    _by_name[op.name] = op
    return op


def find(name: str) -> OpDef:
    """The operator of that public name.

    Raises:
        KeyError: if there is none.
    """
    return _by_name[name]


def all_ops() -> Iterator[OpDef]:
    """Every operator in order of declaration."""
    return iter(_by_name.values())


def by_cntk_id(number: int) -> list[OpDef]:
    """The operators that CNTK's files write under this number."""
    return [op for op in _by_name.values() if op.cntk.id == number]


def by_cntk_block(name: str) -> list[OpDef]:
    """The operators that CNTK's files write as a block of this name."""
    return [op for op in _by_name.values() if name in (op.cntk.block, op.cntk.also_block)]


def by_onnx(op_type: str) -> list[OpDef]:
    """The operators that are written as this ONNX type."""
    return [op for op in _by_name.values() if op.onnx is not None and op.onnx.op == op_type]
