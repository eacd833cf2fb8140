"""Functions, trainers and parameters in several threads at once: every number is right, nothing is lost.

``CNTK_LAB_STRESS=600 python -m pytest tests/unit/engine/test_threads.py`` hammers for so many seconds each.
"""

import os
import threading
import time

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab import settings
from cntk_lab.backends.cpu import jit, threads
from cntk_lab.engine.cpu.tier import natives

SECONDS = float(os.environ.get("CNTK_LAB_STRESS", "1"))
THREADS = 8
pytestmark = pytest.mark.timeout(SECONDS + 280)


@pytest.fixture(autouse=True)
def two_threads_in_the_pool():
    threads.set_num_threads(2)
    yield
    threads.set_num_threads(0)


def side_by_side(*works, seconds=SECONDS):
    """Run each function again and again in a thread of its own; its number tells the threads apart."""
    wrong, counts, end = [], [0] * len(works), time.monotonic() + seconds

    def loop(i, work):
        try:
            while time.monotonic() < end and not wrong:
                work(np.random.default_rng([i, counts[i]]))
                counts[i] += 1
        except BaseException as error:  # noqa: BLE001  (whatever it is, the test fails with it)
            wrong.append(error)

    started = [threading.Thread(target=loop, args=(i, work)) for i, work in enumerate(works)]
    for t in started:
        t.start()
    for t in started:
        t.join()
    if wrong:
        raise wrong[0]
    return sum(counts)


def layers():
    x = C.input_variable(64)
    return x, C.softmax(C.layers.Sequential([C.layers.Dense(128, C.relu), C.layers.Dense(64)])(x)), (64,)


def images():
    x = C.input_variable((3, 12, 12))
    seen = C.layers.Convolution2D((3, 3), 8, pad=True, activation=C.relu)(x)
    return x, C.layers.MaxPooling((2, 2), strides=2)(seen), (3, 12, 12)


def sums():
    x = C.input_variable((5, 7))
    return x, C.splice(C.reduce_sum(x, 0), C.exp(-x) * C.slice(x, 0, 1, 2), axis=0), (5, 7)


def sequences():
    x = C.sequence.input_variable(6)
    return x, C.sequence.last(C.layers.Recurrence(C.layers.LSTM(9))(x)), (6,)


SIZES = (1, 3, 17, 64, 65, 200, 700)


def with_answers(make):
    """A function, and data of several sizes with the values that NumPy gives."""
    x, f, shape = make()
    rng = np.random.default_rng(0)
    cases = []
    for n in SIZES:
        if x.has_sequence_axis():
            data = [rng.standard_normal((int(rng.integers(1, 9)), *shape)).astype(np.float32) for _ in range(n)]
        else:
            data = rng.standard_normal((n, *shape)).astype(np.float32)
        with settings.option(native=False):
            cases.append((data, np.array(f.eval({x: data}))))
    for data, _ in cases * 2:
        f.eval({x: data})
    jit.finish(200)
    return x, f, cases


@pytest.mark.parametrize("make", [layers, images, sums, sequences])
def test_one_function_in_many_threads_gives_right_numbers_for_sizes_that_grow_and_shrink(make):
    x, f, cases = with_answers(make)

    def ask(rng):
        data, answer = cases[rng.integers(len(cases))]
        np.testing.assert_allclose(f.eval({x: data}), answer, rtol=1e-3, atol=1e-4)

    assert side_by_side(*[ask] * THREADS) > THREADS
    assert any(f.output.uid in plan.title for plan in natives()), "the native tier never served"


def test_results_that_a_thread_holds_are_not_written_by_others():
    x, f, cases = with_answers(layers)

    def hold(rng):
        data, answer = cases[rng.integers(len(cases))]
        held = [f.eval({x: data}) for _ in range(3)]
        time.sleep(0)
        for one in held:
            np.testing.assert_allclose(one, answer, rtol=1e-3, atol=1e-4)

    side_by_side(*[hold] * THREADS)


def test_many_functions_and_gradients_in_many_threads_give_right_numbers():
    made = [with_answers(make) for make in (layers, images, sums, sequences)]
    y = C.input_variable(16, needs_gradient=True)
    square = C.reduce_sum(y * y)

    def ask(rng):
        x, f, cases = made[rng.integers(len(made))]
        data, answer = cases[rng.integers(len(cases))]
        np.testing.assert_allclose(f.eval({x: data}), answer, rtol=1e-3, atol=1e-4)
        rows = rng.standard_normal((int(rng.integers(1, 90)), 16)).astype(np.float32)
        np.testing.assert_allclose(square.grad({y: rows}), 2 * rows, rtol=1e-4, atol=1e-5)

    side_by_side(*[ask] * THREADS)


def test_functions_built_and_compiled_in_many_threads_give_right_numbers():
    def build(rng):
        a, b = (float(v) for v in rng.integers(1, 5, 2))
        x = C.input_variable(3)
        f = C.abs(x * a + b) + C.reduce_max(x)
        rows = rng.standard_normal((4, 3)).astype(np.float32)
        for _ in range(4):
            np.testing.assert_allclose(
                f.eval({x: rows}), abs(rows * a + b) + rows.max(1, keepdims=True), rtol=1e-4, atol=1e-5
            )

    side_by_side(*[build] * THREADS)


def slope_trainer(size=40, learner=C.sgd, writers=None, **options):
    """Each step takes the sum of its data from both parameters, whatever they are; small whole numbers are exact."""
    x = C.input_variable(size)
    v, w = C.parameter(size, init=0), C.parameter(size, init=0)
    loss = C.reduce_sum(x * v) + C.reduce_sum(x * w)
    trainer = C.Trainer(None, loss, learner([v, w], 1.0, minibatch_size=1, **options), writers)
    return x, v, w, trainer


