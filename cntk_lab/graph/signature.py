"""Python functions as network functions, calling a Function, chaining, and looking up its attributes.

``@Function`` runs a Python function once on placeholders (or typed inputs) and keeps the graph that it builds.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, NoReturn

import numpy as np

from cntk_lab.axis import Axis, format_axes
from cntk_lab.errors import DTypeError, SignatureError
from cntk_lab.graph import clone as cloning
from cntk_lab.graph import ports
from cntk_lab.graph.compose import as_block, combine
from cntk_lab.graph.function import Function, output_of, outputs_of
from cntk_lab.graph.naming import inside_layer, no_parameters
from cntk_lab.graph.node import Node
from cntk_lab.graph.opdef import TensorType
from cntk_lab.graph.operand import bind_symbol, symbol
from cntk_lab.graph.variable import INPUT, Variable, input_type, new_placeholder
from cntk_lab.tensor import dtype as dtypes
from cntk_lab.tensor.shape import UNKNOWN_SHAPE

_open: ContextVar[tuple[tuple[Variable, ...], ...]] = ContextVar("open", default=())
"""The arguments of the Functions that are being built, outermost first."""


class TypeSpec:
    """A type of an argument: static shape, dynamic axes, sparsity. What ``Tensor[...]`` and ``Sequence[...]`` make."""

    def __init__(
        self, shape: Any, axes: Iterable[Axis] | None, dtype: Any = None, *, sparse: bool = False, scalar: str = ""
    ) -> None:
        self.shape: tuple[int, ...] = (shape,) if isinstance(shape, int) else tuple(shape)
        self.dynamic_axes: tuple[Axis, ...] = tuple(axes or ())
        self.dtype = dtype
        self.is_sparse = sparse
        self._scalar = scalar

    def new_input(self, name: str = "") -> Variable:
        """An input variable of this type."""
        dtype = self.dtype or ports.use("default_option")("dtype", "float32")
        if self.shape == UNKNOWN_SHAPE:
            type_ = TensorType(None, dtypes.name_of(dtype), self.dynamic_axes, self.is_sparse)
        else:
            type_ = input_type(self.shape, dtype, self.dynamic_axes, sparse=self.is_sparse)
        return Variable(INPUT, type_, name)

    def keys(self) -> list[str]:
        """The names of what this says: ``input_variable(**Tensor[3])`` works by them."""
        return ["shape", "is_sparse", "dynamic_axes", *(["dtype"] if self.dtype is not None else [])]

    def __getitem__(self, key: str) -> Any:
        return {
            "shape": self.shape,
            "is_sparse": self.is_sparse,
            "dynamic_axes": self.dynamic_axes,
            "dtype": self.dtype,
        }[key]

    def __str__(self) -> str:
        if not self.shape and not self.is_sparse and self._scalar:
            return f"Sequence[{self._scalar}]" if len(self.dynamic_axes) > 1 else self._scalar
        type_ = TensorType(
            None if self.shape == UNKNOWN_SHAPE else self.shape,
            dtypes.name_of(self.dtype or "float32"),
            self.dynamic_axes,
            self.is_sparse,
        )
        return type_text(type_)

    __repr__ = __str__

    def __call__(self, *_: Any) -> NoReturn:
        """Not possible: a type is no value."""
        raise SignatureError(f"type {self} cannot be called", fix="use it as an annotation: def f(x: Tensor[3])")


def is_type(what: object) -> bool:
    """Whether this says the type of an argument."""
    return isinstance(what, TypeSpec) or (isinstance(what, type) and what in _SCALARS)


_SCALARS: dict[type, str] = {float: "float32", np.float32: "float32", np.float64: "float64", np.float16: "float16"}


def as_spec(what: Any) -> TypeSpec:
    """A type given as TypeSpec, as shape, as variable, or as the Python type float.

    Raises:
        SignatureError: if it is none of these.
    """
    if isinstance(what, TypeSpec):
        return what
    batch = (Axis.default_batch_axis(),)
    if isinstance(what, type) and what in _SCALARS:
        return TypeSpec((), batch, None if what is float else what)
    if isinstance(what, Variable) and what.type.shape is not None:
        return TypeSpec(what.type.shape, what.type.axes, what.type.dtype, sparse=what.type.sparse)
    if (isinstance(what, int) and not isinstance(what, bool)) or (
        isinstance(what, (tuple, list)) and all(isinstance(d, (int, np.integer)) for d in what)
    ):
        return TypeSpec(what, batch)
    raise SignatureError(
        f"{what!r} is not a type of an argument", fix="use Tensor[...], Sequence[Tensor[...]], a shape, or float"
    )


# ---- Python functions as network functions


def positional_parameters(f: Callable[..., Any]) -> list[inspect.Parameter]:
    """The parameters of a Python function that a caller must give by position."""
    try:
        parameters = inspect.signature(f).parameters.values()
    except (TypeError, ValueError):
        raise SignatureError(f"{f!r} does not say its parameters, so it cannot become a Function") from None
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [p for p in parameters if p.kind in kinds and p.default is inspect.Parameter.empty]


def _annotations(f: Callable[..., Any]) -> dict[str, Any]:
    """Parameter -> annotation; annotations written as text (``from __future__ import annotations``) are looked up."""
    target = f if inspect.isfunction(f) or inspect.ismethod(f) else type(f).__call__
    try:
        found = inspect.get_annotations(target, eval_str=True)
    except Exception:  # noqa: BLE001  (an annotation for another tool, of names that do not exist here)
        found = inspect.get_annotations(target)
    return {k: v for k, v in found.items() if k != "return" and is_type(v)}


def function_from(
    f: Callable[..., Any],
    *,
    types: Mapping[str, Any] | None = None,
    name: str = "",
    op_name: str | None = "",
    make_block: bool = True,
    may_create: bool = False,
) -> Function:
    """The network function that a Python function of variables builds.

    If the graph would order its arguments differently from the Python function, they go through a block ``Tuple`` that
    keeps the order.

    Args:
        f: called with placeholders, or inputs where a type is annotated; returns a Function or a tuple of them.
        types: argument -> type; default the annotations.
        name: name of the function.
        op_name: wrap the result up as a block called this.
        make_block: False leaves ``op_name`` without effect.
        may_create: whether f may create parameters (it is called again if the order of arguments has to be kept).

    Raises:
        SignatureError: if an argument is not used, or something else than a Function comes out.
    """
    title = getattr(f, "__name__", type(f).__name__)
    op_name = (op_name or "") if make_block else ""
    names = [p.name for p in positional_parameters(f)]
    annotations = _annotations(f) if types is None else dict(types)
    arguments = [as_spec(annotations[n]).new_input(n) if n in annotations else new_placeholder(name=n) for n in names]
    inside = [new_placeholder(name=n) for n in names] if op_name else arguments
    with _building(title, inside, may_create=may_create), _in_layer(op_name, name):
        function = _result(title, f(*inside))
        _check_arguments(title, inside, function)
        if op_name:
            return as_block(function, list(zip(inside, arguments, strict=True)), op_name, name)
        if not _in_order(function, arguments):
            function = _result(title, f(*_tuple(arguments).outputs))
    if name and not function.name:
        function = symbol("alias")(function, name=name)
    return function


@contextlib.contextmanager
def _building(title: str, arguments: Sequence[Variable], *, may_create: bool) -> Iterator[None]:
    token = _open.set((*_open.get(), tuple(arguments)))
    try:
        with contextlib.nullcontext() if may_create else no_parameters(title):
            yield
    finally:
        _open.reset(token)


def _in_layer(op_name: str, name: str) -> contextlib.AbstractContextManager[None]:
    if not op_name:
        return contextlib.nullcontext()
    return inside_layer(f"{op_name} '{name}'" if name else op_name)


def _result(title: str, result: Any) -> Function:
    if result is None:
        raise SignatureError(f"CNTK Function '{title}' must return a value")
    if isinstance(result, Mapping):
        result = tuple(result.values())
    if isinstance(result, (Variable, tuple, list)):
        result = combine(result if isinstance(result, (tuple, list)) else [result])
    if not isinstance(result, Function):
        raise SignatureError(
            f"CNTK Function '{title}' must return a Function or variable, not {type(result).__name__}",
            fix="make a constant of a number: return constant(3)",
        )
    return result


def _check_arguments(title: str, arguments: Sequence[Variable], function: Function) -> None:
    used = function.arguments
    unused = [a.name for a in arguments if not any(a is u for u in used)]
    if unused:
        raise SignatureError(
            f"CNTK Function '{title}' has {len(unused)} unused arguments ({', '.join(unused)}), which is currently not "
            "supported",
            fix="drop the parameter, or use it",
        )
    extra = [u.name or u.uid for u in used if not any(a is u for a in arguments) and not _is_open(u)]
    if extra:
        raise SignatureError(
            f"CNTK Function '{title}' has {len(extra)} missing arguments ({', '.join(extra)}), which is currently not "
            "supported",
            fix="make the variables it reads parameters of the Python function",
        )


def _is_open(variable: Variable) -> bool:
    """Whether this is an argument of an outer function that is being built, which an inner one may read."""
    return any(variable is a for arguments in _open.get() for a in arguments)


def own_arguments(function: Function) -> tuple[Variable, ...]:
    """The arguments that are not those of an outer function that is being built."""
    return tuple(a for a in function.arguments if not _is_open(a))


def _in_order(function: Function, arguments: Sequence[Variable]) -> bool:
    used = [u for u in function.arguments if any(u is a for a in arguments)]
    return all(u is a for u, a in zip(used, arguments, strict=True))


def _tuple(arguments: Sequence[Variable]) -> Function:
    inner = [new_placeholder(name=a.name) for a in arguments]
    return as_block(combine(inner), list(zip(inner, arguments, strict=True)), "Tuple")


def block_function(op_name: str, name: str = "") -> Callable[[Callable[..., Any]], Function]:
    """A decorator: the Python function's graph, wrapped up as one block called ``op_name``."""

    def decorate(f: Callable[..., Any]) -> Function:
        return function_from(f, name=name, op_name=op_name)

    return decorate


