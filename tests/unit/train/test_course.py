"""What decides how a training goes on, beside parameters and learners, comes back from a checkpoint bit for bit."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab import settings
from cntk_lab.errors import FormatError, LabWarning, SequenceError
from cntk_lab.formats.cntk.trainer_state import read_checkpoint, write_checkpoint
from cntk_lab.train import CheckpointConfig, DataUnit, TrainingSession
from cntk_lab.train._course import ENTRY

Parts = tuple[Any, list[Any], Callable[[int], dict[Any, Any]]]


def _noisy() -> Parts:
    """Dropout, random operators, and words drawn on the host."""
    x = C.input_variable(6)
    w = C.parameter((6, 4), init=np.linspace(-1, 1, 24, dtype=np.float32).reshape(6, 4))
    noise = C.dropout(C.times(x, w), 0.4, seed=3) + C.random.normal_like(C.times(x, w), 0, 0.1, seed=4)
    drawn = C.random_sample(C.constant(np.ones(4, np.float32)), 2, True, seed=5)
    chosen = C.times(drawn, C.constant(np.arange(4, dtype=np.float32).reshape(4, 1))) * C.reduce_sum(w)
    loss = C.reduce_mean(C.square(noise)) + C.reduce_sum(chosen)
    trainer = C.Trainer(None, loss, C.momentum_sgd([w], 0.05, 0.9))
    return trainer, [w], lambda i: {x: np.random.default_rng(i).normal(size=(5, 6)).astype(np.float32)}


def _carrying() -> Parts:
    """An LSTM and a delay of two frames over pieces of long sequences: every minibatch continues the one before."""
    x = C.sequence.input_variable(2)
    h = C.layers.Recurrence(C.layers.LSTM(3, init=0.4))(x)
    y = C.layers.Dense(1, init=0.3)(h + C.times(C.sequence.past_value(x, time_step=2), np.ones((2, 3), np.float32)))
    loss = C.reduce_sum(C.square(y - 0.5))
    trainer = C.Trainer(None, loss, C.sgd(list(loss.parameters), 0.02))

    def minibatch(i: int) -> dict[Any, Any]:
        frames = np.random.default_rng(i).normal(size=(3, 4, 2)).astype(np.float32)
        begins = [i == 0, i in (0, 3), i == 0]
        return {x: C.Value.create(x, [f[: 4 - k] for k, f in enumerate(frames)], begins)}

    return trainer, list(loss.parameters), minibatch


@pytest.fixture(params=["counter streams", "CNTK's streams"])
def random_streams(request: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "flag", _flag(request.param == "CNTK's streams"))


def _flag(cntk_random: bool) -> Callable[[str], bool]:
    whole = settings.flag
    return lambda name: cntk_random if name == "cntk_random" else whole(name)


@pytest.mark.usefixtures("random_streams")
@pytest.mark.parametrize("make", [_noisy, _carrying])
def test_a_restored_trainer_goes_on_bit_for_bit_in_a_graph_with_other_uids(
    make: Callable[[], Parts], tmp_path: Path
) -> None:
    trainer, parameters, minibatch = make()
    for i in range(3):
        trainer.train_minibatch(minibatch(i))
    trainer.save_checkpoint(tmp_path / "model")
    losses = []
    for i in range(3, 6):
        trainer.train_minibatch(minibatch(i))
        losses.append(trainer.previous_minibatch_loss_average)
    other, others, data = make()
    other.train_minibatch(data(0))  # what happened before is forgotten
    assert other.restore_from_checkpoint(tmp_path / "model") == {}
    for i in range(3, 6):
        other.train_minibatch(data(i))
        assert other.previous_minibatch_loss_average == losses[i - 3]
    for one, another in zip(parameters, others, strict=True):
        np.testing.assert_array_equal(one.value, another.value)


def test_a_checkpoint_of_another_model_is_told(tmp_path: Path) -> None:
    trainer, _, minibatch = _noisy()
    trainer.train_minibatch(minibatch(0))
    trainer.save_checkpoint(tmp_path / "model")
    x, w = C.input_variable(6), C.parameter((6, 4), init=0.0)
    other = C.Trainer(None, C.reduce_mean(C.dropout(C.times(x, w), 0.5)), C.momentum_sgd([w], 0.05, 0.9))
    with pytest.warns(LabWarning, match="random streams or carried frames of 3 operators, this model has other ones"):
        other.restore_from_checkpoint(tmp_path / "model")


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"random_streams": {"Dropout1": "counter 3"}, "nodes": ["Dropout1"]}, "'counter 3' is no random stream"),
        ({"random_streams": {"Dropout1": "mt19937-64 5 AAAA"}}, "is no place in a random stream|312 are needed"),
        ({"random_streams": {"Dropout1": 3}}, "the entry 'random_streams' of a checkpoint's course is damaged"),
        ({"carried_frames": "x"}, "the entry 'carried_frames' of a checkpoint's course is damaged"),
    ],
)
def test_a_damaged_course_changes_nothing(entry: dict[str, Any], words: str, tmp_path: Path) -> None:
    x, w = C.input_variable(6), C.parameter((6, 4), init=0.5)
    noisy = C.dropout(C.times(x, w), 0.5)
    trainer = C.Trainer(None, C.reduce_mean(noisy), C.momentum_sgd([w], 0.05, 0.9))
    trainer.save_checkpoint(tmp_path / "model")
    learners, _ = read_checkpoint(tmp_path / "model.ckp")
    streams = entry.get("random_streams")
    if streams is not None:
        entry = {**entry, "random_streams": {noisy.root_function.uid: streams["Dropout1"]}}
    write_checkpoint(tmp_path / "model.ckp", learners, {ENTRY: entry})
    w.value = np.full((6, 4), 9, np.float32)
    with pytest.raises(FormatError, match=words):
        trainer.restore_from_checkpoint(tmp_path / "model")
    assert w.value.min() == 9


def test_a_session_over_truncated_sequences_goes_on_bit_for_bit(tmp_path: Path) -> None:
    numbers = np.random.default_rng(1).normal(size=(6, 11, 3)).round(3)
    lines = [f"{i} |x {f[0]} {f[1]} |y {f[2]}\n" for i, s in enumerate(numbers) for f in s[: 7 + i % 5]]
    (tmp_path / "data.ctf").write_text("".join(lines))

    class Session(TrainingSession):
        left = 1000

        def on_minibatch_end(self) -> bool:
            self.left -= 1
            return self.left > 0

    def train(folder: Path, minibatches: int) -> Any:
        folder.mkdir(exist_ok=True)
        streams = C.io.StreamDefs(x=C.io.StreamDef("x", 2), y=C.io.StreamDef("y", 1))
        file = C.io.CTFDeserializer(str(tmp_path / "data.ctf"), streams)
        source = C.io.MinibatchSource(file, truncation_length=3, max_sweeps=4)
        x, y = C.sequence.input_variable(2), C.sequence.input_variable(1)
        z = C.layers.Dropout(0.2, seed=2)(C.layers.Recurrence(C.layers.GRU(3, init=0.4))(x))
        z = C.layers.Dense(1, init=0.3)(z)
        trainer = C.Trainer(z, C.squared_error(z, y), C.adam(z.parameters, 0.02, 0.9))
        config = CheckpointConfig(str(folder / "model"), frequency=(1, DataUnit.minibatch))
        inputs = {x: source.streams.x, y: source.streams.y}
        session = Session(trainer, source, 6, inputs, checkpoint_config=config)
        session.left = minibatches
        session.train()
        return np.concatenate([p.value.ravel() for p in z.parameters])

    # NumPy, which serves while kernels are being compiled, rounds some functions otherwise than they do
    with settings.option(background_compilation=False):
        whole = train(tmp_path / "whole", 1000)
        for minibatches in (1, 3, 2, 5, 1, 1000):
            broken = train(tmp_path / "broken", minibatches)
    np.testing.assert_array_equal(broken, whole)


def test_pieces_go_on_from_their_slot_as_in_cntk(tmp_path: Path) -> None:
    """Two sequences are cut side by side, pieces of a third follow in the same minibatch: CNTK 2.7's numbers."""
    frames = np.random.RandomState(1).normal(size=(6, 11, 3)).round(3)
    lines = [f"{i} |x {f[0]} {f[1]} |y {f[2]}\n" for i, s in enumerate(frames) for f in s[: 7 + i % 5]]
    (tmp_path / "data.ctf").write_text("".join(lines))
    streams = C.io.StreamDefs(x=C.io.StreamDef("x", 2), y=C.io.StreamDef("y", 1))
    file = C.io.CTFDeserializer(str(tmp_path / "data.ctf"), streams)
    source = C.io.MinibatchSource(file, truncation_length=3, max_sweeps=1, randomize=False)
    x, y = C.sequence.input_variable(2), C.sequence.input_variable(1)
    w = C.parameter((2, 1), init=np.array([[1], [0.5]], np.float32))
    z = C.times(C.sequence.past_value(x, time_step=1) + x, w)
    trainer = C.Trainer(z, C.squared_error(z, y), C.sgd([w], C.learning_parameter_schedule_per_sample(0.01)))
    sequences, losses = [], []
    while minibatch := source.next_minibatch(6, {x: source.streams.x, y: source.streams.y}):
        sequences.append(minibatch[x].num_sequences)
        trainer.train_minibatch(minibatch)
        losses.append(trainer.previous_minibatch_loss_average)
    assert sequences == [2, 2, 4, 2, 2, 3, 2, 2, 2]
    recorded = [4.807802, 3.167815, 0.753811, 2.426948, 0.638594, 2.072889, 0.379209, 0.671970, 0.433654]
    assert losses == pytest.approx(recorded, abs=2e-6)
    assert w.value.ravel().tolist() == pytest.approx([0.1328998, 0.27600873], abs=2e-6)


def test_a_sequence_that_continues_nothing_is_told() -> None:
    x = C.sequence.input_variable(1)
    f = C.sequence.past_value(x + 0)
    f.eval(C.Value.create(x, [np.ones((2, 1), np.float32)], [True]))
    with pytest.raises(SequenceError, match="a sequence continues number 1 of the minibatch before, which had 1"):
        f.eval(C.Value.create(x, [np.ones((2, 1), np.float32)] * 2, [True, False]))
