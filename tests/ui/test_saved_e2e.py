"""A saved notebook, opened again: four pictures that can be worked with, in every place, and no error."""

from __future__ import annotations

import json

import pytest

from tests.ui.test_notebook_7_e2e import START

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("browser"), pytest.mark.timeout(240)]

CELLS = [
    START,
    "lab.show(z)",
    "lab.compose(z)",
    "run = lab.train(criterion, (X, Y), learner, model=z, max_epochs=3)\nrun",
    "lab.preview({'x': X, 'y': Y}, minibatch_size=8)",
]
VIEWS = [".cntk-lab .cntk-node", ".cntk-compose .cntk-node", ".cntk-monitor canvas", ".cntk-preview[data-number]"]
VIEW = "application/vnd.cntk-lab.view+json"
FINISHED = """() => jupyterapp.shell.currentWidget.content.widgets[3].model.outputs.get(0)
    .data['text/plain'].includes('finished')"""
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
    for i in range(1, 5):
        again.locator(".jp-Notebook .jp-Cell").nth(i).scroll_into_view_if_needed()
        screenshot(again, f"saved-{i}")
    # a stranger's copy: other outputs than those that were signed here
    book["cells"][1]["outputs"].append({"output_type": "stream", "name": "stdout", "text": "a stranger's"})
    (lab.root / "untrusted.ipynb").write_text(json.dumps(book))
    again.errors.clear()
    again.goto(address.format("untrusted", "untrusted.ipynb"))
    see_all(again)
    trusted = "() => jupyterapp.shell.currentWidget.content.widgets[1].model.trusted"
    assert again.evaluate(trusted) is False
    screenshot(again, "saved-untrusted")
    again.close()


def test_a_saved_notebook_shows_its_widgets_in_notebook_7(saved, notebook_app, browser_context):
    book = saved("saved7.ipynb")
    (notebook_app.root / "saved7.ipynb").write_text(json.dumps(book))
    page = browser_context.new_page()
    page.errors = []
    page.goto(f"{notebook_app.url}notebooks/saved7.ipynb?token={notebook_app.token}")
    see_all(page)
    page.close()
    notebook_app.shutdown_kernels()
