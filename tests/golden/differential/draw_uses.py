"""Families of programs about use: how data are given, what may be asked, axes of several sequences, functions of functions."""

from draw_models import dense, learner, minibatches
from drawing import UNARY, family


@family(1.2)
def given(p, r):
    """Data in all the forms that an evaluation takes."""
    p.type = "f4"
    sequence = p.chance(0.5)
    shape = r.choice(([3], [2, 3], [1], []))
    x = p.any(shape, sequence)
    z = p.let("C." + r.choice(("square", "tanh", "exp")), p.let("*", x, 2))
    if sequence:
        lengths = p.lengths
        forms = [
            {"a": ["r", lengths, p.spec(shape)]}, {"a": p.spec([2, 3] + shape)}, [{"a": p.spec([3] + shape)}], {"a": p.spec([1, 2] + shape)},
            {"a": ["r", lengths, p.spec(shape), "f8"]}, [{"a": p.spec([2] + shape)}, {"a": p.spec([1] + shape)}],
        ]  # fmt: skip
        if shape == [3]:
            forms += [[[[1, 2, 3], [4, 5, 6]], [[7, 8, 9]]], [{"a": ["v", [[1, 2, 3], [4, 5, 6]], "i4"]}], [[[1.5, 2, 3]]]]
    else:
        forms = [{"a": p.spec([3] + shape)}, {"a": ["v", [[1, 2, 3], [4, 5, 6]]]}, [{"a": p.spec(shape)}, {"a": p.spec(shape)}], {"a": p.spec([1] + shape)}]
        if shape == [3]:
            forms += [[[1, 2, 3], [4, 5, 6]], [1, 2, 3], {"a": p.spec([3])}, {"a": ["v", [[1, 2, 3], [4, 5, 6]], "i4"]}, {"a": ["v", [[1, 2, 3], [4, 5, 6]], "f8"]}]
        if not shape:
            forms += [[1, 2.5, 3], {"a": p.spec([2, 1])}, 2.0]
    form = r.choice(forms)
    how = r.randrange(5)
    p.data = {}
    if how == 0:
        p.seen.append(["call", [z + ".eval", [{"m": [[x, form]]}], {}]])
    elif how == 1:
        p.seen.append(["call", [z + ".eval", [{"m": [["x0", form]]}], {}]])
    elif how == 2:
        p.seen.append(["call", [z + ".eval", [form], {}]])
    elif how == 3:
        p.seen.append(["call", [z + ".grad", [{"m": [[x, form]]}, [x]], {}]])
    else:
        p.seen.append(["call", [z, [form], {}]] if p.chance(0.3) else ["call", [z + ".grad", [{"m": [[x, form]]}], {}]])


@family(1.0)
def asking(p, r):
    """Which results are asked for: several outputs, some of them, values and gradients together, forward and backward."""
    p.type = "f4"
    sequence = p.chance(0.4)
    shape = r.choice(([3], [2, 3], [1]))
    x, y = p.any(shape, sequence), p.any(shape, sequence)
    w = p.parameter(shape)
    a = p.let("C.tanh", p.let("+", x, w), name="a")
    b = p.let("C.element_times", a, y, name="b")
    data = {"m": [[x, p.data["x0"]], [y, p.data["x1"]]]}
    kind = r.randrange(6)
    if kind == 0:
        c = p.let("C.combine", [a, b])
        p.seen.append(["call", [c + ".eval", [data], {"outputs": [r.choice((a, b)) + ".output"]}]])
    elif kind == 1:
        p.seen.append(["call", [b + ".grad", [data, r.choice(([x], [x, w], [w, y]))], {"outputs": [b + ".output"]}]])
    elif kind == 2 and not sequence:
        p.seen.append(["back", [b, data, {"a": p.spec([p.rows] + shape)}, r.choice(([x], [w, x], [y, w]))]])
    elif kind == 3:
        total = p.let("C.reduce_sum", b)
        p.seen.append(["call", [total + ".grad", [data, r.choice(([w], [x, w], [y, x, w]))], {}]])
    elif kind == 4:
        c = p.let("C.combine", [b, a])
        p.see("value", c)
        p.see("graph", c)
    else:
        found = p.let(b + ".find_by_name", "a")
        z = p.let("C.combine", [found]) if p.chance(0.5) else p.let("C.square", found)
        p.see("value", z)
        p.see("graph", z)


