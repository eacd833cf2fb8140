"""Operators that the user writes in Python: UserFunction; and stand-ins for what only other engines compute.

A user function is one node; the engine calls its ``forward`` and ``backward`` with data in the user's form (arrays, a
list of one array per sequence, or Values). Must not know files. Source: CNTK 2.7 ``ops.functions.UserFunction``,
observed.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, NoReturn

import numpy as np

from cntk_lab.axis import UNKNOWN_AXES, Axis
from cntk_lab.errors import DataError, GraphError, LabError, NotAvailableError, SignatureError
from cntk_lab.graph import infer
from cntk_lab.graph.asks import Rule
from cntk_lab.graph.declare import as_operands, tensor_op
from cntk_lab.graph.function import Function
from cntk_lab.graph.node import Node
from cntk_lab.graph.opdef import CntkRule, OpDef, OpParameter, TensorType, Trait
from cntk_lab.graph.operand import Operand, bind_symbol
from cntk_lab.graph.variable import Variable
from cntk_lab.tensor.feed import read
from cntk_lab.tensor.shape import UNKNOWN_SHAPE, Shape, as_shape
from cntk_lab.tensor.value import Value

__all__ = ["UserFunction", "custom_proxy_op", "native_user_function", "register_native_user_function", "user_function"]

_UNKNOWN = TensorType(None, None, None)


class UserError(GraphError, RuntimeError):
    """The user's own code in a user function did not do what it must."""


