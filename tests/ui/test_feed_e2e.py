"""A sample that goes through the graph view, and a run that paints on it, in a real JupyterLab and a real browser."""

from __future__ import annotations

import pytest

from tests.ui.pages import still

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("browser"), pytest.mark.timeout(240)]

START = """
import numpy as np
import cntk_lab as C
from cntk_lab import lab
from cntk_lab.layers import LSTM, Dense, Recurrence, Sequential
from cntk_lab.learners import sgd, learning_parameter_schedule
"""
SEQUENCE = """
x = C.sequence.input_variable(4, name="x")
model = Sequential([Recurrence(LSTM(3)), C.sequence.last, Dense(2, activation=C.relu)])(x)
view = lab.show(model)
view"""
RUN = """
x, y = C.input_variable(4, name="x"), C.input_variable(1, name="y")
z = Sequential([Dense(6, activation=C.relu), Dense(1)])(x)
rng = np.random.default_rng(0)
X = rng.normal(size=(2000, 4)).astype(np.float32)
criterion = (C.squared_error(z, y), None)
learner = sgd(z.parameters, learning_parameter_schedule(0.001, 0))
run = lab.train(criterion, {x: X, y: X[:, :1]}, learner, max_epochs=100000)
view = lab.show(z).follow(run)
view"""


@pytest.fixture
def shown(two_cells):
    """shown(name, *cells) -> page with the view that cell 1 made; cells after it wait."""
    return lambda name, *cells: two_cells(name, [START, *cells], ".cntk-lab[data-ready] .cntk-node")


def test_a_sample_is_fed_and_followed_by_keyboard(shown, run_cell, screenshot):
    page = shown("feed.ipynb", SEQUENCE, "view.feed(np.full((7, 4), 2.0)); print('fed')")
    page.get_by_role("button", name="Let a sample go through the graph").click()
    bar = page.locator(".cntk-feed")
    bar.locator("[role=status]", has_text="Random numbers are fed").wait_for()
    page.locator(".cntk-node").first.focus()
    page.keyboard.press("n")
    page.locator(".cntk-feed[data-number='1'][data-frame='0']").wait_for()
    page.keyboard.press(".")
    page.keyboard.press(".")
    page.locator(".cntk-feed[data-frame='2']").wait_for()
    page.keyboard.press("p")
    page.locator(".cntk-feed[data-number='0'][data-frame='2']").wait_for()
    page.locator(".cntk-inspector h4", has_text="value, frame 3 of 5").wait_for()
    page.locator(".cntk-legend", has_text="sample").wait_for()
    run_cell(page, 2)
    bar.get_by_text("frame 1 of 7").wait_for()
    page.locator(".cntk-inspector dd", has_text="2 … 2").wait_for()
    page.get_by_role("button", name="Next node").click()
    page.locator(".cntk-feed[data-number='1']").wait_for()
    still(page)
    screenshot(page, "graph-fed")
    page.get_by_role("button", name="Take the sample away").click()
    bar.wait_for(state="hidden")
    assert page.errors == []


def test_zoom_goes_by_keyboard(shown):
    page = shown("zoom.ipynb", SEQUENCE)
    page.locator(".cntk-node").first.focus()
    place = "document.querySelector('.cntk-canvas svg > g').getAttribute('transform')"
    scale = f"() => Number(/scale\\(([^)]+)/.exec({place})[1])"
    before = page.evaluate(scale)
    page.keyboard.press("+")
    larger = page.evaluate(scale)
    page.keyboard.press("-")
    page.keyboard.press("-")
    smaller = page.evaluate(scale)
    page.keyboard.press("0")
    assert (larger / before, smaller / before) == (pytest.approx(1.25, rel=1e-2), pytest.approx(0.8, rel=1e-2))
    assert page.evaluate(scale) == pytest.approx(before, rel=1e-3)


def test_a_followed_run_repaints_without_a_new_layout(shown, run_cell, screenshot):
    page = shown("follow.ipynb", RUN, "run.stop(); run.wait(20); print('stopped', sorted(view.overlays))")
    chooser = page.get_by_label("Values painted on the nodes")
    chooser.locator("option", has_text="activation").wait_for(state="attached")
    assert {"paint: time", "paint: gradient", "paint: dead units"} <= set(chooser.locator("option").all_text_contents())
    chooser.select_option(label="paint: time")
    page.locator(".cntk-legend", has_text="ms").wait_for()
    drawn = page.locator(".cntk-lab[data-ready]").get_attribute("data-ready")
    value = page.locator(".cntk-node.painted .value").first
    before = value.text_content()
    page.wait_for_function(
        "words => document.querySelector('.cntk-node.painted .value').textContent !== words", arg=before
    )
    assert page.locator(".cntk-lab[data-ready]").get_attribute("data-ready") == drawn
    screenshot(page, "graph-followed")
    run_cell(page, 2)
    page.locator(".jp-OutputArea-output", has_text="stopped").wait_for()
    assert page.errors == []
