"""Steps over buffers: the words in which a plan says what is computed.

A buffer is ``rows x static shape``; its rows are a *row symbol*: the dynamic axes of the value (``""`` none, ``"#"``
one row per sample, ``"#,*"`` one row per frame), never a number. A step reads and writes buffers by their numbers.
Knows no operator by name and no device.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

from cntk_lab.axis import Axis
from cntk_lab.formula.kernel import Kernel
from cntk_lab.graph.asks import Rule
from cntk_lab.graph.opdef import Contraction, OpDef, Trait
from cntk_lab.graph.variable import Variable
from cntk_lab.tensor.shape import Shape, text

RowSymbol = str


def row_symbol(axes: tuple[Axis, ...]) -> RowSymbol:
    """The row symbol of dynamic axes.

    Example:
        >>> row_symbol((Axis.default_batch_axis(), Axis.default_dynamic_axis()))
        '#,*'
        >>> row_symbol((Axis.batch_axis_made_by("ToBatchAxis7"),))
        '#ToBatchAxis7'
    """
    return ",".join(a.short + a.maker for a in axes)


@dataclass(slots=True)
class Buffer:
    """One value of the plan."""

    id: int
    rows: RowSymbol
    shape: Shape
    dtype: str
    role: str
    """``input``, ``parameter``, ``constant``, ``state``, ``scalar``, ``temporary``."""
    name: str = ""
    sparse: bool = False
    variable: Variable | None = None
    whole: Shape | None = None
    """If it lies in the memory of another buffer: that one's static shape."""
    inside: int = -1
    """Which buffer that is: one that lies in no other."""
    cut: tuple[int, int] = (0, 0)
    """And along which static axis it is a part of that, from which place."""
    touched: int = 0
    """How many rows it has, if it is a gradient of which only touched rows are kept (``RowSparse``, without fixed
    memory).
    """
    last: bool = False
    """Whether it is an image with its channels behind the spatial axes (``shape`` is then in that order)."""

    def __str__(self) -> str:
        dims = text(self.shape)
        return f"%{self.id}{f' {self.name}' if self.name else ''} [{self.rows}]{dims}"


class Phase(enum.Flag):
    """What a step is there for; a step that fusing made of several is there for all of theirs.

    The order is that of the plan. What operators keep and what the program assigns is written before learners update:
    their formulas mean the values that the forward pass saw. Nothing that outlives the run is written before gradients
    are shared, so that a worker that is cut off while it waits for the others has changed nothing.
    """

    FORWARD = enum.auto()
    BACKWARD = enum.auto()
    SHARE = enum.auto()
    """Gradients are summed over workers."""
    KEEP = enum.auto()
    """What operators keep from run to run: running statistics."""
    ASSIGN = enum.auto()
    """What the program itself assigns; waits for the backward pass even if that is another run."""
    UPDATE = enum.auto()
    """What learners do."""


@dataclass(slots=True)
class Step:
    """One step: what it reads and writes, the nodes of the graph it comes from, and what it is there for."""

    reads: tuple[int, ...]
    writes: tuple[int, ...]
    nodes: tuple[str, ...] = ()
    phase: Phase = field(default=Phase.FORWARD, kw_only=True)
    lies: ClassVar[bool] = False
    """Whether its values lie in memory that is there already, so that there is nothing to do."""

    @property
    def kind(self) -> str:
        """The kind of step, for texts and tables."""
        return type(self).__name__

    def words(self) -> str:
        """What it does, in a few words."""
        return self.kind.lower()

    def shares(self) -> Iterator[tuple[int, int]]:
        """Buffers that lie in the memory of another: which, and in which other."""
        yield from ()

    @property
    def stops_gradient(self) -> bool:
        """Whether no gradient passes it backward."""
        return False

    @property
    def continues(self) -> bool:
        """Whether a next minibatch may continue from what it reads first."""
        return False


@dataclass(slots=True)
class Map(Step):
    """Formulas over one domain. Kernel operands are called ``b<buffer>``."""

    kernel: Kernel = field(default_factory=lambda: Kernel((), False, (), ()))
    rows: RowSymbol = ""
    op: OpDef | None = None
    scope: dict[str, Any] = field(default_factory=dict)
    length: int = 0
    """Size of the formulas in words, counted when fusing first asks."""

    def words(self) -> str:
        """The formulas."""
        return "map {" + "; ".join(f"{o.name} = {e!r}" for o, e in self.kernel.outputs) + "}"

    @property
    def stops_gradient(self) -> bool:
        """As its operator says."""
        return _stops(self.op)


@dataclass(slots=True)
class Contract(Step):
    """A product of matrices or tensors, by letters (see :class:`Contraction`).

    A third read is what the product is added to; nobody else needs that, and the result may lie where it does.
    """

    spec: Contraction = field(default_factory=lambda: Contraction("", "", "", {}))
    rows: RowSymbol = ""

    def words(self) -> str:
        """The letters."""
        return f"product {self.spec.left},{self.spec.right}->{self.spec.out}{' onto' if len(self.reads) > 2 else ''}"

    def shares(self) -> Iterator[tuple[int, int]]:
        """The result lies where what it is added to does."""
        if len(self.reads) > 2:
            yield self.writes[0], self.reads[2]


