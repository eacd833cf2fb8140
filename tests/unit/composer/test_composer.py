"""Commands of the composer: what they do to the code, the graph and the weights."""

from __future__ import annotations

import random
import time

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab.composer import Code, Composer, palette
from cntk_lab.errors import AttributeValueError, GraphError
from cntk_lab.widgets._snapshot import check
from tests.unit.composer.edits import hunks, own

PROGRAM = """import cntk_lab as C

x = C.input_variable(6, name="x")  # what comes in

# the layers
model = C.layers.Sequential([
    C.layers.Dense(8, activation=C.relu, name="first"),  # wide
    C.layers.Dropout(0.5),

    C.layers.Dense(4),
    C.tanh,
])(x)
"""


def numbers(composer):
    return {id(p): p.value.copy() for p in composer.model.parameters}


COMMANDS = {
    "add at the end": lambda c: c.add("Dense", shape=3),
    "add after": lambda c: c.add("relu", after=c.find("Dropout")),
    "add before the first": lambda c: c.add("Dense", shape=5, before=c.find("first")),
    "add behind the input": lambda c: c.add("Stabilizer", after=c.find("x")),
    "add an input": lambda c: c.add("input_variable", name="y", shape=3),
    "add a branch": lambda c: c.add("Dense", to=c.find("x"), shape=3, name_value="side"),
    "add a group": lambda c: c.add("Sequential", after=c.find("first")),
    "add a repetition": lambda c: c.add("For", after=c.find("first")),
    "remove a layer": lambda c: c.remove(c.find("Dropout")),
    "remove the last": lambda c: c.remove(c.find("tanh")),
    "remove the first": lambda c: c.remove(c.find("first")),
    "widen": lambda c: c.set(c.find("first"), shape=16),
    "take a parameter away": lambda c: c.set(c.find("first"), activation=Code("")),
    "give a parameter": lambda c: c.set(c.find("Dropout"), seed=3),
    "rename": lambda c: c.rename(c.find("first"), "one"),
    "name another": lambda c: c.rename(c.find_all("Dense")[1], "two"),
    "group two": lambda c: c.group(c.find("first"), c.find("Dropout")),
    "repeat one": lambda c: c.group(c.find("first"), kind="For"),
    "shortcut": lambda c: c.group(c.find_all("Dense")[1], kind="ResNetBlock"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_one_hunk_of_the_code_and_comes_back_by_undo(name):
    composer = Composer(PROGRAM)
    graph, before = composer.graph, numbers(composer)
    COMMANDS[name](composer)
    assert hunks(PROGRAM, composer.code) == 1
    for comment in ("# what comes in", "# the layers"):
        assert comment in composer.code
    check(composer.graph)
    after = composer.code
    composer.undo()
    assert composer.code == PROGRAM
    assert composer.graph == graph
    assert {k: v.tolist() for k, v in numbers(composer).items()} == {k: v.tolist() for k, v in before.items()}
    composer.redo()
    assert composer.code == after


def test_moving_a_layer_takes_its_weights_along():
    text = PROGRAM.replace("Dense(4)", "Dense(8)").replace("Dense(8, activation", "Dense(6, activation")
    composer = Composer(text.replace("Dense(6", "Dense(8").replace("variable(6", "variable(8"))
    one, two = composer.find_all("Dense")
    weights = {p.name + str(i): p for i, p in enumerate(composer.model.parameters)}
    composer.move(two, before=one)
    assert composer.find_all("Dense") == [two, one]
    assert {id(p) for p in composer.model.parameters} == {id(p) for p in weights.values()}
    assert composer.report.new == composer.report.dropped == ()


def test_connect_makes_a_node_read_another_value():
    text = PROGRAM + "side = C.layers.Dense(4)(x)\nz = model + side\n"
    composer = Composer(text.replace("model =", "main =").replace("model +", "main +").replace("z =", "model ="))
    composer.connect(composer.find("x"), composer.find("+"), 1)
    assert "model = main + x" in composer.code
    assert composer.problems[0].kind == "shape"
    composer.undo()
    composer.connect(composer.find("side"), composer.find("+"), 0)
    assert "model = side + side" in composer.code


def test_a_value_within_a_list_gets_a_name_to_be_connected():
    composer = Composer(PROGRAM)
    composer.add("input_variable", name="y", shape=4)
    branch = composer.add("splice", to=[composer.find("y"), composer.find("Dropout")], name_value="both")
    assert composer.problems == ()
    assert "both = C.splice(y, dropout)" in composer.code
    assert next(n for n in composer.graph["nodes"] if n["id"] == branch)["shape"] == [12]


def test_copy_and_paste_makes_layers_with_weights_of_their_own():
    composer = Composer(PROGRAM)
    first = composer.find("first")
    assert composer.copy(first) == ('C.layers.Dense(8, activation=C.relu, name="first")',)
    before = {id(p) for p in composer.model.parameters}
    pasted = composer.paste(after=first)
    assert pasted != first
    assert len(composer.find_all("Dense")) == 3
    assert len({id(p) for p in composer.model.parameters} - before) == 2


def test_edits_of_the_code_change_the_graph_and_keep_what_is_recognised():
    composer = Composer(PROGRAM)
    first = composer.find("first")
    kept = {p.name: p for p in composer.model.parameters}
    composer.code = "# new\n" + PROGRAM.replace("C.layers.Dropout(0.5),\n", "C.layers.Dropout(0.1),\n    C.relu,\n")
    assert composer.find("first") == first
    assert all(any(p is q for q in composer.model.parameters) for p in kept.values())
    assert composer.report.new == ()
    composer.code = composer.code.replace("Dense(4)", "Dense(4")
    assert composer.problems[0].kind == "syntax"
    composer.code = composer.code.replace("Dense(4", "Dense(4)")
    assert composer.find("first") == first
    assert all(any(p is q for q in composer.model.parameters) for p in kept.values())


def test_training_goes_on_with_the_kept_parameters():
    composer = Composer(PROGRAM)
    first = composer.find("first")
    bias = composer.model.find_by_name("first").parameters[1]
    bias.value = np.arange(8, dtype=np.float32)
    composer.set(composer.find("Dropout"), dropout_rate=0.1)
    same = composer.model.find_by_name("first").parameters[1]
    assert same is bias
    composer.set(first, shape=9)
    composer.set(first, shape=8)
    back = composer.model.find_by_name("first").parameters[1]
    assert back.value.tolist() == list(range(8))
    assert any("first" in w for w in composer.report.restored)


EDITS = ("add", "remove", "set", "move", "group", "rename", "code", "undo", "redo")


def random_edit(composer, r):
    """One random edit; False if it was none."""
    layers = [n["id"] for n in composer.graph["nodes"] if n["op"] in ("Dense", "tanh", "Dropout", "relu", "Stabilizer")]
    action = r.choice(EDITS)
    try:
        if action == "add":
            composer.add(r.choice(("Dense", "relu", "Stabilizer")), after=r.choice(layers) if layers else None)
        elif action == "remove" and len(layers) > 2:
            composer.remove(r.choice(layers))
        elif action == "set":
            composer.set(r.choice(composer.find_all("Dense")), shape=r.choice((4, 5, 8)))
        elif action == "move" and len(layers) > 1:
            one, two = r.sample(layers, 2)
            composer.move(one, after=two)
        elif action == "group":
            composer.group(r.choice(layers))
        elif action == "rename":
            composer.rename(r.choice(composer.find_all("Dense")), f"name{r.randint(0, 99)}")
        elif action == "code":
            composer.code = composer.code.replace("Dense(8", "Dense(7", 1) + "# changed\n"
        elif action == "undo":
            composer.undo()
        elif action == "redo":
            composer.redo()
    except (GraphError, AttributeValueError, IndexError):
        return False
    return True


@pytest.mark.parametrize("seed", range(12))
def test_weights_survive_every_edit_that_keeps_their_shape(seed):
    r = random.Random(seed)
    composer = Composer(PROGRAM)
    seen: list[tuple[str, dict, dict]] = []
    for _ in range(25):
        before = dict(own(composer))
        if not random_edit(composer, r) or composer.problems:
            continue
        after = own(composer)
        for key, parameter in after.items():
            if key in before and before[key].shape == parameter.shape:
                assert parameter is before[key], (key, composer.code)
        seen.append((composer.code, composer.graph, {k: p.value.tolist() for k, p in after.items()}))
    steps = 0
    while composer.undoable:
        composer.undo()
        steps += 1
    assert composer.code == PROGRAM
    for _ in range(steps):
        composer.redo()
        for code, graph, values in seen:
            if code == composer.code and not composer.problems and graph == composer.graph:
                assert {k: p.value.tolist() for k, p in own(composer).items()} == values


def test_the_palette_has_every_layer_with_its_parameters():
    found = {e["path"]: e for e in palette()}
    assert {"layers.Dense", "layers.For", "relu", "splice", "sequence.last", "input_variable"} <= set(found)
    dense = {f["name"]: f for f in found["layers.Dense"]["fields"]}
    assert dense["shape"]["required"]
    assert dense["activation"]["default"] == "C.layers.identity"
    assert all(e["summary"] for e in found.values())
    assert not any("default_options" in path or path.startswith("_") for path in found)


def test_everything_in_the_palette_can_be_added():
    for entry in palette():
        composer = Composer(PROGRAM)
        try:
            composer.add(entry["path"], **({"to": composer.find("x")} if entry["category"] == "operators" else {}))
        except GraphError as error:
            pytest.fail(f"{entry['path']}: {error}")
        assert not any(p.kind in ("syntax", "name") for p in composer.problems), (entry["path"], composer.code)


def test_a_form_tells_what_can_be_set():
    composer = Composer(PROGRAM)
    form = composer.form(composer.find("first"))
    fields = {f["name"]: f["value"] for f in form["fields"]}
    assert (form["title"], form["name"], fields["shape"], fields["activation"], fields["bias"]) == (
        "Dense", "first", "8", "C.relu", "",
    )  # fmt: skip


def test_wrong_commands_say_what_to_do():
    composer = Composer(PROGRAM)
    with pytest.raises(AttributeValueError, match="the palette has no 'Dens'"):
        composer.add("Dens")
    with pytest.raises(AttributeValueError, match="Dense has no parameter 'width'"):
        composer.add("Dense", width=3)
    with pytest.raises(AttributeValueError, match="cannot be written into a program"):
        composer.set(composer.find("first"), shape=object())
    with pytest.raises(GraphError, match="there is no node 'nobody'"):
        composer.find("nobody")
    with pytest.raises(GraphError, match="nothing to undo"):
        composer.undo()
    with pytest.raises(GraphError, match="nothing was copied"):
        composer.paste()


def test_an_edit_of_a_hundred_layers_is_answered_soon(capsys):
    lines = "".join(f"    C.layers.Dense({10 + i % 3}, activation=C.relu),\n" for i in range(100))
    head = "import cntk_lab as C\n\nx = C.input_variable(10)\nmodel = C.layers.Sequential([\n"
    composer = Composer(f"{head}{lines}])(x)\n")
    dense = composer.find_all("Dense")
    taken = {}
    for where, at in (("first", 0), ("middle", 50), ("last", 99)):
        best = []
        for size in (17, 18, 19):
            start = time.perf_counter()
            composer.set(dense[at], shape=size)
            best.append((time.perf_counter() - start) * 1000)
        taken[where] = min(best)
    with capsys.disabled():
        print("\nan edit of 100 layers:", ", ".join(f"{k} {v:.0f} ms" for k, v in taken.items()))
    assert composer.problems == ()
    assert len(composer.find_all("Dense")) == 100


def test_model_files_are_opened_with_their_weights(tmp_path):
    x = C.input_variable((1, 8, 8), name="x")
    model = C.layers.Sequential([C.layers.Convolution2D((3, 3), 4, C.relu), C.layers.Dense(3)])(x)
    file = tmp_path / "small.model"
    model.save(str(file))
    data = np.random.default_rng(2).normal(size=(2, 1, 8, 8)).astype("f")
    for given in (file, str(file)):
        composer = Composer(given)
        assert composer.problems == ()
        np.testing.assert_array_equal(composer.model.eval({composer.model.arguments[0]: data}), model.eval({x: data}))
