"""Replacing some functions of a model by others, in a copy. Knows no operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cntk_lab.graph import walk
from cntk_lab.graph.clone import CloneMethod
from cntk_lab.graph.compose import combine
from cntk_lab.graph.function import Function
from cntk_lab.graph.variable import Variable

__all__ = ["convert"]


def convert(root_func: Function, filter: Callable[[Function], bool], converter: Callable[[Function], Any]) -> Function:
    """A copy of a model in which some functions are replaced.

    Args:
        root_func: the model; its parameters are shared by the copy.
        filter: whether a primitive function or block is to be replaced.
        converter: the function to be replaced -> the Function that takes its place, built on the same inputs.

    Returns:
        The copy.

    Example:
        >>> import cntk_lab as C
        >>> x = C.input_variable(1)
        >>> f = C.relu(C.tanh(x))
        >>> g = convert(f, lambda f: f.op_name == "Tanh", lambda f: C.negate(f.inputs[0]))
        >>> g([[-3]]).tolist()
        [[3.0]]

    Source: CNTK 2.7 ``misc.converter.convert``.
    """
    replaced: dict[Variable, Variable] = {}
    for node in list(walk.nodes(root_func.outputs)):
        function = Function.of(node, composite=False)
        if not filter(function):
            continue
        substitute = converter(function)
        if replaced:
            substitute = substitute.clone(CloneMethod.share, replaced)
        replaced.update(zip(node.outputs, substitute.outputs, strict=True))
    kept = [output for output in root_func.outputs if output not in replaced]
    if len(kept) == len(root_func.outputs):
        return root_func.clone(CloneMethod.share, replaced)
    # a substitute may be one of several outputs of its node, so results that are replaced are named one by one
    copies = dict(zip(kept, combine(kept).clone(CloneMethod.share, replaced).outputs, strict=True)) if kept else {}
    return combine([replaced[output] if output in replaced else copies[output] for output in root_func.outputs])