@family(1.4)
def axes(p, r):
    """Two sequence axes, batches and sequences together, attention."""
    p.type = "f4"
    n = r.choice((2, 3))
    x = p.frames([n])
    own = p.let("C.Axis", "other")
    lengths = [r.randint(1, 3) for _ in p.lengths]
    y = p.frames([n], lengths=lengths, sequence_axis=own)
    kind = r.randrange(9)
    if kind == 0:
        z = p.let("+", p.let("C.sequence.broadcast_as", p.let("C.sequence." + r.choice(("last", "first", "reduce_sum")), y), x), x)
    elif kind == 1:
        z = p.let("+", p.let("C.sequence.last", y), p.let("C.sequence." + r.choice(("last", "reduce_max")), x))
    elif kind == 2:
        z = p.let(p.let("C.layers.AttentionModel", r.choice((2, 4))), x, y)
        p.let("fill", z, p.seed())
    elif kind == 3:
        u = p.let("C.sequence.unpack", y, 0, no_mask_output=True)
        z = p.let("C.times", x, p.let("C.transpose", p.let("C.sequence.broadcast_as", p.let("C.reduce_sum", u, axis=0), x), {"t": [1, 0]})) if p.chance(0.5) else p.let("C.reduce_sum", u, axis=0)
    elif kind == 4:
        z = p.let("C.plus", x, y)
    elif kind == 5:
        a = p.let("C.layers.Fold", p.let("C.layers." + r.choice(("GRU", "RNNStep")), n))
        z = p.let("C.splice", p.let("C.sequence.broadcast_as", p.let(a, y), x), x)
        p.let("fill", z, p.seed())
    elif kind == 6:
        f = p.let("C.greater", p.let("C.reduce_sum", x), -0.3)
        g = p.let("C.sequence.gather", x, f)
        z = p.let("C.sequence.reduce_sum", p.let("C." + r.choice(UNARY[:4]), p.let("+", g, p.let("C.sequence.past_value", g)))) if p.chance(0.5) else p.let("C.plus", g, g)
    elif kind == 7:
        step = p.let("C.layers." + r.choice(("GRU", "RNNStep")), n)
        z = p.let(p.let("C.layers.RecurrenceFrom", step), p.let("C.sequence.last", y), x)
        p.let("fill", z, p.seed())
    else:
        s = p.let("C.sequence.softmax", p.let("C.reduce_sum", p.let("*", x, p.let("C.sequence.broadcast_as", p.let("C.sequence.last", y), x))))
        z = p.let("C.sequence.reduce_sum", p.let("*", s, x))
    p.see("value", "grad", "shape", z)


@family(1.2)
def functions(p, r):
    """Functions made of Python functions, applied, cloned, composed and given parameters."""
    p.type = "f4"
    sequence = p.chance(0.3)
    shape = r.choice(([3], [2, 3]))
    x, y = p.any(shape, sequence), p.any(shape, sequence)
    kind = r.randrange(9)
    body = {"f": [["a", "b"], [["s", "C.tanh", ["$a"], {}], ["z", "C." + r.choice(("plus", "minus", "element_times")), ["$s", "$b"], {}]], "$z"]}
    if kind == 0:
        f = p.let("C.Function", body)
        p.see("graph", f)
        z = p.let(f, *r.sample([x, y], 2))
    elif kind == 1:
        d = p.let("C.layers.Dense", 3)
        f = p.let("C.Function", {"f": [["a"], [["s", "C.sin", ["$a"], {}], ["z", d, ["$s"], {}]], "$z"]})
        z = p.let(f, x)
    elif kind == 2:
        z = p.let(p.let("C.Function", body), x, p.parameter(shape))
    elif kind == 3:
        d = p.let("C.layers.Dense", 3, activation="C.tanh")
        z = p.let("+", p.let(d, x), p.let(d, p.let("C.sin", x)))
    elif kind == 4:
        d = p.let(dense(p, r, 3), x)
        p.let("fill", d, p.seed())
        z = p.let(d + ".clone", "C.CloneMethod." + r.choice(("share", "clone", "freeze")), {"m": [[x, y]]})
    elif kind == 5:
        f, g = dense(p, r, 3), p.let("C.layers.Sequential", ["C.tanh", dense(p, r, 2)])
        z = p.let(p.let(">>", f, g), x)
    elif kind == 6:
        inner = p.let("C.tanh", p.let("+", x, y))
        a, b = p.let("C.placeholder"), p.let("C.placeholder")
        composite = p.let("C.plus", p.let("C.sin", a), b)
        z = p.let("C.as_block", composite, [{"t": [a, x]}, {"t": [b, inner]}], "Own", "own")
        p.see("text", z + ".op_name")
        p.see("text", z + ".is_block")
    elif kind == 7:
        a = p.let("C.plus", x, y, name="inner")
        z = p.let("C.exp", p.let("C.tanh", a))
        z = p.let(z + ".clone", "C.CloneMethod.share", {"m": [[a + ".output", p.any(shape, sequence)]]})
    else:
        d = p.let(dense(p, r, 3), x)
        other = p.parameter([3])
        z = p.let("C.plus", d, p.let("*", other, 2))
    p.let("fill", z, p.seed())
    p.see("value", "grad", "shape", "graph", z)


