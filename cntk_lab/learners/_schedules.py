"""Schedules: how learning rates, momenta and minibatch sizes change while samples go by.

A schedule is a list of values, each valid for a number of units; a unit is ``epoch_size`` samples, or a sweep over the
data if no epoch size is given. Beside its values it says for how many samples they are meant (``minibatch_size``): a
rate of 0.1 per 32 samples is 0.1 / 32 for each sample, a momentum of 0.9 per 32 samples is 0.9^(N / 32) for N samples.

Knows no learners and no arrays. The rules are CNTK 2.7's, observed for every combination of arguments.
"""

from __future__ import annotations

import enum
import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from cntk_lab.errors import AttributeValueError, LabWarning, SignatureError

__all__ = [
    "IGNORE",
    "TrainingParameterSchedule",
    "UnitType",
    "learning_parameter_schedule",
    "learning_parameter_schedule_per_sample",
    "learning_rate_schedule",
    "momentum_as_time_constant_schedule",
    "momentum_schedule",
    "momentum_schedule_per_sample",
    "training_parameter_schedule",
]

IGNORE: Final = 0
"""Minibatch size that means "per minibatch, however many samples it has"."""
FULL_DATA_SWEEP: Final = 0
"""Epoch size that means "one sweep over the data"."""


class UnitType(enum.Enum):
    """What a value of an old-style schedule is meant for: one sample, or one minibatch.

    Example:
        >>> UnitType("sample") is UnitType.sample
        True

    Source: CNTK 2.7 ``learners.UnitType``.
    """

    sample = "sample"
    minibatch = "minibatch"


