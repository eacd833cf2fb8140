"""Operators on whole arrays as rows of the executor: convolution and pooling with their gradients, through oneDNN.

A maker is registered under ``<operator>.<role>`` (role ``forward`` or ``gradient.<operand>``). It gets the shapes of
what the step reads and writes and the operator's resolved attributes, and answers with rows whose operands are
called as in the operator's rule (``y`` the result, ``dy`` its gradient), or None where oneDNN cannot do it: then
NumPy does. The contract tests compare both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cntk_lab.backends.cpu import kernels, onednn
from cntk_lab.backends.cpu.kernels import Rows
from cntk_lab.backends.cpu.window import Window

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Request:
    """What a step wants.

    Args:
        shapes: operand name -> shape with rows; ``result`` is what the step writes.
        attributes: the operator's resolved attributes.
        bias: whether a bias per channel is added to the result.
        post: activation applied to the result.
        last: operands that lie with their channels behind the spatial axes (``shapes`` name the channels first all
            the same).
    """

    shapes: Shapes
    attributes: Mapping[str, Any]
    bias: bool = False
    post: tuple[str, ...] = ()
    last: frozenset[str] = frozenset()


Maker = Callable[[Request], Rows | None]
_makers: dict[str, Maker] = {}


def rows_for(key: str) -> Callable[[Maker], Maker]:
    """Register a maker of rows."""

    def register(maker: Maker) -> Maker:
        _makers[key] = maker
        return maker

    return register


_IMAGES: dict[str, tuple[str, ...]] = {
    "convolution.forward": ("operand", "result"),
    "convolution.gradient.operand": ("operand", "dy", "result"),
    "convolution.gradient.convolution_map": ("operand", "dy"),
    "pooling.forward": ("operand", "result"),
    "pooling.gradient.operand": ("operand", "dy", "result"),
}


def images(key: str, shapes: Mapping[str, tuple[int, ...]], attributes: Mapping[str, Any]) -> tuple[str, ...]:
    """The operands of ``<operator>.<role>`` that may lie channels last.

    Args:
        key: operator and role.
        shapes: static shapes of its operands.
        attributes: the operator's resolved attributes.
    """
    window = attributes.get("kernel", attributes.get("window"))
    if key not in _IMAGES or window is None or not attributes.get("channels", True):
        return ()
    return tuple(n for n in _IMAGES[key] if n in shapes and len(shapes[n]) == len(window) + 1)


def find(key: str) -> Maker | None:
    """The maker for ``<operator>.<role>``, or None; also None without oneDNN."""
    return _makers.get(key) if onednn.available() else None


def _padding(
    dims: Sequence[int],
    out: Sequence[int],
    window: Sequence[int],
    strides: Sequence[int],
    lower: Sequence[int] | None,
    upper: Sequence[int] | None,
    dilation: Sequence[int],
) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Padding in oneDNN's terms (never negative), or None if the windows cannot be said so."""
    if lower is None or upper is None or any(a < 0 for a in lower):
        return None
    above = tuple(max(0, b) for b in upper)
    for n, o, k, s, a, b, d in zip(dims, out, window, strides, lower, above, dilation, strict=True):
        if (n + a + b - (k - 1) * d - 1) // s + 1 != o:
            return None
    return tuple(lower), above


def _convolution_window(source: tuple[int, ...], target: tuple[int, ...], a: Mapping[str, Any]) -> Window | None:
    if not a["channels"] or 0 in (*source, *target):
        return None
    pads = _padding(source[2:], target[2:], a["kernel"], a["strides"], a["lower_pad"], a["upper_pad"], a["dilation"])
    if pads is None:
        return None
    return Window(
        source,
        tuple(a["kernel"]),
        tuple(a["strides"]),
        *pads,
        tuple(a["dilation"]),
        int(a["groups"]),
        int(a["outputs"]),
    )


def _renamed(rows: Rows, names: Mapping[str, str]) -> Rows:
    return Rows(rows.steps, {names.get(k, k): v for k, v in rows.operands.items()}, rows.kept)


@rows_for("convolution.forward")
def _convolution(request: Request) -> Rows | None:
    s = request.shapes
    window = _convolution_window(s["operand"], s["result"], request.attributes)
    if window is None:
        return None
    names = {"source": "operand", "weights": "convolution_map", "target": "result"}
    return _renamed(
        kernels.plan_convolution("forward", window, request.bias, request.post, _last(request, names)), names
    )


@rows_for("convolution.gradient.operand")
def _convolution_operand(request: Request) -> Rows | None:
    s = request.shapes
    window = _convolution_window(s["result"], s["dy"], request.attributes)
    if window is None:
        return None
    names = {"source_gradient": "result", "weights": "convolution_map", "target_gradient": "dy"}
    return _renamed(kernels.plan_convolution("data", window, last=_last(request, names)), names)


@rows_for("convolution.gradient.convolution_map")
def _convolution_map(request: Request) -> Rows | None:
    s = request.shapes
    window = _convolution_window(s["operand"], s["dy"], request.attributes)
    if window is None:
        return None
    names = {"source": "operand", "weights_gradient": "result", "target_gradient": "dy"}
    return _renamed(kernels.plan_convolution("weights", window, last=_last(request, names)), names)


def _last(request: Request, names: Mapping[str, str]) -> frozenset[str]:
    """The primitive's roles whose operands lie channels last."""
    return frozenset(role for role, name in names.items() if name in request.last)


def _pooling_window(
    source: tuple[int, ...], target: tuple[int, ...], a: Mapping[str, Any]
) -> tuple[str, Window] | None:
    rank = len(a["window"])
    if 0 in (*source, *target) or any(k < 1 for k in a["window"]) or rank > 3:
        return None
    ones = (1,) * rank
    pads = _padding(source[-rank:], target[-rank:], a["window"], a["strides"], a["lower_pad"], a["upper_pad"], ones)
    if pads is None or any(p >= k for p, k in zip((*pads[0], *pads[1]), (*a["window"], *a["window"]), strict=True)):
        return None
    channels = int(np.prod(source[1:-rank], dtype=np.int64))
    kind = "max" if a["pooling_type"] == 0 else "average_including_padding" if a["include_pad"] else "average"
    window = Window((source[0], channels, *source[-rank:]), tuple(a["window"]), tuple(a["strides"]), *pads)
    return kind, window


@rows_for("pooling.forward")
def _pooling(request: Request) -> Rows | None:
    found = _pooling_window(request.shapes["operand"], request.shapes["result"], request.attributes)
    if found is None or request.bias or request.post:
        return None
    names = {"source": "operand", "target": "result"}
    return _renamed(kernels.plan_pooling(*found, _last(request, names)), names)


@rows_for("pooling.gradient.operand")
def _pooling_gradient(request: Request) -> Rows | None:
    found = _pooling_window(request.shapes["result"], request.shapes["dy"], request.attributes)
    if found is None:
        return None
    kind, window = found
    names = {"source_gradient": "result", "target_gradient": "dy", "source": "operand"}
    last = _last(request, names)
    if last and len(last) < (3 if kind == "max" else 2):
        return None
    return _renamed(kernels.plan_pooling_gradient(kind, window, bool(last)), names)
