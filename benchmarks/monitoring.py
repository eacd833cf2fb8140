"""What watching costs: seconds that a run spends outside of the training step, per step, with monitor and without.

The step itself is replaced by nothing, so that only what the run adds is measured: the same run is timed against a bare
loop over the feed; the median of several repetitions counts. Seconds are those of this process' CPU time, so that other
work on the machine does not count. A report to the sidebar of JupyterLab is measured with the one to the monitor.
``python benchmarks/monitoring.py``
"""

from __future__ import annotations

import statistics
import time

import numpy as np

import cntk_lab as C
from cntk_lab.layers import Dense, Sequential
from cntk_lab.learners import learning_parameter_schedule, momentum_sgd
from cntk_lab.train import Trainer
from cntk_lab.train._feed import Arrays
from cntk_lab.train._run import Run
from cntk_lab.widgets import inventory
from cntk_lab.widgets.monitor import TrainingMonitor

SECONDS_PER_STEP = 1e-3
REPORTS = 5
"""To the monitor, in a second."""
REPEATS = 7


def trainer_and_data():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(640, 20)).astype(np.float32)
    labels = np.eye(3, dtype=np.float32)[np.argmax(features[:, :3], axis=1)]
    x, y = C.input_variable(20), C.input_variable(3)
    z = Sequential([Dense(32, activation=C.relu), Dense(3)])(x)
    criterion = (C.cross_entropy_with_softmax(z, y), C.classification_error(z, y))
    trainer = Trainer(z, criterion, momentum_sgd(z.parameters, learning_parameter_schedule(0.01, 0), 0.9))
    return trainer, {x: features, y: labels}


def cost(steps, monitored):
    """Seconds per step: of the run's loop, less those of a bare loop."""
    trainer, data = trainer_and_data()
    trainer.train_minibatch(Arrays(data).next(64).arguments)
    trainer.train_minibatch = lambda arguments, is_sweep_end=False: True
    feed = Arrays(data)
    start = time.process_time()
    for _ in range(steps):
        trainer.train_minibatch(feed.next(64).arguments)
    bare = time.process_time() - start
    run = Run(trainer, Arrays(data), minibatch_size=64, max_steps=steps, doctor=False)
    monitor = TrainingMonitor(run) if monitored else None
    start = time.process_time()
    run.start().wait()
    whole = time.process_time() - start
    if monitor is not None:
        monitor.close()
    return (whole - bare) / steps


def tick():
    """Seconds that one report to the browser takes, with a history of 100,000 steps."""
    trainer, data = trainer_and_data()
    run = Run(trainer, Arrays(data), minibatch_size=64, max_steps=10, doctor=False)
    monitor = TrainingMonitor(run)
    inventory.inventory({}, watch=True)
    run.start().wait()
    times, told = [], []
    for i in range(100_000):
        run.history.append(64 * i, 1.0 / (1 + i), 0.5, 1e-3 * i)
        if i % 200 == 0:
            start = time.process_time()
            run._tell("running")
            times.append(time.process_time() - start)
            start = time.process_time()
            inventory._reporter[0].tell()
            told.append(time.process_time() - start)
    monitor.close()
    return statistics.median(times), statistics.median(told)


def main():
    plain = statistics.median(cost(20_000, monitored=False) for _ in range(REPEATS))
    watched = statistics.median(cost(20_000, monitored=True) for _ in range(REPEATS))
    report, line = tick()
    whole = plain / SECONDS_PER_STEP + REPORTS * report + line / inventory.SECONDS
    print(f"the run's loop: {1e6 * plain:.1f} us a step, {1e6 * watched:.1f} us with a monitor at full speed")
    print(f"a report: {1e6 * report:.0f} us to the monitor, {1e6 * line:.0f} us to the sidebar")
    print(f"at 1,000 steps a second: {100 * whole:.2f} % (the doctor and moments: at most 0.2 % more)")


if __name__ == "__main__":
    main()
