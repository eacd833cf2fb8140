"""A graph as plain data: what it must look like, and its tree of blocks.

A snapshot may come from a file of unknown origin, so :func:`check` reads it with suspicion: types, sizes and
references are checked, text is cut, and what is not known is refused. Nothing here knows how a graph is drawn, nor
the graph of ``cntk_lab.graph`` itself; ``engine.inspect`` and the file formats write this form.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final, NotRequired, TypedDict, cast

from cntk_lab._words import shown
from cntk_lab.errors import FormatError

FORMAT: Final = "cntk-lab-graph"
VERSION: Final = 1
MIME: Final = "application/vnd.cntk.graph+json"
KINDS: Final = ("function", "input", "parameter", "constant", "placeholder", "output", "block", "group", "repeat")
MOST_NODES: Final = 1_000_000
MOST_EDGES: Final = 4_000_000
CHANGES: Final = ("added", "removed", "changed")
DEEPEST: Final = 100


class GraphNode(TypedDict):
    """One node; a block is a node whose inside nodes name it as ``parent``."""

    id: str
    op: str
    name: str
    kind: str
    shape: list[int]
    axes: list[str]
    dtype: str
    parent: str | None
    attributes: dict[str, Any]
    source: str | None
    parameters: int
    host: NotRequired[str]
    count: NotRequired[int]
    problem: NotRequired[str]
    change: NotRequired[str]
    note: NotRequired[str]


# `from` is a word of Python, hence the functional form
GraphEdge = TypedDict(
    "GraphEdge",
    {"from": str, "to": str, "port": int, "shape": list[int], "axes": list[str], "recurrent": bool},
)


class Snapshot(TypedDict):
    """A whole graph: nodes with their blocks, edges between inside nodes, and the uids of the outputs."""

    format: str
    version: int
    name: str
    nodes: list[GraphNode]
    edges: list[GraphEdge]
    outputs: list[str]
    docs: NotRequired[dict[str, str]]


def check(data: Mapping[str, Any]) -> Snapshot:
    """A snapshot of the same graph in which every field is there, of its type, and within limits.

    Args:
        data: what claims to be a snapshot.

    Raises:
        FormatError: if it is none, names nodes that do not exist, nests blocks in a circle, or is too large to show.
    """
    if data.get("format") != FORMAT or data.get("version") != VERSION:
        raise FormatError(
            f"not a graph of format {FORMAT!r}, version {VERSION}: "
            f"format {_text(data.get('format'))!r}, version {_text(data.get('version'))!r}"
        )
    raw_nodes, raw_edges = data.get("nodes"), data.get("edges")
    if not isinstance(raw_nodes, list) or not isinstance(raw_edges, list):
        raise FormatError("the graph holds no list of nodes or no list of edges")
    if len(raw_nodes) > MOST_NODES or len(raw_edges) > MOST_EDGES:
        raise FormatError(
            f"the graph is too large to show: {len(raw_nodes)} nodes (limit {MOST_NODES}), "
            f"{len(raw_edges)} edges (limit {MOST_EDGES})"
        )
    nodes = [_node(entry) for entry in raw_nodes]
    known = {node["id"] for node in nodes}
    if len(known) != len(nodes):
        raise FormatError(f"two nodes of the graph have the same id ({len(nodes)} nodes, {len(known)} ids)")
    for node in nodes:
        if node["parent"] is not None and node["parent"] not in known:
            raise FormatError(f"node {node['id']!r} lies in block {node['parent']!r}, which does not exist")
    edges = [_edge(entry, known) for entry in raw_edges]
    _check_tree(nodes)
    outputs = [str(uid) for uid in data.get("outputs") or () if uid in known]
    return Snapshot(
        format=FORMAT, version=VERSION, name=_text(data.get("name")), nodes=nodes, edges=edges, outputs=outputs
    )


def _node(entry: Any) -> GraphNode:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("id"), str):
        raise FormatError(f"a node of the graph has no id: {_text(entry)}")
    kind = entry.get("kind", "function")
    if kind not in KINDS:
        raise FormatError(f"node {_text(entry['id'])!r} is of kind {_text(kind)!r}; there are: {', '.join(KINDS)}")
    attributes = entry.get("attributes") or {}
    if not isinstance(attributes, Mapping):
        raise FormatError(f"the attributes of node {_text(entry['id'])!r} are no table of names and values")
    node = GraphNode(
        id=entry["id"],
        op=_text(entry.get("op")),
        name=_text(entry.get("name")),
        kind=kind,
        shape=_shape(entry.get("shape")),
        axes=[_text(axis) for axis in entry.get("axes") or ()][:16],
        dtype=_text(entry.get("dtype")),
        parent=None if entry.get("parent") is None else str(entry["parent"]),
        attributes={_text(key): plain(value) for key, value in list(attributes.items())[:200]},
        source=None if entry.get("source") is None else _text(entry["source"]),
        parameters=_count(entry.get("parameters")),
    )
    if entry.get("problem"):
        node["problem"] = _text(entry["problem"])
    if entry.get("change") in CHANGES:
        node["change"], node["note"] = entry["change"], _text(entry.get("note"))
    return node


def _edge(entry: Any, known: set[str]) -> GraphEdge:
    if not isinstance(entry, Mapping) or entry.get("from") not in known or entry.get("to") not in known:
        raise FormatError(f"an edge of the graph leads from or to a node that does not exist: {_text(entry)}")
    return cast(
        "GraphEdge",
        {
            "from": entry["from"],
            "to": entry["to"],
            "port": _count(entry.get("port")),
            "shape": _shape(entry.get("shape")),
            "axes": [_text(axis) for axis in entry.get("axes") or ()][:16],
            "recurrent": bool(entry.get("recurrent")),
        },
    )


def _check_tree(nodes: Iterable[GraphNode]) -> None:
    """Raise where blocks contain each other or are nested too deep to follow."""
    parent = {node["id"]: node["parent"] for node in nodes}
    depth: dict[str | None, int] = {None: 0}
    for start in parent:
        path: list[str] = []
        on_path: set[str] = set()
        at: str | None = start
        while at is not None and at not in depth:
            if at in on_path:
                raise FormatError(f"block {_text(at)!r} lies inside itself")
            on_path.add(at)
            path.append(at)
            at = parent[at]
        for uid in reversed(path):
            depth[uid] = depth[parent[uid]] + 1
            if depth[uid] > DEEPEST:
                raise FormatError(f"block {_text(parent[uid])!r} lies {DEEPEST} blocks deep; deeper cannot be shown")


def _text(value: Any) -> str:
    """Text of a value that can be shown; none for None."""
    return "" if value is None else shown(value)


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0


def _shape(value: Any) -> list[int]:
    if value is None:
        return []
    if not isinstance(value, (list, tuple)) or not all(isinstance(n, int) for n in value):
        raise FormatError(f"a shape is not a list of whole numbers: {_text(value)}")
    return [int(n) for n in value[:16]]


def plain(value: Any, depth: int = 0) -> Any:
    """An attribute's value as JSON that every browser reads: numbers, text, lists and tables, of sensible size."""
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping) and depth < 3:
        return {_text(key): plain(inner, depth + 1) for key, inner in list(value.items())[:50]}
    if isinstance(value, (list, tuple)) and depth < 3:
        return [plain(inner, depth + 1) for inner in value[:50]]
    return _text(value)


