"""Model files become graphs in a process of their own: whole, limited in size and time, with what is wrong in words."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab import _child
from cntk_lab.debugging import save_as_legacy_model
from cntk_lab.layers import Dense, Sequential
from cntk_lab.widgets import _model_file

server = pytest.importorskip("cntk_lab.server")


def model():
    x = C.input_variable(4, name="<img src=x onerror=alert(1)>")
    return Sequential([Dense(3, activation=C.relu), Dense(2)])(x)


@pytest.fixture
def content(tmp_path):
    model().save(str(tmp_path / "a.model"))
    return (tmp_path / "a.model").read_bytes()


def test_a_model_becomes_a_graph_and_statistics_of_its_parameters(content):
    answer = _model_file.read(content, "deep/a.model")
    assert answer["graph"]["name"] == "a"
    ops = {node["op"] for node in answer["graph"]["nodes"]}
    assert {"Times", "Plus", "ReLU"} <= ops
    assert {answer["arrays"][n["id"]]["count"] for n in answer["graph"]["nodes"] if n["kind"] == "parameter"} == {
        12, 3, 6, 2,
    }  # fmt: skip
    assert len(json.dumps(answer)) < 20_000


def test_a_model_of_cntk_1_becomes_a_graph(tmp_path):
    x = C.input_variable(4, name="features")
    w = C.parameter((4, 2), init=np.ones((4, 2), np.float32), name="w")
    save_as_legacy_model(C.times(x, w, name="z"), str(tmp_path / "a.dnn"))
    answer = _model_file.read((tmp_path / "a.dnn").read_bytes(), "a.dnn")
    assert "Times" in {node["op"] for node in answer["graph"]["nodes"]}


@pytest.mark.parametrize("damage", ["cut", "noise", "empty", "zeros", "html"])
def test_a_damaged_file_is_told_in_words(content, damage):
    made = {
        "cut": content[: len(content) // 2], "noise": bytes(b ^ 0x5A for b in content), "empty": b"",
        "zeros": bytes(1000), "html": b"<script>alert(1)</script>" * 100,
    }[damage]  # fmt: skip
    answer = _model_file.read(made, "a.model")
    assert set(answer) == {"error"}
    assert answer["error"].startswith("a.model: ")


def test_limits_of_nodes_and_bytes_hold(content, monkeypatch):
    monkeypatch.setattr(_model_file, "MOST_NODES", 5)
    assert "nodes are more than a viewer takes (5)" in _model_file.read(content, "a.model")["error"]
    monkeypatch.setattr(_model_file, "LARGEST", 100)
    assert "bytes are more than a viewer takes (100)" in _model_file.read(content, "a.model")["error"]


def started(content, tmp_path, **limits):
    (tmp_path / "given.model").write_bytes(content)
    words = _child.command("cntk_lab.widgets._model_file", "main", "given.model", **limits)
    with (tmp_path / "given.model").open("rb") as file:
        return subprocess.run(words, stdin=file, capture_output=True, cwd=_child.NOWHERE, check=False, timeout=60)


def test_the_process_answers_in_json_and_by_its_status(content, tmp_path):
    done = started(content, tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout)["graph"]["format"] == "cntk-lab-graph"
    done = started(b"no model", tmp_path)
    assert (done.returncode, list(json.loads(done.stdout))) == (3, ["message"])


@pytest.mark.skipif(sys.platform != "linux", reason="limits of address space are kept by Linux")
def test_a_file_that_needs_more_memory_than_the_process_may_have_is_told_in_words(tmp_path):
    w = C.parameter((8 << 20,), init=np.zeros(8 << 20, np.float32))
    (C.input_variable(8 << 20) * w).save(str(tmp_path / "a.model"))
    done = started((tmp_path / "a.model").read_bytes(), tmp_path, memory=256 << 20)
    assert (done.returncode, json.loads(done.stdout)) == (
        3, {"message": "given.model: it asks for more memory than there is"},
    )  # fmt: skip


def test_any_error_of_a_damaged_file_is_told_in_words(content, monkeypatch, capsys):
    def broken(*_):
        raise KeyError("shape")

    monkeypatch.setattr(_model_file, "_cntk", broken)
    answer = _model_file.read(content, "a.model")
    assert answer == {"error": "a.model: it is damaged or of another format (KeyError: 'shape')"}
    assert "Traceback" in capsys.readouterr().err


def test_the_server_gives_up_on_a_file_that_takes_too_long(content, tmp_path):
    (tmp_path / "a.model").write_bytes(content)
    begun = time.perf_counter()
    with (tmp_path / "a.model").open("rb") as file, server.Reading(file, len(content), "a.model") as reading:
        reading.wait(0.05)
        assert (reading.status, json.loads(b"".join(reading.pieces()))) == (
            422, {"message": "a.model: reading takes longer than 0.05 s; it was given up"},
        )  # fmt: skip
    assert time.perf_counter() - begun < 10
