"""What layers cost for one sample, by numbers that can be checked by hand."""

from __future__ import annotations

import pytest

from cntk_lab.composer import Composer

IMAGE, VECTOR, FRAMES = "C.input_variable((1, 28, 28))", "C.input_variable(100)", "C.sequence.input_variable(8)"


@pytest.mark.parametrize(
    ("given", "layer", "parameters", "operations", "size"),
    [
        (VECTOR, "C.layers.Dense(10)", 1010, 2 * 100 * 10 + 10, 40),
        (VECTOR, "C.layers.Dense(10, bias=False, activation=C.relu)", 1000, 2 * 100 * 10 + 10, 40),
        (IMAGE, "C.layers.Convolution2D((3, 3), 16, pad=True)", 160, 16 * 784 * (2 * 9 + 1), 16 * 784 * 4),
        (IMAGE, "C.layers.MaxPooling((2, 2), 2)", 0, 196 * 4, 196 * 4),
        (IMAGE, "C.relu", 0, 784, 784 * 4),
    ],
)
def test_operations_are_counted_from_shapes(given, layer, parameters, operations, size) -> None:
    composer = Composer(f"import cntk_lab as C\n\nx = {given}\nmodel = C.layers.Sequential([\n    {layer},\n])(x)\n")
    (uid,) = [n["id"] for n in composer.graph["nodes"] if n["kind"] == "function"]
    assert composer.costs[uid] == {"parameters": parameters, "operations": operations, "bytes": size}
    assert composer.total["parameters"] == parameters


def test_a_recurrence_costs_what_its_cell_does_in_one_frame() -> None:
    composer = Composer(f"import cntk_lab as C\n\nx = {FRAMES}\nmodel = C.layers.Recurrence(C.layers.LSTM(16))(x)\n")
    cost = composer.costs[composer.find("Recurrence")]
    products = 2 * (8 + 16) * 64
    assert cost["parameters"] == (8 + 16) * 64 + 64
    assert products < cost["operations"] < products + 20 * 64


def test_a_group_costs_what_is_in_it_and_a_broken_network_nothing() -> None:
    composer = Composer()
    for _ in range(3):
        composer.add("Dense")
    group = next(n["id"] for n in composer.graph["nodes"] if n["kind"] == "group")
    assert composer.costs[group]["operations"] == 3 * 210 == composer.total["operations"]
    composer.set(composer.find("Dense"), shape=-1)
    assert composer.total == {}
