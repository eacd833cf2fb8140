"""Everything that is drawn or written of a model is well-formed, whatever its names hold.

Control characters, halves of characters, marks of writing direction, ends of scripts and sections, line breaks, books.
"""

from __future__ import annotations

import json
import resource
import unicodedata
import xml.etree.ElementTree as ET

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab import _words
from cntk_lab.errors import AttributeValueError, NotAvailableError
from cntk_lab.graph.inspect import graph_snapshot
from cntk_lab.layers import Dense, Sequential
from cntk_lab.learners import learning_parameter_schedule, sgd
from cntk_lab.logging.graph import plot
from cntk_lab.train._history import Finding, History
from cntk_lab.train._start import run_of
from cntk_lab.widgets import _curves, _drawing, display, inventory, of_function
from cntk_lab.widgets._picture import write_picture
from cntk_lab.widgets.composer import GraphComposer
from cntk_lab.widgets.graph_view import GraphView
from cntk_lab.widgets.monitor import TrainingMonitor
from cntk_lab.widgets.preview import ReaderPreview

pytestmark = pytest.mark.usefixtures("front_end")

NASTY = {
    "control": "\x00\x01\x1b[31m\x7f\x85\x9f", "half": "a\ud800b\udc80", "bidi": "\u202egpj.exe\u2066\u2069",
    "script": "</script><script>alert(1)</script>", "section": "]]><![CDATA[", "comment": "<!-- --><?x?><!DOCTYPE a>",
    "lines": "a\nb\r\nc\u2028d\te\x0bf", "quotes": "\"'&<>`${x}\\", "none": "\ufffe\uffff\U0001ffff",
    "format": "%s %(a)d {0}", "book": "x" * 200_000, "family": "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "words": "Gewichtsmatrix ä é 漢字",
}  # fmt: skip
TAGS = {"svg", "g", "rect", "path", "polygon", "polyline", "text", "tspan", "title", "image"}


@pytest.fixture(params=NASTY)
def name(request):
    return NASTY[request.param]


def network(name):
    x = C.input_variable(4, name=name)
    w = C.parameter((4, 3), init=0.1, name=name)
    hidden = C.times(x, w, name=name)
    return Sequential([Dense(2, activation=C.relu, name=name), Dense(2, name=f"{name}{name}")])(hidden)


def is_picture(svg):
    """Well-formed, of the tags that drawings are made of, and not made larger by a long name."""
    tree = ET.fromstring(svg.encode("utf-8"))
    assert {element.tag.split("}")[1] for element in tree.iter()} <= TAGS
    assert len(svg) < 60_000
    assert is_text(" ".join([*tree.itertext(), tree.get("aria-label")]))


def is_text(words):
    words.encode("utf-8")
    bad = [c for c in words if unicodedata.category(c) in ("Cc", "Cs", "Cn") or c in "\u202e\u2066\u2069"]
    return set(bad) <= {"\n"}


def is_json(data):
    return json.loads(json.dumps(data, ensure_ascii=False, allow_nan=False).encode("utf-8")) is not None


def is_shown(widget):
    """Its forms without a kernel, and its state as it travels to the browser."""
    forms = widget.static_forms()
    is_picture(forms["image/svg+xml"])
    assert is_text(forms["text/plain"])
    assert is_json({k: v for k, v in forms.items() if k != "image/svg+xml"})
    state = {k: v for k, v in widget.get_state().items() if k not in ("layout", "_bundle", "_esm", "_css")}
    assert is_json(state)


def test_a_graph_is_well_formed_in_every_form(name):
    z = network(name)
    snapshot = graph_snapshot(list(z.outputs), name)
    bundle = display.mimebundle(snapshot)
    is_picture(bundle["image/svg+xml"])
    assert is_text(bundle["text/plain"])
    assert is_json(bundle)
    blocks = [n["id"] for n in snapshot["nodes"] if n["kind"] == "block"]
    is_picture(display.svg(snapshot, blocks))


@pytest.mark.parametrize("form", ["svg", "png", "pdf", "dot"])
@pytest.mark.filterwarnings("ignore:Glyph")  # the font of pictures has no Chinese
def test_a_graph_is_written_to_files_of_every_form(name, form, tmp_path):
    if form == "dot":
        plot(network(name), tmp_path / "a.dot")
        source = (tmp_path / "a.dot").read_text("utf-8")
        assert is_text(source)
        assert len(source) < 20_000
        assert len(json.loads(_drawing.run_dot(source))["objects"]) >= 5
    else:
        z = network(name)
        path = write_picture(graph_snapshot(list(z.outputs), name), tmp_path / f"a.{form}")
        assert path.stat().st_size > 1000
        if form == "svg":
            is_picture(path.read_text("utf-8"))


