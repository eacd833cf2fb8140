"""Learning-rate finder: tries rising rates on the real data, and puts everything back.

Source: Smith (2017), "Cyclical Learning Rates for Training Neural Networks", section 3.3; a tenth of the
lowest point's rate is the usual choice, as the loss there is about to rise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from cntk_lab.errors import AttributeValueError
from cntk_lab.graph.variable import Variable
from cntk_lab.train._control import Change, make
from cntk_lab.train._feed import Feed
from cntk_lab.train._moment import put_back, take
from cntk_lab.train.trainer import Trainer

SMOOTH = 0.8
DIVERGED = 4.0
"""Times the best loss at which the search ends."""


@dataclass(frozen=True, slots=True, repr=False)
class RateSearch:
    """Rates tried, the smoothed average loss at each, and the rate that is suggested."""

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    suggestion: float

    def __repr__(self) -> str:
        low = min(self.losses, default=math.nan)
        return (
            f"RateSearch(suggestion={self.suggestion:.3g}: {len(self.rates)} rates from {self.rates[0]:.3g} to "
            f"{self.rates[-1]:.3g}, lowest loss {low:.4g})"
        )


def find_rate(
    trainer: Trainer, variables: Sequence[Variable], feed: Feed, size: int, low: float, high: float, steps: int
) -> RateSearch:
    """Train with rates that rise from ``low`` to ``high``, then put everything back.

    Args:
        trainer: between two minibatches.
        variables: what changes in training.
        feed: of minibatches.
        size: of a minibatch, in samples.
        low: first rate, above 0.
        high: last rate.
        steps: minibatches at most, at least 10.

    Returns:
        The search; suggested is a tenth of the rate at which the loss was lowest.

    Raises:
        AttributeValueError: if the range is empty, or the loss was never finite.
    """
    if not 0 < low < high or steps < 10:
        raise AttributeValueError(
            f"learning rates from {low:g} to {high:g} in {steps} steps cannot be tried",
            fix="0 < low < high, steps >= 10",
        )
    here = take(trainer, variables, feed, 0, 0, 0.0)
    rates: list[float] = []
    losses: list[float] = []
    try:
        average, best = 0.0, math.inf
        for i in range(steps):
            rate = low * (high / low) ** (i / (steps - 1))
            make(Change(i, "learning_rate", rate), trainer.parameter_learners)
            fed = feed.next(size)
            if fed is None:
                break
            trainer.train_minibatch(fed.arguments, is_sweep_end=fed.ends_sweep)
            loss = trainer.previous_minibatch_loss_average
            if not math.isfinite(loss):
                break
            average = SMOOTH * average + (1 - SMOOTH) * loss
            smooth = average / (1 - SMOOTH ** (i + 1))
            rates.append(rate)
            losses.append(smooth)
            best = min(best, smooth)
            if i > 5 and smooth > DIVERGED * best:
                break
    finally:
        put_back(here, trainer, variables, feed)
    if len(losses) < 5:
        raise AttributeValueError(
            f"the loss was not finite after {len(losses)} steps, already at rate {low:g}",
            fix="give a smaller low, or mend the model",
        )
    return RateSearch(tuple(rates), tuple(losses), rates[losses.index(min(losses))] / 10)
