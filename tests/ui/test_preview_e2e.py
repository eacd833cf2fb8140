"""The reader preview in a real JupyterLab and a real browser."""

from __future__ import annotations

import pytest

from tests.ui.conftest import IDLE, READY
from tests.ui.pages import complaints, in_both_themes, needs_axe, printed, saved_output

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("browser"), pytest.mark.timeout(240)]

START = """
import os, time, tracemalloc
import numpy as np
import cntk_lab as C
from cntk_lab import lab
from cntk_lab.io import *
rng = np.random.default_rng(0)
"""
IMAGES = """
from PIL import Image
for i in range(30):
    y, x = np.mgrid[0:48, 0:64]
    kind = i % 3
    picture = np.stack([127 + 120 * np.sin(x / (4 + i)), 127 + 120 * np.cos(y / (5 + kind)), 60 + 3 * y], axis=2)
    Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(f"{i}.png")
open("map.txt", "w").write("".join(f"{i}.png\\t{i % 3}\\n" for i in range(30)))
t = transforms
steps = [t.crop("randomside", side_ratio=(0.5, 0.9), jitter_type="uniratio"), t.scale(32, 32, 3), t.color(0.2, 0.2)]
streams = StreamDefs(image=StreamDef(field="image", transforms=steps), kind=StreamDef(field="label", shape=3))
source = MinibatchSource(ImageDeserializer("map.txt", streams))
preview = lab.preview(source, vocabularies={"kind": ["wave", "stripe", "<i>plaid</i>"]}, minibatch_size=12)
preview"""
WORDS = """
words = ["the", "cat", "sat", "on", "<b>mat</b>", "and", "slept", "<script>alert(1)</script>", "."]
with open("words.ctf", "w") as file:
    for i in range(400):
        for k in range(1 + i * 7 % 11):
            bad = "oh:no" if (i, k) == (3, 0) else f"{(i + k * k) % 9}:1"
            bag = f"|bag {i % 50}:1 {(i * 3) % 50 + 50}:{k + 1}.5" if k == 0 else ""
            file.write(f"{i} |word {bad} |pitch {' '.join(f'{np.sin(i + k + j):.3f}' for j in range(24))} {bag}\\n")
streams = StreamDefs(word=StreamDef(field="word", shape=9, is_sparse=True), pitch=StreamDef(field="pitch", shape=24),
                     bag=StreamDef(field="bag", shape=100, is_sparse=True))
source = MinibatchSource(CTFDeserializer("words.ctf", streams), max_errors=5)
x = C.sequence.input_variable(9, is_sparse=True, name="word")
p = C.input_variable(20, name="pitch")
model = C.combine([x * 1.0, p * 1.0])
preview = lab.preview(source, model, vocabularies={"word": words}, minibatch_size=40)
preview"""
MILLION = """
block = "".join(f"|x {i % 7} {i % 5} 1 |y {i % 10}:1\\n" for i in range(10_000))
with open("million.ctf", "w") as file:
    for _ in range(100):
        file.write(block)
streams = StreamDefs(x=StreamDef(field="x", shape=3), y=StreamDef(field="y", shape=10, is_sparse=True))
source = MinibatchSource(CTFDeserializer("million.ctf", streams))
lab.preview({"x": np.ones((4, 3)), "y": np.eye(4)})._repr_mimebundle_()
print("ready")"""


@pytest.fixture
def shown(two_cells):
    """shown(name, *cells) -> page with the preview that cell 1 made; cells after it wait."""
    return lambda name, *cells: two_cells(name, [START, *cells], ".cntk-preview[data-number='0']")


def number(page, value):
    page.locator(f".cntk-preview[data-number='{value}']").wait_for()


