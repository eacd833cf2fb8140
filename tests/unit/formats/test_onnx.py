"""ONNX files become graphs: what they say is shown, what they hide is not run, what is wrong with them is told."""

from __future__ import annotations

import contextlib
import itertools
import json
import time
from pathlib import Path

import numpy as np
import pytest

from cntk_lab.errors import FormatError
from cntk_lab.formats.onnx import description, tensors
from cntk_lab.formats.onnx.records import Limits, Model, Tensor
from cntk_lab.formats.onnx.snapshot import graph_of
from cntk_lab.widgets import _model_file
from cntk_lab.widgets._arrange import arrange
from cntk_lab.widgets._snapshot import check
from tests.unit.formats.onnx_bytes import attribute, function, graph, message, model, node, tensor, type_, value, varint

RESIDUAL = Path(__file__).parents[2] / "golden" / "onnx" / "residual.onnx"
"""Three residual blocks, written by PyTorch 2.13's torch.onnx.export (the exporter that traces scripts)."""
W = np.arange(6, dtype=np.float32).reshape(2, 3)


def drawn(content: bytes, **limits: int) -> dict:
    """{uid: node} of the graph in a file, and "edges" as (from, to, port), recurrent ones with "again" behind."""
    found, _ = graph_of(description.read(content, "a.onnx"), "a.onnx", Limits(**limits))
    assert json.loads(json.dumps(arrange(check(found))))
    edges = [(e["from"], e["to"], e["port"], *(["again"] if e["recurrent"] else [])) for e in found["edges"]]
    return {n["id"]: n for n in found["nodes"]} | {"edges": edges, "outputs": found["outputs"]}


def dense(**more) -> bytes:
    return model(
        graph(
            [node("Gemm", ["x", "W", ""], ["h"], "dense", alpha=0.5, transB=1), node("Relu", ["h"], ["y"])],
            [value("x", 1, "N", 3)], [value("y", 1, "N", 2)], [tensor("W", W)], [value("h", 1, "N", 2)], "tiny",
        ), **more,
    )  # fmt: skip


def test_nodes_tensors_shapes_and_names_are_shown():
    g = drawn(dense())
    assert g["Gemm#1"] == {
        "id": "Gemm#1", "op": "Gemm", "name": "dense", "kind": "function", "shape": [2], "axes": ["N"],
        "dtype": "float32", "parent": "Model#1", "attributes": {"alpha": 0.5, "transB": 1}, "source": None,
        "parameters": 0,
    }  # fmt: skip
    assert (g["Parameter#1"]["name"], g["Parameter#1"]["shape"], g["Parameter#1"]["parameters"]) == ("W", [2, 3], 6)
    assert (g["Input#1"]["shape"], g["Input#1"]["axes"]) == ([3], ["N"])
    assert g["Relu#1"]["name"] == "y"
    assert g["Relu#1"]["attributes"] == {"output of the model": "y"}
    assert g["edges"] == [("Input#1", "Gemm#1", 0), ("Parameter#1", "Gemm#1", 1), ("Gemm#1", "Relu#1", 0)]
    assert g["outputs"] == ["Relu#1"]


def test_the_model_is_a_block_that_says_what_it_says_of_itself():
    facts = [(3, "2.13"), (5, 4), (6, "a <b>doc</b>"), (14, [(1, "author"), (2, "me")]), (99, "a field of the future")]
    g = drawn(dense(fields=facts))
    assert g["Model#1"]["attributes"] == {
        "format": "ONNX, IR version 8", "made by": "tests 2.13", "operators": {"ai.onnx": 17},
        "inputs": ["x: float32 N x 3"], "outputs": ["y: float32 N x 2"], "version": 4, "doc": "a <b>doc</b>",
        "metadata": {"author": "me"},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("dims", "shape", "axes", "words"),
    [
        (("N", 3, "H", "W"), [3, -3, -3], ["N"], "N x 3 x H x W"),
        ((2, None), [2, -1], [], None),
        ((None, 3), [-1, 3], [], None),
        ((), [], [], None),
        ((0, -5), [0, -1], [], None),
        (("batch", "time", 8), [8], ["batch", "time"], None),
    ],
)
def test_named_sizes_in_front_are_axes_and_the_others_keep_their_names(dims, shape, axes, words):
    g = drawn(model(graph([node("Unknown", ["x"], ["y"])], [value("x", 1, *dims)])))
    assert (g["Input#1"]["shape"], g["Input#1"]["axes"]) == (shape, axes)
    assert g["Input#1"]["attributes"].get("dimensions") == words
    assert g["Unknown#1"]["shape"] == [-1]  # nothing in the file says it


