"""The doctor: says in words what is wrong with a training, and where.

Names the first node that was not finite; sees dead and saturated units, gradients that vanish or explode, learning
rates that are too high or too low, and data that cannot teach. It looks at a few hundred samples with the parameters of
the moment and changes nothing; every complaint is made once. It comes early and often while a training is young, later
in a small part of its time, and once at the end. Knows trainers and histories; no threads and no widgets.

Sources: He et al. (2015) for dead units; Pascanu et al. (2013) for gradients.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from cntk_lab.engine.ask.training import Program
from cntk_lab.graph.variable import Variable
from cntk_lab.tensor.arrays import to_host
from cntk_lab.train import _signs
from cntk_lab.train._history import Finding, History
from cntk_lab.train._not_finite import called, dense, first_not_finite, rows_of, titled
from cntk_lab.train._signs import Complaint
from cntk_lab.train._step import evaluate
from cntk_lab.train.trainer import Trainer

SOONEST: Final = 0.2
"""Seconds of training before the first visit, and at least between two."""
YOUNG: Final = 50
"""While a training is young, visits may take one part in so many of its time."""
DEAD_SHARE: Final = 0.4
"""Share of a layer's units that must be silent to be told of; in healthy networks a tenth may be."""
VANISHED: Final = 1e-5
"""Mean gradient of a layer, relative to the largest layer's, below which it learns nothing in float32."""
EXPLODED: Final = 100.0
"""Growth of the gradient's norm over its median so far."""
STEEP: Final = 100.0
"""Relative change of the loss over that of the weights which makes it; about the number of layers where all is well."""
STILL: Final = 1e-3
"""Way of the weights since the start, relative to their size, on which nothing can have been learned."""
FEW: Final = 30
"""Steps before learning rates are judged."""


