"""Python functions as network functions, calling a Function, chaining, and looking up its attributes.

``@Function`` runs a Python function once on placeholders (or typed inputs) and keeps the graph that it builds.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from cntk_lab.axis import format_axes
from cntk_lab.errors import DTypeError, ShapeError, SignatureError
from cntk_lab.graph import clone as cloning
from cntk_lab.graph import ports
from cntk_lab.graph.compose import as_block, combine
from cntk_lab.graph.function import Function, outputs_of
from cntk_lab.graph.node import Node
from cntk_lab.graph.opdef import TensorType
from cntk_lab.graph.operand import bind_symbol
from cntk_lab.graph.variable import INPUT, Variable, input_type, new_placeholder


class TypeSpec:
    """A type of an argument: static shape, dynamic axes, sparsity. What ``Tensor[...]`` and ``Sequence[...]`` make."""

    def __init__(
        self, shape: Any, axes: Any, dtype: Any = None, *, sparse: bool = False, parameter: bool = False
    ) -> None:
        self.shape, self.axes, self.dtype, self.sparse, self.parameter = shape, axes, dtype, sparse, parameter

    def new_input(self, name: str = "") -> Variable:
        """An input variable of this type."""
        type_ = input_type(
            self.shape, self.dtype or ports.use("default_option")("dtype", "float32"), self.axes, sparse=self.sparse
        )
        return Variable(INPUT, type_, name)


def as_spec(what: Any) -> TypeSpec:
    """A type given as TypeSpec, as shape, or as the Python type float."""
    if isinstance(what, TypeSpec):
        return what
    from cntk_lab.axis import Axis

    if what in (float, np.float32, np.float64):
        return TypeSpec((), (Axis.default_batch_axis(),), None if what is float else what)
    if isinstance(what, (int, tuple, list)):
        return TypeSpec(what, (Axis.default_batch_axis(),))
    raise SignatureError(
        f"{what!r} is not a type of an argument", fix="use Tensor[...], Sequence[Tensor[...]], a shape, or float"
    )


def function_from(
    f: Callable[..., Any], *, types: Mapping[str, Any] | None = None, name: str = "", op_name: str = ""
) -> Function:
    """The network function that a Python function of variables builds.

    Args:
        f: called once with placeholders, or inputs where a type is annotated; returns a Function or a tuple of them.
        types: argument -> type; default the annotations.
        name: name of the block, if ``op_name`` is given.
        op_name: wrap the result up as a block called this.

    Raises:
        SignatureError: if an argument is not used, or something else than a Function comes out.
    """
    title = getattr(f, "__name__", type(f).__name__)
    parameters = [p for p in inspect.signature(f).parameters.values() if p.default is inspect.Parameter.empty]
    annotations = dict(types or {}) or {
        p.name: p.annotation for p in parameters if p.annotation is not inspect.Parameter.empty
    }
    annotations = {k: v for k, v in annotations.items() if not isinstance(v, str)}
    arguments = [
        as_spec(annotations[p.name]).new_input(p.name)
        if p.name in annotations and not op_name
        else new_placeholder(name=p.name)
        for p in parameters
    ]
    result = f(*arguments)
    if result is None:
        raise SignatureError(f"CNTK Function '{title}' must return a value")
    if isinstance(result, Mapping):
        result = tuple(result.values())
    function = combine(result) if isinstance(result, (tuple, list)) else result
    if isinstance(function, Variable):
        function = combine([function])
    if not isinstance(function, Function):
        raise SignatureError(
            f"CNTK Function '{title}' must return a Function or variable, not {type(function).__name__}"
        )
    _check_arguments(title, arguments, function)
    if op_name:
        inner = [new_placeholder(name=a.name) for a in arguments]
        for p in inner:
            p.type = TensorType(None, None, None)
        return as_block(function, list(zip(arguments, inner, strict=True)), op_name, name)
    _order(function, arguments)
    return function


def _check_arguments(title: str, arguments: Sequence[Variable], function: Function) -> None:
    used = function.arguments
    unused = [a.name for a in arguments if not any(a is u for u in used)]
    if unused:
        raise SignatureError(
            f"CNTK Function '{title}' has {len(unused)} unused arguments ({', '.join(unused)}), which is currently not supported",
        )
    extra = [u.name or u.uid for u in used if not any(a is u for a in arguments)]
    if extra:
        raise SignatureError(
            f"CNTK Function '{title}' has missing arguments ({', '.join(extra)}): it reads variables that are not its parameters"
        )


def _order(function: Function, arguments: Sequence[Variable]) -> None:
    function._signature_types = {"order": list(arguments)}


def block_function(op_name: str, name: str = "") -> Callable[[Callable[..., Any]], Function]:
    """A decorator: the Python function's graph, wrapped up as one block called ``op_name``."""

    def decorate(f: Callable[..., Any]) -> Function:
        return function_from(f, name=name, op_name=op_name)

    return decorate


