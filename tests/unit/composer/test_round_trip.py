"""Programs survive the way code -> graph -> code -> graph: equal graphs, equal numbers."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab.composer import Composer
from cntk_lab.graph import walk

_spec = importlib.util.spec_from_file_location("programs", Path(__file__).parent / "programs.py")
programs = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(programs)

SEEDS, BATCH = 500, 50


def structure(function):
    """What is computed, from the inputs on: operators with attributes, shapes, and where each operand comes from."""
    number: dict[int, int] = {}
    out = []
    for leaf in walk.flat_leaves(function.outputs):
        number[id(leaf)] = len(number)
    for node in walk.flat_nodes(function.outputs):
        if node.op.name in ("alias", "combine"):  # names, which operators take or not
            continue
        attributes = tuple(sorted((k, repr(v)) for k, v in node.attributes.items() if k != "seed"))
        out.append((node.op.name, attributes, tuple(o.type.shape for o in node.outputs)))
    return out


def data(function):
    rng = np.random.default_rng(3)
    x = function.arguments[0]
    if len(x.dynamic_axes) > 1:
        return [rng.normal(size=(n, *x.shape)).astype(np.float32) for n in (2, 3)]
    return rng.normal(size=(2, *x.shape)).astype(np.float32)


def values(function, fed):
    result = function.eval({function.arguments[0]: fed})
    return [np.asarray(r) for r in result] if isinstance(result, list) else [np.asarray(result)]


@pytest.mark.parametrize("first", range(0, SEEDS, BATCH))
def test_programs_survive_code_graph_code_graph(first):
    for seed in range(first, first + BATCH):
        text = programs.program(seed)
        one = Composer(text)
        assert one.problems == (), f"seed {seed}: {one.problems[0].message}\n{text}"
        two = Composer(one.model)
        assert two.problems == (), f"seed {seed}: {two.problems[0].message}\n{text}\n{two.code}"
        assert structure(one.model) == structure(two.model), f"seed {seed}\n{text}\n{two.code}"
        if seed % 5 == 0:
            fed = data(one.model)
            for a, b in zip(values(one.model, fed), values(two.model, fed), strict=True):
                np.testing.assert_array_equal(a, b, err_msg=f"seed {seed}\n{text}\n{two.code}")
        assert {id(p) for p in one.model.parameters} == {id(p) for p in two.model.parameters}


@pytest.mark.parametrize("seed", range(40))
def test_a_program_means_what_python_means(seed):
    """Run as plain Python, the text makes the same graph as the composer builds from it."""
    text = programs.program(seed)
    scope: dict[str, object] = {}
    exec(compile(text, "program", "exec"), scope)  # noqa: S102  (a text of our own, compared with what is parsed)
    assert structure(scope["model"]) == structure(Composer(text).model)


def test_written_programs_pass_ruff(tmp_path):
    import shutil
    import subprocess
    import sys

    ruff = shutil.which("ruff") or str(Path(sys.executable).parent / "ruff")
    if not Path(ruff).exists():
        pytest.skip("ruff is not installed")
    for seed in range(60):
        composer = Composer(Composer(programs.program(seed)).model)
        composer.add("Dense", shape=2)
        composer.save(tmp_path / f"m{seed}.py")
    done = subprocess.run([ruff, "check", "--isolated", str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_a_saved_program_runs_by_itself(tmp_path):
    composer = Composer()
    composer.add("Dense", shape=4, activation=C.relu)
    composer.save(tmp_path / "model.py")
    spec = importlib.util.spec_from_file_location("saved", tmp_path / "model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.model.shape == (4,)
    assert [p.name for p in tmp_path.iterdir() if p.suffix == ".py"] == ["model.py"]


def models():
    from cntk_lab.layers import LSTM, Convolution2D, Dense, Embedding, Fold, Recurrence, Sequential

    x, s = C.input_variable((1, 6, 6), name="l"), C.sequence.input_variable(4)
    both = (Recurrence(LSTM(3)), Recurrence(LSTM(3), go_backwards=True))
    return {
        "not applied": Sequential([Dense(4, activation=C.relu), Dense(2)]),
        "two outputs": C.combine([Dense(3)(x), Dense(2)(x)]),
        "criterion": C.cross_entropy_with_softmax(Dense(3)(x), C.input_variable(3)),
        "attributes": C.slice(C.reshape(C.softmax(Dense(6)(x), axis=0), (2, 3)), 0, 0, 1),
        "both directions": Sequential([Embedding(5), both, C.splice, Fold(LSTM(2)), Dense(2)])(s),
        "all of a cell": Recurrence(LSTM(4, use_peepholes=True, enable_self_stabilization=True, cell_shape=5))(s),
        "shortcut": C.layers.ResNetBlock(Convolution2D((3, 3), 1, pad=True))(x),
        "own weights": C.times(Dense(3)(x), C.parameter((3, 2), name="W")) + C.constant([1, 2]),
    }


@pytest.mark.parametrize("name", models())
def test_models_that_exist_open_with_their_weights(name):
    model = models()[name]
    composer = Composer(model)
    assert composer.problems == ()
    assert structure(composer.model) == structure(model)
    assert {id(p) for p in composer.model.parameters} == {id(p) for p in model.parameters}
    assert composer.report.new == composer.report.dropped == ()
    if name in ("not applied", "both directions", "all of a cell"):
        assert "C.parameter" not in composer.code
    again = Composer(composer.code)
    assert structure(again.model) == structure(model)
