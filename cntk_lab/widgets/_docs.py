"""What the manual says of the operators and layers of a graph: how each is called and what comes out of it.

Goes by the words on the nodes, so that files of CNTK and of ONNX, and functions, are explained alike. Knows no graphs.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterable
from typing import Any, Final

from cntk_lab import layers, ops
from cntk_lab.graph.registry import all_ops

LONGEST: Final = 900
"""Characters of one explanation."""
WRITTEN_OTHERWISE: Final = {
    "Select": "element_select", "UnpackSequenceOp": "sequence.unpack", "NoOp": "alias",
    "StableSigmoid": "sigmoid", "TransposeTimes": "times_transpose", "ReduceElements": "reduce_sum",
    "PastValue": "sequence.past_value", "FutureValue": "sequence.future_value", "Gemm": "times",
    "AveragePool": "pooling", "GlobalAveragePool": "pooling",
}  # fmt: skip
"""Words on nodes that are not their function's name."""


def docs_of(names: Iterable[str]) -> dict[str, str]:
    """Word on a node -> its signature and the first paragraphs of its documentation; words nobody knows are left out.

    Example:
        >>> docs_of(["Dense", "nothing known"])["Dense"].splitlines()[0].startswith("Dense(shape")
        True
    """
    found = {name: _doc(name) for name in dict.fromkeys(names) if 0 < len(name) < 80}
    return {name: text for name, text in found.items() if text}


@functools.lru_cache(maxsize=2000)
def _doc(name: str) -> str:
    target, path = _target(name)
    if target is None:
        return ""
    try:
        signature = _call(target)
    except (TypeError, ValueError):
        signature = "(…)"
    text = (inspect.getdoc(target) or "").split("\nArgs:")[0].replace("``", "").strip()
    return f"{path}{signature}\n\n{text}"[:LONGEST]


def _call(target: Any) -> str:
    """The parameters of a function with their defaults, as short as can be."""
    words = []
    for parameter in inspect.signature(target).parameters.values():
        star = "*" * ((parameter.kind is parameter.VAR_POSITIONAL) + 2 * (parameter.kind is parameter.VAR_KEYWORD))
        default = parameter.default
        plain = default is None or isinstance(default, (bool, int, float, str, tuple))
        given = "" if default is inspect.Parameter.empty else f"={default!r}" if plain else "=…"
        words.append(f"{star}{parameter.name}{given}")
    return f"({', '.join(words)})"


def _target(name: str) -> tuple[Any, str]:
    """The function that makes nodes with a word on them, and its public name."""
    if name in layers.__all__:
        return getattr(layers, name), name
    public = _public()
    for plain in (_in_files().get(name, ""), _plain(WRITTEN_OTHERWISE.get(name, name))):
        if plain in public:
            return public[plain]
    return None, ""


@functools.cache
def _in_files() -> dict[str, str]:
    """Words that files of CNTK (blocks) and ONNX have for an operator -> its name without case and signs."""
    found: dict[str, str] = {}
    for definition in all_ops():
        onnx = definition.onnx.op if definition.onnx is not None else None
        for word in (definition.cntk.block, definition.cntk.also_block, onnx):
            if word and _plain(definition.name) in _public():
                found.setdefault(word, _plain(definition.name))
    return found


def _plain(name: str) -> str:
    return name.replace("::", "").replace(".", "").replace("_", "").lower()


@functools.cache
def _public() -> dict[str, tuple[Any, str]]:
    """Operators by their names without case and signs."""
    found: dict[str, tuple[Any, str]] = {}
    for prefix, module in (("sequence.", ops.sequence), ("", ops)):
        for name, target in vars(module).items():
            if inspect.isfunction(target) and not name.startswith("_") and target.__module__.startswith("cntk_lab.ops"):
                found[_plain(prefix + name)] = target, prefix + name
    known = {_plain(definition.name) for definition in all_ops()}
    return {name: entry for name, entry in found.items() if name in known or entry[0].__doc__}
