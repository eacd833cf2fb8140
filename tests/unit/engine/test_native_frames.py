"""Native steps that choose or sum frames give what the NumPy tier gives, in one table with the loops around them."""

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab import settings
from cntk_lab.backends.cpu import executor, frames, jit
from cntk_lab.engine.arrays.delays import sum_per_sequence
from cntk_lab.engine.cpu.frames import FrameStep
from cntk_lab.errors import SequenceError
from cntk_lab.ops.sequence._frames import max_frames, sum_frames
from cntk_lab.tensor.layout import Layout
from tests.unit.engine import bounds

pytestmark = pytest.mark.skipif(not jit.available(), reason="no numba here")
_rng = np.random.default_rng(9)

LENGTHS = [[1], [3], [2, 3, 1], [1, 1, 1], [5, 5], list(range(1, 30)), []]
WIDTHS = [0, 1, 7, 16, 33]


def run_kernel(handle, block, threads):
    """Run a compiled kernel once on an argument block."""
    run = executor.load()
    assert run.wait(300)
    assert run.run(np.array([executor.kernel_row(handle.address, block.ctypes.data, threads)], np.int64)) == -1


def back(rows, count, dy):
    """The gradient of rows taken."""
    result = np.zeros((count, dy.shape[1]), dy.dtype)
    result[rows] = dy
    return result


#           role                            rows of the operand      what NumPy computes
EXPECTED = {
    "sequence_first.forward": (lambda n: n.rows, lambda n, x: x[n.first]),
    "sequence_first.gradient.seq": (lambda n: n.count, lambda n, x: back(n.first, n.rows, x)),
    "sequence_last.forward": (lambda n: n.rows, lambda n, x: x[n.last]),
    "sequence_last.gradient.seq": (lambda n: n.count, lambda n, x: back(n.last, n.rows, x)),
    "sequence_reduce_sum.forward": (lambda n: n.rows, lambda n, x: sum_per_sequence(np, x, n)),
    "sequence_reduce_sum.gradient.seq": (lambda n: n.count, lambda n, x: x[n.sequence]),
    "sequence_broadcast_as.forward": (lambda n: n.rows, lambda _n, x: x),
    "sequence_broadcast_as.gradient.operand": (lambda n: n.rows, lambda _n, x: x),
}


def test_every_registered_operator_is_checked_here():
    assert set(EXPECTED) == set(frames.OPERATORS)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
@pytest.mark.parametrize("role", EXPECTED)
def test_kernel_gives_the_bits_of_numpy_with_any_number_of_threads(role, lengths, dtype):
    rows_of, expected = EXPECTED[role]
    layout = Layout.of(np.array(lengths, np.int64))
    handle = frames.kernel(dtype)
    assert handle.wait(300)
    listed = frames.OPERATORS[role][1](layout)
    for width in WIDTHS:
        x = _rng.standard_normal((rows_of(layout), width)).astype(dtype)
        x[::5] = np.inf
        wanted = expected(layout, x)
        for threads in (1, 2):
            result = np.full_like(wanted, 99)
            block = np.zeros(len(frames.FIELDS), np.int64)
            block[: len(frames.FIELDS)] = [
                *(a.ctypes.data for a in (x, result, listed.starts, listed.numbers)),
                len(result),
                width,
            ]
            run_kernel(handle, block, threads)
            np.testing.assert_array_equal(result, wanted)


def softmax(n, x):
    weights = np.exp(x - max_frames(np, x, n)[n.sequence])
    return weights / sum_frames(np, weights, n)[n.sequence]


#       kernel              operands (F: one row for each frame, S: for each sequence)   what NumPy computes
OVER_SEQUENCES = {
    "softmax": ("F", softmax),
    "softmax gradient": ("FF", lambda n, dy, y: y * (dy - sum_frames(np, dy * y, n)[n.sequence])),
    "max": ("F", lambda n, x: max_frames(np, x, n)),
    "max gradient": ("SFS", lambda n, dy, x, y: dy[n.sequence] * (x == y[n.sequence])),
}


def test_every_kernel_over_sequences_is_checked_here():
    assert set(OVER_SEQUENCES) == {what for what, _ in frames.OVER_SEQUENCES.values()}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
