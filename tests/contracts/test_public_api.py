"""`import cntk_lab` is quick, needs nothing heavy, and every name a door promises is there and documented."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "cntk_lab"
HEAVY = (
    "numba", "scipy", "matplotlib", "cupy", "IPython", "ipywidgets", "anywidget",
    "graphviz", "wasmtime", "onnx", "jupyter_server"
)  # fmt: skip
SECONDS = 0.3

DOORS = sorted(
    ".".join(("cntk_lab", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
    if "__all__" in path.read_text(encoding="utf-8")
    and not path.name.startswith("_") ^ path.name.startswith("__init__")
    and path.stem != "alias"
)


def run_python(code: str) -> str:
    """What a fresh Python prints."""
    command = [sys.executable, "-c", textwrap.dedent(code)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def test_import_loads_nothing_heavy() -> None:
    loaded = run_python(f"""
        import sys, cntk_lab
        print(*[name for name in {HEAVY!r} if name in sys.modules])
    """)
    assert loaded == ""


def test_import_is_quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # as a user's second start: bytecode is there; time of the processor, because a busy machine is not our doing
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path))
    code = "import time; t = time.process_time(); import cntk_lab; print(time.process_time() - t)"
    best = min(float(run_python(code)) for _ in range(6))
    assert best < SECONDS


def test_a_model_runs_where_every_optional_package_is_missing() -> None:
    answer = run_python(f"""
        import sys
        sys.modules.update(dict.fromkeys({(*HEAVY, "llvmlite", "onednn")!r}))  # as Python marks what is not there
        import cntk_lab as C
        x = C.input_variable(2)
        print(C.reduce_sum(x * 2).eval({{x: [[1, 2]]}}).sum())
    """)
    assert float(answer) == 6


@pytest.mark.parametrize("name", DOORS)
def test_doors_keep_their_promise(name: str) -> None:
    module = importlib.import_module(name)
    # with the alias, a module also shows CNTK's imports
    promised = getattr(vars(module).get("__getattr__"), "promised", module.__all__)
    missing = [entry for entry in promised if not hasattr(module, entry)]
    assert missing == []
    undocumented = [
        entry
        for entry in promised
        if (inspect.isclass(value := getattr(module, entry)) or inspect.isroutine(value)) and not inspect.getdoc(value)
    ]
    assert undocumented == []


def test_no_public_module_hides_behind_a_wildcard() -> None:
    wildcards = [
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom)
        and any(alias.name == "*" for alias in node.names)
        # a door may say "everything of this file"
        and path.name != "__init__.py"
    ]
    assert wildcards == []
