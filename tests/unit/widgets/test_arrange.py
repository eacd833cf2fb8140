"""Any graph becomes readable: hosted parameters, folded repeats, groups."""

from __future__ import annotations

import time
from collections import Counter

import pytest

import cntk_lab as C
from cntk_lab.layers import AttentionModel, Dense
from cntk_lab.widgets import _examples as examples
from cntk_lab.widgets._arrange import MOST_CHILDREN, arrange
from cntk_lab.widgets._snapshot import Tree, check
from cntk_lab.widgets.of_function import snapshot_of


def arranged(graph):
    return arrange(check(graph))


def by_id(snapshot):
    return {node["id"]: node for node in snapshot["nodes"]}


def test_a_parameter_of_one_user_stands_on_it():
    nodes = by_id(arranged(examples.mlp()))
    assert nodes["h1.W"]["host"] == "h1.times"
    assert nodes["h1.times"]["parameters"] == 784 * 200
    assert nodes["h1"]["parameters"] == 784 * 200 + 200


def test_a_shared_parameter_stands_on_each_of_its_users_and_is_counted_once():
    sketch = examples.Sketch("shared")
    x = sketch.node("x", "Input", [2], kind="input")
    sketch.node("outer", "Outer", [2], kind="block")
    sketch.node("inner", "Inner", [2], kind="block", parent="outer")
    w = sketch.node("w", "Parameter", [2, 2], kind="parameter", axes=[])
    a = sketch.node("a", "Times", [2], x, w, parent="inner")
    b = sketch.node("b", "Times", [2], a, w, parent="outer")
    made = arranged(sketch.snapshot(b))
    nodes = by_id(made)
    assert nodes["w"]["host"] == "a"
    assert Tree(made).hosted["a"] == Tree(made).hosted["b"] == ["w"]
    assert nodes["outer"]["parameters"] == 4


def test_equal_layers_in_a_row_fold_and_unlike_ones_do_not():
    result = arranged(examples.mlp(12))
    tree = Tree(result)
    repeats = [node for node in result["nodes"] if node["kind"] == "repeat"]
    # the first layer has other shapes, the last one too
    assert [(node["op"], node["count"], node["name"]) for node in repeats] == [("Dense", 11, "h2 … h12")]
    assert tree.children[None] == ["x", "y", "h1", repeats[0]["id"], "z", "loss", "output:loss"]
    assert tree.children[repeats[0]["id"]] == [f"h{i}" for i in range(2, 13)]
    assert repeats[0]["parameters"] == 11 * (200 * 200 + 200)


def test_a_repeat_of_several_nodes_is_one_unit():
    sketch = examples.Sketch("units")
    at = sketch.node("x", "Input", [4], kind="input")
    for i in range(80):
        at = sketch.node(f"s{i}", "Sin", [4], at)
        at = sketch.node(f"e{i}", "Exp", [4], at)
    made = arranged(sketch.snapshot(at))
    repeat = next(node for node in made["nodes"] if node["kind"] == "repeat")
    assert (repeat["op"], repeat["count"]) == ("Sin + Exp", 80)
    tree = Tree(made)
    units = tree.children[repeat["id"]]
    assert [tree.node[uid]["name"] for uid in units][:2] == ["1 of 80", "2 of 80"]
    assert tree.children[units[1]] == ["s1", "e1"]


def residual(units: int, *, leak: bool = False):
    sketch = examples.Sketch("residual")
    at = first = sketch.node("x", "Input", [4], kind="input")
    middle = first
    for i in range(units):
        branch = sketch.node(f"t{i}", "Tanh", [4], sketch.node(f"s{i}", "Sin", [4], at))
        at = sketch.node(f"r{i}", "ReLU", [4], sketch.node(f"p{i}", "Plus", [4], branch, at))
        middle = at if i == 1 else middle
    return sketch.snapshot(sketch.node("end", "Splice", [8], at, middle if leak else first))


