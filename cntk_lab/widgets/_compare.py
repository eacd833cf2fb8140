"""What differs between two graphs: nodes that came or went, and what changed on those that stayed.

Names and uids say nothing here: a mere renaming is no difference. Nodes are paired by what they do and by what
surrounds them, first where that is unique, then outwards from the pairs along equal ports. Works on checked snapshots;
knows no widget.

Idea: refining labels by neighbourhoods (Weisfeiler and Leman, 1968), then anchoring as in tree differencing.
"""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from hashlib import blake2b
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from cntk_lab.widgets._snapshot import GraphEdge, GraphNode, Snapshot, check
from cntk_lab.widgets._visible import shape_text

RADII: Final = (12, 6, 3, 2, 1, 0)
"""Neighbourhoods, in edges, by which nodes are paired, the widest first."""

MOST_TOLD: Final = 3
"""Changes inside a block that its note tells."""

What = Literal["attributes", "resized", "type", "axes", "rewired", "weights"]
Values = Callable[[str], npt.NDArray[Any] | None]


@dataclass(frozen=True, slots=True)
class Change:
    """What changed on one node that is in both graphs."""

    what: What
    before: str
    after: str
    words: str


@dataclass(frozen=True, slots=True)
class Difference:
    """Everything that differs; empty (and false) for graphs that compute the same."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changes: tuple[Change, ...]
    pairs: Mapping[str, str] = field(repr=False)

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changes)

    def __str__(self) -> str:
        lines = [f"+ {uid}" for uid in self.added] + [f"- {uid}" for uid in self.removed]
        lines += [f"~ {change.after}: {change.words}" for change in self.changes]
        return "\n".join(lines) or "no difference"


class _Side:
    """One of the two graphs: its nodes without blocks, who feeds them and whom they feed."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.node: dict[str, GraphNode] = {n["id"]: n for n in snapshot["nodes"] if n["kind"] != "block"}
        self.blocks = {n["id"]: n for n in snapshot["nodes"] if n["kind"] == "block"}
        edges = [edge for edge in snapshot["edges"] if edge["from"] in self.node and edge["to"] in self.node]
        self.inputs: dict[str, list[GraphEdge]] = defaultdict(list)
        self.users: dict[str, list[GraphEdge]] = defaultdict(list)
        for edge in edges:
            self.inputs[edge["to"]].append(edge)
            self.users[edge["from"]].append(edge)
        for uid in self.inputs:
            self.inputs[uid].sort(key=lambda edge: edge["port"])
        self.own = {uid: _short((node["op"], node["kind"])) for uid, node in self.node.items()}

    def labels(self, radius: int, *, sized: bool) -> dict[str, str]:
        """For each node a label of its neighbourhood; ``sized`` takes shapes and attributes in."""
        label = dict(self.own)
        if sized:
            label = {
                uid: _short((label[uid], node["shape"], node["attributes"], node["dtype"]))
                for uid, node in self.node.items()
            }
        for _ in range(radius):
            label = {
                uid: _short((
                    label[uid],
                    [(edge["port"], label[edge["from"]]) for edge in self.inputs[uid]],
                    sorted((edge["port"], label[edge["to"]]) for edge in self.users[uid]),
                ))
                for uid in self.node
            }  # fmt: skip
        return label

    def through(self, uid: str, gone: set[str]) -> Iterator[str]:
        """Where a value comes from when the nodes in ``gone`` are passed over."""
        seen, todo = {uid}, [uid]
        while todo:
            at = todo.pop()
            if at not in gone:
                yield at
                continue
            for edge in self.inputs[at]:
                if edge["from"] not in seen:
                    seen.add(edge["from"])
                    todo.append(edge["from"])


def _short(form: Any) -> str:
    return blake2b(json.dumps(form, sort_keys=True, default=str).encode(), digest_size=9).hexdigest()


