"""What is seen of a graph when some blocks are open: nodes in order, edges lifted to them, colours of axes, words.

Works on arranged snapshots; the same rules as in the live view (``extension/src/model/graph.ts``). Knows no places
and no files.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from cntk_lab.widgets._snapshot import GraphNode, Snapshot, Tree

MOST_VISIBLE: Final = 300
LEAVES: Final = ("input", "placeholder", "output", "parameter", "constant")
"""Kinds of nodes that compute nothing."""

AXIS_NAMES: Final = {"#": "batch", "*": "sequence"}
AXIS_COLOURS: Final = {"#": "#5b6b7b", "*": "#00806a"}
OTHER_AXIS_COLOURS: Final = ("#b45309", "#7c3aed", "#be185d", "#0369a1", "#4d7c0f", "#a16207", "#9f1239", "#155e75")


@dataclass(frozen=True, slots=True)
class Link:
    """One drawn edge: where from and to, what flows, and how many edges of the graph it stands for."""

    source: str
    target: str
    shape: tuple[int, ...]
    axes: tuple[str, ...]
    recurrent: bool
    count: int


@dataclass(frozen=True, slots=True)
class Picture:
    """What is visible of a graph: nodes in order, the open blocks, and the edges lifted to them."""

    name: str
    tree: Tree
    nodes: tuple[str, ...]
    opened: frozenset[str]
    links: tuple[Link, ...]
    colours: Mapping[str, str] = field(default_factory=dict)


def axis_colours(snapshot: Snapshot) -> dict[str, str]:
    """A colour for every dynamic axis of a graph; the same names get the same colours in every run."""
    names = {axis for node in snapshot["nodes"] for axis in node["axes"]}
    names |= {axis for edge in snapshot["edges"] for axis in edge["axes"]}
    others = sorted(names - AXIS_COLOURS.keys())
    return AXIS_COLOURS | {name: OTHER_AXIS_COLOURS[i % len(OTHER_AXIS_COLOURS)] for i, name in enumerate(others)}


def first_open(tree: Tree) -> set[str]:
    """The blocks open at first sight: a block that is the whole model, and what is alone inside it."""
    opened: set[str] = set()
    level: str | None = None
    while True:
        steps = [uid for uid in tree.children.get(level, ()) if tree.node[uid]["kind"] not in LEAVES]
        if len(steps) != 1 or not tree.is_block(steps[0]) or tree.node[steps[0]]["kind"] == "repeat":
            return opened
        opened.add(steps[0])
        level = steps[0]


def visible(snapshot: Snapshot, opened: Iterable[str] | None = None) -> Picture:
    """What is seen of an arranged snapshot when these blocks are open.

    Args:
        snapshot: an arranged snapshot.
        opened: uids of open blocks; by default those of :func:`first_open`. Blocks that would take the picture over
            300 nodes stay closed.
    """
    tree = Tree(snapshot)
    wanted = first_open(tree) if opened is None else set(opened)
    taken: set[str] = set()
    nodes = list(tree.children[None])
    index = 0
    while index < len(nodes):
        uid = nodes[index]
        if uid in wanted and tree.is_block(uid) and len(nodes) + len(tree.children[uid]) <= MOST_VISIBLE:
            taken.add(uid)
            nodes[index + 1 : index + 1] = tree.children[uid]
        index += 1
    merged: dict[tuple[str, str, bool], list[Any]] = defaultdict(list)
    for edge in snapshot["edges"]:
        if "host" in tree.node[edge["from"]]:
            continue
        source, target = tree.shown(edge["from"], taken), tree.shown(edge["to"], taken)
        if source != target or (edge["recurrent"] and source == edge["from"]):
            merged[source, target, edge["recurrent"]].append(edge)
    links = [
        Link(source, target, tuple(edges[0]["shape"]), tuple(edges[0]["axes"]), recurrent, len(edges))
        for (source, target, recurrent), edges in merged.items()
        if source not in taken and target not in taken
    ]
    colours = axis_colours(snapshot)
    return Picture(snapshot["name"], tree, tuple(nodes[:MOST_VISIBLE]), frozenset(taken), tuple(links), colours)


def shape_text(shape: Sequence[int]) -> str:
    """A static shape in words: ``3 x 28 x 28``; inferred (-1) and free (-3) dimensions as ``?`` and ``*``."""
    return " x ".join({-1: "?", -2: "unknown", -3: "*"}.get(n, str(n)) for n in shape) or "scalar"


def axes_text(axes: Sequence[str]) -> str:
    """Dynamic axes in words, or nothing: ``[batch, sequence]``."""
    return f"[{', '.join(AXIS_NAMES.get(axis, axis) for axis in axes)}]" if axes else ""


def title_of(node: GraphNode) -> str:
    """The first line on a node's card."""
    if node["kind"] in LEAVES:
        return node["name"] or node["op"] or node["kind"]
    title = node["op"] or node["kind"]
    return f"{title} x{node['count']}" if "count" in node else title
