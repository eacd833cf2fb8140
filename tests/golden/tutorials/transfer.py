"""301, 302: transfer learning and super-resolution: freeze, find by name, freeze part, retarget."""

from __future__ import print_function
import os, sys
import numpy as np
import cntk as C
import cntk.tests.test_utils

cntk.tests.test_utils.set_device_from_pytest_env()
C.cntk_py.set_fixed_random_seed(1)
import tempfile

x = C.input_variable((3, 16, 16), name="features")


def base(x):
    with C.layers.default_options(activation=C.relu, pad=True):
        h = C.layers.Convolution((3, 3), 4, name="c1")(x)
        h = C.layers.MaxPooling((2, 2), (2, 2))(h)
        h = C.layers.Dense(6, name="z.x")(h)
        return C.layers.Dense(3, activation=None, name="prediction")(h)


path = os.path.join(tempfile.mkdtemp(), "base.model")
base(x).save(path)
base_model = C.load_model(path)
feature_node = C.logging.find_by_name(base_model, "features")
last_node = C.logging.find_by_name(base_model, "z.x")
cloned = C.combine([last_node.owner]).clone(
    C.CloneMethod.freeze, {feature_node: C.placeholder(name="features")}
)
i = C.input_variable((3, 16, 16))
feat_norm = i - C.Constant(114)
z = C.layers.Dense(2, activation=None, name="new")(cloned(feat_norm))
y = C.input_variable(2)
tr = C.Trainer(
    z,
    (C.cross_entropy_with_softmax(z, y), C.classification_error(z, y)),
    C.momentum_sgd(
        z.parameters,
        C.learning_rate_schedule([0.2, 0.01], C.UnitType.minibatch, 10),
        C.momentum_schedule(0.9),
        l2_regularization_weight=0.0005,
    ),
)
for _ in range(3):
    tr.train_minibatch(
        {i: np.random.rand(4, 3, 16, 16).astype("f") * 255, y: np.eye(2, dtype="f")[[0, 1, 0, 1]]}
    )
print(len(z.parameters), len(base_model.parameters), z.shape)
nodes = C.logging.graph.depth_first_search(z, lambda n: True)
print(len(nodes) > 3, isinstance(C.logging.plot(z), str))
