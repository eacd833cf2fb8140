"""Every module says what it is for, every public name says what it gives, and what users call shows an example."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "cntk_lab"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "static" not in path.parts and "notebooks" not in path.parts)
WITH_EXAMPLES = ("ops", "layers", "learners", "io", "losses", "metrics", "initializer.py", "axis.py")
"""Packages whose public functions are called by users: each carries an example that runs as a doctest."""

Documented = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def public(tree: ast.Module) -> Iterator[tuple[str, Documented]]:
    """Public classes, functions and methods, with dotted names; overloads and what is nested in functions left out."""
    todo: list[tuple[str, ast.stmt]] = [("", node) for node in tree.body]
    while todo:
        prefix, node = todo.pop(0)
        if isinstance(node, Documented) and not node.name.startswith("_"):
            decorators = {ast.unparse(decorator) for decorator in node.decorator_list}
            if not decorators & {"overload", "typing.overload", "override", "typing.override"} and not any(
                decorator.endswith(".setter") for decorator in decorators
            ):
                yield prefix + node.name, node
            if isinstance(node, ast.ClassDef):
                todo += [(f"{node.name}.", child) for child in node.body]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_modules_and_public_names_are_documented(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    missing = [] if ast.get_docstring(tree) else ["the module itself"]
    # in a file with an underscore the classes and functions are documented, their methods may speak for themselves
    inside = path.name.startswith("_") and path.name != "__init__.py"
    missing += [name for name, node in public(tree) if not ast.get_docstring(node) and not (inside and "." in name)]
    assert missing == []


@pytest.mark.parametrize(
    "path", [path for path in MODULES if name_of(path).split("/")[0] in WITH_EXAMPLES], ids=name_of
)
def test_what_users_call_shows_an_example(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    exported = {
        element.value
        for node in tree.body
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets)
        for element in ast.walk(node.value)
        if isinstance(element, ast.Constant) and isinstance(element.value, str)
    }
    missing = [name for name, node in public(tree) if name in exported and ">>>" not in (ast.get_docstring(node) or "")]
    assert missing == []


ENTRY = re.compile(r"\*{0,2}\w+(, \*{0,2}\w+)*: \S")


def arguments(docstring: str) -> Iterator[str]:
    """The lines of the section on arguments, with their indentation below it."""
    inside = False
    for line in docstring.splitlines():
        if line and not line.startswith(" "):
            inside = line == "Args:"
        elif inside and line:
            yield line.removeprefix("    ")


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_arguments_are_told_one_by_one(path: Path) -> None:
    wrong = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, Documented):
            continue
        names = {a.arg for a in ast.walk(node) if isinstance(a, ast.arg)}
        for line in arguments(ast.get_docstring(node) or ""):
            others = [n for n in re.findall(r"[.;] (\w+): ", line) if n in names]
            goes_on = line.startswith(" ")
            if others or (not goes_on and (not ENTRY.match(line) or re.search(r": [Ss]ee \w+\.$", line))):
                wrong.append(f"{node.name}: {line}")
    assert wrong == []


def test_the_readme_gives_the_two_commands_and_a_picture() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "cntk-lab demo" in text
    assert 'pip install -e ".[dev]"' in text
    pictures = re.findall(r"!\[[^\]]+\]\(([^)\s]+)\)|<img[^>]*\bsrc=\"([^\"]+)\"", text)
    assert pictures, "the first screen shows no picture"
    for names in pictures:
        assert (ROOT / next(filter(None, names))).is_file()


def test_links_between_documents_lead_somewhere() -> None:
    broken = [
        f"{document.name}: {target}"
        for document in sorted(ROOT.glob("*.md"))
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", document.read_text(encoding="utf-8"))
        if not (ROOT / target).exists()
    ]
    assert broken == []


def test_notebooks_are_saved_without_results_and_open_with_words() -> None:
    wrong = []
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        if cells[0]["cell_type"] != "markdown":
            wrong.append(f"{path.name}: opens with code")
        if any(cell.get("outputs") for cell in cells):
            wrong.append(f"{path.name}: holds outputs")
    assert wrong == []
