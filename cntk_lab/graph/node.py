"""Node: one use of an operator. Immutable but for its outputs' types and the replacement of placeholders.

A composite operator or a layer is one node too: its ``block`` holds the graph inside (see ``block``). Operands stand in
Python's order. Knows no engine.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cntk_lab import _changes
from cntk_lab.graph.naming import current_layer, new_uid, user_line
from cntk_lab.graph.opdef import OpDef, TensorType
from cntk_lab.graph.variable import OUTPUT, Variable

if TYPE_CHECKING:
    from cntk_lab.graph.block import Block
    from cntk_lab.graph.function import Function

_UNKNOWN = TensorType(None, None, None)
_edits = [0]
_numbers = itertools.count(1)


def edits() -> int:
    """How often graphs were changed in place so far: what was compiled from a graph before may be out of date."""
    return _edits[0]


def note_edit() -> None:
    """Tell that a graph was changed in place."""
    _edits[0] = next(_numbers)  # no number twice, however many threads tell at once
    _changes.note()


class Node:
    """One use of an operator.

    Args:
        op: the operator's declaration.
        inputs: its operands.
        attributes: values of its attributes, as the user gave them (defaults filled in).
        name: the user's name.
        block: the graph inside, for nodes that stand for a graph.
        count: number of outputs.
    """

    __slots__ = (
        "__weakref__",
        "attributes",
        "block",
        "custom",
        "function",
        "inputs",
        "layer",
        "name",
        "op",
        "op_name",
        "outputs",
        "resolved",
        "source",
        "uid",
    )

    def __init__(
        self,
        op: OpDef,
        inputs: list[Variable],
        attributes: Mapping[str, Any],
        name: str = "",
        *,
        block: Block | None = None,
        op_name: str = "",
        count: int | None = None,
    ) -> None:
        self.op = op
        self.op_name = op_name or op.title
        self.inputs = inputs
        self.attributes = dict(attributes)
        self.name = name
        self.uid = new_uid(self.op_name if block is None else "Block")
        self.block = block
        self.resolved: dict[str, Any] = {}
        """Attributes in the engine's terms (axes counted from the right, explicit padding); filled by inference."""
        self.custom: dict[str, Any] = {}
        self.source = user_line()
        self.layer = current_layer()
        self.function: Function | None = None
        many = len(op.outputs) if count is None else count
        self.outputs: tuple[Variable, ...] = tuple(self._output(i, many) for i in range(many))

    def _output(self, index: int, many: int) -> Variable:
        variable = Variable(OUTPUT, _UNKNOWN, self.name if many == 1 else "", uid=f"{self.uid}_Output_{index}")
        variable.node, variable.index = self, index
        return variable

    def set_input(self, index: int, variable: Variable) -> None:
        """Put a variable in the place of a placeholder."""
        note_edit()
        before = self.inputs[index]
        self.inputs[index] = variable
        self.outputs = tuple(variable if o is before else o for o in self.outputs)

    @property
    def types(self) -> list[TensorType]:
        """The types of the operands."""
        return [v.type for v in self.inputs]

    def __repr__(self) -> str:
        return f"{self.op_name}({', '.join(v.name or v.uid for v in self.inputs)})"
