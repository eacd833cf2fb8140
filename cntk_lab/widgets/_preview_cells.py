"""What a page of a preview shows, as plain data: per sequence and stream a cell that a browser or an SVG can draw.

Takes pages of ``io._preview``; makes bytes to paint and words to read, never more than fits the eye. Knows no widget
and no browser. Everything a file says stays text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cntk_lab.io._pages import Page
from cntk_lab.io._pixels import Step
from cntk_lab.io._ragged import Ragged
from cntk_lab.io._streams import StreamInformation
from cntk_lab.tensor.sparse import is_csr

FORMS: Final = ("image", "heat", "curve", "tokens", "sparse", "numbers")
MOST_SEQUENCES: Final = 32
"""Sequences of a minibatch that are shown."""
LARGEST_IMAGE: Final = 96
"""Rows and columns of an image in the grid, in pixels."""
LARGEST_STEP: Final = 256
"""Rows and columns of an image among the steps of its transforms, in pixels."""
MOST_FRAMES, MOST_FEATURES = 240, 64
MOST_POINTS: Final = 300
MOST_TOKENS: Final = 60
MOST_ENTRIES: Final = 12
MOST_NUMBERS: Final = 10
SMALLEST_IMAGE: Final = 4

Bytes = npt.NDArray[np.uint8]


@dataclass
class Look:
    """How the streams are to be shown.

    Args:
        forms: per stream one of FORMS; others are chosen by what the data are.
        shapes: per stream the shape in which its samples are images, as (28, 28) for 784 numbers.
        vocabularies: per stream the word of each class or index.
        blue_first: streams whose images have three channels in the order blue, green, red.
    """

    forms: Mapping[str, str] = field(default_factory=dict)
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    vocabularies: Mapping[str, Sequence[str]] = field(default_factory=dict)
    blue_first: frozenset[str] = frozenset()

    def word(self, stream: str, index: int) -> str:
        """The word of a class, or its number."""
        words = self.vocabularies.get(stream)
        return words[index] if words is not None and 0 <= index < len(words) else str(index)


def form_of(info: StreamInformation, data: Ragged, look: Look) -> str:
    """How a stream is best shown: as the user says, or by its shape and what is in it."""
    name = info.m_name
    if name in look.forms:
        return look.forms[name]
    if is_csr(data.rows):
        one = len(data.rows.data) == data.rows.shape[0] and bool((np.diff(data.rows.indptr) == 1).all())
        return "tokens" if one and bool((data.rows.data == 1).all()) else "sparse"
    if name in look.shapes or image_shape(data.shape) is not None:
        return "image"
    elements = int(np.prod(data.shape, dtype=np.int64))
    rows = data.rows.reshape(len(data.rows), -1)
    if elements > 1 and len(rows) and _one_hot(rows):
        return "tokens"
    longest = int(data.lengths.max(initial=0))
    if elements == 1:
        return "curve" if longest > MOST_NUMBERS else "numbers"
    return "heat" if elements > MOST_NUMBERS or longest > MOST_NUMBERS else "numbers"


def image_shape(shape: tuple[int, ...]) -> str | None:
    """In which order a sample's axes make an image: "chw", "hwc" or "hw"; None if they make none."""
    if len(shape) == 3 and shape[0] in (1, 3) and min(shape[1:]) >= SMALLEST_IMAGE:
        return "chw"
    if len(shape) == 3 and shape[2] in (1, 3) and min(shape[:2]) >= SMALLEST_IMAGE:
        return "hwc"
    return "hw" if len(shape) == 2 and min(shape) >= SMALLEST_IMAGE else None


def cells_of(page: Page, streams: Sequence[StreamInformation], look: Look) -> dict[str, Any]:
    """A page in plain data: numbers, texts, lists and bytes.

    Args:
        page: the minibatch.
        streams: of the source.
        look: how they are to be shown.
    """
    there = [s for s in streams if s.m_name in page.data]
    forms = {s.m_name: form_of(s, page.data[s.m_name], look) for s in there}
    count = min(len(page.names), MOST_SEQUENCES)
    items = [
        {
            "name": page.names[k],
            "cells": [_cell(forms[s.m_name], s.m_name, page.data[s.m_name], k, look) for s in there],
        }
        for k in range(count)
    ]
    return {
        "number": page.number,
        "samples": page.samples,
        "sequences": len(page.names),
        "sweep": page.sweep,
        "endsSweep": page.ends_sweep,
        "leftOut": page.left_out,
        "more": len(page.names) - count,
        "streams": [_stream(s, page.data[s.m_name], forms[s.m_name]) for s in there],
        "items": items,
    }


