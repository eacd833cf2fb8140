"""The sidebar with the models and runs of a kernel, and the settings, in a real JupyterLab and a real browser."""

from __future__ import annotations

import json

import pytest

from tests.ui.pages import complaints, in_both_themes, needs_axe

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("browser"), pytest.mark.timeout(240)]

ATTACK = '<img src=x onerror="globalThis.pwned=1">'
MODEL = f"""
import numpy as np
import cntk_lab as C
from cntk_lab import lab
from cntk_lab.layers import Dense, Sequential
from cntk_lab.learners import momentum_sgd, learning_parameter_schedule as schedule
rng = np.random.default_rng(0)
X = rng.normal(size=(3000, 20)).astype(np.float32)
Y = np.eye(3, dtype=np.float32)[np.argmax(X[:, :3], axis=1)]
x, y = C.input_variable(20, name="x"), C.input_variable(3, name="y")
z = same = Sequential([Dense(64, activation=C.relu, name="hidden"), Dense(3, name={ATTACK!r})])(x)
criterion = (C.cross_entropy_with_softmax(z, y), C.classification_error(z, y))
learner = momentum_sgd(z.parameters, schedule(0.02, 0), 0.9)
"""
TRAIN = "run = lab.train(criterion, (X, Y), learner, model=z, max_epochs=100000, name='first')"


def open_sidebar(page):
    page.locator(".jp-SideBar .lm-TabBar-tab[data-id='cntk-lab-sidebar']").click()
    page.locator(".cntk-sidebar").wait_for()


def row(page, words):
    return page.locator(".cntk-sidebar li button", has_text=words)


def words(page, text):
    page.locator(".cntk-sidebar .words", has_text=text).wait_for()


def test_models_and_runs_are_listed_and_shown(open_notebook, run_cell, screenshot):
    page = open_notebook("side.ipynb", ["other = 3", MODEL, TRAIN, "await run", "run.stop()", "del z, same"])
    open_sidebar(page)
    words(page, "has not imported CNTK Lab yet")
    run_cell(page, 0)
    page.locator(".jp-Cell").nth(0).locator(".jp-InputPrompt", has_text="[1]").wait_for()
    words(page, "has not imported CNTK Lab yet")
    run_cell(page, 1)
    row(page, "z, same").wait_for(timeout=60_000)
    assert "1,539 parameters" in row(page, "z, same").text_content()
    assert "batch 3" in row(page, "z, same").text_content()
    assert row(page, "criterion[1]").count() == 1
    assert page.locator(".cntk-sidebar", has_text="No runs yet").count() == 1
    screenshot(page, "sidebar-models")

    # a run, and what it says of itself while it goes on
    run_cell(page, 2)
    row(page, "first").locator(".cntk-status.running").wait_for()
    steps = (
        "() => Number(document.querySelector('[data-row^=r]').textContent.match(/step ([\\d,]+)/)[1].replace(/,/g, ''))"
    )
    before = page.evaluate(steps)
    page.wait_for_function(f"n => ({steps})() > n + 1000", arg=before)
    # and while a cell waits for it
    run_cell(page, 3)
    words(page, "The kernel is busy")
    before = page.evaluate(steps)
    page.wait_for_function(f"n => ({steps})() > n + 1000", arg=before)
    screenshot(page, "sidebar-run")
    assert page.evaluate("globalThis.pwned === undefined && !document.querySelector('.cntk-lab img')")
    page.evaluate("() => { jupyterapp.commands.execute('notebook:interrupt-kernel'); }")
    page.locator(".cntk-sidebar .words", has_text="The kernel is busy").wait_for(state="hidden")

    # by keyboard: the run's monitor, then the model's graph, each in a panel beside the notebook
    row(page, "first").focus()
    page.keyboard.press("Enter")
    monitor = page.locator(".cntk-lab-panel .cntk-monitor")
    monitor.wait_for()
    row(page, "first").locator(".cntk-status.stopped").wait_for()  # by the interruption
    monitor.get_by_role("button", name="Resume", exact=True).click()
    row(page, "first").locator(".cntk-status.running").wait_for()
    monitor.get_by_role("button", name="Pause", exact=True).click()
    row(page, "first").locator(".cntk-status.paused").wait_for()
    row(page, "z, same").focus()
    page.keyboard.press("Enter")
    graph = page.locator(".cntk-lab-panel .cntk-lab[data-ready] .cntk-node", has_text="hidden").first
    graph.wait_for()
    screenshot(page, "sidebar-panels")
    row(page, "z, same").focus()
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.dataset.row").startswith("m")
    row(page, "z, same").click()  # the same panel again, not a second one
    assert page.locator(".cntk-lab-panel").count() == 2
    assert page.errors == []


