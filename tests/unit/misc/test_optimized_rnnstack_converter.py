"""Stacks with all weights in one parameter become layers: equal outputs, trainable, stored in CNTK's format."""

from pathlib import Path

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab.errors import GraphError
from cntk_lab.misc import convert_optimized_rnnstack

INPUTS, HIDDEN = 3, 4
DATA = [np.random.default_rng(2).normal(size=(n, INPUTS)) for n in (4, 1, 3)]


def _stack(cell: str, layers: int, both: bool, dtype: type = np.float64) -> C.Function:
    x = C.sequence.input_variable(INPUTS, dtype, name="x")
    w = C.parameter((C.InferredDimension, HIDDEN), init=C.uniform(0.5, seed=5), dtype=dtype)
    return C.optimized_rnnstack(x, w, HIDDEN, layers, both, cell)


def _ops(f: C.Function) -> set[str]:
    return {node.op_name for node in C.logging.graph.depth_first_search(f.root_function, lambda _: True, depth=-1)
            if hasattr(node, "op_name")}  # fmt: skip


@pytest.mark.parametrize("both", [False, True], ids=["forward", "both"])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnnReLU", "rnnTanh"])
def test_the_layers_give_what_the_stack_gave(cell: str, layers: int, both: bool, tmp_path: Path) -> None:
    stack = _stack(cell, layers, both)
    converted = convert_optimized_rnnstack(stack)
    assert converted.shape == stack.shape == (HIDDEN * (1 + both),)
    assert len(converted.parameters) == (4 if cell == "gru" else 3) * layers * (1 + both)
    wanted = stack.eval({stack.arguments[0]: DATA})
    converted.save(str(tmp_path / "m"))
    for f in (converted, C.load_model(str(tmp_path / "m"))):
        for one, other in zip(f.eval({f.arguments[0]: DATA}), wanted, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-14)


def test_stacks_in_a_model_are_replaced_and_the_rest_is_shared() -> None:
    x = C.sequence.input_variable(INPUTS, name="x")
    weights = [C.parameter((C.InferredDimension, HIDDEN), init=C.uniform(0.5, seed=k)) for k in range(2)]
    before, after = C.layers.Dense(INPUTS), C.layers.Dense(2)
    inner = C.optimized_rnnstack(before(x), weights[0], HIDDEN, 1, recurrent_op="lstm")
    model = after(C.optimized_rnnstack(inner, weights[1], HIDDEN, 2, True, "rnnTanh"))
    converted = convert_optimized_rnnstack(model)
    data = [d.astype(np.float32) for d in DATA]
    for one, other in zip(converted.eval({converted.arguments[0]: data}), model.eval({x: data}), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    assert "OptimizedRNNStack" in _ops(model)
    assert "OptimizedRNNStack" not in _ops(converted)
    assert {p.uid for p in (*before.parameters, *after.parameters)} <= {p.uid for p in converted.parameters}
    assert not {w.uid for w in weights} & {p.uid for p in converted.parameters}


def test_a_converted_stack_has_the_gradients_of_the_stack() -> None:
    stack = _stack("lstm", 1, False)
    converted = convert_optimized_rnnstack(stack)
    x, y = stack.arguments[0], converted.arguments[0]
    of_stack = stack.grad({x: DATA}, wrt=list(stack.parameters)).ravel()
    values = converted.grad({y: DATA}, wrt=list(converted.parameters))
    named = {p.name: v for p, v in values.items()}
    blocks = named["W"].T.reshape(4, HIDDEN, INPUTS)[[0, 2, 1, 3]]
    np.testing.assert_allclose(of_stack[: blocks.size], blocks.ravel(), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(of_stack[-4 * HIDDEN :], named["b"].reshape(4, HIDDEN)[[0, 2, 1, 3]].ravel(), rtol=1e-10)


def test_computed_weights_are_refused() -> None:
    x = C.sequence.input_variable(2)
    stack = C.optimized_rnnstack(x, 2 * C.parameter((32, 4), init=0.1), HIDDEN, 1)
    with pytest.raises(GraphError, match="no numbers"):
        convert_optimized_rnnstack(stack)
