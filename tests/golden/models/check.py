"""Loads model files with real CNTK 2.7 (Python 3.6) and compares with what was recorded: ``python check.py FOLDER``.

FOLDER holds files of the recorded names, written by this package. The exit code is the number of files that fail.
"""

import json
import os
import sys

import numpy as np

import cntk as C
import record

HERE = os.path.dirname(os.path.abspath(__file__))


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
    checked = failed = 0
    for name, entry in sorted(expected.items()):
        path = os.path.join(folder, name + ("" if name.startswith("checkpoint_") else ".model"))
        if not os.path.exists(path):
            continue
        checked += 1
        try:
            what = wrong(path, entry)
        except Exception as error:
            what = "%s: %s" % (type(error).__name__, str(error).split("\n")[0])
        if what:
            failed += 1
            print("FAILED", name, what)
    print("%d checked, %d failed" % (checked, failed))
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
