"""Run: what is held, steered, rewound, forked or repeated gives the same numbers, bit for bit."""

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab import learners, settings
from cntk_lab.errors import AttributeValueError, DataError, FormatError, TrainingError
from cntk_lab.events import BUS, RunChanged
from cntk_lab.layers import BatchNormalization, Dense, Dropout, Sequential
from cntk_lab.train import Trainer, _run
from cntk_lab.train._arrays import Arrays
from cntk_lab.train._control import Change
from cntk_lab.train._feed import Minibatches, feed_of
from cntk_lab.train._history import History, read
from cntk_lab.train._run import Run

schedule = learners.learning_parameter_schedule
RNG = np.random.default_rng(5)
X = RNG.normal(size=(40, 6)).astype(np.float32)
Y = np.eye(3, dtype=np.float32)[np.argmax(X[:, :3], axis=1)]


@pytest.fixture(autouse=True)
def one_tier():
    """Kernels are there from the first step on: equal to the last bit are only runs on the same tier."""
    with settings.option(background_compilation=False):
        yield


def network(seed: int = 3, rate: float = 0.1):
    """A trainer with everything that has a memory: momentum, dropout, batch normalization."""
    C.cntk_py.set_fixed_random_seed(seed)
    try:
        x, y = C.input_variable(6, name="x"), C.input_variable(3, name="y")
        z = Sequential([Dense(8, activation=C.relu), BatchNormalization(), Dropout(0.4), Dense(3)])(x)
        criterion = (C.cross_entropy_with_softmax(z, y), C.classification_error(z, y))
        learner = learners.momentum_sgd(z.parameters, schedule(rate, 0), 0.9)
    finally:
        C.cntk_py.reset_random_seed(0)
    return Trainer(z, criterion, learner), {x: X, y: Y}


def run_of(max_steps: int = 30, **options) -> Run:
    trainer, data = network()
    options = {"doctor": False, "minibatch_size": 8, "max_steps": max_steps, **options}
    return Run(trainer, Arrays(data), **options)


def finish(run: Run) -> list[float]:
    run.start().wait(60)
    return list(run.history.loss)


def weights(run: Run) -> list[bytes]:
    return [p.value.tobytes() for p in run.trainer.model.parameters]


class At:
    """Acts on a run before one of its steps, in the run's own thread: no race in tests."""

    def __init__(self, run: Run, actions: dict) -> None:
        one = run._one

        def then(*args) -> None:
            one(*args)
            actions.get(run.step, lambda: None)()

        run._one = then


@pytest.fixture
def told():
    """Statuses that runs told, and a way to wait for one."""
    seen, arrived = [], threading.Condition()

    def listen(event: RunChanged) -> None:
        with arrived:
            seen.append((event.status, event.step))
            arrived.notify_all()

    end = BUS.subscribe(RunChanged, listen)

    def wait(status: str, step: int) -> None:
        with arrived:
            assert arrived.wait_for(lambda: (status, step) in seen, 20), seen

    yield wait
    end()


def test_paused_and_resumed_is_uninterrupted(told) -> None:
    plain = run_of()
    numbers, values = finish(plain), weights(plain)
    run = run_of()
    At(run, {5: run.pause, 20: run.pause})
    run.start()
    told("paused", 5)
    assert run.status == "paused"
    run.do_steps(3)
    told("paused", 8)
    run.resume()
    told("paused", 20)
    run.resume()
    run.wait(60)
    assert run.status == "finished"
    assert (list(run.history.loss), weights(run)) == (numbers, values)


def test_a_stopped_run_goes_on_where_it_was() -> None:
    numbers = finish(run_of())
    run = run_of()
    At(run, {7: run.stop})
    finish(run)
    assert (run.status, run.step) == ("stopped", 7)
    run.resume()
    run.wait(60)
    assert (run.status, list(run.history.loss)) == ("finished", numbers)