def test_other_types_are_shown_in_words():
    sequence = [(1, "s"), (2, [(4, [(1, type_(1, "N"))])])]
    mapping = [(1, "m"), (2, [(5, [(1, 8), (2, type_(7))])])]
    optional = [(1, "o"), (2, [(9, [(1, [(4, [(1, type_(1))])])])])]
    g = drawn(model(graph([], [sequence, mapping, optional])))
    assert [g[f"Input#{i}"]["dtype"] for i in (1, 2, 3)] == [
        "sequence of float32 N", "map from string to int64 scalar", "optional of sequence of float32 scalar",
    ]  # fmt: skip


def test_branches_are_blocks_that_see_the_values_around_them():
    then = graph([node("Add", ["x", "x"], ["t"])], outputs=[value("t")], name="yes")
    other = graph([node("Neg", ["x"], ["e"])], outputs=[value("e")], name="no")
    g = drawn(model(graph(
        [node("If", ["c"], ["y"], "choose", then_branch=then, else_branch=other), node("Relu", ["y"], ["z"])],
        [value("x"), value("c", 9)], [value("z")],
    )))  # fmt: skip
    assert (g["If#1"]["kind"], g["If#1"]["parent"]) == ("block", "Model#1")
    assert (g["then_branch#1"]["parent"], g["Add#1"]["parent"]) == ("If#1", "then_branch#1")
    assert set(g["edges"]) == {
        ("Input#2", "Condition#1", 0), ("Input#1", "Add#1", 0), ("Input#1", "Add#1", 1), ("Input#1", "Neg#1", 0),
        ("Add#1", "Relu#1", 0), ("Neg#1", "Relu#1", 0),
    }  # fmt: skip


def test_a_loop_is_a_block_whose_state_comes_back():
    body = graph(
        [node("Identity", ["go"], ["on"]), node("Mul", ["s", "W"], ["t"])],
        [value("i", 7), value("go", 9), value("s", 1, 2)], [value("on", 9), value("t", 1, 2), value("t", 1, 2)],
    )  # fmt: skip
    g = drawn(model(graph(
        [node("Loop", ["n", "", "x"], ["last", "all"], body=body)],
        [value("n", 7), value("x", 1, 2)], [value("all", 1, None, 2)], [tensor("W", W)],
    )))  # fmt: skip
    places = {g[f"Input#{i}"]["name"]: f"Input#{i}" for i in range(1, 6)}
    assert (g[places["s"]]["kind"], g[places["s"]]["parent"]) == ("placeholder", "Loop#1")
    assert set(g["edges"]) == {
        (places["go"], "Identity#1", 0), (places["s"], "Mul#1", 0), ("Parameter#1", "Mul#1", 1),
        (places["n"], places["i"], 0), (places["x"], places["s"], 2),
        ("Identity#1", places["go"], 0, "again"), ("Mul#1", places["s"], 0, "again"),
    }  # fmt: skip
    assert g["outputs"] == ["Mul#1"]


@pytest.mark.parametrize(
    ("opset", "lengths"),
    [
        (
            8,
            [
                "",
            ],
        ),
        (9, []),
    ],
)
def test_a_scan_keeps_its_states_and_walks_over_the_rest(opset, lengths):
    body = graph(
        [node("Add", ["s", "x"], ["t"])], [value("s"), value("x")], [value("t"), value("t")],
    )  # fmt: skip
    scan = node("Scan", [*lengths, "a", "b"], ["last", "all"], body=body, num_scan_inputs=1)
    g = drawn(model(graph([scan], [value("a"), value("b")], [value("last")]), opset=opset))
    recurrent = [edge for edge in g["edges"] if "again" in edge]
    assert recurrent == [("Add#1", "Input#3", 0, "again")]
    assert {edge[:2] for edge in g["edges"]} >= {("Input#1", "Input#3"), ("Input#2", "Input#4")}