def test_the_views_of_models_are_well_formed(name):
    z = network(name)
    is_shown(of_function.view_of(z))
    other = graph_snapshot(list(network("other").outputs), "other")
    is_shown(GraphView.difference(graph_snapshot(list(z.outputs), name), other))
    found = inventory.inventory({name: z, "z": z})
    assert is_json(found._repr_mimebundle_())


def test_the_monitor_of_a_run_is_well_formed(name):
    x, y = C.input_variable(4, name=name), C.input_variable(1, name="y")
    z = Dense(1, name=name)(x)
    data = np.ones((10, 4), np.float32)
    learner = sgd(z.parameters, learning_parameter_schedule(0.1))
    run = run_of(C.squared_error(z, y), {x: data, y: data[:, :1]}, learner, max_steps=2, minibatch_size=5, name=name)
    run.start().wait(60)
    is_shown(TrainingMonitor(run))


def test_curves_are_well_formed(name):
    history = History(name, False)
    is_picture(_curves.svg([history], [name, f"{name} again"]))
    history.findings.append(Finding(1, "not finite", name, name))


def test_the_preview_of_a_reader_is_well_formed(name):
    data = {name: np.arange(24, dtype=np.float32).reshape(6, 4), "y": np.eye(6, dtype=np.float32)}
    preview = ReaderPreview(data, vocabularies={"y": [name] * 6}, forms={"y": "tokens"})
    is_shown(preview)
    preview.statistics()
    preview.check(network(name), {})
    is_shown(preview)
    preview.close()


def test_the_composer_is_well_formed(name):
    if len(name) > 100_000:
        with pytest.raises(AttributeValueError, match=r"the program would have 1.* characters; the limit is 100,000"):
            GraphComposer(network(name))
    else:
        is_shown(GraphComposer(network(name)))
    is_shown(GraphComposer(f"import cntk_lab as C\nx = C.input_variable(4, name={name[:500]!r})\nmodel = C.relu(x)\n"))
    composer = GraphComposer()
    source = f"import cntk_lab as C\nmodel = C.relu(C.input_variable(4))  # {name}\n'{name}'\n"
    try:
        composer.code = source
    except AttributeValueError as error:
        assert "half of a character" in str(error) or "characters; the limit" in str(error)  # noqa: PT017
    is_shown(composer)


def test_shown_text_keeps_what_can_be_read():
    assert _words.shown(NASTY["words"]) == NASTY["words"]
    assert _words.shown(NASTY["family"]) == NASTY["family"]
    assert _words.shown(NASTY["lines"]) == "a b  c d e f"
    assert _words.shown(NASTY["lines"], lines=True) == "a\nb \nc d e f"
    assert _words.shown(NASTY["book"]) == "x" * 299 + "…"
    assert _words.shown(None) == "None"


def test_without_graphviz_the_forms_are_text_that_says_why(monkeypatch):
    def nowhere(_source):
        raise NotAvailableError("no Graphviz to draw the graph: it is not here", fix="install it")

    monkeypatch.setattr(_drawing, "run_dot", nowhere)
    for forms in (of_function.view_of(network("a")).static_forms(), GraphComposer(network("a")).static_forms()):
        assert "image/svg+xml" not in forms
        words = "(no picture: no Graphviz to draw the graph: it is not here\n  fix:   install it)"
        assert forms["text/plain"].endswith(words)


def test_with_little_address_space_a_graph_is_text():
    """The WebAssembly Graphviz reserves 4 GB of addresses; a process that may not have them shows text."""
    import multiprocessing as mp

    with mp.get_context("spawn").Pool(1) as pool:
        words = pool.apply(_shown_with, (3 << 30,))
    assert "(no picture: no Graphviz to draw the graph" in words
    assert "ulimit -v" in words


def _shown_with(space):
    _drawing.shutil.which = lambda _name: None
    resource.setrlimit(resource.RLIMIT_AS, (space, space))
    forms = display.mimebundle(graph_snapshot(list(network("a").outputs), "a"))
    return forms["text/plain"]