def test_images_stand_in_a_grid_and_show_each_transform(shown, screenshot):
    page = shown("images.ipynb", IMAGES)
    preview = page.locator(".cntk-preview")
    assert preview.locator(".cntk-samples.grid > li").count() == 12
    preview.locator(".cntk-figures").wait_for()
    assert preview.get_by_text("Lengths").count() == 0
    # colours of the canvas are those of the picture, not mirrored red and blue
    pixel = page.evaluate("""() => { const c = document.querySelector('.cntk-samples canvas');
        return [...c.getContext('2d').getImageData(0, 0, 1, 1).data]; }""")
    assert pixel[3] == 255
    assert len(set(pixel[:3])) > 1
    preview.locator("button.picture").nth(2).click()
    steps = preview.locator(".cntk-steps li")
    steps.nth(3).wait_for()
    assert steps.locator("b").all_text_contents() == ["image", "crop", "scale", "color"]
    assert "pixels from column" in steps.nth(1).text_content()
    assert "contrast x" in steps.nth(3).text_content()
    large = preview.locator(".cntk-large")
    box = large.locator("canvas").bounding_box()
    assert (round(box["width"]), round(box["height"])) == (420, 420)  # as wide as high
    large.locator(".cntk-zoomed").press("ArrowRight")
    large.locator("output", has_text="row 0, column 1: ").wait_for()
    large.get_by_role("button", name="Larger").click()
    assert round(large.locator("canvas").bounding_box()["width"]) == 840
    preview.locator(".cntk-classes", has_text="<i>plaid</i>").wait_for()
    steps.nth(3).scroll_into_view_if_needed()
    screenshot(page, "preview-images")
    preview.get_by_role("button", name="Next").click()
    number(page, 1)
    assert page.errors == []


def test_sequences_show_tokens_heat_maps_sparse_rows_bad_places_and_a_misfit(shown, screenshot):
    page = shown("words.ipynb", WORDS)
    preview = page.locator(".cntk-preview")
    preview.locator(".cntk-token", has_text="<b>mat</b>").first.wait_for()
    assert preview.locator("b:text-is('mat')").count() == 0
    assert preview.locator("dd.heat canvas").count() > 3
    assert preview.locator("dd.sparse .cntk-token").count() > 3
    preview.locator("dd.heat button.picture").first.click()
    preview.locator(".cntk-large .cntk-zoomed").press("ArrowDown")
    preview.locator(".cntk-large output", has_text="frame 0, number 1: about ").wait_for()
    preview.locator(".cntk-large .cntk-zoomed").press("Escape")
    assert preview.locator(".cntk-large").is_hidden()
    joint = preview.locator(".cntk-joint.wrong")
    assert joint.text_content() == "24 arrives, 20 expected"
    assert "declare the input with shape (24,)" in preview.locator(".cntk-fix").text_content()
    preview.get_by_text("Padding would waste").wait_for()
    assert "Padding would waste 0 %" not in preview.locator(".cntk-waste").text_content()
    for _ in range(60):
        if preview.locator(".cntk-defects li").count():
            break
        before = int(preview.get_attribute("data-number"))
        preview.get_by_role("button", name="Next").click()
        number(page, before + 1)
    assert "words.ctf:" in preview.locator(".cntk-defects pre").first.text_content()
    preview.locator(".cntk-samples").scroll_into_view_if_needed()
    screenshot(page, "preview-words")
    assert page.errors == []


def test_everything_is_done_by_keyboard(shown):
    page = shown("keys.ipynb", IMAGES)
    preview = page.locator(".cntk-preview")
    preview.locator("button.picture").first.focus()
    page.keyboard.press("ArrowRight")
    number(page, 1)
    assert page.evaluate("document.activeElement.className") == "picture"  # the focus stays
    page.keyboard.press("Enter")
    preview.locator(".cntk-steps li").first.wait_for()
    page.keyboard.press("ArrowRight")  # in the large picture, to the next pixel
    preview.locator(".cntk-large output", has_text="row 0, column 1: ").wait_for()
    page.keyboard.press("Escape")
    preview.locator(".cntk-large").wait_for(state="hidden")
    page.keyboard.press("ArrowLeft")
    number(page, 0)
    assert preview.locator(".cntk-steps").count() == 0
    page.keyboard.press("ArrowRight")
    number(page, 1)
    page.keyboard.press("Home")
    number(page, 0)
    field = preview.get_by_label("Number of the minibatch")
    field.focus()
    field.fill("3")
    page.keyboard.press("Enter")
    number(page, 3)
    size = preview.get_by_label("Samples in a minibatch")
    size.focus()
    size.fill("5")
    page.keyboard.press("Enter")
    page.locator(".cntk-preview[data-number='0'][data-sequences='5']").wait_for()
    field.focus()
    field.fill("-2")
    page.keyboard.press("Enter")
    preview.locator(".cntk-notice.wrong", has_text="is no number from 0 on").wait_for()
    assert page.errors == []


