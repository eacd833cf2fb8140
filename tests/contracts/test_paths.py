"""Files that documents and docstrings name are there."""

import re
from pathlib import Path

import pytest

from cntk_lab.engine.cpu.target import PLAIN
from tests.unit.engine.passes.printed import dense, plan_of, printed

ROOT = Path(__file__).resolve().parents[2]
PLACES = [ROOT, ROOT / "cntk_lab", ROOT / "cntk_lab" / "engine", ROOT / "extension"]
DOCUMENTS = ["README.md", "CONTRIBUTING.md", "cntk_lab/engine/README.md", "pyproject.toml"]
PATH = re.compile(r"`+((?:[\w.-]+/)+[\w.-]+\.(?:py|ts|tsx|md|mjs|json|toml|ipynb))`+")
"""A path in backticks, with at least one folder and an ending."""


def missing(text, own=ROOT):
    return [path for path in PATH.findall(text) if not any((place / path).exists() for place in (*PLACES, own))]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_files_that_documents_name_are_there(name):
    assert missing((ROOT / name).read_text(encoding="utf-8"), (ROOT / name).parent) == []


def test_files_that_the_code_names_are_there():
    lost = {
        str(file.relative_to(ROOT)): found
        for file in (ROOT / "cntk_lab").rglob("*.py")
        if (found := missing(file.read_text(encoding="utf-8"), file.parent))
    }
    assert lost == {}


def test_the_engines_page_shows_the_plans_that_are_made():
    page = (ROOT / "cntk_lab" / "engine" / "README.md").read_text(encoding="utf-8")
    blocks = [block.strip().splitlines() for block in re.findall(r"```\n(FORWARD.*?)```", page, re.DOTALL)]
    out, w, b = dense()
    wanted = {"roots": out.outputs, "gradients": (w, b), "training": True}
    for block, plan in zip(blocks, (plan_of(PLAIN, fused=False, **wanted), plan_of(PLAIN, **wanted)), strict=True):
        shown = [re.sub(r"\s+", " ", line).partition("{b7 = …")[0] for line in block]
        true = [line.replace(": ", " ", 1) for line in printed(plan)]
        assert len(shown) == len(true)
        for line, own in zip(shown, true, strict=True):
            assert own.startswith(line)
