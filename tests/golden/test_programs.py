"""Programs drawn at random see what real CNTK 2.7 saw: values, gradients, shapes, graphs, files, training, refusals.

``differential/draw.py`` draws them, ``record.py`` ran them on CNTK, ``programs.py`` runs them on either side. Each
value and gradient is computed five times. All programs run on NumPy; a share of them, another one each day, on every
tier: NumPy first and native code from the third evaluation on, and native code from the first.
``CNTK_LAB_DIFFERENTIAL=all python -m pytest tests/golden/test_programs.py`` runs all of them everywhere; a number
instead of ``all`` chooses the share.
"""

import datetime as dt
import importlib.util
import os
import sys
from pathlib import Path

import pytest

import cntk_lab as C
from cntk_lab import settings
from cntk_lab.backends.cpu import jit, onednn

FOLDER = Path(__file__).parent / "differential"


def _module(name):
    spec = importlib.util.spec_from_file_location(f"differential_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


programs, checking, faults = _module("programs"), _module("checking"), _module("faults")
LINES = checking.load(FOLDER)
SHARES = 12
"""A share compiles in half a minute; all of them would take several."""
SHARE = os.environ.get("CNTK_LAB_DIFFERENTIAL") or str(dt.datetime.now(dt.UTC).toordinal() % SHARES)
CHOSEN = [n for n in range(len(LINES)) if SHARE == "all" or n % SHARES == int(SHARE)]
native = pytest.mark.skipif(not (jit.available() and onednn.available()), reason="no numba or no oneDNN here")


def names(number):
    return LINES[number]["program"]["id"]


def check(number):
    line = LINES[number]
    found = checking.differences(programs, C, line)
    reason = faults.FAULTS.get(line["program"]["id"])
    if reason:
        assert found, f"this program agrees now: take it off the list of faults ({reason})"
        return
    assert not found, f"share {SHARE}: {found}\n{ {k: v for k, v in line['program'].items() if k != 'file'} }"


def test_there_are_at_least_800_programs_of_27_families():
    families = {line["program"]["family"] for line in LINES}
    assert len(LINES) >= 800
    assert len(families) >= 27


@pytest.mark.parametrize("number", range(len(LINES)), ids=names)
def test_numpy_sees_what_cntk_saw(number):
    with settings.option(native=False):
        check(number)


@native
@pytest.mark.parametrize("number", CHOSEN, ids=names)
def test_every_tier_sees_what_cntk_saw(number, caplog):
    with settings.option(native=True, native_after=2, background_compilation=False):
        check(number)
    assert "stays on NumPy" not in caplog.text


@native
@pytest.mark.parametrize("number", CHOSEN, ids=names)
def test_native_code_from_the_first_run_sees_what_cntk_saw(number, caplog):
    with settings.option(native=True, native_after=0, background_compilation=False):
        check(number)
    assert "stays on NumPy" not in caplog.text
