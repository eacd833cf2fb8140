"""Model files become graphs in a process of their own: whole, limited in size and time, with what is wrong in words."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time

import numpy as np
import pytest

import cntk_lab as C
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


def test_the_process_answers_in_one_line_of_json(content):
    command = [sys.executable, "-m", "cntk_lab.widgets._model_file", "a.model"]
    told = subprocess.run(command, input=content, capture_output=True, check=True, timeout=60)
    assert json.loads(told.stdout)["graph"]["format"] == "cntk-lab-graph"


def test_the_server_gives_up_on_a_file_that_takes_too_long(content):
    assert "graph" in asyncio.run(server._read_model(content, "a.model"))
    begun = time.perf_counter()
    answer = asyncio.run(server._read_model(content, "a.model", seconds=0.05))
    assert answer == {"error": "a.model: reading takes longer than 0.05 s; it was given up"}
    assert time.perf_counter() - begun < 10
