"""training_session and Function.train: what is done when, what is reported, what is refused. Numbers are CNTK 2.7's."""

import re
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab.errors import AttributeValueError, SignatureError
from cntk_lab.logging import ProgressPrinter
from cntk_lab.train import (
    CheckpointConfig,
    CrossValidationConfig,
    DataUnit,
    TestConfig,
    TrainingSession,
    minibatch_size_schedule,
    training_session,
)
from cntk_lab.train._control import control_of

X = (np.arange(40, dtype=np.float32) / 40)[:, None]
Y = 2 * X + 1


class Line:
    """y = w x + b with squared error as loss and metric, from w = 0.5, b = 0."""

    def __init__(self, *writers: Any) -> None:
        self.x, self.y = C.input_variable(1), C.input_variable(1)
        self.w, self.b = C.parameter((1, 1), init=0.5), C.parameter((1,), init=0.0)
        z = C.times(self.x, self.w) + self.b
        self.criterion = C.combine([C.squared_error(z, self.y), C.squared_error(z, self.y)])
        self.learner = C.sgd(z.parameters, C.learning_parameter_schedule_per_sample(0.001))
        self.trainer = C.Trainer(z, tuple(self.criterion.outputs), [self.learner], list(writers))

    def source(self, max_samples: int = C.io.INFINITELY_REPEAT) -> Any:
        return C.io.MinibatchSourceFromData({"x": X, "y": Y}, max_samples)

    def session(
        self, size: Any = 10, kind: Any = TrainingSession, max_source: int = C.io.INFINITELY_REPEAT, **more: Any
    ) -> Any:
        source = self.source(max_source)
        return kind(self.trainer, source, size, {self.x: source.streams.x, self.y: source.streams.y}, **more)


def _lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [re.sub(r" [\d.]+s \(.*\)", "", line) for line in capsys.readouterr().out.splitlines()]


