"""The difference of two models: 200 seeded edits, each found for what it is."""

from __future__ import annotations

import copy
import random

import numpy as np
import pytest

from cntk_lab.widgets import _examples as examples
from cntk_lab.widgets._arrange import arrange
from cntk_lab.widgets._compare import compare, merged
from cntk_lab.widgets._snapshot import check

UNARY = ("Sin", "Exp", "Tanh", "ReLU", "Softplus", "Abs")


def network(rng):
    """A random model: layers of blocks, skip connections, operators of two operands, a recurrence."""
    sketch = examples.Sketch("random")
    made = [sketch.node("x", "Input", [8], kind="input")]
    for i in range(rng.randint(6, 14)):
        source = made[-1]
        kind = rng.random()
        if kind < 0.4:
            made.append(sketch.dense(f"d{i}", source, 8, 8))
        elif kind < 0.7:
            made.append(sketch.node(f"u{i}", rng.choice(UNARY), [8], source, factor=rng.randint(0, 3)))
        else:
            made.append(sketch.node(f"b{i}", rng.choice(("Plus", "ElementTimes")), [8], source, rng.choice(made)))
    past = sketch.node("past", "PastValue", [8], offset=1)
    last = sketch.node("last", "Plus", [8], made[-1], past)
    sketch.edge(last, past, recurrent=True)
    return sketch.snapshot(last)


def renamed(graph, rng):
    """The same model under other names and uids."""
    graph = copy.deepcopy(graph)
    names = [f"q{i}" for i in range(len(graph["nodes"]))]
    rng.shuffle(names)
    new = {node["id"]: name for node, name in zip(graph["nodes"], names, strict=True)}
    for node in graph["nodes"]:
        node["id"], node["name"] = new[node["id"]], node["name"] and rng.choice("abc") + node["name"]
        node["parent"] = node["parent"] and new[node["parent"]]
    for edge in graph["edges"]:
        edge["from"], edge["to"] = new[edge["from"]], new[edge["to"]]
    graph["outputs"] = [new[uid] for uid in graph["outputs"]]
    return graph, new


def find(graph, uid):
    return next(node for node in graph["nodes"] if node["id"] == uid)


def data_edges(graph):
    parameters = {node["id"] for node in graph["nodes"] if node["kind"] == "parameter"}
    return [edge for edge in graph["edges"] if edge["from"] not in parameters and not edge["recurrent"]]


def insert(graph, rng):
    edge = rng.choice(data_edges(graph))
    graph["nodes"].append({**copy.deepcopy(find(graph, edge["to"])), "id": "new", "op": "Dropout", "kind": "function"})
    graph["edges"].append({**edge, "from": "new", "port": edge["port"]})
    graph["edges"].append({**edge, "to": "new", "port": 0})
    graph["edges"].remove(edge)


def delete(graph, rng):
    unary = [node["id"] for node in graph["nodes"] if node["op"] in UNARY]
    gone = rng.choice(unary)
    [source] = [edge for edge in graph["edges"] if edge["to"] == gone]
    for edge in graph["edges"]:
        if edge["from"] == gone:
            edge["from"] = source["from"]
    graph["edges"].remove(source)
    graph["nodes"] = [node for node in graph["nodes"] if node["id"] != gone]
    return gone


def rewire(graph, rng):
    order = {node["id"]: i for i, node in enumerate(graph["nodes"])}
    edge = rng.choice([edge for edge in data_edges(graph) if edge["from"] != "x"])
    earlier = [
        node["id"] for node in graph["nodes"]
        if order[node["id"]] < order[edge["from"]] and node["kind"] in ("function", "input")
    ]  # fmt: skip
    edge["from"] = rng.choice(earlier)
    return edge["to"]


def resize(graph, rng):
    target = rng.choice([node for node in graph["nodes"] if node["kind"] in ("parameter", "function")])
    target["shape"] = [n + 3 for n in target["shape"]]
    return target["id"]


def perturb(graph, rng):
    return rng.choice([node["id"] for node in graph["nodes"] if node["kind"] == "parameter"])


def weights_of(graph, moved=None):
    values = {
        node["id"]: np.random.default_rng(i).normal(size=node["shape"])
        for i, node in enumerate(graph["nodes"]) if node["kind"] == "parameter"
    }  # fmt: skip
    if moved is not None:
        values[moved] = values[moved] + 1e-3
    return values


def edited(seed, edit):
    """(before, after, what the edit said, new uid of each old one) of one seeded edit under other names."""
    rng = random.Random(seed)
    while True:
        before = network(rng)
        ops = {node["op"] for node in before["nodes"]}
        if ops & set(UNARY) and "Parameter" in ops:
            break
    after = copy.deepcopy(before)
    said = edit(after, rng)
    after, new = renamed(after, rng)
    return before, after, said, new


@pytest.mark.parametrize("seed", range(40))
def test_an_inserted_node_is_the_only_difference(seed):
    before, after, _, new = edited(seed, insert)
    found = compare(before, after)
    assert found.added == (new["new"],)
    assert (found.removed, found.changes) == ((), ())


