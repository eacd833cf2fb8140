"""Families of programs about layers, sparse data, training, and what a program can ask of a function."""

from drawing import FAMILIES, family

ACTIVATIONS = ("C.tanh", "C.sigmoid", "C.relu", "C.softplus", "C.elu", None)


def dense(p, r, n=None):
    """A Dense layer with drawn options."""
    keywords = {}
    if p.chance(0.5):
        keywords["activation"] = r.choice(ACTIVATIONS)
    if p.chance(0.2):
        keywords["bias"] = False
    if p.chance(0.15):
        keywords["init_bias"] = 0.3
    return p.let("C.layers.Dense", n or r.choice((1, 2, 3, 4)), **keywords)


@family(2.4)
def layers(p, r):
    p.type, p.rest["double"] = r.choice((("f4", False),) * 7 + (("f8", True),))
    sequence = p.chance(0.3)
    kind = r.randrange(16)
    shape = list(r.choice(([5], [3], [2, 3], [2, 2, 3])))
    if kind < 3:
        keywords = {}
        if p.chance(0.5):
            keywords["activation"] = r.choice(ACTIVATIONS)
        if p.chance(0.3):
            keywords["bias"] = False
        if p.chance(0.3) and len(shape) > 1:
            keywords[r.choice(("map_rank", "input_rank"))] = 1
        layer = p.let("C.layers.Dense", r.choice((3, {"t": [2, 3]}, 1, {"t": [2]})), **keywords)
    elif kind == 3:
        shape = [r.choice((3, 5))]
        layer = p.let("C.layers.Embedding", r.choice((2, 3, {"t": [2, 2]}))) if p.chance(0.6) else p.let("C.layers.Embedding", weights=p.numbers([shape[0], 2]))
    elif kind < 7:
        rank = r.choice((1, 2, 2, 3))
        shape = [r.choice((1, 2, 3))] + [5, 6, 4][:rank]
        layer = _filters(p, r, rank)
    elif kind == 7:
        shape = [r.choice((2, 3)), 5, 6]
        name = r.choice(("MaxPooling", "AveragePooling"))
        keywords = {"strides": r.choice((1, 2, {"t": [2, 1]})), "pad": r.choice((True, False))}
        layer = p.let("C.layers." + name, {"t": r.choice(([2, 2], [3, 2], [3, 3]))}, **keywords)
        if p.chance(0.3):
            layer = p.let("C.layers." + r.choice(("GlobalMaxPooling", "GlobalAveragePooling")))
    elif kind == 8:
        shape = [4]
        layer = p.let("C.layers." + r.choice(("ResNetBlock",)), p.let("C.layers.Dense", 4, activation=r.choice(ACTIVATIONS)))
    elif kind == 9:
        shape = [3]
        layer = p.let("C.layers.SequentialClique", [p.let("C.layers.Dense", 3), p.let("C.layers.Dense", 3, activation="C.tanh"), p.let("C.layers.Dense", 3)])
    else:
        layer, shape, sequence = _composed(p, r, kind, shape, sequence)
    z = p.let(layer, p.some(p.any(shape, sequence)))
    if p.chance(0.3):
        z = p.let(dense(p, r), z)
    p.let("fill", z, p.seed())
    p.see("value", "grad", "shape", z)
    if p.chance(0.3):
        p.see("graph", z)


def _composed(p, r, kind, shape, sequence):
    """Layers made of layers, and layers over sequences."""
    if kind == 10:
        layer = p.let("C.layers.Sequential", [dense(p, r), r.choice(("C.tanh", "C.relu")), {"t": [dense(p, r, 2), dense(p, r, 2)]}, r.choice(("C.splice", "C.plus")), dense(p, r)])
        shape = [4]
    elif kind == 11:
        layer = p.let("C.layers.For", {"t": [0, 1, 2]}, {"f": [["i"], [["k", "C.layers.Dense", [3], {"activation": "C.tanh"}]], "$k"]})
    elif kind == 12:
        sequence, shape = True, [r.choice((2, 3))]
        layer = p.let("C.layers.Delay", r.choice((1, -1, 2, 0)), **r.choice(({}, {"initial_state": 0.5})))
    elif kind == 13:
        sequence, shape = True, [r.choice((2, 4))]
        name = r.choice(("Convolution", "SequentialConvolution"))
        keywords = {"pad": r.choice((True, False))} if p.chance(0.6) else {}
        if name == "Convolution":
            keywords["sequential"] = True
        if p.chance(0.3):
            keywords["activation"] = "C.tanh"
        layer = p.let("C.layers." + name, {"t": [r.choice((1, 2, 3))]}, r.choice((2, 3)), **keywords)
    elif kind == 14:
        shape = [3]
        options = r.choice(([["init", p.let("C.normal", 0.3)], ["activation", "C.sigmoid"]], [["bias", False]], [["init_bias", 0.5]]))
        p.steps.append(["layer", "within", [{"m": options}, "C.layers.Dense", 3], {}])
        layer = "$layer"
    else:
        shape, p.lengths, p.rows = [4], [2, 2], 4
        layer = p.let("C.layers.Sequential", [dense(p, r, 3), p.let("C.layers.BatchNormalization", epsilon=0.1), "C.tanh", p.let("C.layers.Dropout", 0.0) if p.chance(0.5) else dense(p, r, 2)])
    return layer, shape, sequence


