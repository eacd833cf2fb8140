"""A program on each tier, and what differs: values beyond rounding, infinities, NaN, shapes, errors.

The reference is NumPy with each step by itself. A difference counts if NumPy's own values move less than that when
every value of the program is shaken by a few units in the last place, when NumPy's functions round differently, and
when all is computed in double precision. So a number that a rounding tips over a kink, or that cancellation leaves
without digits (also inside of a recurrence: the slope of a saturated tanh), is told from a wrong one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import numpy as np

import cntk_lab as C
from cntk_lab import settings
from cntk_lab.engine.cpu.report import tiers as tiers_of
from cntk_lab.engine.cpu.tier import natives
from cntk_lab.errors import LabError
from tests.programs.program import Program
from tests.programs.words import Array, Session, fed, numbers

REFERENCE = {"native": False, "fuse": False}
TIERS: dict[str, dict[str, object]] = {
    "fused": {"native": False},
    "waiting": {"native_after": 10**9, "background_compilation": False},
    "native": {"native_after": 0, "background_compilation": False},
    "checked": {"native_after": 0, "background_compilation": False, "checked": True},
}
"""What is compared with the reference. Training is native from its first step on, so that it never waits here."""
RELATIVE = {"float32": 1e-4, "float64": 1e-9}
ABSOLUTE = {"float32": 1e-5, "float64": 1e-10}
SHAKES = (12, 60)
"""Runs of NumPy that are shaken; so many more if a difference is left."""
ROOM = 20.0
"""How much further than a shake of NumPy another tier may be: rounding errors add up in another order."""


@dataclass
class Outcome:
    """What a tier computed: for each call, name -> values; or the error that ended it."""

    calls: list[dict[str, Array]] = field(default_factory=list)
    error: str = ""
    foreign: bool = False
    """Whether the error is none of ours."""
    native_steps: int = 0


class Shaken:
    """Multiplies each value by numbers near 1: what rounding does to it, and somewhat more."""

    def __init__(self, seed: int, dtype: Any) -> None:
        self.random, self.dtype = np.random.default_rng(seed), dtype

    def __call__(self, value: Any) -> Any:
        """The value, shaken, if it has data."""
        size = 16 * float(np.finfo(self.dtype).eps)
        if isinstance(value, C.variables.Parameter):
            value.value = value.value * self._near_one(value.shape, size)
            return value
        if len(value.outputs) != 1 or value.dtype != self.dtype:
            return value
        return value * C.constant(self._near_one(value.shape, size).astype(self.dtype))

    @contextlib.contextmanager
    def inexact(self) -> Iterator[None]:
        """NumPy's functions round as another library may: a saturated tanh is 1 or not quite, also inside of loops."""

        with contextlib.ExitStack() as stack:
            for name in ("exp", "expm1", "log", "log1p", "tanh", "add", "subtract", "multiply", "divide"):
                stack.enter_context(mock.patch.object(np, name, _Rounding(getattr(np, name), self)))
            yield

    def rounded(self, y: Any) -> Any:
        """A result, rounded otherwise in place."""
        if isinstance(y, np.ndarray) and y.dtype == self.dtype:
            y *= (1 + 2 * np.finfo(self.dtype).eps * self.random.integers(-1, 2, y.shape)).astype(y.dtype)
        return y

    def _near_one(self, shape: tuple[int, ...], size: float) -> Array:
        return 1 + size * self.random.choice((-1.0, 1.0), shape)


class _Rounding:
    """A function of NumPy that rounds as another library may; its methods are as they were."""

    def __init__(self, function: Any, shaken: Shaken) -> None:
        self._function, self._shaken = function, shaken

    def __call__(self, *operands: Any, **named: Any) -> Any:
        return self._shaken.rounded(self._function(*operands, **named))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._function, name)


def built(program: Program, dtype: Any, shake: Shaken | None = None) -> dict[str, Any]:
    """All values of a program by name."""
    scope: dict[str, Any] = {"C": C, "np": np, "numbers": numbers, "dtype": dtype, "shake": shake}
    exec("\n".join(program.lines("shake" if shake else "")), scope)  # noqa: S102  (lines that this package drew)
    return scope