def _stream(info: StreamInformation, data: Ragged, form: str) -> dict[str, Any]:
    lengths = data.lengths
    stored = data.rows.data if is_csr(data.rows) else data.rows
    return {
        "name": info.m_name,
        "form": form,
        "shape": list(data.shape) if min(info.sample_shape, default=1) < 0 else list(info.sample_shape),
        "dtype": info.dtype,
        "storage": info.storage_format,
        "shortest": int(lengths.min()) if len(lengths) else 0,
        "longest": int(lengths.max(initial=0)),
        "notFinite": int(stored.size - np.isfinite(stored).sum()),
    }


def _cell(form: str, name: str, data: Ragged, k: int, look: Look) -> dict[str, Any]:
    rows = data.rows[int(data.starts[k]) : int(data.starts[k + 1])]
    length = int(data.lengths[k])
    if not length:
        return {"form": "none", "words": "no frame here"}
    if is_csr(rows):
        return _tokens(name, rows.indices, look) if form == "tokens" else _sparse(name, rows, look)
    if form == "tokens":
        return _tokens(name, rows.reshape(length, -1).argmax(axis=1), look)
    if form == "image":
        shape = tuple(look.shapes.get(name, rows.shape[1:]))
        if int(np.prod(shape)) == int(np.prod(rows.shape[1:])) and image_shape(shape) is not None:
            return image_cell(rows[0].reshape(shape), name in look.blue_first, LARGEST_IMAGE, length)
        form = "heat"
    flat = np.asarray(rows.reshape(length, -1), np.float64)
    if form == "curve":
        return _curve(flat.ravel())
    return _heat(flat) if form in ("heat", "sparse") else _numbers(flat)


def image_cell(image: npt.NDArray[Any], blue_first: bool, largest: int, frames: int = 1) -> dict[str, Any]:
    """An image to paint: grey or red-green-blue bytes, thinned alike in both directions, so that
    its longer side has at most ``largest`` pixels.

    Args:
        image: channels x rows x columns, rows x columns x channels, or rows x columns.
        blue_first: whether three channels are blue, green, red.
        largest: rows and columns at most.
        frames: of the sequence; the first one is shown.
    """
    order = image_shape(image.shape)
    pixels = image[:, :, None] if order == "hw" else image.transpose(1, 2, 0) if order == "chw" else image
    height, width = pixels.shape[:2]
    part = min(1.0, largest / max(height, width))
    down, across = (np.linspace(0, n - 1, max(1, round(n * part))).round().astype(int) for n in (height, width))
    pixels = np.asarray(pixels[down][:, across], np.float64)
    pixels = pixels[:, :, ::-1] if blue_first and pixels.shape[2] == 3 else pixels
    low, high, wrong = _range(image)
    if low >= 0 and 1 < high <= 255:
        black, white, how = 0.0, 255.0, ""
    elif low >= 0 and high <= 1:
        black, white, how = 0.0, 1.0, ""
    else:
        black, white, how = low, high if high > low else low + 1, ", contrast stretched"
    scaled = (pixels - black) / (white - black) * 255
    words = f"image of {width} x {height} pixels, values {low:.4g} to {high:.4g}{how}"
    return {
        "form": "image", "width": len(across), "height": len(down), "channels": pixels.shape[2],
        "pixels": np.nan_to_num(scaled.round()).clip(0, 255).astype(np.uint8).tobytes(),
        "black": black, "white": white, "exact": white == 255 and bool((pixels == pixels.round()).all()),
        "fullWidth": width, "fullHeight": height,
        "words": words + (f", the first of {frames} frames" if frames > 1 else "") + _alarm(wrong),
    }  # fmt: skip


def step_cell(step: Step) -> dict[str, Any]:
    """One transform of an image, to be painted."""
    cell = image_cell(step.image, True, LARGEST_STEP)
    return {**cell, "kind": step.kind, "draws": list(step.draws)}


