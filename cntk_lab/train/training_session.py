"""training_session: the loop over minibatches, with checkpoints, progress, cross validation and a test at the end.

Knows trainers and sources of minibatches; what a checkpoint is on disk is in ``_checkpoint``, what a step is in
``_step``. The order of events is CNTK 2.7's, observed: after a minibatch first checkpoint, then progress, then cross
validation.
"""

from __future__ import annotations

import enum
import os
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from cntk_lab.errors import AttributeValueError, FormatError, LabWarning, TrainingError
from cntk_lab.learners._schedules import TrainingParameterSchedule
from cntk_lab.train._checkpoint import candidates
from cntk_lab.train._control import Control, running
from cntk_lab.train._data import Streams, is_infinite, next_minibatch, source_of, streams_of
from cntk_lab.train.trainer import Trainer

__all__ = [
    "CheckpointConfig", "CrossValidationConfig", "DataUnit", "TestConfig", "TrainingSession", "minibatch_size_schedule",
    "training_session",
]  # fmt: skip

SOURCE_STATE: Final = "TrainingMinibatchSource"
"""Name under which CNTK keeps the state of the source beside the trainer's."""
AT_END: Final = sys.maxsize
"""Frequency that means "once, after the last minibatch"."""
_UNITS: Final = {"sweep": "sweeps", "sample": "samples", "minibatch": "minibatches"}

Frequency: TypeAlias = "int | tuple[int, DataUnit] | None"
Callback: TypeAlias = Callable[[int, float, int, int], Any]


class DataUnit(enum.IntEnum):
    """What a frequency counts.

    Example:
        >>> DataUnit.minibatch
        <DataUnit.minibatch: 2>

    Source: CNTK 2.7 ``train.DataUnit``.
    """

    sweep = 0
    sample = 1
    minibatch = 2


class MinibatchSizeSchedule(TrainingParameterSchedule):
    """Minibatch sizes that change with the number of samples seen; see :func:`minibatch_size_schedule`."""

    def __getitem__(self, position: int) -> int:
        return int(super().__getitem__(position))


def minibatch_size_schedule(schedule: Any, epoch_size: int = 1) -> MinibatchSizeSchedule:
    """Minibatch sizes, in samples, that change while samples go by.

    Args:
        schedule: one size, a list of sizes, or a list of (number of units, size); the last size stays for ever.
        epoch_size: samples in one unit; 0 for a sweep over the data.

    Returns:
        Schedule; ``schedule[i]`` is the size after i samples.

    Raises:
        AttributeValueError: if a size is no whole number of at least 1.

    Example:
        >>> sizes = minibatch_size_schedule([(2, 32), 64], epoch_size=100)
        >>> sizes[0], sizes[199], sizes[200]
        (32, 32, 64)

    Source: CNTK 2.7 ``train.minibatch_size_schedule``.
    """
    if not isinstance(schedule, (int, float, list, tuple)):
        raise AttributeValueError(
            f"schedule must be either a number or a list, not {type(schedule)}",
            fix="give a size, or [(units, size), ...]",
        )
    entries = schedule if isinstance(schedule, (list, tuple)) else [schedule]
    sizes = [entry[1] if isinstance(entry, (list, tuple)) else entry for entry in entries]
    wrong = [size for size in sizes if size != int(size) or size < 1]
    if wrong:
        raise AttributeValueError(f"a minibatch of {wrong[0]} samples is not possible", fix="give whole numbers from 1")
    return MinibatchSizeSchedule(schedule, None, epoch_size)


def _sizes(given: Any) -> MinibatchSizeSchedule:
    if isinstance(given, MinibatchSizeSchedule):
        return given
    if isinstance(given, int) and not isinstance(given, bool):
        return minibatch_size_schedule(given)
    raise AttributeValueError(
        f"mb_size of type ({type(given)}) not supported. it must be an output of minibatch_size_schedule() function"
    )


@dataclass(frozen=True, slots=True)
class _Every:
    """A frequency: so many of a unit."""

    number: int
    unit: DataUnit

    @classmethod
    def of(cls, given: Any, what: str) -> _Every | None:
        """A frequency in the user's form; None stays None, and 0 means never."""
        if given is None:
            return None
        number, unit = given if isinstance(given, (tuple, list)) and len(given) == 2 else (given, DataUnit.sample)
        whole = isinstance(number, int) and not isinstance(number, bool) and number >= 0
        if not whole or unit not in tuple(DataUnit):
            raise AttributeValueError(
                f"{what}: the frequency is {given!r}",
                fix="give samples, or (number, DataUnit.sample, minibatch or sweep)",
            )
        return cls(number, DataUnit(unit))