def test_a_level_that_can_be_seen_at_once_stays_as_it_was_written():
    kinds = Counter(node["kind"] for node in arranged(residual(30))["nodes"])
    assert kinds == {"input": 1, "function": 121, "output": 1}


def test_residual_units_of_a_long_row_fold_and_what_leads_out_of_their_middle_forbids_it():
    made = arranged(residual(60))
    # the first one reads the input, which is no unit's value
    repeat = next(node for node in made["nodes"] if node["kind"] == "repeat")
    assert (repeat["op"], repeat["count"]) == ("residual", 59)
    groups = [node for node in made["nodes"] if node["kind"] == "group"]
    assert Tree(made).children[groups[5]["id"]] == ["s6", "t6", "p6", "r6"]
    leaking = arranged(residual(60, leak=True))["nodes"]
    assert not any(node["kind"] == "repeat" and node["count"] == 59 for node in leaking)


def test_a_loop_among_other_nodes_is_one_box_and_says_which_way_it_goes():
    sketch = examples.Sketch("loop")
    x = sketch.node("x", "Input", [4], kind="input", axes=["#", "*"])
    parts = []
    for name, delay in (("a", "PastValue"), ("b", "FutureValue")):
        sketch.node(f"{name}.past", delay, [4])
        sketch.node(name, "LSTM", [4], kind="block", name="")
        cell = sketch.node(f"{name}.plus", "Plus", [4], x, f"{name}.past", parent=name)
        sketch.edge(cell, f"{name}.past", recurrent=True)
        parts.append(cell)
    made = arranged(sketch.snapshot(sketch.node("both", "Splice", [8], *parts)))
    tree = Tree(made)
    groups = [uid for uid in tree.children[None] if tree.node[uid]["kind"] == "group"]
    assert [(tree.node[uid]["op"], tree.node[uid]["name"]) for uid in groups] == [
        ("Recurrence(LSTM)", ""), ("Recurrence(LSTM)", "backwards"),
    ]  # fmt: skip
    assert sorted(tree.children[groups[0]]) == ["a", "a.past"]


def test_the_attention_of_the_library_and_one_by_hand_are_boxes():
    h = C.sequence.input_variable(5, sequence_axis=C.Axis("words"), name="h")
    s = C.sequence.input_variable(7, name="s")
    for mean in (AttentionModel(6, name="look")(h, s), by_hand(h, s)):
        tree = Tree(arranged(snapshot_of(C.tanh(mean))))
        groups = [tree.node[uid] for uid in tree.children[None] if tree.node[uid]["kind"] == "group"]
        assert [(node["op"], node["shape"]) for node in groups] == [("Attention", [5])]
        assert not any(tree.node[uid]["op"] == "Softmax" for uid in tree.children[None])


def by_hand(h, s):
    frames, _ = C.sequence.unpack(h, 0).outputs
    keys = C.sequence.broadcast_as(Dense(5)(frames), s)
    weights = C.softmax(C.reduce_sum(keys * Dense((1, 5))(s), axis=1), axis=0)
    return C.reshape(C.reduce_sum(weights * C.sequence.broadcast_as(frames, s), axis=0), (5,))


def test_a_block_that_computes_nothing_is_not_drawn():
    sketch = examples.Sketch("tuple")
    x = sketch.node("x", "Input", [4], kind="input")
    sketch.node("t", "Tuple", [4], kind="block")
    sin = sketch.node("s", "Sin", [4], x, parent="t")
    sketch.node("empty", "Tuple", [4], kind="block")
    nodes = by_id(arranged(sketch.snapshot(sin)))
    assert set(nodes) == {"x", "s", "output:s"}
    assert nodes["s"]["parent"] is None


def test_every_output_has_a_node_and_very_many_have_one():
    sketch = examples.Sketch("outputs")
    x = sketch.node("x", "Input", [4], kind="input")
    ends = [sketch.node(f"o{i}", "Sin", [4], x, name=f"end {i}") for i in range(12)]
    outputs = [n for n in arranged(sketch.snapshot(*ends[:3]))["nodes"] if n["kind"] == "output"]
    assert [node["name"] for node in outputs] == ["end 0", "end 1", "end 2"]
    assert [n["name"] for n in arranged(sketch.snapshot(*ends))["nodes"] if n["kind"] == "output"] == ["12 outputs"]


