"""Models drawn by a seeded generator, as plain specifications that real CNTK 2.7 and this package build alike.

``draw(seed)`` gives a specification (lists, texts, numbers); ``build(C, spec, dtype)`` makes the graph with whatever package is
given as ``C``. Written for Python 3.6 too, because ``record.py`` runs there.
"""

import random

import numpy as np

UNARY = ("tanh", "sigmoid", "relu", "abs", "negate", "square", "softplus", "sin", "cos", "exp", "elu", "softsign", "floor", "selu")
BINARY = ("plus", "minus", "element_times", "element_max", "element_min", "log_add_exp")
REDUCTIONS = ("reduce_sum", "reduce_mean", "reduce_max", "reduce_min", "reduce_log_sum_exp", "reduce_prod")
SHAPES = ((3,), (2, 3), (4,), (1,), (2, 2))
LENGTHS = (3, 1, 4)


def array(seed, shape):
    """Numbers between -1 and 1 that every version of NumPy draws alike."""
    return np.random.RandomState(seed).uniform(-1, 1, shape)


class _Draw:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.sequence = self.random.random() < 0.55
        self.steps = []
        self.values = []  # (number, shape, sequence)
        self.seeds = seed * 1000
        for _ in range(self.random.randint(1, 2)):
            self.add("input", [], {"shape": self.random.choice(SHAPES)}, sequence=self.sequence)
        if self.sequence and self.random.random() < 0.3:
            self.add("input", [], {"shape": self.random.choice(SHAPES)}, sequence=False)

    def seed(self):
        self.seeds += 1
        return self.seeds

    def add(self, op, operands, attributes, shape=None, sequence=None):
        shape = attributes["shape"] if shape is None else shape
        if sequence is None:
            sequence = any(self.values[o][2] for o in operands)
        attributes = dict(attributes)
        attributes["sequence"] = sequence
        self.steps.append([op, list(operands), attributes])
        self.values.append((len(self.values), tuple(shape), sequence))
        return len(self.values) - 1

    def pick(self):
        recent = self.values[-4:] if self.random.random() < 0.7 else self.values
        return self.random.choice(recent)

    def step(self):
        number, shape, sequence = self.pick()
        kinds = ["unary", "unary", "binary", "binary", "parameter", "times", "times", "reduce", "shape", "softmax", "select"]
        if sequence:
            kinds += ["delay", "delay", "recurrence", "recurrence", "sequence", "sequence"]
        getattr(self, "_" + self.random.choice(kinds))(number, shape, sequence)

    def _unary(self, number, shape, _):
        op = self.random.choice(UNARY)
        if op in ("exp", "square", "selu"):
            number = self.add("tanh", [number], {}, shape)
        self.add(op, [number], {}, shape)

    def _binary(self, number, shape, _):
        others = [v for v in self.values if _fits(v[1], shape)]
        other = self.random.choice(others)
        self.add(self.random.choice(BINARY), [number, other[0]], {}, _broadcast(shape, other[1]))

    def _parameter(self, number, shape, _):
        own = tuple(d if self.random.random() < 0.7 else 1 for d in shape)
        own = own[self.random.randint(0, len(own)):] if self.random.random() < 0.3 else own
        self.add("with_parameter", [number], {"op": self.random.choice(BINARY), "seed": self.seed(), "parameter": own}, shape)

    def _times(self, number, shape, _):
        k = self.random.randint(1, len(shape))
        out = self.random.choice((1, 2, 3))
        parameter = tuple(shape[len(shape) - k:]) + (out,)
        self.add("times", [number], {"seed": self.seed(), "parameter": parameter}, tuple(shape[:len(shape) - k]) + (out,))

    def _reduce(self, number, shape, _):
        axis = self.random.randrange(len(shape))
        op = self.random.choice(REDUCTIONS)
        self.add(op, [number], {"axis": axis}, tuple(1 if i == axis else d for i, d in enumerate(shape)))

    def _shape(self, number, shape, _):
        kind = self.random.choice(("reshape", "transpose", "slice", "splice"))
        if kind == "reshape":
            size = int(np.prod(shape))
            self.add("reshape", [number], {"to": [size]}, (size,))
        elif kind == "transpose" and len(shape) == 2:
            self.add("swapaxes", [number], {}, (shape[1], shape[0]))
        elif kind == "slice" and shape[-1] > 1:
            axis = len(shape) - 1
            self.add("slice", [number], {"axis": axis, "begin": 1, "end": shape[-1]}, tuple(shape[:-1]) + (shape[-1] - 1,))
        else:
            self.add("splice", [number, number], {"axis": len(shape) - 1}, tuple(shape[:-1]) + (2 * shape[-1],))

    def _softmax(self, number, shape, _):
        op = self.random.choice(("softmax", "log_softmax", "softmax_axis"))
        self.add(op, [number], {"axis": self.random.randrange(len(shape))}, shape)

    def _select(self, number, shape, _):
        if self.random.random() < 0.5:
            self.add("clip", [number], {"low": -0.4, "high": 0.6}, shape)
        else:
            self.add("select", [number], {"threshold": 0.1}, shape)

    def _delay(self, number, shape, _):
        op = self.random.choice(("past_value", "future_value"))
        self.add(op, [number], {"steps": self.random.choice((1, 1, 2)), "initial": self.random.choice((0.0, 0.5))}, shape)

    def _recurrence(self, number, shape, _):
        size = self.random.choice((2, 3))
        self.add("recurrence", [number], {
            "seed": self.seed(), "again": self.seed(), "w": list(shape) + [size], "size": size,
            "backward": self.random.random() < 0.4, "gate": self.random.random() < 0.4,
        }, (size,))

    def _sequence(self, number, shape, _):
        op = self.random.choice(("first", "last", "sum", "spread", "softmax"))
        if op == "spread":
            inner = self.add("sequence_last", [number], {}, shape, sequence=False)
            self.add("broadcast_as", [inner, number], {}, shape, sequence=True)
        elif op == "softmax":
            self.add("sequence_softmax", [number], {}, shape, sequence=True)
        else:
            self.add("sequence_" + op, [number], {}, shape, sequence=False)


