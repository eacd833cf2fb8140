"""What a legal plan is, as a table of rules, and a look at a plan by all of them.

Each pass of the compiler may do what it likes as long as every rule holds behind it. A rule is a sentence and a
function that yields what is wrong; so the table is both the definition and the test. Looked at after each pass where
the option ``check_plans`` (or ``checked``) is on: the test-suite always does.

Knows plans, buffers and kernels; no operator, no backend and no pass. Idea: tinygrad's ``spec``, an executable
statement of what a graph may look like; LLVM's verifier, which runs between passes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from cntk_lab import settings
from cntk_lab.engine.plan import (
    Buffer,
    Call,
    Contract,
    Delay,
    DelayInitial,
    Gathered,
    Join,
    Loop,
    Map,
    Order,
    Part,
    Phase,
    Plan,
    RowSymbol,
    Share,
    Spread,
    Step,
    View,
    all_steps,
    leaves,
)
from cntk_lab.engine.plan.index import readers_of
from cntk_lab.engine.plan.reference import number_of, reference
from cntk_lab.errors import ExecutionError
from cntk_lab.formula import expr as e
from cntk_lab.formula.extent import check_outputs, extents
from cntk_lab.formula.kernel import Operand
from cntk_lab.tensor.shape import FREE, Shape, size

Wrong = Iterator[str]


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that holds for every legal plan."""

    name: str
    says: str
    """The rule in words."""
    find: Callable[[Plan], Wrong]
    """What of a plan is against it."""


def check(plan: Plan, after: str) -> Plan:
    """The plan itself, if it is legal.

    Args:
        plan: the plan; it is only looked at.
        after: the pass that ran last, for the message.

    Raises:
        ExecutionError: naming the first rule that does not hold, and where.
    """
    for rule in RULES:
        for wrong in rule.find(plan):
            raise illegal(plan, f"after {after}: {wrong}", rule.name, rule.says)
    return plan


def wanted() -> bool:
    """Whether plans are looked at."""
    return settings.flag("check_plans") or settings.flag("checked")


def illegal(plan: Plan, wrong: str, name: str, says: str) -> ExecutionError:
    """What is raised when a plan is against a rule."""
    return ExecutionError(
        f"the plan of {plan.title} is not legal {wrong}",
        where=f"rule '{name}': {says}",
        fix="a bug of the plan compiler: report the model; settings.set_option('fuse', False) may avoid it",
    )


# ---- order


def _written_before(plan: Plan) -> Wrong:
    there = {b.id for b in plan.buffers if b.role != "temporary"}
    yield from _read_in_order(plan, plan.steps, there)
    for name, number in plan.outputs.items():
        if number not in there:
            yield f"{name} is {plan.buffers[number]}, which no step writes"


def _read_in_order(plan: Plan, steps: Sequence[Step], there: set[int]) -> Wrong:
    for s in steps:
        if isinstance(s, Loop):
            inside = {w for t in all_steps(s.body) for w in t.writes}
            for t in s.body:
                # a delay reads what an earlier (or later) turn of the loop writes
                late = inside if isinstance(t, Delay) else set()
                yield from _missing(plan, t, there | late)
                there.update(t.writes)
        else:
            yield from _missing(plan, s, there)
            there.update(s.writes)


def _missing(plan: Plan, step: Step, there: set[int]) -> Wrong:
    for r in step.reads:
        if r not in there:
            yield f"{step.words()} reads {plan.buffers[r]} before it is written"


def _written_once(plan: Plan) -> Wrong:
    written: set[int] = set()
    for s in all_steps(plan.steps):
        for w in () if isinstance(s, Loop) else s.writes:
            role = plan.buffers[w].role
            if role in ("input", "scalar"):
                yield f"{s.words()} writes {plan.buffers[w]}, which is given"
            if role == "temporary" and w in written:
                yield f"{s.words()} writes {plan.buffers[w]}, which another step writes too"
            written.add(w)


