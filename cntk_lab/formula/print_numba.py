"""Kernel to a CPU loop nest: Python text in the words of ``backends/cpu/words.py``, which numba compiles to vector
code.

The printed function ``kernel(block, thread, threads, phase)`` gets the address of an int64 argument block: addresses
of the inputs, addresses of the outputs, number of rows, address of scratch memory. Sizes are literals; only the rows
are a number read from the block. Arrays are dense and do not overlap, except the pairs of ``Kernel.in_place``.

How a kernel becomes loops. Neighbouring axes that all operands treat alike become one. The first axis (the rows, if
there are any) is the *outer* loop, split over threads. A reduction that includes it is *global*: each thread keeps
partial results, which the next phase combines in the order of threads, so that the same threads give the same bits.
All other reductions are *inner*: one row is walked in several passes while it stays in cache; costly values needed by
two passes are kept in a buffer of one row, and costly ones that are the same in every row are computed before the
first. What depends on no row (updates of biases, norms) is done by one thread
between the phases. So softmax, cross-entropy, gradients with their column sums, batch statistics and learners' updates
are one scheme.

Knows no arrays, no numba and no plans. Idea: Halide's separation of formula and schedule.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from cntk_lab.formula.expr import BOOLEAN, Expr
from cntk_lab.formula.extent import kind_of
from cntk_lab.formula.kernel import Kernel, Operand
from cntk_lab.formula.schedule import LOADS, Group, Schedule, Stage, Unsupported
from cntk_lab.formula.words_numba import LIBRARY, OWN, number, word

__all__ = ["Code", "Unsupported", "numba_code", "supported"]

BLOCK: Final = 4096
"""Elements of a one-dimensional kernel that are walked at a time: small enough for the cache."""
MOST_SCRATCH: Final = 64 << 20
_SIZES: Final = {"float32": 4, "float64": 8, "int32": 4, "int64": 8}
_STANDING: Final = 40
"""So many buffers of scratch memory leave room for values that are the same in every row."""
_COSTLY: Final = (OWN | LIBRARY | {"div", "sqrt"}) - {"sign", "isfinite"}
_IDENTITY: Final = {"sum": "0.0", "prod": "1.0", "max": "-np.inf", "min": "np.inf"}


@dataclass(frozen=True, slots=True)
class Code:
    """A printed kernel and what whoever runs it must know."""

    source: str
    inputs: tuple[str, ...]
    """Operands in the order of the block: inputs, then outputs, then ``rows`` and the address of the scratch memory."""
    outputs: tuple[str, ...]
    phases: int
    shared_bytes: int
    thread_bytes: int
    row_work: float
    """Nanoseconds of work per row, estimated (for all, if the kernel has no rows)."""

    def scratch_bytes(self, threads: int) -> int:
        """Bytes of scratch memory, on a cache line, for this number of threads (0: none is needed)."""
        return self.shared_bytes + threads * self.thread_bytes

    def fields(self) -> int:
        """Length of the argument block."""
        return len(self.inputs) + len(self.outputs) + 2


def supported(kernel: Kernel) -> str | None:
    """Why a kernel cannot be printed for the CPU, or None if it can."""
    try:
        numba_code(kernel)
    except Unsupported as reason:
        return str(reason)
    return None


@lru_cache(maxsize=4096)
def numba_code(kernel: Kernel) -> Code:
    """The source of a kernel for ``backends/cpu/jit.py``.

    Args:
        kernel: formulas over a domain; float32 or float64.

    Returns:
        Code, the same for equal kernels.

    Raises:
        Unsupported: if the kernel is outside of what is printed; the message says why.
    """
    return _Printer(kernel).code()


class _Printer(Schedule):
    """One walk from a kernel to text."""

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        self.lines: list[str] = []
        self.depth = 1
        self.count = 0
        self.work = 0.0
        self.shared: dict[Expr, str] = {}
        self.shared_bytes = 0
        self.thread_bytes = 0
        self.buffers: list[str] = []

    def emit(self, line: str) -> None:
        """Add a line at the current depth."""
        self.lines.append("    " * self.depth + line)

    def new(self, letter: str = "v") -> str:
        """A name that was not used yet."""
        self.count += 1
        return f"{letter}{self.count}"

    def _scope(self, operand: int) -> int:
        """The number of the alias scope of an operand: an output in place has its input's."""
        n = len(self.kernel.inputs)
        if operand >= n:
            name = dict(self.kernel.in_place).get(self.kernel.outputs[operand - n][0].name)
            if name is not None:
                return self.inputs[name]
        return operand

    def _buffer(self, elements: int, kind: str, shared: bool) -> str:
        """Scratch memory for so many elements; its name and scope are one, ``s3_f32``."""
        size = -(-elements * (8 if kind == "f64" else 4) // 64) * 64
        name = f"{'g' if shared else 's'}{len(self.buffers)}"
        start = self.shared_bytes if shared else self.thread_bytes
        self.buffers.append(f"{name} = {'scratch' if shared else 'own'} + {start}")
        if shared:
            self.shared_bytes += size
        else:
            self.thread_bytes += size
        if max(self.shared_bytes, self.thread_bytes) > MOST_SCRATCH:
            raise Unsupported(f"needs more than {MOST_SCRATCH >> 20} MiB of scratch memory")
        return f"{name}:{kind}"

    def code(self) -> Code:
        """The whole text."""
        stages = self._stages()
        for e in self.order:
            if self._stored(e):
                self.shared[e] = self._buffer(math.prod(self.static[a] for a in self.dep[e]), self.real, shared=True)
        partial: dict[Expr, str] = {}
        for s in stages:
            for e in s.reductions:
                if s.rows:
                    direct = bool(s.inner) and self._direct(e, s)
                    n = math.prod(self.static[a] for a in self.dep[e])
                    partial[e] = self._buffer(n, self.real if direct else "f64", shared=False)
        bodies: list[list[str]] = []
        for s in stages:
            self.lines, self.depth = [], 2
            _Writer(self, s, partial).write()
            bodies.append(self.lines)
        self.lines, self.depth = ["def kernel(block, thread, threads, phase):"], 1
        self._preamble()
        for i, body in enumerate(bodies):
            self.emit(f"if phase == {i}:")
            self.lines += body or ["        pass"]
        if not bodies:
            self.emit("pass")
        outputs = tuple(o.name for o, _ in self.kernel.outputs)
        per_row = self.work * (2 if self.real == "f64" else 1)
        names = tuple(self.inputs)
        text = "\n".join(self.lines) + "\n"
        return Code(text, names, outputs, len(bodies), self.shared_bytes, self.thread_bytes, per_row)

    def _direct(self, e: Expr, s: Stage) -> bool:
        """Whether a reduction adds whole rows (its innermost loop runs along what it keeps)."""
        over = [a for a in s.inner if a in self._over(e)]
        return bool(over) and over[-1] in self.dep[e]

    def _preamble(self) -> None:
        n = len(self.kernel.inputs)
        in_place = dict(self.kernel.in_place)
        for i in range(n):
            self.emit(f"p{i} = ld_i64(block, {i}, -1)")
        for i, (operand, _) in enumerate(self.kernel.outputs):
            same = in_place.get(operand.name)
            self.emit(f"p{n + i} = " + (f"p{self.inputs[same]}" if same is not None else f"ld_i64(block, {n + i}, -1)"))
        total = n + len(self.kernel.outputs)
        self.emit(f"rows = ld_i64(block, {total}, -1)")
        if self.buffers:
            self.emit(f"scratch = ld_i64(block, {total + 1}, -1)")
            self.emit(f"each = {self.thread_bytes}")
            self.emit(f"own = scratch + {self.shared_bytes} + thread * each")
            for line in self.buffers:
                self.emit(line)


class _Writer:
    """The lines of one stage."""

    def __init__(self, printer: _Printer, stage: Stage, partial: dict[Expr, str]) -> None:
        self.p, self.s, self.partial = printer, stage, partial
        self.flat = stage.rows and stage.inner == (0,)
        self.variable = {a: f"x{a}" for a in range(len(printer.groups))}
        self.results: dict[Expr, str] = {}
        """Inner reductions that are done: a variable's name, or a buffer."""
        self.values: dict[Expr, str] = {}
        """Values that hold for the whole row."""
        self.standing: set[Expr] = set()
        """Values that are the same in every row, computed before the first one."""

    def write(self) -> None:
        """All lines of the stage."""
        p, s = self.p, self.s
        if not s.rows:
            p.emit("if thread == 0:")
            p.depth += 1
            for e in s.combine:
                self._combine(e)
            self._keep()
            self._body()
            p.depth -= 1
            return
        self._stand()
        self._keep()
        for e in s.reductions:
            self._fill(self.partial[e], math.prod(p.static[a] for a in p.dep[e]), kind_of(e))
        unit = 16 if self.flat else 1
        p.emit(f"n = {p._length(0)}")
        p.emit(f"share = ((n + threads * {unit} - 1) // (threads * {unit})) * {unit}")
        p.emit("low = min(n, thread * share)")
        p.emit("high = min(n, low + share)")
        before = p.depth
        if self.flat:
            p.emit(f"for base in range(low, high, {BLOCK}):")
            p.depth += 1
            p.emit(f"n0 = min({BLOCK}, high - base)")
        for a in s.prefix:
            p.emit(f"for x{a} in range({'low, high' if a == 0 else p.static[a]}):")
            p.depth += 1
        self._body()
        p.depth = before

    # ------------------------------------------------------------ buffers

    def _fill(self, buffer: str, count: int, kind: str) -> None:
        name, real = buffer.split(":")
        self.p.emit(f"for i in range({count}):")
        self.p.emit(f"    st_{real}({name}, i, {real}({_IDENTITY[kind]}), {self._scope(buffer)})")

    def _scope(self, buffer: str) -> int:
        n = 48 + int(buffer.split(":", maxsplit=1)[0][1:])
        return n if n < 96 else -1

    def _combine(self, e: Expr) -> None:
        """Fold the threads' partial results, in the order of the threads."""
        p, kind = self.p, kind_of(e)
        (name, real), target = self.partial[e].split(":"), p.shared[e]
        shared = target.split(":")[0]
        p.emit(f"for i in range({math.prod(p.static[a] for a in p.dep[e])}):")
        p.emit(f"    total = ld_{real}({name}, i, -1)")
        p.emit("    for t in range(1, threads):")
        p.emit(f"        total = r_{kind}(total, ld_{real}({name} + t * each, i, -1))")
        p.emit(f"    st_{p.real}({shared}, i, to_{p.real}(total), -1)")

    def _stand(self) -> None:
        """Compute costly values that are the same in every row once, before the rows."""
        p, s = self.p, self.s
        if self.flat:
            return
        work = p.work
        for e in self._same_in_every_row():
            if len(p.buffers) >= _STANDING or math.prod(p.static[a] for a in p.dep[e]) > BLOCK:
                break
            over = tuple(a for a in s.inner if a in p.dep[e])
            s.kept[e] = p._buffer(math.prod(p.static[a] for a in over), p.real, shared=False)
            if not self.standing:
                for i in range(len(p.kernel.inputs)):
                    p.emit(f"q{i} = p{i}")
            self._group(Group(over, (), [("keep", e, -1)]), self.standing)
            self.standing.add(e)
        p.work = work
        self.values.clear()

    def _same_in_every_row(self) -> list[Expr]:
        """The largest expressions of the stage that depend on no row and hold something costly."""
        p, s = self.p, self.s
        roots = [p._root(t) for groups in s.passes for group in groups for t in group.targets]
        stop = p._stop(s)
        cone = p._cone(roots, stop)
        below = {e: () if p._stored(e) else e.args for e in cone}
        own = {t[1] for groups in s.passes for group in groups for t in group.targets if t[0] == "reduce"}
        changes: dict[Expr, bool] = {}
        costly: dict[Expr, bool] = {}
        for e in cone:
            changes[e] = bool(p.dep[e] & set(s.prefix)) or (e in own and not p._stored(e))
            changes[e] = changes[e] or any(changes.get(a, True) for a in below[e])
            costly[e] = bool(below[e]) and (e.op in _COSTLY or any(costly.get(a, False) for a in below[e]))
        used = {a for e in cone if changes[e] for a in below[e]} | set(roots)
        return [e for e in cone if e in used and not changes[e] and costly[e] and p.dep[e]]

    def _keep(self) -> None:
        """Choose costly values that two passes need, to be kept in a buffer of one row."""
        p, s = self.p, self.s
        if len(s.passes) < 2:
            return
        for e in reversed(p.order):
            inner = [a for a in s.inner if a in p.dep[e]]
            if e.op not in _COSTLY or not inner or e in s.kept:
                continue
            stop = p._stop(s)
            users = []
            for at, groups in enumerate(s.passes):
                for group in groups:
                    if any(x is e for x in p._cone([p._root(t) for t in group.targets], stop)):
                        users.append((at, group))  # noqa: PERF401
            elements = BLOCK if self.flat else math.prod(p.static[a] for a in inner)
            first = next(
                (g for at, g in users if at == users[0][0] and set(inner) <= set(g.over) and not g.guard), None
            )
            if first is None or users[-1][0] == users[0][0] or elements > 65536:
                continue
            first.targets.append(("keep", e, -1))
            s.kept[e] = p._buffer(elements, p.real, shared=False)

    # ------------------------------------------------------------ loops

    def _body(self) -> None:
        """All passes over one row."""
        s = self.s
        self._row_pointers()
        ready = set(self.standing)
        for groups in s.passes:
            for group in groups:
                self._group(group, ready)
            ready |= {t[1] for g in groups for t in g.targets if t[0] == "keep"}
        self.values.clear()
        self.results.clear()

    def _row_pointers(self) -> None:
        p, s = self.p, self.s
        operands = [*p.kernel.inputs, *(o for o, _ in p.kernel.outputs)]
        for i, operand in enumerate(operands):
            strides = p._operand_strides(operand)
            terms = [f"x{a} * {strides[a] * _SIZES[operand.dtype]}" for a in s.prefix if a in strides]
            if self.flat and 0 in strides:
                terms = [f"base * {strides[0] * _SIZES[operand.dtype]}"]
            p.emit(f"q{i} = p{i}" + "".join(f" + {t}" for t in terms))

    def _group(self, group: Group, ready: set[Expr]) -> None:
        """One loop nest."""
        p, s = self.p, self.s
        outside = p.depth
        values = self.values
        if group.guard:
            p.emit("if " + " and ".join(f"x{a} == 0" for a in group.guard) + ":")
            p.depth += 1
            values = dict(values)
        making = {t[1] for t in group.targets if t[0] == "keep"}
        done = set(self.results)

        def stop(e: Expr) -> bool:
            return e in done or p._stored(e) or (e in ready and e not in making)

        cone = p._cone([p._root(t) for t in group.targets], stop)
        by_level: dict[int, list[Expr]] = {}
        for e in cone:
            at = max((group.over.index(a) + 1 for a in group.over if a in p.dep[e]), default=0)
            by_level.setdefault(at, []).append(e)
        reductions = [(e, self._plan_reduction(e, group)) for kind, e, _ in group.targets if kind == "reduce"]
        self._account(group, cone)
        local = values
        for depth in range(len(group.over) + 1):
            if depth:
                a = group.over[depth - 1]
                p.emit(f"for x{a} in range({'n0' if self.flat else p.static[a]}):")
                p.depth += 1
                if depth == 1:
                    local = dict(values)
            for e, (level, accumulator, _) in reductions:
                if level == depth and accumulator:
                    p.emit(f"{accumulator} = {p.real}({_IDENTITY[kind_of(e)]})")
            for e in by_level.get(depth, []):
                self._value(e, local, ready if e not in making else ready - {e})
        for kind, e, out in group.targets:
            if kind == "store":
                self._store(e, out, local)
            elif kind == "keep":
                buffer = s.kept[e]
                index = self._index([a for a in s.inner if a in p.dep[e]])
                p.emit(
                    f"st_{p.real}({buffer.split(':')[0]}, {index}, {number(e, local, p.real)}, {self._scope(buffer)})"
                )
        for e, (_, accumulator, _) in reductions:
            x, kind = number(e.args[0], local, p.real), kind_of(e)
            if accumulator:
                p.emit(f"{accumulator} = r_{kind}({accumulator}, {x})")
            else:
                self._into_buffer(e, x)
        for depth in range(len(group.over), -1, -1):
            for e, (level, accumulator, _) in reductions:
                if level == depth and accumulator:
                    self._finish(e, accumulator, group)
            if depth:
                p.depth -= 1
        p.depth = outside

    def _plan_reduction(self, e: Expr, group: Group) -> tuple[int, str, None]:
        """Where a reduction's accumulator lives (loop level) and its name; no name: it adds straight into a buffer."""
        p = self.p
        kept = [group.over.index(a) + 1 for a in group.over if a in p.dep[e]]
        level = max(kept, default=0)
        buffered = bool(kept) and not (self.s.rows and e in self.partial)
        if not self.s.rows:
            buffered = True
        if buffered and not self._is_global(e):
            if e in p.shared:
                target = p.shared[e]
            else:
                target = p._buffer(math.prod(p.static[a] for a in group.over if a in p.dep[e]), p.real, shared=False)
            self.results[e] = target
            count = math.prod(p.static[a] for a in group.over if a in p.dep[e])
            self._fill(target, count, kind_of(e))
        if group.over and level == len(group.over):
            return level, "", None
        return level, p.new("a"), None

    def _is_global(self, e: Expr) -> bool:
        return self.s.rows and 0 in self.p.axes_of[e]

    def _target(self, e: Expr) -> tuple[str, str]:
        """The buffer a reduction adds into, and the index of the element at hand."""
        p = self.p
        if self._is_global(e):
            return self.partial[e], self._index(sorted(p.dep[e]))
        axes = sorted(p.dep[e]) if not self.s.rows else [a for a in self.s.inner if a in p.dep[e]]
        return self.results[e], self._index(axes)

    def _store(self, e: Expr, out: int, values: dict[Expr, str]) -> None:
        """Write one element of an output."""
        p = self.p
        operand, i = p.kernel.outputs[out][0], len(p.kernel.inputs) + out
        kind, x = LOADS[operand.dtype], number(e, values, self.p.real)
        p.emit(f"st_{kind}(q{i}, {self._within(operand)}, to_{kind}({x}), {p._scope(i)})")

    def _into_buffer(self, e: Expr, x: str) -> None:
        buffer, index = self._target(e)
        name, real = buffer.split(":")
        scope = self._scope(buffer)
        self.p.emit(
            f"st_{real}({name}, {index}, r_{kind_of(e)}(ld_{real}({name}, {index}, {scope}), to_{real}({x})), {scope})"
        )

    def _finish(self, e: Expr, accumulator: str, group: Group) -> None:  # noqa: ARG002
        """The inner loops of a reduction are over: keep its result."""
        if self._is_global(e) or e in self.results:
            self._into_buffer(e, accumulator)
        else:
            self.results[e] = accumulator

    def _index(self, axes: Iterable[int]) -> str:
        axes = list(axes)
        strides = self.p._strides(axes)
        if self.flat:
            return "x0" if axes else "0"
        return " + ".join(f"x{a}" if strides[a] == 1 else f"x{a} * {strides[a]}" for a in axes) or "0"

    def _account(self, group: Group, cone: list[Expr]) -> None:
        """Add this nest to the estimate of work."""
        p, s = self.p, self.s
        if not s.rows:
            return
        cost = 0.05
        for e in cone:
            if p.dep[e] & set(group.over):
                cost += 8.0 if e.op in LIBRARY else 0.3 if e.op in _COSTLY else 0.1 if e.op == "input" else 0.03
        cost += 0.1 * sum(t[0] != "reduce" for t in group.targets)
        each = 1.0 if p.dynamic else float(p.static[0])
        if p.dynamic and self.flat:
            each = float(p.static[0])
        inner = [p.static[a] for a in (*s.prefix, *group.over) if a != 0]
        p.work += cost * each * math.prod(inner) + (0.0 if self.flat else 2.0 * each)

    # ------------------------------------------------------------ expressions

    def _value(self, e: Expr, values: dict[Expr, str], ready: set[Expr]) -> None:
        """Emit the value of ``e`` and remember its name."""
        if e in values:
            return
        text = self._loaded(e, ready)
        if text is None:
            text = self._text(e, values)
        elif e.op in BOOLEAN:
            text = f"{text} != {self.p.real}(0.0)"
        if e.op == "const":
            values[e] = text
            return
        name = self.p.new()
        self.p.emit(f"{name} = {text}")
        values[e] = name

    def _loaded(self, e: Expr, ready: set[Expr]) -> str | None:
        """A value that was computed before, as a number; None if it is to be computed here."""
        p, s = self.p, self.s
        if e in ready:
            buffer = s.kept[e]
            index = self._index([a for a in s.inner if a in p.dep[e]])
            return f"ld_{p.real}({buffer.split(':')[0]}, {index}, {self._scope(buffer)})"
        if e in self.results:
            result = self.results[e]
            if ":" not in result:
                return result
            buffer, index = self._target(e)
            return f"ld_{p.real}({buffer.split(':')[0]}, {index}, {self._scope(buffer)})"
        if p._stored(e):
            return (
                f"ld_{p.real}({p.shared[e].split(':')[0]}, {self._index(sorted(p.dep[e]))}, {self._scope(p.shared[e])})"
            )
        return None

    def _text(self, e: Expr, values: dict[Expr, str]) -> str:
        p = self.p
        if e.op == "input":
            i = p.inputs[str(e.data)]
            operand = p.kernel.inputs[i]
            kind = LOADS[operand.dtype]
            text = f"ld_{kind}(q{i}, {self._within(operand)}, {p._scope(i)})"
            return text if kind == p.real else f"to_{p.real}({text})"
        if e.op == "const":
            assert isinstance(e.data, float)
            text = (
                repr(e.data)
                if math.isfinite(e.data)
                else f"{'-' if e.data < 0 else ''}np.{'nan' if e.data != e.data else 'inf'}"
            )
            return f"{p.real}({text})"
        if e.op == "coordinate":
            axes = p.axes_of[e]
            if not axes:
                return f"{p.real}(0.0)"
            (a,) = axes
            return f"to_{p.real}(base + x0)" if self.flat else f"to_{p.real}(x{a})"
        if p._is_count(e):
            one = e.args[0].data
            assert isinstance(one, float)
            of_rows = p.dynamic and 0 in p.axes_of[e]
            each = one * math.prod(p.static[a] for a in p.axes_of[e])
            return f"{p.real}(f64(rows) * {each!r})" if of_rows else f"{p.real}({each!r})"
        if e.op == "reduce":
            return number(e.args[0], values, p.real)
        return word(e, values, p.real)

    def _within(self, operand: Operand) -> str:
        """Index of an operand's element inside the row at hand."""
        strides = self.p._operand_strides(operand)
        if self.flat:
            return ("x0" if strides[0] == 1 else f"x0 * {strides[0]}") if 0 in strides else "0"
        axes = [a for a in self.s.inner if a in strides]
        return " + ".join(f"x{a}" if strides[a] == 1 else f"x{a} * {strides[a]}" for a in axes) or "0"