class UserFunction(Function):
    """Base class of operators written in Python.

    A subclass defines ``infer_outputs``, ``forward`` and, to be trained through, ``backward``. Then
    ``user_function(MyOperator(x))`` is a Function like any other.

    Args:
        inputs: operands: variables or Functions.
        as_numpy: whether ``forward`` and ``backward`` get arrays (for sequences a list of one array each) or Values.
        attributes: the user's own attributes, kept with the function.
        name: name for look-ups.

    Example:
        >>> import cntk_lab as C
        >>> class Double(UserFunction):
        ...     def __init__(self, x, name="double"):
        ...         super().__init__([x], name=name)
        ...     def infer_outputs(self):
        ...         x = self.inputs[0]
        ...         return [C.output_variable(x.shape, x.dtype, x.dynamic_axes)]
        ...     def forward(self, argument, device=None, outputs_to_retain=None):
        ...         return None, 2 * argument
        ...     def backward(self, state, root_gradients):
        ...         return 2 * root_gradients
        >>> x = C.input_variable(2, needs_gradient=True)
        >>> f = C.user_function(Double(x))
        >>> f.eval({x: [[1, 2]]}).tolist(), f.grad({x: [[1, 2]]}).tolist()
        ([[2.0, 4.0]], [[2.0, 2.0]])

    Source: CNTK 2.7 ``ops.functions.UserFunction``.
    """

    as_numpy: bool

    def __init__(
        self,
        inputs: Sequence[Any],
        as_numpy: bool = True,
        attributes: Mapping[str, Any] | None = None,
        name: str = "",
    ) -> None:
        variables = as_operands(_operator(1), list(inputs))
        node = Node(_operator(1), variables, dict(attributes or {}), name, op_name="UserFunction", count=0)
        node.resolved = {"function": self}
        node.function = self
        self.node, self._composite, self._uid = node, False, node.uid
        self.as_numpy = as_numpy
        self._declared = False

    # ---- what the user defines

    def infer_outputs(self) -> Sequence[Variable]:
        """The outputs, made with ``output_variable``; called again when the operands' shapes become known.

        Raises:
            NotImplementedError: if the subclass does not define it.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define infer_outputs")

    # the signatures of forward, backward and deserialize vary between user functions, as in CNTK
    forward: Callable[..., Any]
    backward: Callable[..., Any]

    def clone(self, cloned_inputs: Any, *more: Any) -> Any:  # type: ignore[override]
        """A new user function of the same kind on other operands; made by ``type(self)(*operands, name=name)``."""
        if more or isinstance(cloned_inputs, str) or not isinstance(cloned_inputs, (list, tuple)):
            return Function.clone(self, cloned_inputs, *more)
        make: Any = type(self)
        return make(*cloned_inputs, name=self.name)

    def serialize(self) -> Any:
        """What has to be saved beside the operands: a dictionary of plain values; default none."""
        return {}

    @staticmethod
    def deserialize(inputs: Sequence[Variable], name: str, state: Any) -> UserFunction:
        """A user function made again from its operands, name and what ``serialize`` gave.

        Raises:
            NotImplementedError: if the subclass does not define it.
        """
        raise NotImplementedError("this user function does not define deserialize(inputs, name, state)")

    @classmethod
    def _op_name(cls) -> str:
        return f"{cls.__module__}.{cls.__name__}"

    @property
    def op_name(self) -> str:
        """The operator's name in files: module and class, unless the subclass says another."""
        return self._op_name()

    # ---- as a function of the graph

    @property
    def outputs(self) -> tuple[Variable, ...]:
        """All outputs, as ``infer_outputs`` declares them."""
        self._declare()
        return self.node.outputs

    @property
    def shape(self) -> Shape:
        """The static shape of the output, if there is exactly one."""
        return self.output.shape

    @property
    def output(self) -> Variable:
        """The output, if there is exactly one."""
        self._declare()
        return super().output

    def _declare(self) -> None:
        """Make the outputs of the node, once."""
        if self._declared:
            return
        self._declared = True
        try:
            declared = self._inferred()
        except LabError:
            self._declared = False
            raise
        count = 1 if declared is None else len(declared)
        self.node.op = _operator(count)
        self.node.outputs = tuple(self.node._output(i, count) for i in range(count))
        infer.infer_node(self.node)
        for made, given in zip(self.node.outputs, declared or (), strict=False):
            made.needs_gradient = made.needs_gradient and given.needs_gradient
            if given.name:
                made._name = given.name

    def _inferred(self) -> Sequence[Variable] | None:
        """What the user's code declares; None if operands are unknown and the code cannot do without.

        Raises:
            UserError: if the user's code raises although all operands are known.
        """
        try:
            declared = list(self.infer_outputs())
        except Exception as error:
            if any(v.type.shape is None or v.type.dtype is None for v in self.node.inputs):
                return None
            raise UserError(
                f"infer_outputs of the user function {type(self).__name__} raised {type(error).__name__}: {error}",
                fix="return a list of output_variable(shape, dtype, dynamic_axes)",
            ) from error
        if not declared or not all(isinstance(v, Variable) for v in declared):
            raise UserError(
                f"infer_outputs of the user function {type(self).__name__} gave {declared!r:.80}",
                fix="return a list of output variables",
            )
        return declared

    def types(self) -> list[TensorType]:
        """The types of the outputs, for inference."""
        declared = self._inferred()
        if declared is None:
            return [_UNKNOWN] * len(self.node.outputs)
        flags = [v.needs_gradient for v in declared]
        self.no_gradient = not any(flags)
        return [_known(v.type) for v in declared]

    no_gradient = False


def _known(t: TensorType) -> TensorType:
    shape = None if t.shape == UNKNOWN_SHAPE else t.shape
    axes = None if t.axes == UNKNOWN_AXES else t.axes
    return TensorType(shape, t.dtype, axes, t.sparse)


