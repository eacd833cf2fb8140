"""What a notebook keeps of a widget: its own state, in bounds, and as it is now."""

import asyncio
import json

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab import lab
from cntk_lab.widgets import _saved

KINDS = ["show", "compose", "train", "preview"]


def network():
    x = C.input_variable(4, name="x")
    return C.layers.Sequential([C.layers.Dense(5, activation=C.relu, name="hidden"), C.layers.Dense(3, name="out")])(x)


def widget(kind):
    z = network()
    if kind == "show":
        return lab.show(z)
    if kind == "compose":
        return lab.compose(z)
    data = {"x": np.ones((40, 4), np.float32)}
    if kind == "preview":
        return lab.preview(data, minibatch_size=8)
    run = lab.train(C.reduce_sum(C.square(z)), data, C.sgd(z.parameters, 0.001))
    run.wait(60)
    return run


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_widgets_own_state_is_kept_as_plain_json(kind):
    shown = widget(kind)
    kept = shown.saved_view()
    assert json.loads(json.dumps(kept)) == kept
    assert kept["state"]
    assert not [name for name in kept["state"] if name.startswith("_")]
    assert not {"layout", "comm", "tabbable", "tooltip"} & kept["state"].keys()
    shown.close()


def test_a_view_that_is_too_long_is_left_to_its_picture():
    long = _saved.view("graphView", {"graph": "x" * _saved.MOST_BYTES}, [], [])
    assert long == {"version": 1, "view": "graphView", "state": None, "told": [], "pages": []}


def test_the_oldest_pages_go_first_where_room_ends():
    pages = [{"number": n, "pixels": np.full(70_000, n, np.uint8)} for n in range(6)]
    kept = _saved.view("preview", {}, [], pages)
    assert [page["number"] for page in kept["pages"]] == [2, 3, 4, 5]
    assert _saved.length(kept) <= _saved.MOST_BYTES


def test_a_page_of_large_pictures_keeps_the_first_and_says_how_many_more():
    rng = np.random.default_rng(0)
    shown = lab.preview({"image": rng.integers(0, 255, (64, 3, 224, 224)).astype(np.float32)}, minibatch_size=64)
    content = shown.saved_view()["state"]["content"]
    assert 1 <= len(content["items"]) < len(shown.content["items"])
    assert len(content["items"]) + content["more"] == len(shown.content["items"]) + shown.content["more"]
    assert len(shown.static_forms()["image/svg+xml"]) < 600_000
    shown.close()


# ---- what is kept follows the widget


@pytest.fixture
def notebook(monkeypatch):
    """show(widget, changes) -> the outputs that the notebook keeps: that of showing, and those that replace it."""
    kept = []

    class Handle:
        display_id = "one"

    def display(data, **_named):
        kept.append(data)
        return Handle()

    monkeypatch.setattr("IPython.display.display", display)
    monkeypatch.setattr("IPython.display.update_display", lambda data, **_named: kept.append(data))

    def show(shown, *changes):
        async def cells():
            shown.saved_seconds = 0.0
            shown._cost = 0.0
            shown._ipython_display_()
            for change in changes:
                change()
                for _ in range(3):
                    await asyncio.sleep(0)
                await asyncio.sleep(0.01)
                shown._cost = 0.0

        asyncio.run(cells())
        return kept

    return show


def test_an_edited_composer_is_kept_as_it_is_now(notebook):
    composer = widget("compose")

    def edit():
        composer.code = composer.code.replace("relu", "tanh")

    first, last = notebook(composer, edit)
    assert "relu" in first["text/plain"]
    assert "tanh" in last["text/plain"]
    assert "tanh" in last[_saved.MIME]["state"]["source"]


def test_opened_blocks_painted_numbers_and_turned_pages_are_kept(notebook):
    view = widget("show")
    block = next(n["id"] for n in view.graph["nodes"] if n["name"] == "hidden")
    uid = view.graph["nodes"][0]["id"]
    kept = notebook(view, lambda: view.expand(block), lambda: view.paint("time", {uid: 2.0}))
    assert block in kept[1][_saved.MIME]["state"]["opened"]
    assert kept[2][_saved.MIME]["state"]["overlays"]["time"]["values"] == {uid: 2.0}
    kept.clear()
    preview = widget("preview")
    assert notebook(preview, preview.next)[-1][_saved.MIME]["state"]["content"]["number"] == 1


def test_many_changes_of_a_cell_are_kept_once(notebook):
    composer = widget("compose")

    def edits():
        for name in ("tanh", "sigmoid", "relu", "softplus"):
            composer.code = composer.code.replace(composer.code.split("activation=")[1].split(",")[0], f"C.{name}")

    kept = notebook(composer, edits)
    assert len(kept) == 2
    assert "softplus" in kept[-1]["text/plain"]


def test_a_closed_widget_is_left_as_it_was(notebook):
    composer = widget("compose")

    def close():
        composer.code = composer.code.replace("relu", "tanh")
        composer.close()

    assert len(notebook(composer, close)) == 1


def test_a_view_that_takes_long_to_draw_is_drawn_seldom(notebook, monkeypatch):
    view = widget("show")
    block = next(n["id"] for n in view.graph["nodes"] if n["name"] == "hidden")
    waits = []

    async def cell():
        view._ipython_display_()
        view._cost = 0.5
        monkeypatch.setattr(view._loop, "call_soon_threadsafe", lambda _later, wait, _do: waits.append(wait))
        view.expand(block)

    asyncio.run(cell())
    assert waits == [25.0]
