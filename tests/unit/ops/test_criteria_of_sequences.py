"""LambdaRank, NDCG, edit distance, CTC and recurrent stacks: CNTK 2.7's numbers, and formulas written out by hand."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab.errors import DataError, ShapeError

# what real CNTK 2.7 printed: scores, gains, groups; loss, gradient, NDCG at 1
RANKED = [
    ([1, 2, 3], [3, 1, 0], [1, 1, 1], 123.935192, [-0.4165958, -0.0215860, 0.4381818], 0.0),
    ([1, 2, 3, 4, 2], [3, 1, 0, 2, 2], [1, 1, 1, 2, 2], 103.27935, [-0.4165958, -0.0215860, 0.4381818, 0, 0], 250.0),
    ([0.5, -1, 3, 2], [1, 0, 2, 1], [1, 1, 3, 3], 0.0, [-0.0673278, 0.0673278, -0.0377275, 0.0377275], 400.0),
    ([1, 2, 3], [0, 0, 0], [1, 1, 1], 300.0, [0, 0, 0], 0.0),
]

# tokens of both operands, attributes, value
EDITED = [
    ([0, 1, 2], [0, 2, 2], {}, 1.0),
    ([0, 1, 2, 3], [1, 2, 3, 0], {}, 2.0),
    ([0, 1, 2, 3], [1, 2, 3, 0], {"subPen": 0.4}, 4.0),
    ([0, 0, 1, 2, 2], [0, 1, 1, 1, 3], {"squashInputs": True}, 5 / 3),
    ([0, 1, 2, 3], [1, 2, 3, 0], {"tokensToIgnore": [2]}, 8 / 3),
    ([0, 1, 2], [2, 2, 2], {"tokensToIgnore": [2]}, np.inf),
]


@pytest.mark.parametrize(("scores", "gains", "groups", "loss", "gradient", "ndcg"), RANKED)
def test_ranks_are_weighed_as_in_cntk(
    scores: Any, gains: Any, groups: Any, loss: float, gradient: Any, ndcg: float
) -> None:
    s, g, q = (C.input_variable(1, needs_gradient=i == 0) for i in range(3))
    data = {v: np.array(d, np.float32).reshape(-1, 1) for v, d in ((s, scores), (g, gains), (q, groups))}
    f = C.losses.lambda_rank(s, g, q)
    assert f.eval(data) == pytest.approx(loss, abs=1e-3)
    assert f.grad(data, wrt=[s]).ravel() == pytest.approx(gradient, abs=1e-6)
    assert C.metrics.ndcg_at_1(s, g, q).eval(data) == ndcg


@pytest.mark.parametrize(("a", "b", "attributes", "expected"), EDITED)
def test_edits_are_counted_on_the_cheapest_way(a: Any, b: Any, attributes: dict[str, Any], expected: float) -> None:
    x, y = C.sequence.input_variable(4), C.sequence.input_variable(4)
    value = C.metrics.edit_distance_error(x, y, **attributes).eval({x: [np.eye(4)[a]], y: [np.eye(4)[b]]})
    assert float(value) == pytest.approx(expected)


def collapsed(path: tuple[int, ...], blank: int) -> list[int]:
    """What a path of tokens says: runs as one, blanks left out."""
    return [t for i, t in enumerate(path) if t != blank and (i == 0 or t != path[i - 1])]


@pytest.mark.parametrize("tokens", [[0], [0, 1], [1, 1], [0, 1, 0]])
def test_ctc_sums_over_all_paths(tokens: list[int]) -> None:
    frames, blank = 4, 2
    scores = np.random.default_rng(len(tokens)).normal(size=(frames, 3))
    labels = np.zeros((frames, 3))
    for t in range(frames):
        labels[t, tokens[min(t, len(tokens) - 1)]] = 2 if t < len(tokens) else 1
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    likelihood = sum(
        float(np.prod(p[np.arange(frames), path]))
        for path in product(range(3), repeat=frames)
        if collapsed(path, blank) == tokens
    )
    g, x = (
        C.sequence.input_variable(3, dtype=np.float64),
        C.sequence.input_variable(3, dtype=np.float64, needs_gradient=True),
    )
    loss = C.forward_backward(C.labels_to_graph(g), x, blankTokenId=blank)
    data = {g: [labels], x: [scores]}
    assert float(loss.eval(data)) == pytest.approx(-np.log(likelihood))
    gradient = loss.grad(data, wrt=[x])[0]
    assert gradient.sum(axis=1) == pytest.approx(np.zeros(frames), abs=1e-9)
    nudged = scores.copy()
    nudged[1, 0] += 1e-5
    assert (float(loss.eval({g: [labels], x: [nudged]})) - float(loss.eval(data))) / 1e-5 == pytest.approx(
        gradient[1, 0], abs=1e-4
    )


CTC_OBSERVED = json.loads((Path(__file__).parent / "ctc_observed.json").read_text())


@pytest.mark.parametrize("number", range(len(CTC_OBSERVED)))
def test_ctc_with_late_tokens_and_blank_labels_as_observed(number: int) -> None:
    """CNTK 2.7's own losses and gradients, for several delays; some of the labels are the blank token."""
    case = CTC_OBSERVED[number]
    labels, scores = np.array(case["labels"], np.float32), np.array(case["scores"], np.float32)
    for delay, expected, slopes in zip(case["delays"], case["losses"], case["gradients"], strict=True):
        g, x = C.sequence.input_variable(4), C.sequence.input_variable(4, needs_gradient=True)
        loss = C.forward_backward(C.labels_to_graph(g), x, blankTokenId=case["blank"], delayConstraint=delay)
        found, value = loss.grad({g: [labels], x: [scores]}, wrt=[x], outputs=[loss])
        assert float(value) == pytest.approx(expected, rel=1e-5), f"delay {delay}"
        np.testing.assert_allclose(np.ravel(found[0]), slopes, atol=2e-4)


