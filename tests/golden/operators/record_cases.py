"""The operator examples whose numbers were recorded with CNTK 2.7: how each is built, and what is fed.

One table for both sides: ``record.py`` builds it with CNTK (Python 3.6), ``test_operators.py`` with this package.
"""

import numpy as np

CASES = {}


def _numbers(seed, shape, low=-2.0, high=2.0):
    return np.random.RandomState(seed).uniform(low, high, shape).astype(np.float32)


def batch(*shape, **kw):
    """An input with a batch axis: two samples."""
    return ("batch", _numbers(kw.get("seed", 1), (2,) + shape, kw.get("low", -2.0), kw.get("high", 2.0)))


def given(values):
    """An input with a batch axis and these numbers."""
    return ("batch", np.asarray(values, np.float32))


def sequences(*shape, **kw):
    """An input with a sequence axis: lengths 3, 1 and 2."""
    seed = kw.get("seed", 1)
    low, high = kw.get("low", -2.0), kw.get("high", 2.0)
    return ("sequence", [_numbers(seed + 10 * i, (n,) + shape, low, high) for i, n in enumerate((3, 1, 2))])


def frames(*values):
    """An input with a sequence axis and these numbers."""
    return ("sequence", [np.asarray(v, np.float32) for v in values])


def weight(*shape, **kw):
    """A parameter."""
    return ("parameter", _numbers(kw.get("seed", 5), shape, kw.get("low", -2.0), kw.get("high", 2.0)))


def fixed(values):
    """A parameter with these numbers."""
    return ("parameter", np.asarray(values, np.float32))


def case(name, build, *operands, **kw):
    """One example: ``build(C, *variables)``; ``gradient=False`` where CNTK has none or gets it wrong."""
    assert name not in CASES, name
    CASES[name] = (build, operands, kw.get("gradient", True))


EDGES = given([[-2, -1, -0.25, 0.25, 0.5, 1, 2, 5]])
INSIDE = given([[-0.9, -0.5, -0.25, 0.25, 0.5, 0.9]])
KINKS = given([[-3, -1, 0, 1e-3, 1, 3]])
for _n in "abs exp square sin cos sinh cosh asinh atan floor ceil round negate sigmoid tanh relu elu selu leaky_relu softplus softsign straight_through_impl element_not softmax log_softmax hardmax zeros_like ones_like stop_gradient alias reciprocal".split():
    case(_n, lambda C, x, n=_n: getattr(C, n)(x), EDGES)
    case(_n + " of a matrix", lambda C, x, n=_n: getattr(C, n)(x), batch(2, 3))
for _n in "abs relu elu selu leaky_relu softplus softsign sigmoid tanh straight_through_impl reciprocal log floor ceil round element_not".split():
    case(_n + " at kinks", lambda C, x, n=_n: getattr(C, n)(x), KINKS)
for _n in ("asin", "acos", "atanh"):
    case(_n, lambda C, x, n=_n: getattr(C, n)(x), INSIDE)
case("tan", lambda C, x: C.tan(x), INSIDE, gradient=False)
case("log", lambda C, x: C.log(x), batch(2, 3, low=0.1, high=5.0))
case("log of nothing", lambda C, x: C.log(x), given([[0, -1, 1e-30, 1e-38]]))
case("sqrt", lambda C, x: C.sqrt(x), batch(2, 3, low=0.1, high=5.0))
case("sqrt of a negative number", lambda C, x: C.sqrt(x), given([[-1, 0, 4]]), gradient=False)
case("elu alpha", lambda C, x: C.elu(x, 2.0), EDGES)
case("selu numbers", lambda C, x: C.selu(x, 1.5, 0.5), EDGES)
case("leaky_relu alpha", lambda C, x: C.leaky_relu(x, 0.3), KINKS)
case("softplus steepness", lambda C, x: C.softplus(x, steepness=4), EDGES)
case("softsign steepness", lambda C, x: C.softsign(x, steepness=4), EDGES)
case("softplus large", lambda C, x: C.softplus(x), given([[-1000, 1000, 0]]))
case("sigmoid large", lambda C, x: C.sigmoid(x), given([[-1000, 1000, 0]]))
case("softmax large", lambda C, x: C.softmax(x), given([[1000, 0, -1000]]))
case("hard_sigmoid", lambda C, x: C.hard_sigmoid(x, 0.2, 0.5), given([[-3, -2.5, -2, 0, 2, 2.5, 3]]))
case("param_relu", lambda C, x, a: C.param_relu(a, x), batch(2, 3), weight(2, 3))
case("clip", lambda C, x: C.clip(x, -1, 1), given([[-2, -1, 0, 1, 2]]))
case("clip by operands", lambda C, x, a: C.clip(x, a, 1.5), batch(3), fixed([-1, 0, 0.5]))
PRIMITIVE = set("plus minus element_times log_add_exp equal not_equal less less_equal greater greater_equal".split())
PAIR = (given([[1, 1, 1, 0, 0.3, -1]]), given([[1, 0, 2, 0, 0, 0.5]]))
for _n in "plus minus element_times element_divide log_add_exp equal not_equal less less_equal greater greater_equal element_max element_min element_and element_or element_xor".split():
    case(_n, lambda C, x, y, n=_n: getattr(C, n)(x, y), *PAIR)
    case(_n + " broadcast", lambda C, x, y, n=_n: getattr(C, n)(x, y), batch(2, 3), weight(3))
    if _n in PRIMITIVE:  # CNTK's blocks refuse it
        case(_n + " of samples and frames", lambda C, x, y, n=_n: getattr(C, n)(x, y), sequences(3), ("batch", _numbers(9, (3, 3))))
