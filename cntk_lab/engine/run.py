"""Running a plan on arrays of any size: the NumPy tier, which is always there and which every other tier is checked
against.

Each step becomes one function of the array environment, made once per plan. Sizes come from the arrays themselves. The
same interpreter runs on CuPy arrays with a GPU backend's kernels. Native tiers replace whole plans (see ``bind``).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from cntk_lab import settings
from cntk_lab.backends.base import Backend
from cntk_lab.engine.delays import (
    carry,
    delay_initial_gradient,
    delay_slab,
    delayed,
    initial_frames,
    initial_slab,
    sum_per_sequence,
    unbroadcast,
)
from cntk_lab.engine.plan import (
    AddRows,
    Buffer,
    Call,
    Contract,
    Delay,
    DelayInitial,
    Fill,
    Gathered,
    Join,
    Loop,
    Map,
    Order,
    Part,
    Plan,
    RowSymbol,
    Spread,
    Step,
    UpdateRows,
    View,
    all_steps,
)
from cntk_lab.engine.products import contraction, touched_rows
from cntk_lab.engine.touched import add_rows, fill, update_rows
from cntk_lab.errors import DataError, SequenceError
from cntk_lab.formula.print_numpy import numpy_function
from cntk_lab.graph.opdef import needs
from cntk_lab.tensor.layout import Layout
from cntk_lab.tensor.randomness import MersenneTwister64, open_stream
from cntk_lab.tensor.shape import FREE, Shape
from cntk_lab.tensor.sparse import SparseRows

Environment = dict[int, Any]


class State:
    """What outlives one run of a plan: random streams and the frames that the next minibatch continues from."""

    def __init__(self) -> None:
        self.streams: dict[str, Any] = {}
        self._asked: dict[str, object] = {}
        """What each stream was asked for with: one that was restored goes on, whatever seed its node has."""
        self.carried: dict[str, Any] = {}

    def copy(self, xp: Any) -> State:
        """Another state that goes on from here by itself.

        Args:
            xp: the array module, which streams refer to and nobody copies.
        """
        made = State()
        made.streams, made._asked = copy.deepcopy(self.streams, {id(xp): xp}), dict(self._asked)
        made.carried = dict(self.carried)
        return made

    def adopt(self, other: State) -> None:
        """Go on from where another state is."""
        self.streams, self._asked, self.carried = other.streams, other._asked, other.carried

    def stream(self, key: str, seed: int, xp: Any) -> Any:
        """The random stream of one node: another seed, or another kind of numbers, begins anew."""
        return self._opened(key, (seed, settings.flag("cntk_random")), lambda: open_stream(seed, xp))

    def drawing(self, key: str, seed: int) -> MersenneTwister64:
        """The stream of one node that draws few numbers on the host: always those that CNTK draws."""
        found: MersenneTwister64 = self._opened(key, seed, lambda: MersenneTwister64(seed))
        return found

    def _opened(self, key: str, asked: object, make: Callable[[], Any]) -> Any:
        if key not in self.streams or self._asked.setdefault(key, asked) != asked:
            self.streams[key] = make()
        self._asked[key] = asked
        return self.streams[key]


class Run:
    """One run: the arrays, the layouts of the row symbols, and the state.

    Args:
        layouts: row symbol -> layout; for ``"#"`` one frame per sample.
        state: what outlives the run.
        xp: array module.
        training: whether operators behave as in training.
        backend: the GPU's backend; None on the CPU.
    """

    def __init__(
        self,
        layouts: dict[RowSymbol, Layout],
        state: State,
        xp: Any = np,
        *,
        training: bool = False,
        backend: Backend | None = None,
    ) -> None:
        self.layouts, self.state, self.xp, self.training = layouts, state, xp, training
        self.backend = backend
        self.arrays: Environment = {}
        self.given: set[int] = set()
        """Results whose memory belongs to this run alone, so that they need no copy."""
        self.notes: dict[Any, Any] = {}
        """What operators written by users keep between their forward and their backward step."""
        self.slab: tuple[int, int, int] | None = None
        """Inside a loop: slab number, first row and one past its last row."""
        self.commit: Callable[[], object] = _nobody
        """Called before the first step that writes what outlives the run: from there on the run is to be done whole."""

    def to_device(self, array: Any) -> Any:
        """An array of the host where this run computes; sparse rows become dense on a GPU."""
        if self.backend is None:
            return array
        return self.backend.to_device(array.toarray() if isinstance(array, SparseRows) else array)

    def rows(self, symbol: RowSymbol) -> int:
        """How many rows values of a row symbol have."""
        return 1 if not symbol else self.layouts[symbol].rows

    def adopt(self, symbol: RowSymbol, rows: Any, layout: Layout) -> Any:
        """Rows along dynamic axes that the data made; all values of these axes must agree.

        Raises:
            SequenceError: if another value of the same axes has other lengths.
        """
        before = self.layouts.get(symbol)
        if before is not None and before != layout:
            raise SequenceError(
                f"two values with the dynamic axes [{symbol}] have sequences of different lengths: "
                f"{before.lengths.tolist()[:8]} and "
                f"{layout.lengths.tolist()[:8]}",
                fix="give them different axes, or feed sequences long enough for both",
            )
        self.layouts[symbol] = layout
        return rows


Action = Callable[[Run], None]


def _nobody() -> None:
    """Nobody has to be told."""


def first_lasting(plan: Plan) -> int:
    """The first step that writes values or states of learners; the number of steps if none does."""
    kept = {b.id for b in plan.buffers if b.role in ("parameter", "constant", "state")}
    return next((i for i, s in enumerate(plan.steps) if not kept.isdisjoint(s.writes)), len(plan.steps))


class Interpreter:
    """A plan made ready to run on arrays.

    Args:
        plan: the plan.
        kernel: Kernel -> function of ``(xp, *arrays)``; default the NumPy printer's.
    """

    def __init__(self, plan: Plan, kernel: Callable[[Any], Callable[..., Any]] = numpy_function) -> None:
        self.plan = plan
        self._kernel = kernel
        self.actions = [self.action(s) for s in plan.steps]
        self._lasting = first_lasting(plan)

    def run(self, run: Run) -> None:
        """Run all steps; the arrays of inputs and parameters must be in place."""
        for action in self.actions[: self._lasting]:
            action(run)
        run.commit()
        for action in self.actions[self._lasting :]:
            action(run)

    def action(self, step: Step) -> Action:
        """What one step does."""
        make: Any = {
            Map: self._map,
            Contract: self._contract,
            Call: self._call,
            View: self._view,
            Order: self._order,
            Part: self._part,
            Join: self._join,
            Spread: self._spread,
            Gathered: self._gathered,
            Delay: self._delay,
            DelayInitial: self._delay_initial,
            Loop: self._loop,
            AddRows: add_rows,
            Fill: lambda fill_step: fill(fill_step, self.plan),
            UpdateRows: lambda update: update_rows(update, self._kernel),
        }[type(step)]
        action: Action = make(step)
        return action

    def _map(self, step: Map) -> Action:
        compute = self._kernel(step.kernel)
        buffers = self.plan.buffers
        reads = [
            (r, buffers[r].rows != "", None if o.shape == buffers[r].shape else o.shape)
            for r, o in zip(step.reads, step.kernel.inputs, strict=True)
        ]
        writes = [(w, buffers[w]) for w in step.writes]
        in_place = [b.role in ("parameter", "constant", "state") for _, b in writes]
        fixed = step.kernel.rows and not any(o.rows for o in step.kernel.inputs)
        told = [
            (i, axis, d)
            for i, o in enumerate(step.kernel.inputs)
            for axis, (have, d) in enumerate(zip(o.shape, step.kernel.domain, strict=True))
            if have == FREE and d != FREE
        ]

        def act(run: Run) -> None:
            arrays = [_operand(run, r, has_rows, shape) for r, has_rows, shape in reads]
            for i, axis, d in told:
                if (have := arrays[i].shape[axis + 1]) not in (1, d):
                    raise DataError(
                        f"{buffers[step.reads[i]]}: the data have {have} along static axis {axis}, "
                        f"what they are combined with has {d}",
                        fix=f"feed data that give {d} there",
                    )
            results = compute(run.xp, *arrays, rows=_rows_now(run, step.rows)) if fixed else compute(run.xp, *arrays)
            for (w, b), result, keep in zip(writes, results, in_place, strict=True):
                if keep:
                    target = run.arrays[w]
                    target[...] = result.reshape(target.shape)
                else:
                    _store(run, w, b, _shaped(result, b.shape))

        return act

    def _contract(self, step: Contract) -> Action:
        left, right = step.reads[:2]
        onto = step.reads[2] if len(step.reads) > 2 else None
        w = step.writes[0]
        b = self.plan.buffers[w]
        if b.touched:
            return self._touched(step)
        product = contraction(step.spec)

        def act(run: Run) -> None:
            result = product(run.xp, _slab(run, left, self.plan), _slab(run, right, self.plan))
            result = _shaped(result, b.shape)
            _store(run, w, b, result if onto is None else result + _slab(run, onto, self.plan))

        return act

    def _touched(self, step: Contract) -> Action:
        (left, right), w = step.reads, step.writes[0]
        product = touched_rows(step.spec, 0 if self.plan.buffers[left].sparse else 1)

        def act(run: Run) -> None:
            run.arrays[w] = product(run.xp, run.arrays[left], run.arrays[right])

        return act

    def _is_needed_later(self, step: Call) -> bool:
        """Whether the plan has gradients of an operator."""
        steps = all_steps(self.plan.steps)
        return any(isinstance(s, Call) and s.role != "forward" and s.nodes == step.nodes for s in steps)

    def _call(self, step: Call) -> Action:
        assert step.rule is not None
        assert step.op is not None
        rule, op = step.rule, step.op
        wanted = needs(rule)
        backward = step.role != "forward"
        buffers = self.plan.buffers
        dense = {p.name for p in op.operands} - set(op.sparse_operands)
        known = {"is_needed_later": self._is_needed_later(step)} if "is_needed_later" in wanted else {}

        def act(run: Run) -> None:
            scope = {**step.scope, **known, "xp": run.xp, "training": run.training}
            for r, name in zip(step.reads, step.names, strict=True):
                base, _, index = name.partition(".")
                value = _slab(run, r, self.plan)
                if buffers[r].last:
                    value = run.xp.moveaxis(value, -1, 1)
                if base in dense and isinstance(value, SparseRows):
                    value = value.toarray()
                if index:
                    scope.setdefault("list:" + base, []).append(value)
                else:
                    scope[base] = value
            for p in op.operands:
                if p.variadic:
                    scope[p.name] = scope.get("list:" + p.name, [])
                scope.setdefault(p.name, None)
            for n in wanted:
                if n.startswith("d_"):
                    scope.setdefault(n, None)  # an output of which no gradient arrives
            if "layout" in wanted:
                scope["layout"] = run.layouts.get(step.rows)
            if "layouts" in wanted:
                scope["layouts"] = [run.layouts.get(buffers[n].rows) for _, n in step.scope["_all"]]
            if "run" in wanted:
                scope["run"] = run
            if "target" in wanted:
                scope["target"] = _plain_buffer(buffers[step.writes[0]])
            if "drawing" in wanted:
                scope["drawing"] = run.state.drawing(step.key, int(step.scope["seed"]))
            if "random" in wanted:
                scope["random"] = run.state.stream(step.key, int(step.scope["seed"]), run.xp)
            result = rule(*(scope[n] for n in wanted))
            results = result if isinstance(result, tuple) and not _has_layout(result) else (result,)
            for w, value in zip(step.writes, results, strict=False):
                b = buffers[w]
                if backward:
                    value = unbroadcast(run.xp, value, 1 if not b.rows else None, _plain_buffer(b).shape)
                if b.last:
                    value = run.xp.ascontiguousarray(run.xp.moveaxis(value, 1, -1))
                if _has_layout(value):
                    value = run.adopt(b.rows, *value)
                if run.slab is None or not b.rows:
                    run.arrays[w] = value
                else:
                    _store(run, w, b, value)

        return act

    def _view(self, step: View) -> Action:
        r, w = step.reads[0], step.writes[0]
        b = self.plan.buffers[w]

        def act(run: Run) -> None:
            _store(run, w, b, _shaped(_slab(run, r, self.plan), b.shape))

        return act

    def _part(self, step: Part) -> Action:
        r, w = step.reads[0], step.writes[0]
        b = self.plan.buffers[w]

        def act(run: Run) -> None:
            # inside a loop, too, the part is one of all frames
            run.arrays[w] = _cut(_whole(run, r, self.plan), step.axis, step.begin, b.shape[step.axis])

        return act

    def _join(self, step: Join) -> Action:
        w, axis = step.writes[0], step.axis
        b = self.plan.buffers[w]

        def act(run: Run) -> None:
            _store(run, w, b, run.xp.concatenate([_slab(run, r, self.plan) for r in step.reads], axis + 1))

        return act

    def _order(self, step: Order) -> Action:
        r, w = step.reads[0], step.writes[0]
        move = (-1, 1) if self.plan.buffers[r].last else (1, -1)

        def act(run: Run) -> None:
            run.arrays[w] = run.xp.ascontiguousarray(run.xp.moveaxis(run.arrays[r], *move))

        return act

    def _spread(self, step: Spread) -> Action:
        r, w = step.reads[0], step.writes[0]
        symbol = self.plan.buffers[r].rows

        def act(run: Run) -> None:
            want = run.layouts[step.rows]
            check_spread(step, run.layouts[symbol], want)
            run.arrays[w] = run.arrays[r][want.sequence]

        return act

    def _gathered(self, step: Gathered) -> Action:
        r, w = step.reads[0], step.writes[0]

        def act(run: Run) -> None:
            run.arrays[w] = sum_per_sequence(run.xp, run.arrays[r], run.layouts[step.rows])

        return act

    def _delay(self, step: Delay) -> Action:
        w = step.writes[0]
        b = self.plan.buffers[w]
        source = step.reads[0]
        initial = step.reads[1] if len(step.reads) > 1 else None

        def act(run: Run) -> None:
            layout = run.layouts[step.rows]
            if isinstance(run.arrays.get(source), SparseRows):
                run.arrays[source] = run.arrays[source].toarray()
            start = (
                None
                if initial is None
                else initial_frames(run, run.arrays[initial], self.plan.buffers[initial], layout, step, len(b.shape))
            )
            if run.slab is None:
                run.arrays[w] = delayed(run, run.arrays[source], layout, step.offset, start)
                if step.key and step.offset > 0:
                    carry(run, step, run.arrays[source], layout)
                return
            slab, lo, hi = run.slab
            target = _whole(run, w, self.plan)
            filled = delay_slab(layout, slab, step.offset)
            if filled is None:
                taken = 0
            else:
                a, taken = filled
                target[lo : lo + taken] = _whole(run, source, self.plan)[a : a + taken]
            if taken < hi - lo:
                target[lo + taken : hi] = (
                    0 if start is None else initial_slab(start, layout, slab, step.offset, lo + taken, hi)
                )

        return act

    def _delay_initial(self, step: DelayInitial) -> Action:
        r, w = step.reads[0], step.writes[0]
        b = self.plan.buffers[w]

        def act(run: Run) -> None:
            run.arrays[w] = delay_initial_gradient(run, run.arrays[r], b, step)

        return act

    def _loop(self, step: Loop) -> Action:
        body = [self.action(s) for s in step.body]
        delays = [s for s in step.body if isinstance(s, Delay) and s.key and s.offset > 0]

        def act(run: Run) -> None:
            layout = run.layouts[step.rows]
            offsets = layout.offsets.tolist()
            numbers = range(layout.longest - 1, -1, -1) if step.reverse else range(layout.longest)
            outside = run.slab
            for t in numbers:
                run.slab = (t, offsets[t], offsets[t + 1])
                for action in body:
                    action(run)
            run.slab = outside
            for d in delays:
                carry(run, d, run.arrays[d.reads[0]], layout)

        return act


def _has_layout(result: Any) -> bool:
    """Whether these are rows and their new layout."""
    return isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], Layout)


def check_spread(step: Spread, have: Layout, want: Layout) -> None:
    """Refuse to spread over frames what has another number of samples.

    Raises:
        SequenceError: if the numbers differ.
    """
    if have.count != want.count:
        raise SequenceError(
            f"a minibatch of {have.count} samples is combined with one of {want.count}",
            ", ".join(step.nodes),
            "make both of as many samples: to_batch makes one for each entry of the first static axis",
        )


# ---- arrays


def part_of(array: Any, b: Buffer) -> Any:
    """The part that a buffer is of the array it lies in (the array itself if it is no part)."""
    if b.whole is None:
        return array
    axis, begin = b.cut
    return _cut(array, axis, begin, b.shape[axis])


def _cut(array: Any, axis: int, begin: int, length: int) -> Any:
    """A part of the rows' arrays along one static axis."""
    return array[(slice(None),) * (axis + 1) + (slice(begin, begin + length),)]