def user_function(user_func: Any) -> Any:
    """The Function that computes with a user function; another Function is returned as it is.

    Args:
        user_func: an instance of a subclass of :class:`UserFunction`.

    Returns:
        Function with the outputs that ``infer_outputs`` declares.

    Raises:
        GraphError: if the user's ``infer_outputs`` raises (also a RuntimeError).
        SignatureError: if it is no function.

    Example:
        >>> import cntk_lab as C
        >>> f = C.plus(C.constant([1, 2]), 1)
        >>> user_function(f) is f
        True

    Source: CNTK 2.7 ``ops.functions.user_function``.
    """
    if not isinstance(user_func, Function):
        raise SignatureError(
            f"user_function: {user_func!r:.60} is not a Function", fix="give an instance of a subclass of UserFunction"
        )
    if not isinstance(user_func, UserFunction):
        return user_func
    if not user_func.outputs:
        raise UserError(
            f"the user function {type(user_func).__name__} has no outputs", fix="let infer_outputs return at least one"
        )
    return Function.of(user_func.node)


_makers: dict[str, Callable[..., Any]] = {}


def _register(op_name: str, callback: Callable[..., Any]) -> None:
    if op_name in _makers:
        raise UserError(
            f"a callback for '{op_name}' is already registered", fix="register one callback for each operator name"
        )
    _makers[op_name] = callback


bind_symbol("register_user_function", _register)


def maker_of(op_name: str) -> Callable[..., Any] | None:
    """What the user registered to make user functions of an operator name out of files, or None."""
    return _makers.get(op_name)


# ---- data in the user's form


def _symbol(axes: Sequence[Axis] | None) -> str:
    return ",".join(a.short + a.maker for a in axes or ())


def _to_user(rows: Any, layout: Any, variable: Variable, run: Any, *, as_numpy: bool) -> Any:
    """Rows as the user sees them: an array, a list of one array per sequence, or a Value."""
    axes = variable.type.axes or ()
    if len(axes) > 1 and run.slab is not None:
        parts = [np.asarray(rows[i : i + 1]) for i in range(rows.shape[0])]
        return parts if as_numpy else Value.create(variable, parts)
    value = Value.packed(rows, layout if axes else None, has_sequence=len(axes) > 1)
    if not as_numpy:
        return value
    if hasattr(rows, "matrix"):
        return value.as_sequences() if len(axes) > 1 else rows.matrix
    if not axes:
        return np.asarray(rows[0])
    return value.as_sequences() if len(axes) > 1 else np.asarray(rows)


def _from_user(data: Any, variable: Variable, run: Any, what: str) -> Any:
    """What user code returned, as rows (with their layout, if they have one)."""
    if data is None:
        raise DataError(f"{what} is not provided", fix="return it, or put it into the dictionary of results")
    t = variable.type
    if len(t.axes or ()) > 1 and run.slab is not None:
        parts = data.as_sequences(variable) if isinstance(data, Value) else data
        return np.concatenate([np.asarray(p, t.dtype).reshape(1, *t.dims) for p in parts])
    if not t.axes and isinstance(data, (int, float, np.ndarray, np.generic, list)):
        return np.asarray(data, t.dtype).reshape((1, *np.shape(data)))
    rows, layout = read(t, data, None, what)
    return rows if layout is None else (rows, layout)


def _settle(run: Any, symbol: str, result: Any) -> Any:
    """Rows whose layout must be that of their dynamic axes; a new one is kept by the engine."""
    if not isinstance(result, tuple):
        return result
    rows, layout = result
    known = run.layouts.get(symbol)
    return rows if known is not None and known == layout else (rows, layout)


# ---- what the engine calls


def _forward(run: Any, operands: list[Any], layouts: list[Any], function: UserFunction, is_needed_later: bool) -> Any:
    variables, outputs = function.node.inputs, function.node.outputs
    retained = list(outputs) if is_needed_later else []
    arguments = [
        _to_user(x, at, v, run, as_numpy=function.as_numpy)
        for x, at, v in zip(operands, layouts, variables, strict=True)
    ]
    given: Any = tuple(arguments) if len(arguments) > 1 else arguments[0]
    results: dict[Variable, Any] = dict.fromkeys(outputs)
    try:
        if len(outputs) == 1:
            state, results[outputs[0]] = function.forward(given, None, retained)
        else:
            state = function.forward(given, results, None, retained)
    except LabError:
        raise
    except Exception as error:
        raise UserError(
            f"forward of the user function {type(function).__name__} raised {type(error).__name__}: {error}"
        ) from error
    run.notes[_key(function, run)] = state
    what = f"the result of the user function {type(function).__name__}"
    rows = [_settle(run, _symbol(v.type.axes), _from_user(results[v], v, run, what)) for v in outputs]
    first = rows[0][0] if isinstance(rows[0], tuple) else rows[0]
    # what backward reads of forward, so that forward is never taken for unneeded
    return (*rows, np.zeros((first.shape[0], 1), np.float32))