def with_signature(*types: Any, **named_types: Any) -> Callable[[Callable[..., Any]], Function]:
    """A decorator like ``@Function`` that says the arguments' types by position or name."""

    def decorate(f: Callable[..., Any]) -> Function:
        names = list(inspect.signature(f).parameters)
        return function_from(f, types={**dict(zip(names, types, strict=False)), **named_types})

    return decorate


def in_order(function: Function) -> list[Variable]:
    """The arguments in the order of a call."""
    order = function.__dict__.get("_signature_types", {}).get("order")
    arguments = list(function.arguments)
    if order and {id(v) for v in order} == {id(v) for v in arguments}:
        return list(order)
    return arguments


def call(function: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Apply a Function to variables or to data, matched by position and name."""
    matched = match(function, args, kwargs)
    symbolic = [isinstance(v, (Variable, Function)) for v in matched.values()]
    if any(symbolic):
        if not all(symbolic):
            raise SignatureError(f"{function.name or function.uid}: data and variables cannot be mixed in one call")
        for parameter, given in matched.items():
            _check_type(parameter, given)
        substitutions = {p: (outputs_of(g)[0] if len(outputs_of(g)) == 1 else g) for p, g in matched.items()}
        result = function.clone(cloning.CloneMethod.share, substitutions)
        order = function.__dict__.get("_signature_types", {}).get("order")
        if order and all(isinstance(substitutions.get(o), Variable) and substitutions[o].is_placeholder for o in order):
            _order(result, [substitutions[o] for o in order])
        return result
    values = function.forward(dict(matched), None, None, None, True)[1]
    results = tuple(values[o] for o in function.outputs)
    return results[0] if len(results) == 1 else results


def match(function: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[Variable, Any]:
    """Which argument gets what.

    Raises:
        SignatureError: if the count or a name is wrong.
    """
    parameters = in_order(function)
    if len(args) + len(kwargs) != len(parameters) and not (
        len(args) <= len(parameters) and not args and not parameters
    ):
        names = ", ".join(p.name or p.uid for p in parameters)
        if len(args) > len(parameters) or not kwargs:
            raise SignatureError(
                f"CNTK Function '{function.name or function.uid}' expected {len(parameters)} arguments, got {len(args) + len(kwargs)}",
                fix=f"its arguments are: {names}",
            )
    matched: dict[Variable, Any] = dict(zip(parameters, args, strict=False))
    by_name = {p.name: p for p in parameters if p.name}
    for name, value in kwargs.items():
        if name not in by_name:
            raise SignatureError(f"got an unexpected keyword argument '{name}'", fix="arguments: " + ", ".join(by_name))
        if by_name[name] in matched:
            raise SyntaxError(f"got multiple values for argument '{name}'")
        matched[by_name[name]] = value
    missing = [p.name or p.uid for p in parameters if p not in matched]
    if missing:
        raise SignatureError(
            f"CNTK Function '{function.name or function.uid}' is missing arguments: {', '.join(missing)}"
        )
    return matched


def _check_type(parameter: Variable, given: Any) -> None:
    outputs = outputs_of(given)
    if parameter.is_placeholder or len(outputs) != 1:
        return
    want, have = parameter.type, outputs[0].type
    if have.shape is None or want.shape is None or have.axes is None:
        return
    fits = (
        have.dims[len(have.dims) - len(want.dims) :] == want.dims
        and have.axes == want.axes
        and have.dtype == want.dtype
    )
    if not fits or (have.sparse != want.sparse and want.sparse):
        kind = SignatureError if have.dtype == want.dtype else DTypeSignatureError
        raise kind(
            f"argument {parameter.name or parameter.uid}'s type {type_text(want)} is incompatible with the type "
            f"{type_text(have)} of the passed Variable",
        )


class DTypeSignatureError(SignatureError, DTypeError):
    """An argument of another element type than the parameter."""


def chain(first: Any, then: Any) -> Any:
    """``first >> then``: the second function applied to the outputs of the first."""
    if isinstance(first, (tuple, list)):
        firsts = list(first)
        if isinstance(then, (tuple, list)):
            return combine([g(f) for f, g in zip(firsts, then, strict=True)])
        return then(*firsts)
    if isinstance(then, (tuple, list)):
        if isinstance(first, Function) and len(first.outputs) == len(then):
            return combine([g(o) for o, g in zip(first.outputs, then, strict=True)])
        return combine([g(first) for g in then])
    outputs = first.outputs if isinstance(first, Function) else (first,)
    return then(*outputs) if len(outputs) > 1 else then(first)


def update_signature(function: Function, types: Sequence[Any], named: Mapping[str, Any]) -> None:
    """Replace placeholder arguments by new inputs of the given types."""
    parameters = in_order(function)
    wanted = dict(zip(parameters, types, strict=False))
    by_name = {p.name: p for p in parameters}
    for name, what in named.items():
        if name not in by_name:
            raise SignatureError(
                f"update_signature: there is no argument '{name}'", fix="arguments: " + ", ".join(by_name)
            )
        wanted[by_name[name]] = what
    if len(types) > len(parameters):
        raise SignatureError(f"update_signature: {len(types)} types for {len(parameters)} arguments")
    new = {p: as_spec(t).new_input(p.name) for p, t in wanted.items()}
    cloning.replace_placeholders(function, new)
    if "_signature_types" in function.__dict__:
        _order(function, [new.get(p, p) for p in parameters])


def attribute(function: Function, name: str) -> Any:
    """What ``function.name`` means: a part of the graph of that name, else an attribute of the output."""
    roots = function.node.outputs
    if not name.startswith("_"):
        start: Any = function
        if function.node.block is not None and function.node.block.built:
            start = combine(function.node.block.outputs)
        found = start.find_by_name(name, depth=1)
        if found is not None:
            return found
    if hasattr(Variable, name) or name in Variable.__slots__:
        if len(roots) != 1:
            raise AttributeError(
                f"Function does not have '{name}' and it cannot be looked up in its outputs because it does not have exactly one"
            )
        return getattr(roots[0], name)
    raise AttributeError(f"'{type(function).__name__}' object has no attribute '{name}'")


def type_text(t: TensorType, *, parameter: bool = False) -> str:
    """A type as CNTK writes it: ``Sequence[Tensor[2,3]]``."""
    if t.shape is None:
        return "tensor"
    dims = ",".join(str(d) for d in t.shape)
    if not t.shape and not t.sparse and not parameter:
        inner = "float32" if t.dtype in (None, "float32") else str(t.dtype)
        inner = "float" if inner == "float32" else f"np.{inner}"
    else:
        kind = "ParameterTensor" if parameter else "SparseTensor" if t.sparse else "Tensor"
        inner = f"{kind}[{dims}]"
    axes = [a for a in t.axes or () if a.is_ordered]
    for a in axes:
        inner = f"Sequence[{inner}]" if a.short == "*" else f"SequenceOver[{a.short}][{inner}]"
    return inner


def as_text(function: Function) -> str:
    """One line: ``[name: ]Op(argument: type, ...) -> type``."""
    node = function.node
    arguments = in_order(function) if function.is_composite else node.inputs
    root_inputs = {id(v) for v in node.inputs}
    same = not function.is_composite or root_inputs == {id(v) for v in function.inputs}
    title = node.op_name if same else "Composite"
    inside = ", ".join(
        f"{a.name or a.uid}: {type_text(a.type, parameter=a.is_parameter)}" for a in arguments if not a.is_constant
    )
    outputs = [type_text(o.type) for o in function.outputs]
    result = outputs[0] if len(outputs) == 1 else f"Tuple[{', '.join(outputs)}]"
    prefix = f"{function.name}: " if function.name else ""
    return f"{prefix}{title}({inside}) -> {result}"


def detailed_text(function: Function) -> str:
    """Every node below, one a line, operands before users: for reading a model as text."""
    from cntk_lab.graph import walk

    lines = []
    for node in walk.nodes(function.outputs):
        operands = ", ".join(v.name or v.uid for v in node.inputs)
        for o in node.outputs:
            axes = "[???]" if o.type.axes is None else format_axes(o.type.axes)
            lines.append(f"{o.name or o.uid} {axes}{list(o.shape)} = {node.op_name}({operands})")
    return "\n".join(lines)


def named_variable(node: Node) -> str:
    """How a node is called in texts."""
    return node.name or node.uid


for _name, _implementation in (
    ("function_from", function_from),
    ("call", call),
    ("chain", chain),
    ("update_signature", update_signature),
    ("with_signature", with_signature),
    ("attribute", attribute),
    ("as_text", as_text),
):
    bind_symbol(_name, _implementation)

__all__ = ["ShapeError", "TypeSpec", "block_function", "call", "chain", "function_from", "in_order", "type_text"]
