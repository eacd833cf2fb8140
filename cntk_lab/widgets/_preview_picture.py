"""A preview without a browser: a page as SVG and as text, for saved notebooks, web pages and ``print``.

Takes what ``_preview_cells`` and ``_preview_numbers`` make. Every name and token is hostile until it is escaped, which
happens by ``in_xml``. The picture of a page is the same text from run to run.
"""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from cntk_lab._words import LONGEST_ERROR, in_xml, shown
from cntk_lab.widgets._preview_numbers import Match, Numbers

WIDTH: Final = 860
ROW: Final = 17
MOST_ITEMS: Final = 16
CELL: Final = 104
MOST_KEPT: Final = 400_000
"""Bytes of pictures in an output: Jupyter's server drops outputs of more than a megabyte in a second."""
_COLOURS: Final = {"fits": "#006b58", "wrong": "#b00020", "unused": "#516071"}
_BARS: Final = "▁▂▃▄▅▆▇█"


def png(cell: Mapping[str, Any]) -> bytes:
    """An image, heat map or step as a PNG file.

    Args:
        cell: with ``width``, ``height``, ``channels`` (1 or 3) and ``pixels``.
    """
    width, height, channels = cell["width"], cell["height"], cell["channels"]
    rows = np.frombuffer(cell["pixels"], np.uint8).reshape(height, width * channels)
    lines = np.concatenate([np.zeros((height, 1), np.uint8), rows], axis=1).tobytes()

    def part(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 0 if channels == 1 else 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + part(b"IDAT", zlib.compress(lines, 6)) + part(b"IEND", b"")


def within(content: Mapping[str, Any], most: int = MOST_KEPT) -> Mapping[str, Any]:
    """A page with so many of its first sequences as have pictures of ``most`` bytes together."""
    fits = 0
    for item in content["items"]:
        most -= sum(len(png(cell)) * 4 // 3 for cell in item["cells"] if "pixels" in cell)
        if most < 0:
            break
        fits += 1
    return {**content, "items": content["items"][:fits]}


def svg(lines: Sequence[str], content: Mapping[str, Any], matches: Sequence[Match] = ()) -> str:
    """A page as an SVG picture, labelled for screen readers, on white.

    Args:
        lines: what is said of it; the first one in bold.
        content: as ``cells_of`` gives it; may be empty.
        matches: streams and inputs, drawn below.
    """
    out: list[str] = []
    y = 8.0
    for k, line in enumerate(lines):
        y += ROW
        weight = ' font-weight="bold"' if k == 0 else ""
        out.append(f'<text x="10" y="{y:.0f}"{weight}>{in_xml(line, 130)}</text>')
    y += 10
    body, y = _grid(content, y) if _is_grid(content) else _rows(content, y)
    out += body
    if matches:
        drawn, y = _joined(matches, y + 8)
        out += drawn
    height = y + 10
    label = in_xml(" ".join(lines), 1000)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{label}" width="{WIDTH}" '
        f'height="{height:.0f}" viewBox="0 0 {WIDTH} {height:.0f}" style="background:#fff;max-width:100%;height:auto" '
        'font-family="Helvetica, Arial, sans-serif" font-size="12" fill="#1b2733">'
    )
    return "\n".join([head, *out, "</svg>"])


def _is_grid(content: Mapping[str, Any]) -> bool:
    """Whether sequences are small enough to stand side by side: an image and short labels."""
    return any(s["form"] == "image" for s in content.get("streams", ())) and all(
        s["longest"] <= 1 and s["form"] in ("image", "tokens", "numbers") for s in content["streams"]
    )


def _grid(content: Mapping[str, Any], y: float) -> tuple[list[str], float]:
    out = []
    columns = (WIDTH - 10) // CELL
    images = [k for k, s in enumerate(content["streams"]) if s["form"] == "image"]
    others = [k for k in range(len(content["streams"])) if k not in images]
    tall = 96 * len(images) + 16 * (1 + len(others)) + 6
    items = content["items"][:MOST_ITEMS]
    for place, item in enumerate(items):
        left, top = 10 + CELL * (place % columns), y + tall * (place // columns)
        for row, k in enumerate(images):
            out.append(_picture(item["cells"][k], left, top + 96 * row, 92, 92))
        for row, k in enumerate(others):
            words = f"{content['streams'][k]['name']}: {item['cells'][k]['words']}"
            out.append(_text(left, top + 96 * len(images) + 13 + 16 * row, words, 15))
    return out, y + tall * -(-len(items) // columns)


def _rows(content: Mapping[str, Any], y: float) -> tuple[list[str], float]:
    out = []
    for item in content.get("items", ())[:MOST_ITEMS]:
        out.append(f'<path d="M10 {y:.0f}h{WIDTH - 20}" stroke="#dde4eb" fill="none"/>')
        out.append(_text(10, y + 15, item["name"], 14, "#516071"))
        top = y
        for stream, cell in zip(content["streams"], item["cells"], strict=True):
            out.append(_text(110, top + 15, stream["name"], 18, "#516071"))
            tall = {"image": 96, "heat": 44, "curve": 44}.get(cell["form"], 20)
            if cell["form"] in ("image", "heat"):
                wide = 92 if cell["form"] == "image" else min(560.0, max(40.0, 4.0 * cell["width"]))
                out.append(_picture(cell, 230, top + 3, wide, tall - 6, cell["form"] == "heat"))
            elif cell["form"] == "curve":
                out.append(_curve(cell, 230, top + 3, 560, tall - 6))
            else:
                out.append(_text(230, top + 15, cell["words"], 100))
            top += tall
        y = top + 2
    return out, y


def _text(x: float, y: float, words: str, most: int, colour: str = "#1b2733") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" font-size="11" fill="{colour}">{in_xml(words, most)}</text>'


def _picture(cell: Mapping[str, Any], x: float, y: float, width: float, height: float, fill: bool = False) -> str:
    if "pixels" not in cell:
        return _text(x, y + 12, cell["words"], 100)
    data = base64.b64encode(png(cell)).decode()
    keep = "none" if fill else "xMidYMid"
    return (
        f'<image x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" height="{height:.0f}" preserveAspectRatio="{keep}" '
        f'style="image-rendering:pixelated" href="data:image/png;base64,{data}"><title>{in_xml(cell["words"], 200)}'
        "</title></image>"
    )


def _curve(cell: Mapping[str, Any], x: float, y: float, width: float, height: float) -> str:
    pairs = np.asarray(cell["points"], float).reshape(-1, 2)
    low, span = cell["low"], (cell["high"] - cell["low"]) or 1.0
    across = x + width * (np.arange(len(pairs)) + 0.5) / len(pairs)
    down = y + height * (1 - (pairs - low) / span)
    points = " ".join(f"{a:.1f},{d:.1f}" for a, both in zip(across, down, strict=True) for d in both)
    title = f"<title>{in_xml(cell['words'], 200)}</title>"
    return f'<polyline points="{points}" fill="none" stroke="#1257b5">{title}</polyline>'


def _joined(matches: Sequence[Match], y: float) -> tuple[list[str], float]:
    """Streams on the left, inputs on the right, an edge for each pair: red and with its words where it does not fit."""
    out = []
    for one in matches:
        colour = _COLOURS[one.state]
        tall = 54 if one.state == "wrong" else 38
        for x, name, words in ((10, one.stream, one.arrives), (630, one.input, one.expects)):
            if not name:
                continue
            out.append(
                f'<rect x="{x}" y="{y + 2:.0f}" width="220" height="32" rx="5" fill="#f4f8fd" stroke="{colour}"/>'
            )
            out.append(f'<text x="{x + 8}" y="{y + 15:.0f}" font-weight="bold">{in_xml(name, 30)}</text>')
            out.append(_text(x + 8, y + 28, words, 38, "#516071"))
        if one.state != "unused":
            dashes = ' stroke-dasharray="5 3"' if one.state == "wrong" else ""
            start = 230 if one.stream else 420
            out.append(
                f'<path d="M{start} {y + 18:.0f}H626" stroke="{colour}" stroke-width="1.6" fill="none"{dashes}/>'
            )
            out.append(f'<path d="M630 {y + 18:.0f}l-8 -4v8z" fill="{colour}"/>')
            place = f'x="430" y="{y + 13:.0f}" text-anchor="middle" font-size="11" fill="{colour}"'
            out.append(f"<text {place}>{in_xml(one.problem or 'fits', 62)}</text>")
        if one.fix:
            out.append(_text(238, y + 46, f"fix: {one.fix}", 110, "#516071"))
        y += tall + 6
    return out, y


def text(lines: Sequence[str], content: Mapping[str, Any], matches: Sequence[Match] = (), most: int = 8) -> str:
    """A page in words.

    Args:
        lines: what is said of it.
        content: as ``cells_of`` gives it; may be empty.
        matches: streams and inputs.
        most: sequences that are written out.
    """
    out = list(lines)
    for item in content.get("items", ())[:most]:
        out.append(f"  {item['name']}")
        for stream, cell in zip(content["streams"], item["cells"], strict=True):
            out.append(f"    {stream['name']}: {cell['words']}")
    left = content.get("sequences", 0) - min(len(content.get("items", ())), most)
    if left > 0:
        out.append(f"  and {left} more")
    out += [shown(m.words(), LONGEST_ERROR, lines=True) for m in matches]
    return "\n".join(out)


def bars(numbers: Numbers) -> str:
    """The histogram of lengths in one line of text."""
    most = max(numbers.lengths, default=0) or 1
    return "".join(_BARS[round(7 * n / most)] if n else " " for n in numbers.lengths)
