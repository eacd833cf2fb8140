"""Block: a graph seen as one node, for layers and for operators that are built from others.

The graph inside starts at placeholders, one for each operand of the block; each placeholder knows the variable
outside that it stands for, so that the flat view of the graph needs no copying. The body of a composite operator is
built when the shapes of its operands are known, because it may depend on them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from cntk_lab.graph.variable import Variable, new_placeholder

if TYPE_CHECKING:
    from cntk_lab.graph.node import Node


class Block:
    """The inside of a block node.

    Args:
        outputs: variables inside that are the block's outputs; empty until the body is built.
        arguments: placeholders inside, in the order of the operands they stand for (the last operands of the node).
        build: makes the outputs from the placeholders, for composite operators.
    """

    __slots__ = ("arguments", "build", "outputs")

    def __init__(
        self,
        outputs: Sequence[Variable],
        arguments: Sequence[Variable],
        build: Callable[[Sequence[Variable]], Sequence[Variable]] | None = None,
    ) -> None:
        self.outputs = list(outputs)
        self.arguments = list(arguments)
        self.build = build

    @property
    def built(self) -> bool:
        """Whether the graph inside exists."""
        return bool(self.outputs)

    def connect(self, node: Node) -> None:
        """Tie the placeholders to the node's last operands."""
        offset = len(node.inputs) - len(self.arguments)
        for i, placeholder in enumerate(self.arguments):
            placeholder.block_input = node.inputs[offset + i]


def stand_in(variable: Variable) -> Variable:
    """A placeholder of the same type as a variable, to be an operand inside a block."""
    placeholder = new_placeholder(name=variable.name)
    placeholder.type = variable.type
    placeholder.needs_gradient = variable.needs_gradient
    return placeholder
