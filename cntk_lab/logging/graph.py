"""Finding things in a graph, and showing it as text or as a picture.

Knows graphs and their snapshots; how a picture is drawn is behind the graph's socket ``picture``.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cntk_lab._words import LONGEST, in_dot, shown
from cntk_lab.errors import AttributeValueError, SignatureError
from cntk_lab.graph import ports, walk
from cntk_lab.graph.function import Function
from cntk_lab.graph.inspect import graph_snapshot
from cntk_lab.graph.node import Node
from cntk_lab.graph.variable import Variable

__all__ = [
    "depth_first_search", "find_all_with_name", "find_by_name", "find_by_uid", "get_node_outputs", "plot",
]  # fmt: skip


def depth_first_search(root: Any, visitor: Callable[[Any], bool], depth: int = 0) -> list[Any]:
    """Functions and leaf variables of a graph that a visitor accepts, from the root towards the inputs.

    Args:
        root: Function or variable to start from.
        visitor: called with each Function and each input, parameter, constant and placeholder; what it returns True for
            is in the result.
        depth: how many levels of blocks are opened; -1 opens all. What lies before an opened block counts as one level
            down, as in CNTK.

    Returns:
        What was accepted, each thing once.

    Example:
        >>> import cntk_lab as C
        >>> x = C.input_variable(2, name="x")
        >>> [thing.name for thing in depth_first_search(C.exp(x + 1, name="e"), lambda thing: bool(thing.name))]
        ['e', 'x']

    Source: CNTK 2.7 ``logging.graph.depth_first_search``.
    """
    return [handle for thing in _visit(root, depth) if visitor(handle := _handle(thing))]


def _visit(root: Any, depth: int) -> Iterator[Node | Variable]:
    """Nodes and leaf variables, from the root on."""
    queue: deque[tuple[Node | Variable, int]] = deque([(_start(root), 0)])
    done: set[int] = set()
    while queue:
        thing, level = queue.popleft()
        if id(thing) in done:
            continue
        done.add(id(thing))
        yield thing
        if not isinstance(thing, Node):
            continue
        block = thing.block
        if block is not None and block.built and (depth < 0 or level < depth):
            before = (v for v in thing.inputs if not (v.is_parameter or v.is_constant))  # those are met inside
            queue.extend((_owner(v), level + 1) for v in (*before, *block.outputs))
        else:
            queue.extendleft((_owner(v), level) for v in reversed(thing.inputs))


def _start(root: Any) -> Node | Variable:
    if isinstance(root, Function):
        return root.node
    if isinstance(root, Variable):
        return _owner(root)
    raise SignatureError(f"a {type(root).__name__} has no graph", fix="give a Function or a variable")


def _owner(variable: Variable) -> Node | Variable:
    """What computes a variable, or itself; a block's placeholder stands for what is outside."""
    while variable.block_input is not None:
        variable = variable.block_input
    return variable if variable.node is None else variable.node


def _handle(thing: Node | Variable) -> Any:
    return Function.of(thing, composite=False) if isinstance(thing, Node) else thing


def find_all_with_name(node: Any, node_name: str, depth: int = 0) -> list[Any]:
    """Functions and leaf variables of a name.

    Args:
        node: Function or variable to start from.
        node_name: the name.
        depth: how many levels of blocks are opened; -1 opens all.

    Returns:
        What has that name; empty if nothing has.

    Source: CNTK 2.7 ``logging.graph.find_all_with_name``.
    """
    return depth_first_search(node, lambda thing: bool(thing.name == node_name), depth)


def find_by_name(node: Any, node_name: str, depth: int = 0) -> Any:
    """The Function or leaf variable of a name.

    Args:
        node: Function or variable to start from.
        node_name: the name.
        depth: how many levels of blocks are opened; -1 opens all.

    Returns:
        What has that name; None if nothing has.

    Raises:
        AttributeValueError: if several things have that name.

    Source: CNTK 2.7 ``logging.graph.find_by_name``.
    """
    if not isinstance(node_name, str):
        raise AttributeValueError(f"a name is text, not a {type(node_name).__name__}")
    return _only(find_all_with_name(node, node_name, depth), f"the name '{node_name}'", "find_all_with_name")


