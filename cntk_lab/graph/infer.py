"""Inference: shapes, element types and dynamic axes through a graph; where type errors get their words.

Each node's output types follow from its operands' types by the rules of its operator. While something below is
unknown (a placeholder not bound yet) the output stays unknown, unless it is certain anyway. Cycles are closed by
assuming the most that is known and then checking it. Knows no engine.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from cntk_lab.axis import Axis, format_axes
from cntk_lab.errors import AxisError, DTypeError, LabError, ShapeError
from cntk_lab.graph import walk
from cntk_lab.graph.asks import apply, needs
from cntk_lab.graph.node import Node
from cntk_lab.graph.opdef import TensorType, Trait
from cntk_lab.graph.variable import CONSTANT, PARAMETER, Constant, Valued, Variable
from cntk_lab.tensor.dtype import CNTK_NAME
from cntk_lab.tensor.shape import INFERRED, Shape, broadcast, fill_inferred, is_known, text

_MAX_PASSES = 50
_UNKNOWN = TensorType(None, None, None)


def infer_node(node: Node, *, hopeful: int = 0, depth: int = 3) -> bool:
    """Set the types of the node's outputs from its operands; whether anything changed.

    Args:
        node: the node.
        hopeful: to close cycles: 1 assumes that unknown operands have the shape of those that are known and have axes,
            2 that of any known operand, 3 also that a delayed value has the shape of its initial state.
        depth: how hopeful to be about cycles inside of a block.

    Raises:
        LabError: if the operands do not fit; the message names the node's place in the user's program.
    """
    try:
        if node.op.has(Trait.SAME_AXES):
            _check_same_axes(node, node.types)
        types = _block_types(node, depth) if node.block is not None else _output_types(node, hopeful=hopeful)
    except LabError as error:
        if error.where:
            raise
        raise type(error)(error.what, where_of(node), error.fix) from None
    changed = False
    for output, new in zip(node.outputs, types, strict=True):
        if output.type != new:
            output.type = new
            changed = True
        output.needs_gradient = any(v.needs_gradient for v in node.inputs)
    return changed


def confirm(node: Node) -> None:
    """Look once more whether the operands fit: dimensions of parameters may have been inferred elsewhere meanwhile.

    Raises:
        LabError: if they do not, with the node's place in the user's program.
    """
    try:
        types = _output_types(node, hopeful=0)
        for output, new in zip(node.outputs, types, strict=True):
            if new.shape is not None and output.type.shape is not None and new.shape != output.type.shape:
                raise ShapeError(
                    f"{output} has become {text(new.shape)}: a parameter's dimensions were inferred elsewhere",
                    fix="give the parameter its full shape, or use it where it fits",
                )
    except LabError as error:
        if error.where:
            raise
        raise type(error)(error.what, where_of(node), error.fix) from None


def infer_nodes(nodes: Sequence[Node], depth: int = 3) -> None:
    """Bring the types of all these nodes (operands before users where there is no cycle) up to date."""
    _settle(nodes, hopeful=0)
    reached = 0
    while reached < depth:
        unknown = [n for n in nodes if any(not _complete(o) for o in n.outputs)]
        if not unknown or any(v.is_placeholder for v in walk.flat_leaves([o for n in unknown for o in n.outputs])):
            break
        reached += 1
        _settle(nodes, hopeful=reached)
    if reached:
        _settle(nodes, hopeful=reached, keep_known=True)


def _settle(nodes: Sequence[Node], *, hopeful: int, keep_known: bool = False) -> None:
    for _ in range(_MAX_PASSES):
        changed = False
        for node in nodes:
            before = [o.type for o in node.outputs]
            try:
                changed |= infer_node(node, hopeful=hopeful, depth=hopeful)
            except LabError:
                if not hopeful or keep_known:
                    raise
                continue  # an assumption was wrong; the last pass says what is
            if keep_known and [o.type for o in node.outputs] != before and all(t.shape is not None for t in before):
                changed = True
        if not changed:
            return
    raise ShapeError(
        "shapes in a cycle do not settle: each pass around it changes them",
        where_of(nodes[-1]),
        "give the placeholder or the initial state its full shape",
    )


def _block_types(node: Node, depth: int) -> list[TensorType]:
    """The types of a block's outputs from the types outside; builds the body once the operands' shapes are known."""
    block = node.block
    assert block is not None
    block.connect(node)
    for placeholder in block.arguments:
        outside = placeholder.block_input
        assert outside is not None
        placeholder.type, placeholder.needs_gradient = outside.type, outside.needs_gradient
    if not block.built:
        assert block.build is not None
        if any(p.type.shape is None or p.type.dtype is None for p in block.arguments):
            return [_UNKNOWN] * len(node.outputs)
        block.outputs = list(block.build(block.arguments))
    infer_nodes(list(walk.nodes(block.outputs)), depth)
    return [o.type for o in block.outputs]


def _complete(variable: Variable) -> bool:
    t = variable.type
    return t.shape is not None and t.axes is not None and t.dtype is not None


def _output_types(node: Node, *, hopeful: int) -> list[TensorType]:
    op = node.op
    if op.types is not None:
        return list(apply(op.types, {"node": node}))
    types = node.types
    dtype = _common_dtype(node)
    axes = _axes(node, types, hopeful=hopeful)
    shapes: list[Shape | None]
    if any(t.shape is None for t in types):
        shapes = [_partial(node, types, hopeful=hopeful)] * len(node.outputs)
    else:
        _complete_parameters(node, types)
        types = node.types
        scope = scope_of(node, types)
        if op.resolve is not None:
            node.resolved = dict(apply(op.resolve, scope))
            assert set(node.resolved) == set(op.settles), f"{op.name} settles {sorted(node.resolved)}"
            scope.update(node.resolved)
        if op.shape is None:
            shapes = [broadcast(*(t.dims for t in types))] * len(node.outputs)
        else:
            found = apply(op.shape, scope)
            shapes = list(found) if len(node.outputs) > 1 else [found]
            if op.formula is not None and op.views is None:
                broadcast(*(t.dims for t in types))  # formulas of one element: all operands lie in one domain
    sparse = False
    if op.dtype is not None:
        dtype = apply(op.dtype, scope_of(node, types))
    if op.sparse is not None and any(t.shape is None for t in types):
        sparse = bool(op.sparse_operands) and any(t.sparse for t in types)  # until shapes are known
    elif op.sparse is not None:
        sparse = bool(apply(op.sparse, scope_of(node, types)))
    return [TensorType(s, dtype, axes, sparse) for s in shapes]


def scope_of(node: Node, types: Iterable[TensorType]) -> dict[str, Any]:
    """What a type rule may ask for by name: the types of the operands and the attributes."""
    types = list(types)
    scope: dict[str, Any] = dict(node.attributes)
    position = 0
    for p in node.op.operands:
        if p.variadic:
            scope[p.name] = types[position:]
            position = len(types)
        elif position < len(types):
            scope[p.name] = types[position]
            position += 1
        else:
            scope[p.name] = None
    scope["node"] = node
    return scope


def _common_dtype(node: Node) -> str | None:
    soft = [v for v in node.inputs if isinstance(v, Valued) and v.soft]
    known = [
        (v, v.type.dtype) for v in node.inputs if v.type.dtype is not None and not (isinstance(v, Valued) and v.soft)
    ]
    if not known:
        return soft[0].type.dtype if soft and len(soft) == len(node.inputs) else None
    first = known[0]
    for v in soft:
        if first[1] is not None:
            v.harden(first[1])
    if node.op.dtype is None and "float64" in (wide := {t for _, t in known}) and len(wide) > 1:
        known = _widened(node, known)
        first = known[0]
    for other in known[1:]:
        if other[1] != first[1] and node.op.dtype is None:
            raise DTypeError(
                f"{node.op_name}: operands have different element types: '{first[0].name or first[0].uid}' is "
                f"{CNTK_NAME[first[1]]}, '{other[0].name or other[0].uid}' is {CNTK_NAME[other[1]]}",
                fix="give both the same dtype, or convert one with cast(x, dtype)",
            )
    return first[1]


def _widened(node: Node, known: list[tuple[Variable, str]]) -> list[tuple[Variable, str]]:
    """The operands with float32 constants as float64, as which they are computed beside doubles. What a program assigns
    to stays what it is; what an operator keeps for itself becomes its own.
    """

    def wide(v: Variable) -> Variable:
        narrow = isinstance(v, Constant) and v.type.dtype == "float32" and v.is_initialized()
        if not isinstance(v, Constant) or not narrow or node.op.has(Trait.STATEFUL):
            return v
        new = Constant(v.value, dtype="float64", name=v.name)
        new.follows = None if node.op.updates else v
        return new

    new = {id(v): wide(v) for v, _ in known}
    node.inputs = [new.get(id(v), v) for v in node.inputs]
    return [(new[id(v)], new[id(v)].type.dtype or t) for v, t in known]


def union_axes(node: Node, types: Sequence[TensorType], *, hopeful: int) -> tuple[Axis, ...] | None:
    """The dynamic axes of an operator that works row by row: the most that any operand has.

    Raises:
        AxisError: if two operands have different sequence axes.
    """
    best: tuple[Axis, ...] = ()
    unknown = False
    for v, t in zip(node.inputs, types, strict=True):
        if t.axes is None:
            unknown = True
            continue
        if not t.axes:
            continue
        if len(best) > 1 and len(t.axes) > 1 and best != t.axes:
            raise AxisError(
                f"{node.op_name}: operand '{v.name or v.uid}' has dynamic axes {format_axes(t.axes)}, the "
                "other operands "
                f"{format_axes(best)}: sequences of two different axes cannot be combined frame by frame",
                fix=(
                    "relabel one with sequence.reconcile: reconcile_dynamic_axes(x, like), or "
                    "reduce/broadcast one of them"
                ),
            )
        if len(t.axes) > len(best) or (len(t.axes) == len(best) and best[0].maker and not t.axes[0].maker):
            best = t.axes  # longer, or the data's own minibatch
    if unknown and len(best) < 2 and not (hopeful and best):
        return None
    return best


def _check_same_axes(node: Node, types: Sequence[TensorType]) -> None:
    """Refuse to repeat a single value for every frame where that is hardly meant: in losses, metrics, splices.

    Raises:
        AxisError: if a sequence meets a single value.
    """
    known = [(v, t.axes) for v, t in zip(node.inputs, types, strict=False) if t.axes]
    for v, axes in known:
        if len(axes) != len(known[0][1]):
            (single, _), (frames, many) = sorted((known[0], (v, axes)), key=lambda pair: len(pair[1]))
            raise AxisError(
                f"{node.op_name}: operand '{frames.name or frames.uid}' is a sequence, {format_axes(many)}, "
                f"'{single.name or single.uid}' has one value for each sample",
                fix="repeat it for every frame: sequence.broadcast_as(x, like); or take a frame: sequence.last(x)",
            )


def _axes(node: Node, types: Sequence[TensorType], *, hopeful: int) -> tuple[Axis, ...] | None:
    rule = node.op.axes
    if rule is None:
        return union_axes(node, types, hopeful=hopeful)
    scope = scope_of(node, types)
    wanted = [scope[n] for n in needs(rule)]
    if any(isinstance(t, TensorType) and t.axes is None for t in wanted):
        return None
    return apply(rule, scope)  # type: ignore[no-any-return]


def _partial(node: Node, types: Sequence[TensorType], *, hopeful: int) -> Shape | None:
    if node.op.partial is not None:
        return apply(node.op.partial, {**scope_of(node, types), "hopeful": hopeful})  # type: ignore[no-any-return]
    if hopeful and node.op.shape is None:
        known = [t.shape for t in types if t.shape is not None and is_known(t.shape)]
        if hopeful == 1:  # an axis of length 1 may be broadcast: it says nothing about the unknown operand
            known = [s for s in known if s and 1 not in s]
        return broadcast(*known) if known else None
    return None


def _complete_parameters(node: Node, types: Sequence[TensorType]) -> None:
    """Resolve the inferred dimensions of parameters among the operands."""
    open_ = [
        i for i, v in enumerate(node.inputs) if v.kind in (PARAMETER, CONSTANT) and INFERRED in (v.type.shape or ())
    ]
    if not open_:
        return
    if node.op.complete is not None:
        found = apply(node.op.complete, scope_of(node, types))
        names = [p.name for p in node.op.operands]
        for i in open_:
            if names[i] in found:
                _resolve(node.inputs[i], found[names[i]])
        return
    if node.op.shape is None:
        pattern = broadcast(*(t.dims for t in types))
        for i in open_:
            _resolve(node.inputs[i], fill_inferred(node.inputs[i].type.dims, pattern))


def _resolve(variable: Variable, shape: Shape) -> None:
    variable.resolve_shape(shape)  # type: ignore[attr-defined]


def where_of(node: Node) -> str:
    """The operation in the user's words: operator, operands with shapes, layer, line."""
    operands = ", ".join(describe(v) for v in node.inputs)
    text = f"{node.op.name.lstrip('_')}({operands})"
    if node.name:
        text += f" named '{node.name}'"
    if node.layer:
        text += f" in layer {node.layer}"
    if node.source:
        text += f", built at {node.source}"
    return text


def describe(variable: Variable) -> str:
    """A variable in messages: its name and static shape."""
    shape = variable.type.shape
    dims = "???" if shape is None else " x ".join({-1: "?", -3: "*"}.get(d, str(d)) for d in shape)
    return f"{variable.name or variable.uid} [{dims}]"