@dataclass(slots=True)
class Call(Step):
    """An operator's rule on whole arrays. ``names`` says which parameter of the rule each read is."""

    op: OpDef | None = None
    rule: Rule | None = None
    role: str = "forward"
    names: tuple[str, ...] = ()
    scope: dict[str, Any] = field(default_factory=dict)
    rows: RowSymbol = ""
    key: str = ""
    """Which state (random stream, continuation) belongs to this step."""

    def words(self) -> str:
        """Operator and role."""
        return f"{self.op.name if self.op else '?'}.{self.role}"

    @property
    def stops_gradient(self) -> bool:
        """As its operator says."""
        return _stops(self.op)


@dataclass(slots=True)
class View(Step):
    """The same elements under another static shape."""

    stops: bool = False
    """Whether gradients end here."""
    lies: ClassVar[bool] = True

    def shares(self) -> Iterator[tuple[int, int]]:
        """The result lies where the operand does."""
        yield self.writes[0], self.reads[0]

    @property
    def stops_gradient(self) -> bool:
        """As it says."""
        return self.stops


@dataclass(slots=True)
class Part(Step):
    """A part of a value along one static axis, in the same memory."""

    axis: int = 0
    begin: int = 0
    lies: ClassVar[bool] = True

    def shares(self) -> Iterator[tuple[int, int]]:
        """The part lies in the whole."""
        yield self.writes[0], self.reads[0]


@dataclass(slots=True)
class Join(Step):
    """Values put together along one static axis; they are parts of the result, and lie in its memory."""

    axis: int = 0
    lies: ClassVar[bool] = True

    def shares(self) -> Iterator[tuple[int, int]]:
        """The pieces lie in the whole."""
        yield from ((r, self.writes[0]) for r in self.reads)


@dataclass(slots=True)
class Order(Step):
    """The same image in the other order of axes: channels first or last, as the two buffers say."""


@dataclass(slots=True)
class Spread(Step):
    """Rows per sample repeated for every frame of the sample's sequence."""

    rows: RowSymbol = ""


@dataclass(slots=True)
class Gathered(Step):
    """The opposite of Spread: frames summed per sequence."""

    rows: RowSymbol = ""


@dataclass(slots=True)
class Delay(Step):
    """Each frame's value ``offset`` frames earlier (negative: later); outside the sequence, the initial state.

    ``reads`` are the source and, if there is one, the initial state.
    """

    offset: int = 1
    rows: RowSymbol = ""
    key: str = ""

    def words(self) -> str:
        """With the offset."""
        return f"delay[{self.offset}]"

    @property
    def continues(self) -> bool:
        """If it looks back and its state is kept."""
        return bool(self.key) and self.offset > 0


@dataclass(slots=True)
class DelayInitial(Step):
    """The gradient of a delay's initial state: what arrives where the initial state was taken."""

    offset: int = 1
    rows: RowSymbol = ""

    def words(self) -> str:
        """With the offset."""
        return f"delayinitial[{self.offset}]"


@dataclass(slots=True)
class AddRows(Step):
    """The sum of gradients of which only touched rows are kept; the result keeps the rows that any of them touched."""


@dataclass(slots=True)
class Fill(Step):
    """The whole of a gradient of which only touched rows are kept, zeros elsewhere."""


@dataclass(slots=True)
class Share(Step):
    """Values summed over all workers, each under its own number: what data-parallel training puts before updates."""


@dataclass(slots=True)
class UpdateRows(Step):
    """Formulas over the touched rows of a parameter and of a learner's states, written in place.

    The first read is the gradient of which only touched rows are kept; ``whole`` are the reads and writes that have
    the parameter's rows. The kernel's operand called ``touched`` is the number of touched elements.
    """

    kernel: Kernel = field(default_factory=lambda: Kernel((), False, (), ()))
    whole: frozenset[int] = frozenset()


@dataclass(slots=True)
class Loop(Step):
    """Steps run slab by slab: forward in time, or backward. All their buffers hold every frame."""

    body: list[Step] = field(default_factory=list)
    rows: RowSymbol = ""
    reverse: bool = False

    def words(self) -> str:
        """Over which rows, and which way."""
        return f"loop over {self.rows}{' backward' if self.reverse else ''}"


def _stops(op: OpDef | None) -> bool:
    return op is not None and (op.has(Trait.NO_GRADIENT) or op.has(Trait.STOPS_GRADIENT))


def all_steps(steps: Iterable[Step]) -> Iterator[Step]:
    """Every step, those inside loops too."""
    for s in steps:
        yield s
        if isinstance(s, Loop):
            yield from all_steps(s.body)


def leaves(steps: Iterable[Step]) -> Iterator[Step]:
    """Every step that is no loop: of loops, those inside."""
    return (s for s in all_steps(steps) if not isinstance(s, Loop))
