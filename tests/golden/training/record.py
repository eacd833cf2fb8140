"""Records what real CNTK 2.7 trains: run it with its Python in this folder; writes ``specifications.json``, ``expected.npz``.

Left out are compositions that CNTK itself refuses, that grow above 1e3, or whose results in float32 and float64 (or with
data changed by 2e-7) differ so much, a quarter of the tests' bounds, that rounding decides: a bias before a batch
normalisation has the gradient 0 but for rounding, and adam makes a whole step of it. CNTK's stabilizer has float32 only.
"""

import json
import sys
import warnings

import cntk
import models
import numpy as np

warnings.simplefilter("ignore")
WANTED = int(sys.argv[1]) if len(sys.argv) > 1 else 117
kept, arrays, number = [], {}, 0
while len(kept) < WANTED and number < 4 * WANTED:
    spec = models.draw(number)
    number += 1
    try:
        single, nudged = (models.outcome(cntk, spec, np.float32, nudge) for nudge in (0.0, 2e-7))
    except Exception as error:
        print(number - 1, "left out:", [e[0] for e in spec["layers"]], str(error).strip().splitlines()[0][:150])
        continue
    try:
        double = models.outcome(cntk, spec, np.float64)
    except Exception:
        double = None
    off = [
        max(float((np.abs(a - b) / np.maximum(np.abs(b), 1)).max()) for b in bs if b is not None)
        for a, bs in zip(single, zip(nudged, double or (None, None)))
    ]
    if not all(np.isfinite(a).all() and np.abs(a).max() < 1e3 for a in single) or off[0] > 2.5e-5 or off[1] > 2.5e-4:
        print(number - 1, "left out: rounding decides", [e[0] for e in spec["layers"]], spec["learner"]["name"], off)
        continue
    for letter, found, kind in (("s", single, "f4"), ("d", double, "f8")):
        if found is None:
            continue
        losses, parameters = found
        arrays["%sl%d" % (letter, len(kept))] = losses.astype("f8")
        arrays["%sp%d" % (letter, len(kept))] = parameters.astype(kind)
    kept.append(spec)
with open("specifications.json", "w") as file:
    json.dump(kept, file, separators=(",", ":"))
np.savez_compressed("expected.npz", **arrays)
print(len(kept), "of", number)
