"""Nothing that a plan has taken for granted goes stale: constants that programs or users move, seeds, switches."""

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab import settings
from cntk_lab.backends.cpu import jit, onednn, threads
from cntk_lab.engine.make.wanted import Wanted
from cntk_lab.errors import DTypeError
from tests.unit.engine import bounds
from tests.unit.engine.bounds import plan_for
from tests.unit.engine.tiers import numpy_only

ONES = np.ones((1, 2), np.float32)


@pytest.fixture(params=["default", "native from the first run", "numpy"], autouse=True)
def tier(request):
    if request.param == "numpy":
        with numpy_only():
            yield
        return
    more = {"native_after": 0} if request.param != "default" else {}
    with settings.option(background_compilation=False, **more):
        yield


def test_a_constant_that_counts_goes_on_counting():
    count = C.constant(0)
    up = C.assign(count, count + 1)
    assert [float(up.eval()) for _ in range(6)] == [1, 2, 3, 4, 5, 6]
    assert count.value == 6


@pytest.mark.parametrize("make", [C.constant, C.parameter])
@pytest.mark.parametrize("shape", [(), (1,), (1, 2)])
def test_other_programs_see_what_an_assignment_wrote(make, shape):
    k = make(shape=shape, value=2.0) if make is C.constant else make(shape, init=2.0)
    x = C.input_variable(shape or (2,))
    seen = x * k
    data = np.ones((1, *(shape or (2,))), np.float32)
    before = [float(seen.eval({x: data}).ravel()[0]) for _ in range(4)]
    double = C.assign(k, k * 2)
    after = []
    for _ in range(4):
        double.eval()
        after.append(float(seen.eval({x: data}).ravel()[0]))
    assert before == [2, 2, 2, 2]
    assert after == [4, 8, 16, 32]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_that_users_write_count_from_the_next_run_on(dtype):
    x = C.input_variable(2, dtype=dtype)
    number, row = C.Constant(0.0, dtype=np.float32), C.Constant([0, 0], dtype=np.float32)
    out = x * number + row * (row + 0 * x)
    for i in range(6):
        number.value, row.value = i, [i, 2 * i]
        np.testing.assert_array_equal(out.eval({x: ONES.astype(dtype)})[0], [i + i * i, i + 4 * i * i])
        np.testing.assert_array_equal(out.grad({x: ONES.astype(dtype)}, wrt=[x])[0], [i, i])


@pytest.mark.parametrize(
    ("shape", "make"),
    [
        ((1, 3), lambda x: C.reduce_sum(C.reshape(x, (1, 3, 3)), axis=2, keepdims=False)),
        ((3,), lambda x: C.reduce_sum(x, axis=1, keepdims=False)),
        ((3, 1), lambda x: C.reduce_sum(x, axis=1)),
        ((1, 3), lambda x: C.reduce_sum(C.transpose(x, (1, 0)), axis=0)),
        ((3,), lambda x: C.reshape(C.reduce_sum(x, axis=1), (3,))),
    ],
)
def test_values_with_axes_of_length_one_can_be_assigned(shape, make):
    x = C.input_variable((3, 3), dynamic_axes=[])
    kept = C.parameter(shape, init=0)
    up = C.assign(kept, make(x))
    for i in range(1, 5):
        up.eval({x: i * np.arange(9, dtype=np.float32).reshape(3, 3)})
        assert kept.value.shape == shape
        assert kept.value.ravel().tolist() == [3 * i, 12 * i, 21 * i]


def test_a_constant_of_another_element_type_cannot_be_assigned_to():
    with pytest.raises(DTypeError, match="different element types"):
        C.assign(C.Constant(1.0, dtype=np.float32), C.Constant(1.0, dtype=np.float64) * 2)


def test_a_constant_that_moves_inside_a_criterion_moves_the_loss():
    x, w, c = C.input_variable(2), C.parameter((2,), init=1.0), C.constant(1.0)
    loss = C.reduce_sum(C.square(x * w)) * c
    criterion = loss + 0 * C.assign(c, c + 1)
    trainer = C.Trainer(None, (criterion, loss), [C.sgd([w], C.learning_parameter_schedule(0.0))])
    losses = []
    for _ in range(5):
        trainer.train_minibatch({x: ONES})
        losses.append(trainer.previous_minibatch_loss_average)
    assert losses == [2, 4, 6, 8, 10]
    assert c.value == 6


