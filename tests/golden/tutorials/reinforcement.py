"""203: deep Q-network with a target network; policy gradient with hand-made gradients."""

from __future__ import print_function
import os, sys
import numpy as np
import cntk as C
import cntk.tests.test_utils

cntk.tests.test_utils.set_device_from_pytest_env()
C.cntk_py.set_fixed_random_seed(1)
state, q = C.input_variable(4, np.float32, name="s"), C.input_variable(2, np.float32, name="q")
l1 = C.layers.Dense(8, activation=C.relu)
l2 = C.layers.Dense(2)
model = C.layers.Sequential([l1, l2])(state)
loss = C.reduce_mean(C.square(model - q), axis=0)
lr_schedule = C.learning_rate_schedule(0.00025, C.UnitType.minibatch)
learner = C.sgd(model.parameters, lr_schedule, gradient_clipping_threshold_per_sample=10)
trainer = C.Trainer(model, (loss, C.reduce_mean(C.square(model - q), axis=0)), learner)
for _ in range(3):
    trainer.train_minibatch({state: np.random.rand(5, 4).astype("f"), q: np.random.rand(5, 2).astype("f")})
copy = model.clone("freeze")
print(model.eval([np.zeros(4, "f")])[0].shape, copy.eval({copy.arguments[0]: np.ones((1, 4), "f")}).shape)
observations, W1, W2 = (
    C.sequence.input_variable(4, np.float32, name="obs"),
    C.parameter(shape=(4, 10), init=C.glorot_uniform(), name="W1"),
    C.parameter(shape=(10, 1), init=C.glorot_uniform(), name="W2"),
)
probability = C.sigmoid(C.times(C.relu(C.times(observations, W1)), W2), name="prob")
input_y, advantages = (
    C.sequence.input_variable(1, np.float32, name="input_y"),
    C.sequence.input_variable(1, np.float32, name="advt"),
)
loss = -C.reduce_mean(C.log(C.square(input_y - probability) + 1e-4) * advantages, axis=0, name="loss")
o = [np.random.rand(6, 4).astype("f")]
a = [np.random.rand(6, 1).astype("f")]
g = loss.grad({observations: o, input_y: a, advantages: a}, wrt=[W1, W2])
buffer = dict(
    (var.name, np.zeros(shape=var.shape)) for var in loss.parameters if var.name in ["W1", "W2", "b1", "b2"]
)
for var_name, grad in g.items():
    buffer[var_name.name] += grad
lr = C.learning_rate_schedule(lr=0.1, unit=C.UnitType.sample)
s = C.sgd([W1, W2], lr)
s.update({W1: g[W1].astype("f"), W2: g[W2].astype("f")}, 6)
for episode in range(2):
    print(probability.eval(np.ones((1, 1, 4), "f"))[0].shape)
