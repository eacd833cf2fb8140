"""Schedules: positions, minibatch sizes, the older forms and checkpoints."""

import math

import pytest

from cntk_lab import learners
from cntk_lab.errors import AttributeValueError
from cntk_lab.learners import TrainingParameterSchedule, UnitType, learning_parameter_schedule


def test_values_change_where_their_units_end() -> None:
    schedule = learning_parameter_schedule([(2, 0.1), (1, 0.2), 0.3], epoch_size=10)
    assert [schedule[i] for i in (0, 19, 20, 29, 30, 1000)] == [0.1, 0.1, 0.2, 0.2, 0.3, 0.3]
    assert schedule.at(samples=25, sweeps=0) == 0.2
    assert learning_parameter_schedule([0.1, 0.2]).at(samples=25, sweeps=0) == 0.1


@pytest.mark.parametrize(
    ("schedule", "size", "is_given"),
    [
        (learning_parameter_schedule(0.1), 0, False),
        (learning_parameter_schedule(0.1, 0), 0, True),
        (learning_parameter_schedule(0.1, 4), 4, True),
        (learners.learning_parameter_schedule_per_sample(0.1), 1, True),
        (learners.learning_rate_schedule(0.1, UnitType.sample), 1, True),
        (learners.learning_rate_schedule(0.1, "minibatch"), 0, True),
        (learners.training_parameter_schedule(0.1), 0, True),
        (learners.momentum_schedule(0.9), 0, False),
        (learners.momentum_schedule(0.9, minibatch_size=4), 4, True),
        (learners.momentum_schedule_per_sample(0.9), 1, True),
        (learners.momentum_as_time_constant_schedule(100), 1, True),
        (learners.learning_parameter_schedule_per_sample(learning_parameter_schedule(0.1, 4)), 4, True),
    ],
)
def test_minibatch_sizes_are_cntks(schedule: TrainingParameterSchedule, size: int, is_given: bool) -> None:
    assert (schedule.minibatch_size, schedule.is_minibatch_size_explicitly_specified) == (size, is_given)


def test_an_epoch_size_without_effect_is_told() -> None:
    for build in (learning_parameter_schedule, learners.momentum_as_time_constant_schedule, learners.momentum_schedule):
        with pytest.warns(RuntimeWarning, match="epoch_size=1000 has no effect"):
            build(0.5, epoch_size=1000)


def test_time_constants_become_momenta_per_sample() -> None:
    schedule = learners.momentum_as_time_constant_schedule([100, (3, 200), 0], 10)
    assert [schedule[i] for i in (0, 10, 40)] == [math.exp(-1 / 100), math.exp(-1 / 200), 0.0]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [  # printed by CNTK 2.7
        (learning_parameter_schedule(0.1), (0, 0, {"0": 0.1})),
        (learning_parameter_schedule([0.1, 0.2], 4, 100), (100, 4, {"100": 0.1, "200": 0.2})),
        (
            learning_parameter_schedule([(2, 0.1), (3, 0.2), 0.3], 0, 100),
            (100, 0, {"200": 0.1, "500": 0.2, "600": 0.3}),
        ),
        (learning_parameter_schedule([0.5]), (0, 0, {"1": 0.5})),
    ],
)
def test_checkpoints_hold_schedules_as_cntk_writes_them(
    schedule: TrainingParameterSchedule, expected: tuple[int, int, dict[str, float]]
) -> None:
    made = schedule.to_dictionary()
    assert (made["epoch_size"], made["ref_mb_size"], made["schedule"]) == expected
    read = TrainingParameterSchedule.from_dictionary(made)
    assert [read[i] for i in range(0, 700, 50)] == [schedule[i] for i in range(0, 700, 50)]


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: learning_parameter_schedule("a"), "must be a number or a list, not str"),  # type: ignore[arg-type]
        (lambda: learning_parameter_schedule([]), "the list of values is empty"),
        (lambda: learning_parameter_schedule([(0, 0.1), (1, 0.2)]), "an entry is valid for 0 units"),
        (lambda: learning_parameter_schedule(0.1, -1), "the minibatch size is -1"),
        (lambda: learning_parameter_schedule([0.1], epoch_size=-1), "the epoch size is -1"),
        (lambda: learners.learning_rate_schedule(0.1, None), "None is not a valid UnitType"),  # type: ignore[arg-type]
        (lambda: TrainingParameterSchedule.from_dictionary({}), "the schedule cannot be read: KeyError"),
    ],
)
def test_mistakes_are_named(build: object, text: str) -> None:
    with pytest.raises(AttributeValueError, match=text):
        build()  # type: ignore[operator]
