"""Who may know whom: Python by import-linter, foreign packages by fences, TypeScript by its folders."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cntk_lab.graph import registry

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "cntk_lab"
SOURCE = ROOT / "extension" / "src"

FENCES = {
    "cupy": ("tensor/arrays.py", "backends/cuda/"),
    "cupyx": ("tensor/arrays.py", "backends/cuda/"),
    "onnx": ("formats/onnx/",),
    "onnxruntime": ("formats/onnx/",),
    "google": ("formats/",),
    "mpi4py": ("train/_communicators.py",),
    "numba": ("backends/cpu/",),
    "ipywidgets": ("widgets/", "lab.py"),
    "anywidget": ("widgets/", "lab.py"),
    "jupyter_server": ("server.py",),
    "pickle": (),
    "dill": (),
}
"""Foreign package -> the only places of cntk_lab that may import it."""

MAY_IMPORT = {
    "protocol": {"protocol"},
    "model": {"protocol", "model"},
    "view": {"protocol", "model", "view"},
    "widgets": {"protocol", "model", "view", "widgets"},
    "lab": {"protocol", "model", "view", "lab"},
}
"""Folder of extension/src -> folders it may import from."""

IMPORT = re.compile(r"""(?:from|import)\s*\(?\s*['"]([^'"]+)['"]""")


def imported_packages(path: Path) -> Iterator[str]:
    """Top-level names of the packages that a Python file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


def typescript_imports() -> list[tuple[str, str, str]]:
    """(folder, file, imported module) for every import of extension/src."""
    found = []
    for path in sorted(SOURCE.rglob("*.ts*")):
        folder = path.relative_to(SOURCE).parts[0]
        if folder in MAY_IMPORT:
            found += [(folder, path.name, name) for name in IMPORT.findall(path.read_text(encoding="utf-8"))]
    return found


def test_python_imports_only_go_down() -> None:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-2000:]


@pytest.mark.parametrize("package", sorted(FENCES))
def test_foreign_packages_stay_behind_their_fence(package: str) -> None:
    offenders = [
        name
        for path in sorted(PACKAGE.rglob("*.py"))
        if package in imported_packages(path)
        and not (name := path.relative_to(PACKAGE).as_posix()).startswith(tuple(FENCES[package]) or ("\0",))
    ]
    assert offenders == []


def test_typescript_imports_only_go_down() -> None:
    imports = typescript_imports()
    assert imports, "no TypeScript found"
    offenders = []
    for folder, file, name in imports:
        if name.startswith("."):
            target = name.split("/")[1] if name.startswith("../") else folder
            if target not in MAY_IMPORT[folder]:
                offenders.append(f"{folder}/{file} imports {name}")
    assert offenders == []


def test_only_the_lab_folder_knows_jupyterlab() -> None:
    offenders = [
        f"{folder}/{file} imports {name}"
        for folder, file, name in typescript_imports()
        if name.startswith(("@jupyterlab/", "@lumino/")) and folder != "lab"
    ]
    assert offenders == []


def test_models_of_the_front_end_know_no_document() -> None:
    offenders = [
        path.name
        for folder in ("protocol", "model")
        for path in sorted((SOURCE / folder).glob("*.ts"))
        if "generated" not in path.name and re.search(r"\bdocument\.\w|\bwindow\.\w", path.read_text(encoding="utf-8"))
    ]
    assert offenders == []


def test_dom_is_never_built_from_strings() -> None:
    from_strings = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function"
    offenders = [
        path.relative_to(SOURCE).as_posix()
        for path in sorted(SOURCE.rglob("*.ts*"))
        if "generated" not in path.name and re.search(from_strings, path.read_text("utf-8"))
    ]
    assert offenders == []


FORMULA_WORDS = {"sum", "sigmoid", "tanh", "relu"}
"""Names of operators that are words of the formula language, and of oneDNN, too."""
SYMBOLS = {("graph/signature.py", "alias")}
"""Operators that the graph asks its ports for (a name that the user gives to a function becomes a node)."""


def test_neither_engine_nor_graph_names_an_operator() -> None:
    importlib.import_module("cntk_lab")
    names = {name for op in registry.all_ops() for name in (op.name, op.name.lstrip("_"))} - FORMULA_WORDS
    offenders = []
    for path in sorted([*(PACKAGE / "engine").rglob("*.py"), *(PACKAGE / "graph").rglob("*.py")]):
        where = path.relative_to(PACKAGE).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            word = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
            if word.split(".")[0] in names and (where, word) not in SYMBOLS:
                offenders.append(f"{where}:{node.lineno} names {word!r}")
    assert offenders == []


DOORS = {"__init__.py", "utils/__init__.py"}
"""Files that have names with an underscore because CNTK has them there."""


def private_imports(path: Path) -> Iterator[str]:
    """Names with an underscore that a file takes from a module of another package; modules are no such names."""
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("cntk_lab."):
            home = ROOT.joinpath(*node.module.split("."))
            if node.module.split(".")[1] != own and not home.is_dir():
                yield from (f"{node.module}.{a.name}" for a in node.names if re.match("_[^_]", a.name))


def test_no_private_name_is_imported_from_another_package() -> None:
    files = [p for p in sorted(PACKAGE.rglob("*.py")) if p.relative_to(PACKAGE).as_posix() not in DOORS]
    assert [f"{p.relative_to(PACKAGE)}: {name}" for p in files for name in private_imports(p)] == []
