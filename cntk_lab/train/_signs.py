"""Signs of what is wrong that data and the values of nodes show: scales, classes, saturation, leaks, labels that tell
nothing.

Looks at arrays and graphs and changes nothing. Knows no runs; the doctor says when to look and tells each sign once.

Sources: LeCun et al. (1998), "Efficient BackProp", for scales of inputs and saturated units; Zhang et al. (2017) for
networks that learn shuffled labels by heart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from cntk_lab.graph import walk
from cntk_lab.graph.node import Node
from cntk_lab.graph.variable import Variable
from cntk_lab.tensor.sparse import is_csr
from cntk_lab.train._history import History

Complaint = tuple[str, str, str]
"""Kind, words, uid of the node."""

SAMPLES: Final = 256
"""Samples to look at."""
LARGE: Final = 30.0
"""Root mean square of a column of inputs above which rates that suit usual networks are far too high."""
SMALL: Final = 1e-2
SATURATED: Final = {"StableSigmoid": (0.01, 0.99), "Sigmoid": (0.01, 0.99), "Tanh": (-0.99, 0.99)}
"""Values outside of which the slope is under a twentieth of the steepest."""
MOSTLY: Final = 0.8
"""Share of the samples for which a unit has to be saturated."""
SATURATED_SHARE: Final = 0.7
"""Share of the units of a layer that has to be."""
ENOUGH: Final = 100
"""Steps before what was learned is judged."""
GUESS: Final = 0.95
"""Part of the loss of guessing that a training which learned anything stays below."""
FAR: Final = 30.0
"""How many times the loss of guessing a training may begin with."""
SURE: Final = 3
"""Equal rows in training and validation that are no chance, where training itself repeats none."""


def together(minibatches: Sequence[Any]) -> Any:
    """Several minibatches as one, if they are dictionaries of arrays or lists; else the last one."""
    last = minibatches[-1]
    if len(minibatches) == 1 or not all(isinstance(m, Mapping) and m.keys() == last.keys() for m in minibatches):
        return last
    joined: dict[Any, Any] = {}
    for key in last:
        parts = [m[key] for m in minibatches]
        if all(isinstance(p, np.ndarray) for p in parts):
            joined[key] = np.concatenate(parts)
        elif all(isinstance(p, list) for p in parts):
            joined[key] = [row for p in parts for row in p]
        elif all(is_csr(p) for p in parts):
            from scipy.sparse import vstack

            joined[key] = vstack(parts, format="csr")
        else:
            return last
    return joined


def given(arguments: Any, variable: Variable) -> Any:
    """The array given for an input; None if it was given in another form."""
    if not isinstance(arguments, Mapping):
        return arguments if isinstance(arguments, np.ndarray) else None
    found = arguments.get(variable, arguments.get(variable.name))
    return found if isinstance(found, np.ndarray) else None


class Places:
    """What of a model is worth a look: where data enter, where they meet the labels, and what squashes in between.

    Args:
        loss: of the training.
    """

    def __init__(self, loss: Variable) -> None:
        order = list(walk.flat_nodes([loss]))
        learned, below = _learned(order)
        self.rectified = [n.outputs[0] for n in order if n.op_name == "ReLU"]
        self.squashed = [n.outputs[0] for n in order if n.op_name in SATURATED and n in below]
        self.entries = _entries(order, learned)
        self.measured = [v for v in self.entries if not v.is_input]
        last = order[-1] if order else None
        self.kind = last.op_name if last is not None else ""
        operands = walk.resolved_inputs(last) if last is not None else []
        self.labels = next((v for v in operands[1:] if v.is_input), None)


def _learned(order: Sequence[Node]) -> tuple[set[int], set[Node]]:
    """Outputs that parameters have a part in, by id; and nodes whose output meets further weights."""
    learned: set[int] = set()
    for node in order:
        if any(v.is_parameter or id(v) in learned for v in walk.resolved_inputs(node)):
            learned.update(map(id, node.outputs))
    wanted: set[int] = set()
    below: set[Node] = set()
    for node in reversed(order):
        operands = walk.resolved_inputs(node)
        if any(id(v) in wanted for v in node.outputs):
            below.add(node)
        if node in below or any(v.is_parameter and len(v.shape) > 1 for v in operands):
            wanted.update(map(id, operands))
    return learned, below


def _entries(order: Sequence[Node], learned: set[int]) -> list[Variable]:
    """What enters the first weights: operands beside a matrix of weights in which no parameter has a part."""
    found = {}
    for node in order:
        operands = walk.resolved_inputs(node)
        if any(v.is_parameter and len(v.shape) > 1 for v in operands):
            for v in operands:
                if not v.is_parameter and not v.is_constant and id(v) not in learned:
                    found[v.uid] = v
    return list(found.values())


def scales(places: Places, arguments: Any, values: Mapping[Variable, Any]) -> list[Complaint]:
    """Inputs that are far from the size that weights and rates are made for."""
    found = []
    for variable in places.entries:
        rows = given(arguments, variable) if variable.is_input else values.get(variable)
        if not isinstance(rows, np.ndarray) or len(rows) < 2 or rows.dtype.kind not in "fiu":
            continue
        flat = rows.reshape(len(rows), -1).astype(np.float64)
        sizes = np.sqrt(np.mean(np.square(flat), axis=0))
        largest, most = float(sizes.max()), float(np.abs(flat).max())
        if largest > LARGE or 0 < most < SMALL:
            name = variable.name or variable.uid
            words = (
                f"numbers that enter the first weights ('{name}') run from {flat.min():.3g} to {flat.max():.3g}, "
                "weights and rates are made for about -1 to 1: scale the inputs (subtract the mean, divide by the "
                "deviation)"
            )
            found.append(("inputs unscaled", words, variable.uid))
    return found


def saturation(places: Places, values: Mapping[Variable, Any], rows_of: Any) -> list[Complaint]:
    """Layers whose units stand at the flat ends of sigmoid or tanh for nearly all samples."""
    found = []
    for variable in places.squashed:
        node = variable.node
        if variable not in values or node is None:
            continue
        rows = rows_of(values[variable])
        low, high = SATURATED[node.op_name]
        if rows.size and len(rows) >= 16:
            flat = ((rows < low) | (rows > high)).reshape(len(rows), -1)
            share = float(np.mean(flat.mean(axis=0) > MOSTLY))
            if share > SATURATED_SHARE:
                words = (
                    f"{share:.0%} of the units of {node.op_name} '{node.name or node.uid}' stand below {low} or above "
                    f"{high} for most of {len(rows)} samples: no gradient passes; scale the inputs, begin with "
                    "smaller weights, or lower the learning rate"
                )
                found.append(("saturated units", words, node.uid))
    return found


def classes(places: Places, arguments: Any) -> list[Complaint]:
    """Labels that are all the same."""
    rows = None if places.labels is None else given(arguments, places.labels)
    if rows is None or len(rows) < 64 or (rows != rows[0]).any():
        return []
    one = f"class {int(np.argmax(rows[0]))}" if rows[0].size > 1 else f"{float(np.ravel(rows[0])[0]):g}"
    words = (
        f"the labels of the last {len(rows)} samples are all the same ({one}): the training sees one class only; "
        "shuffle the data, or look at how they are read"
    )
    assert places.labels is not None
    return [("one class only", words, places.labels.uid)]


def leaks(places: Places, arguments: Any, validation: Sequence[Any]) -> list[Complaint]:
    """Samples that validation has in common with training."""
    for variable in (v for v in places.entries if v.is_input):
        rows = given(arguments, variable)
        if rows is None or rows[0].size < 3:
            continue
        seen = {row.tobytes() for row in np.asarray(rows, np.float32)}
        checked = [given(m, variable) for m in validation]
        held = {row.tobytes() for part in checked if part is not None for row in np.asarray(part, np.float32)}
        common = len(seen & held)
        if common >= SURE and len(seen) == len(rows):
            words = (
                f"{common} of {len(rows)} samples of the training are in the validation data too ('{variable.name}'): "
                "validation leaks and looks better than it is; keep the samples apart"
            )
            return [("validation leaks", words, variable.uid)]
    return []


def guessing(places: Places, arguments: Any, *, centred: bool = True) -> float | None:
    """The loss of who knows the labels' distribution and nothing of the inputs; None if that is not known.

    Args:
        places: of the model.
        arguments: a minibatch.
        centred: whether their mean is known too; else the guess is 0, or each class alike.
    """
    rows = None if places.labels is None else given(arguments, places.labels)
    if rows is None or len(rows) < 64:
        return None
    flat = rows.reshape(len(rows), -1).astype(np.float64)
    if places.kind == "CrossEntropyWithSoftmax":
        if not centred:
            return float(np.log(flat.shape[1]))
        p = flat.mean(axis=0)
        return float(-np.sum(p * np.log(np.where(p > 0, p, 1))))
    if places.kind != "SquaredError":
        return None
    return float((flat.var(axis=0) if centred else np.square(flat).mean(axis=0)).sum())


def begins_far_off(places: Places, arguments: Any, history: History) -> list[Complaint]:
    """Outputs that begin far larger than the labels: the signal grows from layer to layer, and so does its gradient."""
    guess = guessing(places, arguments, centred=False)
    if guess is None or guess < 1e-6 or not history.loss[0] > FAR * guess:
        return []
    words = (
        f"the loss began at {history.loss[0]:.4g}, outputs of 0 would give {guess:.4g}: signal and gradient grow from "
        "layer to layer or step to step; begin with smaller weights, or use normalization"
    )
    return [("exploding gradients", words, "")]


def no_better(history: History, now: float, guess: float | None) -> list[Complaint]:
    """At the end of a training: nothing was learned of the labels, or only by heart.

    Args:
        history: of the training.
        now: loss of the samples that the guess is for.
        guess: loss of guessing.
    """
    if guess is None or guess < 1e-6 or history.step < ENOUGH:
        return []
    best = min((v.loss for v in history.validation), default=None)
    if GUESS * guess <= now < 1.2 * guess:
        words = f"the loss is {now:.4g} after {history.step} steps, guessing without the inputs gives {guess:.4g}"
    elif best is not None and now < 0.7 * guess and best > GUESS * guess:
        words = (
            f"the loss went to {now:.4g} in training, in validation it was never below {best:.4g}, guessing without "
            f"the inputs gives {guess:.4g}: samples are learned by heart"
        )
    else:
        return []
    words += ": inputs tell nothing of the labels; see whether they are paired rightly (labels shuffled?)"
    return [("labels do not follow inputs", words, "")]
