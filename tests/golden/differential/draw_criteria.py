"""Families of programs about normalisation, criteria, sequences and recurrences."""

from drawing import UNARY, family

REGRESSION = ("squared_error", "cosine_distance", "binary_cross_entropy")


@family(0.8)
def normalisation(p, r):
    sequence = p.chance(0.2)
    shape = list(r.choice(([3], [2, 3], [3, 4, 4], [2, 5, 5], [1, 3])))
    x = p.some(p.any(shape, sequence))
    kind = r.randrange(9)
    if kind > 5:
        p.lengths, p.rows, p.type, p.data, p.steps = [2, 2, 2], 4, "f4", {}, []
        x = p.some(p.any(shape, sequence))
    p.rest["double"] = p.type == "f8"
    if kind == 0 and len(shape) > 1:
        z = p.let("C.mean_variance_normalization", x, **r.choice(({}, {"epsilon": 0.01}, {"use_stats_across_channels": True}, {"do_variance_scaling": False})))
    elif kind == 1 and len(shape) == 3:
        z = p.let("C.local_response_normalization", x, 1, 1.0, r.choice((1.0, 0.5)), r.choice((0.5, 0.75)))
        p.see("value", z)
        return
    elif kind == 2:
        z = p.let("C.per_dim_mean_variance_normalize", x, p.numbers(shape), p.numbers(shape, "u", 0.5, 2))
    elif kind == 3 and len(shape) == 3:
        z = p.let("C.image_scaler", x, r.choice((0.5, 2.0)), [0.25 * (i + 1) for i in range(shape[0])])
    elif kind == 4:
        z = p.let(p.let("C.layers.LayerNormalization", **r.choice(({}, {"epsilon": 0.1}, {"initial_scale": 2, "initial_bias": 0.5}))), x)
        if p.chance(0.5):
            p.let("fill", z, p.seed())
    elif kind == 5:
        z = p.let(p.let("C.layers.Stabilizer", **r.choice(({}, {"steepness": 2}, {"enable_self_stabilization": False}))), x)
        p.let("fill", z, p.seed())
    else:
        options = {}
        if len(shape) == 3 or p.chance(0.3):
            options["map_rank"] = 1
        if p.chance(0.5):
            options["normalization_time_constant"] = r.choice((4, 0, -1, 100))
        if p.chance(0.4):
            options["init_scale"] = 0.5
        if p.chance(0.4):
            options["epsilon"] = 0.1
        z = p.let(p.let("C.layers.BatchNormalization", **options), x)
        if p.chance(0.5):
            p.see("value", "value", z)
        else:
            p.see("grad", "value", z)
        return
    p.around(z)


