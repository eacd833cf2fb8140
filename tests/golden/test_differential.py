"""Models drawn at random compute what real CNTK 2.7 computed: outputs and gradients, in float32 and float64.

The numbers were recorded once (``differential/record.py``); operators, shapes, broadcasting, ragged sequences and
recurrences are drawn by ``differential/models.py``.
"""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab import settings
from cntk_lab.backends.cpu import jit, onednn

FOLDER = Path(__file__).parent / "differential"
_spec = importlib.util.spec_from_file_location("differential_models", FOLDER / "models.py")
models = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(models)
SPECIFICATIONS = json.loads((FOLDER / "specifications.json").read_text())
EXPECTED = np.load(FOLDER / "expected.npz")


def check(number, dtype, letter, tolerance):
    got, ends = models.outcome(C, SPECIFICATIONS[number], dtype)
    want = EXPECTED[f"{letter}{number}"]
    assert ends.tolist() == EXPECTED[f"e{number}"].tolist()
    scale = np.maximum(np.abs(want), max(1.0, float(np.abs(want).max()) * 1e-2))
    worst = float((np.abs(got - want) / scale).max())
    assert worst <= tolerance, f"off by {worst:.3g}: {SPECIFICATIONS[number]}"


def test_there_are_at_least_300_models():
    assert len(SPECIFICATIONS) >= 300


@pytest.mark.parametrize("number", range(len(SPECIFICATIONS)))
def test_float64_as_recorded(number):
    check(number, np.float64, "d", 1e-8)


@pytest.mark.parametrize("number", range(len(SPECIFICATIONS)))
def test_float32_as_recorded(number):
    check(number, np.float32, "s", 1e-4)


@pytest.mark.skipif(not (jit.available() and onednn.available()), reason="no numba or no oneDNN here")
@pytest.mark.parametrize("number", range(0, len(SPECIFICATIONS), 3))
def test_float32_on_the_native_tier_as_recorded(number):
    with settings.option(native_after=0, background_compilation=False):
        check(number, np.float32, "s", 1e-4)