def test_local_functions_are_blocks_at_each_call():
    inner = function("Twice", ["v"], ["w"], [node("Add", ["v", "v"], ["w"])])
    twice = [node("Twice", [a], [b], domain="local") for a, b in ("vm", "mw")]
    outer = function("Four", ["v"], ["w"], twice)
    g = drawn(model(graph([node("Four", ["x"], ["y"], domain="local")], [value("x")], [value("y")]), [outer, inner]))
    assert [(u, g[u]["parent"]) for u in ("Four#1", "Twice#1", "Twice#2", "Add#2")] == [
        ("Four#1", "Model#1"), ("Twice#1", "Four#1"), ("Twice#2", "Four#1"), ("Add#2", "Twice#2"),
    ]  # fmt: skip
    assert set(g["edges"]) == {(a, b, port) for a, b in (("Input#1", "Add#1"), ("Add#1", "Add#2")) for port in (0, 1)}
    assert g["outputs"] == ["Add#2"]


def test_an_attribute_that_a_call_gives_is_named():
    elu = [*node("Elu", ["v"], ["w"]), (5, attribute("alpha", 0, reference="slope"))]
    body = function("f", ["v"], ["w"], [elu])
    g = drawn(model(graph([node("f", ["x"], ["y"], domain="local", slope=2.0)], [value("x")]), [body]))
    assert g["Elu#1"]["attributes"] == {"alpha": "the call's 'slope'"}
    assert g["f#1"]["attributes"] == {"domain": "local", "slope": 2.0}


def test_names_of_pytorch_become_blocks_that_fold():
    found, _ = graph_of(description.read(RESIDUAL.read_bytes(), "residual.onnx"))
    arranged = arrange(check(found))
    blocks = {n["name"]: n for n in arranged["nodes"] if n["kind"] in ("block", "repeat")}
    assert blocks["layers.0 … layers.2"]["count"] == 3
    assert {n["op"] for n in arranged["nodes"] if n["parent"] == blocks["layers.0"]["id"] and "host" not in n} == {
        "Conv", "BatchNormalization", "Relu", "Add",
    }  # fmt: skip
    assert next(n for n in arranged["nodes"] if n["op"] == "Model")["parameters"] == 1098  # 112 + 3 x 312 + 50
    conv = next(n for n in found["nodes"] if n["name"] == "/stem/Conv")
    assert conv["attributes"]["kernel_shape"] == [3, 3]
    assert all("problem" not in n for n in found["nodes"])


def test_modules_beside_nodes_become_blocks_and_say_where_they_were_made():
    trace = 'File "model.py", line 9, in forward\n  File "/lib/site-packages/torch/nn/linear.py", line 5, in forward'
    scope = ": Net/layers: torch.nn.Sequential/layers.0: net.Block/{}: aten"
    nodes = [
        node(op, [a], [b], metadata={"namespace": scope.format(op), "pkg.torch.onnx.stack_trace": trace, "note": "n"})
        for op, a, b in (("Relu", "x", "h"), ("Neg", "h", "y"))
    ]
    g = drawn(model(graph(nodes, [value("x")], [value("y")])))
    assert (g["Block#1"]["name"], g["Block#1"]["parent"]) == ("layers.0", "Model#1")
    assert (g["Relu#1"]["parent"], g["Relu#1"]["source"]) == ("Block#1", "model.py:9")
    assert g["Relu#1"]["attributes"] == {"metadata": {"note": "n"}}


def test_what_nobody_gives_or_two_give_is_a_problem_of_the_node_not_of_the_file():
    g = drawn(model(graph([node("Add", ["x", "missing"], ["y"]), node("Neg", ["x"], ["y"])], [value("x")])))
    assert g["Add#1"]["problem"] == "reads 'missing', which nothing gives"
    assert g["Neg#1"]["problem"] == "gives 'y', which something before it gives already"


