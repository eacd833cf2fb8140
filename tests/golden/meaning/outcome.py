"""What a statement comes to: numbers with their type and shape, or the kind of exception. Runs on Python 3.6 too.

A file of statements (``*.txt``) begins with what goes before each of them; ``###`` stands between statements. The last
line of a statement is the expression whose value counts.
"""

import numpy as np


def read(path):
    """What goes before, and the statements, of a file."""
    with open(path) as file:
        before, rest = file.read().split("###\n", 1)
    return before, [s.strip() for s in rest.split("###\n") if s.strip()]


def run(library, before, statement, times=1):
    """The outcomes of a statement whose last line is evaluated some times; the exception that it raises."""
    scope = {"C": library, "np": np}
    first, _, last = statement.rpartition("\n")
    try:
        exec(before, scope)
        exec(first, scope)
        return [described(eval(last, scope)) for _ in range(times)]
    except Exception as error:
        return error


def described(value):
    """A value in lists, numbers and words."""
    if isinstance(value, (np.ndarray, np.generic)):
        array = np.asarray(value)
        kind = "array" if isinstance(value, np.ndarray) else "number"
        return {kind: array.astype(float).tolist(), "dtype": str(array.dtype), "shape": list(array.shape)}
    if isinstance(value, (list, tuple)):
        return {"list" if isinstance(value, list) else "tuple": [described(v) for v in value]}
    if isinstance(value, dict):
        return {"dict": sorted([str(getattr(k, "name", k)), described(v)] for k, v in value.items())}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return {"text": str(value)}
