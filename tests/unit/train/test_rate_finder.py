"""The search for a learning rate: one answer for a model and its data, and it works."""

import math

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab import learners
from cntk_lab.errors import AttributeValueError
from cntk_lab.train._rate_finder import suggested
from tests.doctor.cases import classes, dense, numbers, training


def run_of(kind, seed, rate=0.05, steps=200):
    data = numbers(np.random.default_rng(seed)) if kind == "numbers" else classes(np.random.default_rng(seed))
    C.cntk_py.reset_random_seed()  # first weights do not depend on what ran before
    learner = learners.momentum_sgd if kind == "momentum" else learners.sgd
    return training(seed, dense(out=data[1].shape[1]), data, rate, steps, learner, doctor=False)


@pytest.mark.parametrize("kind", ["classes", "numbers", "momentum"])
def test_the_answer_is_the_same_fresh_or_trained_and_nothing_is_changed(kind) -> None:
    for seed in range(3):
        run = run_of(kind, seed)
        fresh = run.find_learning_rate().suggestion
        run.start().wait(60)
        before = [p.value.tobytes() for p in run.trainer.loss_function.parameters]
        assert run.find_learning_rate().suggestion == fresh
        assert [p.value.tobytes() for p in run.trainer.loss_function.parameters] == before


@pytest.mark.parametrize("kind", ["classes", "numbers", "momentum"])
def test_the_rate_found_trains_better_than_a_tenth_and_ten_times_of_it(kind) -> None:
    rate = run_of(kind, 5).find_learning_rate().suggestion
    ends = {}
    for times in (0.1, 1.0, 30.0):
        run = run_of(kind, 5, rate * times, 100)
        run.start().wait(60)
        ends[times] = float(np.mean(np.nan_to_num(np.asarray(run.history.loss), nan=1e9, posinf=1e9)))
    assert ends[1.0] == min(ends.values()), ends


def test_the_edges_of_a_curve_are_told() -> None:
    rates = np.geomspace(1e-6, 10, 24).tolist()
    valley = [1 - 0.9 / (1 + (0.1 / r) ** 2) for r in rates]
    found = suggested(rates, valley, 1.0)
    assert found.suggestion == pytest.approx(0.1, rel=0.8)
    assert found.note == "no rate tried was too high: give a high above 10"
    blown = [loss if rate < 1 else math.nan for rate, loss in zip(rates, valley, strict=True)]
    assert suggested(rates, blown, 1.0).suggestion == pytest.approx(0.1, rel=0.8)
    assert suggested(rates, blown, 1.0).note == ""
    rising = [0.5 + 0.1 * i for i in range(24)]
    assert suggested(rates, rising, 1.0).note == "the lowest rate tried, 1e-06, was the best: give a smaller low"
    for flat in ([1.0] * 24, [math.inf] * 24, [0.995] * 24):
        with pytest.raises(AttributeValueError, match=r"no learning rate from 1e-06 to 10 lowers it"):
            suggested(rates, flat, 1.0)