def _filters(p, r, rank):
    window = {"t": [r.choice((1, 2, 3)) for _ in range(rank)]}
    keywords = {"pad": r.choice((True, False))}
    if p.chance(0.4):
        keywords["strides"] = r.choice((1, 2))
    if p.chance(0.3):
        keywords["activation"] = r.choice(ACTIVATIONS)
    if p.chance(0.2):
        keywords["bias"] = False
    if p.chance(0.3):
        return p.let("C.layers.ConvolutionTranspose%dD" % rank, window if rank > 1 else window["t"][0], r.choice((1, 3)), **keywords)
    return p.let("C.layers.Convolution%dD" % rank if p.chance(0.7) else "C.layers.Convolution", window, r.choice((1, 2, 4)), **keywords)


@family(1.4)
def networks(p, r):
    """Small convolution networks and skips: compositions of layers as users write them."""
    p.type = "f4"
    shape = [r.choice((1, 3)), 8, 8]
    x = p.batch(shape)
    z = x
    channels = r.choice((2, 4))
    for i in range(r.randint(1, 3)):
        kind = r.randrange(5)
        conv = p.let("C.layers.Convolution2D", {"t": [3, 3]}, channels, pad=True, activation=r.choice(("C.relu", "C.tanh")), name="c%d" % i)
        y = p.let(conv, z)
        if kind == 0 and i:
            y = p.let("C.plus", y, z)
        elif kind == 1:
            y = p.let("C.splice", y, z, axis=0)
        elif kind == 2:
            y = p.let(p.let("C.layers.MaxPooling", {"t": [2, 2]}, strides=2), y)
        elif kind == 3:
            y = p.let(p.let("C.layers.BatchNormalization", map_rank=1), y)
        z = y
        if kind == 1:
            channels = r.choice((2, 4))
    z = p.let(p.let("C.layers.GlobalAveragePooling"), z) if p.chance(0.5) else z
    if p.chance(0.3):
        t = p.let(dense(p, r, 6), z)
        z = p.let("C.splice", p.let("*", p.let("C.slice", t, 0, 0, 3), p.let("C.sigmoid", p.let("C.slice", t, 0, 3, 6))), t)
    else:
        z = p.let(dense(p, r), z)
    p.let("fill", z, p.seed())
    p.see("value", "grad", z)


@family(1.0)
def sparse(p, r):
    p.type = "f4"
    sequence = p.chance(0.4)
    n = r.choice((4, 6))
    x = p.any([n], sequence, r.choice(("h", "z")), sparse=True, grad=False)
    kind = r.randrange(9)
    if kind < 2:
        z = p.let("C.times", x, p.parameter([n, 3]))
    elif kind == 2:
        z = p.let(p.let("C.layers.Embedding", 3), x)
    elif kind == 3:
        z = p.let(dense(p, r, 3), x)
    elif kind == 4:
        z = p.let("C.times_transpose", x, p.parameter([3, n]))
    elif kind == 5 and sequence:
        z = p.let("C.times", p.let("C.sequence." + r.choice(("first", "last")), x), p.parameter([n, 2]))
    elif kind == 6:
        z = p.let("C.alias", x) if p.chance(0.5) else p.let("C.reshape", x, {"t": [n]})
        p.see("value", z)
        return
    elif kind == 7:
        y = p.any([n], sequence)
        z = p.let("C." + r.choice(("cross_entropy_with_softmax", "classification_error")), y, x)
        p.see("value", z)
        if "cross" in p.steps[-1][1]:
            p.see("grad", z)
        return
    else:
        w = p.parameter([n, 2])
        z = p.let("C.plus", p.let("C.times", x, w), p.let("C.times", p.any([n], sequence), w))
    p.let("fill", z, p.seed())
    z = p.let("C.reduce_sum", p.let("C.square", z)) if p.chance(0.8) else z
    p.see("value", "grad", z)


