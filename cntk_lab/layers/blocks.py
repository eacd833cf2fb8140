"""Blocks with parameters that layers are built from: recurrent cells, the stabilizer, identity, forward declaration.

A layer is made in two steps: the factory (``LSTM(300)``) makes the parameters, whose inputs' dimensions are still open,
and a block on placeholders; calling the block on variables puts it into a graph. Must not know other layers.

Source of names, shapes and orders: CNTK 2.7, as observed. LSTM: Hochreiter and Schmidhuber (1997), with peepholes of
Gers et al. (2002); GRU: Cho et al. (2014), in the form that resets before the product; self-stabilizer: Ghahremani and
Droppo (2016).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import numpy as np

from cntk_lab.default_options import default_override_or, get_default_override
from cntk_lab.errors import AttributeValueError, LabWarning
from cntk_lab.graph.function import Function
from cntk_lab.graph.operand import Operand
from cntk_lab.graph.record import Record
from cntk_lab.graph.signature import function_from
from cntk_lab.graph.variable import Constant, Parameter, Variable
from cntk_lab.initializer import Initializer, glorot_uniform, initializer_with_rank
from cntk_lab.ops import BlockFunction, alias, combine, placeholder, sigmoid, slice, softplus, tanh, times
from cntk_lab.tensor.shape import INFERRED

Shape = tuple[int, ...]

__all__ = ["GRU", "LSTM", "ForwardDeclaration", "RNNStep", "RNNUnit", "Stabilizer", "UntestedBranchError", "identity"]

_INFERRED: Shape = (INFERRED,)

identity: Function = function_from(lambda keep: keep)
"""The function that gives its argument back."""


class NotSupportedError(AttributeValueError, NotImplementedError):
    """A setting that CNTK's layer had a name for but nothing behind it."""


def UntestedBranchError(name: str) -> NoReturn:
    """Raises the error of a setting that CNTK never tested.

    Args:
        name: the setting.

    Raises:
        NotSupportedError: always.

    Example:
        >>> UntestedBranchError("map_rank=2")
        Traceback (most recent call last):
        cntk_lab.layers.blocks.NotSupportedError: nobody has tried this: map_rank=2

    Source: CNTK 2.7 ``layers.blocks.UntestedBranchError``.
    """
    raise NotSupportedError(f"nobody has tried this: {name}")


# ---- what layers share


def _as_shape(shape: Any) -> Shape:
    """The shape of a layer's output, given as a number or a tuple."""
    if isinstance(shape, (int, np.integer)) and not isinstance(shape, bool):
        return (int(shape),)
    if isinstance(shape, (tuple, list)):
        return tuple(int(d) for d in shape)
    raise AttributeValueError(f"{shape!r} is not a shape", fix="give a number or a tuple of numbers")


def _initializer_for(init: Any, rank_params: Mapping[str, int] | None = None) -> Any:
    """An initializer for a weight, told which axes are outputs and filter where it was open; numbers and arrays stay.

    Args:
        init: initializer, number or array.
        rank_params: ``output_rank`` and ``filter_rank``.

    Raises:
        AttributeValueError: if there is no initializer.
    """
    if init is None:
        raise AttributeValueError(
            "init is None: there is nothing to fill the weights with", fix="give a number, an array or an initializer"
        )
    if isinstance(init, dict):
        init = Initializer(init)
    if not isinstance(init, Initializer) or not rank_params:
        return init
    keys = {"output_rank": "outputRank", "filter_rank": "filterRank"}
    unset = {k: v for k, v in rank_params.items() if k in keys and init.get(keys[k]) == _UNSET_RANK}
    return initializer_with_rank(init, **unset)


_UNSET_RANK = 2**31 - 1


def _get_initial_state_or_default(initial_state: Any) -> Any:
    """The initial state of a recurrence: numbers as a constant, None as 0, anything else as it is."""
    if initial_state is None:
        return Constant(0)
    if isinstance(initial_state, (int, float, np.number)):
        return Constant(initial_state, shape=(1,))
    if isinstance(initial_state, (np.ndarray, list)):
        return Constant(np.asarray(initial_state, np.float32))
    return initial_state


def _inject_name(f: Any, name: str) -> Any:
    """The function under a name, if one is given."""
    if not name:
        return f
    if not isinstance(f, Function):
        f = function_from(f)
    if len(f.outputs) == 1:
        return alias(f, name=name)
    return combine(list(f.outputs), name=name)


def _graph(f: Callable[..., Any], name: str = "") -> Function:
    """The network function of a Python function that may create parameters."""
    return _inject_name(function_from(f, may_create=True), name)  # type: ignore[no-any-return]