@pytest.mark.parametrize("writers", [False, True])
def test_one_trainer_in_many_threads_loses_no_step_and_does_none_twice(writers):
    told = []

    class Writer:
        def update_training(self, samples, loss, metric):
            told.append(samples)

        def write(self, key, value):
            """Rates are not looked at."""

    x, v, w, trainer = slope_trainer(writers=[Writer()] if writers else None)
    done = [[0, 0.0] for _ in range(THREADS)]

    def train(i):
        def step(rng):
            n, value = int(rng.integers(1, 90)), float(rng.integers(-2, 3))
            assert trainer.train_minibatch({x: np.full((n, 40), value, np.float32)})
            done[i][0] += n
            done[i][1] += n * value

        return step

    steps = side_by_side(*(train(i) for i in range(THREADS)))
    samples, slope = (sum(d[k] for d in done) for k in (0, 1))
    assert trainer.total_number_of_samples_seen == samples
    assert trainer.total_number_of_units_seen(2) == steps
    assert v.value.tolist() == w.value.tolist() == [-slope] * 40
    assert not writers or (len(told), sum(told)) == (steps, samples)


def test_evaluation_beside_training_sees_whole_steps_only():
    x, v, w, trainer = slope_trainer(size=3000)
    y = C.input_variable(3000)
    apart = C.reduce_sum(C.abs(v - w)) + 0 * C.reduce_sum(y)
    rows = np.ones((2, 3000), np.float32)

    def train(rng):
        trainer.train_minibatch({x: np.full((int(rng.integers(1, 9)), 3000), float(rng.integers(-1, 2)), np.float32)})

    def ask(rng):
        assert not np.any(apart.eval({y: rows}))

    def look(rng):
        value = v.value
        assert (value == value[0]).all()

    assert side_by_side(train, ask, look, ask) > 4


def test_a_value_written_beside_training_is_whole():
    x, v, _, trainer = slope_trainer(size=3000)

    def train(rng):
        trainer.train_minibatch({x: np.zeros((4, 3000), np.float32)})

    def write(rng):
        v.value = np.full(3000, float(rng.integers(100)), np.float32)

    def look(rng):
        value = v.value
        assert (value == value[0]).all()

    side_by_side(train, write, look, write)


def test_checkpoints_and_rates_beside_training_belong_to_one_step(tmp_path):
    x, _, _, trainer = slope_trainer(size=8)

    def train(rng):
        trainer.train_minibatch({x: np.ones((1, 8), np.float32)})

    def save(rng):
        trainer.save_checkpoint(tmp_path / "model")
        there = trainer.samples_in_checkpoint(tmp_path / "model")
        kept = C.load_model(str(tmp_path / "model"))
        assert {float(n) for p in kept.parameters for n in p.value} == {-float(there)}

    def steer(rng):
        trainer.parameter_learners[0].reset_learning_rate(C.learning_parameter_schedule(1.0, 1))

    side_by_side(train, save, steer)


def test_restoring_beside_training_is_done_whole(tmp_path):
    x, v, w, trainer = slope_trainer(size=8)
    trainer.train_minibatch({x: np.ones((1, 8), np.float32)})
    trainer.save_checkpoint(tmp_path / "model")

    def train(rng):
        trainer.train_minibatch({x: np.ones((1, 8), np.float32)})

    def restore(rng):
        trainer.restore_from_checkpoint(tmp_path / "model")

    side_by_side(train, restore, train)
    assert v.value.tolist() == w.value.tolist() == [-float(trainer.total_number_of_samples_seen)] * 8


class Asks(C.ops.functions.UserFunction):
    """Evaluates a function, perhaps the very one it is part of, while it computes."""

    def __init__(self, x, asked=None, name="asks"):
        super().__init__([x], name=name)
        self.asked, self.deep = asked, 0

    def infer_outputs(self):
        x = self.inputs[0]
        return [C.output_variable(x.shape, x.dtype, x.dynamic_axes)]

    def forward(self, argument, device=None, outputs_to_retain=None):
        if self.deep == 0:
            self.deep = 1
            try:
                self.asked(argument + 1)
            finally:
                self.deep = 0
        return None, argument


def test_a_function_that_is_asked_again_by_its_own_user_code_keeps_its_numbers():
    x = C.input_variable(4)
    user = Asks(C.exp(x))
    f = C.abs(x) * 2 + C.user_function(user) * 3
    rows = np.arange(8, dtype=np.float32).reshape(2, 4) / 8
    user.asked = lambda other: f.eval({x: other})
    with settings.option(native_after=0, background_compilation=False):
        for _ in range(5):
            np.testing.assert_allclose(f.eval({x: rows}), abs(rows) * 2 + np.exp(rows) * 3, rtol=1e-5)


def test_a_source_shared_by_threads_gives_each_sample_once(tmp_path):
    path = tmp_path / "data.txt"
    path.write_text("".join(f"|x {i}\n" for i in range(4000)))
    source = C.io.MinibatchSource(
        C.io.CTFDeserializer(str(path), C.io.StreamDefs(x=C.io.StreamDef(field="x", shape=1))), max_sweeps=1
    )
    seen = []

    def read(rng):
        minibatch = source.next_minibatch(int(rng.integers(1, 20)))
        if minibatch:
            seen.extend(minibatch[source.streams.x].asarray().ravel().tolist())

    side_by_side(*[read] * THREADS, seconds=2)
    assert sorted(seen) == list(range(4000))
