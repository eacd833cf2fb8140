"""104-106: dense network, autoencoder, LSTM time series."""

from __future__ import print_function
import os, sys
import numpy as np
import cntk as C
import cntk.tests.test_utils

cntk.tests.test_utils.set_device_from_pytest_env()
C.cntk_py.set_fixed_random_seed(1)
x = C.sequence.input_variable(1)


def create_model(x):
    with C.layers.default_options(initial_state=0.1):
        m = C.layers.Recurrence(C.layers.LSTM(5))(x)
        m = C.sequence.last(m)
        m = C.layers.Dropout(0.2, seed=1)(m)
        return C.layers.Dense(1)(m)


z = create_model(x)
l = C.input_variable(1, dynamic_axes=z.dynamic_axes, name="y")
lr_schedule = C.learning_parameter_schedule(0.02)
loss = C.squared_error(z, l)
error = C.squared_error(z, l)
momentum_schedule = C.momentum_schedule(0.9, minibatch_size=16)
learner = C.fsadagrad(z.parameters, lr=lr_schedule, momentum=momentum_schedule, unit_gain=True)
trainer = C.Trainer(z, (loss, error), [learner])
X = np.sin(np.arange(40, dtype=np.float32) / 5)
for i in range(5):
    xs = [X[k : k + 5].reshape(-1, 1) for k in range(16)]
    ys = [X[k + 6 : k + 7] for k in range(16)]
    trainer.train_minibatch({x: xs, l: np.array(ys)})
print(trainer.previous_minibatch_loss_average, z.eval({x: xs}).shape)
f = C.input_variable(784)
lab = C.input_variable(784)
with C.layers.default_options(init=C.glorot_uniform()):
    enc = C.layers.Dense(32, activation=C.relu)(f / 255.0)
    dec = C.layers.Dense(784, activation=C.sigmoid)(enc)
t = lab / 255.0
loss = -(t * C.log(dec) + (1 - t) * C.log(1 - dec))
err = C.classification_error(dec, t)
lr = C.learning_rate_schedule([0.00003], C.UnitType.sample, 100)
mom = C.momentum_as_time_constant_schedule([10], 100)
tr = C.Trainer(
    dec, (loss, err), [C.learners.adam(dec.parameters, lr=lr, momentum=mom)], [C.logging.ProgressPrinter(0)]
)
tr.train_minibatch(
    {f: np.random.rand(8, 784).astype("f") * 255, lab: np.random.rand(8, 784).astype("f") * 255}
)
