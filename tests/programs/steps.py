"""What a draw may add to a program: one small function each, in a table with how often it is drawn.

Each takes the hand, picks operands that fit, and adds one value or a few; whatever cannot be built is dropped there.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tests.programs.draw import Hand
from tests.programs.motifs import MOTIFS
from tests.programs.program import Shape

SMOOTH = ("tanh", "sigmoid", "sin", "cos", "softplus", "elu", "selu", "softsign", "atan", "sinh", "asinh")
KINKED = (
    "relu",
    "abs",
    "leaky_relu",
    "hard_sigmoid",
    "floor",
    "ceil",
    "round",
    "negate",
    "square",
    "sqrt",
    "exp",
    "log",
    "reciprocal",
    "stop_gradient",
    "alias",
    "to_batch",
    "argmax",
    "hardmax",
    "softmax",
    "log_softmax",
    "reduce_l2",
)
BINARY = ("plus", "minus", "element_times", "element_max", "element_min", "log_add_exp", "element_divide", "pow")
COMPARE = ("greater", "less", "equal", "not_equal", "greater_equal", "less_equal")
REDUCE = ("sum", "mean", "max", "min", "log_sum_exp", "prod", "l1", "l2", "sum_square")


def _fits(a: Shape, b: Shape) -> bool:
    return all(x == y or 1 in {x, y} for x, y in zip(reversed(a), reversed(b), strict=False))


def unary(hand: Hand) -> None:
    x = hand.pick()
    if x is None:
        return
    op = hand.choice(SMOOTH + KINKED)
    if op == "to_batch":
        op = "identity"
    if op in {"square", "exp", "sinh", "reciprocal"}:
        x = hand.tame(x)
    text = {
        "sqrt": "C.sqrt(C.abs({0}) + 0.1)", "log": "C.log(C.abs({0}) + 0.5)", "identity": "-(-{0})",
        "reciprocal": "C.reciprocal(C.square({0}) + 0.5)", "reduce_l2": "C.clip({0}, -0.3, 0.8)",
        "argmax": "C.argmax({0}, axis=0)",
    }.get(op, f"C.{op}({{0}})")  # fmt: skip
    hand.add(text, x)


def binary(hand: Hand) -> None:
    x = hand.pick()
    if x is None:
        return
    y = hand.pick(lambda v: _fits(hand.shape(v), hand.shape(x))) or x
    op = hand.choice(BINARY)
    if op == "element_divide":
        hand.add("C.element_divide({0}, C.square({1}) + 0.7)", x, y)
    elif op == "pow":
        hand.add("C.pow(C.abs({0}) + 0.3, C.tanh({1}))", x, y)
    else:
        hand.add(f"C.{op}({{0}}, {{1}})", x, y)


def compare(hand: Hand) -> None:
    x = hand.pick()
    y = x and hand.pick(lambda v: _fits(hand.shape(v), hand.shape(x)))
    if not x or not y:
        return
    flag = hand.add(f"C.{hand.choice(COMPARE)}({{0}}, {hand.choice(('0.1', '{1}'))})", x, y)
    if flag:
        hand.add("C.element_select({0}, {1}, {2})", flag, x, y)


def with_parameter(hand: Hand) -> None:
    x = hand.pick()
    if x is None:
        return
    shape = tuple(d if hand.chance(0.7) else 1 for d in hand.shape(x))
    if hand.chance(0.3):
        shape = shape[hand.whole(0, len(shape)) :]
    if hand.chance(0.1):
        shape = (2, *hand.shape(x)) if len(hand.shape(x)) < 3 else shape
    p = hand.parameter(shape)
    hand.add(f"C.{hand.choice(BINARY[:5])}({{0}}, {{1}})", x, p)


def slices(hand: Hand) -> None:
    x = hand.pick(lambda v: len(hand.shape(v)) > 0)
    if x is None:
        return
    shape = hand.shape(x)
    axis = hand.whole(0, len(shape) - 1)
    begin = hand.whole(0, shape[axis] - 1)
    end = hand.whole(begin + 1, shape[axis])
    stride = hand.choice((None, None, None, 2, -1))
    more = "" if stride is None else f", strides={stride}"
    axis = axis - len(shape) if hand.chance(0.3) else axis
    first = hand.add(f"C.slice({{0}}, {axis}, {begin}, {end}{more})", x)
    if first and hand.chance(0.5) and begin > 0:
        other = hand.add(f"C.slice({{0}}, {axis}, 0, {begin})", x)
        if other and hand.chance(0.5):
            hand.add(f"C.splice({{0}}, {{1}}, {{2}}, axis={axis})", first, other, x)


def splice(hand: Hand) -> None:
    x = hand.pick(lambda v: len(hand.shape(v)) > 0)
    if x is None:
        return
    rank = len(hand.shape(x))
    axis = hand.whole(0, rank - 1)

    def beside(v: str) -> bool:
        a, b = hand.shape(v), hand.shape(x)
        return len(a) == rank and a[:axis] + a[axis + 1 :] == b[:axis] + b[axis + 1 :]

    parts = [x, *(hand.pick(beside) or x for _ in range(hand.whole(1, 2)))]
    hand.add(f"C.splice({', '.join(f'{{{i}}}' for i in range(len(parts)))}, axis={axis - rank})", *parts)


def turned(hand: Hand) -> None:
    x = hand.pick()
    if x is None:
        return
    shape = hand.shape(x)
    rank, count = len(shape), int(np.prod(shape))
    kind = hand.choice(("transpose", "reshape", "reshape", "expand", "squeeze", "pad", "flatten"))
    if kind == "transpose" and rank > 1:
        perm = list(range(rank))
        hand.random.shuffle(perm)
        hand.add(f"C.transpose({{0}}, {tuple(perm)})", x)
    elif kind == "reshape":
        factors = [d for d in range(1, count + 1) if count % d == 0]
        first = hand.choice(factors)
        hand.add(f"C.reshape({{0}}, {hand.choice(((first, count // first), (count,), (1, first, count // first)))})", x)
    elif kind == "expand":
        hand.add(f"C.expand_dims({{0}}, {-hand.whole(0, rank)})", x)
    elif kind == "squeeze" and 1 in shape:
        hand.add("C.squeeze({0})", x)
    elif kind == "pad" and rank:
        pattern = [(hand.whole(0, 2), hand.whole(0, 1)) for _ in shape]
        mode = hand.choice((0, 0, 1, 2))
        hand.add(f"C.pad({{0}}, {pattern}, mode={mode}, constant_value=0.5)", x)
    elif kind == "flatten":
        hand.add("C.flatten({0})", x)


def reduction(hand: Hand) -> None:
    x = hand.pick(lambda v: len(hand.shape(v)) > 0)
    if x is None:
        return
    rank = len(hand.shape(x))
    axis = hand.choice((hand.whole(-rank, -1), hand.whole(0, rank - 1), "C.Axis.all_static_axes()", [0, rank - 1]))
    keep = hand.choice(("", "", ", keepdims=False"))
    op = hand.choice(REDUCE)
    if op == "prod":
        x = hand.tame(x)
    made = hand.add(f"C.reduce_{op}({{0}}, axis={axis}{keep})", x)
    if made and not keep and hand.chance(0.5):
        hand.add(hand.choice(("{0} - {1}", "{0} / (C.abs({1}) + 1)", "C.exp(C.element_min({0} - {1}, 1))")), x, made)


def softmax(hand: Hand) -> None:
    x = hand.pick(lambda v: len(hand.shape(v)) > 0)
    if x is None:
        return
    axis = hand.whole(0, len(hand.shape(x)) - 1)
    hand.add(
        f"C.{hand.choice(('softmax', 'log_softmax', 'hardmax'))}({{0}}"
        + (")" if hand.chance(0.1) else f", axis={axis})"),
        x,
    )


def product(hand: Hand) -> None:
    x = hand.pick(lambda v: 0 < len(hand.shape(v)) < 4)
    if x is None:
        return
    shape = hand.shape(x)
    k = hand.whole(1, len(shape))
    out = hand.choice(((3,), (4,), (1,), (16,), (2, 3), (33,)))
    if hand.chance(0.75):
        w = hand.parameter((*shape[len(shape) - k :], *out), 1.5)
        y = hand.add(f"C.times({{0}}, {{1}}, output_rank={len(out)})", x, w)
        if y and hand.chance(0.6):
            y = hand.add("{0} + {1}", y, hand.parameter(out))
            if y and hand.chance(0.6):
                hand.add(hand.choice(("C.relu({0})", "C.tanh({0})", "C.sigmoid({0})", "C.elu({0})")), y)
        return
    other = hand.pick(lambda v: len(hand.shape(v)) == 2 and hand.shape(v)[0] == shape[-1])
    if other:
        hand.add("C.times({0}, {1})", x, other)
    elif len(shape) == 2:
        hand.add(hand.choice(("C.times({0}, C.transpose({0}, (1, 0)))", "C.times(C.transpose({0}, (1, 0)), {0})")), x)
    else:
        hand.add("C.times_transpose({0}, {1})", x, hand.parameter((3, shape[-1])))


def image(hand: Hand) -> None:
    x = hand.pick(lambda v: len(hand.shape(v)) == 3 and min(hand.shape(v)[1:]) > 1)
    if x is None:
        x = hand.pick(lambda v: len(hand.shape(v)) > 0 and int(np.prod(hand.shape(v))) % 16 == 0)
        x = x and hand.add(f"C.reshape({{0}}, ({int(np.prod(hand.shape(x))) // 16}, 4, 4))", x)
    if not x:
        return
    c, h, w = hand.shape(x)
    kind = hand.choice(("conv", "conv", "conv", "max", "avg", "bn", "up", "global", "lrn", "chain", "seq"))
    size, stride = hand.whole(1, min(3, h, w)), hand.whole(1, 2)
    padded = hand.choice((True, False))
    pads = f"[False, {padded}, {padded}]"
    geometry = f"({stride}, {stride}), auto_padding={pads}"
    if kind in {"conv", "chain"}:
        groups = c if hand.chance(0.2) else 1
        maps = hand.choice((1, 2, 4)) * groups
        kernel = hand.parameter((maps, c // groups, size, size), 1.5)
        y = hand.add(f"C.convolution({{0}}, {{1}}, strides={geometry}, groups={groups})", kernel, x)
        if y and hand.chance(0.6):
            y = hand.add("{0} + {1}", y, hand.parameter((maps, 1, 1)))
        if y and (kind == "chain" or hand.chance(0.4)):
            y = hand.add("C.relu({0})", y)
            if y and hand.shape(y) == (c, h, w):
                hand.add("{0} + {1}", x, y)
            elif y and hand.shape(y)[1:] == (h, w):
                hand.add("C.splice({0}, {1}, axis=0)", x, y)
    elif kind in {"max", "avg"}:
        which = f"C.{kind.upper()}_POOLING"
        hand.add(f"C.pooling({{0}}, {which}, ({size}, {size}), {geometry})", x)
    elif kind == "bn":
        spatial = hand.chance(0.7)
        hand.add(f"C.layers.BatchNormalization({'map_rank=1' if spatial else ''})({{0}})", x)
    elif kind == "up":
        kernel = hand.parameter((c, 2, size, size), 1.5)
        hand.add(f"C.convolution_transpose({{0}}, {{1}}, strides={geometry})", kernel, x)
    elif kind == "global":
        hand.add(f"C.layers.Global{hand.choice(('Max', 'Average'))}Pooling()({{0}})", x)
    elif kind == "lrn":
        hand.add("C.local_response_normalization({0}, 1, 1.0, 0.1, 0.75)", x)
    else:
        hand.add(
            f"C.layers.Convolution2D({size}, {hand.choice((2, 4))}, activation=C.relu, pad={padded}, "
            f"init=C.glorot_uniform(seed={hand.whole(1, 10**6)}))({{0}})",
            x,
        )


def normal(hand: Hand) -> None:
    x = hand.pick(lambda v: len(hand.shape(v)) > 0)
    if x:
        hand.add(
            hand.choice(
                (
                    "C.layers.LayerNormalization()({0})",
                    "C.layers.BatchNormalization()({0})",
                    "C.layers.Stabilizer()({0})",
                )
            ),
            x,
        )


def delay(hand: Hand) -> None:
    x = hand.pick(lambda v: hand.axes(v) == 2)
    if x is None:
        return
    op = hand.choice(("past_value", "future_value"))
    start = hand.choice(("", "", ", initial_state=0.5"))
    y = hand.add(f"C.sequence.{op}({{0}}{start}, time_step={hand.choice((1, 1, 2, 3))})", x)
    if y and hand.chance(0.5):
        hand.add(hand.choice(("C.splice({0}, {1}, axis=-1)", "{0} - {1}")), x, y)


def recurrence(hand: Hand) -> None:
    x = hand.pick(lambda v: hand.axes(v) == 2 and len(hand.shape(v)) > 0)
    if x is None:
        return
    size, seed = hand.choice((1, 2, 3, 5, 16)), hand.whole(1, 10**6)
    cell = hand.choice(("LSTM", "LSTM", "GRU", "RNNStep"))
    more = ", enable_self_stabilization=True" if hand.chance(0.15) else ""
    if cell == "LSTM" and hand.chance(0.15):
        more += ", use_peepholes=True"
    step = f"C.layers.{cell}({size}, init=C.glorot_uniform(seed={seed}){more})"
    back = f", go_backwards={hand.chance(0.5)}"
    start = hand.choice(("", "", ", initial_state=0.1"))
    kind = hand.choice(("Recurrence", "Recurrence", "Recurrence", "Fold"))
    if len(hand.shape(x)) > 1 and hand.chance(0.8):
        x = hand.add("C.flatten({0})", x) or x
        x = hand.add(f"C.reshape({{0}}, ({int(np.prod(hand.shape(x)))},))", x) or x
    first = hand.add(f"C.layers.{kind}({step}{back}{start})({{0}})", x)
    if first and kind == "Recurrence" and hand.chance(0.4):
        other = hand.add(
            f"C.layers.Recurrence({step.replace(str(seed), str(seed + 1))}, go_backwards={hand.chance(0.7)})({{0}})", x
        )
        if other:
            both = hand.add("C.splice({0}, {1})", first, other)
            if both and hand.chance(0.5):
                hand.add("C.splice({0}, {1})", both, x)


def own_loop(hand: Hand) -> None:
    """A loop written by hand."""
    x = hand.pick(lambda v: hand.axes(v) == 2)
    if x is None:
        return
    shape = hand.shape(x)
    body = hand.choice(
        (
            "C.tanh({x} + 0.5 * {h})",
            "{x} * 0.3 + {h} * 0.4",
            "C.element_max({x}, {h}) * 0.9",
            "C.sigmoid({x}) * {h} + C.sigmoid(-{x}) * {x}",
            "C.tanh({h} * C.reduce_sum({x}, axis=0) + {x})",
            "C.element_select(C.greater({x}, 0), {x}, {h})",
        )
    )
    step = f"lambda h, x: {body.format(x='x', h='h')}"
    start = f"C.constant({hand.choice((0, 0.5))}, {shape}, dtype=dtype)"
    hand.add(f"C.layers.Recurrence({step}, go_backwards={hand.chance(0.5)}, initial_state={start})({{0}})", x)


def over_sequences(hand: Hand) -> None:
    x = hand.pick(lambda v: hand.axes(v) == 2)
    if x is None:
        return
    op = hand.choice(("first", "last", "reduce_sum", "reduce_max", "softmax", "is_first", "gather", "slice", "spread"))
    if op == "spread":
        y = hand.pick(lambda v: hand.axes(v) == 1) or hand.add(
            f"C.sequence.{hand.choice(('last', 'first', 'reduce_sum'))}({{0}})", x
        )
        if y:
            hand.add("C.sequence.broadcast_as({0}, {1})", y, x)
    elif op == "gather":
        hand.add("C.sequence.gather({0}, C.greater(C.reduce_sum({0}, axis=C.Axis.all_static_axes()), -100))", x)
    elif op == "slice":
        hand.add(hand.choice(("C.sequence.slice({0}, 0, 1)", "C.sequence.slice({0}, -1, 0)")), x)
    else:
        hand.add(f"C.sequence.{op}({{0}})", x)


def embedding(hand: Hand) -> None:
    axes = "sequence" if any(i.axes == "sequence" for i in hand.inputs) and hand.chance(0.7) else "batch"
    if len(hand.inputs) > 3:
        return
    kind = hand.choice(("sparse", "sparse", "one hot", "index", "many"))
    if kind == "index":
        x = hand.input(axes, hand.choice(((), (1,), (2,))), "whole")
        hand.add("C.gather({0}, {1})", hand.parameter((3, 4)), x)
        return
    width = hand.choice((5, 40))
    x = hand.input(axes, (width,), "zeros" if kind == "many" else "one hot", sparse=kind != "one hot")
    y = hand.add("C.times({0}, {1})", x, hand.parameter((width, hand.choice((3, 4))), 3.0))
    if y and hand.chance(0.3):
        hand.add("C.times({0}, {1})", x, hand.parameter((width, 4), 3.0))


def loss(hand: Hand) -> None:
    x = hand.pick(lambda v: hand.axes(v) > 0 and len(hand.shape(v)) == 1)
    if x is None or len(hand.inputs) > 3:
        return
    axes = "sequence" if hand.axes(x) == 2 else "batch"
    shape = hand.shape(x)
    op = hand.choice(
        (
            "cross_entropy_with_softmax",
            "cross_entropy_with_softmax",
            "squared_error",
            "classification_error",
            "binary_cross_entropy",
            "cosine_distance",
            "smape",
        )
    )
    if op in {"squared_error", "cosine_distance"}:
        y = hand.pick(lambda v: hand.shape(v) == shape and hand.axes(v) == hand.axes(x)) or hand.input(axes, shape)
        hand.add(f"C.{op}({{0}}, {{1}})", x, y)
    elif op == "smape":
        hand.add("C.squared_error({0}, {1})", x, hand.input(axes, shape))
    elif op == "binary_cross_entropy":
        hand.add("C.binary_cross_entropy(C.sigmoid({0}), {1})", x, hand.input(axes, shape, "one hot"))
    else:
        label = hand.input(axes, shape, "one hot", sparse=hand.chance(0.15))
        hand.add(f"C.{op}({{0}}, {{1}})", x, label)


def static(hand: Hand) -> None:
    """Values of parameters alone."""
    shape = hand.choice(((3,), (2, 3), (4, 6), (1,)))
    p = hand.parameter(shape)
    y = hand.add(
        hand.choice(
            ("C.tanh({0})", "C.softmax({0})", "C.reduce_sum({0}, axis=0)", "{0} * {0}", "C.splice({0}, {0}, axis=0)")
        ),
        p,
    )
    x = y and hand.pick(lambda v: hand.axes(v) > 0 and _fits(hand.shape(v), hand.shape(y)))
    if x and y:
        hand.add("{0} + {1}", x, y)


def motif(hand: Hand) -> None:
    hand.choice(MOTIFS)(hand)


DRAWS: tuple[tuple[int, Callable[[Hand], None]], ...] = (
    (10, unary), (8, binary), (3, compare), (5, with_parameter), (8, slices), (8, splice), (7, turned), (6, reduction),
    (3, softmax), (8, product), (8, image), (3, normal), (4, delay), (6, recurrence), (3, own_loop),
    (5, over_sequences), (3, embedding), (4, loss), (2, static), (10, motif),
)  # fmt: skip


def draw_step(hand: Hand) -> None:
    """Add something."""
    hand.random.choices([f for _, f in DRAWS], [w for w, _ in DRAWS])[0](hand)
