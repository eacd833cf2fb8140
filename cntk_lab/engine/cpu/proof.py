"""The proof of a native plan: its first run is compared with NumPy's on the same data; if they differ, NumPy keeps it.

NumPy runs on the side, on copies of all that the plan changes: parameters, learners' states, random streams. A
difference counts if NumPy's own values move much less than that when all its numbers are shaken in their last digits:
so what cancellation or a kink makes of rounding is told from a wrong number. What NumPy would cost is bounded: a plan
that is evaluated was served by NumPy before, so that one run more is no burden; one that trains waits until its time
makes the comparison a hundredth of it.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from cntk_lab.engine.arrays.interpreter import Interpreter
from cntk_lab.engine.arrays.run import Run
from cntk_lab.engine.plan import Contract, Loop, Plan, Step, View, all_steps
from cntk_lab.graph.variable import Valued
from cntk_lab.tensor.shape import FREE, size
from cntk_lab.tensor.sparse import RowSparse, SparseRows

_SHARE = 0.01
"""Of the time since the plan was made, what the comparison of a training plan may take."""
_ANYWAY = 0.003
"""Seconds that it may take at once."""
_NEAR = {"float32": (1e-3, 1e-4, 1e-6), "float64": (1e-8, 1e-9, 1e-14)}
"""Difference below which nobody asks further: relative to the number, to the largest one, and absolute."""
SHAKES = 8
_LAST_DIGITS = 16
"""Shaken by so many units in the last place."""
_ROOM = 20.0
"""How much further than NumPy shaken another tier may be: rounding errors add up in another order."""
_EDGE = 1e-2
"""Of the largest number of a type: beyond it one tier may overflow where another does not."""
_IN_PLACE = ("parameter", "constant", "state")


class Proof:
    """What a native plan still owes: a comparison with NumPy.

    Args:
        plan: the plan.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._made = time.perf_counter()
        self.seconds: float | None = None
        """What NumPy's last run took, if it served."""
        self._per_row = [(s.rows, _cost(s, plan)) for s in map(_Sized, plan.steps)]
        self.changed = {w for s in all_steps(plan.steps) for w in s.writes if plan.buffers[w].role in _IN_PLACE}
        """Buffers of parameters, constants and states that the plan writes."""

    def due(self, run: Run, *, often: bool) -> bool:
        """Whether the next native run is to be compared.

        Args:
            run: that run.
            often: whether the plan surely runs many times, and was not served by NumPy before.
        """
        if not often:
            return True
        likely = self.seconds if self.seconds is not None else self._estimate(run)
        return likely <= _ANYWAY + _SHARE * (time.perf_counter() - self._made)

    def _estimate(self, run: Run) -> float:
        """What NumPy would take, roughly (s)."""
        total = 0.0
        for symbol, (once, per_row, per_frame) in self._per_row:
            layout = run.layouts.get(symbol)
            total += once + per_row * (layout.rows if layout is not None else 1)
            total += per_frame * (layout.longest if layout is not None else 1)
        return total

    def side(self, run: Run) -> Run:
        """A run of the same plan on the same data that changes nothing but copies."""
        made = _copied(run)
        for b in self.plan.buffers:
            if isinstance(b.variable, Valued) and b.role != "input":
                made.arrays[b.id] = b.variable.storage.array[None]
            if b.id in self.changed:
                made.arrays[b.id] = made.arrays[b.id].copy()
        return made

    def differences(self, run: Run, side: Run, start: Run, shaken: Callable[[int], Run]) -> Iterator[str]:
        """What differs after a native run, in words.

        Args:
            run: the native run.
            side: NumPy's.
            start: that run before it began.
            shaken: number -> a run of NumPy whose numbers were shaken.
        """
        others: list[Run] = []
        for name, number in self._looked_at():
            b = self.plan.buffers[number]
            got = self._native(run, number)
            want = side.arrays[number]
            bad = off(got, want)
            if bad is None:
                continue
            if not others:
                others += [shaken(i) for i in range(SHAKES)]
            bad = left(bad, got, want, [o.arrays[number] for o in others])
            if bad.any() and _overflowed(start, side):  # the order of operations decides between infinite and NaN
                bad = bad & np.isfinite(_dense(got)) & np.isfinite(_dense(want))
            if bad.any():
                first = tuple(int(i) for i in np.argwhere(bad)[0])
                yield (
                    f"{name} ({b}): {int(bad.sum())} of {bad.size} numbers, "
                    f"the first at {first}: {_dense(got)[first]:.6g}, on NumPy {_dense(want)[first]:.6g}"
                )

    def _looked_at(self) -> Iterator[tuple[str, int]]:
        yield from self.plan.outputs.items()
        yield from ((b.role, b.id) for b in self.plan.buffers if b.id in self.changed)

    def _native(self, run: Run, number: int) -> Any:
        """A value after a native run: what was written in place lies where it always does."""
        b = self.plan.buffers[number]
        if isinstance(b.variable, Valued) and b.role != "input":
            return b.variable.storage.array[None]
        return run.arrays[number]

    def take_over(self, run: Run, side: Run) -> None:
        """NumPy's results in the place of the native ones."""
        for number in self.changed:
            np.copyto(self._native(run, number), side.arrays[number])
        run.arrays = {**run.arrays, **{n: side.arrays[n] for n in self.plan.outputs.values()}}
        run.given.clear()
        run.state.adopt(side.state)


