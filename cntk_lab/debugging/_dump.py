"""Graphs as lists of functions with the shapes that flow between them. Knows graphs only."""

from __future__ import annotations

import sys
from typing import Any

from cntk_lab.errors import SignatureError
from cntk_lab.graph import walk
from cntk_lab.graph.function import Function
from cntk_lab.graph.node import Node
from cntk_lab.graph.variable import Variable


def dump_signature(root: Any, tag: str | None = None) -> None:
    """Print the signature of a function: its arguments and outputs.

    Args:
        root: Function.
        tag: words in front.

    Example:
        >>> import cntk_lab as C
        >>> dump_signature(C.exp(C.input_variable(2, name="x")))
        Exp(x: Tensor[2]) -> Tensor[2]

    Source: CNTK 2.7 ``debugging.dump_signature``.
    """
    sys.stdout.write(f"{_tagged(tag)}{_checked(root)}\n")


def dump_function(root: Any, tag: str | None = None) -> None:
    """Print a function's signature and every function in it, also inside of blocks, with operands and shapes.

    Args:
        root: Function.
        tag: words in front.

    Example:
        >>> import cntk_lab as C
        >>> dump_function(C.exp(C.input_variable(2, name="x"), name="e"))
        e: Exp(x: Tensor[2]) -> Tensor[2]
          Exp                  e                    (x:[#](2,)) -> [#](2,)
          Input                x                    [#](2,)

    Source: CNTK 2.7 ``debugging.dump_function``.
    """
    lines = [f"{_tagged(tag)}{_checked(root)}"]
    for thing in walk.search(root.outputs, lambda _: True, -1):
        if isinstance(thing, Node):
            operands = ", ".join(f"{walk.resolve(v).name or v.uid}:{_form(v)}" for v in thing.inputs)
            text = f"({operands}) -> {', '.join(_form(v) for v in thing.outputs)}"
            lines.append(f"  {thing.op_name:<20} {thing.name or thing.uid:<20} {text}")
        elif thing.block_input is None:
            lines.append(f"  {thing.kind:<20} {thing.name or thing.uid:<20} {_form(thing)}")
    sys.stdout.write("\n".join(lines) + "\n")


def _tagged(tag: str | None) -> str:
    return f"{tag}: " if tag else ""


def _checked(root: Any) -> Function:
    if not isinstance(root, Function):
        raise SignatureError(f"only Functions can be dumped, not a {type(root).__name__}")
    return root


def _form(v: Variable) -> str:
    axes = ",".join(a.short for a in v.type.axes or ())
    return (f"[{axes}]" if axes else "") + str(tuple(v.shape))