def named_types(f: Callable[..., Any], types: Sequence[Any], named: Mapping[str, Any]) -> dict[str, Any]:
    """Parameter -> type, from types given by position and by name.

    Raises:
        SignatureError: if their number is not that of the parameters.
    """
    names = [p.name for p in positional_parameters(f)]
    if len(types) + len(named) != len(names):
        raise SignatureError(
            f"{len(types) + len(named)} annotations provided for function to be decorated, but function has "
            f"{len(names)} parameters"
        )
    return match_names("", names, {n: n for n in names}, types, named)


def with_signature(*types: Any, **named: Any) -> Callable[[Callable[..., Any]], Function]:
    """A decorator like ``@Function`` that says the arguments' types by position or name."""

    def decorate(f: Callable[..., Any]) -> Function:
        return function_from(f, types=named_types(f, types, named))

    return decorate


# ---- calling


def call(function: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Apply a Function to variables or to data, matched by position and name."""
    matched = match(function, args, kwargs)
    symbolic = [isinstance(v, (Variable, Function)) for v in matched.values()]
    if any(symbolic):
        for parameter, given in matched.items():
            if not isinstance(given, (Variable, Function)):
                raise SignatureError(
                    f"argument {parameter.name or parameter.uid} was passed an object that is not a Variable or "
                    "Function",
                    fix="give variables for all arguments, or data for all; constant(data) makes a variable of data",
                )
            _check_type(parameter, given)
        substitutions = {a: a for a in function.arguments} | {p: output_of(g) for p, g in matched.items()}
        return function.clone(cloning.CloneMethod.share, substitutions)
    values = function.forward(dict(matched), None, None, None, True)[1]
    results = tuple(values[o] for o in function.outputs)
    return results[0] if len(results) == 1 else results


def match(function: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[Variable, Any]:
    """Which argument gets what.

    Raises:
        SignatureError: if the count or a name is wrong.
    """
    parameters = function.arguments
    if len(args) + len(kwargs) != len(parameters):
        parameters = own_arguments(function)
    title = f" '{function.name}'" if function.name else ""
    return match_names(title, parameters, {p.name: p for p in parameters if p.name}, args, kwargs)


def match_names(
    title: str, parameters: Sequence[Any], by_name: Mapping[str, Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> dict[Any, Any]:
    """Parameter -> argument, by position and name.

    Raises:
        SignatureError: if the count or a name is wrong.
        SyntaxError: if an argument is given twice.
    """
    if len(args) + len(kwargs) != len(parameters):
        names = ", ".join(getattr(p, "name", p) or getattr(p, "uid", "") for p in parameters)
        raise SignatureError(
            f"CNTK Function{title} expected {len(parameters)} arguments, got {len(args) + len(kwargs)}",
            fix=f"its arguments are: {names}" if names else "it has no arguments",
        )
    matched: dict[Any, Any] = dict(zip(parameters, args, strict=False))
    for name, value in kwargs.items():
        if name not in by_name:
            raise SignatureError(f"got an unexpected keyword argument '{name}'", fix="arguments: " + ", ".join(by_name))
        if by_name[name] in matched:
            raise SyntaxError(f"got multiple values for argument '{name}'")
        matched[by_name[name]] = value
    return {p: matched[p] for p in parameters}


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
    if not fits or have.sparse != want.sparse:
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
            return combine([g(f) for f, g in _pairs(firsts, then)])
        return then(*firsts)
    if isinstance(then, (tuple, list)):
        if isinstance(first, Function) and len(first.outputs) > 1:
            return combine([g(o) for o, g in _pairs(first.outputs, then)])
        return combine([g(first) for g in then])
    outputs = first.outputs if isinstance(first, Function) else (first,)
    return then(*outputs) if len(outputs) > 1 else then(first)


def _pairs(firsts: Sequence[Any], then: Sequence[Any]) -> list[tuple[Any, Any]]:
    if len(firsts) != len(then):
        raise SignatureError(
            f">>: {len(firsts)} outputs on the left, a tuple of {len(then)} functions on the right",
            fix="give one function for each output",
        )
    return list(zip(firsts, then, strict=True))


def update_signature(function: Function, types: Sequence[Any], named: Mapping[str, Any]) -> None:
    """Replace placeholder arguments by new inputs of the given types."""
    new = {p: as_spec(t).new_input(p.name) for p, t in match(function, types, named).items()}
    for parameter, variable in new.items():
        _check_type(parameter, variable)
    cloning.replace_placeholders(function, {p: v for p, v in new.items() if p.is_placeholder})


def attribute(function: Function, name: str) -> Any:
    """What ``function.name`` means: what its output has of that name, else a part of the graph of that name."""
    roots = function.node.outputs
    of_variable = hasattr(Variable, name)
    if not of_variable and not name.startswith("_"):
        block = None if function.is_composite else function.node.block
        start: Any = function if block is None or not block.built else combine(block.outputs)
        found = start.find_all_with_name(name, depth=1)
        if found:
            return found[0]
    if len(roots) != 1:
        raise AttributeError(
            f"Function does not have '{name}' and it cannot be looked up in its outputs because it does not have "
            "exactly one"
        )
    if of_variable or hasattr(roots[0], name):
        return getattr(roots[0], name)
    raise AttributeError(f"'Variable' object has no attribute '{name}'")


def type_text(t: TensorType, *, parameter: bool = False) -> str:
    """A type as CNTK writes it: ``Sequence[Tensor[2,3]]``."""
    short = "" if t.dtype in (None, "float32") else f"np.{t.dtype}"
    dims = [short] if short else []
    if t.shape is None:
        inner = "tensor"
    elif not t.shape and not t.sparse and not parameter:
        inner = short or "np.float32"
    else:
        kind = "SparseTensor" if t.sparse else "Tensor" if t.axes or t.axes is None else "ParameterTensor"
        kind = "ParameterTensor" if parameter else kind
        inner = f"{kind}[{','.join([*dims, *map(str, t.shape)])}]"
    if t.axes is None:
        return f"Sequence[{inner}]"
    for a in t.axes:
        if a.is_ordered:
            inner = f"Sequence[{inner}]" if a.short == "*" else f"SequenceOver[{a.short}][{inner}]"
    return inner


def _outside(variable: Variable) -> Variable:
    """What a placeholder inside a block stands for; any other variable itself."""
    while variable.block_input is not None:
        variable = variable.block_input
    return variable


def as_text(function: Function) -> str:
    """One line: ``[name: ]Op(argument: type, ...) -> type``."""
    node = function.node
    same = not function.is_composite or all(a is b for a, b in zip(function.inputs, node.inputs, strict=False))
    title = node.op_name if same else "Composite"
    inside = ", ".join((f"{a.name}: " if a.name else "") + type_text(a.type) for a in map(_outside, function.arguments))
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
    ("match", match),
    ("chain", chain),
    ("update_signature", update_signature),
    ("with_signature", with_signature),
    ("attribute", attribute),
    ("as_text", as_text),
):
    bind_symbol(_name, _implementation)

__all__ = [
    "TypeSpec", "as_spec", "block_function", "call", "chain", "function_from", "is_type", "match_names", "named_types",
    "own_arguments", "positional_parameters", "type_text", "with_signature",
]  # fmt: skip