def ForwardDeclaration(name: str = "forward_declaration") -> Variable:
    """A stand-in for a value that is defined later, for loops in a graph.

    Args:
        name: its name.

    Returns:
        Placeholder with a method ``resolve_to``, which ties it to a function that depends on it.

    Example:
        >>> import cntk_lab as C
        >>> x = C.sequence.input_variable(1)
        >>> total = C.layers.ForwardDeclaration()
        >>> sums = x + C.sequence.past_value(total)
        >>> total.resolve_to(sums)
        >>> sums([[[1], [2], [3]]])[0].ravel().tolist()
        [1.0, 3.0, 6.0]

    Source: CNTK 2.7 ``layers.blocks.ForwardDeclaration``.
    """
    return _Declaration(placeholder(name=name))


class _Declaration(Variable):
    """A placeholder that can be resolved."""

    __slots__ = ()

    def __init__(self, open_: Variable) -> None:
        super().__init__(open_.kind, open_.type, open_.name)

    def resolve_to(self, what: Function) -> None:
        """Tie this stand-in to the function that it stands for.

        Args:
            what: a function that depends on this stand-in.
        """
        what.replace_placeholders({self: what.output})


# ---- the stabilizer


def Stabilizer(
    steepness: float = 4, enable_self_stabilization: Any = default_override_or(True), name: str = ""
) -> Function:
    """A layer that multiplies by one learned positive number, which keeps values in the range that suits what follows.

    Computes ``x * softplus(steepness * alpha) / steepness``; the factor starts as 1.

    Args:
        steepness: how fast the factor follows its parameter.
        enable_self_stabilization: False makes the layer the identity.
        name: name of the layer.

    Returns:
        Function of any operand, of the operand's shape. Parameter: ``alpha`` ().

    Example:
        >>> import cntk_lab as C
        >>> f = C.layers.Stabilizer()
        >>> f(C.constant([1, 2])).eval().round(5).tolist()
        [1.0, 2.0]

    Source: CNTK 2.7 ``layers.blocks.Stabilizer``; Ghahremani and Droppo (2016).
    """
    if not get_default_override(Stabilizer, enable_self_stabilization=enable_self_stabilization):
        return identity
    alpha = Parameter((), init=math.log(math.exp(steepness) - 1) / steepness, name="alpha")

    @BlockFunction("Stabilizer", name)
    def stabilize(x: Operand) -> Any:
        return softplus(alpha, steepness=steepness) * x

    return stabilize


# ---- recurrent cells


class _Cell:
    """What recurrent cells share: settings, sizes and the parameters that all have."""

    def __init__(self, factory: Callable[..., Any], shape: Any, cell_shape: Any, **settings: Any) -> None:
        self.kind = factory.__name__
        values = {k: get_default_override(factory, **{k: v}) for k, v in settings.items()}
        self.activation = values["activation"]
        self.init = _initializer_for(values["init"])
        self.init_bias = values["init_bias"]
        self.stabilized = bool(values["enable_self_stabilization"])
        self.peepholes = bool(values.get("use_peepholes"))
        self.projected = cell_shape is not None
        self.shape = _as_shape(shape)
        self.cell = _as_shape(cell_shape) if self.projected else self.shape
        if len(self.shape) != 1 or len(self.cell) != 1:
            raise AttributeValueError(
                f"{self.kind}: shape {self.shape} and cell_shape {self.cell} are not both vectors",
                fix="give the number of units",
            )

    def stacked(self, count: int) -> Shape:
        """The cell's shape, ``count`` times along its last axis."""
        return (*self.cell[:-1], self.cell[-1] * count)

    def weight(self, shape: Shape, name: str) -> Parameter:
        """A matrix of the cell."""
        return Parameter(shape, init=self.init, name=name)

    def stabilizer(self, name: str) -> Function:
        """A stabilizer, or the identity."""
        return Stabilizer(enable_self_stabilization=self.stabilized, name=name) if self.stabilized else identity

    def part(self, x: Any, index: int, count: int = 1) -> Any:
        """Part number ``index`` of a stack along the last axis."""
        width = self.cell[-1]
        return slice(x, -1, index * width, (index + count) * width)


