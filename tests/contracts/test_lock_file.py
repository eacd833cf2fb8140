"""The front end's lock file is complete, so that installing from a clone leaves it as it is; it names no registry."""

from __future__ import annotations

import json
from pathlib import Path

LOCK = Path(__file__).parents[2] / "extension" / "package-lock.json"


def test_the_lock_file_names_the_packages_of_every_platform():
    packages = json.loads(LOCK.read_text("utf-8"))["packages"]
    names = {path.rpartition("node_modules/")[2] for path in packages}
    missing = {
        (path, wanted)
        for path, package in packages.items()
        for wanted in package.get("optionalDependencies", {})
        if wanted not in names
    }
    assert missing == set()


def test_the_lock_file_names_no_registry():
    packages = json.loads(LOCK.read_text("utf-8"))["packages"]
    assert [path for path, package in packages.items() if "resolved" in package] == []
    assert all("integrity" in package for path, package in packages.items() if path)
