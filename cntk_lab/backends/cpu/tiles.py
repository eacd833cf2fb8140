"""Tiles of matrix products in vectors of 16 floats: the words of ``thin.py``'s kernels, as LLVM's own instructions.

LLVM turns plain loops into vector code of its own choice; for a product, whose sums have to stay in registers, that
choice is never the right one. So these words say it themselves: which vectors are loaded, multiplied, transposed and
stored. Each sum is made in the same order whatever tile it lies in, so that an element has the same bits at any
position. Only columns and rows that exist are read or written (masked loads and stores).

Only imported where a kernel is compiled (a child process): importing it imports numba. Knows no plans.
"""

# mypy: disable-error-code="call-arg,call-overload,no-any-return,misc,no-untyped-call"
# numba calls an intrinsic without its first parameter, which type checkers cannot know
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

LANES = 16
_FLOAT, _LONG, _INT = ir.FloatType(), ir.IntType(64), ir.IntType(32)
_VECTOR, _MASK = ir.VectorType(_FLOAT, LANES), ir.VectorType(ir.IntType(1), LANES)
_CONTRACT = ("contract",)


class _Code:
    """What the words below say to LLVM's builder, in short. Addresses and counts are int64; places are in floats."""

    def __init__(self, builder: Any) -> None:
        self.builder = builder
        self.zero = ir.Constant(_VECTOR, [0.0] * LANES)

    def number(self, value: int) -> Any:
        return ir.Constant(_LONG, value)

    def add(self, a: Any, b: Any) -> Any:
        return self.builder.add(a, b)

    def times(self, a: Any, factor: int | Any) -> Any:
        return self.builder.mul(a, self.number(factor) if isinstance(factor, int) else factor)

    def place(self, address: Any, index: Any, kind: Any = _VECTOR) -> Any:
        base = self.builder.inttoptr(address, _FLOAT.as_pointer())
        return self.builder.bitcast(self.builder.gep(base, [index]), kind.as_pointer())

    def spread(self, value: Any, kind: Any = _VECTOR) -> Any:
        """A vector that is ``value`` in each lane."""
        undefined = ir.Constant(kind, ir.Undefined)
        first = self.builder.insert_element(undefined, value, ir.Constant(_INT, 0))
        return self.builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(_INT, LANES), [0] * LANES))

    def first(self, count: int | Any) -> Any:
        """The mask of the first lanes."""
        if isinstance(count, int):
            return ir.Constant(_MASK, [int(lane < count) for lane in range(LANES)])
        longs = ir.VectorType(_LONG, LANES)
        return self.builder.icmp_signed("<", ir.Constant(longs, list(range(LANES))), self.spread(count, longs))

    def load(self, address: Any, index: Any, mask: Any = None) -> Any:
        """A vector of consecutive floats; lanes outside of the mask are 0 and not read."""
        place = self.place(address, index)
        if mask is None:
            return self.builder.load(place, align=4)
        kinds = [place.type, _INT, _MASK, _VECTOR]
        function = cgutils.get_or_insert_function(
            self.builder.module, ir.FunctionType(_VECTOR, kinds), "llvm.masked.load.v16f32.p0"
        )
        return self.builder.call(function, [place, ir.Constant(_INT, 4), mask, self.zero])

    def store(self, value: Any, address: Any, index: Any, mask: Any = None) -> None:
        """A vector stored to consecutive floats; lanes outside of the mask are not written."""
        place = self.place(address, index)
        if mask is None:
            self.builder.store(value, place, align=4)
            return
        kinds = [_VECTOR, place.type, _INT, _MASK]
        function = cgutils.get_or_insert_function(
            self.builder.module, ir.FunctionType(ir.VoidType(), kinds), "llvm.masked.store.v16f32.p0"
        )
        self.builder.call(function, [value, place, ir.Constant(_INT, 4), mask])

    def one(self, address: Any, index: Any) -> Any:
        """One float, in each lane."""
        return self.spread(self.builder.load(self.place(address, index, _FLOAT), align=4))

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        return self.builder.fadd(self.builder.fmul(a, b, flags=_CONTRACT), c, flags=_CONTRACT)

    def sums(self, count: int) -> list[Any]:
        """Vectors that are summed up in: registers in the end."""
        made = [cgutils.alloca_once(self.builder, _VECTOR) for _ in range(count)]
        for place in made:
            self.builder.store(self.zero, place)
        return made

    def add_product(self, place: Any, a: Any, b: Any) -> None:
        self.builder.store(self.multiply_add(a, b, self.builder.load(place)), place)

    def _halves(self, a: Any, b: Any, step: int) -> tuple[Any, Any]:
        """Of each 2*step lanes the first halves of both side by side, and the second halves."""
        low = [lane if not lane & step else LANES + lane - step for lane in range(LANES)]
        high = [lane + step if not lane & step else LANES + lane for lane in range(LANES)]
        words = ir.VectorType(_INT, LANES)
        return (
            self.builder.shuffle_vector(a, b, ir.Constant(words, low)),
            self.builder.shuffle_vector(a, b, ir.Constant(words, high)),
        )

    def transposed(self, rows: Sequence[Any]) -> list[Any]:
        """16 vectors from at most 16: what was in lane l of vector i is in lane i of vector l."""
        undefined = ir.Constant(_VECTOR, ir.Undefined)
        x = [*rows, *[undefined] * (LANES - len(rows))]
        for step in (8, 4, 2, 1):
            for i in range(LANES):
                if not i & step:
                    x[i], x[i + step] = self._halves(x[i], x[i + step], step)
        return x

    def totals(self, parts: Sequence[Any]) -> Any:
        """A vector from at most 16: lane l is the sum of all lanes of vector l, always in the same order."""
        undefined = ir.Constant(_VECTOR, ir.Undefined)
        x: list[Any] = [*parts, *[None] * (LANES - len(parts))]
        for step in (8, 4, 2, 1):
            for i in range(step):
                if x[i] is None:
                    continue
                low, high = self._halves(x[i], undefined if x[i + step] is None else x[i + step], step)
                x[i] = self.builder.fadd(low, high)
            x = x[:step]
        return x[0]