def LSTM(
    shape: Any,
    cell_shape: Any = None,
    activation: Any = default_override_or(tanh),
    use_peepholes: Any = default_override_or(False),
    init: Any = default_override_or(glorot_uniform()),
    init_bias: Any = default_override_or(0),
    enable_self_stabilization: Any = default_override_or(False),
    name: str = "",
) -> Function:
    """A long short-term memory cell: one step from (h, c, x) to (h, c), for ``Recurrence`` and ``Fold``.

    With gates i, f, o: ``c = f * c + i * activation(candidate)``, ``h = o * activation(c)``.

    Args:
        shape: number of outputs.
        cell_shape: number of cells, if the output is a projection of them; default as many as outputs.
        activation: function of the candidate and of the cell's output.
        use_peepholes: whether the gates see the cell.
        init: initializer of the matrices.
        init_bias: initial bias.
        enable_self_stabilization: whether stabilizers stand before the matrices.
        name: name of the block.

    Returns:
        Function (dh, dc, x) -> (h, c). Parameters: ``b`` (4 cells), ``W`` (inputs x 4 cells), ``H`` (outputs x 4 cells)
        in the order input gate, candidate, forget gate, output gate; ``Ci``, ``Cf``, ``Co`` with peepholes; ``P``
        (cells x outputs) with a projection.

    Raises:
        AttributeValueError: if a shape is not that of a vector.

    Example:
        >>> import cntk_lab as C
        >>> model = C.layers.Recurrence(C.layers.LSTM(4))(C.sequence.input_variable(3))
        >>> model.shape, [p.name for p in model.parameters]
        ((4,), ['b', 'W', 'H'])

    Source: CNTK 2.7 ``layers.blocks.LSTM``; Hochreiter and Schmidhuber (1997).
    """
    cell = _Cell(
        LSTM, shape, cell_shape, activation=activation, use_peepholes=use_peepholes, init=init, init_bias=init_bias,
        enable_self_stabilization=enable_self_stabilization,
    )  # fmt: skip
    b = Parameter(cell.stacked(4), init=cell.init_bias, name="b")
    W = cell.weight(_INFERRED + cell.stacked(4), "W")
    H = cell.weight(cell.shape + cell.stacked(4), "H")
    Ci, Cf, Co = (cell.weight(cell.cell, n) if cell.peepholes else None for n in ("Ci", "Cf", "Co"))
    P = cell.weight(cell.cell + cell.shape, "P") if cell.projected else None
    Sdh, Sdc, Sct, Sht = (
        cell.stabilizer(n) for n in ("dh_stabilizer", "dc_stabilizer", "c_stabilizer", "P_stabilizer")
    )

    @BlockFunction("LSTM", name)
    def lstm(dh: Operand, dc: Operand, x: Operand) -> Any:
        dcs = Sdc(dc) if cell.peepholes else None
        stack = b + times(x, W) + times(Sdh(dh), H)

        def gate(index: int, peephole: Any, state: Any) -> Any:
            z = cell.part(stack, index)
            return sigmoid(z if peephole is None else z + peephole * state)

        entering = gate(0, Ci, dcs) * cell.activation(cell.part(stack, 1))
        c = gate(2, Cf, dcs) * dc + entering
        h = gate(3, Co, Sct(c) if cell.peepholes else None) * cell.activation(c)
        return (h if P is None else times(Sht(h), P)), c

    return lstm


def GRU(
    shape: Any,
    cell_shape: Any = None,
    activation: Any = default_override_or(tanh),
    init: Any = default_override_or(glorot_uniform()),
    init_bias: Any = default_override_or(0),
    enable_self_stabilization: Any = default_override_or(False),
    name: str = "",
) -> Function:
    """A gated recurrent unit: one step from (h, x) to h, for ``Recurrence`` and ``Fold``.

    With gates z, r: ``h = (1 - z) * activation(x W + b + (r * h) H1) + z * h``.

    Args:
        shape: number of outputs.
        cell_shape: number of cells, if the output is a projection of them; default as many as outputs.
        activation: function of the candidate.
        init: initializer of the matrices.
        init_bias: initial bias.
        enable_self_stabilization: whether stabilizers stand before the matrices.
        name: name of the block.

    Returns:
        Function (dh, x) -> h. Parameters: ``b`` (3 cells), ``W`` (inputs x 3 cells), ``H`` (outputs x 2 cells), ``H1``
        (outputs x cells) in the order update gate, reset gate, candidate; ``P`` (cells x outputs) with a projection.

    Raises:
        AttributeValueError: if a shape is not that of a vector.

    Example:
        >>> import cntk_lab as C
        >>> model = C.layers.Recurrence(C.layers.GRU(4))(C.sequence.input_variable(3))
        >>> [(p.name, p.shape) for p in model.parameters]
        [('b', (12,)), ('W', (3, 12)), ('H', (4, 8)), ('H1', (4, 4))]

    Source: CNTK 2.7 ``layers.blocks.GRU``; Cho et al. (2014).
    """
    cell = _Cell(
        GRU, shape, cell_shape, activation=activation, init=init, init_bias=init_bias,
        enable_self_stabilization=enable_self_stabilization,
    )  # fmt: skip
    b = Parameter(cell.stacked(3), init=cell.init_bias, name="b")
    W = cell.weight(_INFERRED + cell.stacked(3), "W")
    H = cell.weight(cell.shape + cell.stacked(2), "H")
    H1 = cell.weight(cell.shape + cell.cell, "H1")
    P = cell.weight(cell.cell + cell.shape, "P") if cell.projected else None
    Sdh, Sht = cell.stabilizer("dh_stabilizer"), cell.stabilizer("P_stabilizer")

    @BlockFunction("GRU", name)
    def gru(dh: Operand, x: Operand) -> Any:
        dhs = Sdh(dh)
        from_x = b + times(x, W)
        from_h = times(dhs, H)
        z = sigmoid(cell.part(from_x, 0) + cell.part(from_h, 0))
        r = sigmoid(cell.part(from_x, 1) + cell.part(from_h, 1))
        candidate = cell.activation(cell.part(from_x, 2) + times(dhs * r, H1))
        h = (1 - z) * candidate + z * dhs
        return h if P is None else times(Sht(h), P)

    return gru


