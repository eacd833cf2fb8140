"""Binding: a plan and the row counts of a minibatch become a table of native rows with addresses in it.

Each step is given to the CPU's native tier if that has a row for it (see ``claims``); what has none stays a NumPy
step in the same plan. Temporaries lie in an arena that only grows. Recent bindings are kept by their row counts, so
a minibatch of a size seen before costs a look-up.
"""

from __future__ import annotations

import ctypes
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from cntk_lab import settings
from cntk_lab.backends.cpu import executor as executors
from cntk_lab.engine.arrays.delays import carry
from cntk_lab.engine.arrays.interpreter import Interpreter
from cntk_lab.engine.arrays.run import Run, first_lasting
from cntk_lab.engine.arrays.slabs import part_of
from cntk_lab.engine.cpu.claims import native_steps
from cntk_lab.engine.cpu.frames import frame_steps
from cntk_lab.engine.cpu.guards import Guards, Watch, refuse_poison, row_failed
from cntk_lab.engine.cpu.loop import LoopStep, native_loops
from cntk_lab.engine.cpu.momentum import blend
from cntk_lab.engine.cpu.proof import Proof, carefully
from cntk_lab.engine.cpu.sparse import SparseStep, sparse_steps
from cntk_lab.engine.cpu.step import Absorbed, NativeStep
from cntk_lab.engine.memory import check as memory_check
from cntk_lab.engine.memory.moving import WORTH, Moving, Setter
from cntk_lab.engine.memory.slots import slots_of, source_of
from cntk_lab.engine.plan import Buffer, Call, Delay, Join, Loop, Part, Plan, RowSymbol, View, all_steps, check
from cntk_lab.graph.opdef import Trait
from cntk_lab.tensor.arrays import address_of, aligned_empty
from cntk_lab.tensor.shape import FREE, size
from cntk_lab.tensor.sparse import SparseRows