def _old_values(plan: Plan) -> Wrong:
    changed: set[int] = set()
    for s in all_steps(plan.steps):
        if isinstance(s, Loop):
            continue
        if any(plan.buffers[w].role == "temporary" for w in s.writes):
            for r in s.reads:
                if r in changed:
                    yield f"{s.words()} reads {plan.buffers[r]} behind the step that overwrites it"
        changed.update(w for w in s.writes if plan.buffers[w].role != "temporary")


def _loops_add_up(plan: Plan) -> Wrong:
    for s in plan.steps:
        if not isinstance(s, Loop):
            continue
        if any(isinstance(t, Loop) for t in s.body):
            yield f"{s.words()} holds another loop"
        written = [w for t in s.body for w in t.writes]
        read = {r for t in s.body for r in t.reads} - set(written)
        if sorted(s.writes) != sorted(written):
            yield f"{s.words()} says that it writes {sorted(s.writes)}, its body writes {sorted(written)}"
        if set(s.reads) != read:
            yield f"{s.words()} says that it reads {sorted(s.reads)}, its body reads {sorted(read)}"
        for w in written:
            if plan.buffers[w].rows not in (s.rows, ""):
                yield f"{s.words()} writes {plan.buffers[w]}, which has other rows"


_LASTING = Phase.KEEP | Phase.ASSIGN | Phase.UPDATE
_PLACE = {phase: i for i, phase in enumerate(Phase)}


def _phases(plan: Plan) -> Wrong:
    begun: dict[int, int] = {}
    for s in plan.steps:
        places = [_PLACE[p] for p in s.phase]
        if not places:
            yield f"{s.words()} has none"
            continue
        for r in s.reads:
            if begun.get(r, 0) > max(places):
                yield f"{s.words()} of {s.phase.name} reads {plan.buffers[r]}, which is of a later one"
        begun.update({w: min(places) for w in s.writes if plan.buffers[w].role == "temporary"})


def _lasting(plan: Plan) -> Wrong:
    for s in plan.steps:
        for w in s.writes:
            if plan.buffers[w].role in ("parameter", "constant", "state") and not s.phase & _LASTING:
                yield f"{s.words()} of {s.phase.name} writes {plan.buffers[w]}"


def _sharing(plan: Plan) -> Wrong:
    shares = [i for i, s in enumerate(plan.steps) if isinstance(s, Share)]
    for i, s in enumerate(plan.steps):
        if (i in shares) != bool(s.phase & Phase.SHARE):
            yield f"{s.words()} is of {s.phase.name}"
        if shares and i < max(shares) and s.phase & _LASTING:
            yield f"{s.words()} of {s.phase.name} stands before the last of them"
        if shares and i > min(shares) and s.phase & (Phase.FORWARD | Phase.BACKWARD):
            yield f"{s.words()} of {s.phase.name} stands behind the first of them"


# ---- shapes and element types


def _static(*shapes: Shape) -> bool:
    return all(FREE not in s for s in shapes)


def _kernels_fit(plan: Plan) -> Wrong:
    for s in all_steps(plan.steps):
        if not isinstance(s, Map):
            continue
        k, what = s.kernel, s.words()
        operands = [*k.inputs, *(o for o, _ in k.outputs)]
        if [o.name for o in operands] != [reference(n) for n in (*s.reads, *s.writes)]:
            yield f"{what}: operands {[o.name for o in operands]}, but it reads {s.reads} and writes {s.writes}"
            continue
        if k.rows != bool(s.rows):
            yield f"{what}: rows [{s.rows}], but the kernel has {'rows' if k.rows else 'none'}"
        unknown = set(e.inputs_of(f for _, f in k.outputs)) - {o.name for o in k.inputs}
        if unknown:
            yield f"{what}: formulas use {sorted(unknown)}, which it does not read"
            continue
        for o in operands:
            yield from _operand_fits(plan.buffers[number_of(o.name)], o, s)
        try:
            check_outputs(k, extents(k))
        except ValueError as error:
            yield f"{what}: {error}"


