"""A Function in the notebook."""

from __future__ import annotations

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab import lab
from cntk_lab.errors import NotAvailableError
from cntk_lab.widgets import _base, of_function
from cntk_lab.widgets._snapshot import MIME


def model(offset=0.0, operator=C.sin):
    x = C.input_variable(2, name="x")
    weight = C.parameter((2, 3), init=np.arange(6, dtype=np.float32).reshape(2, 3) + np.float32(offset), name="W")
    return operator(C.times(x, weight))


def test_a_function_shows_text_and_picture_without_a_kernel(monkeypatch):
    monkeypatch.setattr(of_function, "in_kernel", lambda: False)
    bundle = of_function.mimebundle(model())
    assert sorted(bundle) == [MIME, "image/svg+xml", "text/plain"]
    assert "Times(x) -> [batch] 3   6 parameters" in bundle["text/plain"]


def test_a_function_shows_its_live_view_in_a_kernel(monkeypatch, front_end):
    monkeypatch.setattr(of_function, "in_kernel", lambda: True)
    data, _ = of_function.mimebundle(model())
    assert "application/vnd.jupyter.widget-view+json" in data
    assert data["image/svg+xml"].startswith("<svg")


def test_where_the_live_view_is_missing_the_picture_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(of_function, "in_kernel", lambda: True)

    def missing(_name):
        raise NotAvailableError("the notebook front end is not built")

    monkeypatch.setattr(_base, "bundle", missing)
    bundle = of_function.mimebundle(model())
    assert "(no live view: the notebook front end is not built)" in bundle["text/plain"]
    assert bundle["image/svg+xml"].startswith("<svg")


def test_where_nothing_can_draw_the_text_says_so(monkeypatch):
    monkeypatch.setattr(of_function, "in_kernel", lambda: False)

    def missing(_snapshot, _opened):
        raise NotAvailableError("no Graphviz")

    monkeypatch.setattr(of_function.display, "svg_of_arranged", missing)
    assert of_function.mimebundle(model())["text/plain"].endswith("(no picture: no Graphviz)")


def test_the_inspector_reads_present_values(front_end):
    function = model()
    view = lab.show(function)
    [weight] = function.parameters
    weight.value = np.full((2, 3), 7.0, np.float32)
    [times] = [node["id"] for node in view.graph["nodes"] if node["op"] == "Times"]
    reply = view.answer(_base.messages.Inspect("inspect", times))
    assert [(array.name, array.low, array.high) for array in reply.arrays] == [("W", 7, 7)]


def test_two_models_show_their_difference(front_end):
    view = lab.show(model(), model(offset=0.5, operator=C.cos))
    marked = {(node["op"], node["change"]) for node in view.graph["nodes"] if "change" in node}
    assert marked == {("Sin", "removed"), ("Cos", "added"), ("Parameter", "changed")}


def test_what_is_no_model_is_refused_in_words():
    from cntk_lab import lab
    from cntk_lab.errors import SignatureError

    with pytest.raises(SignatureError, match="takes models, not int"):
        lab.show(3)
    with pytest.raises(SignatureError, match="not list"):
        lab.show(model(), [])


def test_a_giant_is_refused_before_anything_is_made_of_it(monkeypatch):
    monkeypatch.setattr(of_function, "MOST_NODES", 1)
    with pytest.raises(NotAvailableError, match="more than 1 nodes"):
        of_function.snapshot_of(model())
    bundle = of_function.mimebundle(model())
    assert set(bundle) == {"text/plain"}
    assert "more than 1 nodes" in bundle["text/plain"]


def test_the_text_of_a_difference_says_what_differs():
    before = model()
    after = C.tanh(before.clone("clone"))
    weights = after.parameters[0]
    weights.value = weights.value + 1
    told = of_function.difference_of(before, after).static_forms()["text/plain"]
    assert " changed: 6 of 6 weights moved, by 1 at most)" in told
    assert told.endswith("(Tanh added)")
