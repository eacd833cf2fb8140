"""Make any graph readable: parameters stand on the node that uses them, repeats are folded, long lists are grouped.

Takes a checked snapshot and gives a snapshot in which no block (nor the graph itself) shows more than
``MOST_CHILDREN`` things at once. What it adds are nodes of kind ``repeat`` ("Dense x12") and ``group`` (a stretch of
the graph in its order), which open like blocks. The same for every viewer: the live view, the static picture and the
document viewer.

Idea: rolled-up modules of torchview, group nodes of Model Explorer.
"""

from __future__ import annotations

import itertools
import json
import math
from collections import defaultdict
from collections.abc import Mapping
from hashlib import blake2b
from typing import Final

import numpy as np

from cntk_lab.widgets._snapshot import GraphNode, Snapshot

MOST_CHILDREN: Final = 60
LONGEST_UNIT: Final = 24
"""Nodes beside each other that may form the unit of a repeat."""
FEWEST_REPEATS: Final = 3
PATIENCE: Final = 2_000_000
"""Children that are compared while repeats are looked for; a graph made to take for ever keeps its nodes unfolded."""
MOST_ENDS: Final = 10
"""Inputs that stay beside the groups of a long list."""


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
        self.added: set[str] = set()
        self._host_parameters()
        self.children: dict[str | None, list[str]] = defaultdict(list)
        self.hosted: dict[str, list[str]] = defaultdict(list)
        for node in self.node.values():
            if "host" in node:
                self.hosted[node["host"]].append(node["id"])
            else:
                self.children[node["parent"]].append(node["id"])
        self.depth: dict[str, int] = {}
        self._lift_edges()
        self._digest: dict[str, str] = {}

    def result(self) -> Snapshot:
        for container in list(self.children):
            self.children[container] = self._ordered(container)
        for container in list(self.children):
            self._fold(container)
        for container in list(self.children):
            self._group(container)
        self._count_parameters()
        return {**self.snapshot, "nodes": self._in_order()}

    def _path(self, uid: str) -> list[str]:
        found = [uid]
        while (parent := self.node[found[-1]]["parent"]) is not None:
            found.append(parent)
        return found[::-1]

    def _host_parameters(self) -> None:
        """Put a parameter of one user on that node, and a shared one into the block around all its users."""
        users: dict[str, list[str]] = defaultdict(list)
        for edge in self.snapshot["edges"]:
            if self.node[edge["from"]]["kind"] in ("parameter", "constant"):
                users[edge["from"]].append(edge["to"])
        for uid, using in users.items():
            if uid in self.snapshot["outputs"]:
                continue
            if len(set(using)) == 1:
                self.node[uid]["host"] = using[0]
                self.node[uid]["parent"] = self.node[using[0]]["parent"]
            else:
                paths = [self._path(user)[:-1] for user in using]
                common = [blocks[0] for blocks in zip(*paths, strict=False) if len(set(blocks)) == 1]
                self.node[uid]["parent"] = common[-1] if common else None

    def _lift_edges(self) -> None:
        """For every container, the edges between its children and what comes from outside."""
        self.inside: dict[str | None, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        self.outside: dict[str, set[str]] = defaultdict(set)
        self.leaves: set[str] = set(self.snapshot["outputs"])
        for edge in self.snapshot["edges"]:
            if edge["recurrent"] or "host" in self.node[edge["from"]]:
                continue
            source, target = self._path(edge["from"]), self._path(edge["to"])
            common = 0
            while common < min(len(source), len(target)) and source[common] == target[common]:
                common += 1
            if common == min(len(source), len(target)):
                continue  # an edge from a block to its own inside
            container = source[common - 1] if common else None
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

    def _fold(self, container: str | None) -> None:
        """Replace runs of equal units in a chain by one ``repeat`` node that holds them."""
        row = _Row(
            self.children[container],
            [self.digest(uid) for uid in self.children[container]],
            self.inside[container],
            {uid for uid in self.leaves if not self.children.get(uid)},
        )
        kept: list[str] = []
        start = 0
        while start < len(row.order):
            period, repeats = row.longest_run(start)
            if repeats < FEWEST_REPEATS:
                kept.append(row.order[start])
                start += 1
                continue
            length = period * repeats
            kept.append(self._repeat_node(container, row.order[start : start + length], period, repeats))
            start += length
        self.children[container] = kept

    def _repeat_node(self, container: str | None, members: list[str], period: int, repeats: int) -> str:
        first, last = self.node[members[0]], self.node[members[-1]]
        unit = [self.node[uid]["op"] for uid in members[:period]]
        label = unit[0] if period == 1 else f"{unit[0]} … {unit[-1]}"
        uid = self._add("repeat", label, container, members, last)
        self.node[uid]["count"] = repeats
        self.node[uid]["name"] = f"{first['name']} … {last['name']}" if first["name"] and last["name"] else ""
        return uid

    def _group(self, container: str | None) -> None:
        """Cut a list of children that is too long into stretches, and the list of stretches again if need be."""
        ends = [uid for uid in self.children[container] if self.node[uid]["kind"] in ("input", "placeholder")]
        ends = ends if len(ends) <= MOST_ENDS else []
        steps = [uid for uid in self.children[container] if uid not in ends]
        total = len(steps)
        numbers = {uid: (index + 1, index + 1) for index, uid in enumerate(steps)}
        while len(ends) + len(steps) > MOST_CHILDREN:
            size = min(MOST_CHILDREN, max(2, math.isqrt(len(steps) - 1) + 1))
            stretches = [steps[start : start + size] for start in range(0, len(steps), size)]
            steps = []
            for members in stretches:
                uid = self._add("group", "group", container, members, self.node[members[-1]])
                numbers[uid] = (numbers[members[0]][0], numbers[members[-1]][1])
                self.node[uid]["name"] = f"{numbers[uid][0]}-{numbers[uid][1]} of {total}"
                steps.append(uid)
        self.children[container] = ends + steps

    def _add(self, kind: str, op: str, container: str | None, members: list[str], last: GraphNode) -> str:
        uid = f"{kind}:{members[0]}"
        while uid in self.node:
            uid += "'"
        self.node[uid] = GraphNode(
            id=uid, op=op, name="", kind=kind, shape=last["shape"], axes=last["axes"], dtype=last["dtype"],
            parent=container, attributes={}, source=None, parameters=0,
        )  # fmt: skip
        for member in members:
            self.node[member]["parent"] = uid
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
            order.extend(self.node[parameter] for parameter in self.hosted.get(uid, ()))
            stack.extend(reversed(self.children.get(uid, ())))
        return order


class _Row:
    """The children of one container in order, and where equal units follow each other in a chain.

    Args:
        order: the children.
        digests: what each of them does.
        edges: target -> sources, among the children and from outside.
        ends: children that must be seen, because others use them from outside.
    """

    def __init__(self, order: list[str], digests: list[str], edges: Mapping[str, set[str]], ends: set[str]) -> None:
        self.order = order
        number: dict[str, int] = {}
        self._codes = np.array([number.setdefault(digest, len(number)) for digest in digests], np.int64)
        place = {uid: index for index, uid in enumerate(order)}
        sources = [edges.get(uid, set()) for uid in order]
        self._back = [sorted(index - place[s] for s in fed if s in place) for index, fed in enumerate(sources)]
        """How far back lies what each child takes from its siblings."""
        self._linked = [0, *itertools.accumulate(bool(back) and back[0] < 2 * LONGEST_UNIT for back in self._back)]
        """How many children before a place are fed by a sibling near by."""
        self._outside = [tuple(sorted(s for s in fed if s not in place)) for fed in sources]
        self._last_use = list(range(len(order)))
        """The last sibling that uses a child; beyond all of them if it must be seen."""
        for index, back in enumerate(self._back):
            for far in back:
                self._last_use[index - far] = max(self._last_use[index - far], index)
        for index, uid in enumerate(order):
            if uid in ends:
                self._last_use[index] = len(order)
        self._equal: dict[int, list[int]] = {}
        self._patience = PATIENCE

    def longest_run(self, start: int) -> tuple[int, int]:
        """(nodes of a unit, repeats) of the run that folds most nodes from ``start``; (1, 1) if there is none."""
        best = (1, 1)
        near = min(len(self.order), start + 2 * LONGEST_UNIT)
        if self._linked[near] == self._linked[min(start + 1, near)]:
            return best  # nothing here feeds its neighbours
        for period in range(1, min(LONGEST_UNIT, (len(self.order) - start) // FEWEST_REPEATS) + 1):
            repeats = self._equal_from(period)[start] // period + 1
            if repeats >= FEWEST_REPEATS and (repeats - 1) * period > (best[1] - 1) * best[0]:
                repeats = self._connected(start, period, repeats)
                if repeats >= FEWEST_REPEATS and (repeats - 1) * period > (best[1] - 1) * best[0]:
                    best = (period, repeats)
        return best

    def _equal_from(self, period: int) -> list[int]:
        """For every place how many children from there on do the same as the ones a period later."""
        if period not in self._equal:
            codes = self._codes
            here = np.arange(len(codes))
            unlike = np.where(np.append(codes[:-period] == codes[period:], np.zeros(period, bool)), len(codes), here)
            self._equal[period] = (np.minimum.accumulate(unlike[::-1])[::-1] - here).tolist()
        return self._equal[period]

    def _connected(self, start: int, period: int, repeats: int) -> int:
        """How many units of a run hang together as a chain: each fed by the one before, in the same way."""
        good = 1
        while good < repeats and self._patience > 0 and self._follows(start, start + good * period, period, good):
            good += 1
            self._patience -= period
        # what is used behind the run, or must be seen, can only stand in the last unit
        uses: list[int] = []
        for index in range(start, start + (good - 1) * period):
            uses.append(max(self._last_use[index], uses[-1] if uses else 0))
        self._patience -= len(uses)
        while good >= FEWEST_REPEATS and uses[(good - 1) * period - 1] >= start + good * period:
            good -= 1
        return good

    def _follows(self, start: int, first: int, period: int, unit: int) -> bool:
        """Whether the unit at ``first`` is fed by the one before it, in the way in which that one is."""
        reaches = any(q < far <= q + period for q in range(period) for far in self._back[first + q])
        return reaches and (
            unit == 1 or all(self._fed(start, first + q) == self._fed(start, first + q - period) for q in range(period))
        )

    def _fed(self, start: int, index: int) -> tuple[list[int], list[str]]:
        """What a child takes from the run so far (how far back), and what from before it (by name)."""
        back = self._back[index]
        if not back or back[-1] <= index - start:
            return back, list(self._outside[index])
        far = [self.order[index - n] for n in back if n > index - start]
        return [n for n in back if n <= index - start], sorted((*self._outside[index], *far))
