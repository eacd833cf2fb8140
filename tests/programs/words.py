"""What programs and their scripts use beside CNTK's words: numbers, data of a call, and a session that runs calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy.sparse

import cntk_lab as C
from cntk_lab.graph import walk

Array = np.ndarray[Any, Any]


def numbers(shape: tuple[int, ...], seed: int, dtype: Any, scale: float = 1.0) -> Array:
    """Normal numbers of a parameter, small enough that products keep their size."""
    fan = max(1, int(np.prod(shape[:-1]))) if len(shape) > 1 else 1
    return (np.random.default_rng(seed).normal(size=shape) * (scale / np.sqrt(fan))).astype(dtype)


def _rows(shape: tuple[int, ...], kind: str, dtype: Any, random: np.random.Generator) -> Array:
    if kind == "whole":
        return random.integers(0, 3, shape).astype(dtype)
    if kind == "one hot":
        return np.eye(shape[-1], dtype=dtype)[random.integers(0, shape[-1], shape[:-1])]
    values = random.normal(size=shape)
    if kind == "zeros":
        values *= random.random(shape) < 0.4
    if kind == "odd":
        which = random.random(shape)
        values = np.where(which < 0.04, np.inf, np.where(which < 0.08, -np.inf, np.where(which < 0.1, np.nan, values)))
    return values.astype(dtype)


def fed(
    axes: str,
    shape: tuple[int, ...],
    kind: str,
    sparse: bool,
    dtype: Any,
    lengths: Sequence[int],
    seed: tuple[int, ...],
) -> Any:
    """The data of one input in one call: an array of samples, or a list of sequences."""
    random = np.random.default_rng(seed)
    if axes == "batch":
        rows = _rows((len(lengths), *shape), kind, dtype, random)
        return scipy.sparse.csr_matrix(rows) if sparse else rows
    frames = [_rows((n, *shape), kind, dtype, random) for n in lengths]
    return [scipy.sparse.csr_matrix(f) for f in frames] if sparse else frames


def _flat(value: Any) -> Array:
    """A result as one array: sequences behind each other."""
    if isinstance(value, list):
        return np.concatenate([np.asarray(v) for v in value]) if value else np.zeros((0,))
    if scipy.sparse.issparse(value):
        value = value.toarray()
    return np.array(value)


TARGET = 0.3
"""What training brings every value to."""


class Session:
    """A program that is built: each call gives its values by name.

    Args:
        made: name -> Function, of all values of the program.
        outputs: names of what is wanted.
        mode: ``eval``, ``grad`` or ``train``.
        learner: text that makes a learner of ``parameters``.
    """

    def __init__(self, made: Mapping[str, Any], outputs: Sequence[str], mode: str, learner: str) -> None:
        self.names, self.mode = outputs, mode
        self.values = [made[name] for name in outputs]
        self.whole = C.combine(self.values)
        inputs = [v for name, v in made.items() if name.startswith("x")]
        self.parameters = list(self.whole.parameters)
        if mode == "grad":
            self.root = self.values[0]
            used = {id(v) for v in walk.flat_leaves(self.root.outputs)}
            every = [*inputs, *self.parameters]
            self.wrt = [v for v in every if v.needs_gradient and id(v) in used]
        if mode == "train":
            loss = None
            for v in self.values:
                # away from 0: what is centred has no gradient there but rounding, which learners that normalise blow up
                term = C.reduce_sum(C.square(v - TARGET), axis=C.Axis.all_static_axes())
                if any(a.is_sequence_axis for a in term.dynamic_axes):
                    term = C.sequence.reduce_sum(term)
                loss = term if loss is None else loss + term
            self.loss = loss * 0.1
            self.parameters = list(self.loss.parameters)
            scope = {"C": C, "parameters": self.parameters}
            self.trainer = C.Trainer(None, (self.loss, None), [eval(learner, scope)])  # noqa: S307  (drawn text)

    def call(self, data: Mapping[Any, Any]) -> dict[str, Array]:
        """The values of one call: outputs, then gradients, or the loss and the parameters after the step."""
        if self.mode == "grad" and self.wrt:
            mine = {v: data[v] for v in self.root.arguments}
            gradients, value = self.root.grad(mine, wrt=self.wrt, outputs=[self.root.output])
            if len(self.wrt) == 1:
                gradients = {self.wrt[0]: gradients}
            named = {f"gradient {i}": _flat(gradients[v]) for i, v in enumerate(self.wrt)}
            return {"value": _flat(value), **named}
        mine = {v: data[v] for v in self.whole.arguments}
        if self.mode == "train":
            self.trainer.train_minibatch(mine)
            found = {"loss": np.array(self.trainer.previous_minibatch_loss_average)}
            return found | {f"parameter {i}": np.array(p.value) for i, p in enumerate(self.parameters)}
        result = self.whole.eval(mine)
        outputs = self.whole.outputs
        values = [result] if len(outputs) == 1 else [result[v] for v in outputs]
        return {name: _flat(v) for name, v in zip(self.names, values, strict=True)}
