"""Graphs as plain dictionaries: what views, logs and the document viewer draw.

A snapshot holds numbers, texts and lists only, ready for JSON. Blocks are nodes of kind ``block``; what is inside
carries the block's id as ``parent``, and edges connect the nodes inside, so that a view can open and close blocks by
itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cntk_lab.graph import walk
from cntk_lab.graph.node import Node
from cntk_lab.graph.opdef import Trait
from cntk_lab.graph.variable import Constant, Variable
from cntk_lab.tensor.shape import size

FORMAT = "cntk-lab-graph"
VERSION = 1
_LONGEST_TEXT = 200


def graph_snapshot(roots: Iterable[Variable], name: str = "") -> dict[str, Any]:
    """The graph below ``roots`` as a dictionary.

    Args:
        roots: outputs of the model.
        name: title of the model.

    Returns:
        ``{"format", "version", "name", "nodes", "edges", "outputs"}``; nodes in the order of computation.
    """
    roots = list(roots)
    snapshot = _Snapshot()
    snapshot.level(roots, None)
    outputs = [snapshot.source(r) for r in roots]
    return {
        "format": FORMAT,
        "version": VERSION,
        "name": name,
        "nodes": snapshot.nodes,
        "edges": snapshot.edges,
        "outputs": list(dict.fromkeys(outputs)),
    }


class _Snapshot:
    def __init__(self) -> None:
        self.nodes: list[dict[str, Any]] = []
        self.edges: list[dict[str, Any]] = []
        self._known: set[str] = set()
        self._place: dict[str, dict[str, Any]] = {}

    def level(self, roots: Iterable[Variable], parent: str | None) -> None:
        """Add the nodes of one level, and inside of blocks those of the next."""
        for node in walk.nodes(roots):
            if node.uid in self._known or not _own_outputs(node):
                continue
            self._known.add(node.uid)
            block = node.block if node.block is not None and node.block.built else None
            parameters = (
                0 if block is not None else sum(_count(v) for v in walk.resolved_inputs(node) if v.is_parameter)
            )
            self.nodes.append(self._node(node, parent, "block" if node.block is not None else "function", parameters))
            if block is not None:
                self.level(block.outputs, node.uid)
                continue
            for port, operand in enumerate(node.inputs):
                self._edge(node, port, operand, parent)
        for root in roots:
            variable = walk.resolve(root)
            if variable.node is None:
                self._leaf(variable, parent)

    def source(self, variable: Variable) -> str:
        """The id of the node or leaf that a variable comes from, at the flat level."""
        behind = walk.resolve(variable)
        while behind.node is not None and behind.node.block is not None and behind.node.block.built:
            behind = walk.resolve(behind)
        return behind.uid if behind.node is None else behind.node.uid

    def _edge(self, node: Node, port: int, operand: Variable, parent: str | None) -> None:
        behind = walk.resolve(operand)
        if behind.node is None:
            self._leaf(behind, parent if operand is behind else None)
        t = behind.type
        self.edges.append(
            {
                "from": self.source(behind),
                "to": node.uid,
                "port": port,
                "shape": list(t.shape or ()),
                "axes": [a.short for a in t.axes or ()],
                "recurrent": node.op.has(Trait.RECURRENT) and port == 0 and behind.node is not None,
            }
        )

    def _leaf(self, v: Variable, parent: str | None) -> None:
        if v.uid in self._known:
            return
        self._known.add(v.uid)
        self.nodes.append(
            {
                "id": v.uid,
                "op": v.kind,
                "name": v.name,
                "kind": v.kind.lower(),
                "shape": list(v.type.shape or ()),
                "axes": [a.short for a in v.type.axes or ()],
                "dtype": v.type.dtype,
                "attributes": _number(v),
                "parent": parent if v.is_parameter or v.is_constant else None,
                "source": v.source or None,
                "parameters": _count(v) if v.is_parameter else 0,
            }
        )

    def _node(self, node: Node, parent: str | None, kind: str, parameters: int) -> dict[str, Any]:
        t = node.outputs[0].type
        return {
            "id": node.uid,
            "op": node.op_name,
            "name": node.name,
            "kind": kind,
            "shape": list(t.shape or ()),
            "axes": [a.short for a in t.axes or ()],
            "dtype": t.dtype,
            "parent": parent,
            "attributes": {k: _plain(v) for k, v in node.attributes.items() if v is not None},
            "source": node.source or None,
            "parameters": parameters,
        }


def _own_outputs(node: Node) -> bool:
    return any(o.node is node for o in node.outputs)


def _count(v: Variable) -> int:
    shape = v.type.shape or ()
    return size(shape) if all(d > 0 for d in shape) else 0


def _number(v: Variable) -> dict[str, Any]:
    """The value of a constant of one number."""
    if not isinstance(v, Constant) or _count(v) != 1:
        return {}
    return {"value": float(v.value.reshape(-1)[0])}


def _plain(value: Any) -> Any:
    """An attribute as something JSON can hold."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return str(value)[:_LONGEST_TEXT]
