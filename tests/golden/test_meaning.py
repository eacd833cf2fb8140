"""Statements mean what they mean in real CNTK 2.7: numbers, element types, shapes, and what is refused.

What each came to was recorded once (``meaning/record.py``). A statement is evaluated five times, so that every tier
that users reach has produced it.
"""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

import cntk_lab as C

FOLDER = Path(__file__).parent / "meaning"
_spec = importlib.util.spec_from_file_location("meaning_outcome", FOLDER / "outcome.py")
outcome = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(outcome)
BEFORE = {}
CASES = []
for path in sorted(FOLDER.glob("*.txt")):
    BEFORE[path.stem], statements = outcome.read(path)
    recorded = json.loads(path.with_suffix(".json").read_text())
    assert [s for s, _ in recorded] == statements, f"record {path.name} again"
    CASES += [pytest.param(path.stem, s, want, id=f"{path.stem}-{i}") for i, (s, want) in enumerate(recorded)]


def alike(got, want):
    """Whether an outcome is the recorded one: the same words, numbers to five digits."""
    if isinstance(want, dict):
        if not isinstance(got, dict) or got.keys() != want.keys():
            return False
        if "dtype" not in want:
            return all(alike(got[k], want[k]) for k in want)
        numbers = [k for k in want if k in ("array", "number")]
        return all(got[k] == want[k] for k in ("dtype", "shape")) and all(
            np.allclose(got[k], want[k], rtol=2e-5, atol=2e-6, equal_nan=True) for k in numbers
        )
    if isinstance(want, list):
        return isinstance(got, list) and len(got) == len(want) and all(map(alike, got, want))
    if isinstance(want, float):
        return isinstance(got, float) and np.isclose(got, want, rtol=2e-5, atol=2e-6, equal_nan=True)
    return type(got) is type(want) and got == want


@pytest.mark.filterwarnings("ignore::cntk_lab.errors.LabWarning")
@pytest.mark.parametrize(("name", "statement", "want"), CASES)
def test_statement_means_what_cntk_means(name, statement, want):
    got = outcome.run(C, BEFORE[name], statement, times=5)
    if isinstance(want, dict) and "raises" in want:
        assert isinstance(got, Exception), f"{statement}\ngives {got[0]}, CNTK raises {want['raises']}"
        assert want["raises"] in [kind.__name__ for kind in type(got).__mro__], f"{statement}\n{got!r}"
        assert isinstance(got, C.errors.LabError), f"{statement}\n{got!r}"
        return
    assert not isinstance(got, Exception), f"{statement}\nraises {got!r}"
    for evaluation, each in enumerate(got):
        assert alike(each, want), f"{statement}\nevaluation {evaluation} gives {each}\nCNTK {want}"
