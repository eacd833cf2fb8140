"""Record the layers of ``record_cases.py`` with CNTK 2.7 into ``layers.npz`` and ``layers.json`` (Python 3.6, CNTK).

``layers.json``: for each layer its parameters (name, shape) in order, its text and the shapes and axes of its outputs.
``layers.npz``: ``<name>|p<i>`` parameters, ``<name>|y<o>.<s>`` output o (sequence s), ``<name>|dp<i>`` and
``<name>|dx<k>.<s>`` gradients of the sum of all elements of the first output.
"""

import json
import os
import sys
import warnings

import cntk as C
import numpy as np

warnings.filterwarnings("ignore")
here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, here)
from record_cases import CASES, SEED, inputs  # noqa: E402


def put(table, key, value):
    for i, v in enumerate(value if isinstance(value, list) else [value]):
        table["%s.%d" % (key, i)] = np.asarray(v)


table, facts = {}, {}
os.makedirs(os.path.join(here, "files"), exist_ok=True)  # they are kept in files.zip
for name, (make, operands, gradient) in CASES.items():
    C.cntk_py.reset_random_seed(SEED)
    layer = make(C, C.layers)
    data = inputs(C, operands)
    try:
        z = layer(*data)
        z.save(os.path.join(here, "files", "%s.model" % name))
        facts[name] = {
            "parameters": [[p.name, list(p.shape)] for p in z.parameters],
            "text": str(z),
            "next seed": C.cntk_py.get_random_seed(),
            "op_name": z.root_function.op_name,
            "outputs": [[list(o.shape), len(o.dynamic_axes)] for o in z.outputs],
        }
        for i, p in enumerate(z.parameters):
            table["%s|p%d" % (name, i)] = p.value
        needed = {v: data[v] for v in z.arguments}
        values = z.forward(needed, z.outputs)[1]
        for o, output in enumerate(z.outputs):
            put(table, "%s|y%d" % (name, o), values[output])
        if gradient:
            first = C.combine([z.outputs[0]])
            for i, p in enumerate(first.parameters):
                table["%s|dp%d" % (name, i)] = np.asarray(first.grad(needed, wrt=[p]))
            for k, v in enumerate(data):
                if v in first.arguments and v.needs_gradient:
                    put(table, "%s|dx%d" % (name, k), first.grad(needed, wrt=[v]))
    except Exception as error:
        print(name, str(error)[:200].replace("\n", " "))
np.savez_compressed(os.path.join(here, "layers.npz"), **table)
with open(os.path.join(here, "layers.json"), "w") as f:
    json.dump(facts, f, indent=1, sort_keys=True)