class TrainingParameterSchedule:
    """Values that change with the number of samples seen.

    Build one with :func:`learning_parameter_schedule` or :func:`momentum_schedule`. ``schedule[i]`` is the value after
    i samples (after i sweeps if there is no epoch size).

    Args:
        schedule: one value, a list of values, or a list of (number of units, value); the last one stays for ever.
        minibatch_size: number of samples the values are meant for; 0 (IGNORE) for a minibatch of any size; None if not
            given.
        epoch_size: samples in one unit; None or 0 for a sweep over the data.

    Raises:
        AttributeValueError: if the schedule is empty, no number, or a count of units is below 1.

    Example:
        >>> rates = TrainingParameterSchedule([(2, 0.1), 0.01], 1, 100)
        >>> rates[0], rates[199], rates[200]
        (0.1, 0.1, 0.01)

    Source: CNTK 2.7 ``training_double_parameter_schedule``.
    """

    def __init__(self, schedule: object, minibatch_size: int | None = None, epoch_size: int | None = None) -> None:
        if not _is_count(minibatch_size):
            raise AttributeValueError(
                f"schedule: the minibatch size is {minibatch_size!r}", fix="give a number of samples, or 0 (IGNORE)"
            )
        if not _is_count(epoch_size):
            raise AttributeValueError(
                f"schedule: the epoch size is {epoch_size!r}", fix="give a number of samples, or 0 for a sweep"
            )
        self.epoch_size = epoch_size or FULL_DATA_SWEEP
        self._minibatch_size = minibatch_size
        self._steps = _steps(schedule, self.epoch_size or 1)

    @property
    def minibatch_size(self) -> int:
        """Number of samples the values are meant for; 0 for a minibatch of any size."""
        return self._minibatch_size or IGNORE

    @minibatch_size.setter
    def minibatch_size(self, value: int) -> None:
        self._minibatch_size = int(value)

    @property
    def is_constant(self) -> bool:
        """Whether there is one value for ever."""
        return len(self._steps) == 1

    @property
    def is_minibatch_size_explicitly_specified(self) -> bool:
        """Whether the minibatch size was given."""
        return self._minibatch_size is not None

    def __getitem__(self, position: int) -> float:
        steps = self._steps
        if len(steps) > 1:
            for end, value in steps:
                if position < end:
                    return value
        return steps[-1][1]

    def at(self, samples: int, sweeps: int) -> float:
        """The value after this many samples and sweeps.

        Args:
            samples: samples seen so far.
            sweeps: sweeps over the data finished so far.

        Returns:
            The value.

        Example:
            >>> TrainingParameterSchedule([0.1, 0.2]).at(samples=5000, sweeps=1)
            0.2

        Source: CNTK 2.7.
        """
        return self[sweeps if self.epoch_size == FULL_DATA_SWEEP else samples]

    def mapped(self, change: Callable[[float], float]) -> TrainingParameterSchedule:
        """The same schedule with every value changed.

        Args:
            change: function of one value.

        Returns:
            A new schedule.

        Example:
            >>> TrainingParameterSchedule([1.0, 2.0]).mapped(lambda v: 10 * v)[1]
            20.0

        Source: this project.
        """
        made = self.copy()
        made._steps = [(end, change(value)) for end, value in self._steps]
        return made

    def copy(self) -> TrainingParameterSchedule:
        """An independent copy.

        Returns:
            A new schedule.

        Example:
            >>> TrainingParameterSchedule(0.5).copy()[0]
            0.5

        Source: this project.
        """
        made = TrainingParameterSchedule(0.0, self._minibatch_size, self.epoch_size)
        made._steps = list(self._steps)
        return made

    def to_dictionary(self) -> dict[str, Any]:
        """The schedule in the plain form that checkpoints hold.

        Returns:
            Dictionary with CNTK's keys.

        Example:
            >>> TrainingParameterSchedule([0.1, 0.2], 4, 100).to_dictionary()["schedule"]
            {'100': 0.1, '200': 0.2}

        Source: CNTK 2.7 checkpoint files.
        """
        single = len(self._steps) == 1 and math.isinf(self._steps[0][0])
        values = {"0": self._steps[0][1]} if single else {str(int(end)): value for end, value in self._steps}
        return {
            "epoch_size": self.epoch_size,
            "ref_mb_size": self.minibatch_size,
            "schedule": values,
            "type": "TrainingParameterSchedule",
            "version": 2,
        }

    @classmethod
    def from_dictionary(cls, entries: Mapping[str, Any]) -> TrainingParameterSchedule:
        """The schedule that a checkpoint holds.

        Args:
            entries: dictionary as made by :meth:`to_dictionary`.

        Returns:
            A new schedule.

        Raises:
            AttributeValueError: if an entry is missing or of the wrong kind.

        Example:
            >>> TrainingParameterSchedule.from_dictionary(TrainingParameterSchedule(0.5, 4).to_dictionary())[0]
            0.5

        Source: CNTK 2.7 checkpoint files.
        """
        try:
            made = cls(0.0, int(entries["ref_mb_size"]), int(entries["epoch_size"]))
            steps = sorted((int(end), float(value)) for end, value in entries["schedule"].items())
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise AttributeValueError(
                f"checkpoint: the schedule cannot be read: {error!r}",
                fix="use a checkpoint that was written completely",
            ) from error
        if not steps:
            raise AttributeValueError(
                "checkpoint: the schedule is empty", fix="use a checkpoint that was written completely"
            )
        made._steps = [(math.inf, steps[0][1])] if steps[0][0] == 0 else [(float(end), value) for end, value in steps]
        return made

    def __repr__(self) -> str:
        unit = f"{self.epoch_size} samples" if self.epoch_size else "a sweep"
        values = ", ".join(f"{value:g}" for _, value in self._steps)
        return f"schedule({values}; unit {unit}; minibatch_size {self.minibatch_size or 'IGNORE'})"


Schedulable: TypeAlias = float | Sequence[float | tuple[int, float]] | TrainingParameterSchedule
"""What users may give for a rate or momentum: a number, a list of values or of (units, value), or a schedule."""


def _is_count(value: object) -> bool:
    return value is None or (isinstance(value, int) and value >= 0)


