"""Parts: slices and pieces put together are no copies but a matter of addresses; transposes are a matter of letters.

* A slice along one static axis becomes a *part*: a buffer that lies in the memory of another one, with that one's
  distance between rows. Pieces that are put together are written where they belong. So the gates of a recurrent cell
  are read straight from the product of all four, and the heads of attention straight from the projections.
* The gradients of slices that together cover a value are put together instead of being padded and summed.
* A transposed operand of a product only changes the order of its letters.
* A product whose result is added to a value that nobody else needs is added onto it.

Works on the plan alone, before formulas are fused. Backends say which steps are slices, pieces or transposes
(``shaping``); knows no operator by name. Idea: views in Halide and tinygrad's ShapeTracker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from cntk_lab.engine.plan import Buffer, Call, Contract, Join, Loop, Map, Part, Plan, Step, all_steps, leaves
from cntk_lab.engine.plan.index import readers_of
from cntk_lab.engine.plan.reference import number_of, reference
from cntk_lab.formula import expr as e
from cntk_lab.formula.kernel import Kernel, Operand
from cntk_lab.graph.opdef import Contraction
from cntk_lab.tensor.shape import FREE, Shape


@dataclass(frozen=True, slots=True)
class Shaping:
    """What a step on whole arrays does to places only.

    ``kind`` is ``cut`` (along ``axis`` from ``begin``), ``uncut`` (its gradient), ``join`` (along ``axis``),
    ``unjoin`` (the piece that is number ``begin``), ``order`` (``order``) or ``unorder``. Negative axes count from the
    end.
    """

    kind: str
    axis: int = 0
    begin: int = 0
    order: tuple[int, ...] = ()


Says = Callable[[Call], Shaping | None]


def use_parts(plan: Plan, says: Says) -> Plan:
    """The plan with parts instead of copies; results are the same.

    Args:
        plan: the plan, before formulas are fused; its steps and buffers are changed.
        says: what a step does, if it only moves elements.
    """
    _Pass(plan, says).run()
    return plan


class _Pass:
    def __init__(self, plan: Plan, says: Says) -> None:
        self.plan, self.says = plan, says
        self.kept = set(plan.outputs.values())
        self.taken: set[int] = set()
        """Buffers that are a part already."""
        self.members: dict[int, list[int]] = {}
        """What lies in the memory of a buffer that is no part itself: there is one owner, however deep parts nest."""
        self._look()

    def _look(self) -> None:
        steps = list(leaves(self.plan.steps))
        self.readers = {r: [steps[i] for i in places] for r, places in readers_of(steps).items()}
        self.writer: dict[int, Step] = {w: s for s in steps for w in s.writes}

    def run(self) -> None:
        for change in (self._transposes, self._joined_gradients, self._parts, self._onto):
            self.plan.steps = self._each(self.plan.steps, change)
            self._look()
        for s in all_steps(self.plan.steps):
            if isinstance(s, Map):
                s.kernel = self._with_parts(s.kernel)

    def _each(self, steps: list[Step], change: Callable[[list[Step]], list[Step]]) -> list[Step]:
        for s in steps:
            if isinstance(s, Loop):
                s.body = self._each(s.body, change)
                s.writes = tuple(w for t in s.body for w in t.writes)
                inside = set(s.writes)
                s.reads = tuple(dict.fromkeys(r for t in s.body for r in t.reads if r not in inside))
        return change(steps)

    def _shape(self, number: int) -> Shape:
        return self.plan.buffers[number].shape

    def _free(self, number: int) -> bool:
        """Whether a buffer can lie in the memory of another: only formulas and products touch it."""
        b = self.plan.buffers[number]
        if b.role != "temporary" or number in self.taken or number in self.kept or FREE in b.shape or b.sparse:
            return False
        touching = [*self.readers.get(number, ()), *([self.writer[number]] if number in self.writer else [])]
        return all(
            isinstance(s, (Map, Contract, Part, Join)) or (isinstance(s, Call) and self.says(s) is not None)
            for s in touching
        )

    # ---- transposes

    def _transposes(self, steps: list[Step]) -> list[Step]:
        result = []
        for s in steps:
            what = self.says(s) if isinstance(s, Call) else None
            if not isinstance(s, Call) or what is None or not what.kind.endswith("order") or not self._letters(s, what):
                result.append(s)
        return result

    def _letters(self, s: Call, what: Shaping) -> bool:
        """Take a transpose into the products around it; whether that could be done."""
        forward = what.kind == "order"
        moved = s.writes[0] if forward else s.reads[0]
        stays = s.reads[0] if forward else s.writes[0]
        around = self.readers.get(moved, []) if forward else [self.writer.get(moved)]
        if moved in self.kept or (not forward and len(self.readers.get(moved, ())) != 1):
            return False
        new: list[tuple[Contract, str, str]] = []
        for c in around:
            if not isinstance(c, Contract):
                return False
            sides = [w for w, n in (("left", c.reads[0]), ("right", c.reads[1]), ("out", c.writes[0])) if n == moved]
            for side in sides:
                word = self._reordered(getattr(c.spec, side), c.spec, moved, what.order)
                if word is None:
                    return False
                new.append((c, side, word))
        for c, side, word in new:
            x = c.spec
            words = {"left": x.left, "right": x.right, "out": x.out, side: word}
            c.spec = Contraction(words["left"], words["right"], words["out"], x.sizes)
            c.reads = tuple(stays if n == moved else n for n in c.reads)
            c.writes = tuple(stays if n == moved else n for n in c.writes)
            for n, one in ((stays, c),):
                if forward:
                    self.readers.setdefault(n, []).append(one)
                else:
                    self.writer[n] = one
        return bool(new)

    def _reordered(self, word: str, spec: Contraction, number: int, order: tuple[int, ...]) -> str | None:
        shape, static = self._shape(number), word.replace("r", "")
        if len(static) != len(shape) or any(spec.sizes[c] != d for c, d in zip(static, shape, strict=True)):
            return None
        letters = [""] * len(order)
        for i, place in enumerate(order):
            letters[place] = static[i]
        return ("r" if "r" in word else "") + "".join(letters)

    # ---- parts

    def _joined_gradients(self, steps: list[Step]) -> list[Step]:
        """Sums of padded gradients of slices that cover a value become that value put together."""
        result: list[Step] = []
        gone: set[int] = set()
        for s in steps:
            pieces = self._cover(s) if isinstance(s, Map) else None
            if pieces is None:
                result.append(s)
                continue
            axis, calls = pieces
            gone.update(map(id, calls))
            reads = [c.reads[c.names.index("dy")] for c in calls]
            # gates lie elsewhere already if they are part of two products' gradients
            copies = self._apart(reads, axis)
            reads = [copies[i].writes[0] if i in copies else n for i, n in enumerate(reads)]
            self._place(reads, s.writes[0], axis)
            result += _instead_of(s, *copies.values(), Join(tuple(reads), s.writes, s.nodes, axis=axis))
        return [s for s in result if id(s) not in gone]

    def _cover(self, s: Map) -> tuple[int, list[Call]] | None:
        if len(s.kernel.outputs) != 1 or not _is_sum(s.kernel.outputs[0][1]) or len(s.reads) < 2:
            return None
        calls: list[tuple[int, Call]] = []
        axes = set()
        for r in s.reads:
            c = self.writer.get(r)
            what = self.says(c) if isinstance(c, Call) else None
            if (
                what is None
                or what.kind != "uncut"
                or not isinstance(c, Call)
                or len(self.readers[r]) != 1
                or r in self.kept
            ):
                return None
            axes.add(what.axis % len(self._shape(s.writes[0])))
            calls.append((what.begin, c))
        if len(axes) != 1:
            return None
        (axis,) = axes
        calls.sort(key=lambda x: x[0])
        at = 0
        pieces = [c.reads[c.names.index("dy")] for _, c in calls]
        for (begin, _), piece in zip(calls, pieces, strict=True):
            if begin != at:
                return None
            at += self._shape(piece)[axis]
        whole = self._shape(s.writes[0])
        buffers = [self.plan.buffers[n] for n in pieces]
        if at != whole[axis] or any(FREE in b.shape or b.sparse or b.touched or b.last for b in buffers):
            return None
        return axis, [c for _, c in calls]

    def _like(self, number: int) -> int:
        """A new buffer of the same kind."""
        b = self.plan.buffers[number]
        self.plan.buffers.append(Buffer(len(self.plan.buffers), b.rows, b.shape, b.dtype, "temporary"))
        return len(self.plan.buffers) - 1

    def _copy(self, number: int, to: int | None = None) -> Map:
        """The step that copies a buffer, into a new one if none is named."""
        b = self.plan.buffers[number]
        target = self._like(number) if to is None else to
        operands = [Operand(reference(n), b.shape, bool(b.rows), b.dtype) for n in (number, target)]
        formula = e.input_(operands[0].name)
        kernel = Kernel(b.shape, bool(b.rows), (operands[0],), ((operands[1], formula),), b.dtype)
        step = Map((number,), (target,), kernel=kernel, rows=b.rows)
        self.writer[target] = step
        return step

    def _parts(self, steps: list[Step]) -> list[Step]:
        """Slices become parts, pieces are written where they belong."""
        result: list[Step] = []
        for s in steps:
            what = self.says(s) if isinstance(s, Call) else None
            if what is None or not isinstance(s, Call):
                result.append(s)
            elif what.kind in ("cut", "unjoin") and self._is_part(s, what):
                source, target = s.reads[s.names.index("x" if what.kind == "cut" else "dy")], s.writes[0]
                axis = what.axis % len(self._shape(source))
                begin = what.begin if what.kind == "cut" else self._offset(s, what)
                after = [] if self._free(target) else [self._copy(self._like(target), target)]
                part = after[0].reads[0] if after else target
                self._lie_in(part, source, axis, begin)
                result += _instead_of(s, Part((source,), (part,), s.nodes, axis=axis, begin=begin), *after)
            elif what.kind == "join" and self._joins(s, what.axis % len(self._shape(s.writes[0]))):
                axis = what.axis % len(self._shape(s.writes[0]))
                copies = self._apart(s.reads, axis)
                pieces = tuple(copies[i].writes[0] if i in copies else n for i, n in enumerate(s.reads))
                result += _instead_of(s, *copies.values(), Join(pieces, s.writes, s.nodes, axis=axis))
                self._place(pieces, s.writes[0], axis)
            else:
                result.append(s)
        return result

    def _apart(self, pieces: Iterable[int], axis: int) -> dict[int, Map]:
        """For pieces that cannot be written where they belong (by place) the steps that copy them there."""
        seen: set[int] = set()
        copies: dict[int, Map] = {}
        for i, n in enumerate(pieces):
            if n in seen or not self._free(n) or n not in self.writer or not self._nests(n, axis):
                copies[i] = self._copy(n)
            seen.add(n)
        return copies

    def _is_part(self, s: Call, what: Shaping) -> bool:
        name = "x" if what.kind == "cut" else "dy"
        if name not in s.names:
            return False
        source, target = s.reads[s.names.index(name)], s.writes[0]
        a, b = self.plan.buffers[source], self.plan.buffers[target]
        same = (
            a.rows == b.rows
            and len(a.shape) == len(b.shape)
            and a.dtype == b.dtype
            and not a.sparse
            and FREE not in a.shape
        )
        axis = what.axis % max(1, len(a.shape))
        aligned = same and all(x == y for i, (x, y) in enumerate(zip(a.shape, b.shape, strict=True)) if i != axis)
        nests = source not in self.taken or a.cut[0] == axis
        return aligned and nests and not b.last and not a.last

    def _offset(self, s: Call, what: Shaping) -> int:
        pieces = [n for name, n in s.scope["_all"] if name.startswith("inputs.")]
        return sum(self._shape(n)[what.axis] for n in pieces[: what.begin])

    def _joins(self, s: Call, axis: int) -> bool:
        whole = self.plan.buffers[s.writes[0]]
        pieces = [self.plan.buffers[n] for n in s.reads]
        return (
            FREE not in whole.shape
            and sum(p.shape[axis] for p in pieces if len(p.shape) == len(whole.shape)) == whole.shape[axis]
            and all(
                p.rows == whole.rows and p.dtype == whole.dtype and len(p.shape) == len(whole.shape) for p in pieces
            )
            and all(
                x == y for p in pieces for i, (x, y) in enumerate(zip(p.shape, whole.shape, strict=True)) if i != axis
            )
            and not any(p.sparse or p.touched or p.last for p in pieces)
        )

    def _place(self, pieces: Iterable[int], whole: int, axis: int) -> None:
        begin = 0
        for p in pieces:
            self._lie_in(p, whole, axis, begin)
            begin += self._shape(p)[axis]

    def _nests(self, number: int, axis: int) -> bool:
        """Whether what lies in a buffer lies there along an axis, so that it can lie so in what holds the buffer."""
        return all(self.plan.buffers[m].cut[0] == axis for m in self.members.get(number, ()))

    def _lie_in(self, part: int, source: int, axis: int, begin: int) -> None:
        """Let a buffer lie in another one's memory, or in what that one lies in; with it all that lies in itself."""
        buffers = self.plan.buffers
        if source in self.taken:
            begin += buffers[source].cut[1]
            source = buffers[source].inside
        moved = [part, *self.members.pop(part, ())]
        for n in moved:
            b = buffers[n]
            b.cut = (axis, begin + (0 if n == part else b.cut[1]))
            b.whole, b.inside = buffers[source].shape, source
        self.members.setdefault(source, []).extend(moved)
        self.taken.add(part)

    # ---- products onto values

    def _onto(self, steps: list[Step]) -> list[Step]:
        """A formula that only adds a product to a value that ends here goes into the product."""
        result: list[Step] = []
        for s in steps:
            found = self._addition(s, steps) if isinstance(s, Map) else None
            if found is None:
                result.append(s)
                continue
            product, other = found
            product.reads, product.writes = (*product.reads, other), s.writes
            product.nodes = (*product.nodes, *s.nodes)
        return result

    def _addition(self, s: Map, steps: list[Step]) -> tuple[Contract, int] | None:
        formula = s.kernel.outputs[0][1]
        if len(s.writes) != 1 or formula.op != "add" or any(a.op != "input" for a in formula.args) or len(s.reads) != 2:
            return None
        buffers, target = self.plan.buffers, s.writes[0]
        for product, other in (s.reads, s.reads[::-1]):
            c = self.writer.get(product)
            if not isinstance(c, Contract) or len(c.reads) != 2 or not any(c is t for t in steps):
                continue
            here = [buffers[n] for n in (product, other, target)]
            alike = len({(b.rows, b.shape, b.dtype) for b in here}) == 1
            alone = all(
                len(self.readers.get(n, ())) == 1 and n not in self.kept and n not in self.taken
                for n in (product, other)
            )
            made = self.writer.get(other)
            if (
                alike
                and alone
                and here[1].role == "temporary"
                and isinstance(made, (Map, Contract))
                and target not in self.taken
                and self._before(made, c, steps)
            ):
                return c, other
        return None

    @staticmethod
    def _before(made: Step, product: Step, steps: list[Step]) -> bool:
        """Whether a value is there before a product of this list runs: it is made earlier in it, or outside of it."""
        place = {id(t): i for i, s in enumerate(steps) for t in all_steps([s])}
        return place.get(id(made), -1) < place[id(product)]

    # ---- kernels

    def _with_parts(self, kernel: Kernel) -> Kernel:
        """The kernel whose operands know the memory they are parts of."""

        def known(o: Operand) -> Operand:
            whole = self.plan.buffers[number_of(o.name)].whole
            if whole is None:
                return o
            return replace(o, whole=(1,) * (len(o.shape) - len(whole)) + whole)

        outputs = tuple((known(o), f) for o, f in kernel.outputs)
        return replace(kernel, inputs=tuple(map(known, kernel.inputs)), outputs=outputs)


def _is_sum(formula: e.Expr) -> bool:
    """Whether a formula is a sum of inputs, each once."""
    leaves = []
    stack = [formula]
    while stack:
        x = stack.pop()
        if x.op == "add":
            stack.extend(x.args)
        elif x.op == "input":
            leaves.append(x)
        else:
            return False
    return len({id(x) for x in leaves}) == len(leaves)


def _instead_of(step: Step, *steps: Step) -> tuple[Step, ...]:
    """Steps that stand in the place of one: they are there for what it was there for."""
    for s in steps:
        s.phase = step.phase
    return steps
