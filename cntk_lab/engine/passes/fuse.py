"""Fusing: neighbouring formulas become one kernel, so that what is computed stays in registers and caches.

Two map steps over the same rows may share a kernel if one's domain contains the other's and nothing between them
stands in the way. A value that only its own kernel reads is not stored at all. Nothing is recognised by name:
softmax with its loss and gradient, activation gradients with bias sums, and learners' updates become one kernel
because they are formulas.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from cntk_lab.engine.plan import Call, Loop, Map, Plan, Share, Step, all_steps
from cntk_lab.engine.plan.reference import number_of
from cntk_lab.formula import expr as e
from cntk_lab.formula.kernel import Kernel, Operand
from cntk_lab.formula.simplify import simplify
from cntk_lab.graph.opdef import Trait
from cntk_lab.tensor.shape import FREE, Shape, size

_IN_PLACE = ("parameter", "constant", "state")
_MOST_OPERANDS = 24
_MOST_WORDS = 160
"""Words of one kernel's formulas: longer ones gain little, and planning must not grow faster than the graph."""
_LOOK_BACK = 64
"""How many steps back a partner is looked for: keeps fusing linear in the length of the plan."""

_ROUNDS = 3
Compiles = Callable[[Kernel], bool]


def fuse(plan: Plan, compiles: Compiles = lambda kernel: True) -> Plan:
    """The plan with neighbouring formulas fused; results are the same up to rounding.

    Args:
        plan: the plan; its steps are replaced.
        compiles: whether the target runs formulas as one kernel.
    """
    kept = set(plan.outputs.values())
    steps = _inline_constants(plan, plan.steps)
    steps = without_dead(plan, steps, kept)
    plan.steps = _fuse_list(plan, steps, kept, compiles)
    return plan


def _fuse_list(plan: Plan, steps: list[Step], kept: set[int], compiles: Compiles) -> list[Step]:
    fused: list[Step] = []
    for s in steps:
        if isinstance(s, Loop):
            outside = kept | {r for t in steps if t is not s for u in all_steps([t]) for r in u.reads}
            carried = {r for t in s.body for r in t.reads if not isinstance(t, Map)}
            s.body = _fuse_list(plan, s.body, outside | carried, compiles)
            written = tuple(w for t in s.body for w in t.writes)
            s.writes = written
            s.reads = tuple(dict.fromkeys(r for t in s.body for r in t.reads if r not in set(written)))
            fused.append(s)
        else:
            _place(fused, s, compiles)
    for _ in range(_ROUNDS):
        # what was merged may now have data in common with steps that it passed over
        before = len(fused)
        again: list[Step] = []
        for s in fused:
            _place(again, s, compiles)
        fused = again
        if len(fused) == before:
            break
    return _store_only_needed(plan, fused, kept)


def _place(items: list[Step], step: Step, compiles: Compiles) -> None:
    """Merge a step into the best earlier one if both are formulas, or put it at the end."""
    if not isinstance(step, Map) or FREE in step.kernel.domain:
        items.append(step)
        return
    for i in range(len(items) - 1, max(-1, len(items) - 1 - _LOOK_BACK), -1):
        other = items[i]
        if isinstance(other, Share):
            break  # what workers share lies between what comes before and what comes behind
        if not isinstance(other, Map) or not _related(other, step):
            continue
        moved_up = all(not _conflict(items[j], step) for j in range(i + 1, len(items)))
        moved_down = not moved_up and all(not _conflict(other, items[j]) for j in range(i + 1, len(items)))
        if not (moved_up or moved_down):
            continue
        merged = _merge(other, step)
        if merged is None or not (_plain(merged.kernel) or compiles(merged.kernel)):
            continue
        if moved_up:
            items[i] = merged
        else:
            del items[i]
            items.append(merged)
        return
    items.append(step)


