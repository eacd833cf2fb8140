"""Record the numbers of ``record_cases.py`` with CNTK 2.7 into ``operators.npz`` (run with Python 3.6 beside CNTK).

For each example ``<name>|y`` (and ``<name>|y<i>`` for frames of sequence i), and ``<name>|d<k>`` for operand k.
"""

import os
import sys
import warnings

import cntk as C
import numpy as np

warnings.filterwarnings("ignore")
here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, here)
from record_cases import CASES  # noqa: E402


def build(operands, gradient):
    variables, data = [], {}
    for kind, values in operands:
        if kind == "parameter":
            variables.append(C.parameter(values.shape, init=values))
            continue
        if kind == "batch":
            v = C.input_variable(values.shape[1:], needs_gradient=gradient)
        else:
            v = C.sequence.input_variable(values[0].shape[1:], needs_gradient=gradient)
        variables.append(v)
        data[v] = values
    return variables, data


def put(table, key, value):
    if isinstance(value, list):
        for i, v in enumerate(value):
            table["%s%d" % (key, i)] = np.asarray(v)
    else:
        table[key] = np.asarray(value)


table, failed = {}, []
for name, (make, operands, gradient) in sorted(CASES.items()):
    variables, data = build(operands, gradient)
    try:
        z = make(C, *variables)
        needed = {v: data[v] for v in z.arguments}
        put(table, name + "|y", z.eval(needed))
    except Exception as error:
        failed.append((name, str(error)[:150].replace("\n", " ")))
        continue
    if gradient:
        for k, v in enumerate(variables):
            if v not in z.arguments and v not in z.parameters:
                continue
            try:
                put(table, "%s|d%d" % (name, k), z.grad(needed, wrt=[v]))
            except Exception as error:
                failed.append((name + " d%d" % k, str(error)[:150].replace("\n", " ")))
np.savez_compressed(os.path.join(here, "operators.npz"), **table)
print(len(CASES), "examples,", len(table), "arrays")
for f in failed:
    print("failed", f)
