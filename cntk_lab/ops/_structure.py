"""What a graph is made of besides arithmetic: inputs, parameters, placeholders, several outputs, blocks, assignment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from cntk_lab.axis import Axis
from cntk_lab.device import DeviceDescriptor
from cntk_lab.graph import compose, ports, signature
from cntk_lab.graph.declare import tensor_op
from cntk_lab.graph.function import Function
from cntk_lab.graph.opdef import CntkRule, OnnxRule, Sample, Trait
from cntk_lab.graph.variable import INPUT, Constant, Parameter, Variable, input_type, new_placeholder

Operand = Any

__all__ = [
    "BlockFunction",
    "alias",
    "as_block",
    "as_composite",
    "combine",
    "constant",
    "input",
    "input_variable",
    "output_variable",
    "parameter",
    "placeholder",
    "placeholder_variable",
    "stop_gradient",
]


def input_variable(
    shape: Any,
    dtype: Any = None,
    needs_gradient: bool = False,
    is_sparse: bool = False,
    dynamic_axes: Any = None,
    name: str = "",
) -> Variable:
    """A variable that data are fed to.

    Args:
        shape: static shape of one sample.
        dtype: element type; default from ``default_options`` or float32.
        needs_gradient: whether gradients with respect to it may be asked for.
        is_sparse: whether data are sparse rows.
        dynamic_axes: batch and sequence axes; default the batch axis alone.
        name: name by which data can be given.

    Example:
        >>> print(input_variable((2, 3), name="x"))
        Input('x', [#], [2 x 3])

    Source: CNTK 2.7 ``ops.input_variable``.
    """
    axes = (Axis.default_batch_axis(),) if dynamic_axes is None else dynamic_axes
    dtype = ports.use("default_option")("dtype", "float32") if dtype is None else dtype
    return Variable(INPUT, input_type(shape, dtype, axes, sparse=is_sparse), name, needs_gradient=needs_gradient)


input = input_variable


def output_variable(shape: Any, dtype: Any, dynamic_axes: Any, needs_gradient: bool = True, name: str = "") -> Variable:
    """The output of a function written by the user, for ``UserFunction.infer_outputs``."""
    return Variable("Output", input_type(shape, dtype, dynamic_axes, sparse=False), name, needs_gradient=needs_gradient)


def parameter(
    shape: Any = None, init: Any = None, dtype: Any = None, device: DeviceDescriptor | None = None, name: str = ""
) -> Parameter:
    """Numbers that training changes; see :class:`~cntk_lab.variables.Parameter`.

    Example:
        >>> parameter((2,), init=3).value.tolist()
        [3.0, 3.0]
    """
    return Parameter(shape, init, dtype, device, name)


def constant(
    value: Any = None, shape: Any = None, dtype: Any = None, device: DeviceDescriptor | None = None, name: str = ""
) -> Constant:
    """Numbers that training does not change; see :class:`~cntk_lab.variables.Constant`.

    Example:
        >>> constant([1, 2]).value.tolist()
        [1.0, 2.0]
    """
    return Constant(value, shape, dtype, device, name)


def placeholder(shape: Any = None, dynamic_axes: Any = None, name: str = "") -> Variable:
    """A variable that stands for another one until ``replace_placeholders``.

    Example:
        >>> p = placeholder(name="p")
        >>> f = alias(p).replace_placeholders({p: constant([1, 2])})
        >>> f.shape
        (2,)
    """
    return new_placeholder(shape, dynamic_axes, name)


placeholder_variable = placeholder


def combine(*operands: Any, name: str = "") -> Function:
    """One function with the outputs of all operands (also given as one list)."""
    first = operands[0] if len(operands) == 1 and isinstance(operands[0], (list, tuple)) else operands
    items = list(first)
    if items and isinstance(items[-1], str):
        name = items.pop()
    return compose.combine(items, name)


def as_block(
    composite: Function,
    block_arguments_map: Sequence[tuple[Any, Any]],
    block_op_name: str,
    block_instance_name: str = "",
) -> Function:
    """A graph wrapped up as one node; ``block_arguments_map`` pairs placeholders inside with variables outside."""
    return compose.as_block(composite, block_arguments_map, block_op_name, block_instance_name)


def as_composite(root_function: Function, name: str = "") -> Function:
    """The composite view of a primitive function."""
    return root_function if root_function.is_composite else Function.of(root_function.node)


def BlockFunction(op_name: str, name: str = "") -> Callable[[Callable[..., Any]], Function]:
    """A decorator: the graph that a Python function builds, wrapped up as one block called ``op_name``."""
    return signature.block_function(op_name, name)


@tensor_op(
    shape=lambda x: x.dims,
    forward=lambda x: x,
    gradient={"x": lambda dy: dy},
    partial=lambda x: x.shape,
    traits=[Trait.STRUCTURAL],
    sparse_operands=("x",),
    cntk=CntkRule("NoOp", id=56),
    onnx=OnnxRule("Identity"),
    samples=(Sample(((2, 3),)),),
)
def alias(x: Operand, name: str = "") -> Function:
    """Another name for the same value.

    Args:
        x: operand of any static shape; dynamic axes pass through.
        name: the new name.

    Returns:
        Function of the shape of x.

    Example:
        >>> alias([1, 2], name="same").eval().tolist()
        [1.0, 2.0]

    Source: CNTK 2.7 ``ops.alias``; ONNX Identity-1.
    """


@tensor_op(
    shape=lambda input: input.dims,
    forward=lambda input: input,
    traits=[Trait.STRUCTURAL, Trait.STOPS_GRADIENT],
    cntk=CntkRule("StopGradient", id=62),
    samples=(Sample(((2, 3),)),),
)
def stop_gradient(input: Operand, name: str = "") -> Function:
    """The same value; nothing below it is trained through it.

    Args:
        input: operand of any static shape; dynamic axes pass through.

    Returns:
        Function of the shape of the operand; its gradient is zero.

    Example:
        >>> x = input_variable(1, needs_gradient=True)
        >>> (x * stop_gradient(x)).grad({x: [[3]]}).tolist()
        [[3.0]]

    Source: CNTK 2.7 ``ops.stop_gradient``.
    """
