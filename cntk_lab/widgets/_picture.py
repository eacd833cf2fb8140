"""Pictures of a graph as files: SVG as in ``display``, PNG and PDF painted by matplotlib from Graphviz' drawing orders.

Graphviz as WebAssembly writes neither PNG nor PDF, and not every ``dot`` does; its drawing orders (xdot, in JSON) are
everywhere. Knows pictures and files, nothing of widgets.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cntk_lab.errors import FormatError
from cntk_lab.widgets import display
from cntk_lab.widgets._arrange import arrange
from cntk_lab.widgets._snapshot import check

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMS: Final = (".svg", ".png", ".pdf")
POINTS_PER_INCH: Final = 72
DOTS_PER_INCH: Final = 144


def write_picture(snapshot: Mapping[str, Any], path: Path, opened: Iterable[str] | None = None) -> Path:
    """Write the picture of a graph; the file appears whole or not at all.

    Args:
        snapshot: a snapshot as ``engine.inspect`` writes it.
        path: ends with .svg, .png or .pdf.
        opened: uids of the blocks drawn open.

    Raises:
        FormatError: if the file name ends otherwise.
    """
    form = path.suffix.lower()
    if form not in FORMS:
        raise FormatError(f"no picture of form {form!r}", where=str(path), fix=f"end the name with {', '.join(FORMS)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=form)
    os.close(handle)
    try:
        if form == ".svg":
            Path(temporary).write_text(display.svg(snapshot, opened), encoding="utf-8")
        else:
            picture = display.visible(arrange(check(snapshot)), opened)
            _paint(json.loads(display.run_dot(display.dot(picture), "json")), temporary)
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)
    return path


def _paint(drawing: Mapping[str, Any], file: str) -> None:
    """Paint Graphviz' drawing orders on a page of their size."""
    from matplotlib.figure import Figure

    left, bottom, right, top = (float(n) for n in drawing["bb"].split(","))
    size = ((right - left + 8) / POINTS_PER_INCH, (top - bottom + 8) / POINTS_PER_INCH)
    figure = Figure(figsize=size, facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(left - 4, right + 4)
    axes.set_ylim(bottom - 4, top + 4)
    axes.axis("off")
    parts = [*drawing.get("objects", ()), *drawing.get("edges", ())]
    for part in parts:
        for orders in ("_draw_", "_hdraw_", "_ldraw_"):
            _obey(axes, part.get(orders, ()))
    # without dates and versions the same graph gives the same file
    metadata = (
        {"CreationDate": None, "Producer": None, "Creator": None} if file.endswith(".pdf") else {"Software": None}
    )
    figure.savefig(file, dpi=DOTS_PER_INCH, metadata=metadata)


def _obey(axes: Axes, orders: Iterable[Mapping[str, Any]]) -> None:
    """Carry out one list of drawing orders (https://graphviz.org/docs/outputs/canon/#xdot)."""
    from matplotlib.patches import Ellipse, PathPatch, Polygon
    from matplotlib.path import Path as Curve

    state: dict[str, Any] = {"pen": "black", "fill": "none", "size": 10.0, "style": "solid"}
    for order in orders:
        kind = order["op"]
        pen = {"edgecolor": state["pen"], "linewidth": 0.8, "linestyle": state["style"]}
        fill = state["fill"] if kind in "EPB" else "none"  # capitals are filled
        if kind in "eE":
            x, y, width, height = order["rect"]
            axes.add_patch(Ellipse((x, y), 2 * width, 2 * height, facecolor=fill, **pen))
        elif kind in "pP":
            axes.add_patch(Polygon(order["points"], closed=True, facecolor=fill, **pen))
        elif kind in "bB":
            curve = Curve(order["points"], [Curve.MOVETO] + [Curve.CURVE4] * (len(order["points"]) - 1))
            axes.add_patch(PathPatch(curve, facecolor=fill, **pen))
        elif kind == "L":
            axes.plot(*zip(*order["points"], strict=True), color=state["pen"], linewidth=0.8)
        elif kind == "T":
            x, y = order["pt"]
            side = {"l": "left", "c": "center", "r": "right"}[order["align"]]
            weight = "bold" if state.get("bold") else "normal"
            words = axes.text(
                x, y, order["text"], fontsize=state["size"] * 0.93, ha=side, color=state["pen"], weight=weight
            )
            words.set_parse_math(False)
        elif kind in "cC":
            colour = order.get("color", "black")
            state["pen" if kind == "c" else "fill"] = "none" if colour == "transparent" else colour
        elif kind == "F":
            state["size"] = order["size"]
        elif kind == "t":
            state["bold"] = bool(int(order["fontchar"]) & 1)
        elif kind == "S":
            state["style"] = "dashed" if order["style"] == "dashed" else "solid"
