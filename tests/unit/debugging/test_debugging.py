"""Looking into running models: the dialogue of debug_model, profiles, NaN, gradients."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab import debugging
from cntk_lab.errors import ExecutionError
from cntk_lab.ops import UserFunction, user_function

ONE = np.array([[1, 2]], np.float32)


def _debugged(commands: str, build: Any = None, **options: Any) -> tuple[Any, Any, io.StringIO]:
    x = C.input_variable(2, name="x", needs_gradient=True)
    model = (build or (lambda x: C.exp(x * C.parameter(2, init=2.0, name="w"), name="e")))(x)
    text = io.StringIO()
    return debugging.debug_model(model, io.StringIO(commands), text, **options), x, text


def test_every_function_is_told_forward_and_backward() -> None:
    model, x, text = _debugged("c\n")
    trainer = C.Trainer(model, C.reduce_sum(model), C.sgd(model.parameters, 0.0001))
    trainer.train_minibatch({x: ONE})
    said = [line.split("(")[0].replace(debug_prompt, "") for line in text.getvalue().splitlines() if line.strip()]
    assert said == [
        f"{' forward ':=^80}", "Input", "Parameter", "ElementTimes", "e: Exp",
        f"{' backward ':=^80}", "e: Exp", "ElementTimes", *said[8:],
    ]  # fmt: skip
    assert sorted(said[8:]) == ["Input", "Parameter"]


debug_prompt = "[CNTK forward] >>> "


@pytest.mark.parametrize(
    ("commands", "stops"),
    [("n\nn\nc\n", 3), ("n 2\nc\n", 2), ("c\n", 1), ("u e\nc\n", 2), ("u Exp\nc\n", 2), ("u 'w'\nc\n", 2), ("", 1)],
)
def test_commands_say_where_to_stop_next(commands: str, stops: int) -> None:
    model, x, text = _debugged(commands)
    assert model.eval({x: ONE}).tolist() == np.exp(2 * ONE).tolist()
    assert text.getvalue().count(debug_prompt) == stops


def test_values_are_shown_and_wrong_commands_are_answered_with_help() -> None:
    model, x, text = _debugged("p\ns\nwhat?\nc\n")
    model.eval({x: ONE})
    assert "[[1. 2.]]" in text.getvalue()
    assert "shape (1, 2): 1 to 2, mean 1.5, 0 NaN" in text.getvalue()
    assert debugging.DEBUG_USAGE in text.getvalue()


def test_quitting_calls_what_was_given() -> None:
    class QuitError(Exception):
        pass

    def leave() -> None:
        raise QuitError

    model, x, _ = _debugged("q\n", exit_func=leave)
    with pytest.raises(Exception) as caught:
        model.eval({x: ONE})
    assert isinstance(caught.value, QuitError) or isinstance(caught.value.__cause__, QuitError)


def test_debugged_models_share_their_parameters_and_keep_several_outputs() -> None:
    model, x, _ = _debugged("c\n", lambda x: C.combine([C.exp(x, name="a"), C.relu(x - 1, name="b")]))
    values = model.eval({x: ONE})
    assert np.allclose(sorted(np.asarray(v).ravel().tolist() for v in values.values()), [[0, 1], np.exp(ONE[0])])


def test_the_profiler_writes_a_table_and_a_trace(tmp_path: Path) -> None:
    x = C.input_variable(2)
    model = C.exp(x)
    debugging.start_profiler(tmp_path)
    model.eval({x: ONE})
    debugging.enable_profiler()
    for _ in range(3):
        model.eval({x: ONE})
    debugging.disable_profiler()
    model.eval({x: ONE})
    debugging.stop_profiler()
    trace = json.loads(next(tmp_path.glob("*_detail_.json")).read_text())
    assert len(trace) == 3
    assert all(event["dur"] >= 0 and event["ph"] == "X" for event in trace)
    summary = next(tmp_path.glob("*_summary_.txt")).read_text()
    assert "StdDev" in summary
    assert " 3 " in summary
    debugging.stop_profiler()  # twice is no error


def test_node_timing_is_printed_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    x = C.input_variable(2)
    evaluator = C.eval.Evaluator(C.reduce_sum(x))
    debugging.set_node_timing(True)
    try:
        evaluator.test_minibatch({x: ONE})
        evaluator.print_node_timing()
    finally:
        debugging.set_node_timing(False)
    assert "Description" in capsys.readouterr().out
    evaluator.print_node_timing()
    assert capsys.readouterr().out == ""


def test_the_first_nan_is_found_where_it_arises() -> None:
    class Root(UserFunction):
        def __init__(self, x: Any, name: str = "root") -> None:
            super().__init__([x], name=name)

        def infer_outputs(self) -> list[Any]:
            x = self.inputs[0]
            return [C.output_variable(x.shape, x.dtype, x.dynamic_axes)]

        def forward(self, argument: Any, device: Any = None, outputs_to_retain: Any = None) -> Any:
            with np.errstate(invalid="ignore"):
                return None, np.sqrt(argument)

    x = C.input_variable(2)
    model = user_function(Root(x - 1.5)) * 2
    assert np.isnan(model.eval({x: ONE})[0, 0])
    with (
        debugging.nan_watch(),
        pytest.raises(ExecutionError, match=r"UserFunction\d+: 1 of 2 numbers became NaN") as told,
    ):
        model.eval({x: ONE})
    assert "-0.5 to 0.5, 0 NaN" in str(told.value)


def test_a_wrong_gradient_is_found() -> None:
    class Wrong(UserFunction):
        def __init__(self, x: Any, name: str = "wrong") -> None:
            super().__init__([x], name=name)

        def infer_outputs(self) -> list[Any]:
            x = self.inputs[0]
            return [C.output_variable(x.shape, x.dtype, x.dynamic_axes)]

        def forward(self, argument: Any, device: Any = None, outputs_to_retain: Any = None) -> Any:
            return None, 2 * argument

        def backward(self, state: Any, root_gradients: Any) -> Any:
            return 3 * root_gradients

    x, w = C.input_variable(2), C.parameter(2, init=1.0, name="w")
    with pytest.raises(ExecutionError, match=r"the gradient of .*'w'.* at \(0,\) is 3, differences .* say 2"):
        debugging.check_gradient(user_function(Wrong(x * w)), {x: ONE})
    assert w.value.tolist() == [1, 1]
    assert debugging.check_gradient(C.sin(x * w), {x: ONE})[w] < 1e-3


def test_the_old_file_format_is_written(tmp_path: Path) -> None:
    debugging.save_as_legacy_model(C.exp(C.input_variable(1)), tmp_path / "model.old")
    assert C.load_model(str(tmp_path / "model.old")).eval([[0.0]]).tolist() == [[1.0]]


def test_plans_are_told_at_a_trace_level(capsys: pytest.CaptureFixture[str]) -> None:
    x = C.input_variable(2)
    debugging.set_computation_network_trace_level(1)
    try:
        C.exp(x, name="shown").eval({x: ONE})
    finally:
        debugging.set_computation_network_trace_level(0)
    assert "(shown): " in capsys.readouterr().err
    C.exp(x, name="hidden").eval({x: ONE})
    assert capsys.readouterr().err == ""


def test_one_seed_makes_everything_random_repeatable() -> None:
    x = C.input_variable(50)
    found = []
    for _ in range(2):
        debugging.force_deterministic(3)
        found.append((np.random.rand(), C.random.uniform_like(x).eval({x: np.zeros((1, 50), np.float32)}).tolist()))  # noqa: NPY002
    assert found[0] == found[1]
