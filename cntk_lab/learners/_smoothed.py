"""A learner's memory for one parameter as checkpoints hold it. Knows no learner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cntk_lab.errors import TrainingError
from cntk_lab.graph.variable import Parameter
from cntk_lab.learners._declare import Rule
from cntk_lab.tensor.arrays import Storage, to_host


def stacked(parameter: Parameter, arrays: Mapping[str, Storage], names: Sequence[str]) -> NDArray[Any]:
    """The arrays of a parameter as checkpoints hold them: one in the parameter's shape, several below each other."""
    if not names:
        return np.zeros((), parameter.type.dtype)
    found = [to_host(arrays[name].array) for name in names]
    if len(found) == 1:
        return np.array(found[0])
    width = parameter.shape[-1] if parameter.shape else 1
    return np.concatenate([a.reshape(-1, width) for a in found])


def unstacked(
    parameter: Parameter, arrays: Mapping[str, Storage], rule: Rule, stack: NDArray[Any]
) -> dict[str, NDArray[Any]]:
    """The opposite: an array for each of the rule's states.

    Raises:
        TrainingError: if the stack has another shape than this learner's.
    """
    expected = stacked(parameter, arrays, rule.state).shape
    if stack.shape != expected:
        raise TrainingError(
            f"checkpoint: the state of {parameter} has the shape {stack.shape}, learner {rule.name} needs {expected}",
            fix="restore with the same learners and parameters as at saving",
        )
    if not rule.state:
        return {}
    parts = [stack] if len(rule.state) == 1 else np.split(stack, len(rule.state))
    return {name: part.reshape(parameter.shape) for name, part in zip(rule.state, parts, strict=True)}
