"""Whole plans on the native tier give what NumPy gives, with each pass on and off: slices, pieces, images, attention,
ragged rows."""

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab import settings
from cntk_lab.backends.cpu import jit, onednn
from cntk_lab.engine.make.wanted import Wanted
from cntk_lab.engine.plan import Call, Join, Loop, Map, Order, Part, all_steps
from cntk_lab.formula import expr as e
from tests.unit.engine import bounds
from tests.unit.engine.bounds import plan_for

pytestmark = pytest.mark.skipif(not (jit.available() and onednn.available()), reason="no numba or no oneDNN here")
_rng = np.random.default_rng(11)


def weight(*shape):
    return C.parameter(init=(_rng.normal(size=shape) * 0.4).astype(np.float32))


def lstm(x, inputs, n):
    wx, wh, b = weight(inputs, 4 * n), weight(n, 4 * n), weight(4 * n)
    h, c = C.placeholder(), C.placeholder()
    z = b + C.times(x, wx) + C.times(C.sequence.past_value(h), wh)
    i, g, f, o = (C.slice(z, 0, k * n, (k + 1) * n) for k in range(4))
    cell = C.sigmoid(f) * C.sequence.past_value(c) + C.sigmoid(i) * C.tanh(g)
    out = C.sigmoid(o) * C.tanh(cell)
    out.replace_placeholders({h: out.output, c: cell.output})
    return out


def recurrent():
    x = C.sequence.input_variable(3, needs_gradient=True)
    return (
        lstm(x, 3, 5),
        x,
        [[_rng.normal(size=(n, 3)).astype(np.float32) for n in ns] for ns in ((4, 1, 7), (2,), (3, 3, 3, 3))],
    )


def gru(x, inputs, n):
    """As CNTK's layers: one product for the three gates of the input, one for two of the state, one for the third."""
    wx, wh, w1, b = weight(inputs, 3 * n), weight(n, 2 * n), weight(n, n), weight(3 * n)
    h = C.placeholder()
    past = C.sequence.past_value(h)
    projected, recurrent_ = C.times(x, wx) + b, C.times(past, wh)
    r, z, c = (C.slice(projected, 0, k * n, (k + 1) * n) for k in range(3))
    reset, update = (C.sigmoid(a + C.slice(recurrent_, 0, k * n, (k + 1) * n)) for k, a in enumerate((r, z)))
    out = (1 - update) * C.tanh(c + C.times(past * reset, w1)) + update * past
    out.replace_placeholders({h: out.output})
    return out


def _ragged(*minibatches):
    return [[_rng.normal(size=(n, 3)).astype(np.float32) for n in ns] for ns in minibatches]


def gated():
    x = C.sequence.input_variable(3, needs_gradient=True)
    return gru(x, 3, 5), x, _ragged((4, 1, 7), (2,), (3, 3, 3, 3))


def both_ends():
    """Pieces that operators make, and the same piece twice."""
    x = C.sequence.input_variable(3, needs_gradient=True)
    h = gru(x, 3, 4)
    last, first = C.sequence.last(h), C.sequence.first(h)
    both = C.splice(last, first, last)
    return C.times(both, weight(12, 3)), x, _ragged((4, 1, 7), (2,), (3, 3, 3, 3))


def attention():
    x = C.input_variable((6, 8), needs_gradient=True)
    q, k, v = (C.times(x, weight(8, 8)) for _ in range(3))
    heads = []
    for a in range(2):
        qa, ka, va = (C.slice(m, 1, 4 * a, 4 * a + 4) for m in (q, k, v))
        heads.append(C.times(C.softmax(C.times(qa, C.swapaxes(ka)), axis=-1), va))
    out = C.times(C.splice(*heads, axis=1), weight(8, 8)) + x
    return out, x, [_rng.normal(size=(n, 6, 8)).astype(np.float32) for n in (3, 1)]


def images():
    x = C.input_variable((3, 9, 7), needs_gradient=True)
    h = C.relu(C.convolution(weight(5, 3, 3, 3), x, auto_padding=[False, True, True]) + weight(5, 1, 1))
    skip = h
    h = C.convolution(weight(5, 5, 3, 3), h, auto_padding=[False, True, True])
    h = C.tanh(h * weight(5, 1, 1)) + skip
    h = C.pooling(h, C.MAX_POOLING, (2, 2), (2, 2))
    out = C.times(C.reshape(h, (60,)), weight(60, 4))
    return out, x, [_rng.normal(size=(n, 3, 9, 7)).astype(np.float32) for n in (4, 1, 2)]


