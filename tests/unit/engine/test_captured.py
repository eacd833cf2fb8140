"""The one rule for when a captured step is out of date: each of its conditions, broken on purpose."""

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab import settings
from cntk_lab.backends.cpu import jit, onednn
from cntk_lab.engine.ask.captured import Captured
from cntk_lab.events import BUS, StepTimed

pytestmark = pytest.mark.skipif(not (jit.available() and onednn.available()), reason="no numba or no oneDNN here")


@pytest.fixture(autouse=True)
def native_at_once():
    with settings.option(native_after=0, background_compilation=False):
        yield


@pytest.fixture
def gone(monkeypatch):
    """The number of captured steps that ran."""
    count = [0]
    go = Captured.go

    def counted(self, *given):
        count[0] += 1
        return go(self, *given)

    monkeypatch.setattr(Captured, "go", counted)
    return count


class Evaluation:
    """tanh(x w) + shift, evaluated."""

    def __init__(self):
        self.x = C.input_variable(6)
        self.w = C.parameter(init=np.linspace(-1, 1, 24, dtype=np.float32).reshape(6, 4))
        self.shift = C.constant(0.5)
        self.f = C.tanh(C.times(self.x, self.w)) + self.shift

    def go(self, data):
        np.testing.assert_allclose(self.f.eval({self.x: data}), self.expected(data), rtol=1e-5, atol=1e-6)

    def expected(self, data):
        return np.tanh(data @ self.w.value) + self.shift.value


class Training(Evaluation):
    """The same, trained towards 0."""

    def __init__(self):
        super().__init__()
        loss = C.reduce_sum(C.square(self.f))
        rate = C.learning_parameter_schedule(0.01, minibatch_size=1)
        self.trainer = C.Trainer(self.f, (loss, None), [C.sgd([self.w], rate)])

    def go(self, data):
        before, y = self.w.value, self.expected(data)
        slope = data.T @ (2 * y * (1 - np.tanh(data @ before) ** 2))
        self.trainer.train_minibatch({self.x: data})
        np.testing.assert_allclose(self.w.value, before - 0.01 * slope, rtol=1e-4, atol=1e-5)
        assert self.trainer.previous_minibatch_loss_average == pytest.approx(float((y**2).sum()) / len(data), rel=1e-4)


def rows(count=3):
    return np.random.default_rng(count).normal(size=(count, 6)).astype(np.float32)


def edit(_asked):
    z = C.placeholder()
    (z + 1).replace_placeholders({z: C.input_variable(1)})


def switch(_asked):
    settings.set_option("fuse", not settings.flag("fuse"))
    settings.set_option("fuse", not settings.flag("fuse"))


def listen(_asked):
    def heard(_event):
        pass

    BUS.subscribe(StepTimed, heard)()


def another_constant(asked):
    asked.shift.value = np.float32(-0.25)


def memory_moves(asked):
    asked.go(rows(5000))


def rows_change(asked):
    asked.go(rows(4))


BREAKS = {f.__name__: f for f in (edit, switch, listen, another_constant, memory_moves, rows_change)}


@pytest.mark.parametrize("kind", [Evaluation, Training])
@pytest.mark.parametrize("change", BREAKS)
def test_what_is_out_of_date_is_captured_anew_and_right(kind, change, gone):
    asked = kind()
    for _ in range(3):
        asked.go(rows())
    assert gone == [2]
    BREAKS[change](asked)
    for _ in range(2):
        asked.go(rows())
    assert 3 <= gone[0] <= 4, "the second of the two is a captured step again"


FORMS = {
    "a list": lambda d: d.tolist(),
    "double precision": lambda d: d.astype(np.float64),
    "rows that lie apart": lambda d: np.repeat(d, 2, axis=0)[::2],
    "columns first": np.asfortranarray,
    "fewer samples": lambda d: d[:2],
}


@pytest.mark.parametrize("kind", [Evaluation, Training])
@pytest.mark.parametrize("form", FORMS)
def test_data_in_another_form_give_the_same_numbers(kind, form):
    asked = kind()
    for _ in range(3):
        asked.go(rows())
    given = FORMS[form](rows())
    if isinstance(given, list):
        assert kind().f.eval([np.float32(r) for r in given]) is not None
        given = np.array(given, np.float32)
    asked.go(given)
    asked.go(rows())
