"""Motifs of real networks: values used twice, parts of parts, gates, both directions, attention."""

from __future__ import annotations

from collections.abc import Callable

from tests.programs.draw import Hand


def _vector(hand: Hand) -> str | None:
    return hand.pick(lambda v: len(hand.shape(v)) == 1 and hand.axes(v) > 0)


def _dense(hand: Hand, x: str, size: int) -> str | None:
    y = hand.add("C.times({0}, {1})", x, hand.parameter((*hand.shape(x), size), 1.5))
    return y and hand.add("{0} + {1}", y, hand.parameter((size,)))


def gated_with_skip(hand: Hand) -> None:
    x = _vector(hand)
    t = x and _dense(hand, x, hand.choice((6, 8, 32)))
    if not t:
        return
    n = hand.shape(t)[0]
    a, b = hand.add(f"C.slice({{0}}, 0, 0, {n // 2})", t), hand.add(f"C.slice({{0}}, 0, {n // 2}, {n})", t)
    g = a and b and hand.add("{0} * C.sigmoid({1})", a, b)
    if g:
        hand.add(hand.choice(("C.splice({0}, {1})", "C.splice({1}, {0})", "C.splice({0}, {0}, {1})")), g, t)


def dense_block(hand: Hand) -> None:
    x = _vector(hand)
    for _ in range(hand.whole(1, 3)):
        y = x and _dense(hand, x, hand.choice((2, 4)))
        y = y and hand.add("C.relu({0})", y)
        x = y and hand.add(hand.choice(("C.splice({0}, {1})", "C.splice({1}, {0})")), x or "", y)


def image_block(hand: Hand) -> None:
    x = hand.pick(lambda v: len(hand.shape(v)) == 3 and min(hand.shape(v)[1:]) > 2)
    for _ in range(hand.whole(1, 2)):
        if not x:
            return
        kernel = hand.parameter((2, hand.shape(x)[0], 3, 3), 1.5)
        y = hand.add("C.convolution({0}, {1}, auto_padding=[False, True, True])", kernel, x)
        y = y and hand.add(hand.choice(("C.relu({0})", "C.layers.BatchNormalization(map_rank=1)({0})")), y)
        x = y and hand.add("C.splice({0}, {1}, axis=0)", x, y)


def residual(hand: Hand) -> None:
    x = _vector(hand)
    y = x and _dense(hand, x, hand.shape(x)[0])
    y = y and hand.add(hand.choice(("C.relu({0})", "C.tanh({0})", "C.layers.LayerNormalization()({0})")), y)
    if x and y:
        z = hand.add("{0} + {1}", x, y)
        if z and hand.chance(0.5):
            hand.add("C.relu({0})", z)


def highway(hand: Hand) -> None:
    x = _vector(hand)
    if not x:
        return
    n = hand.shape(x)[0]
    t, h = _dense(hand, x, n), _dense(hand, x, n)
    g = t and hand.add("C.sigmoid({0})", t)
    if g and h:
        hand.add("{0} * C.tanh({1}) + (1 - {0}) * {2}", g, h, x)


def attention(hand: Hand) -> None:
    x = hand.pick(lambda v: len(hand.shape(v)) == 2 and hand.axes(v) > 0)
    if not x:
        return
    n = hand.shape(x)[1]
    q = hand.add("C.times({0}, {1})", x, hand.parameter((n, 4)))
    k = hand.add("C.times({0}, {1})", x, hand.parameter((n, 4)))
    s = q and k and hand.add("C.times({0}, C.transpose({1}, (1, 0)))", q, k)
    w = s and hand.add("C.softmax({0} * 0.5, axis=1)", s)
    y = w and hand.add("C.times({0}, {1})", w, x)
    if y and hand.chance(0.5):
        hand.add("C.splice({0}, {1}, axis=-1)", y, x)


def over_frames(hand: Hand) -> None:
    x = hand.pick(lambda v: len(hand.shape(v)) == 1 and hand.axes(v) == 2)
    s = x and hand.add("C.times({0}, {1})", x, hand.parameter((*hand.shape(x), 1)))
    w = s and hand.add("C.sequence.softmax({0})", s)
    y = x and w and hand.add("C.sequence.reduce_sum({0} * {1})", w, x)
    if x and y and hand.chance(0.5):
        hand.add("C.splice(C.sequence.broadcast_as({0}, {1}), {1})", y, x)


def squeeze_excite(hand: Hand) -> None:
    x = hand.pick(lambda v: len(hand.shape(v)) == 3)
    s = x and hand.add("C.reduce_mean({0}, axis=[1, 2])", x)
    if x and s:
        hand.add("{0} * C.sigmoid({1} * {2})", x, s, hand.parameter((hand.shape(x)[0], 1, 1)))


def two_sided(hand: Hand) -> None:
    x = hand.pick(lambda v: len(hand.shape(v)) == 1 and hand.axes(v) == 2)
    if not x:
        return
    cell, n = hand.choice(("LSTM", "GRU", "RNNStep")), hand.choice((2, 3))
    made = [
        hand.add(
            f"C.layers.Recurrence(C.layers.{cell}({n}, init=C.glorot_uniform(seed={s})), go_backwards={back})({{0}})", x
        )
        for s, back in ((hand.whole(1, 999), False), (hand.whole(1, 999), True))
    ]
    f, b = made
    both = f and b and hand.add("C.splice({0}, {1})", f, b)
    if both:
        hand.add(hand.choice(("C.splice({0}, {1})", "C.splice({1}, {0})", "C.splice({0} * 1, {1})")), both, x)


def dropped(hand: Hand) -> None:
    x = hand.pick()
    if x:
        hand.add(f"C.dropout({{0}}, 0.3, seed={hand.whole(1, 999)})", x)


def parts_of_parts(hand: Hand) -> None:
    x = hand.pick(lambda v: len(hand.shape(v)) > 0 and hand.shape(v)[-1] > 2)
    if not x:
        return
    n = hand.shape(x)[-1]
    a = hand.add(f"C.slice({{0}}, -1, 1, {n})", x)
    b = a and hand.add(f"C.slice({{0}}, -1, 0, {n - 2})", a)
    c = a and b and hand.add("C.tanh({0})", b)
    if a and b and c:
        hand.add("C.splice({0}, {1}, {2}, axis=-1)", *hand.random.sample([a, b, c], 3))


MOTIFS: tuple[Callable[[Hand], None], ...] = (
    gated_with_skip, dense_block, image_block, residual, highway, attention, over_frames, squeeze_excite, two_sided,
    dropped, parts_of_parts,
)  # fmt: skip
