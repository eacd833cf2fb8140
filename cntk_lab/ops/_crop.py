"""Crops: the part of an image that has the size of another one, placed by hand or by the geometry of the network.

Convolutions and poolings map places of their result to places of their operand: ``x -> scale * x + shift``. Two images
with a common ancestor lie on it by the composition of those maps; the crop is placed where they meet. Must not know
convolution itself, only the explicit numbers that its ``resolve`` leaves at a node. Source: CNTK 2.7, observed;
Long et al. (2015), "Fully Convolutional Networks".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cntk_lab.errors import GraphError, ShapeError
from cntk_lab.graph import walk
from cntk_lab.graph.declare import tensor_op
from cntk_lab.graph.function import Function
from cntk_lab.graph.node import Node
from cntk_lab.graph.opdef import CntkRule, OnnxRule, Sample, TensorType, Trait
from cntk_lab.graph.operand import Operand
from cntk_lab.graph.variable import Variable
from cntk_lab.tensor.shape import text

Place = tuple[tuple[float, float], ...]
"""For rows and columns: scale and shift."""

__all__ = ["crop_automatic", "crop_automatic_with_ancestors", "crop_manual"]

_IDENTITY: Place = ((1.0, 0.0), (1.0, 0.0))


class CropError(GraphError, RuntimeError):
    """A crop cannot be placed by the geometry of the network."""


def _window(node_input: TensorType, node_referent: TensorType, x: int, y: int) -> dict[str, Any]:
    """First row and column of a crop.

    Raises:
        ShapeError: if it does not lie inside the operand.
    """
    if node_input.rank < 2 or node_referent.rank < 2:
        raise ShapeError(
            f"crop: the operands {text(node_input.dims)} and {text(node_referent.dims)} need height and width",
            fix="height and width are the last two axes",
        )
    height, width = node_referent.dims[-2:]
    have_h, have_w = node_input.dims[-2:]
    if x < 0 or y < 0 or (min(height, width, have_h, have_w) >= 0 and (y + height > have_h or x + width > have_w)):
        raise ShapeError(
            f"crop: {height} x {width} pixels from row {y}, column {x} do not lie inside {text(node_input.dims[-2:])}",
            fix="choose smaller offsets, or a smaller referent",
        )
    return {"top": y, "left": x}


def _forward(xp: Any, node_input: Any, node_referent: Any, top: int, left: int) -> Any:
    height, width = node_referent.shape[-2:]
    return xp.ascontiguousarray(node_input[..., top : top + height, left : left + width])


def _gradient(xp: Any, dy: Any, node_input: Any, top: int, left: int) -> Any:
    result = xp.zeros((dy.shape[0], *node_input.shape[1:]), dy.dtype)
    result[..., top : top + dy.shape[-2], left : left + dy.shape[-1]] = dy
    return result


_FACTS: dict[str, Any] = {
    "shape": lambda node_input, node_referent: node_input.dims[:-2] + node_referent.dims[-2:],
    "settles": ("top", "left"),
    "forward": _forward,
    "gradient": {"node_input": _gradient},
    "onnx": OnnxRule("Crop"),
}


@tensor_op(
    arrays="node_input",
    resolve=lambda node_input, node_referent, offset_x, offset_y: _window(
        node_input, node_referent, int(offset_x), int(offset_y)
    ),
    operands=("node_input", "node_referent"),
    traits=[Trait.SAME_AXES],
    cntk=CntkRule("Crop", id=84, attributes={"offset_x": "offset", "offset_y": "offset"}),
    samples=(Sample(((2, 5, 6), (1, 3, 3)), {"offset_x": 1, "offset_y": 2}),),
    **_FACTS,
)
def crop_manual(node_input: Operand, node_referent: Operand, offset_x: int, offset_y: int, name: str = "") -> Function:
    """The part of an image that has the size of another one.

    Args:
        node_input: image (... x H x W); dynamic axes pass through.
        node_referent: operand whose last two dimensions are the size of the part; its numbers do not matter.
        offset_x: first column of the part, in pixels.
        offset_y: first row of the part, in pixels.

    Returns:
        Function (... x height x width of the referent).

    Raises:
        ShapeError: if the part does not lie inside.

    Example:
        >>> import numpy as np
        >>> import cntk_lab as C
        >>> x, r = C.input_variable((1, 3, 3)), C.input_variable((1, 2, 2))
        >>> data = {x: np.arange(9).reshape(1, 1, 3, 3), r: np.zeros((1, 1, 2, 2))}
        >>> C.crop_manual(x, r, 1, 0).eval(data).ravel().tolist()
        [1.0, 2.0, 4.0, 5.0]

    Source: CNTK 2.7 ``ops.crop_manual``.
    """


# ---- placed by the network


def _step(node: Node, position: int) -> Place | None:
    """How places of a node's result lie on one of its operands; None if the node has no such geometry."""
    numbers = node.resolved
    lower, strides = numbers.get("lower_pad"), numbers.get("strides")
    taps = numbers.get("kernel", numbers.get("window"))
    if lower is None or strides is None or taps is None:
        here, there = node.outputs[0].type.shape, node.inputs[position].type.shape
        return _IDENTITY if here is not None and there is not None and here[-2:] == there[-2:] else None
    if len(taps) < 2 or (node.op.name == "unpooling" and position == 1):
        return None
    if node.op.name.startswith("convolution") and position != 1:
        return None
    gaps = numbers.get("dilation", (1,) * len(taps))
    maps = []
    for k, d, s, p in zip(taps[-2:], gaps[-2:], strides[-2:], lower[-2:], strict=True):
        middle = (k - 1) * d / 2 - p
        # what enlarges is the inverse of what reduces
        maps.append(
            (1 / s, -middle / s) if node.op.name in ("convolution_transpose", "unpooling") else (float(s), middle)
        )
    return tuple(maps)


