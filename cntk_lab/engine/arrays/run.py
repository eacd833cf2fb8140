"""One run of a plan on arrays: what lies where, how sequences lie in rows, and what outlives the run. Knows no step."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

from cntk_lab import settings
from cntk_lab.backends.base import Backend
from cntk_lab.backends.cpu.backend import CpuBackend
from cntk_lab.engine.plan import Plan, RowSymbol
from cntk_lab.errors import SequenceError
from cntk_lab.tensor.layout import Layout
from cntk_lab.tensor.randomness import MersenneTwister64, open_stream
from cntk_lab.tensor.sparse import SparseRows

Environment = dict[int, Any]
_CPU = CpuBackend()


class State:
    """What outlives one run of a plan: random streams and the frames that the next minibatch continues from."""

    def __init__(self) -> None:
        self.streams: dict[str, Any] = {}
        self._asked: dict[str, object] = {}
        """What each stream was asked for with: one that was restored goes on, whatever seed its node has."""
        self.carried: dict[str, Any] = {}

    def copy(self, xp: Any) -> State:
        """Another state that goes on from here by itself.

        Args:
            xp: the array module, which streams refer to and nobody copies.
        """
        made = State()
        made.streams, made._asked = copy.deepcopy(self.streams, {id(xp): xp}), dict(self._asked)
        made.carried = dict(self.carried)
        return made

    def adopt(self, other: State) -> None:
        """Go on from where another state is."""
        self.streams, self._asked, self.carried = other.streams, other._asked, other.carried

    def stream(self, key: str, seed: int, xp: Any) -> Any:
        """The random stream of one node: another seed, or another kind of numbers, begins anew."""
        return self._opened(key, (seed, settings.flag("cntk_random")), lambda: open_stream(seed, xp))

    def drawing(self, key: str, seed: int) -> MersenneTwister64:
        """The stream of one node that draws few numbers on the host: always those that CNTK draws."""
        found: MersenneTwister64 = self._opened(key, seed, lambda: MersenneTwister64(seed))
        return found

    def _opened(self, key: str, asked: object, make: Callable[[], Any]) -> Any:
        if key not in self.streams or self._asked.setdefault(key, asked) != asked:
            self.streams[key] = make()
        self._asked[key] = asked
        return self.streams[key]


class Run:
    """One run: the arrays, the layouts of the row symbols, and the state.

    Args:
        layouts: row symbol -> layout; for ``"#"`` one frame per sample.
        state: what outlives the run.
        training: whether operators behave as in training.
        backend: of the device that computes.
    """

    def __init__(
        self,
        layouts: dict[RowSymbol, Layout],
        state: State,
        *,
        training: bool = False,
        backend: Backend = _CPU,
    ) -> None:
        self.layouts, self.state, self.training = layouts, state, training
        self.backend, self.xp = backend, backend.xp
        self.arrays: Environment = {}
        self.given: set[int] = set()
        """Results whose memory belongs to this run alone, so that they need no copy."""
        self.notes: dict[Any, Any] = {}
        """What operators written by users keep between their forward and their backward step."""
        self.slab: tuple[int, int, int] | None = None
        """Inside a loop: slab number, first row and one past its last row."""
        self.share: Callable[[Sequence[Any]], Sequence[Any]] = _alone
        """Sums arrays over all workers (see the step ``Share``); with nobody else they are the sums."""
        self.commit: Callable[[], object] = _nobody
        """Called before the first step that writes what outlives the run: from there on the run is to be done whole."""

    def to_device(self, array: Any) -> Any:
        """An array of the host where this run computes; sparse rows become dense where nobody computes with them."""
        if isinstance(array, SparseRows):
            if self.backend.keeps_sparse:
                return array
            array = array.toarray()
        return self.backend.to_device(array)

    def rows(self, symbol: RowSymbol) -> int:
        """How many rows values of a row symbol have."""
        return 1 if not symbol else self.layouts[symbol].rows

    def adopt(self, symbol: RowSymbol, rows: Any, layout: Layout) -> Any:
        """Rows along dynamic axes that the data made; all values of these axes must agree.

        Raises:
            SequenceError: if another value of the same axes has other lengths.
        """
        before = self.layouts.get(symbol)
        if before is not None and before != layout:
            raise SequenceError(
                f"two values with the dynamic axes [{symbol}] have sequences of different lengths: "
                f"{before.lengths.tolist()[:8]} and "
                f"{layout.lengths.tolist()[:8]}",
                fix="give them different axes, or feed sequences long enough for both",
            )
        self.layouts[symbol] = layout
        return rows


Action = Callable[[Run], None]


def _alone(arrays: Sequence[Any]) -> Sequence[Any]:
    """The only worker's arrays."""
    return arrays


def _nobody() -> None:
    """Nobody has to be told."""


def first_lasting(plan: Plan) -> int:
    """The first step that writes values or states of learners; the number of steps if none does."""
    kept = {b.id for b in plan.buffers if b.role in ("parameter", "constant", "state")}
    return next((i for i, s in enumerate(plan.steps) if not kept.isdisjoint(s.writes)), len(plan.steps))
