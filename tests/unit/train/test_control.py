"""Control: what is asked from another thread acts between minibatches, and only there."""

import threading

import pytest

from cntk_lab import learners
from cntk_lab.errors import AttributeValueError, TrainingError
from cntk_lab.graph.variable import Parameter
from cntk_lab.train._control import Change, Control, control_of, running

schedule = learners.learning_parameter_schedule


def steps_done(control: Control, most: int = 1000) -> int:
    done = 0
    while done < most and control.proceed():
        done += 1
    return done


def test_a_pause_holds_until_it_is_resumed() -> None:
    control, order = Control(), []
    control.pause()
    assert control.paused

    def work() -> None:
        order.append(control.proceed())

    thread = threading.Thread(target=work)
    thread.start()
    assert order == []
    control.resume()
    thread.join(5)
    assert (order, control.paused) == ([True], False)


def test_steps_are_counted_out_and_then_it_holds() -> None:
    held = threading.Event()
    control = Control(idle=held.set)
    control.step(3)
    done: list[bool] = []

    def work() -> None:
        while control.proceed():
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    assert held.wait(5)
    assert (len(done), control.paused) == (3, True)
    control.stop()
    thread.join(5)
    assert (len(done), control.stopped) == (3, True)


def test_a_stop_ends_a_pause() -> None:
    control = Control()
    control.pause()
    control.stop()
    assert steps_done(control) == 0
    assert not control.paused


def test_rates_reach_the_learners_between_minibatches_and_are_told_with_their_step() -> None:
    w = Parameter((1,), init=1.0)
    learner = learners.momentum_sgd([w], schedule(0.5, 4), 0.9)
    control = Control()
    control.set_learning_rate(0.25)
    control.set_momentum(0.5)
    assert (learner.learning_rate(), learner.momentum()) == (0.5, 0.9)
    assert control.apply(7, [learner]) == [Change(7, "learning_rate", 0.25), Change(7, "momentum", 0.5)]
    assert (learner.learning_rate(), learner.momentum()) == (0.25, 0.5)
    # what the rate is meant for (4 samples) stays
    assert learner.create_checkpoint()["learnig_rate_schedule"]["ref_mb_size"] == 4
    assert control.apply(8, [learner]) == []


def test_one_of_several_learners_can_be_meant() -> None:
    both = [learners.sgd([Parameter((1,))], schedule(0.5, 1)) for _ in range(2)]
    control = Control()
    control.set_learning_rate(0.1, learner=1)
    control.apply(0, both)
    assert [entry.learning_rate() for entry in both] == [0.5, 0.1]


@pytest.mark.parametrize(
    ("act", "error", "words"),
    [
        (lambda c: c.set_learning_rate(-1), AttributeValueError, "learning rate -1 cannot be used"),
        (lambda c: c.set_learning_rate(float("nan")), AttributeValueError, "learning rate nan cannot be used"),
        (lambda c: c.set_learning_rate(float("inf")), AttributeValueError, "learning rate inf cannot be used"),
        (lambda c: c.set_momentum(1), AttributeValueError, "momentum 1 cannot be used"),
        (lambda c: c.step(0), AttributeValueError, "step: 0 minibatches cannot be done"),
    ],
)
def test_impossible_wishes_are_refused_where_they_are_made(act, error, words) -> None:
    control = Control()
    with pytest.raises(error, match=words):
        act(control)
    assert not control.asked


def test_a_momentum_needs_a_learner_that_has_one() -> None:
    control, plain = Control(), learners.sgd([Parameter((1,))], schedule(0.5, 1))
    control.set_momentum(0.5)
    with pytest.raises(TrainingError, match="no learner has a momentum"):
        control.apply(0, [plain])
    control.set_learning_rate(0.5, learner=3)
    with pytest.raises(TrainingError, match="there is no learner 3"):
        control.apply(0, [plain])


def test_a_control_is_found_while_training_goes_on() -> None:
    control = Control()
    assert control_of(-1) is None
    with running(-1, control):
        assert control_of(-1) is control
    assert control_of(-1) is None
