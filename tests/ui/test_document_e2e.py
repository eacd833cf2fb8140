"""Model files open from the file browser as graphs, without a kernel, in a real JupyterLab and a real browser."""

from __future__ import annotations

import json
import time
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
    assert not page.get_by_text("Drawing the graph").first.is_visible()
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


WATCH = """() => { let before = performance.now(); globalThis.longest = 0; globalThis.looked = 0;
    setInterval(() => {
        const now = performance.now(); globalThis.looked += 1;
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
        page.wait_for_function("n => globalThis.looked > n", arg=page.evaluate("globalThis.looked"))
        pauses[name] = longest_pause(page)
    with capsys.disabled():
        print(
            f"\nlongest pause of the tab: {pauses['long']:.0f} ms (10 MB name), {pauses['million']:.0f} ms (1e6 nodes)"
        )
    assert "1,000,000 nodes, more than a viewer takes" in page.locator(".cntk-message.wrong").text_content()
    assert page.evaluate("globalThis.pwned === undefined")
    assert max(pauses.values()) < 10_000
    assert page.errors == []


def giant(path, count):
    """A CNTK v2 model file: a chain of ``count`` sines with hostile names, written message by message."""
    from cntk_lab.formats.cntk import dictionary as files

    def wrapped(number, payload):
        return bytes([number << 3 | 2]) + length(len(payload)) + payload

    def length(size):
        out = bytearray()
        while size > 127:
            out.append(size & 127 | 128)
            size >>= 7
        return bytes([*out, size])

    def entry(key, value):
        return wrapped(2, wrapped(1, key.encode()) + wrapped(2, value))

    x = C.input_variable(1, name=ATTACK)
    C.sin(x).save(str(path))
    read = files.read(path)
    (step,) = read.pop("primitive_functions")
    read["root"] = f"Sin{count - 1:07d}"
    links = [read["inputs"][0]["uid"], *(f"Sin{i:07d}_Output_0" for i in range(2))]
    # the dictionary of one function with uids of one width: all others are that one with other digits
    first, second = (
        files.encode({"x": [step | {"uid": f"Sin{i:07d}", "inputs": [links[i]], "name": ATTACK}]}) for i in range(2)
    )

    def element(encoded):  # of the one entry's one element
        at = encoded.index(b"\x0a", encoded.index(b"\x5a"))
        return encoded[at:]

    model = bytearray(element(first))
    pattern = element(second)
    own, fed = pattern.index(b"0000001"), pattern.index(b"0000000_Output_0")
    unit = bytearray(pattern)
    for i in range(1, count):
        unit[own : own + 7] = b"%07d" % i
        unit[fed : fed + 7] = b"%07d" % (i - 1)
        model += unit
    vector = b"\x08\x02\x10\x09" + wrapped(11, bytes(model))
    path.write_bytes(files.encode(read) + entry("primitive_functions", vector))


def test_a_model_file_of_a_million_nodes_is_told_at_once_and_one_of_twenty_thousand_opens(lab, page, measured):
    giant(lab.root / "million.model", 1_000_000)
    giant(lab.root / "many.model", 20_000)
    seconds = {}
    for name, seen in (("million", ".cntk-model-words:not(:empty)"), ("many", ".cntk-node")):
        page.goto(f"{lab.url}lab/workspaces/e2e-giant-{name}?token={lab.token}&reset")
        page.wait_for_selector(".jp-DirListing-item", timeout=60_000)
        page.evaluate(WATCH)
        begun = time.perf_counter()
        page.locator(".jp-DirListing-item", has_text=f"{name}.model").dblclick()
        if name == "million":
            page.locator(".cntk-model-words", has_text="1,000,000 nodes are more than").wait_for(timeout=60_000)
        page.locator(seen).first.wait_for(timeout=60_000)
        seconds[name] = (time.perf_counter() - begun, longest_pause(page))
    measured(
        "model files of 1,000,000 and 20,000 nodes",
        {n: {"seconds": round(took, 1), "longest pause (ms)": round(ms)} for n, (took, ms) in seconds.items()},
    )
    assert page.locator(".cntk-node").count() <= 300
    assert page.evaluate("globalThis.pwned === undefined && !document.querySelector('.cntk-lab img')")
    assert max(pause for _, pause in seconds.values()) < 5000
    assert page.errors == []
