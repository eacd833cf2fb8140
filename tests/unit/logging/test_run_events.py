"""Runs become TensorBoard's curves, while they grow and afterwards, each point once."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab import lab
from cntk_lab.learners import learning_parameter_schedule, sgd
from cntk_lab.logging._run_events import RunEvents, follow_run, write_history
from cntk_lab.train._history import History, Validation
from cntk_lab.train._start import run_of


def values(path):
    """(name, step, number) of an event file, read by the parser of the test of event files."""
    spec = importlib.util.spec_from_file_location("parser", Path(__file__).with_name("test_tensorboard.py"))
    parser = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(parser)
    return [(name, step, value) for name, step, value in parser._values(str(path))]


def history(steps=3):
    made = History("a", True)
    for k in range(steps):
        made.append(10, 1.0 / (k + 1), 0.5, 0.1)
    return made


def test_a_history_is_written_whole(tmp_path):
    made = history()
    made.validation.append(Validation(2, 0.75, 0.25))
    found = values(write_history(made, tmp_path))
    assert [(s, round(v, 4)) for n, s, v in found if n == "loss/training"] == [(1, 1.0), (2, 0.5), (3, 0.3333)]
    assert [(s, v) for n, s, v in found if n == "metric/training"] == [(1, 0.5), (2, 0.5), (3, 0.5)]
    assert [(n, s, v) for n, s, v in found if n.endswith("validation")] == [
        ("loss/validation", 2, 0.75), ("metric/validation", 2, 0.25),
    ]  # fmt: skip


def test_each_point_is_written_once_and_a_rewind_writes_anew(tmp_path):
    made = history(2)
    events = RunEvents(made, tmp_path)
    events.write()
    events.write()
    made.append(10, 0.25, 0.5, 0.2)
    events.write()
    made.cut(1)
    events.write()
    made.append(10, 0.125, 0.5, 0.3)
    events.close()
    assert [(s, v) for n, s, v in values(events.path) if n == "loss/training"] == [
        (1, 1.0), (2, 0.5), (3, 0.25), (2, 0.125),
    ]  # fmt: skip


def test_a_run_is_written_while_it_goes_on(tmp_path):
    x, y = C.input_variable(2, name="x"), C.input_variable(1, name="y")
    z = C.times(x, C.parameter((2, 1), init=0.5))
    rows = np.ones((40, 2), np.float32)
    learner = sgd(z.parameters, learning_parameter_schedule(0.1))
    run = run_of((C.squared_error(z, y), None), {x: rows, y: rows[:, :1]}, learner, max_steps=6, minibatch_size=4)
    stop = follow_run(run, tmp_path)
    run.start().wait(60)
    stop()
    [path] = tmp_path.iterdir()
    found = values(path)
    written = [v for n, _, v in found if n == "loss/training"]
    assert written == pytest.approx(list(run.history.loss), rel=1e-6)
    assert [v for n, _, v in found if n == "learning_rate"] == [pytest.approx(0.1)]
    assert lab.write_events(run.history, tmp_path / "again").is_file()