@family(1.6)
def criteria(p, r):
    sequence = p.chance(0.35)
    n = r.choice((3, 4, 1, 2))
    shape = r.choice(([n], [n], [n], [2, n], [1, n], [n, 3]))
    kind = r.randrange(16)
    x = p.some(p.any(shape, sequence))
    if kind < 4:
        name = r.choice(("cross_entropy_with_softmax", "classification_error"))
        keywords = {}
        if len(shape) > 1 and p.chance(0.5):
            keywords["axis"] = r.choice((0, 1, -1))
        if name == "classification_error" and p.chance(0.3):
            keywords["topN"] = 2
        y = p.any(shape, sequence, "h", grad=False) if p.chance(0.7) else p.any(shape, sequence, "u", 0, 1)
        z = p.let("C." + name, x, y, **keywords)
        p.see("value", "shape", z)
        if name != "classification_error":
            p.see("grad", z)
        return
    if kind < 8:
        name = r.choice(REGRESSION)
        if name == "binary_cross_entropy":
            x = p.let("C.sigmoid", x)
            y = p.any(shape, sequence, "i", 0, 2, grad=False)
        else:
            y = p.any(shape, sequence)
        z = p.let("C." + name, x, y)
    elif kind == 8:
        z = p.let("C.weighted_binary_cross_entropy", p.let("C.sigmoid", x), p.any(shape, sequence, "i", 0, 2, grad=False), p.any(shape, sequence, "u", 0.5, 1.5, grad=False))
        p.see("value", z)
        return
    elif kind == 9:
        z = p.let("C.cosine_distance_with_negative_samples", p.batch([4]), p.batch([4]), 1, r.choice((1, 2)))
    elif kind == 10:
        p.rows = 4
        z = p.let("C." + r.choice(("lambda_rank", "ndcg_at_1")), p.batch([1]), p.batch([1], "i", 0, 4, grad=False), p.fixed([["1"], ["1"], ["2"], ["2"]], grad=False))
        p.see("value", z)
        return
    elif kind == 11:
        keywords = r.choice(({}, {"subPen": 2}, {"squashInputs": True}, {"delPen": 3, "insPen": 2}, {"tokensToIgnore": [1]}))
        z = p.let("C.edit_distance_error", p.frames([4], "h", grad=False), p.frames([4], "h", grad=False), **keywords)
        p.see("value", z)
        return
    elif kind == 12:
        z = p.let("C.losses.fmeasure", p.let("C.sigmoid", x), p.any(shape, sequence, "i", 0, 2, grad=False), **r.choice(({}, {"beta": 2})))
        p.see("value", z)
        return
    elif kind == 13:
        z = p.let("C." + r.choice(("softmax", "log_softmax")), x, **({"axis": r.randrange(-len(shape), len(shape))} if p.chance(0.7) else {}))
    elif kind == 14:
        y = p.any(shape, sequence, "h", grad=False)
        z = p.let("C.reduce_sum", p.let("C.element_times", y, p.let("C.log_softmax", x)))
    else:
        y = p.any(shape, sequence)
        d = p.let("-", x, y)
        z = p.let("C.reduce_" + r.choice(("mean", "sum", "max")), p.let("C.square", d))
    p.around(z)


@family(2.2)
def sequences(p, r):
    shape = p.shape() if p.chance(0.7) else [r.choice((2, 3))]
    x = p.some(p.frames(shape))
    z = x
    for _ in range(r.randint(1, 3)):
        kind = r.randrange(17)
        if kind == 0:
            z = p.let("C.sequence." + r.choice(("first", "last", "reduce_sum", "reduce_max")), z)
            z = p.let("C.sequence.broadcast_as", z, x) if p.chance(0.6) else z
            if z != x and p.steps[-1][1] != "C.sequence.broadcast_as":
                break
        elif kind == 1:
            z = p.let("C.sequence." + r.choice(("is_first", "is_last")), z)
            z = p.let("*", z, x) if p.chance(0.5) and len(shape) == 1 else p.let("C.element_select", z, x, 0.5)
        elif kind in (2, 3):
            z = p.let("C.sequence." + r.choice(("past_value", "future_value")), z, *r.choice(((), (0.5,), (0.0, 2), (1, 3))))
        elif kind == 4:
            state = r.choice((p.parameter(shape), p.constant(shape)) if p.type == "f8" else (p.numbers(shape), p.parameter(shape)))
            z = p.let("C.sequence." + r.choice(("past_value", "future_value")), z, state, r.choice((1, 2)))
        elif kind == 5:
            z = p.let("C.sequence.delay", z, r.choice((0, 0.5, None)), r.choice((1, -1, 2, 0)))
        elif kind == 6:
            z = p.let("C.sequence.softmax", z)
        elif kind in (7, 8, 9, 10, 11, 12, 16):
            z = _ending(p, r, kind, x, z, shape)
            break
        elif kind == 13:
            y = p.batch(shape) if len(p.lengths) == p.rows and z == x else None
            op = r.choice(("plus", "minus", "element_times", "splice")) if not y else r.choice(("plus", "minus", "element_times"))
            z = p.let("C." + op, *(r.sample([z, y], 2) if y else [z, z]))
            if p.steps[-1][1] == "C.splice":
                break
        elif kind == 14:
            z = p.let("C.reconcile_dynamic_axes", p.parameter(shape), x) if p.chance(0.5) else p.let("C.sequence.broadcast_as", p.parameter(shape), x)
            z = p.let("+", z, x)
        elif kind == 15:
            z = p.let("C.plus", z, p.let("C.sequence." + r.choice(("past_value", "future_value")), p.let("C." + r.choice(UNARY[:4]), z)))
    p.around(z)


