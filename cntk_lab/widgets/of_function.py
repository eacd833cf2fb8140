"""Views of a Function: what it shows by itself at the end of a cell, and what ``lab.show`` gives.

The one place of the widgets that knows Functions: it takes a snapshot of the graph and hands out the present values of
parameters. Everything else works on plain data.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cntk_lab.errors import AttributeValueError, NotAvailableError
from cntk_lab.graph import walk
from cntk_lab.graph.function import Function
from cntk_lab.graph.inspect import graph_snapshot
from cntk_lab.graph.variable import Variable
from cntk_lab.ops import combine
from cntk_lab.widgets import display

if TYPE_CHECKING:
    from cntk_lab.widgets._preview_numbers import Input


MOST_NODES: Final = 100_000
"""Nodes of a graph that is drawn."""
MOST_NAMED: Final = 3
"""Inputs or outputs that a title names."""


def snapshot_of(function: Function, title: str = "") -> dict[str, Any]:
    """The graph of a function as plain data, under a title, by default :func:`title_of` it.

    Raises:
        NotAvailableError: if it has more nodes than can be drawn; found out before anything is made of them.
    """
    count = sum(1 for _ in itertools.islice(walk.flat_nodes(function.outputs), MOST_NODES + 1))
    if count > MOST_NODES:
        raise NotAvailableError(
            f"the graph of {function.name or 'the model'} has more than {MOST_NODES:,} nodes: it is not drawn",
            fix="show a part of it: model.find_by_name(name), or the function of an inner layer",
        )
    return graph_snapshot(function.outputs, title or title_of(function))


def title_of(function: Function) -> str:
    """What a person would call a model: its own name where it is a block of several layers, else what it makes of what.

    The name of a function is that of its last node: of a model of layers it says what the last layer is called.

    Example:
        >>> from cntk_lab import input_variable
        >>> from cntk_lab.layers import Dense
        >>> title_of(Dense(10, name="digit")(input_variable(784, name="pixels")))
        'pixels → digit'
    """
    root = function.outputs[0].node if len(function.outputs) == 1 else None
    if root is not None and function.name and root.block is not None and root.block.built:
        inside = walk.nodes(root.block.outputs)
        if any(node.block is not None for node in inside):
            return function.name
    given = [v.name for v in function.arguments]
    made = [_name_of(v) for v in function.outputs]
    return f"{_listed(given, 'input')} → {_listed(made, 'output')}" if given else _listed(made, "output")


def _name_of(variable: Variable) -> str:
    node = variable.node
    return variable.name or (node.name if node is not None else "")


def _listed(names: list[str], kind: str) -> str:
    known = [name for name in names if name]
    if len(known) == len(names) and len(known) <= MOST_NAMED:
        return ", ".join(known)
    return kind if len(names) == 1 else f"{len(names)} {kind}s"


def view_of(function: Function, title: str = "") -> Any:
    """The live graph view of a function.

    Args:
        function: of any size.
        title: what the model is called; by default what it makes of what.

    Returns:
        A ``GraphView``; its inspector reads the values of the function's parameters when it is asked to.

    Raises:
        NotAvailableError: if ipywidgets and anywidget are missing, or the front end was not built.
    """
    try:
        from cntk_lab.widgets.graph_view import GraphView
    except ModuleNotFoundError as error:
        raise NotAvailableError(
            f"no live view: the package {error.name} is missing", fix="pip install ipywidgets anywidget"
        ) from error
    return GraphView(snapshot_of(function, title), values=_values(function), feeding=_feeding(function))


def difference_of(before: Function, after: Function) -> Any:
    """The view of what differs between two functions: structure, shapes, attributes and weights.

    Args:
        before: the first function.
        after: the second function.

    Returns:
        A ``GraphView`` on which added, removed and changed nodes are marked.
    """
    from cntk_lab.widgets.graph_view import GraphView

    return GraphView.difference(snapshot_of(before), snapshot_of(after), _values(before), _values(after))


def inputs_of(function: Function) -> list[Input]:
    """The inputs of a function as plain data."""
    from cntk_lab.widgets._preview_numbers import Input

    return [
        Input(
            v.uid, v.name, tuple(v.shape), "" if v.dtype is None else np.dtype(v.dtype).name, v.is_sparse,
            next((a.name for a in v.dynamic_axes if a.is_sequence_axis), ""),
        )
        for v in function.arguments
    ]  # fmt: skip


def mimebundle(function: Function) -> Any:
    """What a function shows at the end of a cell: the live view, with a picture and a text beside it.

    Outside a kernel, and where the live view is not installed, the picture and the text alone. A graph that cannot be
    drawn at all still has its text.
    """
    if in_kernel():
        try:
            return view_of(function)._repr_mimebundle_()
        except NotAvailableError as error:
            bundle = _still(function)
            bundle["text/plain"] += f"\n(no live view: {error})"
            return bundle
    return _still(function)


def in_kernel() -> bool:
    """Whether this process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