# ---- shaken runs


def shaken_run(proof: Proof, interpreter: Interpreter, start: Run, seed: int) -> Run:
    """A run of NumPy in which every value is multiplied by numbers near 1: what rounding does, and somewhat more.

    Values inside of formulas are shaken too: a sum that cancels may lie within one step.
    """
    random = np.random.default_rng(seed)
    shaking = type("_ShakingNow", (_Shaking,), {"random": random})
    run = _copied(start)
    for number, array in start.arrays.items():
        run.arrays[number] = array.copy() if _whole(array) else _shaken(array, random)
        if isinstance(array, np.ndarray):
            run.arrays[number] = run.arrays[number].view(shaking)
    plan = proof.plan
    for step, action in zip(plan.steps, interpreter.actions, strict=True):
        action(run)
        for inner in all_steps([step]):
            for w in () if isinstance(inner, View) else inner.writes:
                if isinstance(run.arrays.get(w), np.ndarray):
                    run.arrays[w] = _shaken(run.arrays[w], random).view(shaking)
    run.arrays = {n: _plain(a) for n, a in run.arrays.items()}
    return run


class _Shaking(np.ndarray[Any, Any]):
    """An array whose results have other last digits, and shake in their turn."""

    random: np.random.Generator

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = (), **options: Any) -> Any:
        """What NumPy computes, shaken where it rounds."""
        if out:
            options["out"] = tuple(map(_plain, out))
        result = getattr(ufunc, method)(*map(_plain, inputs), **options)
        if not isinstance(result, (np.ndarray, np.floating)):
            return result
        result = np.asarray(result)
        if ufunc not in _EXACT and not _whole(result):
            shaken = _shaken(result, self.random)
            if out:
                np.copyto(result, shaken)
            else:
                result = shaken
        return result.view(type(self))

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        """What NumPy moves or chooses; it goes on shaking."""
        result = super().__array_function__(function, types, args, options)
        return result.view(type(self)) if isinstance(result, np.ndarray) else result


_EXACT = {
    *(np.floor, np.ceil, np.rint, np.trunc, np.sign, np.negative, np.absolute, np.copysign),
    *(np.maximum, np.minimum, np.fmax, np.fmin, np.positive),
}
"""What never rounds."""


def _plain(array: Any) -> Any:
    return array.view(np.ndarray) if isinstance(array, _Shaking) else array


