"""What survives an edit: functions of unchanged layers, and weights of changed ones where their shapes allow.

Weights are known by the place of their layer, their name and their shape. They are the very same Parameters after
the edit, so that a learner's and a user's handles on them stay good; a shape that comes back by undo brings its weights
back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cntk_lab.composer._values import Kept
from cntk_lab.graph import walk
from cntk_lab.graph.node import Node, note_edit
from cntk_lab.graph.variable import Variable

Key = tuple[str, str, int]
"""Place of a layer, name of one of its weights, and which of that name."""


@dataclass(frozen=True)
class Report:
    """What an edit did to the weights of the model, by the names of layers and weights.

    Args:
        kept: the same numbers as before.
        new: freshly initialized.
        dropped: no longer in the model.
        restored: numbers of an earlier state of the program that came back.
    """

    kept: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    restored: tuple[str, ...] = ()

    def brief(self) -> str:
        """The same in one line: how many, and the first two of each."""
        parts = [(n, getattr(self, n)) for n in ("kept", "restored", "new", "dropped")]
        words = []
        for n, v in parts:
            more = f" and {len(v) - 2} more" if len(v) > 3 else ""
            if v:
                words.append(f"{len(v)} {n}: {', '.join(v[:2] if more else v)}{more}")
        return "; ".join(words) or "the model has no weights"

    def __str__(self) -> str:
        parts = [(n, getattr(self, n)) for n in ("kept", "restored", "new", "dropped")]
        words = [f"{len(v)} {n}: {', '.join(v[:12])}{' …' if len(v) > 12 else ''}" for n, v in parts if v]
        return "; ".join(words) or "the model has no weights"


@dataclass
class Memory:
    """Functions and weights from one edit to the next."""

    layers: dict[str, tuple[Any, Kept]] = field(default_factory=dict)
    leaves: dict[str, tuple[Any, Variable]] = field(default_factory=dict)
    results: dict[Any, tuple[Any, tuple[Any, ...]]] = field(default_factory=dict)
    weights: dict[Key, dict[tuple[int, ...], Variable]] = field(default_factory=dict)
    """By their places, in each shape that they had, the latest last."""
    used: set[Any] = field(default_factory=set)
    fresh: list[tuple[str, tuple[Variable, ...]]] = field(default_factory=list)
    """Layers made in this edit: id and own weights."""
    made: list[Any] = field(default_factory=list)
    """Functions made in this edit: those into which old weights have to be put."""
    owners: dict[int, tuple[Variable, Key]] = field(default_factory=dict)
    shown: dict[int, Variable] = field(default_factory=dict)
    """Weights that were part of the model once."""

    def scratch(self) -> Memory:
        """A copy to try something out with; this one learns nothing of it."""
        weights = {key: dict(shapes) for key, shapes in self.weights.items()}
        return Memory(dict(self.layers), dict(self.leaves), dict(self.results), weights)

    def begin(self) -> None:
        """An edit begins."""
        self.used, self.fresh, self.made = set(), [], []

    def forget(self) -> None:
        """Make every function anew next time; weights stay."""
        self.layers, self.leaves, self.results = {}, {}, {}

    def leaf(self, uid: str, key: Any, make: Callable[[], Variable]) -> Variable:
        """An input, parameter or constant of the program; the one from before if nothing about it changed."""
        old = self.leaves.get(uid)
        if old is not None and old[0] == key:
            return old[1]
        variable = make()
        if variable.is_parameter or variable.is_constant:
            variable = self.weights.get((uid, variable.name, 0), {}).get(_shape(variable), variable)
            self._own(uid, variable, 0)
        self.leaves[uid] = (key, variable)
        return variable

    def result(self, key: Any, keep: tuple[Any, ...], make: Callable[[], Any]) -> Any:
        """What a function gives for variables; the result from before if both are the same objects."""
        self.used.add(key)
        old = self.results.get(key)
        if old is not None:
            return old[0]
        result = make()
        self.results[key] = (result, keep)
        self.made.append(result)
        return result

    def end(self) -> None:
        """An edit ends: old weights are put into new functions, what was not used is forgotten."""
        table: dict[int, Variable] = {}
        for uid, own in self.fresh:
            counts: dict[str, int] = {}
            for v in own:
                number = counts[v.name] = counts.get(v.name, -1) + 1
                old = self._weight(uid, v, number)
                if old is not None and old is not v:
                    table[id(v)] = old
                else:
                    self._own(uid, v, number)
        if table:
            put(self.made, table)
            for _, kept in self.layers.values():
                if any(id(v) in table for v in kept.own):
                    kept.own = tuple(table.get(id(v), v) for v in kept.own)
        self.results = {k: v for k, v in self.results.items() if k in self.used}
        self.fresh, self.made = [], []

    def _own(self, uid: str, v: Variable, number: int) -> None:
        key = (uid, v.name, number)
        self.weights.setdefault(key, {})[_shape(v)] = v
        self.owners[id(v)] = (v, key)

    def _weight(self, uid: str, v: Variable, number: int) -> Variable | None:
        shape = _shape(v)
        shapes = self.weights.get((uid, v.name, number), {})
        found = shapes.get(shape)
        if found is None and any(d < 0 for d in shape):  # not applied yet: any shape it had will do
            for known, candidate in reversed(shapes.items()):
                if len(known) == len(shape) and all(a in (-1, b) for a, b in zip(shape, known, strict=True)):
                    return candidate
        return found

    def adopt(self, uid: str, values: Iterable[Variable]) -> None:
        """Say which weights the layer at a place has, before it is built: those of a model that is opened."""
        counts: dict[str, int] = {}
        for v in values:
            number = counts[v.name] = counts.get(v.name, -1) + 1
            self._own(uid, v, number)

    def label(self, v: Variable, titles: Mapping[str, str]) -> str:
        """A weight in words: its layer, its name and its shape."""
        _, key = self.owners.get(id(v), (v, ("", v.name, 0)))
        shape = " × ".join(str(d) for d in _shape(v)) or "scalar"
        title = titles.get(key[0], "")
        return f"{title + '.' if title else ''}{v.name or v.kind.lower()} ({shape})"


def _shape(v: Variable) -> tuple[int, ...]:
    return tuple(v.type.shape or ())


def own_weights(function: Any, inner: Iterable[Variable] = ()) -> tuple[Variable, ...]:
    """Parameters, and constants with a name (statistics), of a layer; without those of the layers in it."""
    if not hasattr(function, "inputs"):
        return ()
    theirs = {id(v) for v in inner}
    return tuple(
        v for v in function.inputs
        if (v.is_parameter or (v.is_constant and v.name)) and id(v) not in theirs
    )  # fmt: skip


def put(functions: Iterable[Any], table: Mapping[int, Variable]) -> None:
    """Put weights in the place of others of the same shapes, in graphs that nobody else has seen yet."""
    done: set[int] = set()

    def visit(roots: Iterable[Variable]) -> None:
        for node in list(walk.nodes(roots)):
            if id(node) in done:
                continue
            done.add(id(node))
            _replace(node, table)
            if node.block is not None:
                node.block.connect(node)
                node.block.outputs = [table.get(id(o), o) for o in node.block.outputs]
                visit(node.block.outputs)

    for f in functions:
        outputs = getattr(f, "outputs", None)
        if outputs is not None:
            visit(outputs)
    note_edit()


def _replace(node: Node, table: Mapping[int, Variable]) -> None:
    for i, v in enumerate(node.inputs):
        if id(v) in table:
            node.inputs[i] = table[id(v)]
