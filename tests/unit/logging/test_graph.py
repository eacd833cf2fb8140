"""Finding things in graphs, and plots: text, Graphviz' language, pictures."""

from pathlib import Path
from typing import Any

import pytest

import cntk_lab as C
from cntk_lab.errors import AttributeValueError, SignatureError
from cntk_lab.graph import ports
from cntk_lab.logging import graph


def _model() -> Any:
    x = C.input_variable((2, 3), name="x")
    first = C.plus(x, C.constant(shape=(2, 3), value=6, name="c"), name="first")
    second = C.times(first, C.parameter((3, 2), init=7, name="w"), name="second")
    label = C.input_variable((), name="label")
    return C.combine([second, C.minus(label, C.constant(1, name="one"), name="minus")], name="all")


@pytest.mark.parametrize("depth", [-1, 0, 1, 5])
def test_a_graph_without_blocks_is_visited_from_the_root_whatever_the_depth(depth: int) -> None:
    names = [thing.name for thing in graph.depth_first_search(_model(), lambda _: True, depth)]
    assert names == ["all", "second", "first", "x", "c", "w", "minus", "label", "one"]


def test_blocks_are_opened_level_by_level() -> None:
    x = C.input_variable(4, name="x")
    model = C.layers.Sequential([C.layers.Dense(3, activation=C.relu, name="d1"), C.layers.Dense(2)])(x)

    def operators(depth: int) -> list[str]:
        return [getattr(t, "op_name", t.name) for t in graph.depth_first_search(model, lambda _: True, depth)]

    assert operators(0) == ["Dense", "W", "b", "Dense", "W", "b", "x"]
    assert operators(1) == ["Dense", "Dense", "W", "b", "x", "Plus", "Times", "W", "b"]
    assert sorted(operators(-1)) == sorted([*["Dense", "Plus", "Times", "W", "b"] * 2, "ReLU", "x"])


def test_things_are_found_by_name_and_uid() -> None:
    model = _model()
    weights = graph.find_by_name(model, "w")
    assert isinstance(weights, C.Parameter)
    assert graph.find_by_uid(model, weights.uid) is weights
    assert graph.find_by_name(model, "nothing") is None
    assert graph.find_by_uid(model, "nothing") is None
    twice = C.relu(C.relu(C.input_variable(1), name="r"), name="r")
    assert len(graph.find_all_with_name(twice, "r")) == 2
    with pytest.raises(AttributeValueError, match=r"2 things have the name 'r'"):
        graph.find_by_name(twice, "r")
    with pytest.raises(SignatureError, match="a int has no graph"):
        graph.find_all_with_name(3, "r")


def test_plot_gives_a_line_for_each_function() -> None:
    assert (
        graph.plot(C.exp(C.relu(C.input_variable(2, name="x"), name="r"), name="e"))
        == "ReLU(x) -> r;\n\nExp(r) -> e;\n"
    )


def test_names_cannot_break_out_of_graphviz_text(tmp_path: Path) -> None:
    path = tmp_path / "graph.dot"
    graph.plot(C.exp(C.input_variable(2, name='a"]; evil [x="\\\n\x00'), name="e"), path)
    text = path.read_text("utf-8")
    assert '[label="a\\"]; evil [x=\\"\\\\ \N{REPLACEMENT CHARACTER}\\nInput" shape=ellipse];' in text
    assert text.count("\n") == 7


def test_pictures_are_drawn_behind_the_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []
    monkeypatch.setitem(ports._sockets, "picture", lambda snapshot, path: drawn.append((snapshot["name"], path)))
    for name in ("g.svg", "g.png", "g.PDF"):
        graph.plot(_model(), tmp_path / name)
    assert drawn == [("all", tmp_path / name) for name in ("g.svg", "g.png", "g.PDF")]
    with pytest.raises(AttributeValueError, match=r'only file extensions "\.svg"'):
        graph.plot(_model(), tmp_path / "g.txt")
