"""Programs as plain data, and the interpreter that runs them with real CNTK 2.7 or with this package alike.

A program is a dictionary: ``steps`` (``[name, what is called, arguments, keywords]``), ``data`` of its inputs, what to
``see``, and the element ``type``. In arguments ``"$x.shape"`` reads what a step named, ``"C.layers.Dense"`` reads the
package, and ``{"t": [..]}``, ``{"a": [..]}``, ``{"m": [..]}``, ``{"f": [..]}``, ``{"s": ".."}`` stand for tuples, arrays,
maps, functions and texts. Written for Python 3.6 too, because ``record.py`` runs there.
"""

import base64
import os
import shutil
import tempfile

import numpy as np
import scipy.sparse

TIMES = 5
"""Evaluations of every value and gradient: NumPy serves the first ones, native code the others."""


# ---------------------------------------------------------------- arguments


class Run:
    """One run of a program: the package, the names given so far, and the element type."""

    def __init__(self, C, program, names=None):
        self.C, self.program = C, program
        self.type = np.dtype(program.get("type", "f4"))
        self.names = {} if names is None else names

    def value(self, v):
        """What an argument stands for."""
        if isinstance(v, str):
            if v.startswith("$"):
                return self.path(None, v[1:].split("."))
            return self.path(self.C, v[2:].split(".")) if v.startswith("C.") else v
        if isinstance(v, list):
            return [self.value(i) for i in v]
        if isinstance(v, dict):
            (kind, content), = v.items()
            return getattr(self, "_" + kind)(content)
        return v

    def path(self, root, parts):
        """Attributes and items along a path such as ``outputs.1``."""
        if root is None:
            root, parts = self.names[parts[0]], parts[1:]
        for p in parts:
            root = root[int(p)] if p.lstrip("-").isdigit() else getattr(root, p)
        return root

    def _t(self, items):
        return tuple(self.value(i) for i in items)

    def _s(self, text):
        return text

    def _slice(self, items):
        return slice(*items)

    def _type(self, name):
        return {"f4": np.float32, "f8": np.float64, "own": self.type.type}[name]

    def _m(self, pairs):
        return dict((self.value(k), self.value(v)) for k, v in pairs)

    def _a(self, spec):
        return array(spec, self.type)

    def _f(self, content):
        parameters, steps, result = content

        def body(*given):
            inner = Run(self.C, self.program, dict(self.names, **dict(zip(parameters, given))))
            inner.steps(steps)
            return inner.value(result)

        return {
            1: lambda a: body(a), 2: lambda a, b: body(a, b), 3: lambda a, b, c: body(a, b, c),
            4: lambda a, b, c, d: body(a, b, c, d),
        }[len(parameters)]  # fmt: skip

    def steps(self, steps):
        """Run steps one after another; each result gets its name."""
        for name, called, args, keywords in steps:
            result = self.call(called, [self.value(a) for a in args], dict((k, self.value(v)) for k, v in keywords.items()))
            self.names[name] = result

    def call(self, called, args, keywords):
        if called == "item":
            return args[0][args[1]]
        if called == "set":
            setattr(args[0], args[1], args[2])
            return args[0]
        if called == "fill":
            return fill(args[0], args[1], self.type)
        if called == "within":
            options, function = args[0], args[1]
            with self.C.default_options(**dict(options)):
                return function(*args[2:])
        if called in OPERATORS:
            return OPERATORS[called](*args)
        return self.value(called)(*args, **keywords)


OPERATORS = {
    "+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b, "/": lambda a, b: a / b, "@": lambda a, b: a @ b,
    "neg": lambda a: -a, "abs": lambda a: abs(a), ">>": lambda a, b: a >> b, "pow": lambda a, b: a ** b,
}  # fmt: skip


