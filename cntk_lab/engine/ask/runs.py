"""What a run starts from: the state that outlives runs, and the data in place."""

from __future__ import annotations

import weakref
from typing import Any

from cntk_lab._turn import TURN
from cntk_lab.engine.arrays.run import Run, State
from cntk_lab.engine.ask.match import Matched
from cntk_lab.engine.tiers.tier import Bound

_states: weakref.WeakKeyDictionary[Any, State] = weakref.WeakKeyDictionary()


def state_of(root: Any) -> State:
    """The random streams and carried frames of a function's root node; every composite of a root shares them."""
    with TURN:
        if root not in _states:
            _states[root] = State()
        return _states[root]


def load(run: Run, bound: Bound, matched: Matched) -> None:
    """Put the data of inputs in place, and see that values lie where the plan computes."""
    bound.bring_values()
    run.layouts.update(matched.layouts)
    for number, variable in bound.inputs:
        run.arrays[number] = run.to_device(matched.rows[variable])
