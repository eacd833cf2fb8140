"""Walks over the graph: order, search, depth-first visit. All are iterative: graphs may be very deep.

Two views: at the *user's level* a block is one node; at the *flat level* blocks are looked through to the nodes inside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from cntk_lab.graph.variable import Variable

if TYPE_CHECKING:
    from cntk_lab.graph.node import Node


def resolve(variable: Variable) -> Variable:
    """The variable behind this one at the flat level: through block outputs and placeholders inside of blocks."""
    while True:
        if variable.block_input is not None:
            variable = variable.block_input
        elif variable.node is not None and variable.node.block is not None and variable.node.block.built:
            variable = variable.node.block.outputs[variable.index]
        else:
            return variable


def resolved_inputs(node: Node) -> list[Variable]:
    """The operands of a node at the flat level."""
    return [resolve(v) for v in node.inputs]


def _order(roots: Iterable[Variable], below: Callable[[Node], Iterable[Variable]]) -> Iterator[Node]:
    done: set[int] = set()
    stack: list[tuple[Node, bool]] = []
    for root in roots:
        if root.node is not None:
            stack.append((root.node, False))
        while stack:
            node, expanded = stack.pop()
            if expanded:
                yield node
                continue
            if id(node) in done:
                continue
            done.add(id(node))
            stack.append((node, True))
            stack.extend(
                (v.node, False) for v in reversed(list(below(node))) if v.node is not None and id(v.node) not in done
            )


def nodes(roots: Iterable[Variable]) -> Iterator[Node]:
    """Every node below ``roots`` once, at the user's level, operands before users (cycles are cut somewhere)."""
    return _order(roots, lambda n: n.inputs)


def flat_nodes(roots: Iterable[Variable]) -> Iterator[Node]:
    """Every node below ``roots`` once, at the flat level, operands before users (cycles are cut somewhere)."""
    return _order([resolve(r) for r in roots], resolved_inputs)


def leaves(roots: Iterable[Variable], *, python_order: bool = True) -> list[Variable]:
    """Inputs, parameters, constants and placeholders below ``roots``, in the order of a depth-first walk.

    Args:
        roots: where to start.
        python_order: operands in Python's order; False gives the order of CNTK's files (products swapped).
    """
    roots = list(roots)
    found: dict[int, Variable] = {id(r): r for r in roots if r.node is None}
    done: set[int] = set()
    stack = roots[::-1]
    while stack:
        v = stack.pop()
        if v.node is None:
            found.setdefault(id(v), v)
        elif id(v.node) not in done:
            done.add(id(v.node))
            inputs = list(v.node.inputs)
            if not python_order and v.node.op.swapped:
                inputs.reverse()
            stack.extend(reversed(inputs))
    return list(found.values())


def flat_leaves(roots: Iterable[Variable]) -> list[Variable]:
    """Leaves at the flat level: unbound placeholders inside blocks resolved to what stands outside."""
    found: dict[int, Variable] = {}
    roots = [resolve(r) for r in roots]
    for r in roots:
        if r.node is None:
            found.setdefault(id(r), r)
    for node in flat_nodes(roots):
        for v in resolved_inputs(node):
            if v.node is None:
                found.setdefault(id(v), v)
    return list(found.values())


def search(
    roots: Iterable[Variable], accept: Callable[[Node | Variable], bool], depth: int = 0
) -> list[Node | Variable]:
    """Nodes and leaf variables that ``accept``, from the roots down.

    Args:
        roots: where to start.
        accept: the test.
        depth: how many levels of blocks to open; -1 opens all.
    """
    result: list[Node | Variable] = []
    done: set[int] = set()
    stack: list[tuple[Variable, int]] = [(r, depth) for r in reversed(list(roots))]
    while stack:
        v, level = stack.pop()
        thing: Node | Variable = v if v.node is None else v.node
        if id(thing) in done:
            continue
        done.add(id(thing))
        if accept(thing):
            result.append(thing)
        if v.node is None:
            continue
        block = v.node.block
        if block is not None and block.built and level != 0:
            stack.extend((o, level - 1) for o in reversed(block.outputs))
        stack.extend((i, level) for i in reversed(v.node.inputs))
    return result