def test_a_run_with_recorded_changes_replays_bit_for_bit(tmp_path) -> None:
    run = run_of(file=tmp_path / "live.jsonl")
    rate = run.set_learning_rate
    At(run, {4: lambda: rate(0.5), 9: lambda: run.set_momentum(0.2), 15: lambda: rate(0.0)})
    numbers, values = finish(run), weights(run)
    assert run.history.changes == [
        Change(4, "learning_rate", 0.5), Change(9, "momentum", 0.2), Change(15, "learning_rate", 0.0),
    ]  # fmt: skip
    assert numbers != finish(run_of())
    recorded = read(tmp_path / "live.jsonl")
    again = run_of(changes=recorded.changes)
    assert (finish(again), weights(again)) == (numbers, values)
    assert again.history.changes == run.history.changes
    # a rate of 0 holds the parameters
    assert [c.value for c in run.history.rates if c.kind == "learning_rate"] == [np.float64(0.1), 0.5, 0.0]


def test_rewinding_to_any_step_gives_the_same_future() -> None:
    run = run_of()
    At(run, {10: lambda: run.set_learning_rate(0.3)})
    numbers, values = finish(run), weights(run)
    for step in (17, 11, 10):
        run.rewind(step)
        assert (run.step, run.status) == (step, "paused")
        if step == 10:  # the change was made before step 11
            run.set_learning_rate(0.3)
        run.resume()
        run.wait(60)
        assert (list(run.history.loss), weights(run)) == (numbers, values)


def test_keeping_a_state_does_not_hold_the_run_and_it_stays_on_the_shelf(told) -> None:
    run = run_of()
    with pytest.raises(AttributeValueError, match="has no step 3"):
        run.rewind(3)
    At(run, {5: run.pause})
    run.start()
    told("paused", 5)
    assert run.checkpoint() == 5
    assert run.status == "paused"
    run.resume()
    run.wait(60)
    assert {0, 5} <= set(run.checkpoints)


def test_a_fork_leaves_its_parent_as_it_was() -> None:
    run = run_of()
    numbers, values = finish(run), weights(run)
    fork = run.fork(12, "slow")
    assert weights(run) == values
    fork.set_learning_rate(0.01)
    fork.start().wait(60)
    assert (fork.name, fork.history.parent, fork.history.forked_at) == ("slow", "run" + run.name[3:], 12)
    assert list(fork.history.loss)[:13] == numbers[:13]
    assert list(fork.history.loss)[13:] != numbers[13:]
    assert fork.history.changes == [Change(12, "learning_rate", 0.01)]
    run.max_steps = 35
    run.start().wait(60)
    longer = run_of(35)
    assert list(run.history.loss) == finish(longer)


def test_progress_and_epoch_are_each_runs_own_though_forks_share_a_feed() -> None:
    run = run_of(max_steps=None, max_epochs=6)
    finish(run)
    assert (run.progress, run.epoch) == (1.0, 6)
    made = run.fork(7)  # five minibatches a sweep
    assert (made.progress, made.epoch) == (pytest.approx(7 / 30), 1)
    assert (run.progress, run.epoch) == (1.0, 6)
    made.do_steps(3)
    made.stop()
    made.wait(20)
    assert (run.progress, run.epoch) == (1.0, 6)


def test_the_time_that_is_left_follows_the_speed_of_late() -> None:
    run = run_of(max_steps=200)
    for _ in range(100):  # slow ones, as while kernels are compiled
        run._record.one(8, 1.0, 0.0, 1.0)
    assert run.remaining == pytest.approx(100.0)
    for _ in range(99):
        run._record.one(8, 1.0, 0.0, 0.125)
    assert run.remaining == pytest.approx(0.125, rel=0.2)


def test_two_runs_cannot_be_at_work_with_one_trainer(told) -> None:
    run = run_of()
    At(run, {5: run.pause})
    run.start()
    told("paused", 5)
    other = Run(run.trainer, run.feed, max_steps=3, doctor=False)
    with pytest.raises(TrainingError, match="is at work with the same trainer"):
        other.start()
    run.stop()
    run.wait(60)


