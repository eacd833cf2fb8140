"""103: MNIST from a text file, flat and as images; progress, test session."""

from __future__ import print_function
import os, sys
import numpy as np
import cntk as C
import cntk.tests.test_utils

cntk.tests.test_utils.set_device_from_pytest_env()
C.cntk_py.set_fixed_random_seed(1)
import tempfile

folder = tempfile.mkdtemp()
path = os.path.join(folder, "train.txt")
rng = np.random.RandomState(0)
with open(path, "w") as f:
    for i in range(64):
        f.write(
            "|labels {} |features {}\n".format(
                " ".join(str(int(k == i % 10)) for k in range(10)),
                " ".join(str(v) for v in rng.randint(0, 255, 784)),
            )
        )


def create_reader(path, is_training, input_dim, num_label_classes):
    return C.io.MinibatchSource(
        C.io.CTFDeserializer(
            path,
            C.io.StreamDefs(
                labels=C.io.StreamDef(field="labels", shape=num_label_classes, is_sparse=False),
                features=C.io.StreamDef(field="features", shape=input_dim, is_sparse=False),
            ),
        ),
        randomize=is_training,
        max_sweeps=C.io.INFINITELY_REPEAT if is_training else 1,
    )


x = C.input_variable((1, 28, 28))
y = C.input_variable(10)


def create_model(features):
    with C.layers.default_options(init=C.glorot_uniform(), activation=C.relu):
        h = C.layers.Convolution2D(
            filter_shape=(5, 5), num_filters=4, strides=(2, 2), pad=True, name="first_conv"
        )(features)
        h = C.layers.Convolution2D(
            filter_shape=(5, 5), num_filters=8, strides=(2, 2), pad=True, name="second_conv"
        )(h)
        return C.layers.Dense(10, activation=None, name="classify")(h)


z = create_model(x)
print("Output Shape of the first convolution layer:", z.first_conv.shape)
print("Bias value of the last dense layer:", z.classify.b.value)
C.logging.log_number_of_parameters(z)
z = create_model(x / 255)
loss, err = C.cross_entropy_with_softmax(z, y), C.classification_error(z, y)
learner = C.sgd(z.parameters, C.learning_rate_schedule(0.2, C.UnitType.minibatch))
trainer = C.Trainer(z, (loss, err), [learner])
reader = create_reader(path, True, 784, 10)
input_map = {y: reader.streams.labels, x: reader.streams.features}
for i in range(4):
    data = reader.next_minibatch(16, input_map=input_map)
    trainer.train_minibatch(data)
print(trainer.previous_minibatch_loss_average)
test = create_reader(path, False, 784, 10)
total = 0.0
for i in range(4):
    total += trainer.test_minibatch(
        test.next_minibatch(16, input_map={y: test.streams.labels, x: test.streams.features})
    )
print(total / 4)
out = C.softmax(z)
data = create_reader(path, False, 784, 10).next_minibatch(
    5, input_map={y: test.streams.labels, x: test.streams.features}
)
img_label, img_data = data[y].asarray(), data[x].asarray()
print(img_label.shape, img_data.shape)
img_data = np.reshape(img_data, (5, 1, 28, 28))
print(len([np.argmax(out.eval(img_data[i])) for i in range(5)]))
