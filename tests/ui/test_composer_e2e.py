"""The composer in a real JupyterLab and a real browser, by keyboard alone."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("browser"), pytest.mark.timeout(240)]

START = """
import numpy as np
import cntk_lab as C
from cntk_lab import lab
composer = lab.compose()
composer
"""
TRAIN = """
rng = np.random.default_rng(0)
X = rng.normal(size=(64, 10)).astype(np.float32)
Y = np.eye(3, dtype=np.float32)[rng.integers(0, 3, 64)]
label = C.input_variable(3, name="label")
def train():
    model = composer.model
    loss = C.cross_entropy_with_softmax(model, label)
    trainer = C.Trainer(model, loss, [C.sgd(model.parameters, 0.1)])
    for _ in range(20):
        trainer.train_minibatch({model.arguments[0]: X, label: Y})
    return trainer.previous_minibatch_loss_average
bias = composer.model.parameters[1]
first = train()
before = [p.value.copy() for p in composer.model.parameters]
print("TRAINED", composer.model.shape, first > 0)
"""
CONTINUE = """
kept = [p for p in composer.model.parameters if any(p.shape == b.shape and (p.value == b).all() for b in before)]
second = train()
print("CONTINUED", composer.model.shape, len(kept), second > 0, len(composer.report.new), composer.problems)
print(composer.code)
"""


def ready(page):
    """Wait until what was asked for is drawn."""
    page.locator(".cntk-compose[data-ready]").wait_for()


def key(page, name):
    """A key on the canvas, and wait for the drawing that it brings."""
    drawn = page.locator(".cntk-compose").get_attribute("data-ready")
    page.keyboard.press(name)
    page.locator(f".cntk-compose:not([data-ready='{drawn}'])").wait_for()
    page.wait_for_function("document.activeElement.closest('.cntk-node') !== null")


def add(page, word):
    """Add an entry of the palette behind the selected node, by keyboard."""
    drawn = page.locator(".cntk-compose").get_attribute("data-ready")
    page.keyboard.press("a")
    page.wait_for_function("document.activeElement.getAttribute('role') === 'combobox'")
    page.keyboard.type(word)
    page.keyboard.press("Enter")
    page.locator(f".cntk-compose:not([data-ready='{drawn}'])").wait_for()
    page.wait_for_function("document.activeElement.closest('.cntk-node') !== null")


def set_parameter(page, name, text):
    """Give the selected node's parameter a value, by keyboard: e, tab to the field, type, Enter, Escape."""
    page.keyboard.press("e")
    page.wait_for_function("document.activeElement.closest('.cntk-form') !== null")
    for _ in range(12):
        if page.evaluate("document.activeElement.dataset.field") == name:
            break
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.dataset.field") == name
    drawn = page.locator(".cntk-compose").get_attribute("data-ready")
    page.keyboard.press("Control+a")
    page.keyboard.type(text)
    page.keyboard.press("Enter")
    page.locator(f".cntk-compose:not([data-ready='{drawn}'])").wait_for()
    page.keyboard.press("Escape")
    page.wait_for_function("document.activeElement.closest('.cntk-node') !== null")


def until_code(page, words, *, there=True):
    """Wait until the code holds some words, or holds them no more."""
    script = "([words, there]) => document.querySelector('.cntk-code textarea').value.includes(words) === there"
    page.wait_for_function(script, arg=[words, there])


def code(page):
    return page.get_by_label("Code of the model").input_value()


def test_compose_fix_train_edit_continue_by_keyboard_alone(open_notebook, run_cell, screenshot):
    page = open_notebook("compose.ipynb", [START, TRAIN, CONTINUE])
    run_cell(page, 0)
    ready(page)
    page.locator(".cntk-compose .cntk-node[tabindex='0']").focus()
    page.wait_for_function("document.activeElement.dataset.uid !== undefined")
    page.keyboard.press("Space")

    # compose
    add(page, "dense")
    until_code(page, "C.layers.Dense(10)")
    set_parameter(page, "activation", "C.relu")
    add(page, "dense")
    set_parameter(page, "shape", "3")
    until_code(page, "C.layers.Dense(3)")
    assert code(page).count("C.layers.Dense") == 2

    # an error, marked on its node and its edge, and fixed by a key
    add(page, "convolution2d")
    page.locator(".cntk-compose .cntk-node.alarm").wait_for()
    page.locator(".cntk-compose .cntk-edge.wrong").first.wait_for(state="attached")
    page.locator(".cntk-foot.wrong button", has_text="Fix (f):").wait_for()
    screenshot(page, "composer-broken")
    page.keyboard.press("n")
    key(page, "f")
    page.locator(".cntk-foot:not(.wrong)").wait_for()
    assert page.locator(".cntk-compose .cntk-node.alarm").count() == 0
    key(page, "Control+z")  # the fix
    page.locator(".cntk-foot.wrong").wait_for()
    until_code(page, "Convolution2D")
    page.keyboard.press("Control+z")  # the layer
    until_code(page, "Convolution2D", there=False)
    page.locator(".cntk-foot:not(.wrong)").wait_for()

    # train, in the notebook
    run_cell(page, 1)
    page.locator(".jp-OutputArea-output", has_text="TRAINED (3,) True").wait_for()

    # edit: widen the first layer, whose successor's bias keeps its numbers
    page.locator(".cntk-compose .cntk-node[tabindex='0']").focus()
    page.keyboard.press("ArrowUp")
    page.wait_for_function("document.querySelector('.cntk-form h3').textContent.startsWith('Dense')")
    set_parameter(page, "shape", "16")
    until_code(page, "C.layers.Dense(16")
    page.locator(".cntk-foot .words", has_text="1 kept").wait_for()
    screenshot(page, "composer-widened")

    # continue
    run_cell(page, 2)
    page.locator(".jp-OutputArea-output", has_text="CONTINUED (3,) 1 True 3 ()").wait_for()
    assert page.errors == []


