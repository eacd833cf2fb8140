"""What the palette offers: everything in it can be added, and the network stands."""

from __future__ import annotations

from typing import Any

import pytest

from cntk_lab.composer import Composer, palette

INPUTS = {
    "vectors": "C.input_variable(10)", "images": "C.input_variable((4, 8, 8))", "rows": "C.input_variable((2, 8))",
    "volumes": "C.input_variable((2, 5, 5, 5))", "sequences": "C.sequence.input_variable(10)",
    "sequences of rows": "C.sequence.input_variable((3, 8))",
}  # fmt: skip


def with_input(kind: str) -> Composer:
    return Composer(f"import cntk_lab as C\n\nx = {INPUTS[kind]}\nmodel = C.layers.Sequential([\n    C.tanh,\n])(x)\n")


@pytest.mark.parametrize("entry", palette(), ids=lambda e: e["path"])
def test_whatever_is_added_from_the_palette_works_as_it_is(entry: dict[str, Any]) -> None:
    wrong = {}
    for kind in INPUTS:
        composer = with_input(kind)
        composer.add(entry["path"])
        if not composer.problems:
            return
        wrong[kind] = composer.problems[0].message
    pytest.fail(f"{entry['name']}: {wrong}")


@pytest.mark.parametrize("name", ["Dense", "Dropout", "Embedding", "LSTM", "GRU", "RNNStep", "BatchNormalization"])
def test_common_layers_work_behind_a_sequence(name: str) -> None:
    composer = with_input("sequences")
    composer.add(name)
    assert composer.problems == ()
    assert composer.code.count("Recurrence(") == (name in ("LSTM", "GRU", "RNNStep"))


def test_an_operator_of_two_values_takes_the_selected_one_twice_until_it_is_connected() -> None:
    composer = with_input("vectors")
    composer.add("plus")
    assert "C.plus(x, x)" in composer.code
    assert composer.model.shape == (10,)


def test_old_names_and_parts_of_layers_are_understood_but_not_offered() -> None:
    names = {e["path"] for e in palette()}
    assert not names & {"layers.RNNUnit", "batch_normalization", "optimized_rnnstack", "sequence.where"}
    assert {"layers.Dense", "layers.LSTM", "relu", "plus", "sequence.last", "input_variable"} <= names
    assert Composer("import cntk_lab as C\nx = C.input_variable(3)\nmodel = C.alias(x)\n").problems == ()


def test_statistics_behind_images_are_those_of_channels() -> None:
    composer = with_input("images")
    first = composer.add("BatchNormalization")
    composer.insert("BatchNormalization", composer.find("tanh"), first)
    assert composer.code.count("C.layers.BatchNormalization(map_rank=1)") == 2
    assert composer.total["parameters"] == 2 * 8
    vectors = with_input("vectors")
    vectors.add("BatchNormalization")
    assert "C.layers.BatchNormalization()" in vectors.code
