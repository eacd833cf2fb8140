"""A sample fed to a graph view is followed node by node and frame by frame; a run is followed by its measurements."""

from __future__ import annotations

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab import lab
from cntk_lab.errors import AttributeValueError
from cntk_lab.events import BUS, NodesMeasured
from cntk_lab.layers import LSTM, Dense, Embedding, Recurrence, Sequential
from cntk_lab.learners import learning_parameter_schedule, sgd
from cntk_lab.train._run import Run
from cntk_lab.train._start import run_of
from cntk_lab.widgets import _examples, of_function
from cntk_lab.widgets.graph_view import GraphView

pytestmark = pytest.mark.usefixtures("front_end")

SAMPLE = np.linspace(-1, 1, 20, dtype=np.float32).reshape(5, 4)


@pytest.fixture
def model():
    x = C.sequence.input_variable(4, name="x")
    return Sequential([Recurrence(LSTM(3)), C.sequence.last, Dense(2, activation=C.relu)])(x)


def walked(view):
    """The uids of all stops."""
    found = [view.fed["at"]]
    while view.step() != found[-1]:
        found.append(view.fed["at"])
    return found


def test_every_node_has_the_value_that_evaluation_gives(model):
    values = of_function.values_of_sample(model, SAMPLE)
    expected = model.eval({model.arguments[0]: [SAMPLE]})
    np.testing.assert_allclose(values[model.root_function.output.node.uid], expected, rtol=1e-6)
    assert values[model.arguments[0].uid].tolist() == SAMPLE.tolist()
    lstm = model.find_by_name("LSTM", -1) or next(n for n in model.find_all_with_name("", -1) if n.is_block)
    assert lstm.output.node.uid in values
    assert all(np.isfinite(v).all() for v in values.values())


def test_a_sample_is_followed_through_closed_blocks_and_into_open_ones(model):
    view = lab.show(model)
    view.feed(SAMPLE)
    closed = walked(view)
    assert (view.fed["number"], view.fed["count"]) == (len(closed) - 1, len(closed))
    assert closed[0] == model.arguments[0].uid
    view.expand(*[n["id"] for n in view.graph["nodes"] if n["kind"] == "block"])
    view.step(-1000)
    opened = walked(view)
    assert len(opened) > 2 * len(closed)
    order = list(of_function.values_of_sample(model, SAMPLE))
    places = [order.index(uid) for uid in opened]
    assert places == sorted(places)
    assert view.step(-1) == opened[-2]
    view.select(opened[3])
    assert view.step() == opened[4]


def test_time_goes_frame_by_frame_and_stays_at_its_ends(model):
    view = lab.show(model)
    view.feed(SAMPLE)
    assert view.value().tolist() == SAMPLE[0].tolist()
    assert (view.step_time(), view.step_time(2), view.step_time(99), view.step_time(-99)) == (1, 3, 4, 0)
    view.step_time(2)
    assert view.value().tolist() == SAMPLE[2].tolist()
    view.step(99)
    assert view.value().shape == (2,)  # the last node has one frame


def test_the_inspector_and_the_overlay_show_the_present_frame(model):
    view = lab.show(model)
    view.feed(SAMPLE)
    view.step_time(4)
    view._throttles["sample"].flush()
    x = model.arguments[0].uid
    assert view.overlays["sample"]["values"][x] == pytest.approx(float(np.abs(SAMPLE[4]).mean()))
    from cntk_lab.widgets._messages import Inspect

    [shown] = view.answer(Inspect("inspect", x)).arrays
    assert (shown.name, shown.count, shown.high) == ("value, frame 5 of 5", 4, 1.0)
    view.unfeed()
    assert (view.fed, "sample" in view.overlays) == ({}, False)
    with pytest.raises(AttributeValueError, match="no sample is fed"):
        view.step()


def test_buttons_feed_and_step():
    from cntk_lab.widgets._messages import Feed

    view = lab.show(Dense(2)(C.input_variable(3, name="x")))
    assert "Random numbers are fed" in view.answer(Feed("feed", "begin", 0, 0)).message
    assert view.fed["number"] == 0
    view.answer(Feed("feed", "go", 1, 0))
    assert view.fed["number"] == 1
    view.answer(Feed("feed", "end", 0, 0))
    assert view.fed == {}


