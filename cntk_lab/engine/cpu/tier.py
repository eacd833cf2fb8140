"""The CPU as a tier: native code once it is compiled and proved, NumPy until then, and always where nothing else can.

A plan runs on NumPy until it has run often enough for native code, and while that is being compiled (large
convolutions by oneDNN meanwhile). The first native run is compared with NumPy's (see ``proof``). Somebody who watches
steps gets NumPy's, one after the other.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Iterable

from cntk_lab import _changes, settings
from cntk_lab._turn import TURN
from cntk_lab.backends.cpu import draws, jit, threads
from cntk_lab.backends.cpu.backend import CpuBackend
from cntk_lab.engine.arrays import watch
from cntk_lab.engine.arrays.interpreter import Interpreter
from cntk_lab.engine.arrays.run import Run
from cntk_lab.engine.cpu.binding import Binding
from cntk_lab.engine.cpu.native import NativePlan, why_not_native
from cntk_lab.engine.cpu.proving import proved
from cntk_lab.engine.cpu.report import tiers
from cntk_lab.engine.cpu.target import target
from cntk_lab.engine.cpu.waiting import WaitingInterpreter
from cntk_lab.engine.plan import Plan
from cntk_lab.engine.plan.target import Target
from cntk_lab.engine.tiers.reference import ReferenceBound
from cntk_lab.tensor.arrays import Storage, values_left_host

_BACKEND = CpuBackend()


class CpuTier:
    """The CPU."""

    def target(self) -> Target:
        """What it can do with the switches as they are now."""
        return target()

    def bind(self, plan: Plan) -> CpuBound:
        """A plan made ready."""
        return CpuBound(plan)


class CpuBound(ReferenceBound):
    """A plan on the CPU: what was made of it by each way of running it.

    Args:
        plan: the plan.
    """

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan, _BACKEND)
        self._waiting: WaitingInterpreter | None = None
        self._native: NativePlan | None = None
        self._at = -1
        """How much had changed when switches were looked at."""
        self._switches: tuple[object, ...] = ()
        """The switches that native code is made for."""
        self._runs = 0
        _ready.add(self)

    @property
    def waiting(self) -> Interpreter:
        """What serves while native code is not there yet."""
        if self._waiting is None:
            self._waiting = WaitingInterpreter(self.plan)
        return self._waiting

    @property
    def native(self) -> NativePlan | None:
        """The plan as native code for the switches as they are now; None where that cannot run it."""
        at = _changes.count()
        if self._at == at:
            return self._native
        self._at = at
        switches = _switches()
        if self._switches != switches:
            if self._switches:
                self._waiting = None  # its primitives were made for others
            self._switches = switches
            fits = why_not_native(self.plan) is None and jit.available()
            if fits:
                draws.serve()
            self._native = NativePlan(self.plan, self.interpreter) if fits else None
        return self._native

    def run(self, run: Run) -> Binding | None:
        """Run on the best tier that is ready.

        Returns:
            The binding that ran, if native code did and owes no proof.
        """
        if watch.wanted():
            self.load_values(run)
            watch.run_watched(self.interpreter, run)
            return None
        allowed = settings.flag("native")
        native = self.native if allowed and self._worth_compiling() else None
        if native is None or native.running or not native.ready():
            self.load_values(run)
            started = time.perf_counter()
            (self.waiting if allowed else self.interpreter).run(run)
            if native is not None and native.proof is not None:
                native.proof.seconds = time.perf_counter() - started
            return None
        if run.state.carried and any(layout.begins is not None for layout in run.layouts.values()):
            for frames in run.state.carried.values():
                frames.frames()  # they lie in memory that this run writes
        if native.proof is not None:
            checked = native.guards is not None
            if native.binding(run).careful if checked else native.proof.due(run, often=self.often):
                return self._proved(native, run, self.interpreter if checked else self.waiting)
        binding = native.serve(run)
        return binding if native.proof is None else None

    def _proved(self, native: NativePlan, run: Run, reference: Interpreter) -> Binding | None:
        binding = proved(native, run, reference)
        if binding is None:
            self._native = None  # it stays on NumPy
        return binding

    def _worth_compiling(self) -> bool:
        """Whether it runs often enough for native code: training from the first step, others from the n-th run on."""
        if self.often:
            return True
        self._runs += 1
        return self._runs > settings.number("native_after")

    def where(self) -> list[str]:
        """For each step where it runs and what it costs there, in words."""
        native = self.native
        return ["NumPy"] * len(self.plan.steps) if native is None else tiers(native)

    def bring(self, storages: Iterable[Storage]) -> None:
        """Move values back to the memory that native tables know, if any was ever on a GPU."""
        if values_left_host():
            super().bring(storages)


_ready: weakref.WeakSet[CpuBound] = weakref.WeakSet()


def _switches() -> tuple[object, ...]:
    """The switches as they are now."""
    flags = [settings.flag(name) for name in ("native", "onednn", "checked")]
    return (*flags, threads.get_num_threads())


def natives() -> dict[Plan, NativePlan]:
    """The plans that are native code now: what watches and tests look at."""
    with TURN:
        ready = list(_ready)
    found = {b.plan: b._native for b in sorted(ready, key=lambda b: b.plan.number)}  # as it is: nothing is made
    return {plan: native for plan, native in found.items() if native is not None}
