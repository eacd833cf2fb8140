"""Shapes that ONNX files leave out are those that ONNX's own runtime finds; names of sizes stay where sizes stay."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cntk_lab.formats.onnx import description, shapes
from cntk_lab.formats.onnx.records import Attribute, Node, Type
from cntk_lab.formats.onnx.snapshot import graph_of
from tests.unit.formats.onnx_bytes import function, graph, model, node, tensor, value

RECORDED = json.loads((Path(__file__).parents[2] / "golden" / "onnx" / "shapes.json").read_text())
"""[operator, opset, attributes, inputs, elements of constant inputs, outputs] as [element type, shape]: what the
reference runtime of onnx 1.23 gave for the format's own examples of single operators."""


def of(op: str, *inputs: Any, numbers: Any = (), opset: int = 17, outputs: int = 1, **attributes: Any) -> list[Any]:
    """Shapes of the outputs of one operator."""
    types = [None if dims is None else Type("tensor", 1, tuple(dims)) for dims in inputs]
    known = [*numbers, *[None] * (len(inputs) - len(numbers))]
    given = tuple(Attribute(k, tuple(v) if isinstance(v, list) else v) for k, v in attributes.items())
    use = Node(op, tuple("abcdefgh"[: len(inputs)]), tuple("xyz"[:outputs]), attributes=given)
    return [t and t.dims for t in shapes.types_of(use, types, known, opset)]


def record_id(row: list[Any]) -> str:
    return f"{row[0]}-{RECORDED.index(row)}"


def found_of(row: list[Any]) -> list[Type | None]:
    """The types that are worked out for a recorded use."""
    op, opset, attributes, inputs, numbers, wanted = row
    plain = {k: v.encode() if isinstance(v, str) else v for k, v in attributes.items()}
    given = tuple(Attribute(k, tuple(v) if isinstance(v, list) else v) for k, v in plain.items())
    names = tuple(f"i{i}" if t is not None else "" for i, t in enumerate(inputs))
    use = Node(op, names, tuple(f"o{i}" for i in range(len(wanted))), attributes=given)
    types = [None if t is None else Type("tensor", t[0], tuple(t[1])) for t in inputs]
    return shapes.types_of(use, types, [None if n is None else tuple(n) for n in numbers], opset)


@pytest.mark.parametrize("row", RECORDED, ids=record_id)
def test_shapes_are_those_of_the_reference_runtime(row):
    for found, want in zip(found_of(row), row[-1], strict=True):
        if found is None or want is None or found.dims is None:
            continue
        assert (found.element, len(found.dims)) == (want[0], len(want[1]))
        assert [d for d, w in zip(found.dims, want[1], strict=True) if d not in (None, w)] == []


def test_most_of_the_recorded_shapes_are_found():
    pairs = [(found, want) for row in RECORDED for found, want in zip(found_of(row), row[-1], strict=True) if want]
    whole = sum(found is not None and found.dims == tuple(want[1]) for found, want in pairs)
    assert whole > 0.9 * len(pairs)


NAMED = [
    ("Relu", [("N", "T", 8)], {}, ("N", "T", 8)),
    ("Add", [("N", 1, 8), ("T", 1)], {}, ("N", "T", 8)),
    ("Add", [("N", 8), (None, 8)], {}, (None, 8)),
    ("Add", [("N", 8), None], {}, None),
    ("Conv", [("N", 3, "H", "W"), (8, 3, 3, 3)], {"pads": [1, 1, 1, 1]}, ("N", 8, "H", "W")),
    ("Conv", [("N", 3, "H", 32), (8, 3, 3, 3)], {}, ("N", 8, None, 30)),
    ("MatMul", [("N", "T", 8), (8, 4)], {}, ("N", "T", 4)),
    ("Gemm", [("N", 8), (4, 8)], {"transB": 1}, ("N", 4)),
    ("Flatten", [("N", 3, 2)], {}, ("N", 6)),
    ("Flatten", [("N", "T", 2)], {}, ("N", None)),
    ("Transpose", [("N", "T", 8)], {"perm": [1, 0, 2]}, ("T", "N", 8)),
    ("Concat", [("N", 3), ("N", 4)], {"axis": 1}, ("N", 7)),
    ("Concat", [("N", 3), ("M", 3)], {"axis": 0}, (None, 3)),
    ("GlobalAveragePool", [("N", 8, "H", "W")], {}, ("N", 8, 1, 1)),
    ("ReduceMean", [("N", "T", 8)], {"axes": [-1], "keepdims": 0}, ("N", "T")),
    ("LSTM", [("T", "N", 8), (2, 16, 8), (2, 16, 4)], {"direction": b"bidirectional"}, ("T", 2, "N", 4)),
    ("NoSuchOperator", [("N", 8)], {}, None),
    ("Conv", [("N", 3), None], {}, ("N", None)),
    ("Conv", [("N", 3, 5), (4, 3)], {}, None),
]