def test_what_is_gone_leaves_the_list_and_a_restart_empties_it(open_notebook, run_cell):
    page = open_notebook("gone.ipynb", [MODEL, "del z, same"])
    run_cell(page, 0)
    open_sidebar(page)
    row(page, "z, same").wait_for(timeout=60_000)
    run_cell(page, 1)
    row(page, "z, same").wait_for(state="detached")
    page.evaluate("() => { jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart(); }")
    words(page, "has not imported CNTK Lab yet")
    page.evaluate("() => { jupyterapp.shell.currentWidget.sessionContext.shutdown(); }")
    words(page, "The notebook has no kernel")
    assert page.errors == []


@needs_axe
def test_axe_finds_nothing_to_complain_about(open_notebook, run_cell, screenshot):
    page = open_notebook("axe-sidebar.ipynb", [MODEL, TRAIN.replace("100000", "3")])
    run_cell(page, 0)
    open_sidebar(page)
    row(page, "z, same").wait_for(timeout=60_000)
    run_cell(page, 1)
    row(page, "first").locator(".cntk-status.finished").wait_for()
    for theme in in_both_themes(page):
        assert complaints(page, ".cntk-sidebar") == []
        screenshot(page, f"sidebar-{theme}")
    assert page.errors == []


def change(lab, settings):
    """What the settings editor does when it saves."""
    import urllib.request

    request = urllib.request.Request(
        f"{lab.url}lab/api/settings/cntk-lab:plugin", json.dumps({"raw": json.dumps(settings)}).encode(), method="PUT",
        headers={"Authorization": f"token {lab.token}", "Content-Type": "application/json"},
    )  # fmt: skip
    urllib.request.urlopen(request, timeout=20).close()


@pytest.fixture
def put_back(lab):
    yield
    change(lab, {})


def test_settings_are_known_and_honoured(lab, open_notebook, run_cell, put_back, screenshot):
    known = lab.ask("lab/api/settings/cntk-lab:plugin")
    assert set(known["schema"]["properties"]) == {"graph", "monitor", "sidebar"}
    chosen = {
        "graph": {"maximumVisibleNodes": 20, "direction": "right", "shapes": False, "inspector": False, "height": 300},
        "monitor": {"smoothing": 0.5, "logarithmic": True, "refreshRate": 1},
        "sidebar": {"side": "right"},
    }
    change(lab, chosen)
    many = "f = x\nfor i in range(8): f = C.relu(f * 2, name=f'r{i}')\nlab.show(f)"
    page = open_notebook("set.ipynb", [MODEL, "lab.show(z)", TRAIN + "\nrun", many])
    page.locator(".jp-mod-right .lm-TabBar-tab[data-id='cntk-lab-sidebar']").wait_for()
    run_cell(page, 0)
    run_cell(page, 1)
    view = page.locator(".cntk-lab[data-ready]").first
    view.locator(".cntk-node").first.wait_for(timeout=60_000)
    assert page.locator(".cntk-lab .cntk-side").first.is_hidden()
    assert page.locator(".cntk-lab .cntk-body").first.bounding_box()["height"] == pytest.approx(300, abs=2)
    assert "".join(page.locator(".cntk-lab .cntk-edge text").all_text_contents()) == ""
    x_of = "e => e.getBoundingClientRect().x"
    assert view.locator(".cntk-node.input").evaluate(x_of) < view.locator(".cntk-node.block").last.evaluate(x_of)
    screenshot(page, "settings-right")
    run_cell(page, 2)
    monitor = page.locator(".cntk-monitor")
    monitor.wait_for()
    assert page.get_by_label("Smoothing of the curves").input_value() == "0.5"
    assert page.get_by_label("Logarithmic scale").is_checked()
    drawings = "async () => { const at = () => Number(document.querySelector('.cntk-monitor').dataset.drawn);"
    drawings += " const before = at(); await new Promise(r => setTimeout(r, 3000)); return at() - before; }"
    assert 1 <= page.evaluate(drawings) <= 4
    monitor.get_by_role("button", name="Stop", exact=True).click()
    assert page.errors == []
