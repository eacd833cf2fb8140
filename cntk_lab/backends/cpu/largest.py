"""Windows whose largest element oneDNN does not find: those that hold nothing but -infinity, the lowest number or NaN.

oneDNN's max pooling starts every window at the lowest finite number. So a window of -infinity gets that number, one
of NaN too, and the gradient of either goes to the window's first place, which may lie in the padding. The operator
says: NaN is never the largest, a window without any number is -infinity, and the gradient goes to the first element
that equals the largest, if there is one.

Rows of our own stand around the primitive. They look for the lowest number among the results (one pass over the
pooled values) and, where it is found, look at the window itself::

    mend        behind the forward pass: the true largest element of such a window
    withhold    before the backward pass: the gradient without those of such windows, in memory of its own
    deliver     behind the backward pass: their gradients to where they belong

Each is a row of the executor's table and a call from Python (NumPy) alike. Arrays lie densely, channels first or last.
Knows windows, no library and no plans.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from itertools import product
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from cntk_lab.backends.cpu import executor, jit, threads
from cntk_lab.backends.cpu.window import Window
from cntk_lab.tensor.shape import size

Array: TypeAlias = npt.NDArray[Any]

LOWEST: Final = float(np.finfo(np.float32).min)
_AXES: Final = 3
_WORK: Final = 0.1
"""Nanoseconds per result on one core."""

_FIELDS: Final = ("pooled", "source", "gradient", "given", "withheld", "images", "channels", "last")
_GEOMETRY: Final = ("n", "o", "k", "s", "p")
"""Per spatial axis: elements, windows, width of a window, distance of windows, padding before."""
_AT: Final = {name: i for i, name in enumerate((*_FIELDS, *(f"{g}{a}" for g in _GEOMETRY for a in range(_AXES))))}

_SCAN: Final = """
def kernel(block, thread, threads, phase):
    pooled, source = ld_i64(block, {pooled}, -1), ld_i64(block, {source}, -1)
    gradient, given = ld_i64(block, {gradient}, -1), ld_i64(block, {given}, -1)
    images, channels, last = ld_i64(block, {images}, -1), ld_i64(block, {channels}, -1), ld_i64(block, {last}, -1)
    n0, n1, n2 = ld_i64(block, {n0}, -1), ld_i64(block, {n1}, -1), ld_i64(block, {n2}, -1)
    o0, o1, o2 = ld_i64(block, {o0}, -1), ld_i64(block, {o1}, -1), ld_i64(block, {o2}, -1)
    k0, k1, k2 = ld_i64(block, {k0}, -1), ld_i64(block, {k1}, -1), ld_i64(block, {k2}, -1)
    s0, s1, s2 = ld_i64(block, {s0}, -1), ld_i64(block, {s1}, -1), ld_i64(block, {s2}, -1)
    p0, p1, p2 = ld_i64(block, {p0}, -1), ld_i64(block, {p1}, -1), ld_i64(block, {p2}, -1)
    windows = o0 * o1 * o2
    each = channels * windows
    lowest = f32(LOWEST)
    begin, end = images * thread // threads * each, images * (thread + 1) // threads * each
    for first in range(begin, end, 256):
        behind = min(first + 256, end)
        found = 0
        for i in range(first, behind):
            found += sel(ld_f32(pooled, i, -1) == lowest, 1, 0)
        if found > 0:
            for i in range(first, behind):
                if ld_f32(pooled, i, -1) == lowest:
                    image, rest = i // each, i % each
                    channel, place = rest // windows, rest % windows
                    if last != 0:
                        channel, place = rest % channels, rest // channels
                    a0, a1, a2 = place // (o1 * o2) * s0 - p0, place // o2 % o1 * s1 - p1, place % o2 * s2 - p2
                    largest = f32(-np.inf)
                    where = -1
                    for j0 in range(max(a0, 0), min(a0 + k0, n0)):
                        for j1 in range(max(a1, 0), min(a1 + k1, n1)):
                            for j2 in range(max(a2, 0), min(a2 + k2, n2)):
                                j = (((image * channels + channel) * n0 + j0) * n1 + j1) * n2 + j2
                                if last != 0:
                                    j = (((image * n0 + j0) * n1 + j1) * n2 + j2) * channels + channel
                                value = ld_f32(source, j, -1)
                                if value > largest or (value == largest and where < 0):
                                    largest, where = value, j
                    ACT
