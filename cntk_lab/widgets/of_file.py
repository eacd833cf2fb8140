"""Views of model files: what ``lab.show`` gives for a path. CNTK's become Functions; ONNX files are only looked at.

Knows how files become snapshots and arrays, nothing of how they are drawn.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt

from cntk_lab.errors import FormatError
from cntk_lab.formats import load
from cntk_lab.graph.function import Function
from cntk_lab.widgets import _model_file, of_function

Shown = Function | str | os.PathLike[str]
Parts = tuple[Mapping[str, Any], Callable[[str], npt.NDArray[Any] | None]]


def view_of(model: Shown, other: Shown | None = None) -> Any:
    """The view of a model file, or of what differs between two models of which one is a file.

    Args:
        model: the path of a CNTK model or of an ONNX file; or a function, if ``other`` is a file.
        other: a second model; then the view shows what was added, removed and changed.

    Returns:
        A ``GraphView``; of a CNTK model as of the function in it.

    Raises:
        FormatError: if there is no such file, or it is damaged, or too large to show.
    """
    first = _opened(model)
    if other is None and isinstance(first, Function):
        return of_function.view_of(first, "" if isinstance(model, Function) else Path(model).stem)
    from cntk_lab.widgets.graph_view import GraphView

    before = _parts(first)
    if other is None:
        return GraphView(before[0], values=before[1])
    after = _parts(_opened(other))
    return GraphView.difference(before[0], after[0], before[1], after[1])


def _opened(model: Shown) -> Function | Path:
    """A function, read from a CNTK model file if need be, or the path of an ONNX file."""
    if isinstance(model, Function):
        return model
    path = Path(model)
    return path if path.suffix.lower() == ".onnx" else load(path)


def _parts(model: Function | Path) -> Parts:
    """The snapshot of a model, and the present values of its parameters by their uids."""
    if isinstance(model, Function):
        values = {v.uid: v for v in (*model.parameters, *model.constants)}
        return of_function.snapshot_of(model), lambda uid: values[uid].value if uid in values else None  # type: ignore[attr-defined]
    from cntk_lab.formats.onnx import description, records, snapshot, tensors

    limits = records.Limits(nodes=_model_file.MOST_NODES)
    source = model.name
    if not model.is_file():
        raise FormatError(f"there is no model file {str(model)!r}", fix="give the name of a file")
    with model.open("rb") as file:
        empty = os.fstat(file.fileno()).st_size == 0
        # Not closed by hand: the arrays of the view are in it. It closes when the last of them goes.
        content: Any = b"" if empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    graph, found = snapshot.graph_of(description.read(content, source, limits), source, limits)
    graph["name"] = model.stem

    def value(uid: str) -> npt.NDArray[Any] | None:
        return tensors.array(found[uid]) if uid in found else None

    return graph, value
