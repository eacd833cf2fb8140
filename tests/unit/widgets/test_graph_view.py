"""The graph view's Python side; it needs no kernel and no browser (ipywidgets makes a dummy comm)."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from cntk_lab.errors import AttributeValueError, FormatError, NotAvailableError
from cntk_lab.widgets import _base, _messages
from cntk_lab.widgets import _examples as examples
from cntk_lab.widgets.graph_view import GraphView, statistics


@pytest.fixture
def view(monkeypatch):
    """A view whose front end need not be built."""
    bundle = _base.Bundle(source="export default {}", key="test")
    monkeypatch.setattr(_base, "bundle", lambda _name: bundle)
    weights = {"h1.W": np.arange(6.0).reshape(2, 3)}
    return GraphView(examples.mlp(), values=weights.get)


def from_browser(view, content):
    """What the kernel does with a message of the browser; the replies."""
    sent = []
    view.send = sent.append
    view._handle_msg({"content": {"data": {"method": "custom", "content": content}}, "buffers": []})
    return sent


def test_expanding_a_node_opens_the_blocks_around_it(view):
    view.expand("h1.times")
    assert view.opened == ["h1"]
    view.expand("h2")
    assert view.opened == ["h1", "h2"]
    view.collapse("h1")
    assert view.opened == ["h2"]


def test_selecting_a_node_opens_what_hides_it(view):
    view.select("z.plus")
    assert (view.selected, view.opened) == ("z.plus", ["z"])


def test_an_unknown_node_is_named(view):
    with pytest.raises(AttributeValueError, match="the graph has no node 'h9'"):
        view.expand("h9")


def test_the_browser_can_open_and_select(view):
    state = {"opened": ["h2"], "selected": "h2.plus"}
    view._handle_msg({
        "content": {"data": {"method": "update", "state": state, "buffer_paths": []}}, "buffers": [],
    })  # fmt: skip
    assert (view.opened, view.selected) == (["h2"], "h2.plus")


def test_the_inspector_gets_statistics_of_the_parameters_on_a_node(view):
    [answer] = from_browser(view, {"number": 5, "request": {"kind": "inspect", "uid": "h1.times"}})
    assert answer["number"] == 5
    [array] = answer["reply"]["arrays"]
    assert (array["name"], array["shape"], array["low"], array["high"], array["zeros"]) == ("W", [2, 3], 0, 5, 1)
    assert sum(array["histogram"]) == 6
    assert array["image"] == [[0, 1, 2], [3, 4, 5]]


def test_a_request_that_cannot_be_met_is_answered_in_words(view):
    [answer] = from_browser(view, {"number": 1, "request": {"kind": "inspect", "uid": "nobody"}})
    assert answer["reply"]["kind"] == "failed"
    assert "the graph has no node 'nobody'" in answer["reply"]["message"]


def test_the_browser_gets_a_pdf(view):
    [answer] = from_browser(view, {"number": 1, "request": {"kind": "export", "form": "pdf", "opened": ["h1"]}})
    assert base64.b64decode(answer["reply"]["content"]).startswith(b"%PDF")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("hello", "carries no number"),
        ({"number": 1}, "asks for nothing known"),
        ({"number": 1, "request": {"kind": "delete"}}, "asks for nothing known; there are: inspect, export"),
        ({"number": 1, "request": {"kind": "inspect", "uid": 3}}, "'inspect' from the browser has a wrong 'uid'"),
        ({"number": 1, "request": {"kind": "export", "form": "exe", "opened": []}}, "has a wrong 'form'"),
        ({"number": 1, "request": {"kind": "export", "form": "pdf", "opened": [1]}}, "has a wrong 'opened'"),
    ],
)
def test_what_is_no_request_is_refused(content, words):
    with pytest.raises(FormatError) as error:
        _messages.read_request(content)
    assert words in str(error.value)


def test_painting_sends_plain_numbers_and_marks_what_is_not_finite(view):
    view.paint("time", {"h1.times": np.float32(2), "h1.plus": float("inf")}, unit="ms", together="max")
    assert view.overlays == {"time": {"unit": "ms", "together": "max", "values": {"h1.times": 2.0, "h1.plus": None}}}
    view.unpaint("time")
    assert view.overlays == {}


def test_a_throttle_passes_ten_values_a_second_and_always_the_last():
    now, sent = [0.0], []
    throttle = _base.Throttle(sent.append, interval=0.1, clock=lambda: now[0])
    for step in range(100):
        now[0] = step * 0.01
        throttle.put(step)
    throttle.flush()
    assert len(sent) <= 12
    assert sent[0] == 0
    assert sent[-1] == 99


def test_statistics_count_what_is_not_finite():
    s = statistics("w", np.array([np.nan, np.inf, 1.0, 0.0]))
    assert (s.count, s.not_finite, s.zeros, s.low, s.high, s.mean) == (4, 2, 1, 0.0, 1.0, 0.5)
    empty = statistics("w", np.array([np.nan]))
    assert (empty.low, empty.mean, sum(empty.histogram)) == (None, None, 0)


def test_kernels_of_a_convolution_are_shown_side_by_side():
    assert np.shape(statistics("k", np.zeros((8, 3, 5, 5))).image) == (23, 23)  # 4 x 4 of them
    assert np.shape(statistics("k", np.zeros((100, 90))).image) == (64, 64)
    assert statistics("b", np.zeros(5)).image == []


def test_every_place_without_a_kernel_gets_a_picture_and_a_text(view):
    data, _ = view._repr_mimebundle_()
    assert data["image/svg+xml"].startswith("<svg")
    assert data["text/plain"].startswith("MLP: 21 nodes")
    assert data["application/vnd.cntk.graph+json"]["format"] == "cntk-lab-graph"
    assert "application/vnd.jupyter.widget-view+json" in data


def test_views_share_one_bundle(view):
    other = GraphView(examples.tagger())
    assert other._bundle is view._bundle
    assert len(view._esm) < 1500


def test_a_front_end_that_was_not_built_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(_base, "STATIC", tmp_path)
    with pytest.raises(NotAvailableError) as error:
        _base.bundle("another")
    assert "the notebook front end is not built: another.js is missing" in str(error.value)


def test_the_typescript_of_the_messages_is_in_step():
    assert _messages.TYPESCRIPT.read_text(encoding="utf-8") == _messages.typescript()


def test_the_view_of_a_difference_says_on_closed_blocks_what_changed(view):
    after = examples.mlp()
    next(node for node in after["nodes"] if node["id"] == "h2.relu")["op"] = "Tanh"
    difference = GraphView.difference(examples.mlp(), after)
    marked = {node["id"]: (node["change"], node["note"]) for node in difference.graph["nodes"] if "change" in node}
    assert marked == {
        "h2.relu": ("added", ""), "removed:h2.relu": ("removed", ""), "h2": ("changed", "ReLU → Tanh"),
    }  # fmt: skip
    assert difference.opened == []
