"""Finding recurrences: strongly connected parts of the graph, in the order in which they can be computed.

A cycle passes through at least one delay. What is not on a cycle stays outside: input projections are computed for all
frames at once before the loop, output layers after it.
"""

from __future__ import annotations

from collections.abc import Iterable

from cntk_lab.errors import GraphError
from cntk_lab.graph import walk
from cntk_lab.graph.infer import where_of
from cntk_lab.graph.node import Node
from cntk_lab.graph.opdef import Trait
from cntk_lab.graph.variable import Variable


def parts_in_order(roots: Iterable[Variable]) -> list[list[Node]]:
    """The strongly connected parts of the flat graph below ``roots``, operands before users.

    A part of one node without a cycle is an ordinary node; any other part is a loop. (Tarjan 1972, iterative.)
    """
    index: dict[int, int] = {}
    low: dict[int, int] = {}
    on_stack: set[int] = set()
    stack: list[Node] = []
    parts: list[list[Node]] = []
    for root in roots:
        start = walk.resolve(root).node
        if start is None or id(start) in index:
            continue
        work: list[tuple[Node, list[Node]]] = []
        _enter(start, index, low, stack, on_stack, work)
        while work:
            node, todo = work[-1]
            if todo:
                below = todo.pop()
                if id(below) not in index:
                    _enter(below, index, low, stack, on_stack, work)
                elif id(below) in on_stack:
                    low[id(node)] = min(low[id(node)], index[id(below)])
                continue
            work.pop()
            if work:
                parent = work[-1][0]
                low[id(parent)] = min(low[id(parent)], low[id(node)])
            if low[id(node)] == index[id(node)]:
                part: list[Node] = []
                while True:
                    member = stack.pop()
                    on_stack.discard(id(member))
                    part.append(member)
                    if member is node:
                        break
                parts.append(part)
    return parts


def _enter(
    node: Node,
    index: dict[int, int],
    low: dict[int, int],
    stack: list[Node],
    on_stack: set[int],
    work: list[tuple[Node, list[Node]]],
) -> None:
    index[id(node)] = low[id(node)] = len(index)
    stack.append(node)
    on_stack.add(id(node))
    work.append((node, [v.node for v in reversed(walk.resolved_inputs(node)) if v.node is not None]))


def is_loop(part: list[Node]) -> bool:
    """Whether a part is a recurrence."""
    return len(part) > 1 or any(v.node is part[0] for v in walk.resolved_inputs(part[0]))


def within_a_frame(part: list[Node]) -> list[Node]:
    """The nodes of a loop in the order in which one frame is computed: delays first, then what reads them.

    Raises:
        GraphError: if a cycle has no delay, or mixes delays into the past and into the future.
    """
    members = {id(n) for n in part}
    delays = [n for n in part if n.op.has(Trait.RECURRENT)]
    signs = {n.resolved["offset"] > 0 for n in delays}
    if len(signs) > 1:
        raise GraphError(
            "a recurrence goes forward and backward in time at once",
            where_of(delays[0]),
            "use past_value or future_value within one cycle, not both",
        )
    order: list[Node] = list(delays)
    state: dict[int, int] = {id(n): 2 for n in delays}
    for start in reversed(part):
        stack: list[tuple[Node, bool]] = [(start, False)]
        while stack:
            node, expanded = stack.pop()
            if expanded:
                state[id(node)] = 2
                order.append(node)
                continue
            if state.get(id(node)) == 2:
                continue
            if state.get(id(node)) == 1:
                raise GraphError(
                    f"the graph has a cycle without a delay through {node.op_name}",
                    where_of(node),
                    "a placeholder may be replaced by an output of the same graph only through past_value or "
                    "future_value",
                )
            state[id(node)] = 1
            stack.append((node, True))
            stack.extend(
                (v.node, False)
                for v in walk.resolved_inputs(node)
                if v.node is not None and id(v.node) in members and state.get(id(v.node)) != 2
            )
    return order