def _fits(a, b):
    return all(x == y or 1 in (x, y) for x, y in zip(reversed(a), reversed(b)))


def _broadcast(a, b):
    rank = max(len(a), len(b))
    a, b = (1,) * (rank - len(a)) + tuple(a), (1,) * (rank - len(b)) + tuple(b)
    return tuple(max(x, y) for x, y in zip(a, b))


def draw(seed):
    """The specification of one model: steps ``[operator, operands, attributes]``; the last one is the output."""
    drawn = _Draw(seed)
    for _ in range(drawn.random.randint(3, 9)):
        drawn.step()
        if np.prod(drawn.values[-1][1]) > 24:
            break
    return drawn.steps


def data(steps, dtype):
    """Data of the inputs, by number: an array, or a list of one array per sequence."""
    result = {}
    for number, (op, _, a) in enumerate(steps):
        if op == "input":
            if a["sequence"]:
                result[number] = [array(7 * number + i, (n,) + tuple(a["shape"])).astype(dtype) for i, n in enumerate(LENGTHS)]
            else:
                result[number] = array(7 * number, (len(LENGTHS),) + tuple(a["shape"])).astype(dtype)
    return result


def build(C, steps, dtype):
    """The graph of a specification: its output, its inputs by number, and its parameters in order of creation."""
    values, inputs, parameters = [], {}, []

    def parameter(seed, shape):
        p = C.parameter(shape=tuple(shape), init=array(seed, tuple(shape)).astype(dtype), dtype=dtype)
        parameters.append(p)
        return p

    for number, (op, operands, a) in enumerate(steps):
        x = [values[o] for o in operands]
        if op == "input":
            make = C.sequence.input_variable if a["sequence"] else C.input_variable
            inputs[number] = make(tuple(a["shape"]), dtype=dtype, needs_gradient=True)
            values.append(inputs[number])
        else:
            values.append(_made(C, op, x, a, parameter, dtype))
    return values[-1], inputs, parameters