def test_nodes_in_no_order_are_connected_all_the_same():
    g = drawn(model(graph([node("Relu", ["h"], ["y"]), node("Neg", ["x"], ["h"])], [value("x")], [value("y")])))
    assert set(g["edges"]) == {("Neg#1", "Relu#1", 0), ("Input#1", "Neg#1", 0)}


def test_tensors_in_other_files_are_named_and_never_opened(tmp_path, monkeypatch):
    (tmp_path / "secret").write_bytes(b"0" * 24)
    monkeypatch.setattr(Path, "open", lambda *_, **__: pytest.fail("a file was opened"))
    outside = [(1, 2), (1, 3), (2, 1), (8, "W"), (14, 1)]
    outside += [(13, [(1, k), (2, v)]) for k, v in (("location", f"{tmp_path}/../secret"), ("offset", "8"))]
    g = drawn(model(graph([node("Gemm", ["x", "W"], ["y"])], [value("x")], tensors=[outside])))
    assert g["Parameter#1"]["attributes"]["values"] == f"values in file '{tmp_path}/../secret', offset 8"
    nowhere = [(1, 2), (2, 1), (8, "V")]
    assert drawn(model(graph([], tensors=[nowhere])))["Parameter#1"]["problem"] == "its values are not in the file"


def test_a_tensor_that_can_be_fed_instead_is_no_input():
    g = drawn(model(graph([node("Relu", ["W"], ["y"])], [value("W", 1, 2, 3)], tensors=[tensor("W", W)])))
    assert "Input#1" not in g
    assert g["Parameter#1"]["attributes"]["replaceable"] == "also an input: what is fed takes its place"


def test_sparse_tensors_and_constants_are_leaves():
    sparse = [(1, tensor("S", np.float32([1, 2]))), (2, tensor("", np.int64([0, 5]), 7)), (3, 100)]
    constant = node("Constant", [], ["c"], value=message(tensor("", np.int64([3, 4]), 7)))
    content = [*graph([constant, node("Reshape", ["S", "c"], ["y"])]), (15, sparse)]
    g = drawn(model(content))
    assert (g["Parameter#1"]["shape"], g["Parameter#1"]["attributes"]) == ([100], {"sparse": "2 values stored"})
    assert (g["Constant#1"]["kind"], g["Constant#1"]["attributes"]) == ("constant", {"value": "int64 2: 3, 4"})
    assert set(g["edges"]) == {("Parameter#1", "Reshape#1", 0), ("Constant#1", "Reshape#1", 1)}


# ---- numbers


@pytest.mark.parametrize(
    ("element", "field", "content", "numbers"),
    [
        (1, 9, np.float32([1.5, -2]).tobytes(), [1.5, -2]),
        (1, 4, np.float32([1.5, -2]).tobytes(), [1.5, -2]),
        (11, 10, np.float64([1e300, 0]).tobytes(), [1e300, 0]),
        (7, 7, varint(-3) + varint(300), [-3, 300]),
        (6, 5, varint(-3) + varint(300), [-3, 300]),
        (3, 5, varint(-3) + varint(100), [-3, 100]),
        (9, 9, b"\x01\x00", [True, False]),
        (13, 11, varint(2**64 - 1) + varint(0), [2**64 - 1, 0]),
        (10, 5, varint(0x3C00) + varint(0xC000), [1, -2]),
        (16, 9, b"\x80\x3f\x00\xc0", [1, -2]),
        (17, 9, b"\x38\xff", [1, np.nan]),
        (17, 9, b"\x7e\x01", [448, 2**-9]),
        (18, 9, b"\x80\x7f", [np.nan, 240]),
        (19, 9, b"\x7c\x7b", [np.inf, 57344]),
        (20, 9, b"\x7f\x80", [57344, np.nan]),
        (24, 9, b"\x7f\xff", [1, np.nan]),
        (21, 9, b"\xf1", [1, 15]),
        (22, 9, b"\xf1", [1, -1]),
        (22, 5, varint(0xF1), [1, -1]),
        (23, 9, b"\x7a", [-1, 6]),
        (25, 9, b"\x0d", [1, 3]),
        (26, 9, b"\x0d", [1, -1]),
        (27, 9, (0x1F | 0x28 << 6).to_bytes(2, "little"), [7.5, -1.0]),
        (28, 5, varint(0x1F) + varint(0x20), [28, -0.0]),
    ],
)  # fmt: skip
def test_every_element_type_and_place_gives_the_numbers_that_were_meant(element, field, content, numbers):
    found = description.read(model(graph([], tensors=[[(1, 2), (2, element), (8, "t"), (field, content)]])))
    array = tensors.array(found.graph.initializers[0])
    assert array is not None
    np.testing.assert_array_equal(array, np.array(numbers, array.dtype))


