"""What every module of CNTK 2.7 shows: writes names.json. Runs on Python 3.6 where CNTK itself is installed.

    python record_names.py names.json
"""

import importlib
import json
import pkgutil
import sys

import cntk

LEFT_OUT = (".tests.", ".test.", ".contrib.", "cntk.cntk_py_init", "cntk.conftest")


def shown(name):
    module = importlib.import_module(name)
    star = {}
    exec("from %s import *" % name, star)  # noqa: S102, UP031
    private = [n for n in dir(module) if not (n.startswith("__") and n.endswith("__"))]
    return {"dir": " ".join(sorted(private)), "star": " ".join(sorted(n for n in star if n != "__builtins__"))}


names = ["cntk", *(m.name for m in pkgutil.walk_packages(cntk.__path__, "cntk.", onerror=lambda name: None))]
helpers = ["cntk.tests.test_utils", "cntk.ops.tests.ops_test_utils", "cntk.tests", "cntk.ops.tests"]
names = [n for n in names if not any(part in n + "." for part in LEFT_OUT)]
found = {n: shown(n) for n in sorted({*names, *helpers}) if not n.endswith(".tests") or n in helpers}
with open(sys.argv[1], "w") as file:
    json.dump(found, file, indent=0, sort_keys=True)
    file.write("\n")
