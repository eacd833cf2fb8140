"""205: style transfer: gradients with respect to an input through a fixed network; flattened optimisation."""

from __future__ import print_function
import os, sys
import numpy as np
import cntk as C
import cntk.tests.test_utils

cntk.tests.test_utils.set_device_from_pytest_env()
C.cntk_py.set_fixed_random_seed(1)
SIZE = 16
y = C.input_variable((3, SIZE, SIZE), needs_gradient=True)


def conv(x, w, b):
    k = C.parameter(shape=w.shape, init=w)
    return C.relu(
        C.convolution(k, x, auto_padding=[False, True, True])
        + C.parameter(shape=(b.shape[0], 1, 1), init=b.reshape(b.shape[0], 1, 1))
    )


rng = np.random.RandomState(0)
h1 = conv(y, rng.randn(4, 3, 3, 3).astype("f") * 0.1, np.zeros(4, "f"))
h2 = conv(
    C.pooling(h1, C.AVG_POOLING, (2, 2), (2, 2)), rng.randn(4, 4, 3, 3).astype("f") * 0.1, np.zeros(4, "f")
)
model = C.combine([h1.output, h2.output])


def gram(x):
    f = C.reshape(x, (x.shape[0], x.shape[1] * x.shape[2]))
    return C.times_transpose(f, f)


def stylecost(x, base):
    return C.reduce_sum(C.square(gram(x) - gram(base)))


content = C.Constant(value=h2.eval({y: rng.rand(1, 3, SIZE, SIZE).astype("f")})[0])


def total_variation(x):
    xx = C.reshape(x, (1,) + x.shape)
    delta = np.array([-1, 1], dtype=np.float32)
    kx, ky = C.Constant(value=delta.reshape(1, 1, 1, 1, 2)), C.Constant(value=delta.reshape(1, 1, 1, 2, 1))
    dx, dy = C.convolution(kx, xx, auto_padding=[False]), C.convolution(ky, xx, auto_padding=[False])
    return 0.5 * (C.reduce_mean(C.square(dx)) + C.reduce_mean(C.square(dy)))


total = C.reduce_mean(C.square(h2 - content)) + 0.1 * stylecost(h2, content) + 0.01 * total_variation(y)
xin = rng.rand(1, 3, SIZE, SIZE).astype("f")
for _ in range(3):
    g = total.grad({y: xin}, outputs=[total.output])
    s = total.eval({y: xin})
    print(float(np.ravel(s)[0]) > 0)
names = [n.name for n in C.logging.graph.depth_first_search(total, lambda n: True) if n.name]
