"""207: sampled softmax."""

from __future__ import print_function
import os, sys
import numpy as np
import cntk as C
import cntk.tests.test_utils

cntk.tests.test_utils.set_device_from_pytest_env()
C.cntk_py.set_fixed_random_seed(1)
V, H = 20, 8


def softmax_sampled(hidden_vector, target_vector, num_samples, sampling_weights):
    weights = C.Parameter(shape=(V, H), init=C.glorot_uniform())
    bias = C.Parameter(shape=(V, 1), init=0)
    sample_selector_sparse = C.random_sample(sampling_weights, num_samples, True)
    sample_selector = sample_selector_sparse
    inclusion_probs = C.random_sample_inclusion_frequency(sampling_weights, num_samples, True)
    log_prior = C.log(inclusion_probs)
    wS = C.times(sample_selector, weights, name="wS")
    zS = (
        C.times_transpose(wS, hidden_vector, name="zS1")
        + C.times(sample_selector, bias, name="zS2")
        - C.times_transpose(sample_selector, log_prior, name="zS3")
    )
    wT = C.times(target_vector, weights, name="wT")
    zT = (
        C.times_transpose(wT, hidden_vector, name="zT1")
        + C.times(target_vector, bias, name="zT2")
        - C.times_transpose(target_vector, log_prior, name="zT3")
    )
    zSReduced = C.reduce_log_sum_exp(zS)
    return C.log_add_exp(zT, zSReduced) - zT


x, y = C.input_variable(V, is_sparse=True), C.input_variable(V, is_sparse=True)
h = C.layers.Dense(H, activation=C.tanh)(x)
w = C.Constant(np.ones((1, V), "f") * 0.3)
ce = softmax_sampled(h, y, 6, w)
trainer = C.Trainer(
    h, (ce, None), C.learners.sgd(ce.parameters, lr=C.learning_rate_schedule(0.1, C.UnitType.sample))
)
for _ in range(3):
    trainer.train_minibatch({x: C.Value.one_hot([1, 2, 3], V), y: C.Value.one_hot([4, 5, 6], V)})
print(trainer.previous_minibatch_loss_average > 0)
