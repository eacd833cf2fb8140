"""Loads model files with real CNTK 2.7 (Python 3.6) and compares with what was recorded: ``python check.py FOLDER``.

FOLDER holds files of the recorded names, written by this package. The exit code is the number of files that fail.
"""

import json
import os
import sys

import numpy as np

import cntk as C

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]
import record  # noqa: E402
from checking import count_wrong  # noqa: E402


def array(entry):
    if isinstance(entry, list):
        return [array(e) for e in entry]
    return np.array(entry["data"], entry["dtype"]).reshape(entry["shape"])


def wrong(path, entry):
    """What is wrong with one file; empty if nothing."""
    model = C.load_model(path)
    if entry.get("compare") != "values":
        return ""
    data = {a["name"]: array(a["values"]) for a in entry["arguments"]}
    values = model.eval({v: record.feed(v, data[v.name]) for v in model.arguments})
    if not isinstance(values, dict):
        values = {model.output: values}
    for output, recorded in zip(model.outputs, entry["outputs"]):
        wanted, got = array(recorded), values[output]
        pairs = zip(got, wanted) if isinstance(wanted, list) else [(got, wanted)]
        for one, other in pairs:
            one = one.toarray() if hasattr(one, "toarray") else np.asarray(one)
            if one.shape != other.shape or not np.allclose(one, other, 1e-5, 1e-6):
                return "other values"
    return ""


def main(folder):
    with open(os.path.join(HERE, "expected.json")) as file:
        expected = json.load(file)
    ends = {name: "" if name.startswith("checkpoint_") else ".model" for name in expected}
    files = [(name, os.path.join(folder, name + ends[name])) for name in sorted(expected)]
    return count_wrong(files, lambda name, path: wrong(path, expected[name]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
