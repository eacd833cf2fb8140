"""How operators of static axes are said in ONNX: one function for each, given the sheet and the node's facts.

Must not know graphs or files. Axes are counted from the right, as inference settles them: so dynamic axes in front do
not matter. An operator that has a formula needs no line here unless ONNX has a better word for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from cntk_lab.errors import NotAvailableError
from cntk_lab.formats.onnx._sheet import Held, Sheet
from cntk_lab.formats.onnx.tensors import ELEMENT_OF
from cntk_lab.graph.opdef import OpDef, TensorType
from cntk_lab.tensor.shape import FREE, Shape


@dataclass(frozen=True, slots=True)
class Use:
    """One use of an operator: operands, attributes (settled ones too), what comes out."""

    op: OpDef
    operands: tuple[Held, ...]
    facts: Mapping[str, Any]
    outputs: tuple[TensorType, ...]

    @property
    def dims(self) -> Shape:
        """Static dimensions of the first output."""
        return self.outputs[0].dims

    @property
    def lead(self) -> int:
        """Dynamic axes of the first output."""
        return len(self.outputs[0].axes or ())

    @property
    def dtype(self) -> str:
        """Element type of the first output."""
        return self.outputs[0].dtype or "float32"


Rule = Callable[[Sheet, Use], "str | Sequence[str] | None"]
"""What writes a use: the names of its outputs; None: ONNX has no word for this use, its formula is taken."""


def _attributes(use: Use) -> dict[str, Any]:
    """Attributes under the names that the operator declares for ONNX."""
    assert use.op.onnx is not None
    found = {theirs: use.facts[ours] for ours, theirs in use.op.onnx.attributes.items()}
    return {k: float(v) if isinstance(v, (int, float)) and not isinstance(v, bool) else v for k, v in found.items()}


def word(sheet: Sheet, use: Use) -> str:
    """The declared word, operands broadcast as usual."""
    assert use.op.onnx is not None
    rank = len(use.dims)
    names = [sheet.aligned(v, use.lead, rank) for v in use.operands]
    if any(v.lead for v in use.operands) != bool(use.lead):
        raise NotAvailableError("a result whose dynamic axes come from nowhere")
    return sheet.op(use.op.onnx.op, *names, **_attributes(use))


def steep(sheet: Sheet, use: Use) -> str | None:
    """Softplus and softsign of the usual steepness."""
    assert use.op.onnx is not None
    return sheet.op(use.op.onnx.op, use.operands[0].name) if use.facts["steepness"] == 1 else None


def prelu(sheet: Sheet, use: Use) -> str | None:
    """PRelu broadcasts its slope to the operand, not the other way."""
    slope, x = use.operands
    if slope.lead or x.dims != use.dims or slope.rank > x.rank:
        return None
    return sheet.op("PRelu", x.name, slope.name)


def along_one(sheet: Sheet, use: Use) -> str | None:
    """Softmax and its like along one static axis."""
    assert use.op.onnx is not None
    along = list(use.facts["along"])
    return sheet.op(use.op.onnx.op, use.operands[0].name, axis=int(along[0])) if len(along) == 1 else None


def reduction(sheet: Sheet, use: Use) -> str | None:
    """Reductions along static axes; those over rows are formulas."""
    assert use.op.onnx is not None
    along = list(use.facts["along"])
    if not along or any(isinstance(a, str) for a in along):
        return None
    (x,) = use.operands
    keep = len(use.dims) == x.rank
    if not keep and len(use.dims) != x.rank - len(along):
        return None
    return sheet.reduced(use.op.onnx.op.removeprefix("Reduce"), x.name, along, keep=keep)


def place_of(sheet: Sheet, use: Use) -> str | None:
    """ArgMax and ArgMin along one axis; the first of equal elements, as in CNTK."""
    assert use.op.onnx is not None
    along = list(use.facts["along"])
    if len(along) != 1 or isinstance(along[0], str):
        return None
    found = sheet.op(use.op.onnx.op, use.operands[0].name, axis=int(along[0]), keepdims=1)
    return sheet.cast(found, use.dtype)


def identity(sheet: Sheet, use: Use) -> str:
    """What passes its operand through."""
    return sheet.op("Identity", use.operands[0].name)


def unpack_batch(sheet: Sheet, use: Use) -> str:
    """The samples of a minibatch as a static axis: the tensor stays as it is."""
    if use.operands[0].lead > 1:
        raise NotAvailableError("the batch axis of sequences as a static axis")
    return identity(sheet, use)


def cast(sheet: Sheet, use: Use) -> str:
    """Another element type."""
    return sheet.cast(use.operands[0].name, use.dtype)


# ---- shapes


def view(sheet: Sheet, use: Use) -> str:
    """The same elements in another shape; the dynamic axes in front stay."""
    (x,) = use.operands
    if use.dims.count(FREE) > 1:
        gone = use.facts.get("gone")
        if gone is not None:
            return sheet.squeezed(x.name, [int(a) for a in gone])
        raise NotAvailableError("a reshape with more than one free dimension")
    return sheet.reshaped(x.name, [0] * x.lead + [-1 if d == FREE else d for d in use.dims])


def transpose(sheet: Sheet, use: Use) -> str:
    """Static axes in another order."""
    (x,) = use.operands
    order = [int(a) % x.rank for a in use.facts["order"]]
    return sheet.op("Transpose", x.name, perm=(*range(x.lead), *(x.lead + a for a in order)))


def slices(sheet: Sheet, use: Use) -> str:
    """Parts along static axes; a negative stride goes backwards over the part."""
    (x,) = use.operands
    cuts = use.facts["cuts"]
    rows = []
    farthest = np.iinfo(np.int64)
    for at, begin, end, step in cuts:
        if step > 0:
            first, last = begin, end or farthest.max
        else:
            first = end - 1 if end else -1
            last = begin - 1 if begin else farthest.min
        rows.append((int(first), int(last), int(at) - x.rank, int(step)))
    return sheet.op("Slice", x.name, *(sheet.ints(*column) for column in zip(*rows, strict=True)))


def splice(sheet: Sheet, use: Use) -> str:
    """Values put together along a static axis; what one of them lacks in other axes is broadcast."""
    along = use.facts["along"]
    at = int(along) if isinstance(along, int) else int(along[0])
    rank = len(use.dims)
    at = at - rank if at >= 0 else at
    names = []
    for v in use.operands:
        dims = (1,) * (rank - v.rank) + v.dims
        wanted = tuple(d if i - rank == at else w for i, (d, w) in enumerate(zip(dims, use.dims, strict=True)))
        name = sheet.aligned(v, use.lead, rank)
        if v.rank < rank and not v.lead:
            name = sheet.reshaped(name, dims)
        if v.lead < use.lead or wanted != dims:
            name = sheet.op("Expand", name, _shape_like(sheet, use, wanted))
        names.append(name)
    return sheet.op("Concat", *names, axis=at)


def _shape_like(sheet: Sheet, use: Use, dims: Shape) -> str:
    """The dynamic axes of the widest operand, and static dimensions."""
    if FREE in dims:
        raise NotAvailableError("a value that is broadcast over a free dimension")
    if not use.lead:
        return sheet.ints(*dims)
    widest = max(use.operands, key=lambda v: v.lead)
    rows = sheet.op("Shape", widest.name, start=0, end=use.lead)
    return sheet.op("Concat", rows, sheet.ints(*dims), axis=0) if dims else rows


def pad(sheet: Sheet, use: Use) -> str:
    """Elements put around static axes."""
    (x,) = use.operands
    mode = use.facts["mode"]
    heads, feet = zip(*((int(a), int(b)) for a, b in use.facts["widths"]), strict=True)
    if mode == 2:  # SYMMETRIC_PAD
        return _symmetric(sheet, x, heads, feet)
    pads = sheet.ints(*[0] * x.lead, *heads, *[0] * x.lead, *feet)
    if mode == 0:
        return sheet.op("Pad", x.name, pads, sheet.number(use.facts["constant_value"], x.dtype), mode="constant")
    return sheet.op("Pad", x.name, pads, mode="reflect")


def _symmetric(sheet: Sheet, x: Held, heads: Sequence[int], feet: Sequence[int]) -> str:
    """Mirrored at the edge itself, which ONNX's modes do not say: elements are taken by their places."""
    name = x.name
    for at, (head, foot) in enumerate(zip(heads, feet, strict=True)):
        if head or foot:
            if x.dims[at] == FREE:
                raise NotAvailableError("symmetric padding of a free dimension")
            places = np.pad(np.arange(x.dims[at]), (head, foot), mode="symmetric")
            name = sheet.op("Gather", name, sheet.array(places.astype(np.int64)), axis=x.lead + at)
    return name


