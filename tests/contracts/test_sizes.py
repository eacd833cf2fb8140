"""Files stay under 600 lines, functions under 60; nothing names a machine or a package registry.

What must be longer says why in a comment that starts with ``long:``: a file near its top, a function above or
inside it. Docstrings of functions do not count.
"""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILE_LINES, FUNCTION_LINES = 600, 60
TEXT = {".py", ".ts", ".tsx", ".js", ".mjs", ".json", ".toml", ".md", ".yml", ".yaml", ".css", ".ipynb", ""}
CODE = {".py", ".ts", ".tsx", ".mjs", ".css"}

FORBIDDEN = {
    "package registry": r"registry\.(?:npmjs|yarnpkg)" + r"|\bpypi\." + r"org|python" + r"hosted",
    "machine path": r"(?<![\w.])/(?:ro" + r"ot|wo" + r"rk|home)/\w",
}
"""What no file of the project may contain (spelled so that this file does not)."""


def project_files() -> list[Path]:
    """Every file that is or would be committed."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    paths = [ROOT / name for name in listing.stdout.decode().split("\0") if name]
    return [path for path in paths if path.is_file()]


FILES = project_files()


def functions(path: Path) -> Iterator[tuple[str, int, bool]]:
    """(name, lines without docstring, says why it is long) of each function of a Python file."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            first, last = node.lineno, node.end_lineno or node.lineno
            length = last - first + 1
            if ast.get_docstring(node) is not None:
                docstring = node.body[0]
                length -= (docstring.end_lineno or docstring.lineno) - docstring.lineno + 1
            above = min([first, *(decorator.lineno for decorator in node.decorator_list)]) - 2
            excused = any(re.search(r"#\s*long:", line) for line in lines[max(above, 0) : last])
            yield f"{path.relative_to(ROOT).as_posix()}:{first} {node.name}", length, excused


def test_files_are_short_enough_to_read() -> None:
    too_long = {
        path.relative_to(ROOT).as_posix(): count
        for path in FILES
        if path.suffix in CODE
        and (count := len(lines := path.read_text(encoding="utf-8").splitlines())) > FILE_LINES
        and not any(re.search(r"#\s*long:", line) for line in lines[:30])
    }
    assert too_long == {}


def test_functions_are_short_enough_to_read() -> None:
    too_long = {
        name: length
        for path in FILES
        if path.suffix == ".py"
        for name, length, excused in functions(path)
        if length > FUNCTION_LINES and not excused
    }
    assert too_long == {}


@pytest.mark.parametrize("what", sorted(FORBIDDEN))
def test_nothing_names_a_machine_or_a_registry(what: str) -> None:
    pattern = re.compile(FORBIDDEN[what])
    found = [
        f"{path.relative_to(ROOT).as_posix()}: {match.group()}"
        for path in FILES
        if path.suffix in TEXT and (match := pattern.search(path.read_text(encoding="utf-8", errors="replace")))
    ]
    assert found == []


def test_nothing_is_left_to_do() -> None:
    word = "TO" + "DO"
    found = [
        f"{path.relative_to(ROOT).as_posix()}:{number}"
        for path in FILES
        if path.suffix in CODE
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(rf"\b(?:{word}|FIX" + r"ME|XX" + r"X)\b", line)
    ]
    assert found == []
