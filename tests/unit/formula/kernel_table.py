"""Kernels of every family that a plan contains, with their arrays; what each backend must compute like NumPy."""

from cntk_lab.formula import expr as X
from cntk_lab.formula.derive import vjp
from cntk_lab.formula.expr import ROWS, const, coordinate, input_, make, reduce, where
from cntk_lab.formula.kernel import Kernel, Operand
from cntk_lab.formula.simplify import simplify
from tests.unit.formula.formulas import SOFT, data_for

x, y, b, dy, s = map(input_, ("x", "y", "b", "dy", "s"))


def _kernel(domain, outputs, *, rows=True, dtype="float32", shapes=None, flat=("b", "s"), in_place=()):
    """Inputs x, y, dy have the domain's shape and rows, b its last axis, s nothing; ``shapes`` overrides."""
    rank = len(domain)
    known = {"b": (*(1,) * (rank - 1), domain[-1]) if rank else (), "s": (1,) * rank, **(shapes or {})}
    names = X.inputs_of([f for _, _, f in outputs])
    inputs = tuple(Operand(n, known.get(n, domain), rows and n not in flat, dtype) for n in dict.fromkeys(names))
    made = tuple((Operand(f"out{i}", shape, with_rows, dtype), f) for i, (shape, with_rows, f) in enumerate(outputs))
    return Kernel(domain, rows, inputs, made, dtype, in_place)


def _vocabulary(dtype):
    total = const(0.0)
    for word in sorted(X.UNARY):
        total = total + make(word, SOFT.get(word, X.tanh)(x)) * 0.25
    for word in sorted(X.BINARY - {"pow", "div", "mod"}):
        total = total + make(word, x, y) * 0.25
    total = total + X.power(X.softplus(x) + 0.1, y) + x / (X.softplus(y) + 0.5) + X.modulo(x, X.softplus(y) + 0.5)
    return _kernel((6,), [((6,), True, where(x > y, total, total * 0.5))], dtype=dtype)


def _softmax(n, dtype="float32"):
    e = X.exp(x - reduce("max", x, [-1]))
    p = e / reduce("sum", e, [-1])
    gradient = p * (dy - reduce("sum", dy * p, [-1]))
    loss = reduce("sum", X.log(p) * dy, [-1])
    return _kernel((n,), [((n,), True, p), ((n,), True, gradient), ((1,), True, -loss)], dtype=dtype)


def _batch_statistics():
    mean = reduce("sum", x, [ROWS, -2, -1]) * 0.01
    variance = reduce("sum", (x - mean) * (x - mean), [ROWS, -2, -1]) * 0.01
    normal = (x - mean) / X.sqrt(variance + 1e-5)
    return mean, variance, normal


def _momentum():
    v = input_("v")
    new = v * 0.9 + input_("g") * s
    outputs = ((Operand("p", (4, 5), False), input_("p") - new), (Operand("v", (4, 5), False), new))
    inputs = (*(Operand(n, (4, 5), False) for n in "pgv"), Operand("s", (1, 1), False))
    return Kernel((4, 5), False, inputs, outputs, in_place=(("p", "p"), ("v", "v")))


def _layer_norm(n):
    mean = reduce("sum", x, [-1]) / n
    variance = reduce("sum", (x - mean) ** 2.0, [-1]) / n
    out = (x - mean) / X.sqrt(variance + 1e-5) * b
    gradient = simplify(vjp([out], [dy], ["x"]).values())[0]
    return _kernel((n,), [((n,), True, out), ((n,), True, gradient)])


