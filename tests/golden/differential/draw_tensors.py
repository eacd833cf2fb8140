"""Families of programs about tensors: elementwise, reductions, products, shaping, indexing, filters."""

from drawing import BINARY, SHAPES, UNARY, family, size

EDGES = ([-2.0, -1.0, -0.25, 0.0, 0.5, 1.0, 3.0], [1.0, 1.0, 0.0, -1.0], [0.0, 0.0], ["inf", 1.0, -1.0], ["nan", 1.0, -0.5], [1e4, -1e4, 1e-6], [100.0, -100.0, 0.0])
MORE = ("floor", "ceil", "round", "reciprocal", "log", "sqrt", "sinh", "cosh", "asin", "acos", "atan", "asinh", "atanh", "leaky_relu",
        "straight_through_impl", "element_not", "stop_gradient", "zeros_like", "ones_like", "alias", "softmax", "log_softmax", "hardmax")  # fmt: skip
COMPARE = ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal", "element_and", "element_or", "element_xor")


def narrowed(r, shape):
    """A shape that broadcasts to this one."""
    own = [d if r.random() < 0.65 else 1 for d in shape]
    return own[r.randint(0, len(own)):] if r.random() < 0.3 else own


@family(1.2)
def elementwise(p, r):
    sequence = p.chance(0.3)
    shape = p.shape()
    x = p.any(shape, sequence)
    z = x
    for _ in range(r.randint(1, 5)):
        kind = r.randrange(9)
        if kind < 3:
            z = p.let("C." + r.choice(UNARY + MORE), z)
        elif kind == 3:
            z = p.let("C." + r.choice(BINARY + COMPARE), *r.sample([z, x], 2))
        elif kind == 4:
            z = p.let("C." + r.choice(BINARY + ("element_divide",)), z, p.parameter(narrowed(r, shape), "u", 0.3, 1.5))
        elif kind == 5:
            other = p.any(narrowed(r, shape), sequence) if not sequence or p.chance(0.5) else p.any(narrowed(r, shape), True)
            z = p.let("C." + r.choice(BINARY + COMPARE), *r.sample([z, other], 2))
        elif kind == 6:
            z = p.let(r.choice("+-*/"), *r.sample([z, r.choice((2, 0.5, -1, 3.25))], 2))
        elif kind == 7:
            z = p.let("C.clip", z, r.choice((-0.5, -1, 0)), r.choice((0.4, 1)))
        else:
            flag = p.let("C.greater", z, r.choice((0, 0.2)))
            z = p.let("C.element_select", flag, z, r.choice((x, 0.5, p.parameter(shape))))
    p.around(z)


@family(0.8)
def edges(p, r):
    values = r.choice(EDGES)
    values = [str(v) for v in values]
    x = p.fixed([values, values[::-1]])
    name = r.choice(UNARY + MORE + BINARY + COMPARE + ("pow", "param_relu", "clip", "hard_sigmoid", "element_divide", "reduce_max",
                    "reduce_min", "argmax", "softplus", "elu", "top_k", "element_select", "reduce_log_sum_exp", "classification_error"))  # fmt: skip
    other = r.choice(EDGES[:5])
    other = ([str(v) for v in other] * 7)[: len(values)]
    if name in BINARY + COMPARE + ("pow", "element_divide"):
        z = p.let("C." + name, x, r.choice((p.fixed([other, other]), p.let("C.constant", {"a": ["v", other]}, dtype={"type": "own"}), 0.5)))
    elif name == "param_relu":
        z = p.let("C.param_relu", p.parameter([len(values)]), x)
    elif name in ("clip", "hard_sigmoid"):
        z = p.let("C." + name, x, *r.choice(((-1, 1), (0.2, 0.5), (0, 0.5))))
    elif name == "top_k":
        z = p.let("C.alias", p.let("C.top_k", x, 2) + ".outputs.%d" % r.randint(0, 1))
    elif name == "element_select":
        z = p.let("C.element_select", x, p.fixed([other, other]), p.let("C.square", x))
    elif name == "classification_error":
        z = p.let("C.classification_error", x, p.batch([len(values)], "h", grad=False))
        p.see("value", z)
        return
    elif name in ("softplus", "elu") and p.chance(0.5):
        z = p.let("C." + name, x, r.choice((2, 0.5)))
    else:
        z = p.let("C." + name, x)
    if p.chance(0.3):
        z = p.let("C." + r.choice(("relu", "reduce_sum", "tanh", "square")), z)
    p.see("value", "grad", z)


