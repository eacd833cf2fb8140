"""The door of the notebook: ``from cntk_lab import lab``, then ``lab.show(model)``.

Verbs that each give a widget with a documented Python interface. Nothing below this file knows of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cntk_lab.graph.function import Function
from cntk_lab.widgets import of_function

if TYPE_CHECKING:
    from cntk_lab.widgets.graph_view import GraphView

__all__ = ["show"]


def show(model: Function, other: Function | None = None) -> GraphView:
    """A live view of a model's graph, or of what differs between two models.

    Blocks open in place, repeats are folded, the search understands ``op=Convolution & params>1e6``, and a click shows
    attributes, shapes, source line and the values of parameters.

    Args:
        model: the function to look into.
        other: a second function; then the view shows what was added, removed and changed from ``model`` to ``other``.

    Returns:
        A ``GraphView``: ``expand``, ``select``, ``paint`` and ``save`` work on it from Python.

    Raises:
        NotAvailableError: if ipywidgets and anywidget are missing, or the front end was not built.

    Example:
        >>> import cntk_lab as C
        >>> from cntk_lab import lab
        >>> model = C.sin(C.input_variable(3, name="x"))
        >>> view = lab.show(model)  # doctest: +SKIP
        >>> view.save("model.svg")  # doctest: +SKIP
    """
    return of_function.view_of(model) if other is None else of_function.difference_of(model, other)  # type: ignore[no-any-return]
