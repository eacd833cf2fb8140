"""The composer in a real JupyterLab and a real browser, by keyboard alone."""

from __future__ import annotations

import pytest

from tests.ui.pages import complaints, in_both_themes, needs_axe

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


def key_that_edits(page, name):
    """A key on the canvas, after which the code is another and the footer speaks of it."""
    before = code(page)
    key(page, name)
    page.wait_for_function("before => document.querySelector('.cntk-code textarea').value !== before", arg=before)


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
    """Give the selected node's parameter a value, by keyboard: e, tab to the field, type, Enter, Escape.

    In a drop-down what is typed selects the entry that begins so.
    """
    page.keyboard.press("e")
    page.wait_for_function("document.activeElement.closest('.cntk-form') !== null")
    for _ in range(12):
        if page.evaluate("document.activeElement.dataset.field") == name:
            break
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.dataset.field") == name
    drawn = page.locator(".cntk-compose").get_attribute("data-ready")
    if not page.evaluate("document.activeElement instanceof HTMLSelectElement"):
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
    page.get_by_role("button", name="Close and begin with nothing (Escape)").press("Escape")
    page.wait_for_function("document.activeElement.dataset.uid !== undefined")
    page.keyboard.press("Space")

    # compose
    add(page, "dense")
    until_code(page, "C.layers.Dense(10)")
    set_parameter(page, "activation", "relu")
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
    fixes = 0
    while page.locator(".cntk-foot.wrong").count():  # each keeps the layer, and shows the next problem
        page.locator(".cntk-foot.wrong button", has_text="Fix (f):").wait_for()
        key_that_edits(page, "f")
        fixes += 1
        assert "Convolution2D" in code(page)
        assert fixes < 5
    assert page.locator(".cntk-compose .cntk-node.alarm").count() == 0
    for _ in range(fixes + 1):  # the fixes, and the layer
        key_that_edits(page, "Control+z")
    assert "Convolution2D" not in code(page)
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
    page.get_by_role("button", name="Close and begin with nothing (Escape)").click()
    page.get_by_label("Search layers and operators to add").fill("stabilizer")
    option = page.locator(".cntk-entries [role=option]", has_text="Stabilizer")
    option.drag_to(page.locator(".cntk-compose .cntk-node", has_text="Sequential").first)
    page.locator(".cntk-compose .cntk-node", has_text="Stabilizer").wait_for()
    until_code(page, "C.layers.Stabilizer()")
    assert page.errors == []


def drawn(page, act):
    """Do something, and wait for the drawing that it brings."""
    before = page.locator(".cntk-compose").get_attribute("data-ready")
    act()
    page.locator(f".cntk-compose:not([data-ready='{before}'])").wait_for()


def centre(page, locator):
    box = locator.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def pull(page, start, end):
    """A drag of the mouse from one place to another, in steps."""
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move((start[0] + end[0]) / 2, (start[1] + end[1]) / 2, steps=4)
    page.mouse.move(*end, steps=4)
    page.mouse.up()


def node(page, words):
    return page.locator(".cntk-compose .cntk-node:not(.group)", has_text=words).first


def field(page, name):
    return page.locator(f".cntk-form [data-field='{name}']")


def fill(page, name, text):
    """Write into a field of the form and press Enter."""
    field(page, name).fill(text)
    drawn(page, lambda: field(page, name).press("Enter"))


def from_palette(page, word, target):
    """Drag an entry of the palette onto something on the canvas."""
    page.get_by_label("Search layers and operators to add").fill(word)
    option = page.locator(".cntk-entries [role=option]").first
    drawn(page, lambda: option.drag_to(target))


