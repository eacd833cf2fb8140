"""Progress in words: ProgressPrinter writes the lines that CNTK users know, to the screen or to a file.

Knows texts only; when something is written is decided by its base, ``ProgressWriter``. The lines are CNTK 2.7's,
observed (``tests/golden/progress_lines.txt``).
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any, Protocol

from cntk_lab.logging._tensorboard import TensorBoardProgressWriter
from cntk_lab.logging._writer import NEVER, ProgressWriter, Range, Sums, TrainingSummaryProgressCallback

__all__ = [
    "ProgressPrinter", "ProgressWriter", "TensorBoardProgressWriter", "TrainingSummaryProgressCallback",
    "log_number_of_parameters",
]  # fmt: skip

_HEADER = (
    " average      since    average      since      examples\n"
    "    loss       last     metric       last              \n"
    " ------------------------------------------------------"
)
_HEARTBEAT_SECONDS = 10
_EPOCHS_OF_UNKNOWN_RUN = 300


class _Trained(Protocol):
    """What the older interface asks of a trainer."""

    previous_minibatch_loss_average: float
    previous_minibatch_evaluation_average: float
    previous_minibatch_sample_count: int


class ProgressPrinter(ProgressWriter):
    """Prints loss and metric while training and testing, in CNTK's lines.

    Args:
        freq: print a line every so many minibatches; 0 prints a table row after 1, 3, 7, 15, ... minibatches; None
            prints only the end of each epoch.
        first: print a line for each of so many first minibatches.
        tag: word in the line at the end of an epoch.
        log_to_file: file to write to instead of the screen.
        rank: number of this worker; added to the name of the file.
        gen_heartbeat: print a PROGRESS line every 10 s, for supervisors that want a sign of life.
        num_epochs: how many epochs there will be, for the line at the end of an epoch.
        test_freq: as ``freq``, for test minibatches.
        test_first: as ``first``, for test minibatches.
        metric_is_pct: whether the metric is a share, to be printed as a percentage.
        distributed_freq: as ``freq``, for exchanges between workers.
        distributed_first: as ``first``, for exchanges between workers.

    Raises:
        AttributeValueError: if a frequency is no whole number or negative.

    Example:
        >>> printer = ProgressPrinter(freq=2)
        >>> for loss in (5.0, 4.0):
        ...     printer.update_training(10, loss, 1.0)
         Minibatch[   1-   2]: loss = 0.450000 * 20, metric = 10.00% * 20;

    Source: CNTK 2.7 ``logging.ProgressPrinter``.
    """

    def __init__(
        self,
        freq: int | None = None,
        first: int = 0,
        tag: str = "",
        log_to_file: str | None = None,
        rank: int | None = None,
        gen_heartbeat: bool = False,
        num_epochs: int | None = None,
        test_freq: int | None = None,
        test_first: int = 0,
        metric_is_pct: bool = True,
        distributed_freq: int | None = None,
        distributed_first: int = 0,
    ) -> None:
        self.freq = NEVER if freq is None else freq
        self.first = first
        self.test_freq = NEVER if test_freq is None else test_freq
        frequency = NEVER if distributed_freq is None else distributed_freq
        super().__init__(self.freq, first, self.test_freq, test_first, frequency, distributed_first)
        self.tag = f"[{tag}] " if tag else ""
        self.num_epochs = num_epochs
        self.gen_heartbeat = gen_heartbeat
        self.metric_is_pct = metric_is_pct
        self.metric_multiplier = 100.0 if metric_is_pct else 1.0
        self.log_to_file = log_to_file
        self.logfilename: str | None = None
        self._last_heartbeat = float("-inf")
        self._own = _Own()
        if log_to_file is not None:
            self.logfilename = str(log_to_file) + ("" if rank is None else f"rank{rank}")
            self._start_file(self.logfilename)
        if self.freq == 0:
            self.log(_HEADER)

    def _start_file(self, name: str) -> None:
        sys.stdout.write(f"Redirecting log to file {name}\n")
        epochs = _EPOCHS_OF_UNKNOWN_RUN if self.num_epochs is None else self.num_epochs
        Path(name).write_text(name + "\n", encoding="utf-8")
        self.log(f"CNTKCommandTrainInfo: train : {epochs}")
        self.log(f"CNTKCommandTrainInfo: CNTKNoMoreCommands_Total : {epochs}")
        self.log("CNTKCommandTrainBegin: train")

    def log(self, message: str) -> None:
        """Write a line.

        Args:
            message: text of the line, without its end.

        Source: CNTK 2.7 ``ProgressPrinter.log``.
        """
        if self.logfilename is None:
            sys.stdout.write(message + "\n")
            sys.stdout.flush()
        else:
            with Path(self.logfilename).open("a", encoding="utf-8") as file:
                file.write(message + "\n")

    def write(self, key: str, value: float) -> None:
        """Write a single value, such as a changed learning rate."""
        self.log(f"{key}: {value}")

    def end_progress_print(self, msg: str = "") -> None:
        """Write the line that ends a log.

        Args:
            msg: text for a last line; only written to files.

        Source: CNTK 2.7 ``ProgressPrinter.end_progress_print``.
        """
        self.log("CNTKCommandTrainEnd: train")
        if msg and self.logfilename is not None:
            self.log(msg)

    # --- as a progress writer

    def on_write_training_update(
        self, samples: Range, updates: Range, aggregate_loss: Sums, aggregate_metric: Sums
    ) -> None:
        """Write a line (or, with ``freq=0``, a row of the table) about the last minibatches."""
        self._write_update(samples, updates, aggregate_loss, aggregate_metric, self.freq, "")

    def on_write_test_update(self, samples: Range, updates: Range, aggregate_metric: Sums) -> None:
        """Write a line (or, with ``test_freq=0``, a row of the table) about the last test minibatches."""
        self._write_update(samples, updates, None, aggregate_metric, self.test_freq, "Evaluation ")

    def on_write_distributed_sync_update(self, samples: Range, updates: Range, aggregate_metric: Sums) -> None:
        """Write a line about exchanges between workers."""
        del aggregate_metric
        self.log(
            f"Distributed training: #Syncs elapsed = {updates[1] - updates[0]}, "
            f"#Samples elapsed = {samples[1] - samples[0]}"
        )

    def on_write_training_summary(
        self,
        samples: int,
        updates: int,
        summaries: int,
        aggregate_loss: float,
        aggregate_metric: float,
        elapsed_milliseconds: int,
    ) -> None:
        """Write the line at the end of an epoch; nothing with ``freq=0``."""
        del updates
        if self.freq != 0:
            self._write_epoch(summaries, samples, aggregate_loss, aggregate_metric, elapsed_milliseconds / 1000)

    def on_write_test_summary(
        self, samples: int, updates: int, summaries: int, aggregate_metric: float, elapsed_milliseconds: int
    ) -> None:
        """Write the line at the end of a test."""
        del elapsed_milliseconds
        metric = self._metric(_average(aggregate_metric, samples), samples)
        self.log(f"Finished Evaluation [{summaries}]: Minibatch[1-{updates}]: metric = {metric};")

    def on_training_update_end(self) -> None:
        """Write the sign of life if it is time."""
        now = time.monotonic()
        if self.gen_heartbeat and now - self._last_heartbeat > _HEARTBEAT_SECONDS:
            self._last_heartbeat = now
            share = self._training.summaries / self.num_epochs if self.num_epochs else 0.0
            sys.stdout.write(f"PROGRESS: {100 * share:.2f}%\n")
            sys.stdout.flush()

    # --- the older interface: the user's loop calls update() and epoch_summary()

    def update(self, loss: float, minibatch_size: int, metric: float | None = None) -> None:
        """Take the averages of one minibatch from the user's own loop, and print as often as ``freq`` says.

        Args:
            loss: average loss.
            minibatch_size: samples.
            metric: average metric; None if there is none.

        Source: CNTK 2.7 ``ProgressPrinter.update``.
        """
        own = self._own
        due = own.add(minibatch_size, loss, metric, self.freq, self.first)
        if not due:
            return
        samples, updates, losses, metrics = own.since_last()
        self._write_update(samples, updates, losses, None if metric is None else metrics, self.freq, "")
        self.reset_last()

    def update_with_trainer(self, trainer: _Trained, with_metric: bool = False) -> None:
        """Take the averages of a trainer's last minibatch.

        Args:
            trainer: a trainer.
            with_metric: whether to ask for the metric too.

        Source: CNTK 2.7 ``ProgressPrinter.update_with_trainer``.
        """
        count = trainer.previous_minibatch_sample_count
        if count == 0:
            return
        metric = trainer.previous_minibatch_evaluation_average if with_metric else None
        self.update(trainer.previous_minibatch_loss_average, count, metric)

    def epoch_summary(self, with_metric: bool = False) -> tuple[float, float, int] | None:
        """Print the line at the end of an epoch of the user's own loop, and start the next one.

        Args:
            with_metric: whether to print the metric.

        Returns:
            (average loss, average metric, samples); None with ``freq=0``, which prints nothing.

        Source: CNTK 2.7 ``ProgressPrinter.epoch_summary``.
        """
        if self.freq == 0:
            return None
        own = self._own
        own.epochs += 1
        found = (self.avg_loss_since_start(), self.avg_metric_since_start(), own.samples)
        metric = own.metric if with_metric else None
        self._write_epoch(own.epochs, own.samples, own.loss, metric, time.monotonic() - own.started)
        self.reset_start()
        return found

    def reset_start(self) -> None:
        """Forget the totals since the start of the epoch."""
        self._own.reset_start()

    def reset_last(self) -> None:
        """Forget the totals since the last line."""
        self._own.reset_last()

    def avg_loss_since_start(self) -> float:
        """Average loss since the start of the epoch; 0 before the first minibatch."""
        return _average(self._own.loss, self._own.samples)

    def avg_metric_since_start(self) -> float:
        """Average metric since the start of the epoch; 0 before the first minibatch."""
        return _average(self._own.metric, self._own.samples)

    def avg_loss_since_last(self) -> float:
        """Average loss since the last line; 0 right after it."""
        return _average(self._own.last_loss, self._own.last_samples)

    def avg_metric_since_last(self) -> float:
        """Average metric since the last line; 0 right after it."""
        return _average(self._own.last_metric, self._own.last_samples)

    # --- lines

    def _metric(self, average: float, samples: int) -> str:
        if self.metric_is_pct:
            return f"{average * self.metric_multiplier:0.2f}% * {samples}"
        return f"{average:0.6f} * {samples}"

    def _write_update(
        self, samples: Range, updates: Range, loss: Sums | None, metric: Sums | None, frequency: int, what: str
    ) -> None:
        count = samples[1] - samples[0]
        if frequency == 0:
            columns: list[str] = []
            for sums in (loss, metric):
                averages = () if sums is None else (_average(sums[1], samples[1]), _average(sums[1] - sums[0], count))
                columns += [f"{a:8.3g}" for a in averages] or [" " * 8] * 2
            self.log(f" {'   '.join(columns)}    {samples[1]:10d}")
            return
        parts = []
        if loss is not None:
            parts.append(f"loss = {_average(loss[1] - loss[0], count):0.6f} * {count}")
        if metric is not None:
            parts.append(f"metric = {self._metric(_average(metric[1] - metric[0], count), count)}")
        self.log(f" {what}Minibatch[{updates[0] + 1:4d}-{updates[1]:4d}]: {', '.join(parts)};")

    def _write_epoch(self, epoch: int, samples: int, loss: float, metric: float | None, seconds: float) -> None:
        of = f" of {self.num_epochs}" if self.num_epochs is not None else ""
        text = f"loss = {_average(loss, samples):0.6f} * {samples}"
        if metric is not None:
            text += f", metric = {self._metric(_average(metric, samples), samples)}"
        speed = samples / seconds if seconds > 0 else 0.0
        self.log(f"Finished Epoch[{epoch}{of}]: {self.tag}{text} {seconds:0.3f}s ({speed:5.1f} samples/s);")


class _Own:
    """Totals of the older interface."""

    def __init__(self) -> None:
        self.epochs = 0
        self.reset_start()
        self.reset_last()

    def reset_start(self) -> None:
        self.samples = self.updates = 0
        self.loss = self.metric = 0.0
        self.last_update = 0
        self.started = time.monotonic()

    def reset_last(self) -> None:
        self.last_samples = 0
        self.last_loss = self.last_metric = 0.0

    def add(self, samples: int, loss: float, metric: float | None, frequency: int, first: int) -> bool:
        value = 0.0 if metric is None else metric
        self.samples += samples
        self.last_samples += samples
        self.updates += 1
        self.loss += loss * samples
        self.last_loss += loss * samples
        self.metric += value * samples
        self.last_metric += value * samples
        if self.updates <= first:
            return True
        return self.updates & (self.updates + 1) == 0 if frequency == 0 else self.updates % frequency == 0

    def since_last(self) -> tuple[Range, Range, Sums, Sums]:
        before, self.last_update = self.last_update, self.updates
        return (
            (self.samples - self.last_samples, self.samples),
            (before, self.updates),
            (self.loss - self.last_loss, self.loss),
            (self.metric - self.last_metric, self.metric),
        )


def _average(total: float, samples: int) -> float:
    return total / samples if samples else 0.0


def log_number_of_parameters(model: Any, trace_level: int = 0) -> None:
    """Prints how many numbers a model's parameters hold, and with a trace level above 0 the shape of each.

    Args:
        model: a Function.
        trace_level: above 0 prints a line for each parameter.

    Example:
        >>> from cntk_lab import Parameter
        >>> class Model: parameters = (Parameter((2, 3)), Parameter((3,)))
        >>> log_number_of_parameters(Model)
        Training 9 parameters in 2 parameter tensors.

    Source: CNTK 2.7 ``logging.log_number_of_parameters``.
    """
    shapes = [tuple(p.shape) for p in model.parameters]
    known = all(d >= 0 for s in shapes for d in s)
    counts = [_count(s) for s in shapes]
    total = str(sum(counts)) if known else "so far unspecified number of"
    sys.stdout.write(f"Training {total} parameters in {len(shapes)} parameter tensors.\n")
    if trace_level > 0:
        sys.stdout.write("\n" + "".join(f"\t{shape}\n" for shape in shapes))


def _count(shape: tuple[int, ...]) -> int:
    product = 1
    for d in shape:
        product *= d
    return product
