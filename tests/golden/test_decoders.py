"""Recurrences that take the layout of other sequences compute what real CNTK 2.7 computed, with their gradients.

Built here, saved and loaded, and loaded from the files that CNTK wrote (``decoders/record.py``); evaluated five times,
so that every tier that users reach has produced the numbers, and natively from the first run.
"""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab import settings
from cntk_lab.backends.cpu import jit, onednn

FOLDER = Path(__file__).parent / "decoders"
_spec = importlib.util.spec_from_file_location("decoder_models", FOLDER / "models.py")
models = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(models)
EXPECTED = json.loads((FOLDER / "expected.json").read_text())


def built(name, path):
    model = models.MODELS[name](C)
    models.initialize(model)
    return model


def saved_and_loaded(name, path):
    built(name, path).save(path / "own.model")
    return C.Function.load(path / "own.model")


def loaded_from_cntk(name, path):
    return C.Function.load(FOLDER / f"{name}.model")


WAYS = pytest.mark.parametrize("way", [built, saved_and_loaded, loaded_from_cntk], ids=lambda way: way.__name__)


def check(name, model, times):
    want = EXPECTED[name]
    for _ in range(times):
        got = models.outcome(C, model)
        assert [np.shape(v) for v in got["values"]] == [np.shape(v) for v in want["values"]]
        for a, b in zip(got["values"], want["values"], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(got["gradients"], want["gradients"], rtol=1e-3, atol=1e-4)


@WAYS
@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_recurrence_computes_what_cntk_computed(name, way, tmp_path):
    check(name, way(name, tmp_path), times=5)


@pytest.mark.skipif(not (jit.available() and onednn.available()), reason="no numba or no oneDNN here")
@WAYS
@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_recurrence_computes_what_cntk_computed_natively_from_the_first_run(name, way, tmp_path):
    with settings.option(native_after=0, background_compilation=False):
        check(name, way(name, tmp_path), times=2)