class CheckpointConfig:
    """Where checkpoints are written, and how often.

    Args:
        filename: file of the model; the state goes to ``filename.ckp``. None: no checkpoints.
        frequency: samples between checkpoints, or (number, DataUnit); None: once at the end.
        restore: whether training goes on from the newest whole checkpoint of this name, if there is one.
        preserve_all: whether older checkpoints stay, under the file's name with a number; the plain name is written at
            the end.

    Raises:
        AttributeValueError: if there is a frequency and no file, or the frequency is none.

    Example:
        >>> CheckpointConfig("model.dnn", frequency=(10, DataUnit.minibatch)).filename
        'model.dnn'

    Source: CNTK 2.7 ``train.CheckpointConfig``.
    """

    def __init__(
        self,
        filename: str | os.PathLike[str] | None,
        frequency: Frequency = None,
        restore: bool = True,
        preserve_all: bool = False,
    ) -> None:
        if filename is None and frequency not in (None, 0, sys.maxsize):
            raise AttributeValueError("Checkpoint frequency cannot be specified without checkpoint_filename")
        self.filename = None if filename is None else os.fspath(filename)
        self.frequency = _Every.of(frequency, "checkpoints") or _Every(AT_END, DataUnit.sample)
        self.restore, self.preserve_all = bool(restore), bool(preserve_all)


class CrossValidationConfig:
    """On what a model is tested while it is trained, and how often.

    Args:
        minibatch_source: source of test data, or a tuple of arrays in the order of ``criterion.arguments``.
        frequency: training samples between tests, or (number, DataUnit); None: once at the end.
        minibatch_size: samples in a test minibatch; a number or a ``minibatch_size_schedule``.
        callback: called with (number of the test from 0, average metric, samples, minibatches); if it returns False,
            training ends.
        max_samples: most samples of one test.
        model_inputs_to_streams: {input: stream}; None: as in training.
        criterion: tells the order of the arrays; only needed for arrays.
        source: older name of minibatch_source.
        mb_size: older name of minibatch_size.

    Raises:
        AttributeValueError: if there is a frequency but nothing to do, or the source never ends.

    Source: CNTK 2.7 ``train.CrossValidationConfig``.
    """

    def __init__(
        self,
        minibatch_source: Any = None,
        frequency: Frequency = None,
        minibatch_size: Any = 32,
        callback: Callback | None = None,
        max_samples: int | None = None,
        model_inputs_to_streams: Streams | None = None,
        criterion: Any = None,
        source: Any = None,
        mb_size: Any = None,
    ) -> None:
        self.source, self.streams = _test_data(
            source if minibatch_source is None else minibatch_source, model_inputs_to_streams, criterion
        )
        if frequency is not None and self.source is None and callback is None:
            raise AttributeValueError(
                "Either minibatch_source of callback should be specified.", fix="give one of them"
            )
        if self.source is not None and max_samples is None and is_infinite(self.source):
            raise AttributeValueError(
                "Cross validation minibatch source must have a limited number of samples or sweeps.",
                fix="give max_samples",
            )
        self.frequency = _Every.of(frequency, "cross validation") or _Every(AT_END, DataUnit.sample)
        self.sizes = _sizes(minibatch_size if mb_size is None else mb_size)
        self.callback, self.max_samples = callback, max_samples


class TestConfig:
    """On what a model is tested after its training.

    Args:
        minibatch_source: source of test data, or a tuple of arrays in the order of ``criterion.arguments``.
        minibatch_size: samples in a test minibatch; a number or a ``minibatch_size_schedule``.
        model_inputs_to_streams: {input: stream}; None: as in training.
        criterion: tells the order of the arrays; only needed for arrays.
        source: older name of minibatch_source.
        mb_size: older name of minibatch_size.

    Raises:
        AttributeValueError: if the source never ends.

    Source: CNTK 2.7 ``train.TestConfig``.
    """

    __test__ = False  # not one of pytest's classes

    def __init__(
        self,
        minibatch_source: Any = None,
        minibatch_size: Any = 32,
        model_inputs_to_streams: Streams | None = None,
        criterion: Any = None,
        source: Any = None,
        mb_size: Any = None,
    ) -> None:
        self.source, self.streams = _test_data(
            source if minibatch_source is None else minibatch_source, model_inputs_to_streams, criterion
        )
        if self.source is not None and is_infinite(self.source):
            raise AttributeValueError(
                "Test minibatch source must have a limited number of samples or sweeps.", fix="give it max_samples"
            )
        self.sizes = _sizes(minibatch_size if mb_size is None else mb_size)


