"""Copies of graphs, with or without their parameters, with substitutions; replacing placeholders in place."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from cntk_lab.errors import AttributeValueError, SignatureError
from cntk_lab.graph import infer, walk
from cntk_lab.graph.block import Block
from cntk_lab.graph.node import Node
from cntk_lab.graph.opdef import TensorType
from cntk_lab.graph.variable import Constant, Parameter, Variable, new_placeholder

if TYPE_CHECKING:
    from cntk_lab.graph.function import Function


class CloneMethod(enum.Enum):
    """What becomes of the parameters in a copy."""

    share = "share"
    clone = "clone"
    freeze = "freeze"


class _Copier:
    """One copying: what was copied to what."""

    def __init__(self, method: CloneMethod) -> None:
        self.method = method
        self.variables: dict[int, Variable] = {}

    def leaf(self, v: Variable) -> Variable:
        """The copy of a leaf variable."""
        if id(v) in self.variables:
            return self.variables[id(v)]
        new = v
        if v.is_input:
            new = Variable(v.kind, v.type, v.name, needs_gradient=v.needs_gradient)
        elif isinstance(v, (Parameter, Constant)) and self.method is not CloneMethod.share:
            new = _copy_of(v, self.method)
        elif v.is_placeholder and v.block_input is None:
            new = new_placeholder(name=v.name)
            new.type = v.type
        self.variables[id(v)] = new
        return new

    def nodes(self, roots: Iterable[Variable]) -> list[Node]:
        """Copies of all nodes below the roots; a substituted variable cuts the walk."""
        originals = [
            n for n in walk.nodes(roots) if not all(id(o) in self.variables for o in n.outputs) or not n.outputs
        ]
        copies: list[Node] = []
        for n in originals:
            if n.op.kind == "user":
                copy = self._user(n)
            else:
                copy = Node(n.op, list(n.inputs), n.attributes, n.name, op_name=n.op_name, count=len(n.outputs))
            copy.custom, copy.source, copy.layer = dict(n.custom), n.source, n.layer
            copies.append(copy)
            if not _passes_through(n):
                for old, new in zip(n.outputs, copy.outputs, strict=True):
                    # the axes come from the substitutes: those of the original would meet them in cycles
                    new.type, new._name = TensorType(old.type.shape, old.type.dtype, None, old.type.sparse), old.name
                    self.variables.setdefault(id(old), new)
        for n, copy in zip(originals, copies, strict=True):
            copy.inputs = [self.of(v) for v in n.inputs]
            if n.op.kind == "user":
                continue
            if _passes_through(n):
                copy.outputs = tuple(self.of(v) for v in n.outputs)
            if n.block is not None:
                self._block(n, copy)
        return copies

    def _user(self, n: Node) -> Node:
        """The node of a new user function, which its class makes itself; its operands are copied afterwards."""
        maker: Any = n.function
        function = maker.clone(list(n.inputs))
        assert len(function.outputs) == len(n.outputs)
        node: Node = function.node
        return node

    def of(self, v: Variable) -> Variable:
        """The copy of any variable met so far."""
        return self.variables[id(v)] if id(v) in self.variables else self.leaf(v)

    def _block(self, original: Node, copy: Node) -> None:
        assert original.block is not None
        block = original.block
        inside = _Copier(self.method)
        inside.variables.update({k: v for k, v in self.variables.items() if v.node is None})
        arguments = []
        for p in block.arguments:
            q = new_placeholder(name=p.name)
            q.type = p.type
            inside.variables[id(p)] = q
            arguments.append(q)
        if block.built:
            inside.nodes(block.outputs)
            copy.block = Block([inside.of(o) for o in block.outputs], arguments, block.build)
            self.variables.update(
                {k: v for k, v in inside.variables.items() if v.node is None and not v.is_placeholder}
            )
            offset = len(original.inputs) - len(arguments)
            copy.inputs[:offset] = [self.of(v) for v in original.inputs[:offset]]
        else:
            copy.block = Block([], arguments, block.build)
        copy.block.connect(copy)


def _copy_of(v: Parameter | Constant, method: CloneMethod) -> Variable:
    kind = Parameter if method is CloneMethod.clone and isinstance(v, Parameter) else Constant
    if v.is_initialized():
        return (
            kind(v.type.shape, v.value, v.type.dtype, v.device, v.name)
            if kind is Parameter
            else Constant(v.value, v.type.shape, v.type.dtype, v.device, v.name)
        )
    copy = kind.__new__(kind)
    Variable.__init__(copy, kind.__name__, v.type, v.name, needs_gradient=kind is Parameter)
    copy._storage, copy._init, copy.seed, copy.device, copy.soft = None, v._init, v.seed, v.device, False
    copy.follows = None
    return copy


def _passes_through(node: Node) -> bool:
    """Whether the node's outputs are its operands themselves."""
    return bool(node.outputs) and all(o.node is not node for o in node.outputs)