def array(spec, dtype):
    """An array of a description: ``[kind, seed, shape, low, high]`` (``u``niform, ``i``ntegral, ``h`` one of many), values (``v``),
    one per sequence (``r``), or sparse rows (``c``)."""
    kind = spec[0]
    if kind == "v":
        return np.asarray([[float(i) for i in v] if isinstance(v, list) and v and isinstance(v[0], str) else v for v in spec[1]]
                          if isinstance(spec[1], list) else spec[1], np.dtype(spec[2]) if len(spec) > 2 else dtype)  # fmt: skip
    if kind == "r":
        inner = spec[2]
        return [array([inner[0], inner[1] + 13 * i, [n] + inner[2]] + inner[3:], dtype) for i, n in enumerate(spec[1])]
    if kind == "c":
        dense = array(spec[1], dtype)
        if isinstance(dense, list):
            return [scipy.sparse.csr_matrix(d) for d in dense]
        return scipy.sparse.csr_matrix(dense)
    r = np.random.RandomState(spec[1])
    shape, rest = tuple(spec[2]), spec[3:]
    if kind == "u":
        low, high = rest or (-1.0, 1.0)
        return r.uniform(low, high, shape).astype(dtype)
    if kind == "i":
        return r.randint(rest[0], rest[1], shape).astype(dtype)
    if kind == "h":
        return np.eye(shape[-1])[r.randint(0, shape[-1], shape[:-1])].astype(dtype)
    if kind == "z":  # few numbers that are not zero
        return (r.uniform(-1, 1, shape) * (r.uniform(0, 1, shape) < 0.4)).astype(dtype)
    raise ValueError(kind)


def fill(function, seed, dtype):
    """Numbers for all parameters of a function, in its own order."""
    for i, p in enumerate(function.parameters):
        shape = tuple(p.shape)
        if any(n < 0 for n in shape):
            continue
        p.value = np.random.RandomState(seed + i).uniform(-0.7, 0.7, shape).astype(p.dtype if p.dtype else dtype)
    return function


# ---------------------------------------------------------------- what is seen


class Seen:
    """What one observation saw: texts that must be equal, and arrays that must be near."""

    def __init__(self, text, arrays=()):
        self.text, self.arrays = text, [np.asarray(a) for a in arrays]


def function_of(C, v):
    return v if hasattr(v, "eval") and not hasattr(v, "is_output") else C.alias(v)


def flat(result, outputs=None):
    """A result as a text of its form and its arrays."""
    if isinstance(result, dict):
        if outputs is not None and all(o in result for o in outputs):
            parts = [flat(result[o]) for o in outputs]
        else:
            parts = [flat(r) for _, r in sorted(result.items(), key=lambda kv: getattr(kv[0], "name", "") or "")]
        return "{" + ",".join(p[0] for p in parts) + "}", [a for p in parts for a in p[1]]
    if isinstance(result, (list, tuple)):
        parts = [flat(r) for r in result]
        return "[" + ",".join(p[0] for p in parts) + "]", [a for p in parts for a in p[1]]
    if scipy.sparse.issparse(result):
        return "csr%s" % (tuple(result.shape),), [result.toarray()]
    a = np.asarray(result)
    return "%s" % (tuple(a.shape),), [a]


def given(run, root):
    """The data of a function's arguments."""
    result = {}
    for a in root.arguments:
        if a.name in run.program.get("data", {}):
            result[a] = run.value(run.program["data"][a.name])
    return result


def see_value(run, name, times=TIMES):
    root = function_of(run.C, run.value(name))
    data = given(run, root)
    for _ in range(times):
        text, arrays = flat(root.eval(data), list(root.outputs) if len(root.outputs) > 1 else None)
        yield Seen(text, arrays)


def see_grad(run, name, times=TIMES):
    root = function_of(run.C, run.value(name))
    data = given(run, root)
    wrt = [a for a in root.arguments if a.needs_gradient] + list(root.parameters)
    if not wrt:
        yield Seen("nothing")
        return
    for _ in range(times):
        result = root.grad(data, wrt=wrt)
        result = result if isinstance(result, dict) else {wrt[0]: result}
        parts = [flat(result[v]) for v in wrt]
        yield Seen(";".join(p[0] for p in parts), [a for p in parts for a in p[1]])


def see_shape(run, name, times=TIMES):
    v = run.value(name)
    yield Seen("%s %s" % (tuple(v.shape), [a.name if a.name in ("defaultBatchAxis", "defaultDynamicAxis") else "own" for a in v.dynamic_axes]))


def see_graph(run, name, times=TIMES):
    """What a program can ask of a function without running it; nameless numbers inside CNTK's own blocks are its own affair."""
    f = run.value(name)
    yield Seen(repr([
        [(a.name, tuple(a.shape), len(a.dynamic_axes)) for a in f.arguments], [(p.name, tuple(p.shape)) for p in f.parameters],
        [tuple(c.shape) for c in f.constants if c.shape or c.name], [tuple(o.shape) for o in f.outputs], [len(o.dynamic_axes) for o in f.outputs],
        len(f.placeholders), f.name,
    ]))  # fmt: skip


