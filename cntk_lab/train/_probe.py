"""The probe: what every node of a training does with one minibatch: its time, its numbers, its gradient.

Measures beside the training, on a minibatch that was just done, and changes nothing. Knows no widget: numbers by uid,
told as events.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np

from cntk_lab.engine.ask.training import Program
from cntk_lab.events import BUS, NodesMeasured, StepTimed
from cntk_lab.graph import walk
from cntk_lab.graph.variable import Variable
from cntk_lab.tensor.arrays import to_host
from cntk_lab.train._moment import undisturbed
from cntk_lab.train._step import evaluate
from cntk_lab.train.trainer import Trainer

SHARE: Final = 50
"""Measuring may cost one part in so many of the training's time."""
OFTEN: Final = 0.3
"""Shortest time between two measurements, in seconds of training."""

Measured = tuple[str, str, dict[str, float]]


class Probe:
    """Measures the nodes of one training.

    Args:
        trainer: whose training it is.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self._at, self._cost = -float("inf"), 0.0
        self._program: Program | None = None

    def visit(self, run: int, step: int, arguments: Any, seconds: float) -> None:
        """Measure and tell, if somebody listens and there is time.

        Args:
            run: number of the run.
            step: that was just done.
            arguments: its minibatch.
            seconds: of training so far.
        """
        if BUS.heard(NodesMeasured) and self.due(seconds):
            with undisturbed(self._trainer):
                for what, unit, values in self.measure(arguments, seconds):
                    BUS.publish(NodesMeasured(run, step, what, unit, tuple(values.items())))

    def due(self, seconds: float) -> bool:
        """Whether there is time to measure.

        Args:
            seconds: of training so far.
        """
        return seconds - self._at > max(OFTEN, SHARE * self._cost)

    def measure(self, arguments: Any, seconds: float) -> list[Measured]:
        """What, unit, and numbers by uid: "time" (ms, forward and backward), "activation" and "gradient" (root of the
        mean square), "dead units" (part of a rectifier's units that are 0 for the whole minibatch).

        Args:
            arguments: the minibatch.
            seconds: of training so far.
        """
        begun = time.perf_counter()
        found = [*self._activations(arguments), *self._gradients(arguments)]
        self._at, self._cost = seconds, time.perf_counter() - begun
        return found

    def _activations(self, arguments: Any) -> Iterator[Measured]:
        loss = self._trainer.loss_function.output
        if self._program is None:
            self._program = Program(loss, None, (), [v for n in walk.flat_nodes([loss]) for v in n.outputs])
        outputs: Mapping[Variable, Any] = evaluate(self._program, arguments).outputs
        sizes, dead = {}, {}
        for variable, value in outputs.items():
            node = variable.node
            if node is None:
                continue
            rows = _rows(value)
            sizes[node.uid] = _size(rows)
            if node.op_name == "ReLU" and rows.ndim > 1 and rows.size:
                silent = (rows <= 0).all(axis=(0, *range(2, rows.ndim)))
                dead[node.uid] = float(silent.mean())
        yield "activation", "", sizes
        yield "dead units", "", dead

    def _gradients(self, arguments: Any) -> Iterator[Measured]:
        weights = [p for learner in self._trainer.parameter_learners for p in learner.parameters]
        times: dict[str, float] = defaultdict(float)
        me = threading.get_ident()

        def take(event: StepTimed) -> None:
            if threading.get_ident() == me:
                for uid in event.nodes:  # a step of several nodes: each has an equal part of its time
                    times[uid] += 1000 * event.seconds / len(event.nodes)

        end = BUS.subscribe(StepTimed, take)
        try:
            gradients = self._trainer.loss_function.grad(arguments, wrt=weights)
        finally:
            end()
        if not isinstance(gradients, Mapping):
            gradients = {weights[0]: gradients}
        yield "time", "ms", dict(times)
        yield "gradient", "", {p.uid: _size(_dense(g)) for p, g in gradients.items()}


def tell_not_finite(run: int, step: int, node: str) -> None:
    """Tell which node was the first that is not finite.

    Args:
        run: number of the run.
        step: where it was.
        node: uid; empty if it is not known.
    """
    if node and BUS.heard(NodesMeasured):
        BUS.publish(NodesMeasured(run, step, "not finite", "", ((node, float("nan")),)))


def _size(rows: Any) -> float:
    """Root of the mean square; not finite if a number is not."""
    with np.errstate(over="ignore", invalid="ignore"):
        return float(np.sqrt(np.mean(np.square(rows)))) if rows.size else 0.0


def _rows(value: Any) -> Any:
    if isinstance(value, list):
        return np.concatenate([_dense(part) for part in value]) if value else np.zeros((0,))
    return _dense(value)


def _dense(value: Any) -> Any:
    return np.asarray(value.toarray() if hasattr(value, "toarray") else to_host(value), np.float64)
