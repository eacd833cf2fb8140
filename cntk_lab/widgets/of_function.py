"""Views of a Function: what it shows by itself at the end of a cell, and what ``lab.show`` gives.

The one place of the widgets that knows Functions: it takes a snapshot of the graph and hands out the present values of
parameters. Everything else works on plain data.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from cntk_lab.engine.inspect import graph_snapshot
from cntk_lab.errors import LabError, NotAvailableError
from cntk_lab.graph.function import Function
from cntk_lab.widgets import display

if TYPE_CHECKING:
    from cntk_lab.widgets._preview_numbers import Input


def snapshot_of(function: Function) -> dict[str, Any]:
    """The graph of a function as plain data, under the function's name."""
    return graph_snapshot(function.outputs, function.name or "model")


def view_of(function: Function) -> Any:
    """The live graph view of a function.

    Args:
        function: of any size.

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
    return GraphView(snapshot_of(function), values=_values(function))


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
    snapshot = snapshot_of(function)
    try:
        return display.mimebundle(snapshot)
    except LabError as error:
        return {"text/plain": f"{display.text(snapshot)}\n(no picture: {error})"}


def _values(function: Function) -> Any:
    held: dict[str, Any] = {variable.uid: variable for variable in (*function.parameters, *function.constants)}
    return lambda uid: held[uid].value if uid in held else None