case("log_add_exp large", lambda C, x, y: C.log_add_exp(x, y), given([[1000, -1000, 3]]), given([[1000, -1000, -1e30]]))
case("plus of four", lambda C, *x: C.plus(*x), *[batch(2, seed=s) for s in range(4)])
case("element_max of three", lambda C, *x: C.element_max(*x), *[batch(4, seed=s) for s in range(3)])
case("sum", lambda C, *x: C.sum(*x), *[batch(2, seed=s) for s in range(3)])
case("mean", lambda C, *x: C.mean(*x), *[batch(2, seed=s) for s in range(3)])
case(
    "pow",
    lambda C, x, y: C.pow(x, y),
    given([[0, 0, 0, 0, -2, -2, 2, 2, 3]]),
    given([[-1, 0, 0.5, 2, 2, -1, 0.5, 0, -2]]),
)
case("element_select", lambda C, f, a, b: C.element_select(f, a, b), given([[0, 1, 0.3, -1]]), given([[1, 2, 3, 4]]), given([[5, 6, 7, 8]]))
REDUCED = given([[[1, 3, 3], [0.5, 3, -1]], [[0.25, 0.25, 2], [0.125, 5, 4]]])
for _n in "sum max min mean prod log_sum_exp l1 l2 sum_square".split():
    for _key, _kw in (
        ("", {}), ("axis 0", {"axis": 0}), ("axis -1", {"axis": -1}), ("axis 1 dropped", {"axis": 1, "keepdims": False}),
        ("two axes", {"axis": (0, 1)}), ("two axes dropped", {"axis": [0, 1], "keepdims": False}),
    ):
        case("reduce_%s %s" % (_n, _key), lambda C, x, n=_n, kw=_kw: getattr(C, "reduce_" + n)(x, **kw), REDUCED)
    case("reduce_%s batch" % _n, lambda C, x, n=_n: getattr(C, "reduce_" + n)(x, C.Axis.default_batch_axis()), REDUCED)
    case("reduce_%s batch and axis" % _n, lambda C, x, n=_n: getattr(C, "reduce_" + n)(x, [C.Axis.default_batch_axis(), 0]), REDUCED)
    case("reduce_%s everything" % _n, lambda C, x, n=_n: getattr(C, "reduce_" + n)(x, C.Axis.all_axes()), REDUCED)
    case("reduce_%s everything in sequences" % _n, lambda C, x, n=_n: getattr(C, "reduce_" + n)(x, C.Axis.all_axes()), sequences(3))
    case("reduce_%s static" % _n, lambda C, x, n=_n: getattr(C, "reduce_" + n)(x, C.Axis.all_static_axes()), sequences(2, 2))
for _n in ("argmax", "argmin"):
    for _axis in (None, 0, 1, -1):
        case("%s %s" % (_n, _axis), lambda C, x, n=_n, a=_axis: getattr(C, n)(x, a), REDUCED)
for _n in ("softmax", "log_softmax"):
    for _axis in (0, 1, -1):
        case("%s %s" % (_n, _axis), lambda C, x, n=_n, a=_axis: C.element_times(getattr(C, n)(x, a), x), REDUCED)
