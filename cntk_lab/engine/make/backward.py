"""Backward: adds the steps that compute gradients, for exactly what is asked and nothing else.

Reverse mode over steps. A formula's gradient is derived from the formula; a product's gradients are products; an
operator on whole arrays brings its own rules. The gradient of a delay is a delay the other way, so the gradient of a
loop is a loop the other way; what a loop contributes to things outside it (recurrent weights, inputs) is computed
once after it, for all frames together. Knows no operator by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cntk_lab.engine.make.lower import loop_of
from cntk_lab.engine.plan import (
    AddRows,
    Builder,
    Call,
    Contract,
    Delay,
    DelayInitial,
    Fill,
    Gathered,
    Loop,
    Map,
    Spread,
    Step,
    View,
    leaves,
)
from cntk_lab.engine.plan.formulas import map_step
from cntk_lab.engine.plan.reference import number_of, reference
from cntk_lab.engine.plan.touched import touches_rows
from cntk_lab.errors import GraphError
from cntk_lab.formula import expr as e
from cntk_lab.formula.derive import sloped, vjp
from cntk_lab.formula.kernel import Kernel
from cntk_lab.formula.simplify import simplify
from cntk_lab.graph.asks import OPERAND, OUTPUT, SAVED, SLOPE, Rule, apply, needs
from cntk_lab.graph.opdef import Contraction

_MOST_SHARES = 12
"""Contributions to one gradient that are added by one formula."""


class Backward:
    """One backward pass.

    Args:
        builder: holds the forward steps; gradient steps are appended to it.
        wanted: buffers whose gradients are wanted.
    """

    def __init__(self, builder: Builder, wanted: Iterable[int]) -> None:
        self.builder = builder
        self.wanted = list(wanted)
        self.shares: dict[int, list[int]] = {}
        """Buffer -> buffers whose sum is its gradient."""
        self.reached = self._reached(builder.steps)

    def _reached(self, steps: Sequence[Step]) -> set[int]:
        """All buffers that depend on a wanted one (through loops too)."""
        reached = set(self.wanted)
        flat = list(leaves(steps))
        while True:
            before = len(reached)
            for s in flat:
                if not s.stops_gradient and any(r in reached for r in s.reads):
                    reached.update(s.writes)
            if len(reached) == before:
                return reached

    def run(self, seeds: Mapping[int, int]) -> dict[int, int]:
        """Add the gradient steps.

        Args:
            seeds: output buffer -> buffer of its gradient.

        Returns:
            Wanted buffer -> buffer of its gradient (left out where nothing arrives).
        """
        for buffer, gradient in seeds.items():
            self._add(buffer, gradient)
        for step in reversed(list(self.builder.steps)):
            if isinstance(step, Loop):
                self._loop(step)
            else:
                self._step(step)
        return {w: g for w in self.wanted if (g := self.total(w)) is not None}

    # ---- sums of contributions

    def _add(self, buffer: int, gradient: int) -> None:
        self.shares.setdefault(buffer, []).append(gradient)

    def _like(self, buffer: int) -> int:
        b = self.builder.buffers[buffer]
        return self.builder.new(b.rows, b.shape, b.dtype, name=f"d{b.name}" if b.name else "")

    def total(self, buffer: int) -> int | None:
        """The buffer of the whole gradient of a buffer; None if nothing arrives."""
        shares = self.shares.get(buffer)
        if not shares:
            return None
        touched = {self.builder.buffers[n].touched for n in shares}
        if len(touched) == 1 and 0 not in touched:
            return shares[0] if len(shares) == 1 else self._rows_together(buffer, shares)
        if touched != {0}:
            shares = [self.filled(n) for n in shares]
        while len(shares) > _MOST_SHARES:
            # many contributions (a weight used at many places) are summed in portions
            part = self._like(buffer)
            first, shares = shares[:_MOST_SHARES], shares[_MOST_SHARES:]
            formula = e.input_(reference(first[0]))
            for s in first[1:]:
                formula = formula + e.input_(reference(s))
            self.builder.emit(map_step(self.builder, {part: formula}, first))
            shares = [*shares, part]
        self.shares[buffer] = shares
        if len(shares) > 1:
            target = self._like(buffer)
            formula = e.input_(reference(shares[0]))
            for s in shares[1:]:
                formula = formula + e.input_(reference(s))
            self.builder.emit(map_step(self.builder, {target: formula}, shares))
            self.shares[buffer] = [target]
        return self.shares[buffer][0]

    def _rows_together(self, buffer: int, shares: Sequence[int]) -> int:
        target = self._like(buffer)
        self.builder.buffers[target].touched = self.builder.buffers[shares[0]].touched
        self.builder.emit(AddRows(tuple(shares), (target,)))
        self.shares[buffer] = [target]
        return target

    def filled(self, gradient: int) -> int:
        """A gradient with all its rows, also if only the touched ones are kept."""
        return filled(self.builder, gradient)

    # ---- one step

    def _step(self, step: Step) -> None:
        if step.stops_gradient or not any(w in self.shares for w in step.writes):
            return
        targets = [r for r in dict.fromkeys(step.reads) if r in self.reached]
        if not targets:
            return
        gradients = {w: self.filled(g) for w in step.writes if (g := self.total(w)) is not None}
        for target in targets:
            self.contribute(step, gradients, target)

    def contribute(self, step: Step, gradients: Mapping[int, int], target: int) -> None:
        """Add what one step contributes to the gradient of one buffer that it reads."""
        make: Any = {
            Map: self._map,
            Contract: self._contract,
            Call: self._call,
            View: self._view,
            Spread: self._spread,
            Gathered: self._gathered,
            Delay: self._delay,
        }.get(type(step))
        if make is None:
            raise GraphError(f"a {step.kind} step has no gradient")
        make(step, gradients, target)

    def _view(self, step: View, gradients: Mapping[int, int], target: int) -> None:
        self._simple(View((gradients[step.writes[0]],), (), step.nodes), target)

    def _spread(self, step: Spread, gradients: Mapping[int, int], target: int) -> None:
        self._simple(Gathered((gradients[step.writes[0]],), (), step.nodes, rows=step.rows), target)

    def _gathered(self, step: Gathered, gradients: Mapping[int, int], target: int) -> None:
        self._simple(Spread((gradients[step.writes[0]],), (), step.nodes, rows=step.rows), target)

    def _delay(self, step: Delay, gradients: Mapping[int, int], target: int) -> None:
        gradient = gradients[step.writes[0]]
        if target == step.reads[0]:
            self._simple(Delay((gradient,), (), step.nodes, offset=-step.offset, rows=step.rows), target)
        if len(step.reads) > 1 and target == step.reads[1]:
            self._simple(DelayInitial((gradient,), (), step.nodes, offset=step.offset, rows=step.rows), target)

    def _simple(self, step: Step, target: int, *, touched: int = 0) -> None:
        share = self._like(target)
        self.builder.buffers[share].touched = touched
        step.writes = (share,)
        self.builder.emit(step)
        self._add(target, share)

    def _map(self, step: Map, gradients: Mapping[int, int], target: int) -> None:
        outputs = [(w, formula) for w, (_, formula) in zip(step.writes, step.kernel.outputs, strict=True)]
        name = reference(target)
        adjoints = [e.input_(reference(gradients[w])) if w in gradients else e.const(0) for w, _ in outputs]
        given = self._given(step, adjoints[0], outputs[0][0], name)
        if given is None:
            given = vjp([f for _, f in outputs], adjoints, [name], _reduced(step.kernel))[name]
        # what the forward pass stored is read instead of computed again
        stored = {f: e.input_(reference(w)) for w, f in outputs if f.op not in ("input", "const")}
        rank = len(step.kernel.domain)
        operand = next(o for o in step.kernel.inputs if o.name == name)
        axes: list[e.Axis] = [i - rank for i, d in enumerate(operand.shape) if d == 1 and step.kernel.domain[i] != 1]
        if step.kernel.rows and not operand.rows:
            axes.append(e.ROWS)
        (reused,) = e.replace([given], stored)
        (formula,) = simplify((e.reduce("sum", reused, axes),))
        if formula.op == "const" and formula.data == 0.0:
            return
        if formula.op == "input":
            same = number_of(formula.data)
            a, b = self.builder.buffers[same], self.builder.buffers[target]
            if (a.rows, a.shape, a.dtype) == (b.rows, b.shape, b.dtype):
                self._add(target, same)  # the gradient arrives as it is
                return
        share = self._like(target)
        reads = [*step.reads, *gradients.values(), *(w for w, _ in outputs)]
        new = map_step(self.builder, {share: formula}, reads, step.nodes)
        self.builder.emit(new)
        self._add(target, share)

    def _given(self, step: Map, dy: e.Expr, output: int, name: str) -> e.Expr | None:
        """The declared derivative with respect to one operand, if the operator declares one."""
        if step.op is None or not step.op.derivative:
            return None
        total: e.Expr | None = None
        scope = {**step.scope, "dy": dy, "y": e.input_(reference(output))}
        for operand in step.op.operands:
            x = step.scope.get(operand.name)
            if not isinstance(x, e.Expr) or x is not e.input_(name):
                continue
            rule = step.op.derivative.get(operand.name)
            if rule is None:
                return None
            share = apply(rule, scope)
            if "dy" not in needs(rule):
                share = sloped(share, dy)
            total = share if total is None else total + share
        return total

    def _contract(self, step: Contract, gradients: Mapping[int, int], target: int) -> None:
        dy, spec = gradients[step.writes[0]], step.spec
        left, right = step.reads
        products = []
        if target == left:
            products.append(((dy, right), Contraction(spec.out, spec.right, spec.left, spec.sizes, spec.ranks)))
        if target == right:
            products.append(((left, dy), Contraction(spec.left, spec.out, spec.right, spec.sizes, spec.ranks)))
        for reads, product in products:
            sparse = [self.builder.buffers[n].sparse for n in reads]
            touched = touches_rows(product, sparse.index(True)) if sum(sparse) == 1 else 0
            self._simple(Contract(reads, (), step.nodes, spec=product, rows=step.rows), target, touched=touched)

    def _call(self, step: Call, gradients: Mapping[int, int], target: int) -> None:
        assert step.op is not None
        everything: dict[str, int] = dict(step.scope["_all"])
        saved = dict(zip(step.op.saved, step.writes[len(step.op.outputs) :], strict=True))
        outputs = dict(zip(step.op.outputs, step.writes, strict=False))
        for name, number in everything.items():
            if number != target:
                continue
            base, _, position = name.partition(".")
            rule = step.op.gradient.get(base)
            if rule is None:
                continue
            if "dy" in needs(rule) and step.writes[0] not in gradients:
                continue  # gradients arrive at other outputs alone, and the rule passes on nothing of theirs
            reads, names = _gradient_reads(step, rule, everything, outputs | saved, gradients)
            scope: dict[str, Any] = {**step.scope, "position": int(position) if position else 0}
            self._simple(
                Call(
                    tuple(reads),
                    (),
                    step.nodes,
                    op=step.op,
                    rule=rule,
                    role=f"gradient.{base}",
                    names=tuple(names),
                    scope=scope,
                    rows=step.rows,
                    key=step.key,
                ),
                target,
            )

    # ---- loops

    def _loop(self, loop: Loop) -> None:
        inside = set(loop.writes)
        active = self._active(loop, inside)
        if not active:
            return
        outer, self.builder.steps = self.builder.steps, []
        body = self.builder.steps
        delays = [s for s in loop.body if isinstance(s, Delay) and s.writes[0] in active]
        gradient_of: dict[int, int] = {}
        for d in delays:
            gradient_of[d.writes[0]] = self._like(d.writes[0])
            if d.reads[0] in active:
                carry = self._like(d.reads[0])
                self.builder.emit(Delay((gradient_of[d.writes[0]],), (carry,), d.nodes, offset=-d.offset, rows=d.rows))
                self._add(d.reads[0], carry)
        after: list[tuple[Step, dict[int, int], int]] = []
        for step in reversed(loop.body):
            if isinstance(step, Delay):
                if step.writes[0] in active:
                    self._close(step, gradient_of[step.writes[0]])
                    if len(step.reads) > 1 and step.reads[1] in self.reached:
                        after.append((step, {step.writes[0]: gradient_of[step.writes[0]]}, step.reads[1]))
                    if step.reads[0] not in inside and step.reads[0] in self.reached:
                        after.append((step, {step.writes[0]: gradient_of[step.writes[0]]}, step.reads[0]))
                continue
            if step.stops_gradient or not any(w in self.shares for w in step.writes):
                continue
            gradients = {w: g for w in step.writes if (g := self.total(w)) is not None}
            for target in dict.fromkeys(step.reads):
                if target in active:
                    self.contribute(step, gradients, target)
                elif target in self.reached and target not in inside:
                    after.append((step, gradients, target))
        self.builder.steps = outer
        self.builder.emit(loop_of(body, loop.rows, reverse=not loop.reverse, nodes=loop.nodes))
        for step, gradients, target in after:
            self.contribute(step, gradients, target)

    def _close(self, delay: Delay, gradient: int) -> None:
        """Write the gradient of a delay's output into the buffer that the delay the other way reads."""
        total = self.total(delay.writes[0])
        formula = e.const(0) if total is None else e.input_(reference(total))
        self.builder.emit(map_step(self.builder, {gradient: formula}, [] if total is None else [total], delay.nodes))

    def _active(self, loop: Loop, inside: set[int]) -> set[int]:
        """Buffers of a loop that depend on something wanted and that something with a gradient depends on."""
        arriving = {w for w in inside if w in self.shares}
        while True:
            before = len(arriving)
            for s in loop.body:
                if not s.stops_gradient and any(w in arriving for w in s.writes):
                    arriving.update(r for r in s.reads if r in inside)
            if len(arriving) == before:
                return arriving & self.reached


