"""Checkpoints of several learners with external state: ours carry on as CNTK's do, and CNTK's carry on here."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cntk_lab as C

FOLDER = Path(__file__).parent / "checkpoints"
RECORDED = json.loads((FOLDER / "three_learners.json").read_text())


def _recorder() -> Any:
    spec = importlib.util.spec_from_file_location("record_checkpoints", FOLDER / "record.py")
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    return module


@pytest.mark.parametrize("whose", ["cntk", "ours"])
def test_training_goes_on_with_the_recorded_numbers(whose: str, tmp_path: Path) -> None:
    record = _recorder()
    checkpoint = FOLDER / "three_learners"
    if whose == "ours":
        checkpoint = tmp_path / "m"
        trainer, _, minibatches = record.program(C)
        for minibatch in minibatches[:3]:
            trainer.train_minibatch(minibatch)
        trainer.save_checkpoint(checkpoint, external_state=record.STATE)
    trainer, parameters, minibatches = record.program(C)
    assert trainer.restore_from_checkpoint(checkpoint) == record.STATE
    assert trainer.total_number_of_samples_seen == 15
    found = record.carry_on(trainer, parameters, minibatches[3:])
    np.testing.assert_allclose(found["losses"], RECORDED["losses"], rtol=1e-5)
    for one, other in zip(found["parameters"], RECORDED["parameters"], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