def test_numbers_that_are_not_packed_are_read_too():
    alone = [(1, 3), (2, 1), (8, "t"), (4, 1.0), (4, 2.0), (4, 3.0)]
    read = description.read(model(graph([], tensors=[alone]))).graph.initializers[0]
    assert read.dims == (3,)
    np.testing.assert_array_equal(tensors.array(read), [1, 2, 3])


def test_long_tensors_come_in_pieces(monkeypatch):
    monkeypatch.setattr(tensors, "CHUNK", 8)
    t = Tensor("", 22, (21,), "raw_data", memoryview(bytes(range(11))))
    assert [len(piece) for piece in tensors.chunks(t)] == [8, 8, 5]
    assert tensors.array(t)[2:6].tolist() == [1, 0, 2, 0]


# ---- damage


def wrong(content: bytes, **limits: int) -> str:
    with pytest.raises(FormatError) as caught:
        graph_of(description.read(content, "a.onnx", Limits(**limits)), "a.onnx", Limits(**limits))
    return str(caught.value)


def test_every_truncation_and_every_changed_byte_is_told_or_read():
    content = dense()
    told = 0
    cut = (content[:n] for n in range(len(content)))
    changed = (
        content[:n] + bytes([content[n] ^ bit]) + content[n + 1 :] for n in range(len(content)) for bit in (1, 8, 128)
    )
    for damaged in itertools.chain(cut, changed):
        with contextlib.suppress(FormatError):
            drawn(damaged)
            continue
        told += 1
    assert told > len(content)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the file is empty: it has 0 bytes"),
        (message([(1, 8)]), "the file holds no graph"),
        (model([(1, [(3, "n")])]), "a node without an operator\n  where: a.onnx, byte 13, under graph.node[0]"),
        (b"\x3a\xff\xff\xff\xff\x0f\x00", "field graph of Model should be 4294967295 bytes long, but only 1 follow"),
        (b"\x3a" + b"\xff" * 11, "a number of more than 10 bytes"),
        (b"\x3b\x00", "field graph of Model has wire type 3, not 2"),
        (model(graph([], tensors=[[(1, 2), (2, 1), (8, "W"), (9, b"1234567")]])),
         "tensor 'W' of shape 2 (float32) needs 8 bytes, but raw_data holds 7"),
        (model(graph([], tensors=[[(1, 2**40), (1, 2**40), (2, 1), (8, "W"), (9, b"1234")]])),
         "needs 4835703278458516698824704 bytes, but raw_data holds 4"),
        (model(graph([], tensors=[[(1, -1), (2, 1), (8, "W")]])), "a tensor with a negative dimension: -1"),
        (model(graph([], tensors=[[(1, 1), (2, 77), (8, "W")]])), "tensor 'W' is of element type 77, which does not"),
        (model(graph([], tensors=[[(1, 1), (2, 1), (8, "W"), (7, varint(1))]])), "int64_data, which is for other"),
        (model(graph([], tensors=[[(1, 1), (2, 1), (9, b"1234"), (4, b"1234")]])), "in more than one field: raw_data"),
        (model(graph([], tensors=[[*((1, 1) for _ in range(65)), (2, 1)]])), "a tensor of 65 dimensions; at most 64"),
        (model(graph([], tensors=[[(1, 1), (2, 7), (8, "W"), (7, b"\x80")]])), "end in the middle of a number"),
        (model(graph([[(4, "Relu"), (1, b"\xff")]])), "a text that is not UTF-8"),
        (model(graph([[(4, "Relu"), (5, [(1, "a"), (20, 99)])]])), "attribute 'a' is of type 99, which does not exist"),
        (model(graph([[(4, "Relu"), (5, [(1, "a"), (20, 4)])]])), "attribute 'a' is of type 4, but its value is miss"),
    ],
)  # fmt: skip
def test_damage_is_named(content, said):
    assert said in wrong(content)


