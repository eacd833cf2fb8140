"""Learners written outside CNTK ask for schedules by its private names; the answers are those of CNTK 2.7."""

from typing import Any

import pytest

import cntk_lab as C
from cntk_lab import cntk_py
from cntk_lab.learners import (
    _infer_learning_parameter_schedule,
    _infer_learning_rate_schedule_and_ref_minibatch_size,
    _verify_learning_rate_type,
    _verify_momentum_type,
)


@pytest.mark.parametrize(
    ("mean", "size", "given", "schedule_size", "found_size"),
    [
        (None, None, 0.1, 0, None),
        (True, None, 0.1, 0, 0),
        (None, 32, 0.1, 32, 32),
        (None, 0, [0.1, 0.2], 0, 0),
        (True, None, C.learning_parameter_schedule(0.1, 1), 0, 0),
        (None, 8, C.learning_parameter_schedule(0.1), 8, 8),
        (None, 8, C.learning_parameter_schedule(0.1, 4), 4, 8),
    ],
)
def test_rates_are_meant_for_the_minibatch_size_that_cntk_infers(
    mean: Any, size: Any, given: Any, schedule_size: int, found_size: Any
) -> None:
    schedule, found = _infer_learning_rate_schedule_and_ref_minibatch_size(mean, size, given, 10)
    assert (schedule[0], schedule.minibatch_size, found) == (0.1, schedule_size, found_size)


@pytest.mark.parametrize("wrong", ["a", None])
def test_what_is_no_schedule_is_a_value_error(wrong: Any) -> None:
    for refuse in (
        lambda: _verify_momentum_type(wrong),
        lambda: _verify_learning_rate_type(wrong),
        lambda: _infer_learning_parameter_schedule(wrong, None, None),
    ):
        with pytest.raises(ValueError, match="is no schedule"):
            refuse()
    _verify_momentum_type(C.momentum_schedule(0.9))


def test_noise_may_be_a_schedule() -> None:
    w = C.parameter(1, init=1)
    options = cntk_py.AdditionalLearningOptions()
    options.gaussian_noise_injection_std_dev = C.training_parameter_schedule(0.0)
    rates = C.learning_parameter_schedule(0.1), C.momentum_schedule(0.9), C.momentum_schedule(0.999)
    learner = cntk_py.adam_learner([w], rates[0], rates[1], True, rates[2], 1e-8, False, options)
    x = C.input_variable(1)
    C.Trainer(None, C.reduce_sum(C.square(w * x)), learner).train_minibatch({x: [[1]]})
    assert 0 < w.value.item() < 1