def _key(function: UserFunction, run: Any) -> Any:
    return ("state", function.node.uid, None if run.slab is None else run.slab[0])


def _gradient(run: Any, operands: list[Any], function: UserFunction, position: int, slopes: Sequence[Any]) -> Any:
    """The gradient of one operand; the user's code is called once for all operands."""
    variables = function.node.inputs
    if function.no_gradient:
        return run.xp.zeros(operands[position].shape, operands[position].dtype)
    key = ("gradient", *_key(function, run)[1:], tuple(map(id, slopes)))
    found = run.notes.get(key)
    if found is None:
        found = run.notes[key] = (_backward(run, function, slopes), slopes)
    given = found[0].get(variables[position])
    if given is None:
        return run.xp.zeros(operands[position].shape, operands[position].dtype)
    result = _from_user(
        given, variables[position], run, f"the gradient of operand {position} of {type(function).__name__}"
    )
    return result[0] if isinstance(result, tuple) else result


def _backward(run: Any, function: UserFunction, slopes: Sequence[Any]) -> dict[Variable, Any]:
    outputs, variables = function.node.outputs, function.node.inputs
    roots = {
        v: _to_user(g, run.layouts.get(_symbol(v.type.axes)), v, run, as_numpy=function.as_numpy)
        for v, g in zip(outputs, slopes, strict=True)
        if g is not None
    }
    root: Any = next(iter(roots.values())) if len(outputs) == 1 else roots
    asked: dict[Variable, Any] = dict.fromkeys(v for v in variables if v.needs_gradient)
    state = run.notes.get(_key(function, run), run.notes.get(_key(function, _Whole)))
    try:
        takes = inspect.signature(function.backward).parameters.values()
        three = sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in takes) > 2 or any(
            p.kind is p.VAR_POSITIONAL for p in takes
        )
        result = function.backward(state, root, asked) if three else function.backward(state, root)
    except LabError:
        raise
    except Exception as error:
        raise UserError(
            f"backward of the user function {type(function).__name__} raised {type(error).__name__}: {error}"
        ) from error
    if result is not None and all(g is None for g in asked.values()):
        asked = dict.fromkeys(asked, result)
    return asked


class _Whole:
    """Stands for a run outside any loop."""

    slab = None


def _rule(count: int) -> Rule:
    """The gradient rule for user functions of so many outputs; its parameter names say what it reads."""
    names = ["run", "operands", "function", "position", "token", *(f"d_o{i}" for i in range(count))]

    def rule(*values: Any) -> Any:
        run, operands, function, position = values[:4]
        return _gradient(run, operands, function, position, values[5:])

    order = inspect.Parameter.POSITIONAL_OR_KEYWORD
    setattr(rule, "__signature__", inspect.Signature([inspect.Parameter(n, order) for n in names]))  # noqa: B010  (no function declares it)
    return rule


@cache
def _operator(count: int) -> OpDef:
    """The operator of user functions of so many outputs."""
    return OpDef(
        "user_function",
        "user",
        (OpParameter("operands", operand=True, variadic=True),),
        "An operator written by the user.",
        CntkRule("UserFunction"),
        settles=("function",),
        types=lambda node: node.function.types(),
        forward=_forward,
        gradient={"operands": _rule(count)},
        outputs=tuple(f"o{i}" for i in range(count)),
        saved=("token",),
        traits=frozenset({Trait.HOST, Trait.NEEDS_LAYOUT, Trait.NEW_LAYOUT}),
        sparse_operands=("operands",),
    )