TABLE = {
    "map: every word, float32": _vocabulary("float32"),
    "map: every word, float64": _vocabulary("float64"),
    "map: every word, float16": _vocabulary("float16"),
    "map: broadcasting": _kernel(
        (2, 3, 4),
        [((2, 3, 4), True, x * b + input_("middle") * s + input_("outer") - input_("ends"))],
        shapes={"middle": (1, 3, 1), "outer": (2, 3, 1), "ends": (2, 1, 4)},
    ),
    "map: coordinates": _kernel(
        (2, 3), [((2, 3), True, x + coordinate(ROWS) * 100 + coordinate(-2) * 10 + coordinate(-1))]
    ),
    "map: scalars without rows": _kernel((), [((), False, s * 2.0 + 1.0)], rows=False),
    "map: infinity and nan": _kernel(
        (3,), [((3,), True, where(x > 0, const(float("inf")), X.maximum(x, const(float("nan")))))]
    ),
    "map: learner in place": _momentum(),
    "row: softmax, loss and gradient, short": _softmax(10),
    "row: softmax, long": _softmax(1100),
    "row: softmax, float16": _softmax(40, "float16"),
    "row: softmax, float64": _softmax(40, "float64"),
    "row: layer normalisation and its gradient": _layer_norm(33),
    "row: two trailing axes, all kinds": _kernel(
        (2, 3, 5),
        [
            ((2, 1, 1), True, reduce("prod", X.tanh(x) + 1.5, [-1, -2])),
            ((2, 1, 1), True, reduce("min", x, [-1, -2]) + reduce("max", x * b, [-1, -2])),
            ((2, 3, 5), True, x - reduce("sum", s, [-1, -2])),
        ],
    ),
    "map: tests that are the same in every row": _kernel(
        (33,),
        [
            ((33,), True, where(make("logical_and", X.tanh(b) > 0.2, x > y), x, dy)),
            ((33,), True, where(make("logical_or", X.exp(b) < 0.9, x > 0.0), X.tanh(b) * x, y)),
            ((33,), True, make("logical_not", X.tanh(b) > 0.2) * x + (X.tanh(b) > 0.2)),
        ],
    ),
    "row: norm of a parameter": _kernel(
        (4, 5), [((4, 5), False, x / X.sqrt(reduce("sum", x * x, [-2, -1])))], rows=False
    ),
    "column: bias gradient": _kernel((7,), [((7,), False, reduce("sum", dy * x, [ROWS]))]),
    "column: wide": _kernel(
        (70,), [((70,), False, reduce("sum", dy, [ROWS])), ((70,), False, reduce("max", x, [ROWS]))]
    ),
    "column: loss of everything": _kernel((3, 4), [((1, 1), False, reduce("sum", (x - y) ** 2.0, [ROWS, -2, -1]))]),
    "column: batch normalisation": _kernel(
        (5, 2, 3),
        # statistics over rows and the first static axis would be neither family; over rows and (5, 2) they are columns
        [
            ((1, 1, 3), False, reduce("sum", x, [ROWS, -3, -2])),
            (
                (5, 2, 3),
                True,
                x - reduce("sum", (x - reduce("sum", x, [ROWS, -3, -2]) * 0.01) ** 2.0, [ROWS, -3, -2]) * 0.01,
            ),
        ],
    ),
    "column: nested, everything": _kernel(
        (2, 3),
        [
            ((1, 1), False, _batch_statistics()[0]),
            ((1, 1), False, _batch_statistics()[1]),
            ((2, 3), True, _batch_statistics()[2]),
        ],
    ),
    "column: long norm without rows": _kernel((100, 50), [((1, 1), False, reduce("sum", x * x, [-2, -1]))], rows=False),
    "column: float16": _kernel((3,), [((3,), False, reduce("sum", x, [ROWS]))], dtype="float16"),
    "column: prod and min": _kernel(
        (3,), [((3,), False, reduce("prod", X.tanh(x) * 0.1 + 1.0, [ROWS])), ((3,), False, reduce("min", x, [ROWS]))]
    ),
}

TOLERANCE = {"float32": 2e-5, "float64": 1e-12, "float16": 4e-3}


def arrays_for(kernel, rows, seed=0):
    """Normally distributed arrays for a kernel's inputs."""
    return data_for(kernel.inputs, rows=rows, seed=seed)
