"""Checkpoints of the compositions of ``models.py`` cross over between this package and CNTK 2.7.

``python check.py write FOLDER`` trains three steps, saves, trains on and keeps what came out; ``python check.py read
FOLDER`` carries on from those checkpoints and compares. Each half runs under whichever package is there (``write`` with
this one and ``read`` with Python 3.6 beside CNTK, or the other way round). The exit code is the number that differ.
"""

import json
import os
import sys

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import models  # noqa: E402


def program(C, spec):
    """Trainer, parameters and minibatches of one composition, in float32."""
    C.cntk_py.reset_random_seed(0)
    sequence, labels = spec["kind"] == "sequence", spec["labels"] == "sequence"
    z = x = (C.sequence.input_variable if sequence else C.input_variable)(tuple(spec["shape"]), name="x")
    for entry in spec["layers"]:
        z = models._layer(C, entry)(z)
    y = (C.sequence.input_variable if labels else C.input_variable)(3, name="y")
    criterion = (getattr(C, spec["loss"])(z, y), C.classification_error(z, y))
    trainer = C.Trainer(z, criterion, [models.learner_of(C, spec["learner"], z.parameters)])
    rng, minibatches = np.random.RandomState(spec["number"]), []
    for count in models.ROWS:
        lengths = rng.randint(1, 5, count)
        features = models._data(rng, spec["shape"], lengths, sequence, np.float32)
        minibatches.append({x: features, y: models._labels(rng, lengths, labels, np.float32)})
    return trainer, z.parameters, minibatches


def carry_on(trainer, parameters, minibatches):
    """Losses of the minibatches, and all parameters behind them."""
    losses = []
    for minibatch in minibatches:
        trainer.train_minibatch(minibatch)
        losses.append(trainer.previous_minibatch_loss_average)
    return {"losses": np.array(losses), "parameters": np.concatenate([np.ravel(p.value) for p in parameters])}


def one(C, spec, path, write):
    """Whether one composition agrees."""
    trainer, parameters, minibatches = program(C, spec)
    if write:
        carry_on(trainer, parameters, minibatches[:3])
        trainer.save_checkpoint(path)
        np.savez(path + ".npz", **carry_on(trainer, parameters, minibatches[3:]))
        return True
    trainer.restore_from_checkpoint(path)
    found = carry_on(trainer, parameters, minibatches[3:])
    with np.load(path + ".npz") as kept:
        apart = {k: np.abs(found[k] - kept[k]) / np.maximum(np.abs(kept[k]), 1) for k in found}
    return apart["losses"].max() <= 1e-4 and apart["parameters"].max() <= 1e-3


def main(what, folder):
    try:
        import cntk as C
    except ImportError:
        import cntk_lab as C
    with open(os.path.join(HERE, "specifications.json")) as file:
        specifications = json.load(file)
    failed = 0
    for spec in specifications:
        path = os.path.join(folder, "%d" % spec["number"])
        try:
            good, words = one(C, spec, path, what == "write"), "other numbers"
        except Exception as error:
            good, words = False, "%s: %s" % (type(error).__name__, str(error)[:200].replace("\n", " "))
        if not good:
            failed += 1
            print("FAILED", spec["number"], spec["layers"], spec["learner"]["name"], words)
    print("%d compositions, %d failed" % (len(specifications), failed))
    return failed


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
