"""Graphs put together without arithmetic: several outputs in one function, and a graph wrapped up as one block."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from cntk_lab.errors import GraphError
from cntk_lab.graph import infer, walk
from cntk_lab.graph.block import Block
from cntk_lab.graph.function import Function, output_of, outputs_of
from cntk_lab.graph.node import Node
from cntk_lab.graph.opdef import CntkRule, OpDef, OpParameter, Trait
from cntk_lab.graph.operand import bind_symbol
from cntk_lab.graph.variable import Variable

COMBINE = OpDef(
    "combine",
    "structural",
    (OpParameter("operands", operand=True, variadic=True),),
    "Several outputs as one function.",
    CntkRule("Combine", id=44),
    outputs=(),
    traits=frozenset({Trait.STRUCTURAL}),
)
BLOCK = OpDef(
    "as_block",
    "structural",
    (OpParameter("operands", operand=True, variadic=True),),
    "A graph seen as one node.",
    CntkRule("Block"),
    traits=frozenset({Trait.STRUCTURAL}),
)


def combine(operands: Iterable[Any], name: str = "") -> Function:
    """One function whose outputs are the outputs of all the operands; functions with several outputs are unfolded.

    Of nothing it is a function without outputs, as in CNTK: it can be asked and searched, not computed.
    """
    variables = outputs_of(list(operands))
    node = Node(COMBINE, variables, {}, name, count=0)
    node.outputs = tuple(variables)
    return Function.of(node)


def as_block(composite: Function, arguments: Sequence[tuple[Any, Any]], op_name: str, name: str = "") -> Function:
    """A graph wrapped up as one node.

    Args:
        composite: the graph inside; its arguments must all be placeholders.
        arguments: pairs (placeholder inside, variable outside).
        op_name: what the block is called, as an operator.
        name: the user's name for this block.

    Raises:
        GraphError: if an argument inside is an input, or is not mapped.
    """
    pairs = [(output_of(p), output_of(v)) for p, v in arguments]
    mapped = {id(p) for p, _ in pairs}
    inside = list(composite.outputs)
    leaves = walk.leaves(inside, python_order=False)
    for leaf in leaves:
        if leaf.is_input:
            raise GraphError(
                f"as_block '{op_name}': argument {leaf} inside is an input variable, not a placeholder",
                fix="build the graph on placeholder() variables and map them to the variables outside",
            )
        if leaf.is_placeholder and id(leaf) not in mapped and leaf.block_input is None:
            raise GraphError(
                f"as_block '{op_name}': {leaf} inside is not mapped", fix="add it to the list of argument pairs"
            )
    kept = [v for v in leaves if not v.is_placeholder]
    return block_node(
        BLOCK, Block(inside, [p for p, _ in pairs]), [*kept, *(v for _, v in pairs)], {}, name, op_name, len(inside)
    )


def block_node(
    op: OpDef, block: Block, inputs: list[Variable], attributes: dict[str, Any], name: str, op_name: str, count: int
) -> Function:
    """The function of a new block node, its types inferred."""
    node = Node(op, inputs, attributes, name, block=block, op_name=op_name, count=count)
    block.connect(node)
    infer.infer_node(node)
    for outer in node.outputs:
        outer._name = name
    return Function.of(node)


bind_symbol("combine", combine)
