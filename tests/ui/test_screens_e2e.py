"""What a newcomer sees of a model first: readable, nothing on top of anything, the first input in sight."""

from __future__ import annotations

import pytest

from tests.ui.pages import complaints, needs_axe
from tests.ui.screens import MEASURE, misses, show, state_of

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("browser"), pytest.mark.timeout(180)]


@pytest.fixture
def drawn(page, tmp_path):
    """drawn(name, width) -> the page with a model of that name in a pane of that width."""

    def go(name, width, **how):
        page.set_viewport_size({"width": width, "height": 640})
        show(page, state_of(name, tmp_path, **how))
        return page

    yield go
    page.set_viewport_size({"width": 1280, "height": 900})


@pytest.mark.parametrize("name", ["resnet-50", "seq2seq", "densenet"])
def test_a_model_is_readable_at_first_sight(drawn, name):
    for width in (900, 1400):
        found = drawn(name, width).evaluate(MEASURE)
        assert misses(found) == []
        assert found["nodes"] <= 80


def test_a_difference_is_readable_at_first_sight(drawn):
    page = drawn("resnet-20", 900, changed=True)
    assert misses(page.evaluate(MEASURE)) == []
    assert page.locator(".cntk-node.group .title", has_text="unchanged").count() == 2


def test_another_size_of_the_pane_shows_the_beginning_again_until_the_user_has_moved(drawn):
    page = drawn("convnet", 1400)
    place = "document.querySelector('.cntk-canvas svg > g').getAttribute('transform')"
    wide = page.evaluate(place)
    page.set_viewport_size({"width": 700, "height": 640})
    page.wait_for_function(f"before => {place} !== before", arg=wide)
    assert misses(page.evaluate(MEASURE)) == []
    page.get_by_label("Height of the graph").focus()
    for _ in range(5):
        page.keyboard.press("ArrowDown")
    page.wait_for_function("document.querySelector('.cntk-canvas').clientHeight > 600")
    page.get_by_label("Show all").click()
    small = page.evaluate(place)
    page.set_viewport_size({"width": 1000, "height": 640})
    page.wait_for_function("document.querySelector('.cntk-canvas').clientWidth > 700")
    assert page.evaluate(place) == small
    page.get_by_label("As large as the page (1)").click()
    assert "scale(1.0000)" in page.evaluate(place)
    page.get_by_label("Full screen").click()
    page.wait_for_function("document.fullscreenElement?.classList.contains('cntk-lab')")
    page.wait_for_function("document.querySelector('.cntk-canvas').clientHeight > 0.7 * innerHeight")
    page.get_by_label("Full screen").click()
    page.wait_for_function("document.fullscreenElement === null")
    assert page.errors == []


def test_a_layer_says_what_it_is_in_one_click_and_so_does_an_edge(drawn):
    page = drawn("convnet", 1000)
    page.locator(".cntk-node", has_text="conv1a").click(position={"x": 30, "y": 12})
    inspector = page.locator(".cntk-inspector")
    inspector.locator("h3", has_text="Convolution").wait_for()
    keys, values = inspector.locator("dt").all_text_contents(), inspector.locator("dd").all_text_contents()
    words = dict(zip(keys, values, strict=True))
    assert {"kernel": "3 × 3", "filters": "32", "stride": "1", "pad": "same size"}.items() <= words.items()
    assert words["activation"] == "ReLU"
    assert words["output shape"] == "32 × 28 × 28"
    assert words["parameters"] == "320"
    assert words["FLOPs"] == "502 k a sample"
    assert words["made at"].startswith("ten_models.py:")
    inspector.locator("summary").click()
    inspector.locator("details code", has_text="Convolution(filter_shape").wait_for()
    page.locator(".cntk-node", has_text="conv1a").dblclick(position={"x": 30, "y": 12})
    page.locator(".cntk-node.function", has_text="Convolution").first.click()
    # no value is squeezed into a column of single letters
    heights = inspector.locator("dd").evaluate_all("all => all.map(e => e.clientHeight / e.textContent.length)")
    assert max(heights) < 20
    page.locator(".cntk-edge .reach").nth(2).dispatch_event("click")
    inspector.locator("h3", has_text="Edge").wait_for()
    assert inspector.locator("li button").count() == 2
    inspector.locator("li button").first.click()
    page.locator(".cntk-node.selected").wait_for()
    page.locator(".cntk-node.selected").hover(position={"x": 12, "y": 10})
    page.locator(".cntk-tip", has_text="gives").wait_for()
    assert page.errors == []


def test_painted_values_lie_on_no_words(drawn):
    page = drawn("resnet-50", 1400)
    page.get_by_label("Values painted on the nodes").select_option("parameters")
    page.locator(".cntk-node.painted .value").first.wait_for()
    assert misses(page.evaluate(MEASURE)) == []


@needs_axe
def test_axe_finds_nothing_to_complain_about(drawn):
    for dark in (False, True):
        page = drawn("resnet-20", 1000, changed=True)
        page.evaluate("dark => { document.body.dataset.jpThemeLight = String(!dark); }", dark)
        page.locator(".cntk-node", has_text="Dropout").click(position={"x": 20, "y": 8})
        # words on a card are cut to its width: the label has them whole
        how = "{rules: {'label-content-name-mismatch': {enabled: false}}}"
        assert complaints(page, options=how) == []