@family(1.0)
def operands(p, r):
    """Operators given numbers, lists, arrays, constants and parameters without any input."""
    choices = [
        lambda: p.let("C.constant", p.numbers(p.shape())), lambda: p.let("C.parameter", init=p.numbers(p.shape())),
        lambda: p.numbers(p.shape()), lambda: r.choice((1, 2.5, -1)), lambda: [[1.0, 2.0, 3.0], [4.0, 5.0, 6.5]],
        lambda: p.let("C.Constant", p.numbers(p.shape())), lambda: p.let("C.Parameter", init=p.numbers(p.shape())),
        lambda: p.let("C.constant", r.choice((1, 2.5)), {"t": p.shape()}), lambda: p.let("C.Constant", 2.0, {"t": p.shape()}),
        lambda: p.let("C.parameter", {"t": p.shape()}, init=0.5), lambda: p.let("C.constant", 3),
    ]  # fmt: skip
    p.type = "f4"
    first = r.choice(choices)()
    what = r.randrange(8)
    if what < 3:
        z = p.let("C." + r.choice(UNARY + MORE), first)
    elif what < 6:
        z = p.let("C." + r.choice(BINARY + COMPARE), first, r.choice(choices)())
    elif what == 6:
        z = p.let("C." + r.choice(("reduce_sum", "reduce_mean", "reduce_max", "argmax", "softmax", "log_softmax", "hardmax", "square")), first)
    else:
        z = p.let("C." + r.choice(("sum", "mean", "plus", "element_times")), *r.sample([c() for c in choices[:4]], 2))
    if p.chance(0.4):
        z = p.let("C." + r.choice(UNARY), z)
    p.see("value", z)
    if p.chance(0.5):
        p.see("grad", z)
    p.see("shape", z)
    p.see("str", p.let("C.alias", z) + ".dtype")


REDUCE = ("reduce_sum", "reduce_mean", "reduce_max", "reduce_min", "reduce_log_sum_exp", "reduce_prod", "reduce_l1", "reduce_l2",
          "reduce_sum_square", "argmax", "argmin")  # fmt: skip


@family(1.2)
def reductions(p, r):
    sequence = p.chance(0.3)
    shape = list(r.choice(SHAPES + ([1, 4, 4], [3, 3], [1, 1, 3], [2, 2, 2, 2], [1, 5, 5, 1])))
    z = p.some(p.any(shape, sequence))
    op, whole = r.choice(REDUCE), False
    kind = r.randrange(8)
    if kind < 3:
        axis = r.randrange(-len(shape), len(shape))
    elif kind < 5 and len(shape) > 1:
        axes = r.sample(range(len(shape)), r.randint(1, len(shape)))
        axis = {"t": [a if p.chance(0.7) else a - len(shape) for a in axes]} if p.chance(0.6) else axes
    elif kind == 5:
        axis = r.choice((None, "$static", "$static", "$all", "$batch"))
        axis = p.let("C.Axis." + {"$static": "all_static_axes", "$all": "all_axes", "$batch": "default_batch_axis"}[axis]) if axis else None
        whole = True
    elif kind == 6 and sequence:
        z = p.let("C.sequence." + r.choice(("reduce_sum", "reduce_max")), z)
        p.around(z)
        return
    else:
        axis, whole = None, p.chance(0.9)
    if op in ("argmax", "argmin"):
        z = p.let("C." + op, z, axis=axis if not isinstance(axis, (list, dict)) else None)
    else:
        keywords = {"keepdims": False} if p.chance(0.4) and not whole else {}
        z = p.let("C." + op, z, axis=axis, **keywords)
    if p.chance(0.3):
        z = p.let("C.plus", z, p.parameter([1]))
    p.around(z)