@pytest.mark.parametrize(("op", "inputs", "attributes", "wanted"), NAMED)
def test_names_of_sizes_are_kept_where_the_size_stays(op, inputs, attributes, wanted):
    assert of(op, *inputs, **attributes) == [wanted]


@pytest.mark.parametrize(
    ("wanted", "gives"),
    [
        (("N", -1), ("N", 6)),
        (("N", -1, 4), ("N", None, 4)),
        ((2, 3, -1), (2, 3, "N")),
        ((0, 6), ("N", 6)),
        ((-1, 2, 3), ("N", 2, 3)),
        ((-1,), (None,)),
        ((-1, 6), ("N", 6)),
        ((2, -1), (2, None)),
    ],
)
def test_a_reshape_finds_the_size_that_is_left(wanted, gives):
    assert of("Reshape", ("N", 2, 3), (len(wanted),), numbers=[None, wanted]) == [gives]


def test_shapes_are_followed_through_the_operators_that_compute_them():
    nodes = [
        node("Shape", ["x"], ["s"]), node("Gather", ["s", "zero"], ["n"]), node("Unsqueeze", ["n", "axis"], ["n1"]),
        node("Concat", ["n1", "rest"], ["target"], axis=0), node("Reshape", ["x", "target"], ["y"]),
        node("Softmax", ["y"], ["p"]),
    ]  # fmt: skip
    constants = [tensor(name, np.array(n), 7) for name, n in (("zero", 0), ("axis", [0]), ("rest", [6]))]
    found, _ = graph_of(description.read(model(graph(nodes, [value("x", 1, "N", 2, 3)], [], constants))))
    of_op = {n["op"]: n for n in found["nodes"]}
    assert (of_op["Softmax"]["shape"], of_op["Softmax"]["axes"]) == ([6], ["N"])
    assert of_op["Shape"]["shape"] == [3]
    assert of_op["Model"]["attributes"]["shapes"].startswith("6 worked out here")


def test_shapes_go_through_calls_of_functions():
    twice = function("Twice", ["v"], ["w"], [node("Concat", ["v", "v"], ["w"], axis=1)])
    call = graph([node("Twice", ["x"], ["y"], domain="local"), node("Neg", ["y"], ["z"])], [value("x", 1, "N", 3)])
    found, _ = graph_of(description.read(model(call, [twice])))
    assert next(n["shape"] for n in found["nodes"] if n["op"] == "Concat") == [6]


def test_shapes_of_no_tensor_are_not_given():
    assert of("Unsqueeze", (2,), axes=list(range(70))) == [None]
    assert of("Unsqueeze", (2,), axes=[0, 0]) == [None]
    assert of("Conv", (1, 1, 2, 2), (1, 1, 5, 5)) == [(1, 1, None, None)]
    assert of("Tile", (2**40,), (1,), numbers=[None, (2**40,)]) == [(None,)]
    assert of("Split", (5,), axis=0, split=[2, 3], outputs=3) == [(2,), (3,), None]


def test_what_the_file_says_is_not_changed():
    nodes = [node("Relu", ["x"], ["y"]), node("Neg", ["y"], ["z"])]
    content = model(graph(nodes, [value("x", 1, "N", 3)], [], values=[value("y", 1, "batch", 3)]))
    found, _ = graph_of(description.read(content))
    assert [n["axes"] for n in found["nodes"] if n["op"] in ("Relu", "Neg")] == [["batch"], ["batch"]]
