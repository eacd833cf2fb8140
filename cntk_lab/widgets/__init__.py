"""What the notebook shows: the live graph view, the training monitor, and pictures that need no browser.

The widgets load ipywidgets when they are first used; pictures and texts (``display``) do not need it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cntk_lab.widgets.graph_view import GraphView as GraphView
    from cntk_lab.widgets.monitor import TrainingMonitor as TrainingMonitor

__all__ = ["GraphView", "TrainingMonitor"]


def __getattr__(name: str) -> Any:
    if name == "GraphView":
        from cntk_lab.widgets.graph_view import GraphView

        return GraphView
    if name == "TrainingMonitor":
        from cntk_lab.widgets.monitor import TrainingMonitor

        return TrainingMonitor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
