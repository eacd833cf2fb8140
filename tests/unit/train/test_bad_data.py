"""Bad data: training refuses what are no numbers, says where they are, and changes nothing."""

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab import settings
from cntk_lab.errors import DataError
from cntk_lab.learners import sgd
from cntk_lab.train.trainer import Trainer


def trainer():
    x, w = C.input_variable(2, name="features"), C.parameter((2, 1), init=1.0)
    return x, w, Trainer(None, C.times(x, w), sgd([w], 0.1))


def test_nan_in_data_is_counted_and_named_and_nothing_changes():
    x, w, t = trainer()
    with pytest.raises(DataError) as caught:
        t.train_minibatch({x: [[1, 2], [np.nan, np.nan], [3, 4]]})
    assert str(caught.value) == (
        "data for 'features' contain 2 NaN among 6 numbers, the first at (1, 0)\n"
        "  fix:   clean the data, or replace missing values, before training"
    )
    assert w.value.ravel().tolist() == [1, 1]
    assert t.total_number_of_samples_seen == 0


def test_infinities_pass_and_the_check_can_be_switched_off():
    x, _, t = trainer()
    assert t.train_minibatch({x: [[np.inf, 1]]})
    with settings.option(check_data=False):
        assert t.train_minibatch({x: [[np.nan, 1]]})
