"""What the notebook shows: graph view, composer, training monitor, reader preview, and pictures that need no browser.

The widgets load ipywidgets when they are first used; pictures and texts (``display``) do not need it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cntk_lab.widgets.composer import GraphComposer as GraphComposer
    from cntk_lab.widgets.graph_view import GraphView as GraphView
    from cntk_lab.widgets.monitor import TrainingMonitor as TrainingMonitor
    from cntk_lab.widgets.preview import ReaderPreview as ReaderPreview

__all__ = ["GraphComposer", "GraphView", "ReaderPreview", "TrainingMonitor"]


def __getattr__(name: str) -> Any:
    if name == "GraphView":
        from cntk_lab.widgets.graph_view import GraphView

        return GraphView
    if name == "GraphComposer":
        from cntk_lab.widgets.composer import GraphComposer

        return GraphComposer
    if name == "TrainingMonitor":
        from cntk_lab.widgets.monitor import TrainingMonitor

        return TrainingMonitor
    if name == "ReaderPreview":
        from cntk_lab.widgets.preview import ReaderPreview

        return ReaderPreview
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
