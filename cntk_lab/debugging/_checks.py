"""Checks of what is computed: the first NaN is found where it arises, gradients are compared with differences.

Knows functions and switches.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from cntk_lab import settings
from cntk_lab.errors import ExecutionError
from cntk_lab.graph.function import Function


@contextlib.contextmanager
def nan_watch() -> Iterator[None]:
    """Stop at the first function whose result contains NaN, inside a ``with`` block.

    The error names the function and the ranges of its operands. Everything runs step by step, and slowly.

    Raises:
        ExecutionError: at the first NaN.

    Example:
        >>> import cntk_lab as C
        >>> x = C.input_variable(1)
        >>> with nan_watch():
        ...     C.square(x).eval({x: [[2.0]]}).item()
        4.0

    Source: this project; the idea is that of other frameworks' anomaly detection.
    """
    with settings.option(watch_nan=True):
        yield


def check_gradient(
    function: Function, arguments: Mapping[Any, Any], step: float = 1e-3, tolerance: float = 1e-2
) -> dict[Any, float]:
    """Compare the gradient of a function's sum with differences of its values.

    Args:
        function: with one output.
        arguments: data, as for ``Function.eval``; inputs that need a gradient, and all parameters, are checked.
        step: distance of the values, relative to 1. No unit.
        tolerance: largest difference, relative to the largest element of the gradient (at least 1).

    Returns:
        {parameter: largest difference found}.

    Raises:
        ExecutionError: if a difference is larger than ``tolerance``, naming parameter, element and both numbers.

    Example:
        >>> import cntk_lab as C
        >>> x, w = C.input_variable(2), C.parameter((2,), init=0.5)
        >>> max(check_gradient(C.reduce_sum(C.square(x * w)), {x: [[1, 2]]}).values()) < 1e-2
        True

    Source: this project; central differences.
    """
    parameters = list(function.parameters)
    gradients = function.grad(arguments, wrt=parameters, as_numpy=True)
    if len(parameters) == 1 and not isinstance(gradients, dict):
        gradients = {parameters[0]: gradients}
    worst: dict[Any, float] = {}
    for parameter in parameters:
        kept = parameter.value  # type: ignore[attr-defined]
        gradient = np.asarray(gradients[parameter], np.float64).reshape(kept.shape)
        scale = max(1.0, float(np.abs(gradient).max(initial=0.0)))
        worst[parameter] = 0.0
        try:
            for place in np.ndindex(kept.shape):
                sums = []
                for sign in (1, -1):
                    moved = kept.copy()
                    moved[place] += sign * step
                    parameter.value = moved  # type: ignore[attr-defined]
                    result = function.eval(arguments)
                    parts = result if isinstance(result, list) else [result]
                    sums.append(sum(float(np.sum(part, dtype=np.float64)) for part in parts))
                measured = (sums[0] - sums[1]) / (2 * step)
                error = abs(measured - float(gradient[place])) / scale
                worst[parameter] = max(worst[parameter], error)
                if error > tolerance:
                    raise ExecutionError(
                        f"the gradient of {parameter} at {place} is {float(gradient[place]):.6g}, differences of the "
                        f"function's values say {measured:.6g}",
                        fix="check the backward of user functions on the way; kinks also differ, try other values",
                    )
        finally:
            parameter.value = kept  # type: ignore[attr-defined]
    return worst
