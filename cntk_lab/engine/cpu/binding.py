"""Binding: a plan and the row counts of a minibatch become a table of native rows with addresses in it.

Each step that has a native form gives its rows; what has none stays a NumPy step in the same plan. Recent bindings are
kept by their row counts, so a minibatch of a size seen before costs a look-up.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from cntk_lab.backends.cpu import executor as executors
from cntk_lab.engine.arrays.delays import carry
from cntk_lab.engine.arrays.interpreter import Interpreter
from cntk_lab.engine.arrays.run import Run
from cntk_lab.engine.cpu.guards import Guards, Watch, refuse_poison, row_failed
from cntk_lab.engine.cpu.step import NativeStep
from cntk_lab.engine.memory.arena import PIECE, Arena, padded
from cntk_lab.engine.memory.moving import WORTH, Moving, Setter
from cntk_lab.engine.memory.places import part_of
from cntk_lab.engine.plan import Buffer, Delay, Loop, Plan, RowSymbol
from cntk_lab.tensor.arrays import address_of, aligned_empty
from cntk_lab.tensor.shape import size
from cntk_lab.tensor.sparse import SparseRows

_KEPT = 32


class Native(Protocol):
    """What a binding asks of the plan it binds."""

    plan: Plan
    interpreter: Interpreter
    steps: list[NativeStep | None]
    executor: Any
    arena: Arena
    guards: Guards | None
    sparse: set[int]
    left_sparse: set[int]
    carrying: list[tuple[Loop, Delay]]
    lasting: int

    def watch(self, rows: Mapping[RowSymbol, int]) -> Watch:
        """What guards the memory that a binding uses."""


class Binding:
    """A plan bound to row counts: arrays of all buffers, and segments that are native tables or NumPy steps."""

    def __init__(self, native: Native, symbols: Sequence[RowSymbol], counts: tuple[int, ...]) -> None:
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
            own = native.arena.source.get(b.id, b.id)
            role = native.plan.buffers[own].role
            if own in native.arena.slot_of:
                self.arrays[b.id] = native.arena.memory(b.id, self.rows)
            elif b.id in native.left_sparse:
                continue
            elif b.id != own:
                later.append(b)
            elif role == "input":
                self.fixed[b.id] = self.arrays[b.id] = native.arena.home(b, self.rows)
            elif role != "temporary":
                self.arrays[b.id] = _standing(b)
        for b in later:  # views and parts of inputs and parameters
            own = native.arena.source[b.id]
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
        self._held.add(self.native.arena.source.get(buffer, buffer))
        return self._address(buffer)

    def follow(self, buffer: int, setter: Setter) -> int:
        """Where a buffer's data start now; ``setter`` is told when they start elsewhere."""
        own = self.native.arena.source.get(buffer, buffer)
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
        return padded(self.rows[symbol]) if symbol else 1

    def clear_behind(self, buffer: int) -> list[int] | None:
        """The row that sets what lies behind a buffer's last row to zero, up to the padded count; None if nothing
        does.
        """
        own = self.native.arena.source.get(buffer, buffer)
        b = self.native.plan.buffers[buffer]
        padded = self.padded(b.rows)
        if padded <= PIECE:
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
            if step.lies:
                continue
            if own is not None and own.usable():
                if any(map(self._computed, own.reads_before())):
                    self._close(table, names)
                    table, names = [], []
                made = own.rows(self)
                table.extend(made)
                names.extend([i] * len(made))
                continue
            self._close(table, names)
            table, names = [], []
            self.segments.append(self._numpy(i, step))
            self._held.update(native.arena.source.get(b, b) for b in (*step.reads, *step.writes))
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
        own = self.native.arena.source.get(buffer, buffer)
        return self.native.plan.buffers[own].role == "temporary"

    def _forget_arrays(self) -> None:
        """Keep only the arrays that Python code uses: others would follow each count of rows for nothing."""
        native = self.native
        used = {*native.plan.outputs.values(), *self.fixed}
        for i, step in enumerate(native.plan.steps):
            own = native.steps[i]
            if own is not None and own.usable():
                used.update(own.seen())
            elif not step.lies:
                used.update((*step.reads, *step.writes))
        used.update(native.arena.source[b] for b in list(used) if b in native.arena.source)
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
        viewed = {native.arena.source[b] for b in given if b in native.arena.source}
        for own, setters in self._setters.items():
            b, home = native.plan.buffers[own], self.arrays[own]
            if own in self._held or home.nbytes < WORTH or b.whole is not None:
                continue
            memory = self.padded(b.rows)  # products read and write that many rows
            if b.role == "input" and own in self.fixed and own not in given and own not in viewed:
                self.moving[own] = Moving(home, setters, memory)
            elif own in native.arena.slot_of and given.count(own) == 1 and own not in viewed:
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
                self._carefully(address, steps)
                return
            failed = run_table(address, count)
            if failed >= 0:
                raise row_failed(self.native.plan, failed, count)

        self.segments.append(act)

    def _carefully(self, address: int, steps: Sequence[int]) -> None:
        """Run the rows of a table one by one: look at the zones after each, and keep what each step makes.

        Args:
            address: of the table.
            steps: of which step each row is; -1 for rows between steps.
        """
        native, watch = self.native, self.watch
        assert watch is not None
        for i, number in enumerate(steps):
            if native.executor.run_address(address + 8 * executors.FIELDS * i, 1) >= 0:
                raise row_failed(native.plan, i, len(steps))
            if number < 0:
                continue
            step, own = native.plan.steps[number], native.steps[number]
            watch.check(f"step {number} ({step.kind}) of plan {native.plan.number}")
            if i + 1 == len(steps) or steps[i + 1] != number:
                early = own.writes_early() if own is not None else ()
                for w in early or step.writes:
                    if native.arena.holds(w):
                        self.made[w] = native.arena.memory(w, self.rows).copy()

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
