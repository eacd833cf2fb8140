"""The modules that nodes of an exported model came from, as the exporter left them in names or beside the nodes.

PyTorch's older exporter, TensorFlow and others write paths as names ("/encoder/layer.0/attention/MatMul"); PyTorch's
newer one writes a path of modules with their classes beside each node ("encoder: Encoder/layer.0: Layer/..."). Must
not know how blocks are drawn.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cntk_lab.formats.onnx.records import Node

MOST_LEVELS: Final = 12
FEWEST_NODES: Final = 2
LONGEST_PATH: Final = 2000
"""Characters of a path; longer ones are no paths of modules."""


@dataclass(frozen=True, slots=True)
class Scope:
    """A module: its name in the module around it, what kind of thing it is, and that module."""

    number: int
    name: str
    kind: str
    outer: Scope | None


def scopes_of(nodes: Sequence[Node]) -> list[Scope | None]:
    """For each node the innermost scope that it shares with another node; None where there is none.

    A scope that holds nothing but one other scope is not kept.

    Example:
        >>> a, b, c = (Node("Add", (), (), name) for name in ("/layer.0/a", "/layer.0/b", "/c"))
        >>> [scope and (scope.kind, scope.name) for scope in scopes_of([a, b, c])]
        [('layer', 'layer.0'), ('layer', 'layer.0'), None]
    """
    paths = [_path(node) for node in nodes]
    members: Counter[tuple[str, ...]] = Counter()
    for path in paths:
        members.update(path[:length] for length in range(1, len(path) + 1))
    made: dict[tuple[str, ...], Scope | None] = {(): None}
    kept: dict[tuple[str, ...], bool] = {}
    single: dict[tuple[str, ...], bool] = {}
    for path, count in members.items():  # the path before the last part comes first
        around = path[:-1]
        single[path] = bool(around) and count == members[around]
        kept[path] = count >= FEWEST_NODES
    merged = {path[:-1] for path in members if single[path]}  # nothing is in it but one other scope
    for path in members:
        if not kept[path] or path in merged:
            made[path] = made[path[:-1]]
            continue
        name, _, class_ = path[-1].partition(": ")
        kind = class_.rpartition(".")[2] or re.sub(r"[._]?\d+$", "", name.rpartition(".")[2] if _counts(name) else name)
        kind = kind or name.partition(".")[0] or name
        made[path] = Scope(len(made), name, kind, made[path[:-1]])
    return [made[path] for path in paths]


def _counts(name: str) -> bool:
    """Whether a name is a path of attributes that ends in another one than a number: "bert.encoder"."""
    return "." in name and not name.rpartition(".")[2].isdigit()


def _path(node: Node) -> tuple[str, ...]:
    """The modules around a node, the outermost first."""
    for key, value in node.metadata:
        if key == "namespace" and len(value) <= LONGEST_PATH:
            parts = value.split("/")[1:-1]  # the model itself stands first, the operator last
            return tuple(part for part in parts if part)[:MOST_LEVELS]
    if len(node.name) > LONGEST_PATH:
        return ()
    return tuple(part for part in node.name.split("/")[:-1] if part)[:MOST_LEVELS]