def test_a_million_samples_open_at_once_and_training_goes_on_undisturbed(open_notebook, run_cell, capsys, screenshot):
    make = """
begun = time.time()
preview = lab.preview(source)
preview"""
    order = """
tracemalloc.start()
again = lab.preview(source)
held = tracemalloc.get_traced_memory()[0]
tracemalloc.stop()
other = MinibatchSource.from_config(source._config)
pairs = [(s.next_minibatch(16)[s['x']].asarray() for s in (source, other)) for _ in range(20)]
same = all((a == b).all() for a, b in pairs)
print(same, f"{held / 1e6:.2f}")"""
    page = open_notebook("million.ipynb", [START, MILLION, make, "print(begun)", order])
    run_cell(page, 0)
    assert printed(page, 1, run_cell) == "ready"
    page.evaluate("""() => { new MutationObserver((_, me) => {
        if (!document.querySelector('.cntk-preview .cntk-token')) return;
        globalThis.seen = Date.now() / 1000;
        me.disconnect();
      }).observe(document.body, { childList: true, subtree: true, attributes: true }); }""")
    run_cell(page, 2)
    page.wait_for_function("globalThis.seen > 0")
    taken = page.evaluate("globalThis.seen") - float(printed(page, 3, run_cell))
    preview = page.locator(".cntk-preview")
    preview.get_by_role("button", name="Next").click()
    number(page, 1)
    preview.get_by_role("button", name="Training’s order").click()
    number(page, 0)
    page.locator(".cntk-page", has_text="in the order in which training sees them").wait_for()
    same, held = printed(page, 4, run_cell).split()
    with capsys.disabled():
        print(f"\n1e6 samples: seen in the browser after {1000 * taken:.0f} ms, {held} MB held by the kernel")
    screenshot(page, "preview-million")
    assert same == "True"
    assert float(held) < 12
    assert taken < 0.5
    assert page.errors == []


def test_a_saved_notebook_shows_the_page_without_a_kernel(shown, lab):
    page = shown("saved-preview.ipynb", WORDS)
    data = saved_output(page, lab.root / "saved-preview.ipynb", 1, "minibatch 0: ")
    assert data["text/plain"].startswith("minibatch 0: ")
    picture = data["image/svg+xml"]
    assert "&lt;b&gt;mat" in picture
    assert "<script" not in picture
    assert "24 arrives, 20 expected" in picture


@needs_axe
def test_axe_finds_nothing_and_dark_is_drawn(shown, screenshot):
    page = shown("axe-preview.ipynb", WORDS)
    page.locator(".cntk-waste").wait_for()
    for theme in in_both_themes(page):
        assert complaints(page) == []
        screenshot(page, f"preview-{theme}")


def test_the_launcher_opens_a_notebook_with_a_preview(lab, page, run_cell):
    page.goto(f"{lab.url}lab/workspaces/e2e-launch-preview?token={lab.token}&reset")
    page.wait_for_selector(".jp-Launcher", timeout=60_000)
    page.locator(".jp-LauncherCard[title*='looks at the minibatches']").click()
    page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
    page.evaluate(READY)
    page.wait_for_function(IDLE)
    page.evaluate("() => { jupyterapp.commands.execute('notebook:run-all-cells'); }")
    page.locator(".cntk-preview svg.curve").first.wait_for(timeout=60_000)
    page.locator(".cntk-token", has_text="middle").first.wait_for()
    assert page.errors == []
    lab.shutdown_kernels()