# ---- what cannot be computed here


def native_user_function(
    op_id: str,
    operands: Sequence[Any],  # noqa: ARG001  (CNTK's signature)
    attributes: Mapping[str, Any] | None = None,  # noqa: ARG001
    user_function_instance_name: str = "",  # noqa: ARG001
) -> NoReturn:
    """Refuses: user functions in compiled libraries of CNTK cannot be called without CNTK itself.

    Args:
        op_id: name under which the library registered the function.
        operands: operands.
        attributes: attributes for the library.
        user_function_instance_name: name for look-ups.

    Raises:
        NotAvailableError: always; it says what to do instead.

    Example:
        >>> native_user_function("MyOp", [])
        Traceback (most recent call last):
        cntk_lab.errors.NotAvailableError: the native user function 'MyOp' is compiled code for CNTK's own library...

    Source: CNTK 2.7 ``ops.native_user_function``.
    """
    raise NotAvailableError(
        f"the native user function '{op_id}' is compiled code for CNTK's own library, which is not here",
        fix="write it in Python as a UserFunction",
    )


def register_native_user_function(op_id: str, module_name: str, factory_method_name: str) -> NoReturn:
    """Refuses, as :func:`native_user_function` does.

    Args:
        op_id: name of the function.
        module_name: compiled library.
        factory_method_name: entry point of the library.

    Raises:
        NotAvailableError: always.

    Example:
        >>> register_native_user_function("MyOp", "library", "make")
        Traceback (most recent call last):
        cntk_lab.errors.NotAvailableError: the native user function 'MyOp' is compiled code (make in library)...

    Source: CNTK 2.7 ``ops.register_native_user_function``.
    """
    raise NotAvailableError(
        f"the native user function '{op_id}' is compiled code ({factory_method_name} in {module_name}) for CNTK's "
        "own library, which is not here",
        fix="write it in Python as a UserFunction",
    )


def _no_engine(custom_op: str) -> NoReturn:
    raise NotAvailableError(
        f"'{custom_op}' stands for an operator of another engine: it has no values here",
        fix="replace it before computing, or compute it as a UserFunction",
    )


@tensor_op(
    shape=lambda output_shape: as_shape(output_shape),
    dtype=lambda output_data_type: np.dtype(output_data_type).name,
    forward=lambda custom_op: _no_engine(custom_op),
    operands=("operands",),
    cntk=CntkRule(
        "CustomProxyOp",
        id=93,
        attributes={"custom_op": "customOp", "output_shape": "outputShape", "output_data_type": "newDataType"},
    ),
)
def _custom_proxy_op(
    *operands: Operand,
    custom_op: str = "",
    output_shape: Shape = (),
    output_data_type: Any = np.float32,
    name: str = "",
) -> Function:
    """See :func:`custom_proxy_op`."""


def custom_proxy_op(
    custom_op: str, output_shape: Any, output_data_type: Any, *operands: Operand, name: str = ""
) -> Function:
    """A stand-in for an operator of another engine: it has a shape, can be saved and searched, but has no values.

    Args:
        custom_op: the other engine's name of the operator.
        output_shape: static shape of the result.
        output_data_type: element type of the result.
        operands: operands.

    Returns:
        Function of that shape and type; computing it raises NotAvailableError.

    Example:
        >>> import cntk_lab as C
        >>> C.custom_proxy_op("quantized_times", (3,), "float32", C.input_variable(2)).shape
        (3,)

    Source: CNTK 2.7 ``ops.custom_proxy_op``.
    """
    return _custom_proxy_op(
        *operands, custom_op=custom_op, output_shape=output_shape, output_data_type=output_data_type, name=name
    )