def test_validation_moments_and_the_doctor_do_not_disturb(monkeypatch) -> None:
    monkeypatch.setattr(_run, "TELL_SECONDS", 0.0)
    trainer, data = network()
    keys = list(data)
    watched = Run(
        trainer, Arrays(data), minibatch_size=8, max_steps=30, validation=[{keys[0]: X[:20], keys[1]: Y[:20]}],
    )  # fmt: skip
    visits = []
    visit = watched._doctor.visit
    watched._doctor.due = lambda *_: True
    watched._doctor.visit = lambda *given, **more: visits.append(watched.step) or visit(*given, **more)
    numbers = finish(watched)
    assert visits == [*range(1, 31), 30]  # once more at the end
    assert numbers == finish(run_of())
    assert [v.step for v in watched.history.validation] == [5, 10, 15, 20, 25, 30]
    assert all(0 <= v.metric <= 1 and v.loss > 0 for v in watched.history.validation)


def test_limits_end_a_run() -> None:
    assert len(finish(run_of(None, max_epochs=2))) == 10
    assert len(finish(run_of(None, max_samples=20))) == 3
    run = run_of(None, max_epochs=2)
    assert run.progress == 0
    finish(run)
    assert (run.progress, run.remaining, run.epoch) == (1.0, 0.0, 2)
    with pytest.raises(AttributeValueError, match="max_epochs is 0"):
        run_of(None, max_epochs=0)


def test_an_error_ends_the_run_and_is_raised_where_it_is_waited_for() -> None:
    trainer, data = network()
    bad = [{k: v[:4] for k, v in data.items()}, {k: np.full_like(v[:4], np.nan) for k, v in data.items()}]
    run = Run(trainer, Minibatches(lambda: iter(bad)), max_epochs=1, doctor=False)
    run.start()
    with pytest.raises(DataError, match="contain 24 NaN"):
        run.wait(60)
    assert (run.status, run.step, run.history.findings[-1].kind) == ("failed", 1, "error")


def test_await_ends_with_the_run() -> None:
    async def main() -> Run:
        return await run_of(5).start()

    # on a thread of its own: other tests leave this one with an event loop that runs
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda: asyncio.run(main())).result().status == "finished"


def test_waiting_has_an_end(told) -> None:
    run = run_of()
    At(run, {2: run.pause})
    run.start()
    told("paused", 2)
    with pytest.raises(TrainingError, match="is not at its end after"):
        run.wait(0.01)
    run.stop()
    run.wait(60)


def test_the_rate_finder_puts_everything_back() -> None:
    numbers = finish(run_of())
    run = run_of()
    found = run.find_learning_rate(1e-4, 100.0, 40)
    assert 1e-3 < found.suggestion < 5
    assert found.rates[0] == pytest.approx(1e-4)
    assert finish(run) == numbers
    with pytest.raises(AttributeValueError, match="learning rates from 1 to 0"):
        run.find_learning_rate(1, 0.1)


def test_a_history_is_the_same_after_a_file(tmp_path) -> None:
    run = run_of(12, file=tmp_path / "live.jsonl")
    At(run, {4: lambda: run.set_learning_rate(0.5)})
    finish(run)
    run.rewind(8)
    run.resume()
    run.wait(60)
    saved = read(run.save(tmp_path / "run.jsonl"))
    assert saved == run.history
    live = read(tmp_path / "live.jsonl")
    assert (live.loss, live.changes, live.rates) == (saved.loss, saved.changes, saved.rates)
    first = json.loads((tmp_path / "run.jsonl").read_text().splitlines()[0])
    assert (first["format"], first["version"], first["has_metric"]) == ("cntk-lab-run", 1, True)


