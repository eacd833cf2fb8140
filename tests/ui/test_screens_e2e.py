"""What a newcomer sees of a model first: readable, nothing on top of anything, the first input in sight."""

from __future__ import annotations

import pytest

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
    assert page.errors == []
