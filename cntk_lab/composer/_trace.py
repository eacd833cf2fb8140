"""What a program looks like: the nodes and edges that building it draws, as a snapshot for the graph view.

Plain data; ids are those of places in the program, so that what is selected in the picture can be edited in the text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cntk_lab.composer._program import Problem
from cntk_lab.graph.variable import Variable
from cntk_lab.tensor.shape import UNKNOWN_SHAPE, size

FORMAT = "cntk-lab-graph"


@dataclass
class Drawn:
    """One node of the picture."""

    uid: str
    site: str
    op: str
    kind: str
    parent: str | None
    name: str = ""
    path: str = ""
    """Of the catalog's entry, "" for what is none."""
    attributes: dict[str, str] = field(default_factory=dict)
    variables: tuple[Variable, ...] = ()
    parameters: int = 0
    application: str = ""
    """Id of the place where it is applied; "" for an item of a group."""
    count: int = 0


@dataclass
class Edge:
    """A value that goes from one drawn node to another."""

    source: str
    target: str
    port: int
    variable: Variable | None


class Trace:
    """Nodes and edges in the order in which they came up."""

    def __init__(self) -> None:
        self.nodes: dict[str, Drawn] = {}
        self.edges: list[Edge] = []

    def add(self, node: Drawn) -> None:
        """Draw a node; one drawn before is replaced."""
        self.nodes[node.uid] = node

    def connect(self, sources: Sequence[tuple[str, Variable | None]], target: str) -> None:
        """Draw the edges into a node."""
        for port, (source, variable) in enumerate(sources):
            if source and source in self.nodes and source != target:
                self.edges.append(Edge(source, target, port, variable))

    def snapshot(self, name: str, outputs: Iterable[str], problems: Iterable[Problem]) -> dict[str, Any]:
        """The picture as plain data of format ``cntk-lab-graph``."""
        wrong = {p.node: p.message for p in problems if p.node}
        nodes = []
        for n in self.nodes.values():
            node: dict[str, Any] = {
                "id": n.uid, "op": n.op, "name": n.name, "kind": n.kind, "parent": n.parent, "source": None,
                "attributes": {k: v for k, v in n.attributes.items() if k != "name"}, "parameters": n.parameters,
                **_type(n.variables[0] if n.variables else None),
            }  # fmt: skip
            if n.uid in wrong:
                node["problem"] = wrong[n.uid]
            nodes.append(node)
        edges = [{"from": e.source, "to": e.target, "port": e.port, "recurrent": False, **_flow(e.variable)}
                 for e in self.edges]  # fmt: skip
        shown = [o for o in dict.fromkeys(outputs) if o in self.nodes]
        return {"format": FORMAT, "version": 1, "name": name, "nodes": nodes, "edges": edges, "outputs": shown}


def _flow(variable: Variable | None) -> dict[str, Any]:
    if variable is None or variable.type.shape is None:
        return {"shape": list(UNKNOWN_SHAPE), "axes": []}
    return {"shape": list(variable.type.shape), "axes": [a.short for a in variable.type.axes or ()]}


def _type(variable: Variable | None) -> dict[str, Any]:
    dtype = "" if variable is None else variable.type.dtype or ""
    return {**_flow(variable), "dtype": dtype}


def count(variables: Iterable[Variable]) -> int:
    """Number of learned numbers, as far as shapes are known."""
    total = 0
    for v in variables:
        shape = v.type.shape or ()
        if v.is_parameter and all(d > 0 for d in shape):
            total += size(shape)
    return total


def type_of(variables: Iterable[Variable]) -> tuple[Any, ...]:
    """What a layer depends on in its operands."""
    return tuple((v.type.shape, v.type.dtype, v.type.axes, v.type.sparse) for v in variables)


def shape_words(shape: Mapping[str, Any] | Sequence[int] | None) -> str:
    """A static shape in words: ``3 x 28 x 28``."""
    if shape is None:
        return "?"
    return " x ".join({-1: "?", -3: "*"}.get(int(d), str(d)) for d in shape) or "scalar"