# ---------------------------------------------------------------- training

PLAIN = ("sgd", "momentum_sgd", "nesterov", "adagrad", "adadelta", "fsadagrad", "adam", "rmsprop")


def learner(p, r, model):
    """A drawn learner with schedules and options."""
    name = r.choice(PLAIN)
    if p.chance(0.35):
        rate = r.choice((0.1, 0.5, 0.02))
    else:
        rate = p.let(
            "C." + r.choice(("learning_parameter_schedule", "learning_parameter_schedule_per_sample", "learning_rate_schedule")),
            r.choice((0.1, [0.2, 0.1], [{"t": [2, 0.2]}, {"t": [1, 0.05]}])),
        )  # fmt: skip
        step = p.steps[-1]
        if step[1].endswith("rate_schedule"):
            step[2].append(r.choice(("C.UnitType.sample", "C.UnitType.minibatch")))
        elif step[1].endswith("schedule") and p.chance(0.5):
            step[3]["minibatch_size"] = r.choice((1, 2, 4))
        if isinstance(step[2][0], list) and p.chance(0.7):
            step[3]["epoch_size"] = r.choice((4, 6))
    args, keywords = [model + ".parameters", rate], {}
    if name in ("momentum_sgd", "nesterov", "fsadagrad", "adam"):
        args.append(_momentum(p, r))
    if name == "rmsprop":
        args += [0.9, 1.2, 0.7, 10.0, 0.01]
    if name == "adadelta":
        keywords.update({"rho": 0.9, "epsilon": 1e-4})
    if name in ("momentum_sgd", "nesterov", "fsadagrad", "adam") and p.chance(0.4):
        keywords["unit_gain"] = r.choice((True, False))
    if p.chance(0.2):
        keywords["l2_regularization_weight"] = 0.05
    if p.chance(0.15):
        keywords["l1_regularization_weight"] = 0.02
    if p.chance(0.25):
        keywords["gradient_clipping_threshold_per_sample"] = r.choice((0.1, 0.5))
        if p.chance(0.5):
            keywords["gradient_clipping_with_truncation"] = False
    if p.chance(0.2):
        keywords["use_mean_gradient"] = True
    if p.chance(0.2):
        keywords["minibatch_size"] = r.choice((1, 2))
    return p.let("C." + name, *args, **keywords)


def _momentum(p, r):
    kind = r.randrange(4)
    if kind == 0:
        return r.choice((0.5, 0.9, 0.0))
    if kind == 1:
        return p.let("C.momentum_schedule", r.choice((0.5, [0.5, 0.8])), **r.choice(({}, {"minibatch_size": 2})))
    if kind == 2:
        return p.let("C.momentum_as_time_constant_schedule", r.choice((8, 20)))
    return p.let("C.momentum_schedule_per_sample", r.choice((0.9, 0.5)))


def minibatches(p, r, inputs, count):
    """Data for several steps: ``inputs`` are (name, shape, kind, sequence, sparse)."""
    result = []
    for i in range(count):
        rows = r.choice((2, 3, 4, 1))
        lengths = [r.randint(1, 4) for _ in range(rows)]
        data = {}
        for name, shape, kind, sequence, is_sparse in inputs:
            spec = p.spec(shape, kind) if sequence else p.spec([rows] + shape, kind)
            spec = ["r", lengths, spec] if sequence else spec
            data[name] = {"a": ["c", spec] if is_sparse else spec}
        result.append(data)
    return result


@family(2.2)
def learners(p, r):
    p.type = "f8" if p.chance(0.15) else "f4"
    is_sparse = p.type == "f4" and p.chance(0.2)
    n = r.choice((2, 4))
    x = p.batch([n], sparse=is_sparse, grad=False)
    y = p.batch([2], grad=False)
    z = p.let("C.plus", p.let("C.times", x, p.parameter([n, 2])), p.parameter([2]))
    loss = p.let("C." + r.choice(("squared_error", "cross_entropy_with_softmax")), z, y)
    p.data = {}
    inputs = [("x0", [n], "h" if is_sparse else "u", False, is_sparse), ("x1", [2], "h", False, False)]
    how = learner(p, r, z)
    p.see("train", {"criterion": loss, "model": z, "learners": [how], "minibatches": minibatches(p, r, inputs, r.choice((3, 5)))})