@family(1.0)
def products(p, r):
    sequence = p.chance(0.3)
    left = p.shape()
    x = p.some(p.any(left, sequence))
    kind = r.randrange(9)
    k = r.randint(1, len(left))
    tail = [r.choice((1, 2, 3)) for _ in range(r.choice((1, 1, 1, 2)))]
    if kind < 3:
        z = p.let("C.times", x, p.parameter(left[-k:] + tail), **({"output_rank": len(tail)} if len(tail) > 1 else {}))
    elif kind == 3:
        w = p.let("C.parameter", {"t": [-1, r.choice((1, 3))]}, init=p.let("C.glorot_uniform"), dtype={"type": "own"})
        z = p.let("C.times", x, w, infer_input_rank_to_map=r.choice((-1, 0, min(1, len(left) - 1))))
        p.let("fill", z, p.seed())
    elif kind == 4:
        z = p.let("C.times_transpose", x, p.parameter([r.choice((1, 2, 4)), left[-1]]))
    elif kind == 5:
        z = p.let("C.times", x, p.any(left[-k:] + tail, sequence), output_rank=len(tail))
    elif kind == 6:
        z = p.let("@", x, p.parameter([left[-1], r.choice((1, 3))]))
    elif kind == 7:
        m = [r.choice((1, 2, 3))]
        z = p.let("C.times", p.parameter(m + left[:1]), x, **({"output_rank": len(left) - 1} if len(left) > 1 else {}))
        if len(left) == 1:
            z = p.let("C.times", p.parameter(m + left[:1]), p.let("C.reshape", x, {"t": left + [1]}))
    else:
        w = p.parameter([left[-1], 3])
        z = p.let("C.plus", p.let("C.times", x, w), p.let("C.times", p.let("C.tanh", x), w))
    if p.chance(0.4):
        z = p.let("C." + r.choice(("tanh", "sigmoid", "reduce_sum", "softmax")), z)
    p.around(z)


@family(1.6)
def shaping(p, r):
    sequence = p.chance(0.35)
    shape = p.shape()
    z = x = p.any(shape, sequence)
    for _ in range(r.randint(1, 4)):
        z, shape = _reshaped(p, r, z, shape)
        if p.chance(0.4):
            z = p.some(z)
    if p.chance(0.3):
        z = p.let("C.plus", z, p.let("C.reduce_sum", x))
    p.around(z)


