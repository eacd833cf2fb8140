"""A sample that goes through a graph: where it is, and what each node made of it. Knows no functions and no browser."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from cntk_lab.widgets._snapshot import Tree

Frames = npt.NDArray[Any]


class Fed:
    """One sample on its way, node by node and frame by frame.

    Args:
        tree: of the graph.
        values: uid -> frames x static shape, of nodes, inputs and blocks, in the order of computation.
        random: whether the sample was drawn.
    """

    def __init__(self, tree: Tree, values: Mapping[str, Frames], random: bool) -> None:
        self._tree, self.values, self.random = tree, dict(values), random
        self._flat = [uid for uid in values if uid in tree.node and not tree.is_block(uid)]
        self.frames = max((len(v) for v in self.values.values()), default=1)
        self.frame = 0
        self.at = ""

    def stops(self, opened: Iterable[str]) -> list[str]:
        """Nodes and closed blocks that are seen, in the order of computation."""
        shown, open_ = dict[str, None](), set(opened)
        for uid in self._flat:
            path = self._tree.path(uid)
            shown[next((p for p in path[:-1] if p not in open_), uid)] = None
        return list(shown)

    def go(self, nodes: int, frames: int, opened: Iterable[str], selected: str) -> None:
        """Go on, or back; stays at the ends.

        Args:
            nodes: how many stops.
            frames: how many frames.
            opened: blocks that are open.
            selected: the node from which to go on.
        """
        stops = self.stops(opened)
        here = stops.index(selected) if selected in stops else stops.index(self.at) if self.at in stops else -1
        if stops and (nodes or not self.at):
            self.at = stops[min(max(here + nodes, 0), len(stops) - 1)]
        self.frame = min(max(self.frame + frames, 0), self.frames - 1)

    def value(self, uid: str) -> tuple[Frames, int, int] | None:
        """What a node made of the present frame, the number of this frame and of all its frames; a block that has no
        value of its own has that of its last node.
        """
        inside = [u for u in self._flat if uid in self._tree.path(u)]
        found = self.values.get(uid, self.values.get(inside[-1]) if inside else None)
        if found is None or not len(found):
            return None
        frame = min(self.frame, len(found) - 1)
        return found[frame], frame, len(found)

    def sizes(self, opened: Iterable[str]) -> dict[str, float]:
        """Mean absolute value at the present frame, of every node the sample has come to."""
        stops = self.stops(opened)
        passed = set(stops[: stops.index(self.at) + 1]) if self.at in stops else set(stops)
        sizes = {}
        for uid in self._flat:
            if passed.intersection(self._tree.path(uid)):
                found = self.values[uid]
                with np.errstate(over="ignore", invalid="ignore"):
                    sizes[uid] = float(np.abs(found[min(self.frame, len(found) - 1)]).mean()) if found.size else 0.0
        return sizes

    def state(self, opened: Iterable[str]) -> dict[str, Any]:
        """What the browser shows of it."""
        stops = self.stops(opened)
        number = stops.index(self.at) if self.at in stops else -1
        return {
            "at": self.at, "number": number, "count": len(stops), "frame": self.frame, "frames": self.frames,
            "random": self.random,
        }  # fmt: skip