def _word(count: int, literals: int, body: Callable[..., None]) -> Any:
    """A word with ``count`` int64 arguments behind ``literals`` numbers that are known when it is compiled."""

    def signature(*given: Any) -> Any:
        if not all(isinstance(x, types.IntegerLiteral) for x in given[:literals]):
            return None
        known = [x.literal_value for x in given[:literals]]

        def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            body(_Code(builder), *known, *args[literals:])
            return context.get_dummy_value()

        return types.void(*given[:literals], *[types.int64] * count), generate

    # numba wants as many named parameters as the word is called with
    by_count: dict[tuple[int, int], Callable[..., Any]] = {
        (1, 4): lambda _t, u, a, b, c, d: signature(u, a, b, c, d),
        (3, 7): lambda _t, u, v, w, a, b, c, d, e, f, g: signature(u, v, w, a, b, c, d, e, f, g),
        (3, 8): lambda _t, u, v, w, a, b, c, d, e, f, g, h: signature(u, v, w, a, b, c, d, e, f, g, h),
        (3, 12): lambda _t, u, v, w, a, b, c, d, e, f, g, h, i, j, k, l: signature(
            u, v, w, a, b, c, d, e, f, g, h, i, j, k, l
        ),
    }
    return intrinsic(by_count[literals, count])


# ---------------------------------------------------------------- products of transposed A and B: weight gradients


def _gradient_tile(
    o: _Code,
    vectors: int,
    n: int,
    finish: int,
    a: Any,
    lda: Any,
    b: Any,
    ldb: Any,
    c: Any,
    ldc: Any,
    k: Any,
    columns: Any,
    velocity: Any,
    s: Any,
    t: Any,
    m: Any,
) -> None:
    """C (16*vectors x n) = transposed A (k x 16*vectors) times B (k x n).

    Without vectors: one vector, of which only ``columns`` lanes exist. ``finish``: 0 nothing, 1 adds what C held, 2 is
    c = c - s product, 3 is v = m v + s t product and c = c - v.
    """
    mask = None if vectors else o.first(columns)
    width = vectors or 1
    sums = o.sums(width * n)
    with cgutils.for_range(o.builder, k) as loop:
        row, other = o.times(loop.index, lda), o.times(loop.index, ldb)
        parts = [o.load(a, o.add(row, o.number(LANES * v)), mask) for v in range(width)]
        for j in range(n):
            factor = o.one(b, o.add(other, o.number(j)))
            for v in range(width):
                o.add_product(sums[v * n + j], parts[v], factor)
    only, start = o.first(n), o.number(0)
    share = o.one(s, start) if finish > 1 else None
    if finish == 3:
        share = o.builder.fmul(share, o.one(t, start))
        kept = o.one(m, start)

    def results(value: Any, place: Any) -> list[tuple[Any, Any]]:
        """What is stored at a place of which memory, for a row of the product."""
        if finish == 1:
            return [(o.builder.fadd(o.load(c, place, only), value), c)]
        if finish == 2:
            return [(o.builder.fsub(o.load(c, place, only), o.builder.fmul(share, value)), c)]
        if finish == 3:
            before = o.builder.fmul(kept, o.load(velocity, place, only))
            change = o.builder.fadd(before, o.builder.fmul(share, value))
            return [(change, velocity), (o.builder.fsub(o.load(c, place, only), change), c)]
        return [(value, c)]

    for v in range(width):
        rows = o.transposed([o.builder.load(place) for place in sums[v * n : (v + 1) * n]])
        places = [o.times(ldc, LANES * v + i) for i in range(LANES)]
        if vectors:
            # all loads before all stores: a load whose lanes reach into those a store leaves out waits for it
            made = [(place, results(row, place)) for place, row in zip(places, rows, strict=True)]
            for place, some in made:
                for value, memory in some:
                    o.store(value, memory, place, only)
            continue
        for i, (place, row) in enumerate(zip(places, rows, strict=True)):
            with o.builder.if_then(o.builder.icmp_signed("<", o.number(i), columns)):
                for value, memory in results(row, place):
                    o.store(value, memory, place, only)


