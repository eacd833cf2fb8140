"""Records what real CNTK 2.7 makes of the statements beside this file: ``python record.py [NAME ...]``.

Runs where ``import cntk`` is the real one (Python 3.6). ``NAME.txt`` gives ``NAME.json``: for each statement what it
came to, ``{"raises": [kinds]}`` for exceptions.
"""

import json
import os
import sys

import cntk
import outcome

HERE = os.path.dirname(os.path.abspath(__file__))


def recorded(before, statement):
    got = outcome.run(cntk, before, statement)
    if isinstance(got, Exception):
        return {"raises": type(got).__name__}
    return got[0]


for name in sys.argv[1:] or sorted(n[:-4] for n in os.listdir(HERE) if n.endswith(".txt")):
    before, statements = outcome.read(os.path.join(HERE, name + ".txt"))
    lines = [json.dumps([s, recorded(before, s)], sort_keys=True) for s in statements]
    with open(os.path.join(HERE, name + ".json"), "w") as file:
        file.write("[\n" + ",\n".join(lines) + "\n]\n")
    print(name, len(statements))
