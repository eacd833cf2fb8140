"""User functions in all their forms: operands, outputs, states, cycles, errors in the words of the user."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab.errors import GraphError, NotAvailableError


class Scale(C.UserFunction):  # type: ignore[misc,name-defined]
    """One operand, one output; the state carries the factor to backward."""

    def __init__(self, x: Any, name: str = "scale") -> None:
        super().__init__([x], name=name)
        self.calls: list[str] = []

    def infer_outputs(self) -> Any:
        x = self.inputs[0]
        return [C.output_variable(x.shape, x.dtype, x.dynamic_axes)]

    def forward(self, argument: Any, device: Any = None, outputs_to_retain: Any = None) -> Any:
        self.calls.append("forward")
        return 3, [3 * a for a in argument] if isinstance(argument, list) else 3 * argument

    def backward(self, state: Any, root_gradients: Any) -> Any:
        self.calls.append("backward")
        return [state * g for g in root_gradients] if isinstance(root_gradients, list) else state * root_gradients


class SumAndDifference(C.UserFunction):  # type: ignore[misc,name-defined]
    """Two operands, two outputs."""

    def __init__(self, a: Any, b: Any, name: str = "both") -> None:
        super().__init__([a, b], name=name)

    def infer_outputs(self) -> Any:
        x = self.inputs[0]
        return [C.output_variable(x.shape, x.dtype, x.dynamic_axes) for _ in range(2)]

    def forward(self, arguments: Any, outputs: Any, device: Any = None, outputs_to_retain: Any = None) -> Any:
        a, b = arguments
        outputs[self.outputs[0]], outputs[self.outputs[1]] = a + b, a - b

    def backward(self, state: Any, root_gradients: Any, variables: Any) -> None:
        g, h = (root_gradients[o] for o in self.outputs)
        variables[self.inputs[0]], variables[self.inputs[1]] = g + h, g - h


def test_one_operand_and_a_state() -> None:
    x = C.input_variable(2, needs_gradient=True)
    user = Scale(x)
    f = C.user_function(user) + 1
    assert f.eval({x: [[1, 2]]}).tolist() == [[4, 7]]
    assert f.grad({x: [[1, 2]]}).tolist() == [[3, 3]]
    assert user.calls == ["forward", "forward", "backward"]


def test_sequences_come_as_a_list_of_arrays() -> None:
    x = C.sequence.input_variable(1, needs_gradient=True)
    f = C.user_function(Scale(x))
    assert [v.ravel().tolist() for v in f.eval({x: [[[1], [2]], [[5]]]})] == [[3, 6], [15]]
    assert [v.ravel().tolist() for v in f.grad({x: [[[1], [2]], [[5]]]})] == [[3, 3], [3]]


def test_several_operands_and_outputs_call_backward_once() -> None:
    a, b = C.input_variable(1, needs_gradient=True), C.input_variable(1, needs_gradient=True)
    f = C.user_function(SumAndDifference(a, b))
    total = f.outputs[0] * 2 + f.outputs[1]
    assert total.eval({a: [[5]], b: [[3]]}).tolist() == [[18]]
    gradients = total.grad({a: [[5]], b: [[3]]}, wrt=[a, b])
    assert (gradients[a].tolist(), gradients[b].tolist()) == ([[3]], [[1]])


def test_a_user_function_in_a_cycle_runs_step_by_step() -> None:
    x = C.sequence.input_variable(1)
    p = C.placeholder(shape=(1,))
    f = x + C.user_function(Scale(C.sequence.past_value(p)))
    f.replace_placeholders({p: f.output})
    assert f.eval({x: [[[1], [1], [1]]]})[0].ravel().tolist() == [1.0, 4.0, 13.0]


def test_copies_are_made_by_the_class() -> None:
    x = C.input_variable(1)
    f = C.user_function(Scale(x)) + C.parameter((1,), init=10)
    assert f.clone("clone")([[2]]).tolist() == [[16]]


def test_errors_name_the_class_and_what_it_raised() -> None:
    class Broken(Scale):
        def infer_outputs(self) -> Any:
            raise KeyError("missing")

    with pytest.raises(RuntimeError, match="infer_outputs of the user function Broken raised KeyError"):
        C.user_function(Broken(C.input_variable(1)))


def test_a_second_callback_for_one_name_is_refused() -> None:
    C.Function.register_udf_deserialize_callback("tests.once", lambda inputs, name, state: Scale(inputs[0]))
    with pytest.raises(GraphError, match="already registered"):
        C.Function.register_udf_deserialize_callback("tests.once", lambda inputs, name, state: Scale(inputs[0]))


def test_operators_of_other_engines_have_a_shape_and_no_values() -> None:
    x = C.input_variable(2)
    f = C.custom_proxy_op("quantized", (3,), np.float32, x)
    assert f.shape == (3,)
    with pytest.raises(NotAvailableError, match="'quantized' stands for an operator of another engine"):
        f.eval({x: [[1, 2]]})