def test_what_happens_at_a_boundary_happens_in_order(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    line = Line(ProgressPrinter())

    class Told(TrainingSession):
        def on_minibatch_end(self) -> None:
            print("minibatch")

        def on_checkpoint_end(self, index: int) -> None:
            print("checkpoint", index)

        def on_cross_validation_end(self, *told: Any) -> Any:
            print("validated", told[0], round(told[1], 3), *told[2:])

    line.session(
        10, Told, max_samples=40, progress_frequency=20,
        checkpoint_config=CheckpointConfig(tmp_path / "m", frequency=20, preserve_all=True),
        cv_config=CrossValidationConfig(line.source(40), frequency=20),
        test_config=TestConfig(line.source(40)),
    ).train()  # fmt: skip
    assert _lines(capsys) == [
        "Learning rate per 1 samples: 0.001",
        *["minibatch"] * 2,
        "checkpoint 0",
        "Finished Epoch[1]: loss = 1.848804 * 20, metric = 184.88% * 20;",
        "Finished Evaluation [1]: Minibatch[1-2]: metric = 297.51% * 40;",
        "validated 0 2.975 40 2",
        *["minibatch"] * 2,
        "checkpoint 1",
        "Finished Epoch[2]: loss = 4.091186 * 20, metric = 409.12% * 20;",
        "Finished Evaluation [2]: Minibatch[1-2]: metric = 260.48% * 40;",
        "validated 1 2.605 40 2",
        "minibatch",
        "Finished Evaluation [3]: Minibatch[1-2]: metric = 260.48% * 40;",
    ]
    assert sorted(f.name for f in tmp_path.iterdir()) == ["m", "m.ckp", "m0", "m0.ckp", "m1", "m1.ckp"]


@pytest.mark.parametrize(
    ("frequency", "most", "expected"),
    [
        ((2, DataUnit.minibatch), 50, [32, 18]),
        ((1, DataUnit.sweep), 130, [40, 40, 40]),
        (15, 40, [16, 16, 8]),
        (None, 75, [75]),
    ],
)
def test_epochs_are_counted_in_samples_minibatches_or_sweeps(frequency: Any, most: int, expected: list[int]) -> None:
    told: list[int] = []
    line = Line(C.logging.TrainingSummaryProgressCallback(1, lambda epoch, loss, metric, samples: told.append(samples)))
    line.session(16, max_samples=most, progress_frequency=frequency).train()
    assert told == expected
    assert line.trainer.total_number_of_samples_seen == most


def test_minibatch_sizes_follow_their_schedule(capsys: pytest.CaptureFixture[str]) -> None:
    line = Line(ProgressPrinter(1))
    line.session(minibatch_size_schedule([(1, 4), (2, 8), 16], epoch_size=12), max_samples=80).train()
    sizes = [int(s) for s in re.findall(r"Minibatch.*loss = \S+ \* (\d+)", capsys.readouterr().out)]
    assert sizes == [4, 4, 4, 8, 8, 8, 4, 16, 16, 8]


def test_training_ends_when_the_source_a_callback_or_the_control_ends_it() -> None:
    line = Line()
    line.session(16, max_source=40).train()
    assert line.trainer.total_number_of_samples_seen == 40
    line = Line()
    told: list[Any] = []
    stop: Callable[..., bool] = lambda *numbers: told.append(numbers) or False  # noqa: E731
    line.session(16, max_samples=100, cv_config=CrossValidationConfig(frequency=30, callback=stop)).train()
    assert (told, line.trainer.total_number_of_samples_seen) == ([(0, 0.0, 0, 0)], 32)
    line = Line()

    class Stops(TrainingSession):
        def on_minibatch_end(self) -> None:
            found = control_of(self.trainer.number)
            assert found is self.control
            found.stop()

    line.session(10, Stops, max_samples=100).train()
    assert line.trainer.total_number_of_samples_seen == 10
    assert control_of(line.trainer.number) is None


def test_a_paused_session_waits_for_another_thread_and_changes_nothing() -> None:
    straight, paused = Line(), Line()
    straight.session(10, max_samples=40).train()

    class Pauses(TrainingSession):
        def on_minibatch_end(self) -> None:
            self.control.pause()
            threading.Thread(target=self.control.resume).start()

    paused.session(10, Pauses, max_samples=40).train()
    assert np.array_equal(paused.w.value, straight.w.value)


def test_a_learning_rate_of_0_ends_training() -> None:
    line = Line()
    line.learner.reset_learning_rate(C.learning_parameter_schedule_per_sample([0.001, 0.0]))
    line.session(10, max_samples=1000).train()
    assert line.trainer.total_number_of_samples_seen == 40


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda line: training_session(None, line.source(), 4, {line.x: "x"}), "Trainer must not be None"),
        (lambda line: training_session(line.trainer, None, 4, {line.x: "x"}), "source must not be None"),
        (lambda line: training_session(line.trainer, line.source(), 4, {}), "should not be empty"),
        (lambda line: line.session(4), "Train minibatch source must have a limited"),
        (lambda line: line.session("a", max_samples=4), "minibatch_size_schedule"),
        (lambda line: TestConfig(line.source()), "Test minibatch source must have a limited"),
        (lambda line: CrossValidationConfig(line.source()), "Cross validation minibatch source must have a limited"),
        (lambda line: CrossValidationConfig(frequency=3), "Either minibatch_source of callback"),
        (lambda line: CrossValidationConfig((X, Y)), "criterion must be given"),
        (lambda line: CheckpointConfig(None, frequency=5), "without checkpoint_filename"),
        (lambda line: CheckpointConfig("a", frequency=-3), "the frequency is -3"),
        (lambda line: minibatch_size_schedule(0), "a minibatch of 0 samples"),
        (lambda line: minibatch_size_schedule("a"), "either a number or a list"),
        (lambda line: line.criterion.train((X,)), "pass a tuple of 2 numpy or scipy arrays"),
        (lambda line: line.criterion.train((X, Y), minibatch_size=None), "minibatch_size must not be None"),
        (lambda line: line.criterion.train((X, Y), minibatch_size=[8]), "must be an int"),
        (lambda line: line.criterion.train((X, Y), max_epochs=1, max_samples=1), "mutually exclusive"),
        (lambda line: line.criterion.train(line.source()), "epoch_size must be specified"),
        (lambda line: line.criterion.train((X, Y), callbacks=[3]), "neither a progress writer nor"),
        (lambda line: line.criterion.test(line.source(), streams=("x", "y")), "must have a limited"),
    ],
)
def test_what_cannot_be_is_said(build: Any, words: str) -> None:
    with pytest.raises(AttributeValueError, match=words):
        build(Line())


