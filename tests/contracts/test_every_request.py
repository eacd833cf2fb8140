"""Every widget answers every request: known and unknown ones, with fields missing, of wrong types, and huge.

A browser waits for the reply; a widget that raises instead leaves it waiting.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import random
import time
import typing

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab.errors import GraphError
from cntk_lab.layers import Dense, Sequential
from cntk_lab.learners import learning_parameter_schedule, sgd
from cntk_lab.train._start import run_of
from cntk_lab.widgets import _messages as messages
from cntk_lab.widgets import of_function
from cntk_lab.widgets._base import LabWidget
from cntk_lab.widgets.composer import GraphComposer
from cntk_lab.widgets.monitor import TrainingMonitor
from cntk_lab.widgets.preview import ReaderPreview

pytestmark = pytest.mark.usefixtures("front_end")

DEEP: list[object] = []
for _ in range(3000):
    DEEP = [DEEP]
ODD = [
    None, True, -1, 0, 1, 1.5, float("nan"), float("inf"), 10**30, "", "no such", "\ud800", "a\0b", "x" * 600_000, [],
    ["a"], [None], ["x" * 1000] * 1000, {}, {"kind": "inspect"}, DEEP,
]  # fmt: skip
TEXTS = ["", "Dense", "Dense(2", "model", "x", "\ud800", "a\0b", "(" * 5000, "C.layers.Dense(10**9)", "-1", "after"]


def network():
    return Sequential([Dense(3, activation=C.relu), Dense(2)])(C.input_variable(4, name="x"))


def monitor():
    x, y = C.input_variable(4, name="x"), C.input_variable(1, name="y")
    z = Dense(1)(x)
    data = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    criterion = C.squared_error(z, y)
    learner = sgd(z.parameters, learning_parameter_schedule(0.1))
    return TrainingMonitor(run_of(criterion, {x: data, y: data[:, :1]}, learner, max_steps=5, minibatch_size=5))


MAKERS = {
    "graph": lambda: of_function.view_of(network()),
    "composer": lambda: GraphComposer(network()),
    "monitor": monitor,
    "preview": lambda: ReaderPreview({"x": np.arange(120, dtype=np.float32).reshape(30, 4)}),
    "plain": LabWidget,
}


def replies(widget, content):
    """What the kernel sends back for the content of a message, without pieces of curves; all of it can be sent."""
    sent = []
    send, widget.send = widget.send, lambda content, buffers=None: sent.append(content)
    try:
        widget._handle_msg({"content": {"data": {"method": "custom", "content": content}}, "buffers": []})
    finally:
        widget.send = send
    for reply in sent:
        json.dumps(reply, ensure_ascii=False, allow_nan=False).encode()
    return [reply for reply in sent if "number" in reply]


def good(kind):
    """A request of a kind with every field right."""
    plain = {str: "no such", int: 1, float: 0.5, list[str]: ["no such"]}
    types = typing.get_type_hints(messages.REQUESTS[kind])
    return {
        name: typing.get_args(t)[0] if typing.get_origin(t) is typing.Literal else plain[t] for name, t in types.items()
    }


@pytest.mark.timeout(250)
@pytest.mark.parametrize("name", MAKERS)
def test_every_broken_request_is_answered_once(name):
    widget = MAKERS[name]()
    requests = [None, [], "x", {}, {"kind": ["inspect"]}, {"kind": {}}, {"kind": "no such"}, DEEP]
    for kind in messages.REQUESTS:
        requests.append(good(kind))
        for field in dataclasses.fields(messages.REQUESTS[kind]):
            body = good(kind)
            requests += [{**body, field.name: odd} for odd in ODD]
            del body[field.name]
            requests.append(body)
    for request in requests:
        found = replies(widget, {"number": 7, "request": request})
        assert [reply["number"] for reply in found] == [7], ascii(request)[:300]
        assert found[0]["reply"]["kind"] in ("done", "failed", "inspected", "exported")
    widget.close()


@pytest.mark.parametrize("content", [None, [], "x", {}, {"number": "7"}, {"number": 10**30}, {"number": -1}, DEEP])
def test_what_is_no_envelope_is_answered_with_number_minus_one(content):
    found = replies(LabWidget(), content)
    assert [(reply["number"], reply["reply"]["kind"]) for reply in found] == [(-1, "failed")]


@pytest.mark.timeout(250)
def test_every_edit_of_the_composer_is_answered():
    widget = GraphComposer(network())
    random.seed(5)
    ids = [[], ["no such"], [""], ["\ud800"], *([node] for node in widget.nodes), list(widget.nodes)]
    places = ["", "after", "before", "into", "branch", "shape", "no such", "Sequential", "\ud800"]
    begun = time.perf_counter()
    for action in typing.get_args(typing.get_type_hints(messages.Compose)["action"]):
        for _ in range(30):
            request = {
                "kind": "compose", "action": action, "nodes": random.choice(ids) + random.choice(ids),
                "what": random.choice(places), "text": random.choice(TEXTS), "port": random.choice([0, 1, -1, 2**40]),
            }  # fmt: skip
            answers = [reply["number"] for reply in replies(widget, {"number": 1, "request": request})]
            assert answers == [1], ascii(request)
    assert time.perf_counter() - begun < 120


class Unforeseen(LabWidget):
    def answer(self, request):
        raise self.error


@pytest.mark.parametrize(
    "error",
    [IndexError("list index out of range"), TypeError("x"), KeyError("shape"), RecursionError("deep"), MemoryError(),
     UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"), OverflowError(), StopIteration(), OSError(5, "x")],
)  # fmt: skip
def test_unforeseen_errors_are_told_to_the_browser_and_traced_in_the_log(error, caplog):
    widget = Unforeseen()
    widget.error = error
    with caplog.at_level(logging.ERROR, "cntk_lab.widgets"):
        (reply,) = replies(widget, {"number": 3, "request": {"kind": "all"}})
    assert reply["number"] == 3
    assert reply["reply"]["message"].startswith(type(error).__name__)
    assert "Traceback" in caplog.text
    assert "raise self.error" in caplog.text


def test_the_log_takes_halves_of_characters(caplog):
    widget = Unforeseen()
    widget.error = ValueError("no node \ud800")
    replies(widget, {"number": 3, "request": {"kind": "all"}})
    assert "no node \\ud800" in caplog.text.encode().decode()


def test_errors_for_the_user_are_told_whole_and_not_logged(caplog):
    widget = Unforeseen()
    widget.error = GraphError("what is wrong", "where it is", "how to fix it")
    (reply,) = replies(widget, {"number": 3, "request": {"kind": "all"}})
    assert reply["reply"] == {"kind": "failed", "message": str(widget.error)}
    assert caplog.text == ""


def test_an_interrupt_is_answered_and_goes_on_to_the_kernel():
    widget = Unforeseen()
    widget.error = KeyboardInterrupt()
    sent = []
    widget.send = lambda content, buffers=None: sent.append(content)
    with pytest.raises(KeyboardInterrupt):
        widget._handle_request(widget, {"number": 3, "request": {"kind": "all"}}, [])
    assert [reply["reply"]["message"] for reply in sent] == ["KeyboardInterrupt"]
