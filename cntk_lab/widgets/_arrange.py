"""Make any graph readable: parameters stand on the nodes that use them, every output has a node, what belongs together
is one box that opens.

Takes a checked snapshot and gives a snapshot in which no block (nor the graph itself) shows more than
``MOST_CHILDREN`` things at once. What it adds are nodes of kind ``output``, ``repeat`` ("bottleneck x3") and ``group``:
a recurrence, an attention, a unit of a long row, or a stretch of it. They open like blocks. A level that can be seen at
once is left as it was written, but for recurrences and attentions. The same for every viewer: the live view, the
static picture and the document viewer.

Idea: rolled-up modules of torchview, group nodes of Model Explorer.
"""

from __future__ import annotations

import itertools
import json
import math
from collections import defaultdict
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final, cast

from cntk_lab.widgets._docs import docs_of
from cntk_lab.widgets._repeats import Row
from cntk_lab.widgets._snapshot import GraphEdge, GraphNode, Snapshot
from cntk_lab.widgets._structure import Found, Level, unit_name

MOST_CHILDREN: Final = 150
"""Nodes of a level that are shown one by one."""
FEWEST_REPEATS: Final = 3
FEWEST_LAYERS: Final = 6
"""Equal layers in a row that are folded also where there is room for them; of large blocks ``FEWEST_REPEATS`` are."""
LARGE: Final = 4
"""Nodes in a block that makes a row long."""
MOST_ENDS: Final = 10
"""Inputs (and outputs) that stay beside the groups of a long list."""
ENDS: Final = ("input", "placeholder", "output")
PLACES: Final = {"input": 0, "placeholder": 0, "output": 2}
"""Among what a block holds inputs come first, outputs last."""
LEAVES: Final = (*ENDS, "parameter", "constant")


def arrange(snapshot: Snapshot) -> Snapshot:
    """The snapshot with hosted parameters, folded repeats and groups; nodes in an order along the edges.

    Args:
        snapshot: a checked snapshot without ``repeat`` and ``group`` nodes.
    """
    return _Arrangement(snapshot).result()


