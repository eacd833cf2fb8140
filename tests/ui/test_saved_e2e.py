"""A saved notebook, opened again: four pictures that can be worked with, in every place, and no error."""

from __future__ import annotations

import json

import pytest

from tests.ui.pages import in_both_themes
from tests.ui.test_notebook_7_e2e import START

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("browser"), pytest.mark.timeout(240)]

CELLS = [
    START,
    "lab.show(z)",
    "c = lab.compose(z)\nc",
    "run = lab.train(criterion, (X, Y), learner, model=z, max_epochs=3)\nrun",
    "lab.preview({'x': X, 'y': Y}, minibatch_size=8)",
    "c.code = c.code.replace('64', '48')  # what is kept above follows",
]
VIEWS = [".cntk-lab .cntk-node", ".cntk-compose .cntk-node", ".cntk-monitor canvas", ".cntk-preview[data-number]"]
VIEW = "application/vnd.cntk-lab.view+json"
FINISHED = """() => jupyterapp.shell.currentWidget.content.widgets[3].model.outputs.get(0)
    .data['text/plain'].includes('finished')"""
IDS = """() => {
    const all = [...document.querySelectorAll('.cntk-saved [id]')];
    const ids = all.map(node => node.id);
    const twice = ids.filter((id, i) => ids.indexOf(id) !== i);
    const uses = ['marker-end', 'clip-path', 'fill'].map(name => `.cntk-saved [${name}^="url"]`).join();
    const used = [...document.querySelectorAll(uses)];
    const astray = used.filter(node => ['marker-end', 'clip-path', 'fill'].some(name => {
        const id = /^url\\(#(.+)\\)$/.exec(node.getAttribute(name) ?? '')?.[1];
        return id !== undefined && !node.closest('svg')?.querySelector('#' + CSS.escape(id));
    }));
    return used.length > 2 ? [twice, astray.map(node => node.outerHTML.slice(0, 80))] : 'no edge has an arrow';
}"""
RUN_ALL = "() => { jupyterapp.commands.execute('notebook:run-all-cells'); }"
LOADED = "async () => { await jupyterapp.restored; await jupyterapp.shell.currentWidget.context.ready; }"


@pytest.fixture
def saved(open_notebook, lab):
    """saved(name) -> the notebook's JSON, as JupyterLab saves it after the four widgets were shown and used."""

    def go(name):
        page = open_notebook(name, CELLS)
        page.evaluate(RUN_ALL)
        for i, view in enumerate(VIEWS):
            cell = page.locator(".jp-Notebook .jp-Cell").nth(i + 1)
            cell.scroll_into_view_if_needed()
            cell.locator(view).first.wait_for(timeout=60_000)
            assert not cell.locator(".cntk-saved-words").is_visible()  # the live ones
        page.locator(".cntk-preview").get_by_role("button", name="Next").click()
        page.locator(".cntk-preview[data-number='1']").wait_for()
        page.wait_for_function(FINISHED)
        pages = f"() => jupyterapp.shell.currentWidget.content.widgets[4].model.outputs.get(0).data['{VIEW}'].pages"
        page.wait_for_function(f"{pages}.length === 2")
        source = f"jupyterapp.shell.currentWidget.content.widgets[2].model.outputs.get(0).data['{VIEW}'].state.source"
        page.wait_for_function(f"() => {source}.includes('48')")
        page.evaluate("async () => { await jupyterapp.shell.currentWidget.context.save(); }")
        page.close()
        lab.shutdown_kernels()
        return json.loads((lab.root / name).read_text())

    return go


def see_all(page):
    """All four views are drawn from what was saved, nothing says an error, and they answer."""
    page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
    page.evaluate(LOADED)
    cells = page.locator(".jp-Notebook .jp-Cell")
    for i, view in enumerate(VIEWS):
        cell = cells.nth(i + 1)
        cell.scroll_into_view_if_needed()
        cell.locator(".cntk-saved").locator(view).first.wait_for(timeout=60_000)
        assert cell.locator(".cntk-saved-words").text_content() == "Saved view; run the cell to make it live."
    assert page.get_by_text("model not found").count() == 0
    shown = cells.nth(1).locator(".cntk-lab")
    closed = shown.locator(".cntk-node").count()
    shown.locator(".cntk-node", has_text="hidden").first.focus()
    page.keyboard.press("Enter")
    opened = "n => document.querySelectorAll('.jp-Cell:nth-child(2) .cntk-saved .cntk-node').length > n"
    page.wait_for_function(opened, arg=closed)
    seen = cells.nth(4).locator(".cntk-preview")
    seen.get_by_role("button", name="Previous").click()
    cells.nth(4).locator(".cntk-preview[data-number='0']").wait_for()
    monitor = cells.nth(3).locator(".cntk-monitor")
    assert monitor.get_attribute("data-status") == "finished"
    for name in ("Resume", "Step", "Stop", "Rewind", "Fork", "Keep", "Find rate"):  # nobody is there to do it
        assert monitor.get_by_role("button", name=name, exact=True).is_disabled()
    assert "Dense(48" in cells.nth(2).locator(".cntk-code textarea").input_value()
    assert page.errors == []


