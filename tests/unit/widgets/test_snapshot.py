"""What claims to be a graph is read with suspicion."""

from __future__ import annotations

import json

import pytest

from cntk_lab._words import LONGEST
from cntk_lab.errors import FormatError
from cntk_lab.widgets import _examples as examples
from cntk_lab.widgets._snapshot import DEEPEST, Tree, check, plain


def changed(**fields):
    graph = examples.mlp()
    graph["nodes"][0].update(fields)
    return graph


@pytest.mark.parametrize(
    ("graph", "words"),
    [
        ({}, "not a graph of format 'cntk-lab-graph', version 1: format '', version ''"),
        (examples.mlp() | {"version": 7}, "version '7'"),
        (examples.mlp() | {"nodes": None}, "the graph holds no list of nodes or no list of edges"),
        (changed(id=3), "a node of the graph has no id: {"),
        (changed(id="y"), "two nodes of the graph have the same id (21 nodes, 20 ids)"),
        (changed(kind="thing"), "node 'x' is of kind 'thing'; there are: function, input,"),
        (changed(shape="wide"), "a shape is not a list of whole numbers: wide"),
        (changed(attributes=[1]), "the attributes of node 'x' are no table of names and values"),
        (changed(parent="nowhere"), "node 'x' lies in block 'nowhere', which does not exist"),
        (changed(parent="x"), "block 'x' lies inside itself"),
        (examples.mlp() | {"edges": [{"from": "x", "to": "?"}]}, "an edge of the graph leads from or to a node"),
    ],
)
def test_what_is_no_graph_is_refused_in_words(graph, words):
    with pytest.raises(FormatError) as error:
        check(graph)
    assert words in str(error.value)


def test_blocks_too_deep_to_follow_are_refused():
    nodes = [{"id": str(i), "kind": "block", "parent": str(i - 1) if i else None} for i in range(DEEPEST + 1)]
    with pytest.raises(FormatError, match=f"lies {DEEPEST} blocks deep"):
        check(examples.mlp() | {"nodes": nodes, "edges": []})


def test_long_text_is_cut_and_control_characters_are_gone():
    node = check(changed(name="a\x00\x1b[31m" + "b" * 10_000_000))["nodes"][0]
    assert len(node["name"]) == LONGEST
    assert node["name"].startswith("a\ufffd\ufffd[31mb")
    assert node["name"].endswith("…")


def test_attributes_become_plain_json():
    value = plain({"a": float("nan"), "b": [1, (2.5, None)], "c": object, "d": {"e": {"f": {"g": 1}}}})
    text = json.dumps(value, allow_nan=False)
    assert json.loads(text)["a"] == "nan"
    assert json.loads(text)["b"] == [1, [2.5, None]]


def test_an_edge_is_lifted_to_the_closed_block():
    tree = Tree(check(examples.mlp()))
    assert tree.shown("h1.times", set()) == "h1"
    assert tree.shown("h1.times", {"h1"}) == "h1.times"
