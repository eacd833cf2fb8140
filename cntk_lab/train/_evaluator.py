"""Evaluator: the average of a function over minibatches, without changing anything.

Knows criteria and progress writers, no learners.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from cntk_lab._turn import TURN
from cntk_lab.engine.ask.training import Program
from cntk_lab.errors import GraphError, TrainingError
from cntk_lab.graph import ports
from cntk_lab.graph.function import Function
from cntk_lab.graph.node import edits
from cntk_lab.train._step import criterion_of, evaluate, function_of, is_empty


class Writer(Protocol):
    """What trainers and evaluators tell (see ``logging.progress_print.ProgressWriter``)."""

    def update_training(self, samples: int, loss: Any, metric: Any) -> None:
        """Told of one training minibatch."""

    def update_test(self, samples: int, metric: Any) -> None:
        """Told of one test minibatch."""

    def write_training_summary(self) -> None:
        """Told that an epoch of training ends."""

    def write_test_summary(self) -> None:
        """Told that a test ends."""

    def write(self, key: str, value: float) -> None:
        """Told a name and a number."""


def writers_of(given: Writer | Iterable[Writer] | None) -> list[Writer]:
    """Progress writers in the user's form, as a list: one, several, or None."""
    if given is None:
        return []
    return list(given) if isinstance(given, Iterable) else [given]


class Evaluator:
    """Averages a function (an error, an accuracy) over test minibatches.

    Args:
        eval_function: the function; of several outputs the last one counts, as the metric of a criterion does.
        progress_writers: who is told; one, several or None.

    Raises:
        GraphError: if there is no function.

    Example:
        >>> import cntk_lab as C
        >>> x = C.input_variable(2)
        >>> Evaluator(x * x).test_minibatch({x: [[1, 2], [3, 4]]})
        15.0

    Source: CNTK 2.7 ``eval.Evaluator``.
    """

    def __init__(self, eval_function: Any, progress_writers: Writer | Iterable[Writer] | None = None) -> None:
        if eval_function is None:
            raise GraphError("an evaluator needs a function", fix="give the metric, for example classification_error")
        criterion = criterion_of(eval_function)
        self._metric = criterion.variables[-1]
        self._writers = writers_of(progress_writers)
        self._program: tuple[int, Program] | None = None

    @property
    def evaluation_function(self) -> Function:
        """The function that is averaged."""
        return function_of(self._metric)

    def progress_writers(self) -> list[Writer]:
        """Who is told."""
        return list(self._writers)

    def test_minibatch(self, arguments: Any, device: Any = None, distributed: bool = False) -> float:
        """The average of the function over one minibatch.

        Args:
            arguments: data, as for ``Function.eval``.
            device: not used: the function runs where its parameters are.
            distributed: not used: a process that trains alone has all the data.

        Returns:
            Sum over all elements divided by the number of samples.

        Raises:
            DataError: if the data do not fit the function.
            TrainingError: if the minibatch has no samples.

        Source: CNTK 2.7 ``Evaluator.test_minibatch``.
        """
        del device, distributed
        with TURN:
            program = self._current()
            if is_empty(arguments) and program.arguments:
                raise TrainingError("the test minibatch is empty", fix="stop testing when the source has no more data")
            totals = evaluate(program, arguments)
        metric, samples = totals.loss, totals.samples
        for writer in self._writers:
            writer.update_test(samples, metric)
        return metric / samples if samples else 0.0

    def summarize_test_progress(self) -> None:
        """Tell the writers that a test ends."""
        for writer in self._writers:
            writer.write_test_summary()

    def print_node_timing(self) -> None:
        """Print how long each function took since ``debugging.set_node_timing(True)``."""
        ports.use("print_node_timing")()

    def _current(self) -> Program:
        now = edits()
        if self._program is None or self._program[0] != now or not self._program[1].current:
            self._program = (now, Program(self._metric, None))
        return self._program[1]