def _may_meet(rows: RowSymbol, others: RowSymbol) -> bool:
    """Whether values of two row symbols may be combined: a minibatch that data make is as long as another if it turns
    out so, when it runs.
    """
    parts, other = rows.split(","), others.split(",")
    made = parts[0] != "#" or other[0] != "#"
    return parts == other or (made and parts[0][:1] == other[0][:1] and parts[1:] == other[1:])


def _operand_fits(b: Buffer, o: Operand, s: Map) -> Wrong:
    if b.touched or b.sparse:
        return
    domain = s.kernel.domain
    if o.rows != bool(b.rows) or (b.rows and not _may_meet(b.rows, s.rows)):
        yield f"{s.words()} over [{s.rows}] sees {b} {'with' if o.rows else 'without'} rows"
    if o.dtype != b.dtype:
        yield f"{s.words()} sees {b} as {o.dtype}, it is {b.dtype}"
    if len(o.shape) != len(domain) or any(n not in (1, d, FREE) for n, d in zip(o.shape, domain, strict=True)):
        yield f"{s.words()} sees {b} as {o.shape}, which does not lie in the domain {domain}"
    alike = [n for n in o.shape if n != 1] == [n for n in b.shape if n != 1]
    # what stands in memory of its own may be written under another shape of as many elements
    if _static(o.shape, b.shape) and not (alike or (b.role != "temporary" and size(o.shape) == size(b.shape))):
        yield f"{s.words()} sees {b} as {o.shape}"


def _parts_are_seen(plan: Plan) -> Wrong:
    """Only said by the pass that makes parts, once it is done."""
    for s in all_steps(plan.steps):
        if isinstance(s, Map):
            for o in (*s.kernel.inputs, *(o for o, _ in s.kernel.outputs)):
                b = plan.buffers[number_of(o.name)]
                whole = () if b.whole is None else b.whole
                if tuple(n for n in o.whole if n != 1) != tuple(n for n in whole if n != 1):
                    yield f"{s.words()} sees {b} in memory of {o.whole or o.shape}, it lies in {whole or b.shape}"


def _products_fit(plan: Plan) -> Wrong:
    for s in all_steps(plan.steps):
        if not isinstance(s, Contract):
            continue
        spec = s.spec
        for word, number in zip((spec.left, spec.right, spec.out), (*s.reads[:2], s.writes[0]), strict=True):
            b = plan.buffers[number]
            sizes = [spec.sizes[c] for c in word if c != "r"]
            if b.touched:
                continue
            if _static(tuple(sizes), b.shape) and size(sizes) != size(b.shape):
                yield f"{s.words()} takes {b} for {sizes}"
            if ("r" in word) != bool(b.rows):
                yield f"{s.words()} takes {b} {'with' if 'r' in word else 'without'} rows"
        for onto in s.reads[2:]:
            if _kind(plan.buffers[onto]) != _kind(plan.buffers[s.writes[0]]):
                yield f"{s.words()} is added to {plan.buffers[onto]}, and gives {plan.buffers[s.writes[0]]}"


def _kind(b: Buffer) -> tuple[object, ...]:
    return b.rows, b.shape, b.dtype


@dataclass(frozen=True, slots=True)
class _Moved:
    """What stays as it is in a step that only moves numbers.

    Args:
        reads: how many of its reads it moves; None: all.
        keeps_rows: whether they have the rows of the result.
        keeps_size: whether they have as many elements in a row.
    """

    reads: int | None = None
    keeps_rows: bool = True
    keeps_size: bool = True


_MOVED: dict[type[Step], _Moved] = {
    View: _Moved(),
    Part: _Moved(reads=1, keeps_size=False),
    Join: _Moved(keeps_size=False),
    Order: _Moved(),
    Spread: _Moved(keeps_rows=False),
    Gathered: _Moved(keeps_rows=False),
    Delay: _Moved(reads=1),
    DelayInitial: _Moved(keeps_rows=False, keeps_size=False),
}


