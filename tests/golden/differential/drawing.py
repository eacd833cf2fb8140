"""What the families of drawn programs share: a program that grows step by step, and its pools of shapes and numbers."""

import random

LENGTHS = ([3, 1, 2], [2, 2], [4, 1], [1], [2, 3, 1, 4])
SHAPES = ([3], [2, 3], [4], [1], [2, 2], [1, 3], [3, 1], [2, 1, 3], [1, 2, 2], [2, 3, 4], [5])
UNARY = ("tanh", "sigmoid", "relu", "abs", "negate", "square", "softplus", "sin", "cos", "exp", "elu", "softsign", "selu")
BINARY = ("plus", "minus", "element_times", "element_max", "element_min", "log_add_exp")


def size(shape):
    """Elements of a shape."""
    n = 1
    for d in shape:
        n *= d
    return n


class Program:
    """A program being drawn: ``x = p.batch([3])``, ``y = p.let("C.tanh", x)``, ``p.see("value", y)``."""

    def __init__(self, family, r, float64=0.25):
        self.r, self.family = r, family
        self.type = "f8" if r.random() < float64 else "f4"
        self.steps, self.data, self.seen, self.rest = [], {}, [], {}
        self.lengths = r.choice(LENGTHS)
        self.rows = r.choice((1, 2, 3, 5)) if r.random() < 0.5 else len(self.lengths)
        self.seeds = r.randrange(1 << 20)

    def seed(self):
        self.seeds += 1
        return self.seeds

    def let(self, called, *args, **keywords):
        name = "v%d" % len(self.steps)
        self.steps.append([name, called, list(args), keywords])
        return "$" + name

    def see(self, *kinds_and_what):
        """``p.see("value", "grad", z)``: several kinds of one thing."""
        for kind in kinds_and_what[:-1]:
            self.seen.append([kind, kinds_and_what[-1]])

    # ------------------------------------------------------------ operands

    def spec(self, shape, kind="u", *more):
        return [kind, self.seed(), list(shape)] + list(more)

    def batch(self, shape, kind="u", *more, **options):
        """An input with a batch axis."""
        return self._input("C.input_variable", shape, {"a": self.spec([self.rows] + list(shape), kind, *more)}, options)

    def frames(self, shape, kind="u", *more, **options):
        """An input with a sequence axis."""
        lengths = options.pop("lengths", self.lengths)
        return self._input("C.sequence.input_variable", shape, {"a": ["r", lengths, self.spec(shape, kind, *more)]}, options)

    def fixed(self, values, **options):
        """An input whose data are these values."""
        shape = []
        inner = values[0]
        while isinstance(inner, list):
            shape.append(len(inner))
            inner = inner[0]
        self.rows = len(values)
        return self._input("C.input_variable", shape, {"a": ["v", values]}, options)

    def any(self, shape, sequence, kind="u", *more, **options):
        return (self.frames if sequence else self.batch)(shape, kind, *more, **options)

    def _input(self, called, shape, data, options):
        name = "x%d" % len(self.data)
        keywords = {"name": name, "dtype": {"type": "own"}}
        if options.pop("grad", True):
            keywords["needs_gradient"] = True
        if options.pop("sparse", False):
            keywords["is_sparse"] = True
            data = {"a": ["c", data["a"]]}
        keywords.update(options)
        self.data[name] = data
        return self.let(called, {"t": list(shape)}, **keywords)

    def parameter(self, shape, kind="u", *more, **keywords):
        return self.let("C.parameter", init=self.numbers(shape, kind, *more), dtype={"type": "own"}, **keywords)

    def constant(self, shape, kind="u", *more):
        return self.let("C.constant", self.numbers(shape, kind, *more), dtype={"type": "own"})

    def numbers(self, shape, kind="u", *more):
        return {"a": self.spec(shape, kind, *more)}

    def plain(self):
        """The program as plain data."""
        result = {"family": self.family, "type": self.type, "steps": self.steps, "data": self.data, "see": self.seen}
        result.update(self.rest)
        return result

    # ------------------------------------------------------------ small things

    def chance(self, p):
        return self.r.random() < p

    def shape(self, rank=None):
        return list(self.r.choice([s for s in SHAPES if rank is None or len(s) == rank]))

    def some(self, x):
        """One more step that keeps the shape, or none: compositions find more than single operators."""
        what = self.r.randrange(6)
        if what == 0:
            return self.let("C." + self.r.choice(UNARY[:4]), x)
        if what == 1:
            return self.let("*", x, self.r.choice((2, 0.5, -1.5)))
        if what == 2:
            return self.let("C.plus", x, self.r.choice((1, 0.25)))
        if what == 3:
            return self.let("-", 1, x)
        return x

    def around(self, z, sequence=False):
        """What is seen of a result: its value, and most often gradients and shape."""
        z = self.some(z)
        self.see("value", z)
        if self.chance(0.75):
            self.see("grad", z)
        if self.chance(0.5):
            self.see("shape", z)
        return z


FAMILIES = {}


def family(weight=1.0, error=False):
    """Registers a function that draws one program of a family; ``error``: what CNTK refuses is kept."""

    def register(function):
        FAMILIES[function.__name__] = (function, weight, error)
        return function

    return register


def draw(name, number):
    """Program ``number`` of a family."""
    function, _, error = FAMILIES[name]
    r = random.Random("%s %d" % (name, number))
    p = Program(name, r)
    function(p, r)
    plain = p.plain()
    plain["id"] = "%s-%d" % (name, number)
    if error:
        plain["refused"] = True
    return plain
