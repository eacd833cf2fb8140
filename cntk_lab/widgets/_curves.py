"""Curves of a run for eyes: thinned for the browser, drawn as SVG and as text for places without one.

Takes histories (plain data). The picture of a history is the same text from run to run, whatever its length.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cntk_lab._words import in_xml
from cntk_lab.train._history import History

MOST: Final = 1500
"""Buckets of a curve, at most; twice as wide ones when there would be more."""
COLOURS: Final = ("#1257b5", "#a2440a", "#006b58", "#6a2fd0", "#ab1863", "#3f6a10")
WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 420, 220, 52, 30, 24
BARS: Final = "▁▂▃▄▅▆▇█"

Numbers = npt.NDArray[np.float32]


class Thinned:
    """The curves of a history in buckets of equally many steps, brought up to date piece by piece."""

    def __init__(self, history: History) -> None:
        self._history = history
        self.width = 1
        self._done = 0
        self.loss: Numbers = np.empty(0, np.float32)
        self.metric: Numbers = np.empty(0, np.float32)

    def update(self) -> tuple[int, Numbers, Numbers] | None:
        """What changed since the last time: number of the first bucket, and loss and metric from there on."""
        step = self._history.step
        if step == self._done:
            return None
        first = min(step, self._done) // self.width
        self._done = step
        width = self.width
        while -(-step // width) > MOST:
            width *= 2
        if width != self.width or first >= len(self.loss) + 1:
            self.width, first = width, 0
        loss, metric = self._buckets(first, step)
        self.loss = np.concatenate([self.loss[:first], loss])
        self.metric = np.concatenate([self.metric[:first], metric])
        return first, loss, metric

    def _buckets(self, first: int, step: int) -> tuple[Numbers, Numbers]:
        made = []
        for column in (self._history.loss, self._history.metric):
            values = np.asarray(column[first * self.width : step])
            whole = len(values) // self.width * self.width
            parts = [values[:whole].reshape(-1, self.width).mean(axis=1)]
            if whole < len(values):
                parts.append(values[whole:].mean(keepdims=True))
            made.append(np.concatenate(parts).astype(np.float32))
        return made[0], made[1]


def _thin(values: Sequence[float]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Steps and means of at most 300 buckets."""
    array = np.asarray(values, np.float64)
    width = max(1, -(-len(array) // 300))
    edges = np.arange(0, len(array), width)
    means = np.array([array[e : e + width].mean() for e in edges])
    return np.minimum(edges + (width + 1) / 2, len(array)), means


def svg(histories: Sequence[History], lines: Sequence[str]) -> str:
    """Loss and metric of one run or several, with a few lines of text above.

    Args:
        histories: runs, each in a colour of its own.
        lines: what is said of them.
    """
    metric = any(h.has_metric for h in histories)
    charts = ["loss", *(["metric"] if metric else [])]
    head = 8 + 17 * len(lines)
    width, height = (LEFT + WIDTH) * len(charts) + 16, head + TOP + HEIGHT + BOTTOM + 8
    label = in_xml(" ".join(lines), 1000)
    start = (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{label}" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" style="background:#fff;max-width:100%;height:auto" '
        'font-family="Helvetica, Arial, sans-serif" font-size="12" fill="#1b2733">'
    )
    out = [start]
    for i, line in enumerate(lines):
        weight = ' font-weight="bold"' if i == 0 else ""
        out.append(f'<text x="10" y="{20 + 17 * i}"{weight}>{in_xml(line, 160)}</text>')
    for i, kind in enumerate(charts):
        out += _chart(histories, kind, i * (LEFT + WIDTH), head)
    return "\n".join([*out, "</svg>"])


def _chart(histories: Sequence[History], kind: str, x: float, y: float) -> list[str]:
    """One chart with its axes; validation dashed."""
    curves: list[tuple[str, str, Any, Any]] = []
    for history, colour in zip(histories, COLOURS * len(histories), strict=False):
        steps, means = _thin(getattr(history, kind))
        curves.append((colour, "", steps, means))
        checked = [(v.step, getattr(v, kind)) for v in history.validation if getattr(v, kind) is not None]
        if checked:
            pairs = np.array(checked, np.float64)
            curves.append((colour, ' stroke-dasharray="5 3"', pairs[:, 0], pairs[:, 1]))
    finite = [v[np.isfinite(v)] for *_, v in curves]
    every = np.concatenate([*finite, np.zeros(0)])
    low, high = (float(every.min()), float(every.max())) if every.size else (0.0, 1.0)
    low, high = (low, high) if high > low else (low - 0.5, high + 0.5)
    last = max((float(s[-1]) for _, _, s, _ in curves if len(s)), default=1.0)
    left, top = x + LEFT, y + TOP
    out = [f'<text x="{left:.0f}" y="{top - 10:.0f}" fill="#516071">{kind}</text>']
    for value in (low, (low + high) / 2, high):
        at = top + HEIGHT * (high - value) / (high - low)
        out.append(f'<path d="M{left:.1f} {at:.1f}h{WIDTH - 20}" stroke="#dde4eb" fill="none"/>')
        place = f'x="{left - 6:.1f}" y="{at + 4:.1f}" text-anchor="end" font-size="11" fill="#516071"'
        out.append(f"<text {place}>{value:.3g}</text>")
    out.append(
        f'<text x="{left + WIDTH - 20:.1f}" y="{top + HEIGHT + 16:.1f}" text-anchor="end" font-size="11" '
        f'fill="#516071">step {last:,.0f}</text>'
    )
    for colour, dash, steps, values in curves:
        across, down = left + (WIDTH - 20) * steps / max(last, 1.0), top + HEIGHT * (high - values) / (high - low)
        path, pen = [], "M"
        for a, b in zip(across, down, strict=True):
            path.append(f"{pen}{a:.1f} {b:.1f}" if math.isfinite(b) else "")
            pen = "L" if math.isfinite(b) else "M"
        out.append(f'<path d="{"".join(path)}" stroke="{colour}" stroke-width="1.6" fill="none"{dash}/>')
    return out


def spark(values: Sequence[float], count: int = 40) -> str:
    """A curve in one line of text; ``!`` where it is not finite."""
    array = np.asarray(values, np.float64)
    if not len(array):
        return ""
    parts = [float(p.mean()) for p in np.array_split(array, min(count, len(array)))]
    finite = [p for p in parts if math.isfinite(p)]
    if not finite:
        return "!" * len(parts)
    low, span = min(finite), (max(finite) - min(finite)) or 1.0
    return "".join(BARS[round((p - low) / span * 7)] if math.isfinite(p) else "!" for p in parts)