def find_by_uid(node: Any, node_uid: str, depth: int = 0) -> Any:
    """The Function or leaf variable of a uid.

    Args:
        node: Function or variable to start from.
        node_uid: the uid.
        depth: how many levels of blocks are opened; -1 opens all.

    Returns:
        What has that uid; None if nothing has.

    Source: CNTK 2.7 ``logging.graph.find_by_uid``.
    """
    if not isinstance(node_uid, str):
        raise AttributeValueError(f"a uid is text, not a {type(node_uid).__name__}")
    found = depth_first_search(node, lambda thing: bool(thing.uid == node_uid), depth)
    return found[0] if found else None


def _only(found: list[Any], what: str, instead: str) -> Any:
    if len(found) > 1:
        raise AttributeValueError(
            f"{len(found)} things have {what}: {', '.join(map(str, found[:5]))}", fix=f"use {instead}"
        )
    return found[0] if found else None


def get_node_outputs(node: Any, depth: int = 0) -> list[Variable]:
    """Outputs of all functions of a graph.

    Args:
        node: Function or variable to start from.
        depth: how many levels of blocks are opened; -1 opens all.

    Returns:
        Variables, from the root towards the inputs.

    Source: CNTK 2.7 ``logging.graph.get_node_outputs``.
    """
    return [output for thing in _visit(node, depth) if isinstance(thing, Node) for output in thing.outputs]


def plot(root: Any, filename: str | os.PathLike[str] | None = None) -> str:
    """The graph as text, one line for each function in the order of computation; with a file name also as a picture.

    Args:
        root: Function or variable to start from.
        filename: ends with .svg, .png or .pdf (a picture), or .dot (Graphviz' language).

    Returns:
        The text.

    Raises:
        AttributeValueError: if the file name ends otherwise.
        NotAvailableError: if what draws the picture is not installed; the message says how to get it.

    Example:
        >>> import cntk_lab as C
        >>> x = C.input_variable(2, name="x")
        >>> print(plot(C.exp(C.relu(x, name="r"), name="e")))
        ReLU(x) -> r;
        <BLANKLINE>
        Exp(r) -> e;
        <BLANKLINE>

    Source: CNTK 2.7 ``logging.graph.plot``.
    """
    start = _start(root)
    outputs = list(start.outputs) if isinstance(start, Node) else [start]
    if filename is not None:
        path = Path(filename)
        if path.suffix.lower() == ".dot":
            _write(path, _dot(outputs))
        elif path.suffix.lower() in (".svg", ".png", ".pdf"):
            ports.use("picture")(graph_snapshot(outputs, getattr(root, "name", "") or "model"), path)
        else:
            raise AttributeValueError(
                f"plot: no picture of form '{path.suffix}'",
                str(path),
                'only file extensions ".svg", ".pdf", ".png", and ".dot" are supported',
            )
    lines = []
    for node in walk.nodes(outputs):
        operands = ", ".join(_name(v) for v in node.inputs)
        lines += [f"{node.op_name}({operands}) -> {_name(output)};\n" for output in node.outputs]
    return "\n".join(lines)


def _name(variable: Variable) -> str:
    if variable.name:
        return variable.name
    return variable.node.name if variable.node is not None and variable.node.name else variable.uid


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _dot(outputs: list[Variable]) -> str:
    """The graph in Graphviz' language: functions are boxes, leaves ellipses, edges carry shapes."""
    number: dict[int, str] = {}
    out = ["digraph {", "  rankdir=TB;", "  node [shape=box];"]

    def place(thing: Node | Variable) -> str:
        if id(thing) not in number:
            number[id(thing)] = f"n{len(number)}"
            kind = thing.op_name if isinstance(thing, Node) else thing.kind
            words = f"{shown(thing.name)}\n{kind}" if thing.name else kind
            look = "" if isinstance(thing, Node) else " shape=ellipse"
            out.append(f"  {number[id(thing)]} [label={in_dot(words, 2 * LONGEST)}{look}];")
        return number[id(thing)]

    for node in walk.nodes(outputs):
        target = place(node)
        for operand in node.inputs:
            shape = " x ".join(map(str, operand.shape)) or "scalar"
            out.append(f"  {place(_owner(operand))} -> {target} [label={in_dot(shape)}];")
    for output in outputs:
        place(_owner(output))
    return "\n".join([*out, "}", ""])