def _moved_alike(plan: Plan) -> Wrong:
    for s in all_steps(plan.steps):
        moved = _MOVED.get(type(s))
        if moved is None:
            continue
        target = plan.buffers[s.writes[0]]
        for r in s.reads[: moved.reads]:
            b = plan.buffers[r]
            if b.dtype != target.dtype:
                yield f"{s.words()} makes {target} of {target.dtype} from {b} of {b.dtype}"
            if moved.keeps_rows and b.rows != target.rows:
                yield f"{s.words()} makes {target} from {b}, which has other rows"
            if moved.keeps_size and _static(b.shape, target.shape) and size(b.shape) != size(target.shape):
                yield f"{s.words()} makes {target} from {b}, which has another size"


def _cuts_fit(plan: Plan) -> Wrong:
    for s, whole, pieces, begin in _cuts(plan):
        for b in pieces:
            piece = b.shape
            alike = len(piece) == len(whole.shape) and all(
                a == b for i, (a, b) in enumerate(zip(piece, whole.shape, strict=True)) if i != s.axis
            )
            if not 0 <= s.axis < len(whole.shape) or not alike or begin + piece[s.axis] > whole.shape[s.axis]:
                yield f"{s.words()}: {b} is no part of {whole} from {begin} on along axis {s.axis}"
                break
            begin += piece[s.axis]
        else:
            if whole.id in s.writes and begin != whole.shape[s.axis]:
                yield f"{s.words()}: pieces of {begin} along axis {s.axis} do not fill {whole}"


def _cuts(plan: Plan) -> Iterator[tuple[Part | Join, Buffer, list[Buffer], int]]:
    """The steps that cut a value or put one together: the step, the whole, its pieces, and where the first begins."""
    for s in all_steps(plan.steps):
        if isinstance(s, Part):
            yield s, plan.buffers[s.reads[0]], [plan.buffers[s.writes[0]]], s.begin
        elif isinstance(s, Join):
            yield s, plan.buffers[s.writes[0]], [plan.buffers[r] for r in s.reads], 0


# ---- what lies in what


def _one_owner(plan: Plan) -> Wrong:
    for b in plan.buffers:
        if b.whole is None:
            if b.inside >= 0:
                yield f"{b} lies in %{b.inside}, but not in which shape"
            continue
        if not 0 <= b.inside < len(plan.buffers):
            yield f"{b} is a part of nothing"
            continue
        owner = plan.buffers[b.inside]
        if owner.whole is not None:
            yield f"{b} lies in {owner}, which lies in %{owner.inside} itself"
        elif owner.shape != b.whole or owner.rows != b.rows or owner.dtype != b.dtype:
            yield f"{b} lies in {owner} as if that were {b.whole}"
        axis, begin = b.cut
        inside = 0 <= axis < len(b.shape) == len(b.whole) and 0 <= begin <= b.whole[axis] - b.shape[axis]
        if not inside or any(x != y for i, (x, y) in enumerate(zip(b.shape, b.whole, strict=True)) if i != axis):
            yield f"{b} lies in {owner} from {begin} on along axis {axis}, which does not hold it"
        if b.role != "temporary" or b.sparse or b.touched:
            yield f"{b} lies in {owner}, but is no plain temporary"


def _kept_apart(plan: Plan) -> Wrong:
    """Of the buffers in one memory, those that steps compute must not overlap."""
    computed = {w for s in all_steps(plan.steps) if not (s.lies or isinstance(s, Loop)) for w in s.writes}
    by_owner: dict[int, list[Buffer]] = {}
    for b in plan.buffers:
        if b.whole is not None and b.id in computed:
            by_owner.setdefault(b.inside, []).append(b)
    for owner, members in by_owner.items():
        if owner in computed:
            yield f"{plan.buffers[owner]} is computed, and so is {members[0]}, which lies in it"
        for a, b in itertools.combinations(members, 2):
            x, y = a.cut[1], b.cut[1]
            if a.cut[0] != b.cut[0] or (x < y + b.shape[b.cut[0]] and y < x + a.shape[a.cut[0]]):
                yield f"{a} and {b} are both computed, and overlap in {plan.buffers[owner]}"


