"""Where numbers ceased to be finite: the first node of a step, and why.

Does the step again with the value of every node kept; changes nothing. Knows trainers, no runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from cntk_lab.engine.ask.training import Program
from cntk_lab.graph import walk
from cntk_lab.graph.node import Node
from cntk_lab.graph.variable import Variable
from cntk_lab.tensor.arrays import to_host
from cntk_lab.train._history import Finding
from cntk_lab.train.trainer import Trainer

EDGES: Final = {
    "Exp": "exp overflows above 88.7 in float32",
    "Sinh": "sinh overflows above 89 in float32",
    "Cosh": "cosh overflows above 89 in float32",
    "Pow": "a negative number has no such power, or the power overflows",
    "Acos": "acos needs numbers from -1 to 1",
    "Asin": "asin needs numbers from -1 to 1",
    "Atanh": "atanh needs numbers between -1 and 1",
    "CosDistance": "a norm overflows",
}
"""Where single operators leave the finite numbers (CNTK's log, square root and quotient never do)."""
OVERFLOW: Final = "a number above 3.4e38 does not fit into float32"


def first_not_finite(trainer: Trainer, arguments: Any, step: int, loss: float) -> Finding:
    """The first node that is not finite, in the step that ``arguments`` are for, with the state before that step.

    Args:
        trainer: whose step it is.
        arguments: the minibatch.
        step: number of the step.
        loss: what its loss was.

    Returns:
        A finding with the uid of the node, and the reason.
    """
    head = f"the loss became {_word(loss)} at step {step}"
    root = trainer.loss_function.output
    for p in (v for v in walk.flat_leaves([root]) if v.is_parameter):
        bad = _count_bad(to_host(p.storage.array))  # type: ignore[attr-defined]
        if bad:
            words = (
                f"{head}: {bad} of {int(np.prod(p.shape))} numbers of {titled(p)} were not finite after the "
                f"update of step {step - 1}: its gradient, or the learning rate, is too large"
            )
            return Finding(step, "not finite", words, p.uid)
    for variable in (v for v in walk.flat_leaves([root]) if v.is_input):
        given = arguments.get(variable) if isinstance(arguments, Mapping) else None
        bad = _count_bad(given) if isinstance(given, np.ndarray) else 0
        if bad:
            words = f"{head}: {bad} numbers of the data for {titled(variable)} are not finite"
            return Finding(step, "not finite", words, variable.uid)
    values = _values(trainer, arguments, root)
    node = _first(values)
    if node is None:
        return Finding(step, "not finite", f"{head}; done again in single nodes, every node is finite")
    return Finding(step, "not finite", f"{head}: {_reason(node, values, arguments)}", node.uid)


def _values(trainer: Trainer, arguments: Any, root: Variable) -> dict[int, tuple[Node, Any]]:
    """Values of every node in training mode, in order of computation: {id of the output: (node, rows)}."""
    nodes = list(walk.flat_nodes([root]))
    wanted = [v for n in nodes for v in n.outputs]
    updates = [u for learner in trainer.parameter_learners for u in learner.idle_updates()]
    program = Program(root, None, updates, wanted)
    totals = program.run(program.bind(arguments), [{} for _ in updates])
    return {id(v): (n, totals.outputs[v]) for n in nodes for v in n.outputs}


def _first(values: Mapping[int, tuple[Node, Any]]) -> Node | None:
    """The node where it began: all its operands are finite; in a loop the one with the earliest frame."""
    bad = {key: (node, value) for key, (node, value) in values.items() if _count_bad(value)}
    for node, _ in bad.values():
        if not any(id(v) in bad for v in walk.resolved_inputs(node)):
            return node
    return min(bad.values(), key=lambda entry: _earliest(entry[1]))[0] if bad else None


def _earliest(value: Any) -> int:
    parts = value if isinstance(value, list) else [value]
    return min(int(np.argwhere(~np.isfinite(dense(part)))[0][0]) for part in parts if _count_bad(part))


def _reason(node: Node, values: Mapping[int, tuple[Node, Any]], arguments: Any) -> str:
    rows = rows_of(values[id(node.outputs[0])][1])
    words = f"{called(node)} is the first node that is not finite ({_count_bad(rows)} of {rows.size} numbers)"
    ranges = []
    for operand in walk.resolved_inputs(node):
        if id(operand) in values:
            value = rows_of(values[id(operand)][1])
        elif operand.is_input:
            given = arguments.get(operand) if isinstance(arguments, Mapping) else None
            if not isinstance(given, np.ndarray):
                continue
            value = given
        else:
            value = dense(to_host(operand.storage.array))  # type: ignore[attr-defined]
        if value.size:
            ranges.append(f"{operand.name or operand.uid} {np.min(value):.4g} … {np.max(value):.4g}")
    if ranges:
        words += f"; its operands: {', '.join(ranges)}"
    if node.op_name in EDGES or np.isinf(rows).any():
        words += f": {EDGES.get(node.op_name, OVERFLOW)}"
    return words


def called(node: Node | None) -> str:
    """A node in words: what it does, and its name or uid."""
    if node is None:
        return "a node"
    return f"{node.op_name} '{node.name}'" if node.name else f"{node.op_name} {node.uid}"


def titled(variable: Variable) -> str:
    """A variable in words: its name, if it has one, and its uid."""
    return f"'{variable.name}' ({variable.uid})" if variable.name else variable.uid


def _word(value: float) -> str:
    return "NaN" if np.isnan(value) else f"{value:g}"


def rows_of(value: Any) -> Any:
    """A value of the engine as one array (rows x static shape), sequences one after the other."""
    if isinstance(value, list):
        return np.concatenate([dense(part) for part in value]) if value else np.zeros((0,))
    return dense(value)


def dense(value: Any) -> Any:
    """An array of any kind as one of the host's, in double precision."""
    return np.asarray(value.toarray() if hasattr(value, "toarray") else to_host(value), np.float64)


def _count_bad(value: Any) -> int:
    array = rows_of(value)
    return int(array.size - np.isfinite(array).sum())
