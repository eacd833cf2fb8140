"""Kernel to CUDA C++: maps, row kernels and column kernels, compiled at run time by NVRTC.

Three families carry everything that is printed here. With the axes of the domain in the order rows, first static axis,
..., last static axis, and leaving out axes of length 1:

* **map**: no reduction; one thread per element.
* **row**: every reduction runs over the same *last* axes; one warp (short rows) or one block (long rows) per group, a
  pass over the row for each level of nested reductions, reduced by shuffles.
* **column**: every reduction runs over the same *first* axes; per level one launch that sums chunks and one that
  combines the chunks in their order, then a map for the outputs that are as large as the domain. No atomics: the same
  numbers give the same bits, always.

Anything else raises :class:`NotPrintableError`, which says why; the caller then uses the array code of
``print_numpy``. Static lengths are literals, the number of rows is an argument, so one text serves all minibatches. The
source includes no header and takes no name of an operand. float16 is loaded and stored, the arithmetic is float32.

Knows no arrays, no CuPy and no device. Idea: the three loop families of the CPU engine; two-pass reductions as in CUB.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from cntk_lab.formula.cuda_words import BINARY_CALLS, COMPARISONS, INFIX, UNARY_CALLS, prelude
from cntk_lab.formula.expr import ROWS, Axis, Expr, topological
from cntk_lab.formula.extent import axes_of_data, check_outputs, extents, kind_of, operand_extent
from cntk_lab.formula.kernel import Kernel, Operand

BLOCK: Final = 256
WARPS_PER_BLOCK: Final = 4
LONG_ROW: Final = 1024
"""Rows longer than this get a whole block instead of a warp."""
CHUNKS: Final = 128
"""Largest number of partial results per column."""
MOST_OPERANDS: Final = 480
"""Arguments of a launch: 4096 bytes hold 512 pointers, with room for scratch and counts."""
NEUTRAL: Final = {"sum": "real(0)", "prod": "real(1)", "max": "-INFINITE", "min": "INFINITE"}


class NotPrintableError(ValueError):
    """The kernel does not belong to a family that CUDA code is generated for."""


@dataclass(frozen=True, slots=True)
class Launch:
    """One kernel of a module and the rule for its grid."""

    name: str
    family: str
    """``map``, ``row``, ``partial``, ``combine``: what :meth:`grid` counts."""
    block: int
    """Threads per block."""
    per_row: int
    """Elements (map), groups (row) or reduced positions (partial) for each row."""
    columns: int = 1
    """Columns (partial, combine)."""
    columns_per_block: int = 1
    needs_barriers: bool = False

    def grid(self, rows: int) -> tuple[int, int]:
        """Number of blocks along x and y for this many rows; (0, 1) when there is nothing to do."""
        if self.family == "map":
            return min(-(-rows * self.per_row // self.block), 8192), 1
        if self.family == "row":
            groups_per_block = WARPS_PER_BLOCK if self.block == 32 * WARPS_PER_BLOCK else 1
            return min(-(-rows * self.per_row // groups_per_block), 65536), 1
        if self.family == "partial":
            return -(-self.columns // self.columns_per_block), self.chunks(rows)
        return -(-self.columns // self.block), 1

    def chunks(self, rows: int) -> int:
        """Number of partial results per column."""
        lanes = BLOCK // self.columns_per_block
        return max(1, min(CHUNKS, -(-rows * self.per_row // (lanes * 8))))


@dataclass(frozen=True, slots=True)
class CudaSource:
    """CUDA C++ of one kernel; its launches run in order, all with (inputs, outputs, scratch, rows, chunks)."""

    code: str
    launches: tuple[Launch, ...]
    scratch: int
    """Elements of scratch memory, of the arithmetic's type."""
    dtype: str
    """Element type of the arithmetic and of the scratch memory."""
    per_row: int
    """Elements of the domain for each row (indices are 32 bits: rows * per_row must stay below 2 ** 31)."""


def cuda_source(kernel: Kernel) -> CudaSource:
    """CUDA C++ that computes a kernel's outputs.

    Args:
        kernel: what to compute.

    Returns:
        The source with its launches; equal text for equal kernels.

    Raises:
        NotPrintableError: if lengths are unknown, or the reductions are of no supported family.
        ValueError: if a formula uses an input or axis that the kernel lacks, or does not fit its output.
    """
    return _Printer(kernel).source()


# ---------------------------------------------------------------- indices