def _test_data(source: Any, streams: Streams | None, criterion: Any) -> tuple[Any, Streams | None]:
    if not isinstance(source, (tuple, list)):
        return source, streams
    if criterion is None:
        raise AttributeValueError("when passing data directly in place of a minibatch source, criterion must be given")
    source = source_of(source, criterion, endless=False)
    return source, streams_of(source, criterion)


@dataclass(slots=True)
class _Action:
    """Something done again and again while training."""

    every: _Every
    act: Callable[[int], Any]
    index: int = 0
    samples_when_last_done: int = 0


class TrainingSession:
    """The loop of a training; see :func:`training_session`. Subclasses may override the ``on_...`` methods.

    Args:
        trainer: who trains.
        mb_source: source of minibatches.
        mb_size: samples in a minibatch; a number or a ``minibatch_size_schedule``.
        model_inputs_to_streams: {input of the criterion: stream of the source}.
        max_samples: samples after which training ends; the last minibatch is cut. None: when the source ends.
        progress_frequency: samples in an epoch, after which progress is summarised, or (number, DataUnit); None: all.
        checkpoint_config: where and how often checkpoints are written.
        cv_config: on what and how often the model is tested during the training.
        test_config: on what the model is tested at the end.

    Raises:
        AttributeValueError: if something is missing, or training would never end.

    Source: CNTK 2.7 ``train.TrainingSession``.
    """

    def __init__(
        self,
        trainer: Trainer,
        mb_source: Any,
        mb_size: Any,
        model_inputs_to_streams: Streams,
        max_samples: int | None = None,
        progress_frequency: Frequency = None,
        checkpoint_config: CheckpointConfig | None = None,
        cv_config: CrossValidationConfig | None = None,
        test_config: TestConfig | None = None,
    ) -> None:
        if trainer is None:
            raise AttributeValueError("Trainer must not be None.")
        if mb_source is None:
            raise AttributeValueError("Training minibatch source must not be None.")
        if not model_inputs_to_streams:
            raise AttributeValueError("Mapping between input vars and streams should not be empty.")
        if max_samples is None and is_infinite(mb_source):
            raise AttributeValueError(
                "Train minibatch source must have a limited number of samples or sweeps.", fix="give max_samples"
            )
        self.trainer, self.source, self.streams = trainer, mb_source, model_inputs_to_streams
        self.mb_size_schedule = _sizes(mb_size)
        self.max_samples = max_samples
        self.control = Control()
        """Pause, resume and stop this session, from anywhere."""
        self._checkpoint, self._test = checkpoint_config, test_config
        self._cross_validation = cv_config
        self._actions: list[_Action] = []
        if checkpoint_config is not None and checkpoint_config.filename is not None:
            self._add(checkpoint_config.frequency, self._save_numbered)
        self._add(_Every.of(progress_frequency, "progress") or _Every(AT_END, DataUnit.sample), self._report)
        if cv_config is not None and (cv_config.source is not None or cv_config.callback is not None):
            self._add(cv_config.frequency, self._validate)

    def _add(self, every: _Every, act: Callable[[int], Any]) -> None:
        if every.number:
            self._actions.append(_Action(every, act))

    # --- to be overridden

    def get_minibatch_size(self) -> int:
        """Samples wanted in the next minibatch."""
        learner = self.trainer.parameter_learners[0]
        seen = learner.total_number_of_samples_seen()
        return int(self.mb_size_schedule.at(seen, learner.total_number_of_sweeps_seen()))

    def on_minibatch_start(self) -> None:
        """Called before each training minibatch."""

    def on_minibatch_end(self) -> Any:
        """Called after each training minibatch; False ends the training."""
        return True

    def on_checkpoint_start(self, index: int) -> None:
        """Called before a checkpoint is written."""

    def on_checkpoint_end(self, index: int) -> None:
        """Called after a checkpoint was written."""

    def on_cross_validation_start(self, index: int) -> None:
        """Called before a cross validation."""

    def on_cross_validation_end(self, index: int, average_error: float, num_samples: int, num_minibatches: int) -> Any:
        """Called after a cross validation; False ends the training.

        Args:
            index: number of the cross validation, from 0.
            average_error: average of the metric; 0 if there are no data but only a callback.
            num_samples: samples tested.
            num_minibatches: minibatches tested.

        Returns:
            What the callback of the configuration returns; True without one.
        """
        config = self._cross_validation
        if config is not None and config.callback is not None:
            return config.callback(index, average_error, num_samples, num_minibatches)
        return True

    # --- the loop

    def train(self, device: Any = None) -> None:
        """Train until the source or ``max_samples`` end it, every learning rate is 0, or a callback returns False.

        Args:
            device: not used: training runs where the parameters are.

        Raises:
            DataError: if data do not fit the model.
            TrainingError: if no checkpoint of those there are can be restored.
        """
        del device
        with running(self.trainer.number, self.control):
            restored = self._restore_newest()
            self._loop()
            if self._seen() != restored:
                for action in self._actions:
                    units = self.trainer.total_number_of_units_seen(action.every.unit)
                    if units % action.every.number and self._seen() != action.samples_when_last_done:
                        action.act(action.index)
        if self._checkpoint is not None and self._checkpoint.filename is not None and self._checkpoint.preserve_all:
            final = Path(self._checkpoint.filename)
            if self._seen() != restored or not final.is_file():
                self._save(final)
        self._run_test()

    def _loop(self) -> None:
        stop, done = False, 0
        while not stop and self.control.proceed():
            self.control.apply(done, self.trainer.parameter_learners)
            done += 1
            size = self.get_minibatch_size()
            if self.max_samples is not None:
                size = min(size, self.max_samples - self._seen())
            minibatch = next_minibatch(self.source, size, self.streams) if size > 0 else {}
            self.on_minibatch_start()
            # without data, and also when every learning rate is 0, nothing is updated: the end, as in CNTK
            stop = not self.trainer.train_minibatch(minibatch)
            stop |= self.on_minibatch_end() is False
            for action in self._actions:
                index = self.trainer.total_number_of_units_seen(action.every.unit) // action.every.number
                if index != action.index:
                    stop |= action.act(action.index) is False
                    action.index, action.samples_when_last_done = index, self._seen()

    def _seen(self) -> int:
        return self.trainer.total_number_of_samples_seen

    # --- what is done now and then

    def _report(self, index: int) -> None:
        del index
        self.trainer.summarize_training_progress()

    def _save_numbered(self, index: int) -> None:
        config = self._checkpoint
        assert config is not None
        assert config.filename is not None
        self.on_checkpoint_start(index)
        self._save(Path(config.filename + (str(index) if config.preserve_all and index < AT_END else "")))
        self.on_checkpoint_end(index)

    def _save(self, file: Path) -> None:
        state = self.source.get_checkpoint_state()
        self.trainer.save_checkpoint(file, {SOURCE_STATE: dict(state or {})})

    def _validate(self, index: int) -> Any:
        config = self._cross_validation
        assert config is not None
        self.on_cross_validation_start(index)
        error, samples, minibatches = 0.0, 0, 0
        if config.source is not None:
            before = config.source.get_checkpoint_state()
            error, samples, minibatches = self._average(config.source, config.streams, config.sizes, config.max_samples)
            config.source.restore_from_checkpoint(before)
            self.trainer.summarize_test_progress()
        return self.on_cross_validation_end(index, error, samples, minibatches)

    def _run_test(self) -> None:
        config = self._test
        if config is not None and config.source is not None:
            self._average(config.source, config.streams, config.sizes, None)
            self.trainer.summarize_test_progress()

    def _average(
        self, source: Any, streams: Streams | None, sizes: MinibatchSizeSchedule, most: int | None
    ) -> tuple[float, int, int]:
        """Average of the metric, samples and minibatches."""
        total, samples, minibatches = 0.0, 0, 0
        while most is None or samples < most:
            size = sizes[samples] if most is None else min(sizes[samples], most - samples)
            minibatch = next_minibatch(source, size, self.streams if streams is None else streams)
            if not minibatch:
                break
            tested = self.trainer.test_totals(minibatch)
            total += tested.loss
            samples += tested.samples
            minibatches += 1
        return total / samples if samples else 0.0, samples, minibatches

    # --- going on

    def restore_from_checkpoint(self, checkpoint_file_name: str | os.PathLike[str]) -> None:
        """Put trainer and source back to what a checkpoint holds.

        Args:
            checkpoint_file_name: file of the model.

        Raises:
            FormatError: if a file is damaged.
            TrainingError: if a file is missing, the checkpoint belongs to other learners, or has no source's state.
        """
        external = self.trainer.restore_from_checkpoint(checkpoint_file_name)
        state = external.get(SOURCE_STATE)
        if not isinstance(state, Mapping):
            raise TrainingError(
                f"checkpoint {os.fspath(checkpoint_file_name)} says nothing of the source of minibatches",
                fix="restore with Trainer.restore_from_checkpoint, or give another checkpoint",
            )
        self.source.restore_from_checkpoint(dict(state))

    def _restore_newest(self) -> int:
        """Go on from the newest whole checkpoint; how many samples were seen then."""
        config = self._checkpoint
        if config is not None and config.filename is not None and config.restore:
            broken: list[Exception] = []
            for file in self._newest_first(candidates(Path(config.filename)), broken):
                try:
                    self.restore_from_checkpoint(file)
                    break
                except FormatError as error:
                    broken.append(error)
                    warnings.warn(
                        f"{file} is left out, an older checkpoint is taken: {error}", LabWarning, stacklevel=4
                    )
            else:
                if broken:
                    raise TrainingError(
                        f"none of the {len(broken)} checkpoints can be read: {broken[0]}",
                        config.filename,
                        "remove them, or set restore=False, to start anew",
                    ) from broken[0]
        for action in self._actions:
            action.index = self.trainer.total_number_of_units_seen(action.every.unit) // action.every.number
            action.samples_when_last_done = self._seen()
        return self._seen()

    def _newest_first(self, files: list[Path], broken: list[Exception]) -> list[Path]:
        """Put the file with the plain name where it belongs among the numbered ones."""
        config = self._checkpoint
        assert config is not None
        plain = Path(str(config.filename))
        if len(files) < 2 or files[0] != plain:
            return files
        seen: list[int] = []
        for file in files[:2]:
            try:
                seen.append(self.trainer.samples_in_checkpoint(file))
            except FormatError as error:
                broken.append(error)
                warnings.warn(f"{file} is left out: {error}", LabWarning, stacklevel=5)
                return [f for f in files if f != file]
        return files if seen[0] >= seen[1] else [*files[1:], plain]


