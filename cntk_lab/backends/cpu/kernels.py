"""Convolution and pooling with their gradients on the CPU, through oneDNN.

Each is a function ``f(*arrays, **attributes, out=None)`` on dense float32 arrays (batch, channels, spatial...) that
does what the operator's NumPy version does. ``plan_convolution`` and ``plan_pooling`` make rows for the executor
instead: a :class:`Rows` whose data addresses can be set at bind.

Attributes: ``strides``, ``lower_pad``, ``upper_pad``, ``dilation`` (one entry per spatial axis), ``groups``;
``pooling_window``, ``kind`` ("max", "average", "average_including_padding").

Knows arrays and oneDNN, no nodes and no plans.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from cntk_lab.backends.cpu import executor, jit, largest, onednn
from cntk_lab.backends.cpu.onednn import Bound, Layout, Primitive, aligned
from cntk_lab.backends.cpu.window import Window

Array: TypeAlias = npt.NDArray[np.float32]


@dataclass(slots=True)
class Rows:
    """Executor rows of one operator: primitives in order, and which of their arguments are which operand.

    Example: ``rows.set("weights", address)`` then ``table[i:j] = rows.table()``.
    """

    steps: list[Bound | largest.Row]
    operands: Mapping[str, list[tuple[Bound | largest.Row, str]]]
    kept: list[Array] = field(default_factory=list)
    """Memory of intermediate layouts."""

    def set(self, operand: str, data: int | Array) -> None:
        """Use this array, or the data at this address, as an operand or result."""
        for bound, role in self.operands[operand]:
            bound.set(role, data)

    def table(self) -> list[list[int]]:
        """Rows for the executor, in order."""
        return [s.entry() if isinstance(s, largest.Row) else executor.primitive_row(s.row()) for s in self.steps]

    def handles(self) -> list[jit.Handle]:
        """The kernels of our own among them, requested."""
        return [largest.kernel(s.what) for s in self.steps if isinstance(s, largest.Row)]

    def __call__(self) -> None:
        """Run it now, from Python."""
        for bound in self.steps:
            bound()


def _window(
    source: Sequence[int],
    spatial: Sequence[int],
    strides: Sequence[int] | None,
    lower_pad: Sequence[int] | None,
    upper_pad: Sequence[int] | None,
    dilation: Sequence[int] | None = None,
    groups: int = 1,
    maps: int = 0,
) -> Window:
    n = len(spatial)
    ones, zeros = (1,) * n, (0,) * n
    return Window(
        tuple(map(int, source)),
        tuple(map(int, spatial)),
        tuple(map(int, strides or ones)),
        tuple(map(int, lower_pad or zeros)),
        tuple(map(int, upper_pad or zeros)),
        tuple(map(int, dilation or ones)),
        int(groups),
        int(maps),
    )


def _dense(x: Array) -> Array:
    return np.ascontiguousarray(x, np.float32)


def _into(out: Array | None, shape: tuple[int, ...]) -> Array:
    """Where a result goes: ``out`` itself if it can be written to directly, else a new array."""
    usable = out is not None and out.dtype == np.float32 and out.flags.c_contiguous and out.shape == shape
    return out if usable and out is not None else np.empty(shape, np.float32)


def _done(result: Array, out: Array | None) -> Array:
    if out is None or out is result:
        return result
    np.copyto(out, result.reshape(out.shape))
    return out


def _convert(
    primitive: Primitive, role: str, plain: Layout, kept: list[Array], back: bool
) -> tuple[list[Bound], Bound | None]:
    """The reorder between a plain operand and the layout that a primitive likes; nothing if they are the same."""
    if primitive.is_layout(role, plain):
        return [], None
    memory = aligned(primitive.size(role))
    kept.append(memory)
    ends = ((primitive, role), plain) if back else (plain, (primitive, role))
    bound = onednn.reorder(*ends).bind({"source" if back else "target": memory})
    return [bound], bound


def plan_convolution(
    what: str, window: Window, bias: bool = False, post: tuple[str, ...] = (), last: frozenset[str] = frozenset()
) -> Rows:
    """Rows of a convolution on plain arrays.

    Args:
        what: "forward", "inference", "data" or "weights".
        window: the geometry.
        bias: whether there is a bias.
        post: words (tanh, logistic) applied to the result.
        last: roles of images that lie channels last; if there is one, the primitive computes in that order, and images
            that lie otherwise are reordered.

    Returns:
        Rows with operands source, weights, target (bias); for "data" source_gradient, weights, target_gradient; for
        "weights" source, weights_gradient, target_gradient (bias_gradient).
    """
    primitive = onednn.convolution(what, window, plain=False, last=bool(last), bias=bias, post=post)
    bound = primitive.bind()
    dense = {
        "source": Layout.dense(*window.source),
        "source_gradient": Layout.dense(*window.source),
        "target": Layout.dense(*window.target()),
        "target_gradient": Layout.dense(*window.target()),
        "weights": Layout.dense(*window.grouped_weights()),
        "weights_gradient": Layout.dense(*window.grouped_weights()),
    }
    dense.update({role: Layout.channels_last(*dense[role].dims) for role in last})
    results = {"forward": "target", "inference": "target", "data": "source_gradient", "weights": "weights_gradient"}
    before: list[Bound | largest.Row] = []
    after: list[Bound | largest.Row] = []
    operands: dict[str, list[tuple[Bound | largest.Row, str]]] = {}
    kept: list[Array] = []
    for role in primitive.roles:
        operands[role] = [(bound, role)]
        if role not in dense:
            continue
        back = role == results[what]
        steps, converter = _convert(primitive, role, dense[role], kept, back)
        (after if back else before).extend(steps)
        if converter is not None:
            bound.set(role, kept[-1])
            operands[role] = [(converter, "target" if back else "source")]
    return Rows([*before, bound, *after], operands, kept)


def plan_pooling(kind: str, window: Window, last: frozenset[str] = frozenset()) -> Rows:
    """Rows of a pooling: operands source, target; those in ``last`` lie channels last.

    Where only one does, the primitive computes channels last and the other is reordered.
    """
    primitive = onednn.pooling("inference", kind, window, last=bool(last))
    bound = primitive.bind()
    operands: dict[str, list[tuple[Bound | largest.Row, str]]] = {role: [(bound, role)] for role in primitive.roles}
    own = [largest.Row("mend", window, bool(last))] if kind == "max" else []
    before: list[Bound] = []
    after: list[Bound] = []
    kept: list[Array] = []
    for role, shape, named in (("source", window.source, "source"), ("target", window.target(), "pooled")):
        back = role == "target"
        steps, converter = (
            ([], None) if not last or role in last else _convert(primitive, role, Layout.dense(*shape), kept, back)
        )
        (after if back else before).extend(steps)
        if converter is None:
            operands[role] += [(row, named) for row in own]
            continue
        operands[role] = [(converter, "target" if back else "source")]
        bound.set(role, kept[-1])
        for row in own:
            row.set(named, kept[-1])
    return Rows([*before, bound, *own, *after], operands, kept)


def plan_pooling_gradient(kind: str, window: Window, last: bool = False) -> Rows:
    """Rows of a pooling's gradient: operands source (of "max" alone), target_gradient, source_gradient.

    Args:
        kind: as for :func:`pooling`.
        window: the geometry.
        last: whether all operands lie channels last.
    """
    backward = onednn.pooling("backward", kind, window, last=last).bind()
    operands: dict[str, list[tuple[Bound | largest.Row, str]]] = {
        role: [(backward, role)] for role in ("source_gradient", "target_gradient")
    }
    if kind != "max":
        return Rows([backward], operands)
    # the workspace (where the largest elements were) is found again: cheaper than to keep it through the forward pass
    primitive = onednn.pooling("forward", kind, window, last=last)
    forward = primitive.bind()
    workspace = aligned(primitive.size("workspace"))
    pooled, withheld = (aligned(4 * int(np.prod(window.target(), dtype=np.int64))) for _ in range(2))
    withhold, deliver = largest.Row("withhold", window, last), largest.Row("deliver", window, last)
    for step, role, memory in (
        (forward, "workspace", workspace),
        (backward, "workspace", workspace),
        (forward, "target", pooled),
        (withhold, "pooled", pooled),
        (deliver, "pooled", pooled),
        (withhold, "withheld", withheld),
        (backward, "target_gradient", withheld),
    ):
        step.set(role, memory)
    operands = {
        "source": [(forward, "source"), (deliver, "source")],
        "target_gradient": [(withhold, "given"), (deliver, "given")],
        "source_gradient": [(backward, "source_gradient"), (deliver, "gradient")],
    }
    return Rows([forward, withhold, backward, deliver], operands, [workspace, pooled, withheld])


_plans: dict[tuple[Any, ...], Rows] = {}
_MOST_PLANS: Final = 128


def _planned(key: tuple[Any, ...], make: Callable[[], Rows]) -> Rows:
    """Plans of plain calls are kept; the oldest go."""
    if key not in _plans:
        if len(_plans) >= _MOST_PLANS:
            _plans.pop(next(iter(_plans)))
        _plans[key] = make()
    return _plans[key]


def _run(rows: Rows, data: Mapping[str, Array]) -> None:
    for operand, array in data.items():
        rows.set(operand, array)
    rows()


def convolution(
    weights: Array,
    x: Array,
    *,
    strides: Sequence[int] | None = None,
    lower_pad: Sequence[int] | None = None,
    upper_pad: Sequence[int] | None = None,
    dilation: Sequence[int] | None = None,
    groups: int = 1,
    out: Array | None = None,
) -> Array:
    """Cross-correlation of x (batch x channels x spatial...) with weights (maps x channels/groups x window...).

    Args:
        weights: the kernel.
        x: what it slides over.
        strides: step of the kernel along each spatial axis; default 1.
        lower_pad: zeros before x along each spatial axis; default none.
        upper_pad: zeros behind x along each spatial axis; default none.
        dilation: distance between neighbouring taps of the kernel along each spatial axis; default 1.
        groups: independent groups of channels.
        out: where the result goes.

    Returns:
        float32 array (batch x maps x spatial...).
    """
    w = _window(x.shape, weights.shape[2:], strides, lower_pad, upper_pad, dilation, groups, weights.shape[0])
    y = _into(out, w.target())
    if y.size and x.size:
        rows = _planned(("convolution", w), lambda: plan_convolution("inference", w))
        _run(rows, {"source": _dense(x), "weights": _dense(weights), "target": y})
    else:
        y[...] = 0
    return _done(y, out)


def convolution_input_gradient(
    dy: Array,
    weights: Array,
    *,
    x_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    lower_pad: Sequence[int] | None = None,
    upper_pad: Sequence[int] | None = None,
    dilation: Sequence[int] | None = None,
    groups: int = 1,
    out: Array | None = None,
) -> Array:
    """Gradient of :func:`convolution` with respect to x, of shape ``x_shape``; also the transposed convolution of
    dy.
    """
    w = _window(x_shape, weights.shape[2:], strides, lower_pad, upper_pad, dilation, groups, weights.shape[0])
    dx = _into(out, w.source)
    if dy.size and dx.size:
        rows = _planned(("convolution/x", w), lambda: plan_convolution("data", w))
        _run(rows, {"target_gradient": _dense(dy), "weights": _dense(weights), "source_gradient": dx})
    else:
        dx[...] = 0
    return _done(dx, out)


def convolution_weights_gradient(
    dy: Array,
    x: Array,
    *,
    weights_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    lower_pad: Sequence[int] | None = None,
    upper_pad: Sequence[int] | None = None,
    dilation: Sequence[int] | None = None,
    groups: int = 1,
    out: Array | None = None,
) -> Array:
    """Gradient of :func:`convolution` with respect to its weights, summed over the batch."""
    w = _window(x.shape, weights_shape[2:], strides, lower_pad, upper_pad, dilation, groups, weights_shape[0])
    dw = _into(out, w.weights())
    if dy.size and x.size:
        rows = _planned(("convolution/weights", w), lambda: plan_convolution("weights", w))
        _run(rows, {"source": _dense(x), "target_gradient": _dense(dy), "weights_gradient": dw})
    else:
        dw[...] = 0
    return _done(dw, out)


def pooling(
    x: Array,
    *,
    pooling_window: Sequence[int],
    kind: str = "max",
    strides: Sequence[int] | None = None,
    lower_pad: Sequence[int] | None = None,
    upper_pad: Sequence[int] | None = None,
    out: Array | None = None,
) -> Array:
    """Largest or average element of each window of x (batch x channels x spatial...)."""
    w = _window(x.shape, pooling_window, strides, lower_pad, upper_pad)
    y = _into(out, w.target())
    if y.size:
        rows = _planned(("pooling", kind, w), lambda: plan_pooling(kind, w))
        _run(rows, {"source": _dense(x), "target": y})
    return _done(y, out)


def pooling_gradient(
    dy: Array,
    x: Array,
    *,
    pooling_window: Sequence[int],
    kind: str = "max",
    strides: Sequence[int] | None = None,
    lower_pad: Sequence[int] | None = None,
    upper_pad: Sequence[int] | None = None,
    out: Array | None = None,
) -> Array:
    """Gradient of :func:`pooling`; among equal largest elements the first one of a window gets it all."""
    w = _window(x.shape, pooling_window, strides, lower_pad, upper_pad)
    dx = _into(out, w.source)
    if not dy.size:
        dx[...] = 0
        return _done(dx, out)
    rows = _planned(("pooling/x", kind, w), lambda: plan_pooling_gradient(kind, w))
    data = {"target_gradient": _dense(dy), "source_gradient": dx}
    _run(rows, data | {"source": _dense(x)} if kind == "max" else data)
    return _done(dx, out)
