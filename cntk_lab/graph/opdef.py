"""OpDef: everything one operator's declaration says, as plain data.

Rules are ordinary functions whose *parameter names* say what they need: names of the operator's own, and those of the
table in ``asks``. So a plan knows what a step reads without running it. Knows no graph and no engine.

Idea: xDSL's operations as classes of declared facts; Chainer's one file per operator.
"""

from __future__ import annotations

import enum
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from cntk_lab.axis import Axis
from cntk_lab.graph import asks
from cntk_lab.graph.asks import Rule
from cntk_lab.tensor.shape import Shape, from_right

EVERY, NONE = "every operand", "no operand"


class Trait(enum.Enum):
    """What the engine must know about an operator beyond its arithmetic. The engine asks for traits, never for
    names.
    """

    STRUCTURAL = "passes its operand through; no arithmetic"
    VIEW = "the operand's elements in the same order under another static shape"
    NO_GRADIENT = "the gradient of every operand is zero"
    STOPS_GRADIENT = "backward does not pass"
    NEEDS_LAYOUT = "reads where sequences begin and end"
    NEW_LAYOUT = "makes rows of another layout; its count may depend on data"
    LAYOUT_LIKE = "gives the first operand the layout of the last one: nothing to do where that is its own"
    RECURRENT = "reads a neighbouring frame: the only way to close a cycle"
    RANDOM = "draws random numbers"
    STATEFUL = "writes constants or parameters after the forward pass"
    SAME_AXES = "operands with dynamic axes must have the same ones: a sequence meets no single value"
    ROW_SUM = "sums over rows: its result has fewer dynamic axes"
    HOST = "runs on the host, between segments of a plan"


@dataclass(frozen=True, slots=True)
class TensorType:
    """What is known of a value before it exists: static shape, element type, dynamic axes; ``None`` where unknown."""

    shape: Shape | None
    dtype: str | None
    axes: tuple[Axis, ...] | None
    sparse: bool = False

    @property
    def rank(self) -> int:
        """Number of static axes; the shape must be known."""
        assert self.shape is not None
        return len(self.shape)

    @property
    def dims(self) -> Shape:
        """The static shape, which must be known."""
        assert self.shape is not None
        return self.shape

    def with_dim(self, axis: int, dim: int) -> Shape:
        """The static shape with one dimension changed."""
        at = from_right(axis, self.rank) + self.rank
        return (*self.dims[:at], dim, *self.dims[at + 1 :])


@dataclass(frozen=True, slots=True)
class CntkRule:
    """How CNTK 2.7's files write the operator: primitive name and number, or block name, and attributes.

    Args:
        op: name of the primitive function (``"Times"``), also the name shown to users.
        id: its number in files; None if it has no number of its own.
        block: name of the block function, for operators that CNTK builds from others.
        also_block: a block name that files may use instead of the primitive.
        where: attributes that tell operators of one number apart.
        attributes: our attribute name -> CNTK's attribute key.
    """

    op: str | None = None
    id: int | None = None
    block: str | None = None
    also_block: str | None = None
    where: Mapping[str, object] = field(default_factory=dict)
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OnnxRule:
    """How ONNX writes the operator: type, first opset, and our attribute name -> ONNX attribute name."""

    op: str
    since: int = 1
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reals:
    """Which numbers an operand may take in tests and documents: where the operator is defined and smooth."""

    low: float = -2.0
    high: float = 2.0
    avoid: tuple[float, ...] = ()
    distinct: bool = False
    whole: bool = False
    one_hot: bool = False
    probability: bool = False


def reals(low: float = -2.0, high: float = 2.0, *, avoid: tuple[float, ...] = (), distinct: bool = False) -> Reals:
    """Real numbers of an interval, away from ``avoid`` (kinks), all different if ``distinct`` (ties)."""
    return Reals(low, high, tuple(avoid), distinct)