@family(1.6)
def trained(p, r):
    """Training with several learners, some parameters only, tests in between, and a checkpoint's worth of steps."""
    p.type = "f4"
    sequence = p.chance(0.4)
    x = p.any([3], sequence, grad=False)
    kind = r.randrange(6)
    if sequence and kind < 3:
        step = p.let("C.layers." + r.choice(("LSTM", "GRU", "RNNStep")), r.choice((1, 2, 3)), **r.choice(({}, {}, {"enable_self_stabilization": True})))
        h = p.let(p.let("C.layers." + r.choice(("Recurrence", "Fold")), step, **r.choice(({}, {"go_backwards": True}))), x)
        labels = not p.steps[-2][1].endswith("Fold")
    else:
        h = p.let(p.let("C.layers.Dense", 4, activation=r.choice(("C.tanh", "C.relu", "C.softplus"))), x)
        labels = sequence
        if kind == 4:
            h = p.let("C.splice", p.let("*", p.let("C.slice", h, 0, 0, 2), p.let("C.sigmoid", p.let("C.slice", h, 0, 2, 4))), h)
        if kind == 5 and sequence:
            h = p.let("C.splice", h, p.let("C.sequence.past_value", h))
    z = p.let(p.let("C.layers.Dense", 2), h)
    p.let("fill", z, p.seed())
    y = p.any([2], labels, "h", grad=False)
    loss = p.let("C." + r.choice(("cross_entropy_with_softmax", "squared_error")), z, y)
    if p.chance(0.3):
        loss = p.let("C.reduce_sum" if p.chance(0.5) else "C.sequence.reduce_sum", loss) if labels else loss
    p.data = {}
    inputs = [("x0", [3], "u", sequence, False), ("x1", [2], "h", labels, False)]
    how = [learner(p, r, z)]
    if p.chance(0.3):
        # two learners: the last layer's weight apart
        how[0] = p.let("C.sgd", [z + ".parameters.0"], 0.1)
        how.append(p.let("C.momentum_sgd", [z + ".parameters.%d" % i for i in (1, 2, 3)], 0.05, 0.5))
    data = minibatches(p, r, inputs, r.choice((4, 6)))
    if p.chance(0.5):
        data = [data[0]] * len(data)
    p.see("train", {"criterion": loss, "model": z, "learners": how, "minibatches": data})


@family(0.8)
def free(p, r):
    """Dimensions that the data decide."""
    p.type = "f4"
    n, m = r.choice((2, 3, 5)), r.choice((3, 4))
    where = r.randrange(3)
    shape = [["C.FreeDimension", m], [2, "C.FreeDimension", m], ["C.FreeDimension"]][where]
    real = [[n, m], [2, n, m], [n]][where]
    name = "x0"
    x = p.let("C.input_variable", {"t": shape}, name=name, needs_gradient=True)
    p.data[name] = {"a": p.spec([p.rows] + real)}
    kind = r.randrange(6)
    z = x
    if kind == 0:
        z = p.let("C.reduce_" + r.choice(("sum", "max", "mean")), p.let("C.square", x), axis=r.choice((0, -1)))
    elif kind == 1 and where < 2:
        z = p.let("C.times", x, p.parameter([m, 2]))
    elif kind == 2:
        z = p.let("C." + r.choice(UNARY), p.let("+", x, 1))
    elif kind == 3:
        z = p.let("C.splice", x, p.let("C.tanh", x), axis=len(real) - 1)
    elif kind == 4:
        z = p.let("C.softmax", x, axis=r.choice((0, -1)))
    else:
        z = p.let("C.sequence.last", p.let("C.to_sequence", x)) if where < 2 else p.let("C.reduce_sum", x)
    p.see("value", "grad", z)
