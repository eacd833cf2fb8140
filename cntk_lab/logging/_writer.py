"""ProgressWriter: counts updates and decides when a writer is called; the base of every progress writer.

Trainers, evaluators and learners tell a writer about each minibatch (``update_training`` and the like); the writer
adds up and calls its own ``on_write_...`` methods as often as it was told to. Sums may be numbers or arrays of one
element on any
device: they are only turned into numbers when something is written. Knows neither trainers nor text.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, TypeAlias

from cntk_lab.errors import AttributeValueError

Range: TypeAlias = tuple[int, int]
Sums: TypeAlias = tuple[float, float]

NEVER = sys.maxsize
"""Frequency that means "only summaries"."""


class _Accumulator:
    """Totals since the last summary, and what they were when they were last written."""

    def __init__(self, frequency: int, first: int) -> None:
        self.frequency, self.first = frequency, first
        self.all_updates = 0
        self.summaries = 0
        self.reset()

    def reset(self) -> None:
        self.samples = self.updates = 0
        self.loss: Any = 0.0
        self.metric: Any = 0.0
        self.written: tuple[int, int, float, float] = (0, 0, 0.0, 0.0)
        self.started = 0.0

    def add(self, samples: int, loss: Any, metric: Any) -> bool:
        """Adds one update; says whether it is time to write."""
        if self.updates == 0:
            self.started = time.perf_counter()
        self.samples += samples
        self.updates += 1
        self.all_updates += 1
        self.loss = self.loss + loss
        self.metric = self.metric + metric
        if self.updates <= self.first:
            return True
        if self.frequency == 0:  # 1, 3, 7, 15, ...: one less than a power of two
            return self.updates & (self.updates + 1) == 0
        return self.updates % self.frequency == 0

    def since_written(self) -> tuple[Range, Range, Sums, Sums]:
        """(from, to) of samples, updates, loss and metric since the last call."""
        now = (self.samples, self.updates, float(self.loss), float(self.metric))
        before, self.written = self.written, now
        return (before[0], now[0]), (before[1], now[1]), (before[2], now[2]), (before[3], now[3])

    def summary(self) -> tuple[int, int, int, float, float, int]:
        """Samples, updates, number of summaries, loss, metric, milliseconds since the first update; starts anew."""
        self.summaries += 1
        elapsed = time.perf_counter() - self.started if self.updates else 0.0
        found = (
            self.samples,
            self.updates,
            self.summaries,
            float(self.loss),
            float(self.metric),
            round(elapsed * 1000),
        )
        self.reset()
        return found


def _is_count(value: object) -> bool:
    return isinstance(value, int) and value >= 0


class ProgressWriter:
    """Base of progress writers: override the ``on_write_...`` methods you want to hear about.

    Args:
        training_update_write_frequency: call ``on_write_training_update`` every so many updates; 0 after 1, 3, 7, 15,
            ...
        training_first_updates_to_write: call it for each of so many first updates.
        test_update_write_frequency: the same for ``on_write_test_update``.
        test_first_updates_to_write: the same for the first test updates.
        distributed_sync_update_write_frequency: the same for ``on_write_distributed_sync_update``.
        distributed_sync_first_updates_to_write: the same for the first synchronizations.

    Raises:
        AttributeValueError: if a frequency is no whole number or negative.

    Example:
        >>> class Losses(ProgressWriter):
        ...     def on_write_training_update(self, samples, updates, aggregate_loss, aggregate_metric):
        ...         print(updates, aggregate_loss)
        >>> writer = Losses(2)
        >>> for loss in (3.0, 2.0, 1.0, 0.5):
        ...     writer.update_training(10, loss, 0.0)
        (0, 2) (0.0, 5.0)
        (2, 4) (5.0, 6.5)

    Source: CNTK 2.7 ``cntk_py.ProgressWriter``.
    """

    def __init__(
        self,
        training_update_write_frequency: int = NEVER,
        training_first_updates_to_write: int = 0,
        test_update_write_frequency: int = NEVER,
        test_first_updates_to_write: int = 0,
        distributed_sync_update_write_frequency: int = NEVER,
        distributed_sync_first_updates_to_write: int = 0,
    ) -> None:
        numbers = [
            training_update_write_frequency,
            training_first_updates_to_write,
            test_update_write_frequency,
            test_first_updates_to_write,
            distributed_sync_update_write_frequency,
            distributed_sync_first_updates_to_write,
        ]
        for number in numbers:
            if not _is_count(number):
                raise AttributeValueError(
                    f"progress writer: a frequency or number of first updates is {number!r}",
                    fix="give whole numbers, 0 or more",
                )
        self._training = _Accumulator(numbers[0], numbers[1])
        self._test = _Accumulator(numbers[2], numbers[3])
        self._sync = _Accumulator(numbers[4], numbers[5])

    # --- to be overridden

    def on_write_training_update(
        self, samples: Range, updates: Range, aggregate_loss: Sums, aggregate_metric: Sums
    ) -> None:
        """Called now and then while training, with (from, to) totals since the last summary.

        Args:
            samples: samples before and after.
            updates: minibatches before and after.
            aggregate_loss: summed loss before and after.
            aggregate_metric: summed metric before and after.
        """

    def on_write_test_update(self, samples: Range, updates: Range, aggregate_metric: Sums) -> None:
        """Called now and then while testing; see :meth:`on_write_training_update`."""

    def on_write_distributed_sync_update(self, samples: Range, updates: Range, aggregate_metric: Sums) -> None:
        """Called now and then when workers exchanged gradients or parameters."""

    def on_write_training_summary(
        self,
        samples: int,
        updates: int,
        summaries: int,
        aggregate_loss: float,
        aggregate_metric: float,
        elapsed_milliseconds: int,
    ) -> None:
        """Called at the end of an epoch of training.

        Args:
            samples: samples since the last summary.
            updates: minibatches since the last summary.
            summaries: number of this summary: 1, 2, ...
            aggregate_loss: summed loss.
            aggregate_metric: summed metric.
            elapsed_milliseconds: time since the last summary, in milliseconds.
        """

    def on_write_test_summary(
        self, samples: int, updates: int, summaries: int, aggregate_metric: float, elapsed_milliseconds: int
    ) -> None:
        """Called at the end of a test; see :meth:`on_write_training_summary`."""

    def on_training_update_end(self) -> None:
        """Called after every training minibatch."""

    def write(self, key: str, value: float) -> None:
        """Called with single values, such as a changed learning rate.

        Args:
            key: what it is.
            value: the number.
        """

    def __disown__(self) -> ProgressWriter:
        """Nothing; CNTK's own writers had to call this in their constructors."""
        return self

    # --- what trainers, evaluators and communicators call

    def update_training(self, samples: int, loss: Any, metric: Any) -> None:
        """Tell of one training minibatch.

        Args:
            samples: samples in it.
            loss: its summed loss; a number or an array of one element.
            metric: its summed metric.
        """
        if self._training.add(samples, loss, metric):
            self.on_write_training_update(*self._training.since_written())
        self.on_training_update_end()

    def update_test(self, samples: int, metric: Any) -> None:
        """Tell of one test minibatch.

        Args:
            samples: samples in it.
            metric: its summed metric.
        """
        if self._test.add(samples, 0.0, metric):
            samples_, updates, _, metrics = self._test.since_written()
            self.on_write_test_update(samples_, updates, metrics)

    def update_distributed_sync(self, samples: int, metric: Any) -> None:
        """Tell of one exchange between workers.

        Args:
            samples: samples since the last one.
            metric: its summed metric.
        """
        if self._sync.add(samples, 0.0, metric):
            samples_, updates, _, metrics = self._sync.since_written()
            self.on_write_distributed_sync_update(samples_, updates, metrics)

    def write_training_summary(self) -> None:
        """End an epoch of training."""
        self.on_write_training_summary(*self._training.summary())

    def write_test_summary(self) -> None:
        """End a test."""
        samples, updates, summaries, _, metric, elapsed = self._test.summary()
        self.on_write_test_summary(samples, updates, summaries, metric, elapsed)

    def total_training_updates(self) -> int:
        """Training minibatches told so far."""
        return self._training.all_updates

    def total_test_updates(self) -> int:
        """Test minibatches told so far."""
        return self._test.all_updates


class TrainingSummaryProgressCallback(ProgressWriter):
    """Calls a function at the end of every epoch of training.

    Args:
        epoch_size: updates after which ``on_write_training_update`` would be called; CNTK's argument, without effect
            here.
        callback: called with (epoch from 0, summed loss, summed metric, samples).

    Example:
        >>> writer = TrainingSummaryProgressCallback(100, lambda *told: print(told))
        >>> writer.update_training(10, 5.0, 1.0)
        >>> writer.write_training_summary()
        (0, 5.0, 1.0, 10)

    Source: CNTK 2.7 ``logging.TrainingSummaryProgressCallback``.
    """

    def __init__(self, epoch_size: int, callback: Callable[[int, float, float, int], None]) -> None:
        super().__init__(epoch_size, 0, NEVER, 0)
        self._callback = callback

    def on_write_training_summary(
        self,
        samples: int,
        updates: int,
        summaries: int,
        aggregate_loss: float,
        aggregate_metric: float,
        elapsed_milliseconds: int,
    ) -> None:
        """Call the function."""
        del updates, elapsed_milliseconds
        self._callback(summaries - 1, aggregate_loss, aggregate_metric, samples)
