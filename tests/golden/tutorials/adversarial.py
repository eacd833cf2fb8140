"""206: GAN, DCGAN and WGAN: shared parameters, clone with substitutions, UserMinibatchSource-less loops."""

from __future__ import print_function
import os, sys
import numpy as np
import cntk as C
import cntk.tests.test_utils

cntk.tests.test_utils.set_device_from_pytest_env()
C.cntk_py.set_fixed_random_seed(1)
from cntk.layers import *

g_in, d_in = 10, 64


def noise_sample(n):
    return np.random.uniform(low=-1.0, high=1.0, size=[n, g_in]).astype(np.float32)


def generator(z):
    with C.layers.default_options(init=C.xavier()):
        h1 = C.layers.Dense(16, activation=C.relu)(z)
        return C.layers.Dense(d_in, activation=C.tanh)(h1)


def discriminator(x):
    with C.layers.default_options(init=C.xavier()):
        return C.layers.Dense(1, activation=C.sigmoid)(C.layers.Dense(16, activation=C.relu)(x))


Z, X_real = (
    C.input_variable(g_in, dynamic_axes=[C.Axis.default_batch_axis()]),
    C.input_variable(d_in, dynamic_axes=[C.Axis.default_batch_axis()]),
)
X_real_scaled = 2 * (X_real / 255.0) - 1.0
X_fake = generator(Z)
D_real = discriminator(X_real_scaled)
D_fake = D_real.clone(method="share", substitutions={X_real_scaled.output: X_fake.output})
G_loss = 1.0 - C.log(D_fake)
D_loss = -(C.log(D_real) + C.log(1.0 - D_fake))
G_learner = C.fsadagrad(
    parameters=X_fake.parameters,
    lr=C.learning_parameter_schedule_per_sample(1e-3),
    momentum=C.momentum_schedule_per_sample(0.9985724484938566),
)
D_learner = C.fsadagrad(
    parameters=D_real.parameters,
    lr=C.learning_parameter_schedule_per_sample(1e-3),
    momentum=C.momentum_schedule_per_sample(0.9985724484938566),
)
G_trainer = C.Trainer(X_fake, (G_loss, None), G_learner, C.logging.ProgressPrinter(10))
D_trainer = C.Trainer(D_real, (D_loss, None), D_learner)
for step in range(3):
    X = np.random.rand(8, d_in).astype("f") * 255
    D_trainer.train_minibatch({X_real: X, Z: noise_sample(8)}, outputs=[D_loss.output])
    G_trainer.train_minibatch({Z: noise_sample(8)})
print(G_trainer.previous_minibatch_loss_average, X_fake.eval({Z: noise_sample(3)}).shape)


def bn_with_relu(x, activation=C.relu):
    h = BatchNormalization(map_rank=1)(x)
    return C.param_relu(C.Parameter((h.shape[0], h.shape[1], h.shape[2]), name="leak", init=0.02), h)


img = C.reshape(Dense(4 * 4 * 4)(Z), (4, 4, 4))
up = ConvolutionTranspose2D(
    (5, 5), 3, strides=(2, 2), pad=True, output_shape=(8, 8), bias=False, activation=C.sigmoid
)(bn_with_relu(img))
print(up.shape)
clip = C.combine([C.assign(p, C.clip(p, -0.01, 0.01)) for p in D_real.parameters])
clip.eval({})
print(max(abs(p.value).max() for p in D_real.parameters) <= 0.01001)
