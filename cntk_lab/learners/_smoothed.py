"""A learner's memory for one parameter as checkpoints hold it. Knows no learner."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cntk_lab.errors import LabWarning, TrainingError
from cntk_lab.graph.variable import Parameter
from cntk_lab.learners._declare import Rule
from cntk_lab.tensor.arrays import Storage, to_host
from cntk_lab.tensor.shape import size


def stacked(parameter: Parameter, arrays: Mapping[str, Storage], names: Sequence[str]) -> NDArray[Any]:
    """The arrays of a parameter as checkpoints hold them: one in the parameter's shape, several below each other."""
    if not names:
        return np.zeros((), parameter.type.dtype)
    found = [to_host(arrays[name].array) for name in names]
    if len(found) == 1:
        return np.array(found[0])
    width = parameter.shape[-1] if parameter.shape else 1
    return np.concatenate([a.reshape(-1, width) for a in found])


def written_by(checkpoint: Mapping[str, Any]) -> str:
    """Words that say which learner wrote a checkpoint; empty if it does not say so, as CNTK's do not."""
    name = checkpoint.get("learner")
    return f"; it was written by {name}" if name else ""


def check_writer(
    checkpoint: Mapping[str, Any], rule: Rule, parameters: Sequence[Parameter], stacks: Sequence[NDArray[Any]]
) -> None:
    """Return if a checkpoint's state is that of a learner, or can be taken for it (then with a warning).

    Args:
        checkpoint: dictionary of a learner's checkpoint.
        rule: of the learner that is to go on.
        parameters: of that learner.
        stacks: for each of them, its state in the checkpoint.

    Raises:
        TrainingError: if it is of other parameters, or another learner wrote it, which keeps other numbers.
    """
    if len(stacks) != len(parameters):
        raise TrainingError(
            f"checkpoint: it holds the state of {len(stacks)} parameters, learner {rule.name} has {len(parameters)}",
            fix="restore with the same learners and parameters as at saving",
        )
    name, keeps = str(checkpoint.get("learner") or ""), len(rule.state)
    if name == rule.name:
        return
    # a number alone may be one state of a scalar, or none
    found = {s.size / size(p.shape) if s.ndim else 0 for p, s in zip(parameters, stacks, strict=True) if p.shape}
    if len(found) == 1 and found != {keeps} and next(iter(found)) == int(next(iter(found))):
        who = name or f"a learner that keeps {int(next(iter(found)))} arrays for each parameter"
        raise TrainingError(
            f"checkpoint: it was written by {who}; {rule.name} keeps {keeps}",
            fix=f"restore with {name}" if name else "restore with the learner that it was saved with",
        )
    if name:
        warnings.warn(
            f"the checkpoint was written by {name}; {rule.name} takes its state over as its own", LabWarning, 3
        )


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