@pytest.mark.parametrize("seed", range(40))
def test_a_deleted_node_is_the_only_difference(seed):
    before, after, gone, _ = edited(seed, delete)
    found = compare(before, after)
    assert [find(before, uid)["op"] for uid in found.removed] == [find(before, gone)["op"]]
    assert (found.added, found.changes) == ((), ())


@pytest.mark.parametrize("seed", range(40))
def test_a_rewired_node_is_the_only_difference(seed):
    before, after, target, new = edited(seed, rewire)
    found = compare(before, after)
    assert (found.added, found.removed) == ((), ())
    assert [(change.what, change.after) for change in found.changes] == [("rewired", new[target])]


@pytest.mark.parametrize("seed", range(40))
def test_a_resized_node_is_the_only_difference(seed):
    before, after, target, new = edited(seed, resize)
    found = compare(before, after)
    assert (found.added, found.removed) == ((), ())
    assert [(change.what, change.after) for change in found.changes] == [("resized", new[target])]


@pytest.mark.parametrize("seed", range(40))
def test_moved_weights_are_the_only_difference(seed):
    before, after, target, new = edited(seed, perturb)
    old = weights_of(before)
    moved = {new[uid]: value for uid, value in weights_of(before, moved=target).items()}
    found = compare(before, after, old.get, moved.get)
    assert [(change.what, change.after) for change in found.changes] == [("weights", new[target])]
    assert "by 0.001 at most" in found.changes[0].words
    assert not compare(before, after)


@pytest.mark.parametrize("seed", range(40))
def test_a_mere_renaming_is_no_difference(seed):
    rng = random.Random(seed)
    before = network(rng)
    after, _ = renamed(before, rng)
    found = compare(before, after)
    assert not found
    assert str(found) == "no difference"
    assert len(found.pairs) == sum(node["kind"] != "block" for node in before["nodes"])


def test_the_difference_is_told_in_words():
    before, after = examples.mlp(2), examples.mlp(2)
    find(after, "loss")["attributes"]["axis"] = 0
    find(after, "h2.times")["shape"] = [300]
    assert str(compare(before, after)).splitlines() == [
        "~ h2.times: shape 200 became 300",
        "~ loss: axis: -1 became 0",
    ]


def test_another_layer_is_added_whole():
    found = compare(examples.mlp(2), examples.mlp(3))
    assert found.removed == ()
    assert len(found.added) == 5
    assert found.changes == ()


def test_what_went_is_put_back_into_its_block_and_marked():
    before, after = examples.mlp(2), examples.mlp(2)
    after["nodes"] = [node for node in after["nodes"] if node["id"] != "h2.relu"]
    after["edges"] = [
        {**edge, "from": "h2.plus" if edge["from"] == "h2.relu" else edge["from"]}
        for edge in after["edges"]
        if edge["to"] != "h2.relu"
    ]
    find(after, "loss")["attributes"]["axis"] = 0
    graph = merged(before, after, compare(before, after))
    marked = {node["id"]: (node["change"], node["note"]) for node in graph["nodes"] if "change" in node}
    assert marked == {
        "h2": ("changed", "− ReLU"), "removed:h2.relu": ("removed", ""), "loss": ("changed", "axis: -1 became 0"),
    }  # fmt: skip
    assert find(graph, "removed:h2.relu")["parent"] == "h2"
    assert {(edge["from"], edge["to"]) for edge in graph["edges"] if "removed" in edge["from"] + edge["to"]} == {
        ("h2.plus", "removed:h2.relu"),
        ("removed:h2.relu", "z.times"),
    }


def test_a_layer_that_came_is_one_new_block_and_one_that_went_is_one_block():
    short, long = examples.mlp(2), examples.mlp(3)
    grown = merged(short, long, compare(short, long))
    marked = {node["id"]: node["change"] for node in grown["nodes"] if "change" in node and node["kind"] == "block"}
    assert list(marked.values()) == ["added"]
    shrunk = merged(long, short, compare(long, short))
    gone = [node for node in shrunk["nodes"] if node.get("change") == "removed" and node["parent"] is None]
    assert [(node["op"], node["kind"]) for node in gone] == [("Dense", "block")]
    assert {n["op"] for n in shrunk["nodes"] if n["parent"] == gone[0]["id"]} == {"Times", "Plus", "ReLU", "Parameter"}


def test_what_is_equal_between_differences_is_folded_and_what_is_beside_them_is_not():
    before, after = examples.chain(40), examples.chain(40)
    find(after, "n20")["attributes"]["rate"] = 1
    shown = arrange(check(merged(before, after, compare(before, after))))
    groups = [node for node in shown["nodes"] if node["kind"] == "group"]
    assert [(node["op"], node["name"]) for node in groups] == [("unchanged", "19 nodes"), ("unchanged", "18 nodes")]
    assert {"n19", "n20", "n21"} <= {node["id"] for node in shown["nodes"] if node["parent"] is None}
