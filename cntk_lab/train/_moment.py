"""Moments: everything that decides how a training goes on, kept in memory and put back bit for bit.

Values of parameters and of constants that operators write, state of learners and their schedules, random streams,
frames carried from minibatch to minibatch, the feed's place. Which moments are kept is decided here as well: few enough
to cost little memory and time. Knows trainers and feeds; no threads.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from cntk_lab._turn import TURN
from cntk_lab.engine.ask.runs import state_of
from cntk_lab.graph import walk
from cntk_lab.graph.opdef import Trait
from cntk_lab.graph.variable import Variable
from cntk_lab.learners._schedules import TrainingParameterSchedule
from cntk_lab.tensor.arrays import to_host
from cntk_lab.train._arrays import Place
from cntk_lab.train._feed import Feed
from cntk_lab.train.trainer import Trainer

MOST: Final = 16
"""Moments kept besides the first."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in a training. ``step`` minibatches were done, with ``samples`` samples in ``seconds`` of training."""

    step: int
    samples: int
    seconds: float
    values: tuple[Any, ...]
    learners: tuple[dict[str, Any], ...]
    momenta: tuple[TrainingParameterSchedule | None, ...]
    streams: dict[str, Any]
    carried: dict[str, Any]
    place: Place

    @property
    def size(self) -> int:
        """Bytes it takes, about."""
        learners = sum(a.nbytes for entry in self.learners for a in entry["smoothed_gradients"])
        return int(sum(v.nbytes for v in self.values) + learners)


def changing(trainer: Trainer) -> list[Variable]:
    """The parameters of what is trained, and the constants that its operators write."""
    roots = [trainer.loss_function.output]
    if trainer.evaluation_function is not None:
        roots.append(trainer.evaluation_function.output)
    if trainer.model is not None:
        roots.extend(trainer.model.outputs)
    found = {v.uid: v for v in (*walk.flat_leaves(roots), *walk.leaves(roots)) if v.is_parameter}
    for node in walk.flat_nodes(roots):
        if node.op.updates or node.op.has(Trait.STATEFUL):
            found.update({v.uid: v for v in walk.resolved_inputs(node) if v.is_constant})
    return list(found.values())


def take(
    trainer: Trainer, variables: Sequence[Variable], feed: Feed, step: int, samples: int, seconds: float
) -> Moment:
    """The present moment; call it between minibatches."""
    state = state_of(trainer.loss_function.output.node)
    with TURN:
        return Moment(
            step,
            samples,
            seconds,
            tuple(np.array(to_host(v.storage.array)) for v in variables),  # type: ignore[attr-defined]
            tuple(_kept(learner.create_checkpoint()) for learner in trainer.parameter_learners),
            tuple(learner.momentum_schedule() for learner in trainer.parameter_learners),
            _copied(state.streams),
            _settled(state.carried),
            feed.place(),
        )


def put_back(moment: Moment, trainer: Trainer, variables: Sequence[Variable], feed: Feed) -> None:
    """Make everything as it was at a moment."""
    feed.restore(moment.place)
    with TURN:
        for variable, value in zip(variables, moment.values, strict=True):
            variable.storage.write(value)  # type: ignore[attr-defined]
        for learner, entries, momentum in zip(trainer.parameter_learners, moment.learners, moment.momenta, strict=True):
            learner.restore_from_checkpoint(entries)
            if momentum is not None:
                learner.change_momentum(momentum)
        state = state_of(trainer.loss_function.output.node)
        state.streams = _copied(moment.streams)
        state.carried = dict(moment.carried)


@contextmanager
def undisturbed(trainer: Trainer) -> Iterator[None]:
    """Random streams and carried frames are after the block as they were before it."""
    state = state_of(trainer.loss_function.output.node)
    streams, carried = _copied(state.streams), _settled(state.carried)
    try:
        yield
    finally:
        state.streams, state.carried = streams, carried


def _kept(entries: dict[str, Any]) -> dict[str, Any]:
    return {**entries, "smoothed_gradients": [np.array(a) for a in entries["smoothed_gradients"]]}


def _copied(streams: dict[str, Any]) -> dict[str, Any]:
    made = {}
    for key, stream in streams.items():
        made[key] = copied = copy.copy(stream)
        for name, value in vars(stream).items():
            if isinstance(value, np.ndarray):
                setattr(copied, name, value.copy())
    return made


def _settled(carried: dict[str, Any]) -> dict[str, Any]:
    for frames in carried.values():
        frames.frames()  # gathers what would be overwritten by the next minibatch
    return {key: copy.copy(frames) for key, frames in carried.items()}


class Shelf:
    """The moments a run keeps: the first, those the user asked for, and the others thinned out as they grow many.

    Args:
        memory: bytes for moments that nobody asked for.
    """

    def __init__(self, memory: int) -> None:
        self._memory = memory
        self._moments: dict[int, Moment] = {}
        self._asked: set[int] = set()

    def add(self, moment: Moment, asked: bool = False) -> None:
        """Keep a moment; others may have to go."""
        self._moments[moment.step] = moment
        if asked:
            self._asked.add(moment.step)
        others = [s for s in sorted(self._moments) if s not in self._asked]
        size = max(moment.size, 1)
        room = max(2, min(MOST, self._memory // size))
        if len(others) > room + 1:
            # every second one, but never the first nor the last
            for step in others[1:-1:2]:
                del self._moments[step]

    def cut(self, step: int) -> None:
        """Forget the moments after a step."""
        self._moments = {s: m for s, m in self._moments.items() if s <= step}
        self._asked = {s for s in self._asked if s <= step}

    def before(self, step: int) -> Moment:
        """The last moment that is not after a step."""
        return self._moments[max(s for s in self._moments if s <= step)]

    def first(self) -> Moment:
        """The moment at the run's beginning."""
        return self._moments[min(self._moments)]

    @property
    def steps(self) -> list[int]:
        """Steps of the moments, in order."""
        return sorted(self._moments)
