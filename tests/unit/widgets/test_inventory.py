"""What a kernel holds, as the sidebar asks for it: every model once, every run with a monitor, nothing of words."""

from __future__ import annotations

import json
import subprocess
import sys

import comm
import numpy as np
import pytest

import cntk_lab as C
from cntk_lab import lab
from cntk_lab.errors import AttributeValueError
from cntk_lab.layers import Dense, Sequential
from cntk_lab.learners import sgd
from cntk_lab.widgets import inventory

pytestmark = pytest.mark.usefixtures("front_end")

X = np.random.default_rng(1).normal(size=(40, 4)).astype(np.float32)


@pytest.fixture
def run():
    x, y = C.input_variable(4), C.input_variable(1)
    z = C.times(x, C.parameter((4, 1), init=0.5))
    made = lab.train(C.squared_error(z, y), {x: X, y: X[:, :1]}, sgd(z.parameters, 0.1), max_steps=5, name="steady")
    made.wait(60)
    yield made
    made.close()


def test_every_model_is_listed_once_with_all_its_names_and_no_other_object():
    x = C.input_variable(4)
    z = Dense(3)(x)
    e = C.sin(z)
    found = inventory.inventory({"z": z, "same": z, "_hidden": z, "x": x, "n": 3, "pair": (e, 5), "late": Dense(2)})
    assert [(m.names, m.parameters, m.shape, m.axes) for m in found.models] == [
        (("z", "same"), 15, "3", ("batch",)),
        (("pair[0]",), 15, "3", ("batch",)),
        (("late",), None, "?", ()),
    ]
    assert found.models[0].number == inventory.inventory({"w": z}).models[0].number
    assert json.loads(json.dumps(found._repr_mimebundle_()[inventory.MIME]))["models"][0]["kind"] == "Dense"


def test_a_shape_that_is_found_later_is_counted_later():
    layer = Dense(2)
    assert inventory.inventory({"layer": layer}).models[0].parameters is None
    applied = Sequential([layer])(C.input_variable(5))
    assert inventory.inventory({"applied": applied}).models[0].parameters == 12


def test_long_lists_and_hostile_names_are_cut():
    x = C.input_variable(1)
    many = {f"f{i}": C.sin(x) for i in range(inventory.MOST + 7)}
    found = inventory.inventory(many)
    assert (len(found.models), found.more) == (inventory.MOST, 7)
    hostile = C.sin(x, name="<b>\n" + "x" * 100_000)
    assert inventory.inventory({"h": hostile}).models[0].name == "<b> " + "x" * 115 + "…"


def test_runs_with_a_monitor_are_listed_until_it_is_closed(run):
    line = next(r for r in inventory.inventory({}).runs if r.number == run.run.number)
    assert (line.name, line.status, line.step, line.progress) == ("steady", "finished", 5, 1.0)
    assert line.loss == pytest.approx(run.history.loss[-1])
    assert "steady: finished, step 5, loss " in str(inventory.inventory({}))
    run.close()
    assert all(r.number != run.run.number for r in inventory.inventory({}).runs)


def test_runs_are_told_while_they_go_on(run, monkeypatch):
    told, ends = [], []

    class Comm:
        def __init__(self, target_name):
            assert target_name == inventory.TARGET

        def send(self, data):
            told.append(data)

        def on_close(self, then):
            ends.append(then)

        def close(self):
            told.append("closed")

    monkeypatch.setattr(comm, "create_comm", Comm)
    inventory.inventory({}, watch=True)
    run.run._tell("paused")
    inventory._reporter[0]._throttle.flush()
    assert told[-1]["runs"][-1]["status"] == "paused"
    json.dumps(told[-1])
    ends[0]({})  # the page is gone
    count = len(told)
    run.run._tell("stopped")
    assert len(told) == count
    inventory.inventory({}, watch=True)
    assert told[count:] == ["closed"]
    inventory._reporter.pop().close()


def test_a_model_is_shown_by_its_number_and_forgotten(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda *what, **how: shown.append(what[0]))
    z = C.sin(C.input_variable(1))
    number = inventory.inventory({"z": z}).models[0].number
    inventory.show_model(number)
    inventory.show_model(number)
    assert shown[0] is shown[1]
    inventory.close(number)
    inventory.close(number)
    inventory.show_model(number)
    assert shown[2] is not shown[0]
    inventory.close(number)
    with pytest.raises(AttributeValueError, match="no model 999999"):
        inventory.show_model(999_999)


def test_a_run_is_shown_beside_its_monitor(run, monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda *what, **how: shown.append(what[0]))
    inventory.show_run(run.run.number)
    assert "text/plain" in shown[0]
    with pytest.raises(AttributeValueError, match="no run 999999"):
        inventory.show_run(999_999)


def test_asking_loads_no_widgets():
    code = (
        "import sys, cntk_lab; from cntk_lab.widgets.inventory import inventory; inventory();"
        "print([m for m in ('ipywidgets', 'anywidget', 'IPython') if m in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert told.stdout.strip() == "[]"