# ---- products


def times(sheet: Sheet, use: Use) -> str:
    """A product of matrices, of values seen as (left axes x summed axes) and (summed axes x right axes)."""
    spec = use.facts["contraction"]
    left, right = use.operands
    a, k, o = (spec.sizes[letter] for letter in "ako")
    if FREE in (a, k, o):
        return _free_product(sheet, use)
    x, y = (_as_matrix(sheet, v, use.lead, sizes) for v, sizes in ((left, (a, k)), (right, (k, o))))
    if spec.right.endswith("ok"):  # the right operand is transposed
        y = _as_matrix(sheet, right, use.lead, (o, k))
        lead = use.lead if right.lead else 0
        y = sheet.transposed(y, [*range(lead), lead + 1, lead])
    found = sheet.op("MatMul", x, y)
    if use.dims == (a, o):
        return found
    return sheet.reshaped(found, [0] * use.lead + list(use.dims))


def _as_matrix(sheet: Sheet, v: Held, lead: int, sizes: Shape) -> str:
    """The value with two static axes of these sizes, with the dynamic axes that the product has (or none)."""
    name = v.name if v.dims == sizes else sheet.reshaped(v.name, [0] * v.lead + list(sizes))
    return sheet.unsqueezed(name, list(range(v.lead, lead))) if v.lead else name