def test_a_constant_moved_beside_a_trainer_moves_its_loss():
    x, w, c = C.input_variable(2), C.parameter((2,), init=1.0), C.constant(1.0)
    loss = C.reduce_sum(C.square(x * w)) * c
    trainer = C.Trainer(None, (loss, loss), [C.sgd([w], C.learning_parameter_schedule(0.0))])
    up = C.assign(c, c + 1)
    losses = []
    for _ in range(5):
        trainer.train_minibatch({x: ONES})
        losses.append(trainer.previous_minibatch_loss_average)
        up.eval()
    assert losses == [2, 4, 6, 8, 10]


def test_statistics_that_training_keeps_are_what_inference_reads():
    x = C.input_variable(1)
    mean, deviation, count = C.constant(0.0, (1,)), C.constant(0.0, (1,)), C.constant(0.0)
    scale, bias = C.parameter((1,), init=1.0), C.parameter((1,), init=0.0)
    out = C.batch_normalization(x, scale, bias, mean, deviation, False, 0, running_count=count)
    counted = x * 0 + count
    loss = C.reduce_sum(C.square(out))
    trainer = C.Trainer(None, (loss, loss), [C.sgd(out.parameters, C.learning_parameter_schedule(0.0))])
    for i in range(5):
        data = np.array([[i], [i + 2]], np.float32)  # mean i + 1, variance 2
        assert float(counted.eval({x: data}).ravel()[0]) == 2 * i
        trainer.train_minibatch({x: data})
        np.testing.assert_allclose(mean.value, [i + 1])
        want = (data - (i + 1)) / np.sqrt(2 + 1e-5)
        np.testing.assert_allclose(out.eval({x: data}), want, rtol=1e-4, atol=1e-5)


def test_another_seed_draws_other_numbers_in_a_program_that_ran_before():
    x = C.input_variable(64)
    out = C.dropout(x, 0.5, seed=3)

    def drawn():
        _, values = out.forward({x: np.ones((1, 64), np.float32)}, [out.output], keep_for_backward={out.output})
        return values[out.output].ravel().tolist()

    first = [drawn() for _ in range(4)]
    out.set_attribute("rngSeed", 4)
    other = [drawn() for _ in range(2)]
    fresh = C.dropout(x, 0.5, seed=4)
    assert first[0] != other[0]
    _, values = fresh.forward({x: np.ones((1, 64), np.float32)}, [fresh.output], keep_for_backward={fresh.output})
    assert values[fresh.output].ravel().tolist() == other[0]


def test_drawing_as_cntk_does_can_be_switched_on_in_a_program_that_ran_before():
    out = C.random.uniform((2, 3), seed=98052)
    out.eval()
    with settings.option(cntk_random=True):
        np.testing.assert_allclose(out.eval()[0], [0.931785, 0.814722, 0.479606], atol=1e-6)
    out.eval()


@pytest.mark.skipif(not (jit.available() and onednn.available()), reason="no numba or no oneDNN here")
def test_plans_follow_the_switches_of_the_native_tier():
    if not settings.flag("native"):
        pytest.skip("nothing native here")
    x, w = C.input_variable(4), C.parameter((4, 3), init=1.0)
    out = C.times(x, w)
    for _ in range(4):
        out.eval({x: np.ones((2, 4), np.float32)})
    plan = plan_for(Wanted(outputs=out.outputs))
    first = bounds.native_of(plan)
    assert first is bounds.native_of(plan)
    before = threads.get_num_threads()
    try:
        threads.set_num_threads(before + 1)
        second = bounds.native_of(plan)
        assert second is not first
        np.testing.assert_array_equal(out.eval({x: np.ones((2, 4), np.float32)}), np.full((2, 3), 4))
    finally:
        threads.set_num_threads(0)
    with settings.option(native=False):
        assert bounds.native_of(plan) is None
    assert bounds.native_of(plan) is not None
    with settings.option(onednn=False):
        np.testing.assert_array_equal(out.eval({x: np.ones((2, 4), np.float32)}), np.full((2, 3), 4))
