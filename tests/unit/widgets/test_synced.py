"""What widgets share with the browser: said once, and held by both sides."""

import numpy as np
import pytest
from PIL import Image

import cntk_lab as C
from cntk_lab import io, lab
from cntk_lab.widgets import GraphComposer, GraphView, ReaderPreview, TrainingMonitor, _base, _examples, _synced

pytestmark = pytest.mark.usefixtures("front_end")
WIDGETS = {w.__name__: w for w in (GraphView, GraphComposer, TrainingMonitor, ReaderPreview)}


def shared(class_):
    """The traits that a widget shares with the browser, beside those of every widget of ours."""
    return set(class_.class_trait_names(sync=True)) - set(_base.LabWidget.class_trait_names(sync=True))


def fits(widget):
    """See that what a widget holds is what the description says."""
    name = type(widget).__name__  # anywidget gives each widget a class of its own
    held = {trait: getattr(widget, trait) for trait in shared(WIDGETS[name])}
    assert _synced.misfit(held, _synced.STATES[name]) == ""


def test_the_typescript_of_the_states_is_in_step():
    assert _synced.TYPESCRIPT.read_text(encoding="utf-8") == _synced.typescript()


@pytest.mark.parametrize("name", WIDGETS)
def test_every_shared_trait_is_described_and_nothing_else(name):
    assert shared(WIDGETS[name]) == set(_synced.STATES[name].__annotations__)


def test_a_graph_view_holds_what_is_described():
    x = C.sequence.input_variable(3)
    view = lab.show(C.layers.Sequential([C.layers.Recurrence(C.layers.LSTM(2)), C.layers.Dense(2)])(x))
    fits(view)
    view.feed(np.ones((2, 3)))
    assert view.fed["frames"] == 2
    fits(view)
    view.overlays = {"share": {"unit": "", "together": "sum", "values": {view.graph["nodes"][0]["id"]: None}}}
    fits(view)
    fits(GraphView(_examples.mlp()))


def test_a_composer_holds_what_is_described():
    composer = GraphComposer()
    fits(composer)
    composer.selected = composer.add("Dense", shape=3)
    assert composer.form_shown["fields"]
    fits(composer)
    composer.code = composer.code.replace("Dense(3", "Dense(-3")
    assert composer.wrong
    fits(composer)


def test_a_monitor_holds_what_is_described():
    rng = np.random.default_rng(0)
    x, y = C.input_variable(2), C.input_variable(1)
    z = C.layers.Dense(1)(x)
    data = {x: rng.normal(size=(40, 2)).astype(np.float32), y: np.ones((40, 1), np.float32)}
    learner = C.sgd(z.parameters, 0.01)
    monitor = lab.train(C.squared_error(z, y), data, learner, model=z, max_steps=30, validation=data)
    monitor.wait()
    assert monitor.runs[0]["status"] == "finished"
    fits(monitor)


def test_a_preview_holds_what_is_described(tmp_path):
    for i in range(3):
        Image.fromarray(np.full((20, 24, 3), 40 * i, np.uint8)).save(tmp_path / f"{i}.png")
    (tmp_path / "map.txt").write_text("".join(f"{tmp_path}/{i}.png\t{i % 2}\n" for i in range(3)))
    steps = [io.transforms.crop("randomside", side_ratio=0.8), io.transforms.scale(8, 8, 3)]
    streams = io.StreamDefs(
        image=io.StreamDef(field="image", transforms=steps), label=io.StreamDef(field="label", shape=2)
    )
    source = io.MinibatchSource(io.ImageDeserializer(str(tmp_path / "map.txt"), streams))
    model = C.input_variable((3, 9, 9), name="image") * 1.0
    preview = lab.preview(source, model, minibatch_size=3)
    fits(preview)
    preview.steps(0)
    preview.statistics()
    assert preview.traced["streams"]
    assert preview.measured["streams"]
    assert preview.matched[0]["state"] == "wrong"
    fits(preview)


def test_every_kind_of_cell_is_described(tmp_path):
    lines = [f"{i} |word {i % 5}:1 |bag {i}:2 {i + 9}:1 |wave {' '.join(['0.5'] * 24)} |pair 1 2" for i in range(4)]
    lines = [part for i, line in enumerate(lines) for part in (line, *(f"{i} |level {k}" for k in range(40)))]
    lines += ["9 |word oh:no |bag 1:1 |wave 1 |pair 1 2"]
    (tmp_path / "data.ctf").write_text("\n".join(lines))
    streams = io.StreamDefs(
        word=io.StreamDef(field="word", shape=5, is_sparse=True),
        bag=io.StreamDef(field="bag", shape=40, is_sparse=True),
        wave=io.StreamDef(field="wave", shape=24),
        pair=io.StreamDef(field="pair", shape=2),
        level=io.StreamDef(field="level", shape=1),
    )
    source = io.MinibatchSource(io.CTFDeserializer(str(tmp_path / "data.ctf"), streams), max_errors=3)
    preview = lab.preview(source, vocabularies={"word": list("abcde")}, minibatch_size=500)
    assert preview.content["defects"]
    fits(preview)
    kinds = {cell["form"] for item in preview.content["items"] for cell in item["cells"]}
    assert kinds >= {"tokens", "sparse", "curve", "numbers", "heat"}


def test_what_does_not_fit_is_told_with_its_place():
    entry = {"unit": "", "together": "sum", "values": {"n": None}}
    assert _synced.misfit(entry, _synced.Overlay) == ""
    assert _synced.misfit({**entry, "values": {"n": "1"}}, _synced.Overlay) == ".values.n: '1' is no float"
    assert _synced.misfit({**entry, "more": 1}, _synced.Overlay) == ": Overlay and what is there differ in ['more']"
    assert _synced.misfit({**entry, "together": "all"}, _synced.Overlay).startswith(".together: 'all' is no ")
