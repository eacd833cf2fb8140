"""Running a plan on arrays of any size: the NumPy tier, which is always there and which every other tier is checked
against.

Each step becomes one function of the array environment, made once per plan. Sizes come from the arrays themselves. The
same interpreter runs on CuPy arrays with a GPU backend's kernels. Native tiers replace whole plans (see ``cpu``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cntk_lab.engine.arrays.columns import Columns
from cntk_lab.engine.arrays.delays import (
    carry,
    delay_initial_gradient,
    delay_slab,
    delayed,
    initial_frames,
    initial_slab,
    sum_per_sequence,
    unbroadcast,
)
from cntk_lab.engine.arrays.products import contraction, touched_rows
from cntk_lab.engine.arrays.run import Action, Run, first_lasting
from cntk_lab.engine.arrays.slabs import (
    operand_of,
    plain_buffer,
    rows_now,
    shaped,
    slab_of,
    store,
    whole_of,
)
from cntk_lab.engine.arrays.touched import add_rows, fill, update_rows
from cntk_lab.engine.memory.places import cut
from cntk_lab.engine.plan import (
    AddRows,
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
    Share,
    Spread,
    Step,
    UpdateRows,
    View,
    all_steps,
)
from cntk_lab.errors import DataError, SequenceError
from cntk_lab.formula.print_numpy import numpy_function
from cntk_lab.graph.asks import NAMED, SLOPE, needs
from cntk_lab.tensor.layout import Layout
from cntk_lab.tensor.randomness import MersenneTwister64
from cntk_lab.tensor.shape import FREE
from cntk_lab.tensor.sparse import SparseRows

GIVEN: dict[str, Callable[[Run, Call, Plan], Any]] = {
    "xp": lambda run, _step, _plan: run.xp,
    "training": lambda run, _step, _plan: run.training,
    "layout": lambda run, step, _plan: run.layouts.get(step.rows),
    "layouts": lambda run, step, plan: [run.layouts.get(plan.buffers[n].rows) for _, n in step.scope["_all"]],
    "run": lambda run, _step, _plan: run,
    "target": lambda _run, step, plan: plain_buffer(plan.buffers[step.writes[0]]),
    "drawing": lambda run, step, _plan: run.state.drawing(step.key, int(step.scope["seed"])),
    "random": lambda run, step, _plan: _stream(run, step),
}
"""What operators' rules on arrays are given with every run, by the names of ``graph/asks.py``."""


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
            Share: self._share,
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
            arrays = [operand_of(run, r, has_rows, shape) for r, has_rows, shape in reads]
            for i, axis, d in told:
                if (have := arrays[i].shape[axis + 1]) not in (1, d):
                    raise DataError(
                        f"{buffers[step.reads[i]]}: the data have {have} along static axis {axis}, "
                        f"what they are combined with has {d}",
                        fix=f"feed data that give {d} there",
                    )
            results = compute(run.xp, *arrays, rows=rows_now(run, step.rows)) if fixed else compute(run.xp, *arrays)
            for (w, b), result, keep in zip(writes, results, in_place, strict=True):
                if keep:
                    target = run.arrays[w]
                    target[...] = result.reshape(target.shape)
                else:
                    store(run, w, b, shaped(result, b.shape))

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
            result = product(run.xp, slab_of(run, left, self.plan), slab_of(run, right, self.plan))
            result = shaped(result, b.shape)
            store(run, w, b, result if onto is None else result + slab_of(run, onto, self.plan))

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
        meanings = {n: op.own.sort("gradient" if backward else "forward", n) for n in wanted}
        given = [(n, GIVEN[n]) for n in wanted if meanings[n] is NAMED and n in GIVEN]
        absent = dict.fromkeys(n for n in wanted if meanings[n] is SLOPE)  # outputs to which no gradient arrives
        buffers = self.plan.buffers
        dense = {p.name for p in op.operands} - set(op.sparse_operands)
        known = {"is_needed_later": self._is_needed_later(step)} if "is_needed_later" in wanted else {}

        def act(run: Run) -> None:
            scope = {**step.scope, **known, **absent}
            for r, name in zip(step.reads, step.names, strict=True):
                base, _, index = name.partition(".")
                value = slab_of(run, r, self.plan)
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
            for n, give in given:
                scope[n] = give(run, step, self.plan)
            result = rule(*(scope[n] for n in wanted))
            results = result if isinstance(result, tuple) and not _has_layout(result) else (result,)
            for w, value in zip(step.writes, results, strict=False):
                b = buffers[w]
                if backward:
                    value = unbroadcast(run.xp, value, 1 if not b.rows else None, plain_buffer(b).shape)
                if b.last:
                    value = run.xp.ascontiguousarray(run.xp.moveaxis(value, 1, -1))
                if _has_layout(value):
                    value = run.adopt(b.rows, *value)
                if run.slab is None or not b.rows:
                    run.arrays[w] = value
                else:
                    store(run, w, b, value)

        return act

    def _view(self, step: View) -> Action:
        r, w = step.reads[0], step.writes[0]
        b = self.plan.buffers[w]

        def act(run: Run) -> None:
            store(run, w, b, shaped(slab_of(run, r, self.plan), b.shape))

        return act

    def _part(self, step: Part) -> Action:
        r, w = step.reads[0], step.writes[0]
        b = self.plan.buffers[w]

        def act(run: Run) -> None:
            # inside a loop, too, the part is one of all frames
            run.arrays[w] = cut(whole_of(run, r, self.plan), step.axis, step.begin, b.shape[step.axis])

        return act

    def _join(self, step: Join) -> Action:
        w, axis = step.writes[0], step.axis
        b = self.plan.buffers[w]

        def act(run: Run) -> None:
            store(run, w, b, run.xp.concatenate([slab_of(run, r, self.plan) for r in step.reads], axis + 1))

        return act

    def _order(self, step: Order) -> Action:
        r, w = step.reads[0], step.writes[0]
        move = (-1, 1) if self.plan.buffers[r].last else (1, -1)

        def act(run: Run) -> None:
            run.arrays[w] = run.xp.ascontiguousarray(run.xp.moveaxis(run.arrays[r], *move))

        return act

    def _share(self, step: Share) -> Action:
        def act(run: Run) -> None:
            run.arrays.update(zip(step.writes, run.share([run.arrays[r] for r in step.reads]), strict=True))

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
            target = whole_of(run, w, self.plan)
            filled = delay_slab(layout, slab, step.offset)
            if filled is None:
                taken = 0
            else:
                a, taken = filled
                target[lo : lo + taken] = whole_of(run, source, self.plan)[a : a + taken]
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
        delays = [s for s in step.body if isinstance(s, Delay) and s.continues]

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


def _stream(run: Run, step: Call) -> Any:
    """What a random operator draws from."""
    stream, layout = run.state.stream(step.key, int(step.scope["seed"]), run.xp), run.layouts.get(step.rows)
    if layout is None or layout.identity or not isinstance(stream, MersenneTwister64):
        return stream
    return Columns(stream, layout, run.slab, run.notes, step.key)