class _Arrangement:
    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.node: dict[str, GraphNode] = {node["id"]: node.copy() for node in snapshot["nodes"]}
        self.edges: list[GraphEdge] = list(snapshot["edges"])
        self.added: set[str] = set()
        self._dissolve()
        self._add_outputs()
        self._host_parameters()
        self.children: dict[str | None, list[str]] = defaultdict(list)
        for node in self.node.values():
            if "host" not in node:
                self.children[node["parent"]].append(node["id"])
        self._lift_edges()
        self._digest: dict[str, str] = {}

    def result(self) -> Snapshot:
        for container in list(self.children):
            self.children[container] = self._ordered(container)
        for container in list(self.children):
            self._find_cells(container)
        touched = self._touched()
        for container in list(self.children) if touched else ():
            self._fold_unchanged(container, touched)
        todo = list(self.children)
        while todo:
            container = todo.pop()
            known = set(self.children)
            if container is not None and self.node[container]["kind"] == "repeat":
                self._stretch(container)  # its children are its units
            elif len(self._steps(container)) > MOST_CHILDREN:
                self._find_units(container)
                self._fold(container, range(1, len(self.children[container])))
                self._stretch(container)
            else:
                self._fold(container, range(1, 2))
            todo.extend(uid for uid in self.children if uid not in known)
        for container, children in self.children.items():
            self.children[container] = sorted(children, key=lambda uid: PLACES.get(self.node[uid]["kind"], 1))
        self._count_parameters()
        docs = docs_of(node["op"] for node in self.snapshot["nodes"] if node["kind"] in ("function", "block"))
        return {**self.snapshot, "nodes": self._in_order(), "edges": self.edges, "docs": docs}

    def _steps(self, container: str | None) -> list[str]:
        return [uid for uid in self.children[container] if self.node[uid]["kind"] not in LEAVES]

    def _dissolve(self) -> None:
        """Take away blocks that compute nothing: those that only hand several values on."""
        busy = {edge["from"] for edge in self.edges} | {edge["to"] for edge in self.edges}
        parents = {node["parent"] for node in self.node.values()}
        kept = busy | parents | set(self.snapshot["outputs"])
        for uid, node in list(self.node.items()):
            if node["kind"] == "block" and uid not in kept:
                del self.node[uid]
        gone = {
            uid: node["parent"] for uid, node in self.node.items() if node["kind"] == "block" and node["op"] == "Tuple"
        }
        gone = {uid: parent for uid, parent in gone.items() if uid not in busy}
        for node in self.node.values():
            while node["parent"] in gone:
                node["parent"] = gone[node["parent"]]
        for uid in gone:
            del self.node[uid]

    def _add_outputs(self) -> None:
        """A node for every output, or one for all where there are many."""
        outputs = [uid for uid in self.snapshot["outputs"] if uid in self.node]
        for group in [outputs] if len(outputs) > MOST_ENDS else [[uid] for uid in outputs]:
            first = self.node[group[0]]
            uid = f"output:{group[0]}"
            while uid in self.node:
                uid += "'"
            name = (first["name"] or self._name_around(first)) if len(group) == 1 else f"{len(group)} outputs"
            self.node[uid] = {**_plain_node(uid, first), "kind": "output", "op": "Output", "name": name}
            self.added.add(uid)
            for port, source in enumerate(group[:MOST_CHILDREN]):
                node = self.node[source]
                edge = {"from": source, "to": uid, "port": port, "shape": node["shape"], "axes": node["axes"]}
                self.edges.append(cast("GraphEdge", {**edge, "recurrent": False}))

    def _name_around(self, node: GraphNode) -> str:
        """The name of the nearest block that has one and of which a node gives the value."""
        while not node["name"] and node["parent"] is not None and node["parent"] in self.node:
            node = self.node[node["parent"]]
        return node["name"]

    def _path(self, uid: str) -> list[str]:
        found = [uid]
        while (parent := self.node[found[-1]]["parent"]) is not None:
            found.append(parent)
        return found[::-1]

    def _host_parameters(self) -> None:
        """Put a parameter on its users: it lies beside the first, and stands on the others as shared."""
        users: dict[str, list[str]] = defaultdict(list)
        for edge in self.edges:
            if self.node[edge["from"]]["kind"] in ("parameter", "constant"):
                users[edge["from"]].append(edge["to"])
        self.users = users
        self.hosted: dict[str, list[str]] = defaultdict(list)
        for uid, using in users.items():
            if uid in self.snapshot["outputs"]:
                continue
            self.node[uid]["host"] = using[0]
            self.node[uid]["parent"] = self.node[using[0]]["parent"]
            for user in dict.fromkeys(using):
                self.hosted[user].append(uid)

    def _lift_edges(self) -> None:
        """For every container, the edges between its children and what comes from outside."""
        self.inside: dict[str | None, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        self.outside: dict[str, set[str]] = defaultdict(set)
        self.back: dict[str | None, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        """The same for what feeds the next step."""
        self.leaves: set[str] = set(self.snapshot["outputs"])
        for edge in self.edges:
            if "host" in self.node[edge["from"]]:
                continue
            source, target = self._path(edge["from"]), self._path(edge["to"])
            common = 0
            while common < min(len(source), len(target)) and source[common] == target[common]:
                common += 1
            if common == min(len(source), len(target)):
                continue  # an edge from a block to its own inside
            container = source[common - 1] if common else None
            if edge["recurrent"]:
                self.back[container][target[common]].add(source[common])
                continue
            self.inside[container][target[common]].add(source[common])
            for block in target[common + 1 :]:
                self.outside[block].add(edge["from"])
            self.leaves.update(source[common + 1 :])

    def _ordered(self, container: str | None) -> list[str]:
        """The children in an order along the edges, as close to the given one as that allows."""
        children, edges = self.children[container], self.inside[container]
        position = {uid: index for index, uid in enumerate(children)}
        done: set[str] = set()
        order: list[str] = []
        for start in children:
            stack = [(start, iter(sorted(edges.get(start, ()), key=lambda uid: position.get(uid, -1))))]
            entered = {start}
            while stack:
                uid, sources = stack[-1]
                if uid in done:
                    stack.pop()
                    continue
                following = next((s for s in sources if s not in done and s not in entered and s in position), None)
                if following is None:
                    done.add(uid)
                    order.append(uid)
                    stack.pop()
                else:
                    entered.add(following)
                    stack.append(
                        (following, iter(sorted(edges.get(following, ()), key=lambda uid: position.get(uid, -1))))
                    )
        return order

    def digest(self, uid: str) -> str:
        """Short text equal for nodes that do the same: operator, attributes, shapes and insides, but not names."""
        if uid not in self._digest:
            node = self.node[uid]
            inside = self.children.get(uid, ())
            place = {child: index for index, child in enumerate(inside)}
            form = (
                node["op"], node["kind"], node.get("change"), node["shape"], node["axes"], node["dtype"],
                node["attributes"],
                [self.node[parameter]["shape"] for parameter in self.hosted.get(uid, ())],
                [
                    (self.digest(child), sorted(place.get(s, -1) for s in self.inside[uid].get(child, ())))
                    for child in inside
                ],
            )  # fmt: skip
            text = json.dumps(form, sort_keys=True, default=str)
            self._digest[uid] = blake2b(text.encode(), digest_size=12).hexdigest()
        return self._digest[uid]

    def _find_cells(self, container: str | None) -> None:
        """Make a group of every attention and of every loop through time among other things."""
        level = self._level(container)
        found = [f for f in level.attentions() if len(f.members) < len(level.order)]
        if found:
            self._wrap("group", found, container)
            self.children[container] = self._ordered(container)
            level = self._level(container)
        back = self.back.get(container)
        if not back:
            return
        # a layer that is one loop is shown as it is
        loops = [f for f in level.loops(back) if container is None or 2 * len(f.members) < len(level.order)]
        if loops:
            self._wrap("group", loops, container)
            self.children[container] = self._ordered(container)

    def _touched(self) -> set[str]:
        """What differs from another model, and every block around it."""
        touched: set[str] = set()
        for uid, node in self.node.items():
            if "change" in node:
                touched.update(*(self._path(user) for user in self.users.get(uid, [uid])), self._path(uid))
        return touched

    def _fold_unchanged(self, container: str | None, touched: set[str]) -> None:
        """Put stretches between differences into one box each; what is beside a difference stays to be seen."""
        steps = self._steps(container)
        if touched.isdisjoint(steps):
            return
        found = []
        for same, run in itertools.groupby(range(len(steps)), lambda index: steps[index] not in touched):
            places = list(run)
            places = places[places[0] > 0 : len(places) - (places[-1] + 1 < len(steps))]
            if same and len(places) >= FEWEST_REPEATS:
                found.append(Found("unchanged", f"{len(places)} nodes", tuple(steps[index] for index in places)))
        if found:
            self._wrap("group", found, container)
            self.children[container] = self._ordered(container)

    def _find_units(self, container: str | None) -> None:
        level = self._level(container)
        self._wrap("group", [f for f in level.units(self._kernel) if len(f.members) < len(level.order)], container)
        self.children[container] = self._ordered(container)

    def _level(self, container: str | None) -> Level:
        node = self.node
        return Level(
            self._steps(container), self.inside[container], lambda uid: node[uid]["op"], lambda uid: node[uid]["name"]
        )

    def _kernel(self, uid: str) -> int:
        """Elements of the kernel of a convolution, from the shape of its weights; 0 for anything else."""
        if not self.node[uid]["op"].startswith("Conv"):
            return 0
        inside = [uid, *self.children.get(uid, ())]
        held = [self.node[p]["shape"] for user in inside for p in self.hosted.get(user, ())]
        return next((math.prod(shape[2:]) for shape in held if len(shape) > 2), 0)

    def _wrap(self, kind: str, found: Sequence[Found], container: str | None) -> list[str]:
        """Put siblings into nodes of their own; who feeds whom is lifted to these, in one walk over the level."""
        inside_of: dict[str, str] = {}
        made = []
        users: dict[str, list[str]] = defaultdict(list)
        for target, fed in self.inside[container].items():
            for source in fed:
                users[source].append(target)
        for one in found:
            members = set(one.members)
            leaving = (uid for uid in reversed(one.members) if not members.issuperset(users.get(uid, ())))
            last = self.node[next(leaving, one.members[-1])]
            uid = self._add(kind, one.op, container, list(one.members), last)
            self.node[uid]["name"] = one.name
            inside_of.update(dict.fromkeys(one.members, uid))
            made.append(uid)
            self.outside[uid] = set().union(*(self.outside[member] for member in one.members if member in self.outside))
            if not self.leaves.isdisjoint(one.members):
                self.leaves.add(uid)
        for edges in (self.inside, self.back):
            lifted: dict[str, set[str]] = defaultdict(set)
            for target, fed in edges[container].items():
                around = inside_of.get(target)
                for source in fed:
                    lies = inside_of.get(source)
                    if around is not None and lies == around:
                        edges[around][target].add(source)
                    else:
                        lifted[around or target].add(lies or source)
            edges[container] = lifted
        self.children[container] = list(dict.fromkeys(inside_of.get(uid, uid) for uid in self.children[container]))
        return made

    def _fold(self, container: str | None, periods: range) -> None:
        """Replace runs of equal units in a chain by one ``repeat`` node that holds them."""
        long = len(periods) > 1
        order = self.children[container]
        if len(order) < FEWEST_REPEATS:
            return
        ends = {uid for uid in self.leaves if not self.children.get(uid)}
        row = Row(order, [self.digest(uid) for uid in order], self.inside[container], ends, 2)
        start = 0
        runs: list[tuple[list[str], int, int]] = []
        while start < len(row.order):
            period, repeats = row.longest_run(start, periods)
            unit = row.order[start : start + period]
            grouped = any(self.node[uid]["kind"] == "group" for uid in unit)
            blocks = all(self.node[uid]["kind"] == "block" for uid in unit)
            large = all(len(self.children.get(uid, ())) >= LARGE for uid in unit)
            fewest = (2 if grouped else FEWEST_REPEATS) if long or large else FEWEST_LAYERS
            if repeats < fewest or not (long or blocks):
                start += 1
                continue
            runs.append((row.order[start : start + period * repeats], period, repeats))
            start += period * repeats
        if runs:
            self._repeat_nodes(container, runs)

    def _repeat_nodes(self, container: str | None, runs: list[tuple[list[str], int, int]]) -> None:
        """One ``repeat`` for every run (its members, the members of a unit, how often); units of several are groups."""
        repeats, units = [], []
        for members, period, count in runs:
            first, last = self.node[members[0]], self.node[members[-1]]
            name = f"{first['name']} … {last['name']}" if first["name"] and last["name"] else ""
            label = unit_name([self.node[uid]["op"] for uid in members[:period]])
            repeats.append((Found(label, name, tuple(members)), count))
            for number in range(count if period > 1 else 0):
                unit = members[number * period : (number + 1) * period]
                units.append(Found(label, f"{number + 1} of {count}", tuple(unit)))
        unit_of = {
            member: uid
            for uid, unit in zip(self._wrap("group", units, container), units, strict=True)
            for member in unit.members
        }
        found = [
            Found(one.op, one.name, tuple(dict.fromkeys(unit_of.get(uid, uid) for uid in one.members)))
            for one, _ in repeats
        ]
        for uid, (_, count) in zip(self._wrap("repeat", found, container), repeats, strict=True):
            self.node[uid]["count"] = count

    def _stretch(self, container: str | None) -> None:
        """Cut a list of children that is still too long into stretches, and the list of stretches again if need be."""
        ends = [uid for uid in self.children[container] if self.node[uid]["kind"] in ENDS]
        ends = ends if len(ends) <= 2 * MOST_ENDS else []
        known = set(ends)
        steps = [uid for uid in self.children[container] if uid not in known]
        total = len(steps)
        numbers = {uid: (index + 1, index + 1) for index, uid in enumerate(steps)}
        while len(ends) + len(steps) > MOST_CHILDREN:
            size = min(MOST_CHILDREN, max(2, math.isqrt(len(steps) - 1) + 1))
            stretches = [steps[start : start + size] for start in range(0, len(steps), size)]
            steps = []
            for members in stretches:
                label = unit_name([self.node[members[0]]["op"], self.node[members[-1]]["op"]])
                uid = self._add("group", label, container, members, self.node[members[-1]])
                numbers[uid] = (numbers[members[0]][0], numbers[members[-1]][1])
                self.node[uid]["name"] = f"{numbers[uid][0]}-{numbers[uid][1]} of {total}"
                steps.append(uid)
        self.children[container] = ends + steps

    def _add(self, kind: str, op: str, container: str | None, members: list[str], last: GraphNode) -> str:
        uid = f"{kind}:{members[0]}"
        while uid in self.node:
            uid += "'"
        self.node[uid] = {**_plain_node(uid, last), "kind": kind, "op": op, "parent": container}
        for member in members:
            self.node[member]["parent"] = uid
            for held in self.hosted.get(member, ()):
                if self.node[held].get("host") == member:
                    self.node[held]["parent"] = uid
        self.children[uid] = list(members)
        self.added.add(uid)
        return uid

    def _count_parameters(self) -> None:
        """Blocks, repeats and groups hold the numbers of what is inside them."""
        total: dict[str, int] = defaultdict(int)
        for node in self.node.values():
            if node["kind"] == "parameter":
                target = node.get("host")
                for block in self._path(node["id"])[:-1] + ([target] if target else []):
                    total[block] += node["parameters"]
        for uid, node in self.node.items():
            if node["kind"] != "parameter":
                node["parameters"] = total[uid] if uid in total else (0 if uid in self.added else node["parameters"])

    def _in_order(self) -> list[GraphNode]:
        """Every node after the block it lies in, siblings along the edges, parameters after their host."""
        order: list[GraphNode] = []
        stack = list(reversed(self.children[None]))
        while stack:
            uid = stack.pop()
            order.append(self.node[uid])
            order.extend(self.node[p] for p in self.hosted.get(uid, ()) if self.node[p].get("host") == uid)
            stack.extend(reversed(self.children.get(uid, ())))
        return order


def _plain_node(uid: str, like: GraphNode) -> GraphNode:
    """A node that nothing is known of but that its value is like another's."""
    return GraphNode(
        id=uid, op="", name="", kind="group", shape=like["shape"], axes=like["axes"], dtype=like["dtype"], parent=None,
        attributes={}, source=None, parameters=0,
    )  # fmt: skip