class Tree:
    """The blocks of a snapshot as a tree, with what lifts an edge to the blocks that are shown.

    Args:
        snapshot: a checked snapshot.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self.node = {node["id"]: node for node in snapshot["nodes"]}
        self.children: dict[str | None, list[str]] = {None: []}
        for node in snapshot["nodes"]:
            if "host" not in node:
                self.children.setdefault(node["parent"], []).append(node["id"])
        self.hosted: dict[str, list[str]] = {}
        for node in snapshot["nodes"]:
            if "host" in node:
                self.hosted.setdefault(node["host"], []).append(node["id"])
        for edge in snapshot["edges"]:
            if "host" in self.node[edge["from"]] and edge["from"] not in self.hosted.setdefault(edge["to"], []):
                self.hosted[edge["to"]].append(edge["from"])  # shared with the host

    def path(self, uid: str) -> list[str]:
        """The blocks around a node from the outermost on, and the node itself."""
        found = [uid]
        while (parent := self.node[found[-1]]["parent"]) is not None:
            found.append(parent)
        return found[::-1]

    def shown(self, uid: str, opened: set[str]) -> str:
        """The outermost closed block around a node, or the node itself when every block around it is open."""
        path = self.path(uid)
        return next((block for block in path[:-1] if block not in opened), path[-1])

    def is_block(self, uid: str) -> bool:
        """Whether a node has something inside that can be shown."""
        return bool(self.children.get(uid))
