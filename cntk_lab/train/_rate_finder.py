"""Learning-rate finder: tries rising rates on the real data, and puts everything back.

Each rate starts from the same state and sees the same few minibatches twice; the loss of the second time, over the
rate, is a smooth curve that no noise of minibatches moves. Where it falls most steeply is a good rate: some way below
the valley, beyond which steps are too long.

Source: after Smith (2017), "Cyclical Learning Rates for Training Neural Networks", section 3.3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from cntk_lab.errors import AttributeValueError
from cntk_lab.graph.variable import Variable
from cntk_lab.train._control import Change, make
from cntk_lab.train._feed import Feed
from cntk_lab.train._moment import Moment, put_back, take
from cntk_lab.train.trainer import Trainer

RATES: Final = 24
"""Rates tried."""
FALL: Final = 0.01
"""Part of the loss that some rate has to take away, if the search is to tell anything."""


@dataclass(frozen=True, slots=True, repr=False)
class RateSearch:
    """Rates tried, the loss after some steps with each (from the same state), and the rate that is suggested.

    ``note`` says what a reader should know of the curve's edges; empty if there is nothing.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    suggestion: float
    note: str = ""

    def __repr__(self) -> str:
        return (
            f"RateSearch(suggestion={self.suggestion:.3g}: {len(self.rates)} rates from {self.rates[0]:.3g} to "
            f"{self.rates[-1]:.3g}, lowest loss {min(self.losses):.4g}{'; ' if self.note else ''}{self.note})"
        )


def find_rate(
    trainer: Trainer,
    variables: Sequence[Variable],
    feed: Feed,
    size: int,
    low: float,
    high: float,
    steps: int,
    start: Moment | None = None,
) -> RateSearch:
    """Try rates from ``low`` to ``high``, each from the same state, then put everything back.

    Args:
        trainer: between two minibatches.
        variables: what changes in training.
        feed: of minibatches, which can go back.
        size: of a minibatch, in samples.
        low: first rate, above 0.
        high: last rate.
        steps: minibatches at most, at least 10.
        start: the state to start from; None: the present one.

    Returns:
        The search; suggested is the rate at which the loss falls most steeply.

    Raises:
        AttributeValueError: if the range is empty, or no rate in it makes the loss fall.
    """
    if not 0 < low < high or steps < 10:
        raise AttributeValueError(
            f"learning rates from {low:g} to {high:g} in {steps} steps cannot be tried",
            fix="0 < low < high, steps >= 10",
        )
    count = min(RATES, steps // 2)
    rates = np.geomspace(low, high, count)
    here = take(trainer, variables, feed, 0, 0, 0.0)
    losses: list[float] = []
    first = math.nan
    try:
        for rate in rates:
            put_back(start or here, trainer, variables, feed)
            make(Change(0, "learning_rate", float(rate)), trainer.parameter_learners)
            before, after = _twice(trainer, feed, size, steps // (2 * count))
            first = before if math.isnan(first) else first
            losses.append(after)
    finally:
        put_back(here, trainer, variables, feed)
    return suggested([float(r) for r in rates], losses, first)


def _twice(trainer: Trainer, feed: Feed, size: int, count: int) -> tuple[float, float]:
    """Mean losses of training on the next minibatches, and on the same ones again."""
    place, means = feed.place(), []
    for _ in range(2):
        feed.restore(place)
        losses = []
        for _ in range(count):
            fed = feed.next(size)
            if fed is None:
                break
            trainer.train_minibatch(fed.arguments, is_sweep_end=fed.ends_sweep)
            losses.append(trainer.previous_minibatch_loss_average)
        means.append(float(np.mean(losses)) if losses else math.nan)
    return means[0], means[1]


def suggested(rates: Sequence[float], losses: Sequence[float], first: float) -> RateSearch:
    """What a curve of losses over rates suggests.

    Args:
        rates: rising by the same factor.
        losses: after some steps with each.
        first: with the lowest rate, before its steps.

    Raises:
        AttributeValueError: if the loss falls at no rate.

    Example:
        >>> round(suggested([0.001, 0.01, 0.1, 1.0, 10.0], [1.0, 0.95, 0.3, 0.2, float("inf")], 1.0).suggestion, 4)
        0.0332
    """
    worst = first + abs(first)
    height = np.minimum(np.nan_to_num(np.asarray(losses, float), nan=worst, posinf=worst, neginf=worst), worst)
    smooth: Any = np.convolve(np.pad(height, 1, mode="edge"), [0.25, 0.5, 0.25], "valid") if len(height) > 8 else height
    valley = int(np.argmin(smooth))
    if not math.isfinite(first) or not smooth[valley] < first - FALL * abs(first):
        raise AttributeValueError(
            f"the loss is {first:.4g}, and no learning rate from {rates[0]:g} to {rates[-1]:g} lowers it",
            fix="the training may be at its end; else give a wider range and more steps, or look at data and model",
        )
    falls = -np.diff(smooth[: valley + 1])
    if valley == 0:
        note = f"the lowest rate tried, {rates[0]:g}, was the best: give a smaller low"
        return RateSearch(tuple(rates), tuple(losses), rates[0], note)
    at = int(np.argmax(falls))
    shift = 0.5 + _crest(*falls[at - 1 : at + 2]) if 0 < at < len(falls) - 1 else 0.5
    note = f"no rate tried was too high: give a high above {rates[-1]:g}" if valley == len(rates) - 1 else ""
    return RateSearch(tuple(rates), tuple(losses), float(rates[at] * (rates[at + 1] / rates[at]) ** shift), note)


def _crest(left: float, top: float, right: float) -> float:
    """Where the parabola through three points is highest, in steps from the middle one."""
    bend = left - 2 * top + right
    return 0.5 * (left - right) / bend if bend < 0 else 0.0
