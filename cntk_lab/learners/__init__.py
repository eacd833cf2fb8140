"""Learners and their schedules, under CNTK's names (a door).

A parameter that is only multiplied from the left by sparse rows (an embedding) gets a gradient of the rows that were
touched. Learners then change these rows and their states alone, as CNTK does: other rows keep their momentum until they
are touched again, a step costs what its rows cost, the mean in adagrad and rmsprop is that of touched rows, and
momentum_sgd keeps the rate outside their velocity. adadelta, noise, L1 and L2 change every row, and take the whole
gradient. (CNTK's nesterov with sparse rows lets the momentum of other rows grow without end; here it is the dense
formula on touched rows.)
"""

from cntk_lab.learners._builders import (
    adadelta,
    adagrad,
    adam,
    default_unit_gain_value,
    fsadagrad,
    momentum_sgd,
    nesterov,
    rmsprop,
    set_default_unit_gain_value,
    sgd,
)
from cntk_lab.learners._inferred import (  # noqa: F401  (learners outside this package ask for them)
    _infer_learning_parameter_schedule,
    _infer_learning_rate_schedule_and_ref_minibatch_size,
    _verify_learning_rate_type,
    _verify_momentum_type,
)
from cntk_lab.learners._learner import Learner
from cntk_lab.learners._schedules import (
    IGNORE,
    TrainingParameterSchedule,
    UnitType,
    learning_parameter_schedule,
    learning_parameter_schedule_per_sample,
    learning_rate_schedule,
    momentum_as_time_constant_schedule,
    momentum_schedule,
    momentum_schedule_per_sample,
    training_parameter_schedule,
)
from cntk_lab.learners._user import UserLearner, universal

__all__ = [
    "IGNORE",
    "Learner",
    "TrainingParameterSchedule",
    "UnitType",
    "UserLearner",
    "adadelta",
    "adagrad",
    "adam",
    "default_unit_gain_value",
    "fsadagrad",
    "learning_parameter_schedule",
    "learning_parameter_schedule_per_sample",
    "learning_rate_schedule",
    "momentum_as_time_constant_schedule",
    "momentum_schedule",
    "momentum_schedule_per_sample",
    "momentum_sgd",
    "nesterov",
    "rmsprop",
    "set_default_unit_gain_value",
    "sgd",
    "training_parameter_schedule",
    "universal",
]
