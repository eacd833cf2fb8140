"""101, 102: logistic regression and a feed-forward network on blobs."""

from __future__ import print_function
import os, sys
import numpy as np
import cntk as C
import cntk.tests.test_utils

cntk.tests.test_utils.set_device_from_pytest_env()
C.cntk_py.set_fixed_random_seed(1)


def data(n):
    y = np.random.randint(size=(n, 1), low=0, high=2)
    x = (np.random.randn(n, 2) + 3) * (y + 1)
    return x.astype(np.float32), np.hstack([(y == k).astype(np.float32) for k in range(2)])


np.random.seed(0)
feature, label = C.input_variable(2, np.float32), C.input_variable(2, np.float32)
mydict = {}


def linear(v, n):
    w = C.parameter(shape=(v.shape[0], n))
    b = C.parameter(shape=(n))
    mydict["w"], mydict["b"] = w, b
    return C.times(v, w) + b


z = linear(feature, 2)
loss = C.cross_entropy_with_softmax(z, label)
err = C.classification_error(z, label)
lr = C.learning_rate_schedule(0.5, C.UnitType.minibatch)
trainer = C.Trainer(z, (loss, err), [C.sgd(z.parameters, lr)])
for i in range(50):
    x, y = data(25)
    trainer.train_minibatch({feature: x, label: y})
    if i % 25 == 0:
        print(trainer.previous_minibatch_loss_average, trainer.previous_minibatch_evaluation_average)
x, y = data(25)
print(trainer.test_minibatch({feature: x, label: y}))
out = C.softmax(z)
print(np.argmax(out.eval({feature: x}), axis=1)[:5], mydict["b"].value)


def model(f):
    with C.layers.default_options(init=C.layers.glorot_uniform(), activation=C.sigmoid):
        h = f
        for _ in range(2):
            h = C.layers.Dense(50)(h)
        return C.layers.Dense(2, activation=None)(h)


z = model(feature)
assert z.shape == (2,)
