"""Schedules made of what a learner was given, under the names by which learners written outside CNTK ask for them."""

from __future__ import annotations

from cntk_lab.errors import AttributeValueError
from cntk_lab.learners._schedules import IGNORE, Schedulable, TrainingParameterSchedule


def _verify_momentum_type(momentum: object) -> None:
    """Refuse what is no schedule.

    Raises:
        AttributeValueError: if it is a number, for example.
    """
    _verify(momentum, "momentum", "momentum_schedule(0.9)")


def _verify_learning_rate_type(learning_rate: object) -> None:
    """Refuse what is no schedule.

    Raises:
        AttributeValueError: if it is a number, for example.
    """
    _verify(learning_rate, "learning rate", "learning_parameter_schedule(0.1)")


def _verify(value: object, what: str, fix: str) -> None:
    if not isinstance(value, TrainingParameterSchedule):
        raise AttributeValueError(f"{what}: a {type(value).__name__} is no schedule: {value!r}", fix=f"give {fix}")


def _infer_learning_parameter_schedule(
    number_or_schedule: Schedulable,
    ref_minibatch_size: int | None,
    epoch_size: int | None,
    use_mean_gradient: bool | None = None,
) -> TrainingParameterSchedule:
    """A schedule: numbers are meant for the minibatch size, and so is a schedule that says none (it is changed).

    Raises:
        AttributeValueError: if it is neither number, list nor schedule.
    """
    if isinstance(number_or_schedule, (int, float, list)):
        return TrainingParameterSchedule(number_or_schedule, ref_minibatch_size or IGNORE, epoch_size)
    _verify(number_or_schedule, "schedule", "0.1, [0.1, 0.01] or learning_parameter_schedule(0.1)")
    assert isinstance(number_or_schedule, TrainingParameterSchedule)
    if not number_or_schedule.is_minibatch_size_explicitly_specified and ref_minibatch_size is not None:
        number_or_schedule.minibatch_size = ref_minibatch_size
    if use_mean_gradient and number_or_schedule.minibatch_size == 1:
        number_or_schedule.minibatch_size = IGNORE  # a rate per sample of a sum is a rate per minibatch of a mean
    return number_or_schedule


def _infer_learning_rate_schedule_and_ref_minibatch_size(
    use_mean_gradient: bool | None,
    ref_minibatch_size: int | None,
    schedule: Schedulable,
    epoch_size: int | None,
) -> tuple[TrainingParameterSchedule, int | None]:
    """The learning rate's schedule, and the minibatch size: as given, else IGNORE for mean gradients, else None."""
    size = IGNORE if ref_minibatch_size is None and use_mean_gradient else ref_minibatch_size
    return _infer_learning_parameter_schedule(schedule, size, epoch_size, use_mean_gradient), size