def test_labels_and_features_of_unequal_length_are_told() -> None:
    g, x = C.sequence.input_variable(3), C.sequence.input_variable(3)
    labels = np.array([[2, 0, 0], [0, 2, 0], [0, 1, 0], [0, 0, 2]])
    with pytest.raises(DataError, match="lengths"):
        C.forward_backward(g, x, blankTokenId=2).eval({g: [labels], x: [np.zeros((3, 3))]})


def test_labels_without_a_token_are_told() -> None:
    g, x = C.sequence.input_variable(2), C.sequence.input_variable(2)
    with pytest.raises(DataError, match="labels of a sequence have no token"):
        C.forward_backward(g, x, blankTokenId=1).eval({g: [[[1, 0]]], x: [[[0, 0]]]})


def by_hand(frames: Any, flat: Any, hidden: int) -> Any:
    """One layer of cuDNN's LSTM: gates i, f, g, o; two biases."""
    inputs = frames.shape[1]
    sizes = [4 * hidden * inputs, 4 * hidden * hidden, 4 * hidden, 4 * hidden]
    w, r, b, b2 = np.split(flat, np.cumsum(sizes)[:-1])
    h = c = np.zeros(hidden)
    result = []
    for x in frames:
        i, f, g, o = np.split(w.reshape(-1, inputs) @ x + r.reshape(-1, hidden) @ h + b + b2, 4)
        c = c / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
        h = np.tanh(c) / (1 + np.exp(-o))
        result.append(h)
    return np.array(result)


def test_a_stack_computes_cudnns_cell() -> None:
    rng = np.random.default_rng(0)
    x = C.sequence.input_variable(2, dtype=np.float64)
    weights = C.parameter((C.InferredDimension, 4), init=0.1, dtype=np.float64)
    f = C.optimized_rnnstack(x, weights, hidden_size=4, num_layers=1)
    assert weights.shape == (32, 4)
    weights.value = rng.normal(size=(32, 4)) / 2
    data = [rng.normal(size=(n, 2)) for n in (3, 1, 5)]
    for found, frames in zip(f.eval({x: data}), data, strict=True):
        assert found == pytest.approx(by_hand(frames, weights.value.ravel(), 4))


@pytest.mark.parametrize(
    ("cell", "layers", "both", "shape"),
    [
        ("lstm", 2, True, (176, 4)),
        ("gru", 1, False, (24, 4)),
        ("rnnTanh", 2, False, (18, 4)),
        ("rnnReLU", 1, True, (16, 4)),
    ],
)
def test_stacks_have_as_many_weights_as_cntks(cell: str, layers: int, both: bool, shape: tuple[int, int]) -> None:
    weights = C.parameter((C.InferredDimension, 4))
    f = C.optimized_rnnstack(C.sequence.input_variable(2), weights, 4, layers, both, cell)
    assert (weights.shape, f.shape) == (shape, (8,) if both else (4,))


def test_inferred_weights_have_a_column_for_each_hidden_unit_as_in_cntk() -> None:
    weights = C.parameter((C.InferredDimension, 3))
    f = C.optimized_rnnstack(C.sequence.input_variable(3), weights, 4, 2, True, "lstm")
    assert weights.shape == (184, 4)
    expected = {"hiddenSize": 4, "numLayers": 2, "bidirectional": True, "recurrentOp": "lstm"}
    assert f.root_function.attributes == expected


def test_weights_of_another_number_are_told() -> None:
    with pytest.raises(ShapeError, match=r"\[5 x 4\] do not hold 128 numbers"):
        C.optimized_rnnstack(C.sequence.input_variable(2), C.parameter((5, 4)), 4, 1)


@pytest.mark.parametrize(
    "shapes", [((3,), (3, 3), (3, 3)), ((3, 3), (3,), (3, 3)), ((3,), (3,), (1,)), ((3,), (3,), ())]
)
def test_a_weighted_cross_entropy_of_different_shapes_is_refused_while_it_is_built(shapes):
    with pytest.raises(ShapeError, match="weighted_binary_cross_entropy: the output has the shape"):
        C.weighted_binary_cross_entropy(*map(C.input_variable, shapes))