def test_a_saved_notebook_shows_its_widgets_wherever_it_is_opened(saved, lab, browser_context, page, screenshot):
    book = saved("saved.ipynb")
    assert "widgets" not in book["metadata"]
    again = browser_context.new_page()
    again.errors = []
    again.on("pageerror", lambda error: again.errors.append(str(error)))
    address = f"{lab.url}lab/workspaces/saved-{{}}/tree/{{}}?token={lab.token}&reset"
    again.goto(address.format("trusted", "saved.ipynb"))
    see_all(again)
    for theme in in_both_themes(again):
        for width in (1280, 600):
            again.set_viewport_size({"width": width, "height": 900})
            for i in range(1, 5):
                again.locator(".jp-Notebook .jp-Cell").nth(i).scroll_into_view_if_needed()
                screenshot(again, f"saved-{i}-{theme}-{width}")
    again.set_viewport_size({"width": 1280, "height": 900})
    # a stranger's copy: other outputs than those that were signed here
    book["cells"][1]["outputs"].append({"output_type": "stream", "name": "stdout", "text": "a stranger's"})
    (lab.root / "untrusted.ipynb").write_text(json.dumps(book))
    again.evaluate("() => { jupyterapp.commands.execute('docmanager:open', {path: 'untrusted.ipynb'}); }")
    second = ".jp-NotebookPanel:not(.lm-mod-hidden) .cntk-saved"
    again.wait_for_function(f"() => document.querySelectorAll('{second} .cntk-node').length > 2")
    assert again.evaluate(IDS) == [[], []]  # arrows and labels of each view are its own, also in another tab
    again.errors.clear()
    again.goto(address.format("untrusted", "untrusted.ipynb"))
    see_all(again)
    trusted = "() => jupyterapp.shell.currentWidget.content.widgets[1].model.trusted"
    assert again.evaluate(trusted) is False
    screenshot(again, "saved-untrusted")
    again.close()


HOSTILE = {
    "no state": {"version": 1, "view": "graphView", "state": None},
    "another version": {"version": 7, "view": "graphView", "state": {}},
    "no view of ours": {"version": 1, "view": "constructor", "state": {}},
    "words where lists are": {"version": 1, "view": "monitor", "state": {"runs": "all", "details": 3}, "told": "x"},
    "a graph of strangers": {
        "version": 1,
        "view": "graphView",
        "state": {"graph": {"nodes": [{"id": "<b>"}], "edges": 3}},
    },
}


def test_saved_data_of_strangers_harm_nobody_and_the_picture_stays(lab, browser_context):
    svg = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><script>parent.harmed = 1</script></svg>'
    cells = [
        {"cell_type": "code", "execution_count": 1, "metadata": {}, "source": "", "id": f"cell{i}", "outputs": [
            {"output_type": "display_data", "metadata": {},
             "data": {VIEW: view, "image/svg+xml": svg, "text/plain": "<img src=x onerror='harmed = 1'>"}}]}
        for i, view in enumerate(HOSTILE.values())
    ]  # fmt: skip
    book = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (lab.root / "strange.ipynb").write_text(json.dumps(book))
    page = browser_context.new_page()
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{lab.url}lab/workspaces/strange/tree/strange.ipynb?token={lab.token}&reset")
    page.locator(".cntk-saved img[src^='data:image/svg']").nth(len(HOSTILE) - 1).wait_for(timeout=60_000)
    assert page.locator(".cntk-saved").count() == len(HOSTILE)
    assert page.evaluate("() => window.harmed === undefined")
    assert errors == []
    page.close()


def test_a_saved_notebook_shows_its_widgets_in_notebook_7(saved, notebook_app, browser_context):
    book = saved("saved7.ipynb")
    (notebook_app.root / "saved7.ipynb").write_text(json.dumps(book))
    page = browser_context.new_page()
    page.errors = []
    page.goto(f"{notebook_app.url}notebooks/saved7.ipynb?token={notebook_app.token}")
    see_all(page)
    page.close()
    notebook_app.shutdown_kernels()