def _free_product(sheet: Sheet, use: Use) -> str:
    """A product along the last axis where other dimensions are free: a matrix on the right."""
    left, right = use.operands
    if right.rank != 2 or right.lead or left.rank < 1 or len(use.dims) != left.rank:
        raise NotAvailableError("this product of values with free dimensions")
    return sheet.op("MatMul", left.name, right.name)


# ---- windows


def _outside(sheet: Sheet, x: Held, channels: bool) -> tuple[str, Callable[[str, Shape], str]]:
    """The operand as (samples x channels x spatial axes), and what gives a result its dynamic axes back."""
    name = x.name
    if not channels:
        name = sheet.unsqueezed(name, [x.lead])
    if x.lead == 1:
        return name, lambda y, dims: y
    if not x.lead:
        return sheet.unsqueezed(name, [0]), lambda y, dims: sheet.squeezed(y, [0])
    static = x.dims if channels else (1, *x.dims)
    if FREE in static:
        raise NotAvailableError("windows over free dimensions of every frame of a sequence")
    rows = sheet.op("Shape", name, start=0, end=x.lead)
    folded = sheet.reshaped(name, [-1, *static])

    def back(y: str, dims: Shape) -> str:
        return sheet.op("Reshape", y, sheet.op("Concat", rows, sheet.ints(*dims), axis=0))

    return folded, back


def _fitted(sheet: Sheet, name: str, use: Use) -> tuple[str, Any]:
    """The operand cut where padding is negative, and the padding that is left, as ONNX lists it."""
    lower, upper = use.facts["lower_pad"], use.facts["upper_pad"]
    if lower is None or upper is None:
        return name, None
    cuts = [(i + 2, max(0, -a), min(0, b)) for i, (a, b) in enumerate(zip(lower, upper, strict=True))]
    cuts = [(axis, a, b) for axis, a, b in cuts if a or b]
    if cuts:
        ends = [b or np.iinfo(np.int64).max for _, _, b in cuts]
        lists = [[a for _, a, _ in cuts], ends, [axis for axis, _, _ in cuts]]
        name = sheet.op("Slice", name, *(sheet.ints(*map(int, v)) for v in lists))
    return name, (*(max(0, int(a)) for a in lower), *(max(0, int(b)) for b in upper))


