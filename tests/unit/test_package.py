"""What is shipped: one version everywhere, and the licences of what is bundled."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import cntk_lab

ROOT = Path(__file__).resolve().parents[2]
BUILT = ROOT / "cntk_lab"


def test_the_version_is_written_once_and_the_built_extension_carries_it():
    assert "version" in tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dynamic"]
    assert "version" not in json.loads((ROOT / "extension" / "package.json").read_text(encoding="utf-8"))
    built = json.loads((BUILT / "labextension" / "package.json").read_text(encoding="utf-8"))
    assert built["version"] == cntk_lab.package_version


def test_every_bundled_package_has_its_licence_in_the_wheel():
    text = (BUILT / "widgets" / "static" / "third-party-licenses.txt").read_text(encoding="utf-8")
    heads = re.findall(r"^-{80}\n(.+)$", text, re.MULTILINE)
    assert [head.rpartition(" ")[0].rpartition(" ")[0] for head in heads[:2]] == ["@hpcc-js/wasm-graphviz", "uplot"]
    assert heads[2].startswith("Graphviz, compiled to WebAssembly")
    for words in ("Apache License", "Permission is hereby granted", "Eclipse Public License - v 2.0"):
        assert words in text
