"""A cell that trains a composed network: loss, data and learner that suit its inputs and its output.

It is a beginning to be read and changed: where no known data set fits, numbers are made up and the cell says so.
"""

from __future__ import annotations

from typing import Final

from cntk_lab._words import in_python
from cntk_lab.errors import GraphError
from cntk_lab.graph.function import Function
from cntk_lab.graph.variable import Variable

_SETS: Final = {((1, 28, 28), 10): "mnist", ((784,), 10): "mnist"}
"""Data sets by the shapes of input and output that they suit."""


def training_cell(model: Function, source: str) -> str:
    """Python that trains the network and shows the monitor.

    Args:
        model: the network.
        source: an expression that gives it, such as ``composer.model``.

    Raises:
        GraphError: if it has not one output, or no input.
    """
    if len(model.outputs) != 1 or not model.arguments:
        raise GraphError(
            f"the network has {len(model.outputs)} outputs: what is to be small is not known",
            fix="give lab.train a loss of your own; notebook 206 trains a pair of networks",
        )
    target = model.output
    classes = len(target.shape) == 1 and target.shape[0] > 1
    known = _SETS.get((model.arguments[0].shape, target.shape[0] if classes else 0))
    known = known if len(model.arguments) == 1 and len(target.dynamic_axes) == 1 else None
    lines = [
        "import numpy as np", "import cntk_lab as C", "from cntk_lab import lab", "", f"model = {source}",
        f'label = C.input_variable({_shape(target)}, dynamic_axes=model.dynamic_axes, name="label")',
    ]  # fmt: skip
    if classes:
        lines += ["loss = C.cross_entropy_with_softmax(model, label)", "error = C.classification_error(model, label)"]
    else:
        lines += ["loss = error = C.squared_error(model, label)"]
    lines += _known(known, model.arguments[0]) if known else _made_up(model, target, classes=classes)
    lines += [
        "learner = C.adam(loss.parameters, 0.001, 0.9)",
        "run = lab.train((loss, error), data, learner, model=model, minibatch_size=64, max_epochs=3)", "run",
    ]  # fmt: skip
    if any(v.is_sparse for v in model.arguments):
        lines.insert(1, "import scipy.sparse")
    return "\n".join(lines)


def _shape(v: Variable) -> str:
    return str(v.shape[0]) if len(v.shape) == 1 else repr(tuple(v.shape))


def _known(name: str, argument: Variable) -> list[str]:
    shape = ", ".join(str(d) for d in argument.shape)
    return [
        f"train = C.datasets.{name}().train",
        f"pixels = (train.pixels / 255).astype(np.float32).reshape(-1, {shape})",
        "data = {model.arguments[0]: pixels, label: np.eye(10, dtype=np.float32)[train.labels]}",
    ]


def _made_up(model: Function, target: Variable, *, classes: bool) -> list[str]:
    lines = ["", "# Made-up data: put your own here.", "rng = np.random.default_rng(0)"]
    if any(len(v.dynamic_axes) == 2 for v in model.arguments):
        lines.append("lengths = rng.integers(3, 9, 256)")
    entries = []
    for i, v in enumerate(model.arguments):
        name = in_python(v.name or "input")
        entries.append(f"    model.arguments[{i}]: {_numbers(v, one_hot=v.is_sparse)},  # {name}")
    entries.append(f"    label: {_numbers(target, one_hot=classes)},")
    return [*lines, "data = {", *entries, "}"]


def _numbers(v: Variable, *, one_hot: bool) -> str:
    """An expression for numbers of a variable's shape: 256 samples, or as many sequences."""
    n = "n" if len(v.dynamic_axes) == 2 else "256"
    shape = "".join(f", {d}" for d in v.shape)
    if one_hot:
        one = f"np.eye({v.shape[0]}, dtype=np.float32)[rng.integers(0, {v.shape[0]}, {n})]"
        one = f"scipy.sparse.csr_matrix({one})" if v.is_sparse else one
    else:
        one = f"rng.normal(size=({n}{shape or ','})).astype(np.float32)"
    return f"[{one} for n in lengths]" if n == "n" else one
