"""Whatever lies in a file, only this package's own errors come out of it, in bounded time and memory.

The seed is new at each run and stands in the failure; ``python tests/contracts/doors.py DOOR --seed S --count 1`` shows
the case again, and without ``--count`` goes on from there.
"""

from __future__ import annotations

import os
import time

import numpy as np
import pytest

from cntk_lab.errors import LabError
from tests.contracts import doors

SEED = int(os.environ.get("CNTK_LAB_FUZZ_SEED") or time.time_ns() % 10**9)
TRIES = 8


@pytest.mark.parametrize("name", doors.DOORS)
def test_the_good_file_of_each_door_is_read(name, tmp_path):
    make, open_ = doors.DOORS[name]
    make(tmp_path)
    open_(tmp_path)


@pytest.mark.filterwarnings("ignore::cntk_lab.errors.LabWarning")
@pytest.mark.parametrize("name", doors.DOORS)
def test_a_damaged_file_brings_nothing_out_but_our_errors(name):
    print(f"seed {SEED}")
    found = [doors.attempt(name, SEED + k, memory=k < 2) for k in range(TRIES)]
    assert not [f for f in found if f]


@pytest.mark.parametrize("name", [n for n in doors.DOORS if n != "onnx"])  # whose viewer is given bytes
@pytest.mark.parametrize("what", ["missing", "a folder"])
def test_a_file_that_is_not_there_is_named(name, what, tmp_path):
    make, open_ = doors.DOORS[name]
    path = make(tmp_path)
    path.unlink()
    if what == "a folder":
        path.mkdir()
    with pytest.raises(LabError) as error:
        open_(tmp_path)
    assert path.name in str(error.value)


@pytest.mark.parametrize("damage", doors.DAMAGE)
def test_damage_changes_files(damage):
    data = bytes(range(48, 58)) * 30
    made = {damage(data, np.random.default_rng(k)) for k in range(20)}
    assert made - {data}