def RNNStep(
    shape: Any,
    cell_shape: Any = None,
    activation: Any = default_override_or(sigmoid),
    init: Any = default_override_or(glorot_uniform()),
    init_bias: Any = default_override_or(0),
    enable_self_stabilization: Any = default_override_or(False),
    name: str = "",
) -> Function:
    """A plain recurrent unit: one step ``h = activation(x W + h H + b)``, for ``Recurrence`` and ``Fold``.

    Args:
        shape: number of outputs.
        cell_shape: number of cells, if the output is a projection of them; default as many as outputs.
        activation: function of the sum.
        init: initializer of the matrices.
        init_bias: initial bias.
        enable_self_stabilization: whether stabilizers stand before the matrices.
        name: name of the block.

    Returns:
        Function (dh, x) -> h. Parameters: ``W`` (inputs x cells), ``H`` (outputs x cells), ``b`` (cells); ``P``
        (cells x outputs) with a projection.

    Raises:
        AttributeValueError: if a shape is not that of a vector.

    Example:
        >>> import cntk_lab as C
        >>> model = C.layers.Recurrence(C.layers.RNNStep(4))(C.sequence.input_variable(3))
        >>> [(p.name, p.shape) for p in model.parameters]
        [('W', (3, 4)), ('H', (4, 4)), ('b', (4,))]

    Source: CNTK 2.7 ``layers.blocks.RNNStep``.
    """
    cell = _Cell(
        RNNStep, shape, cell_shape, activation=activation, init=init, init_bias=init_bias,
        enable_self_stabilization=enable_self_stabilization,
    )  # fmt: skip
    b = Parameter(cell.stacked(1), init=cell.init_bias, name="b")
    W = cell.weight(_INFERRED + cell.stacked(1), "W")
    H = cell.weight(cell.shape + cell.stacked(1), "H")
    P = cell.weight(cell.cell + cell.shape, "P") if cell.projected else None
    Sdh, Sht = cell.stabilizer("dh_stabilizer"), cell.stabilizer("P_stabilizer")

    @BlockFunction("RNNStep", name)
    def rnn_step(dh: Operand, x: Operand) -> Any:
        h = cell.activation(times(x, W) + times(Sdh(dh), H) + b)
        return h if P is None else times(Sht(h), P)

    return rnn_step


def RNNUnit(
    shape: Any,
    cell_shape: Any = None,
    activation: Any = default_override_or(sigmoid),
    init: Any = default_override_or(glorot_uniform()),
    init_bias: Any = default_override_or(0),
    enable_self_stabilization: Any = default_override_or(False),
    name: str = "",
) -> Function:
    """The old name of :func:`RNNStep`.

    Args:
        shape: number of outputs.
        cell_shape: number of cells, if the output is a projection of them.
        activation: function of the sum.
        init: initializer of the matrices.
        init_bias: initial bias.
        enable_self_stabilization: whether stabilizers stand before the matrices.
        name: name of the block.

    Returns:
        Function (dh, x) -> h.

    Example:
        >>> import warnings
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore")
        ...     RNNUnit(4).root_function.op_name
        'RNNStep'

    Source: CNTK 2.7 ``layers.blocks.RNNUnit``.
    """
    import warnings

    warnings.warn("RNNUnit is the old name of RNNStep", LabWarning, stacklevel=2)
    return RNNStep(shape, cell_shape, activation, init, init_bias, enable_self_stabilization, name)


def _rank_params(**ranks: int) -> Record:
    """Ranks for :func:`_initializer_for`."""
    return Record(**ranks)