def test_arrays_of_different_length_are_refused() -> None:
    with pytest.raises(SignatureError, match="they have 40, 20"):
        Line().criterion.train((X, Y[:20]))


def _close(found: Any, expected: list[tuple[float, int]]) -> None:
    assert [record.samples for record in found] == [samples for _, samples in expected]
    assert np.allclose([record.loss for record in found], [loss for loss, _ in expected], rtol=1e-5)


def test_train_reports_updates_and_epochs() -> None:
    line = Line()
    learner = C.sgd([line.w, line.b], 0.001)
    found = line.criterion.train((X, Y), 7, parameter_learners=[learner], progress_frequency=20, max_epochs=2)
    _close(found.updates, [(1.566648, 14), (4.097152, 14), (1.509639, 14), (3.979567, 14)])
    _close(found.epoch_summaries, [(1.934288, 21), (4.490227, 19), (1.868030, 21), (4.364032, 19)])


def test_train_with_writers_validation_and_test(capsys: pytest.CaptureFixture[str]) -> None:
    line = Line()
    data = {"criterion": line.criterion}
    found = line.criterion.train(
        (X, Y), 10, max_epochs=1.5, parameter_learners=[C.sgd([line.w, line.b], 0.001)],
        callbacks=[ProgressPrinter(1), CrossValidationConfig((X, Y), **data), TestConfig((X, Y), **data)],
    )  # fmt: skip
    _close(found.epoch_summaries, [(3.162395, 40), (1.839834, 20)])
    assert len(found.updates) == 6
    assert found.test_summary.samples == 40
    assert found.test_summary.metric == pytest.approx(3.101149, rel=1e-5)
    assert _lines(capsys)[-2:] == [f"Finished Evaluation [{i}]: Minibatch[1-2]: metric = 310.11% * 40;" for i in (1, 2)]


def test_updates_follow_the_first_writer_also_when_it_prints_ever_less_often() -> None:
    line = Line()
    learner = C.sgd([line.w, line.b], 0.001)
    found = line.criterion.train((X, Y), 16, parameter_learners=[learner], callbacks=[ProgressPrinter(0)])
    _close(found.updates, [(1.671484, 16), (4.172535, 24)])


def test_train_from_a_source() -> None:
    line = Line()
    source, learner = line.source(), C.sgd([line.w, line.b], 0.001)
    streams = (source.streams.x, source.streams.y)
    found = line.criterion.train(source, 10, streams, epoch_size=40, max_epochs=2, parameter_learners=[learner])
    _close(found.updates, [(3.162395, 40), (3.100388, 40)])
    assert found.updates == found.epoch_summaries


def test_test_averages_the_metric(capsys: pytest.CaptureFixture[str]) -> None:
    line = Line()
    found = line.criterion.test((X, Y), 16, callbacks=[ProgressPrinter(test_freq=1)])
    assert found.samples == 40
    assert found.metric == pytest.approx(3.184609, rel=1e-5)
    assert _lines(capsys)[-1] == "Finished Evaluation [1]: Minibatch[1-3]: metric = 318.46% * 40;"


@pytest.mark.parametrize(
    "make", [C.data_parallel_distributed_learner, lambda l: C.block_momentum_distributed_learner(l, 8)]
)
def test_a_distributed_learner_alone_does_what_its_learner_does(make: Any) -> None:
    plain, shared = Line(), Line()
    learner = make(C.momentum_sgd([shared.w, shared.b], 0.01, 0.9))
    assert isinstance(learner, C.DistributedLearner)
    assert (learner.communicator().num_workers(), learner.communicator().rank()) == (1, 0)
    plain.criterion.train((X, Y), 8, parameter_learners=[C.momentum_sgd([plain.w, plain.b], 0.01, 0.9)])
    shared.criterion.train((X, Y), 8, parameter_learners=[learner])
    assert np.array_equal(plain.w.value, shared.w.value)