def filled(builder: Builder, gradient: int) -> int:
    """The buffer of a gradient with all its rows (itself if it has them)."""
    b = builder.buffers[gradient]
    if not b.touched:
        return gradient
    target = builder.new(b.rows, b.shape, b.dtype, name=b.name)
    builder.emit(Fill((gradient,), (target,)))
    return target


def _gradient_reads(
    step: Call, rule: Rule, operands: Mapping[str, int], results: Mapping[str, int], gradients: Mapping[int, int]
) -> tuple[list[int], list[str]]:
    """The buffers that a gradient rule asks for by name (see ``graph/asks.py``), and their names; gradients that do not
    arrive are left out.
    """
    assert step.op is not None
    found: list[tuple[int | None, str]] = []
    for want in needs(rule):
        meaning = step.op.own.sort("gradient", want)
        if want == "dy":
            found.append((gradients.get(step.writes[0]), want))
        elif meaning is SLOPE:
            found.append((gradients.get(results[want.removeprefix("d_")]), want))
        elif meaning in (SAVED, OUTPUT):
            found.append((results[want], want))
        elif meaning is OPERAND:
            found += [(n, name) for name, n in operands.items() if name.split(".")[0] == want]
        elif want == "y":
            found.append((step.writes[0], want))
    arriving = [(n, name) for n, name in found if n is not None]
    return [n for n, _ in arriving], [name for _, name in arriving]


def _reduced(kernel: Kernel) -> list[list[e.Axis]]:
    """For each output, the axes of the domain along which it is stored only once."""
    rank = len(kernel.domain)
    result: list[list[e.Axis]] = []
    for operand, _ in kernel.outputs:
        axes: list[e.Axis] = [
            i - rank
            for i, (d, full) in enumerate(zip(operand.shape, kernel.domain, strict=True))
            if d == 1 and full != 1
        ]
        if kernel.rows and not operand.rows:
            axes.append(e.ROWS)
        result.append(axes)
    return result
