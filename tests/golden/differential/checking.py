"""Compares what this package sees of recorded programs with what real CNTK 2.7 saw."""

import json

import numpy as np

TOLERANCE = {"f4": 2e-4, "f8": 1e-8}
_SAME = {"NotImplementedError": ("TypeError", "ValueError"), "AttributeError": ("TypeError", "AttributeError")}
"""What CNTK's wrapper raises where no overload fits, or where it reads None, is a wrong argument here."""


def load(folder):
    """The recorded programs of a folder: dictionaries with ``program`` and ``seen`` (or ``error``); ``numbers`` lie beside them."""
    with np.load(f"{folder}/recorded.npz") as file:
        vectors = {k: file[k] for k in ("f4", "f8")}
    at, lines = {"f4": 0, "f8": 0}, []
    with open(f"{folder}/programs.jsonl", encoding="utf-8") as file:
        for text in file:
            line = json.loads(text)
            letter = line["program"].get("type", "f4")
            line["numbers"] = []
            for times in line.get("seen", ()):
                for _, shapes in times:
                    arrays = []
                    for shape in shapes:
                        size = int(np.prod(shape))
                        arrays.append(vectors[letter][at[letter] : at[letter] + size].reshape(shape))
                        at[letter] += size
                    line["numbers"].append(arrays)
            lines.append(line)
    return lines


def differences(programs, C, line):
    """How the outcome of a recorded program differs: a list of texts, empty if it does not."""
    program = line["program"]
    observations, refused = programs.outcome(C, program)
    if "error" in line:
        where, kinds = line["error"]
        if refused is None:
            return [f"CNTK refuses ({where}: {kinds[0]}: {line.get('why', '')}); here {[t[0].text for t in observations]}"]
        if set(_SAME.get(kinds[0], kinds[:1])) & set(programs.kinds_of(refused[1])):
            return []
        return [f"CNTK raises {kinds[0]}, here {type(refused[1]).__name__} {programs.kinds_of(refused[1])}: {str(refused[1])[:200]}"]
    if refused is not None:
        return [f"refused here ({refused[0]}): {type(refused[1]).__name__}: {str(refused[1])[:300]}"]
    found, vectors = [], iter(line["numbers"])
    for (kind, _), times, wanted in zip(program["see"], observations, line["seen"], strict=True):
        arrays = [next(vectors) for _ in wanted]
        for number, got in enumerate(times):
            which = number if len(wanted) > 1 else 0
            text = _one(got, wanted[which][0], arrays[which], TOLERANCE[program.get("type", "f4")])
            if text:
                found.append(f"{kind}, evaluation {number + 1}: {text}")
                break
    return found


def _one(got, text, arrays, tolerance):
    if got.text != text:
        return f"{got.text} instead of {text}"
    largest = max((float(np.abs(a[np.isfinite(a)]).max(initial=0)) for a in arrays), default=0.0)
    for number, (a, b) in enumerate(zip(got.arrays, arrays, strict=True)):
        what = difference(a, b, tolerance, 1e-2 * largest)
        if what:
            return f"array {number}: {what}"
    return ""


def difference(got, want, tolerance, least=0.0):
    """How an array differs from what was recorded; empty if it does not.

    Args:
        got: array here.
        want: array there.
        tolerance: largest difference, relative to each number, but at least to 3 % of the largest one and to ``least``.
        least: size below which numbers are noise of others in the same gradient.
    """
    if got.shape != want.shape:
        return f"shape {got.shape} instead of {want.shape}"
    got, want = got.astype("f8"), want.astype("f8")
    finite = np.isfinite(want)
    if not np.array_equal(got[~finite], want[~finite], equal_nan=True) or not np.isfinite(got[finite]).all():
        return f"not finite elsewhere: {got.ravel()[:6]} instead of {want.ravel()[:6]}"
    got, want = got[finite], want[finite]
    if not want.size:
        return ""
    scale = np.maximum(np.abs(want), max(float(np.abs(want).max()) * 3e-2, least, 1e-2))
    off = np.abs(got - want) / scale
    worst = int(off.argmax())
    return "" if off[worst] <= tolerance else f"{got[worst]:.7g} instead of {want[worst]:.7g}"