@pytest.mark.parametrize(
    ("sample", "words"),
    [
        (np.ones((2, 3), np.float32), "gets (2, 3)"),
        ({}, "'x' gets no array"),
        ({"y": SAMPLE}, "'x' gets no array"),
        (np.ones(4, np.float32), "gets (4,)"),
    ],
)
def test_what_does_not_fit_is_said(model, sample, words):
    with pytest.raises(AttributeValueError) as error:
        lab.show(model).feed(sample)
    assert words in str(error.value)


def test_a_picture_cannot_be_fed():
    with pytest.raises(AttributeValueError, match="nothing can be fed to a picture"):
        GraphView(_examples.mlp()).feed()


# --- a run that is followed


def a_run(rate=0.05, **more) -> tuple[Run, C.Function]:
    x, y = C.input_variable(4, name="x"), C.input_variable(1, name="y")
    rng = np.random.default_rng(0)
    z = Sequential([Dense(6, activation=C.relu, init=0.3), Dense(1, init=0.3)])(x)
    features = rng.normal(size=(200, 4)).astype(np.float32)
    learner = sgd(z.parameters, learning_parameter_schedule(rate, 0))
    data = {x: features, y: features[:, :1]}
    return run_of((C.squared_error(z, y), None), data, learner, model=z, minibatch_size=20, **more), z


@pytest.fixture
def often(monkeypatch):
    """Measure at every look."""
    from cntk_lab.train import _probe, _run

    monkeypatch.setattr(_run, "TELL_SECONDS", 0.001)
    monkeypatch.setattr(_probe, "OFTEN", 0.0)
    monkeypatch.setattr(_probe, "SHARE", 1)


def test_a_followed_run_paints_time_activations_gradients_and_dead_units(often):
    run, z = a_run(max_steps=400)
    view = lab.show(z).follow(run)
    run.start().wait(60)
    for throttle in list(view._throttles.values()):
        throttle.flush()
    assert {"time", "activation", "gradient", "dead units"} <= set(view.overlays)
    assert view.overlays["time"]["unit"] == "ms"
    relu = next(n["id"] for n in view.graph["nodes"] if n["op"] == "ReLU")
    assert 0 <= view.overlays["dead units"]["values"][relu] <= 1
    assert view.overlays["activation"]["values"][relu] > 0
    assert set(view.overlays["gradient"]["values"]) == {p.uid for p in z.parameters}
    view.close()
    assert not BUS.heard(NodesMeasured)


def test_following_changes_no_number_and_is_not_measured_unheard(often):
    losses = []
    for followed in (False, True):
        C.cntk_py.set_fixed_random_seed(3)
        run, z = a_run(max_steps=200)
        view = lab.show(z)
        if followed:
            view.follow(run)
        run.start().wait(60)
        losses.append(list(run.history.loss))
        view.close()
    assert losses[0] == losses[1]


def test_the_first_node_that_is_not_finite_is_selected_and_marked():
    run, _ = a_run(rate=1e6, max_steps=200)
    view = lab.show(run.trainer.loss_function).follow(run)
    run.start()
    for _ in range(600):
        if run.history.findings:
            break
        run._thread.join(0.1)
    run.stop()
    run.wait(20)
    [finding] = [f for f in run.history.findings if f.kind == "not finite"]
    for throttle in list(view._throttles.values()):
        throttle.flush()
    assert view.selected == finding.node
    assert view.overlays["not finite"]["values"] == {finding.node: None}
    view.close()


def test_a_sparse_input_is_fed_too_with_random_words_or_given_ones(front_end):
    words = C.sequence.input_variable(6, is_sparse=True, name="words")
    flag = C.input_variable(4, is_sparse=True, name="flag")
    model = C.sequence.last(Embedding(3)(words)) + Embedding(3)(flag)
    view = of_function.view_of(model)
    drawn = view.feed()
    assert (drawn[words.uid].shape, drawn[words.uid].sum(axis=-1).tolist()) == ((5, 6), [1.0] * 5)
    given = view.feed({"words": np.eye(6)[[2, 4]], "flag": np.eye(4)[1]})
    tables = {p.shape[0]: p.value for p in model.parameters}
    made = given[model.outputs[0].node.uid]
    np.testing.assert_allclose(made[0], tables[6][4] + tables[4][1], rtol=1e-6)
