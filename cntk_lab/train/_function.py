"""``Function.train`` and ``Function.test``: a criterion trains or tests itself on data.

Knows sessions and the user's forms of data; writers of progress only by what they are told.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any

from cntk_lab.errors import AttributeValueError
from cntk_lab.graph.function import Function
from cntk_lab.graph.record import Record
from cntk_lab.train._data import is_infinite, length_of, next_minibatch, source_of, streams_of
from cntk_lab.train._evaluator import Evaluator, Writer
from cntk_lab.train.trainer import Trainer
from cntk_lab.train.training_session import (
    CheckpointConfig,
    CrossValidationConfig,
    DataUnit,
    MinibatchSizeSchedule,
    TestConfig,
    minibatch_size_schedule,
    training_session,
)

_NEVER = sys.maxsize


class _Collector:
    """Keeps loss, metric and samples as a progress writer would print them."""

    def __init__(self, frequency: int) -> None:
        self.frequency = frequency
        self.updates: list[Record] = []
        self.summaries: list[Record] = []
        self.test: Record | None = None
        self._tested: list[Any] = [0.0, 0]
        self._reset()

    def _reset(self) -> None:
        self._count = 0
        self._epoch: list[Any] = [0.0, 0.0, 0]
        self._since: list[Any] = [0.0, 0.0, 0]

    def update_training(self, samples: int, loss: Any, metric: Any) -> None:
        """One training minibatch."""
        self._count += 1
        for sums in (self._epoch, self._since):
            sums[0], sums[1], sums[2] = sums[0] + loss, sums[1] + metric, sums[2] + samples
        count, every = self._count, self.frequency
        if count & (count + 1) == 0 if every == 0 else count % every == 0:
            self.updates.append(_averages(self._since))
            self._since = [0.0, 0.0, 0]

    def write_training_summary(self) -> None:
        """The end of an epoch."""
        self.summaries.append(_averages(self._epoch))
        self._reset()

    def update_test(self, samples: int, metric: Any) -> None:
        """One test minibatch."""
        self._tested = [self._tested[0] + metric, self._tested[1] + samples]

    @property
    def tested_samples(self) -> int:
        """Samples of the test so far."""
        return int(self._tested[1])

    def write_test_summary(self) -> None:
        """The end of a test."""
        metric, samples = self._tested
        self.test = Record(metric=float(metric) / samples if samples else 0.0, samples=samples)
        self._tested = [0.0, 0]

    def write(self, key: str, value: float) -> None:
        """Rates are not kept."""


def _averages(sums: Sequence[Any]) -> Record:
    loss, metric, samples = sums
    return Record(
        loss=float(loss) / samples if samples else 0.0,
        metric=float(metric) / samples if samples else 0.0,
        samples=samples,
    )


def train_function(
    criterion: Function,
    minibatch_source: Any,
    minibatch_size: Any = 32,
    streams: Any = None,
    model_inputs_to_streams: Any = None,
    parameter_learners: Any = (),
    callbacks: Any = (),
    progress_frequency: Any = None,
    max_epochs: float | None = None,
    epoch_size: int | None = None,
    max_samples: int | None = None,
) -> Record:
    """Train the parameters that learners hold, so that a criterion falls; what ``Function.train`` does.

    Args:
        criterion: loss, or function with the outputs loss and metric.
        minibatch_source: tuple of arrays, CSR matrices or lists of sequences in the order of ``criterion.arguments``,
            or a source of minibatches.
        minibatch_size: samples in a minibatch; a number or a ``minibatch_size_schedule``.
        streams: streams of the source in the order of ``criterion.arguments``.
        model_inputs_to_streams: {argument: stream}, instead of ``streams``.
        parameter_learners: one learner or several.
        callbacks: one or several of: progress writers, CheckpointConfig, CrossValidationConfig, TestConfig.
        progress_frequency: samples between summaries, or (number, DataUnit); None: an epoch.
        max_epochs: epochs to train, fractions allowed; None: 1.
        epoch_size: samples in an epoch; None: samples of the arrays.
        max_samples: samples to train, instead of ``max_epochs``.

    Returns:
        Record(updates, epoch_summaries, test_summary): lists of Record(loss, metric, samples) per printed line and per
        summary, and Record(metric, samples) if there was a test.

    Raises:
        AttributeValueError: if arguments are missing or exclude each other.

    Source: CNTK 2.7 ``Function.train``.
    """
    if minibatch_size is None:
        raise AttributeValueError("minibatch_size must not be None.")
    if isinstance(minibatch_size, MinibatchSizeSchedule):
        sizes = minibatch_size
    elif isinstance(minibatch_size, int) and not isinstance(minibatch_size, bool):
        sizes = minibatch_size_schedule(minibatch_size)
    else:
        raise AttributeValueError(
            "minibatch_size must be an int or the result an call to the minibatch_size_schedule() function"
        )
    if max_samples is not None and max_epochs is not None:
        raise AttributeValueError("max_epochs and max_samples are mutually exclusive.")
    if epoch_size is None and max_samples is None:
        if not isinstance(minibatch_source, (tuple, list)):
            raise AttributeValueError(
                "epoch_size must be specified, unless max_samples is given or input is given as numpy/scipy arrays."
            )
        epoch_size = length_of(minibatch_source[0]) if len(minibatch_source) else 0
    source, mapping = _source_and_streams(criterion, minibatch_source, streams, model_inputs_to_streams, endless=True)
    if max_samples is None:
        assert epoch_size is not None
        max_samples = int((1 if max_epochs is None else max_epochs) * epoch_size)
    if progress_frequency is None:
        progress_frequency = epoch_size
    writers, checkpoint, validation, test = _sorted(callbacks)
    collector = _Collector(_collected(writers, progress_frequency, minibatch_size))
    trainer = Trainer(None, criterion, parameter_learners, [*writers, collector])
    training_session(
        trainer, source, sizes, mapping, progress_frequency, max_samples, checkpoint, validation, test
    ).train()  # fmt: skip
    result = Record(updates=collector.updates, epoch_summaries=collector.summaries)
    if test is not None and collector.test is not None:
        result = result.updated_with(test_summary=collector.test)
    return result


def average_function(
    criterion: Function,
    minibatch_source: Any,
    minibatch_size: Any = 32,
    streams: Any = None,
    model_inputs_to_streams: Any = None,
    callbacks: Any = None,
) -> Record:
    """Average a criterion's metric (its last output) over data; what ``Function.test`` does.

    Args:
        criterion: metric, or function with the outputs loss and metric.
        minibatch_source: tuple of arrays, CSR matrices or lists of sequences in the order of ``criterion.arguments``,
            or a source of minibatches that ends.
        minibatch_size: samples in a minibatch; a number or a ``minibatch_size_schedule``.
        streams: streams of the source in the order of ``criterion.arguments``.
        model_inputs_to_streams: {argument: stream}, instead of ``streams``.
        callbacks: progress writers; one, several or None.

    Returns:
        Record(metric, samples).

    Raises:
        AttributeValueError: if arguments are missing, or the source never ends.

    Source: CNTK 2.7 ``Function.test``.
    """
    if minibatch_size is None:
        raise AttributeValueError("minibatch_size must not be None.")
    sizes = (
        minibatch_size if isinstance(minibatch_size, MinibatchSizeSchedule) else minibatch_size_schedule(minibatch_size)
    )
    source, mapping = _source_and_streams(criterion, minibatch_source, streams, model_inputs_to_streams, endless=False)
    if is_infinite(source):
        raise AttributeValueError(
            "Test minibatch source must have a limited number of samples or sweeps.", fix="give it max_samples"
        )
    collector = _Collector(_NEVER)
    evaluator = Evaluator(criterion, [*_sorted(callbacks)[0], collector])
    seen = 0
    while minibatch := next_minibatch(source, sizes[seen], mapping):
        evaluator.test_minibatch(minibatch)
        seen = collector.tested_samples
    evaluator.summarize_test_progress()
    assert collector.test is not None
    return collector.test


def _source_and_streams(criterion: Function, source: Any, streams: Any, mapping: Any, endless: bool) -> tuple[Any, Any]:
    """Source of minibatches, and {argument: stream}."""
    if isinstance(source, (tuple, list)):
        made = source_of(source, criterion, endless)
        return made, streams_of(made, criterion)
    if mapping is not None:
        return source, mapping
    if streams is None:
        raise AttributeValueError(
            "it is not said which stream of the source is for which argument",
            fix="give streams or model_inputs_to_streams",
        )
    arguments = criterion.arguments
    given = list(streams.values()) if isinstance(streams, dict) else list(streams)
    if len(given) != len(arguments):
        raise AttributeValueError(
            f"{len(given)} streams are given for {len(arguments)} arguments",
            fix="give one for each of: " + ", ".join(a.name or a.uid for a in arguments),
        )
    return source, dict(zip(arguments, given, strict=True))


def _sorted(callbacks: Any) -> tuple[list[Writer], Any, Any, Any]:
    """Callbacks in the user's form: writers of progress, and one configuration of each kind."""
    given = list(callbacks) if isinstance(callbacks, Iterable) else [] if callbacks is None else [callbacks]
    kinds = (CheckpointConfig, CrossValidationConfig, TestConfig)
    found: list[Any] = [None, None, None]
    writers: list[Writer] = []
    for callback in given:
        kind = next((i for i, k in enumerate(kinds) if isinstance(callback, k)), None)
        if kind is not None:
            if found[kind] is not None:
                raise AttributeValueError(
                    f"callbacks: there are two {kinds[kind].__name__}", fix="give one of each kind"
                )
            found[kind] = callback
        elif hasattr(callback, "update_training") and hasattr(callback, "write_training_summary"):
            writers.append(callback)
        else:
            raise AttributeValueError(
                f"callbacks: a {type(callback).__name__} is neither a progress writer nor a configuration",
                fix="give progress writers, CheckpointConfig, CrossValidationConfig or TestConfig",
            )
    return writers, found[0], found[1], found[2]


def _collected(writers: Sequence[Writer], frequency: Any, minibatch_size: Any) -> int:
    """How many minibatches an entry of the result's ``updates`` holds."""
    for writer in writers:
        if getattr(writer, "freq", None) is not None:
            return int(writer.freq)  # type: ignore[attr-defined]
    number, unit = frequency if isinstance(frequency, (tuple, list)) else (frequency, DataUnit.sample)
    if not number or unit == DataUnit.sweep:
        return _NEVER
    if unit == DataUnit.minibatch:
        return int(number)
    return max(1, number // minibatch_size) if isinstance(minibatch_size, int) else _NEVER