case("hardmax ties", lambda C, x: C.hardmax(x), REDUCED)
SCORES = given([[[0.3, 1, 2], [1, 0, 3]], [[1, 1, 0], [0, 2, 2]]])
CLASSES = given([[[0, 1, 0], [0, 0, 1]], [[1, 0, 0], [0, 1, 0]]])
for _axis in (-1, 0, 1):
    case("cross_entropy_with_softmax %s" % _axis, lambda C, o, t, a=_axis: C.cross_entropy_with_softmax(o, t, a), SCORES, CLASSES)
    case("classification_error %s" % _axis, lambda C, o, t, a=_axis: C.classification_error(o, t, a), SCORES, CLASSES)
case("cross_entropy_with_softmax all", lambda C, o, t: C.cross_entropy_with_softmax(o, t, C.Axis.all_static_axes()), SCORES, CLASSES)
case("classification_error all", lambda C, o, t: C.classification_error(o, t, C.Axis.all_static_axes()), SCORES, CLASSES)
case("cross_entropy_with_softmax of a vector", lambda C, o, t: C.cross_entropy_with_softmax(o, t), given([[1, 2, 3]]), given([[0, 0, 2]]))
case("cross_entropy_with_softmax in sequences", lambda C, o, t: C.cross_entropy_with_softmax(o, t), sequences(4), sequences(4, seed=2, low=0.0, high=1.0))
case("classification_error of a vector", lambda C, o, t: C.classification_error(o, t), given([[1, 2, 3], [3, 3, 0]]), given([[0, 1, 0], [0, 1, 0]]))
case("classification_error top 2", lambda C, o, t: C.classification_error(o, t, topN=2), given([[1, 2, 3], [3, 2, 1]]), given([[1, 0, 0], [0, 1, 0]]), gradient=False)
PROBABLE, TRUE = given([[0.2, 0.9, 0.5, 0.7]]), given([[1, 1, 0.5, 0]])
case("binary_cross_entropy", lambda C, o, t: C.binary_cross_entropy(o, t), PROBABLE, TRUE)
case("squared_error", lambda C, o, t: C.squared_error(o, t), batch(2, 3), batch(2, 3, seed=2))
case("cosine_distance", lambda C, o, t: C.cosine_distance(o, t), batch(2, 3), batch(2, 3, seed=2))
case("cosine_distance_with_negative_samples", lambda C, o, t: C.cosine_distance_with_negative_samples(o, t, 1, 2), given([[1, 2], [3, 1], [1, -1]]), given([[2, 1], [1, 0], [1, 3]]))
case("fmeasure", lambda C, o, t: C.losses.fmeasure(o, t), PROBABLE, TRUE)
case("fmeasure beta", lambda C, o, t: C.losses.fmeasure(o, t, beta=2), PROBABLE, TRUE)
case("weighted_binary_cross_entropy", lambda C, o, t, w: C.weighted_binary_cross_entropy(o, t, w), given([[0.2], [0.9]]), given([[0], [1]]), given([[1], [2]]), gradient=False)
case("local_response_normalization", lambda C, x: C.local_response_normalization(x, 1, 1.0, 2.0, 0.75), batch(3, 2, 2))
case("local_response_normalization wide", lambda C, x: C.local_response_normalization(x, 2, 1.5, 1.0, 0.5), batch(6, 2, 1))
# gradients are those of a product with the operand: the sum of the result alone does not change
case("mean_variance_normalization", lambda C, x: C.element_times(C.mean_variance_normalization(x), x), batch(3, 2, 2))
case("mean_variance_normalization across", lambda C, x: C.element_times(C.mean_variance_normalization(x, 0.1, True), x), batch(3, 2, 2))
case("mean_variance_normalization unscaled", lambda C, x: C.element_times(C.mean_variance_normalization(x, 1e-5, False, False), x), batch(3, 2, 2))
case("mean_variance_normalization of a vector", lambda C, x: C.element_times(C.mean_variance_normalization(x), x), batch(4))
case("image_scaler", lambda C, x: C.image_scaler(x, 2.0, [1, 2, 3]), batch(3, 2, 2))
case("per_dim_mean_variance_normalize", lambda C, x: C.per_dim_mean_variance_normalize(x, np.array([1, 2, 3], np.float32), np.array([1, 0.5, 2], np.float32)), batch(3))
case("eye_like", lambda C, x: C.eye_like(x, sparse_output=False), batch(3))
case("cast", lambda C, x: C.cast(x, np.float64), batch(3))
case("times", lambda C, x, w: C.times(x, w), batch(2, 3), weight(3, 4))
case("times rank 2", lambda C, x, w: C.times(x, w, output_rank=2), batch(2, 3), weight(3, 4, 2))
case("times of vector", lambda C, x, w: C.times(x, w), sequences(3), weight(3, 4))
case("times of samples", lambda C, x, y: C.times(x, y), batch(2, 3), batch(3, 2, seed=4))
case("times_transpose", lambda C, x, w: C.times_transpose(x, w), batch(4), weight(5, 4))
case("reshape", lambda C, x: C.reshape(x, (3, 2)), batch(2, 3))
case("reshape part", lambda C, x: C.reshape(x, (8,), 1, 3), batch(3, 2, 4))
case("transpose", lambda C, x: C.element_times(C.transpose(x, (2, 0, 1)), np.arange(24, dtype=np.float32).reshape(4, 2, 3)), batch(2, 3, 4))
case("swapaxes", lambda C, x: C.swapaxes(x, 0, 2), batch(2, 3, 4))
case("slice", lambda C, x: C.slice(x, 1, 1, 3), batch(2, 4))
case("slice strides", lambda C, x: C.slice(x, [0, 1], [0, 1], [2, 4], [1, 2]), batch(2, 5))
case("slice backwards", lambda C, x: C.slice(x, 0, 0, 5, -1), batch(5))
case("splice", lambda C, x, y: C.splice(x, y, axis=0), batch(2, 3), batch(1, 3, seed=2))
case("splice broadcast", lambda C, x, y: C.splice(x, y, axis=1), batch(2, 3), batch(1, 3, seed=2))
case("pad", lambda C, x: C.pad(x, [(1, 0), (0, 2)], C.ops.CONSTANT_PAD, 5.0), batch(2, 3))
case("pad reflect", lambda C, x: C.pad(x, [(1, 1), (2, 1)], C.ops.REFLECT_PAD), batch(2, 3))
case("pad symmetric", lambda C, x: C.pad(x, [(1, 1), (2, 1)], C.ops.SYMMETRIC_PAD), batch(2, 3))
case("one_hot", lambda C, x: C.one_hot(x, 4), given([[0, 3, 2], [1, 1, 7]]), gradient=False)
case("gather", lambda C, i, w: C.gather(w, i), given([[0, 2, 1]]), weight(4, 2), gradient=False)
case("gather axis", lambda C, i, w: C.gather(w, i, axis=1), given([[0, 2, 1]]), weight(2, 4), gradient=False)
case("convolution", lambda C, x, w: C.convolution(w, x, auto_padding=[False, True, True]), batch(2, 4, 5), weight(3, 2, 3, 3))
case("convolution strides", lambda C, x, w: C.convolution(w, x, strides=(2, 2), auto_padding=[False, True, False]), batch(2, 6, 7), weight(3, 2, 3, 3))
case("convolution groups", lambda C, x, w: C.convolution(w, x, auto_padding=[False, True, True], groups=2), batch(4, 4, 4), weight(2, 2, 3, 3))
case("convolution without channels", lambda C, x, w: C.convolution(w, x, reduction_rank=0, auto_padding=[False]), batch(5, 5), weight(2, 2, 2))
case("convolution_transpose", lambda C, x, w: C.convolution_transpose(w, x, strides=(2, 2), auto_padding=[False, False, False]), batch(2, 3, 3), weight(2, 3, 3, 3))
case("convolution_transpose padded", lambda C, x, w: C.convolution_transpose(w, x, strides=(2, 2), auto_padding=[False, True, True]), batch(2, 3, 3), weight(2, 3, 3, 3))
case("pooling max", lambda C, x: C.pooling(x, C.MAX_POOLING, (2, 2), (2, 2)), batch(2, 5, 4))
case("pooling max padded", lambda C, x: C.pooling(x, C.MAX_POOLING, (3, 3), (2, 2), [False, True, True]), batch(2, 5, 4))
case("pooling average", lambda C, x: C.pooling(x, C.AVG_POOLING, (2, 2), (2, 2), ceil_out_dim=True), batch(2, 5, 5))
case("pooling average padded", lambda C, x: C.pooling(x, C.AVG_POOLING, (3, 3), (2, 2), [False, True, True]), batch(2, 5, 5))
case("pooling average with pads", lambda C, x: C.pooling(x, C.AVG_POOLING, (3, 3), (1, 1), [False, True, True], include_pad=True), batch(2, 4, 4))
case("unpooling", lambda C, x: C.unpooling(C.pooling(x, C.MAX_POOLING, (2, 2), (2, 2)), x, C.MAX_UNPOOLING, (2, 2), (2, 2)), batch(2, 4, 4))
case("depth_to_space", lambda C, x: C.depth_to_space(x, 2), batch(8, 2, 3))
case("space_to_depth", lambda C, x: C.space_to_depth(x, 2), batch(2, 4, 6))
case("expand_dims", lambda C, x: C.expand_dims(x, 0), batch(2, 3))
case("flatten", lambda C, x: C.flatten(x, 1), batch(2, 3, 2))
case("past_value", lambda C, x: C.sequence.past_value(x, 0.5), sequences(2))
case("past_value 2", lambda C, x: C.sequence.past_value(x, 0.5, 2), sequences(2))
case("past_value of a parameter", lambda C, x, w: C.sequence.past_value(x, w), sequences(2), weight(2))
case("past_value of samples", lambda C, x, s: C.sequence.past_value(x, s), sequences(2), ("batch", _numbers(3, (3, 2))))
case("future_value", lambda C, x: C.sequence.future_value(x, 0.5), sequences(2))
case("sequence.first", lambda C, x: C.sequence.first(x), sequences(2, 2))
case("sequence.last", lambda C, x: C.sequence.last(x), sequences(2, 2))
case("sequence.is_first", lambda C, x: C.sequence.is_first(x), sequences(2))
case("sequence.is_last", lambda C, x: C.sequence.is_last(x), sequences(2))
case("sequence.reduce_sum", lambda C, x: C.sequence.reduce_sum(x), sequences(2, 2))
case("sequence.reduce_max", lambda C, x: C.sequence.reduce_max(x), sequences(2))
case("sequence.softmax", lambda C, x: C.element_times(C.sequence.softmax(x), x), sequences(2))
case("sequence.slice", lambda C, x: C.sequence.slice(x, 1, 0), frames([[1, 2], [3, 4], [5, 6]], [[7, 8], [9, 10]]))
case("sequence.where", lambda C, x: C.sequence.where(x), frames([1, 0, 2], [0, 1]), gradient=False)
case("sequence.gather", lambda C, x, c: C.sequence.gather(x, c), frames([[1], [2], [3]], [[4], [5]]), frames([1, 0, 1], [0, 1]))
case("sequence.scatter", lambda C, x, c: C.sequence.scatter(C.sequence.gather(x, c), c), frames([[1], [2], [3]], [[4], [5]]), frames([1, 0, 1], [0, 1]))
case("sequence.broadcast_as", lambda C, x, y: C.sequence.broadcast_as(x, y), ("batch", _numbers(3, (3, 2))), sequences(4))
case("recurrence", lambda C, x, w: _recurrence(C, x, w), sequences(2), weight(2, 2, low=-0.5, high=0.5))
case("forward_backward", lambda C, x, t: C.forward_backward(C.labels_to_graph(t), x, 2), frames([[1, 2, 3], [2, 0, 1], [0, 1, 2], [1, 1, 1]]), frames([[2, 0, 0], [1, 0, 0], [0, 0, 2], [0, 2, 0]]), gradient=False)
case("lambda_rank", lambda C, o, g, q: C.lambda_rank(o, g, q), given([[1], [2], [3]]), given([[3], [1], [0]]), given([[1], [1], [1]]), gradient=False)
case("ndcg_at_1", lambda C, o, g, q: C.ndcg_at_1(o, g, q), given([[3], [2], [1], [4]]), given([[3], [1], [0], [2]]), given([[1], [1], [2], [2]]), gradient=False)
case("edit_distance_error", lambda C, a, b: C.edit_distance_error(a, b), frames(np.eye(4)[[0, 1, 2, 3]]), frames(np.eye(4)[[1, 2, 3, 3]]), gradient=False)


def _recurrence(C, x, w):
    state = C.placeholder(shape=(2,), dynamic_axes=[C.Axis.default_batch_axis(), C.Axis.default_dynamic_axis()])
    now = C.tanh(C.plus(x, C.times(C.sequence.past_value(state, 0.25), w)))
    return now.replace_placeholders({state: now.output})
