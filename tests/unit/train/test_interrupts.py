"""An interrupt at any moment of a step: the step is done, counted and told, or it is not."""

import dis
import functools
import os
import signal
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab import settings
from cntk_lab._turn import TURN
from cntk_lab.backends.cpu import jit

PACKAGE = str(Path(C.__file__).parent)


_NAMES = ("RESUME", "CALL", "CALL_KW", "CALL_FUNCTION_EX", "JUMP_BACKWARD")
LOOKS = {dis.opmap[name] for name in _NAMES if name in dis.opmap}
"""The bytecodes after which Python looks for signals: an interrupt cannot come behind others."""


@functools.cache
def handlers(code):
    """Where exceptions go, by place: an interrupt goes where the call before it would have gone."""
    return [(e.start, e.end, e.target) for e in dis._parse_exception_table(code)]


def handler(code, place):
    return [target for start, end, target in handlers(code) if start <= place < end]


class Interrupts:
    """Calls the handler of interrupts at the n-th place of this package where one can come, inside the block."""

    def __init__(self, at):
        self.left, self.ran = at, {}

    def __enter__(self):
        self.before = sys.gettrace()
        sys.settrace(self.enter)
        return self

    def __exit__(self, *error):
        sys.settrace(self.before)

    def enter(self, frame, event, value):
        if not frame.f_code.co_filename.startswith(PACKAGE) or frame.f_code.co_filename.endswith("_whole.py"):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        self.ran.pop(id(frame), None)
        return self.step

    def step(self, frame, event, value):
        if event == "opcode":
            code, here = frame.f_code, frame.f_lasti
            before = self.ran.get(id(frame), here)
            looks = code.co_code[before] in LOOKS and handler(code, before) == handler(code, here)
            self.ran[id(frame)] = here
            self.left -= looks
            if looks and self.left == 0:
                sys.settrace(None)
                signal.getsignal(signal.SIGINT)(signal.SIGINT, frame)
        return self.step


class Told:
    def __init__(self):
        self.steps = self.samples = 0

    def update_training(self, samples, loss, metric):
        self.steps, self.samples = self.steps + 1, self.samples + samples

    def write(self, key, value):
        """Rates are not looked at."""


LEARNERS = {
    "sgd": lambda p: C.sgd(p, 0.25),
    "momentum": lambda p: C.momentum_sgd(p, 0.25, 0.5),
    "adam": lambda p: C.adam(p, 0.25, 0.5),
}


def trainer_with(learner, writers=()):
    x = C.input_variable(3)
    v, w = C.parameter(3, init=1), C.parameter(3, init=2)
    loss, metric = C.reduce_sum(x * v * w), C.classification_error(x * v, x)
    return x, v, w, C.Trainer(None, (loss, metric), LEARNERS[learner]([v, w]), list(writers))


ROWS = np.array([[1, 2, 3], [0, 1, 0]], np.float32) / 8


def reference(learner, steps):
    """The values after each number of steps."""
    x, v, w, trainer = trainer_with(learner)
    found = [(v.value, w.value)]
    for _ in range(steps):
        trainer.train_minibatch({x: ROWS})
        found.append((v.value, w.value))
    return found


def interrupted(learner, writers, native, stride, most):
    """Interrupt steps at one place after the other; everything must agree after each."""
    told = Told()
    x, v, w, trainer = trainer_with(learner, [told] if writers else ())
    with settings.option(native=native):
        for _ in range(4):  # until the tier is there that a program uses in the end
            trainer.train_minibatch({x: ROWS})
        jit.finish(200)
        trainer.train_minibatch({x: ROWS})
        right = reference(learner, 5 + most // stride + 5)
        cut = 0
        for at in range(1, most, stride):
            before = trainer.total_number_of_samples_seen
            try:
                with Interrupts(at) as interrupts:
                    trainer.train_minibatch({x: ROWS})
            except KeyboardInterrupt:
                cut += 1
            seen = trainer.total_number_of_units_seen(2)
            assert trainer.total_number_of_samples_seen - before in (0, 2)
            assert trainer.total_number_of_samples_seen == 2 * seen
            for now, then in zip((v.value, w.value), right[seen], strict=True):
                np.testing.assert_allclose(now, then, rtol=1e-4, err_msg=f"place {at}, step {seen}")
            assert not writers or (told.steps, told.samples) == (seen, 2 * seen), at
            if interrupts.left > 0:
                break
        else:
            pytest.fail(f"the step has more than {most} places")
    assert cut > 20
    return cut


@pytest.mark.parametrize("learner", LEARNERS)
def test_a_repeated_step_that_is_interrupted_anywhere_is_counted_or_not_done(learner):
    assert interrupted(learner, False, True, 1, 1500)


@pytest.mark.parametrize("writers", [False, True])
def test_a_step_on_numpy_that_is_interrupted_anywhere_is_counted_and_told_or_not_done(writers):
    assert interrupted("momentum", writers, False, 3, 6000)


@pytest.mark.parametrize("learner", ["sgd", "adam"])
def test_a_step_with_writers_that_is_interrupted_anywhere_is_counted_and_told_or_not_done(learner):
    assert interrupted(learner, True, True, 1, 3000)


@pytest.mark.parametrize("writers", [False, True])
def test_real_interrupts_leave_counts_and_values_together(writers):
    told = Told()
    x = C.input_variable(3)
    w = C.parameter(3, init=0)
    trainer = C.Trainer(None, C.reduce_sum(x * w), C.sgd([w], 1.0, minibatch_size=1), [told] if writers else [])
    data = {x: np.ones((1, 3), np.float32)}
    for _ in range(5):
        trainer.train_minibatch(data)
    jit.finish(200)
    ready, times = threading.Event(), 60

    def interrupt():
        for _ in range(times):  # each when the one before was dealt with
            ready.wait()
            ready.clear()
            threading.Event().wait(0.002)
            os.kill(os.getpid(), signal.SIGINT)

    sender = threading.Thread(target=interrupt)
    sender.start()
    for _ in range(times):
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012  (nothing else is between two steps)
            ready.set()
            while True:
                trainer.train_minibatch(data)
        assert w.value.tolist() == [-float(trainer.total_number_of_samples_seen)] * 3
        assert not writers or told.samples == trainer.total_number_of_samples_seen
    sender.join()


def test_an_interrupted_evaluation_leaves_no_wrong_numbers_behind():
    x = C.input_variable(3)
    f = C.splice(C.abs(x) * 2, C.layers.Dense(2, init=1)(x))
    rows = {n: np.arange(3 * n, dtype=np.float32).reshape(n, 3) / 8 for n in (2, 5, 90, 300, 301)}
    right = {n: np.array(f.eval({x: r})) for n, r in rows.items()}
    for _ in range(4):
        f.eval({x: rows[2]})
    jit.finish(200)
    sizes = list(rows)
    for at in range(1, 900):
        n = sizes[at % len(sizes)]
        try:
            with Interrupts(at) as interrupts:
                f.eval({x: rows[n]})
        except KeyboardInterrupt:
            pass
        for k in (n, sizes[(at + 2) % len(sizes)]):
            np.testing.assert_allclose(f.eval({x: rows[k]}), right[k], rtol=1e-4)
        del interrupts


def test_after_all_these_interrupts_the_turn_is_free():
    taken = []
    other = threading.Thread(target=lambda: taken.append(TURN.acquire(timeout=5)) or TURN.release())
    other.start()
    other.join()
    assert taken == [True]
