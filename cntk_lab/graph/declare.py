"""Declaring operators: a Python signature, a docstring and the facts become an OpDef and the public function.

Three kinds: ``elementwise`` (a formula, which may reduce along axes), ``tensor_op`` (works on whole arrays),
``composite`` (built from other operators). The signature *is* the API: parameters without default (and those listed
in ``operands``) are operands, the rest are attributes, ``name`` names the node.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from cntk_lab.errors import GraphError, SignatureError
from cntk_lab.graph import infer, registry
from cntk_lab.graph.asks import Rule, apply
from cntk_lab.graph.block import Block, stand_in
from cntk_lab.graph.compose import block_node
from cntk_lab.graph.function import Function, outputs_of
from cntk_lab.graph.node import Node
from cntk_lab.graph.opdef import EVERY, NONE, CntkRule, OpDef, OpParameter, Trait
from cntk_lab.graph.operand import Operand, bind_symbol, constant_array
from cntk_lab.graph.variable import Constant, Variable
from cntk_lab.tensor import dtype as dtypes

F = TypeVar("F", bound=Callable[..., Any])


def elementwise(
    *, formula: Rule, cntk: CntkRule, derivative: Mapping[str, Rule] | None = None, **facts: Any
) -> Callable[[F], F]:
    """Declare an operator by a formula of one element, of expressions named as the operands.

    Args:
        formula: operands and attributes -> expression; with ``reduce`` it may look along axes (softmax).
        cntk: how CNTK's files write it.
        derivative: operand -> rule of ``dy`` (expression of the output's gradient), ``y`` and the operands; default:
            derived.
        facts: the remaining fields of :class:`OpDef`.
    """
    return _declare("elementwise", formula=formula, cntk=cntk, derivative=derivative, **facts)


def tensor_op(*, cntk: CntkRule, **facts: Any) -> Callable[[F], F]:
    """Declare an operator on whole arrays ``(rows x static shape)``: rules ``shape``, ``forward``, ``gradient`` and
    so on.
    """
    return _declare("tensor", cntk=cntk, **facts)


def composite(*, cntk: CntkRule, **facts: Any) -> Callable[[F], F]:
    """Declare an operator built from others; the function's body builds it."""

    def decorate(function: F) -> F:
        return _declare("composite", cntk=cntk, body=function, **facts)(function)

    return decorate


def _declare(
    kind: str, *, operands: Sequence[str] = (), traits: Iterable[Trait] = (), **facts: Any
) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        parameters = tuple(_parameters(function, operands))
        op = registry.register(
            OpDef(
                function.__name__, kind, parameters, inspect.getdoc(function) or "", traits=frozenset(traits), **facts
            )
        )
        public = _public(op, function)
        if op.operator:
            bind_symbol(op.operator, public)
        return public  # type: ignore[return-value]

    return decorate


def _parameters(function: Callable[..., Any], operands: Sequence[str]) -> Iterable[OpParameter]:
    for p in inspect.signature(function).parameters.values():
        if p.name == "name":
            continue
        variadic = p.kind is inspect.Parameter.VAR_POSITIONAL
        operand = variadic or p.name in operands or (p.default is inspect.Parameter.empty and not operands)
        yield OpParameter(p.name, operand, variadic, p.default)


def _public(op: OpDef, function: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(function)
    names = [p.name for p in op.parameters]

    @functools.wraps(function)
    def build(*args: Any, **kwargs: Any) -> Any:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise SignatureError(f"{op.name}: {error}", fix=f"the signature is {op.name}{signature}") from None
        bound.apply_defaults()
        values = bound.arguments
        given: list[Any] = []
        for p in op.operands:
            given.extend(_listed(op, values[p.name])) if p.variadic else given.append(values[p.name])
        while given and given[-1] is None and op.operands[min(len(given), len(op.operands)) - 1].default is None:
            given.pop()
        attributes = {n: values[n] for n, p in zip(names, op.parameters, strict=True) if not p.operand}
        name_ = values.get("name", "")
        if not isinstance(name_, str):
            raise SignatureError(f"{op.name}: the name is {name_!r:.60}", fix="names are text: name='h'")
        return use(op, given, attributes, name_)

    build.op = op  # type: ignore[attr-defined]
    return build


def _listed(op: OpDef, operands: Sequence[Any]) -> Sequence[Any]:
    """The operands of an operator that takes any number of them, also given as one list of variables.

    Raises:
        SignatureError: if there is none.
    """
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        inside = operands[0]
        operands = inside if any(isinstance(o, (Variable, Function)) for o in inside) else operands
    if not operands or (len(operands) == 1 and isinstance(operands[0], (list, tuple)) and not operands[0]):
        raise SignatureError(f"{op.name}: there is no operand", fix="give at least one")
    return operands


def use(op: OpDef, given: Sequence[Any], attributes: Mapping[str, Any], name: str = "") -> Any:
    """One use of an operator: converts the operands, infers the types, and returns the composite Function."""
    variables = as_operands(op, given)
    if op.kind != "composite":
        node = Node(op, variables, attributes, name, count=None if op.count is None else apply(op.count, attributes))
        infer.infer_node(node)
        return Function.of(node)
    assert op.body is not None
    body = op.body
    if op.cntk.block is None:
        result = body(*variables, **attributes)
        return named(result, name)

    def build(placeholders: Sequence[Variable]) -> Sequence[Variable]:
        return outputs_of(body(*placeholders, **attributes))

    # one placeholder for each operand; the body is built at once when all shapes are known
    placeholders = [stand_in(v) for v in variables]
    block = Block([], placeholders, build)
    return block_node(op, block, variables, dict(attributes), name, op.cntk.block, len(op.outputs))


def named(function: Any, name: str) -> Any:
    """The function with its root named, if a name is given."""
    if name and isinstance(function, Function) and not function.name:
        function.name = name
    return function


def as_operands(op: OpDef, given: Sequence[Any]) -> list[Variable]:
    """Functions, variables, numbers and arrays as operand variables; numbers take the other operands' element type.

    Raises:
        SignatureError: if something cannot be an operand.
        DTypeError: for an array of integers, if the operator asks arrays for their element type.
    """
    numbers, arrays = _element_types(op, given)
    result = []
    for position, g in enumerate(given):
        if isinstance(g, Variable):
            result.append(g)
        elif isinstance(g, Function):
            if len(g.outputs) != 1:
                raise GraphError(
                    f"{op.name}: operand {position} is a function with {len(g.outputs)} outputs",
                    fix="take one of its .outputs",
                )
            result.append(g.output)
        elif g is None or isinstance(g, (str, bytes, dict, set)) or callable(g):
            raise SignatureError(
                f"{op.name}: operand {position} is {g!r:.60}",
                fix="give a variable, a Function, a number or an array",
            )
        else:
            of_numpy = _is_array(g)
            array = constant_array(g, arrays if of_numpy else numbers, whole=not _says_type(op, position, len(given)))
            constant = Constant(array, dtype=array.dtype.name)
            constant.soft = numbers is None and not of_numpy
            result.append(constant)
    return result


def as_flow(name: str, operand: Operand) -> Variable | Function:
    """The variable or function that an operand is, for what asks it for its shape.

    Args:
        name: of the function that asks.
        operand: the operand.

    Raises:
        SignatureError: if it is a number or an array.
    """
    if not isinstance(operand, (Variable, Function)):
        raise SignatureError(f"{name}: an operand is {operand!r:.60}", fix="give a variable or a Function")
    return operand


def _says_type(op: OpDef, position: int, count: int) -> bool:
    """Whether an array at that place among the operands may say the element type (and so must have one)."""
    rule = op.arrays or (EVERY if len(op.operands) > 1 else NONE)
    return rule == EVERY or (rule != NONE and op.operands[min(position, count - 1)].name == rule)


def _element_types(op: OpDef, given: Sequence[Any]) -> tuple[str | None, str | None]:
    """The element types that numbers, and arrays, among the operands take; None: their own.

    Variables say it. Where there is none, arrays do as in CNTK: the widest of their types counts, and numbers and
    lists beside them as float32; operators that do not ask arrays compute in float32.
    """
    known = next((t for t in (_dtype_of(g) for g in given) if t is not None), None)
    asking = [g for i, g in enumerate(given) if g is not None and _says_type(op, i, len(given))]
    if known is not None or not asking:
        return known, known or "float32"
    if any(isinstance(g, (Variable, Function)) for g in given) or not any(_is_array(g) for g in asking):
        return None, None
    types = (g.dtype.name if _is_array(g) and g.dtype.name in dtypes.FLOATS else "float32" for g in asking)
    widest = max(types, key=dtypes.FLOATS.index)
    return widest, widest


def _is_array(thing: Any) -> bool:
    return isinstance(thing, (np.ndarray, np.generic))


def _dtype_of(thing: Any) -> str | None:
    if isinstance(thing, Variable):
        return thing.type.dtype
    if isinstance(thing, Function) and len(thing.outputs) == 1:
        return thing.output.type.dtype
    return None
