"""The one rule for when a captured step is out of date: each of its conditions, broken on purpose."""

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab import settings
from cntk_lab.backends.cpu import jit, onednn
from cntk_lab.engine.ask.captured import Captured
from cntk_lab.errors import DataError
from cntk_lab.events import BUS, StepTimed

pytestmark = pytest.mark.skipif(not (jit.available() and onednn.available()), reason="no numba or no oneDNN here")


@pytest.fixture(autouse=True)
def native_at_once():
    with settings.option(native_after=0, background_compilation=False):
        yield


@pytest.fixture
def gone(monkeypatch):
    """The captured steps that ran, in order."""
    steps = []
    go = Captured.go

    def noted(self, *given):
        steps.append(self)
        return go(self, *given)

    monkeypatch.setattr(Captured, "go", noted)
    return steps


class Evaluation:
    """tanh(x w) + shift, evaluated."""

    def __init__(self):
        self.x = C.input_variable(6)
        self.w = C.parameter(init=np.linspace(-1, 1, 24, dtype=np.float32).reshape(6, 4))
        self.shift = C.constant(0.5)
        self.f = C.tanh(C.times(self.x, self.w)) + self.shift

    def give(self, given):
        return self.f.eval({self.x: given})

    def go(self, given, data=None):
        data = given if data is None else data
        np.testing.assert_allclose(self.give(given), self.expected(data), rtol=1e-5, atol=1e-6)

    def expected(self, data):
        return np.tanh(data @ self.w.value) + self.shift.value


class Training(Evaluation):
    """The same, trained towards 0."""

    def __init__(self):
        super().__init__()
        loss = C.reduce_sum(C.square(self.f))
        rate = C.learning_parameter_schedule(0.01, minibatch_size=1)
        self.trainer = C.Trainer(self.f, (loss, None), [C.sgd([self.w], rate)])

    def give(self, given):
        return self.trainer.train_minibatch({self.x: given})

    def go(self, given, data=None):
        data = given if data is None else data
        before, y = self.w.value, self.expected(data)
        slope = data.T @ (2 * y * (1 - np.tanh(data @ before) ** 2))
        self.give(given)
        np.testing.assert_allclose(self.w.value, before - 0.01 * slope, rtol=1e-4, atol=1e-5)
        assert self.trainer.previous_minibatch_loss_average == pytest.approx(float((y**2).sum()) / len(data), rel=1e-4)


def rows(count=70):
    return np.random.default_rng(count).normal(size=(count, 6)).astype(np.float32)


def edit(_asked, _step):
    z = C.placeholder()
    (z + 1).replace_placeholders({z: C.input_variable(1)})


def switch(_asked, _step):
    settings.set_option("fuse", not settings.flag("fuse"))
    settings.set_option("fuse", not settings.flag("fuse"))


def listen(_asked, _step):
    def heard(_event):
        pass

    BUS.subscribe(StepTimed, heard)()


def another_constant(asked, _step):
    asked.shift.value = np.float32(-0.25)


def memory_grows(asked, _step):
    asked.go(rows(5000))


def memory_moves(_asked, step):
    native = step._native
    native.arena.grow({"#": 5000}, native._bindings.clear)  # as by a run that was broken off


def rows_change(asked, _step):
    asked.go(rows(71))  # in the same memory


BREAKS = {f.__name__: f for f in (edit, switch, listen, another_constant, memory_grows, memory_moves, rows_change)}


@pytest.mark.parametrize("kind", [Evaluation, Training])
@pytest.mark.parametrize("change", BREAKS)
def test_what_is_out_of_date_is_captured_anew_and_right(kind, change, gone):
    asked = kind()
    for _ in range(3):
        asked.go(rows())
    assert len(gone) == 2
    BREAKS[change](asked, gone[-1])
    for _ in range(2):
        asked.go(rows())
    assert len(gone) == 3, "the first of the two went the general way, the second is a captured step again"


AS_THEY_ARE = {Evaluation: 1, Training: 1}
CONVERTED = {Evaluation: 0, Training: 1}  # a trainer matches them first, then its step is the captured one
ANEW = {Evaluation: 0, Training: 0}
FORMS = {
    "a list of samples": (CONVERTED, list),
    "double precision": (CONVERTED, lambda d: d.astype(np.float64)),
    "rows that lie apart": (AS_THEY_ARE, lambda d: np.repeat(d, 2, axis=0)[::2]),
    "columns first": (AS_THEY_ARE, np.asfortranarray),
    "fewer samples": (ANEW, lambda d: d[:2]),
}


@pytest.mark.parametrize("kind", [Evaluation, Training])
@pytest.mark.parametrize("form", FORMS)
def test_data_in_another_form_give_the_same_numbers(kind, form, gone):
    asked = kind()
    for _ in range(3):
        asked.go(rows())
    captured, of = FORMS[form]
    given = of(rows())
    asked.go(given, np.asarray(given, np.float32))
    assert len(gone) == 2 + captured[kind]
    asked.go(rows())


@pytest.mark.parametrize("kind", [Evaluation, Training])
def test_data_of_another_shape_are_refused_and_never_broadcast(kind, gone):
    asked = kind()
    for _ in range(3):
        asked.go(rows())
    before = asked.w.value
    with pytest.raises(DataError):
        asked.give(rows()[:, :1])
    assert len(gone) == 2
    np.testing.assert_array_equal(asked.w.value, before)


def test_inputs_with_other_numbers_of_samples_are_refused_and_never_broadcast(gone):
    x, y = C.input_variable(6), C.input_variable(6)
    f = C.tanh(x) * y
    for _ in range(3):
        np.testing.assert_allclose(f.eval({x: rows(), y: rows()}), np.tanh(rows()) * rows(), rtol=1e-5)
    assert len(gone) == 2
    for data in ({x: rows(), y: rows()[:1]}, {x: rows()[:1], y: rows()}):
        with pytest.raises(DataError):
            f.eval(data)
    assert len(gone) == 2
