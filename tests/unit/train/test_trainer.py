"""Trainer and Evaluator: what they report, whom they tell, what they refuse."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab import learners, logging
from cntk_lab.errors import DataError, GraphError, SignatureError, TrainingError
from cntk_lab.events import BUS, StepFinished
from cntk_lab.graph import ports
from cntk_lab.graph.variable import Parameter
from cntk_lab.logging.progress_print import ProgressWriter
from cntk_lab.train import Trainer
from cntk_lab.train._evaluator import Evaluator

schedule = learners.learning_parameter_schedule


class Line:
    """A line through the origin, y = w x, with squared and absolute error."""

    def __init__(self, rate: Any = None, writers: Any = None, **options: Any) -> None:
        self.x, self.y = C.input_variable(1, name="x"), C.input_variable(1, name="y")
        self.w = Parameter((1,), init=1.0, name="w")
        self.z = self.x * self.w
        difference = self.z - self.y
        self.loss, self.metric = difference * difference, C.abs(difference)
        learner = learners.sgd([self.w], schedule(0.25, 0) if rate is None else rate, **options)
        self.trainer = Trainer(self.z, (self.loss, self.metric), [learner], writers)

    def data(self, *pairs: tuple[float, float]) -> dict[Any, Any]:
        points = np.array(pairs, np.float32)
        return {self.x: points[:, :1], self.y: points[:, 1:]}


def test_numbers_are_those_before_the_update() -> None:
    line = Line()
    assert line.trainer.train_minibatch(line.data((1, 3), (1, 4))) is True
    # losses 4 and 9, metrics 2 and 3; gradient of the sum 2 (w-3) + 2 (w-4) = -10, rate 0.25 / 2 for each sample
    assert line.trainer.previous_minibatch_loss_average == 6.5
    assert line.trainer.previous_minibatch_evaluation_average == 2.5
    assert line.trainer.previous_minibatch_sample_count == 2
    assert line.w.value.tolist() == [2.25]
    assert line.trainer.total_number_of_samples_seen == 2
    assert [line.trainer.total_number_of_units_seen(u) for u in (0, 1, 2)] == [0, 2, 1]


def test_testing_changes_nothing() -> None:
    line = Line()
    assert line.trainer.test_minibatch(line.data((1, 3), (1, 4))) == 2.5
    assert line.w.value.tolist() == [1.0]
    assert line.trainer.total_number_of_samples_seen == 0


def test_nothing_to_average_before_the_first_and_after_an_empty_minibatch() -> None:
    line = Line()
    for _ in range(2):
        with pytest.raises(RuntimeError, match="there was no minibatch to average over, or it was empty"):
            _ = line.trainer.previous_minibatch_loss_average
        assert line.trainer.previous_minibatch_sample_count == 0
        line.trainer.train_minibatch(line.data((1, 3)))
        assert line.trainer.train_minibatch({}) is False


def test_rate_zero_updates_nothing_but_reports() -> None:
    line = Line(schedule(0.0))
    assert line.trainer.train_minibatch(line.data((1, 3))) is False
    assert (line.w.value.tolist(), line.trainer.previous_minibatch_loss_average) == ([1.0], 4.0)
    assert line.trainer.total_number_of_samples_seen == 0


def test_only_learners_with_a_rate_update() -> None:
    x, v, w = C.input_variable(1), Parameter((1,), init=1.0), Parameter((1,), init=1.0)
    loss = x * v + x * w
    slow = learners.momentum_sgd([w], schedule([1.0, 0.0], 1, 1), 0.5, unit_gain=False)
    trainer = Trainer(None, loss, [learners.sgd([v], schedule(1.0, 1)), slow])
    values = []
    for _ in range(3):
        assert trainer.train_minibatch({x: [[1.0]]})
        values.append((v.value[0], w.value[0]))
    assert values == [(0.0, 0.0), (-1.0, 0.0), (-2.0, 0.0)]


def test_wanted_outputs_come_with_the_update() -> None:
    line = Line()
    updated, values = line.trainer.train_minibatch(line.data((1, 3), (2, 4)), outputs=[line.z.output])
    assert updated
    assert values[line.z.output].tolist() == [[1.0], [2.0]]


def test_samples_of_a_sequence_loss_are_frames() -> None:
    x, w = C.sequence.input_variable(1), Parameter((1,), init=1.0)
    trainer = Trainer(None, x * w, learners.sgd([w], schedule(1.0, 0)))
    trainer.train_minibatch({x: [np.ones((1, 1), np.float32), np.ones((3, 1), np.float32)]})
    assert (trainer.previous_minibatch_sample_count, trainer.previous_minibatch_loss_average) == (4, 1.0)
    assert w.value.tolist() == [0.0]


def test_loss_of_several_elements_is_summed() -> None:
    x, w = C.input_variable(2), Parameter((2,), init=1.0)
    trainer = Trainer(None, x * w, learners.sgd([w], schedule(0.5, 1)))
    trainer.train_minibatch({x: [[1.0, 2.0]]})
    assert trainer.previous_minibatch_loss_average == 3.0
    assert w.value.tolist() == [0.5, 0.0]


def test_sweeps_are_counted_from_data_or_by_hand() -> None:
    class Delivered:
        """Data as a reader gives them."""

        def __init__(self, data: Any, end_of_sweep: bool) -> None:
            self.data, self.end_of_sweep = data, end_of_sweep

    line = Line()
    data = line.data((1, 3))
    line.trainer.train_minibatch(data, is_sweep_end=True)
    line.trainer.train_minibatch({v: Delivered(d, end_of_sweep=True) for v, d in data.items()})
    line.trainer.train_minibatch({v: Delivered(d, end_of_sweep=False) for v, d in data.items()})
    assert line.trainer.total_number_of_units_seen(0) == 2
    with pytest.raises(TrainingError, match="there is no data unit 7"):
        line.trainer.total_number_of_units_seen(7)


class Heard(ProgressWriter):
    """A writer that remembers what it hears."""

    def __init__(self) -> None:
        super().__init__(1, 0, 1, 0)
        self.heard: list[Any] = []

    def on_write_training_update(self, *told: Any) -> None:
        self.heard.append(("training", told[0], told[2], told[3]))

    def on_write_test_update(self, *told: Any) -> None:
        self.heard.append(("test", told[0], told[2]))

    def on_write_training_summary(self, *told: Any) -> None:
        self.heard.append(("summary", *told[:-1]))

    def on_write_test_summary(self, *told: Any) -> None:
        self.heard.append(("test summary", *told[:-1]))

    def write(self, key: str, value: float) -> None:
        self.heard.append((key, value))


def test_writers_hear_rates_then_minibatches_then_summaries() -> None:
    writer = Heard()
    line = Line(writers=writer)
    line.trainer.train_minibatch(line.data((1, 3), (1, 4)))
    line.trainer.summarize_training_progress()
    line.trainer.test_minibatch(line.data((1, 2.25)))
    line.trainer.summarize_test_progress()
    assert writer.heard == [
        ("Learning rate per minibatch", 0.25),
        ("training", (0, 2), (0.0, 13.0), (0.0, 5.0)),
        ("summary", 2, 1, 1, 13.0, 5.0),
        ("test", (0, 1), (0.0, 0.0)),
        ("test summary", 1, 1, 1, 0.0),
    ]
    assert line.trainer.progress_writers() == [writer]


def test_printer_prints_what_the_trainer_tells(capsys: pytest.CaptureFixture[str]) -> None:
    line = Line(writers=[logging.ProgressPrinter(freq=1)])
    line.trainer.train_minibatch(line.data((1, 3), (1, 4)))
    assert capsys.readouterr().out == (
        "Learning rate per minibatch: 0.25\n Minibatch[   1-   1]: loss = 6.500000 * 2, metric = 250.00% * 2;\n"
    )


def test_steps_are_told_as_events() -> None:
    events: list[StepFinished] = []
    end = BUS.subscribe(StepFinished, events.append)
    try:
        line = Line()
        line.trainer.train_minibatch(line.data((1, 3), (1, 4)))
        line.trainer.train_minibatch(line.data((1, 3)))
    finally:
        end()
    assert [(e.step, e.samples, e.loss, e.metric) for e in events] == [(1, 2, 13.0, 5.0), (2, 1, 0.5625, 0.75)]
    assert all(e.trainer == events[0].trainer and e.seconds > 0 for e in events)


def test_user_learner_is_handed_the_gradients_of_each_minibatch() -> None:
    class Plain(learners.UserLearner):
        def update(self, gradient_values: Any, training_sample_count: int, sweep_end: bool = False) -> bool:
            for p, g in gradient_values.items():
                p.value = p.value - self.learning_rate() / training_sample_count * g
            return not sweep_end

    line = Line()
    trainer = Trainer(line.z, line.loss, [Plain([line.w], schedule(0.25))])
    assert trainer.train_minibatch(line.data((1, 3), (1, 4)))
    assert line.w.value.tolist() == [2.25]
    assert trainer.total_number_of_samples_seen == 2
    assert not trainer.train_minibatch(line.data((1, 3)), is_sweep_end=True)
    assert trainer.total_number_of_samples_seen == 2


def test_parts_of_a_trainer_are_those_it_was_made_of() -> None:
    line = Line()
    assert line.trainer.model is line.z
    assert line.trainer.loss_function.output is line.loss.output
    assert line.trainer.evaluation_function is not None
    assert line.trainer.evaluation_function.output is line.metric.output
    lone = Trainer(line.z, line.loss, learners.sgd([line.w], 0.1))
    assert lone.evaluation_function is None
    both = Trainer(None, C.combine([line.loss, line.metric]), learners.sgd([line.w], 0.1))
    assert both.loss_function.output is line.loss.output


def test_criteria_and_learners_that_do_not_fit_are_refused() -> None:
    line = Line()
    other = Parameter((2,), name="other")
    with pytest.raises(GraphError, match="criterion: it has 3 outputs, it must have one"):
        Trainer(line.z, (line.loss, line.loss, line.metric), learners.sgd([line.w], 0.1))
    with pytest.raises(TypeError, match="criterion: a NoneType is neither a Function nor a variable"):
        Trainer(line.z, None, learners.sgd([line.w], 0.1))
    with pytest.raises(GraphError, match="1 of the learner's parameters are not part of the model: Parameter"):
        Trainer(line.z, line.loss, learners.sgd([other], 0.1))
    with pytest.raises(GraphError, match="is in 2 different learners"):
        Trainer(line.z, line.loss, [learners.sgd([line.w], 0.1), learners.sgd([line.w], 0.1)])
    with pytest.raises(GraphError, match="a trainer needs at least one learner"):
        Trainer(line.z, line.loss, [])


def test_parameters_in_no_learner_are_noted_and_stay(capsys: pytest.CaptureFixture[str]) -> None:
    x, v, w = C.input_variable(1), Parameter((1,), init=1.0, name="v"), Parameter((1,), init=1.0)
    trainer = Trainer(None, x * v + x * w, learners.sgd([w], schedule(1.0, 1)))
    assert capsys.readouterr().err.startswith(
        "[Note:] 1 parameters of the model are in no learner and stay: Parameter('v'"
    )
    trainer.train_minibatch({x: [[1.0]]})
    assert (v.value[0], w.value[0]) == (1.0, 0.0)


def test_wrong_data_are_refused_and_change_nothing() -> None:
    line = Line()
    with pytest.raises(DataError, match="Values for 1 required arguments"):
        line.trainer.train_minibatch({line.x: np.ones((2, 1), np.float32)})
    with pytest.raises(DataError, match="Different minibatch layouts"):
        line.trainer.train_minibatch({line.x: np.ones((2, 1), np.float32), line.y: np.ones((3, 1), np.float32)})
    with pytest.raises(GraphError, match="there is no metric to test with"):
        Trainer(line.z, line.loss, learners.sgd([line.w], 0.1)).test_minibatch(line.data((1, 3)))
    assert (line.w.value[0], line.trainer.total_number_of_samples_seen) == (1.0, 0)


def test_changed_constants_are_seen_by_the_next_minibatch() -> None:
    x, w, c = C.input_variable(1), Parameter((1,), init=1.0), C.constant(2.0)
    trainer = Trainer(None, (x * w * c, x * c), learners.sgd([w], schedule(1.0, 1)))
    trainer.train_minibatch({x: [[1.0]]})
    c.value = 10.0
    assert trainer.test_minibatch({x: [[1.0]]}) == 10.0
    trainer.train_minibatch({x: [[1.0]]})
    assert w.value.tolist() == [-11.0]


class Files:
    """Sockets for files that keep everything in memory."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fail_at = ""
        self.states: dict[str, Any] = {}
        self.models: dict[str, Any] = {}
        for name in ("save", "restore", "write_checkpoint", "read_checkpoint"):
            monkeypatch.setitem(ports._sockets, name, getattr(self, name))

    def save(self, function: Any, name: str, *_: Any) -> None:
        content = repr({p.uid: p.value.tolist() for p in function.parameters})
        self.models[content] = {p.uid: p.value for p in function.parameters}
        Path(name).write_text(content)

    def restore(self, function: Any, name: str) -> None:
        values = self.models[Path(name).read_text()]
        for p in function.parameters:
            p.value = values[p.uid]

    def write_checkpoint(self, name: str, learners_: Any, external: Any) -> None:
        if self.fail_at == "write_checkpoint":
            raise OSError("disk full")
        content = repr((learners_, external))
        self.states[content] = (learners_, external)
        Path(name).write_text(content)

    def read_checkpoint(self, name: str) -> Any:
        return self.states[Path(name).read_text()]


