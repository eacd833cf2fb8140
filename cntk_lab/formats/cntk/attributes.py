"""Attributes of functions as CNTK's Python shows them: the keys of its files, shapes in Python's order.

Must not know any operator: what files hold comes from ``write``.
"""

from __future__ import annotations

from typing import Any

from cntk_lab.errors import FormatError
from cntk_lab.formats.cntk import _bodies, write
from cntk_lab.formats.cntk.values import Float, NDShape, SizeT, StoredAxis
from cntk_lab.graph.node import Node

__all__ = ["shown"]

_PER_AXIS = ("autoPadding", "sharing")
"""Lists with one entry for each axis, which files hold in the reverse of Python's order."""


def shown(node: Node) -> dict[str, Any]:
    """The attributes of a node under CNTK's names.

    Args:
        node: one use of an operator.

    Returns:
        CNTK's key -> value; where files have no form for the operator, this package's own names.
    """
    if node.block is not None or _bodies.is_block_of_a_reduction(node) or _bodies.has_body(node):
        return {k: _plain(k, v) for k, v in _bodies.block_attributes(node).items()}
    try:
        stored = write.stored_form(node)
    except FormatError:
        stored = None
    if stored is None:
        return dict(node.attributes)
    return {k: _plain(k, v) for k, v in stored.attributes.items()}


def _plain(key: str, value: Any) -> Any:
    if isinstance(value, NDShape):
        return tuple(int(d) for d in value[::-1])
    if isinstance(value, StoredAxis):
        kind = "static" if value.name.startswith("staticAxisIdx") else "dynamic"
        return ("ordered" if value.ordered else "unordered", kind, value.position if kind == "static" else value.name)
    if isinstance(value, list):
        items = [_plain(key, v) for v in value]
        return items[::-1] if key in _PER_AXIS else items
    if isinstance(value, SizeT):
        return int(value)
    return float(value) if isinstance(value, Float) else value