def test_code_and_canvas_are_in_step(open_notebook, run_cell):
    page = open_notebook("step.ipynb", [START, "print('CODE', composer.model.shape, composer.code.count('tanh'))"])
    run_cell(page, 0)
    ready(page)
    area = page.get_by_label("Code of the model")
    area.focus()
    page.keyboard.press("Control+Home")
    area.fill(area.input_value().replace("Sequential([\n", "Sequential([\n    C.layers.Dense(7),\n    C.tanh,\n"))
    page.locator(".cntk-compose .cntk-node", has_text="tanh").wait_for()
    run_cell(page, 1)
    page.locator(".jp-OutputArea-output", has_text="CODE (7,) 1").wait_for()
    area.fill(area.input_value().replace("C.tanh", "C.tan"))
    page.locator(".cntk-compose .cntk-node", has_text="tan").wait_for()
    area.fill(area.input_value().replace("C.tan,", "C.tann,"))
    page.locator(".cntk-compose mark.wrong", has_text="C.tann").wait_for(state="attached")
    page.locator(".cntk-foot.wrong .words", has_text="there is no C.tann").wait_for()
    page.keyboard.press("Escape")
    page.wait_for_function("document.activeElement.closest('.cntk-node') !== null")
    key(page, "f")
    page.locator(".cntk-foot:not(.wrong)").wait_for()
    assert page.errors == []


def test_layers_are_moved_connected_and_taken_away_by_keyboard(open_notebook, run_cell):
    source = """
from cntk_lab import lab
composer = lab.compose('''import cntk_lab as C

x = C.input_variable(4, name="x")
y = C.input_variable(4, name="y")
a = C.layers.Dense(4, name="a")(x)
b = C.layers.Dense(4, name="b")(y)
model = C.layers.Sequential([
    C.tanh,
    C.relu,
])(a + a)
''')
composer
"""
    page = open_notebook("moves.ipynb", [source])
    run_cell(page, 0)
    ready(page)

    def go(words):
        page.locator(".cntk-compose .cntk-node:not(.group)", has_text=words).first.focus()
        page.keyboard.press("Space")

    go("tanh")
    key(page, "Alt+ArrowDown")
    until_code(page, "    C.relu,\n    C.tanh,\n")
    go("Dense b" if page.locator(".cntk-node", has_text="Dense b").count() else "b")
    page.keyboard.press("c")
    page.locator(".cntk-foot .words", has_text="Connect:").wait_for()
    go("+")
    key(page, "2")
    until_code(page, "(a + b)")
    go("tanh")
    key(page, "Delete")
    until_code(page, "tanh", there=False)
    key(page, "Control+z")
    key(page, "Control+z")
    until_code(page, "(a + a)")
    assert page.errors == []


def test_a_layer_is_dragged_onto_a_node(open_notebook, run_cell):
    page = open_notebook("drag.ipynb", [START])
    run_cell(page, 0)
    ready(page)
    page.get_by_label("Search layers and operators to add").fill("stabilizer")
    option = page.locator(".cntk-entries [role=option]", has_text="Stabilizer")
    option.drag_to(page.locator(".cntk-compose .cntk-node", has_text="Sequential").first)
    page.locator(".cntk-compose .cntk-node", has_text="Stabilizer").wait_for()
    until_code(page, "C.layers.Stabilizer()")
    assert page.errors == []


def test_axe_finds_nothing_to_complain_about(open_notebook, run_cell, screenshot):
    rules = ROOT / "extension/node_modules/axe-core/axe.min.js"
    if not rules.exists():
        pytest.skip("axe-core is not installed: npm install in extension/")
    cell = START + 'composer.add("Dense", shape=5, name="hidden")\n'
    broken = 'composer.code = composer.code.replace("Dense(5", "Dense(-5")\ncomposer.selected = composer.nodes[-1]'
    page = open_notebook("axe-composer.ipynb", [cell.replace("\ncomposer\n", "\n") + "composer", broken])
    run_cell(page, 0)
    ready(page)
    for theme in ("JupyterLab Light", "JupyterLab Dark"):
        page.evaluate("theme => { jupyterapp.commands.execute('apputils:change-theme', {theme}); }", theme)
        page.wait_for_selector(f"body[data-jp-theme-name='{theme}']", state="attached")
        page.locator("#jupyterlab-splash").wait_for(state="detached")
        run_cell(page, 1)
        page.locator(".cntk-foot.wrong").wait_for()
        page.add_script_tag(path=str(rules))
        found = page.evaluate("async () => (await axe.run('.cntk-lab')).violations.map(v => [v.id, v.nodes[0].html])")
        assert found == []
        screenshot(page, f"composer-{theme.split()[1].lower()}")
    page.evaluate("() => { jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Light'}); }")
    page.wait_for_selector("body[data-jp-theme-light='true']", state="attached")
    assert page.errors == []


def test_the_launcher_and_the_file_browser_open_the_composer(lab, page):
    (lab.root / "net.py").write_text(
        'import cntk_lab as C\n\nx = C.input_variable(2, name="x")\nmodel = C.layers.Dense(3)(x)\n'
    )
    page.goto(f"{lab.url}lab/workspaces/launch-composer?token={lab.token}&reset")
    page.locator(".jp-LauncherCard", has_text="Composer").wait_for()
    page.locator(".jp-DirListing-item", has_text="net.py").click(button="right")
    page.locator(".lm-Menu-item", has_text="Open in composer").click()
    page.locator(".jp-Notebook .jp-Cell", has_text='lab.compose("net.py")').wait_for()
    lab.shutdown_kernels()
    assert page.errors == []