def test_training_goes_on_from_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Files(monkeypatch)
    line = Line(schedule([0.25, 0.125], 1, 2))
    name = tmp_path / "new folder" / "model"
    line.trainer.train_minibatch(line.data((1, 3)))
    line.trainer.save_checkpoint(name, {"epoch": 3})
    assert sorted(p.name for p in name.parent.iterdir()) == ["model", "model.ckp"]
    values = []
    for _ in range(2):
        line.trainer.train_minibatch(line.data((1, 3)))
        line.trainer.train_minibatch(line.data((1, 3)))
        values.append((line.w.value[0], line.trainer.total_number_of_samples_seen))
        assert line.trainer.restore_from_checkpoint(name) == {"epoch": 3}
        assert line.trainer.total_number_of_samples_seen == 1
    assert values[0] == values[1]


def test_a_failed_checkpoint_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = Files(monkeypatch)
    line = Line()
    line.trainer.save_checkpoint(tmp_path / "model")
    before = {p.name: p.read_text() for p in tmp_path.iterdir()}
    line.trainer.train_minibatch(line.data((1, 3)))
    files.fail_at = "write_checkpoint"
    with pytest.raises(OSError, match="disk full"):
        line.trainer.save_checkpoint(tmp_path / "model")
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == before


def test_missing_and_foreign_checkpoints_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Files(monkeypatch)
    line = Line()
    with pytest.raises(TrainingError, match="checkpoint: there is no file"):
        line.trainer.restore_from_checkpoint(tmp_path / "model")
    x, v = C.input_variable(1), Parameter((1,), init=1.0)
    two = Trainer(None, x * v * line.w, [learners.sgd([v], 0.1), learners.sgd([line.w], 0.1)])
    two.save_checkpoint(tmp_path / "two")
    with pytest.raises(TrainingError, match="it holds 2 learners, the trainer has 1"):
        line.trainer.restore_from_checkpoint(tmp_path / "two")


def test_evaluator_averages_and_tells() -> None:
    writer = Heard()
    line = Line()
    evaluator = Evaluator(line.metric, [writer])
    assert evaluator.test_minibatch(line.data((1, 3), (1, 4))) == 2.5
    line.w.value = np.array([3.0], np.float32)
    assert evaluator.test_minibatch(line.data((1, 3), (1, 4))) == 0.5
    evaluator.summarize_test_progress()
    assert writer.heard == [
        ("test", (0, 2), (0.0, 5.0)),
        ("test", (2, 4), (5.0, 6.0)),
        ("test summary", 4, 2, 1, 6.0),
    ]
    assert evaluator.evaluation_function.output is line.metric.output
    with pytest.raises(GraphError, match="an evaluator needs a function"):
        Evaluator(None)
    with pytest.raises(TrainingError, match="the test minibatch is empty"):
        evaluator.test_minibatch({})
    with pytest.raises(SignatureError, match="a int is neither"):
        Evaluator(3)
