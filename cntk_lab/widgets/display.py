"""Pictures and texts of a graph without a browser: what a saved notebook, a web page of it and ``print`` show.

Takes snapshots as ``engine.inspect`` writes them; knows no widget and no kernel. The picture of a graph is the same
text from run to run. Every word of a model is hostile until it is escaped, which ``in_xml`` does.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from cntk_lab._words import in_xml
from cntk_lab.errors import NotAvailableError
from cntk_lab.widgets._arrange import arrange
from cntk_lab.widgets._drawing import Drawing, Rectangle, Spline, Words, drawing
from cntk_lab.widgets._snapshot import MIME, Snapshot, Tree, check
from cntk_lab.widgets._visible import MOST_VISIBLE, axes_text, shape_text, title_of, visible

MOST_KEPT: Final = 5000
"""Nodes and edges of a graph whose JSON is kept in a notebook's outputs."""


def svg(snapshot: Mapping[str, Any], opened: Iterable[str] | None = None) -> str:
    """An SVG picture of a graph, the same text for the same graph.

    Args:
        snapshot: a snapshot as ``engine.inspect`` writes it; checked and arranged here.
        opened: uids of the blocks drawn open; by default only a block that is the whole model.

    Raises:
        FormatError: if the snapshot is none.
        NotAvailableError: if neither ``dot`` nor its WebAssembly form is there.
    """
    return svg_of_arranged(arrange(check(snapshot)), opened)


def svg_of_arranged(arranged: Snapshot, opened: Iterable[str] | None = None) -> str:
    """The picture of a snapshot that is checked and arranged already."""
    return svg_of(drawing(visible(arranged, opened)))


def svg_of(picture: Drawing) -> str:
    """A drawing in SVG, labelled for screen readers, on a white ground so that it is readable in dark themes too."""
    width, height = f"{picture.width:.0f}", f"{picture.height:.0f}"
    label = in_xml(f"Graph of {picture.name or 'a model'}")
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{label}" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" style="background:#fff;max-width:100%;height:auto" '
        'font-family="Helvetica, Arial, sans-serif" text-anchor="middle">'
    )
    out = [head]
    for item in picture.items:
        if isinstance(item, Rectangle):
            out.append(
                f'<rect x="{item.x:.1f}" y="{item.y:.1f}" width="{item.width:.1f}" height="{item.height:.1f}" '
                f'rx="{item.radius:.1f}" fill="{item.fill}" stroke="{item.stroke}"/>'
            )
        elif isinstance(item, Spline):
            start, *rest = (f"{x:.1f} {y:.1f}" for x, y in item.points)
            dashes = ' stroke-dasharray="5 3"' if item.dashed else ""
            out.append(f'<path d="M{start} C{" ".join(rest)}" fill="none" stroke="{item.stroke}"{dashes}/>')
            corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in item.head())
            out.append(f'<polygon points="{corners}" fill="{item.stroke}"/>')
        else:
            out.append(_words(item))
    return "\n".join([*out, "</svg>"])


def _words(words: Words) -> str:
    weight = ' font-weight="bold"' if words.bold else ""
    parts = "".join(f'<tspan fill="{colour}">{in_xml(text)}</tspan>' for text, colour in words.parts)
    place = f'x="{words.x:.1f}" y="{words.y:.1f}" font-size="{words.size:g}"'
    return f'<text {place}{weight} xml:space="preserve">{parts}</text>'


def text(snapshot: Mapping[str, Any], depth: int = 1) -> str:
    """A graph in words: one line per node along the edges, what is inside blocks indented.

    Args:
        snapshot: a snapshot as ``engine.inspect`` writes it.
        depth: how many levels of blocks are opened.
    """
    return text_of_arranged(arrange(check(snapshot)), len(snapshot["nodes"]), depth)


def text_of_arranged(arranged: Snapshot, count: int, depth: int = 1) -> str:
    """The words of a snapshot of ``count`` nodes that is checked and arranged already."""
    tree = Tree(arranged)
    feeds: dict[str, list[str]] = defaultdict(list)
    for edge in arranged["edges"]:
        if "host" in tree.node[edge["from"]]:
            continue
        source, target = tree.path(edge["from"]), tree.path(edge["to"])
        common = sum(1 for a, b in zip(source, target, strict=False) if a == b)
        if common < len(source):
            feeder = tree.node[source[common]]
            for block in target[common:]:
                feeds[block].append(feeder["name"] or title_of(feeder))
    parameters = sum(node["parameters"] for node in arranged["nodes"] if node["kind"] == "parameter")
    lines = [f"{arranged['name'] or 'model'}: {count} nodes, {parameters:,} parameters"]

    def write(container: str | None, level: int) -> None:
        for uid in tree.children.get(container, ())[:MOST_VISIBLE]:
            node = tree.node[uid]
            if node["kind"] == "output":  # its node stands there already
                continue
            name = f" {node['name']}" if node["name"] and node["name"] != title_of(node) else ""
            fed = ", ".join(dict.fromkeys(feeds[uid]))
            fed = f"({fed if len(fed) <= 60 else fed[:59] + '…'})" if fed else ""
            flows = " ".join(filter(None, (axes_text(node["axes"]), shape_text(node["shape"]))))
            count = f"   {node['parameters']:,} parameters" if node["parameters"] and node["kind"] != "constant" else ""
            problem = f"   !! {node['problem']}" if "problem" in node else ""
            held = [tree.node[p] for p in tree.hosted.get(uid, ()) if "change" in tree.node[p]]
            for changed in ([node] if "change" in node else []) + held:
                note = f": {changed['note']}" if changed.get("note") else ""
                problem += f"   ({changed['name'] or title_of(changed)} {changed['change']}{note})"
            lines.append(f"{'  ' * (level + 1)}{title_of(node)}{name}{fed} -> {flows}{count}{problem}")
            if level < depth:
                write(uid, level + 1)

    write(None, 0)
    return "\n".join(lines)


def with_picture(words: str, draw: Callable[[], str]) -> dict[str, Any]:
    """Text and SVG of a graph; where nothing can draw it, text that says why there is no picture.

    Args:
        words: the text.
        draw: gives the SVG, or raises NotAvailableError.
    """
    try:
        return {"text/plain": words, "image/svg+xml": draw()}
    except NotAvailableError as error:
        return {"text/plain": f"{words}\n(no picture: {error})"}


def mimebundle(snapshot: Mapping[str, Any]) -> dict[str, Any]:
    """A graph in every form a notebook keeps: JSON for the live viewer, SVG for web pages, text for everything else."""
    return forms(arrange(check(snapshot)), len(snapshot["nodes"]))


def forms(arranged: Snapshot, count: int, opened: Iterable[str] | None = None) -> dict[str, Any]:
    """Every form of a snapshot of ``count`` nodes that is checked and arranged already.

    The JSON of a large graph is left out: it would make the notebook's file grow by megabytes, and Jupyter's server
    drops outputs of more than a megabyte in a second.
    """
    bundle = with_picture(text_of_arranged(arranged, count), lambda: svg_of_arranged(arranged, opened))
    if kept(arranged):
        bundle[MIME] = arranged
    return bundle


def kept(arranged: Snapshot) -> bool:
    """Whether the JSON of a graph is small enough for a notebook."""
    return len(arranged["nodes"]) + len(arranged["edges"]) <= MOST_KEPT
