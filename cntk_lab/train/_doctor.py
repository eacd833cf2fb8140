"""The doctor: says in words what is wrong with a training, and where.

Names the first node that was not finite; sees dead units, gradients that vanish or explode, and learning rates that are
too high or too low. It looks at a minibatch with the parameters of the moment and changes nothing; every complaint is
made once. Knows trainers and histories; no threads and no widgets.

Sources: He et al. (2015) for dead units; Pascanu et al. (2013) for gradients.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from cntk_lab.engine.ask.training import Program
from cntk_lab.graph import walk
from cntk_lab.graph.node import Node
from cntk_lab.graph.variable import Variable
from cntk_lab.tensor.arrays import to_host
from cntk_lab.train._history import Finding, History
from cntk_lab.train._step import evaluate
from cntk_lab.train.trainer import Trainer

FIRST_VISIT: Final = 2.0
"""Seconds of training before the first visit, and at least between two."""
DEAD_SHARE: Final = 0.4
"""Share of a layer's units that must be silent to be told of; in healthy networks a tenth may be."""
DEAD_SAMPLES: Final = 256
VANISHED: Final = 1e-6
"""Mean gradient of a layer, relative to the largest layer's, below which it learns nothing in float32."""
EXPLODED: Final = 100.0
"""Growth of the gradient's norm over its median so far."""
TOO_SLOW: Final = 1e-6
"""Change of the weights in a step, relative to their size."""
WINDOW: Final = 20
EDGES: Final = {
    "Exp": "exp overflows above 88.7 in float32",
    "Sinh": "sinh overflows above 89 in float32",
    "Cosh": "cosh overflows above 89 in float32",
    "Pow": "a negative number has no such power, or the power overflows",
    "Acos": "acos needs numbers from -1 to 1",
    "Asin": "asin needs numbers from -1 to 1",
    "Atanh": "atanh needs numbers between -1 and 1",
    "CosDistance": "a norm overflows",
}
"""Where single operators leave the finite numbers (CNTK's log, square root and quotient never do)."""
OVERFLOW: Final = "a number above 3.4e38 does not fit into float32"