def _plain(kernel: Kernel) -> bool:
    """Whether a kernel only maps elements: every tier that runs its parts runs it as one, so nobody need be asked."""
    return kernel.dtype in ("float32", "float64") and not e.has_reduction(f for _, f in kernel.outputs)


def _related(a: Map, b: Map) -> bool:
    """Whether two steps have data in common, so that one kernel for both saves something."""
    mine = set(a.reads) | set(a.writes)
    return any(r in mine for r in b.reads)


def _conflict(first: Step, second: Step) -> bool:
    """Whether two steps must stay in this order."""
    a_writes, b_writes = set(first.writes), set(second.writes)
    return bool(a_writes & (set(second.reads) | b_writes) or set(first.reads) & b_writes)


def _merge(a: Map, b: Map) -> Map | None:
    """Both steps as one kernel, storing everything that either stores; None if they do not fit."""
    ka, kb = a.kernel, b.kernel
    if ka.rows and kb.rows and a.rows != b.rows:
        return None
    if kb.rows and not ka.rows:
        # what is computed once would be computed for every row
        return None
    rank = max(len(ka.domain), len(kb.domain))
    da, db = _pad(ka.domain, rank), _pad(kb.domain, rank)
    if not (_contains(da, db) or _contains(db, da)) or ka.dtype != kb.dtype:
        return None
    domain = da if _contains(da, db) else db
    if ka.rows and not kb.rows and size(db) != size(da):
        return None
    if _words(a) + _words(b) > _MOST_WORDS:
        return None
    if not _row_sums_end([f for _, f in ka.outputs], [o for o, _ in ka.outputs], ka.rows):
        return None
    produced = {o.name: f for o, f in ka.outputs}
    formulas_b = e.substitute([f for _, f in kb.outputs], produced)
    outputs = [(_padded(o, rank), f) for o, f in ka.outputs]
    outputs += [(_padded(o, rank), f) for (o, _), f in zip(kb.outputs, formulas_b, strict=True)]
    count = len(ka.outputs)
    formulas = (*(f for _, f in outputs[:count]), *simplify(f for _, f in outputs[count:]))
    operands = {o.name: _padded(o, rank) for o in (*ka.inputs, *kb.inputs)}
    known = {**{o.name: o.shape for o, _ in outputs}, **{o.name: _padded(o, rank).shape for o in ka.inputs}}
    if any(known.get(o.name, shape) != shape for o in kb.inputs for shape in [_padded(o, rank).shape]):
        return None  # one value in two orders of axes (see channels)
    used = [n for n in dict.fromkeys(e.inputs_of(formulas)) if n in operands]
    if len(used) + len(outputs) > _MOST_OPERANDS:
        return None
    if not _row_sums_end(formulas, [o for o, _ in outputs], ka.rows) and _row_sums(formulas) - _row_sums(
        f for _, f in ka.outputs
    ):
        return None
    kernel = Kernel(
        domain,
        ka.rows,
        tuple(operands[n] for n in used),
        tuple((o, f) for (o, _), f in zip(outputs, formulas, strict=True)),
        ka.dtype,
    )
    nodes = tuple(dict.fromkeys((*a.nodes, *b.nodes)))
    return Map(
        tuple(number_of(n) for n in used),
        (*a.writes, *b.writes),
        nodes,
        phase=a.phase | b.phase,
        kernel=kernel,
        rows=a.rows or b.rows,
    )


def _words(step: Map) -> int:
    """How many words a step's formulas have, counted once per kernel."""
    if step.length == 0:
        step.length = sum(1 for _ in e.topological(f for _, f in step.kernel.outputs))
    return step.length


def _row_sums(formulas: Iterable[e.Expr]) -> set[e.Expr]:
    """The sums over rows in formulas."""
    return {
        x for x in e.topological(formulas) if x.op == "reduce" and isinstance(x.data, tuple) and e.ROWS in x.data[1]
    }