@pytest.mark.parametrize("what", OVER_SEQUENCES)
def test_kernel_over_sequences_agrees_with_numpy(what, lengths, dtype):
    operands, expected = OVER_SEQUENCES[what]
    layout = Layout.of(np.array(lengths, np.int64))
    handle = frames.over_sequences(what, dtype)
    assert handle.wait(300)
    listed = frames.summed(layout)
    for width in WIDTHS:
        given = [
            _rng.integers(-3, 4, (layout.rows if o == "F" else layout.count, width)).astype(dtype) for o in operands
        ]
        if what == "max gradient":
            given[2] = max_frames(np, given[1], layout)
        wanted = expected(layout, *given)
        results = []
        for threads in (1, 2):
            result = np.full_like(wanted, 99)
            scratch = np.zeros(threads * frames.scratch_bytes(width, given[0].itemsize) + 64, np.uint8)
            block = np.zeros(len(frames.SEQUENCE_FIELDS), np.int64)
            numbers = [a.ctypes.data for a in listed] + [layout.count, width, scratch.ctypes.data, result.ctypes.data]
            numbers += [a.ctypes.data for a in given]
            block[: len(numbers)] = numbers
            run_kernel(handle, block, threads)
            np.testing.assert_allclose(result, wanted, rtol=1e-5 if dtype == "float32" else 1e-13, atol=1e-6)
            results.append(result)
        np.testing.assert_array_equal(*results)


def classifier():
    x, y = C.sequence.input_variable(4), C.input_variable(3)
    h = C.layers.Recurrence(C.layers.RNNStep(5))(x)
    h = h * C.sequence.softmax(C.reduce_sum(h, axis=-1)) + C.sequence.reduce_max(h)
    h = h + C.sequence.broadcast_as(C.sequence.first(h), h)
    whole = C.sequence.last(h) + C.sequence.first(h) + C.sequence.reduce_sum(h * C.sequence.last(h * 2))
    z = C.times(whole, C.parameter((5, 3), init=C.glorot_uniform(seed=3)))
    return x, y, z, C.cross_entropy_with_softmax(z, y)


def trained(native):
    """Losses of some steps on minibatches of changing lengths, and the weights."""
    x, y, z, loss = classifier()
    for n, p in enumerate(z.parameters):
        p.value = np.random.default_rng(n).standard_normal(p.shape).astype("f") * 0.3
    settings.set_option("native", native)
    try:
        trainer = C.Trainer(z, (loss, None), [C.sgd(z.parameters, C.learning_parameter_schedule_per_sample(0.002))])
        rng, losses = np.random.default_rng(4), []
        for step in range(6):
            lengths = rng.integers(1, 9, 3 + step % 3)
            feed = {
                x: [rng.standard_normal((n, 4)).astype("f") for n in lengths],
                y: np.eye(3, dtype="f")[rng.integers(0, 3, len(lengths))],
            }
            trainer.train_minibatch(feed)
            if native and not step:
                jit.finish(300)
            losses.append(trainer.previous_minibatch_loss_average)
    finally:
        settings.set_option("native", True)
    return losses, [p.value for p in z.parameters]


def test_a_model_of_chosen_and_summed_frames_trains_alike_on_both_tiers():
    have, want = trained(True), trained(False)
    np.testing.assert_allclose(have[0], want[0], rtol=1e-5)
    for a, b in zip(have[1], want[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_loops_and_frames_are_one_table():
    x, y, z, loss = classifier()
    feed = {x: [np.ones((n, 4), "f") for n in (2, 3)], y: np.eye(3, dtype="f")[:2]}
    trainer = C.Trainer(z, (loss, None), [C.sgd(z.parameters, C.learning_parameter_schedule_per_sample(0.1))])
    for _ in range(3):
        trainer.train_minibatch(feed)
        jit.finish(300)
    native = max(bounds.natives().items(), key=lambda item: item[0].number)[1]
    (binding,) = native._bindings.values()
    assert sum(isinstance(s, FrameStep) for s in native.steps) >= 6
    assert len(binding.tables) == 1


def test_samples_that_do_not_fit_the_sequences_are_refused():
    x, s = C.input_variable(2), C.sequence.input_variable(2)
    f = x + s
    good = {x: np.ones((2, 2), "f"), s: [np.ones((n, 2), "f") for n in (1, 3)]}
    for _ in range(8):
        f.eval(good)
    jit.finish(300)
    assert np.array_equal(f.eval(good)[1], np.full((3, 2), 2))
    with pytest.raises((SequenceError, ValueError)):
        f.eval({x: np.ones((3, 2), "f"), s: good[s]})
    assert np.array_equal(f.eval(good)[0], np.full((1, 2), 2))
