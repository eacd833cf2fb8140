"""Recurrences with layouts of their own: decoders with attention, unfolding, chosen frames, layouts taken over.

Each function builds one model with the library it is given (real CNTK 2.7 or this package). Runs on Python 3.6 too.
"""

import numpy as np


def hs(C, hd=3, sd=2):
    return C.sequence.input_variable(hd, sequence_axis=C.Axis("enc"), name="h"), C.sequence.input_variable(
        sd, sequence_axis=C.Axis("dec"), name="s"
    )


def m_attention(C, span=None, axis=None, stab=False):
    at = C.layers.AttentionModel(4, span, axis, name="at")
    cell = C.layers.LSTM(2, enable_self_stabilization=stab)
    encoder = C.layers.Recurrence(C.layers.GRU(3))

    @C.Function
    def dec(h, s):
        enc = encoder(h)

        @C.Function
        def step(hh, c, x):
            a = at(enc, hh)
            return cell(hh, c, C.splice(x, a))

        return C.layers.Recurrence(step)(s)

    return dec(*hs(C))


def m_both(C, span=2, axis=-3):
    at1 = C.layers.AttentionModel(4, span, axis)
    cell = C.layers.GRU(2)

    @C.Function
    def dec(h, s):
        @C.Function
        def step(hh, x):
            return cell(hh, C.splice(x, at1(h, hh)))

        return C.splice(C.layers.Recurrence(step)(s), at1(h, s))

    return dec(*hs(C))


def m_unfold(C):
    h = C.sequence.input_variable(2, sequence_axis=C.Axis("enc"), name="h")
    s = C.sequence.input_variable(2, sequence_axis=C.Axis("dec"), name="s")
    d = C.layers.Dense(2, activation=C.tanh)
    return C.layers.UnfoldFrom(lambda y: d(y))(C.sequence.last(h), s)


def m_unfold_len(C):
    h = C.sequence.input_variable(2, sequence_axis=C.Axis("enc"), name="h")
    s = C.sequence.input_variable(2, sequence_axis=C.Axis("dec"), name="s")
    d = C.layers.Dense(2, activation=C.tanh)
    return C.layers.UnfoldFrom(lambda y: d(y), length_increase=1.5)(C.sequence.last(h), s)


def m_unfold_until(C):
    h = C.sequence.input_variable(2, sequence_axis=C.Axis("enc"), name="h")
    s = C.sequence.input_variable(2, sequence_axis=C.Axis("dec"), name="s")
    d = C.layers.Dense(2, activation=C.tanh)
    return C.layers.UnfoldFrom(
        lambda y: d(y), until_predicate=lambda y: C.greater(C.reduce_sum(y), 100.0), length_increase=2
    )(C.sequence.last(h), s)


def m_recfrom(C):
    h = C.sequence.input_variable(2, sequence_axis=C.Axis("enc"), name="h")
    s = C.sequence.input_variable(2, sequence_axis=C.Axis("dec"), name="s")
    return C.layers.RecurrenceFrom(C.layers.GRU(2))(C.sequence.last(h), s)


def m_recslice(C):
    s = C.sequence.input_variable(2, sequence_axis=C.Axis("dec"), name="s")
    return C.layers.Recurrence(C.layers.LSTM(2))(C.sequence.slice(s, 1, 0))


def m_recgather(C):
    s = C.sequence.input_variable(2, sequence_axis=C.Axis("dec"), name="s")
    return C.layers.Recurrence(C.layers.GRU(2), go_backwards=True)(
        C.sequence.gather(s, C.greater(C.reduce_sum(s), -1.0))
    )


def m_recwhere(C):
    s = C.sequence.input_variable(2, sequence_axis=C.Axis("dec"), name="s")
    return C.layers.Recurrence(C.layers.RNNStep(2))(
        C.sequence.gather(s, C.sequence.is_first(s) + C.sequence.is_last(s))
    )


def m_recon_in(C):
    @C.Function
    def dec(h, s):
        l = C.sequence.last(h)
        return C.layers.Recurrence(C.Function(lambda p, x: C.tanh(p * 0.5 + x + C.sequence.broadcast_as(l, p))))(s)

    return dec(*hs(C, 2, 2))


def m_recon_const(C):
    @C.Function
    def dec(h, s):
        l = C.sequence.last(h)
        return C.layers.Recurrence(
            C.Function(
                lambda p, x: C.tanh(
                    p * 0.5
                    + x
                    + C.reconcile_dynamic_axes(C.constant([1.0, 2.0]), p)
                    + C.sequence.broadcast_as(C.reduce_sum(l, axis=0), x)
                )
            )
        )(s)

    return dec(*hs(C, 2, 2))


def m_recon_seq(C):
    @C.Function
    def dec(h, s):
        l = C.sequence.reduce_sum(h)
        m = C.reconcile_dynamic_axes(C.to_sequence(C.reshape(l, (1, 2))), s)
        return C.layers.Recurrence(
            C.Function(
                lambda p, x: C.tanh(p * 0.5 + x + C.reconcile_dynamic_axes(C.to_sequence(C.reshape(l, (1, 2))), p))
            )
        )(s)

    return dec(*hs(C, 2, 2))


MODELS = {
    "attention": m_attention,
    "attention_over_a_window": lambda C: m_attention(C, 2, -3),
    "attention_used_twice": m_both,
    "unfolded": m_unfold,
    "unfolded_longer": m_unfold_len,
    "unfolded_until": m_unfold_until,
    "from_a_state": m_recfrom,
    "over_a_slice": m_recslice,
    "over_chosen_frames": m_recgather,
    "over_the_ends": m_recwhere,
    "broadcast_inside": m_recon_in,
    "constant_reconciled_inside": m_recon_const,
    "one_frame_reconciled_inside": m_recon_seq,
}
"""Name -> function of the library that builds a model over ``h`` (encoder) and ``s`` (decoder)."""


def initialize(model):
    """Numbers that do not depend on the library."""
    random = np.random.RandomState(5)
    for p in sorted(model.parameters, key=lambda p: (p.name, str(p.shape))):
        p.value = random.uniform(-0.5, 0.5, p.shape).astype(np.float32)


def data(model):
    """Sequences of different lengths for each argument."""
    random = np.random.RandomState(8)
    widths = {a.name: a.shape[0] for a in model.arguments}
    lengths = {"h": (3, 2, 4), "s": (2, 4, 3)}
    made = {
        name: [random.uniform(-1, 1, (n, widths[name])).astype(np.float32) for n in lengths[name]]
        for name in sorted(widths)
    }
    return {a: made[a.name] for a in model.arguments}


def outcome(C, model):
    """The output, and for each parameter (sorted) the sum of its gradient's magnitudes."""
    given = data(model)
    values = model.eval(given)
    parameters = list(model.parameters)
    sums = []
    if parameters:
        gradients = C.reduce_sum(model * model).grad(given, wrt=parameters)
        if not isinstance(gradients, dict):
            gradients = {parameters[0]: gradients}
        sums = sorted(float(np.abs(g).sum()) for g in gradients.values())
    return {"values": [np.asarray(v, float).tolist() for v in values], "gradients": sums}
