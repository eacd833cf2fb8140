"""The composer's widget without a browser: requests are edits, state follows, the fallback shows graph and code."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

import cntk_lab as C
from cntk_lab import lab
from cntk_lab.composer import Composer
from cntk_lab.errors import FormatError, GraphError
from cntk_lab.widgets import _messages as messages
from cntk_lab.widgets._base import STATIC
from cntk_lab.widgets._snapshot import check
from cntk_lab.widgets.composer import GraphComposer

pytestmark = pytest.mark.skipif(not (STATIC / "composer.js").is_file(), reason="the front end is not built")

PROGRAM = """import cntk_lab as C

x = C.input_variable(4, name="x")
a = C.layers.Dense(4, name="a")(x)
model = C.layers.Sequential([
    C.layers.Dense(3, name="b"),
    C.tanh,
])(a + x)
"""


def ask(widget, action, *nodes, what="", text="", port=0):
    return widget.answer(messages.Compose("compose", action, list(nodes), what, text, port)).message


@pytest.fixture
def widget():
    return GraphComposer(PROGRAM)


def test_requests_are_edits_of_the_program(widget):
    b, tanh = widget.find("b"), widget.find("tanh")
    assert "new" in ask(widget, "add", b, what="after", text="layers.Dense")
    assert widget.selected == widget.find_all("Dense")[2]
    ask(widget, "set", widget.selected, what="shape", text="7")
    assert "C.layers.Dense(7)" in widget.code
    ask(widget, "rename", widget.selected, text="middle")
    assert 'C.layers.Dense(7, name="middle")' in widget.source
    ask(widget, "move", tanh, b, what="before")
    assert widget.code.index("C.tanh") < widget.code.index('name="b"')
    ask(widget, "group", tanh, what="ResNetBlock")
    assert "C.layers.ResNetBlock(C.tanh)" in widget.code
    ask(widget, "connect", widget.find("x"), widget.find("+"), port=0)
    assert "(x + x)" in widget.code
    ask(widget, "remove", widget.find("middle"))
    assert "middle" not in widget.code
    assert ask(widget, "undo") == "undone: remove"
    assert ask(widget, "redo") == "done again: remove"
    assert ask(widget, "copy", b) == 'C.layers.Dense(3, name="b")'
    ask(widget, "paste", b, what="after")
    assert widget.code.count('name="b"') == 2
    ask(widget, "code", text=PROGRAM)
    assert widget.code == widget.source == PROGRAM


def test_a_branch_reads_the_selected_value(widget):
    ask(widget, "add", widget.find("a"), what="branch", text="layers.Dense")
    assert "dense = C.layers.Dense(10)(a)" in widget.code


def test_a_problem_is_sent_with_its_place_and_its_fix(widget):
    b = widget.find("b")
    words = ask(widget, "set", b, what="shape", text="-3")
    assert words.startswith("1 problem: Dense: ")
    (wrong,) = widget.wrong
    assert (wrong["node"], wrong["edge"][1], wrong["fix"]) == (b, b, "shape=3")
    assert widget.source[wrong["start"] : wrong["end"]].startswith("C.layers.Dense(-3")
    assert ask(widget, "fix", b) == "fixed: shape=3"
    assert widget.wrong == []
    assert widget.told == widget.report.brief()


def test_state_follows_the_selection_and_edits_from_python(widget):
    b = widget.find("b")
    widget.selected = b
    assert widget.form_shown["fields"][0]["name"] == "shape"
    assert widget.source[slice(*widget.spans[b])] == 'C.layers.Dense(3, name="b")'
    widget.set(b, shape=5)
    assert widget.form_shown["fields"][0]["value"] == "5"
    assert widget.history == ["set shape", ""]
    widget.remove(b)
    assert widget.selected in widget.nodes
    check(widget.graph)


def test_what_cannot_be_done_is_said_not_done(widget):
    before = widget.code
    for action, nodes, more in (
        ("add", (), {"text": "open"}), ("remove", ("nobody",), {}), ("ungroup", (widget.find("b"),), {}),
        ("connect", (widget.find("tanh"), widget.find("b")), {}), ("undo", (), {}), ("fix", (), {}),
        ("set", (widget.find("b"),), {"what": "width", "text": "3"}),
    ):  # fmt: skip
        envelope = {"kind": "compose", "action": action, "nodes": list(nodes), "what": "", "text": "", "port": 0} | more
        sent = []
        widget.send = sent.append
        widget._handle_request(widget, {"number": 1, "request": envelope}, None)
        if action == "connect":  # the value gets a name first, which is an edit of its own
            widget.code = before
            continue
        assert sent[0]["reply"]["kind"] == "failed", action
        assert widget.code == before


def test_requests_are_checked():
    with pytest.raises(FormatError, match="wrong 'action'"):
        messages.read_request({"number": 1, "request": {"kind": "compose", "action": "run", "nodes": [], "what": "",
                                                        "text": "", "port": 0}})  # fmt: skip


def test_code_from_the_browser_is_never_run(widget, tmp_path):
    target = tmp_path / "made"
    ask(widget, "code", text=PROGRAM + f"open({str(target)!r}, 'w')\n")
    assert widget.problems
    ask(widget, "code", text=PROGRAM.replace("Dense(3", f"Dense(open({str(target)!r}, 'w').fileno()"))
    assert widget.problems
    assert not target.exists()


def test_the_fallback_shows_graph_and_code(widget):
    forms = widget._repr_mimebundle_()[0]
    assert PROGRAM in forms["text/plain"]
    words = "".join(ET.fromstring(forms["image/svg+xml"]).itertext())
    assert "Dense" in words
    hostile = GraphComposer(PROGRAM.replace('name="b"', 'name="<script>alert(1)</script>"'))
    assert "<script" not in hostile._repr_mimebundle_()[0]["image/svg+xml"]


def test_lab_compose_opens_functions_programs_and_files(tmp_path):
    x = C.input_variable(4, name="x")
    model = C.layers.Sequential([C.layers.Dense(3, name="one"), C.relu])(x)
    composer = lab.compose(model)
    assert {id(p) for p in composer.model.parameters} == {id(p) for p in model.parameters}
    assert composer.report.kept
    composer.save(tmp_path / "m.py")
    again = lab.compose(str(tmp_path / "m.py"))
    assert again.code == composer.code
    assert lab.compose(Composer(PROGRAM)).code == PROGRAM
    assert isinstance(C.widgets.GraphComposer(), GraphComposer)


def test_loops_without_a_layer_are_refused_in_words():
    x = C.sequence.input_variable(2)
    total = C.layers.ForwardDeclaration()
    sums = x + C.sequence.past_value(total)
    total.resolve_to(sums)
    with pytest.raises(GraphError, match="part of a loop that no recurrent layer makes"):
        lab.compose(sums)
