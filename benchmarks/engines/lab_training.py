"""Two epochs of training, fed by a reader or by arrays in memory: prints the seconds.

python lab_training.py MODE FILE     MODE: reader or arrays

Both begin with a small run, so that kernels are compiled; the arrays hold the same file's values.
"""

import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import cntk_lab as C
from cntk_lab.io import CTFDeserializer, MinibatchSource, StreamDef, StreamDefs

ROWS, MINIBATCH, EPOCHS = 60000, 64, 2


def opened(path: str, **more: int) -> MinibatchSource:
    """A source over the file."""
    streams = StreamDefs(features=StreamDef(field="features", shape=784), labels=StreamDef(field="labels", shape=10))
    return MinibatchSource(CTFDeserializer(path, streams), **more)


def main() -> None:
    """Train, print."""
    mode, path = sys.argv[1:3]
    x, y = C.input_variable(784), C.input_variable(10)
    with C.default_options(activation=C.relu, pad=True):
        z = C.layers.Sequential(
            [
                lambda x: C.reshape(x, (1, 28, 28)) / 256,
                C.layers.Convolution2D((5, 5), 8, strides=2),
                C.layers.Convolution2D((5, 5), 16, strides=2),
                C.layers.Dense(10, activation=None),
            ]
        )(x)
    criterion = (C.cross_entropy_with_softmax(z, y), C.classification_error(z, y))
    trainer = C.Trainer(z, criterion, [C.sgd(z.parameters, C.learning_parameter_schedule(0.01, minibatch_size=64))])
    whole = opened(path, max_sweeps=1, randomization_window_in_chunks=0).next_minibatch(ROWS)
    data = {s.name: d.asarray()[:, 0] for s, d in whole.items()}
    for start in range(0, 200 * MINIBATCH, MINIBATCH):
        part = slice(start, start + MINIBATCH)
        trainer.train_minibatch({x: data["features"][part], y: data["labels"][part]})
    from cntk_lab.backends.cpu import jit

    jit.finish(300)
    begin = time.perf_counter()
    if mode == "reader":
        del data
        source = opened(path, max_sweeps=EPOCHS)
        inputs = {x: source.streams.features, y: source.streams.labels}
        while minibatch := source.next_minibatch(MINIBATCH, inputs):
            trainer.train_minibatch(minibatch)
    else:
        for start in range(0, EPOCHS * ROWS, MINIBATCH):
            part = slice(start % ROWS, start % ROWS + MINIBATCH)
            trainer.train_minibatch({x: data["features"][part], y: data["labels"][part]})
    loss = trainer.previous_minibatch_loss_average
    print(json.dumps({"seconds": time.perf_counter() - begin, "loss": float(loss)}))


if __name__ == "__main__":
    main()
