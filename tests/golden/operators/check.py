"""Loads operators' model files with CNTK 2.7 (Python 3.6) and compares with the recording: ``python check.py FOLDER``.

FOLDER holds files written by this package: ``python test_operators.py FOLDER`` writes them. The exit code is the
number of files that fail.
"""

import os
import sys

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from record_cases import CASES  # noqa: E402


def wrong(C, path, name, recorded):
    """What is wrong with one file; empty if nothing."""
    function = C.load_model(path)
    operands = CASES[name][1]
    got = function.eval({a: operands[int(a.name[1:])][1] for a in function.arguments})
    if isinstance(got, list):
        pairs = [(one, recorded["%s|y%d" % (name, i)]) for i, one in enumerate(got)]
    else:
        pairs = [(got, recorded[name + "|y"])]
    for one, other in pairs:
        scale = max(float(np.abs(other[np.isfinite(other)]).max()) if other.size else 0.0, 0.1)
        if np.shape(one) != other.shape or not np.allclose(one, other, 1e-5, 1e-5 * scale, equal_nan=True):
            return "other values"
    return ""


def main(folder):
    import cntk as C

    checked = failed = 0
    with np.load(os.path.join(HERE, "operators.npz")) as recorded:
        for name in sorted(CASES):
            path = os.path.join(folder, name + ".model")
            if not os.path.exists(path):
                continue
            checked += 1
            try:
                what = wrong(C, path, name, recorded)
            except Exception as error:
                what = "%s: %s" % (type(error).__name__, str(error).split("\n")[0])
            if what:
                failed += 1
                print("FAILED", name, what)
    print("%d checked, %d failed" % (checked, failed))
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
