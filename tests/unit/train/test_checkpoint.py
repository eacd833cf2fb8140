"""Checkpoints: whatever moment training is killed at, it goes on from the newest whole one, with equal results."""

import contextlib
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab.errors import LabWarning, TrainingError
from cntk_lab.train import CheckpointConfig, Trainer, training_session
from cntk_lab.train._checkpoint import candidates, save_pair, settle

KILLS = int(os.environ.get("CNTK_LAB_TEST_KILLS", "10"))

PROGRAM = """
import sys
import numpy as np
import cntk_lab as C
from cntk_lab.train import CheckpointConfig, TrainingSession

folder = sys.argv[1]
C.cntk_py.set_fixed_random_seed(7)
streams = C.io.StreamDefs(x=C.io.StreamDef("x", 3), y=C.io.StreamDef("y", 1))
source = C.io.MinibatchSource(C.io.CTFDeserializer(folder + "/data.ctf", streams), max_samples=640)
x, y = C.input_variable(3), C.input_variable(1)
w, v = C.parameter((3, 5), init=0.1 * np.arange(15, dtype=np.float32).reshape(3, 5)), C.parameter((5, 1), init=0.2)
z = C.times(C.dropout(C.tanh(C.times(x, w)), 0.3), v)
trainer = C.Trainer(z, C.squared_error(z, y), C.adam([w, v], 0.01, 0.9))

class Session(TrainingSession):
    def on_minibatch_end(self):
        print("minibatch", flush=True)
    def on_checkpoint_start(self, index):
        print("checkpoint", flush=True)

preserve = sys.argv[2] == "all"
Session(trainer, source, 8, {x: source.streams.x, y: source.streams.y}, 640, None,
        CheckpointConfig(folder + "/model", frequency=24, preserve_all=preserve)).train()
np.save(folder + "/result.npy", np.concatenate([w.value.ravel(), v.value.ravel()]))
"""


def _prepare(folder: Path) -> None:
    numbers = np.random.default_rng(1).normal(size=(100, 4)).round(3)
    (folder / "data.ctf").write_text("".join(f"|x {a} {b} {c} |y {d}\n" for a, b, c, d in numbers))
    (folder / "program.py").write_text(PROGRAM)


