"""Programs written for CNTK 2.7 start and run with nothing but the alias in front.

tests/golden/tutorials holds small programs in the manner of CNTK's tutorials (101 to 303): the same calls and options
on small made-up data. Each ran on the real CNTK 2.7, except the one that reads image files, whose plugin needs
libraries of 2017. They all run in one fresh Python; each is asked for on its own.
"""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = sorted((ROOT / "tests" / "golden" / "tutorials").glob("*.py"))

RUN = """
import contextlib, io, json, runpy, sys, traceback
import cntk_lab.alias
answer = {}
for path in sys.argv[1:]:
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            runpy.run_path(path)
        answer[path] = ""
    except BaseException:
        answer[path] = said.getvalue()[-500:] + traceback.format_exc()[-2000:]
print(json.dumps(answer))
"""


@functools.cache
def outcomes() -> dict[str, str]:
    """Program -> how it ended; empty if well."""
    command = [sys.executable, "-c", RUN, *map(str, PROGRAMS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    answer: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return answer


@pytest.mark.xdist_group("old programs")
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_a_program_of_cntk_runs_with_the_alias_in_front(program: Path) -> None:
    assert outcomes()[str(program)] == ""
