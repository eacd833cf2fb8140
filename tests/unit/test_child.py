"""Child processes import what is installed and nothing that lies around; they keep to limits of memory and time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import cntk_lab
from cntk_lab import _child

NAMES = ("numpy", "json", "sitecustomize", "usercustomize", "cntk_lab", "numba", "llvmlite", "scipy", "resource", "re")
ROOT = Path(cntk_lab.__file__).parents[1]

COMPILES = """
import os, sys, time, numpy, llvmlite.binding
import cntk_lab.backends.cpu.jit as jit
os.chdir(sys.argv[1])
sys.path.insert(0, "")
handle = jit.request(f"def kernel(block, thread, threads, phase):\\n    pass  # {time.time()}\\n")
assert handle.wait(60) and handle.address, handle.failure
"""


@pytest.fixture
def trap(tmp_path, monkeypatch):
    """A folder full of modules that tell when they are run; it is the current one, and named by PYTHONPATH."""
    folder = tmp_path / "models"
    folder.mkdir()
    for name in NAMES:
        (folder / f"{name}.py").write_text(f"open({str(folder / name)!r} + '.ran', 'w').close()\n")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["", str(folder)]))
    return folder


def ran(folder):
    return sorted(path.name for path in folder.glob("*.ran"))


def test_the_trap_springs_on_an_ordinary_child(trap):
    subprocess.run([sys.executable, "-c", "import json, numpy"], check=True, timeout=60)
    assert {"json.ran", "numpy.ran", "sitecustomize.ran"} <= set(ran(trap))


def test_a_child_runs_nothing_of_the_current_folder_nor_of_pythonpath(trap):
    words = _child.command("cntk_lab.widgets._messages", "typescript")
    done = subprocess.run(words, capture_output=True, text=True, cwd=trap, check=False, timeout=60)
    assert "interface Statistics" in done.stderr, done.stderr  # sys.exit(text) writes it there
    assert ran(trap) == []


def test_the_compiling_child_runs_nothing_of_the_current_folder(trap):
    surroundings = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-P", "-c", COMPILES, str(trap)]
    subprocess.run(words, check=True, env=surroundings, cwd="/", timeout=120)
    assert ran(trap) == []


def test_packages_that_only_the_parent_finds_are_found_by_the_child(tmp_path, monkeypatch):
    home = tmp_path / "elsewhere"
    (home / "llvmlite").mkdir(parents=True)
    (home / "llvmlite" / "__init__.py").write_text("")
    monkeypatch.setattr(sys, "path", [str(home), *sys.path])
    monkeypatch.delitem(sys.modules, "llvmlite", raising=False)
    assert str(home) in _child.homes()
    monkeypatch.chdir(home)
    assert str(home) not in _child.homes()


@pytest.mark.skipif(sys.platform != "linux", reason="limits of address space are kept by Linux")
def test_a_child_keeps_to_its_limits(tmp_path):
    words = _child.command("numpy", "ones", "x", memory=3 << 30, seconds=20)
    started = "import resource\nprint(resource.getrlimit(resource.RLIMIT_AS), resource.getrlimit(resource.RLIMIT_CPU))"
    words[words.index("-c") + 1] = words[words.index("-c") + 1].split("sites =")[0] + started
    told = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60).stdout
    assert told.strip() == f"({3 << 30}, {3 << 30}) (20, 20)"


@pytest.mark.skipif(sys.platform != "linux", reason="limits of address space are kept by Linux")
def test_a_program_keeps_to_its_limits():
    assert _child.run_program(["/bin/cat"], b"abc", 10, 1 << 30) == b"abc"
    with pytest.raises(subprocess.TimeoutExpired):
        _child.run_program(["/bin/sleep", "60"], b"", 0.1, 1 << 30)
    with pytest.raises(subprocess.CalledProcessError):
        _child.run_program([sys.executable, "-c", "bytearray(4 << 30)"], b"", 30, 1 << 30)
