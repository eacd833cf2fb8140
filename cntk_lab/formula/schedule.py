"""Kernel to loops, as data: which axes become one, what is computed in which phase and in which pass over a row.

The plan behind ``print_numba.py``, whose docstring describes it. Knows formulas and kernels, no text and no arrays.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from cntk_lab.formula.expr import ROWS, Axis, Expr, topological
from cntk_lab.formula.extent import axes_of_data, check_outputs, extents, kind_of
from cntk_lab.formula.kernel import Kernel, Operand

LOADS: Final = {"float32": "f32", "float64": "f64", "int32": "i32", "int64": "i64"}
"""Element types that can be read, and what their words are called."""

Axes: TypeAlias = frozenset[int]


class Unsupported(Exception):  # noqa: N818  (no error: the engine then uses NumPy)
    """This kernel cannot be printed; the message says why."""


@dataclass(slots=True)
class Group:
    """Targets that are computed in one loop nest."""

    over: tuple[int, ...]
    guard: tuple[int, ...]
    targets: list[tuple[str, Expr, int]] = field(default_factory=list)
    """("store" | "reduce" | "keep", expression, number of the output)."""


@dataclass(slots=True)
class Stage:
    """One phase: the loop over the first axis (``rows``), or the code of one thread between two such loops."""

    rows: bool
    time: int
    stores: list[int] = field(default_factory=list)
    reductions: list[Expr] = field(default_factory=list)
    combine: list[Expr] = field(default_factory=list)
    prefix: tuple[int, ...] = ()
    inner: tuple[int, ...] = ()
    passes: list[list[Group]] = field(default_factory=list)
    kept: dict[Expr, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.stores or self.reductions or self.combine)


class Schedule:
    """A kernel taken apart: its loops' axes, its stages, and the passes of each stage."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.real = "f64" if kernel.dtype == "float64" else "f32"
        self._check()
        self._find_axes()
        self.inputs = {o.name: i for i, o in enumerate(kernel.inputs)}
        self.roots = [e for _, e in kernel.outputs]
        self.order = list(topological(self.roots))
        self.axes_of: dict[Expr, Axes] = {}
        self.dep: dict[Expr, Axes] = {}
        self.time: dict[Expr, int] = {}
        for e in self.order:
            self._analyse(e)

    # ------------------------------------------------------------ what is printed at all

    def _check(self) -> None:
        kernel = self.kernel
        if kernel.dtype not in ("float32", "float64"):
            raise Unsupported(f"no {kernel.dtype} arithmetic on the native CPU tier")
        for operand in [*kernel.inputs, *(o for o, _ in kernel.outputs)]:
            if any(n < 0 for n in operand.shape):
                raise Unsupported(f"the shape {operand.shape} of {operand.name!r} is only known when it runs")
            if len(operand.shape) != len(kernel.domain):
                raise Unsupported(
                    f"{operand.name!r} has {len(operand.shape)} dimensions, the domain {len(kernel.domain)}"
                )
            known = ("float32", "float64") if any(operand is o for o, _ in kernel.outputs) else tuple(LOADS)
            if operand.dtype not in known:
                raise Unsupported(f"{operand.name!r} holds {operand.dtype}")
        if any(n < 0 for n in kernel.domain):
            raise Unsupported(f"the domain {kernel.domain} is only known when it runs")
        if len(kernel.inputs) + len(kernel.outputs) > 48:
            raise Unsupported("more than 48 operands")
        check_outputs(kernel, extents(kernel))

    # ------------------------------------------------------------ axes

    def _is_full(self, operand: Operand, axis: Axis) -> bool:
        return operand.rows if isinstance(axis, str) else operand.shape[axis] == self.kernel.domain[axis]

    def _stride(self, operand: Operand, axis: Axis) -> int:
        """Elements of an operand's memory between neighbours along an axis; of a part, in what it is a part of."""
        lies = operand.whole or operand.shape
        return math.prod(lies if isinstance(axis, str) else lies[len(lies) + axis + 1 :])

    def _in_one_stride(self, operand: Operand, outer: Axis, inner: Axis) -> bool:
        """Whether an operand can be walked along two axes as along one: that is a matter of its memory, not of the
        domain, which may have lost axes of length 1 between them.
        """
        full = self._is_full(operand, outer)
        if full != self._is_full(operand, inner):
            return False
        length = self.kernel.domain[inner] if isinstance(inner, int) else 1
        return not full or self._stride(operand, outer) == self._stride(operand, inner) * length

    def _find_axes(self) -> None:
        """Merge neighbouring axes that operands and reductions treat alike; drop axes of length 1."""
        kernel, rank = self.kernel, len(self.kernel.domain)
        axes: list[Axis] = [ROWS] if kernel.rows else []
        axes += [a for a in range(-rank, 0) if kernel.domain[a] != 1]
        operands = [*kernel.inputs, *(o for o, _ in kernel.outputs)]
        nodes = list(topological(e for _, e in kernel.outputs))
        reduced = [set(axes_of_data(e)) for e in nodes if e.op == "reduce"]
        fixed = {a for e in nodes if e.op == "coordinate" for a in axes_of_data(e)}
        groups: list[list[Axis]] = []
        for a in axes:
            alike = bool(groups) and a not in fixed and groups[-1][-1] not in fixed
            if alike:
                b = groups[-1][-1]
                alike = all(self._in_one_stride(o, b, a) for o in operands)
                alike = alike and all((a in r) == (b in r) for r in reduced)
            if alike:
                groups[-1].append(a)
            else:
                groups.append([a])
        self.number = {a: i for i, g in enumerate(groups) for a in g}
        self.groups = groups or [[]]
        self.static = [math.prod(kernel.domain[a] for a in g if isinstance(a, int)) for g in self.groups]
        self.dynamic = bool(groups) and groups[0][0] == ROWS

    def _length(self, axis: int) -> str:
        if axis == 0 and self.dynamic:
            return "rows" if self.static[0] == 1 else f"rows * {self.static[0]}"
        return str(self.static[axis])

    def _operand_axes(self, operand: Operand) -> Axes:
        return frozenset(i for i, g in enumerate(self.groups) if g and self._is_full(operand, g[0]))

    def _strides(self, axes: Iterable[int]) -> dict[int, int]:
        """Stride in elements of each axis of a dense array over these axes."""
        strides, n = {}, 1
        for a in sorted(axes, reverse=True):
            strides[a] = n
            n *= self.static[a]
        return strides

    def _operand_strides(self, operand: Operand) -> dict[int, int]:
        """Stride in elements of each axis along which an operand changes."""
        return {number: self._stride(operand, self.groups[number][-1]) for number in self._operand_axes(operand)}

    # ------------------------------------------------------------ what depends on what

    def _analyse(self, e: Expr) -> None:
        dep: Axes = frozenset().union(*(self.dep[a] for a in e.args))
        time = max((self.time[a] for a in e.args), default=0)
        if e.op == "input":
            dep = self._operand_axes(self.kernel.inputs[self.inputs[str(e.data)]])
        elif e.op in ("coordinate", "reduce"):
            axes = frozenset(self.number[a] for a in axes_of_data(e) if a in self.number)
            self.axes_of[e] = axes
            dep = dep | axes if e.op == "coordinate" else dep - axes
            if e.op == "reduce" and 0 in axes and not self._is_count(e):
                time += 1
        self.dep[e], self.time[e] = dep, time

    @staticmethod
    def _is_count(e: Expr) -> bool:
        """Whether this sums a number: that follows from the sizes, without a loop."""
        return e.op == "reduce" and e.args[0].op == "const" and kind_of(e) == "sum"

    def _is_reduction(self, e: Expr) -> bool:
        return e.op == "reduce" and bool(self.axes_of[e]) and not self._is_count(e)

    def _over(self, e: Expr) -> Axes:
        """The axes a reduction's loop runs over."""
        return self.dep[e.args[0]] | self.axes_of[e]

    def _is_static(self, e: Expr) -> bool:
        return self._is_reduction(e) and 0 not in self._over(e)

    # ------------------------------------------------------------ stages and passes

    def _stages(self) -> list[Stage]:
        stages: dict[tuple[int, bool], Stage] = {}

        def stage(time: int, rows: bool) -> Stage:
            return stages.setdefault((time, rows), Stage(rows, time))

        for e in self.order:
            if self._is_static(e):
                stage(self.time[e.args[0]], False).reductions.append(e)
            elif self._is_reduction(e) and 0 in self.axes_of[e]:
                stage(self.time[e.args[0]], True).reductions.append(e)
                stage(self.time[e], False).combine.append(e)
        in_place = dict(self.kernel.in_place)
        cones = [set(map(id, topological([e]))) for e in self.roots]
        for i, (operand, e) in enumerate(self.kernel.outputs):
            rows, time = 0 in self._operand_axes(operand), self.time[e]
            if operand.name in in_place:
                leaf = next((x for x in self.order if x.op == "input" and x.data == in_place[operand.name]), None)
                for j, other in enumerate(self.kernel.outputs):
                    if leaf is not None and id(leaf) in cones[j]:
                        time = max(time, self._last_read(leaf, j, other[0], rows))
            stage(time, rows).stores.append(i)
        ordered = [stages[k] for k in sorted(stages)]
        for s in ordered:
            self._passes(s)
        self._check_in_place(ordered)
        return ordered

    def _last_read(self, leaf: Expr, output: int, operand: Operand, rows: bool) -> int:
        """The stage from which an output may overwrite ``leaf``, as far as another output's formula reads it."""
        e = self.roots[output]
        reads = {id(leaf)}
        last = self.time[e] + int(0 in self._operand_axes(operand) and not rows) if self._reads_now(e, leaf) else 0
        for x in topological([e]):
            if any(id(a) in reads for a in x.args):
                reads.add(id(x))
                if self._is_reduction(x):
                    last = max(last, self.time[x.args[0]] + int(0 in self._over(x) and not rows))
        return last

    def _reads_now(self, e: Expr, leaf: Expr) -> bool:
        """Whether a formula reads ``leaf`` in the stage in which it is stored (not only through earlier reductions)."""
        return any(x is leaf for x in self._cone([e], self._stored))

    def _stored(self, e: Expr) -> bool:
        """Whether a value lies in shared memory after its stage."""
        return self._is_reduction(e) and (0 in self.axes_of[e] or self._is_static(e))

    def _cone(self, roots: Iterable[Expr], stop: object) -> list[Expr]:
        """Expressions needed for ``roots``, arguments first; nothing below those for which ``stop`` holds."""
        assert callable(stop)
        done: dict[int, Expr] = {}

        def visit(e: Expr) -> None:
            if id(e) in done:
                return
            if not stop(e):
                for a in e.args:
                    visit(a)
            done[id(e)] = e

        for r in roots:
            visit(r)
        return list(done.values())

    def _passes(self, s: Stage) -> None:
        axes = range(len(self.groups))
        roots = [self.roots[i] for i in s.stores] + [r.args[0] for r in s.reductions]
        own = [*s.reductions] if not s.rows else []
        if s.rows:
            cone = self._cone(roots, self._stored)
            own = [e for e in cone if self._is_reduction(e) and not self._stored(e)]
        first = min((a for e in own for a in self.axes_of[e]), default=len(self.groups) - 1)
        if not s.rows:
            s.prefix, s.inner = (), tuple(axes[1:])
        elif len(self.groups) == 1:
            s.prefix, s.inner = (), (0,)
        else:
            first = max(1, first)
            s.prefix, s.inner = tuple(axes[:first]), tuple(axes[first:])
        level: dict[Expr, int] = {}
        mine = set(map(id, own))

        def level_of(e: Expr) -> int:
            if e not in level:
                if id(e) not in mine and self._stored(e):
                    level[e] = 0
                else:
                    level[e] = max((level_of(a) for a in e.args), default=0) + int(id(e) in mine)
            return level[e]

        placed: list[tuple[int, str, Expr, int, Axes]] = [
            (level_of(e) - 1, "reduce", e, -1, self._over(e)) for e in own
        ]
        placed += [(level_of(e.args[0]), "reduce", e, -1, self._over(e)) for e in s.reductions if id(e) not in mine]
        in_place = dict(self.kernel.in_place)
        for i in s.stores:
            placed.append(
                (level_of(self.roots[i]), "store", self.roots[i], i, self._operand_axes(self.kernel.outputs[i][0]))
            )
        last = max((p[0] for p in placed), default=0)
        for i, (_, kind, e, out, over) in enumerate(placed):
            if out >= 0 and self.kernel.outputs[out][0].name in in_place:
                placed[i] = (last, kind, e, out, over)
        s.passes = [[] for _ in range(last + 1)]
        late = {out for _, _, _, out, _ in placed if out >= 0 and self.kernel.outputs[out][0].name in in_place}
        for at, kind, e, out, over in sorted(placed, key=lambda p: p[3] in late):
            loops = tuple(a for a in s.inner if a in over)
            free = kind == "reduce" and id(e) in mine
            guard = () if free else tuple(a for a in s.prefix if a not in over and a != 0)
            same = [g for g in s.passes[at] if g.over == loops and g.guard == guard]
            if not same:
                same = [Group(loops, guard)]
                s.passes[at] += same
            same[-1].targets.append((kind, e, out))
        for groups in s.passes:
            groups.sort(key=lambda g: any(t[2] in late for t in g.targets))

    def _root(self, target: tuple[str, Expr, int]) -> Expr:
        return target[1].args[0] if target[0] == "reduce" else target[1]

    def _check_in_place(self, stages: list[Stage]) -> None:
        """No input may be read after (or beside) the loop nest that overwrites it."""
        names = {i: dict(self.kernel.in_place).get(o.name) for i, (o, _) in enumerate(self.kernel.outputs)}
        for o, (out, _) in enumerate(self.kernel.outputs):
            name = names[o]
            if name is None:
                continue
            operand = self.kernel.inputs[self.inputs[name]]
            if any(getattr(operand, name) != getattr(out, name) for name in ("shape", "rows", "dtype", "whole")):
                raise Unsupported(f"{out.name!r} overwrites {name!r}, which has another shape or type")
        written: set[str] = set()
        for s in stages:
            available = self._stop(s)
            for groups in s.passes:
                for group in groups:
                    cone = self._cone([self._root(t) for t in group.targets], available)
                    read = {str(e.data) for e in cone if e.op == "input"}
                    if read & written:
                        raise Unsupported(f"{sorted(read & written)} would be read after it was overwritten in place")
                    now = {n for _, _, out in group.targets if out >= 0 and (n := names[out]) is not None}
                    if group.guard and now:
                        raise Unsupported(f"{sorted(now)} would be overwritten inside a loop over another axis")
                    written |= now

    def _stop(self, s: Stage) -> object:
        own = {id(t[1]) for groups in s.passes for g in groups for t in g.targets if t[0] == "reduce"}
        return lambda e: id(e) in own or self._stored(e) or e in s.kept
