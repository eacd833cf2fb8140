"""Pictures of a graph as files: SVG as in ``display``, PNG and PDF of the same drawing painted by matplotlib.

Knows drawings and files, nothing of widgets. A file appears whole or not at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from cntk_lab._files import atomic_file
from cntk_lab.errors import FormatError
from cntk_lab.widgets import display
from cntk_lab.widgets._arrange import arrange
from cntk_lab.widgets._drawing import LETTER, POINTS_PER_INCH, Drawing, Rectangle, Spline, Words, drawing
from cntk_lab.widgets._snapshot import check
from cntk_lab.widgets._visible import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMS: Final = (".svg", ".png", ".pdf")
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
    with atomic_file(path) as file:
        if form == ".svg":
            file.write(display.svg(snapshot, opened).encode())
        else:
            _paint(drawing(visible(arrange(check(snapshot)), opened)), file, form[1:])
    return path


def _paint(picture: Drawing, file: BinaryIO, form: str) -> None:
    """Paint a drawing on a page of its size."""
    from matplotlib.figure import Figure
    from matplotlib.patches import FancyBboxPatch, PathPatch, Polygon
    from matplotlib.path import Path as Curve

    figure = Figure(figsize=(picture.width / POINTS_PER_INCH, picture.height / POINTS_PER_INCH), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, picture.width)
    axes.set_ylim(picture.height, 0)
    axes.axis("off")
    for order, item in enumerate(picture.items):
        if isinstance(item, Rectangle):
            style = f"round,pad=0,rounding_size={item.radius}"
            look: dict[str, Any] = {"facecolor": item.fill, "edgecolor": item.stroke, "linewidth": 0.8, "zorder": order}
            axes.add_patch(FancyBboxPatch((item.x, item.y), item.width, item.height, boxstyle=style, **look))
        elif isinstance(item, Spline):
            curve = Curve(item.points, [Curve.MOVETO] + [Curve.CURVE4] * (len(item.points) - 1))
            line = "dashed" if item.dashed else "solid"
            axes.add_patch(
                PathPatch(curve, facecolor="none", edgecolor=item.stroke, linewidth=0.8, linestyle=line, zorder=order)
            )
            axes.add_patch(Polygon(item.head(), closed=True, color=item.stroke, linewidth=0, zorder=order))
        else:
            _write(axes, item, order)
    # without dates and versions the same graph gives the same file
    metadata = {"CreationDate": None, "Producer": None, "Creator": None} if form == "pdf" else {"Software": None}
    figure.savefig(file, format=form, dpi=DOTS_PER_INCH, metadata=metadata)


def _write(axes: Axes, words: Words, order: int) -> None:
    """Write a line of text around its middle, each part in its colour, at most as wide as it was laid out."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    font = FontProperties(family="sans-serif", weight="bold" if words.bold else "normal")

    def wide(text: str) -> float:
        # blanks at the end count only before something else; dollars would be mathematics
        return float(TextPath((0, 0), f"{text.replace('$', 'S')}.", size=1, prop=font, usetex=False).get_extents().x1)

    room = len(words.text) * words.size * LETTER * 1.1
    size = min(words.size, room / max(wide(words.text), 0.1))
    at = words.x - wide(words.text) * size / 2
    for text, colour in words.parts:
        axes.text(
            at, words.y, text, fontsize=size, color=colour, weight="bold" if words.bold else "normal", ha="left",
            va="baseline", zorder=order, parse_math=False,
        )  # fmt: skip
        at += wide(text) * size