def _made(C, op, x, a, parameter, dtype):
    if op == "recurrence":
        return _recurrent(C, x, a, parameter, dtype)
    return _STEPS[op](C, x, a, parameter) if op in _STEPS else getattr(C, op)(*x)


def _recurrent(C, x, a, parameter, dtype):
    w, r = parameter(a["seed"], a["w"]), parameter(a["again"], (a["size"], a["size"]))
    state = C.placeholder()
    delay = C.sequence.future_value if a["backward"] else C.sequence.past_value
    before = delay(state, C.constant(0.25, dtype=dtype))
    new = C.tanh(C.plus(C.times(x[0], w), C.times(before, r)))
    if a["gate"]:
        gate = C.sigmoid(C.times(before, r))
        new = C.plus(C.element_times(gate, before), C.element_times(C.minus(1, gate), new))
    return new.replace_placeholders({state: new.output})


_STEPS = {
    "with_parameter": lambda C, x, a, parameter: getattr(C, a["op"])(x[0], parameter(a["seed"], a["parameter"])),
    "times": lambda C, x, a, parameter: C.times(x[0], parameter(a["seed"], a["parameter"])),
    "reshape": lambda C, x, a, parameter: C.reshape(x[0], tuple(a["to"])),
    "swapaxes": lambda C, x, a, parameter: C.swapaxes(x[0], 0, 1),
    "slice": lambda C, x, a, parameter: C.slice(x[0], a["axis"], a["begin"], a["end"]),
    "splice": lambda C, x, a, parameter: C.splice(x[0], x[1], axis=a["axis"]),
    "softmax_axis": lambda C, x, a, parameter: C.softmax(x[0], axis=a["axis"]),
    "clip": lambda C, x, a, parameter: C.clip(x[0], a["low"], a["high"]),
    "select": lambda C, x, a, parameter: C.element_select(C.greater(x[0], a["threshold"]), x[0], C.square(x[0])),
    "past_value": lambda C, x, a, parameter: C.sequence.past_value(x[0], a["initial"], a["steps"]),
    "future_value": lambda C, x, a, parameter: C.sequence.future_value(x[0], a["initial"], a["steps"]),
    "sequence_first": lambda C, x, a, parameter: C.sequence.first(x[0]),
    "sequence_last": lambda C, x, a, parameter: C.sequence.last(x[0]),
    "sequence_sum": lambda C, x, a, parameter: C.sequence.reduce_sum(x[0]),
    "sequence_softmax": lambda C, x, a, parameter: C.sequence.softmax(x[0]),
    "broadcast_as": lambda C, x, a, parameter: C.sequence.broadcast_as(x[0], x[1]),
}
for _op in REDUCTIONS:
    _STEPS[_op] = (lambda name: lambda C, x, a, parameter: getattr(C, name)(x[0], axis=a["axis"]))(_op)


def flat(result):
    """A result (an array, or one array per sequence) as one vector."""
    parts = result if isinstance(result, list) else [result]
    return np.concatenate([np.asarray(p).reshape(-1) for p in parts])


def outcome(C, steps, dtype):
    """Output and gradients (with respect to inputs, then parameters) of a model, as one vector, and where each part ends."""
    output, inputs, parameters = build(C, steps, dtype)
    root = output if hasattr(output, "eval") else C.alias(output)
    given = data(steps, dtype)
    used = set(root.arguments)
    arguments = dict((v, given[n]) for n, v in inputs.items() if v in used)
    wrt = [v for n, v in sorted(inputs.items()) if v in used] + parameters
    parts = [flat(root.eval(arguments))]
    in_graph = set(root.parameters)
    wrt = [v for v in wrt if v in used or v in in_graph]
    if wrt:
        gradients = root.grad(arguments, wrt=wrt)
        gradients = gradients if isinstance(gradients, dict) else {wrt[0]: gradients}
        parts += [flat(gradients[v]) for v in wrt]
    return np.concatenate(parts), np.cumsum([len(p) for p in parts])
