"""Progress writers: CNTK's lines (golden), when they are written, and what other writers hear."""

import ast
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cntk_lab import learners, logging
from cntk_lab.errors import AttributeValueError
from cntk_lab.graph.variable import Parameter
from cntk_lab.logging.progress_print import ProgressWriter

GOLDEN = Path(__file__).parents[2] / "golden"
SECTIONS = re.split(r"^===  ", (GOLDEN / "progress_lines.txt").read_text(), flags=re.MULTILINE)[1:]
LOSSES = json.loads((GOLDEN / "progress_losses.json").read_text())
"""Summed losses of the training (minibatches of 5) that the golden lines were recorded with."""


@pytest.mark.parametrize("section", SECTIONS, ids=lambda s: s.split("\n")[0])
def test_printer_prints_cntks_lines(section: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, expected = section.split("\n", 1)
    printer = logging.ProgressPrinter(**ast.literal_eval(arguments))
    w = Parameter((1,), init=0.1)
    learner = learners.sgd([w], learners.learning_parameter_schedule([0.001, 0.002], 1, 10))
    learner.add_progress_writers([printer])
    for i, loss in enumerate(LOSSES["losses"]):
        learner.update({w: np.zeros(1, np.float32)}, 5)
        printer.update_training(5, loss, loss)
        if i % 8 == 7:
            printer.write_training_summary()
    for metric in LOSSES["tests"]:
        printer.update_test(5, metric)
    printer.write_test_summary()
    found = re.sub(r"\d+\.\d{3}s \( *[\d.]+ samples/s\)", "<time>", capsys.readouterr().out)
    assert found.split("\n") == expected.split("\n")


class Heard(ProgressWriter):
    """A writer that remembers what it hears."""

    def __init__(self, *frequencies: int) -> None:
        super().__init__(*frequencies)
        self.heard: list[Any] = []

    def on_write_training_update(self, *told: Any) -> None:
        self.heard.append(("training", *told))

    def on_write_test_update(self, *told: Any) -> None:
        self.heard.append(("test", *told))

    def on_write_distributed_sync_update(self, *told: Any) -> None:
        self.heard.append(("sync", *told))

    def on_write_training_summary(self, *told: Any) -> None:
        self.heard.append(("training summary", *told[:-1]))

    def on_write_test_summary(self, *told: Any) -> None:
        self.heard.append(("test summary", *told[:-1]))

    def on_training_update_end(self) -> None:
        self.heard.append("end")


@pytest.mark.parametrize(
    ("frequency", "first", "written"),
    [(2, 0, [2, 4, 6]), (0, 0, [1, 3, 7]), (3, 2, [1, 2, 3, 6]), (10, 0, []), (1, 0, [1, 2, 3, 4, 5, 6, 7])],
)
def test_frequencies_say_when_updates_are_written(frequency: int, first: int, written: list[int]) -> None:
    writer = Heard(frequency, first, frequency, first, frequency, first)
    for _ in range(7):
        writer.update_training(5, 1.0, 0.5)
        writer.update_test(5, 0.5)
        writer.update_distributed_sync(5, 0.5)
    for kind in ("training", "test", "sync"):
        assert [h[2][1] for h in writer.heard if h[0] == kind] == written
    assert writer.heard.count("end") == 7


def test_writers_hear_ranges_since_the_last_time_and_start_anew_after_a_summary() -> None:
    writer = Heard(2)
    for _ in range(3):
        writer.update_training(5, 1.5, 0.5)
    writer.write_training_summary()
    writer.update_training(5, 1.5, 0.5)
    writer.update_training(5, 1.5, 0.5)
    writer.write_training_summary()
    writer.write_training_summary()
    assert [h for h in writer.heard if h != "end"] == [
        ("training", (0, 10), (0, 2), (0.0, 3.0), (0.0, 1.0)),
        ("training summary", 15, 3, 1, 4.5, 1.5),
        ("training", (0, 10), (0, 2), (0.0, 3.0), (0.0, 1.0)),
        ("training summary", 10, 2, 2, 3.0, 1.0),
        ("training summary", 0, 0, 3, 0.0, 0.0),
    ]
    assert (writer.total_training_updates(), writer.total_test_updates()) == (5, 0)


def test_sums_stay_arrays_until_something_is_written() -> None:
    class Counted:
        """Stands for a number on a device: being read is counted."""

        reads = 0

        def __init__(self, value: float) -> None:
            self.value = value

        def __radd__(self, other: float) -> "Counted":
            return Counted(other + self.value)

        def __add__(self, other: "Counted") -> "Counted":
            return Counted(self.value + other.value)

        def __float__(self) -> float:
            Counted.reads += 1
            return self.value

    writer = Heard(4)
    for _ in range(3):
        writer.update_training(5, Counted(1.0), 0.0)
    assert Counted.reads == 0
    writer.update_training(5, Counted(1.0), 0.0)
    assert Counted.reads == 1
    assert writer.heard[-2][3] == (0.0, 4.0)


def test_summary_callback_is_called_with_sums() -> None:
    told: list[Any] = []
    writer = logging.TrainingSummaryProgressCallback(10, lambda *args: told.append(args))
    for _ in range(2):
        writer.update_training(5, 1.5, 0.5)
        writer.write_training_summary()
    assert told == [(0, 1.5, 0.5, 5), (1, 1.5, 0.5, 5)]


def test_log_goes_to_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = str(tmp_path / "log")
    printer = logging.ProgressPrinter(freq=2, num_epochs=3, rank=1, log_to_file=name, tag="T")
    for _ in range(2):
        printer.update_training(5, 1.0, 0.5)
    printer.write("Learning rate per 1 samples", 0.01)
    printer.end_progress_print("bye")
    assert capsys.readouterr().out == f"Redirecting log to file {name}rank1\n"
    assert Path(name + "rank1").read_text().split("\n") == [
        name + "rank1",
        "CNTKCommandTrainInfo: train : 3",
        "CNTKCommandTrainInfo: CNTKNoMoreCommands_Total : 3",
        "CNTKCommandTrainBegin: train",
        " Minibatch[   1-   2]: loss = 0.200000 * 10, metric = 10.00% * 10;",
        "Learning rate per 1 samples: 0.01",
        "CNTKCommandTrainEnd: train",
        "bye",
        "",
    ]


def test_older_interface_averages_and_prints(capsys: pytest.CaptureFixture[str]) -> None:
    printer = logging.ProgressPrinter(freq=2)
    printer.update(1.5, 5, 0.25)
    assert (printer.avg_loss_since_start(), printer.avg_metric_since_last()) == (1.5, 0.25)
    printer.update(2.5, 5, 0.25)
    assert (printer.avg_loss_since_start(), printer.avg_loss_since_last()) == (2.0, 0.0)
    assert printer.epoch_summary(with_metric=True) == (2.0, 0.25, 10)
    printer.update(1.0, 5)
    printer.update(1.0, 5)
    assert printer.epoch_summary() == (1.0, 0.0, 10)
    lines = re.sub(r"\d+\.\d{3}s \( *[\d.]+ samples/s\)", "<time>", capsys.readouterr().out).split("\n")
    assert lines == [
        " Minibatch[   1-   2]: loss = 2.000000 * 10, metric = 25.00% * 10;",
        "Finished Epoch[1]: loss = 2.000000 * 10, metric = 25.00% * 10 <time>;",
        " Minibatch[   1-   2]: loss = 1.000000 * 10;",
        "Finished Epoch[2]: loss = 1.000000 * 10 <time>;",
        "",
    ]


def test_older_interface_prints_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    printer = logging.ProgressPrinter(freq=0)
    for loss in (123456.0, 1e-9, 0.1234567):
        printer.update(loss, 5, 0.5)
    assert printer.epoch_summary() is None
    printer.update(1.5, 5)
    rows = capsys.readouterr().out.split("\n")[3:-1]
    assert rows[:2] == [  # printed by CNTK 2.7
        " 1.23e+05   1.23e+05        0.5        0.5             5",
        " 4.12e+04     0.0617        0.5        0.5            15",
    ]


def test_trainer_is_asked_for_its_last_minibatch(capsys: pytest.CaptureFixture[str]) -> None:
    class Trained:
        previous_minibatch_loss_average = 2.0
        previous_minibatch_evaluation_average = 0.5
        previous_minibatch_sample_count = 4

    printer = logging.ProgressPrinter(freq=1)
    printer.update_with_trainer(Trained(), with_metric=True)
    Trained.previous_minibatch_sample_count = 0
    printer.update_with_trainer(Trained())
    assert capsys.readouterr().out == " Minibatch[   1-   1]: loss = 2.000000 * 4, metric = 50.00% * 4;\n"


def test_parameters_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    class Model:
        parameters = (Parameter((2, 3)), Parameter((3,)))

    class Open:
        parameters = (Parameter((-1, 3)), Parameter((3,)))

    logging.log_number_of_parameters(Model, trace_level=1)
    logging.log_number_of_parameters(Open)
    assert capsys.readouterr().out == (
        "Training 9 parameters in 2 parameter tensors.\n\n\t(2, 3)\n\t(3,)\n"
        "Training so far unspecified number of parameters in 2 parameter tensors.\n"
    )


def test_trace_level_is_a_number() -> None:
    logging.set_trace_level(logging.TraceLevel.Info)
    assert logging.get_trace_level() == 2
    logging.set_trace_level(1)
    assert logging.get_trace_level() == 1
    with pytest.raises(AttributeValueError, match="there is no trace level 7"):
        logging.set_trace_level(7)


@pytest.mark.parametrize("wrong", [{"freq": -1}, {"first": -1}, {"freq": "a"}, {"test_freq": 0.5}])
def test_wrong_frequencies_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(AttributeValueError, match="a frequency or number of first updates is"):
        logging.ProgressPrinter(**wrong)