def _joins_lie_there(plan: Plan) -> Wrong:
    for s, whole, pieces, begin in _cuts(plan):
        for piece in pieces:
            yield from _lies(s, piece, whole, s.axis, begin)
            begin += piece.shape[s.axis]


def _lies(s: Step, part: Buffer, source: Buffer, axis: int, begin: int) -> Wrong:
    owner, at = (source.id, begin) if source.whole is None else (source.inside, begin + source.cut[1])
    if part.inside != owner or part.cut != (axis, at):
        yield f"{s.words()}: {part} should lie in %{owner} from {at} on, it lies in %{part.inside} at {part.cut}"


def _taken_over(plan: Plan) -> Wrong:
    """A product that is added to a value takes its memory: nobody else may need it."""
    steps = list(leaves(plan.steps))
    readers = readers_of(steps)
    for s in steps:
        for onto in s.reads[2:] if isinstance(s, Contract) else ():
            b = plan.buffers[onto]
            if len(readers[onto]) > 1 or s.reads.count(onto) > 1 or onto in plan.outputs.values():
                yield f"{s.words()} overwrites {b}, which somebody else needs"
            if b.role != "temporary" or b.whole is not None or plan.buffers[s.writes[0]].whole is not None:
                yield f"{s.words()} overwrites {b}, which is no memory of its own"


def _calls_are_named(plan: Plan) -> Wrong:
    for s in all_steps(plan.steps):
        if isinstance(s, Call) and (len(s.names) != len(s.reads) or s.rule is None or s.op is None):
            yield f"{s.words()} reads {s.reads} as {s.names}"


RULES = (
    Rule("order", "what a step reads is written before, or by an earlier turn of its loop", _written_before),
    Rule("single writer", "a value is written by one step; what is given, by none", _written_once),
    Rule("old values", "parameters, constants and states change behind all that is computed from them", _old_values),
    Rule("loops", "a loop reads and writes what its body does, over one kind of rows", _loops_add_up),
    Rule("phases", "each step has a phase, and reads nothing of a later one", _phases),
    Rule("lasting", "what outlives the run is written by KEEP, ASSIGN and UPDATE alone", _lasting),
    Rule("sharing", "gradients are shared behind all that makes them, and before anything lasts", _sharing),
    Rule("kernels", "formulas see buffers with their own rows, shape and element type", _kernels_fit),
    Rule("products", "letters of products have the sizes of what they are read from", _products_fit),
    Rule("calls", "each operand of an operator has its name", _calls_are_named),
    Rule("moves", "what only moves elements keeps their number, rows and type", _moved_alike),
    Rule("cuts", "parts lie within what they are cut from, and pieces fill what they are put into", _cuts_fit),
    Rule("one owner", "a part lies in one value, which lies in no other", _one_owner),
    Rule("apart", "values that are computed do not overlap in the memory that they share", _kept_apart),
    Rule("taken over", "the value that a product is added to has no other reader", _taken_over),
)
"""What a legal plan is, after any pass."""

PLACED = (
    Rule("places", "parts and pieces lie where the steps that cut and join them say", _joins_lie_there),
    Rule("sight", "formulas know the memory that their operands are parts of", _parts_are_seen),
)
"""What holds as soon as parts are placed."""


def check_placed(plan: Plan, after: str) -> Plan:
    """The plan itself, if it is legal and its parts lie where they should.

    Raises:
        ExecutionError: as :func:`check`.
    """
    check(plan, after)
    for rule in PLACED:
        for wrong in rule.find(plan):
            raise illegal(plan, f"after {after}: {wrong}", rule.name, rule.says)
    return plan
