"""Attention: a weighted mean over the frames of one sequence, for each frame of another."""

from __future__ import annotations

from typing import Any

from cntk_lab.default_options import default_options, default_override_or, get_default_override
from cntk_lab.errors import AttributeValueError
from cntk_lab.graph.function import Function
from cntk_lab.graph.operand import Operand
from cntk_lab.graph.signature import function_from
from cntk_lab.initializer import glorot_uniform
from cntk_lab.layers._dense import Dense, Label
from cntk_lab.layers.blocks import Stabilizer, _inject_name
from cntk_lab.layers.sequence import PastValueWindow
from cntk_lab.ops import constant, element_select, expand_dims, plus, reduce_sum, reshape, sequence, softmax, tanh

__all__ = ["AttentionModel"]


def AttentionModel(
    attention_dim: int,
    attention_span: int | None = None,
    attention_axis: int | None = None,
    init: Any = default_override_or(glorot_uniform()),
    go_backwards: Any = default_override_or(False),
    enable_self_stabilization: Any = default_override_or(True),
    name: str = "",
) -> Function:
    """For each frame of the decoder, the mean of the encoder's frames, weighted by how well they suit it.

    The weight of encoder frame h for decoder frame s is the softmax over all h of ``v tanh(h U + s V)``; it is found by
    the name ``attention_weights``.

    Args:
        attention_dim: number of hidden units of the attention.
        attention_span: number of last encoder frames that are looked at; default all.
        attention_axis: with a span, the static axis that holds them, counted from the end (-3).
        init: initializer of the matrices.
        go_backwards: with a span, whether the first frames are taken instead of the last ones.
        enable_self_stabilization: whether stabilizers stand before the matrices and behind the mean.
        name: name of the result.

    Returns:
        Function (encoder_hidden_state, decoder_hidden_state): sequences like the decoder's, of frames like the
        encoder's.

    Raises:
        AttributeValueError: if only one of span and axis is given.

    Example:
        >>> import cntk_lab as C
        >>> h = C.sequence.input_variable(5, sequence_axis=C.Axis("words"))
        >>> s = C.sequence.input_variable(7)
        >>> C.layers.AttentionModel(6)(h, s).shape
        (5,)

    Source: CNTK 2.7 ``layers.AttentionModel``; Bahdanau et al. (2015).
    """
    init = get_default_override(AttentionModel, init=init)
    backwards = get_default_override(AttentionModel, go_backwards=go_backwards)
    stabilized = get_default_override(AttentionModel, enable_self_stabilization=enable_self_stabilization)
    for present, missing, value in (("span", "axis", attention_axis), ("axis", "span", attention_span)):
        if value is None and (attention_span, attention_axis) != (None, None):
            raise AttributeValueError(
                f"AttentionModel: attention_{present} is given, attention_{missing} is not", fix="give both, or none"
            )
    with default_options(bias=False):
        projections = [
            Stabilizer(enable_self_stabilization=stabilized) >> Dense(width, init=init, input_rank=1)
            for width in (attention_dim, attention_dim, 1)
        ]
    of_encoder, of_decoder, of_tanh = projections
    final = Stabilizer(enable_self_stabilization=stabilized)
    if attention_span is not None:
        window: Any = PastValueWindow(attention_span, axis=attention_axis, go_backwards=backwards)  # type: ignore[arg-type]
    weights = Label("attention_weights")

    def over_all(encoder_hidden_state: Operand, decoder_hidden_state: Operand) -> Any:
        h, valid = sequence.unpack(encoder_hidden_state, padding_value=0).outputs
        projected = sequence.broadcast_as(of_encoder(h), decoder_hidden_state)
        logits = of_tanh(tanh(plus(of_decoder(decoder_hidden_state), projected)))
        mask = sequence.broadcast_as(expand_dims(valid, axis=-1), decoder_hidden_state)
        w = weights(softmax(element_select(mask, logits, constant(-1e30)), axis=0))
        mean = reduce_sum(w * sequence.broadcast_as(h, w), axis=0)
        return final(reshape(mean, (), begin_axis=0, end_axis=1))

    def over_window(encoder_hidden_state: Operand, decoder_hidden_state: Operand) -> Any:
        h, valid = window(encoder_hidden_state).outputs
        projected = sequence.broadcast_as(of_encoder(h), decoder_hidden_state)
        logits = of_tanh(tanh(plus(of_decoder(decoder_hidden_state), projected)))
        exists = sequence.broadcast_as(valid, decoder_hidden_state)
        w = weights(softmax(logits + (exists - 1) * 50, axis=attention_axis))
        return final(reduce_sum(sequence.broadcast_as(h, decoder_hidden_state) * w, axis=attention_axis))

    return _inject_name(function_from(over_all if attention_span is None else over_window), name)  # type: ignore[no-any-return]
