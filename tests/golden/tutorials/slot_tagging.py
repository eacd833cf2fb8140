"""202: slot tagging."""

from __future__ import print_function
import os, sys
import numpy as np
import cntk as C
import cntk.tests.test_utils

cntk.tests.test_utils.set_device_from_pytest_env()
C.cntk_py.set_fixed_random_seed(1)
import tempfile

path = os.path.join(tempfile.mkdtemp(), "atis.ctf")
with open(path, "w") as f:
    for s in range(8):
        for t in range(3 + s % 3):
            f.write(
                "%d |S0 %d:1 %s|S2 %d:1\n" % (s, (s + t) % 20, "|S1 %d:1 " % (s % 4) if t == 0 else "", t % 5)
            )
x = C.sequence.input_variable(20)
y = C.sequence.input_variable(5)


def create_model():
    with C.layers.default_options(initial_state=0.1):
        return C.layers.Sequential(
            [
                C.layers.Embedding(6, name="embed"),
                C.layers.Recurrence(C.layers.LSTM(7), go_backwards=False),
                C.layers.Dense(5, name="classify"),
            ]
        )


z = create_model()
print(z.embed.E.shape, z.classify.b.value)
z = create_model()(C.sequence.input_variable(20, is_sparse=True))


def create_criterion_function_preferred(model, labels):
    return C.cross_entropy_with_softmax(model, labels), C.classification_error(model, labels)


def BiRecurrence(fwd, bwd):
    F = C.layers.Recurrence(fwd)
    G = C.layers.Recurrence(bwd, go_backwards=True)
    x = C.placeholder()
    return C.splice(F(x), G(x))


def OneWordLookahead():
    x = C.placeholder()
    return C.splice(x, C.sequence.future_value(x))


def full():
    with C.layers.default_options(initial_state=0.1):
        return C.layers.Sequential(
            [
                C.layers.Embedding(6),
                OneWordLookahead(),
                C.layers.BatchNormalization(),
                BiRecurrence(C.layers.LSTM(7), C.layers.LSTM(7)),
                C.layers.BatchNormalization(),
                C.layers.Dense(5),
            ]
        )


z = full()(x)
reader = C.io.MinibatchSource(
    C.io.CTFDeserializer(
        path,
        C.io.StreamDefs(
            query=C.io.StreamDef(field="S0", shape=20, is_sparse=True),
            intent=C.io.StreamDef(field="S1", shape=4, is_sparse=True),
            slot=C.io.StreamDef(field="S2", shape=5, is_sparse=True),
        ),
    ),
    randomize=True,
    max_sweeps=C.io.INFINITELY_REPEAT,
)
loss, err = create_criterion_function_preferred(z, y)
lr = C.learning_parameter_schedule_per_sample([3e-4] * 4 + [1.5e-4], epoch_size=18000)
learner = C.adam(
    parameters=z.parameters,
    lr=lr,
    momentum=C.momentum_schedule(0.9, minibatch_size=10),
    gradient_clipping_threshold_per_sample=15,
    gradient_clipping_with_truncation=True,
)
trainer = C.Trainer(z, (loss, err), learner, C.logging.ProgressPrinter(tag="Training", num_epochs=1))
for _ in range(3):
    trainer.train_minibatch(
        reader.next_minibatch(12, input_map={x: reader.streams.query, y: reader.streams.slot})
    )
trainer.summarize_training_progress()
query = z.eval({x: C.Value.one_hot([[1, 4, 2]], 20)})[0]
print(query.shape)
