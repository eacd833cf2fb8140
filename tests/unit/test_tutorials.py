"""The user's copy of the tutorials."""

from __future__ import annotations

from cntk_lab import tutorials


def test_what_the_user_changed_stays_and_what_is_missing_comes(tmp_path, monkeypatch):
    package = tmp_path / "package"
    (package / "notebooks").mkdir(parents=True)
    for name in ("101.ipynb", "103.ipynb"):
        (package / "notebooks" / name).write_text(f"fresh {name}")
    monkeypatch.setattr(tutorials, "_HERE", package)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "101.ipynb").write_text("my own")
    copies = tutorials.copy_to(mine)
    assert [path.name for path in copies] == ["101.ipynb", "103.ipynb"]
    assert [path.read_text() for path in copies] == ["my own", "fresh 103.ipynb"]
    assert sorted(path.name for path in mine.iterdir()) == ["101.ipynb", "103.ipynb"]
