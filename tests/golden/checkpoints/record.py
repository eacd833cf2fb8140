"""A checkpoint of three learners with external state, recorded by CNTK 2.7 and carried on: ``python record.py FOLDER``.

Runs under both packages: ``program`` takes the module. With a second argument it carries on from a checkpoint of that
name instead and compares with what was recorded; this way real CNTK reads what this package wrote.
"""

import json
import os
import sys

import numpy as np

STATE = {"epoch": 3, "name": "Zoë", "rate": 0.5, "flag": True, "list": [1, 2, "a"], "deep": {"k": 1.5, "m": [0.25]}}


def program(C):
    """The trainer, its parameters and eight minibatches."""
    x, y = C.input_variable(3, name="x"), C.input_variable(1, name="y")
    w = C.parameter((3, 4), init=(np.arange(12).reshape(3, 4) / 20 - 0.3).astype("f"), name="w")
    b = C.parameter((4,), init=0.1, name="b")
    v = C.parameter((4, 1), init=(np.arange(4).reshape(4, 1) / 10 + 0.1).astype("f"), name="v")
    e = C.parameter((4,), init=0.2, name="e")
    z = C.times(C.tanh(C.times(x, w) + b) * e, v, name="z")
    rate = C.learning_parameter_schedule([0.1, 0.05], minibatch_size=4, epoch_size=12)
    learners = [
        C.adam([w], rate, C.momentum_schedule(0.9)),
        C.momentum_sgd([v, b], C.learning_parameter_schedule_per_sample(0.02), C.momentum_schedule(0.8), minibatch_size=4),
        C.rmsprop([e], C.learning_parameter_schedule(0.01), 0.9, 1.2, 0.8, 10, 0.01),
    ]  # fmt: skip
    trainer = C.Trainer(z, (C.squared_error(z, y), C.abs(C.reshape(z - y, ()))), learners)
    data = np.random.RandomState(3).randn(8, 5, 4).astype("f")
    return trainer, [w, b, v, e], [{x: d[:, :3], y: d[:, 3:]} for d in data]


def carry_on(trainer, parameters, minibatches):
    """Losses of the minibatches, and the parameters behind them."""
    losses = []
    for minibatch in minibatches:
        trainer.train_minibatch(minibatch)
        losses.append(trainer.previous_minibatch_loss_average)
    return {"losses": losses, "parameters": [np.asarray(p.value).tolist() for p in parameters]}


def main(folder, checkpoint=None):
    import cntk as C

    trainer, parameters, minibatches = program(C)
    if checkpoint is None:
        for minibatch in minibatches[:3]:
            trainer.train_minibatch(minibatch)
        trainer.save_checkpoint(os.path.join(folder, "three_learners"), external_state=STATE)
        with open(os.path.join(folder, "three_learners.json"), "w") as file:
            json.dump(carry_on(trainer, parameters, minibatches[3:]), file)
        return 0
    state = trainer.restore_from_checkpoint(checkpoint)
    with open(os.path.join(folder, "three_learners.json")) as file:
        recorded = json.load(file)
    found = carry_on(trainer, parameters, minibatches[3:])
    pairs = zip([found["losses"]] + found["parameters"], [recorded["losses"]] + recorded["parameters"])
    same = state == STATE and all(np.allclose(a, b, 1e-5, 1e-6) for a, b in pairs)
    print("same" if same else "DIFFERENT", state, found["losses"])
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
