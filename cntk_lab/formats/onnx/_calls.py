"""How large a graph becomes when every call of a local function shows the function's nodes: counted before it is drawn.

Functions that call themselves have no end, and ten that each call the next ten times have ten thousand million nodes
in a file of two kilobytes. Must not know how a graph is drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from cntk_lab.errors import FormatError
from cntk_lab.formats.onnx._words import cut, domain_of
from cntk_lab.formats.onnx.records import Graph, LocalFunction, Node

DEEPEST: Final = 40
"""Calls inside each other."""
_ADVICE: Final = "the model is not one that a runtime would run: ask whoever wrote it"
_Key = tuple[str, str, str]


def check_calls(graph: Graph, functions: Mapping[_Key, LocalFunction], most: int, source: str = "") -> int:
    """How many nodes a graph has with the insides of all calls.

    Args:
        graph: the whole graph.
        functions: the local functions by (domain, name, overload).
        most: nodes there may be.
        source: the file's name, for messages.

    Raises:
        FormatError: if a function calls itself, calls lie too deep inside each other, or the nodes are too many.
    """
    sizes: dict[_Key, int] = {}

    def count(nodes: Iterable[Node], around: tuple[_Key, ...]) -> int:
        total = 0
        for node in nodes:
            total += 1
            key = (domain_of(node.domain), node.op, node.overload)
            if key in functions:
                total += size(key, around)
            for attribute in node.attributes:
                values = attribute.value if isinstance(attribute.value, tuple) else (attribute.value,)
                total += sum(count(value.nodes, around) for value in values if isinstance(value, Graph))
        return total

    def size(key: _Key, around: tuple[_Key, ...]) -> int:
        if key in around:
            raise FormatError(f"function {cut(key[1])!r} calls itself", source, _ADVICE)
        if len(around) >= DEEPEST:
            raise FormatError(f"functions call each other more than {DEEPEST} deep", source, _ADVICE)
        if key not in sizes:
            sizes[key] = count(functions[key].nodes, (*around, key))
        return sizes[key]

    total = count(graph.nodes, ())
    if total > most:
        raise FormatError(
            f"{total:,} nodes, with those inside of functions at each call; at most {most:,} are shown", source
        )
    return total