gradient_tile = _word(12, 3, _gradient_tile)


# ---------------------------------------------------------------- products of A with a packed B: forward


def _pack(o: _Code, n: int, b: Any, ldb: Any, to: Any, rows: Any) -> None:
    """Sixteen rows of B (rows x n; the missing ones are 0) as n vectors, a column each."""
    last = o.builder.sub(rows, o.number(1))
    mask, loaded = o.first(rows), []
    for i in range(LANES):
        at = o.number(i)
        row = o.builder.select(o.builder.icmp_signed("<", at, rows), at, last)
        loaded.append(o.load(b, o.times(row, ldb), o.first(n)))
    for j, column in enumerate(o.transposed(loaded)[:n]):
        o.store(o.builder.select(mask, column, o.zero), to, o.number(LANES * j))


pack = _word(4, 1, _pack)


def _forward_tile(
    o: _Code,
    rows: int,
    n: int,
    finish: int,
    a: Any,
    lda: Any,
    packed: Any,
    c: Any,
    ldc: Any,
    k: Any,
    bias: Any,
) -> None:
    """C (rows x n) = A (rows x k) times B, which lies packed.

    ``finish``: 0 nothing, 1 adds what C held, 2 adds a bias.
    """
    sums = o.sums(rows * n)

    def block(at: Any, mask: Any) -> None:
        begin = o.times(at, LANES)
        parts = [o.load(a, o.add(o.times(lda, r), begin), mask) for r in range(rows)]
        for j in range(n):
            column = o.load(packed, o.add(o.times(at, LANES * n), o.number(LANES * j)))
            for r in range(rows):
                o.add_product(sums[r * n + j], parts[r], column)

    whole = o.builder.sdiv(k, o.number(LANES))
    with cgutils.for_range(o.builder, whole) as loop:
        block(loop.index, None)
    left = o.builder.sub(k, o.times(whole, LANES))
    with o.builder.if_then(o.builder.icmp_signed(">", left, o.number(0))):
        block(whole, o.first(left))
    only = o.first(n)
    for r in range(rows):
        place = o.times(ldc, r)
        value = o.totals([o.builder.load(sum_) for sum_ in sums[r * n : (r + 1) * n]])
        if finish == 1:
            value = o.builder.fadd(o.load(c, place, only), value)
        if finish == 2:
            value = o.builder.fadd(value, o.load(bias, o.number(0), only))
        o.store(value, c, place, only)


forward_tile = _word(7, 3, _forward_tile)


# ---------------------------------------------------------------- products with a transposed B: input gradients


def _input_tile(
    o: _Code,
    vectors: int,
    n: int,
    finish: int,
    a: Any,
    lda: Any,
    b: Any,
    ldb: Any,
    c: Any,
    ldc: Any,
    rows: Any,
    columns: Any,
) -> None:
    """C (rows x 16*vectors) = A (rows x n) times transposed B (16*vectors x n).

    Without vectors: one vector, of which only ``columns`` lanes exist. ``finish``: 0 nothing, 1 adds what C held.
    """
    mask = None if vectors else o.first(columns)
    last = o.builder.sub(columns, o.number(1))
    parts: list[list[Any]] = []
    for v in range(vectors or 1):
        loaded = []
        for i in range(LANES):
            row = at = o.number(LANES * v + i)
            if not vectors:
                row = o.builder.select(o.builder.icmp_signed("<", at, columns), at, last)
            loaded.append(o.load(b, o.times(ldb, row), o.first(n)))
        parts.append(o.transposed(loaded)[:n])
    with cgutils.for_range(o.builder, rows) as loop:
        own = o.times(loop.index, lda)
        made = [o.zero] * len(parts)
        for j in range(n):
            factor = o.one(a, o.add(own, o.number(j)))
            made = [o.multiply_add(part[j], factor, sum_) for part, sum_ in zip(parts, made, strict=True)]
        for v, value in enumerate(made):
            place = o.add(o.times(loop.index, ldc), o.number(LANES * v))
            o.store(o.builder.fadd(o.load(c, place, mask), value) if finish else value, c, place, mask)


input_tile = _word(8, 3, _input_tile)

__all__ = ["forward_tile", "gradient_tile", "input_tile", "pack"]