def _places(variable: Variable) -> dict[int, Place]:
    """How places of a variable lie on everything below it that has a geometry (the nearest first)."""
    found: dict[int, Place] = {}
    waiting = [(walk.resolve(variable), _IDENTITY)]
    while waiting:
        here, place = waiting.pop(0)
        if id(here) in found:
            continue
        found[id(here)] = place
        if here.node is None:
            continue
        for position, operand in enumerate(here.node.inputs):
            step = _step(here.node, position)
            if step is not None:
                composed = tuple((a * s, a * t + b) for (s, t), (a, b) in zip(place, step, strict=True))
                waiting.append((walk.resolve(operand), composed))
    return found


def _offsets(first: Place, second: Place) -> tuple[int, int]:
    """Row and column of the first image at which the second one begins."""
    result = []
    for (s1, t1), (s2, t2) in zip(first, second, strict=True):
        if abs(s1 / s2 - 1) > 1e-6:
            raise CropError(
                f"crop: the images have the scales {s1} and {s2} against their common ancestor: "
                "Composite transform has non 1 scale in crop node",
                fix="enlarge the smaller one by a transposed convolution first",
            )
        offset = (t2 - t1) / s1
        if offset <= -1:
            raise CropError(
                f"crop: the referent begins {-offset} pixels before the operand", fix="exchange the operands"
            )
        result.append(int(offset))
    return result[0], result[1]


def _resolve_automatic(
    node: Node, node_input: TensorType, node_referent: TensorType, ancestor_input: TensorType | None
) -> dict[str, Any]:
    first, second = _places(node.inputs[0]), _places(node.inputs[1])
    if ancestor_input is not None:
        common = [(id(walk.resolve(node.inputs[2])), id(walk.resolve(node.inputs[3])))]
    else:
        common = [(v, v) for v in first if v in second]
    ends: Sequence[tuple[Place, Place]] = [(first[a], second[b]) for a, b in common if a in first and b in second]
    if not ends:
        raise CropError(
            "crop: Connected path between crop inputs not found. Unable to compute crop offsets",
            fix="use crop_automatic_with_ancestors, or crop_manual",
        )
    top, left = _offsets(*ends[0])
    return _window(node_input, node_referent, left, top)


@tensor_op(
    resolve=_resolve_automatic,
    operands=("node_input", "node_referent", "ancestor_input", "ancestor_referent"),
    cntk=CntkRule("Crop", id=84, where={"offset": None}),
    **_FACTS,
)
def _crop_automatic(
    node_input: Operand,
    node_referent: Operand,
    ancestor_input: Operand | None = None,
    ancestor_referent: Operand | None = None,
    name: str = "",
) -> Function:
    """See :func:`crop_automatic`."""


def crop_automatic(node_input: Operand, node_referent: Operand, name: str = "") -> Function:
    """The part of an image that lies where another one lies on their common ancestor.

    Args:
        node_input: image (... x H x W), larger than the other.
        node_referent: image whose size and place the part has; its numbers do not matter.

    Returns:
        Function (... x height x width of the referent).

    Raises:
        GraphError: if convolutions, poolings and elementwise operators do not lead both to one ancestor at equal scale
            (also a RuntimeError).

    Example:
        >>> import cntk_lab as C
        >>> x = C.input_variable((1, 5, 5))
        >>> smaller = C.pooling(x, C.MAX_POOLING, (3, 3))
        >>> C.crop_automatic(x, smaller).shape
        (1, 3, 3)

    Source: CNTK 2.7 ``ops.crop_automatic``.
    """
    return _crop_automatic(node_input, node_referent, None, None, name)


def crop_automatic_with_ancestors(
    node_input: Operand, node_referent: Operand, ancestor_input: Operand, ancestor_referent: Operand, name: str = ""
) -> Function:
    """The part of an image that lies where another one lies, their ancestors being laid on one another.

    Args:
        node_input: image (... x H x W), larger than the other.
        node_referent: image whose size and place the part has; its numbers do not matter.
        ancestor_input: what node_input is made of.
        ancestor_referent: what node_referent is made of; its first pixel lies on that of ancestor_input.

    Returns:
        Function (... x height x width of the referent).

    Raises:
        GraphError: if an image does not lead to its ancestor, or the scales differ (also a RuntimeError).

    Example:
        >>> import cntk_lab as C
        >>> x, r = C.input_variable((1, 5, 5)), C.input_variable((1, 5, 5))
        >>> C.crop_automatic_with_ancestors(x, C.pooling(r, C.MAX_POOLING, (3, 3)), x, r).shape
        (1, 3, 3)

    Source: CNTK 2.7 ``ops.crop_automatic_with_ancestors``.
    """
    return _crop_automatic(node_input, node_referent, ancestor_input, ancestor_referent, name)