@dataclass(frozen=True, slots=True)
class Sample:
    """One use of the operator for the contract tests: static shapes of its operands, attributes, what is random."""

    shapes: tuple[Shape, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    sequence: bool = True
    """Whether it also makes sense with a sequence axis."""
    parameters: tuple[int, ...] = ()
    """Operands (by position) that are parameters: no dynamic axes."""
    gradient: bool = True


@dataclass(frozen=True, slots=True)
class Contraction:
    """A product of two operands as letters in memory order: ``r`` rows, ``a`` left axes, ``k`` summed axes, ``o``
    right axes.

    ``left="rak", right="ko", out="rao"`` with the sizes of a, k and o. Gradients are contractions again.
    """

    left: str
    right: str
    out: str
    sizes: Mapping[str, int]
    ranks: Mapping[str, int] = field(default_factory=dict)
    """How many axes a, k and o stand for; needed where several dimensions are free."""


@dataclass(frozen=True, slots=True)
class Moves:
    """What an operator does that only moves elements; its gradient does the opposite.

    Args:
        kind: ``cut`` (a part along ``axis`` from ``begin``), ``join`` (put together along ``axis``) or ``order`` (the
            axes of an array, rows included, in the order ``order``).
        axis: static axis; a negative one counts from the end.
        begin: first element of a part.
        order: positions of the axes.
    """

    kind: str
    axis: int = 0
    begin: int = 0
    order: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class OpParameter:
    """One parameter of the operator's Python signature."""

    name: str
    operand: bool
    variadic: bool = False
    default: object = inspect.Parameter.empty


@dataclass(frozen=True, eq=False)
class OpDef:
    """One operator: its signature, its rules, and how files write it. Two operators are never equal."""

    name: str
    kind: str
    parameters: tuple[OpParameter, ...]
    doc: str
    cntk: CntkRule
    onnx: OnnxRule | None = None
    formula: Rule | None = None
    derivative: Mapping[str, Rule] | None = None
    shape: Rule | None = None
    axes: Rule | None = None
    dtype: Rule | None = None
    resolve: Rule | None = None
    settles: tuple[str, ...] = ()
    """What ``resolve`` settles: attributes that follow from others and from the operands' types."""
    complete: Rule | None = None
    partial: Rule | None = None
    forward: Rule | None = None
    gradient: Mapping[str, Rule] = field(default_factory=dict)
    contraction: Rule | None = None
    inference: Rule | None = None
    updates: Mapping[str, Rule] = field(default_factory=dict)
    views: Rule | None = None
    """Operand -> static shape under which a formula reads it, where that is not its own."""
    moves: Rule | None = None
    """What it does, if it only moves elements (:class:`Moves`), else None; asked when its operands' shapes are known.
    """
    body: Rule | None = None
    outputs: tuple[str, ...] = ("y",)
    count: Rule | None = None
    """Number of outputs by the attributes, where it is not always that of ``outputs``."""
    saved: tuple[str, ...] = ()
    """Values that ``forward`` gives beside the outputs, for the gradient."""
    saved_alike: bool = False
    """Whether saved values have the shape of the first output; else it is known only when they are there."""
    traits: frozenset[Trait] = frozenset()
    domain: Mapping[str, Reals] = field(default_factory=dict)
    samples: tuple[Sample, ...] = ()
    operator: str | None = None
    swapped: bool = False
    sparse_operands: tuple[str, ...] = ()
    types: Rule | None = None
    """All output types at once, from the node; for operators that infer them by themselves."""
    sparse: Rule | None = None
    """Whether the result is held as sparse rows."""
    arrays: str = ""
    """Which operands, given as arrays where no operand is a variable, say the element type: ``EVERY``, ``NONE``
    (float32 whatever they are) or the name of one; default every one if there are several operands, else none.
    """

    def __post_init__(self) -> None:
        asks.check(self.name, self.own, self.rules())

    @cached_property
    def own(self) -> asks.Own:
        """The names that rules may ask for because this operator has them."""
        attributes = [p.name for p in self.attributes]
        return asks.Own([p.name for p in self.operands], attributes, self.settles, self.outputs, self.saved)

    def rules(self, *kinds: str) -> Iterator[tuple[str, str, Rule]]:
        """The rules of some kinds, default all: kind, what it is for (an operand, or empty), and the rule."""
        for kind in kinds or asks.SCOPES:
            declared = getattr(self, kind)
            if isinstance(declared, Mapping):
                yield from ((kind, of, rule) for of, rule in declared.items())
            elif declared is not None:
                yield kind, "", declared

    @property
    def title(self) -> str:
        """The name that users see on a node: CNTK's."""
        return self.cntk.block or self.cntk.op or self.name

    @property
    def operands(self) -> tuple[OpParameter, ...]:
        """The parameters that are operands."""
        return tuple(p for p in self.parameters if p.operand)

    @property
    def attributes(self) -> tuple[OpParameter, ...]:
        """The parameters that are attributes."""
        return tuple(p for p in self.parameters if not p.operand)

    def has(self, trait: Trait) -> bool:
        """Whether the operator has a trait."""
        return trait in self.traits