def _plain_buffer(b: Buffer) -> Buffer:
    """The buffer as operators know it: channels first."""
    return replace(b, shape=(b.shape[-1], *b.shape[:-1]), last=False) if b.last else b


def _rows_now(run: Run, symbol: RowSymbol) -> int:
    return run.rows(symbol) if run.slab is None else run.slab[2] - run.slab[1]


def _slab(run: Run, number: int, plan: Plan) -> Any:
    array = run.arrays[number]
    if run.slab is None or not plan.buffers[number].rows:
        return array
    return array[run.slab[1] : run.slab[2]]


def _operand(run: Run, number: int, has_rows: bool, shape: Shape | None) -> Any:
    array = run.arrays[number]
    if isinstance(array, SparseRows):
        array = array.toarray()
    if has_rows and run.slab is not None:
        array = array[run.slab[1] : run.slab[2]]
    if shape is None:
        return array
    if FREE in shape:
        return array.reshape(array.shape[:1] + (1,) * (len(shape) + 1 - array.ndim) + array.shape[1:])
    return array.reshape((array.shape[0], *shape))


def _shaped(array: Any, shape: tuple[int, ...]) -> Any:
    have = tuple(array.shape[1:])
    if len(have) == len(shape) and all(d in (h, FREE) for h, d in zip(have, shape, strict=True)):
        return array
    return array.reshape((array.shape[0], *(-1 if d == FREE else d for d in shape)))


def _whole(run: Run, number: int, plan: Plan) -> Any:
    """The whole array of a value that a loop writes slab by slab."""
    array = run.arrays.get(number)
    if array is None:
        b = plan.buffers[number]
        shape = b.shape
        if FREE in shape:
            # free dimensions of a loop are those of what enters it
            known = (run.arrays[o.id].shape[1:] for o in plan.buffers if o.shape == b.shape and o.id in run.arrays)
            shape = next(known, tuple(1 if d == FREE else d for d in shape))
        array = run.arrays[number] = run.xp.zeros((run.rows(b.rows), *shape), b.dtype)
    return array


def _store(run: Run, number: int, b: Any, value: Any) -> None:
    """Keep a result: whole, or the rows of the present slab."""
    if run.slab is None or not b.rows:
        run.arrays[number] = value
        return
    array = run.arrays.get(number)
    if array is None:
        array = run.arrays[number] = run.xp.empty((run.rows(b.rows), *value.shape[1:]), value.dtype)
    array[run.slab[1] : run.slab[2]] = value