def see_text(run, name, times=TIMES):
    yield Seen(repr(run.value(name)))


def see_str(run, name, times=TIMES):
    yield Seen(str(run.value(name)))


def see_numbers(run, name, times=TIMES):
    text, arrays = flat(run.value(name))
    yield Seen(text, arrays)


def see_call(run, what, times=TIMES):
    """What a call gives, as often as asked: how data may be given, which results may be asked for."""
    for _ in range(times):
        called, args, keywords = what
        result = run.call(called, [run.value(a) for a in args], dict((k, run.value(v)) for k, v in keywords.items()))
        text, arrays = flat(result)
        yield Seen(text, arrays)


def see_back(run, what, times=TIMES):
    """Forward, then backward from a root gradient: what comes out of both."""
    for _ in range(times):
        f, data, root, wrt = [run.value(w) for w in what]
        state, values = f.forward(data, [f.output], set([f.output]))
        gradients = f.backward(state, {f.output: root}, set(wrt))
        text, arrays = flat([values[f.output]] + [gradients[w] for w in wrt])
        yield Seen(text, arrays)


def see_file(run, name, times=TIMES):
    """The function saved and loaded again: by CNTK while recording, here from CNTK's own bytes."""
    folder = tempfile.mkdtemp()
    try:
        path = os.path.join(folder, "m")
        recorded = run.program.get("file")
        if recorded is None:
            function_of(run.C, run.value(name)).save(path)
            with open(path, "rb") as file:
                run.program["file"] = base64.b64encode(file.read()).decode()
        else:
            with open(path, "wb") as file:
                file.write(base64.b64decode(recorded))
        root = run.C.Function.load(path)
    finally:
        shutil.rmtree(folder)
    data = given(run, root)
    for _ in range(times):
        text, arrays = flat(root.eval(data), list(root.outputs) if len(root.outputs) > 1 else None)
        yield Seen(text, arrays)


def see_train(run, plan, times=TIMES):
    """Steps of training: loss and metric of each minibatch, and all parameters at the end."""
    C = run.C
    criterion = run.value(plan["criterion"])
    criterion = criterion if isinstance(criterion, tuple) else (criterion, None)
    model = run.value(plan["model"])
    learners = run.value(plan["learners"])
    trainer = C.Trainer(model, criterion, learners)
    root = criterion[0]
    numbers = []
    for data in plan["minibatches"]:
        arguments = dict((a, run.value(data[a.name])) for a in root.arguments if a.name in data)
        trainer.train_minibatch(arguments)
        numbers.append(trainer.previous_minibatch_loss_average)
        if criterion[1] is not None:
            numbers.append(trainer.previous_minibatch_evaluation_average)
    yield Seen("losses", [np.asarray(numbers)])
    parts = [flat(p.value) for p in root.parameters]
    yield Seen(";".join(p[0] for p in parts), [p[1][0] for p in parts])
    yield Seen("%d" % trainer.total_number_of_samples_seen)


SEES = {
    "value": see_value, "grad": see_grad, "shape": see_shape, "graph": see_graph, "text": see_text, "str": see_str,
    "numbers": see_numbers, "call": see_call, "back": see_back, "file": see_file, "train": see_train,
}  # fmt: skip


def outcome(C, program, times=TIMES):
    """All that is seen of a program: a list per observation of what each evaluation saw; or how it was refused.

    Returns:
        (observations, None), or (what was seen before, (where, the exception)).
    """
    run, result, where = Run(C, program), [], "build"
    try:
        if program.get("double"):
            with C.default_options(dtype=np.float64):
                run.steps(program["steps"])
        else:
            run.steps(program["steps"])
        for kind, what in program["see"]:
            where = kind
            result.append(list(SEES[kind](run, what, times)))
    except Exception as error:
        return result, (where, error)
    return result, None


def kinds_of(error):
    """The exception types of Python and NumPy that an error is, the most special first."""
    return [t.__name__ for t in type(error).__mro__ if t.__module__ in ("builtins",) and t not in (object, BaseException)]