_KEPT = 32
_PIECE = 64
"""Counts of rows up to this one are taken exactly; larger ones share memory and primitives in steps of it or more."""


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
        blend(plan, self.steps)
        for family in (native_loops(plan, plan.steps), sparse_steps(plan), frame_steps(plan)):
            self.steps[:] = [family.get(i, own) for i, own in enumerate(self.steps)]
        self.executor = executors.load()
        self.proof: Proof | None = Proof(plan)
        """What it still owes: a comparison with NumPy."""
        self._source = source_of(plan)
        self.guards = Guards() if settings.flag("checked") else None
        written = {t: i for i, s in enumerate(self.steps) if s for t in s.writes_early()}
        self._slots = slots_of(plan, plan.steps, share=self.guards is None, written_at=written)
        if check.wanted():
            biases = {r: i for i, s in reversed(list(enumerate(self.steps))) if s for r in s.reads_early()}
            memory_check.check_memory(plan, self._slots, written, biases)
        self._slot_of = {b: i for i, slot in enumerate(self._slots) for b in slot.buffers}
        self._arena: list[Any] = [np.empty(0, np.uint8)] * len(self._slots)
        self._homes: dict[int, Any] = {}
        self._bindings: OrderedDict[tuple[int, ...], Binding] = OrderedDict()
        self.carrying = [
            (s, d)
            for i, s in enumerate(plan.steps)
            if isinstance(s, Loop) and isinstance(self.steps[i], LoopStep)
            for d in s.body
            if isinstance(d, Delay) and d.key and d.offset > 0
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
        dense = [s for s, own in zip(plan.steps, self.steps, strict=True) if own and not isinstance(own, SparseStep)]
        native_reads = {r for s in dense for r in s.reads}
        self.sparse = {b.id for b in plan.buffers if b.sparse}
        self.left_sparse = self.sparse - native_reads
        """Sparse inputs that no native step reads as rows of dense memory: they need none."""
        self.moves = 0
        """How often memory has moved: bindings made before are out of date."""
        early = (i for i, own in enumerate(self.steps) if own is not None and own.lasting)
        self.lasting = min(first_lasting(plan), next(early, len(plan.steps)))
        """The first step that writes what outlives the run."""
        self.running = False
        """Whether a run is under way: its memory is not free for another one, which the user's code may ask for."""

    def ready(self) -> bool:
        """Whether every kernel that will be used is compiled; those that failed stay on NumPy."""
        guarded = self.guards is None or self.guards.ready()
        return self.executor.ready() and guarded and all(s is None or s.ready() for s in self.steps)

    def failed(self) -> bool:
        """Whether native code will never run here."""
        return self.executor.failure() is not None

    def binding(self, run: Run) -> Binding:
        """The binding for the row counts of a run; counts that share memory share a binding."""
        counts = tuple(run.rows(s) for s in self._symbols)
        key = tuple(n if s in self._exact else self.padded(n) for s, n in zip(self._symbols, counts, strict=True))
        found = self._bindings.get(key)
        if found is not None:
            self._bindings.move_to_end(key)
            if found.counts != counts:
                found.resize(counts)
            return found
        self._grow(dict(zip(self._symbols, counts, strict=True)))
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

    def _leave(self) -> None:
        """Give up all bindings: memory is about to move. Said before it does, as an interrupt may come at any time."""
        self.moves += 1
        self._bindings.clear()

    def _grow(self, rows: Mapping[RowSymbol, int]) -> None:
        """Make slots large enough."""
        for i, slot in enumerate(self._slots):
            count = self.padded(rows[slot.rows]) if slot.rows else 1
            wanted = slot.row_bytes * max(1, count)
            if self._arena[i].size < wanted:
                self._leave()
                self._arena[i] = self._room(wanted)
        for b in self.plan.buffers_of("input"):
            if b.id in self.left_sparse:
                continue
            count = self.padded(rows[b.rows]) if b.rows else 1
            wanted = max(1, count) * size(b.shape) * np.dtype(b.dtype).itemsize
            have = self._homes.get(b.id)
            if have is None or have.size < wanted:
                self._leave()
                self._homes[b.id] = self._room(wanted)

    def _room(self, wanted: int) -> Any:
        """New memory of at least so many bytes."""
        count = wanted + wanted // 4
        return aligned_empty((count,), "uint8") if self.guards is None else self.guards.empty(count)

    def watch(self, rows: Mapping[RowSymbol, int]) -> Watch:
        """What guards the memory that a binding uses."""
        assert self.guards is not None
        used: dict[str, tuple[Any, int]] = {}
        dies: dict[str, int] = {}
        for slot, room in zip(self._slots, self._arena, strict=True):
            name = f"%{slot.buffers[0]}"
            used[name] = room, slot.row_bytes * max(1, self.padded(rows[slot.rows]) if slot.rows else 1)
            dies[name] = slot.free_after if slot.free_after < len(self.plan.steps) else -1
        for b, room in self._homes.items():
            own = self.plan.buffers[b]
            count = max(1, self.padded(rows[own.rows])) if own.rows else 1
            used[f"%{b}"] = room, count * size(own.shape) * np.dtype(own.dtype).itemsize
        return Watch(self.guards, self.executor.run_address, used, dies)

    def padded(self, rows: int) -> int:
        """So many rows of memory there are for ``rows`` rows: products may compute some more, which nobody reads."""
        if rows <= _PIECE:
            return rows
        piece = max(_PIECE, 1 << (rows.bit_length() - 5))
        return -(-rows // piece) * piece

    def home(self, b: Buffer, rows: Mapping[RowSymbol, int]) -> Any:
        """The array that an input's data are copied into."""
        shape = (rows[b.rows] if b.rows else 1, *b.shape)
        return self._homes[b.id][: size(shape) * np.dtype(b.dtype).itemsize].view(b.dtype).reshape(shape)

    def lies_in_arena(self, buffer: int) -> bool:
        """Whether a buffer is a temporary, or lies in one."""
        return self._source.get(buffer, buffer) in self._slot_of

    def memory(self, buffer: int, rows: Mapping[RowSymbol, int]) -> Any:
        """The array of a temporary (or of what it is a view of) for these row counts."""
        own = self._source.get(buffer, buffer)
        b = self.plan.buffers[buffer]
        n = rows[b.rows] if b.rows else 1
        shape = b.whole or b.shape
        count = n * size(shape) * np.dtype(b.dtype).itemsize
        raw = self._arena[self._slot_of[own]]
        return part_of(raw[:count].view(b.dtype).reshape((n, *shape)), b)


class Binding:
    """A plan bound to row counts: arrays of all buffers, and segments that are native tables or NumPy steps."""

    def __init__(self, native: NativePlan, symbols: Sequence[RowSymbol], counts: tuple[int, ...]) -> None:
        self.native, self.symbols, self.counts = native, symbols, counts
        self.rows = dict(zip(symbols, counts, strict=True))
        plan = native.plan
        self.arrays: dict[int, Any] = {}
        self.fixed: dict[int, Any] = {}
        """Inputs: memory that each run's data are copied into."""
        self._addresses: dict[int, int] = {}
        self._held: set[int] = set()
        """Buffers whose address somebody keeps for good."""
        self._setters: dict[int, list[tuple[Setter, int]]] = {}
        self.moving: dict[int, Moving] = {}
        """Large inputs that can be read where the user's data lie."""
        self._given: dict[int, Moving] = {}
        """Large results that are given to the user instead of a copy."""
        self._keep: list[Any] = []
        self._first: list[Callable[[Run], None]] = []
        self.scalars = _side_by_side([b for b in plan.buffers if b.role == "scalar"])
        """Element type -> the memory of all scalars of that type, in the order of their buffers."""
        self.told: dict[int, Any] = {}
        """Scalars -> what was written there last."""
        placed = dict.fromkeys(self.scalars, 0)
        for b in plan.buffers_of("scalar"):
            at = placed[b.dtype]
            self.arrays[b.id] = self.scalars[b.dtype][at : at + 1]
            self.told[b.id] = None
            placed[b.dtype] += 1
        self._place([b for b in plan.buffers if b.role != "scalar"])
        self._sized = [b for b in plan.buffers if b.rows]
        """Buffers whose arrays are made anew for other counts of rows."""
        self._known: dict[tuple[int, ...], dict[int, Any]] = {}
        """Counts of rows seen before -> the arrays that hold so many."""
        self._cells: list[tuple[RowSymbol, Any, int]] = []
        self._behind: list[tuple[Any, int, _Behind]] = []
        self.states: dict[int, Any] = {b.id: None for b in plan.buffers if b.role == "state"}
        self.segments: list[Callable[[Run], None]] = []
        self._built = False
        self._plain = 0
        """So many segments write nothing that outlives the run."""
        self.tables: list[Any] = []
        self.watch: Watch | None = None
        self.careful = native.guards is not None
        """Whether the next run looks at the zones after each row, and keeps what each step makes."""
        self.made: dict[int, Any] = {}
        """What steps made in a careful run."""
        self.mark = ctypes.c_int64()
        """Set to 0 by the last row of a plan that is one table: whoever was interrupted can see that it ran."""

    def _place(self, buffers: Sequence[Buffer]) -> None:
        """Make the arrays of buffers in the memory that is theirs."""
        native = self.native
        later: list[Buffer] = []
        for b in buffers:
            own = native._source.get(b.id, b.id)
            role = native.plan.buffers[own].role
            if own in native._slot_of:
                self.arrays[b.id] = native.memory(b.id, self.rows)
            elif b.id in native.left_sparse:
                continue
            elif b.id != own:
                later.append(b)
            elif role == "input":
                self.fixed[b.id] = self.arrays[b.id] = native.home(b, self.rows)
            elif role != "temporary":
                self.arrays[b.id] = _standing(b)
        for b in later:  # views and parts of inputs and parameters
            own = native._source[b.id]
            if own in self.arrays:
                whole = self.arrays[own].reshape((self.arrays[own].shape[0], *(b.whole or b.shape)))
                self.arrays[b.id] = part_of(whole, b)

    def resize(self, counts: tuple[int, ...]) -> None:
        """Hold for other counts of rows that have the same memory: numbers in tables change, nothing is made."""
        self.counts = ()  # for none, should an interrupt come
        self.rows.update(zip(self.symbols, counts, strict=True))
        for symbol, block, field in self._cells:
            block[field] = self.rows[symbol]
        for table, at, row in self._behind:
            table[at, 1:3] = row.place(self.rows)
        known = self._known.get(counts)
        if known is None:
            self._place(self._sized)
            if len(self._known) >= _KEPT:
                self._known.clear()
            self._known[counts] = {b.id: self.arrays[b.id] for b in self._sized if b.id in self.arrays}
        else:
            self.arrays.update(known)
            self.fixed.update((b, known[b]) for b in self.fixed.keys() & known.keys())
        for own, moving in (*self.moving.items(), *self._given.items()):
            moving.resize(self.arrays[own])
        self.counts = counts

    def address(self, buffer: int) -> int:
        """Where a buffer's data start, in every run."""
        self._held.add(self.native._source.get(buffer, buffer))
        return self._address(buffer)

    def follow(self, buffer: int, setter: Setter) -> int:
        """Where a buffer's data start now; ``setter`` is told when they start elsewhere."""
        own = self.native._source.get(buffer, buffer)
        found = self._address(buffer)
        if self.native.plan.buffers[own].role in ("input", "temporary"):
            self._setters.setdefault(own, []).append((setter, found - self._address(own)))
        else:
            self._held.add(own)
        return found

    def _address(self, buffer: int) -> int:
        found = self._addresses.get(buffer)
        if found is None:
            found = self._addresses[buffer] = address_of(self.arrays[buffer])
        return found

    def count(self, symbol: RowSymbol, block: Any, field: int) -> int:
        """How many rows there are now; ``block[field]`` is kept up to date."""
        self._cells.append((symbol, block, field))
        return self.rows[symbol]

    def padded(self, symbol: RowSymbol) -> int:
        """So many rows there is memory for."""
        return self.native.padded(self.rows[symbol]) if symbol else 1

    def clear_behind(self, buffer: int) -> list[int] | None:
        """The row that sets what lies behind a buffer's last row to zero, up to the padded count; None if nothing
        does.
        """
        own = self.native._source.get(buffer, buffer)
        b = self.native.plan.buffers[buffer]
        padded = self.padded(b.rows)
        if padded <= _PIECE:
            return None
        each = size(b.whole or b.shape) * np.dtype(b.dtype).itemsize
        return _Behind(self.address(own), each, b.rows, padded, self.rows)

    @property
    def single(self) -> tuple[int, int] | None:
        """Address and rows of the one table that is all there is to run; None if there is more."""
        if self.native.guards is not None or len(self.segments) != 1 or len(self.tables) != 1 or self.native.carrying:
            return None
        return int(self.tables[0].ctypes.data), len(self.tables[0])

    def keep(self, thing: Any) -> None:
        """Keep something alive as long as the binding."""
        self._keep.append(thing)

    def before_run(self, act: Callable[[Run], None]) -> None:
        """Do this before the segment that is being built, in each run."""
        self._first.append(act)

    def build(self) -> None:
        """Make the segments; states must be in place."""
        native = self.native
        table: list[list[int]] = []
        names: list[int] = []
        self.segments, self.tables, self._first = [], [], []  # those of a build that was interrupted are no use
        self._plain = -1  # not known yet
        if native.guards is not None:
            self.watch = native.watch(self.rows)
            self.segments.append(lambda run: watch.place() if (watch := self.watch) is not None else None)
        for i, step in enumerate(native.plan.steps):
            own = native.steps[i]
            self._poison(i - 1, table, names)
            if i == native.lasting:
                self._plain = len(self.segments)
            if isinstance(own, Absorbed) or isinstance(step, (View, Part, Join)):
                continue
            if isinstance(own, NativeStep) and own.usable():
                if isinstance(own, LoopStep) and any(map(self._computed, own.initial_states)):
                    self._close(table, names)  # they are read before the loop's table starts
                    table, names = [], []
                made = own.rows(self)
                table.extend(made)
                names.extend([i] * len(made))
                continue
            self._close(table, names)
            table, names = [], []
            self.segments.append(self._numpy(i, step))
            self._held.update(native._source.get(b, b) for b in (*step.reads, *step.writes))
        if table and not self.segments:
            table.append(executors.fill_row(ctypes.addressof(self.mark), ctypes.sizeof(self.mark)))
            names.append(-1)
        self._poison(len(native.plan.steps) - 1, table, names)
        self._close(table, names)
        if self.watch is not None:
            self.segments.append(self._look)
        if self._plain < 0:
            self._plain = len(self.segments)
        self._find_moving()
        self._forget_arrays()

    def _poison(self, step: int, table: list[list[int]], names: list[int]) -> None:
        """The rows that poison what nobody reads after a step, if memory is watched."""
        rows = [] if self.watch is None else self.watch.poison_rows(step)
        table.extend(rows)
        names.extend([-1] * len(rows))

    def _look(self, run: Run) -> None:
        """Look for what went wrong in a run of watched memory."""
        assert self.watch is not None
        where = f"a run of plan {self.native.plan.number} {self.native.plan.title}"
        self.watch.check(where)
        refuse_poison([(name, run.arrays[b]) for name, b in self.native.plan.outputs.items() if b in run.arrays], where)
        self.careful = False

    def _computed(self, buffer: int) -> bool:
        """Whether a buffer holds what a step of the plan computes."""
        own = self.native._source.get(buffer, buffer)
        return self.native.plan.buffers[own].role == "temporary"

    def _forget_arrays(self) -> None:
        """Keep only the arrays that Python code uses: others would follow each count of rows for nothing."""
        native = self.native
        used = {*native.plan.outputs.values(), *self.fixed}
        for i, step in enumerate(native.plan.steps):
            own = native.steps[i]
            if isinstance(own, LoopStep) and own.usable():
                used.update(r for d in own.delays for r in (*d.reads, *d.writes))
            elif not isinstance(step, (View, Part, Join)) and (own is None or not own.usable()):
                used.update((*step.reads, *step.writes))
        used.update(native._source[b] for b in list(used) if b in native._source)
        for b in self._sized:
            if b.id not in used:
                self.arrays.pop(b.id, None)
        self._sized = [b for b in self._sized if b.id in used]
        self._known = {self.counts: {b.id: self.arrays[b.id] for b in self._sized if b.id in self.arrays}}

    def _find_moving(self) -> None:
        """Decide what may move: what is large, and whose every reader and writer can be told."""
        native = self.native
        if native.guards is not None:
            return
        given = list(native.plan.outputs.values())
        viewed = {native._source[b] for b in given if b in native._source}
        for own, setters in self._setters.items():
            b, home = native.plan.buffers[own], self.arrays[own]
            if own in self._held or home.nbytes < WORTH or b.whole is not None:
                continue
            memory = self.padded(b.rows)  # products read and write that many rows
            if b.role == "input" and own in self.fixed and own not in given and own not in viewed:
                self.moving[own] = Moving(home, setters, memory)
            elif own in native._slot_of and given.count(own) == 1 and own not in viewed:
                self._given[own] = Moving(home, setters, memory)

    def _close(self, rows: list[list[int]], names: list[int]) -> None:
        if not rows:
            return
        table = np.ascontiguousarray(np.array(rows, np.int64))
        self.tables.append(table)
        self._behind += [(table, i, row) for i, row in enumerate(rows) if isinstance(row, _Behind)]
        run_table = self.native.executor.run_address
        address, count = table.ctypes.data, len(table)
        self.segments.extend(self._first)
        self._first = []
        steps = [*names]

        def act(run: Run) -> None:  # noqa: ARG001  (every segment is called alike)
            if self.careful:
                carefully(self, address, steps)
                return
            failed = run_table(address, count)
            if failed >= 0:
                raise row_failed(self.native.plan, failed, count)

        self.segments.append(act)

    def _numpy(self, position: int, step: Any) -> Callable[[Run], None]:
        action = self.native.interpreter.actions[position]
        writes = [w for w in step.writes if w in self.arrays]
        loop = isinstance(step, Loop)

        def act(run: Run) -> None:
            if loop:
                # the loop writes frame by frame into the arrays that are there
                action(run)
                return
            action(run)
            for w in writes:
                home, made = self.arrays[w], run.arrays[w]
                if made is not home:
                    np.copyto(home, made.reshape(home.shape))
                    run.arrays[w] = home

        return act

    def run(self, run: Run) -> None:
        """Run all segments on the data of a run."""
        arrays = self.arrays
        given = run.arrays
        for b, home in self.fixed.items():
            moving = self.moving.get(b)
            if moving is not None and moving.take(given[b]):
                continue
            if isinstance(given[b], SparseRows):
                _scatter(home, given[b])
            else:
                np.copyto(home, given[b].reshape(home.shape))
        for b, before in self.told.items():
            if given[b] is not before:
                self.told[b] = None
                arrays[b][...] = given[b]
                self.told[b] = given[b]
        if not self._built:
            for b in self.states:
                arrays[b] = run.arrays[b]
            self.build()
            self._built = True
        run.arrays = dict(arrays)
        for b in self.moving:
            run.arrays[b] = given[b]
        for b, moving in self._given.items():
            run.arrays[b] = moving.renew()
            run.given.add(b)
        for b in self.native.sparse:
            run.arrays[b] = given[b]
        for segment in self.segments[: self._plain]:
            segment(run)
        run.commit()
        for segment in self.segments[self._plain :]:
            segment(run)
        for loop, delay in self.native.carrying:
            carry(run, delay, arrays[delay.reads[0]], run.layouts[loop.rows])


def _scatter(home: Any, rows: SparseRows) -> None:
    """Sparse rows written into dense memory."""
    matrix = rows.matrix
    flat = home.reshape(matrix.shape)
    flat[...] = 0
    np.add.at(flat, (np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr)), matrix.indices), matrix.data)


class _Behind(list[int]):
    """The row that sets to zero what lies behind the last row of a buffer."""

    def __init__(self, address: int, each: int, symbol: RowSymbol, padded: int, rows: Mapping[RowSymbol, int]) -> None:
        self.address, self.each, self.symbol, self.padded = address, each, symbol, padded
        super().__init__(executors.fill_row(*self.place(rows)))

    def place(self, rows: Mapping[RowSymbol, int]) -> tuple[int, int]:
        """Where that starts, and how many bytes it has."""
        n = rows[self.symbol]
        return self.address + n * self.each, (self.padded - n) * self.each


def _side_by_side(scalars: list[Buffer]) -> dict[str, Any]:
    """One array for the scalars of each element type, so that a step writes them in one go."""
    counts: dict[str, int] = {}
    for b in scalars:
        counts[b.dtype] = counts.get(b.dtype, 0) + 1
    return {name: aligned_empty((n,), name) for name, n in counts.items()}


def _standing(b: Buffer) -> Any:
    """The array of a parameter or constant, which never moves."""
    storage = getattr(b.variable, "storage", None)
    return None if storage is None else storage.array[None]
