"""Checkpoint files of trainers: training goes on bit for bit, and CNTK's own checkpoints are understood."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab import formats, learners
from cntk_lab.errors import FormatError
from cntk_lab.formats.cntk.trainer_state import read_checkpoint, write_checkpoint
from cntk_lab.graph import ports
from cntk_lab.graph.variable import Parameter
from cntk_lab.train import Trainer

MODELS = Path(__file__).parents[1] / "golden" / "models"
CHECKPOINTS = sorted(MODELS.glob("*.ckp"))
schedule = learners.learning_parameter_schedule


@pytest.fixture(autouse=True)
def files(monkeypatch: pytest.MonkeyPatch) -> None:
    sockets = {"save": formats.save, "restore": formats.restore}
    for name, function in {**sockets, "write_checkpoint": write_checkpoint, "read_checkpoint": read_checkpoint}.items():
        monkeypatch.setitem(ports._sockets, name, function)


class Regression:
    """A linear model with squared error."""

    def __init__(self, learner: str) -> None:
        self.x, self.y = C.input_variable(3), C.input_variable(2)
        self.w, self.b = Parameter((3, 2), init=0.5, name="w"), Parameter((2,), init=0.0, name="b")
        z = C.times(self.x, self.w) + self.b
        rate = schedule([0.1, 0.02], 1, 40)
        make: dict[str, Callable[[list[Parameter]], learners.Learner]] = {
            "sgd": lambda p: learners.sgd(p, rate),
            "momentum_sgd": lambda p: learners.momentum_sgd(p, rate, 0.9),
            "adam": lambda p: learners.adam(p, rate, 0.9),
            "fsadagrad": lambda p: learners.fsadagrad(p, rate, 0.9),
            "rmsprop": lambda p: learners.rmsprop(p, rate, 0.9, 1.2, 0.8, 2.0, 0.1),
        }
        self.trainer = Trainer(z, ((z - self.y) * (z - self.y), C.abs(z - self.y)), [make[learner]([self.w, self.b])])

    def train(self, first: int, last: int) -> None:
        for i in range(first, last):
            random = np.random.default_rng(i)
            x = random.normal(size=(8, 3)).astype(np.float32)
            self.trainer.train_minibatch({self.x: x, self.y: x[:, :2]})


@pytest.mark.parametrize("learner", ["sgd", "momentum_sgd", "adam", "fsadagrad", "rmsprop"])
def test_training_goes_on_from_files_as_if_never_interrupted(learner: str, tmp_path: Path) -> None:
    whole, broken = Regression(learner), Regression(learner)
    whole.train(0, 8)
    broken.train(0, 4)
    broken.trainer.save_checkpoint(tmp_path / "model", {"epoch": 3, "name": "x"})
    broken.train(20, 25)
    assert broken.trainer.restore_from_checkpoint(tmp_path / "model") == {"epoch": 3, "name": "x"}
    broken.train(4, 8)
    assert (broken.w.value == whole.w.value).all()
    assert (broken.b.value == whole.b.value).all()
    assert broken.trainer.total_number_of_samples_seen == 64
    assert broken.trainer.parameter_learners[0].learning_rate() == 0.02


def test_a_damaged_checkpoint_changes_nothing(tmp_path: Path) -> None:
    regression = Regression("adam")
    regression.train(0, 2)
    regression.trainer.save_checkpoint(tmp_path / "model")
    state = tmp_path / "model.ckp"
    state.write_bytes(state.read_bytes()[:-20])
    before = (regression.w.value, str(regression.trainer.parameter_learners[0].create_checkpoint()))
    with pytest.raises(FormatError):
        regression.trainer.restore_from_checkpoint(tmp_path / "model")
    after = (regression.w.value, str(regression.trainer.parameter_learners[0].create_checkpoint()))
    assert (after[0] == before[0]).all()
    assert after[1] == before[1]


@pytest.mark.parametrize("path", CHECKPOINTS, ids=lambda p: p.name)
def test_checkpoints_of_cntk_are_read_and_written_alike(path: Path, tmp_path: Path) -> None:
    found, external = read_checkpoint(path)
    write_checkpoint(tmp_path / "again.ckp", found, external)
    again, external_again = read_checkpoint(tmp_path / "again.ckp")
    assert (str(again), str(external_again)) == (str(found), str(external))
    for entries, entries_again in zip(found, again, strict=True):
        arrays, arrays_again = entries["smoothed_gradients"], entries_again["smoothed_gradients"]
        assert [(a.dtype, a.tolist()) for a in arrays] == [(a.dtype, a.tolist()) for a in arrays_again]


def test_state_of_cntks_adam_is_taken_over() -> None:
    ((found,), _) = read_checkpoint(MODELS / "checkpoint_adam.ckp")
    shapes = [(a.shape[0] // 2, a.shape[1]) for a in found["smoothed_gradients"]]
    parameters = [Parameter(s, init=0.0) for s in shapes]
    learner = learners.adam(parameters, 0.1, 0.9)
    learner.restore_from_checkpoint(found)
    assert learner.total_number_of_samples_seen() == found["sample_count"]
    made = learner.create_checkpoint()
    for mine, theirs in zip(made["smoothed_gradients"], found["smoothed_gradients"], strict=True):
        assert (mine == theirs).all()
    assert made["smoothed_count"] == found["smoothed_count"]