def test_the_mnist_network_is_built_by_mouse_alone(open_notebook, run_cell, screenshot):
    check = "print('BUILT', composer.model.shape, composer.problems, composer.total['parameters'])"
    page = open_notebook("mouse.ipynb", [START, check])
    run_cell(page, 0)
    ready(page)
    page.locator(".cntk-start").get_by_text("Begin empty").click()
    node(page, "features").click()
    field(page, "shape").wait_for()

    # a field understands what people write, and leaves its neighbours alone
    fill(page, "shape", "1,28,28")
    until_code(page, 'C.input_variable((1, 28, 28), name="features")')
    assert field(page, "shape").input_value() == "1, 28, 28"
    from_palette(page, "Convolution2D", page.locator(".cntk-node.group").first)
    until_code(page, "C.layers.Convolution2D((3, 3), num_filters=16, pad=True)")
    node(page, "Convolution2D").click()
    drawn(page, lambda: field(page, "activation").select_option("relu"))
    until_code(page, "activation=C.relu")
    drawn(page, lambda: field(page, "bias").uncheck())
    until_code(page, "bias=False")
    for behind, layer in (("Convolution2D", "MaxPooling"), ("MaxPooling", "Dropout"), ("Dropout", "Dense")):
        from_palette(page, layer, node(page, behind))
    page.locator(".cntk-foot:not(.wrong)").wait_for()
    page.locator(".cntk-total", has_text="4 layers").wait_for()
    assert node(page, "Convolution2D").get_attribute("data-group") == "convolution"
    assert "output of the model" in node(page, "Dense").get_attribute("aria-label")

    # a layer dropped on an edge goes between its ends
    head = page.locator(".cntk-entries [role=option]").first
    page.get_by_label("Search layers and operators to add").fill("BatchNormalization")
    first, second = centre(page, node(page, "Convolution2D")), centre(page, node(page, "MaxPooling"))
    frame = page.locator(".cntk-canvas").bounding_box()
    place = {"x": (first[0] + second[0]) / 2 - frame["x"], "y": (first[1] + second[1]) / 2 - frame["y"]}
    drawn(page, lambda: head.drag_to(page.locator(".cntk-canvas"), target_position=place))
    assert [w for w in code(page).split() if w.startswith("C.layers.")][1:4] == [
        "C.layers.Convolution2D((3,", "C.layers.BatchNormalization(map_rank=1),", "C.layers.MaxPooling((2,",
    ]  # fmt: skip
    screenshot(page, "composer-by-mouse")
    run_cell(page, 1)
    page.locator(".jp-OutputArea-output", has_text="BUILT (10,) ()").wait_for()

    # a fix keeps what is there and names what it does; deleting has a button and a key of its own
    node(page, "Dense").click()
    fill(page, "shape", "-3")
    page.locator(".cntk-foot.wrong button", has_text="Fix (f): shape=3").wait_for()
    page.locator(".cntk-foot.wrong button", has_text="Or (x): delete Dense").wait_for()
    assert page.locator(".cntk-node", has_text="scalar").count() == 0
    drawn(page, lambda: page.locator(".cntk-foot button", has_text="Fix (f)").click())
    until_code(page, "C.layers.Dense(3)")
    field(page, "shape").fill("2) + C.layers.Dense(3")
    field(page, "shape").press("Enter")
    page.locator(".cntk-foot .words", has_text="is no value").wait_for()
    assert "C.layers.Dense(3)," in code(page)
    assert page.errors == []


HANDS = """
from cntk_lab import lab
composer = lab.compose('''import cntk_lab as C

x = C.input_variable(4, name="x")
a = C.layers.Dense(4, name="a")(x)
b = C.layers.Dense(4, name="b")(x)
spare = C.layers.Dense(7, name="spare")(x)
both = C.plus(a, a)
model = C.layers.Sequential([
    C.tanh,
    C.sigmoid,
])(both)
''')
composer
"""