def outcome(program: Program, shake: Shaken | None = None, **switches: object) -> Outcome:
    """The program's values under some switches."""
    found = Outcome()
    dtype = np.dtype(program.dtype).type
    inexact = shake.inexact() if shake else contextlib.nullcontext()
    with settings.option(**switches), np.errstate(all="ignore"), warnings.catch_warnings(), inexact:
        warnings.filterwarnings("error", message="native code and NumPy differ")
        before = max((p.number for p in natives()), default=0)
        try:
            made = built(program, dtype, shake)
            session = Session(made, program.outputs, program.mode, program.learner)
            for call, lengths in enumerate(program.calls):
                seeds = ((program.seed, place, call) for place in range(len(program.inputs)))
                data = {
                    made[i.name]: fed(i.axes, i.shape, i.numbers, i.sparse, dtype, lengths, seed)
                    for i, seed in zip(program.inputs, seeds, strict=True)
                }
                found.calls.append(session.call(data))
        except LabError as error:
            found.error = type(error).__name__
        except Exception as error:  # noqa: BLE001  (this is what is looked for)
            found.error, found.foreign = f"{type(error).__name__}: {error}"[:300], True
        made_native = [n for p, n in natives().items() if p.number > before]
        found.native_steps = sum(t != "NumPy" for n in made_native for t in tiers_of(n))
    return found


def differences(program: Program, count: Counter[str] | None = None) -> list[str]:
    """What differs between the tiers, a line each; empty if nothing does.

    Args:
        program: the program.
        count: tier -> steps that ran natively there, added to.
    """
    return list(_differences(program, Counter() if count is None else count))


def _differences(program: Program, count: Counter[str]) -> Iterator[str]:
    reference = outcome(program, **REFERENCE)
    if reference.foreign:
        yield f"NumPy: {reference.error}"
        return
    shaken: list[Outcome] = []
    for tier, switches in TIERS.items():
        if tier == "waiting" and program.mode == "train":
            continue
        found = outcome(program, **switches)
        count[tier] += found.native_steps
        if found.error != reference.error:
            yield f"{tier}: {found.error or 'no error'}, NumPy: {reference.error or 'no error'}"
            continue
        for call, (mine, theirs) in enumerate(zip(found.calls, reference.calls, strict=False)):
            for name, want in theirs.items():
                bad = off(mine[name], want, program.dtype)
                if bad is not None and bad.size:
                    for wanted in SHAKES:
                        if bad.any():
                            shaken += _shaken(program, reference, range(len(shaken), wanted))
                            others = [s.calls[call][name] for s in shaken if len(s.calls) > call]
                            bad = _explained(bad, mine[name], want, others)
                if bad is None:
                    yield f"{tier}, call {call}: {name} has shape {mine[name].shape}, on NumPy {want.shape}"
                elif bad.any():
                    first = tuple(int(i) for i in np.argwhere(bad)[0])
                    yield (
                        f"{tier}, call {call}: {name} differs at {int(bad.sum())} of {bad.size} places, "
                        f"first at {first}: {mine[name][first]}, on NumPy {want[first]}"
                    )


def _shaken(program: Program, reference: Outcome, numbers: range) -> Iterator[Outcome]:
    """NumPy's values for a shaken program; the first of them in double precision."""
    dtype = np.dtype(program.dtype).type
    for i in numbers:
        if i == 0 and program.dtype == "float32":
            exact = outcome(dataclasses.replace(program, dtype="float64"), **REFERENCE)
            if exact.error == reference.error:
                yield exact
                continue
        yield outcome(program, Shaken(i, dtype), **REFERENCE)


def off(got: Array, want: Array, dtype: str) -> Array | None:
    """Where values differ by more than rounding leaves anybody; None if the shapes do; empty if nowhere."""
    if got.shape != want.shape:
        return None
    with np.errstate(all="ignore"):
        same = np.isclose(got, want, RELATIVE[dtype], ABSOLUTE[dtype], equal_nan=True)
    return np.zeros((0,)) if same.all() else ~same


def _explained(bad: Array, got: Array, want: Array, shaken: list[Array]) -> Array:
    """What is left of the differences if NumPy's own sensitivity is taken off."""
    with np.errstate(all="ignore"):
        for other in shaken:
            if other.dtype != want.dtype:
                bad = bad & (np.isfinite(other.astype(want.dtype)) | ~np.isfinite(other))  # too large to be right here
            bad = bad & (np.isfinite(other) == np.isfinite(want))  # where it may be either, anything is right
        moved = np.max([np.abs(other - want) for other in shaken], axis=0) if shaken else np.zeros(want.shape)
        finite = np.isfinite(want) & np.isfinite(got)
        return np.asarray(bad & ~(finite & (np.abs(got - want) <= ROOM * moved)))