def _row_sums_end(formulas: Iterable[e.Expr], outputs: list[Operand], rows: bool) -> bool:
    """Whether sums over rows are only used in results without rows (else the rows would be passed over twice)."""
    if not rows:
        return True
    formulas = tuple(formulas)
    summed: set[int] = set()
    for x in e.topological(formulas):
        own = x.op == "reduce" and isinstance(x.data, tuple) and e.ROWS in x.data[1]
        if own or any(id(a) in summed for a in x.args):
            summed.add(id(x))
    return not any(o.rows and id(f) in summed for f, o in zip(formulas, outputs, strict=True))


def _pad(shape: Shape, rank: int) -> Shape:
    return (1,) * (rank - len(shape)) + tuple(shape)


def _padded(operand: Operand, rank: int) -> Operand:
    whole = _pad(operand.whole, rank) if operand.whole else ()
    return Operand(operand.name, _pad(operand.shape, rank), operand.rows, operand.dtype, whole)


def _contains(large: Shape, small: Shape) -> bool:
    return all(s in (d, 1) for s, d in zip(small, large, strict=True))


def _store_only_needed(plan: Plan, steps: list[Step], kept: set[int]) -> list[Step]:
    """Drop outputs that only their own kernel read."""
    read = set(kept)
    for s in all_steps(steps):
        read.update(s.reads)
    result: list[Step] = []
    for s in steps:
        if isinstance(s, Map):
            stays = [
                (w, o)
                for w, o in zip(s.writes, s.kernel.outputs, strict=True)
                if w in read or plan.buffers[w].role in _IN_PLACE
            ]
            if not stays:
                continue
            if len(stays) != len(s.writes):
                outputs = tuple(o for _, o in stays)
                used = set(e.inputs_of(f for _, f in outputs))
                inputs = tuple(i for i in s.kernel.inputs if i.name in used)
                s.kernel = Kernel(s.kernel.domain, s.kernel.rows, inputs, outputs, s.kernel.dtype)
                s.reads, s.writes = tuple(number_of(i.name) for i in inputs), tuple(w for w, _ in stays)
        result.append(s)
    return result


def without_dead(plan: Plan, steps: list[Step], kept: set[int]) -> list[Step]:
    """The steps without those whose results nobody reads, found in one pass from the end.

    A step that makes sequences is also needed for where they lie.
    """
    read = set(kept)
    rows = {plan.buffers[b].rows for b in kept}
    alive: list[Step] = []
    for s in reversed(steps):
        lays = isinstance(s, Call) and s.op is not None and s.op.has(Trait.NEW_LAYOUT)
        if any(
            b in read or plan.buffers[b].role in _IN_PLACE or (lays and plan.buffers[b].rows in rows) for b in s.writes
        ):
            alive.append(s)
            for inner in all_steps([s]):
                read.update(inner.reads)
                rows.update(plan.buffers[b].rows for b in (*inner.reads, *inner.writes))
    return alive[::-1]


def _inline_constants(plan: Plan, steps: list[Step]) -> list[Step]:
    """Values that are one number everywhere stand in the formulas that read them."""
    constants: dict[str, e.Expr] = {}
    for s in all_steps(steps):
        if not isinstance(s, Map):
            continue
        if any(i.name in constants for i in s.kernel.inputs):
            formulas = simplify(e.substitute([f for _, f in s.kernel.outputs], constants))
            used = set(e.inputs_of(formulas))
            inputs = tuple(i for i in s.kernel.inputs if i.name in used)
            outputs = tuple((o, f) for (o, _), f in zip(s.kernel.outputs, formulas, strict=True))
            s.kernel = Kernel(s.kernel.domain, s.kernel.rows, inputs, outputs, s.kernel.dtype)
            s.reads = tuple(number_of(i.name) for i in inputs)
        for w, (o, f) in zip(s.writes, s.kernel.outputs, strict=True):
            if f.op == "const" and plan.buffers[w].role == "temporary":
                constants[o.name] = f
    return steps