def test_side_by_side_is_no_repeat():
    sketch = examples.Sketch("parallel")
    x = sketch.node("x", "Input", [4], kind="input")
    arms = [sketch.node(f"a{i}", "Sin", [4], x) for i in range(6)]
    kinds = {node["kind"] for node in arranged(sketch.snapshot(*arms))["nodes"]}
    assert kinds == {"input", "function", "output"}


@pytest.mark.parametrize("count", [151, 500, 5000])
@pytest.mark.parametrize("alike", [False, True])
def test_no_level_holds_too_much_and_nothing_is_lost(count, alike):
    graph = examples.chain(count, alike=alike)
    tree = Tree(arranged(graph))
    assert max(map(len, tree.children.values())) <= MOST_CHILDREN
    assert {node["id"] for node in graph["nodes"]} <= set(tree.node)


def test_groups_follow_the_edges():
    tree = Tree(arranged(examples.chain(400)))
    groups = [uid for uid in tree.children[None] if tree.node[uid]["kind"] == "group"]
    assert [tree.node[uid]["name"] for uid in groups][:2] == ["1-20 of 400", "21-40 of 400"]
    assert tree.children[groups[0]] == [f"n{i}" for i in range(20)]


def test_the_order_of_nodes_in_a_file_does_not_matter_for_the_order_along_edges():
    graph = examples.mlp()
    graph["nodes"].reverse()
    tree = Tree(arranged(graph))
    order = {uid: i for i, uid in enumerate(tree.children[None])}
    assert order["h1"] < order["h2"] < order["z"] < order["loss"]


def test_a_recurrence_is_arranged_like_any_graph():
    tree = Tree(arranged(examples.tagger()))
    assert tree.children["rnn"] == ["rnn.times", "rnn.past", "rnn.again", "rnn.plus", "rnn.tanh"]


def test_twenty_thousand_nodes_take_seconds_at_most():
    graph = check(examples.chain(20_000))
    start = time.perf_counter()
    arrange(graph)
    assert time.perf_counter() - start < 10


@pytest.mark.parametrize("form", ["side by side", "all are outputs", "an output in the middle"])
def test_no_graph_takes_for_ever(form):
    """Graphs on which the search for repeats finds much that looks alike and nothing that folds."""
    count = 20_000
    sketch = examples.Sketch(form)
    x = at = sketch.node("x", "Input", [2], kind="input")
    for i in range(count):
        at = sketch.node(f"n{i}", "Sin", [2], x if form == "side by side" else at)
    outputs = {"all are outputs": [f"n{i}" for i in range(count)], "an output in the middle": [f"n{count // 2}", at]}
    graph = check(sketch.snapshot(at) | {"outputs": outputs.get(form, [at])})
    start = time.process_time()
    made = arrange(graph)
    assert time.process_time() - start < 15
    assert max(len(children) for children in Tree(made).children.values()) <= MOST_CHILDREN


def test_the_manual_comes_along_for_layers_and_operators_of_files_too():
    sketch = examples.Sketch("words")
    at = sketch.node("x", "Input", [4], kind="input")
    for index, op in enumerate(("Dense", "ReLU", "Relu", "ElementTimes", "CrossEntropyWithSoftmax", "nobody knows")):
        at = sketch.node(f"n{index}", op, [4], at)
    docs = arranged(sketch.snapshot(at))["docs"]
    assert {op: text.split("(")[0] for op, text in docs.items()} == {
        "Dense": "Dense", "ReLU": "relu", "Relu": "relu", "ElementTimes": "element_times",
        "CrossEntropyWithSoftmax": "cross_entropy_with_softmax",
    }  # fmt: skip
