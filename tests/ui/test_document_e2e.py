"""Model files open from the file browser as graphs, without a kernel, in a real JupyterLab and a real browser."""

from __future__ import annotations

import pytest

import cntk_lab as C
from cntk_lab.layers import LSTM, Dense, Recurrence, Sequential

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("browser"), pytest.mark.timeout(240)]

ATTACK = '<img src=x onerror="globalThis.pwned=1">'


def opened(lab, page, name):
    page.goto(f"{lab.url}lab/workspaces/e2e-{name.replace('.', '-')}?token={lab.token}&reset")
    page.wait_for_selector(".jp-DirListing-item", timeout=60_000)
    page.locator(".jp-DirListing-item", has_text=name).dblclick()


@pytest.mark.parametrize("suffix", ["model", "cntk", "dnn"])
def test_a_double_click_shows_the_graph_of_a_model_file(lab, page, suffix, screenshot):
    x = C.sequence.input_variable(4, name=ATTACK)
    model = Sequential([Recurrence(LSTM(3)), C.sequence.last, Dense(2, name="top")])(x)
    model.save(str(lab.root / f"tagger.{suffix}"))
    opened(lab, page, f"tagger.{suffix}")
    page.locator(".cntk-lab-document .cntk-node", has_text="LSTM").wait_for(timeout=60_000)
    assert page.locator(".cntk-lab-document .cntk-node.input .title").text_content().startswith("<img src=x")
    assert page.evaluate("globalThis.pwned === undefined && !document.querySelector('.cntk-lab img')")
    page.locator(".cntk-node", has_text="LSTM").click()
    page.locator(".cntk-inspector h3", has_text="LSTM").wait_for()
    screenshot(page, "document")
    assert lab.ask("api/kernels") == []
    assert page.errors == []


def test_a_damaged_file_is_told_in_words(lab, page):
    (lab.root / "broken.model").write_bytes(b"\x08\x01\x12" + b"<script>globalThis.pwned=1</script>" * 50)
    opened(lab, page, "broken.model")
    words = page.locator(".cntk-model-words", has_text="broken.model: ")
    words.wait_for(timeout=60_000)
    assert page.evaluate("globalThis.pwned === undefined")
    assert page.errors == []