def test_functions_that_call_themselves_or_grow_without_end_are_refused():
    again = function("f", ["v"], ["w"], [node("g", ["v"], ["w"], domain="local")])
    back = function("g", ["v"], ["w"], [node("f", ["v"], ["w"], domain="local")])
    call = graph([node("f", ["x"], ["y"], domain="local")], [value("x")])
    assert "function 'f' calls itself" in wrong(model(call, [again, back]))
    ten = [node(f"f{i + 1}", ["v"], ["w"], domain="local") for i in range(12) for _ in range(10)]
    grown = [function(f"f{i}", ["v"], ["w"], ten[10 * i : 10 * i + 10]) for i in range(12)]
    assert "111,111,111,111 nodes, with those inside of functions" in wrong(model(graph([ten[0]]), grown))
    deep = [function(f"f{i}", ["v"], ["w"], [node(f"f{i + 1}", ["v"], ["w"], domain="local")]) for i in range(60)]
    assert "functions call each other more than 40 deep" in wrong(
        model(graph([node("f0", [], ["w"], domain="local")]), deep)
    )


def test_graphs_inside_graphs_end_at_a_limit():
    inside = graph([node("Relu", ["x"], ["y"])])
    for _ in range(40):
        inside = graph([node("If", ["c"], ["y"], then_branch=inside)])
    assert "messages are nested deeper than 96" in wrong(model(inside))


def test_limits_of_nodes_messages_and_edges_hold():
    many = model(graph([node("Relu", ["x"], [f"y{i}"]) for i in range(11)]))
    assert "more than 10 nodes" in wrong(many, nodes=10)
    assert "more than 8 messages" in wrong(many, messages=8)
    wide = model(graph([node("Sum", ["x"] * 100, ["y"])], [value("x")]))
    assert "the graph has more than 80 edges" in wrong(wide, nodes=10)


def test_a_million_nodes_are_refused_within_seconds():
    one = message([(1, message(node("Relu", ["x"], ["x"])))])
    content = one * 1_000_000
    begun = time.process_time()
    answer = _model_file.read(b"\x3a" + varint(len(content)) + content, "a.onnx")
    assert "more than 100,000 nodes" in answer["error"]
    assert time.process_time() - begun < 20


def test_texts_of_ten_megabytes_and_markup_are_cut_and_stay_texts():
    attack = "<img src=x onerror=alert(1)>"
    content = model(graph([node(attack, ["x"], ["y"], "n" * 10_000_000, note="t" * 10_000_000)], [value(attack)]))
    answer = _model_file.read(content, "a.onnx")
    assert len(json.dumps(answer)) < 10_000
    assert attack in {n["name"] for n in answer["graph"]["nodes"]}


# ---- the viewer


def test_the_viewer_gets_the_graph_and_the_statistics_of_tensors():
    answer = _model_file.read(dense(), "folder/tiny.ONNX")
    assert answer["graph"]["name"] == "tiny"
    assert answer["opened"] == ["Model#1"]
    found = answer["arrays"]["Parameter#1"]
    assert (found["name"], found["shape"], found["low"], found["high"], found["zeros"]) == ("W", [2, 3], 0, 5, 1)
    assert found["image"] == [[0, 1, 2], [3, 4, 5]]


def test_a_damaged_file_is_told_in_words_to_the_viewer():
    assert _model_file.read(dense()[:-9], "a.onnx")["error"].startswith("a.onnx: ")


def test_a_model_without_anything_is_a_model():
    assert isinstance(description.read(model(graph([]))), Model)