def _heat(rows: npt.NDArray[np.float64]) -> dict[str, Any]:
    """Frames from left to right, features from top to bottom; more than fit are averaged."""
    frames, features = rows.shape
    low, high, wrong = _range(rows)
    small = _thin(_thin(np.nan_to_num(rows, nan=low, posinf=high, neginf=low), MOST_FRAMES, 0), MOST_FEATURES, 1)
    scaled = (small - low) / ((high - low) or 1.0) * 255
    what = f"{frames} frames of {features} numbers" if frames > 1 else f"{features} numbers"
    return {
        "form": "heat", "width": small.shape[0], "height": small.shape[1], "channels": 1,
        "pixels": scaled.T.round().clip(0, 255).astype(np.uint8).tobytes(),
        "black": low, "white": high if high > low else low + 1, "exact": False,
        "fullWidth": frames, "fullHeight": features,
        "words": f"{what}, {low:.4g} to {high:.4g}{_alarm(wrong)}",
    }  # fmt: skip


def _thin(rows: npt.NDArray[np.float64], most: int, axis: int) -> npt.NDArray[np.float64]:
    count = rows.shape[axis]
    if count <= most:
        return rows
    edges = np.linspace(0, count, most + 1).astype(int)[:-1]
    sizes = np.diff(np.append(edges, count))
    sums = np.add.reduceat(rows, edges, axis=axis)
    return np.asarray(sums / (sizes[:, None] if axis == 0 else sizes), np.float64)


def _curve(values: npt.NDArray[np.float64]) -> dict[str, Any]:
    """Lowest and highest value of each of at most 300 stretches, so that no peak is lost."""
    low, high, wrong = _range(values)
    clean = np.nan_to_num(values, nan=low, posinf=high, neginf=low)
    count = len(values)
    edges = np.linspace(0, count, min(count, MOST_POINTS) + 1).astype(int)[:-1]
    pairs = np.stack([np.minimum.reduceat(clean, edges), np.maximum.reduceat(clean, edges)], axis=1)
    return {
        "form": "curve", "low": low, "high": high, "points": pairs.round(6).ravel().tolist(),
        "words": f"curve of {count} numbers, {low:.4g} to {high:.4g}{_alarm(wrong)}",
    }  # fmt: skip


def _tokens(name: str, classes: npt.NDArray[Any], look: Look) -> dict[str, Any]:
    words = [look.word(name, int(c)) for c in classes[:MOST_TOKENS]]
    more = len(classes) - len(words)
    text = " ".join(words[:20]) + (" …" if len(classes) > 20 else "")
    return {"form": "tokens", "tokens": words, "more": more, "words": text}


def _sparse(name: str, rows: Any, look: Look) -> dict[str, Any]:
    """The largest entries of each of the first frames."""
    frames = []
    for frame in range(min(rows.shape[0], 4)):
        part = slice(int(rows.indptr[frame]), int(rows.indptr[frame + 1]))
        indices, values = rows.indices[part], rows.data[part]
        top = np.sort(np.argsort(-np.abs(values), kind="stable")[:MOST_ENTRIES])
        entries = [[look.word(name, int(indices[k])), _plain(values[k])] for k in top.tolist()]
        frames.append({"entries": entries, "more": int(len(values) - len(top))})
    filled = len(rows.data) / max(rows.shape[0], 1)
    words = f"{rows.shape[0]} frames, " if rows.shape[0] > 1 else ""
    return {
        "form": "sparse", "frames": frames, "more": max(0, rows.shape[0] - 4),
        "words": f"{words}{filled:.3g} of {rows.shape[1]} entries are not zero",
    }  # fmt: skip


def _numbers(rows: npt.NDArray[np.float64]) -> dict[str, Any]:
    frames = [[_plain(v) for v in row[:MOST_NUMBERS]] for row in rows[:MOST_NUMBERS]]
    text = "; ".join(" ".join(f"{v:.4g}" if v is not None else "not finite" for v in row) for row in frames[:3])
    return {"form": "numbers", "rows": frames, "more": max(0, len(rows) - MOST_NUMBERS), "words": text}


def _plain(value: Any) -> float | None:
    return float(f"{float(value):.6g}") if np.isfinite(value) else None


def _range(values: npt.NDArray[Any]) -> tuple[float, float, int]:
    """Lowest and highest finite value, and how many are not finite."""
    finite = np.isfinite(values)
    if bool(finite.all()):
        return float(values.min()), float(values.max()), 0
    good = values[finite]
    wrong = int(values.size - good.size)
    return (float(good.min()), float(good.max()), wrong) if good.size else (0.0, 0.0, wrong)


def _alarm(wrong: int) -> str:
    return f", {wrong} not finite" if wrong else ""


def _one_hot(rows: npt.NDArray[Any]) -> bool:
    return bool(((rows == 0) | (rows == 1)).all() and (rows.sum(axis=1) == 1).all())
