"""Layers drawn at random, trained five steps with every learner and form of schedule, end where real CNTK 2.7 ended.

The numbers were recorded once (``training/record.py``, which says what was left out and why). The bounds are those of
the rounding of float32 and float64, relative to the larger of 1 and the number itself.
"""

import importlib.util
import json
import os
from pathlib import Path

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab import settings
from cntk_lab.backends.cpu import jit, onednn

FOLDER = Path(__file__).parent / "training"
_spec = importlib.util.spec_from_file_location("training_models", FOLDER / "models.py")
models = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(models)
SPECIFICATIONS = json.loads((FOLDER / "specifications.json").read_text())
EXPECTED = np.load(FOLDER / "expected.npz")
DOUBLE = [n for n in range(len(SPECIFICATIONS)) if f"dl{n}" in EXPECTED.files]


NATIVE_EVERY = int(os.environ.get("CNTK_LAB_TEST_NATIVE_EVERY", "8"))
"""Every so many compositions run on the native tier too; 1: all of them, a quarter of an hour of compiling."""


def check(number, dtype, letter, loss_bound, parameter_bound, **options):
    with settings.option(**(options or {"native": False})):
        losses, parameters = models.outcome(C, SPECIFICATIONS[number], dtype)
    for name, got, bound in (("l", losses, loss_bound), ("p", parameters, parameter_bound)):
        want = EXPECTED[f"{letter}{name}{number}"]
        assert got.shape == want.shape
        worst = float((np.abs(got - want) / np.maximum(np.abs(want), 1.0)).max())
        assert worst <= bound, f"{'losses' if name == 'l' else 'parameters'} are off by {worst:.3g}"


def test_every_learner_and_every_form_of_schedule_is_among_them():
    learners = [s["learner"] for s in SPECIFICATIONS]
    assert len(learners) >= 100
    assert {one["name"] for one in learners} == set(models.LEARNERS)
    assert {one["rate"] for one in learners} == set(models.RATES)
    assert {one["momentum"] for one in learners} == set(models.MOMENTA)
    assert len(DOUBLE) >= 50


@pytest.mark.parametrize("number", range(len(SPECIFICATIONS)))
def test_float32_as_recorded(number):
    check(number, np.float32, "s", 1e-4, 1e-3)


@pytest.mark.parametrize("number", DOUBLE)
def test_float64_as_recorded(number):
    check(number, np.float64, "d", 1e-8, 1e-8)


@pytest.mark.skipif(not (jit.available() and onednn.available()), reason="no numba or no oneDNN here")
@pytest.mark.parametrize("number", range(0, len(SPECIFICATIONS), NATIVE_EVERY))
def test_on_the_native_tier_as_recorded(number):
    native = {"native_after": 0, "background_compilation": False}
    check(number, np.float32, "s", 1e-4, 1e-3, **native)
    if number in DOUBLE:
        check(number, np.float64, "d", 1e-8, 1e-8, **native)
