"""200: guided tour: Function criterion, train, callbacks, test, progress, checkpoint."""

from __future__ import print_function
import os, sys
import numpy as np
import cntk as C
import cntk.tests.test_utils

cntk.tests.test_utils.set_device_from_pytest_env()
C.cntk_py.set_fixed_random_seed(1)
import tempfile
from cntk.layers import *

input_dim, num_classes = 2, 2
model = Sequential(
    [For(range(2), lambda i: Dense(4, activation=C.relu)), Dense(num_classes, activation=None)]
)


@C.Function
def criterion(data, label_one_hot):
    return C.cross_entropy_with_softmax(model(data), label_one_hot), C.classification_error(
        model(data), label_one_hot
    )


data = C.input_variable(input_dim)
label = C.input_variable(num_classes)
crit = criterion(data, label)
rng = np.random.RandomState(3)
X = rng.randn(64, 2).astype("f")
Y = np.eye(2, dtype="f")[(X[:, 0] > 0).astype(int)]
learner = C.sgd(model.parameters, C.learning_rate_schedule(0.1, C.UnitType.minibatch))
progress_writer = C.logging.ProgressPrinter(0)
crit.train((X, Y), parameter_learners=[learner], callbacks=[progress_writer], minibatch_size=16, max_epochs=2)
print(crit.test((X, Y), callbacks=[progress_writer]).metric)
model_path = os.path.join(tempfile.mkdtemp(), "m.cmf")
model(data).save(model_path)
print(C.Function.load(model_path).shape)
checkpoint = C.CheckpointConfig(frequency=32, filename=model_path + ".ckp", restore=True)
crit.train(
    (X, Y),
    parameter_learners=[C.sgd(model.parameters, 0.1)],
    callbacks=[checkpoint],
    minibatch_size=16,
    max_epochs=1,
)
