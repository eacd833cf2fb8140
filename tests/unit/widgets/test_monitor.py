"""The training monitor's Python side; it needs no kernel and no browser (ipywidgets makes a dummy comm)."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab import lab
from cntk_lab.errors import SignatureError
from cntk_lab.learners import learning_parameter_schedule, momentum_sgd, sgd
from cntk_lab.train import Trainer
from cntk_lab.train._history import Finding, History, Validation
from cntk_lab.train._start import run_of
from cntk_lab.widgets import _curves
from cntk_lab.widgets.monitor import TrainingMonitor

pytestmark = pytest.mark.usefixtures("front_end")

X = np.random.default_rng(2).normal(size=(60, 4)).astype(np.float32)


def task(rate=0.1):
    x, y = C.input_variable(4, name="x"), C.input_variable(1, name="y")
    z = C.times(x, C.parameter((4, 1), init=0.5, name="W"))
    learner = momentum_sgd(z.parameters, learning_parameter_schedule(rate, 0), 0.5)
    return (C.squared_error(z, y), C.reduce_sum(C.abs(z - y))), {x: X, y: X[:, :1]}, learner


@pytest.fixture
def monitor():
    criterion, data, learner = task()
    keys = list(data)
    run = run_of(
        criterion, data, learner, max_steps=30, minibatch_size=6, name="a", validation={k: data[k][:10] for k in keys}
    )
    return TrainingMonitor(run)


def finish(monitor):
    monitor.run.start().wait(60)
    return monitor


def from_browser(monitor, **request):
    """What the kernel answers to a request of the browser."""
    sent = []
    send, monitor.send = monitor.send, lambda content, buffers=None: sent.append((content, buffers))
    data = {"method": "custom", "content": {"number": 1, "request": request}}
    monitor._handle_msg({"content": {"data": data}, "buffers": []})
    monitor.send = send
    return sent


def curves(sent):
    """The curves that were sent: {run: (width, first, loss, metric)}."""
    found = {}
    for content, buffers in sent:
        if content.get("kind") == "curve":
            values = np.frombuffer(buffers[0], np.float32)
            count = content["count"]
            found[content["run"]] = (content["width"], content["first"], values[:count], values[count:])
    return found


def test_the_state_tells_how_far_the_run_is(monitor):
    assert (monitor.runs[0]["status"], monitor.runs[0]["step"]) == ("ready", 0)
    finish(monitor)
    [state] = monitor.runs
    assert {k: state[k] for k in ("name", "status", "step", "epoch", "progress", "remaining", "hasMetric")} == {
        "name": "a", "status": "finished", "step": 30, "epoch": 3, "progress": 1.0, "remaining": 0.0, "hasMetric": True,
    }  # fmt: skip
    assert (state["learningRate"], state["momentum"]) == (0.1, 0.5)
    assert state["memory"] > 1 << 20
    [details] = monitor.details.values()
    assert [v[0] for v in details["validation"]] == [10, 20, 30]


def test_a_view_that_opens_gets_the_whole_curve(monitor):
    finish(monitor)
    sent = from_browser(monitor, kind="all")
    width, first, loss, metric = curves(sent)[monitor.run.number]
    assert (width, first) == (1, 0)
    assert loss.tolist() == np.float32(monitor.history.loss).tolist()
    assert metric.tolist() == np.float32(monitor.history.metric).tolist()
    assert sent[-1][0]["reply"] == {"kind": "done", "message": ""}


def test_pieces_add_up_to_the_curve(monitor):
    pieces = []
    monitor.send = lambda content, buffers=None: pieces.append((content, np.frombuffer(buffers[0], np.float32)))
    finish(monitor)
    curve = np.zeros(0, np.float32)
    for content, values in pieces:
        curve = np.concatenate([curve[: content["first"]], values[: content["count"]]])
    assert curve.tolist() == np.float32(monitor.history.loss).tolist()


def test_the_buttons_are_plain_calls(monitor):
    run, done = monitor.run, []
    for name in ("pause", "resume", "stop", "do_steps"):
        setattr(run, name, lambda *given, name=name: done.append((name, *given)))
    for action in ("pause", "resume", "stop", "step"):
        [(answer, _)] = from_browser(monitor, kind="act", run=run.number, action=action, step=2)
        assert answer["reply"]["kind"] == "done"
    assert done == [("pause",), ("resume",), ("stop",), ("do_steps", 2)]


def test_rates_from_the_browser_are_checked_and_recorded(monitor):
    number = monitor.run.number
    for what, value in (("learning_rate", 1), ("momentum", 0.25)):
        [(answer, _)] = from_browser(monitor, kind="set", run=number, what=what, value=value)
        assert answer["reply"]["message"] == f"{what.replace('_', ' ')} {value:g} from the next minibatch on"
    refused = (("learning_rate", -1.0, "learning rate -1 cannot be used"), ("momentum", 1, "momentum 1 cannot be used"))
    for what, value, words in refused:
        [(answer, _)] = from_browser(monitor, kind="set", run=number, what=what, value=value)
        assert words in answer["reply"]["message"]
        assert answer["reply"]["kind"] == "failed"
    finish(monitor)
    made = [(c.step, c.kind, c.value) for c in monitor.history.changes]
    assert made == [(0, "learning_rate", 1.0), (0, "momentum", 0.25)]


def test_a_request_for_an_unknown_run_is_refused(monitor):
    [(answer, _)] = from_browser(monitor, kind="act", run=999, action="stop", step=0)
    assert "the monitor shows no run 999" in answer["reply"]["message"]


def test_a_fork_is_drawn_beside_its_parent_and_steered(monitor):
    finish(monitor)
    parent = monitor.run
    fork = monitor.fork(10, "b")
    assert monitor.run is fork
    assert [(s["name"], s["parent"], s["forkedAt"], s["status"]) for s in monitor.runs] == [
        ("a", "", 0, "finished"), ("b", "a", 10, "paused"),
    ]  # fmt: skip
    monitor.set_learning_rate(0.01)
    finish(monitor)
    found = curves(from_browser(monitor, kind="all"))
    assert found[parent.number][2][:10].tolist() == found[fork.number][2][:10].tolist()
    assert found[parent.number][2][12:].tolist() != found[fork.number][2][12:].tolist()


def test_a_rewound_curve_becomes_shorter(monitor):
    finish(monitor)
    monitor.rewind(12)
    assert (monitor.runs[0]["step"], monitor.runs[0]["status"]) == (12, "paused")
    assert len(curves(from_browser(monitor, kind="all"))[monitor.run.number][2]) == 12


def test_a_run_that_is_only_compared_is_not_steered(monitor):
    criterion, data, learner = task()
    other = TrainingMonitor(run_of(criterion, data, learner, max_steps=5, name="other"))
    own = monitor.run
    assert monitor.compare(other).run is own
    assert [(s["name"], s["main"]) for s in monitor.runs] == [("a", True), ("other", False)]
    finish(monitor)
    monitor.fork(10, "c")
    assert [(s["name"], s["main"]) for s in monitor.runs] == [("a", False), ("other", False), ("c", True)]


def test_histories_that_were_read_are_compared(monitor, tmp_path):
    finish(monitor)
    read = lab.read_run(monitor.run.save(tmp_path / "a.jsonl"))
    monitor.compare(read)
    assert [(s["status"], s["steered"]) for s in monitor.runs] == [("finished", True), ("read", False)]
    number = monitor.runs[1]["number"]
    [(answer, _)] = from_browser(monitor, kind="act", run=number, action="stop", step=0)
    assert "a history that was read cannot be steered" in answer["reply"]["message"]


def test_thinned_curves_have_few_points_and_the_right_means():
    history, step = History(), 0
    thinned = _curves.Thinned(history)
    while step < 10_000:
        for _ in range(37):
            step += 1
            history.append(step, float(step), 0.0, 0.0)
        piece = thinned.update()
        assert piece is not None
        assert len(thinned.loss) <= _curves.MOST
    width = thinned.width
    assert width == 8
    expected = [np.mean(range(i + 1, min(i + width, step) + 1)) for i in range(0, step, width)]
    assert thinned.loss.tolist() == np.float32(expected).tolist()
    assert thinned.update() is None


def test_places_without_a_kernel_get_a_picture_and_words(monitor):
    finish(monitor)
    monitor.history.findings.append(Finding(3, "dead <units>", "<script>&", ""))
    monitor.history.name = "<b>&run"
    forms = monitor.static_forms()
    root = ET.fromstring(forms["image/svg+xml"])
    assert len([e for e in root if e.tag.endswith("path") and "stroke-dasharray" in e.attrib]) == 2
    assert forms["image/svg+xml"] == monitor.static_forms()["image/svg+xml"]
    assert forms["text/plain"].startswith("<b>&run: step 30, loss ")
    assert "  ! <script>&" in forms["text/plain"]
    assert "image/svg+xml" in monitor._repr_mimebundle_()[0]


def test_pictures_bear_runs_without_steps_and_numbers_that_are_not_finite():
    empty, broken = History("empty"), History("broken")
    for value in (1.0, float("inf"), 2.0, float("nan")):
        broken.append(1, value, 0.0, 0.1)
    broken.validation.append(Validation(4, float("nan"), None))
    ET.fromstring(_curves.svg([empty, broken], ["one", "two"]))
    assert _curves.spark(broken.loss) == "▁!█!"
    assert _curves.spark([]) == ""


def test_lab_train_returns_at_once_with_everything_it_needs(tmp_path):
    criterion, data, learner = task()
    made = lab.train(criterion, data, learner, max_epochs=2, minibatch_size=10, file=tmp_path / "run.jsonl")
    made.wait(60)
    assert (made.run.status, made.run.step) == ("finished", 12)
    trainer = Trainer(None, *task()[::2])
    tuple_data = (X, X[:, :1])
    changes = lab.read_run(tmp_path / "run.jsonl").changes
    again = lab.train(trainer, tuple_data, max_epochs=2, minibatch_size=10, changes=changes)
    again.wait(60)
    assert list(again.history.loss) == list(made.history.loss)
    with pytest.raises(SignatureError, match="a criterion needs a learner"):
        lab.train(criterion, data)
    with pytest.raises(SignatureError, match="a trainer has its learners already"):
        lab.train(trainer, data, sgd(trainer.loss_function.parameters, 0.1))