def _still(function: Function) -> dict[str, Any]:
    try:
        snapshot = snapshot_of(function)
    except NotAvailableError as error:
        return {"text/plain": f"{function}\n(no picture: {error})"}
    return display.mimebundle(snapshot)


def _feeding(function: Function) -> Any:
    """A function that gives every value of one sample: {uid of a node, block or input: frames x static shape}."""
    return lambda sample: values_of_sample(function, sample)


def values_of_sample(function: Function, sample: Any = None) -> dict[str, Any]:
    """What every node makes of one sample, in the order of computation.

    Args:
        function: whose nodes are asked.
        sample: array for the one input, or {input or its name: array}: of the input's static shape, or frames x static
            shape for a sequence; None: numbers from the normal distribution, sequences of 5 frames.

    Returns:
        {uid: array (frames x static shape)} of inputs and nodes; blocks have the value of their first output.

    Raises:
        AttributeValueError: if an input gets nothing, or an array of another shape.
    """
    given = _one_sample(function, sample)
    nodes = list(walk.flat_nodes(function.outputs))
    outputs = {v: n.uid for n in nodes for v in n.outputs[:1]}
    found = (combine(list(outputs)) if len(outputs) > 1 else function).eval(given)
    if not isinstance(found, Mapping):
        found = {next(iter(outputs)): found} if outputs else {}
    by_variable = {v.uid: _frames(value, v) for v, value in found.items()}
    values = {v.uid: _dense(a[0]).reshape((-1, *v.shape)) for v, a in given.items()}
    values |= {uid: by_variable[v.uid] for v, uid in outputs.items() if v.uid in by_variable}
    blocks = [n for n in _all_nodes(function.outputs) if n.block is not None and n.block.built]
    for block in blocks:
        behind = walk.resolve(block.outputs[0])
        if behind.uid in by_variable:
            values[block.uid] = by_variable[behind.uid]
    return values


def _all_nodes(roots: Any) -> Iterator[Any]:
    """Nodes of every level."""
    for node in walk.nodes(roots):
        yield node
        if node.block is not None and node.block.built:
            yield from _all_nodes(node.block.outputs)


def _one_sample(function: Function, sample: Any) -> dict[Any, Any]:
    given: dict[Any, Any] = {}
    inputs = list(function.arguments)
    rng = np.random.default_rng(0)
    if sample is not None and not isinstance(sample, Mapping):
        if len(inputs) != 1:
            names = ", ".join(repr(v.name or v.uid) for v in inputs)
            raise AttributeValueError(f"the function has {len(inputs)} inputs", fix=f"give {{name: array}} for {names}")
        sample = {inputs[0]: sample}
    by_name = {getattr(k, "uid", k): a for k, a in (sample or {}).items()}
    for v in inputs:
        sequence = any(a.is_sequence_axis for a in v.dynamic_axes)
        title = v.name or v.uid
        if sample is None:
            if any(d < 0 for d in v.shape):
                raise AttributeValueError(
                    f"input {title!r} has a free dimension", fix=f"view.feed({{{title!r}: array}})"
                )
            array = rng.normal(size=((5, *v.shape) if sequence else v.shape))
            if v.is_sparse:  # a word: one of the classes
                array = (array == array.max(axis=-1, keepdims=True)).astype(np.float32)
        else:
            known = [by_name[k] for k in (v.uid, v.name) if k in by_name]
            if not known:
                raise AttributeValueError(f"input {title!r} gets no array", fix=f"view.feed({{{title!r}: array}})")
            array = np.asarray(known[0])
        shape = array.shape[1:] if sequence and array.ndim else array.shape
        if len(shape) != len(v.shape) or any(d >= 0 and d != s for d, s in zip(v.shape, shape, strict=False)):
            wanted = f"frames x {tuple(v.shape)}" if sequence else f"{tuple(v.shape)}"
            raise AttributeValueError(f"input {title!r} gets {array.shape}", fix=f"give one sample: {wanted}")
        array = array.astype(np.float32 if v.dtype is None else v.dtype)
        given[v] = [array] if sequence else array[None]
        if v.is_sparse:
            from scipy.sparse import csr_matrix

            rows = csr_matrix(array.reshape(-1, array.shape[-1]))
            given[v] = [rows] if sequence else rows
    return given


def _dense(value: Any) -> Any:
    return np.asarray(value.toarray() if hasattr(value, "toarray") else value, np.float64)


def _frames(value: Any, variable: Any) -> Any:
    """The value of one sample as frames x static shape."""
    if isinstance(value, (list, tuple)):
        value = value[0]
    array = _dense(value)
    return array[None] if array.ndim == len(variable.shape) else array


def _values(function: Function) -> Any:
    held: dict[str, Any] = {variable.uid: variable for variable in (*function.parameters, *function.constants)}
    return lambda uid: held[uid].value if uid in held else None