def _auto(use: Use) -> dict[str, Any]:
    """Padding of free dimensions: known when the model runs."""
    same = set(use.facts["same"])
    if same == {True}:
        kernel = use.facts["kernel"] if "kernel" in use.facts else use.facts["window"]
        if any(k % 2 == 0 for k in kernel) or set(use.facts["strides"]) != {1}:
            raise NotAvailableError("padded windows of free dimensions with even sizes or strides")
        gaps = use.facts.get("dilation", (1,) * len(kernel))
        half = tuple((k - 1) * d // 2 for k, d in zip(kernel, gaps, strict=True))
        return {"pads": (*half, *half)}
    if same == {False}:
        return {"pads": (0,) * (2 * len(use.facts["same"]))}
    raise NotAvailableError("windows of free dimensions that are padded along some axes only")


def convolution(sheet: Sheet, use: Use) -> str:
    """Conv over static axes."""
    weights, x = use.operands
    facts = use.facts
    if facts["channel_windows"] != 1:
        raise NotAvailableError("windows over channels")
    channels = bool(facts["channels"])
    name, back = _outside(sheet, x, channels)
    name, pads = _fitted(sheet, name, use)
    padding = _auto(use) if pads is None else {"pads": pads}
    kernels = weights.name
    wanted = (facts["outputs"], -1, *facts["kernel"])
    whole = weights.dims
    if len(whole) != len(wanted):
        kernels = sheet.reshaped(kernels, wanted)
    found = sheet.op(
        "Conv", name, kernels, kernel_shape=tuple(facts["kernel"]), strides=tuple(facts["strides"]),
        dilations=tuple(facts["dilation"]), group=int(facts["groups"]), **padding,
    )  # fmt: skip
    return back(found, use.dims)


def convolution_transpose(sheet: Sheet, use: Use) -> str:
    """ConvTranspose: more is computed than asked for, and the padding is cut away."""
    weights, x = use.operands
    facts = use.facts
    channels = bool(facts["channels"])
    if facts["lower_pad"] is None or FREE in facts["out"]:
        raise NotAvailableError("a transposed convolution of free dimensions")
    name, back = _outside(sheet, x, channels)
    kernels = weights.name
    if weights.rank != len(facts["kernel"]) + 2:
        kernels = sheet.reshaped(kernels, (-1, facts["outputs"], *facts["kernel"]))
    small = x.dims[1:] if channels else x.dims
    spans = [(k - 1) * d + 1 for k, d in zip(facts["kernel"], facts["dilation"], strict=True)]
    whole = [(n - 1) * s + k for n, s, k in zip(small, facts["strides"], spans, strict=True)]
    lower = [int(a) for a in facts["lower_pad"]]
    missing = [o + low - w for o, low, w in zip(facts["out"], lower, whole, strict=True)]
    found = sheet.op(
        "ConvTranspose", name, kernels, kernel_shape=tuple(facts["kernel"]), strides=tuple(facts["strides"]),
        dilations=tuple(facts["dilation"]), pads=(0,) * (2 * len(lower)),
    )  # fmt: skip
    if any(a < 0 for a in lower) or any(m > 0 for m in missing):
        pads = [0, 0, *(max(0, -a) for a in lower), 0, 0, *(max(0, m) for m in missing)]
        found = sheet.op("Pad", found, sheet.ints(*pads))
    starts = [max(0, a) for a in lower]
    if any(starts) or any(m < 0 for m in missing):
        ends = [a + o for a, o in zip(starts, facts["out"], strict=True)]
        axes = range(2, 2 + len(lower))
        found = sheet.op("Slice", found, sheet.ints(*starts), sheet.ints(*ends), sheet.ints(*axes))
    return back(found, use.dims)


def pooling(sheet: Sheet, use: Use) -> str:
    """MaxPool and AveragePool; a mean over what lies inside, or over whole windows."""
    (x,) = use.operands
    facts = use.facts
    window, strides = tuple(facts["window"]), tuple(facts["strides"])
    channels = x.rank > len(window)
    if x.rank > len(window) + 1:
        raise NotAvailableError("pooling with more than one axis in front of the pooled ones")
    largest = facts["pooling_type"] == 0
    name, back = _outside(sheet, x, channels)
    if not channels and x.lead < 2:
        samples = back

        def back(y: str, dims: Shape) -> str:
            return sheet.squeezed(samples(y, dims), [x.lead])

    if min(window) < 0:  # the whole of free dimensions
        return back(sheet.op("GlobalMaxPool" if largest else "GlobalAveragePool", name), use.dims)
    name, pads = _fitted(sheet, name, use)
    padding = _auto(use) if pads is None else {"pads": pads}
    if largest and any(padding["pads"]):
        # ONNX allows no padding as large as the window: the smallest number stands around
        rank = len(window)
        around = [0, 0, *padding["pads"][:rank], 0, 0, *padding["pads"][rank:]]
        name = sheet.op("Pad", name, sheet.ints(*around), sheet.number(-np.inf, x.dtype))
        padding = {"pads": (0,) * (2 * rank)}
    if largest:
        found = sheet.op("MaxPool", name, kernel_shape=window, strides=strides, **padding)
    else:
        whole = int(facts["include_pad"])
        found = sheet.op(
            "AveragePool", name, kernel_shape=window, strides=strides, count_include_pad=whole, **padding
        )  # fmt: skip
    return back(found, use.dims)


def roi_pooling(sheet: Sheet, use: Use) -> str:
    """Refused: MaxRoiPool rounds the corners of regions in another way, and wants them with numbers of images."""
    del sheet, use
    raise NotAvailableError("ONNX's MaxRoiPool divides regions in another way than CNTK")


# ---- numbers as places


def gather(sheet: Sheet, use: Use) -> str:
    """Elements along the first axis by their places."""
    reference, indices = use.operands
    places = sheet.cast(indices.name, "int64")
    if not reference.lead:
        return sheet.op("Gather", reference.name, places, axis=0)
    if reference.lead == indices.lead == 1:
        flat = sheet.reshaped(places, [0, *indices.dims]) if indices.rank else sheet.unsqueezed(places, [1])
        whole = sheet.unsqueezed(flat, [indices.lead + max(indices.rank, 1)])
        found = sheet.op("GatherND", reference.name, whole, batch_dims=1)
        return found if indices.rank else sheet.squeezed(found, [1])
    raise NotAvailableError("a gather from a reference with other dynamic axes than the places")


def one_hot(sheet: Sheet, use: Use) -> str:
    """Vectors with 1 at a place; all 0 where there is no such place (ONNX counts negative places from the end)."""
    (x,) = use.operands
    at = int(use.facts["at"])
    at = at if at >= 0 else at + len(use.dims)
    more = len(use.dims) - at - 1
    classes = np.arange(use.facts["num_classes"], dtype=x.dtype).reshape(-1, *[1] * more)
    return sheet.cast(sheet.op("Equal", sheet.unsqueezed(x.name, [x.lead + at]), sheet.array(classes)), use.dtype)


def top_k(sheet: Sheet, use: Use) -> Sequence[str]:
    """The largest elements and their places."""
    (x,) = use.operands
    found = sheet.node("TopK", [x.name, sheet.ints(int(use.facts["k"]))], 2, axis=int(use.facts["at"]))
    return found[0], sheet.cast(found[1], use.dtype)


def eye_like(sheet: Sheet, use: Use) -> str:
    """A matrix with ones on the diagonal, for every sample."""
    (x,) = use.operands
    if x.lead or x.rank != 2:
        raise NotAvailableError("an identity matrix over dynamic axes")
    return sheet.op("EyeLike", x.name, dtype=ELEMENT_OF[use.dtype])


# ---- normalisation


def batch_normalization(sheet: Sheet, use: Use) -> str | None:
    """BatchNormalization by channels, with the running statistics; that by elements is a formula."""
    x, *rest = use.operands
    if not use.facts["spatial"] and x.rank != 1:
        return None
    if x.rank == 0 or FREE in x.dims[:1]:
        return None
    names = [v.name if v.rank == 1 else sheet.reshaped(v.name, [-1]) for v in rest[:4]]
    scale, bias, mean, variance = names
    name, back = _outside(sheet, x, channels=True)
    found = sheet.op("BatchNormalization", name, scale, bias, mean, variance, epsilon=float(use.facts["epsilon"]))
    return back(found, use.dims)


def local_response(sheet: Sheet, use: Use) -> str:
    """LRN over channels; ONNX's alpha is CNTK's, divided by the window in both."""
    (x,) = use.operands
    facts = use.facts
    name, back = _outside(sheet, x, channels=True)
    if x.rank < 3:
        name = sheet.unsqueezed(name, list(range(1 + x.rank, 4)))
    found = sheet.op(
        "LRN", name, alpha=float(facts["alpha"]), beta=float(facts["beta"]), bias=float(facts["bias"]),
        size=2 * int(facts["depth_radius"]) + 1,
    )  # fmt: skip
    if x.rank < 3:
        found = sheet.squeezed(found, list(range(1 + x.rank, 4)))
    return back(found, use.dims)


def dropout(sheet: Sheet, use: Use) -> str:
    """Dropout, which passes its operand through unless a model is trained."""
    (x,) = use.operands
    ratio = sheet.array(np.asarray(use.facts["dropout_rate"], np.float32))
    return sheet.op("Dropout", x.name, ratio)


def blocks(sheet: Sheet, use: Use) -> str:
    """Channels to pixels and back, in ONNX's order of depth first for channels to pixels."""
    assert use.op.onnx is not None
    (x,) = use.operands
    name, back = _outside(sheet, x, channels=True)
    return back(sheet.op(use.op.onnx.op, name, blocksize=int(use.facts["block_size"])), use.dims)


def random_tensor(sheet: Sheet, use: Use) -> str:
    """Random numbers of a shape, or of the shape of an operand; which ones they are is the reader's affair."""
    assert use.op.onnx is not None
    facts, onnx = use.facts, use.op.onnx.op
    by_name = (("low", "low"), ("high", "high"), ("mean", "mean"), ("scale", "scale"))
    given = {theirs: float(facts[ours]) for ours, theirs in by_name if ours in facts}
    if use.operands:
        return sheet.op(onnx, use.operands[0].name, dtype=ELEMENT_OF[use.dtype], **given)
    return sheet.op(onnx, dtype=ELEMENT_OF[use.dtype], shape=tuple(use.dims), **given)


def bernoulli(sheet: Sheet, use: Use) -> str:
    """0 and 1, 1 as often as the mean says."""
    drawn = _uniform(sheet, use)
    return sheet.cast(sheet.op("Less", drawn, sheet.number(use.facts["mean"], use.dtype)), use.dtype)


def gumbel(sheet: Sheet, use: Use) -> str:
    """Loc - scale * log(-log(u)) of uniform u."""
    drawn = sheet.op("Max", _uniform(sheet, use), sheet.number(float(np.finfo(use.dtype).tiny), use.dtype))
    inner = sheet.op("Log", sheet.op("Neg", sheet.op("Log", drawn)))
    scaled = sheet.op("Mul", sheet.number(use.facts["scale"], use.dtype), inner)
    return sheet.op("Sub", sheet.number(use.facts["loc"], use.dtype), scaled)


def _uniform(sheet: Sheet, use: Use) -> str:
    if use.operands:
        return sheet.op("RandomUniformLike", use.operands[0].name, dtype=ELEMENT_OF[use.dtype])
    return sheet.op("RandomUniform", dtype=ELEMENT_OF[use.dtype], shape=tuple(use.dims))


def crop(sheet: Sheet, use: Use) -> str:
    """The part of an image that lies under another one."""
    x = use.operands[0]
    top, left = int(use.facts["top"]), int(use.facts["left"])
    height, width = use.dims[-2:]
    if FREE in (height, width):
        raise NotAvailableError("a crop to free dimensions")
    ends = sheet.ints(top + height, left + width)
    return sheet.op("Slice", x.name, sheet.ints(top, left), ends, sheet.ints(-2, -1))


RULES: Final[dict[str, Rule]] = {
    **dict.fromkeys(("elu", "selu", "leaky_relu", "hard_sigmoid"), word),
    **dict.fromkeys(("softplus", "softsign"), steep),
    **dict.fromkeys(("softmax", "log_softmax"), along_one),
    **dict.fromkeys(
        ("reduce_sum", "reduce_mean", "reduce_max", "reduce_min", "reduce_prod", "reduce_log_sum_exp", "reduce_l1",
         "reduce_l2", "reduce_sum_square"), reduction),
    **dict.fromkeys(("argmax", "argmin"), place_of),
    **dict.fromkeys(("alias", "stop_gradient", "to_batch"), identity),
    **dict.fromkeys(("reshape", "squeeze", "expand_dims", "flatten"), view),
    **dict.fromkeys(("transpose", "swapaxes"), transpose),
    **dict.fromkeys(("times", "times_transpose"), times),
    **dict.fromkeys(("depth_to_space", "space_to_depth"), blocks),
    **dict.fromkeys(("uniform", "uniform_like", "normal", "normal_like"), random_tensor),
    **dict.fromkeys(("gumbel", "gumbel_like"), gumbel),
    **dict.fromkeys(("bernoulli", "bernoulli_like"), bernoulli),
    **dict.fromkeys(("crop_manual", "_crop_automatic"), crop),
    "param_relu": prelu, "unpack_batch": unpack_batch, "cast": cast, "slice": slices, "splice": splice, "pad":
    pad, "convolution": convolution, "convolution_transpose": convolution_transpose, "pooling": pooling,
    "roipooling": roi_pooling, "_gather": gather, "one_hot": one_hot, "top_k": top_k, "eye_like": eye_like,
    "_batch_normalization": batch_normalization, "local_response_normalization": local_response, "dropout":
    dropout,
}  # fmt: skip
"""Operator -> what writes it in ONNX; all others that have a formula are written by it."""