def training_session(
    trainer: Trainer,
    mb_source: Any,
    mb_size: Any,
    model_inputs_to_streams: Streams,
    progress_frequency: Frequency = None,
    max_samples: int | None = None,
    checkpoint_config: CheckpointConfig | None = None,
    cv_config: CrossValidationConfig | None = None,
    test_config: TestConfig | None = None,
) -> TrainingSession:
    """A training as a whole: ``training_session(...).train()`` runs it to its end.

    A session that was interrupted goes on from its newest whole checkpoint when it is started again, with the same
    results as without the interruption.

    Args:
        trainer: who trains.
        mb_source: source of minibatches.
        mb_size: samples in a minibatch; a number or a ``minibatch_size_schedule``.
        model_inputs_to_streams: {input of the criterion: stream of the source}.
        progress_frequency: samples in an epoch, after which progress is summarised, or (number, DataUnit); None: all.
        max_samples: samples after which training ends; the last minibatch is cut. None: when the source ends.
        checkpoint_config: where and how often checkpoints are written.
        cv_config: on what and how often the model is tested during the training.
        test_config: on what the model is tested at the end.

    Returns:
        TrainingSession.

    Raises:
        AttributeValueError: if something is missing, or training would never end.

    Example:
        >>> import cntk_lab as C, numpy as np
        >>> x, w = C.input_variable(1), C.parameter((1,), init=1.0)
        >>> trainer = Trainer(None, C.square(x * w), C.sgd([w], 0.1))
        >>> source = C.io.MinibatchSourceFromData({"x": np.ones((4, 1), np.float32)}, max_samples=8)
        >>> training_session(trainer, source, 4, {x: source.streams.x}).train()
        >>> trainer.total_number_of_samples_seen, round(w.value.item(), 2)
        (8, 0.64)

    Source: CNTK 2.7 ``train.training_session``.
    """
    return TrainingSession(
        trainer, mb_source, mb_size, model_inputs_to_streams, max_samples, progress_frequency, checkpoint_config,
        cv_config, test_config,
    )  # fmt: skip
