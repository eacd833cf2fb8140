"""What a layer costs for one sample (of a sequence: for one frame): operations and bytes, from shapes alone.

Products and convolutions count two operations for each multiplication; everything else one for each element that it
gives. Nothing is run. Dimensions that are open count as one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cntk_lab.composer._trace import Trace
from cntk_lab.graph import walk
from cntk_lab.graph.node import Node
from cntk_lab.graph.variable import Variable


@dataclass(frozen=True, slots=True)
class Cost:
    """What one node, or a whole network, costs.

    Args:
        parameters: learned numbers.
        operations: for one sample, multiplications and additions counted singly.
        size: bytes of what it gives for one sample.
    """

    parameters: int = 0
    operations: int = 0
    size: int = 0

    def plain(self) -> dict[str, int]:
        """As plain data."""
        return {"parameters": self.parameters, "operations": self.operations, "bytes": self.size}


def of_nodes(trace: Trace) -> dict[str, Cost]:
    """The cost of every drawn node whose shape is known; groups have the sum of what is in them."""
    drawn, out = trace.nodes, dict[str, Cost]()
    given: dict[str, list[Variable]] = {}
    for edge in trace.edges:
        if edge.variable is not None:
            given.setdefault(edge.target, []).append(edge.variable)
    for uid, n in drawn.items():
        if n.kind not in ("group", "repeat") and n.variables and n.variables[0].node is not None:
            made = _between(n.variables, given.get(uid, []))
            out[uid] = Cost(n.parameters, sum(operations(x) for x in made), sum(_bytes(v) for v in n.variables))
    for uid, n in reversed(list(drawn.items())):
        if n.kind in ("group", "repeat", "block") and uid not in out:
            inside = [c for u, c in out.items() if drawn[u].parent == uid]
            if inside:
                out[uid] = Cost(sum(c.parameters for c in inside), sum(c.operations for c in inside),
                                sum(_bytes(v) for v in n.variables))  # fmt: skip
    return out


def _between(outputs: Iterable[Variable], operands: Iterable[Variable]) -> list[Node]:
    """The nodes that make the outputs from the operands; loops are gone around once."""
    stops = {id(v) for v in operands}
    found: dict[int, Node] = {}
    stack = [v for v in outputs if id(v) not in stops]
    while stack:
        node = stack.pop().node
        if node is not None and id(node) not in found:
            found[id(node)] = node
            stack.extend(v for v in node.inputs if id(v) not in stops)
    return list(found.values())


def of_network(roots: Iterable[Variable], parameters: int) -> Cost:
    """The cost of everything that a network computes."""
    nodes = list(walk.nodes(list(roots)))
    return Cost(parameters, sum(operations(n) for n in nodes), sum(_bytes(o) for n in nodes for o in n.outputs))


def operations(node: Node) -> int:
    """Operations of one node for one sample; of a block, those inside of it."""
    if node.block is not None and node.block.built:
        return sum(operations(n) for n in walk.nodes(node.block.outputs))
    outputs = sum(_count(o.type.shape) for o in node.outputs)
    shapes: list[Any] = [v.type.shape for v in node.inputs]
    name = node.op.name.lstrip("_")
    if name == "times" and len(shapes) == 2 and shapes[1] is not None:
        rank = int(node.attributes.get("output_rank", 1))
        return 2 * outputs * _count(shapes[1][: len(shapes[1]) - rank])
    if name == "times_transpose" and shapes[1] is not None:
        return 2 * outputs * _count(shapes[1][-1:])
    if "convolution" in name and shapes[0] is not None:
        places = _count(shapes[1]) if "transpose" in name else outputs
        return 2 * places * _count(shapes[0][1:])
    if name == "pooling":
        return outputs * _count(node.resolved.get("window"))
    return 0 if name in _FREE else outputs


_FREE = frozenset({"reshape", "alias", "combine", "stop_gradient", "splice", "slice", "sequence_last", "sequence_first",
                   "past_value", "future_value", "transpose", "identity"})  # fmt: skip
"""Operators that only move elements."""


def _count(shape: Iterable[int] | None) -> int:
    total = 1
    for d in shape or ():
        total *= max(int(d), 1)
    return total


def _bytes(variable: Variable) -> int:
    wide = {"float64": 8, "float16": 2, "int8": 1, "int16": 2}.get(variable.type.dtype or "", 4)
    return _count(variable.type.shape) * wide if variable.type.shape is not None else 0