def test_looking_at_the_numbers_does_not_keep_them_from_growing() -> None:
    history = History("h")
    history.append(1, 2.0, 0.0, 0.5)
    seen = [np.asarray(history.loss), history.loss[:], np.array(history.samples)]
    history.append(2, 1.0, 0.0, 0.5)
    assert [len(s) for s in seen] == [1, 1, 1]
    assert np.asarray(history.loss).tolist() == [2.0, 1.0]


def test_numbers_that_are_not_finite_survive_a_file(tmp_path) -> None:
    history = History("h")
    for value in (float("inf"), float("-inf"), 1.0):
        history.append(1, value, 0.0, 0.5)
    assert list(read(history.save(tmp_path / "h.jsonl")).loss) == [float("inf"), float("-inf"), 1.0]


def test_a_line_that_was_cut_short_is_left_out_and_a_damaged_one_is_named(tmp_path) -> None:
    history = History("h")
    history.append(1, 2.0, 0.0, 0.5)
    path = history.save(tmp_path / "h.jsonl")
    whole = path.read_text()
    path.write_text(whole + '{"kind":"load","st')
    assert read(path) == history
    path.write_text(whole + '{"kind":"bomb"}\n')
    with pytest.raises(FormatError, match="line 3 is damaged"):
        read(path)
    path.write_text('{"format":"something"}\n')
    with pytest.raises(FormatError, match="no run of format cntk-lab-run"):
        read(path)
    path.write_text("")
    with pytest.raises(FormatError, match="the file is empty"):
        read(path)


def test_the_users_data_become_a_feed() -> None:
    _, data = network()
    arguments = list(data)
    for given in (data, {"x": X, "y": Y}, (X, Y)):
        feed = feed_of(given, arguments, None, shuffle=False, seed=0)
        assert np.array_equal(feed.next(4).arguments[arguments[0]], X[:4])
    minibatches = [{arguments[0]: X[:4]}, {arguments[0]: X[4:]}]
    for given in (minibatches, lambda: iter(minibatches)):
        feed = feed_of(given, arguments, None, shuffle=True, seed=0)
        assert [feed.next(1).ends_sweep for _ in range(3)] == [False, True, False]
        place = feed.place()
        assert feed.next(1).arguments is minibatches[1]
        feed.restore(place)
        assert feed.next(1).arguments is minibatches[1]
    with pytest.raises(AttributeValueError, match="the criterion has no input 'z'"):
        feed_of({"z": X}, arguments, None, shuffle=True, seed=0)
    with pytest.raises(AttributeValueError, match="the data have 1 part, the criterion has 2 inputs: x, y"):
        feed_of((X,), arguments, None, shuffle=True, seed=0)
    with pytest.raises(AttributeValueError, match="data of type int give no minibatches"):
        feed_of(3, arguments, None, shuffle=True, seed=0)
    with pytest.raises(DataError, match="x: 40, y: 3"):
        feed_of({"x": X, "y": Y[:3]}, arguments, None, shuffle=True, seed=0)


def test_each_sweep_has_every_sample_once_in_an_order_of_its_own() -> None:
    feed = Arrays({"x": np.arange(10)})
    sweeps = [[i for _ in range(4) for i in feed.next(3).arguments["x"].tolist()] for _ in range(3)]
    assert [sorted(s) for s in sweeps] == [list(range(10))] * 3
    assert sweeps[0] != sweeps[1] != sweeps[2]


def test_a_run_that_is_killed_at_once_leaves_its_first_steps(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(_run, "TELL_SECONDS", 1e9)  # as if everything happened within no time
    file, on_disk = tmp_path / "short.jsonl", []

    class Watching(Arrays):
        def next(self, size):
            on_disk.append(read(file).step)
            return super().next(size)

    trainer, data = network()
    Run(trainer, Watching(data), doctor=False, minibatch_size=8, max_steps=10, file=file).start().wait(60)
    assert on_disk == [0, 1, 2, 2, 4, 4, 4, 4, 8, 8]