def _reshaped(p, r, z, shape):
    n = len(shape)
    kind = r.randrange(13)
    a = r.randrange(n) if n else 0
    if kind == 0 or not n:
        to = r.choice(([size(shape)], [1, size(shape)], [size(shape), 1]))
        if p.chance(0.4):
            to = [-1] + to[1:] if to[0] == size(shape) else to
            known = size(to[1:])
            return p.let("C.reshape", z, {"t": to}), [size(shape) // known if to[0] == -1 else to[0]] + to[1:]
        return p.let("C.reshape", z, {"t": to}), to
    if kind == 1:
        begin = r.randrange(n)
        end = r.randint(begin + 1, n)
        inner = [size(shape[begin:end])]
        return p.let("C.reshape", z, {"t": inner}, begin, end if p.chance(0.7) or end < n else None), shape[:begin] + inner + shape[end:]
    if kind == 2:
        perm = r.sample(range(n), n)
        return p.let("C.transpose", z, {"t": perm}), [shape[i] for i in perm]
    if kind == 3 and n > 1:
        b = r.randrange(n)
        to = list(shape)
        to[a], to[b] = to[b], to[a]
        return p.let("C.swapaxes", z, a, b - n if p.chance(0.3) else b), to
    if kind in (4, 5):
        begin = r.randrange(shape[a])
        end = r.randint(begin + 1, shape[a])
        step = r.choice((1, 1, 2, -1)) if end - begin > 1 else 1
        to = list(shape)
        to[a] = len(range(begin, end, abs(step)))
        more = [step] if step != 1 else []
        return p.let("C.slice", z, r.choice((a, a - n)), begin, 0 if end == shape[a] and p.chance(0.5) else end, *more), to
    return _enlarged(p, r, kind, a, z, shape)


def _enlarged(p, r, kind, a, z, shape):
    n = len(shape)
    if kind == 6:
        to = list(shape)
        to[a] *= 2
        return p.let("C.splice", z, p.let("C." + r.choice(UNARY), z), axis=r.choice((a, a - n))), to
    if kind == 7:
        at = r.randint(0, n)
        return p.let("C.expand_dims", z, at), shape[:at] + [1] + shape[at:]
    if kind == 8 and 1 in shape:
        return p.let("C.squeeze", z), [d for d in shape if d != 1]
    if kind == 9:
        at = r.randint(0, n)
        return p.let("C.flatten", z, at), [size(shape[:at]), size(shape[at:])]
    if kind == 10:
        pattern = [[r.randint(0, 2), r.randint(0, 2)] for _ in shape]
        mode = r.choice((0, 0, 1, 2))
        if mode:
            pattern = [[min(q, d - 1) for q in pair] for pair, d in zip(pattern, shape)]
        return (
            p.let("C.pad", z, [{"t": q} for q in pattern], mode, **({"constant_value": 0.5} if mode == 0 and p.chance(0.5) else {})),
            [d + q[0] + q[1] for d, q in zip(shape, pattern)],
        )
    if kind == 11:
        i = r.randrange(shape[0])
        form = r.randrange(4)
        if form == 0:
            return p.let("item", z, i), [1] + shape[1:]
        if form == 1:
            return p.let("item", z, {"slice": [i, None]}), [shape[0] - i] + shape[1:]
        if form == 2 and n > 1:
            return p.let("item", z, {"t": [{"slice": [None, None]}, r.choice((0, -1, shape[1] - 1))]}), [shape[0], 1] + shape[2:]
        return p.let("item", z, [[i, 0, i]]) if p.chance(0.2) else p.let("item", z, {"slice": [None, i + 1]}), [i + 1] + shape[1:]
    cut = p.let("C.slice", z, a, shape[a] - 1, shape[a])
    to = list(shape)
    to[a] += 1
    return p.let("C.splice", cut, z, axis=a), to


@family(1.0)
def indexing(p, r):
    kind = r.randrange(12)
    if kind == 0:
        table = p.parameter([5] + p.shape()[:2])
        z = p.let("C.gather", table, p.any(r.choice(([], [2], [2, 2], [1])), p.chance(0.3), "i", 0, 5, grad=False))
    elif kind == 1:
        shape = r.choice(([4, 3], [3, 4, 2]))
        table, axis = p.parameter(shape), r.randrange(-1, len(shape) - 1)
        z = p.let("C.gather", table, p.batch(r.choice(([2], [1])), "i", 0, shape[axis], grad=False), axis=axis)
    elif kind == 2:
        x = p.any(r.choice(([], [2], [3, 2])), p.chance(0.3), "i", 0, 5, grad=False)
        keywords = r.choice(({}, {"axis": 0}, {"axis": -1}))
        z = p.let("C.one_hot", x, 4, **keywords)
        if p.chance(0.4):
            z = p.let("C.times", z, p.parameter([4, 2])) if not keywords else p.let("C.reduce_sum", z, axis=0)
    elif kind == 3:
        shape = p.shape()
        a = r.randrange(len(shape))
        t = p.let("C.top_k", p.any(shape, p.chance(0.2)), r.randint(1, shape[a]), axis=r.choice((a, a - len(shape))))
        z = p.let("C.alias", t + ".outputs.%d" % r.randint(0, 1))
    elif kind == 4:
        shape = p.shape()
        z = p.let("C." + r.choice(("argmax", "argmin")), p.any(shape, p.chance(0.3)), r.choice((None, 0, -1)))
    elif kind == 5:
        z = p.let("C.hardmax", p.any(p.shape(), p.chance(0.3)))
    elif kind == 6:
        b = 2
        z = p.let("C.depth_to_space", p.batch([b * b * r.choice((1, 2)), 2, 3]), b)
        if p.chance(0.3):
            z = p.let("C.space_to_depth", p.let("C.tanh", z), b)
    elif kind == 7:
        z = p.let("C.space_to_depth", p.batch([r.choice((1, 3)), 4, 2]), 2)
    elif kind == 8:
        x = p.batch([2, 5, 6])
        z = p.let("C.crop_manual", x, p.batch([2, 3, 4]), r.choice((0, 1, 2)), r.choice((0, 1, 2)))
    elif kind == 9:
        shape = p.shape()
        z = p.let("C.element_select", p.any(shape, False, "i", 0, 2, grad=False), p.batch(narrowed(r, shape)), p.batch(shape))
    elif kind == 10:
        x = p.batch(p.shape())
        z = p.let("C.to_batch", p.let("C.tanh", p.let("C.unpack_batch", x))) if p.chance(0.3) else p.let("C.reduce_sum", p.let("C.unpack_batch", x), axis=r.choice((0, 1, -1)))
    else:
        x = p.batch(p.shape())
        z = p.let("C." + r.choice(("softmax", "hardmax", "log_softmax", "reduce_max")), p.let("C.unpack_batch", x))
    p.around(z)


@family(1.6)
def filters(p, r):
    rank = r.choice((1, 2, 2, 2, 3))
    spatial = [r.choice((4, 5, 6)) for _ in range(rank)]
    if rank == 3:
        spatial = [4, 3, 4]
    channels = r.choice((1, 2, 4))
    x = p.some(p.any([channels] + spatial, p.chance(0.15)))
    kind = r.randrange(10)
    window = [r.choice((1, 2, 3)) for _ in spatial]
    strides = r.choice(([1], [2], [r.choice((1, 2)) for _ in spatial]))
    pad = [p.chance(0.5) for _ in spatial]
    if kind < 4:
        groups = 2 if rank == 2 and channels > 1 and p.chance(0.25) else 1
        out = r.choice((2, 4))
        keywords = {"auto_padding": [False] + pad}
        if strides != [1]:
            keywords["strides"] = {"t": strides if len(strides) == 1 else [1] + strides}
        if groups > 1:
            keywords["groups"] = groups
        z = p.let("C.convolution", p.parameter([out, channels // groups] + window), x, **keywords)
    elif kind == 4:
        y = p.batch(spatial)
        z = p.let("C.convolution", p.parameter([2] + window), y, reduction_rank=0, auto_padding=pad)
    elif kind < 7:
        window = [r.choice((2, 3)) for _ in spatial]
        keywords = {}
        if p.chance(0.7):
            keywords["strides"] = {"t": strides}
        if p.chance(0.5):
            keywords["auto_padding"] = [False] + pad if p.chance(0.5) else r.choice(([True], [False]))
        if p.chance(0.3):
            keywords["ceil_out_dim"] = True
        if p.chance(0.3):
            keywords["include_pad"] = True
        z = p.let("C.pooling", x, r.choice(("C.MAX_POOLING", "C.AVG_POOLING")), {"t": window}, **keywords)
    elif kind < 9:
        keywords = {"auto_padding": [False] + pad}
        if strides != [1]:
            keywords["strides"] = {"t": strides if len(strides) == 1 else [1] + strides}
        z = p.let("C.convolution_transpose", p.parameter([channels, r.choice((1, 3))] + window), x, **keywords)
    else:
        pooled = p.let("C.pooling", x, "C.MAX_POOLING", {"t": [2] * rank}, strides={"t": [2] * rank})
        z = p.let("C.unpooling", pooled, x, "C.MAX_UNPOOLING", {"t": [2] * rank}, strides={"t": [2] * rank})
        p.see("value", "shape", z)
        return
    if p.chance(0.3):
        z = p.let("C.relu", p.let("C.plus", z, 0.1))
    p.around(z)
