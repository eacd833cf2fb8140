"""What browser tests do on a page more than once; everything waits for what it expects, nothing for time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

AXE = Path(__file__).resolve().parents[2] / "extension/node_modules/axe-core/axe.min.js"
needs_axe = pytest.mark.skipif(not AXE.is_file(), reason="axe-core is not installed: npm install in extension/")

STILL = """async () => {
    const endless = a => a.effect?.getComputedTiming().endTime === Infinity;
    const frame = () => new Promise(done => requestAnimationFrame(done));
    do { await frame(); await frame(); }
    while (document.getAnimations().some(a => !endless(a) && a.playState === 'running')); }"""


def still(page: Any) -> None:
    """Wait until what was asked for is painted and no transition is under way: for pictures, and for colours."""
    page.evaluate(STILL)


def use_theme(page: Any, words: str) -> None:
    """Let JupyterLab take its theme "Light" or "Dark"."""
    theme = f"JupyterLab {words}"
    page.evaluate("theme => { jupyterapp.commands.execute('apputils:change-theme', {theme}); }", theme)
    page.wait_for_selector(f"body[data-jp-theme-name='{theme}']", state="attached")
    page.locator("#jupyterlab-splash").wait_for(state="detached")
    still(page)


def in_both_themes(page: Any) -> Iterator[str]:
    """The words light and dark, with JupyterLab in that theme; afterwards it is light again."""
    for theme in ("light", "dark"):
        use_theme(page, theme.capitalize())
        yield theme
    use_theme(page, "Light")


def complaints(page: Any, inside: str = ".cntk-lab", options: str = "{}") -> list[Any]:
    """What axe finds wrong for people who cannot see or point: rule and element.

    Args:
        page: the page.
        inside: the part that is looked at.
        options: of axe, as JavaScript.
    """
    still(page)
    page.evaluate(AXE.read_text())
    return list(
        page.evaluate(
            f"async () => (await axe.run('{inside}', {options})).violations.map(v => [v.id, v.nodes[0].html])"
        )
    )


def printed(page: Any, cell: int, run_cell: Any) -> str:
    """What a cell prints."""
    run_cell(page, cell)
    output = page.locator(".jp-Cell").nth(cell).locator(".jp-OutputArea-output")
    output.wait_for()
    return str(output.text_content()).strip()


def saved_output(page: Any, file: Path, cell: int, words: str) -> dict[str, str]:
    """The data of a cell's output in the saved notebook, once its text has these words: MIME type -> text."""
    page.wait_for_function(
        """([i, words]) => {
            const data = jupyterapp.shell.currentWidget.content.widgets[i].model.outputs.get(0)?.data;
            return data !== undefined && 'image/svg+xml' in data && String(data['text/plain']).includes(words); }""",
        arg=[cell, words],
    )
    page.evaluate("async () => { await jupyterapp.shell.currentWidget.context.save(); }")
    data = json.loads(file.read_text())["cells"][cell]["outputs"][0]["data"]
    return {kind: "".join(text) for kind, text in data.items() if isinstance(text, (str, list))}
