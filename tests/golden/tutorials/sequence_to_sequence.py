"""204: sequence to sequence with attention, greedy decoding by UnfoldFrom."""

from __future__ import print_function
import os, sys
import numpy as np
import cntk as C
import cntk.tests.test_utils

cntk.tests.test_utils.set_device_from_pytest_env()
C.cntk_py.set_fixed_random_seed(1)
from cntk.layers import *

V, H, E, A = 12, 8, 6, 8
inputAxis, labelAxis = C.Axis("inputAxis"), C.Axis("labelAxis")
InputSequence = SequenceOver[inputAxis]
LabelSequence = SequenceOver[labelAxis]
sentence_start = C.Constant(np.array([w == 1 for w in range(V)], dtype=np.float32))
end_index = 2


def create_model(use_attention=True, layers=1):
    embed = C.layers.Embedding(E, name="embed")
    with C.layers.default_options(enable_self_stabilization=True, go_backwards=not use_attention):
        LastRecurrence = C.layers.Fold if not use_attention else C.layers.Recurrence
        encode = C.layers.Sequential(
            [
                embed,
                C.layers.Stabilizer(),
                C.layers.For(range(layers - 1), lambda: C.layers.Recurrence(C.layers.LSTM(H))),
                LastRecurrence(C.layers.LSTM(H), return_full_state=True),
                (C.layers.Label("encoded_h"), C.layers.Label("encoded_c")),
            ]
        )
    with C.layers.default_options(enable_self_stabilization=True):
        stab_in, rec, stab_out = C.layers.Stabilizer(), C.layers.LSTM(H), C.layers.Stabilizer()
        proj_out = C.layers.Dense(V, name="out_proj")
        attention_model = (
            C.layers.AttentionModel(A, None, None, name="attention_model") if use_attention else None
        )

        @C.Function
        def decode(history, input):
            encoded = encode(input)
            r = history
            r = embed(r)
            r = stab_in(r)
            rec_block = rec

            @C.Function
            def lstm_with_attention(dh, dc, x):
                h_att = attention_model(encoded.outputs[0], dh)
                x = C.splice(x, h_att)
                return rec(dh, dc, x)

            r = C.layers.Recurrence(lstm_with_attention)(r)
            r = stab_out(r)
            r = proj_out(r)
            return C.layers.Label("out_proj_out")(r)

    return decode


def create_model_train(s2smodel):
    @C.Function
    def model_train(input, labels):
        past_labels = C.layers.Delay(initial_state=sentence_start)(labels)
        return s2smodel(past_labels, input)

    return model_train


def create_model_greedy(s2smodel):
    @C.Function
    @C.layers.Signature(InputSequence[C.layers.Tensor[V]])
    def model_greedy(input):
        unfold = C.layers.UnfoldFrom(
            lambda history: s2smodel(history, input) >> C.hardmax,
            until_predicate=lambda w: w[..., end_index],
            length_increase=1.5,
        )
        return unfold(initial_state=sentence_start, dynamic_axes_like=input)

    return model_greedy


def create_criterion_function(model):
    @C.Function
    @C.layers.Signature(input=InputSequence[C.layers.Tensor[V]], labels=LabelSequence[C.layers.Tensor[V]])
    def criterion(input, labels):
        postprocessed_labels = C.sequence.slice(labels, 1, 0)
        z = model(input, postprocessed_labels)
        return C.cross_entropy_with_softmax(z, postprocessed_labels), C.classification_error(
            z, postprocessed_labels
        )

    return criterion


s2s = create_model()
model_train = create_model_train(s2s)
criterion = create_criterion_function(model_train)
greedy = create_model_greedy(s2s)
learner = C.fsadagrad(
    model_train.parameters,
    lr=C.learning_parameter_schedule_per_sample([0.005] * 2 + [0.0025], 100),
    momentum=C.momentum_schedule(0.9366416204111472, minibatch_size=10),
    gradient_clipping_threshold_per_sample=2.3,
    gradient_clipping_with_truncation=True,
)
trainer = C.Trainer(None, criterion, learner)
eye = np.eye(V, dtype="f")
for _ in range(3):
    trainer.train_minibatch(
        {
            criterion.arguments[0]: [eye[[3, 4, 5]], eye[[6, 7]]],
            criterion.arguments[1]: [eye[[1, 5, 4, 3, 2]], eye[[1, 7, 6, 2]]],
        }
    )
print(trainer.previous_minibatch_loss_average)
out = greedy.eval({greedy.arguments[0]: [eye[[3, 4, 5]]]})
print(len(out), C.logging.log_number_of_parameters(model_train))