@family(1.8)
def training(p, r):
    p.type = "f4"
    kind = r.randrange(5)
    sequence = kind in (0, 1)
    shape = [3] if kind != 4 else [2, 6, 6]
    is_sparse = kind == 2
    x = p.any(shape, sequence, "h" if is_sparse else "u", sparse=is_sparse, grad=False)
    if kind == 0:
        cell = p.let("C.layers." + r.choice(("LSTM", "GRU", "RNNStep")), r.choice((2, 3)))
        z = p.let(p.let("C.layers.Sequential", [p.let("C.layers.Recurrence", cell, **r.choice(({}, {"go_backwards": True}))), "C.sequence.last", dense(p, r, 2)]), x)
    elif kind == 1:
        a = p.let("C.layers.Recurrence", p.let("C.layers." + r.choice(("GRU", "LSTM")), 2))
        b = p.let("C.layers.Recurrence", p.let("C.layers." + r.choice(("GRU", "LSTM")), 2), go_backwards=True)
        z = p.let(p.let("C.layers.Sequential", [{"t": [a, b]}, "C.splice", dense(p, r, 2)]), x)
    elif kind == 4:
        z = p.let(p.let("C.layers.Sequential", [
            p.let("C.layers.Convolution2D", {"t": [3, 3]}, 2, pad=True, activation="C.relu"),
            p.let("C.layers.BatchNormalization", map_rank=1) if p.chance(0.4) else p.let("C.layers.MaxPooling", {"t": [2, 2]}, strides=2),
            dense(p, r, 2),
        ]), x)  # fmt: skip
    else:
        z = p.let(p.let("C.layers.Sequential", [dense(p, r, 4), r.choice(("C.tanh", p.let("C.layers.LayerNormalization"))), dense(p, r, 2)]), x)
    p.let("fill", z, p.seed())
    labels = kind == 1
    y = p.any([2], labels, "h", grad=False)
    loss = p.let("C." + r.choice(("cross_entropy_with_softmax", "squared_error")), z, y)
    criterion = {"t": [loss, p.let("C.classification_error", z, y)]} if p.chance(0.6) else loss
    p.data = {}
    inputs = [("x0", shape, "h" if is_sparse else "u", sequence, is_sparse), ("x1", [2], "h", labels, False)]
    how = [learner(p, r, z)]
    p.see("train", {"criterion": criterion, "model": z, "learners": how, "minibatches": minibatches(p, r, inputs, r.choice((3, 4)))})


# ---------------------------------------------------------------- what a program can ask


@family(1.4)
def asked(p, r):
    sequence = p.chance(0.4)
    shape = p.shape()
    x, y = p.any(shape, sequence), p.any(shape, sequence)
    p.type = "f4"
    kind = r.randrange(12)
    if kind < 3:
        z = p.let("C." + r.choice(("plus", "splice", "minus", "element_max")), x, *([y] if p.chance(0.7) else [x]))
        z = p.let("C.tanh", z, name="t")
    elif kind < 5:
        model = p.let("C.layers.Sequential", [dense(p, r), "C.tanh", dense(p, r)])
        z = p.let(model, x)
        p.let("fill", z, p.seed())
        if p.chance(0.5):
            p.see("graph", model)
    elif kind == 5:
        a = p.let("C.placeholder", name="a")
        b = p.let("C.placeholder", name="b")
        f = p.let("C.minus", *r.sample([p.let("C.sin", a), b], 2))
        p.see("graph", f)
        z = p.let(f, x, y)
    elif kind == 6:
        f = p.let("C.plus", p.let("*", y, 2), x)
        z = p.let(f + ".clone", "C.CloneMethod." + r.choice(("share", "clone", "freeze")), r.choice(({"m": []}, {"m": [[x, p.any(shape, sequence)]]})))
    elif kind == 7:
        z = p.let("C.combine", [p.let("C.sin", x), p.let("C.plus", x, y)])
        p.see("value", z)
    elif kind == 8:
        f = p.let("C.sin", p.let("C.plus", x, p.parameter(shape, name="w")), name="s")
        z = p.let(f + ".find_by_name", r.choice(("s", "w", "nothing", "x0")))
        p.see("text", z + ".name") if p.chance(0.5) else p.see("str", z)
        z = f
    elif kind == 9:
        z = p.let("C.times", x, p.parameter([shape[-1], 2], name="w"), name="p")
        p.see("text", r.choice((z + ".op_name", z + ".is_composite", z + ".is_block", z + ".root_function.op_name", z + ".output.name", z + ".name", z + ".is_primitive")))
        p.see("str", r.choice((z + ".output.name", x, z + ".parameters.0")))
    elif kind == 10:
        f = p.let("C.relu", p.let("C.plus", x, p.parameter(shape)))
        p.see("str", r.choice((f + ".arguments", x + ".dtype", x)))
        z = f
    else:
        f = p.let("C.plus", x, y)
        z = p.let("C.alias", f, name="q")
    p.see("graph", z)
    if kind != 7:
        p.see("shape", z)
    if p.chance(0.5):
        p.see("value", z)


