"""Loads operators' model files with CNTK 2.7 (Python 3.6) and compares with the recording: ``python check.py FOLDER``.

FOLDER holds files written by this package: ``python test_operators.py FOLDER`` writes them. The exit code is the
number of files that fail.
"""

import os
import sys

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]
from checking import count_wrong  # noqa: E402
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

    with np.load(os.path.join(HERE, "operators.npz")) as recorded:
        files = [(name, os.path.join(folder, name + ".model")) for name in sorted(CASES)]
        return count_wrong(files, lambda name, path: wrong(C, path, name, recorded))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