def pieces():
    x = C.input_variable(7, needs_gradient=True)
    parts = [C.tanh(C.slice(x, 0, 0, 2)), C.exp(C.slice(x, 0, 2, 3)), C.sin(C.slice(x, 0, 3, 7))]
    out = C.splice(*parts[::-1], axis=0) * weight(7) + C.splice(C.sigmoid(x), axis=0)
    return out, x, [_rng.normal(size=(n, 7)).astype(np.float32) for n in (1, 5)]


def normal(x):
    n = x.shape[0]
    statistics = [C.constant(np.zeros(n, np.float32)), C.constant(np.ones(n, np.float32))]
    return C.batch_normalization(x, weight(n), weight(n), *statistics, spatial=True, running_count=C.constant(0.0))


def normalized():
    x = C.input_variable((2, 5, 6), needs_gradient=True)
    h = C.relu(normal(C.convolution(weight(4, 2, 3, 3), x, auto_padding=[False, True, True])))
    out = C.relu(normal(C.convolution(weight(4, 4, 3, 3), h, auto_padding=[False, True, True])) + h)
    return out, x, [_rng.normal(size=(n, 2, 5, 6)).astype(np.float32) for n in (6, 3)]


MODELS = {
    "normalized": normalized,
    "recurrent": recurrent,
    "gated": gated,
    "both_ends": both_ends,
    "attention": attention,
    "images": images,
    "pieces": pieces,
}


@pytest.mark.parametrize("name", MODELS)
def test_native_plans_agree_with_numpy(name):
    out, x, minibatches = MODELS[name]()
    wrt = [x, *out.parameters]
    for data in minibatches:
        with settings.option(native=False):
            want = out.grad({x: data}, wrt=wrt, outputs=[out.output])
        with settings.option(background_compilation=False, native_after=0):
            got = out.grad({x: data}, wrt=wrt, outputs=[out.output])
            assert bounds.native_of(_plan(out, wrt)).ready()
        for a, b in zip(_flat(got), _flat(want), strict=True):
            # sums of many numbers of both signs: what cancels leaves the rounding of the largest
            np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5 * max(1.0, float(np.abs(b).max())))


def _flat(result):
    gradients, value = result
    for v in (*gradients.values(), value):
        yield from v if isinstance(v, list) else [v]


def _plan(out, wrt):
    return plan_for(Wanted(outputs=(out.output,), gradients=tuple(wrt), roots=(out.output,), training=True))


def kinds(name):
    out, x, _ = MODELS[name]()
    plan = _plan(out, [x, *out.parameters])
    return plan, [type(s) for s in all_steps(plan.steps)]


def test_gates_are_read_from_the_product_and_their_gradients_written_into_it():
    plan, found = kinds("recurrent")
    assert found.count(Part) == 4
    assert found.count(Join) == 1
    assert not any(isinstance(s, Call) for s in all_steps(plan.steps))
    forward, backward = (s for s in plan.steps if isinstance(s, Loop))
    assert (
        len([s for s in forward.body if not isinstance(s, Part)]) == 4
    )  # two delays, a product onto the inputs, a formula
    assert len([s for s in backward.body if not isinstance(s, Join)]) <= 5


def test_attention_has_no_copies():
    plan, found = kinds("attention")
    assert not any(isinstance(s, Call) for s in plan.steps)
    assert found.count(Join) == 4
    native = bounds.native_of(plan)
    assert all(
        own is not None
        for s, own in zip(plan.steps, native.steps, strict=True)
        if not isinstance(s, (Part, Join)) and s.kind != "View"
    )


@pytest.mark.parametrize("name", ["gated", "both_ends"])
def test_slices_and_pieces_that_lie_elsewhere_too_are_copied_not_left_to_numpy(name):
    """The gates of a GRU belong to two products' gradients; first and last frames are made by operators."""
    plan, _ = kinds(name)
    native = bounds.native_of(plan)
    left = [s.kind for s, own in zip(plan.steps, native.steps, strict=True) if own is None]
    assert not set(left) - {"Part", "Join", "View"}


def test_statistics_of_batch_normalization_are_computed_once():
    plan, _ = kinds("normalized")
    sums = [
        x
        for s in plan.steps
        if isinstance(s, Map)
        for x in e.topological(f for _, f in s.kernel.outputs)
        if x.op == "reduce" and e.ROWS in x.data[1] and x.args[0].op != "const"
    ]
    assert len(sums) == len(set(sums))


def test_images_change_their_order_only_at_the_borders():
    _, found = kinds("images")
    assert found.count(Order) <= 3  # the flattening, its gradient, the gradient of the input
