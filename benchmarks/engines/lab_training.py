"""Training fed by a reader and by arrays in memory, in turns: prints of each window the minibatches per second and the
processor seconds per minibatch (of all threads).

python lab_training.py FILE MODEL WINDOWS SECONDS        MODEL: convnet or mlp

Everything is warm before the first window: kernels are compiled, the file is indexed, its first sweep is read. Windows
of the three kinds follow each other, each round in the other order than the one before; one trainer serves all, and the
arrays hold the same file's values. The reader shuffles; arrays are taken in their order, which no training wants, and
shuffled as one does without a reader: by a permutation for each sweep.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

import cntk_lab as C
from cntk_lab.io import CTFDeserializer, MinibatchSource, StreamDef, StreamDefs

MINIBATCH, WARM = 64, 200


def opened(path: str, **more: int) -> MinibatchSource:
    """A source over the file."""
    streams = StreamDefs(features=StreamDef(field="features", shape=784), labels=StreamDef(field="labels", shape=10))
    return MinibatchSource(CTFDeserializer(path, streams), **more)


def convnet(x: C.Variable) -> C.Function:
    """The ConvNet of the tutorial 103D."""
    with C.default_options(activation=C.relu, pad=True):
        return C.layers.Sequential(
            [
                lambda x: C.reshape(x, (1, 28, 28)) / 256,
                C.layers.Convolution2D((5, 5), 8, strides=2),
                C.layers.Convolution2D((5, 5), 16, strides=2),
                C.layers.Dense(10, activation=None),
            ]
        )(x)


def mlp(x: C.Variable) -> C.Function:
    """Two hidden layers: 784-400-200-10."""
    dense = C.layers.Dense
    return C.layers.Sequential([lambda x: x / 256, dense(400, C.relu), dense(200, C.relu), dense(10)])(x)


def made(model: Callable[[C.Variable], C.Function] = convnet) -> tuple[C.Trainer, C.Variable, C.Variable]:
    """A model with its trainer, and its inputs."""
    x, y = C.input_variable(784), C.input_variable(10)
    z = model(x)
    criterion = (C.cross_entropy_with_softmax(z, y), C.classification_error(z, y))
    learner = C.sgd(z.parameters, C.learning_parameter_schedule(0.001, minibatch_size=MINIBATCH))
    return C.Trainer(z, criterion, [learner]), x, y


def main() -> None:
    """Train, print."""
    path, model, windows, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
    trainer, x, y = made({"convnet": convnet, "mlp": mlp}[model])
    first = opened(path, max_sweeps=1, randomization_window_in_chunks=0)
    parts = []
    while minibatch := first.next_minibatch(8192):
        parts.append({s.name: d.asarray()[:, 0] for s, d in minibatch.items()})
    pixels, labels = (np.concatenate([p[name] for p in parts]) for name in ("features", "labels"))
    source = opened(path)
    inputs = {x: source.streams.features, y: source.streams.labels}
    at = 0

    def by_arrays() -> None:
        nonlocal at
        trainer.train_minibatch({x: pixels[at : at + MINIBATCH], y: labels[at : at + MINIBATCH]})
        at = (at + MINIBATCH) % (len(pixels) - MINIBATCH)

    random = np.random.default_rng(0)
    order = random.permutation(len(pixels))

    def by_shuffled_arrays() -> None:
        nonlocal at, order
        some = order[at : at + MINIBATCH]
        trainer.train_minibatch({x: pixels[some], y: labels[some]})
        at += MINIBATCH
        if at >= len(pixels) - MINIBATCH:
            at, order = 0, random.permutation(len(pixels))

    def by_reader() -> None:
        trainer.train_minibatch(source.next_minibatch(MINIBATCH, inputs))

    kinds: dict[str, Callable[[], None]] = {
        "arrays in their order": by_arrays,
        "arrays shuffled": by_shuffled_arrays,
        "reader": by_reader,
    }
    for step in kinds.values():
        for _ in range(WARM):
            step()
    from cntk_lab.backends.cpu import jit

    jit.finish(300)
    speeds: dict[str, list[float]] = {kind: [] for kind in kinds}
    costs: dict[str, list[float]] = {kind: [] for kind in kinds}
    for number in range(windows):
        for kind in sorted(kinds, reverse=bool(number % 2)):
            done, begin, busy = 0, time.perf_counter(), time.process_time()
            while (spent := time.perf_counter() - begin) < seconds:
                kinds[kind]()
                done += 1
            speeds[kind].append(done / spent)
            costs[kind].append((time.process_time() - busy) / done)
    print(json.dumps({"speed": speeds, "cost": costs, "loss": float(trainer.previous_minibatch_loss_average)}))


if __name__ == "__main__":
    main()
