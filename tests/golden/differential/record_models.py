"""Records what real CNTK 2.7 computes for the drawn models: run it with its Python; writes ``specifications.json`` and ``expected.npz``.

A model that CNTK itself refuses, or that gives non-finite numbers or numbers above 1e4, is left out.
"""

import json
import sys
import warnings

import cntk
import models
import numpy as np

warnings.simplefilter("ignore")
WANTED = int(sys.argv[1]) if len(sys.argv) > 1 else 320
kept, arrays, seed = [], {}, 0
while len(kept) < WANTED and seed < 4 * WANTED:
    seed += 1
    steps = models.draw(seed)
    try:
        single, ends = models.outcome(cntk, steps, np.float32)
        double, _ = models.outcome(cntk, steps, np.float64)
    except Exception as error:
        print(seed, "left out:", str(error).splitlines()[0][:100])
        continue
    if not np.isfinite(double).all() or np.abs(double).max() > 1e4 or not np.isfinite(single).all():
        continue
    arrays["s%d" % len(kept)], arrays["d%d" % len(kept)] = single.astype("f4"), double.astype("f8")
    arrays["e%d" % len(kept)] = ends.astype("i4")
    kept.append(steps)
with open("specifications.json", "w") as file:
    json.dump(kept, file, separators=(",", ":"))
np.savez_compressed("expected.npz", **arrays)
print(len(kept), "models of", seed)
