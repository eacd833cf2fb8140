"""Model files are shown by their path: CNTK's as functions, ONNX files as they are, and any two of them compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab import lab
from cntk_lab.errors import FormatError
from cntk_lab.layers import Dense
from tests.unit.formats.onnx_bytes import graph, model, node, tensor, value

pytest.importorskip("anywidget")
W = np.arange(6, dtype=np.float32).reshape(2, 3)


def onnx_file(path: Path, op: str = "Relu", weights: np.ndarray = W) -> Path:
    nodes = [node("Gemm", ["x", "W"], ["h"], "dense"), node(op, ["h"], ["y"])]
    path.write_bytes(model(graph(nodes, [value("x", 1, "N", 3)], [value("y", 1, "N", 2)], [tensor("W", weights)])))
    return path


def test_an_onnx_file_is_shown_with_its_values(tmp_path):
    view = lab.show(onnx_file(tmp_path / "tiny.onnx"))
    assert view.graph["name"] == "tiny"
    assert view.opened == ["Model#1"]
    view.select("Gemm#1")
    answer = view.answer(_asked("Gemm#1"))
    assert [(a.name, a.shape, a.low, a.high) for a in answer.arrays] == [("W", [2, 3], 0.0, 5.0)]


def test_a_cntk_file_is_shown_as_the_function_in_it(tmp_path):
    Dense(2, name="top")(C.input_variable(3, name="x")).save(str(tmp_path / "a.model"))
    view = lab.show(str(tmp_path / "a.model"))
    assert {"Input", "Times", "Plus"} <= {n["op"] for n in view.graph["nodes"]}
    assert view.value(next(iter(view.feed(np.ones(3, np.float32))))).shape == (3,)


def test_two_files_are_compared(tmp_path):
    first = onnx_file(tmp_path / "a.onnx")
    same = lab.show(first, onnx_file(tmp_path / "b.onnx"))
    assert [n for n in same.graph["nodes"] if "change" in n] == []
    trained = lab.show(first, onnx_file(tmp_path / "c.onnx", weights=W + 1))
    assert {(n["name"], n["change"]) for n in trained.graph["nodes"] if "change" in n} >= {("W", "changed")}
    edited = lab.show(first, onnx_file(tmp_path / "d.onnx", op="Tanh"))
    assert {"Relu", "Tanh"} & {n["op"] for n in edited.graph["nodes"] if "change" in n}


def test_a_function_is_compared_with_its_file(tmp_path):
    f = Dense(2)(C.input_variable(3))
    f.save(str(tmp_path / "a.model"))
    view = lab.show(f, tmp_path / "a.model")
    assert [n for n in view.graph["nodes"] if "change" in n] == []


def test_a_file_that_is_not_there_or_damaged_is_told(tmp_path):
    with pytest.raises(FormatError, match="there is no model file"):
        lab.show(tmp_path / "none.onnx")
    (tmp_path / "empty.onnx").write_bytes(b"")
    with pytest.raises(FormatError, match="the file is empty: it has 0 bytes"):
        lab.show(tmp_path / "empty.onnx")
    (tmp_path / "damaged.onnx").write_bytes(b"\x3a\x05\x0a")
    with pytest.raises(FormatError, match=r"damaged\.onnx, byte 0"):
        lab.show(tmp_path / "damaged.onnx")


def _asked(uid: str):
    from cntk_lab.widgets._messages import Inspect

    return Inspect("inspect", uid)
