"""303: deep structured semantic model."""

from __future__ import print_function
import os, sys
import numpy as np
import cntk as C
import cntk.tests.test_utils

cntk.tests.test_utils.set_device_from_pytest_env()
C.cntk_py.set_fixed_random_seed(1)
from cntk.layers import *
from cntk import load_model

qry, ans = (
    C.sequence.input_variable(shape=30, name="q", sequence_axis=C.Axis.new_unique_dynamic_axis("q")),
    C.sequence.input_variable(shape=25, name="a", sequence_axis=C.Axis.new_unique_dynamic_axis("a")),
)


def create_model(qry, ans):
    with C.layers.default_options(initial_state=0.1):
        qry_vector = C.layers.Sequential(
            [
                Embedding(6, name="e"),
                Recurrence(LSTM(5), go_backwards=False),
                C.sequence.last,
                Dense(4, activation=C.tanh, name="q_proj"),
                Dropout(0.3, seed=1),
                Dense(4, activation=C.tanh),
            ]
        )(qry)
        ans_vector = C.layers.Sequential(
            [
                Embedding(6),
                Recurrence(LSTM(5)),
                C.sequence.last,
                Dense(4, activation=C.tanh),
                Dropout(0.3, seed=1),
                Dense(4, activation=C.tanh),
            ]
        )(ans)
    return {"query_vector": qry_vector, "answer_vector": ans_vector}


net = create_model(qry, ans)
loss = C.cosine_distance_with_negative_samples(
    net["query_vector"], net["answer_vector"], shift=1, num_negative_samples=2
)
learner = C.fsadagrad(
    C.combine([net["query_vector"], net["answer_vector"]]).parameters,
    lr=C.learning_parameter_schedule_per_sample([0.1], 100),
    momentum=C.momentum_schedule(0.9),
    gradient_clipping_threshold_per_sample=15,
    gradient_clipping_with_truncation=True,
)
loss = C.reduce_sum(1 - loss)
tr = C.Trainer(None, (loss, loss), learner)
eq, ea = np.eye(30, dtype="f"), np.eye(25, dtype="f")
for _ in range(3):
    tr.train_minibatch(
        {qry: [eq[[1, 2]], eq[[3]], eq[[4, 5, 6]], eq[[7]]], ans: [ea[[1]], ea[[2, 3]], ea[[4]], ea[[5, 6]]]}
    )
print(tr.previous_minibatch_loss_average)
