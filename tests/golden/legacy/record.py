"""Records models in CNTK 1's format with real CNTK 2.7 (Python 3.6): ``python record.py`` in this folder.

Each case is written to ``<case>.v1``; ``expected.json`` holds the data for its arguments by name and what the function
gave before it was saved. The tests read what was written.
"""

import json
import os

import numpy as np

import cntk as C
from cntk.debugging import save_as_legacy_model

HERE = os.path.dirname(os.path.abspath(__file__))


def numbers(*shape):
    return ((np.arange(np.prod(shape)) * 7 % 11) / 8.0 + 0.125).astype("f").reshape(shape)


def cases():
    x, y, wide = C.input_variable(3, name="x"), C.input_variable(3, name="y"), C.input_variable((4, 6), name="wide")
    q, words = C.sequence.input_variable(3, name="q"), C.Axis("words")
    named = C.sequence.input_variable(2, sequence_axis=words, name="named")
    weights, bias = C.parameter((3, 4), init=numbers(3, 4), name="W"), C.parameter((4,), init=numbers(4), name="b")
    yield "dense", C.sigmoid(C.times(x, weights) + bias, name="h")
    yield "past", C.tanh(C.sequence.past_value(q))
    yield "future", C.sequence.future_value(q, initial_state=2.0, time_step=2)
    yield "slices", C.slice(wide, [0, 1], [1, 2], [3, 5])
    yield "mean", C.reduce_mean(wide, axis=(0, 1))
    yield "splice", C.splice(wide, C.abs(wide), axis=0)
    yield "reshape", C.reshape(wide, (2, 3), 1, 2)
    yield "swap", C.swapaxes(wide, 0, 1)
    yield "select", C.element_select(C.less(x, y), C.exp(x), C.clip(y, 0.25, 0.5))
    yield "cross_entropy", C.cross_entropy_with_softmax(x, y)
    yield "squared_error", C.squared_error(x, y)
    yield "product", C.times_transpose(x, C.parameter((4, 3), init=numbers(4, 3)))
    yield "named_axis", C.relu(named) - 0.25


def main():
    expected = {}
    for name, function in cases():
        save_as_legacy_model(function, os.path.join(HERE, name + ".v1"))
        data = {
            a.name: numbers(2, *a.shape) if len(a.dynamic_axes) == 1 else numbers(1, 5, *a.shape)
            for a in function.arguments
        }
        out = function.eval({a: data[a.name] for a in function.arguments})
        expected[name] = {
            "data": {key: value.tolist() for key, value in data.items()},
            "result": np.asarray(out).tolist(),
        }
    with open(os.path.join(HERE, "expected.json"), "w") as file:
        json.dump(expected, file)


main()
