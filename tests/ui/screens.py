"""Pictures of the ten models as a newcomer sees them, and what can be measured of them.

    python -m tests.ui.screens FOLDER [MODEL ...]

writes each model at 900 and 1,400 pixels, light and dark (and the comparisons), and prints for each what ``MEASURE``
found: the smallest text in pixels, labels that overlap, whether the first input is in sight. Ends with 1 if one of them
misses ``BARS``. No JupyterLab is needed: the page is the widget's own bundle on a model that only holds its state.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from cntk_lab.widgets import of_file
from tests.ui.conftest import CHROME_ARGUMENTS, CHROMIUM
from tests.ui.ten_models import CHANGED, MODELS

WIDTHS: Final = (900, 1400)
SMALLEST: Final = 9.0
"""Pixels of the smallest text."""
STATIC: Final = Path(__file__).resolve().parents[2] / "cntk_lab" / "widgets" / "static"

PAGE = """<!doctype html><meta charset="utf-8"><title>graph</title>
<style>body { margin: 8px; background: #fff; --jp-ui-font-family: system-ui, sans-serif; }
body[data-jp-theme-light="false"] { background: #111; --jp-layout-color1: #111; }</style>
<body data-jp-theme-light="%s"><div id="here"></div>
<script type="module">
import widget from './graphView.js';
const state = await (await fetch('./state.json')).json();
const listeners = {};
const model = { get: key => state[key], set: (key, value) => { state[key] = value; }, save_changes() {}, send() {},
  on(event, act) { listeners[event] = act; }, off() {} };
globalThis.put = (key, value) => { state[key] = value; listeners[`change:${key}`]?.(); };
await widget.render({ model, el: document.getElementById('here') });
</script>"""

MEASURE = """() => {
  const canvas = document.querySelector('.cntk-canvas').getBoundingClientRect();
  const seen = box => box.width > 0 && box.right > canvas.left && box.left < canvas.right
    && box.bottom > canvas.top && box.top < canvas.bottom;
  const texts = [...document.querySelectorAll('.cntk-canvas svg text')]
    .filter(text => text.textContent.trim() && getComputedStyle(text).display !== 'none')
    .map(text => ({ words: text.textContent, box: text.getBoundingClientRect(), owner: text.parentNode,
      size: parseFloat(getComputedStyle(text).fontSize) * text.getScreenCTM().a }))
    .filter(text => seen(text.box));
  const shared = (a, b, low, high) => Math.min(a[high], b[high]) - Math.max(a[low], b[low]);
  const meet = (a, b) => shared(a, b, 'left', 'right') > 1.5 && shared(a, b, 'top', 'bottom') > 2.5;
  const overlaps = [];
  texts.forEach((a, i) => texts.slice(i + 1).forEach(b => {
    if (meet(a.box, b.box)) overlaps.push([a.words, b.words]);
  }));
  // words beside an edge lie on no closed card
  const cards = [...document.querySelectorAll('.cntk-node:not(.open) > .card')].map(c => c.getBoundingClientRect());
  for (const text of texts) if (text.owner.classList.contains('cntk-edge'))
    for (const card of cards) if (meet(text.box, card)) overlaps.push([text.words, 'a card']);
  const first = '.cntk-node.input > .card, .cntk-node.placeholder > .card';
  const input = document.querySelector(first)?.getBoundingClientRect();
  const whole = box => box.left >= canvas.left - 1 && box.right <= canvas.right + 1
    && box.top >= canvas.top - 1 && box.bottom <= canvas.bottom + 1;
  return { smallest: Math.min(...texts.map(text => text.size), 99), overlaps, input: input ? whole(input) : null,
    texts: texts.length, nodes: document.querySelectorAll('.cntk-node').length,
    milliseconds: Number(document.querySelector('.cntk-lab').dataset.milliseconds) };
}"""


def misses(found: dict[str, Any]) -> list[str]:
    """What of a measurement is not good enough, in words."""
    wrong = [f"{a!r} lies on {b!r}" for a, b in found["overlaps"]]
    if found["smallest"] < SMALLEST:
        wrong.append(f"the smallest text has {found['smallest']:.1f} px")
    if found["input"] is False:
        wrong.append("the first input is out of sight")
    return wrong + (["nothing is drawn"] if not found["texts"] else [])


def state_of(name: str, folder: Path, *, changed: bool = False) -> dict[str, Any]:
    """What the widget of a model holds; ``changed``: that of its comparison with the second one."""
    first = MODELS[name](folder)
    view = of_file.view_of(first, CHANGED[name](folder)) if changed else of_file.view_of(first)
    keys = ("graph", "overlays", "opened", "selected", "live", "fed", "feeds")
    return {key: getattr(view, key) for key in keys} | {"live": False, "feeds": True}


def show(page: Any, state: dict[str, Any], *, dark: bool = False) -> None:
    """Draw a widget's state on a page of its own."""
    page.unroute_all()
    kinds = {".js": "text/javascript", ".json": "application/json", ".html": "text/html"}

    def answer(route: Any) -> None:
        name = route.request.url.rsplit("/", 1)[1]
        made = {"state.json": lambda: json.dumps(state), "page.html": lambda: PAGE % ("false" if dark else "true")}
        if name not in made and not (STATIC / name).is_file():
            route.fulfill(status=404)
            return
        body = made[name]() if name in made else (STATIC / name).read_text("utf-8")
        route.fulfill(body=body, content_type=kinds[Path(name).suffix])

    page.route("http://graph.test/*", answer)
    page.goto("http://graph.test/page.html")
    page.locator(".cntk-lab[data-ready]").wait_for()


@contextmanager
def browser() -> Iterator[Any]:
    """A page of a browser of its own."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as p, tempfile.TemporaryDirectory() as home:
        context = p.chromium.launch_persistent_context(
            home, executable_path=CHROMIUM, headless=True, args=CHROME_ARGUMENTS
        )
        yield context.new_page()
        context.close()


def main(folder: Path, names: list[str]) -> int:
    """Write the pictures; how many miss the bars."""
    folder.mkdir(parents=True, exist_ok=True)
    wrong = 0
    wanted = names or [*MODELS, *(f"{name}+" for name in CHANGED)]
    with browser() as page, tempfile.TemporaryDirectory() as made:
        for name in wanted:
            state = state_of(name.rstrip("+"), Path(made), changed=name.endswith("+"))
            for width in WIDTHS:
                for dark in (False, True):
                    page.set_viewport_size({"width": width, "height": 640})
                    show(page, state, dark=dark)
                    found = page.evaluate(MEASURE)
                    shot = f"{name.replace('+', '-changed')}-{width}-{'dark' if dark else 'light'}.png"
                    page.screenshot(path=str(folder / shot))
                    missed = misses(found)
                    wrong += bool(missed)
                    said = f"{found['nodes']} nodes, {found['milliseconds']:.0f} ms, text >= {found['smallest']:.1f} px"
                    print(f"{shot}: {said}{''.join(f'{chr(10)}    {m}' for m in missed[:8])}", flush=True)
    return wrong


if __name__ == "__main__":
    sys.exit(1 if main(Path(sys.argv[1]), sys.argv[2:]) else 0)
