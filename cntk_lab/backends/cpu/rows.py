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
from cntk_lab.backends.cpu.onednn import Window, aligned

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Request:
    """What a step wants.

    Args:
        shapes: operand name -> shape with rows; ``result`` is what the step writes.
        attributes: the operator's resolved attributes.
        bias: whether a bias per channel is added to the result.
        post: activation applied to the result.
    """

    shapes: Shapes
    attributes: Mapping[str, Any]
    bias: bool = False
    post: tuple[str, ...] = ()


Maker = Callable[[Request], Rows | None]
_makers: dict[str, Maker] = {}


def rows_for(key: str) -> Callable[[Maker], Maker]:
    """Register a maker of rows."""

    def register(maker: Maker) -> Maker:
        _makers[key] = maker
        return maker

    return register


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


def _convolution_window(
    source: tuple[int, ...], target: tuple[int, ...], weights: tuple[int, ...], a: Mapping[str, Any]
) -> Window | None:
    if not a["channels"] or 0 in (*source, *target):
        return None
    pads = _padding(source[2:], target[2:], a["kernel"], a["strides"], a["lower_pad"], a["upper_pad"], a["dilation"])
    if pads is None:
        return None
    return Window(
        source, tuple(a["kernel"]), tuple(a["strides"]), *pads, tuple(a["dilation"]), int(a["groups"]), weights[0]
    )


def _renamed(rows: Rows, names: Mapping[str, str]) -> Rows:
    return Rows(rows.steps, {names.get(k, k): v for k, v in rows.operands.items()}, rows.kept)


@rows_for("convolution.forward")
def _convolution(request: Request) -> Rows | None:
    s = request.shapes
    weights = s["convolution_map"][1:]
    window = _convolution_window(s["operand"], s["result"], weights, request.attributes)
    if window is None:
        return None
    rows = kernels.plan_convolution("forward", window, request.bias, request.post)
    return _renamed(rows, {"source": "operand", "weights": "convolution_map", "target": "result"})


@rows_for("convolution.gradient.operand")
def _convolution_operand(request: Request) -> Rows | None:
    s = request.shapes
    window = _convolution_window(s["result"], s["dy"], s["convolution_map"][1:], request.attributes)
    if window is None:
        return None
    rows = kernels.plan_convolution("data", window)
    return _renamed(rows, {"source_gradient": "result", "weights": "convolution_map", "target_gradient": "dy"})


@rows_for("convolution.gradient.convolution_map")
def _convolution_map(request: Request) -> Rows | None:
    s = request.shapes
    window = _convolution_window(s["operand"], s["dy"], s["result"][1:], request.attributes)
    if window is None:
        return None
    rows = kernels.plan_convolution("weights", window)
    return _renamed(rows, {"source": "operand", "weights_gradient": "result", "target_gradient": "dy"})


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
    return _renamed(kernels.plan_pooling("inference", *found), {"source": "operand", "target": "result"})


@rows_for("pooling.gradient.operand")
def _pooling_gradient(request: Request) -> Rows | None:
    found = _pooling_window(request.shapes["result"], request.shapes["dy"], request.attributes)
    if found is None:
        return None
    kind, window = found
    backward = kernels.plan_pooling("backward", kind, window)
    operands = {"result": backward.operands["source_gradient"], "dy": backward.operands["target_gradient"]}
    if kind != "max":
        return Rows(backward.steps, operands)
    # the workspace (where the largest elements were) is found again: cheaper than to keep it through the forward pass
    forward = kernels.plan_pooling("forward", kind, window)
    workspace = aligned(onednn.pooling("forward", kind, window).size("workspace"))
    largest = aligned(4 * int(np.prod(window.target(), dtype=np.int64)))
    forward.set("workspace", workspace)
    forward.set("target", largest)
    backward.set("workspace", workspace)
    operands["operand"] = forward.operands["source"]
    return Rows([*forward.steps, *backward.steps], operands, [workspace, largest])
