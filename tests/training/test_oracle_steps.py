"""Twenty minibatches of training give the losses, metrics and parameters that CNTK 2.7 gave (golden numbers)."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab import learners
from cntk_lab.graph.variable import Parameter
from cntk_lab.train import Trainer

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "training_steps.json").read_text())
SAMPLES = 30
TOLERANCE = 1e-5  # float32: both sides round every product and sum, in different orders, over 20 updates

schedule = learners.learning_parameter_schedule
LEARNERS: dict[str, Callable[[list[Parameter]], learners.Learner]] = {
    "sgd": lambda p: learners.sgd(p, schedule(0.05, 1)),
    "sgd_minibatch": lambda p: learners.sgd(p, 0.5),
    "momentum_sgd": lambda p: learners.momentum_sgd(
        p, schedule([0.05, 0.02], 1, 80), learners.momentum_schedule_per_sample(0.98)
    ),
    "adam": lambda p: learners.adam(
        p,
        schedule(0.01, learners.IGNORE),
        0.9,
        variance_momentum=0.999,
        minibatch_size=learners.IGNORE,
        l2_regularization_weight=0.001,
    ),
}


def parameter(name: str) -> Parameter:
    return Parameter(init=np.array(GOLDEN["parameters"][name], np.float32))


class Net:
    """A network with its parameters and criterion."""

    def __init__(self, net: str) -> None:
        self.y = C.input_variable(3)
        if net == "conv":
            self.x = C.input_variable((1, 6, 6))
            self.parameters = [parameter(n) for n in ("K", "bk", "W", "b")]
            k, bk, w, b = self.parameters
            h = C.relu(C.convolution(k, self.x, auto_padding=[False, True, True]) + bk)
            self.z = C.times(C.pooling(h, C.MAX_POOLING, (2, 2), (2, 2)), w, output_rank=1) + b
        else:
            self.x = C.input_variable(6)
            self.parameters = [parameter(n) for n in ("W1", "b1", "W2", "b2")]
            w1, b1, w2, b2 = self.parameters
            self.z = C.times(C.tanh(C.times(self.x, w1) + b1), w2) + b2
        if net == "mlp_squares":
            difference = self.z - self.y
            self.criterion = (difference * difference, C.abs(difference))
        else:
            self.criterion = (C.cross_entropy_with_softmax(self.z, self.y), C.classification_error(self.z, self.y))


@pytest.mark.parametrize("run", GOLDEN["runs"], ids=lambda r: f"{r['net']}-{r['learner']}")
def test_training_goes_where_cntk_takes_it(run: dict[str, Any]) -> None:
    net = Net(run["net"])
    trainer = Trainer(net.z, net.criterion, [LEARNERS[run["learner"]](net.parameters)])
    data = np.array(GOLDEN["data"]["conv" if run["net"] == "conv" else "mlp"], np.float32)
    labels = np.eye(3, dtype=np.float32)[GOLDEN["data"]["labels"]]
    at = 0
    for i, (loss, metric, samples) in enumerate(zip(run["losses"], run["metrics"], run["samples"], strict=True)):
        rows = [(at + j) % SAMPLES for j in range(GOLDEN["sizes"][i % 4])]
        at += len(rows)
        assert trainer.train_minibatch({net.x: data[rows], net.y: labels[rows]})
        assert trainer.previous_minibatch_sample_count == samples
        assert trainer.previous_minibatch_loss_average == pytest.approx(loss, rel=TOLERANCE)
        assert trainer.previous_minibatch_evaluation_average == pytest.approx(metric, rel=TOLERANCE)
    for found, expected in zip(net.parameters, run["parameters"], strict=True):
        assert found.value.ravel().tolist() == pytest.approx(expected, rel=TOLERANCE, abs=TOLERANCE)
    assert trainer.test_minibatch({net.x: data, net.y: labels}) == pytest.approx(run["test"], rel=TOLERANCE)
    assert trainer.total_number_of_samples_seen == run["total"]