class Doctor:
    """Looks after one training.

    Args:
        trainer: whose training it is.
        validation: minibatches that it is validated with.
    """

    def __init__(self, trainer: Trainer, validation: Sequence[Any] = ()) -> None:
        self._trainer, self._validation = trainer, validation
        self._told: set[tuple[str, str]] = set()
        self._visits, self._visited, self._cost = 0, 0.0, 0.0
        self._silent: dict[str, Any] = {}
        self._seen: dict[str, int] = {}
        self._norms: list[float] = []
        self._start: tuple[int, list[Any]] | None = None
        self._gain = 0.0
        self._total = (0.0, 0)
        self._program: Program | None = None
        self._places: _signs.Places | None = None

    def begin(self, step: int) -> None:
        """Training begins, or begins again, after so many steps: how far weights move is counted from here."""
        if self._start is None or self._start[0] > step:
            self._start = (step, self._weights())

    def due(self, seconds: float, share: int) -> bool:
        """Whether there is time for a visit.

        Args:
            seconds: of training so far.
            share: a visit may cost one part in so many of the training, but for the first few.
        """
        passed = seconds - self._visited
        young = passed > self._visited and YOUNG * self._cost < seconds
        return passed > SOONEST and (young or passed > share * self._cost)

    def visit(
        self, history: History, arguments: Any, seconds: float = 0.0, *, last: bool = False, before: bool = False
    ) -> list[Finding]:
        """Everything that is found on a visit and was not told before.

        Args:
            history: so far.
            arguments: a minibatch, best of some hundred samples.
            seconds: of training so far.
            last: whether the training is at its end.
            before: whether parameters are those before the last step, whose loss was not finite.
        """
        started = time.perf_counter()
        complaints = self._rate_too_high(history)
        if before or np.isfinite(history.loss[-1]):
            complaints += self._values(history, arguments)
            if np.isfinite(self._total[0]):
                complaints += self._gradients(history, arguments)
                complaints += self._rate_too_low(history)
        if last and not self._told and not complaints and self._places is not None:
            loss, samples = self._total
            guess = _signs.guessing(self._places, arguments)
            complaints = _signs.no_better(history, loss / max(1, samples), guess)
        found = []
        for kind, words, node in complaints:
            if (kind, node) not in self._told:
                self._told.add((kind, node))
                found.append(Finding(history.step, kind, words, node))
        self._visits += 1
        self._visited = seconds
        self._cost = time.perf_counter() - started if self._visits > 1 else 0.0  # the first one compiles
        return found

    # --- values of nodes, and data

    def _values(self, history: History, arguments: Any) -> list[Complaint]:
        loss = self._trainer.loss_function.output
        if self._places is None or self._program is None or not self._program.current:
            self._places = places = _signs.Places(loss)
            self._program = Program(loss, None, (), [*places.rectified, *places.squashed, *places.measured])
        totals = evaluate(self._program, arguments)
        self._total = float(totals.loss), int(totals.samples)
        outputs: Mapping[Variable, Any] = totals.outputs
        scales = _signs.scales(self._places, arguments, outputs)
        return [
            *self._dead_units(outputs),
            *_signs.saturation(self._places, outputs, rows_of),
            *(scales or _signs.begins_far_off(self._places, arguments, history)),
            *_signs.classes(self._places, arguments),
            *_signs.leaks(self._places, arguments, self._validation),
        ]

    def _dead_units(self, outputs: Mapping[Variable, Any]) -> list[Complaint]:
        found = []
        assert self._places is not None
        for variable in self._places.rectified:
            rows = rows_of(outputs[variable])
            if rows.ndim < 2 or not rows.size:
                continue
            silent = (rows <= 0).all(axis=(0, *range(2, rows.ndim)))
            silent = silent & self._silent.get(variable.uid, True)
            self._silent[variable.uid] = silent
            self._seen[variable.uid] = seen = self._seen.get(variable.uid, 0) + len(rows)
            dead = int(silent.sum())
            if seen >= _signs.SAMPLES and dead > DEAD_SHARE * silent.size:
                words = (
                    f"{dead} of {silent.size} units of {called(variable.node)} were 0 for all of {seen} samples: they "
                    "learn nothing any more; a lower learning rate, or leaky_relu, keeps units alive"
                )
                found.append(("dead units", words, variable.node.uid if variable.node else ""))
        return found

    # --- gradients

    def _gradients(self, history: History, arguments: Any) -> list[Complaint]:
        weights = [p for p in self._parameters() if len(p.shape) > 1]
        if not weights:
            return []
        gradients = self._trainer.loss_function.grad(arguments, wrt=weights)
        if not isinstance(gradients, Mapping):
            gradients = {weights[0]: gradients}
        values = [dense(gradients[p]) for p in weights]
        sizes = [float(np.sqrt(np.mean(np.square(v)))) for v in values]
        norm = float(np.sqrt(sum(np.sum(np.square(v)) for v in values)))
        if not np.isfinite(norm):
            at = next(p for p, size in zip(weights, sizes, strict=True) if not np.isfinite(size))
            return [("exploding gradients", f"the gradient of {titled(at)} is not finite", at.uid)]
        return [*self._vanishing(weights, sizes), *self._exploding(history, weights, values, norm)]

    def _vanishing(self, weights: Sequence[Any], sizes: Sequence[float]) -> list[Complaint]:
        most = max(sizes)
        for p, size in zip(weights, sizes, strict=True):
            if len(weights) > 2 and most > 0 and size < VANISHED * most:
                words = (
                    f"the gradient of {titled(p)} is {size:.1e} on average, of the strongest layer {most:.1e}: "
                    "it vanishes on the way; try relu for sigmoid, batch normalization, or shortcuts"
                )
                return [("vanishing gradients", words, p.uid)]
        return []

    def _exploding(
        self, history: History, weights: Sequence[Any], values: Sequence[Any], norm: float
    ) -> list[Complaint]:
        loss, samples = self._total
        whole = max(abs(loss), 0.5 * samples * abs(history.loss[0])) + 1e-30
        pulls = [
            float(np.linalg.norm(g)) * float(np.linalg.norm(dense(p.value))) / whole
            for p, g in zip(weights, values, strict=True)
        ]
        self._gain = sum(pulls)
        most = int(np.argmax(pulls))
        usual = float(np.median(self._norms)) if len(self._norms) >= 3 else None
        self._norms.append(norm)
        cure = "it explodes; clip gradients (gradient_clipping_threshold_per_sample) or lower the learning rate"
        if usual and norm > EXPLODED * usual:
            words = f"the gradient's norm is {norm:.1e}, {norm / usual:.0f} times the usual {usual:.1e}: {cure}"
        elif pulls[most] > STEEP:
            words = (
                f"a change of {titled(weights[most])} by a hundredth changes the loss by {pulls[most]:.0f} hundredths: "
                f"the gradient grows on the way through the layers or steps, {cure}, or begin with smaller weights"
            )
        else:
            return []
        return [("exploding gradients", words, weights[most].uid)]

    # --- learning rate

    def _rate_too_high(self, history: History) -> list[Complaint]:
        loss = np.asarray(history.loss)
        finite = loss[np.isfinite(loss)]
        if not len(finite):
            return []
        rate = self._trainer.parameter_learners[0].learning_rate()
        some = max(1, round(16 * history.step / max(1, history.samples[-1])))
        begun, ending = float(np.mean(finite[:some])), float(np.median(finite[len(finite) // 2 :]))
        risen = len(finite) < len(loss) and np.max(finite) > 10 * abs(begun)
        if risen or (len(finite) >= FEW and begun > 0 and ending > 1.5 * begun):
            words = (
                f"the loss began at {begun:.4g}, and rose as far as {np.max(finite):.4g}: the learning rate {rate:g} "
            )
            return [("learning rate too high", words + "is too high: rewind, and take a tenth of it", "")]
        count = max(20, history.step // 20)
        if len(finite) < len(loss) or history.step < 3 * count:
            return []
        first, now = float(np.mean(loss[:count])), float(np.mean(loss[-count:]))
        best = float(np.min(loss[: len(loss) // count * count].reshape(-1, count).mean(axis=1)))
        if now > 1.5 * abs(first) and now - best > 2 * abs(first - best) + 1e-12:
            words = f"the loss was {best:.4g} and is {now:.4g}: the learning rate {rate:g} is too high: rewind"
            return [("learning rate too high", words, "")]
        return []

    def _rate_too_low(self, history: History) -> list[Complaint]:
        self.begin(history.step)
        rate = self._trainer.parameter_learners[0].learning_rate()
        assert self._start is not None
        steps = history.step - self._start[0]
        if steps < FEW or not rate:
            return []
        loss = np.asarray(history.loss)
        count = max(10, steps // 5)
        windows = loss[: len(loss) // count * count].reshape(-1, count).mean(axis=1)
        first, now = float(windows[0]), float(windows.min())
        before, present = self._start[1], self._weights()
        size = np.sqrt(sum(float(np.sum(np.square(a))) for a in before))
        way = np.sqrt(sum(float(np.sum(np.square(b - a))) for a, b in zip(before, present, strict=True)))
        if way < STILL * size and 0.01 * self._gain > STILL and now > 0.95 * first:
            words = (
                f"weights moved by {way / size:.0e} of their size in {steps} steps, and the loss went from {first:.4g} "
                f"to {now:.4g} only: the learning rate {rate:g} is too low"
            )
            return [("learning rate too low", words, "")]
        return []

    def _weights(self) -> list[Any]:
        return [np.array(to_host(p.storage.array), np.float32) for p in self._parameters()]

    def _parameters(self) -> list[Any]:
        return [p for learner in self._trainer.parameter_learners for p in learner.parameters]

    def first_not_finite(self, arguments: Any, step: int, loss: float) -> Finding:
        """The first node that is not finite in the step with these arguments, done with the state before it."""
        return first_not_finite(self._trainer, arguments, step, loss)