@family(0.5)
def assigned(p, r):
    p.type = "f4"
    shape = p.shape()
    kind = r.randrange(6)
    if kind == 0:
        c = p.constant(shape) if p.chance(0.5) else p.parameter(shape)
        z = p.let("C.assign", c, p.let("C.plus", c, r.choice((1, 0.5))))
        p.see("value", z)
        p.see("numbers", c + ".value")
    elif kind == 1:
        c = p.constant(shape)
        x = p.constant(shape)
        z = p.let("C.combine", [p.let("C.assign", c, x), p.let("C.plus", c, x)])
        p.see("value", z)
        p.see("numbers", c + ".value")
    elif kind == 2:
        w = p.parameter(shape)
        x = p.batch(shape)
        z = p.let("C.element_times", x, w)
        p.see("value", z)
        p.let("set", w, "value", p.numbers(shape))
        p.see("value", "grad", z)
    elif kind == 3:
        c = p.constant(shape)
        z = p.let("C.plus", p.batch(shape), p.let("C.assign", c, p.let("*", c, 0.5)))
        p.see("value", z)
    elif kind == 4:
        w = p.parameter(shape)
        f = p.let("C.reduce_sum", p.let("C.square", p.let("C.plus", p.batch(shape), w)))
        p.see("grad", f)
        p.let("set", w, "value", p.numbers(shape))
        p.see("grad", "value", f)
    else:
        x = p.batch(shape)
        c = p.constant(shape)
        z = p.let("C.minus", x, c)
        p.see("value", z)
        p.see("numbers", c + ".value")


@family(0.8)
def files(p, r):
    """Functions saved by CNTK and loaded: with sequences, recurrences and layers."""
    function, _, _ = FAMILIES[r.choice(("recurrences", "layers", "sequences", "networks", "shaping", "indexing"))]
    function(p, r)
    p.type = "f4"
    z = [w for k, w in p.seen if k in ("value", "grad")][-1]
    p.seen = [["value", z], ["file", z]]


@family(2.0, error=True)
def mutated(p, r):
    """Programs of the other families with one argument changed: what CNTK refuses is refused in kind."""
    names = ("elementwise", "reductions", "products", "shaping", "indexing", "filters", "normalisation", "criteria", "sequences", "recurrences", "layers", "sparse")
    function, _, _ = FAMILIES[r.choice(names)]
    function(p, r)
    p.steps = [s for s in p.steps if s[1] != "fill" or s[2][0] == p.seen[0][1]]
    step = r.choice(p.steps)
    for _ in range(6):
        if any(_changeable(a) for a in step[2]) or step[3]:
            break
        step = r.choice(p.steps)
    if step[1] == "fill":
        step = p.steps[0]
    places = [(step[2], i) for i in range(len(step[2])) if _changeable(step[2][i])]
    places += [(step[3], k) for k in step[3] if k not in ("dtype", "name", "needs_gradient", "is_sparse", "init")]
    if places:
        where, key = r.choice(places)
        where[key] = _changed(p, r, where[key])
    elif step[2]:
        step[2].pop()
    p.seen = [s for s in p.seen if s[0] in ("value", "shape")] or p.seen


def _changeable(a):
    return not isinstance(a, str) or a.startswith("$")


def _changed(p, r, v):
    if isinstance(v, str):
        return r.choice(("$v0", "$v0", 3.5, "$v0"))
    if isinstance(v, bool):
        return not v
    if isinstance(v, (int, float)):
        return r.choice((v + 1, -v - 1, 99, 0))
    if isinstance(v, dict) and "t" in v:
        items = list(v["t"])
        return r.choice(({"t": items + [2]}, {"t": items[:-1]}, {"t": [7 if isinstance(i, int) else i for i in items]}, {"t": items[::-1]}))
    if isinstance(v, list):
        return r.choice((v[:-1], v + v))
    return 2