def _steps(schedule: object, unit: int) -> list[tuple[float, float]]:
    """(position where it ends, value) of each entry."""
    if isinstance(schedule, (int, float)) and not isinstance(schedule, bool):
        return [(math.inf, float(schedule))]
    if isinstance(schedule, str) or not isinstance(schedule, Iterable):
        raise AttributeValueError(
            f"schedule must be a number or a list, not {type(schedule).__name__}",
            fix="give 0.1, [0.1, 0.01], or [(10, 0.1), (5, 0.01)]",
        )
    steps: list[tuple[float, float]] = []
    end = 0
    entries = list(schedule)
    for position, entry in enumerate(entries):
        units, value = entry if isinstance(entry, (tuple, list)) else (1, entry)
        least = 0 if position == len(entries) - 1 else 1  # the last one is valid for ever, whatever it says
        if not isinstance(units, int) or units < least:
            raise AttributeValueError(
                f"schedule: an entry is valid for {units!r} units", fix="give whole numbers of units, 1 or more"
            )
        end += units * unit
        steps.append((end, float(value)))
    if not steps:
        raise AttributeValueError("schedule: the list of values is empty", fix="give at least one value")
    return steps


class ScheduleWarning(LabWarning, RuntimeWarning):
    """A schedule of one value was given an epoch size, which has no effect (CNTK warned with a RuntimeWarning)."""


def _warn_of_epoch_size(schedule: object, epoch_size: int | None) -> None:
    if epoch_size is not None and isinstance(schedule, (int, float)):
        warnings.warn(
            f"epoch_size={epoch_size} has no effect: the schedule has the one value {schedule}; give a list of values",
            ScheduleWarning,
            stacklevel=3,
        )


def training_parameter_schedule(
    schedule: Schedulable, unit: UnitType | str = UnitType.minibatch, epoch_size: int | None = None
) -> TrainingParameterSchedule:
    """A schedule in the older form: values per sample or per minibatch.

    Args:
        schedule: a number, a list of values, or of (number of units, value).
        unit: ``UnitType.sample`` or ``UnitType.minibatch``, or its name.
        epoch_size: samples in one unit of the list; None for a sweep over the data.

    Returns:
        Schedule.

    Raises:
        AttributeValueError: if the unit or the values are of the wrong kind.

    Example:
        >>> training_parameter_schedule(0.1, UnitType.sample).minibatch_size
        1

    Source: CNTK 2.7 ``learners.training_parameter_schedule``.
    """
    try:
        chosen = UnitType(unit)
    except ValueError:
        raise AttributeValueError(
            f"{unit!r} is not a valid UnitType", fix="use UnitType.sample or UnitType.minibatch"
        ) from None
    size = 1 if chosen is UnitType.sample else IGNORE
    _warn_of_epoch_size(schedule, epoch_size)
    if isinstance(schedule, TrainingParameterSchedule):
        made = schedule.copy()
        made.minibatch_size = size
        return made
    return TrainingParameterSchedule(schedule, size, epoch_size)


def learning_rate_schedule(
    lr: Schedulable, unit: UnitType | str, epoch_size: int | None = None
) -> TrainingParameterSchedule:
    """A learning rate in the older form; see :func:`training_parameter_schedule`.

    Args:
        lr: a number, a list of values, or of (number of units, value).
        unit: ``UnitType.sample`` or ``UnitType.minibatch``, or its name.
        epoch_size: samples in one unit of the list; None for a sweep over the data.

    Returns:
        Schedule.

    Raises:
        AttributeValueError: if the unit or the values are of the wrong kind.

    Example:
        >>> learning_rate_schedule([0.1, 0.01], UnitType.minibatch, 100)[100]
        0.01

    Source: CNTK 2.7 ``learners.learning_rate_schedule``.
    """
    return training_parameter_schedule(lr, unit, epoch_size)


def learning_parameter_schedule(
    schedule: Schedulable, minibatch_size: int | None = None, epoch_size: int | None = None
) -> TrainingParameterSchedule:
    """A learning rate (or other parameter of a learner) that changes with the samples seen.

    Args:
        schedule: a number, a list of values, or of (number of units, value); an existing schedule is returned as it is.
        minibatch_size: number of samples the values are meant for; 0 (IGNORE) per minibatch; None leaves it to the
            learner.
        epoch_size: samples in one unit of the list; None for a sweep over the data.

    Returns:
        Schedule.

    Raises:
        AttributeValueError: if the values are of the wrong kind.

    Example:
        >>> learning_parameter_schedule([0.1, 0.01], minibatch_size=32, epoch_size=1000)[999]
        0.1

    Source: CNTK 2.7 ``learners.learning_parameter_schedule``.
    """
    if isinstance(schedule, TrainingParameterSchedule):
        return schedule
    _warn_of_epoch_size(schedule, epoch_size)
    return TrainingParameterSchedule(schedule, minibatch_size, epoch_size)


