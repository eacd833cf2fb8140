"""What a graph is made of besides arithmetic: inputs, parameters, placeholders, several outputs, blocks, assignment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cntk_lab.axis import Axis
from cntk_lab.device import DeviceDescriptor
from cntk_lab.errors import GraphError, ShapeError, SignatureError
from cntk_lab.formula import expr as e
from cntk_lab.graph import compose, ports, signature
from cntk_lab.graph.declare import elementwise, tensor_op
from cntk_lab.graph.function import Function
from cntk_lab.graph.opdef import EVERY, CntkRule, OnnxRule, Sample, TensorType, Trait
from cntk_lab.graph.operand import Operand
from cntk_lab.graph.variable import (
    INPUT,
    Constant,
    Parameter,
    Variable,
    dtype_of_values,
    input_type,
    new_placeholder,
)
from cntk_lab.tensor.dtype import name_of
from cntk_lab.tensor.shape import FREE, Shape, text
from cntk_lab.tensor.sparse import SparseRows

__all__ = [
    "BlockFunction",
    "alias",
    "as_block",
    "as_composite",
    "assign",
    "cast",
    "combine",
    "constant",
    "eye_like",
    "input",
    "input_variable",
    "ones_like",
    "output_variable",
    "parameter",
    "placeholder",
    "placeholder_variable",
    "stop_gradient",
    "zeros_like",
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
    """The output of a function written by the user, for ``UserFunction.infer_outputs``.

    Args:
        shape: static shape.
        dtype: element type.
        dynamic_axes: batch and sequence axes.
        needs_gradient: whether gradients flow through it.
        name: name of the output.

    Returns:
        Variable without an owner.

    Example:
        >>> print(output_variable(3, "float32", [], name="y"))
        Output('y', [], [3])

    Source: CNTK 2.7 ``ops.output_variable``.
    """
    known = input_type(shape, "float32" if dtype is None else dtype, dynamic_axes, sparse=False)
    type_ = known if dtype is not None else TensorType(known.shape, None, known.axes)
    return Variable("Output", type_, name, needs_gradient=needs_gradient)


def parameter(
    shape: Any = None, init: Any = None, dtype: Any = None, device: DeviceDescriptor | None = None, name: str = ""
) -> Parameter:
    """Numbers that training changes, in the element type of an array; see :class:`~cntk_lab.variables.Parameter`.

    Example:
        >>> parameter((2,), init=3).value.tolist()
        [3.0, 3.0]
    """
    return Parameter(shape, init, dtype_of_values(init) if dtype is None else dtype, device, name)


def constant(
    value: Any = None, shape: Any = None, dtype: Any = None, device: DeviceDescriptor | None = None, name: str = ""
) -> Constant:
    """Numbers that training does not change, in the element type of an array; see
    :class:`~cntk_lab.variables.Constant`.

    Example:
        >>> constant([1, 2]).value.tolist()
        [1.0, 2.0]
    """
    return Constant(value, shape, dtype_of_values(value) if dtype is None else dtype, device, name)


def placeholder(shape: Any = None, dynamic_axes: Any = None, name: str = "") -> Variable:
    """A variable that stands for another one until ``replace_placeholders``.

    Example:
        >>> p = placeholder(name="p")
        >>> f = alias(p).replace_placeholders({p: constant([1, 2])})
        >>> f.shape
        (2,)
    """
    if isinstance(shape, str):  # programs give a name alone
        shape, name = None, name or shape
    return new_placeholder(shape, dynamic_axes, name)


placeholder_variable = placeholder


def combine(*operands: Any, name: str = "") -> Function:
    """One function with the outputs of all operands (also given as one list).

    Args:
        operands: functions or variables; functions with several outputs are unfolded.
        name: name of the function.

    Returns:
        Function with all the outputs, in order; without any, a function that cannot be evaluated.

    Example:
        >>> x = constant([1, 2])
        >>> [o.shape for o in combine(x + 1, x * 2).outputs]
        [(2,), (2,)]

    Source: CNTK 2.7 ``ops.combine``.
    """
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        return compose.combine(operands[0], name)
    *items, last = operands or (None,)
    if isinstance(last, str):  # a name that is given as if it were an operand
        return compose.combine(items, last)
    return compose.combine(operands, name)


def as_block(
    composite: Function,
    block_arguments_map: Sequence[tuple[Any, Any]],
    block_op_name: str,
    block_instance_name: str = "",
) -> Function:
    """A graph wrapped up as one node.

    Args:
        composite: the graph inside; its arguments are placeholders.
        block_arguments_map: pairs (placeholder inside, variable outside).
        block_op_name: what the block is called, as an operator.
        block_instance_name: the user's name for this block.

    Returns:
        Function whose root is the block.

    Raises:
        GraphError: if an argument inside is an input, or is not mapped.

    Example:
        >>> p, x = placeholder(), constant([1, 2])
        >>> f = as_block(p * 2, [(p, x)], "Twice")
        >>> f.root_function.op_name, f.eval().tolist()
        ('Twice', [2.0, 4.0])

    Source: CNTK 2.7 ``ops.as_block``.
    """
    return compose.as_block(composite, block_arguments_map, block_op_name, block_instance_name)


def as_composite(root_function: Function, name: str = "") -> Function:
    """The composite view of a primitive function.

    Args:
        root_function: a function.
        name: name of the function, if it is a primitive one without a name.

    Returns:
        Function over everything below the root.

    Raises:
        SignatureError: if it is no function.

    Example:
        >>> as_composite((constant(1) + 2).root_function).is_composite
        True

    Source: CNTK 2.7 ``ops.as_composite``.
    """
    if not isinstance(root_function, Function):
        raise SignatureError(f"as_composite: {root_function!r:.60} is not a Function", fix="give its .owner")
    assert root_function.outputs  # a function of the user declares them when they are first asked for
    if root_function.is_composite:
        return root_function
    function = Function.of(root_function.node)
    if name and not function.name:
        function.name = name
    return function


def BlockFunction(op_name: str, name: str = "") -> Callable[[Callable[..., Any]], Function]:
    """A decorator: the graph that a Python function builds, wrapped up as one block called ``op_name``.

    Args:
        op_name: what the block is called, as an operator.
        name: the user's name for the block.

    Returns:
        Decorator that makes a Function of a Python function of variables.

    Example:
        >>> @BlockFunction("Twice", "twice")
        ... def twice(x):
        ...     return x * 2
        >>> twice(constant([1, 2])).eval().tolist()
        [2.0, 4.0]

    Source: CNTK 2.7 ``ops.functions.BlockFunction``.
    """
    return signature.block_function(op_name, name)


@tensor_op(
    shape=lambda x: x.dims,
    forward=lambda x: x,
    gradient={"x": lambda dy: dy},
    partial=lambda x: x.shape,
    traits=[Trait.STRUCTURAL],
    sparse_operands=("x",),
    sparse=lambda x: x.sparse,
    cntk=CntkRule("NoOp", id=62),
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
    arrays=EVERY,
    shape=lambda input: input.dims,
    forward=lambda input: input,
    traits=[Trait.STRUCTURAL, Trait.STOPS_GRADIENT],
    cntk=CntkRule("StopGradient", id=64),
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


# ---- writing, converting, filling


def _assigned(ref: TensorType, input: TensorType) -> Shape:
    alike = ref.rank == input.rank and all(a == b or FREE in (a, b) for a, b in zip(ref.dims, input.dims, strict=True))
    if not alike:
        raise ShapeError(
            f"assign: the reference has the shape {text(ref.dims)}, the value {text(input.dims)}",
            fix="give both the same shape",
        )
    if input.axes:
        raise GraphError(
            "assign: the value has dynamic axes, a parameter has none", fix="reduce it over the batch axis first"
        )
    return ref.dims


@elementwise(
    arrays="input",
    formula=lambda input: input + 0,
    updates={"ref": lambda input: input + 0},
    shape=_assigned,
    operands=("ref", "input"),
    traits=[Trait.STATEFUL],
    cntk=CntkRule("Assign", id=73),
    samples=(Sample(((2, 3), (2, 3)), sequence=False, parameters=(0, 1)),),
)
def assign(ref: Operand, input: Operand, name: str = "") -> Function:
    """The second operand's value, which is also written into the first after the forward pass.

    Whatever reads ``ref`` in the same pass sees its old value.

    Args:
        ref: parameter or constant that is written.
        input: value of the same shape, without dynamic axes.

    Returns:
        Function of the shape of the operands.

    Raises:
        ShapeError: if the shapes differ.
        GraphError: if the value has dynamic axes, or the reference is neither parameter nor constant.

    Example:
        >>> counter = parameter((), init=1)
        >>> assign(counter, counter + 1).eval().tolist(), counter.value.tolist()
        (2.0, 2.0)

    Source: CNTK 2.7 ``ops.assign``.
    """


@tensor_op(
    operands=("node_input",),
    shape=lambda node_input: node_input.dims,
    partial=lambda node_input: node_input.shape,
    dtype=lambda dtype: name_of(dtype),
    forward=lambda node_input, dtype: node_input.astype(name_of(dtype)),
    gradient={"node_input": lambda dy, node_input: dy.astype(node_input.dtype)},
    cntk=CntkRule("Cast", id=91, attributes={"dtype": "newDataType"}),
    onnx=OnnxRule("Cast", since=6, attributes={"dtype": "to"}),
    samples=(Sample(((2, 3),), {"dtype": "float32"}, gradient=False), Sample(((2, 3),), {"dtype": "float64"})),
)
def cast(node_input: Operand, dtype: Any, name: str = "") -> Function:
    """The same numbers in another element type.

    Args:
        node_input: operand of any static shape; dynamic axes pass through.
        dtype: element type: ``np.float16``, ``np.float32`` or ``np.float64``.

    Returns:
        Function of the shape of the operand.

    Example:
        >>> import numpy as np
        >>> cast([1, 2], np.float64).eval().dtype.name
        'float64'

    Source: CNTK 2.7 ``ops.cast``; ONNX Cast-6.
    """


@elementwise(
    formula=lambda x: e.const(0),
    traits=[Trait.NO_GRADIENT],
    cntk=CntkRule("ConstantOp", id=89, where={"fillValue": 0.0}),
    samples=(Sample(((2, 3),), gradient=False), Sample(((),), gradient=False)),
)
def zeros_like(x: Operand, name: str = "") -> Function:
    """Zeros, as many as the operand has elements.

    Args:
        x: operand of any static shape; dynamic axes pass through.

    Returns:
        Function of the shape of x; its gradient is 0.

    Example:
        >>> zeros_like([[1, 2], [3, 4]]).eval().tolist()
        [[0.0, 0.0], [0.0, 0.0]]

    Source: CNTK 2.7 ``ops.zeros_like``.
    """


@elementwise(
    formula=lambda x: e.const(1),
    traits=[Trait.NO_GRADIENT],
    cntk=CntkRule("ConstantOp", id=89, where={"fillValue": 1.0}),
    samples=(Sample(((2, 3),), gradient=False), Sample(((),), gradient=False)),
)
def ones_like(x: Operand, name: str = "") -> Function:
    """Ones, as many as the operand has elements.

    Args:
        x: operand of any static shape; dynamic axes pass through.

    Returns:
        Function of the shape of x; its gradient is 0.

    Example:
        >>> ones_like([[1, 2], [3, 4]]).eval().tolist()
        [[1.0, 1.0], [1.0, 1.0]]

    Source: CNTK 2.7 ``ops.ones_like``.
    """


def _eye_shape(x: TensorType) -> Shape:
    axes = x.axes or ()
    if len(axes) + x.rank != 2 or len(axes) > 1:
        raise ShapeError(
            f"eye_like: the operand has {x.rank} static and {len(axes)} dynamic axes: an identity matrix has 2 in all",
            fix="give a matrix, or a vector with a batch axis",
        )
    return x.dims


def _eye(xp: Any, x: Any, sparse_output: bool) -> Any:
    rows, columns = x.shape if x.ndim == 2 else x.shape[1:]
    if not sparse_output or xp is not np:
        return xp.eye(rows, columns, dtype=x.dtype).reshape(x.shape)
    from scipy.sparse import csr_matrix

    ones = np.arange(min(rows, columns))
    matrix = csr_matrix((np.ones(len(ones), x.dtype), (ones, ones)), shape=(rows, columns))
    return SparseRows(matrix if x.ndim == 2 else matrix.reshape((1, rows * columns)).tocsr(), tuple(x.shape[1:]))


@tensor_op(
    operands=("x",),
    shape=_eye_shape,
    forward=_eye,
    sparse=lambda sparse_output: sparse_output,
    traits=[Trait.NO_GRADIENT],
    cntk=CntkRule("EyeLikeOp", id=92, attributes={"sparse_output": "OutputSparse"}),
    onnx=OnnxRule("EyeLike", since=9),
    samples=(
        Sample(((3,),), {"sparse_output": False}, sequence=False, gradient=False),
        Sample(((2, 3),), {"sparse_output": False}, sequence=False, parameters=(0,), gradient=False),
        Sample(((4,),), {"sparse_output": True}, sequence=False, gradient=False),
    ),
)
def eye_like(x: Operand, sparse_output: bool = True, name: str = "") -> Function:
    """The identity matrix of the operand's shape: 1 where row and column have the same number, else 0.

    Args:
        x: matrix without dynamic axes, or vector with a batch axis (whose samples are the rows).
        sparse_output: whether the result is held sparse (on the CPU).

    Returns:
        Function of the shape of x; its gradient is 0.

    Raises:
        ShapeError: if the operand has not two axes in all.

    Example:
        >>> eye_like([[9, 9], [9, 9], [9, 9]]).eval().toarray().tolist()
        [[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]

    Source: CNTK 2.7 ``ops.eye_like``; ONNX EyeLike-9.
    """
