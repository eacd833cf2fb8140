"""Every module of CNTK 2.7 shows its names here too, by attribute and by ``import *``; what is absent has a reason.

tests/golden/names.json is what CNTK shows (``dir`` and ``import *`` of every module, by record_names.py beside it);
tests/golden/names_absent.json lists what is not here, each name under its reason.
"""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden"
CNTK: dict[str, dict[str, str]] = json.loads((GOLDEN / "names.json").read_text(encoding="utf-8"))
ABSENT: dict[str, dict[str, str]] = json.loads((GOLDEN / "names_absent.json").read_text(encoding="utf-8"))
NO_STAR = ("cntk.cntk_py",)
"""Modules that no program imports by ``*``: the C++ layer, whose names CNTK's own Python wraps."""

SHOW = """
import importlib, json, pathlib, sys, warnings
warnings.simplefilter("error")
import cntk_lab.alias
wanted = json.loads(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8"))
answer = {}
for name, shown in wanted.items():
    module, star = importlib.import_module(name), {}
    exec(f"from {name} import *", star)
    answer[name] = (
        [n for n in shown["dir"].split() if not hasattr(module, n)],
        [n for n in shown["star"].split() if n not in star],
    )
print(json.dumps(answer))
"""


@functools.cache
def missing() -> dict[str, tuple[list[str], list[str]]]:
    """Module -> names without attribute, names that ``import *`` does not bring; asked in a fresh Python."""
    command = [sys.executable, "-c", SHOW, str(GOLDEN / "names.json")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    answer: dict[str, tuple[list[str], list[str]]] = json.loads(done.stdout)
    return answer


@pytest.mark.parametrize("module", CNTK)
def test_every_name_of_cntk_is_there_or_has_a_reason(module: str) -> None:
    reasons = " ".join(ABSENT.get(module, {}).values()).split()
    by_attribute, by_star = missing()[module]
    assert by_attribute == sorted(reasons)  # a name that has come must leave the list
    if module not in NO_STAR:
        assert set(by_star) <= set(reasons)


def test_reasons_are_of_modules_that_exist() -> None:
    assert set(ABSENT) <= set(CNTK)