def _start(folder: Path, keep: str) -> Any:
    variables = {**os.environ, "CNTK_LAB_NATIVE": "0", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.Popen(
        [sys.executable, str(folder / "program.py"), str(folder), keep],
        stdout=subprocess.PIPE,
        text=True,
        env=variables,
    )


@pytest.mark.timeout(60 * (KILLS + 2))
def test_killed_training_goes_on_as_if_nothing_had_been(tmp_path: Path) -> None:
    """Kills come at random moments; half of them while a checkpoint is written."""
    whole = tmp_path / "whole"
    broken = tmp_path / "broken"
    chance = random.Random(20)
    for folder in (whole, broken):
        folder.mkdir()
        _prepare(folder)
    process = _start(whole, "newest")
    process.communicate()
    assert process.returncode == 0
    expected = np.load(whole / "result.npy")
    finished = 0
    for kill in range(KILLS):
        keep = "all" if kill % 2 else "newest"
        process = _start(broken, keep)
        wanted, lines = chance.choice(["minibatch", "checkpoint"]), chance.randint(1, 4)
        for line in process.stdout:
            lines -= line.strip() == wanted
            if not lines:
                break
        else:  # it ended before the moment came
            assert process.wait() == 0
        until = time.perf_counter() + chance.uniform(0, 0.01)
        while time.perf_counter() < until:
            pass
        process.kill()
        process.communicate()
        if (broken / "result.npy").exists():  # it was done: the result is right, and the next run begins anew
            finished += 1
            assert np.array_equal(np.load(broken / "result.npy"), expected)
            for file in broken.glob("*model*"):
                file.unlink()
            (broken / "result.npy").unlink()
    process = _start(broken, "newest")
    process.communicate()
    assert process.returncode == 0
    assert np.array_equal(np.load(broken / "result.npy"), expected)
    assert finished < KILLS


class _Killed(BaseException):
    pass


@pytest.mark.parametrize("moment", range(1, 7))
def test_a_save_cut_short_leaves_the_old_pair_or_the_new_one(
    tmp_path: Path, moment: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "m"

    def save(text: str) -> None:
        save_pair(model, lambda file: file.write_text(f"model {text}"), lambda file: file.write_text(f"state {text}"))

    save("old")
    steps = 0

    def dies(function: Any) -> Any:
        def call(*arguments: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps == moment:
                raise _Killed
            result = function(*arguments)
            steps += 1
            if steps == moment:
                raise _Killed
            return result

        return call

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", dies(Path.replace))
        patch.setattr(Path, "write_text", dies(Path.write_text))
        patch.setattr(Path, "unlink", lambda *_, **__: None)  # a killed process cleans nothing up
        with contextlib.suppress(_Killed):
            save("new")
    assert candidates(model) == [model]
    pair = (model.read_text(), (tmp_path / "m.ckp").read_text())
    assert pair in {("model old", "state old"), ("model new", "state new")}
    assert sorted(f.name for f in tmp_path.iterdir()) == ["m", "m.ckp"]


def test_what_a_killed_writer_left_is_cleared_away(tmp_path: Path) -> None:
    left = tmp_path / ".m.saving.123-ab.partial"
    left.write_text("half")
    stranger = tmp_path / ".other.saving.123-ab.partial"
    stranger.write_text("half")
    settle(tmp_path / "m")
    assert not left.exists()
    assert stranger.exists()


def test_checkpoints_are_found_newest_first(tmp_path: Path) -> None:
    for name in ("m", "m2", "m10", "m9", "mx"):
        (tmp_path / name).write_text("")
        if name != "m9":
            (tmp_path / (name + ".ckp")).write_text("")
    assert [f.name for f in candidates(tmp_path / "m")] == ["m", "m10", "m2"]
    assert candidates(tmp_path / "nowhere" / "m") == []


def _session(folder: Path, samples: int, **options: Any) -> tuple[Trainer, Any]:
    x, w = C.input_variable(1), C.parameter((1,), init=1.0)
    trainer = Trainer(None, C.square(x * w), C.momentum_sgd([w], 0.01, 0.9))
    source = C.io.MinibatchSourceFromData({"x": np.arange(1, 9, dtype=np.float32)[:, None] / 8})
    config = CheckpointConfig(str(folder / "m"), **{"frequency": 4, **options})
    return trainer, training_session(
        trainer, source, 4, {x: source.streams.x}, max_samples=samples, checkpoint_config=config
    )


def test_a_damaged_checkpoint_is_left_out_with_a_warning(tmp_path: Path) -> None:
    trainer, session = _session(tmp_path, 12, preserve_all=True)
    session.train()
    assert sorted(f.name for f in tmp_path.iterdir()) == ["m", "m.ckp", "m0", "m0.ckp", "m1", "m1.ckp", "m2", "m2.ckp"]
    for name in ("m.ckp", "m2.ckp"):
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:40])
    again, session = _session(tmp_path, 8, preserve_all=True)
    with pytest.warns(LabWarning, match="is left out"):
        session.train()
    assert again.total_number_of_samples_seen == 8
    assert trainer.total_number_of_samples_seen == 12


def test_without_a_whole_checkpoint_training_does_not_start_anew_by_itself(tmp_path: Path) -> None:
    _session(tmp_path, 8)[1].train()
    (tmp_path / "m.ckp").write_bytes(b"nothing")
    with pytest.warns(LabWarning), pytest.raises(TrainingError, match="none of the 1 checkpoints can be read"):
        _session(tmp_path, 8)[1].train()
    trainer, session = _session(tmp_path, 8, restore=False)
    session.train()
    assert trainer.total_number_of_samples_seen == 8


def test_a_session_that_is_done_trains_no_more_and_a_longer_one_goes_on(tmp_path: Path) -> None:
    first, session = _session(tmp_path, 8)
    session.train()
    again, session = _session(tmp_path, 8)
    session.train()
    assert np.array_equal(
        again.parameter_learners[0].parameters[0].value, first.parameter_learners[0].parameters[0].value
    )
    longer, session = _session(tmp_path, 16)
    session.train()
    straight, session = _session(tmp_path / "other", 16)
    session.train()
    assert longer.total_number_of_samples_seen == 16
    assert np.array_equal(
        longer.parameter_learners[0].parameters[0].value, straight.parameter_learners[0].parameters[0].value
    )


def test_the_newest_of_plain_and_numbered_checkpoints_is_taken(tmp_path: Path) -> None:
    _session(tmp_path, 8, preserve_all=True)[1].train()
    trainer, session = _session(tmp_path, 16, preserve_all=True)
    session.train()
    for name in ("m", "m.ckp"):  # as if killed before the last file: the plain one is the older
        (tmp_path / name).unlink()
    (tmp_path / "m1").rename(tmp_path / "m")
    (tmp_path / "m1.ckp").rename(tmp_path / "m.ckp")
    again, session = _session(tmp_path, 16, preserve_all=True)
    session.train()
    assert again.parameter_learners[0].total_number_of_minibatches_seen() == 4
    assert np.array_equal(
        again.parameter_learners[0].parameters[0].value, trainer.parameter_learners[0].parameters[0].value
    )


def test_the_model_file_has_the_outputs_that_cntk_writes_and_asks_for(tmp_path: Path) -> None:
    """Recorded: outputs of ``tests/golden/models/checkpoint_two_learners``, whose loss is its metric too."""
    x, y = C.input_variable(2, name="x"), C.input_variable(1, name="y")
    w, b, v = (C.parameter(shape, init=0.1, name=n) for shape, n in (((2, 3), "W"), ((3,), "b"), ((3, 1), "V")))
    z = C.times(C.tanh(C.times(x, w) + b), v, name="z")
    loss = C.squared_error(z, y)
    trainer = Trainer(z, (loss, loss), [C.adam([w, b], 0.02, 0.9), C.sgd([v], 0.1)])
    trainer.save_checkpoint(tmp_path / "m")
    recorded = C.load_model(str(Path(__file__).parents[2] / "golden" / "models" / "checkpoint_two_learners"))
    ours = C.load_model(str(tmp_path / "m"))
    assert [o.name for o in ours.outputs] == ["z", "", "aggregateLoss", "", "aggregateEvalMetric"]
    for one, other in zip(ours.outputs, recorded.outputs, strict=True):
        assert (one.name, one.shape, one.dynamic_axes) == (other.name, other.shape, other.dynamic_axes)
    values = ours.eval({a: np.ones((4, *a.shape), np.float32) for a in ours.arguments})
    _, each, total, _, metric = (values[o] for o in ours.outputs)
    assert total == metric == pytest.approx(each.sum(), rel=1e-6)
