"""Averages of loss and metric over validation data, while a training goes on undisturbed.

Knows trainers and histories; no runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cntk_lab.engine.ask.training import Program
from cntk_lab.errors import DataError
from cntk_lab.train._history import Validation
from cntk_lab.train._moment import undisturbed
from cntk_lab.train._step import criterion_of, evaluate
from cntk_lab.train.trainer import Trainer


class Validator:
    """Validates one trainer's criterion.

    Args:
        trainer: whose criterion it is.
        minibatches: of validation data; none: nothing is ever validated.
    """

    def __init__(self, trainer: Trainer, minibatches: Sequence[Any]) -> None:
        self.minibatches = list(minibatches)
        self._trainer = trainer
        self._program: Program | None = None

    def validate(self, step: int) -> Validation:
        """Averages after a step.

        Raises:
            DataError: if the data have no samples.
        """
        metric = self._trainer.evaluation_function
        if self._program is None:
            criterion = criterion_of((self._trainer.loss_function, metric))
            self._program = Program(criterion.loss, criterion.metric)
        with undisturbed(self._trainer):
            totals = [evaluate(self._program, arguments) for arguments in self.minibatches]
        samples = sum(t.samples for t in totals)
        if not samples:
            raise DataError("the validation data have no samples", fix="give at least one")
        loss = sum(t.loss for t in totals) / samples
        return Validation(step, loss, None if metric is None else sum(t.metric for t in totals) / samples)