class Doctor:
    """Looks after one training.

    Args:
        trainer: whose training it is.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self._told: set[tuple[str, str]] = set()
        self._visited, self._cost = 0.0, 0.0
        self._silent: dict[str, Any] = {}
        self._seen: dict[str, int] = {}
        self._norms: list[float] = []
        self._before: tuple[int, list[Any]] | None = None
        self._program: Program | None = None

    def due(self, seconds: float, share: int) -> bool:
        """Whether there is time for a visit: it may cost one part in ``share`` of the training, in seconds."""
        return seconds - self._visited > max(FIRST_VISIT, share * self._cost)

    def visit(self, history: History, arguments: Any, seconds: float = 0.0) -> list[Finding]:
        """Everything that is found on a visit and was not told before.

        Args:
            history: so far.
            arguments: a minibatch.
            seconds: of training so far.
        """
        started = time.perf_counter()
        complaints: list[tuple[str, str, str]] = []
        if np.isfinite(history.loss[-1]):
            complaints += self._dead_units(arguments)
            complaints += self._gradients(arguments)
            complaints += self._rate(history)
        found = []
        for kind, words, node in complaints:
            if (kind, node) not in self._told:
                self._told.add((kind, node))
                found.append(Finding(history.step, kind, words, node))
        self._visited, self._cost = seconds, time.perf_counter() - started
        return found

    # --- dead units

    def _dead_units(self, arguments: Any) -> list[tuple[str, str, str]]:
        loss = self._trainer.loss_function.output
        if self._program is None:
            rectified = [n.outputs[0] for n in walk.flat_nodes([loss]) if n.op_name == "ReLU"]
            self._program = Program(loss, None, (), rectified)
        if not self._program.outputs:
            return []
        outputs: Mapping[Variable, Any] = evaluate(self._program, arguments).outputs
        found = []
        for variable, value in outputs.items():
            rows = _rows(value)
            if rows.ndim < 2 or not rows.size:
                continue
            silent = (rows <= 0).all(axis=(0, *range(2, rows.ndim)))
            silent = silent & self._silent.get(variable.uid, True)
            self._silent[variable.uid] = silent
            self._seen[variable.uid] = seen = self._seen.get(variable.uid, 0) + len(rows)
            dead = int(silent.sum())
            if seen >= DEAD_SAMPLES and dead > DEAD_SHARE * silent.size:
                words = (
                    f"{dead} of {silent.size} units of {_called(variable.node)} were 0 for all of {seen} samples: they "
                    "learn nothing any more; a lower learning rate, or leaky_relu, keeps units alive"
                )
                found.append(("dead units", words, variable.node.uid if variable.node else ""))
        return found

    # --- gradients

    def _gradients(self, arguments: Any) -> list[tuple[str, str, str]]:
        weights = [p for p in self._parameters() if len(p.shape) > 1]
        if not weights:
            return []
        gradients = self._trainer.loss_function.grad(arguments, wrt=weights)
        if not isinstance(gradients, Mapping):
            gradients = {weights[0]: gradients}
        sizes = [float(np.sqrt(np.mean(np.square(_dense(gradients[p]))))) for p in weights]
        norm = float(np.sqrt(sum(np.sum(np.square(_dense(gradients[p]))) for p in weights)))
        found = []
        most = max(sizes)
        if not np.isfinite(norm):
            at = next(p for p, size in zip(weights, sizes, strict=True) if not np.isfinite(size))
            found.append(("exploding gradients", f"the gradient of {_titled(at)} is not finite", at.uid))
        elif most > 0 and len(weights) > 2:
            for p, size in zip(weights, sizes, strict=True):
                if size < VANISHED * most:
                    words = (
                        f"the gradient of {_titled(p)} is {size:.1e} on average, of the strongest layer {most:.1e}: "
                        "it vanishes on the way; try relu for sigmoid, batch normalization, or shortcuts"
                    )
                    found.append(("vanishing gradients", words, p.uid))
                    break
        usual = float(np.median(self._norms)) if len(self._norms) >= 3 else None
        self._norms.append(norm)
        if usual and np.isfinite(norm) and norm > EXPLODED * usual:
            words = (
                f"the gradient's norm is {norm:.1e}, {norm / usual:.0f} times the usual {usual:.1e}: it explodes; clip "
                "gradients (gradient_clipping_threshold_per_sample) or lower the learning rate"
            )
            found.append(("exploding gradients", words, weights[int(np.argmax(sizes))].uid))
        return found

    # --- learning rate

    def _rate(self, history: History) -> list[tuple[str, str, str]]:
        values = [np.array(to_host(p.storage.array), np.float64) for p in self._parameters()]
        before, self._before = self._before, (history.step, values)
        count = max(WINDOW, history.step // 20)
        if history.step < 3 * count:
            return []
        loss = np.asarray(history.loss)
        first, now = float(np.mean(loss[:count])), float(np.mean(loss[-count:]))
        whole = loss[: len(loss) // count * count].reshape(-1, count).mean(axis=1)
        best = float(np.nanmin(whole)) if np.isfinite(whole).any() else first
        rate = self._trainer.parameter_learners[0].learning_rate()
        spread = abs(first - best) + 1e-12
        if not np.isfinite(now) or (now > 1.5 * abs(first) and now - best > 2 * spread):
            words = f"the loss was {best:.4g} and is {now:.4g}: the learning rate {rate:g} is too high: rewind"
            return [("learning rate too high", words, "")]
        if before is None or history.step - before[0] < count or now < 0.9 * first:
            return []
        moved = [
            float(np.linalg.norm(b - a) / (np.linalg.norm(b) + 1e-12)) / (history.step - before[0])
            for a, b in zip(before[1], values, strict=True)
        ]
        if max(moved) < TOO_SLOW:
            words = (
                f"weights change by {max(moved):.0e} of their size in a step, and the loss went from {first:.4g} to "
                f"{now:.4g} only: the learning rate {rate:g} is too low"
            )
            return [("learning rate too low", words, "")]
        return []

    def _parameters(self) -> list[Any]:
        return [p for learner in self._trainer.parameter_learners for p in learner.parameters]

    # --- numbers that are not finite

    def first_not_finite(self, arguments: Any, step: int, loss: float) -> Finding:
        """The first node that is not finite, in the step that ``arguments`` are for, with the state before that step.

        Args:
            arguments: the minibatch.
            step: number of the step.
            loss: what its loss was.

        Returns:
            A finding with the uid of the node, and the reason.
        """
        head = f"the loss became {_word(loss)} at step {step}"
        root = self._trainer.loss_function.output
        for p in (v for v in walk.flat_leaves([root]) if v.is_parameter):
            bad = _count_bad(to_host(p.storage.array))  # type: ignore[attr-defined]
            if bad:
                words = (
                    f"{head}: {bad} of {int(np.prod(p.shape))} numbers of {_titled(p)} were not finite after the "
                    f"update of step {step - 1}: its gradient, or the learning rate, is too large"
                )
                return Finding(step, "not finite", words, p.uid)
        for variable in (v for v in walk.flat_leaves([root]) if v.is_input):
            given = arguments.get(variable) if isinstance(arguments, Mapping) else None
            bad = _count_bad(given) if isinstance(given, np.ndarray) else 0
            if bad:
                words = f"{head}: {bad} numbers of the data for {_titled(variable)} are not finite"
                return Finding(step, "not finite", words, variable.uid)
        values = self._values(arguments, root)
        node = _first(values)
        if node is None:
            return Finding(step, "not finite", f"{head}; done again in single nodes, every node is finite")
        return Finding(step, "not finite", f"{head}: {_reason(node, values, arguments)}", node.uid)

    def _values(self, arguments: Any, root: Variable) -> dict[int, tuple[Node, Any]]:
        """Values of every node in training mode, in order of computation: {id of the output: (node, rows)}."""
        nodes = list(walk.flat_nodes([root]))
        wanted = [v for n in nodes for v in n.outputs]
        updates = [u for learner in self._trainer.parameter_learners for u in learner.idle_updates()]
        program = Program(root, None, updates, wanted)
        totals = program.run(program.bind(arguments), [{} for _ in updates])
        return {id(v): (n, totals.outputs[v]) for n in nodes for v in n.outputs}


def _first(values: Mapping[int, tuple[Node, Any]]) -> Node | None:
    """The node where it began: all its operands are finite; in a loop the one with the earliest frame."""
    bad = {key: (node, value) for key, (node, value) in values.items() if _count_bad(value)}
    for node, _ in bad.values():
        if not any(id(v) in bad for v in walk.resolved_inputs(node)):
            return node
    return min(bad.values(), key=lambda entry: _earliest(entry[1]))[0] if bad else None


def _earliest(value: Any) -> int:
    parts = value if isinstance(value, list) else [value]
    return min(int(np.argwhere(~np.isfinite(_dense(part)))[0][0]) for part in parts if _count_bad(part))


def _reason(node: Node, values: Mapping[int, tuple[Node, Any]], arguments: Any) -> str:
    rows = _rows(values[id(node.outputs[0])][1])
    words = f"{_called(node)} is the first node that is not finite ({_count_bad(rows)} of {rows.size} numbers)"
    ranges = []
    for operand in walk.resolved_inputs(node):
        if id(operand) in values:
            value = _rows(values[id(operand)][1])
        elif operand.is_input:
            given = arguments.get(operand) if isinstance(arguments, Mapping) else None
            if not isinstance(given, np.ndarray):
                continue
            value = given
        else:
            value = _dense(to_host(operand.storage.array))  # type: ignore[attr-defined]
        if value.size:
            ranges.append(f"{operand.name or operand.uid} {np.min(value):.4g} … {np.max(value):.4g}")
    if ranges:
        words += f"; its operands: {', '.join(ranges)}"
    if node.op_name in EDGES or np.isinf(rows).any():
        words += f": {EDGES.get(node.op_name, OVERFLOW)}"
    return words


def _called(node: Node | None) -> str:
    if node is None:
        return "a node"
    return f"{node.op_name} '{node.name}'" if node.name else f"{node.op_name} {node.uid}"


def _titled(variable: Variable) -> str:
    return f"'{variable.name}' ({variable.uid})" if variable.name else variable.uid


def _word(value: float) -> str:
    return "NaN" if np.isnan(value) else f"{value:g}"


def _rows(value: Any) -> Any:
    """A value of the engine as one array (rows x static shape), sequences one after the other."""
    if isinstance(value, list):
        return np.concatenate([_dense(part) for part in value]) if value else np.zeros((0,))
    return _dense(value)


def _dense(value: Any) -> Any:
    return np.asarray(value.toarray() if hasattr(value, "toarray") else to_host(value), np.float64)


def _count_bad(value: Any) -> int:
    array = _rows(value)
    return int(array.size - np.isfinite(array).sum())