def compare(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    values_before: Values | None = None,
    values_after: Values | None = None,
) -> Difference:
    """The difference of two graphs.

    Args:
        before: a snapshot of the first graph.
        after: a snapshot of the second one.
        values_before: gives the value of a parameter of the first graph by its uid.
        values_after: the same for the second; weights are compared where both are given.

    Raises:
        FormatError: if one of them is no snapshot.
    """
    a, b = _Side(check(before)), _Side(check(after))
    pairs = _pair(a, b)
    removed = {uid for uid in a.node if uid not in pairs}
    added = set(b.node) - set(pairs.values())
    changes = [change for x, y in pairs.items() for change in _changes(a.node[x], b.node[y])]
    changes += _rewired(a, b, pairs, removed, added)
    if values_before and values_after:
        changes += _weights(a, b, pairs, values_before, values_after)
    order = {uid: index for index, uid in enumerate(b.node)}
    return Difference(
        tuple(uid for uid in b.node if uid in added),
        tuple(uid for uid in a.node if uid in removed),
        tuple(sorted(changes, key=lambda change: order[change.after])),
        pairs,
    )


def _pair(a: _Side, b: _Side) -> dict[str, str]:
    """Pairs of nodes that are the same one, before -> after."""
    pairs: dict[str, str] = {}
    taken: set[str] = set()
    # what a pair must share: at first operator, attributes and shape, then the operator alone
    mark_a, mark_b = a.labels(0, sized=True), b.labels(0, sized=True)

    def take(x: str, y: str) -> bool:
        if x in pairs or y in taken or mark_a[x] != mark_b[y]:
            return False
        pairs[x] = y
        taken.add(y)
        return True

    def grow(start: list[str]) -> None:
        """From pairs outwards: what feeds the same port, and what is fed the same way where that is unique."""
        todo = deque(start)
        while todo:
            x = todo.popleft()
            y = pairs[x]
            ports = {edge["port"]: edge["from"] for edge in b.inputs[y]}
            todo.extend(
                edge["from"]
                for edge in a.inputs[x]
                if edge["port"] in ports and take(edge["from"], ports[edge["port"]])
            )
            ahead: dict[tuple[int, str], list[str]] = defaultdict(list)
            for edge in b.users[y]:
                if edge["to"] not in taken:
                    ahead[edge["port"], mark_b[edge["to"]]].append(edge["to"])
            here: dict[tuple[int, str], list[str]] = defaultdict(list)
            for edge in a.users[x]:
                if edge["to"] not in pairs:
                    here[edge["port"], mark_a[edge["to"]]].append(edge["to"])
            for key, users in here.items():
                if len(users) == 1 and len(ahead[key]) == 1 and take(users[0], ahead[key][0]):
                    todo.append(users[0])

    for sized in (True, False):
        mark_a, mark_b = a.labels(0, sized=sized), b.labels(0, sized=sized)
        for radius in RADII:
            ours, theirs = _grouped(a, radius, pairs, sized=sized), _grouped(b, radius, taken, sized=sized)
            for label, group in ours.items():
                others = theirs.get(label, [])
                # of nodes that look alike, one pair is taken and its surroundings with it, then the next
                if len(group) == len(others) and (len(group) == 1 or radius == RADII[0]):
                    for x in group:
                        y = next((other for other in others if other not in taken), None)
                        if y is not None and take(x, y) and (len(group) > 1 or radius <= RADII[-3]):
                            grow([x])
        grow(list(pairs))
    left = [x for x in a.node if x not in pairs]
    right = [y for y in b.node if y not in taken]
    matcher = SequenceMatcher(None, [a.own[x] for x in left], [b.own[y] for y in right], autojunk=False)
    for i, j, count in matcher.get_matching_blocks():
        for k in range(count):
            if _near(a, b, left[i + k], right[j + k], pairs):
                take(left[i + k], right[j + k])
    return pairs


def _grouped(side: _Side, radius: int, known: Any, *, sized: bool) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for uid, label in side.labels(radius, sized=sized).items():
        # a parameter goes with the node that uses it
        if uid not in known and side.node[uid]["kind"] not in ("parameter", "constant"):
            groups[label].append(uid)
    return groups


def _near(a: _Side, b: _Side, x: str, y: str, pairs: Mapping[str, str]) -> bool:
    """Whether two nodes have a paired neighbour in the same place."""
    feeds = {(edge["port"], edge["from"]) for edge in b.inputs[y]}
    fed = {(edge["port"], edge["to"]) for edge in b.users[y]}
    return any((edge["port"], pairs.get(edge["from"])) in feeds for edge in a.inputs[x]) or any(
        (edge["port"], pairs.get(edge["to"])) in fed for edge in a.users[x]
    )