"""
_WITHHOLD: Final = """
def kernel(block, thread, threads, phase):
    pooled, given, out = ld_i64(block, {pooled}, -1), ld_i64(block, {given}, -1), ld_i64(block, {withheld}, -1)
    images = ld_i64(block, {images}, -1)
    each = ld_i64(block, {channels}, -1) * ld_i64(block, {o0}, -1) * ld_i64(block, {o1}, -1) * ld_i64(block, {o2}, -1)
    for i in range(images * thread // threads * each, images * (thread + 1) // threads * each):
        st_f32(out, i, sel(ld_f32(pooled, i, 0) == f32(LOWEST), f32(0), ld_f32(given, i, 1)), 2)
"""
_TEXTS: Final = {
    "mend": _SCAN.replace("ACT", "st_f32(pooled, i, largest, -1)"),
    "withhold": _WITHHOLD,
    "deliver": _SCAN.replace(
        "ACT",
        """if where >= 0:
                        st_f32(gradient, where, ld_f32(gradient, where, -1) + ld_f32(given, i, -1), -1)""",
    ),
}


@functools.cache
def kernel(what: str) -> jit.Handle:
    """The compiled form of a row: "mend", "withhold" or "deliver"; one for every geometry."""
    return jit.request(_TEXTS[what].format(**_AT).replace("LOWEST", repr(LOWEST)))


class Row:
    """One row around a max pooling.

    Args:
        what: "mend" (arguments pooled, source), "withhold" (pooled, given, withheld) or "deliver" (pooled, source,
            given, gradient).
        window: the geometry.
        last: whether all arrays lie channels last.
    """

    def __init__(self, what: str, window: Window, last: bool) -> None:
        self.what, self.window, self.last = what, window, last
        self._kept: dict[str, int | Array] = {}
        self._block = np.zeros(len(_AT), np.int64)
        self._block[[_AT["images"], _AT["channels"], _AT["last"]]] = *window.source[:2], last
        axes = (window.source[2:], window.target()[2:], window.kernel, window.strides, window.lower)
        for name, numbers in zip(_GEOMETRY, axes, strict=True):
            filled = (*[int(name != "p")] * (_AXES - len(numbers)), *numbers)
            self._block[[_AT[f"{name}{axis}"] for axis in range(_AXES)]] = filled

    def set(self, role: str, value: int | Array) -> None:
        """Use the data of this array (kept alive) or at this address for an argument."""
        self._kept[role] = value
        self._block[_AT[role]] = value if isinstance(value, int) else value.ctypes.data

    def entry(self) -> list[int]:
        """The row of the executor's table."""
        count = min(threads.threads_for(_WORK * size(self.window.target())), self.window.source[0])
        return executor.kernel_row(kernel(self.what).address, self._block.ctypes.data, count)

    def __call__(self) -> None:
        """Run it now, from Python."""
        pooled = self._array("pooled", self.window.target())
        hits = np.flatnonzero(pooled == LOWEST)
        if self.what == "withhold":
            withheld = self._array("withheld", self.window.target())
            withheld[:] = self._array("given", self.window.target())
            withheld[hits] = 0
        elif hits.size:
            largest, where = self._look(hits)
            if self.what == "mend":
                pooled[hits] = largest
            else:
                known = where >= 0
                given = self._array("given", self.window.target())[hits[known]]
                np.add.at(self._array("gradient", self.window.source), where[known], given)

    def _array(self, role: str, shape: Sequence[int]) -> Array:
        """An argument, flat."""
        held, count = self._kept[role], size(shape)
        if isinstance(held, int):
            return np.ctypeslib.as_array((ctypes.c_float * count).from_address(held))
        return np.frombuffer(held, np.float32, count)

    def _look(self, hits: Array) -> tuple[Array, Array]:
        """The largest elements of windows and the places of the first of them, -1 where all are NaN."""
        source, w = self._array("source", self.window.source), self.window
        image, *rest = np.unravel_index(hits, self._stored(w.target()))
        channel, *place = (rest[-1], *rest[:-1]) if self.last else rest
        largest = np.full(hits.shape, -np.inf, np.float32)
        where = np.full(hits.shape, -1)
        for tap in product(*map(range, w.kernel)):
            at = [o * s - p + t for o, s, p, t in zip(place, w.strides, w.lower, tap, strict=True)]
            inside = np.logical_and.reduce([(a >= 0) & (a < n) for a, n in zip(at, w.source[2:], strict=True)])
            at = [np.clip(a, 0, n - 1) for a, n in zip(at, w.source[2:], strict=True)]
            index = (image, *at, channel) if self.last else (image, channel, *at)
            flat = np.ravel_multi_index(index, self._stored(w.source))
            value = source[flat]
            better = inside & ((value > largest) | ((value == largest) & (where < 0)))
            largest[better], where[better] = value[better], flat[better]
        return largest, where

    def _stored(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (shape[0], *shape[2:], shape[1]) if self.last else shape