def learning_parameter_schedule_per_sample(
    schedule: Schedulable, epoch_size: int | None = None
) -> TrainingParameterSchedule:
    """A learning rate for each sample; see :func:`learning_parameter_schedule` with a minibatch size of 1.

    Args:
        schedule: a number, a list of values, or of (number of units, value); an existing schedule is returned as it is.
        epoch_size: samples in one unit of the list; None for a sweep over the data.

    Returns:
        Schedule.

    Raises:
        AttributeValueError: if the values are of the wrong kind.

    Example:
        >>> learning_parameter_schedule_per_sample(0.01).minibatch_size
        1

    Source: CNTK 2.7 ``learners.learning_parameter_schedule_per_sample``.
    """
    return learning_parameter_schedule(schedule, 1, epoch_size)


def momentum_schedule(
    momentum: Schedulable, epoch_size: int | None = None, minibatch_size: int | None = None
) -> TrainingParameterSchedule:
    """A momentum that changes with the samples seen.

    Args:
        momentum: a number, a list of values, or of (number of units, value); an existing schedule is returned as it is.
        epoch_size: samples in one unit of the list; None for a sweep over the data.
        minibatch_size: number of samples after which the given fraction is left; 0 or None for a minibatch.

    Returns:
        Schedule.

    Raises:
        AttributeValueError: if the values are of the wrong kind.

    Example:
        >>> momentum_schedule(0.9)[0]
        0.9

    Source: CNTK 2.7 ``learners.momentum_schedule``.
    """
    return learning_parameter_schedule(momentum, minibatch_size, epoch_size)


def momentum_schedule_per_sample(momentum: Schedulable, epoch_size: int | None = None) -> TrainingParameterSchedule:
    """A momentum for each sample: after N samples momentum^N is left.

    Args:
        momentum: a number, a list of values, or of (number of units, value); an existing schedule is returned as it is.
        epoch_size: samples in one unit of the list; None for a sweep over the data.

    Returns:
        Schedule.

    Raises:
        AttributeValueError: if the values are of the wrong kind.

    Example:
        >>> momentum_schedule_per_sample(0.999).minibatch_size
        1

    Source: CNTK 2.7 ``learners.momentum_schedule_per_sample``.
    """
    return momentum_schedule(momentum, epoch_size, 1)


def momentum_as_time_constant_schedule(
    momentum: Schedulable, epoch_size: int | None = None
) -> TrainingParameterSchedule:
    """A momentum given as the number of samples after which 1/e of a gradient's influence is left.

    Args:
        momentum: time constant in samples, 0 for no momentum; a list of them, or of (number of units, time constant).
        epoch_size: samples in one unit of the list; None for a sweep over the data.

    Returns:
        Schedule of exp(-1 / time constant) per sample; an existing schedule is returned as it is.

    Raises:
        AttributeValueError: if the values are of the wrong kind.

    Example:
        >>> round(momentum_as_time_constant_schedule(100)[0], 6)
        0.99005

    Source: CNTK 2.7 ``learners.momentum_as_time_constant_schedule``.
    """
    if isinstance(momentum, TrainingParameterSchedule):
        return momentum
    _warn_of_epoch_size(momentum, epoch_size)
    return TrainingParameterSchedule(momentum, 1, epoch_size).mapped(lambda t: 0.0 if t == 0 else math.exp(-1.0 / t))


class SchedulingError(SignatureError, ValueError):
    """Something else than a schedule was given where a schedule is needed (CNTK raised a ValueError)."""

    def __init__(self, given: object) -> None:
        super().__init__(
            f"learning_rate is a {type(given).__name__}, it must be a schedule",
            fix="give learning_parameter_schedule(0.1) or the like",
        )
