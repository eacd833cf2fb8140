"""208: speech by CTC."""

from __future__ import print_function
import os, sys
import numpy as np
import cntk as C
import cntk.tests.test_utils

cntk.tests.test_utils.set_device_from_pytest_env()
C.cntk_py.set_fixed_random_seed(1)
mbs, dim, classes = 3, 6, 5
features = C.sequence.input_variable(dim, name="f")
labels = C.sequence.input_variable(classes, name="l")
mean, istd = C.constant(np.zeros(dim, "f")), C.constant(np.ones(dim, "f"))


def create_network():
    norm = (features - mean) * istd
    with C.default_options(activation=C.sigmoid):
        z = C.layers.Sequential(
            [
                C.layers.For(
                    range(2),
                    lambda: C.layers.Sequential(
                        [
                            C.layers.Recurrence(C.layers.LSTM(4)),
                            C.layers.Recurrence(C.layers.LSTM(4), go_backwards=True),
                        ]
                    ),
                ),
                C.layers.Dense(classes),
            ]
        )
    return z(norm)


z = create_network()
criteria = C.forward_backward(C.labels_to_graph(labels), z, blankTokenId=classes - 1, delayConstraint=3)
err = C.edit_distance_error(z, labels, squashInputs=True, tokensToIgnore=[classes - 1])
lr = C.learning_parameter_schedule_per_sample([(3, 0.01), (1, 0.001)])
mm = C.momentum_schedule(0.9, mbs)
learner = C.momentum_sgd(z.parameters, lr, mm)
trainer = C.Trainer(
    z, (criteria, err), learner, [C.logging.ProgressPrinter(freq=2, tag="T", log_to_file=None)]
)
f = [np.random.rand(6, dim).astype("f")]
l = np.zeros((6, classes), "f")
l[np.arange(6), [0, 1, 2, 3, 0, 1]] = 2
for _ in range(3):
    trainer.train_minibatch({features: f, labels: [l]})
print(trainer.previous_minibatch_loss_average > 0)