def test_ports_frames_and_menus(open_notebook, run_cell, screenshot):
    page = open_notebook("hands.ipynb", [HANDS])
    run_cell(page, 0)
    ready(page)
    assert "not part of the model" in node(page, "spare").get_attribute("aria-label")

    # from port to port: the second operand of plus reads b
    b, plus = page.locator(".cntk-node[aria-label^='Dense, b,']"), page.locator(".cntk-node[aria-label^='plus,']")
    b.hover()
    wire = centre(page, b.locator(".cntk-port.out")), centre(page, plus.locator(".cntk-port.in").nth(1))
    drawn(page, lambda: pull(page, *wire))
    until_code(page, "C.plus(a, b)")
    drawn(page, lambda: page.get_by_role("button", name="Undo", exact=True).click())
    until_code(page, "C.plus(a, a)")

    # several at once: duplicated, copied as text, taken away, all by undo again
    node(page, "tanh").click()
    node(page, "sigmoid").click(modifiers=["Shift"])
    page.locator(".cntk-foot .words", has_text="2 nodes are selected").wait_for()
    assert page.locator(".cntk-node.picked").count() == 2
    key(page, "Control+d")
    until_code(page, "    C.tanh,\n    C.sigmoid,\n    [C.tanh, C.sigmoid],\n")
    key(page, "Control+z")
    until_code(page, "[C.tanh", there=False)

    # a frame
    canvas = page.locator(".cntk-canvas").bounding_box()
    first, last = node(page, "tanh").bounding_box(), node(page, "sigmoid").bounding_box()
    page.keyboard.press("Escape")
    page.keyboard.down("Shift")
    pull(page, (canvas["x"] + 12, first["y"] - 2), (first["x"] + last["width"] + 30, last["y"] + last["height"] + 4))
    page.keyboard.up("Shift")
    page.wait_for_function("document.querySelectorAll('.cntk-node.picked').length >= 2")
    screenshot(page, "composer-frame")

    # the menu, by mouse and by keyboard
    node(page, "tanh").click()
    node(page, "tanh").click(button="right")
    menu = page.get_by_role("menu")
    assert "tanh" in menu.get_attribute("aria-label")
    assert menu.get_by_role("menuitem", name="Ungroup").get_attribute("aria-disabled") == "true"
    assert page.locator(".lm-Menu").count() == 0
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Escape")
    assert not menu.is_visible()
    node(page, "sigmoid").click(button="right")
    drawn(page, lambda: menu.get_by_role("menuitem", name="Delete").click())
    until_code(page, "C.sigmoid", there=False)
    assert page.errors == []


def test_networks_to_begin_with_and_files(open_notebook, run_cell, lab, screenshot):
    page = open_notebook("begin.ipynb", [START])
    run_cell(page, 0)
    ready(page)
    assert page.locator(".cntk-start [data-template]").count() == 8
    drawn(page, lambda: page.locator("[data-template=convnet]").click())
    until_code(page, "C.layers.Convolution2D((5, 5), 32")
    page.locator(".cntk-total", has_text="7 layers · 242k parameters").wait_for()
    page.get_by_role("button", name="Save the program, or the network with its weights").click()
    page.get_by_role("textbox", name="Save as").fill("net.model")
    page.keyboard.press("Enter")
    page.locator(".cntk-files .words", has_text="saved the network with its weights as net.model").wait_for()
    assert (lab.root / "net.model").stat().st_size > 900_000
    page.get_by_role("textbox", name="Save as").fill("begin.ipynb")
    page.keyboard.press("Enter")
    page.locator(".cntk-files .words", has_text="cannot be composed").wait_for()
    page.keyboard.press("Escape")
    drawn(page, lambda: page.get_by_role("button", name="Undo", exact=True).click())
    until_code(page, "Convolution2D", there=False)
    page.get_by_role("button", name="Open a program or a model file").click()
    page.get_by_role("textbox", name="Open").fill("net.model")
    drawn(page, lambda: page.keyboard.press("Enter"))
    until_code(page, "C.layers.Convolution2D((5, 5), num_filters=32")
    page.locator(".cntk-total", has_text="7 layers · 242k parameters").wait_for()
    screenshot(page, "composer-opened")

    # trained from the button: a cell below, with the monitor
    page.get_by_role("button", name="Networks to begin with").click()
    drawn(page, lambda: page.locator("[data-template=autoencoder]").click())
    page.get_by_role("button", name="Put a cell below that trains the network and shows the monitor").click()
    page.locator(".jp-Cell", has_text="run = lab.train((loss, error), data, learner").wait_for()
    page.locator(".jp-OutputArea .cntk-lab.cntk-monitor").wait_for()
    assert page.errors == []


@needs_axe
def test_axe_finds_nothing_to_complain_about(open_notebook, run_cell, screenshot):
    cell = START + 'composer.add("Dense", shape=5, name="hidden")\n'
    broken = 'composer.code = composer.code.replace("Dense(5", "Dense(-5")\ncomposer.selected = composer.nodes[-1]'
    page = open_notebook("axe-composer.ipynb", [cell.replace("\ncomposer\n", "\n") + "composer", broken])
    run_cell(page, 0)
    ready(page)
    for theme in in_both_themes(page):
        run_cell(page, 1)
        page.locator(".cntk-foot.wrong").wait_for()
        assert complaints(page) == []
        screenshot(page, f"composer-{theme}")
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