def _ending(p, r, kind, x, z, shape):
    """A step after which sequences are no longer those of the input."""
    if kind == 7:
        z = p.let("C.layers.PastValueWindow", r.choice((1, 2, 3)), r.choice((-1, -2) if len(shape) > 1 else (-2,)))
        z = p.let(z, x) + ".outputs.%d" % r.randint(0, 1)
        z = p.let("C.alias", z)
    elif kind == 8:
        u = p.let("C.sequence.unpack", z, r.choice((0, -1)), **({"no_mask_output": True} if p.chance(0.6) else {}))
        if p.chance(0.5) and "no_mask_output" in p.steps[-1][3]:
            z = p.let("C.reduce_" + r.choice(("sum", "max")), u, axis=0)
        elif p.chance(0.5) and "no_mask_output" in p.steps[-1][3]:
            z = p.let("C.to_sequence_like", p.let("C.tanh", u), x)
        else:
            z = u
    elif kind == 9:
        begin, end = r.choice(((0, 1), (1, 0), (0, -1), (-1, 0)))
        z = p.let("C.sequence.slice", p.frames(shape, lengths=[3, 2, 4]), begin, end)
    elif kind == 10:
        flag = p.let("C.greater", p.let("C.reduce_sum", x), r.choice((-0.5, -100, -0.1)))
        z = p.let("C.sequence.gather", z, flag)
        z = p.let("C.sequence.last", z) if p.chance(0.5) else z
    elif kind == 11:
        flag = p.let("C.sequence.is_first", x) if p.chance(0.5) else p.let("C.sequence.is_last", x)
        z = p.let("C.sequence.gather", z, flag)
        z = p.let("C.sequence.scatter", p.let("C.tanh", z), flag) if p.chance(0.6) else z
    elif kind == 12:
        w = p.let("C.sequence.where", p.let("C.greater", p.let("C.reduce_sum", x), -0.5))
        z = w
    else:
        z = p.let("C.to_sequence", p.batch([3] + shape), **({} if p.chance(0.6) else {"sequence_lengths": p.batch([], "i", 3, 4, grad=False)}))
        z = p.let("C.sequence." + r.choice(("last", "reduce_sum", "first")), z)
    return z


CELLS = ("LSTM", "GRU", "RNNStep")


def cell(p, r, n):
    """A recurrent cell of a number of units with drawn options."""
    kind = r.choice(CELLS)
    keywords = {}
    if p.chance(0.25):
        keywords["enable_self_stabilization"] = True
    if kind == "LSTM" and p.chance(0.25):
        keywords["use_peepholes"] = True
    if p.chance(0.15) and kind != "GRU":
        keywords["cell_shape"] = n + 1
    if p.chance(0.2):
        keywords["activation"] = r.choice(("C.relu", "C.sigmoid", "C.tanh"))
    return p.let("C.layers." + kind, n, **keywords), kind


