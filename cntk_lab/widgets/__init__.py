"""What the notebook shows: the live graph view, and pictures of graphs that need no browser.

The widgets load ipywidgets when they are first used; pictures and texts (``display``) do not need it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cntk_lab.widgets.graph_view import GraphView as GraphView

__all__ = ["GraphView"]


def __getattr__(name: str) -> Any:
    if name == "GraphView":
        from cntk_lab.widgets.graph_view import GraphView

        return GraphView
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