def _changes(x: GraphNode, y: GraphNode) -> Iterator[Change]:
    for key in sorted({*x["attributes"], *y["attributes"]}):
        old, new = x["attributes"].get(key), y["attributes"].get(key)
        if old != new:
            yield Change("attributes", x["id"], y["id"], f"{key}: {old} became {new}")
    if x["shape"] != y["shape"]:
        yield Change("resized", x["id"], y["id"], f"shape {shape_text(x['shape'])} became {shape_text(y['shape'])}")
    if x["dtype"] != y["dtype"]:
        yield Change("type", x["id"], y["id"], f"{x['dtype']} became {y['dtype']}")
    if len(x["axes"]) != len(y["axes"]):
        yield Change("axes", x["id"], y["id"], f"axes {x['axes']} became {y['axes']}")


def _rewired(a: _Side, b: _Side, pairs: Mapping[str, str], removed: set[str], added: set[str]) -> Iterator[Change]:
    """Nodes fed by something else; what came in between or went from there is no rewiring."""
    for x, y in pairs.items():
        ours = {edge["port"]: edge for edge in a.inputs[x]}
        theirs = {edge["port"]: edge for edge in b.inputs[y]}
        for port in sorted({*ours, *theirs}):
            if port not in ours or port not in theirs:
                kept = theirs.get(port) or ours[port]
                if kept["from"] not in added and kept["from"] not in removed:
                    yield Change("rewired", x, y, f"input {port} {'came' if port in theirs else 'went'}")
                continue
            old, new = ours[port]["from"], theirs[port]["from"]
            if pairs.get(old) == new and ours[port]["recurrent"] == theirs[port]["recurrent"]:
                continue
            before = {pairs[source] for source in a.through(old, removed)}
            now = set(b.through(new, added))
            if not before & now or (old not in removed and new not in added):
                name = b.node[new]["name"] or new
                yield Change("rewired", x, y, f"input {port} is now {name}")


def merged(before: Mapping[str, Any], after: Mapping[str, Any], difference: Difference) -> dict[str, Any]:
    """The second graph with what went from the first one put back, every difference marked on its node and its blocks.

    Args:
        before: a snapshot of the first graph.
        after: a snapshot of the second graph.
        difference: of the two.

    Returns:
        A snapshot whose nodes carry ``change`` (added, removed, changed) and ``note`` (what changed, in words). A block
        of which everything is new is new; one of which everything went is put back as a block.
    """
    a, b = check(before), check(after)
    place = dict(difference.pairs)
    known = {node["id"] for node in b["nodes"]}
    gone, new = set(difference.removed), set(difference.added)
    whole_gone, whole_new = _whole(a, gone), _whole(b, new)
    for uid in [*difference.removed, *(n["id"] for n in a["nodes"] if n["id"] in whole_gone)]:
        place[uid] = f"removed:{uid}"
        while place[uid] in known:
            place[uid] += "'"
    block_of: dict[str | None, str] = {**_blocks_of(a, b, difference.pairs), **{uid: place[uid] for uid in whole_gone}}
    notes: dict[str, list[str]] = defaultdict(list)
    for change in difference.changes:
        notes[change.after].append(change.words)
    lost = [
        {**node, "id": place[node["id"]], "parent": block_of.get(node["parent"]), "change": "removed", "note": ""}
        for node in a["nodes"]
        if node["id"] in gone or node["id"] in whole_gone
    ]
    about = _about_blocks(b, lost, difference, whole_new)
    nodes: list[Any] = []
    for node in b["nodes"]:
        uid = node["id"]
        if uid in new or uid in whole_new:
            nodes.append({**node, "change": "added", "note": ""})
        elif uid in notes or uid in about:
            nodes.append({**node, "change": "changed", "note": "; ".join(notes.get(uid) or about[uid])})
        else:
            nodes.append({**node})
    edges = [*b["edges"]]
    edges += [
        {**edge, "from": place[edge["from"]], "to": place[edge["to"]]}
        for edge in a["edges"]
        if edge["from"] in gone or edge["to"] in gone
    ]
    name = f"{b['name']}, changed" if a["name"] == b["name"] else f"from {a['name']} to {b['name']}"
    return {**b, "name": name, "nodes": nodes + lost, "edges": edges}