@family(2.4)
def recurrences(p, r):
    p.type, p.rest["double"] = r.choice((("f4", False),) * 8 + (("f8", True),))
    shape = r.choice(([3], [2], [1], [2, 3], [4]))
    x = p.frames(shape)
    n = r.choice((1, 2, 3, 4))
    kind = r.randrange(13)
    if kind < 3:
        step, _ = cell(p, r, n)
        keywords = {}
        if p.chance(0.4):
            keywords["go_backwards"] = True
        if p.chance(0.3):
            keywords["initial_state"] = r.choice((0.1, 0.5))
        if p.chance(0.15):
            keywords["return_full_state"] = True
        z = p.let(p.let("C.layers." + r.choice(("Recurrence", "Recurrence", "Fold")), step, **keywords), p.some(x))
    elif kind == 3:
        a, b = cell(p, r, n)[0], cell(p, r, n)[0]
        z = p.let("C.splice", p.let(p.let("C.layers.Recurrence", a), x), p.let(p.let("C.layers.Recurrence", b, go_backwards=True), x))
        if p.chance(0.5) and len(shape) == 1:
            z = p.let("C.splice", z, x)
    elif kind == 4:
        body = {"f": [["h", "x"], [["r", "*", ["$h", r.choice((0.5, 0.8))], {}], ["q", "+", ["$r", "$x"], {}], ["z", "C." + r.choice(UNARY[:3]), ["$q"], {}]], "$z"]}
        z = p.let(p.let("C.layers." + r.choice(("Recurrence", "Fold")), body, **r.choice(({}, {"go_backwards": True}, {"initial_state": 0.3}))), x)
    elif kind == 5:
        body = {"f": [["y"], [["r", "*", ["$y", 0.8], {}], ["q", "+", ["$r", 0.1], {}], ["z", "C.tanh", ["$q"], {}]], "$z"]}
        start = p.let("C.Constant", 0.5) if p.chance(0.3) else None
        p.rows = len(p.lengths)
        start = start or p.batch(r.choice(([2], [1], [3])))
        z = p.let(p.let("C.layers.UnfoldFrom", body, **r.choice(({}, {}, {"length_increase": 1.5}))), start, x)
    elif kind == 6:
        p.rows = len(p.lengths)
        step, name = cell(p, r, n)
        if name == "LSTM":
            state = [p.batch([n]), p.batch([n])]
        else:
            state = [p.batch([n])]
        z = p.let(p.let("C.layers.RecurrenceFrom", step, **r.choice(({}, {"go_backwards": True}))), *(state + [x]))
    elif kind < 10:
        z = _by_hand(p, r, x, shape, n)
    elif kind == 10:
        z = p.let(p.let("C.layers.Fold", r.choice(("C.plus", "C.element_max", "C.plus")), **r.choice(({}, {"initial_state": 0.5}, {"go_backwards": True}))), x)
    elif kind == 11:
        a, b = cell(p, r, n)[0], cell(p, r, 2)[0]
        model = p.let("C.layers.Sequential", [p.let("C.layers.Recurrence", a), p.let("C.layers.Recurrence", b, **r.choice(({}, {"go_backwards": True}))), "C.sequence.last", p.let("C.layers.Dense", 2)])
        z = p.let(model, x)
    else:
        step, _ = cell(p, r, n)
        z = p.let(p.let("C.layers.Recurrence", step), p.let(p.let("C.layers.Dense", n), x))
        z = p.let("C.sequence." + r.choice(("last", "first", "reduce_sum", "softmax")), z)
    p.let("fill", z, p.seed())
    p.see("value", "grad", "shape", z)
    if p.chance(0.3):
        p.see("graph", z)


def _by_hand(p, r, x, shape, n):
    w, u = p.parameter(shape + [n]), p.parameter([n, n])
    state = p.let("C.placeholder", **r.choice(({}, {"shape": {"t": [n]}})))
    delay = p.let("C.sequence." + r.choice(("past_value", "future_value")), state, r.choice((0, 0.25, p.numbers([n]), p.parameter([n]))), r.choice((1, 1, 2)))
    rank = {"output_rank": 1}
    new = p.let("C." + r.choice(("tanh", "sigmoid")), p.let("C.plus", p.let("C.times", x, w, **rank), p.let("C.times", delay, u)))
    if p.chance(0.4):
        gate = p.let("C.sigmoid", p.let("C.times", delay, u))
        new = p.let("C.plus", p.let("C.element_times", gate, delay), p.let("C.element_times", p.let("C.minus", 1, gate), new))
    z = p.let(new + ".replace_placeholders", {"m": [[state, new + ".output"]]})
    if p.chance(0.4):
        z = p.let("C." + r.choice(("sequence.last", "tanh", "sequence.reduce_sum")), z)
    return z