@dataclass(frozen=True, slots=True)
class _Part:
    """A variable that runs over neighbouring axes of the domain, first axis slowest."""

    variable: str
    axes: tuple[Axis, ...]


def _product(numbers: Iterable[int]) -> int:
    return math.prod(numbers)


class _Printer:
    """The text of one kernel: decides the family, then prints statement by statement."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.extent = extents(kernel)
        check_outputs(kernel, self.extent)
        if -3 in kernel.domain:
            raise NotPrintableError(f"lengths of the domain {kernel.domain} are known only when it runs")
        if 0 in kernel.domain:
            raise NotPrintableError(f"the domain {kernel.domain} has no elements")
        if len(kernel.inputs) + len(kernel.outputs) > MOST_OPERANDS:
            raise NotPrintableError(
                f"{len(kernel.inputs)} inputs and {len(kernel.outputs)} outputs do not fit a launch"
            )
        self.real = "double" if kernel.dtype == "float64" else "float"
        rank = len(kernel.domain)
        every: list[Axis] = [ROWS, *range(-rank, 0)]
        self.axes = tuple(a for a in every if self._counts(a))
        self.operands = {o.name: (f"a{i}", o) for i, o in enumerate(kernel.inputs)}
        self.order = list(topological([e for _, e in kernel.outputs]))
        self.reduced = self._common_axes()
        self.levels = self._levels()
        restrict = "" if kernel.in_place else " __restrict__"
        self.parameters = ", ".join(
            [f"const {self._stored(o)}*{restrict} a{i}" for i, o in enumerate(kernel.inputs)]
            + [f"{self._stored(o)}*{restrict} y{i}" for i, (o, _) in enumerate(kernel.outputs)]
            + ["real* scratch, const int rows, const int chunks"]
        )
        self.per_row = self.length(self.axes)

    # ---- the family

    def _counts(self, axis: Axis) -> bool:
        return self.kernel.rows if isinstance(axis, str) else self.kernel.domain[axis] != 1

    def length(self, axes: Sequence[Axis]) -> int:
        """Product of the static lengths of axes."""
        return _product(self.kernel.domain[a] for a in axes if not isinstance(a, str))

    def effective(self, e: Expr) -> frozenset[Axis]:
        """The axes of a reduction whose length is not 1."""
        return frozenset(a for a in axes_of_data(e) if a in self.axes)

    def _reductions(self) -> list[Expr]:
        return [e for e in self.order if e.op == "reduce" and self.effective(e)]

    def _common_axes(self) -> tuple[Axis, ...]:
        sets = {self.effective(e) for e in self._reductions()}
        if not sets:
            return ()
        if len(sets) > 1:
            listed = sorted(str(sorted(s, key=str)) for s in sets)
            raise NotPrintableError(f"reductions along different axes: {', '.join(listed)}")
        (axes,) = sets
        n = len(axes)
        if axes not in (frozenset(self.axes[:n]), frozenset(self.axes[-n:])):
            raise NotPrintableError(f"reduction along {sorted(axes, key=str)}, neither the first nor the last axes")
        return tuple(a for a in self.axes if a in axes)

    def _levels(self) -> list[list[Expr]]:
        """The reductions, those of the same depth of nesting together, innermost first."""
        depth: dict[Expr, int] = {}
        levels: list[list[Expr]] = []
        for e in self.order:
            depth[e] = max((depth[a] for a in e.args), default=0)
            if e.op == "reduce" and self.effective(e):
                depth[e] += 1
                if len(levels) < depth[e]:
                    levels.append([])
                levels[depth[e] - 1].append(e)
        return levels

    @property
    def is_row(self) -> bool:
        """Whether the reductions run over the last axes, unless that is one very long row: better in chunks."""
        last = ROWS not in self.reduced and self.reduced == self.axes[-len(self.reduced) :]
        return last and not (self.reduced == self.axes and self.length(self.reduced) > 4 * LONG_ROW)

    def source(self) -> CudaSource:
        """The whole text."""
        scratch = 0
        if self.levels and not self.is_row:
            body, launches, scratch = self._column()
        else:
            for operand, _ in self.kernel.outputs:
                if self.kernel.rows and not operand.rows:
                    raise NotPrintableError("an output without rows that no reduction over rows makes")
            body, launches = self._row() if self.levels else self._map()
        code = prelude(self.real) + body
        return CudaSource(code, tuple(launches), scratch, np.dtype(self.real).name, self.per_row)

    # ---- positions and values

    def offset(self, operand: Operand, parts: Sequence[_Part]) -> str:
        """The position in an operand's array, from the variables that run over the domain."""
        extent = operand_extent(operand)
        terms: list[str] = []
        stride = 1
        for part in reversed(parts):
            here = [a for a in part.axes if a in extent]
            if here:
                inner = self._within(part, here)
                terms.append(inner if stride == 1 else f"({inner}) * {stride}")
            stride *= self.length(here)
        return " + ".join(reversed(terms)) or "0"

    def _within(self, part: _Part, here: Sequence[Axis]) -> str:
        axes, n = part.axes, len(here)
        if n == len(axes):
            return part.variable
        if tuple(here) == axes[-n:]:
            return f"{part.variable} % {self.length(here)}"
        if tuple(here) == axes[:n]:
            return f"{part.variable} / {self.length(axes[n:])}"
        terms: list[str] = []
        stride = 1
        for axis in reversed(here):
            place = self.place(axis, [part])
            terms.append(place if stride == 1 else f"{place} * {stride}")
            stride *= self.length([axis])
        return " + ".join(reversed(terms))

    def place(self, axis: Axis, parts: Sequence[_Part]) -> str:
        """The coordinate along one axis."""
        for part in parts:
            if axis in part.axes:
                at = part.axes.index(axis)
                behind = self.length(part.axes[at + 1 :])
                text = part.variable if behind == 1 else f"({part.variable} / {behind})"
                return text if at == 0 else f"({text} % {self.length([axis])})"
        return "0"

    def _stored(self, operand: Operand) -> str:
        try:
            return {"float16": "half_bits", "float32": "float", "float64": "double"}[operand.dtype]
        except KeyError:
            raise NotPrintableError(f"an operand of element type {operand.dtype}") from None

    def number(self, value: object) -> str:
        """A literal of the arithmetic's type."""
        if not isinstance(value, float):
            raise TypeError(f"constant {value!r} is no number")
        with np.errstate(all="ignore"):
            rounded = float(np.float32(value)) if self.real == "float" else value
        if math.isnan(rounded):
            return "NOT_A_NUMBER"
        if math.isinf(rounded):
            return "INFINITE" if rounded > 0 else "-INFINITE"
        return f"real({rounded!r})"

    def statements(
        self, roots: Sequence[Expr], known: dict[Expr, str], parts: Sequence[_Part]
    ) -> tuple[list[str], dict[Expr, str]]:
        """The statements that compute ``roots`` at one position, and the name of each value."""
        names = dict(known)
        lines: list[str] = []
        for e in _below(roots, known):
            if e in names:
                continue
            if e.op == "const":
                names[e] = self.number(e.data)
            elif e.op == "reduce":  # along axes of length 1
                names[e] = names[e.args[0]]
            else:
                names[e] = f"t{len(names)}"
                lines.append(f"const real {names[e]} = {self._value(e, [names[a] for a in e.args], parts)};")
        return lines, names

    def _value(self, e: Expr, arguments: list[str], parts: Sequence[_Part]) -> str:
        if e.op == "input":
            name, operand = self.operands[str(e.data)]
            return f"load({name}, {self.offset(operand, parts)})"
        if e.op == "coordinate":
            return f"real({self.place(axes_of_data(e)[0], parts)})"
        if e.op == "where":
            c, x, y = arguments
            return f"{c} != real(0) ? {x} : {y}"
        if e.op in INFIX:
            return f"{arguments[0]} {INFIX[e.op]} {arguments[1]}"
        if e.op in COMPARISONS:
            return f"flag({arguments[0]} {COMPARISONS[e.op]} {arguments[1]})"
        calls = {**UNARY_CALLS, **BINARY_CALLS}
        if e.op not in calls:
            raise ValueError(f"print_cuda: unknown word {e.op!r}")
        return f"{calls[e.op]}({', '.join(arguments)})"

    def stores(self, which: Sequence[int], known: dict[Expr, str], parts: Sequence[_Part]) -> list[str]:
        """The statements that compute and store some outputs at one position."""
        outputs = self.kernel.outputs
        lines, names = self.statements([outputs[i][1] for i in which], known, parts)
        for i in which:
            operand, e = outputs[i]
            lines.append(f"store(y{i}, {self.offset(operand, parts)}, {names[e]});")
        return lines

    # ---- map

    def _map(self, name: str = "map_all", which: Sequence[int] | None = None, known: dict[Expr, str] | None = None,
             parts: Sequence[_Part] | None = None, before: Sequence[str] = ()) -> tuple[str, list[Launch]]:  # fmt: skip
        parts = parts or [_Part("i", self.axes)]
        which = range(len(self.kernel.outputs)) if which is None else which
        count = f"rows * {self.per_row}" if self.kernel.rows else str(self.per_row)
        body = [*before, *self.stores(list(which), known or {}, parts)]
        loop = _loop(
            "int i = blockIdx.x * blockDim.x + threadIdx.x", f"i < {count}", "i += gridDim.x * blockDim.x", body
        )
        return self._global(name, loop), [Launch(name, "map", BLOCK, self.per_row)]

    def _global(self, name: str, body: Sequence[str]) -> str:
        return (
            f'\nextern "C" __global__ void {name}({self.parameters}) {{\n' + "".join(f"  {b}\n" for b in body) + "}\n"
        )

    # ---- row

    def _row(self) -> tuple[str, list[Launch]]:
        row = self.length(self.reduced)
        lead = self.axes[: len(self.axes) - len(self.reduced)]
        parts = [_Part("g", lead), _Part("j", self.reduced)]
        long = row > LONG_ROW
        threads, lane = (BLOCK, "threadIdx.x") if long else (32, "threadIdx.x % 32")
        body: list[str] = []
        known: dict[Expr, str] = {}
        for level in self.levels:
            lines, names = self.statements([e.args[0] for e in level], known, parts)
            accumulators = {e: f"s{len(known) + n}" for n, e in enumerate(level)}
            body += [f"real {s} = {NEUTRAL[kind_of(e)]};" for e, s in accumulators.items()]
            lines += [f"{s} = join_{kind_of(e)}({s}, {names[e.args[0]]});" for e, s in accumulators.items()]
            body += _loop(f"int j = {lane}", f"j < {row}", f"j += {threads}", lines)
            scope = "block" if long else "warp"
            body += [f"{s} = {scope}_{kind_of(e)}({s});" for e, s in accumulators.items()]
            known.update(accumulators)
        wide = [i for i, (o, _) in enumerate(self.kernel.outputs) if operand_extent(o) & set(self.reduced)]
        narrow = [i for i in range(len(self.kernel.outputs)) if i not in wide]
        if wide:
            body += _loop(f"int j = {lane}", f"j < {row}", f"j += {threads}", self.stores(wide, known, parts))
        if narrow:
            body += [f"if ({lane} == 0) {{", "  const int j = 0;", *_indent(self.stores(narrow, known, parts)), "}"]
        groups = self.length(lead)
        count = f"rows * {groups}" if self.kernel.rows else str(groups)
        if long:
            loop = _loop("int g = blockIdx.x", f"g < {count}", "g += gridDim.x", body)
            launch = Launch("row_all", "row", BLOCK, groups, needs_barriers=True)
        else:
            first, step = f"blockIdx.x * {WARPS_PER_BLOCK} + threadIdx.x / 32", f"gridDim.x * {WARPS_PER_BLOCK}"
            loop = _loop(f"int g = {first}", f"g < {count}", f"g += {step}", body)
            launch = Launch("row_all", "row", 32 * WARPS_PER_BLOCK, groups, needs_barriers=True)
        return self._global("row_all", loop), [launch]

    # ---- column

    def _column(self) -> tuple[str, list[Launch], int]:
        kept = self.axes[len(self.reduced) :]
        columns, per_row = self.length(kept), self.length(self.reduced)
        parts = [_Part("r", self.reduced), _Part("k", kept)]
        wide = [i for i, (o, _) in enumerate(self.kernel.outputs) if operand_extent(o) & set(self.reduced)]
        narrow = [i for i in range(len(self.kernel.outputs)) if i not in wide]
        if wide and narrow and self.kernel.in_place:
            raise NotPrintableError("outputs in place of both a column and the whole domain")
        width = min(32, 1 << (columns - 1).bit_length())
        count = f"rows * {per_row}" if ROWS in self.reduced else str(per_row)
        text, launches = "", []
        known: dict[Expr, str] = {}
        totals: dict[Expr, int] = {}
        for depth, level in enumerate(self.levels):
            reads = [f"const real {known[e]} = scratch[{at * columns} + k];" for e, at in totals.items()]
            partial_at = {e: (len(totals) + n) for n, e in enumerate(level)}
            text += self._partial(f"partial{depth}", level, known, reads, parts, width, count)
            text += self._combine(f"combine{depth}", level, known, reads, partial_at, columns,
                                  narrow if depth == len(self.levels) - 1 else (), parts)  # fmt: skip
            launches += [
                Launch(f"partial{depth}", "partial", BLOCK, per_row, columns, width, needs_barriers=True),
                Launch(f"combine{depth}", "combine", BLOCK, per_row, columns, width),
            ]
            for e in level:
                known[e] = f"s{len(totals)}"
                totals[e] = len(totals)
        if wide:
            reads = [f"const int r = i / {columns}, k = i % {columns};"]
            reads += [f"const real {known[e]} = scratch[{at * columns} + k];" for e, at in totals.items()]
            more, last = self._map("finish", wide, known, parts, reads)
            text, launches = text + more, [*launches, *last]
        most = max(len(level) for level in self.levels)
        return text, launches, columns * (len(totals) + CHUNKS * most)

    def _first_partial(self) -> int:
        """Totals of all reductions come first in the scratch memory, the chunks of the level at hand behind them."""
        return sum(len(level) for level in self.levels)

    def _partial(self, name: str, level: list[Expr], known: dict[Expr, str], reads: list[str], parts: Sequence[_Part],
                 width: int, count: str) -> str:  # fmt: skip
        columns = self.length(parts[1].axes)
        lanes = BLOCK // width
        lines, names = self.statements([e.args[0] for e in level], known, parts)
        sums = {e: f"p{n}" for n, e in enumerate(level)}
        lines += [f"{s} = join_{kind_of(e)}({s}, {names[e.args[0]]});" for e, s in sums.items()]
        body = [
            f"const int column = threadIdx.x % {width}, lane = threadIdx.x / {width};",
            f"const int k = blockIdx.x * {width} + column;",
            *(f"real {s} = {NEUTRAL[kind_of(e)]};" for e, s in sums.items()),
            f"if (k < {columns}) {{",
            *_indent(reads),
            *_indent(
                _loop(f"int r = blockIdx.y * {lanes} + lane", f"r < {count}", f"r += gridDim.y * {lanes}", lines),
            ),
            "}",
        ]
        for n, (e, s) in enumerate(sums.items()):
            start = (self._first_partial() + n * CHUNKS) * columns
            body += [f"{s} = lanes_{kind_of(e)}<{width}>({s});"]
            body += [f"if (lane == 0 && k < {columns}) scratch[{start} + blockIdx.y * {columns} + k] = {s};"]
        return self._global(name, body)

    def _combine(self, name: str, level: list[Expr], known: dict[Expr, str], reads: list[str], at: dict[Expr, int],
                 columns: int, outputs: Sequence[int], parts: Sequence[_Part]) -> str:  # fmt: skip
        body = ["const int k = blockIdx.x * blockDim.x + threadIdx.x;", f"if (k >= {columns}) return;", *reads]
        here = dict(known)
        for n, e in enumerate(level):
            s, kind, start = f"s{at[e]}", kind_of(e), (self._first_partial() + n * CHUNKS) * columns
            here[e] = s
            body.append(f"real {s} = {NEUTRAL[kind]};")
            chunk = f"scratch[{start} + c * {columns} + k]"
            body += [f"for (int c = 0; c < chunks; ++c) {s} = join_{kind}({s}, {chunk});"]
            body.append(f"scratch[{at[e] * columns} + k] = {s};")
        if outputs:
            body += ["const int r = 0;", *self.stores(list(outputs), here, parts)]
        return self._global(name, body)


def _below(roots: Sequence[Expr], known: dict[Expr, str]) -> list[Expr]:
    """The expressions below ``roots`` in order, not looking below those whose value is known."""
    done: set[Expr] = set()
    order: list[Expr] = []
    stack = [(r, False) for r in reversed(roots)]
    while stack:
        e, expanded = stack.pop()
        if e in done:
            continue
        if expanded or e in known or not e.args:
            done.add(e)
            order.append(e)
        else:
            stack.append((e, True))
            stack.extend((a, False) for a in reversed(e.args))
    return order


def _indent(lines: Iterable[str]) -> list[str]:
    return ["  " + line for line in lines]


def _loop(start: str, test: str, step: str, body: Sequence[str]) -> list[str]:
    return [f"for ({start}; {test}; {step}) {{", *_indent(body), "}"]