def _around(nodes: Mapping[str, Any], uid: str) -> Iterator[str]:
    """The blocks around a node, from the innermost on."""
    at = nodes[uid]["parent"]
    while at is not None:
        yield at
        at = nodes[at]["parent"]


def _whole(graph: Snapshot, some: set[str]) -> set[str]:
    """The blocks of which every node is one of some."""
    nodes = {node["id"]: node for node in graph["nodes"]}
    kept: set[str] = set()
    held: set[str] = set()
    for uid, node in nodes.items():
        if node["kind"] != "block":
            (held if uid in some else kept).update(_around(nodes, uid))
    return held - kept


def _about_blocks(
    b: Snapshot, lost: list[dict[str, Any]], difference: Difference, whole_new: set[str]
) -> dict[str, list[str]]:
    """What changed inside a block of the second graph, in words; the most telling first."""
    nodes: dict[str, Any] = {node["id"]: node for node in b["nodes"]} | {node["id"]: node for node in lost}
    found: dict[str, list[tuple[int, str]]] = defaultdict(list)
    new = set(difference.added)
    came: dict[str, list[str]] = defaultdict(list)
    went: dict[str, list[str]] = defaultdict(list)
    for uid in [*(n["id"] for n in b["nodes"] if n["id"] in new or n["id"] in whole_new), *(n["id"] for n in lost)]:
        node, around = nodes[uid], list(_around(nodes, uid))
        inside_whole = around and (around[0] in whole_new or nodes[around[0]].get("change") == "removed")
        if inside_whole or node["kind"] in ("parameter", "constant"):
            continue
        for block in around:
            (came if uid in new or uid in whole_new else went)[block].append(node["op"] or node["name"])
    for block in dict.fromkeys([*came, *went]):
        if len(came[block]) == len(went[block]) == 1:
            found[block].append((0, f"{went[block][0]} → {came[block][0]}"))
        else:
            found[block] += [(0, f"+ {op}") for op in came[block]] + [(0, f"− {op}") for op in went[block]]
    for change in difference.changes:
        node = nodes[change.after]
        held = node["kind"] in ("parameter", "constant")
        what = node["name"] if held else node["op"]
        rank = 1 if held and change.what == "resized" else 3 if change.what in ("resized", "weights") else 2
        words = change.words.replace("shape ", "", 1).replace(" became ", " → ")
        for block in _around(nodes, change.after):
            found[block].append((rank, f"{what}: {words}" if what else words))
    about = {}
    for block, said in found.items():
        told = sorted(dict.fromkeys(said), key=lambda entry: entry[0])
        # a layer that became wider resizes all that follows in it: that goes without saying
        told = [entry for entry in told if entry[0] < 3] or told
        texts = [text for _, text in told]
        about[block] = texts[:MOST_TOLD] + ([f"and {len(texts) - MOST_TOLD} more"] if len(texts) > MOST_TOLD else [])
    return about


def _blocks_of(a: Snapshot, b: Snapshot, pairs: Mapping[str, str]) -> dict[str | None, str]:
    """For each block of the first graph the one of the second that holds most of what was in it."""
    parent = {node["id"]: node["parent"] for node in b["nodes"]}
    votes: dict[str | None, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for node in a["nodes"]:
        new = parent[pairs[node["id"]]] if node["id"] in pairs else None
        if new is not None:
            votes[node["parent"]][new] += 1
    return {block: max(count, key=lambda uid: count[uid]) for block, count in votes.items() if block is not None}


def _weights(
    a: _Side, b: _Side, pairs: Mapping[str, str], values_before: Values, values_after: Values
) -> Iterator[Change]:
    for x, y in pairs.items():
        if a.node[x]["kind"] not in ("parameter", "constant") or a.node[x]["shape"] != b.node[y]["shape"]:
            continue
        old, new = values_before(x), values_after(y)
        if old is None or new is None or np.array_equal(old, new, equal_nan=True):
            continue
        moved = np.abs(np.asarray(new, np.float64) - np.asarray(old, np.float64))
        finite = moved[np.isfinite(moved)]
        most = f"by {finite.max():.3g} at most" if finite.size == moved.size else "some to or from no number"
        yield Change("weights", x, y, f"{np.count_nonzero(moved)} of {moved.size} weights moved, {most}")
