"""Any graph becomes readable: hosted parameters, folded repeats, groups."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from cntk_lab.widgets import _examples as examples
from cntk_lab.widgets._arrange import MOST_CHILDREN, arrange
from cntk_lab.widgets._snapshot import Tree, check


def arranged(graph):
    return arrange(check(graph))


def by_id(snapshot):
    return {node["id"]: node for node in snapshot["nodes"]}


def test_a_parameter_of_one_user_stands_on_it():
    nodes = by_id(arranged(examples.mlp()))
    assert nodes["h1.W"]["host"] == "h1.times"
    assert nodes["h1.times"]["parameters"] == 784 * 200
    assert nodes["h1"]["parameters"] == 784 * 200 + 200


def test_a_shared_parameter_lies_in_the_block_around_its_users():
    sketch = examples.Sketch("shared")
    x = sketch.node("x", "Input", [2], kind="input")
    sketch.node("outer", "Outer", [2], kind="block")
    sketch.node("inner", "Inner", [2], kind="block", parent="outer")
    w = sketch.node("w", "Parameter", [2, 2], kind="parameter", axes=[])
    a = sketch.node("a", "Times", [2], x, w, parent="inner")
    b = sketch.node("b", "Times", [2], a, w, parent="outer")
    nodes = by_id(arranged(sketch.snapshot(b)))
    assert "host" not in nodes["w"]
    assert nodes["w"]["parent"] == "outer"
    assert nodes["outer"]["parameters"] == 4


def test_equal_layers_in_a_row_fold_and_unlike_ones_do_not():
    result = arranged(examples.mlp(12))
    tree = Tree(result)
    repeats = [node for node in result["nodes"] if node["kind"] == "repeat"]
    # the first layer has other shapes, the last one too
    assert [(node["op"], node["count"], node["name"]) for node in repeats] == [("Dense", 11, "h2 … h12")]
    assert tree.children[None] == ["x", "y", "h1", repeats[0]["id"], "z", "loss"]
    assert tree.children[repeats[0]["id"]] == [f"h{i}" for i in range(2, 13)]
    assert repeats[0]["parameters"] == 11 * (200 * 200 + 200)


def test_a_repeat_of_several_nodes_is_one_unit():
    sketch = examples.Sketch("units")
    at = sketch.node("x", "Input", [4], kind="input")
    for i in range(5):
        at = sketch.node(f"s{i}", "Sin", [4], at)
        at = sketch.node(f"e{i}", "Exp", [4], at)
    nodes = [node for node in arranged(sketch.snapshot(at))["nodes"] if node["kind"] == "repeat"]
    assert [(node["op"], node["count"]) for node in nodes] == [("Sin … Exp", 5)]


def test_residual_units_fold_and_what_leads_out_of_their_middle_forbids_it():
    def network(*, leak):
        sketch = examples.Sketch("residual")
        at = first = sketch.node("x", "Input", [4], kind="input")
        middle = first
        for i in range(4):
            branch = sketch.node(f"r{i}", "ReLU", [4], at)
            at = sketch.node(f"p{i}", "Plus", [4], branch, at)
            middle = at if i == 1 else middle
        end = sketch.node("end", "Splice", [8], at, middle if leak else first)
        return Counter(node["kind"] for node in arranged(sketch.snapshot(end))["nodes"])

    assert network(leak=False)["repeat"] == 1
    assert network(leak=True)["repeat"] == 0


def test_side_by_side_is_no_repeat():
    sketch = examples.Sketch("parallel")
    x = sketch.node("x", "Input", [4], kind="input")
    arms = [sketch.node(f"a{i}", "Sin", [4], x) for i in range(6)]
    kinds = {node["kind"] for node in arranged(sketch.snapshot(*arms))["nodes"]}
    assert kinds == {"input", "function"}


@pytest.mark.parametrize("count", [61, 300, 5000])
@pytest.mark.parametrize("alike", [False, True])
def test_no_level_holds_too_much_and_nothing_is_lost(count, alike):
    graph = examples.chain(count, alike=alike)
    tree = Tree(arranged(graph))
    assert max(map(len, tree.children.values())) <= MOST_CHILDREN
    assert {node["id"] for node in graph["nodes"]} <= set(tree.node)


def test_groups_follow_the_edges():
    tree = Tree(arranged(examples.chain(100)))
    groups = [uid for uid in tree.children[None] if tree.node[uid]["kind"] == "group"]
    assert [tree.node[uid]["name"] for uid in groups][:2] == ["1-10 of 100", "11-20 of 100"]
    assert tree.children[groups[0]] == [f"n{i}" for i in range(10)]


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