def method_of(method: Any) -> CloneMethod:
    """A cloning method given as name or member.

    Raises:
        AttributeValueError: if there is no such method.
    """
    if isinstance(method, CloneMethod):
        return method
    try:
        return CloneMethod(getattr(method, "value", method))
    except ValueError:
        raise AttributeValueError(
            f"there is no cloning method {method!r:.60}", fix="use 'share', 'clone' or 'freeze'"
        ) from None


def clone(function: Function, method: Any, substitutions: Mapping[Any, Any] | None) -> Function:
    """The work of ``Function.clone``."""
    if substitutions is not None and not isinstance(substitutions, Mapping):
        raise SignatureError(
            "Variable substitution map must be a dictionary, not " + type(substitutions).__name__,
            fix="clone(method, {old: new, ...})",
        )
    copier = _Copier(method_of(method))
    for old, new in (substitutions or {}).items():
        copier.variables[id(_variable(old))] = _variable(new)
    reads_inputs = any(leaf.is_input for leaf in walk.leaves(function.outputs))  # layers read placeholders only
    for leaf in walk.leaves([_variable(new) for new in (substitutions or {}).values()] if reads_inputs else ()):
        if leaf.is_input:  # what the substitutes read stays what it is where this graph reads it too
            copier.variables.setdefault(id(leaf), leaf)
    root = function.node
    done = copier.nodes(root.outputs if not _passes_through(root) else root.inputs)
    if _passes_through(root):
        copy = Node(
            root.op, [copier.of(v) for v in root.inputs], root.attributes, root.name, op_name=root.op_name, count=0
        )
        copy.outputs = tuple(copier.of(v) for v in root.outputs)
    elif all(id(o) in copier.variables for o in root.outputs) and copier.of(root.outputs[0]).node is not None:
        copy = copier.of(root.outputs[0]).node  # type: ignore[assignment]
    else:
        raise SignatureError("clone: the substitutions replace the whole function", fix="use the substitute itself")
    infer.infer_nodes(done)
    return function.of(copy)


def replace_placeholders(function: Function, substitutions: Mapping[Any, Any]) -> Function:
    """The work of ``Function.replace_placeholders``."""
    if not isinstance(substitutions, Mapping):
        raise SignatureError(
            "replace_placeholders expects a dictionary placeholder -> variable, not " + type(substitutions).__name__
        )
    table = {id(_variable(old)): _variable(new) for old, new in substitutions.items()}
    found = list(walk.nodes(function.outputs))
    if function.node not in found:
        found.append(function.node)
    for node in found:
        for i, v in enumerate(node.inputs):
            if id(v) in table:
                node.set_input(i, table[id(v)])
        if node.block is not None:
            node.block.connect(node)
    everything = list(walk.nodes(function.outputs))
    infer.infer_nodes(everything)
    return function


def _variable(thing: Any) -> Variable:
    if thing is None:
        raise AttributeError("None stands where a variable or a Function is expected")
    if isinstance(thing, Variable):
        return thing
    output = getattr(thing, "output", None)
    if isinstance(output, Variable):
        return output
    raise SignatureError(f"expected a variable or a Function, got {type(thing).__name__}")
