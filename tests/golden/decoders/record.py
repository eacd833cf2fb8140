"""Records the models of ``models.py`` with real CNTK 2.7 (Python 3.6): CNTK's own files and what they compute."""

import json
import os

import cntk
import models

HERE = os.path.dirname(os.path.abspath(__file__))
expected = {}
for name, build in models.MODELS.items():
    model = build(cntk)
    models.initialize(model)
    model.save(os.path.join(HERE, name + ".model"))
    expected[name] = models.outcome(cntk, model)
with open(os.path.join(HERE, "expected.json"), "w") as file:
    json.dump(expected, file, sort_keys=True, indent=1)
    file.write("\n")
