"""201: CIFAR from a map file, batch normalisation, ResNet blocks."""

from __future__ import print_function
import os, sys
import numpy as np
import cntk as C
import cntk.tests.test_utils

cntk.tests.test_utils.set_device_from_pytest_env()
C.cntk_py.set_fixed_random_seed(1)
import tempfile
from PIL import Image

folder = tempfile.mkdtemp()
with open(os.path.join(folder, "map.txt"), "w") as f:
    for i in range(4):
        p = os.path.join(folder, "%d.png" % i)
        Image.fromarray(np.full((32, 32, 3), 40 * i, np.uint8)).save(p)
        f.write("%s\t%d\n" % (p, i))
import cntk.io.transforms as xforms


def create_reader(map_file, train):
    transforms = []
    if train:
        transforms += [xforms.crop(crop_type="randomside", side_ratio=0.8)]
    transforms += [xforms.scale(width=32, height=32, channels=3, interpolations="linear")]
    return C.io.MinibatchSource(
        C.io.ImageDeserializer(
            map_file,
            C.io.StreamDefs(
                features=C.io.StreamDef(field="image", transforms=transforms),
                labels=C.io.StreamDef(field="label", shape=10),
            ),
        )
    )


reader = create_reader(os.path.join(folder, "map.txt"), True)
x, y = C.input_variable((3, 32, 32)), C.input_variable(10)


def conv_bn(i, n, s, act=C.relu):
    c = C.layers.Convolution((3, 3), n, strides=s, pad=True, bias=False, init=C.he_normal())(i)
    r = C.layers.BatchNormalization(map_rank=1, normalization_time_constant=4096)(c)
    return act(r) if act else r


def block(i, n):
    return C.relu(conv_bn(conv_bn(i, n, (1, 1)), n, (1, 1), None) + i)


h = block(conv_bn(x / 256, 4, (2, 2)), 4)
h = C.layers.AveragePooling(filter_shape=(8, 8), name="final_avg_pooling")(h)
z = C.layers.Dense(10, init=C.normal(0.01))(h)
ce, pe = C.cross_entropy_with_softmax(z, y), C.classification_error(z, y)
lr = C.learning_parameter_schedule([0.01] * 2 + [0.003], minibatch_size=4, epoch_size=4)
learner = C.momentum_sgd(
    z.parameters, lr, C.momentum_schedule([0] * 1 + [0.9], epoch_size=4), l2_regularization_weight=0.0005
)
trainer = C.Trainer(z, (ce, pe), [learner], [C.logging.ProgressPrinter(tag="Training", num_epochs=2)])
for epoch in range(2):
    data = reader.next_minibatch(4, input_map={x: reader.streams.features, y: reader.streams.labels})
    trainer.train_minibatch(data)
    trainer.summarize_training_progress()
C.logging.log_number_of_parameters(z)
with C.layers.default_options(activation=C.relu, pad=True):
    m = C.layers.Sequential(
        [
            C.layers.For(
                range(2),
                lambda i: [C.layers.Convolution((3, 3), [4, 8][i]), C.layers.MaxPooling((3, 3), strides=2)],
            ),
            C.layers.Dense(64),
            C.layers.Dropout(0.25),
            C.layers.Dense(10, activation=None),
        ]
    )
print(m(x).shape)
