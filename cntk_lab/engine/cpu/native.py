"""A plan as native code: what each step is there, the memory it has, and its bindings to counts of rows."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from cntk_lab import settings
from cntk_lab.backends.cpu import executor as executors
from cntk_lab.engine.arrays.interpreter import Interpreter
from cntk_lab.engine.arrays.run import Run, first_lasting
from cntk_lab.engine.cpu.binding import Binding
from cntk_lab.engine.cpu.claims import check_claims, native_steps
from cntk_lab.engine.cpu.guards import Guards, Watch
from cntk_lab.engine.cpu.loop import LoopStep
from cntk_lab.engine.cpu.proof import Proof
from cntk_lab.engine.memory import check as memory_check
from cntk_lab.engine.memory.arena import Arena, padded
from cntk_lab.engine.memory.slots import Slot, slots_of
from cntk_lab.engine.plan import Call, Plan, RowSymbol, all_steps, check
from cntk_lab.graph.opdef import Trait
from cntk_lab.tensor.shape import FREE

_KEPT = 32


def why_not_native(plan: Plan) -> str | None:
    """Why a plan cannot be bound to fixed memory, or None: sizes must follow from the row counts of its inputs."""
    if not settings.flag("native"):
        return "switched off (option native)"
    for b in plan.buffers:
        if FREE in b.shape and b.role != "temporary":
            return f"{b} has a dimension that is known only per minibatch"
        if b.sparse and b.role != "input":
            return f"{b} is sparse"
    for s in all_steps(plan.steps):
        if isinstance(s, Call) and s.op is not None and s.op.has(Trait.NEW_LAYOUT):
            return f"{s.op.name} makes a number of rows that depends on data"
        for w in s.writes:
            if FREE in plan.buffers[w].shape:
                return f"{plan.buffers[w]} has a dimension that is known only per minibatch"
    return None


class NativePlan:
    """A plan on the CPU's native tier.

    Args:
        plan: the plan; :func:`why_not_native` must have nothing against it.
        interpreter: the same plan on NumPy: serves the steps that have no native row.
    """

    def __init__(self, plan: Plan, interpreter: Interpreter) -> None:
        self.plan, self.interpreter = plan, interpreter
        self.steps = native_steps(plan)
        self.executor = executors.load()
        self.proof: Proof | None = Proof(plan)
        """What it still owes: a comparison with NumPy."""
        self.guards = Guards() if settings.flag("checked") else None
        dense = [s for s, own in zip(plan.steps, self.steps, strict=True) if own and not own.takes_sparse]
        native_reads = {r for s in dense for r in s.reads}
        self.sparse = {b.id for b in plan.buffers if b.sparse}
        self.left_sparse = self.sparse - native_reads
        """Sparse inputs that no native step reads as rows of dense memory: they need none."""
        self.arena = Arena(plan, self._slots(), self.left_sparse, None if self.guards is None else self.guards.empty)
        self._bindings: OrderedDict[tuple[int, ...], Binding] = OrderedDict()
        self.carrying = [
            (own.step, d) for own in self.steps if isinstance(own, LoopStep) for d in own.delays if d.continues
        ]
        touched = {n for s in all_steps(plan.steps) for n in (*s.reads, *s.writes)} | set(plan.outputs.values())
        self._symbols = sorted({b.rows for b in plan.buffers if b.rows and (b.role != "temporary" or b.id in touched)})
        """Row symbols that a run knows: those of values that are no longer computed are not among them."""
        self._exact = {
            plan.buffers[b].rows
            for s, own in zip(plan.steps, self.steps, strict=True)
            if own is not None and own.exact
            for b in (*s.reads, *s.writes)
        }
        """Row symbols of which each count needs a binding of its own."""
        early = (i for i, own in enumerate(self.steps) if own is not None and own.lasting)
        self.lasting = min(first_lasting(plan), next(early, len(plan.steps)))
        """The first step that writes what outlives the run."""
        self.running = False
        """Whether a run is under way: its memory is not free for another one, which the user's code may ask for."""

    def _slots(self) -> list[Slot]:
        """The memory of temporaries: what native steps write and read early counts."""
        plan, steps = self.plan, self.steps
        written = {t: i for i, s in enumerate(steps) if s for t in s.writes_early()}
        slots = slots_of(plan, plan.steps, share=self.guards is None, written_at=written)
        if check.wanted():
            check_claims(plan, steps)
            biases = {r: i for i, s in reversed(list(enumerate(steps))) if s for r in s.reads_early()}
            memory_check.check_memory(plan, slots, written, biases)
        return slots

    def ready(self) -> bool:
        """Whether every kernel that will be used is compiled; those that failed stay on NumPy."""
        guarded = self.guards is None or self.guards.ready()
        return self.executor.ready() and guarded and all(s is None or s.ready() for s in self.steps)

    def binding(self, run: Run) -> Binding:
        """The binding for the row counts of a run; counts that share memory share a binding."""
        counts = tuple(run.rows(s) for s in self._symbols)
        key = tuple(n if s in self._exact else padded(n) for s, n in zip(self._symbols, counts, strict=True))
        found = self._bindings.get(key)
        if found is not None:
            self._bindings.move_to_end(key)
            if found.counts != counts:
                found.resize(counts)
            return found
        self.arena.grow(dict(zip(self._symbols, counts, strict=True)), self._bindings.clear)
        found = self._bindings[key] = Binding(self, self._symbols, counts)
        while len(self._bindings) > _KEPT:
            self._bindings.popitem(last=False)
        return found

    def serve(self, run: Run) -> Binding:
        """Run on the data of a run; the binding that ran."""
        binding = self.binding(run)
        self.running = True
        try:
            binding.run(run)
        finally:
            self.running = False
        return binding

    def watch(self, rows: Mapping[RowSymbol, int]) -> Watch:
        """What guards the memory that a binding uses."""
        assert self.guards is not None
        arena = self.arena
        used: dict[str, tuple[Any, int]] = {}
        dies: dict[str, int] = {}
        for slot, room in zip(arena.slots, arena.rooms, strict=True):
            name = f"%{slot.buffers[0]}"
            used[name] = room, slot.row_bytes * arena.count(slot.rows, rows)
            dies[name] = slot.free_after if slot.free_after < len(self.plan.steps) else -1
        for b, room in arena.homes.items():
            used[f"%{b}"] = room, arena.bytes_of(self.plan.buffers[b], rows)
        return Watch(self.guards, self.executor.run_address, used, dies)
