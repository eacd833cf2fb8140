"""Model files open from the file browser as graphs, without a kernel, in a real JupyterLab and a real browser."""

from __future__ import annotations

import json
from pathlib import Path

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
    lab.shutdown_kernels()
    opened(lab, page, f"tagger.{suffix}")
    page.locator(".cntk-lab-document .cntk-node", has_text="LSTM").wait_for(timeout=60_000)
    assert page.locator(".cntk-lab-document .cntk-node.input .title").text_content().startswith("<img src=x")
    assert page.evaluate("globalThis.pwned === undefined && !document.querySelector('.cntk-lab img')")
    page.locator(".cntk-node", has_text="LSTM").click()
    page.locator(".cntk-inspector h3", has_text="LSTM").wait_for()
    screenshot(page, "document")
    assert lab.ask("api/kernels") == []
    assert page.errors == []


def test_an_onnx_file_shows_its_graph_and_what_its_parameters_look_like(lab, page, screenshot):
    content = (Path(__file__).parents[1] / "golden" / "onnx" / "residual.onnx").read_bytes()
    (lab.root / "residual.onnx").write_bytes(content)
    opened(lab, page, "residual.onnx")
    page.locator(".cntk-lab-document .cntk-node", has_text="layers").first.wait_for(timeout=60_000)
    page.locator(".cntk-lab-document .cntk-node", has_text="Conv").first.click()
    page.locator(".cntk-inspector .histogram").first.wait_for()
    assert "stem.weight" in page.locator(".cntk-inspector").text_content()
    screenshot(page, "document_onnx")
    assert lab.ask("api/kernels") == []
    assert page.errors == []


def test_a_damaged_file_is_told_in_words(lab, page):
    (lab.root / "broken.model").write_bytes(b"\x08\x01\x12" + b"<script>globalThis.pwned=1</script>" * 50)
    opened(lab, page, "broken.model")
    words = page.locator(".cntk-model-words", has_text="broken.model: ")
    words.wait_for(timeout=60_000)
    assert page.evaluate("globalThis.pwned === undefined")
    assert page.errors == []


def graph_file(lab, name, nodes):
    """A graph file whose nodes are given as JSON texts."""
    head = '{"format": "cntk-lab-graph", "version": 1, "name": "hostile", "edges": [], "outputs": [], "nodes": ['
    (lab.root / name).write_text(head + ",".join(nodes) + "]}")


def node_text(uid, **more):
    return json.dumps(
        {"id": uid, "op": "Plus", "name": "", "kind": "function", "shape": [], "axes": [], "dtype": "float32",
         "parent": None, "parameters": 0, "attributes": {}, **more}
    )  # fmt: skip


def longest_pause(page):
    """Longest time in which the tab did nothing else, in ms."""
    return page.evaluate("globalThis.longest ?? 0")


WATCH = """() => { let before = performance.now(); globalThis.longest = 0;
    setInterval(() => {
        const now = performance.now();
        globalThis.longest = Math.max(globalThis.longest, now - before - 50);
        before = now; }, 50); }"""


def test_a_million_nodes_and_ten_megabytes_of_a_name_do_not_hang_the_tab(lab, page, capsys):
    graph_file(lab, "long.cntkgraph.json", [node_text("a", name="x" * 10_000_000, op=ATTACK), node_text("b")])
    one = node_text("@")
    graph_file(lab, "million.cntkgraph.json", (one.replace("@", str(i)) for i in range(1_000_000)))
    pauses = {}
    for name, seen in (("long", ".cntk-node"), ("million", ".cntk-message.wrong")):
        page.goto(f"{lab.url}lab/workspaces/e2e-hostile-{name}?token={lab.token}&reset")
        page.wait_for_selector(".jp-DirListing-item", timeout=60_000)
        page.evaluate(WATCH)
        page.locator(".jp-DirListing-item", has_text=f"{name}.cntkgraph.json").dblclick()
        page.locator(seen).first.wait_for(timeout=120_000)
        page.wait_for_timeout(200)
        pauses[name] = longest_pause(page)
    with capsys.disabled():
        print(
            f"\nlongest pause of the tab: {pauses['long']:.0f} ms (10 MB name), {pauses['million']:.0f} ms (1e6 nodes)"
        )
    assert "1,000,000 nodes, more than a viewer takes" in page.locator(".cntk-message.wrong").text_content()
    assert page.evaluate("globalThis.pwned === undefined")
    assert max(pauses.values()) < 10_000
    assert page.errors == []
