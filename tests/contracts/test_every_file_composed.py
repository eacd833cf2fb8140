"""Whatever the composer makes of a network it makes of its file: ours, and the one that CNTK 2.7 saved of it."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cntk_lab.composer import Composer
from tests.contracts import test_every_layer as layers
from tests.contracts.test_every_file import numbers

FILES = zipfile.ZipFile(layers.GOLDEN / "files.zip")
"""Each layer of the table as CNTK 2.7 saved it."""
LOOPS = {"Fold of plus", "Recurrence of a function", "RecurrenceFrom", "UnfoldFrom", "UnfoldFrom longer"}
"""Loops that are no recurrent layer of one operand: the composer says so."""
AS_OPERATORS = {"Label", "AttentionModel", "AttentionModel with span", "ResNetBlock", "SequentialClique",
                "Embedding of weights"}  # fmt: skip
"""What CNTK has no block for."""


def program(code: str) -> str:
    """The program without its title, which is the name of the network."""
    return code.split("import cntk_lab as C", 1)[1]


def layers_of(name: str) -> Any:
    z, data = layers.built(name)
    return z, {v.name: d for v, d in data.items()}


@pytest.mark.parametrize("name", [n for n in layers.NAMES if n not in LOOPS])
def test_a_network_and_its_files_are_the_same_program_with_the_same_numbers(name: str, tmp_path: Path) -> None:
    z, data = layers_of(name)
    z.save(str(tmp_path / "ours.model"))
    (tmp_path / "cntk.model").write_bytes(FILES.read(f"{name}.model"))
    live = Composer(z)
    ours, theirs = (Composer(tmp_path / f"{file}.model") for file in ("ours", "cntk"))
    assert live.problems == ours.problems == theirs.problems == ()
    assert program(ours.code) == program(live.code)
    if not name.startswith("AttentionModel"):  # CNTK has names and reshapes of its own inside
        assert program(theirs.code) == program(live.code)
    if name not in AS_OPERATORS:
        assert "C.layers." in live.code
    wanted = numbers(z, {v.uid: data[v.name] for v in z.arguments})
    for composer in (live, ours, theirs):
        model = composer.model
        found = numbers(model, {v.uid: data[v.name] for v in model.arguments})
        for a, b in zip(found, wanted, strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)