def _shaken(array: Any, random: np.random.Generator) -> Any:
    """An array with other last digits."""
    array = _plain(array)
    if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
        return copy.copy(array)
    with np.errstate(all="ignore"):
        signs = random.integers(0, 2, array.shape, np.int8).astype(array.dtype) * 2 - 1
        return array * (1 + signs * (_LAST_DIGITS * np.finfo(array.dtype).eps))


def _whole(array: Any) -> bool:
    """Whether data are whole numbers: indices, counts, flags, which are exact."""
    return isinstance(array, np.ndarray) and array.dtype.kind == "f" and bool((array == np.rint(array)).all())


def _copied(run: Run) -> Run:
    """Another run on the same data, with random streams and carried frames of its own."""
    made = Run(dict(run.layouts), run.state.copy(run.xp), training=run.training, backend=run.backend)
    made.arrays = dict(run.arrays)
    return made


# ---- arrays


def off(got: Any, want: Any) -> Any:
    """Where two values differ by more than a glance excuses; None if nowhere."""
    got, want = _dense(got), _dense(want)
    if got.shape != want.shape:
        return np.ones(want.shape, bool)
    relative, of_largest, absolute = _NEAR.get(str(want.dtype), (0.0, 0.0, 0.0))
    with np.errstate(all="ignore"):
        finite = np.abs(want[np.isfinite(want)])
        bound = of_largest * min(1.0, float(finite.max(initial=0.0))) + absolute
        same = np.isclose(got, want, relative, bound, equal_nan=True)
    return None if same.all() else ~same


def left(bad: Any, got: Any, want: Any, shaken: list[Any]) -> Any:
    """What is left of the differences if NumPy's own sensitivity is taken off."""
    got, want = _dense(got), _dense(want)
    if got.shape != want.shape:
        return bad
    with np.errstate(all="ignore"):
        moved = np.zeros(want.shape)
        for other in map(_dense, shaken):
            if other.shape != want.shape:
                return np.zeros(want.shape, bool)  # which rows there are depends on rounding
            bad = bad & (np.isfinite(other) == np.isfinite(want))
            moved = np.fmax(moved, np.abs(other - want))
        finite = np.isfinite(want) & np.isfinite(got)
        return bad & ~(finite & (np.abs(got - want) <= _ROOM * moved))


def _overflowed(start: Run, end: Run) -> bool:
    """Whether numbers became too large, or nearly so, in a run that began with others."""
    return _fits(start) and not _fits(end)


def _fits(run: Run) -> bool:
    """Whether all numbers are well below the largest one of their type."""
    arrays = (a for a in run.arrays.values() if isinstance(a, np.ndarray) and a.dtype.kind == "f")
    return all((np.abs(a) < _EDGE * np.finfo(a.dtype).max).all() for a in arrays)


def _dense(array: Any) -> Any:
    if isinstance(array, (SparseRows, RowSparse)):
        return array.toarray()
    return np.asarray(array)


# ---- what NumPy costs


@dataclass(slots=True)
class _Sized:
    """A step with its row symbol."""

    step: Step

    @property
    def rows(self) -> str:
        """The row symbol; none for steps without."""
        return str(getattr(self.step, "rows", ""))


def _cost(sized: _Sized, plan: Plan) -> tuple[float, float, float]:
    """Seconds of a step on NumPy: once, per row, and per frame of the longest sequence."""
    step = sized.step
    inner = list(all_steps([step]))
    per_row = 0.0
    for s in inner:
        elements = sum(_elements(plan, b) for b in (*s.reads, *s.writes))
        per_row += 5e-9 * elements
        if isinstance(s, Contract):
            per_row += 2e-10 * float(np.prod([max(1, n) for n in s.spec.sizes.values()], dtype=np.float64))
    calls = 2e-5 * len(inner)
    return (0.0, per_row, calls) if isinstance(step, Loop) else (calls, per_row, 0.0)


def _elements(plan: Plan, buffer: int) -> int:
    return size(tuple(1 if d == FREE else d for d in plan.buffers[buffer].shape))
