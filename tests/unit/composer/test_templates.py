"""Every template is a network: without problems, evaluated, drawn, saved and opened again."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse

import cntk_lab as C
from cntk_lab import lab  # noqa: F401  (C.lab)
from cntk_lab.composer import Composer, templates
from cntk_lab.errors import AttributeValueError, GraphError


@pytest.mark.parametrize("template", templates(), ids=lambda t: t.name)
def test_a_template_is_a_network_that_runs_and_comes_back_from_its_file(template, tmp_path: Path) -> None:
    composer = Composer()
    composer.begin(template.name)
    assert composer.problems == ()
    assert composer.unused == ()
    assert composer.total["parameters"] > 1000
    assert composer.undoable[0] == f"begin with {template.title}"
    model = composer.model
    random = np.random.default_rng(0)
    data = {}
    for v in model.arguments:
        frames = random.uniform(0, 1, (3, *v.shape)).astype(np.float32)
        if v.is_sparse:
            frames = scipy.sparse.csr_matrix(np.eye(v.shape[0], dtype=np.float32)[:3])
        data[v.name] = [frames] if len(v.dynamic_axes) == 2 else frames
    values = model.forward({v: data[v.name] for v in model.arguments}, model.outputs)[1]
    assert all(np.isfinite(np.asarray(part)).all() for value in values.values() for part in value)
    model.save(str(tmp_path / "net.model"))
    again = Composer(tmp_path / "net.model")
    assert again.problems == ()
    assert again.total["parameters"] == composer.total["parameters"]
    composer.undo()
    assert composer.code == Composer().code


def test_a_template_that_does_not_exist_is_named() -> None:
    with pytest.raises(AttributeValueError, match="no template 'vgg'"):
        Composer().begin("vgg")


@pytest.mark.parametrize("template", [t for t in templates() if t.name != "gan"], ids=lambda t: t.name)
def test_the_cell_that_trains_a_template_trains_it(template, monkeypatch: pytest.MonkeyPatch) -> None:
    composer = Composer(template.source)
    cell = composer.training_cell("composer.model")
    steps: list[float] = []

    def train(what, data, learner, **options):
        criterion = what[0]
        trainer = C.Trainer(options["model"], what, [learner])
        data = {v: d[:4] for v, d in data.items()}
        for _ in range(2):
            trainer.train_minibatch(data)
            steps.append(trainer.previous_minibatch_loss_average)
        assert criterion.parameters == options["model"].parameters

    monkeypatch.setattr(C.lab, "train", train)
    images = SimpleNamespace(pixels=np.ones((4, 1, 28, 28), np.uint8), labels=np.array([1, 2, 3, 4]))
    monkeypatch.setattr(C.datasets, "mnist", lambda: SimpleNamespace(train=images))
    exec(compile(cell, "cell", "exec"), {"composer": composer})  # noqa: S102  (what is tested is that it runs)
    assert len(steps) == 2
    assert np.isfinite(steps).all()


def test_a_network_of_two_outputs_has_no_loss_that_goes_without_saying() -> None:
    composer = Composer()
    composer.begin("gan")
    with pytest.raises(GraphError, match="2 outputs"):
        composer.training_cell()
